//! One node of a managed cluster that goes down, stands still or is cut off from the others, and comes back.
//!
//! The others go on. Which node it is may follow from who leads a queue, which is asked when the fault begins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::broker::RunningBroker;
use crate::broker::managed::{ManagedCluster, ManagedNode};
use crate::clock::Clock;
use crate::fault::{Hold, Trouble};
use crate::pipeline::AckLog;
use crate::rng::{self, Stream};
use crate::workload::model::{NodeFault, WhichNode};

/// Longest wait for a node that runs on to be a member again: by the first of them it may have been given up (60 s of silence).
const MEMBER_PATIENCE: Duration = Duration::from_secs(90);

/// The fault.
#[derive(Debug)]
pub struct NodeLoss {
    pub broker: Arc<RunningBroker>,
    pub fault: NodeFault,
    pub which: WhichNode,
    /// Virtual host and name of the queue that a node is chosen by.
    pub queue: Option<(String, String)>,
    /// The stages' logs of what they acknowledged: they are told when a node is gone.
    pub acks: Vec<Arc<AckLog>>,
    pub clock: Clock,
    /// The user wants to leave: a node that is down need not come back first.
    pub interrupt: CancellationToken,
    draws: Mutex<Stream>,
    /// The one struck last, from 1.
    struck: Mutex<Option<u32>>,
}

/// What of a cluster is struck, and by what it is chosen.
#[derive(Debug)]
pub struct Target {
    pub broker: Arc<RunningBroker>,
    pub fault: NodeFault,
    pub which: WhichNode,
    pub queue: Option<(String, String)>,
}

/// A node that was struck. Dropping it brings back at once what does not have to boot.
struct Away {
    broker: Arc<RunningBroker>,
    at: usize,
    fault: NodeFault,
}

impl NodeLoss {
    /// A fault at `position` of the script, whose draws come from `seed`.
    pub fn new(
        target: Target,
        (seed, position): (u64, usize),
        acks: &[Arc<AckLog>],
        clock: Clock,
        interrupt: CancellationToken,
    ) -> Self {
        let Target {
            broker,
            fault,
            which,
            queue,
        } = target;
        NodeLoss {
            broker,
            fault,
            which,
            queue,
            acks: acks.to_vec(),
            clock,
            interrupt,
            draws: Mutex::new(rng::stream(seed, &format!("fault.{position}.node"), 0)),
            struck: Mutex::default(),
        }
    }

    fn cluster(&self) -> Result<&ManagedCluster, String> {
        cluster(&self.broker)
    }

    /// One of `choices`, each as likely as the others.
    fn draw(&self, choices: &[usize]) -> Option<usize> {
        let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        let unit = (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        choices.get((unit * choices.len() as f64) as usize).copied()
    }

    /// The position of the node that is to be struck now.
    async fn choose(&self) -> Result<usize, String> {
        let nodes = self.cluster()?.nodes().len();
        let all: Vec<usize> = (0..nodes).collect();
        let chosen = match self.which {
            WhichNode::Number(number) => (number as usize).checked_sub(1).filter(|at| *at < nodes),
            WhichNode::Random => self.draw(&all),
            WhichNode::Leader => Some(self.leader().await?),
            WhichNode::Follower => {
                let leader = self.leader().await?;
                let others: Vec<usize> = all.into_iter().filter(|at| *at != leader).collect();
                self.draw(&others)
            }
        };
        chosen.ok_or_else(|| format!("the cluster has {nodes} nodes, and none of them is meant"))
    }

    /// The node that leads the queue, as the management API says.
    async fn leader(&self) -> Result<usize, String> {
        let (vhost, name) = self.queue.as_ref().ok_or("no stage's queue to go by")?;
        let api = self.broker.management().ok_or("nobody to ask who leads a queue")?;
        let queues = api.queues(vhost).await.map_err(|error| error.to_string())?;
        let queue = queues.into_iter().find(|queue| queue.name == *name);
        let leader = queue.and_then(|queue| queue.leader.or(queue.node));
        let nodes = self.cluster()?.nodes();
        let at = leader.and_then(|leader| nodes.iter().position(|node| node.name() == leader));
        at.ok_or_else(|| format!("nobody leads the queue {name}"))
    }

    async fn strike(&self, at: usize) -> Result<(), String> {
        let node = &self.cluster()?.nodes()[at];
        let told = self.clock.now();
        let struck = match self.fault {
            NodeFault::Kill => node.kill().await,
            NodeFault::Restart => node.shut_down().await,
            NodeFault::Pause(_) => return node.pause().map_err(|error| error.to_string()),
            NodeFault::Partition(_) => {
                let broker = Arc::clone(&self.broker);
                blocking(move || cut_off(&broker, at)).await?;
                Ok(())
            }
        };
        for log in &self.acks {
            log.broker_is_gone(told);
        }
        struck.map_err(|error| error.to_string())
    }

    async fn bring_back(&self, away: Away) -> Result<(), String> {
        let cluster = self.cluster()?;
        match self.fault {
            NodeFault::Kill | NodeFault::Restart => {
                let node = &cluster.nodes()[away.at];
                node.restart().await.map_err(|error| error.to_string())?;
            }
            // A rejoin may block for a moment.
            NodeFault::Pause(_) | NodeFault::Partition(_) => blocking(move || away.undo()).await?,
        }
        cluster.whole(MEMBER_PATIENCE).await.map_err(|error| error.to_string())
    }
}

impl Trouble for NodeLoss {
    fn begin(&self) -> BoxFuture<'_, Result<Hold, String>> {
        Box::pin(async {
            let at = self.choose().await?;
            *self.struck.lock().unwrap_or_else(PoisonError::into_inner) = Some(at as u32 + 1);
            // Held before anything is done: whatever stops half-way is undone.
            let away = Away {
                broker: Arc::clone(&self.broker),
                at,
                fault: self.fault,
            };
            self.strike(at).await?;
            Ok(Box::new(away) as Hold)
        })
    }

    fn heal(&self, hold: Hold) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let away = hold.downcast::<Away>().map_err(|_| "this was not begun here")?;
            tokio::select! {
                back = self.bring_back(*away) => back,
                // It goes with the run.
                () = self.interrupt.cancelled() => Ok(()),
            }
        })
    }

    /// More than an orderly stop, a boot of a busy machine and the way back into the cluster may take together.
    fn patience(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn is_back(&self) -> bool {
        let cluster = self.broker.cluster();
        cluster.is_some_and(ManagedCluster::runs)
    }

    fn victim(&self) -> Option<u32> {
        *self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Away {
    /// Undoes what needs no boot; harmless a second time.
    fn undo(&self) -> Result<(), String> {
        match self.fault {
            NodeFault::Kill | NodeFault::Restart => Ok(()),
            NodeFault::Pause(_) => {
                let node = &cluster(&self.broker)?.nodes()[self.at];
                node.resume().map_err(|error| error.to_string())
            }
            NodeFault::Partition(_) => rejoin(&self.broker, self.at),
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if matches!(self.fault, NodeFault::Pause(_)) {
            // One that was killed meanwhile has nothing to be continued.
            let _ = self.undo();
        }
    }
}

fn cluster(broker: &RunningBroker) -> Result<&ManagedCluster, String> {
    let cluster = broker.cluster();
    cluster.ok_or_else(|| "only a node of a managed broker can be struck".to_owned())
}

/// Off the async threads: it waits for other programs.
async fn blocking(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("it was broken off".to_owned()))
}

/// Has a node take every other for a stranger, by a cookie that they do not have, and part from them.
fn cut_off(broker: &RunningBroker, at: usize) -> Result<(), String> {
    of_others(broker, at, |other| {
        format!("begin erlang:set_cookie('{other}', orderstorm_partition), erlang:disconnect_node('{other}') end")
    })
}

/// Has it know them again.
fn rejoin(broker: &RunningBroker, at: usize) -> Result<(), String> {
    of_others(broker, at, |other| {
        format!("begin erlang:set_cookie('{other}', erlang:get_cookie()), net_adm:ping('{other}') end")
    })
}

/// Evaluates an expression about each other node on the node at `at`.
fn of_others(broker: &RunningBroker, at: usize, expression: impl Fn(&str) -> String) -> Result<(), String> {
    let nodes = cluster(broker)?.nodes();
    let others = nodes.iter().enumerate().filter(|(other, _)| *other != at);
    let each: Vec<String> = others.map(|(_, other)| expression(ManagedNode::name(other))).collect();
    let said = nodes[at].evaluate(&format!("[{}]", each.join(", ")));
    said.map(drop).map_err(|error| error.to_string())
}
