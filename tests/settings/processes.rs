//! `stage.*.placement` and `stage.*.processes`: consumers in processes of their own, and what faults do to those.

use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;

use crate::support::drive::{Done, run_alone, start_at};
use crate::support::proxy::Proxy;
use crate::support::stand::Stand;

/// Two seconds of orders.
const LOAD: [&str; 4] = [
    "load.rate=80/s",
    "load.duration=2s",
    "sample.interval=50ms",
    "drain.deadline=20s",
];

async fn run(settings: &[&str]) -> Done {
    run_alone(&[&LOAD[..], settings].concat()).await
}

fn assert_kept(done: &Done) {
    let trial = done.trial();
    assert_eq!(trial.aborted, None);
    assert_eq!(done.broken(), Vec::<&str>::new(), "{:#?}", trial.promises);
    assert_eq!(trial.verdict, Verdict::Pass, "{:#?}", trial.promises);
    assert_eq!(trial.ledger.fates.total(), trial.orders.published);
    assert_eq!(trial.ledger.fates.lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placement_and_processes_say_where_consumers_run_and_the_account_is_the_same() {
    let stand = Stand::start().await;
    for (placement, processes) in [("in-process", 1), ("process", 1), ("process", 3)] {
        let proxy = Proxy::before(stand.uri()).await;
        let placed = format!("stage.payment.placement={placement}");
        let many = format!("stage.payment.processes={processes}");
        let mut settings = vec![
            "load.orders=60",
            "load.rate=120/s",
            "stage.payment.consumers=3",
            "stage.payment.service_time=1ms",
            "drain.deadline=20s",
            &placed,
        ];
        if processes > 1 {
            settings.push(&many);
        }
        let done = start_at(&proxy.uri(stand.uri()), &settings).done().await;
        assert_kept(&done);
        let payment = done.stage(Stage::Payment);
        assert_eq!(
            (payment.delivered, payment.each_consumer.len()),
            (60, 3),
            "{placed} {many}"
        );
        let each: u64 = payment.each_consumer.iter().map(|one| one.delivered).sum();
        assert_eq!(each, 60, "{placed} {many}");
        assert!(payment.utilisation.is_some_and(|share| share > 0.0), "{placed} {many}");
        assert_eq!(done.latency("payment.service_time").count, 60, "{placed} {many}");
        assert_eq!(done.latency("end_to_end").count, 60, "{placed} {many}");
        let named = |name: &str| proxy.connections_named(name);
        let of_last = format!("payment consumers process {}", processes - 1);
        let expected = if processes > 1 { (processes, 1) } else { (1, 0) };
        assert_eq!(
            (named("payment consumers"), named(&of_last)),
            expected,
            "{placed} {many}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_processes_are_killed_and_stopped_and_a_durable_store_keeps_what_was_promised() {
    let done = run(&[
        "stage.payment.placement=process",
        "stage.payment.processes=2",
        "stage.payment.consumers=4",
        "stage.payment.store=sqlite",
        "stage.payment.service_time=45ms",
        "stage.inventory.placement=process",
        "stage.inventory.store=sqlite",
        "stage.inventory.publish=outbox",
        "stage.shipping.placement=process",
        "orders.stock_per_item=1000",
        "faults.1.what=sigkill",
        "faults.1.stage=payment",
        "faults.1.every=600ms",
        "faults.1.times=2",
        "faults.1.restart_after=300ms",
        "faults.2.what=sigstop",
        "faults.2.stage=shipping",
        "faults.2.at=500ms",
        "faults.2.lasts=400ms",
        "faults.3.what=sigkill",
        "faults.3.stage=inventory",
        "faults.3.at=900ms",
    ])
    .await;
    assert_kept(&done);
    let events = &done.trial().fault_events;
    let of = |fault: u32| events.iter().filter(move |event| event.fault == Some(fault));
    assert_eq!((of(1).count(), of(2).count(), of(3).count()), (2, 1, 1), "{events:?}");
    let away = |fault: u32| of(fault).map(|event| event.healed_s.expect("healed") - event.start_s);
    assert!(
        away(1).all(|away| away >= 0.3) && away(2).all(|away| away >= 0.4),
        "{events:?}"
    );
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
    assert!(done.stage(Stage::Payment).redelivered > 0);
    assert_eq!(done.trial().ledger.stock.items_differing, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn count_and_share_of_a_signal_are_of_processes() {
    let struck = async |whom: &str| {
        let done = run(&[
            "stage.payment.placement=process",
            "stage.payment.processes=3",
            "stage.payment.consumers=6",
            "faults.1.what=sigstop",
            "faults.1.stage=payment",
            "faults.1.at=300ms",
            "faults.1.lasts=100ms",
            whom,
        ])
        .await;
        done.trial().fault_events[0].consumers
    };
    let (two, all) = tokio::join!(struck("faults.1.count=2"), struck("faults.1.share=100%"));
    assert_eq!((two, all), (Some(2), Some(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_a_point_repeats_only_what_its_store_forgot() {
    let charged_again = async |point: &str, store: &str| {
        let (point, store) = (
            format!("faults.1.point={point}"),
            format!("stage.payment.store={store}"),
        );
        let done = run(&[
            "stage.payment.placement=process",
            "stage.payment.prefetch=1",
            "faults.1.what=sigkill",
            "faults.1.stage=payment",
            "faults.1.every=500ms",
            "faults.1.times=2",
            &point,
            &store,
        ])
        .await;
        let trial = done.trial();
        assert_eq!(
            (trial.aborted.as_ref(), done.broken()),
            (None, vec![]),
            "{point} {store}"
        );
        assert_eq!(trial.fault_events.len(), 2, "{point} {store}: {:?}", trial.fault_events);
        assert_eq!(trial.ledger.fates.lost, 0, "{point} {store}");
        assert!(done.stage(Stage::Payment).redelivered >= 2, "{point} {store}");
        trial.ledger.charged_again
    };
    let found = tokio::join!(
        charged_again("before-effect", "memory"),
        charged_again("effect-to-publish", "sqlite"),
        charged_again("publish-to-confirm", "sqlite"),
        charged_again("confirm-to-ack", "sqlite"),
        charged_again("confirm-to-ack", "memory"),
    );
    assert_eq!(found, (0, 0, 0, 0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_faults_strike_consumers_in_processes_as_well() {
    let done = run(&[
        "stage.payment.placement=process",
        "stage.payment.store=sqlite",
        "stage.payment.consumers=2",
        "stage.payment.processes=2",
        "faults.1.what=connection-drop",
        "faults.1.stage=payment",
        "faults.1.at=300ms",
        "faults.1.count=2",
        "faults.2.what=hang",
        "faults.2.stage=payment",
        "faults.2.at=900ms",
        "faults.2.lasts=200ms",
        "faults.3.what=panic",
        "faults.3.stage=payment",
        "faults.3.at=1300ms",
        "faults.3.restart_after=100ms",
        "fault.stage_outage.stage=payment",
        "fault.stage_outage.at=1500ms",
        "fault.stage_outage.lasts=300ms",
    ])
    .await;
    assert_kept(&done);
    let events = &done.trial().fault_events;
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events.iter().all(|event| event.healed_s.is_some()), "{events:?}");
    let lost = done.trial().lost_connections.iter();
    let lost = lost.filter(|one| one.connection.starts_with("payment")).count();
    assert_eq!(lost, 4, "{:?}", done.trial().lost_connections);
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_live_through_faults_of_the_database_and_the_network_and_through_handlers_that_fail() {
    let done = run(&[
        "stage.payment.placement=process",
        "stage.payment.processes=2",
        "stage.payment.consumers=2",
        "stage.payment.store=sqlite",
        "stage.inventory.placement=process",
        "stage.shipping.placement=process",
        "stage.shipping.errors=20%",
        "retry.backoff=20ms",
        "retry.limit=8",
        "faults.1.what=database-slow",
        "faults.1.stage=payment",
        "faults.1.at=300ms",
        "faults.1.lasts=500ms",
        "faults.1.delay=60ms",
        "faults.2.what=network-stall",
        "faults.2.stage=inventory",
        "faults.2.at=900ms",
        "faults.2.lasts=300ms",
        "faults.3.what=network-reset",
        "faults.3.stage=inventory",
        "faults.3.at=1400ms",
    ])
    .await;
    assert_kept(&done);
    assert_eq!(done.promise("faults_struck").verdict, Verdict::Pass);
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
    let ms = |series: &str| done.latency(series).max_ns.expect("some") as f64 / 1e6;
    assert!(ms("payment.commit") >= 60.0, "a slow commit in a worker");
    assert!(
        ms("inventory.queue_wait") >= 150.0,
        "it waited for a network that stood still"
    );
    let lost = &done.trial().lost_connections;
    let of_inventory = lost.iter().filter(|one| one.connection.starts_with("inventory"));
    let back: Vec<bool> = of_inventory.map(|one| one.back_s.is_some()).collect();
    assert_eq!(back, [true, true], "a worker's pair was reset and is back: {lost:?}");
    assert!(
        lost.iter().all(|one| one.connection.starts_with("inventory")),
        "{lost:?}"
    );
    // A fifth of the attempts fails, and is tried again from the worker.
    let shipping = done.stage(Stage::Shipping);
    assert!(shipping.delivered > done.trial().orders.published, "{shipping:?}");
    assert!(done.series_max("retry_messages") > 0.0);
}
