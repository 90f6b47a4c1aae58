//! The rest: name and seed, what is promised, how a trial ends and how often it is repeated, and planted defects.

use orderstorm::events::Stage;
use orderstorm::ledger::{EXAMPLES_MAX, Verdict};
use orderstorm::workload::check::check;

use crate::load::{arrivals, gaps};
use crate::support::drive::{CLIENTS, run_alone, run_on};
use crate::support::stand::Stand;

const LOAD: [&str; 2] = ["load.orders=40", "load.rate=200/s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_is_in_the_record_and_in_the_folder() {
    let done = run_alone(&["load.orders=1", "name=black-friday.2"]).await;
    assert_eq!(done.record.name, "black-friday.2");
    assert!(done.record.id.starts_with("black-friday.2-2"), "{}", done.record.id);
    assert_eq!(
        done.folder.file_name().and_then(|name| name.to_str()),
        Some(done.record.id.as_str())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seed_alone_says_what_is_ordered_and_when() {
    let figures = async |seed: &str| {
        let seed = format!("seed={seed}");
        let settings = [
            &LOAD[..],
            &[&seed, "load.arrival=poisson", "orders.payment_decline=30%"],
        ]
        .concat();
        let ledger = run_alone(&settings).await.trial().ledger.clone();
        (ledger.captured_cents, ledger.stock.sold, ledger.fates)
    };
    let (first, again, other) = (figures("7").await, figures("7").await, figures("8").await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let gaps_of = async |seed: &str| {
        let settings = ["load.arrival=poisson", "load.orders=80", "load.rate=200/s", seed];
        gaps(&arrivals(&settings, 50).await)
    };
    let (first, again, other) = (
        gaps_of("seed=7").await,
        gaps_of("seed=7").await,
        gaps_of("seed=8").await,
    );
    let (mut same, mut different) = (0, 0);
    for (number, gap) in &first {
        if let Some(found) = again.get(number) {
            assert_eq!(found, gap, "the gap after order {number}");
            same += 1;
        }
        different += usize::from(other.get(number).is_some_and(|found| found != gap));
    }
    assert!(
        same >= 20 && different >= 20,
        "{same} gaps compared, {different} differ under another seed"
    );
}

#[test]
fn a_stated_promise_refuses_the_settings_that_cannot_give_it() {
    let refused = |settings: &[&str]| {
        let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        check("p.toml", "p", String::new(), &overrides)
            .err()
            .map(|error| error.to_string())
    };
    for (promise, breaking) in [
        ("promises.nothing_lost", "publish.confirms=false"),
        ("promises.nothing_lost", "publish.mandatory=false"),
        ("promises.nothing_lost", "publish.persistent=false"),
        ("promises.nothing_lost", "topology.durable=false"),
        ("promises.nothing_lost", "stage.email.ack=auto"),
        ("promises.nothing_twice", "stage.email.store=none"),
        ("promises.prefetch_respected", "stage.email.prefetch=unlimited"),
        ("promises.prefetch_respected", "stage.email.ack=auto"),
        ("promises.survives_broker_restart", "publish.confirms=false"),
        ("promises.survives_broker_restart", "publish.persistent=false"),
        ("promises.survives_broker_restart", "topology.durable=false"),
    ] {
        let (stated, unstated) = (format!("{promise}=true"), format!("{promise}=false"));
        assert_eq!(refused(&[&stated]), None, "{promise}");
        assert_eq!(refused(&[&unstated, breaking]), None, "{promise} {breaking}");
        let message = refused(&[&stated, breaking]).unwrap_or_else(|| panic!("{promise} stands with {breaking}"));
        assert!(
            message.contains(promise) && message.contains("cannot be given"),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_misses_its_deadline_leaves_the_verdict_unknown() {
    let settings = [&LOAD[..], &["stage.payment.service_time=40ms"]].concat();
    let patient = run_alone(&[&settings[..], &["drain.deadline=30s"]].concat()).await;
    let drain = &patient.trial().drain;
    assert!(
        drain.drained && drain.deadline_s == 30.0 && drain.time_s.is_some_and(|s| s > 0.5),
        "{drain:?}"
    );
    assert_eq!(patient.trial().verdict, Verdict::Pass);
    let hasty = run_alone(&[&settings[..], &["drain.deadline=200ms"]].concat()).await;
    let (trial, outcome) = (hasty.trial(), &hasty.record.outcome);
    assert_eq!(
        (trial.drain.drained, trial.drain.time_s, trial.drain.deadline_s),
        (false, None, 0.2)
    );
    assert_eq!(
        (trial.verdict, outcome.exit_code),
        (Verdict::Unknown, 5),
        "{}",
        outcome.reason
    );
    assert_eq!(trial.ledger.fates.lost, 0, "what is still on its way is not lost");
    assert_eq!(trial.ledger.fates.total(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_are_as_dense_as_asked_for() {
    for (interval, samples) in [("50ms", 14..=40), ("500ms", 2..=5)] {
        let setting = format!("sample.interval={interval}");
        let done = run_alone(&["load.rate=50/s", "load.duration=1s", &setting]).await;
        for series in ["driver_rss_bytes", "open_orders", "backlog_messages.payment.ready"] {
            let found = done.series(series).len();
            assert!(samples.contains(&(found + 1)), "{interval}: {found} rows of {series}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_are_trials_of_one_run_with_seeds_of_their_own() {
    let stand = Stand::start().await;
    let done = run_on(&stand, &[&LOAD[..], &["trial.repeats=3", "seed=100"]].concat()).await;
    let seeds: Vec<(u32, u64)> = done
        .record
        .trials
        .iter()
        .map(|trial| (trial.trial, trial.seed))
        .collect();
    assert_eq!(seeds, [(1, 100), (2, 101), (3, 102)]);
    assert!(
        done.record
            .trials
            .iter()
            .all(|trial| trial.ledger.fates.completed == 40)
    );
    let rows = csv::Reader::from_path(done.folder.join("summary.csv"))
        .expect("summary.csv")
        .records()
        .count();
    assert_eq!(rows, 3);
    if let Some(broker) = stand.embedded() {
        assert_eq!(broker.queue_depths(), [], "nothing is left of any trial");
    }
    assert_eq!(run_alone(&LOAD).await.record.trials.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cool_down_parts_one_trial_from_the_next() {
    let took = async |cool_down: &str| {
        let began = std::time::Instant::now();
        let settings = [&LOAD[..], &["trial.repeats=3", cool_down]].concat();
        let done = run_alone(&settings).await;
        assert_eq!(done.record.trials.len(), 3);
        let mut reasons = done.record.trials.iter().flat_map(|trial| &trial.validity.reasons);
        assert!(
            !reasons.any(|reason| reason.contains("not empty")),
            "the broker is empty between trials"
        );
        began.elapsed().as_secs_f64()
    };
    let (short, long) = (took("trial.cool_down=0s").await, took("trial.cool_down=3s").await);
    assert!(long > short + 4.0, "two pauses of 3 s: {short} s and {long} s");
    let message = check("c.toml", "c", String::new(), &["trial.cool_down=2s".to_owned()])
        .err()
        .map(|error| error.to_string());
    assert!(message.is_some_and(|message| message.contains("no effect with one trial")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_defect_breaks_the_promise_that_it_should() {
    let defects = [
        ("lose-delivery", "seed=1", "nothing_lost"),
        ("lose-event", "seed=1", "nothing_lost"),
        (
            "skip-relay",
            "stage.inventory.store=sqlite stage.inventory.publish=outbox",
            "nothing_lost",
        ),
        ("charge-twice", "seed=1", "charged_once"),
        ("oversell", "orders.stock_per_item=3", "stock_balances"),
        ("commit-twice", "seed=1", "stock_balances"),
        ("skip-audit", "seed=1", "all_audited"),
        ("skip-notification", "seed=1", "all_notified"),
        ("skip-ahead", "seed=1", "causes_first"),
        ("reject-sound", "seed=1", "dead_letters_explained"),
        (
            "drop-retry",
            "stage.payment.errors=100% retry.policy=none",
            "nothing_lost",
        ),
        (
            "retry-forever",
            "stage.payment.errors=100% retry.policy=requeue",
            "retry_limit_kept",
        ),
        (
            "retry-forever",
            "stage.payment.errors=100% retry.policy=republish",
            "retry_limit_kept",
        ),
    ];
    for ((defect, more, broken), client) in defects.into_iter().zip(CLIENTS.into_iter().cycle()) {
        let planted = format!("canary.defect={defect}");
        let more: Vec<&str> = more.split(' ').collect();
        let done = run_alone(&[&LOAD[..], &[&planted, "canary.every=2", client], &more].concat()).await;
        assert_eq!(done.broken(), [broken], "{defect}");
        let outcome = &done.record.outcome;
        assert_eq!((outcome.exit_code, outcome.verdict), (3, Verdict::Fail), "{defect}");
        assert!(outcome.reason.contains(broken), "{defect}: {}", outcome.reason);
        let promise = done.promise(broken);
        assert!(promise.breaches > 0, "{defect}: {promise:?}");
        for kind in &promise.examples {
            let trails = done.trial().ledger.examples[kind].len();
            assert!(
                (1..=EXAMPLES_MAX).contains(&trails),
                "{defect}: {trails} trails of {kind}"
            );
        }
        assert_eq!(
            promise.examples.is_empty(),
            matches!(defect, "commit-twice" | "reject-sound"),
            "{defect}: no trail to follow"
        );
        assert_eq!(done.trial().ledger.fates.total(), 40, "{defect}");
    }
    let clean = run_alone(&LOAD).await;
    assert_eq!((clean.broken(), clean.trial().verdict), (vec![], Verdict::Pass));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_strikes_each_nth_order() {
    for (every, struck) in [(5, 8), (20, 2)] {
        let setting = format!("canary.every={every}");
        let done = run_alone(&[&LOAD[..], &["canary.defect=charge-twice", &setting]].concat()).await;
        assert_eq!(done.trial().ledger.charged_again, struck);
        assert_eq!(done.stage(Stage::Payment).delivered, 40);
    }
}
