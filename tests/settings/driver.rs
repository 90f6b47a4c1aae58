//! `driver.client`: which client speaks, and what the two have in common and what not. Faults, returns, time-outs, nacks, alarms and
//! canaries over both are with the tests of those.

use orderstorm::events::Stage;
use orderstorm::ledger::Verdict;

use crate::support::drive::{CLIENTS, run_on, start_at};
use crate::support::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_says_who_it_is_and_only_lapin_has_more_logins_than_plain() {
    for (client, says) in CLIENTS.into_iter().zip(["lapin 4", "direct"]) {
        let stand = Stand::start().await;
        let done = run_on(&stand, &["load.orders=20", "load.rate=200/s", client]).await;
        assert_eq!(done.record.tool.client, says);
        assert_eq!(
            (done.trial().ledger.fates.completed, done.trial().verdict),
            (20, Verdict::Pass)
        );
        let summary = std::fs::read_to_string(done.folder.join("summary.csv")).expect("a table");
        let (head, row) = summary.split_once('\n').expect("a head and a row");
        let name = client.rsplit('=').next().expect("a name");
        assert!(
            head.contains(",build,client,") && row.contains(&format!(",{name},")),
            "{row}"
        );

        let uri = format!("{}?auth_mechanism=amqplain", stand.uri().expose_for_client());
        let uri = uri.parse().expect("an address");
        let logged_in = start_at(&uri, &["load.orders=1", client]).ended().await;
        match says {
            "direct" => {
                let why = logged_in.expect_err("it has no such login").to_string();
                assert!(
                    why.contains("has no login but PLAIN") && why.contains("driver.client = \"lapin\""),
                    "{why}"
                );
            }
            _ => assert!(logged_in.is_ok(), "{:?}", logged_in.err()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_any_size_arrive_whole_over_either_client() {
    for client in CLIENTS {
        // One that is padded to nothing, one that takes several frames.
        for size in ["0B", "300KiB"] {
            let size = format!("orders.body_size={size}");
            let done = run_on(
                &Stand::start().await,
                &["load.orders=15", "load.rate=100/s", &size, client],
            )
            .await;
            let trial = done.trial();
            assert_eq!(
                trial.ledger.fates.completed, 15,
                "{client} {size}: {:?}",
                trial.ledger.fates
            );
            assert_eq!(trial.verdict, Verdict::Pass, "{client} {size}: {:#?}", trial.promises);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_goes_cancels_its_consumers_who_declare_it_again_over_either_client() {
    for client in CLIENTS {
        let stand = Stand::start().await;
        let running = crate::support::drive::start(
            &stand,
            &[
                "load.rate=50/s",
                "load.duration=1500ms",
                "drain.deadline=20s",
                "publish.mandatory=false",
                client,
            ],
        );
        let (spy, prefix) = (
            crate::support::spy::Spy::connect(stand.uri()).await,
            running.prefix().await,
        );
        spy.trial_is_up(&prefix).await;
        spy.delete_queue(&format!("{prefix}.audit.queue")).await;
        let done = running.done().await;
        assert_eq!(done.trial().aborted, None, "{client}");
        assert!(
            done.stage(Stage::Audit).delivered > 50,
            "{client}: {:?}",
            done.stage(Stage::Audit)
        );
        assert!(done.trial().drain.drained, "{client}: {:?}", done.trial().drain);
        // The broker's basic.cancel alone told them.
        assert_eq!(
            done.trial().lost_connections.len(),
            0,
            "{client}: {:?}",
            done.trial().lost_connections
        );
    }
}
