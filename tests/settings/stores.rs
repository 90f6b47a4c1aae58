//! `stage.*.store`, `publish`, `commit_batch`, `commit_flush`: what a stage remembers, and how its events go out.

use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;
use orderstorm::results::record::StoreRecord;
use orderstorm::workload::model::StoreKind;

use crate::support::drive::{Done, run_alone, run_with_postgres};
use crate::support::postgres::server;

fn store(done: &Done) -> &StoreRecord {
    done.stage(Stage::Payment).store.as_ref().expect("a database")
}

/// Shipping's queue has room for two messages and refuses what comes beyond, so that payment publishes in vain after it has
/// committed.
async fn refused_after_the_commit(publish: &str) -> Done {
    let publish = format!("stage.payment.publish={publish}");
    run_alone(&[
        "load.orders=40",
        "load.rate=400/s",
        "stage.shipping.max_length=2",
        "stage.shipping.overflow=reject-publish",
        "stage.shipping.service_time=10ms",
        "stage.shipping.prefetch=1",
        "stage.payment.store=sqlite",
        &publish,
    ])
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dual_write_loses_what_was_committed_and_not_published_and_the_others_do_not() {
    for publish in ["republish", "outbox"] {
        let done = refused_after_the_commit(publish).await;
        assert!(done.stage(Stage::Payment).refused > 0, "{publish}");
        assert_eq!(done.trial().ledger.fates.completed, 40, "{publish}");
        assert_eq!(
            (done.broken(), done.trial().verdict),
            (vec![], Verdict::Pass),
            "{publish}"
        );
        assert_eq!(done.promise("nothing_lost").not_given_because, None, "{publish}");
        assert_eq!(store(&done).steps, 40, "{publish}");
        assert_eq!(store(&done).outbox.is_some(), publish == "outbox");
    }
    let done = refused_after_the_commit("dual-write").await;
    let ledger = &done.trial().ledger;
    assert!(ledger.fates.lost > 0, "{:?}", ledger.fates);
    assert_eq!(ledger.fates.lost + ledger.fates.completed, 40, "{:?}", ledger.fates);
    assert_eq!(
        done.stage(Stage::Payment).suppressed,
        done.stage(Stage::Payment).refused
    );
    let promise = done.promise("nothing_lost");
    let because = promise.not_given_because.as_ref();
    assert!(
        because.is_some_and(|why| why.contains("stage.payment.publish")),
        "{promise:?}"
    );
    assert_eq!(promise.verdict, Verdict::Fail);
    assert_eq!(
        done.trial().verdict,
        Verdict::Pass,
        "what is not promised breaks nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_commit_and_publish_costs_a_dual_write_the_event_and_nobody_else() {
    for (publish, loses) in [("republish", false), ("outbox", false), ("dual-write", true)] {
        let publish = format!("stage.payment.publish={publish}");
        let done = run_alone(&[
            "load.orders=200",
            "load.rate=100/s",
            "stage.payment.store=sqlite",
            "stage.payment.prefetch=1",
            "faults.1.what=connection-drop",
            "faults.1.stage=payment",
            "faults.1.every=400ms",
            "faults.1.times=3",
            "faults.1.point=effect-to-publish",
            &publish,
        ])
        .await;
        let ledger = &done.trial().ledger;
        assert!(done.stage(Stage::Payment).redelivered >= 1, "{publish}");
        assert_eq!(ledger.fates.lost > 0, loses, "{publish}: {:?}", ledger.fates);
        assert_eq!(
            ledger.fates.lost + ledger.fates.completed,
            200,
            "{publish}: {:?}",
            ledger.fates
        );
        assert_eq!((ledger.duplicate_effect, ledger.charged_again), (0, 0), "{publish}");
        assert_eq!(done.broken(), Vec::<&str>::new(), "{publish}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_sends_every_row_and_its_lag_is_measured() {
    let done = run_alone(&[
        "load.orders=60",
        "load.rate=200/s",
        "stage.inventory.store=sqlite",
        "stage.inventory.publish=outbox",
        "stage.notification.store=sqlite",
        "stage.notification.publish=outbox",
    ])
    .await;
    assert_eq!((done.trial().ledger.fates.completed, done.broken()), (60, vec![]));
    assert_eq!(done.trial().verdict, Verdict::Pass);
    for (stage, rows) in [(Stage::Inventory, 120), (Stage::Notification, 240)] {
        let store = done.stage(stage).store.as_ref().expect("a database");
        let outbox = store.outbox.as_ref().expect("an outbox");
        assert_eq!((store.steps, outbox.unsent, outbox.unroutable), (rows, 0, 0), "{stage}");
        assert!(outbox.unsent_max > 0, "{stage}");
        assert_eq!(
            done.latency(&format!("{stage}.emit")).count,
            rows,
            "{stage}: one lag for each row"
        );
        assert_eq!(done.latency(&format!("{stage}.commit")).count, rows, "{stage}");
    }
    let residual = done.trial().ledger.residual_share.expect("finished orders");
    assert!(residual < 0.01, "the steps account for the whole time but {residual}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_commit_takes_fewer_transactions() {
    let run = async |batch: &[&str]| {
        let load = ["load.orders=60", "load.rate=400/s", "stage.payment.store=sqlite"];
        run_alone(&[&load[..], batch].concat()).await
    };
    let single = run(&[]).await;
    assert_eq!((store(&single).commits, store(&single).steps), (60, 60));
    let group = run(&["stage.payment.commit_batch=10", "stage.payment.commit_flush=50ms"]).await;
    let commits = store(&group).commits;
    assert_eq!(store(&group).steps, 60);
    assert!(
        (6..=30).contains(&commits),
        "{commits} transactions of 10 steps at most"
    );
    assert_eq!(
        (single.trial().verdict, group.trial().verdict),
        (Verdict::Pass, Verdict::Pass)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_does_not_fill_waits_for_its_flush() {
    let longest = async |flush: &str| {
        let flush = format!("stage.payment.commit_flush={flush}");
        let batch = "stage.payment.commit_batch=50";
        let done = run_alone(&[
            "load.orders=2",
            "load.rate=200/s",
            "stage.payment.store=sqlite",
            batch,
            &flush,
        ])
        .await;
        let commit = done.latency("payment.commit");
        commit.max_ns.expect("two values") as f64 / 1e6
    };
    let (short, long) = (longest("5ms").await, longest("1500ms").await);
    assert!(short < 1_000.0 && long >= 1_480.0, "{short} ms, {long} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_postgresql_holds_what_the_others_hold() {
    let Some(address) = server().await else { return };
    let done = run_with_postgres(
        &address,
        &[
            "load.orders=60",
            "load.rate=200/s",
            "stage.payment.store=postgres",
            "stage.payment.commit_batch=10",
            "stage.payment.commit_flush=50ms",
            "stage.inventory.store=postgres",
            "stage.inventory.publish=outbox",
        ],
    )
    .await;
    assert_eq!((done.trial().ledger.fates.completed, done.broken()), (60, vec![]));
    assert_eq!(done.trial().verdict, Verdict::Pass);
    let payment = store(&done);
    assert_eq!(
        (payment.kind, payment.steps, payment.errors),
        (StoreKind::Postgres, 60, 0)
    );
    assert!((6..=40).contains(&payment.commits), "{} transactions", payment.commits);
    let inventory = done.stage(Stage::Inventory).store.as_ref().expect("a database");
    let outbox = inventory.outbox.as_ref().expect("an outbox");
    assert_eq!((inventory.steps, outbox.unsent, outbox.unroutable), (120, 0, 0));
    assert_eq!(done.latency("inventory.emit").count, 120, "one lag for each row");
    assert_eq!(done.latency("payment.commit").count, 60);
}
