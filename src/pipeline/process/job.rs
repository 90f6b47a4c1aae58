//! What a worker is to do: its job, and the commands that follow. One JSON document a line, on its standard input; the
//! broker's address with its password goes nowhere else.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::events::Stage;
use crate::orders::OrderNumber;
use crate::workload::Workload;
use crate::workload::model::{FaultKind, Point};

/// What a worker is to do.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// Its number among all workers of the trial.
    pub worker: u16,
    /// Whose consumers it runs.
    pub stage: Stage,
    /// Which of them.
    pub seats: Range<u32>,
    /// Its position among the stage's processes.
    pub process: u32,
    /// The processes of its stage.
    pub processes: u32,
    /// Whether they consume at once.
    pub open: bool,
    /// The broker's address with its password.
    pub broker: String,
    /// The experiment.
    pub workload: Workload,
    /// The trial's seed.
    pub seed: u64,
    /// The prefix of all names on the broker.
    pub topology: String,
    /// The prefix of order ids.
    pub ids: String,
    /// The run's clock.
    pub clock_origin_ns: u64,
    /// Where the counters are.
    pub tallies: PathBuf,
    /// Where the databases are, if there are any.
    pub site: Option<PathBuf>,
    /// Where to connect instead of the broker's address: its nodes, or proxies in front of them.
    pub ways: Vec<SocketAddr>,
    /// The PostgreSQL server's address with its password, if a stage keeps its state there.
    pub postgres: Option<String>,
    /// Stages that reach that server by another way.
    pub detours: Vec<(Stage, SocketAddr)>,
    /// The run and the trial, which its schemas are named after.
    pub run: String,
    /// Likewise.
    pub trial: u32,
}

/// Never the address.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("worker", &self.worker)
            .field("stage", &self.stage)
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}

/// What a worker is told while it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// A fault strikes one of its consumers, or whichever comes to the point first.
    Strike {
        strike: u64,
        consumer: Option<u32>,
        what: FaultKind,
        point: Option<Point>,
        restart_after: Nanos,
    },
    /// The fault is over.
    Heal { strike: u64 },
    /// Of the orders that the worker asked about these are closed: it may forget them.
    Closed { orders: Vec<OrderNumber> },
    /// Consumers shall consume.
    Open,
    /// Consumers shall stop, and finish what they have begun.
    Close,
    /// The trial is over.
    Stop,
}
