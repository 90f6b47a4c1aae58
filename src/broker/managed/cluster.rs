//! Private nodes that form one cluster: one epmd, one Erlang cookie, one login, and each node in a session of its own.
//!
//! A cluster of one is a node. Owns nothing beside its nodes; what starts, steers and ends each of them is theirs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};

use super::config::{Identity, Ports};
use super::{ManagedError, ManagedNode, ManagedOptions, NodeVersion, POLL, START_ATTEMPTS, programs};
use crate::broker::discover::version_of;
use crate::broker::management::ManagementClient;

/// Memory of a node above which it blocks publishers, bytes: nodes of one machine must not each count on its whole memory.
const MEMORY_HIGH_WATERMARK: u64 = 1_000_000_000;
/// Booting together on few processors, each takes longer than alone.
const BOOT_PATIENCE: u32 = 2;

/// A running cluster, of one node or more. Dropping it ends all of them.
#[derive(Debug)]
pub struct ManagedCluster {
    nodes: Vec<ManagedNode>,
}

impl ManagedCluster {
    /// Starts so many nodes, at least one, and returns when each of them serves clients and sees all others.
    ///
    /// # Errors
    /// [`ManagedError`], with the end of a node's log where that tells why; nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping the future ends all it has started and removes the directories.
    pub async fn start(options: ManagedOptions, nodes: u32) -> Result<Self, ManagedError> {
        if nodes <= 1 {
            let node = ManagedNode::start(options).await?;
            return Ok(Self { nodes: vec![node] });
        }
        let server = programs::find_server(options.server.as_deref())?;
        let epmd = programs::find_epmd(&server)?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&options, nodes, (&server, &epmd)).await {
                Err(ManagedError::PortTaken { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_once(options: &ManagedOptions, nodes: u32, programs: (&Path, &Path)) -> Result<Self, ManagedError> {
        let at = std::env::temp_dir();
        let first = Identity::random().map_err(ManagedError::io("drew random names", &at))?;
        let siblings = (1..nodes).map(|_| first.sibling()).collect::<Result<Vec<_>, _>>();
        let siblings = siblings.map_err(ManagedError::io("drew random names", &at))?;
        let members: Vec<Identity> = std::iter::once(first).chain(siblings).collect();
        let options = of_cluster(options, &members, version_of(programs.0).as_deref());
        let mut prepared: Vec<ManagedNode> = Vec::new();
        for id in members {
            let ports = Ports::choose(&options).map_err(ManagedError::io("looked for free ports", &at))?;
            let epmd = prepared.first().map_or(ports.epmd, |first| first.ports.epmd);
            prepared.push(ManagedNode::prepare(&options, programs, id, Ports { epmd, ..ports })?);
        }
        // It lives in the first node's session, and outlives each end of the node itself.
        prepared[0].start_epmd().await?;
        let greetings = try_join_all(prepared.iter().map(ManagedNode::boot)).await?;
        for (node, greeting) in prepared.iter_mut().zip(greetings) {
            node.version = NodeVersion::of(greeting);
        }
        let cluster = Self { nodes: prepared };
        cluster.whole(options.boot_deadline).await?;
        Ok(cluster)
    }

    /// Its nodes, at least one, in an order that stays.
    pub fn nodes(&self) -> &[ManagedNode] {
        &self.nodes
    }

    /// The node that the run's address names.
    pub fn first(&self) -> &ManagedNode {
        &self.nodes[0]
    }

    /// Whether each node has booted and lives.
    pub fn runs(&self) -> bool {
        self.nodes.iter().all(|node| node.pid().is_some())
    }

    /// Where clients may connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(ManagedNode::address).collect()
    }

    /// A client of the management API of whichever node answers. Absent without the plugin.
    pub fn management_client(&self) -> Option<ManagementClient> {
        let (first, others) = self.nodes.split_first()?;
        let places = others.iter().filter_map(|node| {
            let prometheus = node.prometheus_port();
            Some((
                node.management_uri()?.to_owned(),
                prometheus.map(|port| format!("http://127.0.0.1:{port}")),
            ))
        });
        Some(first.management_client()?.or_at(places.collect()))
    }

    /// Waits until each node sees that all of them run.
    ///
    /// # Errors
    /// [`ManagedError::Deadline`] after `patience`, with the end of the log of a node that does not.
    pub async fn whole(&self, patience: Duration) -> Result<(), ManagedError> {
        let deadline = Instant::now() + patience;
        for node in &self.nodes {
            while !self.is_whole_to(node).await {
                if Instant::now() >= deadline {
                    return Err(ManagedError::Deadline {
                        waiting_for: "the cluster",
                        after: patience,
                        log_tail: node.log_tail(),
                    });
                }
                tokio::time::sleep(POLL * 2).await;
            }
        }
        Ok(())
    }

    async fn is_whole_to(&self, node: &ManagedNode) -> bool {
        let Some(api) = node.management_client() else {
            return true;
        };
        let known = api.nodes().await.unwrap_or_default();
        known.iter().filter(|known| known.running).count() == self.nodes.len()
    }

    /// Kills every node, as [`ManagedNode::kill`] does.
    ///
    /// # Errors
    /// The first that did not go.
    pub async fn kill(&self) -> Result<(), ManagedError> {
        try_join_all(self.nodes.iter().map(ManagedNode::kill)).await.map(drop)
    }

    /// Ends every node in order, as [`ManagedNode::shut_down`] does.
    ///
    /// # Errors
    /// The first that did not go.
    pub async fn shut_down(&self) -> Result<(), ManagedError> {
        try_join_all(self.nodes.iter().map(ManagedNode::shut_down))
            .await
            .map(drop)
    }

    /// Starts every node again on its data. All at once: a node whose peers had left before it waits for them.
    ///
    /// # Errors
    /// The first that did not start.
    pub async fn restart(&self) -> Result<(), ManagedError> {
        try_join_all(self.nodes.iter().map(ManagedNode::restart)).await?;
        match self.nodes.len() {
            1 => Ok(()),
            _ => self.whole(self.first().boot_deadline).await,
        }
    }

    /// Stops all processes in their tracks (SIGSTOP).
    ///
    /// # Errors
    /// [`ManagedError::NotRunning`] for a node that is down; the others are paused all the same.
    pub fn pause(&self) -> Result<(), ManagedError> {
        self.each(ManagedNode::pause)
    }

    /// Lets all run on (SIGCONT). Harmless for what was not paused.
    ///
    /// # Errors
    /// As [`ManagedCluster::pause`].
    pub fn resume(&self) -> Result<(), ManagedError> {
        self.each(ManagedNode::resume)
    }

    fn each(&self, steer: impl Fn(&ManagedNode) -> Result<(), ManagedError>) -> Result<(), ManagedError> {
        let steered: Vec<_> = self.nodes.iter().map(steer).collect();
        steered.into_iter().collect()
    }

    /// Kills everything and removes the directories.
    ///
    /// # Errors
    /// [`ManagedError::Io`] when a directory could not be removed; the others are removed all the same.
    pub async fn stop(self) -> Result<(), ManagedError> {
        let stopped = join_all(self.nodes.into_iter().map(ManagedNode::stop)).await;
        stopped.into_iter().collect()
    }
}

/// What a node of a cluster has beside what each node has.
fn of_cluster(options: &ManagedOptions, members: &[Identity], version: Option<&str>) -> ManagedOptions {
    let mut fixed = vec![
        ("cluster_formation.peer_discovery_backend", "classic_config"),
        // A node that was cut off stops serving instead of going its own way, and comes back by itself.
        ("cluster_partition_handling", "pause_minority"),
        // Else every queue would live where the connection that declared it happened to be.
        ("queue_leader_locator", "balanced"),
    ];
    if version.is_some_and(|version| version.starts_with("3.")) {
        // There it is heeded by quorum queues alone.
        fixed.push(("queue_master_locator", "min-masters"));
    }
    let mut settings: Vec<(String, String)> = fixed
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    settings.extend(members.iter().enumerate().map(|(at, member)| {
        let key = format!("cluster_formation.classic_config.nodes.{}", at + 1);
        (key, member.node_name.clone())
    }));
    settings.extend(options.settings.iter().cloned());
    ManagedOptions {
        memory_high_watermark_bytes: options.memory_high_watermark_bytes.or(Some(MEMORY_HIGH_WATERMARK)),
        boot_deadline: options.boot_deadline * BOOT_PATIENCE,
        settings,
        ..options.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_differ_in_their_names_alone_and_each_knows_all() {
        let first = Identity::random().expect("random bytes");
        let second = first.sibling().expect("random bytes");
        assert_ne!(first.node_name, second.node_name);
        assert_eq!(
            (first.cookie.expose(), first.password.expose()),
            (second.cookie.expose(), second.password.expose())
        );
        let members = [first, second];
        let options = of_cluster(&ManagedOptions::default(), &members, Some("4.0.5"));
        for member in &members {
            assert!(options.settings.iter().any(|(_, value)| *value == member.node_name));
        }
        assert_eq!(options.memory_high_watermark_bytes, Some(MEMORY_HIGH_WATERMARK));
    }
}
