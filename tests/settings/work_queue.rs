//! `pipeline = "work-queue"`: one queue, identical workers.

use orderstorm::events::{Event, Stage};
use orderstorm::ledger::Verdict;

use crate::support::drive::{Done, run_alone, start};
use crate::support::spy::Spy;
use crate::support::stand::Stand;

const LOAD: [&str; 3] = ["pipeline=work-queue", "load.orders=40", "load.rate=200/s"];

async fn jobs(more: &[&str]) -> Done {
    run_alone(&[&LOAD[..], more].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pipeline_says_which_stages_there_are() {
    let stand = Stand::start().await;
    let running = start(&stand, &[&LOAD[..], &["stage.worker.consumers=3"]].concat());
    let (spy, prefix) = (Spy::connect(stand.uri()).await, running.prefix().await);
    spy.has_consumers(&format!("{prefix}.email_notifications"), 3).await;
    let done = running.done().await;
    let trial = done.trial();
    let stages: Vec<Stage> = trial.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!((stages, done.stage(Stage::Worker).consumers), (vec![Stage::Worker], 3));
    assert_eq!((trial.messages.published, trial.messages.delivered), (40, 40));
    assert_eq!((trial.ledger.fates.completed, trial.verdict), (40, Verdict::Pass));
    assert_eq!(trial.ledger.effects.len(), 1);
    assert_eq!(
        (trial.ledger.effects[0].event, trial.ledger.effects[0].orders),
        (Event::JobQueued, 40)
    );
    assert_eq!(done.latency("end_to_end").count, 40);
    let parts = trial.latencies.iter().filter(|series| series.series.contains('.'));
    let parts: Vec<&str> = parts.map(|series| series.series.as_str()).collect();
    assert_eq!(
        parts,
        ["worker.queue_wait", "worker.buffer_wait", "worker.service_time"]
    );
    for absent in ["charged_once", "stock_balances", "all_audited", "all_notified"] {
        assert!(trial.promises.iter().all(|promise| promise.name != absent), "{absent}");
    }
    assert!(trial.ledger.residual_share.is_some_and(|share| share < 0.001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_closed_loop_wait_for_their_job() {
    let done = run_alone(&[
        "pipeline=work-queue",
        "load.arrival=closed",
        "load.users=2",
        "load.orders=20",
        "stage.worker.service_time=20ms",
        "stage.worker.consumers=2",
    ])
    .await;
    let measured = done
        .trial()
        .phases
        .iter()
        .find(|phase| phase.name == "measure")
        .expect("a phase");
    assert!(measured.end_s - measured.start_s >= 0.17, "{measured:?}");
    assert_eq!(done.trial().ledger.fates.completed, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_lost_or_done_twice_is_found() {
    for (defect, broken) in [("lose-delivery", "nothing_lost"), ("work-twice", "nothing_twice")] {
        let planted = format!("canary.defect={defect}");
        let done = jobs(&[&planted, "canary.every=4"]).await;
        assert_eq!(done.broken(), [broken], "{defect}");
        assert_eq!(done.record.outcome.exit_code, 3, "{defect}");
        assert_eq!(done.promise(broken).breaches, 10, "{defect}");
        assert_eq!(done.trial().ledger.fates.total(), 40, "{defect}");
    }
}
