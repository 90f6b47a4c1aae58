//! A whole small pipeline by setting: time per order at full speed, in a closed loop of 20 users.
//!
//! An order is 14 publishes and 31 deliveries. Connecting and declaring are not timed. The broker is the embedded one, whose
//! figures say what the driver costs, not what RabbitMQ takes; or the one that `ORDERSTORM_BROKER` names (an address, or
//! `managed` for a private RabbitMQ node). Each broker has benches of its own name, so that a saved baseline is never that of
//! another. `cargo bench --bench pipeline`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use orderstorm::amqp::uri::BrokerUri;
use orderstorm::amqp::{Channel, Connector, Incidents};
use orderstorm::broker::{BrokerChoice, BrokerInfo, RunningBroker, StartOptions};
use orderstorm::clock::Clock;
use orderstorm::events::PipelineKind;
use orderstorm::load::Load;
use orderstorm::pipeline::Pipeline;
use orderstorm::pipeline::store::StoreGround;
use orderstorm::timer::Timer;
use orderstorm::wire::Wiring;
use orderstorm::wire::topology::Topology;
use orderstorm::workload::Workload;
use orderstorm::workload::check::check;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// With fewer orders the filling and emptying of the pipeline would count for too much.
const ORDERS_MIN: u64 = 200;
const USERS: u32 = 20;
/// Longest wait for the last order.
const DEADLINE: Duration = Duration::from_secs(60);

/// The variable that names the broker.
const BROKER: &str = "ORDERSTORM_BROKER";

/// Where a setting stands.
#[derive(Debug, Clone, Copy)]
enum Scope {
    /// Once in the workload.
    Workload,
    /// In each stage.
    Stages,
}

/// Each variant changes one setting; the defaults are `prefetch` 100, `ack_batch` 1 and `store` memory.
const VARIANTS: [(&str, &str, Scope, &str); 13] = [
    ("client/direct", "driver.client", Scope::Workload, "direct"),
    ("prefetch/1", "prefetch", Scope::Stages, "1"),
    ("prefetch/10", "prefetch", Scope::Stages, "10"),
    ("prefetch/100", "prefetch", Scope::Stages, "100"),
    ("prefetch/unlimited", "prefetch", Scope::Stages, "unlimited"),
    ("ack_batch/10", "ack_batch", Scope::Stages, "10"),
    ("ack_batch/100", "ack_batch", Scope::Stages, "100"),
    ("store/none", "store", Scope::Stages, "none"),
    ("store/memory", "store", Scope::Stages, "memory"),
    ("store/sqlite", "store", Scope::Stages, "sqlite"),
    ("publish/no_confirms", "publish.confirms", Scope::Workload, "false"),
    ("publish/transient", "publish.persistent", Scope::Workload, "false"),
    ("body/4KiB", "orders.body_size", Scope::Workload, "4KiB"),
];

/// The `--set` arguments of a variant.
fn settings(key: &str, scope: Scope, value: &str) -> Vec<String> {
    match scope {
        Scope::Workload => vec![format!("{key}={value}")],
        Scope::Stages => {
            let stages = PipelineKind::Orders.stages().iter();
            stages.map(|stage| format!("stage.{stage}.{key}={value}")).collect()
        }
    }
}

fn workload(orders: u64, settings: &[String]) -> Workload {
    let text = format!(
        "[load]\narrival = \"closed\"\nusers = {USERS}\norders = {orders}\n[orders]\nstock_per_item = 1_000_000\n"
    );
    check("bench.toml", "bench", text, settings)
        .unwrap_or_else(|error| panic!("{error}"))
        .into_first()
        .workload
}

/// The broker to measure on.
fn choice() -> BrokerChoice {
    match std::env::var(BROKER) {
        Ok(named) if !named.is_empty() => {
            let selection = BrokerChoice::select(&named, None);
            selection.unwrap_or_else(|error| panic!("{BROKER}: {error}")).choice
        }
        _ => BrokerChoice::Embedded,
    }
}

/// Product and version in the name of the group: what is measured on one broker is no baseline for another.
fn group_name(info: &BrokerInfo) -> String {
    if info.kind == "embedded" {
        return "pipeline".to_owned();
    }
    format!("pipeline_{}_{}", info.product, info.version).replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_")
}

/// Runs `orders` orders through a fresh pipeline; the time from the first order to the last one's end.
async fn run(uri: &BrokerUri, orders: u64, settings: &[String]) -> Duration {
    static TRIAL: AtomicU32 = AtomicU32::new(0);
    let name = format!("orderstorm.bench.{}", TRIAL.fetch_add(1, Ordering::Relaxed));
    let clock = Clock::start();
    let timer = Timer::start(clock).expect("a timer");
    let workload = Arc::new(workload(orders, settings));
    let incidents = Arc::new(Incidents::new(clock));
    let connector = Connector::new(uri, Arc::clone(&incidents)).with_client(workload.driver.client);
    let topology = Topology::new(&name, workload.pipeline);
    let link = connector.connect("bench").await.expect("the broker listens");
    let channel = Channel::on(&link).await.expect("opens a channel");
    topology.declare(&channel, &workload).await.expect("names are free");
    let wiring = Wiring::new(
        connector,
        Arc::clone(&workload),
        42,
        Arc::clone(&topology),
        &name,
        timer.clone(),
    );
    let ledger = Arc::clone(&wiring.ledger);
    let (finished_to, finished) = mpsc::unbounded_channel();
    wiring.window.open(0);
    let program = orderstorm::runner::own_program();
    let running = Pipeline::start(&wiring, StoreGround::default(), Some(finished_to), &program)
        .await
        .expect("a pipeline");
    let load = Load::connect(wiring).await.expect("a load");
    let began = clock.now();
    let loading = load.run(began, Some(finished), CancellationToken::new());
    tokio::time::timeout(DEADLINE, loading).await.expect("the load ends");
    while ledger.ended() < orders {
        assert!(clock.now() - began < DEADLINE.as_nanos() as u64, "orders are stuck");
        timer.sleep_until(clock.now() + 50_000).await;
    }
    let took = Duration::from_nanos(clock.now() - began);
    // Audit and notification may lag behind the ends; they are no part of the time, but of the clean end.
    while running.held() > 0 {
        timer.sleep_until(clock.now() + 1_000_000).await;
    }
    incidents.closing();
    running.stop().await;
    topology
        .declared(&workload)
        .delete(&link)
        .await
        .expect("our own objects");
    link.close().await;
    took
}

fn whole_pipeline(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let broker = runtime
        .block_on(RunningBroker::start(&choice(), &StartOptions::default()))
        .unwrap_or_else(|error| panic!("{error}"));
    println!("broker: {}", broker.info());
    let mut group = c.benchmark_group(group_name(broker.info()));
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    for (name, key, scope, value) in VARIANTS {
        let settings = settings(key, scope, value);
        group.bench_function(name, |b| {
            b.iter_custom(|orders| {
                let at_least = orders.max(ORDERS_MIN);
                let took = runtime.block_on(run(broker.uri(), at_least, &settings));
                took.mul_f64(orders as f64 / at_least as f64)
            });
        });
    }
    group.finish();
    runtime
        .block_on(broker.stop())
        .unwrap_or_else(|error| panic!("{error}"));
}

criterion_group!(benches, whole_pipeline);
criterion_main!(benches);
