//! `topology.*`: exchanges and queues as the broker has them.

use lapin::{BasicProperties, ExchangeKind};
use orderstorm::ledger::Verdict;

use crate::support::drive::start;
use crate::support::spy::Spy;
use crate::support::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_exchange_has_the_type_that_was_asked_for() {
    let kinds = [
        ("topic", ExchangeKind::Topic),
        ("direct", ExchangeKind::Direct),
        ("fanout", ExchangeKind::Fanout),
        ("headers", ExchangeKind::Headers),
    ];
    for (name, kind) in &kinds {
        let stand = Stand::start().await;
        let setting = format!("topology.order_exchange={name}");
        let running = start(&stand, &["load.orders=30", "load.rate=100/s", &setting]);
        let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
        spy.trial_is_up(&prefix).await;
        let exchange = format!("{prefix}.order.exchange");
        for (_, other) in &kinds {
            assert_eq!(
                spy.exchange_is(&exchange, other.clone(), true).await,
                other == kind,
                "{name}"
            );
        }
        let done = running.done().await;
        assert_eq!(
            (done.trial().ledger.fates.completed, done.trial().verdict),
            (30, Verdict::Pass)
        );
        assert_eq!(done.trial().messages.not_for_stage > 0, *name == "fanout");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanges_are_as_durable_as_asked_for() {
    for durable in [true, false] {
        let stand = Stand::start().await;
        let setting = format!("topology.durable={durable}");
        let running = start(&stand, &["load.orders=30", "load.rate=100/s", &setting]);
        let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
        spy.trial_is_up(&prefix).await;
        for (name, kind) in [
            ("order.exchange", ExchangeKind::Topic),
            ("audit.fanout.exchange", ExchangeKind::Fanout),
            ("dead-letter.exchange", ExchangeKind::Direct),
        ] {
            let name = format!("{prefix}.{name}");
            assert!(spy.exchange_is(&name, kind.clone(), durable).await, "{name}");
            assert!(!spy.exchange_is(&name, kind, !durable).await, "{name}");
        }
        running.done().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_is_kept_only_where_there_is_a_dead_letter_queue() {
    for dead_letter in [true, false] {
        let stand = Stand::start().await;
        let setting = format!("topology.dead_letter={dead_letter}");
        let running = start(&stand, &["load.orders=30", "load.rate=100/s", &setting]);
        let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
        spy.trial_is_up(&prefix).await;
        let queue = format!("{prefix}.inventory.queue");
        for _ in 0..3 {
            spy.put(&queue, b"no order", BasicProperties::default()).await;
        }
        assert_eq!(
            spy.queue(&format!("{prefix}.inventory.dead-letter")).await.is_some(),
            dead_letter
        );
        let done = running.done().await;
        let ledger = &done.trial().ledger;
        assert_eq!((done.trial().messages.malformed, ledger.fates.completed), (3, 30));
        assert_eq!(ledger.foreign_dead_letters, if dead_letter { 3 } else { 0 });
        if dead_letter {
            let expected = (
                format!("{prefix}.inventory.dead-letter"),
                Some("rejected".to_owned()),
                3,
            );
            assert_eq!(ledger.dead_letters, [expected]);
            assert_eq!(done.promise("dead_letters_explained").verdict, Verdict::Pass);
        }
        assert_eq!(done.trial().verdict, Verdict::Pass);
    }
}
