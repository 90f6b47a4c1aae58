//! The broker's cluster, and what is done to a node of it.

use super::Builder;
use crate::events::{PipelineKind, Stage};
use crate::workload::keys::fault_path;
use crate::workload::model::{Broker, FaultKind, NodeFault, WhichNode};

impl Builder<'_> {
    pub(super) fn broker(&mut self) -> Broker {
        let nodes = self.count_u32("broker.nodes");
        if nodes.is_multiple_of(2) {
            self.refuse(
                &["broker.nodes"],
                format!(
                    "a cluster of {nodes} nodes bears the loss of no more nodes than one of {}",
                    nodes - 1
                ),
                "choose 1, 3 or 5: half of the nodes are no majority",
            );
        }
        Broker { nodes }
    }

    /// A fault of one node.
    pub(super) fn node(
        &mut self,
        position: usize,
        anywhere: &[&str],
        word: &str,
        (pipeline, stage): (PipelineKind, Option<Stage>),
    ) -> Option<FaultKind> {
        let path = |key: &str| fault_path(position, key);
        self.refuse_of_consumers(position, word, (pipeline, stage));
        self.refuse_of_network(position, &["delay", "jitter", "bandwidth"]);
        let nodes = self.count_u32("broker.nodes");
        if nodes == 1 {
            self.refuse(
                &[&path("what"), "broker.nodes"],
                format!("a {word} strikes one node of a cluster, and the broker has one node in all"),
                format!("set broker.nodes = 3, or choose {}", alone(word)),
            );
        }
        let which = self.choice(&path("node")).and_then(WhichNode::by_name);
        let which = which.unwrap_or(WhichNode::Random);
        self.check_which(position, (nodes, which), stage);
        let lasting = matches!(word, "node-pause" | "node-partition");
        let (unused, help) = match lasting {
            true => (
                "restart_after",
                "leave it out; lasts says how long the node is like this",
            ),
            false => ("lasts", "leave it out; restart_after says how long the node stays down"),
        };
        self.refuse_written(
            &path(unused),
            format!("`{}` has no effect on a {word}", path(unused)),
            help,
        );
        let lasts = self.duration(&path("lasts"));
        if lasting && lasts.is_none() && self.settings.written(&path("lasts")).is_none() {
            self.refuse(
                anywhere,
                format!("fault {position} does not say its `lasts`"),
                "add lasts = \"5s\"",
            );
        }
        let fault = match word {
            "node-kill" => NodeFault::Kill,
            "node-restart" => NodeFault::Restart,
            "node-pause" => NodeFault::Pause(lasts?),
            _ => NodeFault::Partition(lasts?),
        };
        Some(FaultKind::Node(fault, which))
    }

    fn check_which(&mut self, position: usize, (nodes, which): (u32, WhichNode), stage: Option<Stage>) {
        let (node, stage_path) = (fault_path(position, "node"), fault_path(position, "stage"));
        match which {
            WhichNode::Number(number) if number > nodes => self.refuse(
                &[&node],
                format!("there is no node {number}: the cluster has {nodes}"),
                "choose a lower number, or raise broker.nodes",
            ),
            WhichNode::Leader | WhichNode::Follower if stage.is_none() => self.refuse(
                &[&node],
                format!("fault {position} does not say whose queue its node leads or follows"),
                "add stage = \"…\"",
            ),
            WhichNode::Number(_) | WhichNode::Random
                if self.settings.written(&fault_path(position, "after")).is_none() =>
            {
                self.refuse_written(
                    &stage_path,
                    format!("`{stage_path}` has no effect on which node is struck"),
                    "leave it out, or set node = \"leader\" or \"follower\": of the stage's queue",
                );
            }
            _ => {}
        }
    }
}

/// What does the like to a broker of one node.
fn alone(word: &str) -> &'static str {
    match word {
        "node-kill" => "broker-kill",
        "node-restart" => "broker-restart",
        "node-pause" => "[fault.broker_pause]",
        _ => "network-cut",
    }
}
