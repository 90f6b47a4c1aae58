//! `[messages]`: what the load publishes beside sound orders.

use orderstorm::ledger::Verdict;
use orderstorm::results::record::BesideRecord;

use crate::support::drive::{Done, run_alone, start};
use crate::support::spy::Spy;
use crate::support::stand::Stand;

const LOAD: [&str; 3] = ["load.orders=80", "load.rate=200/s", "drain.deadline=20s"];

async fn run(settings: &[&str]) -> Done {
    run_alone(&[&LOAD[..], settings].concat()).await
}

fn beside<'a>(done: &'a Done, kind: &str) -> &'a BesideRecord {
    let mut all = done.trial().messages.beside.iter();
    all.find(|one| one.kind == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_is_suppressed_or_has_its_effect_again() {
    let settings = ["pipeline=work-queue", "messages.duplicates=25%"];
    let count = |done: &Done| {
        let stage = &done.trial().stages[0];
        (stage.suppressed, stage.repeated)
    };
    let careful = run(&settings).await;
    let published = beside(&careful, "duplicate").published;
    assert!((10..=32).contains(&published), "a quarter of 80: {published}");
    assert_eq!(
        (count(&careful), careful.trial().verdict),
        ((published, 0), Verdict::Pass)
    );
    let careless = run(&[&settings[..], &["stage.worker.store=none"]].concat()).await;
    assert_eq!(
        beside(&careless, "duplicate").published,
        published,
        "the seed says which"
    );
    assert_eq!(count(&careless), (0, published));
    let promise = careless.promise("nothing_twice");
    assert!(
        promise.not_given_because.is_some() && promise.breaches == published,
        "{promise:?}"
    );
    assert_eq!(careless.record.outcome.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_message_is_a_dead_letter_at_every_stage_that_got_it_and_its_neighbours_are_unharmed() {
    let kinds = [
        "malformed",
        "wrong_type",
        "missing_field",
        "unknown_version",
        "oversize",
    ];
    for (exchange, queues) in [("topic", 3), ("fanout", 7)] {
        let shares: Vec<String> = kinds
            .iter()
            .chain(&["unroutable"])
            .map(|kind| format!("messages.{kind}=20%"))
            .collect();
        let exchange = format!("topology.order_exchange={exchange}");
        let settings: Vec<&str> = shares.iter().chain([&exchange]).map(String::as_str).collect();
        let done = run(&settings).await;
        let (trial, mut all) = (done.trial(), 0);
        for kind in kinds {
            let one = beside(&done, kind);
            assert!((6..=30).contains(&one.published), "a fifth of 80: {one:?}");
            assert_eq!((one.confirmed, one.returned), (one.published, 0), "{one:?}");
            assert_eq!(one.dead_letters, Some(one.published * queues), "{one:?}");
            all += one.published * queues;
        }
        let unroutable = beside(&done, "unroutable");
        assert!(unroutable.published > 0, "{unroutable:?}");
        assert_eq!((unroutable.confirmed, unroutable.returned), (0, unroutable.published));
        assert_eq!(trial.messages.malformed, all);
        assert_eq!((trial.ledger.fates.completed, trial.ledger.confirmed), (80, 80));
        assert_eq!(trial.ledger.foreign_dead_letters, 0);
        let found = done.promise("bad_messages_set_aside");
        assert_eq!(
            (found.verdict, trial.verdict),
            (Verdict::Pass, Verdict::Pass),
            "{found:?}"
        );
    }
    let silent = run(&["messages.unroutable=20%", "publish.mandatory=false"]).await;
    let unroutable = beside(&silent, "unroutable");
    assert_eq!((unroutable.confirmed, unroutable.returned), (unroutable.published, 0));
    assert_eq!(silent.promise("bad_messages_set_aside").verdict, Verdict::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_message_is_just_above_what_the_stages_take() {
    for limit in [16 << 10, 48 << 10] {
        let stand = Stand::start().await;
        let size = format!("messages.size_limit={}KiB", limit >> 10);
        let settings = ["load.orders=20", "load.rate=100/s", "messages.oversize=100%", &size];
        let running = start(&stand, &settings);
        let spy = Spy::connect(stand.uri()).await;
        let mut copies = spy.copies(&running.prefix().await, "#").await;
        let largest = copies.take(40).await.iter().map(|copy| copy.data.len()).max();
        let largest = largest.expect("copies");
        assert!((limit + 1..limit + 1_000).contains(&largest), "{limit}: {largest}");
        let done = running.done().await;
        assert_eq!(beside(&done, "oversize").dead_letters, Some(60));
        assert_eq!(done.trial().verdict, Verdict::Pass);
    }
}
