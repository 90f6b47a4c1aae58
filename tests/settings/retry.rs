//! `stage.*.errors` and its fellows, and `[retry]`: what a failed handler costs, by each policy.

use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;

use crate::support::drive::{Done, manifest_in, run_alone};

const JOBS: [&str; 4] = [
    "pipeline=work-queue",
    "load.orders=60",
    "load.rate=300/s",
    "drain.deadline=20s",
];

async fn jobs(settings: &[&str]) -> Done {
    run_alone(&[&JOBS[..], settings].concat()).await
}

/// Dead letters that died for `reason`.
fn dead(done: &Done, reason: &str) -> u64 {
    let letters = done.trial().ledger.dead_letters.iter();
    let of_reason = letters.filter(|(_, why, _)| why.as_deref() == Some(reason));
    of_reason.map(|(_, _, count)| count).sum()
}

/// Nothing was lost, and everything is accounted for.
fn assert_sound(done: &Done) {
    assert_eq!(done.broken(), Vec::<&str>::new(), "{:#?}", done.trial().promises);
    assert_eq!(done.trial().verdict, Verdict::Pass);
    let fates = &done.trial().ledger.fates;
    assert_eq!((fates.lost, fates.still_queued), (0, 0), "{fates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_tries_the_same_messages_again_and_gives_up_the_same() {
    let mut fates = Vec::new();
    for policy in ["requeue", "republish", "backoff", "none"] {
        let policy_setting = format!("retry.policy={policy}");
        let mut settings = vec![
            "load.orders=60",
            "load.rate=200/s",
            "drain.deadline=20s",
            "stage.payment.errors=50%",
            "stage.audit.errors=20%",
            &policy_setting,
        ];
        if policy == "backoff" {
            settings.extend(["retry.backoff=20ms", "retry.backoff_max=40ms"]);
        }
        let done = run_alone(&settings).await;
        assert_sound(&done);
        let retry = done.stage(Stage::Payment).retry.clone().expect("it may fail");
        assert_eq!(dead(&done, "retry_limit"), {
            let stages = done.trial().stages.iter().filter_map(|stage| stage.retry.as_ref());
            stages.map(|retry| retry.given_up).sum::<u64>()
        });
        let ledger = &done.trial().ledger;
        assert_eq!(ledger.fates.dead_lettered, retry.given_up, "{policy}");
        assert_eq!(retry.transient_errors, retry.retries + retry.given_up, "{policy}");
        let redelivered = done.stage(Stage::Payment).redelivered;
        assert_eq!(
            redelivered,
            if policy == "requeue" { retry.retries } else { 0 },
            "{policy}"
        );
        if policy == "none" {
            assert_eq!(retry.retries, 0);
            assert!((20..=40).contains(&retry.given_up), "half of 60: {}", retry.given_up);
        } else {
            assert!(
                (1..=10).contains(&retry.given_up),
                "a sixteenth of 60: {}",
                retry.given_up
            );
            fates.push((retry.retries, retry.given_up));
        }
    }
    assert!(
        fates.iter().all(|fate| *fate == fates[0]),
        "which attempts fail is the seed's to say: {fates:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_says_how_often_a_message_is_tried_again() {
    for limit in [1, 4] {
        let limit_setting = format!("retry.limit={limit}");
        let done = jobs(&["stage.worker.errors=100%", "retry.policy=republish", &limit_setting]).await;
        assert_sound(&done);
        assert_eq!(done.stage(Stage::Worker).delivered, 60 * (limit + 1));
        assert_eq!(done.trial().ledger.fates.dead_lettered, 60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_grow_by_their_multiplier_up_to_the_longest_and_jitter_spreads_them() {
    let pauses = async |settings: &[&str]| {
        let all = [
            &["load.orders=10", "stage.worker.errors=100%", "sample.interval=50ms"],
            settings,
        ];
        let done = jobs(&all.concat()).await;
        assert_sound(&done);
        assert_eq!(done.trial().ledger.fates.dead_lettered, 10);
        assert!(done.series_max("retry_messages") > 0.0);
        let manifest = manifest_in(done.folder.parent().expect("results")).expect("a manifest");
        let queues = manifest.trials[0].queues.iter();
        let mut retry: Vec<String> = queues
            .filter_map(|queue| queue.rsplit_once(".retry.").map(|(_, time)| time.to_owned()))
            .collect();
        retry.sort();
        (retry, done.trial().drain.time_s.expect("drained"))
    };
    let (queues, longer) = pauses(&["retry.jitter=0%", "retry.backoff=100ms", "retry.multiplier=4"]).await;
    assert_eq!(queues, ["100ms", "1600ms", "400ms"]);
    let (queues, bounded) = pauses(&["retry.jitter=0%", "retry.multiplier=4", "retry.backoff_max=150ms"]).await;
    assert_eq!(queues, ["100ms", "150ms"]);
    assert!(
        longer > 2.0 && (0.35..1.9).contains(&bounded),
        "2.1 s and 0.4 s of pauses took {longer} s and {bounded} s"
    );
    let (queues, _) = pauses(&["retry.limit=1", "retry.backoff=200ms", "retry.jitter=50%"]).await;
    assert_eq!(queues, ["100ms", "150ms", "200ms", "250ms", "300ms"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_error_is_never_tried_again() {
    let done = jobs(&["stage.worker.permanent_errors=20%"]).await;
    assert_sound(&done);
    let retry = done.stage(Stage::Worker).retry.clone().expect("it may fail");
    assert!((5..=20).contains(&retry.given_up), "a fifth of 60: {}", retry.given_up);
    assert_eq!((retry.retries, retry.permanent_errors), (0, retry.given_up));
    assert_eq!(dead(&done, "permanent_error"), retry.given_up);
    assert_eq!(done.stage(Stage::Worker).delivered, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_fail_in_their_stretch_of_the_load_only() {
    let failed = async |settings: &[&str]| {
        let load = [
            "load.orders=100",
            "load.rate=100/s",
            "retry.policy=none",
            "stage.worker.errors=100%",
        ];
        let done = jobs(&[&load[..], settings].concat()).await;
        assert_sound(&done);
        done.trial().ledger.fates.dead_lettered
    };
    let from = failed(&["stage.worker.errors_at=700ms"]).await;
    assert!((15..=40).contains(&from), "the last 0.3 s: {from}");
    let within = failed(&["stage.worker.errors_at=200ms", "stage.worker.errors_last=200ms"]).await;
    assert!((10..=30).contains(&within), "0.2 s: {within}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_quorum_queue_the_broker_counts_what_is_requeued() {
    let quorum = [
        "stage.worker.queue_type=quorum",
        "retry.policy=requeue",
        "retry.limit=2",
    ];
    let done = jobs(&[&quorum[..], &["stage.worker.errors=50%"]].concat()).await;
    assert_sound(&done);
    let given_up = dead(&done, "delivery_limit");
    assert!((2..=16).contains(&given_up), "an eighth of 60: {given_up}");
    assert_eq!(done.trial().ledger.fates.dead_lettered, given_up);
    assert_eq!(done.promise("retry_limit_kept").verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_beyond_the_delivery_limit_loses_orders_without_a_dead_letter_queue_and_the_ledger_finds_them() {
    for dead_letter in [false, true] {
        let setting = format!("topology.dead_letter={dead_letter}");
        let done = jobs(&[
            "load.orders=100",
            "stage.worker.queue_type=quorum",
            "stage.worker.delivery_limit=1",
            "stage.worker.service_time=8ms",
            "stage.worker.connection=own",
            "faults.1.what=connection-drop",
            "faults.1.stage=worker",
            "faults.1.every=60ms",
            &setting,
        ])
        .await;
        let fates = &done.trial().ledger.fates;
        let gone = if dead_letter {
            fates.dead_lettered
        } else {
            fates.dropped
        };
        assert!(gone > 0 && fates.lost == 0, "{dead_letter}: {fates:?}");
        assert_eq!(fates.completed + gone, 100, "{fates:?}");
        let promise = done.promise("nothing_lost");
        assert_eq!(promise.not_given_because.is_none(), dead_letter, "{promise:?}");
        assert_eq!(promise.verdict == Verdict::Pass, dead_letter, "{promise:?}");
        assert_eq!(done.broken(), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_dead_letter_queue_what_is_given_up_is_lost_and_the_promise_not_given() {
    let done = jobs(&[
        "stage.worker.errors=50%",
        "retry.policy=none",
        "topology.dead_letter=false",
    ])
    .await;
    let promise = done.promise("nothing_lost");
    let given_up = done.stage(Stage::Worker).retry.as_ref().map(|retry| retry.given_up);
    assert!(given_up.is_some_and(|given_up| given_up > 0));
    assert_eq!((Some(promise.breaches), promise.verdict), (given_up, Verdict::Fail));
    assert!(
        promise
            .not_given_because
            .as_ref()
            .is_some_and(|why| why.contains("gives up"))
    );
    assert_eq!(done.record.outcome.exit_code, 0, "{:?}", done.record.outcome);
}
