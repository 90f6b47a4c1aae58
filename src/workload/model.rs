//! A valid workload: plain data that every other room reads.
//!
//! Made by [`super::check`] only, from a file and the command line; what stands here has been checked against itself.

use serde::{Deserialize, Serialize};

use super::objective::Objective;
pub use super::pattern::{Arrival, Jitter, LoadPhase, Pattern, Replay, Shape};
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
    /// The broker that is started for the run.
    #[serde(default)]
    pub broker: Broker,
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
    /// The changes that matter when runs of it are compared.
    #[serde(default)]
    pub compare: Compare,
    /// What a plan foretells of a run of it.
    #[serde(default)]
    pub prediction: Prediction,
    /// How lost connections come back.
    #[serde(default)]
    pub recovery: Recovery,
    /// The end of a trial.
    pub drain: Drain,
    /// How often things are looked at.
    pub sample: Sample,
    /// What load and stages speak through.
    #[serde(default)]
    pub driver: Driver,
    /// Trials.
    pub trial: TrialSettings,
    /// What a stage does with a delivery whose handler failed.
    #[serde(default)]
    pub retry: Retry,
    /// What the load publishes beside sound orders.
    #[serde(default)]
    pub messages: BadMessages,
    /// A stage that is held back until its queue has so many messages.
    pub backlog: Option<Backlog>,
    /// What is done to the broker or to a stage in the middle of a trial.
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

    /// Why a message may vanish from a stage's queue by the queue's own rules, with no dead-letter queue to find it in.
    pub fn may_drop(&self, stage: Stage) -> Option<String> {
        let queue = &self.stage(stage).queue;
        let because = |key: &str, what: &str| {
            Some(format!(
                "{key} without topology.dead_letter: {what} is dropped by the broker"
            ))
        };
        if self.topology.dead_letter {
            None
        } else if queue.is_bounded() && queue.overflow == Overflow::DropHead {
            because(
                &format!("stage.{stage}.overflow = \"drop-head\""),
                "what a full queue has no room for",
            )
        } else if queue.message_ttl.is_some() {
            because(&format!("stage.{stage}.message_ttl"), "what waits longer")
        } else if self.publish.ttl.is_some() {
            because("publish.ttl", "what waits longer")
        } else if queue.kind == QueueType::Quorum {
            because(
                &format!("stage.{stage}.queue_type = \"quorum\""),
                "what comes back more often than its delivery limit",
            )
        } else {
            None
        }
    }

    /// Whether a queue may be away for a while, to which nothing is routed meanwhile: a classic one of a node that goes down.
    pub fn routes_may_be_away(&self) -> bool {
        let classic = |settings: &StageSettings| settings.queue.kind == QueueType::Classic;
        self.faults.that_takes_node_down().is_some() && self.stages.iter().any(classic)
    }

    /// Whether a handler of this stage may fail.
    pub fn may_fail(&self, stage: Stage) -> bool {
        let position = self.pipeline.position(stage);
        position.is_some_and(|position| self.stages[position].errors.any())
    }

    /// The policy by which a stage's failed deliveries are tried again; absent where none fails.
    pub fn retries(&self, stage: Stage) -> Option<RetryPolicy> {
        let position = self.pipeline.position(stage)?;
        let fails = self.stages[position].errors.transient.0 > 0.0;
        fails.then_some(self.retry.policy)
    }

    /// Whether the broker counts a stage's retries and gives its messages up: by requeueing to a quorum queue.
    pub fn broker_counts_retries(&self, stage: Stage) -> bool {
        self.retries(stage) == Some(RetryPolicy::Requeue) && self.stage(stage).queue.kind == QueueType::Quorum
    }

    /// Redeliveries after which a stage's quorum queue gives a message up; absent: the broker's default.
    pub fn delivery_limit(&self, stage: Stage) -> Option<u32> {
        let own = self.stage(stage).queue.delivery_limit;
        own.or_else(|| self.broker_counts_retries(stage).then_some(self.retry.limit))
    }

    /// Whether a relay publishes what a stage emits.
    pub fn has_outbox(&self, stage: Stage) -> bool {
        let position = self.pipeline.position(stage);
        position.is_some_and(|position| self.stages[position].publish == Publishing::Outbox)
    }

    /// How long a message may wait in a stage's queue before it expires; absent: for ever.
    pub fn time_to_live(&self, stage: Stage) -> Option<Span> {
        let own = self.stage(stage).queue.message_ttl;
        own.into_iter().chain(self.publish.ttl).min()
    }
}

/// The broker that is started for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Nodes of its cluster: 1, 3 or 5.
    pub nodes: u32,
}

impl Default for Broker {
    fn default() -> Self {
        Broker { nodes: 1 }
    }
}

/// How orders arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What arrives when.
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
    /// Chance that an order is urgent: its latency is a series of its own, and its messages bear [`Orders::urgent_priority`].
    pub urgent: Share,
    /// Priority of an urgent order's messages, 1 to 255; the others bear none, which counts as 0.
    pub urgent_priority: u8,
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
    /// Each message's own time to live in a queue; `None`: no end.
    pub ttl: Option<Span>,
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
    /// What the order exchange cannot route goes to a queue for that, instead of coming back or vanishing.
    pub alternate_exchange: bool,
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
    /// The bindings name each event by a header, `event`.
    Headers,
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
    /// Where the stage keeps its state and what it has done, to do nothing twice.
    pub store: StoreKind,
    /// How what follows from an effect reaches the broker.
    pub publish: Publishing,
    /// Steps that one transaction of a durable store holds, 1 to 10,000.
    pub commit_batch: u32,
    /// Longest that a step waits for its transaction to fill.
    pub commit_flush: Span,
    /// Its queue.
    pub queue: QueueSettings,
    /// Share of the consumers whose work takes longer than the others'.
    pub slow_share: Share,
    /// How many times as long the work of a slow consumer takes, from 2.
    pub slow_factor: u32,
    /// Whose connections its consumers use.
    #[serde(default)]
    pub connection: StageConnection,
    /// Where its consumers run.
    #[serde(default)]
    pub placement: Placement,
    /// Worker processes that they are shared out over, 1 to 64 and no more than there are consumers; 1 in the driver's process.
    #[serde(default = "one")]
    pub processes: u32,
    /// How often its handler fails.
    #[serde(default)]
    pub errors: HandlerErrors,
    /// What a plan foretells of its utilisation.
    #[serde(default)]
    pub predicted_utilisation: Option<Share>,
}

/// Records of before there were worker processes have none.
const fn one() -> u32 {
    1
}

/// How often a stage's handler fails, after its work and before its effect. Which deliveries fail depends on the seed, the
/// message and the attempt alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HandlerErrors {
    /// Share of attempts that fail and may succeed when tried again.
    pub transient: Share,
    /// Share of messages that fail whenever they are tried.
    pub permanent: Share,
    /// Since when, from the start of the load; absent: from its start.
    pub at: Option<Span>,
    /// For how long; absent: to the end of the trial.
    pub lasts: Option<Span>,
}

impl HandlerErrors {
    /// Whether it ever fails.
    pub fn any(&self) -> bool {
        self.transient.0 > 0.0 || self.permanent.0 > 0.0
    }
}

/// What a stage does with a delivery whose handler failed and may yet succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How it is tried again.
    pub policy: RetryPolicy,
    /// Retries before the message is given up, 1 to 100; 0 with [`RetryPolicy::None`].
    pub limit: u32,
    /// The pause before the first retry.
    pub backoff: Span,
    /// How many times as long each next pause is, 1 to 10.
    pub multiplier: u32,
    /// The longest pause.
    pub backoff_max: Span,
    /// How far a pause lies from its middle, at most, as a share of it.
    pub jitter: Share,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            policy: RetryPolicy::Backoff,
            limit: 3,
            backoff: Span::from_millis(100),
            multiplier: 2,
            backoff_max: Span::from_secs(30),
            jitter: Share(0.2),
        }
    }
}

impl Retry {
    /// The middle of the pause before retry `retry`, from 1.
    pub fn pause(&self, retry: u32) -> Span {
        let mut pause = self.backoff;
        for _ in 1..retry {
            let longer = pause.0.saturating_mul(self.multiplier);
            if Span(longer) >= self.backoff_max || longer == pause.0 {
                pause = Span(longer).min(self.backoff_max);
                break;
            }
            pause = Span(longer);
        }
        pause.min(self.backoff_max)
    }
}

/// How a delivery whose handler failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryPolicy {
    /// Not at all: it is given up at its first error.
    None,
    /// It goes back to its queue at once; the consumers count, on a quorum queue the broker does.
    Requeue,
    /// The message is published again to its queue, with a counter.
    Republish,
    /// The message is published with a counter to a queue without consumers, from which it expires back to its own.
    Backoff,
}

impl RetryPolicy {
    /// All policies with their names in workload files.
    pub const NAMES: [(&'static str, RetryPolicy); 4] = [
        ("none", RetryPolicy::None),
        ("requeue", RetryPolicy::Requeue),
        ("republish", RetryPolicy::Republish),
        ("backoff", RetryPolicy::Backoff),
    ];

    /// The name in workload files.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// Why a stage put a message into its dead-letter queue itself. What it merely rejects bears the broker's own reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// Its handler fails at the message whenever it is tried.
    PermanentError,
    /// Its handler failed at the last attempt that there is.
    RetryLimit,
}

impl GiveUp {
    /// The header's value.
    pub const fn name(self) -> &'static str {
        match self {
            GiveUp::PermanentError => "permanent_error",
            GiveUp::RetryLimit => "retry_limit",
        }
    }
}

/// What the load publishes beside its orders: for the given shares of them a message that is not a sound new order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BadMessages {
    /// Share of orders whose message is published twice.
    pub duplicates: Share,
    /// Shares of orders beside which a bad message goes, by [`BadKind`].
    pub bad: [Share; BadKind::ALL.len()],
    /// Largest body that a stage takes where there are oversize messages, bytes.
    pub size_limit: Size,
}

impl Default for BadMessages {
    fn default() -> Self {
        BadMessages {
            duplicates: Share(0.0),
            bad: [Share(0.0); BadKind::ALL.len()],
            size_limit: Size(64 << 10),
        }
    }
}

impl BadMessages {
    /// Share of orders beside which a message of this kind goes.
    pub fn share(&self, kind: BadKind) -> Share {
        self.bad[kind as usize]
    }

    /// Whether there is any bad message at all.
    pub fn any_bad(&self) -> bool {
        self.bad.iter().any(|share| share.0 > 0.0)
    }

    /// Largest body that a stage takes; absent: any.
    pub fn body_max(&self) -> Option<u64> {
        (self.share(BadKind::Oversize).0 > 0.0).then_some(self.size_limit.0)
    }
}

/// What is wrong with a bad message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadKind {
    /// Its body is no JSON.
    Malformed,
    /// A field of its body has another type.
    WrongType,
    /// A field of its body is missing.
    MissingField,
    /// Its body has a schema version that nobody knows.
    UnknownVersion,
    /// Its body is larger than the stages take.
    Oversize,
    /// No queue gets it.
    Unroutable,
}

impl BadKind {
    /// All of them.
    pub const ALL: [BadKind; 6] = [
        BadKind::Malformed,
        BadKind::WrongType,
        BadKind::MissingField,
        BadKind::UnknownVersion,
        BadKind::Oversize,
        BadKind::Unroutable,
    ];

    /// The name in workload files, headers and tables.
    pub const fn name(self) -> &'static str {
        match self {
            BadKind::Malformed => "malformed",
            BadKind::WrongType => "wrong_type",
            BadKind::MissingField => "missing_field",
            BadKind::UnknownVersion => "unknown_version",
            BadKind::Oversize => "oversize",
            BadKind::Unroutable => "unroutable",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<BadKind> {
        BadKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A stage's queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Its type.
    pub kind: QueueType,
    /// Most ready messages; `None`: no limit.
    pub max_length: Option<u64>,
    /// Most bytes of ready messages' bodies; `None`: no limit.
    pub max_length_bytes: Option<u64>,
    /// What happens to a message beyond a limit; without one it never does.
    pub overflow: Overflow,
    /// How long a message may wait in it; `None`: for ever.
    pub message_ttl: Option<Span>,
    /// Highest priority that it tells apart, 1 to 255; `None`: no priority queue.
    pub max_priority: Option<u8>,
    /// One consumer at a time gets all deliveries; the others stand by.
    pub single_active_consumer: bool,
    /// Deliveries after which a quorum queue gives a message up; `None`: the broker's default.
    pub delivery_limit: Option<u32>,
}

impl QueueSettings {
    /// Whether it has a length limit.
    pub fn is_bounded(&self) -> bool {
        self.max_length.is_some() || self.max_length_bytes.is_some()
    }
}

/// Type of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueType {
    /// On one node.
    #[default]
    Classic,
    /// Replicated by Raft, where there are several nodes; always durable.
    Quorum,
}

/// What happens to a message beyond a queue's length limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest ready message makes room: dropped, or dead-lettered as `maxlen`.
    #[default]
    DropHead,
    /// The new message is refused with a negative confirm.
    RejectPublish,
    /// As above, and the refused message is dead-lettered as `maxlen`.
    RejectPublishDlx,
}

impl Overflow {
    /// All modes with their names in workload files, which are also the broker's.
    pub const NAMES: [(&'static str, Overflow); 3] = [
        ("drop-head", Overflow::DropHead),
        ("reject-publish", Overflow::RejectPublish),
        ("reject-publish-dlx", Overflow::RejectPublishDlx),
    ];

    /// The name in workload files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl StageSettings {
    /// Consumers whose work takes longer: the first ones.
    pub fn slow_consumers(&self) -> u32 {
        (self.slow_share.0 * f64::from(self.consumers)).round() as u32
    }

    /// Messages per second that the consumers can work off by their service time alone; absent where the work takes no time.
    pub fn service_rate(&self) -> Option<f64> {
        let mean_s = self.service_time.mean_secs();
        let slow = f64::from(self.slow_consumers());
        let pace = f64::from(self.consumers) - slow + slow / f64::from(self.slow_factor.max(1));
        (mean_s > 0.0).then(|| pace * f64::from(self.concurrency) / mean_s)
    }
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

/// Whose connections the consumers of a stage use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageConnection {
    /// All of them share a pair, one to consume and one to publish.
    #[default]
    Shared,
    /// Each has a pair of its own, as a process has.
    Own,
}

/// Where the consumers of a stage run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// In the driver.
    #[default]
    InProcess,
    /// In worker processes, which can be killed.
    Process,
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

/// Where a stage keeps its state and what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Nowhere: each delivery has its effect.
    None,
    /// In this process, lost with it.
    Memory,
    /// In a SQLite file of the stage's own.
    Sqlite,
    /// In a schema of the stage's own on a PostgreSQL server.
    Postgres,
}

impl StoreKind {
    /// All kinds with their names in workload files.
    pub const NAMES: [(&'static str, StoreKind); 4] = [
        ("none", StoreKind::None),
        ("memory", StoreKind::Memory),
        ("sqlite", StoreKind::Sqlite),
        ("postgres", StoreKind::Postgres),
    ];

    /// The name in workload files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// Whether what is committed survives the process.
    pub const fn is_durable(self) -> bool {
        matches!(self, StoreKind::Sqlite | StoreKind::Postgres)
    }
}

/// How what follows from an effect reaches the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Publishing {
    /// By the consumer after the commit; a redelivery publishes again what may not have gone out.
    Republish,
    /// By the consumer after the commit; a redelivery is a repetition and publishes nothing.
    DualWrite,
    /// By a relay, from rows that the effect's own transaction wrote.
    Outbox,
}

impl Publishing {
    /// All ways with their names in workload files.
    pub const NAMES: [(&'static str, Publishing); 3] = [
        ("republish", Publishing::Republish),
        ("dual-write", Publishing::DualWrite),
        ("outbox", Publishing::Outbox),
    ];

    /// The name in workload files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
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
    /// What the broker confirmed is still there after a restart of the broker.
    pub survives_broker_restart: bool,
}

/// What a plan foretells; the utilisation of a stage stands with its settings. It says nothing about how a run is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prediction {
    /// Orders per second that the narrowest stage can take.
    pub sustainable_rate: Option<Rate>,
    /// From the peak of the greatest planned overload until nothing waits any more.
    pub drain_time: Option<Span>,
    /// Messages in all queues together at that peak.
    pub backlog_max: Option<u64>,
    /// 99th percentile of the end-to-end latency.
    pub end_to_end_p99: Option<Span>,
}

/// How a lost connection, channel or consumer comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// First pause before an attempt; each next one is twice as long.
    pub backoff_initial: Span,
    /// Longest pause.
    pub backoff_max: Span,
    /// Away for longer, it ends the trial.
    pub give_up_after: Span,
    /// Silence of twice this long is the end of a connection; absent: as the broker proposes.
    #[serde(default)]
    pub heartbeat: Option<Span>,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            backoff_initial: Span::from_millis(100),
            backoff_max: Span::from_secs(5),
            give_up_after: Span::from_secs(30),
            heartbeat: None,
        }
    }
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

/// What load and stages speak through.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// The AMQP client.
    pub client: Client,
}

/// An AMQP client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// lapin, as an application in Rust has it.
    #[default]
    Lapin,
    /// Our own, which costs less and serves nothing but this program.
    Direct,
}

impl Client {
    /// All clients with their names in workload files.
    pub const NAMES: [(&'static str, Client); 2] = [("lapin", Client::Lapin), ("direct", Client::Direct)];

    /// The name in workload files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// Trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSettings {
    /// How often the experiment is repeated, 1 to 1,000.
    pub repeats: u32,
    /// Pause between two trials; none if there is only one.
    pub cool_down: Span,
}

/// The smallest changes that matter when two runs are compared, each above 0 and under 100 %: shares of the base's value, for
/// `redelivered` a difference of shares. They say nothing about how a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compare {
    /// Of orders finished per second.
    pub goodput: Share,
    /// Of the median end-to-end latency.
    pub end_to_end_p50: Share,
    /// Of its 99th percentile.
    pub end_to_end_p99: Share,
    /// Of the drain time.
    pub drain_time: Share,
    /// Of the driver's processor time per order.
    pub driver_cpu: Share,
    /// Of the share of deliveries that are redeliveries.
    pub redelivered: Share,
}

impl Default for Compare {
    fn default() -> Self {
        Compare {
            goodput: Share(0.05),
            end_to_end_p50: Share(0.10),
            end_to_end_p99: Share(0.10),
            drain_time: Share(0.15),
            driver_cpu: Share(0.10),
            redelivered: Share(0.001),
        }
    }
}

/// A backlog that is to build up before its stage begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    /// Whose consumers are held back.
    pub stage: Stage,
    /// They begin when so many messages are ready in their queue, 1 or more.
    pub messages: u64,
    /// What the load does then.
    pub arrivals: BacklogArrivals,
}

/// What the load does when the backlog stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BacklogArrivals {
    /// It goes on.
    Continue,
    /// It ends.
    Stop,
}

/// What is done to the broker or to a stage in the middle of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// The consumers of a stage stop and return later.
    pub stage_outage: Option<StageOutage>,
    /// The broker's process is stopped (SIGSTOP) and goes on later.
    pub broker_pause: Option<BrokerPause>,
    /// The broker's memory limit is lowered below what it uses, and restored.
    pub memory_alarm: Option<Stretch>,
    /// The broker's limit of free disk space is raised above what there is, and restored.
    pub disk_alarm: Option<Stretch>,
    /// What is done to consumers, network and broker, in the order of the file.
    #[serde(default)]
    pub script: Vec<ScriptedFault>,
}

impl Faults {
    /// Whether the broker, or a node of it, goes down and comes back on its data.
    pub fn take_broker_down(&self) -> bool {
        self.that_takes_down().is_some()
    }

    /// The first fault of the script that strikes the broker or a node of it: its position, from 1, and its name.
    pub fn of_broker(&self) -> Option<(usize, &'static str)> {
        self.first(FaultKind::is_of_broker)
    }

    /// The first fault of the script that takes the broker or a node of it down: its position, from 1, and its name.
    pub fn that_takes_down(&self) -> Option<(usize, &'static str)> {
        self.first(FaultKind::takes_down)
    }

    /// The first fault of the script that takes one node of several down: its position, from 1, and its name.
    pub fn that_takes_node_down(&self) -> Option<(usize, &'static str)> {
        self.first(|what| what.takes_down() && matches!(what, FaultKind::Node(..)))
    }

    fn first(&self, is: impl Fn(FaultKind) -> bool) -> Option<(usize, &'static str)> {
        let mut script = self.script.iter().enumerate();
        let (position, fault) = script.find(|(_, fault)| is(fault.what))?;
        Some((position + 1, fault.what.name()))
    }
}

/// One `[[faults]]` of a workload file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptedFault {
    /// What is done.
    pub what: FaultKind,
    /// Whose consumers, connections or database, or whose queue a node is chosen by; absent for a network fault of everybody, and
    /// for the broker.
    pub stage: Option<Stage>,
    /// When.
    pub when: When,
    /// To how many consumers.
    pub whom: Whom,
    /// How long a consumer or the broker stays away before it comes back.
    pub restart_after: Span,
    /// Where in its handler a consumer is struck; absent: wherever it is.
    pub point: Option<Point>,
}

/// What is done to consumers, to the network, to a database or to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Its connections end with no goodbye.
    ConnectionDrop,
    /// Its channel is closed.
    ChannelClose,
    /// It stops consuming, and finishes what it has begun.
    ConsumerCancel,
    /// It stands still with what it holds, for this long.
    Hang(Span),
    /// Its handler panics.
    Panic,
    /// Its process is killed, as a crash does.
    Sigkill,
    /// Its process stands still, for this long.
    Sigstop(Span),
    /// The network between clients and broker is like this, for so long.
    Network(NetworkFault, Span),
    /// The stage's database is like this, for so long.
    Database(DatabaseFault, Span),
    /// The broker is stopped in order and started on the same data.
    BrokerRestart,
    /// The broker is killed (SIGKILL) and started on the same data.
    BrokerKill,
    /// One node of the broker's cluster is struck.
    Node(NodeFault, WhichNode),
}

/// What is done to a node of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeFault {
    /// It is killed (SIGKILL) and started on the same data.
    Kill,
    /// It is stopped in order and started on the same data.
    Restart,
    /// Its process stands still (SIGSTOP), for so long.
    Pause(Span),
    /// It is cut off from the other nodes, for so long; clients reach it all the same.
    Partition(Span),
}

/// Which node of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichNode {
    /// By its number, from 1.
    Number(u32),
    /// The one that leads the stage's queue.
    Leader,
    /// One that does not, drawn each time.
    Follower,
    /// Any, drawn each time.
    Random,
}

impl WhichNode {
    /// All that can be written: numbers as they are.
    pub const NAMES: [&'static str; 8] = ["1", "2", "3", "4", "5", "leader", "follower", "random"];

    /// By its name.
    pub fn by_name(name: &str) -> Option<WhichNode> {
        match name {
            "leader" => Some(WhichNode::Leader),
            "follower" => Some(WhichNode::Follower),
            "random" => Some(WhichNode::Random),
            number => number.parse().ok().map(WhichNode::Number),
        }
    }

    /// Whether it is chosen by who leads a queue.
    pub const fn goes_by_queue(self) -> bool {
        matches!(self, WhichNode::Leader | WhichNode::Follower)
    }
}

/// What is wrong with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkFault {
    /// Everything comes later, each way.
    Delay {
        /// By so much,
        delay: Span,
        /// give or take up to this.
        jitter: Span,
    },
    /// So many bytes per second pass, each way.
    Bandwidth(Size),
    /// Nothing passes and nothing closes.
    Stall,
    /// Connections are closed, new ones are refused.
    Cut,
    /// Connections are reset, new ones too.
    Reset,
    /// Connections go on to look open, and nothing passes on them any more; new ones are whole.
    HalfOpen,
}

/// What is wrong with a stage's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseFault {
    /// Connections are closed, new ones are refused.
    Unreachable,
    /// Each commit to a file takes so much longer; to and from a server everything comes so much later, each way.
    Slow {
        /// By so much.
        delay: Span,
    },
    /// Another connection keeps every change from being made; look-ups go on.
    Locked,
}

impl FaultKind {
    /// The names in workload files.
    pub const NAMES: [&'static str; 22] = [
        "connection-drop",
        "channel-close",
        "consumer-cancel",
        "hang",
        "panic",
        "network-delay",
        "network-bandwidth",
        "network-stall",
        "network-cut",
        "network-reset",
        "network-half-open",
        "broker-restart",
        "broker-kill",
        "database-unreachable",
        "database-slow",
        "database-locked",
        "sigkill",
        "sigstop",
        "node-kill",
        "node-restart",
        "node-pause",
        "node-partition",
    ];

    /// The name in workload files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::ConnectionDrop => Self::NAMES[0],
            FaultKind::ChannelClose => Self::NAMES[1],
            FaultKind::ConsumerCancel => Self::NAMES[2],
            FaultKind::Hang(_) => Self::NAMES[3],
            FaultKind::Panic => Self::NAMES[4],
            FaultKind::Network(NetworkFault::Delay { .. }, _) => Self::NAMES[5],
            FaultKind::Network(NetworkFault::Bandwidth(_), _) => Self::NAMES[6],
            FaultKind::Network(NetworkFault::Stall, _) => Self::NAMES[7],
            FaultKind::Network(NetworkFault::Cut, _) => Self::NAMES[8],
            FaultKind::Network(NetworkFault::Reset, _) => Self::NAMES[9],
            FaultKind::Network(NetworkFault::HalfOpen, _) => Self::NAMES[10],
            FaultKind::BrokerRestart => Self::NAMES[11],
            FaultKind::BrokerKill => Self::NAMES[12],
            FaultKind::Database(DatabaseFault::Unreachable, _) => Self::NAMES[13],
            FaultKind::Database(DatabaseFault::Slow { .. }, _) => Self::NAMES[14],
            FaultKind::Database(DatabaseFault::Locked, _) => Self::NAMES[15],
            FaultKind::Sigkill => Self::NAMES[16],
            FaultKind::Sigstop(_) => Self::NAMES[17],
            FaultKind::Node(NodeFault::Kill, _) => Self::NAMES[18],
            FaultKind::Node(NodeFault::Restart, _) => Self::NAMES[19],
            FaultKind::Node(NodeFault::Pause(_), _) => Self::NAMES[20],
            FaultKind::Node(NodeFault::Partition(_), _) => Self::NAMES[21],
        }
    }

    /// Whether it is done to worker processes, not to single consumers.
    pub const fn strikes_processes(self) -> bool {
        matches!(self, FaultKind::Sigkill | FaultKind::Sigstop(_))
    }

    /// Whether the broker, or a node of it, is struck.
    pub const fn is_of_broker(self) -> bool {
        matches!(
            self,
            FaultKind::BrokerRestart | FaultKind::BrokerKill | FaultKind::Node(..)
        )
    }

    /// Whether the broker, or a node of it, goes down: what it had in memory alone is gone.
    pub const fn takes_down(self) -> bool {
        self.is_of_broker() && !matches!(self, FaultKind::Node(NodeFault::Pause(_), _))
    }
}

/// When a fault happens; times count from the start of the load, with which every fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Once.
    At(Span),
    /// Again and again.
    Repeated {
        /// How the instants lie.
        pace: Pace,
        /// None after this.
        until: Option<Span>,
        /// No more than so many.
        times: Option<u64>,
    },
    /// Once, when a queue is first seen like this.
    On(Condition),
    /// Once, when the stage has had so many deliveries.
    After(u64),
}

/// How the instants of a repeated fault lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// As far from each other, and the first as far from the start.
    Every(Span),
    /// At random, as a Poisson process of that rate.
    Random(crate::units::Rate),
}

/// How many consumers of a stage a fault strikes; which ones is drawn each time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// So many.
    Count(u32),
    /// This share of them, at least one.
    Share(Share),
}

impl Whom {
    /// Consumers struck of `consumers`.
    pub fn of(self, consumers: u32) -> u32 {
        match self {
            Whom::Count(count) => count.min(consumers),
            Whom::Share(share) => ((share.0 * f64::from(consumers)).round() as u32).clamp(1, consumers),
        }
    }
}

/// A point in the handler of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// The work is done, and has had no effect.
    BeforeEffect,
    /// The effect stands, and its event is not published.
    EffectToPublish,
    /// The event is published, and not confirmed.
    PublishToConfirm,
    /// The event is confirmed, and the delivery not acknowledged.
    ConfirmToAck,
}

impl Point {
    /// All of them with their names in workload files.
    pub const NAMES: [(&'static str, Point); 4] = [
        ("before-effect", Point::BeforeEffect),
        ("effect-to-publish", Point::EffectToPublish),
        ("publish-to-confirm", Point::PublishToConfirm),
        ("confirm-to-ack", Point::ConfirmToAck),
    ];

    /// The name in workload files.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// What a stage's queue looks like: `inventory.backlog >= 1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Whose queue.
    pub stage: Stage,
    /// Which of its messages.
    pub messages: QueueFigure,
    /// How many there are at least, 1 or more.
    pub at_least: u64,
}

/// A count of a queue's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueFigure {
    /// Ready and unacked.
    Backlog,
    /// Ready.
    Ready,
    /// Unacked.
    Unacked,
}

impl QueueFigure {
    const NAMES: [(&'static str, QueueFigure); 3] = [
        ("backlog", QueueFigure::Backlog),
        ("ready", QueueFigure::Ready),
        ("unacked", QueueFigure::Unacked),
    ];
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is no condition; write one such as \"inventory.backlog >= 1000\" (backlog, ready or unacked)"
            )
        };
        let (left, right) = text.split_once(">=").ok_or_else(expected)?;
        let (stage, figure) = left.trim().split_once('.').ok_or_else(expected)?;
        let stage = Stage::ALL
            .into_iter()
            .find(|known| known.name() == stage)
            .ok_or_else(expected)?;
        let named = QueueFigure::NAMES.into_iter().find(|(name, _)| *name == figure);
        let at_least = right.trim().replace('_', "").parse().map_err(|_| expected())?;
        match named {
            Some((_, messages)) if at_least > 0 => Ok(Condition {
                stage,
                messages,
                at_least,
            }),
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let figure = QueueFigure::NAMES[self.messages as usize].0;
        write!(f, "{}.{figure} >= {}", self.stage, self.at_least)
    }
}

/// When a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// From the start of the load.
    pub at: Span,
    /// How long it lasts.
    pub lasts: Span,
}

/// A stop of a stage's consumers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageOutage {
    /// Which.
    pub stage: Stage,
    /// From the start of the load.
    pub at: Span,
    /// How long it lasts.
    pub lasts: Span,
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

impl Canary {
    /// Whether this defect is planted, and strikes this order.
    pub fn strikes(&self, defect: Defect, order: u64) -> bool {
        self.defect == defect && order % self.every == self.every - 1
    }
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
    /// The relay of inventory marks a row of the outbox as sent without publishing it.
    SkipRelay,
    /// Order completes an order that is only paid.
    SkipAhead,
    /// Payment rejects a sound message: a dead letter without a cause.
    RejectSound,
    /// Payment does not remember its effect: a redelivery has it again.
    ForgetEffect,
    /// Payment acknowledges a delivery whose handler failed, instead of trying it again: the order is lost.
    DropRetry,
    /// Payment tries a failed message again beyond the limit.
    RetryForever,
}

impl Defect {
    /// All defects with their names in workload files.
    pub const NAMES: [(&'static str, Defect); 14] = [
        ("lose-delivery", Defect::LoseDelivery),
        ("lose-event", Defect::LoseEvent),
        ("charge-twice", Defect::ChargeTwice),
        ("oversell", Defect::Oversell),
        ("commit-twice", Defect::CommitTwice),
        ("skip-audit", Defect::SkipAudit),
        ("skip-notification", Defect::SkipNotification),
        ("work-twice", Defect::WorkTwice),
        ("skip-relay", Defect::SkipRelay),
        ("skip-ahead", Defect::SkipAhead),
        ("reject-sound", Defect::RejectSound),
        ("forget-effect", Defect::ForgetEffect),
        ("drop-retry", Defect::DropRetry),
        ("retry-forever", Defect::RetryForever),
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
            | Defect::SkipNotification
            | Defect::SkipRelay
            | Defect::SkipAhead
            | Defect::RejectSound
            | Defect::ForgetEffect
            | Defect::DropRetry
            | Defect::RetryForever => matches!(pipeline, PipelineKind::Orders),
        }
    }
}
