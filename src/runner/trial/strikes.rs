//! The faults of a trial: what each finds of broker, network, databases, stages and queues, and how all of them are started.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::depth::Depths;
use super::super::node_down::{Down, NodeDown};
use super::super::node_loss::{NodeLoss, Target};
use super::Fixed;
use crate::broker::{BrokerAlarm, Resource, RunningBroker};
use crate::clock::{Clock, Nanos};
use crate::events::Stage;
use crate::fault::{
    DiskAlarm, EpisodeCourse, Happened, MemoryAlarm, Pausable, ScriptSpan, Strikable, Struck, Switchable, Trouble,
    begin_episode, run_disk_alarm, run_memory_alarm, run_outage, run_pause, run_scripted,
};
use crate::pipeline::strike::{Mark, Strike, Targets};
use crate::pipeline::{Pipeline, StageMeter, StageSwitch};
use crate::workload::model::{Condition, FaultKind, NodeFault, QueueFigure, ScriptedFault};

/// An event of a fault that has been.
pub(super) struct RanFault {
    /// Its position in the script, from 1; absent for one of `[fault]`.
    pub(super) position: Option<u32>,
    /// What a table calls it.
    pub(super) what: String,
    /// What a chart calls its time.
    pub(super) band: String,
    pub(super) stage: Option<Stage>,
    pub(super) point: Option<String>,
    pub(super) consumers: Option<u32>,
    /// The node that was struck, from 1; absent where it was none of several.
    pub(super) node: Option<u32>,
    pub(super) start: Nanos,
    pub(super) healed: Option<Nanos>,
}

/// A running fault: its start and end, absent if the trial ended before it began.
type FaultTask = JoinHandle<Result<Option<(Nanos, Nanos)>, String>>;

/// A fault under way.
pub(super) struct RunningFault {
    /// Its section in workload files.
    pub(super) section: &'static str,
    /// What a chart calls its time.
    pub(super) band: String,
    pub(super) stage: Option<Stage>,
    pub(super) task: FaultTask,
}

/// A fault of the script under way.
pub(super) struct RunningScript {
    /// From 1.
    pub(super) position: u32,
    pub(super) fault: ScriptedFault,
    pub(super) task: JoinHandle<Happened>,
}

/// Events that would disturb each other come one after the other.
#[derive(Default)]
struct Turns {
    /// Nobody starts a broker while somebody else stops it.
    broker: Arc<tokio::sync::Mutex<()>>,
    /// Nobody locks what is locked; by stage.
    databases: [Arc<tokio::sync::Mutex<()>>; Stage::ALL.len()],
}

/// The broker's process as the fault sees it.
struct NodePause(Arc<RunningBroker>);

impl Pausable for NodePause {
    fn pause(&self) -> Result<(), String> {
        let cluster = self.0.cluster().ok_or("only a managed broker can be paused")?;
        cluster.pause().map_err(|error| error.to_string())
    }

    fn resume(&self) -> Result<(), String> {
        let cluster = self.0.cluster().ok_or("only a managed broker can be resumed")?;
        cluster.resume().map_err(|error| error.to_string())
    }
}

/// A stage's consumers as the fault sees them.
struct StageDoor(Arc<StageSwitch>);

impl Switchable for StageDoor {
    fn close(&self) {
        self.0.close();
    }

    fn open(&self) {
        self.0.open();
    }

    fn settled(&self) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(self.0.settled())
    }
}

/// What a fault of the script can wait for.
struct Sight {
    /// Of the fault's stage; absent where it has none.
    meter: Option<Arc<StageMeter>>,
    depths: watch::Receiver<Depths>,
}

impl Sight {
    fn delivered(&self) -> u64 {
        self.meter.as_ref().map_or(0, |meter| meter.delivered())
    }

    fn sees(&self, condition: Condition) -> BoxFuture<'_, ()> {
        let mut sight = self.depths.clone();
        Box::pin(async move {
            if sight.wait_for(|depths| is_so(depths, condition)).await.is_err() {
                // The trial is over, and with it the fault.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Network or broker as a fault of the script finds them: one victim.
struct Surroundings {
    trouble: Arc<dyn Trouble>,
    course: EpisodeCourse,
    sight: Sight,
}

impl Strikable for Surroundings {
    fn consumers(&self) -> u32 {
        1
    }

    fn delivered(&self) -> u64 {
        self.sight.delivered()
    }

    fn sees(&self, condition: Condition) -> BoxFuture<'_, ()> {
        self.sight.sees(condition)
    }

    fn strike(&self, _victims: &[u32], heal: &CancellationToken) -> Arc<dyn Struck> {
        begin_episode(Arc::clone(&self.trouble), self.course.clone(), heal.clone())
    }
}

/// A stage's consumers as a fault of the script finds them.
struct StageTargets {
    fault: ScriptedFault,
    targets: Targets,
    sight: Sight,
    clock: Clock,
}

impl Strikable for StageTargets {
    fn consumers(&self) -> u32 {
        self.targets.count(self.fault.what)
    }

    fn delivered(&self) -> u64 {
        self.sight.delivered()
    }

    fn sees(&self, condition: Condition) -> BoxFuture<'_, ()> {
        self.sight.sees(condition)
    }

    fn strike(&self, victims: &[u32], heal: &CancellationToken) -> Arc<dyn Struck> {
        let mark = Mark::new(self.clock);
        for victim in victims {
            let strike = Strike {
                what: self.fault.what,
                point: self.fault.point,
                restart_after: self.fault.restart_after.as_nanos(),
                heal: heal.clone(),
                mark: Arc::clone(&mark),
            };
            self.targets.strike(*victim, strike);
        }
        Arc::new(StruckConsumers(mark))
    }
}

/// Whether a look at the queues shows this; a queue that did not answer shows nothing.
fn is_so(depths: &Depths, condition: Condition) -> bool {
    let Some(position) = depths.pipeline.position(condition.stage) else {
        return false;
    };
    let messages = match condition.messages {
        QueueFigure::Backlog => depths.backlog(condition.stage),
        QueueFigure::Ready => depths.ready.get(position).copied().flatten(),
        QueueFigure::Unacked => depths.unacked.get(position).copied(),
    };
    messages.is_some_and(|messages| messages >= condition.at_least)
}

/// What became of an event's strikes, as the fault sees it.
struct StruckConsumers(Arc<Mark>);

impl Struck for StruckConsumers {
    fn struck(&self) -> u32 {
        self.0.struck()
    }

    fn struck_at(&self) -> Option<Nanos> {
        self.0.struck_at()
    }

    fn healed_at(&self) -> Option<Nanos> {
        self.0.back_at().filter(|_| self.0.back() >= self.0.struck())
    }

    fn back(&self, consumers: u32) -> BoxFuture<'_, ()> {
        Box::pin(self.0.all_back(consumers))
    }
}

/// An alarm of the broker as its fault sees it.
struct Alarm(BrokerAlarm);

impl MemoryAlarm for Alarm {
    fn raise(&self) -> Result<(), String> {
        self.0.raise()
    }

    fn clear(&self) -> Result<(), String> {
        self.0.clear()
    }
}

impl DiskAlarm for Alarm {
    fn raise(&self) -> Result<(), String> {
        self.0.raise()
    }

    fn clear(&self) -> Result<(), String> {
        self.0.clear()
    }
}

impl Fixed<'_> {
    pub(super) fn start_faults(
        &self,
        began: Nanos,
        pipeline: &Pipeline,
        stop: &CancellationToken,
    ) -> Vec<RunningFault> {
        let faults = &self.stand.workload.faults;
        let (timer, stop) = (self.stand.timer.clone(), stop.clone());
        let mut running = Vec::new();
        let mut started = |section, band: String, stage, task| {
            running.push(RunningFault {
                section,
                band,
                stage,
                task,
            });
        };
        if let Some(pause) = faults.broker_pause.clone() {
            let broker = Arc::new(NodePause(Arc::clone(self.stand.broker)));
            let (timer, stop) = (timer.clone(), stop.clone());
            let task = tokio::spawn(async move { run_pause(pause, broker, began, &timer, &stop).await });
            started("broker_pause", "broker paused".to_owned(), None, task);
        }
        if let Some(stretch) = faults.memory_alarm {
            let broker = Arc::new(Alarm(BrokerAlarm::new(Arc::clone(self.stand.broker), Resource::Memory)));
            let (timer, stop) = (timer.clone(), stop.clone());
            let task = tokio::spawn(async move { run_memory_alarm(stretch, broker, began, &timer, &stop).await });
            started("memory_alarm", "memory alarm".to_owned(), None, task);
        }
        if let Some(stretch) = faults.disk_alarm {
            let broker = Arc::new(Alarm(BrokerAlarm::new(Arc::clone(self.stand.broker), Resource::Disk)));
            let (timer, stop) = (timer.clone(), stop.clone());
            let task = tokio::spawn(async move { run_disk_alarm(stretch, broker, began, &timer, &stop).await });
            started("disk_alarm", "disk alarm".to_owned(), None, task);
        }
        if let Some(outage) = faults.stage_outage.clone()
            && let Some(switch) = pipeline.switch(outage.stage)
        {
            let stage = Some(outage.stage);
            let (band, door) = (format!("{} out", outage.stage), Arc::new(StageDoor(Arc::clone(switch))));
            let task = tokio::spawn(async move { Ok(run_outage(outage, door, began, &timer, &stop).await) });
            started("stage_outage", band, stage, task);
        }
        running
    }

    pub(super) fn start_script(
        &self,
        span: &ScriptSpan,
        sight: &watch::Receiver<Depths>,
        pipeline: &Pipeline,
    ) -> Vec<RunningScript> {
        let script = self.stand.workload.faults.script.iter().enumerate();
        let turns = Turns::default();
        let started = script.filter_map(|(position, fault)| {
            let position = position + 1;
            let targets = self.victims_of((position, fault), &turns, sight, pipeline)?;
            let (planned, span, timer) = (fault.clone(), span.clone(), self.stand.timer.clone());
            let seed = self.trial.seed;
            let task =
                tokio::spawn(async move { run_scripted(&planned, (seed, position), targets, span, &timer).await });
            Some(RunningScript {
                position: position as u32,
                fault: fault.clone(),
                task,
            })
        });
        started.collect()
    }

    /// Whom a fault of the script strikes.
    fn victims_of(
        &self,
        (position, fault): (usize, &ScriptedFault),
        turns: &Turns,
        depths: &watch::Receiver<Depths>,
        pipeline: &Pipeline,
    ) -> Option<Arc<dyn Strikable>> {
        let sight = Sight {
            meter: fault.stage.map(|stage| Arc::clone(pipeline.meter(stage))),
            depths: depths.clone(),
        };
        let timer = self.stand.timer.clone();
        let goes_down = |how| {
            Arc::new(NodeDown {
                broker: Arc::clone(self.stand.broker),
                how,
                acks: pipeline.ack_logs().to_vec(),
                clock: self.stand.clock,
                interrupt: self.stand.interrupt.clone(),
            })
        };
        let (trouble, lasts, turn): (Arc<dyn Trouble>, _, _) = match fault.what {
            FaultKind::Database(database, lasts) => {
                let stage = fault.stage?;
                let trouble = self.databases.trouble(database, stage, pipeline.grip(stage)?.clone());
                (trouble, lasts, Some(Arc::clone(&turns.databases[stage.index()])))
            }
            FaultKind::Network(network, lasts) => (self.network.trouble(network, fault.stage), lasts, None),
            FaultKind::BrokerRestart => (
                goes_down(Down::InOrder),
                fault.restart_after,
                Some(Arc::clone(&turns.broker)),
            ),
            FaultKind::BrokerKill => (
                goes_down(Down::Killed),
                fault.restart_after,
                Some(Arc::clone(&turns.broker)),
            ),
            FaultKind::Node(node, which) => {
                let lasts = match node {
                    NodeFault::Kill | NodeFault::Restart => fault.restart_after,
                    NodeFault::Pause(lasts) | NodeFault::Partition(lasts) => lasts,
                };
                let queue = |stage: Stage| {
                    let name = self.wiring.topology.queue(stage).to_string();
                    (self.stand.uri.vhost().to_owned(), name)
                };
                let target = Target {
                    broker: Arc::clone(self.stand.broker),
                    fault: node,
                    which,
                    queue: fault.stage.filter(|_| which.goes_by_queue()).map(queue),
                };
                let (seed, acks) = ((self.trial.seed, position), pipeline.ack_logs());
                let interrupt = self.stand.interrupt.clone();
                let loss = NodeLoss::new(target, seed, acks, self.stand.clock, interrupt);
                (Arc::new(loss), lasts, Some(Arc::clone(&turns.broker)))
            }
            _ => {
                return Some(Arc::new(StageTargets {
                    fault: fault.clone(),
                    targets: pipeline.targets(fault.stage?)?.clone(),
                    sight,
                    clock: self.stand.clock,
                }));
            }
        };
        Some(Arc::new(Surroundings {
            trouble,
            course: EpisodeCourse {
                lasts: lasts.as_nanos(),
                turn,
                timer,
            },
            sight,
        }))
    }
}

/// What a chart calls the time of a fault of the script.
pub(super) fn band_of(fault: &ScriptedFault, node: Option<u32>) -> String {
    match (node, fault.stage, fault.what) {
        (Some(node), _, what) => format!("{} ({node})", what.name()),
        (None, Some(stage), what) => format!("{stage} {}", what.name()),
        (None, None, what) => what.name().to_owned(),
    }
}

/// Whether single consumers are struck, and can be counted.
pub(super) fn strikes_consumers(fault: &ScriptedFault) -> bool {
    !fault.what.is_of_broker() && !matches!(fault.what, FaultKind::Network(..) | FaultKind::Database(..))
}
