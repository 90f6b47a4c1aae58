//! Faults of stages' databases in `[[faults]]`: locked, slow, out of reach.

use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;
use orderstorm::results::record::StoreRecord;

use crate::support::drive::{Done, run_alone, run_with_postgres};
use crate::support::postgres::server;

/// Three seconds of orders, all of which payment accepts.
const LOAD: [&str; 5] = [
    "load.rate=100/s",
    "load.duration=3s",
    "sample.interval=50ms",
    "drain.deadline=20s",
    "orders.payment_decline=0%",
];

/// Runs on SQLite and, where there is one, on PostgreSQL.
async fn on_each_database(settings: &[&str]) -> Vec<(&'static str, Done)> {
    let with = |store| [&LOAD[..], &[store], settings].concat();
    let mut runs = vec![("sqlite", run_alone(&with("stage.payment.store=sqlite")).await)];
    if let Some(address) = server().await {
        runs.push((
            "postgres",
            run_with_postgres(&address, &with("stage.payment.store=postgres")).await,
        ));
    }
    runs
}

fn store(done: &Done) -> &StoreRecord {
    done.stage(Stage::Payment).store.as_ref().expect("a database")
}

/// The one fault struck, lasted as long as it says and healed; nothing that was promised is broken, and every order came to
/// its end.
fn assert_waited(on: &str, done: &Done, what: &str, lasts_s: f64) {
    let trial = done.trial();
    assert_eq!(trial.aborted, None, "{on}");
    assert!(trial.drain.drained, "{on}: {:?}, {:?}", trial.drain, store(done));
    assert_eq!(trial.verdict, Verdict::Pass, "{on}: {:#?}", trial.promises);
    assert_eq!(trial.ledger.fates.completed, trial.orders.published, "{on}");
    assert_eq!(trial.ledger.charged_again, 0, "{on}");
    let [event] = trial.fault_events.as_slice() else {
        panic!("{on}: {:?}", trial.fault_events);
    };
    assert_eq!(
        (event.what.as_str(), event.stage, event.consumers),
        (what, Some(Stage::Payment), None)
    );
    let lasted = event.healed_s.expect("healed") - event.start_s;
    assert!(lasted >= lasts_s, "{on}: {lasted} s");
    assert_eq!(trial.faults.len(), 1, "{on}: a band for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_waited_for_and_nothing_is_lost() {
    let runs = on_each_database(&[
        "faults.1.what=database-locked",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
        "faults.1.lasts=3s",
        "load.duration=4s",
        "load.rate=50/s",
        "stage.payment.publish=outbox",
    ]);
    // The first to give up after a second may be the relay; then it is a step.
    for (on, done) in runs.await {
        assert_waited(on, &done, "database-locked", 3.0);
        assert!(
            store(&done).errors >= 1,
            "{on}: a step gave up after a second and came again"
        );
        assert!(done.stage(Stage::Payment).redelivered >= 1, "{on}");
        let gap = done.trial().fault_events[0]
            .longest_gap_s
            .expect("orders before and after");
        assert!(
            gap >= 1.2,
            "{on}: payment committed nothing, so no order ended: {gap} s"
        );
        assert_eq!(store(&done).connections_lost, 0, "{on}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_makes_commits_late_by_the_delay() {
    let runs = on_each_database(&[
        "faults.1.what=database-slow",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
        "faults.1.lasts=1s",
        "faults.1.delay=60ms",
        "stage.payment.commit_batch=20",
        "stage.payment.commit_flush=20ms",
    ]);
    for (on, done) in runs.await {
        assert_waited(on, &done, "database-slow", 1.0);
        let longest = done.latency("payment.commit").max_ns.expect("commits") as f64 / 1e6;
        // To PostgreSQL and back, at the least once.
        let least = if on == "sqlite" { 60.0 } else { 120.0 };
        assert!(longest >= least, "{on}: {longest} ms");
        assert_eq!((store(&done).errors, store(&done).connections_lost), (0, 0), "{on}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_out_of_reach_is_waited_for_and_one_that_stays_away_ends_the_trial() {
    let Some(address) = server().await else { return };
    let fault = [
        "stage.payment.store=postgres",
        "stage.payment.publish=outbox",
        "stage.customer.store=postgres",
        "load.rate=50/s",
        "faults.1.what=database-unreachable",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
    ];
    let run = async |more: &[&str]| run_with_postgres(&address, &[&LOAD[..], &fault[..], more].concat()).await;
    let done = run(&["faults.1.lasts=1s"]).await;
    assert_waited("postgres", &done, "database-unreachable", 1.0);
    assert!(
        store(&done).errors >= 1 && store(&done).connections_lost >= 2,
        "{:?}",
        store(&done)
    );
    let customer = done.stage(Stage::Customer).store.as_ref().expect("a database");
    assert_eq!(
        (customer.errors, customer.connections_lost),
        (0, 0),
        "one stage alone is struck"
    );

    let done = run(&["faults.1.lasts=2s", "recovery.give_up_after=500ms"]).await;
    let why = done.trial().aborted.as_ref().expect("it was given up");
    assert!(
        why.contains("payment stage lost its store") && why.contains("recovery.give_up_after"),
        "{why}"
    );
}
