//! One node of a cluster is lost under load and comes back.

use std::path::PathBuf;

use orderstorm::amqp::uri::BrokerUri;
use orderstorm::ledger::Verdict;
use orderstorm::results::record::{FaultRecord, TrialRecord};

use crate::common::rabbitmq_or_skip;
use crate::heal::processes_of;
use crate::support::drive::{manifest_in, plan_of, start_managed_plan};
use crate::support::eventually;

/// A worker that is too slow, so that the node finds a backlog in the queue that it leads.
const WORKLOAD: &str = r#"
pipeline = "work-queue"
broker.nodes = 3
load = { rate = "40/s", orders = 140, connections = 3 }
stage.worker = { consumers = 1, prefetch = 5, service_time = "30ms" }
recovery = { backoff_max = "500ms", give_up_after = "2m" }
drain.deadline = "1m"
sample.interval = "100ms"

[[faults]]
what = "node-pause"
stage = "worker"
node = "follower"
at = "500ms"
lasts = "200ms"

[[faults]]
what = "node-kill"
stage = "worker"
node = "leader"
at = "2s"

[[variants.queue]]
name = "quorum"
stage.worker.queue_type = "quorum"

[[variants.queue]]
name = "transient"
publish.persistent = false
"#;

/// Each fault struck once, was healed, and struck the node that it was meant for.
fn assert_struck(trial: &TrialRecord) {
    let [pause, kill] = trial.fault_events.as_slice() else {
        panic!("{:?}", trial.fault_events);
    };
    let words = |event: &FaultRecord| (event.what.clone(), event.consumers, event.healed_s.is_some());
    assert_eq!(words(pause), ("node-pause".to_owned(), None, true));
    assert_eq!(words(kill), ("node-kill".to_owned(), None, true));
    assert!(pause.node.is_some() && kill.node.is_some_and(|node| (1..=3).contains(&node)));
    assert_ne!(pause.node, kill.node, "a follower is not the leader");
    assert!(pause.acked_returned.is_none() && kill.acked_returned.is_some());
    let killed = format!("node-kill ({})", kill.node.unwrap_or_default());
    assert!(
        trial.faults.iter().any(|band| band.name == killed),
        "{:?}",
        trial.faults
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_what_is_in_quorum_queues_when_a_node_dies_and_not_what_was_transient() {
    let Some(server) = rabbitmq_or_skip() else { return };
    let run = start_managed_plan(&server, plan_of(WORKLOAD, &[]));
    let manifest = eventually("the load", || manifest_in(run.results())).await;
    let port = manifest.broker.parse::<BrokerUri>().expect("an address").port();
    let dirs = eventually("three nodes", || cluster_at(port)).await;
    assert!(dirs.iter().all(|dir| !processes_of(dir).is_empty()), "{dirs:?}");
    let done = run.done().await;
    assert_eq!(done.record.broker.nodes, Some(3));
    let [quorum, transient] = ["quorum", "transient"].map(|label| {
        let cell = done.record.cells.iter().position(|cell| cell.label == label);
        let of_cell = |trial: &&TrialRecord| Some(trial.cell as usize) == cell;
        done.record.trials.iter().find(of_cell).expect(label)
    });
    for trial in [quorum, transient] {
        assert_eq!(trial.aborted, None);
        assert!(trial.drain.drained, "{:?}", trial.drain);
        assert_struck(trial);
        // The others had theirs on nodes that lived on: load, consumers, publishers and the probe.
        let lost = &trial.lost_connections;
        assert!((1..6).contains(&lost.len()), "{lost:?}");
        assert!(lost.iter().all(|one| one.back_s.is_some()), "{lost:?}");
    }
    let promise = |trial: &TrialRecord| {
        let mut all = trial.promises.iter();
        all.find(|promise| promise.name == "nothing_lost")
            .expect("judged")
            .clone()
    };
    let kept = promise(quorum);
    assert_eq!((kept.not_given_because, kept.verdict), (None, Verdict::Pass));
    assert_eq!(quorum.verdict, Verdict::Pass, "{:#?}", quorum.promises);
    assert_eq!((quorum.ledger.fates.lost, quorum.ledger.duplicate_effect), (0, 0));
    let broken = promise(transient);
    let because = broken.not_given_because.as_deref().expect("not given");
    assert!(
        because.contains("publish.persistent = false") && because.contains("fault 2, node-kill"),
        "{because}"
    );
    // The backlog of the leader went with it: that it was found shows that it was the leader.
    assert!(
        broken.verdict == Verdict::Fail && transient.ledger.fates.lost >= 5,
        "{broken:?}"
    );
    for dir in dirs {
        assert!(
            !dir.exists() && processes_of(&dir).is_empty(),
            "{} is left",
            dir.display()
        );
    }
}

/// The directories of all nodes of the cluster of which one listens on this port, once they are there.
fn cluster_at(port: u16) -> Option<Vec<PathBuf>> {
    let all = std::fs::read_dir(std::env::temp_dir()).ok()?.flatten();
    let nodes: Vec<(PathBuf, String)> = all
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("orderstorm-node-"))
        .filter_map(|entry| {
            Some((
                entry.path(),
                std::fs::read_to_string(entry.path().join("rabbitmq.conf")).ok()?,
            ))
        })
        .collect();
    let members = |conf: &str| -> Vec<String> {
        let lines = conf.lines().filter(|line| line.contains("classic_config.nodes"));
        lines.map(str::to_owned).collect()
    };
    let (_, conf) = nodes
        .iter()
        .find(|(_, conf)| conf.contains(&format!("127.0.0.1:{port}\n")))?;
    let of_cluster = nodes.iter().filter(|(_, other)| members(other) == members(conf));
    let dirs: Vec<PathBuf> = of_cluster.map(|(dir, _)| dir.clone()).collect();
    (dirs.len() == 3).then_some(dirs)
}
