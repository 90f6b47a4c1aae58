//! Faults of the network in `[[faults]]`, and `recovery.heartbeat`.

use futures_util::future::join_all;
use orderstorm::ledger::Verdict;

use crate::support::drive::{CLIENTS, Done, run_alone};

/// Two seconds of orders, looked at often.
const LOAD: [&str; 5] = [
    "load.rate=100/s",
    "load.duration=2s",
    "sample.interval=50ms",
    "drain.deadline=20s",
    "orders.payment_decline=0%",
];

async fn run(settings: &[&str]) -> Done {
    run_alone(&[&LOAD[..], settings].concat()).await
}

/// Nothing that was promised is broken, and nothing is lost.
fn assert_survived(done: &Done) {
    let trial = done.trial();
    assert_eq!(trial.aborted, None);
    assert_eq!(trial.verdict, Verdict::Pass, "{:#?}", trial.promises);
    assert_eq!(trial.ledger.fates.lost, 0);
    assert!(trial.drain.drained);
}

/// Losses of connections whose name begins like this: when each was noticed.
fn lost(done: &Done, whose: &str) -> Vec<f64> {
    let lost = done.trial().lost_connections.iter();
    lost.filter(|one| one.connection.starts_with(whose))
        .map(|one| one.lost_s)
        .collect()
}

/// Least and greatest queue wait of payment, seconds.
fn waits(done: &Done) -> (f64, f64) {
    let waits = done.latency("payment.queue_wait");
    let least = waits.spectrum.first().expect("some").1;
    (least as f64 / 1e9, waits.max_ns.expect("some") as f64 / 1e9)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_the_network_strikes_its_stage_alone_and_everything_comes_back() {
    join_all(CLIENTS.map(each_fault_of_the_network)).await;
}

async fn each_fault_of_the_network(client: &str) {
    let done = run(&[
        client,
        "load.duration=3s",
        "faults.1.what=network-stall",
        "faults.1.stage=payment",
        "faults.1.at=400ms",
        "faults.1.lasts=400ms",
        "faults.2.what=network-cut",
        "faults.2.stage=inventory",
        "faults.2.at=1s",
        "faults.2.lasts=300ms",
        "faults.3.what=network-reset",
        "faults.3.stage=shipping",
        "faults.3.at=1500ms",
        "faults.4.what=network-half-open",
        "faults.4.stage=audit",
        "faults.4.at=2s",
        "faults.4.lasts=500ms",
    ])
    .await;
    assert_survived(&done);
    assert_eq!(done.promise("faults_struck").verdict, Verdict::Pass);
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
    let events = &done.trial().fault_events;
    let lasts: Vec<f64> = events
        .iter()
        .map(|event| event.healed_s.expect("healed") - event.start_s)
        .collect();
    for (lasted, least) in lasts.iter().zip([0.4, 0.3, 0.0, 0.5]) {
        assert!(*lasted >= least, "{lasts:?}");
    }
    assert!(events.iter().all(|event| event.consumers.is_none()), "{events:?}");
    assert!(waits(&done).1 >= 0.3, "payment waited for {:?}", waits(&done));
    // A stall ends no connection; the others end both, or the one of a stage that does not publish.
    for (whose, losses) in [
        ("payment", 0),
        ("inventory", 2),
        ("shipping", 2),
        ("audit", 1),
        ("load", 0),
    ] {
        assert_eq!(
            lost(&done, whose).len(),
            losses,
            "{whose}: {:?}",
            done.trial().lost_connections
        );
    }
    assert_eq!(done.trial().faults.len(), 4, "a band for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_everybody_s_network_reaches_the_load_too() {
    let done = run(&["faults.1.what=network-cut", "faults.1.at=700ms", "faults.1.lasts=400ms"]).await;
    assert_survived(&done);
    for whose in ["load", "order", "payment", "sms"] {
        assert!(
            !lost(&done, whose).is_empty(),
            "{whose}: {:?}",
            done.trial().lost_connections
        );
    }
    // The driver's own eyes look straight at the broker.
    assert_eq!(lost(&done, "depth probe"), Vec::<f64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_is_as_long_as_it_says_and_a_jitter_makes_it_uneven() {
    let delayed = async |more: &[&str]| {
        let fault = [
            "faults.1.what=network-delay",
            "faults.1.stage=payment",
            "faults.1.at=0s",
            "faults.1.lasts=60s",
            "faults.1.delay=200ms",
        ];
        let done = run(&[&fault[..], more].concat()).await;
        assert_survived(&done);
        waits(&done)
    };
    // What is delivered on its way in waits once; the answers of payment's own publishes do not count.
    let (least, _) = delayed(&[]).await;
    assert!(least >= 0.199, "{least}");
    let (least, most) = delayed(&["faults.1.jitter=190ms"]).await;
    assert!(least < 0.199 && most > 0.2, "{least} to {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_passes_than_the_bandwidth() {
    let longest = async |bandwidth: &str| {
        let done = run(&[
            "orders.body_size=2KiB",
            "faults.1.what=network-bandwidth",
            "faults.1.stage=payment",
            "faults.1.at=0s",
            "faults.1.lasts=60s",
            bandwidth,
        ])
        .await;
        assert_survived(&done);
        waits(&done).1
    };
    // 100 messages of 2 KiB come in a second, so the last waits for about two more.
    let narrow = longest("faults.1.bandwidth=100KiB").await;
    let wide = longest("faults.1.bandwidth=10MiB").await;
    assert!(narrow >= 1.0 && wide < narrow, "{narrow} s, {wide} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_is_noticed_by_its_heartbeat_or_not_before_it_is_reset() {
    let half_open = async |more: &[&str]| {
        let fault = [
            "faults.1.what=network-half-open",
            "faults.1.stage=payment",
            "faults.1.at=500ms",
        ];
        let done = run(&[&fault[..], more].concat()).await;
        assert_survived(&done);
        let healed = done.trial().fault_events[0].healed_s.expect("healed");
        (lost(&done, "payment"), healed)
    };
    let noticed = CLIENTS.map(async |client| half_open(&[client, "recovery.heartbeat=1s", "faults.1.lasts=60s"]).await);
    for (lost, healed) in join_all(noticed).await {
        assert!(
            lost.len() == 2 && lost.iter().all(|at| *at < healed),
            "{lost:?}, {healed}"
        );
    }
    let (lost, healed) = half_open(&["faults.1.lasts=1s"]).await;
    assert!(
        lost.len() == 2 && lost.iter().all(|at| *at >= healed - 0.05),
        "{lost:?}, {healed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_does_not_come_back_in_time_ends_the_trial_and_one_left_without_its_consumers_is_a_finding() {
    let done = run(&[
        "faults.1.what=network-cut",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
        "faults.1.lasts=30s",
        "recovery.give_up_after=1s",
    ])
    .await;
    let why = done.trial().aborted.as_deref().expect("cut short");
    assert!(why.contains("payment") && why.contains("did not come back"), "{why}");
    assert_eq!(done.record.outcome.exit_code, 1);
    let done = run(&[
        "load.duration=1s",
        "drain.deadline=500ms",
        "faults.1.what=network-reset",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
        "recovery.backoff_initial=1m",
        "recovery.backoff_max=1m",
        "stage.payment.consumers=3",
    ])
    .await;
    assert_eq!(
        (done.trial().aborted.as_deref(), done.broken()),
        (None, vec!["consumers_back"])
    );
    let finding = &done.promise("consumers_back").finding;
    assert_eq!(finding, "consumers missing: 3 of 3 at payment");
    assert_eq!(done.record.outcome.exit_code, 3);
}
