//! `run.json`: everything about a run, schema-versioned.
//!
//! Absent values are absent (`null` or missing), never zero. Times inside a trial are seconds since the load began.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::capacity::CapacityRecord;
use crate::events::Stage;
use crate::ledger::{LedgerReport, PromiseReport, Verdict};
use crate::measure::Summary;
use crate::workload::Workload;
use crate::workload::model::{RetryPolicy, StoreKind};
use crate::workload::objective::{Figure, Rule, Unit};

/// Version of this layout; a reader refuses what it does not know.
pub const SCHEMA_VERSION: u32 = 1;
/// Version of how things are measured (docs/METHOD.md); results of different versions are not compared.
pub const METHOD_VERSION: u32 = 1;

/// One run: all trials of one invocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// [`METHOD_VERSION`] of the writer.
    pub method_version: u32,
    /// The folder's name: `<workload>-<UTC time>-<short id>`.
    pub id: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub finished: String,
    /// How the run as a whole came out.
    pub outcome: Outcome,
    /// The command that repeats the run, without secrets.
    pub command: String,
    /// Who measured.
    pub tool: Tool,
    /// The commit of the folder that the run was started in, if that is a git checkout.
    pub commit: Option<Commit>,
    /// Where.
    pub machine: Machine,
    /// Against what.
    pub broker: BrokerRecord,
    /// The database server of the stores; absent where no stage keeps its state on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseRecord>,
    /// The driver's own ceiling; absent unless it was measured (`--ceiling`).
    pub driver_ceiling: Option<DriverCeiling>,
    /// Name of the experiment.
    pub name: String,
    /// The question that its file answers; may be empty.
    pub question: String,
    /// The combinations of its varied settings; one without settings of its own if nothing is varied.
    pub cells: Vec<CellRecord>,
    /// What a capacity search asked for and found; absent in other runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityRecord>,
    /// The random generator behind the seed.
    pub rng: String,
    /// How far the run is, and what it takes to go on with it.
    pub progress: Progress,
    /// The trials, in the order in which they ran.
    pub trials: Vec<TrialRecord>,
}

impl RunRecord {
    /// Whether trials of the plan are missing.
    pub fn is_partial(&self) -> bool {
        (self.trials.len() as u32) < self.progress.trials_planned
    }

    /// The cell that `trial` belongs to.
    pub fn cell(&self, trial: &TrialRecord) -> &CellRecord {
        &self.cells[trial.cell as usize]
    }

    /// The trials of the cell at this position, in the order in which they ran.
    pub fn trials_of(&self, cell: usize) -> impl Iterator<Item = &TrialRecord> {
        self.trials.iter().filter(move |trial| trial.cell as usize == cell)
    }

    /// `open loop`, `closed loop`, or that the cells differ.
    pub fn loop_kind(&self) -> &'static str {
        let mut kinds = self.cells.iter().map(|cell| cell.workload.load.arrival.loop_kind());
        let first = kinds.next().unwrap_or_default();
        if kinds.all(|kind| kind == first) {
            first
        } else {
            "open and closed loop"
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Trials that the plan has.
    pub trials_planned: u32,
    /// The `--set` arguments of the run, word for word.
    pub overrides: Vec<String>,
    /// The folder that replayed files are named from; absent if none is replayed.
    pub replay_folder: Option<String>,
    /// When the run was gone on with after it had been left, RFC 3339, UTC.
    pub resumed: Vec<String>,
}

/// One combination of the varied settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// The varied settings in short, such as `prefetch 10, consumers 4`, or the variants' names; empty if nothing is varied.
    pub label: String,
    /// What this cell has for each varied dimension, in the order of the dimensions; the same dimensions in each cell.
    pub varied: Vec<VariedRecord>,
    /// The experiment with this cell's settings.
    pub workload: Workload,
    /// Every setting, defaults included.
    pub settings: Vec<SettingRecord>,
    /// The objectives of its workload, in the order of their keys.
    pub objectives: Vec<ObjectiveRecord>,
}

/// One objective of a cell, with what was measured. Figures are in the base unit: seconds, per second, bytes, a share of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveRecord {
    /// What is held to it.
    pub figure: Figure,
    /// What it is counted in.
    pub unit: Unit,
    /// As it is written, such as `<= 250ms`.
    pub bound: String,
    /// Its limit.
    pub limit: f64,
    /// What was measured; absent if it was not, or too few samples carry it.
    pub measured: Option<f64>,
    /// It is more than `measured`: the wait for it was given up.
    pub more_than: bool,
    /// Which repeat speaks for the cell.
    pub rule: Rule,
    /// Repeats that were finished.
    pub repeats: u32,
    /// Whether it was met; unknown where a figure or a repeat is absent.
    pub verdict: Verdict,
    /// How far it was missed by; absent unless it was.
    pub beyond: Option<f64>,
    /// Why it cannot be told; absent unless it cannot.
    pub unknown_because: Option<String>,
}

/// A cell's place on one dimension of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariedRecord {
    /// The dimension: the dotted path of the varied key, or the name of a list of variants.
    pub dimension: String,
    /// The value as it would be written without quotes, or the variant's name.
    pub value: String,
    /// The value as a number where the dimension is a quantity (base units: seconds, bytes, per second, a share of 1), for an
    /// axis; absent for words, variants and `unlimited`.
    pub number: Option<f64>,
}

/// How a run came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The worst of the trials' verdicts.
    pub verdict: Verdict,
    /// The process's exit code: 0 pass, 1 could not run, 3 a promise was broken, 5 inconclusive, 130 interrupted.
    pub exit_code: u8,
    /// Why, in a sentence.
    pub reason: String,
}

/// Who measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Version of orderstorm.
    pub version: String,
    /// The AMQP client of load and stages; several where `driver.client` is varied.
    pub client: String,
    /// `release` or `debug`: a debug build's figures are no figures.
    pub build: String,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// Branch, where there is one.
    pub branch: Option<String>,
    /// There were uncommitted changes.
    pub dirty: bool,
}

/// The driver's machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Such as `Debian GNU/Linux 12`.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Processor model.
    pub cpu: String,
    /// Processors that the driver may use.
    pub cores: u32,
    /// Bytes.
    pub memory_bytes: u64,
}

/// The broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerRecord {
    /// `external`, `managed` or `embedded`.
    pub kind: String,
    /// Product by its own word, such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Its platform, such as `Erlang/OTP 25.2.3`.
    pub platform: Option<String>,
    /// Address with masked credentials.
    pub address: String,
    /// It runs on the driver's machine: relative comparisons only.
    pub co_located: bool,
    /// Nodes of a broker of the run's own; absent for another, of which the run knows an address only, and in records of before
    /// there were clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
}

impl BrokerRecord {
    /// ", 3 nodes" for a cluster, nothing for a single node.
    pub fn cluster(&self) -> String {
        match self.nodes {
            Some(nodes) if nodes > 1 => format!(", {nodes} nodes"),
            _ => String::new(),
        }
    }
}

/// The database server of the stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecord {
    /// `external` or `managed`.
    pub kind: String,
    /// Product, such as `PostgreSQL`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Address without a password.
    pub address: String,
    /// A commit waits for the disk.
    pub fsync: bool,
}

/// What the driver can carry by itself: the same pipeline and payload in a closed loop on the embedded broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverCeiling {
    /// Orders finished per second; absent if none was.
    pub orders_per_s: Option<f64>,
    /// Publishes and deliveries per second.
    pub messages_per_s: Option<f64>,
    /// Orders under way at once.
    pub users: u32,
}

/// One setting of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingRecord {
    /// Dotted path.
    pub path: String,
    /// Value, as it would be written in a workload file.
    pub value: String,
    /// `default`, `file` or `command line`.
    pub origin: String,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// From 1, in the order of running.
    pub trial: u32,
    /// Position of its cell in [`RunRecord::cells`], from 0.
    pub cell: u32,
    /// Which repeat of its cell, from 1.
    pub repeat: u32,
    /// Its seed: the same for a repeat of each cell.
    pub seed: u64,
    /// RFC 3339, UTC.
    pub started: String,
    /// When its load began, seconds since the base time of `latency.hlog`; absent in records of older versions.
    #[serde(default)]
    pub log_began_s: Option<f64>,
    /// Phases: provision, declare, warm-up, measure, drain, verify.
    pub phases: Vec<Band>,
    /// Phases of the load, in sequence; none where it is one whole.
    #[serde(default)]
    pub load_phases: Vec<LoadPhaseRecord>,
    /// What was done to the broker or to a stage, as bands of the charts.
    pub faults: Vec<Band>,
    /// The same with what each event cost, in the order of their starts.
    #[serde(default)]
    pub fault_events: Vec<FaultRecord>,
    /// Times at which a connection was lost and opened anew.
    #[serde(default)]
    pub lost_connections: Vec<LostConnection>,
    /// Times at which the broker blocked at least one connection.
    pub blocked: Vec<Band>,
    /// The same by connection and reason.
    pub blocked_connections: Vec<BlockedConnection>,
    /// Seconds during which at least one connection was blocked.
    pub blocked_s: f64,
    /// Orders.
    pub orders: OrderCounts,
    /// Messages.
    pub messages: MessageCounts,
    /// Rates over the measured part.
    pub rates: Rates,
    /// Latency series; see [`crate::measure::Series`] for the names.
    pub latencies: Vec<Summary>,
    /// Stages.
    pub stages: Vec<StageRecord>,
    /// The drain.
    pub drain: DrainRecord,
    /// Stretches in which more orders were planned than the narrowest stage can take.
    #[serde(default)]
    pub overloads: Vec<OverloadRecord>,
    /// A stage that was held back, and how its queue cleared; absent if none was.
    pub backlog: Option<BacklogRecord>,
    /// Greatest sum of ready and unacked messages over all queues of the pipeline, from samples.
    pub backlog_messages_max: Option<u64>,
    /// Growth of that sum over the measured part, messages per second (Theil–Sen); absent with fewer than 4 samples.
    pub backlog_slope_messages_per_s: Option<f64>,
    /// Lower end of its 95 % interval (Sen).
    #[serde(default)]
    pub backlog_slope_low_messages_per_s: Option<f64>,
    /// Upper end.
    #[serde(default)]
    pub backlog_slope_high_messages_per_s: Option<f64>,
    /// CPU and memory.
    pub resources: Resources,
    /// Whether the driver kept up.
    pub validity: Validity,
    /// The ledger.
    pub ledger: LedgerReport,
    /// The promises.
    pub promises: Vec<PromiseReport>,
    /// The worst verdict of the promises that the configuration gives.
    pub verdict: Verdict,
    /// The trial was cut short: why.
    pub aborted: Option<String>,
    /// Somebody stopped it.
    pub interrupted: bool,
}

/// A named stretch of a trial, seconds since the load began (negative before it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// What.
    pub name: String,
    /// Start.
    pub start_s: f64,
    /// End.
    pub end_s: f64,
}

/// One event of a fault, and what it cost. Times are seconds since the load began; what is counted is counted from its start to
/// that of the next event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Its position in the fault script, from 1; absent for one of `[fault]`.
    pub fault: Option<u32>,
    /// What was done, such as `connection-drop`.
    pub what: String,
    /// To which stage; absent for the broker.
    pub stage: Option<Stage>,
    /// Where in the handler consumers were struck; absent: anywhere.
    pub point: Option<String>,
    /// Consumers struck; absent for the broker.
    pub consumers: Option<u32>,
    /// The node of the broker's cluster that was struck, from 1; absent where it was none of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// When the first was struck.
    pub start_s: f64,
    /// When all were back; absent if the trial ended before.
    pub healed_s: Option<f64>,
    /// From the heal until the goodput was back in its band; absent where there is no level to come back to, or the next event
    /// or the end of the load came first.
    pub recovery_s: Option<f64>,
    /// Longest time in which no order came to its end, as fine as the samples.
    pub longest_gap_s: Option<f64>,
    /// Deliveries with the redelivered flag.
    pub redeliveries: u64,
    /// Deliveries of what was processed already.
    pub duplicates_delivered: u64,
    /// … that had their effect again.
    pub duplicates_in_effect: u64,
    /// Messages that had been acknowledged before the broker went down and were delivered again after it; absent for other
    /// faults.
    #[serde(default)]
    pub acked_returned: Option<u64>,
    /// Duplicate exposure: of those, the longest time from the acknowledgement to the beginning of the broker's end. Absent if none came back.
    #[serde(default)]
    pub duplicate_exposure_s: Option<f64>,
    /// Of those, the longest time from the acknowledgement to the return. Absent if none came back.
    #[serde(default)]
    pub acked_to_return_s: Option<f64>,
}

/// A connection that was lost, seconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostConnection {
    /// Its name, which says whose it was.
    pub connection: String,
    /// When its loss was noticed.
    pub lost_s: f64,
    /// When it was open again; absent if it did not come back.
    pub back_s: Option<f64>,
}

/// A phase of the load, warm-up or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadPhaseRecord {
    /// Its name, and when it was.
    #[serde(flatten)]
    pub band: Band,
    /// Orders that were intended in it.
    pub orders_offered: u64,
    /// Of these, sent.
    pub orders_sent: u64,
}

impl LoadPhaseRecord {
    /// Its planned orders per second; absent for a phase without length, which an early end leaves.
    pub fn offered_load_per_s(&self) -> Option<f64> {
        self.per_second(self.orders_offered)
    }

    /// Its sent orders per second.
    pub fn achieved_rate_per_s(&self) -> Option<f64> {
        self.per_second(self.orders_sent)
    }

    fn per_second(&self, orders: u64) -> Option<f64> {
        let length_s = self.band.end_s - self.band.start_s;
        (length_s > 0.0).then(|| orders as f64 / length_s)
    }
}

/// A connection that the broker blocked for a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockedConnection {
    /// Its name, which says whose it is.
    pub connection: String,
    /// The broker's reason.
    pub reason: String,
    /// How often.
    pub times: u32,
    /// Seconds in all.
    pub time_s: f64,
    /// Start and end of each time, seconds since the load began.
    pub periods_s: Vec<(f64, f64)>,
}

/// Orders of a trial, the warm-up's among them; the fates are the ledger's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderCounts {
    /// Arrivals that the plan has; absent in a closed loop by time, where the pipeline decides.
    pub planned: Option<u64>,
    /// Handed to the broker.
    pub published: u64,
    /// Arrivals that could not be sent before the load ended.
    pub unsent: u64,
    /// Finished orders that the latency figures cover: intended after the warm-up and before the load's end.
    pub measured: u64,
}

/// Messages of a trial, by the driver's own count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// Publishes, orders and events and notifications.
    pub published: u64,
    /// … that the broker confirmed and routed.
    pub confirmed: u64,
    /// … refused.
    pub nacked: u64,
    /// … returned as unroutable.
    pub returned: u64,
    /// Deliveries, redeliveries among them.
    pub delivered: u64,
    /// Deliveries with the redelivered flag.
    pub redelivered: u64,
    /// Deliveries rejected as malformed.
    pub malformed: u64,
    /// Deliveries dropped because they were not for the stage (fanout order exchange).
    pub not_for_stage: u64,
    /// Acknowledgements sent (one may cover several deliveries).
    pub acks: u64,
    /// What the load published beside its orders; none where it published nothing else.
    #[serde(default)]
    pub beside: Vec<BesideRecord>,
}

/// Messages that the load published beside its orders, of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BesideRecord {
    /// `duplicate`, or what is wrong with them, such as `malformed`.
    pub kind: String,
    /// Publishes.
    pub published: u64,
    /// … that the broker confirmed and routed.
    pub confirmed: u64,
    /// … that came back as unroutable.
    pub returned: u64,
    /// Dead letters of this kind after the drain; absent for duplicates, and where not every queue could be looked into.
    pub dead_letters: Option<u64>,
}

/// Rates over the measured part of a trial, per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Planned; absent in a closed loop.
    pub offered_load_per_s: Option<f64>,
    /// Published.
    pub achieved_rate_per_s: Option<f64>,
    /// Orders that came to their end.
    pub goodput_per_s: Option<f64>,
}

/// One stage's figures; its latency series are among the trial's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Which.
    pub stage: Stage,
    /// Consumers.
    pub consumers: u32,
    /// Deliveries.
    pub delivered: u64,
    /// With the redelivered flag.
    pub redelivered: u64,
    /// Recognised as processed already.
    pub suppressed: u64,
    /// Publishes of the stage that the broker refused (nack); each is tried again.
    pub refused: u64,
    /// Messages that its queue may drop by its own rules and never delivered.
    pub dropped: u64,
    /// For which reasons its queue may drop messages, such as `maxlen` or `expired`; absent if it may not.
    pub dropped_as: Option<String>,
    /// Longest time from publish to delivery of the messages delivered: how old the oldest of its queue became.
    pub delivery_age_ns_max: Option<u64>,
    /// Greatest ready + unacked of its queue, from samples.
    pub backlog_messages_max: Option<u64>,
    /// Busy share of its consumers' job slots over the measured part, 0 to 1.
    pub utilisation: Option<f64>,
    /// Greatest number of deliveries that its consumers held at once, unacknowledged.
    pub unacked_messages_max: u64,
    /// Mean of the same over the samples of the measured part.
    pub unacked_messages_mean: Option<f64>,
    /// Most deliveries of a consumer over fewest; absent where one got none, and for a single consumer.
    pub delivery_share_ratio: Option<f64>,
    /// Gini coefficient of the consumers' deliveries, 0 (all alike) to 1; absent without deliveries, and for a single consumer.
    pub delivery_gini: Option<f64>,
    /// Times that an effect happened again at a delivery of what was processed already.
    #[serde(default)]
    pub repeated: u64,
    /// What its handler failed at; absent where it never fails.
    #[serde(default)]
    pub retry: Option<RetryRecord>,
    /// What its database did; absent without one.
    #[serde(default)]
    pub store: Option<StoreRecord>,
    /// Its consumers, by their number.
    pub each_consumer: Vec<ConsumerRecord>,
}

/// What a stage's handler failed at over the whole trial, and what followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryRecord {
    /// How failed messages are tried again.
    pub policy: RetryPolicy,
    /// Attempts that failed for a cause that passes.
    pub transient_errors: u64,
    /// Attempts that failed for a cause that stays.
    pub permanent_errors: u64,
    /// Messages given back or published again after a failure.
    pub retries: u64,
    /// Messages that the stage gave up; what a broker gives up by its delivery limit is not among them.
    pub given_up: u64,
}

/// What a stage's database did over the whole trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreRecord {
    /// Its kind.
    pub kind: StoreKind,
    /// Transactions with at least one new step.
    pub commits: u64,
    /// Steps in them.
    pub steps: u64,
    /// Look-ups and steps that failed; each delivery went back to its queue.
    pub errors: u64,
    /// Connections to the database that were lost.
    #[serde(default)]
    pub connections_lost: u64,
    /// Its outbox; absent without one.
    pub outbox: Option<OutboxRecord>,
}

/// A stage's outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxRecord {
    /// Most rows that were not sent at once.
    pub unsent_max: u64,
    /// Rows that were not sent at the end of the trial.
    pub unsent: u64,
    /// Rows that the broker returned as unroutable, or that nobody can read; they are not tried again.
    pub unroutable: u64,
}

/// One consumer's figures, over the whole trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerRecord {
    /// Its work takes longer than that of others (`slow_share`).
    pub slow: bool,
    /// Deliveries, redeliveries among them.
    pub delivered: u64,
    /// Time at work, seconds, over all its jobs.
    pub busy_s: f64,
    /// Greatest number of deliveries that it held at once, unacknowledged.
    pub unacked_messages_max: u64,
}

/// A stage that was held back, and how its queue cleared. Times are seconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BacklogRecord {
    /// Which.
    pub stage: Stage,
    /// What held it back.
    pub cause: BacklogCause,
    /// When its consumers were told to stop; negative where they were held back from before the load.
    pub held_s: f64,
    /// When all of them were back; absent if the trial ended before.
    pub returned_s: Option<f64>,
    /// The load was over by then.
    pub arrivals_stopped: Option<bool>,
    /// Ready and unacked messages of its queue by then.
    pub messages: Option<u64>,
    /// Messages at which the backlog counts as cleared.
    pub level_messages: Option<u64>,
    /// From the return of the consumers until the backlog was cleared; absent if it was not.
    pub drain_time_s: Option<f64>,
    /// Messages that the stage finished per second meanwhile.
    pub drain_rate_per_s: Option<f64>,
    /// Messages that reached the queue per second meanwhile.
    pub arrival_rate_per_s: Option<f64>,
    /// Messages per second that its consumers can finish by their service time; absent where that is none.
    pub service_rate_per_s: Option<f64>,
    /// (messages − level) / (service rate − arrival rate); absent where the queue would never clear.
    pub ideal_time_s: Option<f64>,
    /// Drain time over ideal time.
    pub ratio_to_ideal: Option<f64>,
}

/// What held a stage back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BacklogCause {
    /// `[backlog]`: until so many messages waited.
    Count,
    /// `[fault.stage_outage]`: for a time.
    Outage,
}

impl BacklogCause {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            BacklogCause::Count => "count",
            BacklogCause::Outage => "outage",
        }
    }
}

/// A planned overload of the narrowest stage: how it should go, and how it went. Seconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverloadRecord {
    /// The stage with the least capacity.
    pub stage: Stage,
    /// Orders that it can take per second, by its service time and its consumers.
    pub capacity_per_s: f64,
    /// When orders should begin to pile up.
    pub begins_s: f64,
    /// When the pile should be highest.
    pub peak_s: f64,
    /// How high it should be then, orders: B = ∫(λ − μ).
    pub backlog_orders_predicted: f64,
    /// The greatest backlog of the stage's queue in the samples of that time.
    pub backlog_messages_max: Option<u64>,
    /// From the peak until nothing waits any more, as it should be: B / (μ − λ).
    pub clear_time_predicted_s: f64,
    /// … as it was, by the first sample in which nothing waited; absent if there was none.
    pub clear_time_s: Option<f64>,
    /// Messages that the stage finished per second while more waited than it can work on at once, from the first such sample to
    /// the last; absent with fewer than two of them.
    #[serde(default)]
    pub finished_per_s: Option<f64>,
}

impl OverloadRecord {
    /// Measured over predicted time to clear.
    pub fn clear_time_ratio(&self) -> Option<f64> {
        Some(self.clear_time_s? / self.clear_time_predicted_s).filter(|ratio| ratio.is_finite())
    }
}

/// The drain of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// Whether everything ran empty by the deadline.
    pub drained: bool,
    /// From the end of the load until Drained, seconds; absent when it did not happen (then it is longer than the deadline).
    pub time_s: Option<f64>,
    /// The deadline, seconds.
    pub deadline_s: f64,
}

/// CPU and memory over a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Driver, seconds of processor time over the trial.
    pub driver_cpu_s: Option<f64>,
    /// Driver, share of the processors it may use, over the load.
    pub driver_cpu_share: Option<f64>,
    /// Driver, greatest resident set, bytes.
    pub driver_rss_bytes_max: Option<u64>,
    /// Broker, where it is local and its process known.
    pub broker_cpu_s: Option<f64>,
    /// Broker, share of all processors of its machine, over the load; absent where its process is not known, and of the embedded broker, whose share
    /// is within the driver's.
    #[serde(default)]
    pub broker_cpu_share: Option<f64>,
    /// Broker, greatest resident set, bytes.
    pub broker_rss_bytes_max: Option<u64>,
    /// What the embedded broker held for its clients at most, bytes: messages and unread output.
    pub broker_message_bytes_max: Option<u64>,
}

/// Whether the driver was the bottleneck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// Figures count.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// What does not invalidate but should be known.
    pub warnings: Vec<String>,
    /// What the rule looked at, beyond what stands elsewhere in the record.
    #[serde(default)]
    pub checks: Checks,
}

/// Measurements beside the load; absent where they were not or could not be taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// How late a 1 ms sleeper beside the load woke, nanoseconds: 99th percentile.
    pub hiccup_ns_p99: Option<u64>,
    /// … and the worst.
    pub hiccup_ns_max: Option<u64>,
    /// Share of the load's time in which an order that was due waited because a connection was blocked; the mean over
    /// connections, as of the next two.
    pub blocked_share: Option<f64>,
    /// … because the confirm window was full; absent without a window.
    pub window_full_share: Option<f64>,
    /// … because the socket took nothing.
    pub socket_full_share: Option<f64>,
    /// Share of the processors that a hypervisor gave to others.
    pub stolen_share: Option<f64>,
    /// Share of the load's time in which the control group was throttled.
    pub throttled_share: Option<f64>,
    /// Share of the processors that neither driver nor broker used but somebody did.
    pub foreign_share: Option<f64>,
    /// Seconds that the machine slept through.
    pub suspended_s: Option<f64>,
    /// Seconds by which the wall clock was set during the load; latencies are not made of it.
    pub wall_clock_step_s: Option<f64>,
    /// Where MSER-5 would cut the measured part, seconds after its start; absent if it was too short or not meant to be steady.
    pub steady_from_s: Option<f64>,
    /// Whether the measured part reached a steady state.
    pub steady: Option<bool>,
    /// Mean open orders over goodput × mean end-to-end time: 1 by Little's law.
    pub littles_law_ratio: Option<f64>,
    /// Mean sampled backlog over message rate × mean time at the stages: 1 by Little's law.
    pub littles_law_backlog_ratio: Option<f64>,
    /// Of the stage whose flow is least in balance: messages that went out or piled up, over those that came in; 1 by the balance of flow.
    /// Absent where messages may come more than once, or the pipeline did not run empty.
    #[serde(default)]
    pub flow_balance_ratio: Option<f64>,
    /// How far from 1 it may be, by chance and by the time between the looks.
    #[serde(default)]
    pub flow_balance_allowed: Option<f64>,
    /// Which stage.
    #[serde(default)]
    pub flow_balance_stage: Option<Stage>,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No file.
    #[error("cannot read {}: {source}\nhelp: name a run folder, such as results/steady-20260101T000000Z-ab12", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a record.
    #[error("{} is no result of orderstorm: {source}", path.display())]
    Parse {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another version's.
    #[error("{} has layout version {found}, this program reads {SCHEMA_VERSION}", path.display())]
    Version {
        /// The file.
        path: std::path::PathBuf,
        /// Its version.
        found: u64,
    },
}

/// Reads the record of a run folder.
///
/// # Errors
/// [`RecordError`]; a record of another layout version is refused before its fields are looked at.
pub fn read(folder: &std::path::Path) -> Result<RunRecord, RecordError> {
    read_version(folder.join("run.json"), SCHEMA_VERSION)
}

/// Reads a JSON file that bears its layout's version.
pub(super) fn read_version<T: DeserializeOwned>(path: PathBuf, version: u32) -> Result<T, RecordError> {
    let bytes = std::fs::read(&path).map_err(|source| RecordError::Read {
        path: path.clone(),
        source,
    })?;
    let parse = |source| RecordError::Parse {
        path: path.clone(),
        source,
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(parse)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(version) => Err(RecordError::Version { path, found }),
        _ => serde_json::from_value(value).map_err(parse),
    }
}
