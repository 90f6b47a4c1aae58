//! A whole small pipeline on the embedded broker, by setting: time per order at full speed, in a closed loop of 20 users.
//!
//! An order is 14 publishes and 31 deliveries. Connecting and declaring are not timed. The embedded broker is not RabbitMQ:
//! these figures say what the driver costs, not what a broker takes. `cargo bench --bench pipeline`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use orderstorm::amqp::uri::BrokerUri;
use orderstorm::amqp::{Connector, Incidents};
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::clock::Clock;
use orderstorm::load::Load;
use orderstorm::pipeline::Pipeline;
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

/// Each variant changes one setting.
const VARIANTS: [(&str, &[&str]); 4] = [
    ("default", &[]),
    ("no_confirms", &["publish.confirms=false"]),
    ("transient", &["publish.persistent=false"]),
    ("body_4KiB", &["orders.body_size=4KiB"]),
];

fn workload(orders: u64, settings: &[&str]) -> Workload {
    let text = format!(
        "[load]\narrival = \"closed\"\nusers = {USERS}\norders = {orders}\n[orders]\nstock_per_item = 1_000_000\n"
    );
    let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    check("bench.toml", "bench", text, &overrides)
        .unwrap_or_else(|error| panic!("{error}"))
        .into_first()
        .workload
}

/// Runs `orders` orders through a fresh pipeline; the time from the first order to the last one's end.
async fn run(uri: &BrokerUri, orders: u64, settings: &[&str]) -> Duration {
    static TRIAL: AtomicU32 = AtomicU32::new(0);
    let name = format!("orderstorm.bench.{}", TRIAL.fetch_add(1, Ordering::Relaxed));
    let clock = Clock::start();
    let timer = Timer::start(clock).expect("a thread for the timer");
    let workload = Arc::new(workload(orders, settings));
    let incidents = Arc::new(Incidents::new(clock));
    let connector = Connector::new(uri, Arc::clone(&incidents));
    let topology = Topology::new(&name, workload.pipeline);
    let link = connector.connect("bench").await.expect("the embedded broker listens");
    topology.declare(&link, &workload).await.expect("names are free");
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
    let running = Pipeline::start(&wiring, Some(finished_to)).await.expect("a pipeline");
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
        .declared(&workload.topology)
        .delete(&link)
        .await
        .expect("our own objects");
    link.close().await;
    took
}

fn whole_pipeline(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("a free port");
    let uri: BrokerUri = broker.uri().parse().expect("the broker's own address");
    let mut group = c.benchmark_group("pipeline/time_per_order");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    for (name, settings) in VARIANTS {
        group.bench_function(name, |b| {
            b.iter_custom(|orders| {
                let at_least = orders.max(ORDERS_MIN);
                let took = runtime.block_on(run(&uri, at_least, settings));
                took.mul_f64(orders as f64 / at_least as f64)
            });
        });
    }
    group.finish();
    runtime.block_on(broker.stop());
}

criterion_group!(benches, whole_pipeline);
criterion_main!(benches);
