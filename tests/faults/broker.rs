//! A broker of the run's own goes down under load and comes back on its data.

use futures_util::future::join_all;
use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;

use crate::common::rabbitmq_or_skip;
use crate::support::drive::{CLIENTS, Done, start_managed};

/// Clients that come back soon after a broker that takes its time.
const PATIENT: [&str; 4] = [
    "recovery.backoff_max=500ms",
    "recovery.give_up_after=2m",
    "drain.deadline=1m",
    "sample.interval=100ms",
];

async fn run(settings: &[&str]) -> Option<Done> {
    let server = rabbitmq_or_skip()?;
    let done = start_managed(&server, &[&PATIENT[..], settings].concat()).done().await;
    assert_eq!(done.trial().aborted, None);
    Some(done)
}

/// The broker was gone and is back, and so is everybody who had lost it.
fn assert_back(done: &Done, what: &str) {
    let [event] = done.trial().fault_events.as_slice() else {
        panic!("{:?}", done.trial().fault_events);
    };
    assert_eq!((event.what.as_str(), event.stage, event.consumers), (what, None, None));
    let healed = event.healed_s.expect("it came back");
    assert!(healed - event.start_s >= 0.5, "{event:?}");
    assert!(event.acked_returned.is_some(), "{event:?}");
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
    let trial = done.trial();
    let consumers = trial
        .lost_connections
        .iter()
        .filter(|one| one.connection.ends_with("consumers"));
    let back: Vec<bool> = consumers.map(|one| one.back_s.is_some()).collect();
    assert_eq!(back, [true; 9], "{:?}", trial.lost_connections);
    // What was due meanwhile waited in the schedule; what the dead broker had not answered stays unknown.
    assert_eq!(trial.orders.published, trial.orders.planned.expect("an open loop"));
    assert!(trial.drain.drained, "{:?}", trial.drain);
    assert_eq!(
        trial.resources.broker_cpu_s, None,
        "two processes have no common account"
    );
    assert_eq!(trial.faults[0].name, what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_it_confirmed_and_nothing_happens_twice() {
    join_all(CLIENTS.map(a_killed_broker)).await;
}

async fn a_killed_broker(client: &str) {
    let Some(done) = run(&[
        client,
        // By count: what is due while the broker is away is sent when it is back.
        "load.rate=40/s",
        "load.orders=160",
        "stage.payment.store=sqlite",
        "stage.payment.service_time=10ms",
        "faults.1.what=broker-kill",
        "faults.1.at=2s",
        "faults.1.restart_after=500ms",
    ])
    .await
    else {
        return;
    };
    assert_back(&done, "broker-kill");
    let trial = done.trial();
    assert_eq!(trial.verdict, Verdict::Pass, "{:#?}", trial.promises);
    assert_eq!((trial.ledger.fates.lost, trial.ledger.duplicate_effect), (0, 0));
    let load = trial.lost_connections.iter().find(|one| one.connection == "load 0");
    assert!(
        load.is_some_and(|load| load.back_s.is_some()),
        "{:?}",
        trial.lost_connections
    );
    assert_eq!(done.promise("nothing_lost").verdict, Verdict::Pass);
    let event = &trial.fault_events[0];
    assert!(event.longest_gap_s.is_some_and(|gap| gap > 0.5), "{event:?}");
    let returned = event.acked_returned.expect("counted");
    assert_eq!(returned > 0, event.duplicate_exposure_s.is_some(), "{event:?}");
    assert_eq!(returned > 0, event.acked_to_return_s.is_some(), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_direct_client_sits_out_a_stopped_rabbitmq_and_its_alarms_and_is_told_of_returns_and_nacks() {
    let Some(done) = run(&[
        CLIENTS[1],
        "load.rate=60/s",
        "load.duration=5s",
        "stage.payment.max_length=5",
        "stage.payment.overflow=reject-publish",
        "stage.payment.service_time=8ms",
        "stage.payment.prefetch=1",
        "messages.unroutable=20%",
        "fault.memory_alarm.at=1s",
        "fault.memory_alarm.lasts=1s",
        "fault.broker_pause.at=3s",
        "fault.broker_pause.lasts=1s",
    ])
    .await
    else {
        return;
    };
    let trial = done.trial();
    assert_eq!(trial.verdict, Verdict::Pass, "{:#?}", trial.promises);
    assert_eq!(
        (trial.faults.len(), trial.lost_connections.len()),
        (2, 0),
        "{:?}",
        trial.lost_connections
    );
    assert!(trial.blocked_s >= 0.8, "{}", trial.blocked_s);
    assert_eq!(
        trial.ledger.fates.completed + trial.ledger.fates.cancelled(),
        trial.orders.published
    );
    assert!(trial.messages.returned >= 30, "{:?}", trial.messages);
    let slowest = done.latency("confirm_latency").max_ns.expect("some");
    assert!(slowest > 800_000_000, "{slowest} ns: the pause is in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_queues_go_with_the_broker_and_are_declared_again_and_the_ledger_misses_what_was_in_them() {
    let Some(done) = run(&[
        "load.rate=50/s",
        "load.orders=200",
        // A backlog that the restart finds.
        "stage.payment.service_time=60ms",
        "topology.durable=false",
        "publish.persistent=false",
        "faults.1.what=broker-restart",
        "faults.1.at=3s",
    ])
    .await
    else {
        return;
    };
    assert_back(&done, "broker-restart");
    let trial = &done.trial();
    let fates = &trial.ledger.fates;
    assert!(fates.lost >= 20, "{fates:?}");
    // It is what the settings are good for, so it fails nobody.
    assert_eq!(done.broken(), Vec::<&str>::new());
    let promise = done.promise("nothing_lost");
    assert_eq!((promise.verdict, promise.breaches), (Verdict::Fail, fates.lost));
    let because = promise.not_given_because.as_deref().expect("not given");
    assert!(
        because.contains("topology.durable = false") && because.contains("broker-restart"),
        "{because}"
    );
    assert_eq!(
        done.stage(Stage::Payment).redelivered,
        0,
        "nothing was kept to be delivered again"
    );
}
