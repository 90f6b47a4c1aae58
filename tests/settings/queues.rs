//! `stage.*.max_length` and the other settings of queues, `publish.ttl`, urgent orders, alternate exchange, alarms.

use futures_util::future::join_all;
use lapin::types::{AMQPValue, FieldTable};
use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;
use orderstorm::results::record::TrialRecord;

use crate::support::drive::{CLIENTS, Done, run_alone, run_embedded, start};
use crate::support::spy::Spy;
use crate::support::stand::Stand;

/// Orders that come faster than payment works.
const SLOW_PAYMENT: [&str; 4] = [
    "load.orders=60",
    "load.rate=400/s",
    "stage.payment.service_time=15ms",
    "stage.payment.prefetch=1",
];

async fn slow_payment(settings: &[&str]) -> Done {
    let all: Vec<&str> = SLOW_PAYMENT.iter().chain(settings).copied().collect();
    run_alone(&all).await
}

/// Dead letters of a stage's queue that died for `reason`.
fn dead(trial: &TrialRecord, stage: Stage, reason: &str) -> u64 {
    let letters =
        trial.ledger.dead_letters.iter().filter(|(queue, why, _)| {
            queue.ends_with(&format!("{stage}.dead-letter")) && why.as_deref() == Some(reason)
        });
    letters.map(|(_, _, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_or_refuses_by_its_overflow_mode() {
    let unlimited = slow_payment(&[]).await;
    assert_eq!(unlimited.trial().ledger.fates.completed, 60);
    let backlog = unlimited.stage(Stage::Payment).backlog_messages_max.expect("samples");
    assert!(backlog > 20, "{backlog}");

    let limit = "stage.payment.max_length=5";
    let dropped = slow_payment(&[limit, "sample.interval=50ms"]).await;
    let (trial, fates) = (dropped.trial(), &dropped.trial().ledger.fates);
    assert_eq!(fates.completed + fates.dead_lettered, 60, "{fates:?}");
    assert!(fates.dead_lettered >= 20, "{fates:?}");
    assert_eq!(dead(trial, Stage::Payment, "maxlen"), fates.dead_lettered);
    let backlog = dropped.stage(Stage::Payment).backlog_messages_max.expect("samples");
    assert!(backlog <= 6, "5 ready and 1 unacked, found {backlog}");
    assert_eq!((trial.messages.nacked, trial.verdict), (0, Verdict::Pass));

    let refused = slow_payment(&[limit, "stage.payment.overflow=reject-publish", CLIENTS[1]]).await;
    let (trial, fates) = (refused.trial(), &refused.trial().ledger.fates);
    assert_eq!((fates.completed, trial.ledger.dead_letters.len()), (60, 0), "{fates:?}");
    assert!(refused.stage(Stage::Inventory).refused > 0);
    assert_eq!(trial.messages.nacked, refused.stage(Stage::Inventory).refused);
    assert_eq!(trial.verdict, Verdict::Pass);

    let both = slow_payment(&[limit, "stage.payment.overflow=reject-publish-dlx"]).await;
    let trial = both.trial();
    assert_eq!(trial.ledger.fates.completed, 60, "{:?}", trial.ledger.fates);
    assert_eq!(
        dead(trial, Stage::Payment, "maxlen"),
        both.stage(Stage::Inventory).refused,
        "each refused message is a dead letter"
    );
    assert!(both.stage(Stage::Inventory).refused > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_its_queue_refuses_is_refused_and_not_lost() {
    join_all(CLIENTS.map(an_order_that_its_queue_refuses)).await;
}

async fn an_order_that_its_queue_refuses(client: &str) {
    let done = run_alone(&[
        client,
        "pipeline=work-queue",
        "load.orders=60",
        "load.rate=400/s",
        "stage.worker.service_time=15ms",
        "stage.worker.prefetch=1",
        "stage.worker.max_length=5",
        "stage.worker.overflow=reject-publish",
    ])
    .await;
    let fates = &done.trial().ledger.fates;
    assert_eq!((fates.completed + fates.nacked, fates.lost), (60, 0), "{fates:?}");
    assert!(fates.nacked >= 20, "{fates:?}");
    assert_eq!(done.trial().verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_in_bytes_counts_bodies() {
    let body = "orders.body_size=1KiB";
    for (limit, dies) in [
        ("stage.payment.max_length_bytes=5KiB", true),
        ("stage.payment.max_length_bytes=1MiB", false),
    ] {
        let done = slow_payment(&[body, limit]).await;
        let dead = dead(done.trial(), Stage::Payment, "maxlen");
        assert_eq!(dead > 0, dies, "{limit}: {dead}");
        assert_eq!(done.trial().verdict, Verdict::Pass);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_drops_is_not_lost_and_what_is_lost_besides_is_found() {
    let settings = |canary: &'static [&'static str]| {
        let limits = ["topology.dead_letter=false", "stage.payment.max_length=5"];
        SLOW_PAYMENT
            .into_iter()
            .chain(limits)
            .chain(canary.iter().copied())
            .collect::<Vec<_>>()
    };
    let honest = run_embedded(&settings(&[])).await;
    let ledger = &honest.trial().ledger;
    assert!(ledger.fates.dropped >= 20, "{:?}", ledger.fates);
    assert_eq!(
        (ledger.fates.lost, ledger.fates.completed + ledger.fates.dropped),
        (0, 60)
    );
    assert_eq!(honest.stage(Stage::Payment).dropped, ledger.fates.dropped);
    assert_eq!(honest.stage(Stage::Payment).dropped_as.as_deref(), Some("maxlen"));
    assert_eq!(
        ledger.dropped_by_broker,
        Some(ledger.fates.dropped),
        "the broker counts the same"
    );
    let lost = honest.promise("nothing_lost");
    assert!(
        lost.not_given_because
            .as_ref()
            .is_some_and(|why| why.contains("topology.dead_letter")),
        "{lost:?}"
    );
    assert_eq!((lost.verdict, lost.breaches), (Verdict::Fail, ledger.fates.dropped));
    assert_eq!(honest.promise("losses_explained").verdict, Verdict::Pass);
    assert_eq!(honest.record.outcome.exit_code, 0, "{:?}", honest.record.outcome);

    let faulty = run_embedded(&settings(&["canary.defect=lose-delivery", "canary.every=4"])).await;
    let fates = &faulty.trial().ledger.fates;
    assert!(fates.dropped > 0 && fates.lost > 0, "{fates:?}");
    assert_eq!(fates.completed + fates.dropped + fates.lost, 60);
    assert_eq!(faulty.broken(), ["losses_explained"]);
    assert_eq!(faulty.promise("losses_explained").breaches, fates.lost);
    assert_eq!(faulty.record.outcome.exit_code, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_longer_than_the_queue_s_time_to_live_expires() {
    for (settings, found) in [
        (&["stage.payment.message_ttl=100ms"][..], true),
        (&["publish.ttl=100ms"], true),
        (&["stage.payment.message_ttl=20s", "publish.ttl=30s"], false),
    ] {
        let done = slow_payment(settings).await;
        let (trial, fates) = (done.trial(), &done.trial().ledger.fates);
        let expired = dead(trial, Stage::Payment, "expired");
        assert_eq!(expired >= 10, found, "{settings:?}: {expired}");
        assert_eq!(fates.completed + fates.dead_lettered, 60, "{settings:?}: {fates:?}");
        assert_eq!(done.promise("ttl_respected").verdict, Verdict::Pass, "{settings:?}");
        assert_eq!(trial.verdict, Verdict::Pass, "{settings:?}");
    }
    let gone = slow_payment(&["stage.payment.message_ttl=100ms", "topology.dead_letter=false"]).await;
    let fates = &gone.trial().ledger.fates;
    assert!(fates.dropped >= 10 && fates.lost == 0, "{fates:?}");
    assert_eq!(gone.stage(Stage::Payment).dropped_as.as_deref(), Some("expired"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_priority_queue_lets_urgent_orders_overtake() {
    let ratio = async |priority: &[&str]| {
        let load = [
            "load.orders=150",
            "load.rate=800/s",
            "orders.urgent=20%",
            "stage.payment.service_time=8ms",
            "stage.payment.prefetch=1",
        ];
        let settings: Vec<&str> = load.iter().chain(priority).copied().collect();
        let done = run_alone(&settings).await;
        let (urgent, normal) = (done.latency("end_to_end_urgent"), done.latency("end_to_end_normal"));
        assert_eq!(urgent.count + normal.count, 150);
        assert!((15..=50).contains(&urgent.count), "{}", urgent.count);
        urgent.mean_ns.expect("orders") / normal.mean_ns.expect("orders")
    };
    let (plain, priority) = (ratio(&[]).await, ratio(&["stage.payment.max_priority=5"]).await);
    assert!(
        plain > 0.6,
        "without a priority queue urgent orders wait like the others: {plain}"
    );
    assert!(priority < 0.5, "with one they overtake: {priority}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_urgent_orders_bear_their_priority() {
    for (settings, priority) in [
        (&["orders.urgent=100%", "orders.urgent_priority=7"][..], Some(7)),
        (&["orders.urgent=100%"], Some(1)),
        (&[], None),
    ] {
        let stand = Stand::start().await;
        let all: Vec<&str> = ["load.orders=20", "load.rate=100/s"]
            .iter()
            .chain(settings)
            .copied()
            .collect();
        let running = start(&stand, &all);
        let spy = Spy::connect(stand.uri()).await;
        let mut copies = spy.copies(&running.prefix().await, "#").await;
        for copy in copies.take(40).await {
            assert_eq!(*copy.properties.priority(), priority);
        }
        let done = running.done().await;
        let series = |name: &str| done.trial().latencies.iter().any(|summary| summary.series == name);
        assert_eq!(series("end_to_end_urgent"), priority.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_active_consumer_leaves_the_others_idle() {
    for (single, held) in [(true, 1..=1), (false, 2..=3)] {
        let setting = format!("stage.payment.single_active_consumer={single}");
        let done = slow_payment(&["stage.payment.consumers=3", "sample.interval=50ms", &setting]).await;
        let unacked = done.series_max("backlog_messages.payment.unacked") as u64;
        assert!(
            held.contains(&unacked),
            "{single}: {unacked} held by three consumers of prefetch 1"
        );
        assert_eq!(done.trial().verdict, Verdict::Pass);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_queue_gives_up_what_comes_back_too_often() {
    // Payment refuses what inventory publishes, so inventory gives its own deliveries back, again and again.
    let settings = |inventory: &'static [&'static str]| {
        let limit = ["stage.payment.max_length=1", "stage.payment.overflow=reject-publish"];
        inventory.iter().copied().chain(limit).collect::<Vec<_>>()
    };
    let quorum = settings(&["stage.inventory.queue_type=quorum", "stage.inventory.delivery_limit=2"]);
    let done = slow_payment(&quorum).await;
    let given_up = dead(done.trial(), Stage::Inventory, "delivery_limit");
    assert!(given_up > 0, "{:?}", done.trial().ledger.dead_letters);
    assert_eq!(done.trial().verdict, Verdict::Pass);
    let classic = slow_payment(&settings(&[])).await;
    assert_eq!(classic.trial().ledger.dead_letters, []);
    assert_eq!(classic.trial().ledger.fates.completed, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_has_the_type_that_was_asked_for() {
    for kind in ["classic", "quorum"] {
        let stand = Stand::start().await;
        let setting = format!("stage.payment.queue_type={kind}");
        let running = start(
            &stand,
            &[
                "load.orders=30",
                "load.rate=100/s",
                "topology.dead_letter=false",
                &setting,
            ],
        );
        let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
        spy.trial_is_up(&prefix).await;
        for asked in ["classic", "quorum"] {
            let mut arguments = FieldTable::default();
            arguments.insert("x-expires".into(), AMQPValue::LongInt(3_600_000));
            arguments.insert("x-queue-type".into(), AMQPValue::LongString(asked.into()));
            let same = spy.queue_is(&format!("{prefix}.payment.queue"), arguments).await;
            assert_eq!(same, asked == kind, "{asked} for {kind}");
        }
        assert_eq!(running.done().await.trial().ledger.fates.completed, 30);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_routed_goes_to_the_alternate_exchange() {
    let stand = Stand::start().await;
    let settings = ["load.orders=160", "load.rate=40/s", "topology.alternate_exchange=true"];
    let running = start(&stand, &settings);
    let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
    spy.trial_is_up(&prefix).await;
    spy.cut_off_new_orders(&prefix).await;
    let done = running.done().await;
    let ledger = &done.trial().ledger;
    assert!(ledger.fates.unrouted >= 20, "{:?}", ledger.fates);
    assert_eq!((ledger.fates.returned, ledger.fates.lost), (0, 0), "{:?}", ledger.fates);
    assert_eq!(ledger.confirmed, 160, "an alternate exchange is a route");
    assert_eq!(done.promise("nothing_lost").verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_blocks_publishers_while_consumers_go_on() {
    join_all(CLIENTS.map(a_memory_alarm_blocks_publishers)).await;
}

async fn a_memory_alarm_blocks_publishers(client: &str) {
    let done = run_embedded(&[
        client,
        "load.duration=4s",
        "load.rate=60/s",
        "stage.sms.service_time=8ms",
        "stage.sms.prefetch=5",
        "sample.interval=50ms",
        "fault.memory_alarm.at=2s",
        "fault.memory_alarm.lasts=1s",
    ])
    .await;
    let trial = done.trial();
    let [alarm] = trial.faults.as_slice() else {
        panic!("one fault: {:?}", trial.faults)
    };
    assert_eq!(alarm.name, "memory alarm");
    assert!(
        (1.9..2.6).contains(&alarm.start_s) && (0.9..1.6).contains(&(alarm.end_s - alarm.start_s)),
        "{alarm:?}"
    );
    assert!((0.8..1.8).contains(&trial.blocked_s), "{}", trial.blocked_s);
    let load = trial
        .blocked_connections
        .iter()
        .find(|one| one.connection.starts_with("load"));
    assert!(
        load.is_some_and(|load| load.times == 1 && load.reason.contains("memory")),
        "{load:?}"
    );
    assert!(
        trial
            .blocked_connections
            .iter()
            .all(|one| !one.connection.contains("consumers"))
    );
    let ready = done.series("backlog_messages.sms.ready");
    let within = |from: f64, to: f64| {
        let values: Vec<f64> = ready
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .map(|(_, n)| *n)
            .collect();
        (values[0], values[values.len() - 1])
    };
    let (before, after) = within(alarm.start_s, alarm.end_s);
    assert!(
        before >= after + 30.0,
        "consumers went on: {before} ready, then {after}"
    );
    let sent = done.series("achieved_rate_per_s").into_iter().map(|(_, rate)| rate);
    assert!(sent.fold(f64::MAX, f64::min) < 45.0, "the load was held back");
    assert_eq!(
        (trial.ledger.fates.completed, trial.verdict),
        (trial.orders.published, Verdict::Pass)
    );
    let held = trial
        .resources
        .broker_message_bytes_max
        .expect("the embedded broker tells");
    assert!(held > 10_000, "{held}");
    assert_eq!(done.series_max("broker_message_bytes") as u64, held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_the_oldest_message_is_followed() {
    let done = slow_payment(&["sample.interval=50ms"]).await;
    let ages = done.series("delivery_age_ns_max.payment");
    let oldest = ages.iter().map(|(_, age)| *age).fold(0.0, f64::max);
    let age = done.stage(Stage::Payment).delivery_age_ns_max.expect("deliveries");
    assert!(oldest >= 300e6, "60 orders of 15 ms: {oldest} ns");
    // The last interval may end with the trial, after its last row.
    assert!(age >= oldest as u64, "{age} {oldest}");
    assert!(done.stage(Stage::Audit).delivery_age_ns_max.expect("deliveries") < age);
}
