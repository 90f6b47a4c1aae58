//! `[[faults]]`, `[recovery]` and `stage.*.connection`: who is struck, when and how, and how it comes back.

use futures_util::future::join_all;
use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;
use orderstorm::results::record::FaultRecord;

use crate::support::drive::{CLIENTS, Done, run_alone};

/// Two seconds of orders, looked at often.
const LOAD: [&str; 4] = [
    "load.rate=100/s",
    "load.duration=2s",
    "sample.interval=50ms",
    "drain.deadline=20s",
];

/// Times in `series.csv` are rounded.
const ROUNDING_S: f64 = 0.01;

async fn run(settings: &[&str]) -> Done {
    run_alone(&[&LOAD[..], settings].concat()).await
}

/// Nothing that was promised is broken, each fault struck, and whoever was struck is back.
fn assert_survived(done: &Done) {
    let trial = done.trial();
    assert_eq!(trial.aborted, None);
    assert_eq!(done.broken(), Vec::<&str>::new());
    assert_eq!(trial.verdict, Verdict::Pass, "{:#?}", trial.promises);
    assert_eq!(done.promise("consumers_back").verdict, Verdict::Pass);
    assert_eq!(trial.ledger.fates.lost, 0);
    for event in &trial.fault_events {
        assert!(
            event.healed_s.is_some_and(|healed| healed >= event.start_s),
            "{event:?}"
        );
    }
}

fn events(done: &Done) -> &[FaultRecord] {
    &done.trial().fault_events
}

/// Consumers and publishers of payment whose connections were lost.
fn lost(done: &Done) -> usize {
    let lost = done.trial().lost_connections.iter();
    lost.filter(|one| one.connection.starts_with("payment")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_fault_strikes_and_nothing_is_lost_or_done_twice() {
    join_all(CLIENTS.map(each_kind_of_fault)).await;
}

async fn each_kind_of_fault(client: &str) {
    let done = run(&[
        client,
        "faults.1.what=connection-drop",
        "faults.1.stage=payment",
        "faults.1.at=300ms",
        "faults.2.what=channel-close",
        "faults.2.stage=inventory",
        "faults.2.at=500ms",
        "faults.3.what=consumer-cancel",
        "faults.3.stage=order",
        "faults.3.at=700ms",
        "faults.4.what=hang",
        "faults.4.stage=shipping",
        "faults.4.at=900ms",
        "faults.4.lasts=400ms",
        "faults.5.what=panic",
        "faults.5.stage=payment",
        "faults.5.at=1500ms",
    ])
    .await;
    assert_survived(&done);
    let seen: Vec<(Option<u32>, &str, Option<Stage>)> = events(&done)
        .iter()
        .map(|event| (event.fault, event.what.as_str(), event.stage))
        .collect();
    assert_eq!(
        seen,
        [
            (Some(1), "connection-drop", Some(Stage::Payment)),
            (Some(2), "channel-close", Some(Stage::Inventory)),
            (Some(3), "consumer-cancel", Some(Stage::Order)),
            (Some(4), "hang", Some(Stage::Shipping)),
            (Some(5), "panic", Some(Stage::Payment)),
        ]
    );
    let hang = &events(&done)[3];
    assert!(hang.healed_s.expect("healed") - hang.start_s >= 0.4, "{hang:?}");
    assert_eq!(lost(&done), 2, "{:?}", done.trial().lost_connections);
    assert_eq!(done.trial().faults.len(), 5, "a band for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_happens_when_it_says_and_as_often() {
    let starts = async |when: &[&str]| -> Vec<f64> {
        let fault = ["faults.1.what=channel-close", "faults.1.stage=payment"];
        let done = run(&[&fault[..], when].concat()).await;
        assert_survived(&done);
        events(&done).iter().map(|event| event.start_s).collect()
    };
    let three = starts(&["faults.1.every=300ms", "faults.1.times=3"]).await;
    assert_eq!(three.len(), 3, "{three:?}");
    assert!(
        three.iter().zip([0.3, 0.6, 0.9]).all(|(start, due)| *start >= due),
        "{three:?}"
    );
    let two = starts(&["faults.1.every=300ms", "faults.1.until=700ms"]).await;
    assert_eq!(two.len(), 2, "{two:?}");
    let random = starts(&["faults.1.random=20/s", "faults.1.times=5"]).await;
    assert_eq!(random.len(), 5, "{random:?}");
    let gaps: Vec<f64> = random.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().any(|gap| (gap - gaps[0]).abs() > 0.005), "{gaps:?}");
    let after = starts(&["faults.1.after=100"]).await;
    assert!(after.len() == 1 && after[0] >= 0.9, "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_waits_for_what_it_sees_and_one_that_never_sees_it_leaves_the_verdict_open() {
    let fault = [
        "faults.1.what=channel-close",
        "faults.1.stage=inventory",
        "stage.payment.service_time=15ms",
    ];
    let done = run(&[&fault[..], &["faults.1.on=payment.backlog >= 20"]].concat()).await;
    assert_survived(&done);
    let at = events(&done)[0].start_s;
    let [ready, unacked] = ["ready", "unacked"].map(|part| done.series(&format!("backlog_messages.payment.{part}")));
    // A look that got no answer has a row of unacked messages only.
    let backlog = |until: f64| {
        let looks = ready.iter().filter(|(time_s, _)| *time_s <= until + ROUNDING_S);
        let sums = looks.filter_map(|(time_s, ready)| {
            let same = unacked.iter().find(|(other_s, _)| other_s == time_s)?;
            Some(ready + same.1)
        });
        sums.fold(0.0, f64::max)
    };
    assert!(backlog(at) >= 20.0, "{} at {at} s", backlog(at));
    let done = run(&[&fault[..], &["faults.1.on=payment.ready >= 100000"]].concat()).await;
    assert_eq!((events(&done).len(), done.trial().verdict), (0, Verdict::Unknown));
    let outcome = &done.record.outcome;
    assert!(
        outcome.exit_code == 5 && outcome.reason.contains("1 of 1 struck nobody"),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn count_and_share_say_how_many_are_struck_and_a_shared_connection_strikes_all() {
    let struck = async |more: &[&str]| {
        let fault = [
            "faults.1.what=connection-drop",
            "faults.1.stage=payment",
            "faults.1.at=500ms",
            "stage.payment.consumers=4",
        ];
        let done = run(&[&fault[..], more].concat()).await;
        assert_survived(&done);
        (events(&done)[0].consumers.expect("consumers of a stage"), lost(&done))
    };
    assert_eq!(
        struck(&["stage.payment.connection=own", "faults.1.count=3"]).await,
        (3, 6)
    );
    assert_eq!(
        struck(&["stage.payment.connection=own", "faults.1.share=50%"]).await,
        (2, 4)
    );
    assert_eq!(struck(&[]).await, (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_takes_as_long_as_it_says() {
    let away = async |restart: &str| {
        let done = run(&[
            "faults.1.what=channel-close",
            "faults.1.stage=payment",
            "faults.1.at=500ms",
            restart,
        ])
        .await;
        assert_survived(&done);
        let event = &events(&done)[0];
        event.healed_s.expect("healed") - event.start_s
    };
    assert!(away("faults.1.restart_after=800ms").await >= 0.8);
    assert!(away("faults.1.restart_after=0s").await < 0.8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_struck_after_its_effect_comes_again_and_only_a_memory_keeps_it_from_being_done_again() {
    for (point, delivered_again) in [
        ("before-effect", false),
        ("effect-to-publish", true),
        ("publish-to-confirm", true),
        ("confirm-to-ack", true),
    ] {
        for kept in ["memory", "sqlite", "none"] {
            let (at, store) = (format!("faults.1.point={point}"), format!("stage.payment.store={kept}"));
            let done = run(&[
                "faults.1.what=connection-drop",
                "faults.1.stage=payment",
                "faults.1.every=400ms",
                "faults.1.times=3",
                "stage.payment.prefetch=1",
                &at,
                &store,
            ])
            .await;
            assert_survived(&done);
            let trial = done.trial();
            let (redelivered, charged) = (done.stage(Stage::Payment).redelivered, trial.ledger.charged_again);
            assert!(redelivered >= 3, "{point}, {kept}: {redelivered} redelivered");
            let expected = if delivered_again && kept == "none" { 3 } else { 0 };
            assert_eq!(charged, expected, "{point}, {kept}");
            let in_effect: u64 = events(&done).iter().map(|event| event.duplicates_in_effect).sum();
            assert_eq!(in_effect, expected, "{point}, {kept}");
            assert!(events(&done).iter().all(|event| event.point.as_deref() == Some(point)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn automatic_acknowledgement_loses_what_was_in_flight_and_the_report_says_what_would_have_kept_it() {
    let done = run(&[
        "stage.payment.ack=auto",
        "stage.payment.service_time=30ms",
        "faults.1.what=connection-drop",
        "faults.1.stage=payment",
        "faults.1.at=1s",
    ])
    .await;
    let trial = done.trial();
    assert!(trial.ledger.fates.lost > 0, "{:?}", trial.ledger.fates);
    assert_eq!(done.broken(), Vec::<&str>::new());
    let promise = done.promise("nothing_lost");
    assert_eq!(promise.verdict, Verdict::Fail);
    let because = promise.not_given_because.as_deref().expect("not given");
    assert!(because.contains("stage.payment.ack = \"auto\""), "{because}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_comes_back_after_its_pause_or_ends_the_trial() {
    let fault = [
        "faults.1.what=connection-drop",
        "faults.1.stage=payment",
        "faults.1.at=500ms",
        "stage.payment.consumers=2",
    ];
    let done = run(&[&fault[..], &["recovery.backoff_initial=1s"]].concat()).await;
    assert_survived(&done);
    let publishers = done
        .trial()
        .lost_connections
        .iter()
        .find(|one| one.connection == "payment publishers");
    let publishers = publishers.expect("it was cut");
    // A pause is at least half of what it says.
    let away = publishers.back_s.expect("it is back") - publishers.lost_s;
    assert!(away >= 0.5, "{away}");
    let done = run(&[&fault[..], &["recovery.give_up_after=0s"]].concat()).await;
    let why = done.trial().aborted.as_deref().expect("cut short");
    assert!(
        why.contains("payment") && why.contains("did not come back in time"),
        "{why}"
    );
    assert_eq!(done.record.outcome.exit_code, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_grow_no_longer_than_their_limit() {
    // Eight consumers with a connection each try again and again while nothing lets them through.
    let longest = async |limit: &str| {
        let done = run(&[
            "load.duration=2200ms",
            "stage.payment.consumers=8",
            "stage.payment.connection=own",
            "faults.1.what=network-cut",
            "faults.1.stage=payment",
            "faults.1.at=200ms",
            "faults.1.lasts=1600ms",
            "recovery.backoff_initial=100ms",
            limit,
        ])
        .await;
        assert_survived(&done);
        let healed_s = events(&done)[0].healed_s.expect("healed");
        let lost = done.trial().lost_connections.iter();
        let back = lost.filter_map(|one| Some(one.back_s? - healed_s));
        back.fold(f64::MIN, f64::max)
    };
    let (short, long) = tokio::join!(
        longest("recovery.backoff_max=100ms"),
        longest("recovery.backoff_max=20s")
    );
    // The pause that outlasts the cut is at least 0.8 s, and the last of sixteen who come back has most of it before it.
    assert!(
        short < 0.6 && long > short + 0.3,
        "{short} s and {long} s after the network was back"
    );
}
