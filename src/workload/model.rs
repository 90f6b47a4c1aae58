//! A valid workload: plain data that every other room reads.
//!
//! Made by [`super::check`] only, from a file and the command line; what stands here has been checked against itself.

use serde::{Deserialize, Serialize};

use super::objective::Objective;
use crate::events::{PipelineKind, Stage};
use crate::units::{Rate, Share, Size, Span};

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Name of the experiment: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    pub name: String,
    /// The question that the file answers: its first comment.
    pub question: String,
    /// Source of all randomness.
    pub seed: u64,
    /// Which pipeline runs.
    pub pipeline: PipelineKind,
    /// How orders arrive.
    pub load: Load,
    /// What is in them.
    pub orders: Orders,
    /// How messages are published, by the load and by every stage.
    pub publish: Publish,
    /// Exchanges and queues.
    pub topology: Topology,
    /// The consumers, by their position in [`PipelineKind::stages`].
    pub stages: Vec<StageSettings>,
    /// What the user counts on; a configuration that cannot give it was refused.
    pub promises: StatedPromises,
    /// Figures that must keep a bound; a run that misses one exits with 4.
    pub objectives: Vec<Objective>,
    /// The end of a trial.
    pub drain: Drain,
    /// How often things are looked at.
    pub sample: Sample,
    /// Trials.
    pub trial: TrialSettings,
    /// What is done to the broker in the middle of a trial.
    pub faults: Faults,
    /// A defect planted on purpose, to see the ledger find it.
    pub canary: Option<Canary>,
}

impl Workload {
    /// The settings of one stage, which must be of this workload's pipeline.
    pub fn stage(&self, stage: Stage) -> &StageSettings {
        let position = self.pipeline.position(stage);
        &self.stages[position.expect("no stage of another pipeline is ever asked for")]
    }
}

/// How orders arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The shape.
    pub arrival: Arrival,
    /// When the load ends.
    pub until: Until,
    /// Time at the start whose orders are in the ledger but not in the measures.
    pub warm_up: Span,
    /// Connections that the load publishes on, 1 to 64.
    pub connections: u32,
    /// Most orders published and not yet answered for by the broker; `None`: no limit.
    pub confirm_window: Option<u32>,
}

/// The shape of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// Open loop, evenly spaced.
    Constant {
        /// Orders per second.
        rate: Rate,
    },
    /// Open loop, exponential gaps.
    Poisson {
        /// Mean orders per second.
        rate: Rate,
    },
    /// Open loop: a base rate, and on top of each period's start a burst.
    Burst {
        /// Orders per second between bursts; may be 0.
        rate: Rate,
        /// Orders per second inside a burst.
        burst_rate: Rate,
        /// Length of a burst.
        width: Span,
        /// From the start of a burst to the start of the next.
        every: Span,
    },
    /// Closed loop: each user places an order, waits for its end, thinks, and places the next.
    Closed {
        /// Users at once.
        users: u32,
        /// Pause between an order's end and the user's next.
        think_time: Span,
    },
}

impl Arrival {
    /// `open loop` or `closed loop`: a figure of one is never compared with a figure of the other.
    pub fn loop_kind(&self) -> &'static str {
        match self {
            Arrival::Closed { .. } => "closed loop",
            _ => "open loop",
        }
    }

    /// Orders per second that the shape averages to; `None` in a closed loop, where the pipeline decides.
    pub fn mean_rate(&self) -> Option<f64> {
        match self {
            Arrival::Constant { rate } | Arrival::Poisson { rate } => Some(rate.per_second()),
            Arrival::Burst {
                rate,
                burst_rate,
                width,
                every,
            } => {
                let share = width.as_secs_f64() / every.as_secs_f64();
                Some(rate.per_second() * (1.0 - share) + burst_rate.per_second() * share)
            }
            Arrival::Closed { .. } => None,
        }
    }
}

/// When the load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// After this time of measuring; the warm-up comes before it.
    Duration(Span),
    /// After this many orders, those of the warm-up among them.
    Orders(u64),
}

/// What is in an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// Different items on sale, 1 to 10,000.
    pub items: u32,
    /// Pieces of each item in stock at the start; `None`: as many as are asked for.
    pub stock_per_item: Option<u64>,
    /// Most lines of an order, 1 to 100; each order draws 1 to this many.
    pub lines_max: u32,
    /// Most pieces of a line, 1 to 1,000.
    pub quantity_max: u32,
    /// Chance that a payment is declined.
    pub payment_decline: Share,
    /// Least size of an event's body; shorter ones are padded.
    pub body_size: Size,
}

/// How messages are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The broker answers for each publish.
    pub confirms: bool,
    /// An unroutable message comes back instead of vanishing.
    pub mandatory: bool,
    /// Messages survive a restart of the broker, where their queue does.
    pub persistent: bool,
    /// After this time without an answer a publish counts as unknown.
    pub confirm_timeout: Span,
}

/// Exchanges and queues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// Type of the order exchange.
    pub order_exchange: ExchangeType,
    /// Exchanges and queues survive a restart of the broker.
    pub durable: bool,
    /// Each queue has a dead-letter queue.
    pub dead_letter: bool,
}

/// Type of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeType {
    /// Exact routing keys; the bindings name each event.
    Direct,
    /// Patterns; `order.*` binds the notification service.
    Topic,
    /// Every queue gets every event, and its consumers drop what is not for them.
    Fanout,
}

/// A stage's consumers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSettings {
    /// Consumers, each on its own channel, 1 to 1,000.
    pub consumers: u32,
    /// Deliveries that a consumer may hold unacknowledged, 1 to 65,535; `None`: no limit.
    pub prefetch: Option<u16>,
    /// Jobs that a consumer works on at once, 1 to 10,000; waiting for confirms is not work.
    pub concurrency: u32,
    /// How long the work on a message takes.
    pub service_time: ServiceTime,
    /// Acknowledgement mode.
    pub ack: AckMode,
    /// Deliveries that one acknowledgement covers, 1 to 65,535.
    pub ack_batch: u16,
    /// Longest that a finished delivery waits for its batch.
    pub ack_flush: Span,
    /// What the stage remembers, to do nothing twice.
    pub dedupe: Dedupe,
}

/// How long the work on a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTime {
    /// None.
    None,
    /// Always the same.
    Fixed(Span),
    /// Evenly spread from the first to the second.
    Uniform(Span, Span),
    /// Exponential, by its mean.
    Exponential(Span),
    /// Log-normal, by its median and its 99th percentile.
    Lognormal(Span, Span),
}

impl ServiceTime {
    /// The mean, in seconds.
    pub fn mean_secs(self) -> f64 {
        match self {
            ServiceTime::None => 0.0,
            ServiceTime::Fixed(time) | ServiceTime::Exponential(time) => time.as_secs_f64(),
            ServiceTime::Uniform(low, high) => (low.as_secs_f64() + high.as_secs_f64()) / 2.0,
            ServiceTime::Lognormal(median, p99) => {
                let sigma = lognormal_sigma(median, p99);
                median.as_secs_f64() * (sigma * sigma / 2.0).exp()
            }
        }
    }
}

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// Sigma of the underlying normal distribution of a log-normal given by its median and its 99th percentile.
pub fn lognormal_sigma(median: Span, p99: Span) -> f64 {
    (p99.as_secs_f64() / median.as_secs_f64()).ln() / NORMAL_P99
}

/// When a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckMode {
    /// By the consumer, once the effect stands and what it emitted is confirmed.
    Manual,
    /// By the broker, as it sends; what is in flight at a crash is lost.
    Auto,
}

/// What a stage remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dedupe {
    /// Nothing: each delivery has its effect.
    None,
    /// Order and event, in the worker's memory, lost at its crash.
    Memory,
}

/// Promises that the user states; `false`: not stated, the configuration alone decides what is promised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedPromises {
    /// No confirmed order is lost.
    pub nothing_lost: bool,
    /// No effect happens twice.
    pub nothing_twice: bool,
    /// No consumer holds more than its prefetch.
    pub prefetch_respected: bool,
}

/// The end of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Longest wait for the pipeline to run empty after the load ends.
    pub deadline: Span,
}

/// How often things are looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Cadence of backlog, CPU and memory, 50 ms to 10 s.
    pub interval: Span,
}

/// Trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSettings {
    /// How often the experiment is repeated, 1 to 1,000.
    pub repeats: u32,
    /// Pause between two trials; none if there is only one.
    pub cool_down: Span,
}

/// What is done to the broker in the middle of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// The broker's process is stopped (SIGSTOP) and goes on later.
    pub broker_pause: Option<BrokerPause>,
}

/// A stop of the broker's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerPause {
    /// From the start of the load.
    pub at: Span,
    /// How long it lasts.
    pub lasts: Span,
}

/// A defect planted on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which.
    pub defect: Defect,
    /// It strikes each n-th order, from 1.
    pub every: u64,
}

/// A defect that the ledger must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// Payment (or the worker) acknowledges without working: the order is stuck, and so lost.
    LoseDelivery,
    /// Inventory has its effect and acknowledges without publishing its event.
    LoseEvent,
    /// Payment charges twice.
    ChargeTwice,
    /// Inventory reserves without looking at the stock.
    Oversell,
    /// Inventory commits twice.
    CommitTwice,
    /// Audit acknowledges without recording.
    SkipAudit,
    /// E-mail acknowledges without sending.
    SkipNotification,
    /// The worker does a job twice.
    WorkTwice,
}

impl Defect {
    /// All defects with their names in workload files.
    pub const NAMES: [(&'static str, Defect); 8] = [
        ("lose-delivery", Defect::LoseDelivery),
        ("lose-event", Defect::LoseEvent),
        ("charge-twice", Defect::ChargeTwice),
        ("oversell", Defect::Oversell),
        ("commit-twice", Defect::CommitTwice),
        ("skip-audit", Defect::SkipAudit),
        ("skip-notification", Defect::SkipNotification),
        ("work-twice", Defect::WorkTwice),
    ];

    /// Whether `pipeline` has the stage that it is planted in.
    pub const fn is_of(self, pipeline: PipelineKind) -> bool {
        match self {
            Defect::LoseDelivery => true,
            Defect::WorkTwice => matches!(pipeline, PipelineKind::WorkQueue),
            Defect::LoseEvent
            | Defect::ChargeTwice
            | Defect::Oversell
            | Defect::CommitTwice
            | Defect::SkipAudit
            | Defect::SkipNotification => matches!(pipeline, PipelineKind::Orders),
        }
    }
}
