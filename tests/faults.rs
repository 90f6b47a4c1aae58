//! Safe runs under random faults: whatever the seed strikes, the ledger finds nothing to convict.
//!
//! `ORDERSTORM_SAFE_RUNS=500 cargo test --test faults` takes as many seeds.

mod common;
mod support;

#[path = "faults/broker.rs"]
mod broker;
#[path = "faults/cluster.rs"]
mod cluster;
#[path = "faults/heal.rs"]
mod heal;

use futures_util::{StreamExt, stream};
use orderstorm::ledger::Verdict;
use orderstorm::rng;
use support::drive::{CLIENTS, run_alone};

/// Safe runs at the same time: each waits more than it works, and none of what is asserted is about time.
const AT_ONCE: usize = 4;

/// Runs with different seeds.
fn runs() -> u64 {
    let asked = std::env::var("ORDERSTORM_SAFE_RUNS").ok();
    asked.map_or(50, |runs| runs.parse().expect("ORDERSTORM_SAFE_RUNS is a number"))
}

/// Settings of a safe pipeline, and a script that is drawn from `seed`: four faults at a random pace, of random kinds, at random
/// stages and points.
fn settings(seed: u64) -> Vec<String> {
    let mut draws = 0;
    let mut draw = |below: usize| {
        draws += 1;
        (rng::unit(seed, "safe runs", draws) * below as f64) as usize
    };
    let mut settings: Vec<String> = [
        "load.rate=120/s",
        "load.duration=1500ms",
        "orders.payment_decline=5%",
        "drain.deadline=60s",
        "sample.interval=50ms",
    ]
    .map(str::to_owned)
    .to_vec();
    settings.push(format!("seed={seed}"));
    settings.push(CLIENTS[(seed % 2) as usize].to_owned());
    let stages = ["order", "inventory", "payment", "shipping", "notification", "audit"];
    for stage in stages {
        let prefetch = [1, 5, 100][draw(3)];
        settings.push(format!("stage.{stage}.consumers={}", 1 + draw(3)));
        settings.push(format!("stage.{stage}.connection={}", ["shared", "own"][draw(2)]));
        settings.push(format!("stage.{stage}.prefetch={prefetch}"));
        if prefetch > 1 && draw(2) == 0 {
            settings.push(format!("stage.{stage}.ack_batch={}", prefetch.min(4)));
        }
    }
    // Every third run has a stage in worker processes, with a store that survives them.
    let mortal = seed.is_multiple_of(3).then(|| stages[draw(stages.len())]);
    if let Some(stage) = mortal {
        settings.push(format!("stage.{stage}.placement=process"));
        settings.push(format!("stage.{stage}.store=sqlite"));
        if stage != "audit" && draw(2) == 0 {
            settings.push(format!("stage.{stage}.publish=outbox"));
        }
        settings.push("orders.stock_per_item=100000".to_owned());
    }
    for fault in 1..=4 {
        let what = ["connection-drop", "channel-close", "consumer-cancel", "hang", "panic"][draw(5)];
        let stage = stages[draw(stages.len())];
        let (what, stage) = match mortal {
            Some(mortal) if fault <= 2 => (["sigkill", "sigstop"][draw(2)], mortal),
            _ => (what, stage),
        };
        let mut set = |key: &str, value: &str| settings.push(format!("faults.{fault}.{key}={value}"));
        set("what", what);
        set("stage", stage);
        set("random", "3/s");
        set("share", "50%");
        match what {
            "hang" | "sigstop" => set("lasts", "100ms"),
            _ => set("restart_after", ["0s", "50ms"][draw(2)]),
        }
        let points = [
            "before-effect",
            "confirm-to-ack",
            "effect-to-publish",
            "publish-to-confirm",
        ];
        // With an outbox nobody publishes in the handler.
        let publishes = stage != "audit" && mortal != Some(stage);
        let points = if publishes { &points[..] } else { &points[..2] };
        if !matches!(what, "hang" | "consumer-cancel" | "sigstop") && draw(2) == 0 {
            set("point", points[draw(points.len())]);
        }
    }
    settings
}

/// One safe run; how often a fault struck.
async fn convicts_nobody(seed: u64) -> u64 {
    let settings = settings(seed);
    let done = run_alone(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let trial = done.trial();
    assert_eq!(trial.aborted, None, "seed {seed}: {settings:#?}");
    assert_eq!(
        done.broken(),
        Vec::<&str>::new(),
        "seed {seed}: {settings:#?}: {:#?}",
        trial.promises
    );
    let (drain, stages) = (&trial.drain, &trial.stages);
    assert!(drain.drained, "seed {seed}: {settings:#?}: {drain:#?} {stages:#?}");
    assert_eq!(done.promise("nothing_lost").verdict, Verdict::Pass, "seed {seed}");
    assert_eq!(trial.ledger.fates.total(), trial.orders.published, "seed {seed}");
    trial.fault_events.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn safe_runs_under_random_faults_convict_nobody() {
    let events: Vec<u64> = stream::iter(1..=runs())
        .map(convicts_nobody)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let events: u64 = events.iter().sum();
    assert!(events >= 3 * runs(), "{events} events in {} runs", runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_forgets_what_it_did_is_convicted_when_a_fault_brings_it_back() {
    let done = run_alone(&[
        "load.rate=100/s",
        "load.duration=1500ms",
        "stage.payment.prefetch=1",
        // An order that is closed by the time of its redelivery would be recognised by that.
        "stage.customer.service_time=300ms",
        "stage.customer.concurrency=100",
        "faults.1.what=connection-drop",
        "faults.1.stage=payment",
        "faults.1.every=400ms",
        "faults.1.point=confirm-to-ack",
        "canary.defect=forget-effect",
        "canary.every=1",
    ])
    .await;
    assert_eq!(done.broken(), ["nothing_twice", "charged_once"]);
    let events = done.trial().fault_events.iter();
    let in_effect: u64 = events.map(|event| event.duplicates_in_effect).sum();
    assert!(in_effect >= 1, "{:?}", done.trial().fault_events);
    assert_eq!(done.record.outcome.exit_code, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_dies_with_its_process_is_found_out() {
    let killed = async |stage: &str, more: &[&str]| {
        let [placement, struck] = [
            format!("stage.{stage}.placement=process"),
            format!("faults.1.stage={stage}"),
        ];
        let common = [
            "load.rate=100/s",
            "load.duration=1500ms",
            "drain.deadline=20s",
            "faults.1.what=sigkill",
            "faults.1.every=400ms",
            "faults.1.times=3",
            &placement,
            &struck,
        ];
        run_alone(&[&common[..], more].concat()).await
    };
    let (payment, inventory) = tokio::join!(
        killed(
            "payment",
            &["faults.1.point=confirm-to-ack", "stage.payment.prefetch=1"]
        ),
        killed("inventory", &["orders.stock_per_item=30", "orders.items=1"]),
    );
    let repeated = payment.promise("nothing_twice");
    assert_eq!(
        (repeated.verdict, repeated.breaches),
        (Verdict::Fail, 3),
        "{repeated:?}"
    );
    assert_eq!(payment.promise("charged_once").breaches, 3);
    let because = repeated.not_given_because.as_deref().expect("not promised");
    assert!(
        because.contains("stage.payment.store") && because.contains("worker processes"),
        "{because}"
    );
    let stock = inventory.promise("stock_balances");
    assert!(inventory.trial().ledger.stock.orders_oversold > 0, "{stock:?}");
    assert_eq!(stock.verdict, Verdict::Fail);
    assert!(stock.not_given_because.is_some(), "{stock:?}");
    for done in [payment, inventory] {
        assert_eq!(done.broken(), Vec::<&str>::new(), "{:#?}", done.trial().promises);
        assert_eq!(done.trial().ledger.fates.lost, 0);
    }
}
