//! What a step costs in each store: alone, and in groups of commits. `cargo bench --bench store`.
//!
//! The disk is that of `TMPDIR`; on a file system in memory a commit waits for nothing. PostgreSQL is measured where there is one:
//! the server of `ORDERSTORM_POSTGRES_URL`, else a throw-away cluster on the same disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use futures_util::future::join_all;
use orderstorm::events::{Event, Stage};
use orderstorm::ledger::Ledger;
use orderstorm::pipeline::order::Emit;
use orderstorm::pipeline::store::postgres::{
    PostgresAddress, PostgresError, PostgresServer, drop_schemas, schema_name,
};
use orderstorm::pipeline::store::{Step, Store, StoreGround, StoreMeter, StoreSite};
use orderstorm::workload::check::check;
use orderstorm::workload::model::{StageSettings, StoreKind};
use tokio::runtime::Runtime;

/// Steps that are committed at once, so that a group can fill.
const AT_ONCE: u64 = 100;

const VARIANTS: [(&str, &[&str]); 10] = [
    ("none", &["stage.payment.store=none"]),
    ("memory", &["stage.payment.store=memory"]),
    ("sqlite", &["stage.payment.store=sqlite"]),
    (
        "sqlite-by-10",
        &["stage.payment.store=sqlite", "stage.payment.commit_batch=10"],
    ),
    (
        "sqlite-by-100",
        &["stage.payment.store=sqlite", "stage.payment.commit_batch=100"],
    ),
    (
        "sqlite-by-100-outbox",
        &[
            "stage.payment.store=sqlite",
            "stage.payment.commit_batch=100",
            "stage.payment.publish=outbox",
        ],
    ),
    ("postgres", &["stage.payment.store=postgres"]),
    (
        "postgres-by-10",
        &["stage.payment.store=postgres", "stage.payment.commit_batch=10"],
    ),
    (
        "postgres-by-100",
        &["stage.payment.store=postgres", "stage.payment.commit_batch=100"],
    ),
    (
        "postgres-by-100-outbox",
        &[
            "stage.payment.store=postgres",
            "stage.payment.commit_batch=100",
            "stage.payment.publish=outbox",
        ],
    ),
];

/// The server, if there is one to be had.
fn server() -> Option<PostgresServer> {
    let given = PostgresAddress::from_environment().expect("an address");
    match PostgresServer::start(given, false) {
        Ok(server) => Some(server),
        Err(PostgresError::NotInstalled { .. }) => {
            eprintln!("PostgreSQL is left out: it is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn settings(overrides: &[&str]) -> StageSettings {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let checked = check("bench.toml", "bench", String::new(), &overrides).expect("legal settings");
    checked.into_first().workload.stage(Stage::Payment).clone()
}

/// Commits steps number `first` and on, [`AT_ONCE`] under way.
async fn commit(store: &Store, first: u64, steps: u64, ledger: &Ledger, message: Option<&[u8]>) {
    for start in (first..first + steps).step_by(AT_ONCE as usize) {
        let group = (start..(start + AT_ONCE).min(first + steps)).map(|number| {
            let step = Step {
                number,
                event: Event::InventoryReserved,
                emit: Emit::Event(Event::PaymentSuccess),
                cents: 1_000,
                message: message.map(<[u8]>::to_vec),
            };
            store.commit(step, ledger, || {})
        });
        for committed in join_all(group).await {
            committed.expect("a commit");
        }
    }
}

fn commits(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("store/time_per_step");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    let server = server();
    for (trial, (name, overrides)) in (1..).zip(VARIANTS) {
        let settings = settings(overrides);
        if settings.store == StoreKind::Postgres && server.is_none() {
            continue;
        }
        let run = format!("bench{}", std::process::id());
        let ground = StoreGround {
            postgres: server.as_ref().map(|server| server.address().clone()),
            run: run.clone(),
            trial,
            ..StoreGround::default()
        };
        let site = StoreSite::prepare(std::slice::from_ref(&settings), ground).expect("a folder");
        let store = Store::open(Stage::Payment, &settings, &site, &Arc::<StoreMeter>::default()).expect("it opens");
        let outbox = name.ends_with("outbox").then(|| vec![b'x'; 256]);
        let (mut next, ledger) = (0, Ledger::new(1, None));
        group.bench_function(name, |b| {
            b.iter_custom(|steps| {
                let began = Instant::now();
                runtime.block_on(commit(&store, next, steps.max(AT_ONCE), &ledger, outbox.as_deref()));
                next += steps.max(AT_ONCE);
                began.elapsed().mul_f64(steps as f64 / steps.max(AT_ONCE) as f64)
            });
        });
        drop(store);
        if let Some(server) = &server {
            let schema = schema_name(&run, trial, Stage::Payment);
            drop_schemas(server.address(), &[schema]).expect("the schema is dropped");
        }
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
