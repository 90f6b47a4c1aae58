//! `stage.*.*`: the consumers. Payment stands for all stages; the settings of each come from the same table.

use orderstorm::events::{Event, Stage};
use orderstorm::ledger::Verdict;

use crate::support::drive::{Done, run_alone, start};
use crate::support::spy::Spy;
use crate::support::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_has_as_many_consumers_as_asked_for() {
    let stand = Stand::start().await;
    let settings = [
        "load.orders=30",
        "load.rate=100/s",
        "stage.payment.consumers=4",
        "stage.audit.consumers=2",
    ];
    let running = start(&stand, &settings);
    let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
    spy.trial_is_up(&prefix).await;
    let consumers = async |stage: &str| {
        spy.queue(&format!("{prefix}.{stage}.queue"))
            .await
            .map(|seen| seen.consumers)
    };
    assert_eq!(consumers("payment").await, Some(4));
    assert_eq!(consumers("shipping").await, Some(1));
    let done = running.done().await;
    assert_eq!(
        (done.stage(Stage::Payment).consumers, done.stage(Stage::Audit).consumers),
        (4, 2)
    );
    assert_eq!(done.trial().verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_prefetch_bounds_what_a_stage_holds() {
    for (prefetch, held) in [("2", 1..=2), ("30", 10..=30), ("unlimited", 35..=60)] {
        let setting = format!("stage.payment.prefetch={prefetch}");
        let work = "stage.payment.service_time=15ms";
        let done = run_alone(&[
            "load.orders=60",
            "load.rate=500/s",
            work,
            &setting,
            "sample.interval=50ms",
        ])
        .await;
        let unacked = done.series_max("backlog_messages.payment.unacked") as u64;
        assert!(held.contains(&unacked), "prefetch {prefetch}: {unacked} held");
        let promise = done.promise("prefetch_respected");
        assert_eq!((promise.verdict, promise.breaches), (Verdict::Pass, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_at_once_clear_what_one_after_another_cannot() {
    let drain = async |concurrency: u32| {
        let setting = format!("stage.payment.concurrency={concurrency}");
        let work = "stage.payment.service_time=50ms";
        let done = run_alone(&["load.orders=20", "load.rate=200/s", work, &setting]).await;
        done.trial().drain.time_s.expect("it drains")
    };
    let (one, twenty) = (drain(1).await, drain(20).await);
    assert!(one >= 0.85, "20 orders of 50 ms, one after another, drained in {one} s");
    assert!(twenty <= 0.5, "20 orders of 50 ms at once drained in {twenty} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_time_has_the_distribution_that_was_asked_for() {
    let done = run_alone(&[
        "load.orders=200",
        "load.rate=200/s",
        "stage.payment.service_time=5ms",
        "stage.payment.concurrency=50",
        "stage.shipping.service_time={ uniform = [\"4ms\", \"24ms\"] }",
        "stage.shipping.concurrency=50",
        "stage.customer.service_time={ exponential = \"10ms\" }",
        "stage.customer.concurrency=50",
        "stage.email.service_time={ lognormal = { median = \"5ms\", p99 = \"50ms\" } }",
        "stage.email.concurrency=50",
    ])
    .await;
    let at = |stage: Stage, quantile: f64| {
        let summary = done.latency(&format!("{stage}.service_time"));
        let point = summary.spectrum.iter().find(|(q, _)| *q == quantile);
        point
            .map(|(_, ns)| *ns as f64 / 1e6)
            .unwrap_or_else(|| panic!("{stage} at {quantile}"))
    };
    for (stage, quantile, ms) in [
        (Stage::Audit, 0.5, 0.0..1.0),
        (Stage::Payment, 0.0, 5.0..6.0),
        (Stage::Payment, 0.5, 5.0..7.0),
        (Stage::Payment, 0.9, 5.0..12.0),
        (Stage::Shipping, 0.0, 4.0..7.0),
        (Stage::Shipping, 0.5, 11.5..17.5),
        (Stage::Shipping, 0.9, 19.0..28.0),
        (Stage::Customer, 0.1, 0.0..3.0),
        (Stage::Customer, 0.5, 4.5..10.0),
        (Stage::Customer, 0.9, 16.0..36.0),
        (Stage::Email, 0.1, 0.5..3.0),
        (Stage::Email, 0.5, 4.0..6.5),
        (Stage::Email, 0.99, 30.0..120.0),
    ] {
        let found = at(stage, quantile);
        assert!(
            ms.contains(&found),
            "{stage} at {quantile}: {found} ms, expected {ms:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_with_automatic_acks_sends_none_and_promises_less() {
    let acks = |done: &Done| done.trial().messages.delivered - done.trial().messages.acks;
    let manual = run_alone(&["load.orders=20", "load.rate=200/s"]).await;
    assert_eq!(acks(&manual), 0, "one for each delivery");
    assert_eq!(manual.promise("nothing_lost").not_given_because, None);
    let auto = run_alone(&["load.orders=20", "load.rate=200/s", "stage.payment.ack=auto"]).await;
    assert_eq!(acks(&auto), auto.stage(Stage::Payment).delivered);
    let because = auto.promise("nothing_lost").not_given_because.as_ref();
    assert!(
        because.is_some_and(|why| why.contains("stage.payment.ack")),
        "{because:?}"
    );
    assert_eq!(
        (auto.trial().ledger.fates.completed, auto.trial().verdict),
        (20, Verdict::Pass)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_takes_fewer_acknowledgements() {
    let done = run_alone(&["load.orders=60", "load.rate=200/s", "stage.audit.ack_batch=20"]).await;
    let (messages, audit) = (&done.trial().messages, done.stage(Stage::Audit).delivered);
    let acks_of_audit = messages.acks - (messages.delivered - audit);
    assert!(
        acks_of_audit >= audit / 20,
        "{acks_of_audit} acknowledgements cover {audit} deliveries"
    );
    assert!(
        acks_of_audit <= audit / 3,
        "{acks_of_audit} acknowledgements cover {audit} deliveries"
    );
    assert_eq!(done.trial().verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_batch_waits_for_its_flush() {
    let drain = async |flush: &str| {
        let setting = format!("stage.audit.ack_flush={flush}");
        let done = run_alone(&["load.orders=2", "load.rate=200/s", "stage.audit.ack_batch=50", &setting]).await;
        done.trial().drain.time_s.expect("it drains")
    };
    let (short, long) = (drain("5ms").await, drain("1500ms").await);
    assert!(short < 0.5 && (1.3..2.5).contains(&long), "{short} s, {long} s");
}

/// A run in which one payment message comes a second time, after its order was completed.
async fn with_a_repetition(store: &str) -> Done {
    let stand = Stand::start().await;
    let setting = format!("stage.payment.store={store}");
    let running = start(&stand, &["load.orders=100", "load.rate=100/s", &setting]);
    let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
    let mut copies = spy.copies(&prefix, "#").await;
    let (reserved, completed) = (Event::InventoryReserved.name(), Event::OrderCompleted.name());
    let copy = copies.first(|copy| copy.routing_key.as_str() == reserved).await;
    let order = copy.properties.correlation_id().clone();
    copies
        .first(|other| other.routing_key.as_str() == completed && *other.properties.correlation_id() == order)
        .await;
    spy.put(&format!("{prefix}.payment.queue"), &copy.data, copy.properties)
        .await;
    running.done().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_twice_is_suppressed_or_repeats_its_effect() {
    for store in ["memory", "sqlite"] {
        let careful = with_a_repetition(store).await;
        assert_eq!(careful.stage(Stage::Payment).suppressed, 1, "{store}");
        assert_eq!(
            (
                careful.trial().ledger.duplicate_effect,
                careful.trial().ledger.charged_again
            ),
            (0, 0),
            "{store}"
        );
        assert_eq!(careful.trial().verdict, Verdict::Pass, "{store}");
    }
    let forgetful = with_a_repetition("none").await;
    let ledger = &forgetful.trial().ledger;
    assert_eq!(forgetful.stage(Stage::Payment).suppressed, 0);
    assert_eq!((ledger.duplicate_effect, ledger.charged_again), (1, 1));
    assert_eq!(ledger.examples["charged_again"].len(), 1);
    for name in ["nothing_twice", "charged_once"] {
        let promise = forgetful.promise(name);
        let because = promise.not_given_because.as_ref();
        assert!(
            because.is_some_and(|why| why.contains("stage.payment.store")),
            "{promise:?}"
        );
        assert_eq!((promise.verdict, promise.breaches), (Verdict::Fail, 1));
    }
    assert_eq!(
        forgetful.trial().verdict,
        Verdict::Pass,
        "what is not promised breaks nothing"
    );
}
