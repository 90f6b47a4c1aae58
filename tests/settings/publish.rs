//! `publish.*`: what the broker is asked for with each message.

use std::time::Duration;

use futures_util::future::join_all;
use orderstorm::ledger::Verdict;

use crate::support::drive::{CLIENTS, Done, run_on, start, start_at};
use crate::support::proxy::Proxy;
use crate::support::spy::Spy;
use crate::support::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_confirms_no_order_is_known_to_have_arrived() {
    for (client, confirms, confirmed) in [(0, true, 20), (0, false, 0), (1, true, 20), (1, false, 0)] {
        let stand = Stand::start().await;
        let setting = format!("publish.confirms={confirms}");
        let settings = ["load.orders=20", "load.rate=200/s", &setting, CLIENTS[client]];
        let done = run_on(&stand, &settings).await;
        let ledger = &done.trial().ledger;
        assert_eq!((ledger.confirmed, ledger.unanswered), (confirmed, 20 - confirmed));
        assert_eq!((ledger.fates.completed, ledger.recovered), (20, 20 - confirmed));
        assert_eq!(done.trial().messages.confirmed > 0, confirms);
        let because = &done.promise("nothing_lost").not_given_because;
        assert_eq!(
            because.as_ref().is_some_and(|why| why.contains("publish.confirms")),
            !confirms
        );
        if let Some(broker) = stand.embedded() {
            assert_eq!(broker.counters().confirmed > 0, confirms);
        }
    }
}

/// A run whose new orders lose their way into any queue as soon as its consumers are up.
async fn cut_off(client: &str, mandatory: bool) -> Done {
    let stand = Stand::start().await;
    let setting = format!("publish.mandatory={mandatory}");
    let running = start(&stand, &["load.rate=50/s", "load.duration=1s", &setting, client]);
    let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
    spy.trial_is_up(&prefix).await;
    spy.cut_off_new_orders(&prefix).await;
    running.done().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_mandatory_publishes_tell_of_a_missing_route() {
    for told in join_all(CLIENTS.map(|client| cut_off(client, true))).await {
        let ledger = &told.trial().ledger;
        assert!(ledger.returned >= 20 && ledger.fates.returned >= 20, "{ledger:?}");
        assert_eq!(told.promise("nothing_lost").not_given_because, None);
    }
    let silent = cut_off(CLIENTS[0], false).await;
    let ledger = &silent.trial().ledger;
    assert_eq!((ledger.returned, ledger.fates.returned), (0, 0));
    assert!(ledger.fates.lost >= 20, "confirmed, and gone: {:?}", ledger.fates);
    let promise = silent.promise("nothing_lost");
    let because = promise.not_given_because.as_ref();
    assert!(
        because.is_some_and(|why| why.contains("publish.mandatory")),
        "{promise:?}"
    );
    assert_eq!(promise.verdict, Verdict::Fail);
    assert!(
        !silent.broken().contains(&"nothing_lost"),
        "what is not promised breaks nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_carry_the_delivery_mode_that_was_asked_for() {
    for (persistent, mode) in [(true, 2), (false, 1)] {
        let stand = Stand::start().await;
        let setting = format!("publish.persistent={persistent}");
        let running = start(&stand, &["load.orders=20", "load.rate=100/s", &setting]);
        let spy = Spy::connect(stand.uri()).await;
        let mut copies = spy.copies(&running.prefix().await, "#").await;
        let modes = copies
            .take(40)
            .await
            .into_iter()
            .map(|copy| *copy.properties.delivery_mode());
        assert!(modes.into_iter().all(|found| found == Some(mode)));
        running.done().await;
    }
}

/// A run in the middle of which the broker's answers are late by half a second.
async fn with_late_answers(client: &str, timeout: &str) -> Done {
    let stand = Stand::start().await;
    let (proxy, spy) = (Proxy::before(stand.uri()).await, Spy::connect(stand.uri()).await);
    let setting = format!("publish.confirm_timeout={timeout}");
    let running = start_at(
        &proxy.uri(stand.uri()),
        &["load.orders=30", "load.rate=100/s", &setting, client],
    );
    let mut copies = spy.copies(&running.prefix().await, "order.created").await;
    copies.take(3).await;
    proxy.delay(Duration::from_millis(500));
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.delay(Duration::ZERO);
    running.done().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_confirm_timeout_is_unknown_and_its_order_recovers() {
    join_all(CLIENTS.map(late_answers)).await;
}

async fn late_answers(client: &str) {
    let patient = with_late_answers(client, "60s").await;
    assert_eq!(
        (patient.trial().ledger.unanswered, patient.trial().ledger.confirmed),
        (0, 30)
    );
    let hasty = with_late_answers(client, "100ms").await;
    let ledger = &hasty.trial().ledger;
    assert!(ledger.unanswered > 0, "{ledger:?}");
    assert_eq!(ledger.recovered, ledger.unanswered);
    assert_eq!(ledger.fates.completed, 30);
    assert_eq!(hasty.trial().verdict, Verdict::Pass, "{:#?}", hasty.trial().promises);
}
