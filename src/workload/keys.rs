//! The table of every key of a workload file: type, range, default, meaning.
//!
//! Everything that must know the keys reads this table: the checker (unknown keys, types, ranges), the plan that writes the
//! defaults out, the JSON Schema and the reference in `docs/WORKLOADS.md`. Adding a key is one row here, one field in
//! [`super::model`] and one line in [`super::check`].

use std::fmt;

use super::file::Raw;
use super::model::{
    Client, Condition, Defect, FaultKind, Overflow, Point, Publishing, RetryPolicy, ServiceTime, StoreKind, WhichNode,
};
use super::objective::{Bound, Unit};
use crate::events::{PipelineKind, Stage};
use crate::units::{Rate, Share, Size, Span};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Dotted path; `*` stands for a stage's name.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// The value when the key is absent, as it would be written; `None`: the key may be absent.
    pub default: Option<&'static str>,
    /// What it means, in a sentence.
    pub doc: &'static str,
}

/// What a value must be; bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A duration, in milliseconds of bounds.
    Duration {
        /// Milliseconds.
        min_ms: u64,
        /// Milliseconds.
        max_ms: u64,
    },
    /// A rate, up to this many per second.
    Rate {
        /// Per second.
        max: f64,
    },
    /// A size, up to this many bytes.
    Size {
        /// Bytes.
        max: u64,
    },
    /// A share, as a percentage.
    Share,
    /// A whole number.
    Count {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A whole number, or "unlimited".
    Limit {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// true or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A name: letters, digits, `.`, `_`, `-`; at most 64.
    Name,
    /// A service time.
    ServiceTime,
    /// A comparison with a limit.
    Bound(Unit),
    /// A file, relative to the workload file.
    File,
    /// An array of tables, whose keys are those of [`phase_keys`].
    Phases,
    /// What a queue looks like.
    Condition,
    /// An array of tables, whose keys are [`FAULT_KEYS`].
    Faults,
}

/// A value of its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Duration`].
    Duration(Span),
    /// Of [`Kind::Rate`].
    Rate(Rate),
    /// Of [`Kind::Size`].
    Size(Size),
    /// Of [`Kind::Share`].
    Share(Share),
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Limit`]; `None`: unlimited.
    Limit(Option<u64>),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Choice`].
    Choice(&'static str),
    /// Of [`Kind::Name`].
    Name(String),
    /// Of [`Kind::ServiceTime`].
    ServiceTime(ServiceTime),
    /// Of [`Kind::Bound`].
    Bound(Bound),
    /// Of [`Kind::File`].
    File(String),
    /// Of [`Kind::Condition`].
    Condition(Condition),
}

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Rates, counts and sizes that no file can lift; docs/METHOD.md says why there are any.
pub const RATE_MAX: f64 = 1e6;
const BODY_MAX: u64 = 16 << 20;
const DEFECTS: [&str; Defect::NAMES.len()] = {
    let mut names = [""; Defect::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Defect::NAMES[i].0;
        i += 1;
    }
    names
};

const CLIENTS: [&str; Client::NAMES.len()] = {
    let mut names = [""; Client::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Client::NAMES[i].0;
        i += 1;
    }
    names
};

const STORES: [&str; StoreKind::NAMES.len()] = {
    let mut names = [""; StoreKind::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = StoreKind::NAMES[i].0;
        i += 1;
    }
    names
};

const PUBLISHINGS: [&str; Publishing::NAMES.len()] = {
    let mut names = [""; Publishing::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Publishing::NAMES[i].0;
        i += 1;
    }
    names
};

const RETRIES: [&str; RetryPolicy::NAMES.len()] = {
    let mut names = [""; RetryPolicy::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = RetryPolicy::NAMES[i].0;
        i += 1;
    }
    names
};

const POINTS: [&str; Point::NAMES.len()] = {
    let mut names = [""; Point::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Point::NAMES[i].0;
        i += 1;
    }
    names
};

const STAGES: [&str; Stage::ALL.len()] = {
    let mut names = [""; Stage::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Stage::ALL[i].name();
        i += 1;
    }
    names
};
const OVERFLOWS: [&str; Overflow::NAMES.len()] = {
    let mut names = [""; Overflow::NAMES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Overflow::NAMES[i].0;
        i += 1;
    }
    names
};

const fn key(path: &'static str, kind: Kind, default: Option<&'static str>, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        doc,
    }
}

/// A duration up to a day.
const fn duration(min_ms: u64) -> Kind {
    Kind::Duration { min_ms, max_ms: DAY_MS }
}

const fn objective(path: &'static str, unit: Unit, doc: &'static str) -> Key {
    key(path, Kind::Bound(unit), None, doc)
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const RATE: Kind = Kind::Rate { max: RATE_MAX };

/// A phase's own keys; the others are those of [`SHAPE_KEYS`].
const PHASE_OWN: [Key; 2] = [
    key(
        "name",
        Kind::Name,
        None,
        "The phase's name in charts and tables; its shape when absent.",
    ),
    key("duration", duration(1), None, "Length of the phase."),
];

/// The keys of `[load]` that say a shape, without their section: a phase has all of them.
pub const SHAPE_KEYS: [&str; 17] = [
    "arrival",
    "jitter",
    "rate",
    "ramp_to",
    "ramp_over",
    "step_by",
    "step_every",
    "burst_rate",
    "burst_width",
    "burst_every",
    "sine_amplitude",
    "sine_period",
    "spike_rate",
    "spike_at",
    "spike_rise",
    "spike_hold",
    "replay",
];

/// Where phases stand in a file.
pub const PHASES: &str = "load.phases";
/// Most phases of a load.
pub const PHASES_MAX: usize = 1_000;

/// The keys of a phase, without their section: name, length and the keys of a shape.
pub fn phase_keys() -> impl Iterator<Item = (&'static str, &'static Key)> {
    const OWN: &[Key] = &PHASE_OWN;
    let own = OWN.iter().map(|key| (key.path, key));
    let shape = SHAPE_KEYS.into_iter().filter_map(|name| {
        Some((
            name,
            KEYS.iter().find(|key| key.path.strip_prefix("load.") == Some(name))?,
        ))
    });
    own.chain(shape)
}

/// Whether this is a key of the whole load's shape.
pub fn is_shape(path: &str) -> bool {
    path.strip_prefix("load.")
        .is_some_and(|name| SHAPE_KEYS.contains(&name))
}

/// Where the fault script stands in a file.
pub const FAULTS: &str = "faults";
/// Most faults of a script.
pub const FAULTS_MAX: usize = 100;

/// The keys of a fault, without their section.
pub const FAULT_KEYS: &[Key] = &[
    key(
        "what",
        Kind::Choice(&FaultKind::NAMES),
        None,
        "What is done. To a consumer: its connections end with no goodbye; its channel is closed; it stops consuming and finishes what it has begun; it stands still with what it holds; its handler panics. To the network between clients and broker: everything comes later; only so much passes; nothing passes and nothing closes; connections are closed and new ones refused; connections are reset; connections look open and nothing passes on them any more. To the stage's database: PostgreSQL cannot be reached; it is slow; another connection keeps every change from being made. To the broker: it is stopped in order, or killed, and started on the same data (managed only). To one node of a cluster (broker.nodes): it is killed, or stopped in order, and started on the same data; it stands still (SIGSTOP); it is cut off from the other nodes. To a worker process (stage.*.placement = \"process\"): it is killed (SIGKILL), or stopped and continued (SIGSTOP).",
    ),
    key(
        "stage",
        Kind::Choice(&STAGES),
        None,
        "The stage whose consumers are struck, whose database, or whose connections a network fault is about; those of all stages and of the load when absent. For a node: the stage whose queue's leader or follower is struck. Not for the broker.",
    ),
    key(
        "node",
        Kind::Choice(&WhichNode::NAMES),
        None,
        "Which node a node-… fault strikes: its number, or the one that leads the queue of the stage (a classic queue's only one), one that does not, or any; the latter two are drawn each time from the seed. \"random\" when absent.",
    ),
    key(
        "at",
        duration(0),
        None,
        "When: once, so long after the start of the load.",
    ),
    key(
        "every",
        duration(10),
        None,
        "When: again and again, this far from each other, the first as far from the start of the load.",
    ),
    key(
        "random",
        Kind::Rate { max: 100.0 },
        None,
        "When: at random with this rate, as a Poisson process drawn from the seed.",
    ),
    key(
        "on",
        Kind::Condition,
        None,
        "When: once, as a sample first sees a queue like this, such as \"inventory.backlog >= 1000\" (backlog, ready or unacked).",
    ),
    key(
        "after",
        count(1, 1_000_000_000),
        None,
        "When: once, after so many deliveries to the stage.",
    ),
    key(
        "until",
        duration(1),
        None,
        "No more of every or random after this; the end of the load when absent.",
    ),
    key(
        "times",
        count(1, 1_000_000),
        None,
        "No more of every or random than this.",
    ),
    key(
        "count",
        count(1, 1_000),
        None,
        "How many consumers of the stage (worker processes, for sigkill and sigstop) are struck, each time drawn from the seed; 1 when neither this nor share is given.",
    ),
    key(
        "share",
        Kind::Share,
        None,
        "What share of the stage's consumers (worker processes, for sigkill and sigstop) is struck, at least one; instead of count.",
    ),
    key(
        "restart_after",
        duration(0),
        Some("0s"),
        "How long a consumer, or a worker process that was killed, stays away before it comes back, or the broker or a node of it before it is started again.",
    ),
    key(
        "lasts",
        duration(1),
        None,
        "How long a hang, a stop (sigstop), a network fault, a database fault, a node-pause or a node-partition lasts; a network-reset without it strikes once.",
    ),
    key(
        "delay",
        duration(1),
        None,
        "How much later everything comes, each way, with network-delay, and with database-slow to and from PostgreSQL; how much longer each commit to SQLite takes.",
    ),
    key(
        "jitter",
        duration(1),
        None,
        "By how much the delay differs at most from piece to piece, drawn from the seed; none when absent.",
    ),
    key(
        "bandwidth",
        Kind::Size { max: 1 << 40 },
        None,
        "How much passes in a second, each way, over all connections of the stage or of the load together, with network-bandwidth.",
    ),
    key(
        "point",
        Kind::Choice(&POINTS),
        None,
        "Where in its handler a consumer is struck, with the next message that comes there: before its effect, between effect and publish, between publish and confirm, between confirm and acknowledgement. Wherever it is when absent; a panic is before the effect then.",
    ),
];

/// An array of tables in a file, whose settings bear the table's position: `load.phases.2.rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Array {
    Phases,
    Faults,
}

impl Array {
    const ALL: [Array; 2] = [Array::Phases, Array::Faults];

    const fn path(self) -> &'static str {
        match self {
            Array::Phases => PHASES,
            Array::Faults => FAULTS,
        }
    }

    const fn most(self) -> usize {
        match self {
            Array::Phases => PHASES_MAX,
            Array::Faults => FAULTS_MAX,
        }
    }

    fn key(self, name: &str) -> Option<&'static Key> {
        match self {
            Array::Phases => phase_keys().find(|(key, _)| *key == name).map(|(_, key)| key),
            Array::Faults => FAULT_KEYS.iter().find(|key| key.path == name),
        }
    }
}

/// How many tables a file has of each array.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tables {
    /// Phases of the load; 0: it is one whole.
    pub phases: usize,
    /// Faults of the script.
    pub faults: usize,
}

/// Most tables of the array that stands at `path`; absent if none does.
pub fn most_tables(path: &str) -> Option<usize> {
    let mut arrays = Array::ALL.into_iter();
    arrays.find(|array| array.path() == path).map(Array::most)
}

/// The path of `key` in the phase at `position`, from 1: `load.phases.1.rate`.
pub fn phase_path(position: usize, key: &str) -> String {
    format!("{PHASES}.{position}.{key}")
}

/// The path of `key` in the fault at `position`, from 1: `faults.1.at`.
pub fn fault_path(position: usize, key: &str) -> String {
    format!("{FAULTS}.{position}.{key}")
}

/// The array, the table's position from 1, and its key that a path such as `load.phases.1.rate` means.
fn split_table(path: &str) -> Option<(Array, usize, &str)> {
    Array::ALL.into_iter().find_map(|array| {
        let (position, key) = path.strip_prefix(array.path())?.strip_prefix('.')?.split_once('.')?;
        let position = position.parse().ok().filter(|n| (1..=array.most()).contains(n))?;
        Some((array, position, key))
    })
}

/// How many tables these paths speak of.
pub fn tables_in<'a>(paths: impl Iterator<Item = &'a str>) -> Tables {
    let mut tables = Tables::default();
    for (array, position, _) in paths.filter_map(split_table) {
        let count = match array {
            Array::Phases => &mut tables.phases,
            Array::Faults => &mut tables.faults,
        };
        *count = position.max(*count);
    }
    tables
}

/// Every key, in the order in which a plan prints them.
pub const KEYS: &[Key] = &[
    key(
        "name",
        Kind::Name,
        None,
        "Name of the experiment; the file's name without .toml when absent.",
    ),
    key(
        "seed",
        count(0, i64::MAX as u64),
        Some("42"),
        "Source of all randomness: same seed, same arrivals, payloads and outcomes.",
    ),
    key(
        "pipeline",
        Kind::Choice(&[PipelineKind::NAMES[0].0, PipelineKind::NAMES[1].0]),
        Some("orders"),
        "What runs: the order pipeline, or one queue of jobs with identical workers, where a job stands for an order.",
    ),
    key(
        "load.arrival",
        Kind::Choice(&[
            "constant", "poisson", "ramp", "steps", "burst", "sine", "spike", "replay", "closed", "saturate",
        ]),
        Some("constant"),
        "Shape of the load. Open loop: an even rate, the same with exponential gaps, a ramp, stairs, a train of bursts, a wave, a spike that is held, or a file. Closed loop: users who wait for their order, or publishers who send as fast as load.confirm_window and the socket let them.",
    ),
    key(
        "load.jitter",
        Kind::Choice(&["none", "poisson"]),
        None,
        "How orders scatter around the shape's rate: not at all (when absent), or as a Poisson process of that rate; constant with it is poisson.",
    ),
    key(
        "load.rate",
        RATE,
        Some("100/s"),
        "Orders per second: of a ramp at its start, of stairs on the first step, of a wave on average, of a burst train between bursts, of a spike before and after.",
    ),
    key(
        "load.ramp_to",
        RATE,
        None,
        "Orders per second at the end of a ramp, and from then on.",
    ),
    key(
        "load.ramp_over",
        duration(1),
        None,
        "How long a ramp takes; all of the load or phase when absent.",
    ),
    key("load.step_by", RATE, None, "What each step of stairs adds to the rate."),
    key("load.step_every", duration(100), None, "Length of a step of stairs."),
    key("load.burst_rate", RATE, None, "Orders per second inside a burst."),
    key("load.burst_width", duration(1), None, "Length of a burst."),
    key(
        "load.burst_every",
        duration(1),
        None,
        "From the start of one burst to the start of the next.",
    ),
    key(
        "load.sine_amplitude",
        RATE,
        None,
        "Greatest distance of a wave from its mean; at most the mean.",
    ),
    key(
        "load.sine_period",
        duration(1),
        None,
        "Length of a wave, which begins at its lowest; all of the load or phase when absent.",
    ),
    key(
        "load.spike_rate",
        RATE,
        None,
        "Orders per second while a spike is held.",
    ),
    key("load.spike_at", duration(0), None, "When a spike begins."),
    key(
        "load.spike_rise",
        duration(0),
        None,
        "How long the rate climbs to the spike's, along a straight line; at once when absent.",
    ),
    key(
        "load.spike_hold",
        duration(1),
        None,
        "How long a spike is held; then the base rate is back at once.",
    ),
    key(
        "load.replay",
        Kind::File,
        None,
        "CSV file of arrivals, relative to the workload file: instants (header `time_s`) or counts per interval (header `start_s,orders`).",
    ),
    key(
        "load.phases",
        Kind::Phases,
        None,
        "Phases in sequence, `[[load.phases]]`, each with a shape of its own; their lengths end the load, and the warm-up is its first part.",
    ),
    key(
        "load.users",
        count(1, 100_000),
        None,
        "Users at once, in a closed loop.",
    ),
    key(
        "load.think_time",
        duration(0),
        Some("0s"),
        "Pause between the end of a user's order and the next, in a closed loop.",
    ),
    key(
        "load.duration",
        duration(100),
        None,
        "How long the load is measured, after the warm-up; 30s when neither this nor load.orders is given.",
    ),
    key(
        "load.orders",
        count(1, 1_000_000_000),
        None,
        "Orders in all, those of the warm-up among them; instead of load.duration.",
    ),
    key(
        "load.warm_up",
        duration(0),
        Some("0s"),
        "Time at the start whose orders are in the ledger but not in the measures.",
    ),
    key(
        "load.connections",
        count(1, 64),
        Some("1"),
        "Connections that orders are published on.",
    ),
    key(
        "load.confirm_window",
        Kind::Limit { min: 1, max: 1_000_000 },
        Some("unlimited"),
        "Most orders published and not yet answered for by the broker; what waits for the window waits with its intended instant, so it shows as send lag.",
    ),
    key("orders.items", count(1, 10_000), Some("10"), "Different items on sale."),
    key(
        "orders.stock_per_item",
        Kind::Limit {
            min: 0,
            max: 1_000_000_000_000,
        },
        Some("unlimited"),
        "Pieces of each item in stock at the start.",
    ),
    key(
        "orders.lines_max",
        count(1, 100),
        Some("3"),
        "Most lines of an order; each order draws from 1 to this many different items.",
    ),
    key(
        "orders.quantity_max",
        count(1, 1_000),
        Some("2"),
        "Most pieces of a line.",
    ),
    key(
        "orders.payment_decline",
        Kind::Share,
        Some("0%"),
        "Chance that a payment is declined.",
    ),
    key(
        "orders.body_size",
        Kind::Size { max: BODY_MAX },
        Some("0B"),
        "Least size of an event's or job's body; shorter ones are padded.",
    ),
    key(
        "orders.urgent",
        Kind::Share,
        Some("0%"),
        "Chance that an order is urgent; its messages bear orders.urgent_priority, and its latency is a series of its own.",
    ),
    key(
        "orders.urgent_priority",
        count(1, 255),
        Some("1"),
        "Priority of an urgent order's messages; those of the others bear none, which counts as 0. Only queues with stage.*.max_priority look at it.",
    ),
    key(
        "publish.confirms",
        Kind::Flag,
        Some("true"),
        "The broker answers for each publish; without, the fate of a publish is unknown.",
    ),
    key(
        "publish.mandatory",
        Kind::Flag,
        Some("true"),
        "An unroutable message comes back instead of vanishing.",
    ),
    key(
        "publish.persistent",
        Kind::Flag,
        Some("true"),
        "Messages survive a restart of the broker, where their queue does.",
    ),
    key(
        "publish.confirm_timeout",
        duration(100),
        Some("60s"),
        "After this time without an answer a publish counts as unknown.",
    ),
    key(
        "publish.ttl",
        duration(1),
        None,
        "Each message's own time to live in a queue (its property expiration); then it is dead-lettered as expired, or dropped.",
    ),
    key(
        "topology.order_exchange",
        Kind::Choice(&["topic", "direct", "fanout", "headers"]),
        Some("topic"),
        "Type of the order exchange; with fanout every service receives every event and drops what is not for it.",
    ),
    key(
        "topology.durable",
        Kind::Flag,
        Some("true"),
        "Exchanges and queues survive a restart of the broker.",
    ),
    key(
        "topology.dead_letter",
        Kind::Flag,
        Some("true"),
        "Each queue has a dead-letter queue; without, a rejected message is dropped by the broker.",
    ),
    key(
        "topology.alternate_exchange",
        Kind::Flag,
        Some("false"),
        "What the order exchange cannot route goes to a queue of its own by an alternate exchange; without, it comes back or vanishes.",
    ),
    key(
        "stage.*.consumers",
        count(1, 1_000),
        Some("1"),
        "Consumers of the stage, each on a channel of its own.",
    ),
    key(
        "stage.*.prefetch",
        Kind::Limit { min: 1, max: 65_535 },
        Some("100"),
        "Deliveries that a consumer may hold unacknowledged.",
    ),
    key(
        "stage.*.concurrency",
        count(1, 10_000),
        Some("1"),
        "Jobs that a consumer works on at once; waiting for confirms is not work.",
    ),
    key(
        "stage.*.service_time",
        Kind::ServiceTime,
        Some("none"),
        "How long the work on a message takes: none, a duration, or { uniform = [\"1ms\", \"9ms\"] }, { exponential = \"5ms\" }, { lognormal = { median = \"5ms\", p99 = \"50ms\" } }.",
    ),
    key(
        "stage.*.ack",
        Kind::Choice(&["manual", "auto"]),
        Some("manual"),
        "Who settles a delivery: the consumer after its work, or the broker as it sends.",
    ),
    key(
        "stage.*.ack_batch",
        count(1, 65_535),
        Some("1"),
        "Deliveries that one acknowledgement covers.",
    ),
    key(
        "stage.*.ack_flush",
        Kind::Duration {
            min_ms: 1,
            max_ms: 60_000,
        },
        Some("10ms"),
        "Longest that a finished delivery waits for its batch.",
    ),
    key(
        "stage.*.store",
        Kind::Choice(&STORES),
        Some("memory"),
        "Where the stage keeps its state and what it has done, to do nothing twice: nowhere, in the process (lost with it), in a SQLite file, or on a PostgreSQL server (the one that ORDERSTORM_POSTGRES_URL names, else a throw-away cluster); in both of these each commit waits for the disk.",
    ),
    key(
        "stage.*.publish",
        Kind::Choice(&PUBLISHINGS),
        Some("republish"),
        "How what follows from an effect reaches the broker: the consumer publishes after the commit, and again at a redelivery (republish) or not (dual-write); or a relay publishes rows that the effect's transaction wrote (outbox).",
    ),
    key(
        "stage.*.commit_batch",
        count(1, 10_000),
        Some("1"),
        "Steps that one transaction of a durable store holds (group commit).",
    ),
    key(
        "stage.*.commit_flush",
        Kind::Duration {
            min_ms: 1,
            max_ms: 60_000,
        },
        Some("5ms"),
        "Longest that a step waits for its transaction to fill.",
    ),
    key(
        "stage.*.slow_share",
        Kind::Share,
        Some("0%"),
        "Share of the consumers whose work takes longer than the others' (uneven workers), rounded to whole consumers.",
    ),
    key(
        "stage.*.slow_factor",
        count(2, 1_000),
        Some("10"),
        "How many times as long the work of a slow consumer takes.",
    ),
    key(
        "stage.*.predicted_utilisation",
        Kind::Share,
        None,
        "What a plan foretells of the stage's utilisation over the measured part; the report shows it beside what was measured.",
    ),
    key(
        "stage.*.connection",
        Kind::Choice(&["shared", "own"]),
        Some("shared"),
        "Whether the stage's consumers share a pair of connections, one to consume and one to publish, or each has a pair of its own, as a process has: what drops a connection strikes all who share it.",
    ),
    key(
        "stage.*.placement",
        Kind::Choice(&["in-process", "process"]),
        Some("in-process"),
        "Where the stage's consumers run: in the driver's process, or in worker processes (this program again) that a fault can kill. A store in memory dies with its process.",
    ),
    key(
        "stage.*.processes",
        count(1, 64),
        Some("1"),
        "Worker processes that the stage's consumers are shared out over.",
    ),
    key(
        "stage.*.errors",
        Kind::Share,
        Some("0%"),
        "Share of attempts at which the stage's handler fails after its work, for a cause that passes (transient); `[retry]` says what follows. Drawn from seed, message and attempt.",
    ),
    key(
        "stage.*.permanent_errors",
        Kind::Share,
        Some("0%"),
        "Share of messages at which the stage's handler fails whenever they are tried; they go to the dead-letter queue at once.",
    ),
    key(
        "stage.*.errors_at",
        duration(0),
        None,
        "Since when the handler fails, from the start of the load; absent: from its start.",
    ),
    key(
        "stage.*.errors_last",
        duration(1),
        None,
        "For how long the handler fails, such as the outage of something that it needs; absent: to the end.",
    ),
    key(
        "retry.policy",
        Kind::Choice(&RETRIES),
        Some("backoff"),
        "How a delivery whose handler failed is tried again: not at all; back to its queue at once (the consumers count, on a quorum queue the broker does); published again with a counter; or published with a counter to a queue without consumers, from which it expires back.",
    ),
    key(
        "retry.limit",
        count(1, 100),
        Some("3"),
        "Retries before a message goes to the dead-letter queue.",
    ),
    key(
        "retry.backoff",
        duration(1),
        Some("100ms"),
        "Pause before the first retry, with policy \"backoff\".",
    ),
    key(
        "retry.multiplier",
        count(1, 10),
        Some("2"),
        "How many times as long each next pause is.",
    ),
    key("retry.backoff_max", duration(1), Some("30s"), "Longest pause."),
    key(
        "retry.jitter",
        Kind::Share,
        Some("20%"),
        "How far a pause lies from its middle at most: each retry goes to one of five queues whose times lie evenly in that range, drawn from the seed.",
    ),
    key(
        "messages.duplicates",
        Kind::Share,
        Some("0%"),
        "Share of orders whose message the load publishes twice, with the same id.",
    ),
    key(
        "messages.malformed",
        Kind::Share,
        Some("0%"),
        "Share of orders beside which the load publishes a message that is no JSON.",
    ),
    key(
        "messages.wrong_type",
        Kind::Share,
        Some("0%"),
        "… in whose body a field has another type.",
    ),
    key(
        "messages.missing_field",
        Kind::Share,
        Some("0%"),
        "… in whose body a field is missing.",
    ),
    key(
        "messages.unknown_version",
        Kind::Share,
        Some("0%"),
        "… whose body has a schema version that nobody knows.",
    ),
    key(
        "messages.oversize",
        Kind::Share,
        Some("0%"),
        "… whose body is larger than messages.size_limit.",
    ),
    key(
        "messages.unroutable",
        Kind::Share,
        Some("0%"),
        "… with a routing key that leads to no queue; it comes back where publish.mandatory is on, else it is gone.",
    ),
    key(
        "messages.size_limit",
        Kind::Size { max: BODY_MAX / 2 },
        Some("64KiB"),
        "Largest body that the stages take; a larger one goes to the dead-letter queue.",
    ),
    key(
        "backlog.stage",
        Kind::Choice(&STAGES),
        None,
        "Stage whose consumers are held back from the start, until its queue has backlog.messages.",
    ),
    key(
        "backlog.messages",
        count(1, 100_000_000),
        None,
        "Ready messages at which the consumers of backlog.stage begin.",
    ),
    key(
        "backlog.arrivals",
        Kind::Choice(&["continue", "stop"]),
        Some("continue"),
        "Whether the load goes on or ends when the backlog stands.",
    ),
    key(
        "stage.*.queue_type",
        Kind::Choice(&["classic", "quorum"]),
        Some("classic"),
        "Type of the stage's queue.",
    ),
    key(
        "stage.*.max_length",
        Kind::Limit {
            min: 1,
            max: 1_000_000_000,
        },
        Some("unlimited"),
        "Most ready messages of the stage's queue; unacked ones do not count.",
    ),
    key(
        "stage.*.max_length_bytes",
        Kind::Size { max: 1 << 40 },
        None,
        "Most bytes of ready messages' bodies in the stage's queue.",
    ),
    key(
        "stage.*.overflow",
        Kind::Choice(&OVERFLOWS),
        Some("drop-head"),
        "What happens to a message beyond the limit: the oldest makes room, or the new one is refused (nack), or refused and dead-lettered.",
    ),
    key(
        "stage.*.message_ttl",
        duration(1),
        None,
        "How long a message may wait in the stage's queue; then it is dead-lettered as expired, or dropped.",
    ),
    key(
        "stage.*.max_priority",
        count(1, 255),
        None,
        "Makes the stage's queue a priority queue with this highest priority; orders.urgent says whose messages have one. A large prefetch blinds it.",
    ),
    key(
        "stage.*.single_active_consumer",
        Kind::Flag,
        Some("false"),
        "One consumer of the stage at a time gets all deliveries; the others stand by.",
    ),
    key(
        "stage.*.delivery_limit",
        count(1, 1_000_000),
        None,
        "Redeliveries after which a quorum queue gives a message up: dead-lettered as delivery_limit, or dropped. Absent: the broker's default.",
    ),
    key(
        "promises.nothing_lost",
        Kind::Flag,
        Some("false"),
        "State that no confirmed order may be lost: settings that cannot give it are refused.",
    ),
    key(
        "promises.nothing_twice",
        Kind::Flag,
        Some("false"),
        "State that no effect may happen twice: settings that cannot give it are refused.",
    ),
    key(
        "promises.prefetch_respected",
        Kind::Flag,
        Some("false"),
        "State that no consumer holds more than its prefetch: unlimited ones are refused.",
    ),
    objective(
        "objectives.end_to_end_p50",
        Unit::Seconds,
        "Bound of the median end-to-end latency, such as \"<= 50ms\".",
    ),
    objective(
        "objectives.end_to_end_p90",
        Unit::Seconds,
        "Bound of its 90th percentile.",
    ),
    objective(
        "objectives.end_to_end_p99",
        Unit::Seconds,
        "Bound of its 99th percentile, such as \"<= 250ms\"; takes 1,000 measured orders.",
    ),
    objective(
        "objectives.end_to_end_p999",
        Unit::Seconds,
        "Bound of its 99.9th percentile; takes 10,000 measured orders.",
    ),
    objective(
        "objectives.confirm_latency_p99",
        Unit::Seconds,
        "Bound of the confirm latency's 99th percentile.",
    ),
    objective(
        "objectives.drain_time",
        Unit::Seconds,
        "Bound of the time from the end of the load until Drained, such as \"<= 30s\".",
    ),
    objective(
        "objectives.goodput",
        Unit::PerSecond,
        "Bound of the orders finished per second, such as \">= 500/s\".",
    ),
    objective(
        "objectives.achieved_share",
        Unit::Share,
        "Bound of the achieved rate by the offered load, such as \">= 99%\"; not in a closed loop.",
    ),
    objective(
        "objectives.orders_lost",
        Unit::Count,
        "Bound of the orders that were confirmed and are nowhere, such as \"== 0\"; the worst repeat counts.",
    ),
    objective(
        "objectives.orders_duplicate_effect",
        Unit::Count,
        "Bound of the orders with an effect that happened twice; the worst repeat counts.",
    ),
    objective(
        "objectives.orders_oversold",
        Unit::Count,
        "Bound of the orders that were promised more than there was; the worst repeat counts.",
    ),
    objective(
        "objectives.orders_refused",
        Unit::Count,
        "Bound of the orders that the broker nacked or returned.",
    ),
    objective(
        "objectives.dead_letter_share",
        Unit::Share,
        "Bound of the orders that ended as dead letters, of those published, such as \"<= 1%\".",
    ),
    objective(
        "objectives.redeliveries",
        Unit::Count,
        "Bound of the deliveries with the redelivered flag.",
    ),
    objective(
        "objectives.backlog_max",
        Unit::Count,
        "Bound of the greatest sum of ready and unacked messages over all queues.",
    ),
    objective(
        "objectives.backlog_slope",
        Unit::PerSecond,
        "Bound of that sum's growth over the measured part, messages per second (Theil–Sen), such as \"<= 1/s\".",
    ),
    objective(
        "objectives.driver_cpu_share",
        Unit::Share,
        "Bound of the driver's share of its processors over the load.",
    ),
    objective(
        "objectives.driver_memory_max",
        Unit::Bytes,
        "Bound of the driver's greatest resident set, such as \"<= 512MiB\".",
    ),
    objective(
        "objectives.broker_memory_max",
        Unit::Bytes,
        "Bound of the broker's greatest resident set, where its process is known.",
    ),
    key(
        "compare.goodput",
        Kind::Share,
        Some("5%"),
        "Smallest change of goodput that matters, when runs of this workload are compared.",
    ),
    key(
        "compare.end_to_end_p50",
        Kind::Share,
        Some("10%"),
        "Smallest change of the median end-to-end latency that matters, when runs of this workload are compared.",
    ),
    key(
        "compare.end_to_end_p99",
        Kind::Share,
        Some("10%"),
        "Smallest change of the 99th percentile of end-to-end latency that matters, when runs of this workload are compared.",
    ),
    key(
        "compare.drain_time",
        Kind::Share,
        Some("15%"),
        "Smallest change of the drain time that matters, when runs of this workload are compared.",
    ),
    key(
        "compare.driver_cpu",
        Kind::Share,
        Some("10%"),
        "Smallest change of the driver's processor time per order that matters, when runs of this workload are compared.",
    ),
    key(
        "compare.redelivered",
        Kind::Share,
        Some("0.1%"),
        "Smallest change of the redelivered share of deliveries that matters: a difference in percentage points.",
    ),
    key(
        "promises.survives_broker_restart",
        Kind::Flag,
        Some("false"),
        "State that what the broker confirmed survives a restart of the broker: settings that cannot give it are refused, and so is the embedded broker, which keeps everything in memory.",
    ),
    key(
        "broker.nodes",
        count(1, 5),
        Some("1"),
        "Nodes of the broker that the run starts (--broker managed): 1, or a private cluster of 3 or 5, over which connections and queues are spread. The same in all cells.",
    ),
    key(
        "recovery.backoff_initial",
        Kind::Duration {
            min_ms: 1,
            max_ms: 60_000,
        },
        Some("100ms"),
        "First pause before a lost connection, channel or consumer is opened anew; each next one is twice as long, all with jitter down to half.",
    ),
    key(
        "recovery.backoff_max",
        Kind::Duration {
            min_ms: 1,
            max_ms: 600_000,
        },
        Some("5s"),
        "Longest pause between two attempts.",
    ),
    key(
        "recovery.give_up_after",
        Kind::Duration {
            min_ms: 0,
            max_ms: 3_600_000,
        },
        Some("30s"),
        "What has not come back so long after its loss ends the trial; 0s ends it at the first loss.",
    ),
    key(
        "recovery.heartbeat",
        Kind::Duration {
            min_ms: 1_000,
            max_ms: 3_600_000,
        },
        None,
        "Whole seconds between heartbeats that the clients ask for; a connection that is silent for two of them is lost. The broker's own (60 s) when absent, or that of the broker's address.",
    ),
    key(
        "drain.deadline",
        duration(100),
        Some("60s"),
        "Longest wait for the pipeline to run empty after the load ends.",
    ),
    key(
        "sample.interval",
        Kind::Duration {
            min_ms: 50,
            max_ms: 10_000,
        },
        Some("250ms"),
        "Cadence at which backlog, CPU and memory are looked at.",
    ),
    key(
        "driver.client",
        Kind::Choice(&CLIENTS),
        Some("lapin"),
        "The AMQP client of load and stages: lapin, which an application in Rust would use; or this program's own, which costs a fraction of it, so that more of the machine is the broker's (no TLS, and PLAIN is the only login).",
    ),
    key(
        "trial.repeats",
        count(1, 1_000),
        Some("1"),
        "How often the experiment is repeated, each time on fresh queues.",
    ),
    key(
        "fault.stage_outage.stage",
        Kind::Choice(&STAGES),
        None,
        "Stage whose consumers stop cleanly: they finish what they have begun, and the rest goes back to the queue.",
    ),
    key(
        "fault.stage_outage.at",
        duration(0),
        None,
        "When they stop, from the start of the load.",
    ),
    key(
        "fault.stage_outage.lasts",
        duration(1),
        None,
        "How long they are away; may outlast the load.",
    ),
    key(
        "trial.cool_down",
        duration(0),
        None,
        "Pause between two trials, before which the broker must have come to hold nothing of the run; 1s when there are several trials.",
    ),
    key(
        "fault.broker_pause.at",
        duration(0),
        None,
        "When the broker's process is stopped (SIGSTOP), from the start of the load; managed brokers only.",
    ),
    key(
        "fault.broker_pause.lasts",
        duration(1),
        None,
        "How long the broker stays stopped.",
    ),
    key(
        "fault.memory_alarm.at",
        duration(0),
        None,
        "When the broker's memory alarm is raised (its limit lowered), from the start of the load; managed and embedded brokers only.",
    ),
    key(
        "fault.memory_alarm.lasts",
        duration(1),
        None,
        "How long until the memory limit is restored.",
    ),
    key(
        "fault.disk_alarm.at",
        duration(0),
        None,
        "When the broker's disk alarm is raised (its limit of free space above what there is), from the start of the load; managed brokers only.",
    ),
    key(
        "fault.disk_alarm.lasts",
        duration(1),
        None,
        "How long until the disk limit is restored.",
    ),
    key(
        "prediction.sustainable_rate",
        RATE,
        None,
        "Orders per second that the narrowest stage should be able to take; measured while a planned overload lasts.",
    ),
    key(
        "prediction.drain_time",
        duration(0),
        None,
        "How long the backlog of the greatest planned overload should take to clear, from its peak.",
    ),
    key(
        "prediction.backlog_max",
        count(0, 1_000_000_000),
        None,
        "Messages that should lie in all queues together at the peak of that overload, those at work among them.",
    ),
    key(
        "prediction.end_to_end_p99",
        duration(0),
        None,
        "What the 99th percentile of the end-to-end latency should be.",
    ),
    key(
        "faults",
        Kind::Faults,
        None,
        "The fault script, `[[faults]]`: what is done to consumers of stages, to the network or to the broker, when, and to how many.",
    ),
    key(
        "canary.defect",
        Kind::Choice(&DEFECTS),
        None,
        "Plants a defect in a service, to see the ledger find it: such a run must end with exit code 3.",
    ),
    key(
        "canary.every",
        count(1, 1_000_000_000),
        Some("10"),
        "The defect strikes each n-th order.",
    ),
];

/// The row for a concrete path, such as `stage.payment.prefetch` or `load.phases.1.rate`.
pub fn find(path: &str) -> Option<&'static Key> {
    match split_table(path) {
        Some((array, _, name)) => array.key(name),
        None => KEYS.iter().find(|key| matches(key.path, path)),
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(name)) if Stage::ALL.iter().any(|stage| stage.name() == name) => {}
            (Some(left), Some(right)) if left == right => {}
            _ => return false,
        }
    }
}

/// All concrete paths of a file with so many tables.
pub fn concrete_with_tables(tables: Tables) -> impl Iterator<Item = (String, &'static Key)> {
    let of_phase = |position| phase_keys().map(move |(name, key)| (phase_path(position, name), key));
    let of_fault = |position| FAULT_KEYS.iter().map(move |key| (fault_path(position, key.path), key));
    concrete()
        .chain((1..=tables.phases).flat_map(of_phase))
        .chain((1..=tables.faults).flat_map(of_fault))
}

/// All concrete paths outside arrays of tables: a row with `*` once for each stage.
pub fn concrete() -> impl Iterator<Item = (String, &'static Key)> {
    KEYS.iter().flat_map(|key| {
        let stages: &[Stage] = if key.path.contains('*') {
            &Stage::ALL
        } else {
            &Stage::ALL[..1]
        };
        stages
            .iter()
            .map(move |stage| (key.path.replace('*', stage.name()), key))
    })
}

/// Whether the key has an effect in `pipeline`: its stage, or what it says something about, exists there.
pub fn is_of(path: &str, pipeline: PipelineKind) -> bool {
    const OF_ORDERS: [&str; 8] = [
        "orders.items",
        "orders.stock_per_item",
        "orders.lines_max",
        "orders.quantity_max",
        "orders.payment_decline",
        "topology.order_exchange",
        "objectives.orders_oversold",
        "topology.alternate_exchange",
    ];
    let stage = path.strip_prefix("stage.").and_then(|rest| rest.split('.').next());
    match stage {
        Some(name) => pipeline.stages().iter().any(|stage| stage.name() == name),
        None => pipeline == PipelineKind::Orders || !OF_ORDERS.contains(&path),
    }
}

impl Kind {
    /// Whether a value of this kind is written as a list. Such a key is varied by a list of lists, every other by a list.
    pub const fn is_list(self) -> bool {
        match self {
            Kind::Duration { .. }
            | Kind::Rate { .. }
            | Kind::Size { .. }
            | Kind::Share
            | Kind::Count { .. }
            | Kind::Limit { .. }
            | Kind::Flag
            | Kind::Choice(_)
            | Kind::Name
            | Kind::File
            | Kind::ServiceTime
            | Kind::Condition
            | Kind::Bound(_) => false,
            Kind::Phases | Kind::Faults => true,
        }
    }

    /// Reads a value of this kind.
    ///
    /// # Errors
    /// A sentence that says what was found and what is legal.
    pub fn read(self, raw: &Raw) -> Result<Value, String> {
        match (self, raw) {
            (Kind::Flag, Raw::Flag(flag)) => Ok(Value::Flag(*flag)),
            (Kind::Count { min, max }, Raw::Integer(number)) => self.bounded(*number, min, max).map(Value::Count),
            (Kind::Limit { .. }, Raw::Text(text)) if text == "unlimited" => Ok(Value::Limit(None)),
            (Kind::Limit { min, max }, Raw::Integer(number)) => {
                self.bounded(*number, min, max).map(|n| Value::Limit(Some(n)))
            }
            // A number may be written as one.
            (Kind::Choice(words), Raw::Integer(number)) if words.iter().any(|word| *word == number.to_string()) => {
                self.read(&Raw::Text(number.to_string()))
            }
            (Kind::Choice(words), Raw::Text(text)) => match words.iter().find(|word| *word == text) {
                Some(word) => Ok(Value::Choice(word)),
                None => Err(format!("`{text}` is not a choice here; expected {self}")),
            },
            (Kind::Name, Raw::Text(text)) if is_name(text) => Ok(Value::Name(text.clone())),
            (Kind::Name, Raw::Text(text)) => Err(format!("`{text}` is not {self}")),
            (Kind::Duration { .. } | Kind::Rate { .. } | Kind::Size { .. } | Kind::Share, Raw::Text(text)) => {
                self.quantity(text)
            }
            (Kind::Bound(unit), Raw::Text(text)) => Bound::read(text, unit).map(Value::Bound),
            (Kind::ServiceTime, raw) => service_time(raw).map(Value::ServiceTime),
            (Kind::Condition, Raw::Text(text)) => text.parse().map(Value::Condition),
            (Kind::File, Raw::Text(text)) if !text.is_empty() => Ok(Value::File(text.clone())),
            (kind, raw) => Err(format!("expected {kind}, found {raw}")),
        }
    }

    fn bounded(self, number: i64, min: u64, max: u64) -> Result<u64, String> {
        u64::try_from(number)
            .ok()
            .filter(|n| (min..=max).contains(n))
            .ok_or_else(|| format!("{number} is out of range: expected {self}"))
    }

    fn quantity(self, text: &str) -> Result<Value, String> {
        let out_of_range = || format!("`{text}` is out of range: expected {self}");
        match self {
            Kind::Duration { min_ms, max_ms } => {
                let span: Span = text
                    .parse()
                    .map_err(|error: crate::units::UnitError| error.to_string())?;
                let legal = Span::from_millis(min_ms)..=Span::from_millis(max_ms);
                if legal.contains(&span) {
                    Ok(Value::Duration(span))
                } else {
                    Err(out_of_range())
                }
            }
            Kind::Rate { max } => {
                let rate: Rate = text
                    .parse()
                    .map_err(|error: crate::units::UnitError| error.to_string())?;
                if rate.per_second() <= max {
                    Ok(Value::Rate(rate))
                } else {
                    Err(out_of_range())
                }
            }
            Kind::Size { max } => {
                let size: Size = text
                    .parse()
                    .map_err(|error: crate::units::UnitError| error.to_string())?;
                if size.0 <= max {
                    Ok(Value::Size(size))
                } else {
                    Err(out_of_range())
                }
            }
            _ => text
                .parse()
                .map(Value::Share)
                .map_err(|error: crate::units::UnitError| error.to_string()),
        }
    }

    /// The default as a value of this kind.
    pub fn default_value(self, written: &str) -> Value {
        self.read(&Raw::from_argument(written))
            .expect("each default in the table is legal for its key; a test reads them all")
    }
}

/// Whether `text` may name a workload: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Service times are bounded by an hour, which is also the end of the histograms.
const SERVICE_TIME_MAX: Span = Span::from_secs(3600);

fn service_time(raw: &Raw) -> Result<ServiceTime, String> {
    let expected = || format!("expected {}, found {raw}", Kind::ServiceTime);
    match raw {
        Raw::Text(text) if text == "none" => Ok(ServiceTime::None),
        Raw::Text(text) => work_span(text).map(ServiceTime::Fixed),
        Raw::Table(entries) => match entries.as_slice() {
            [(name, Raw::Text(text))] if name == "fixed" => work_span(text).map(ServiceTime::Fixed),
            [(name, Raw::Text(text))] if name == "exponential" => work_span(text).map(ServiceTime::Exponential),
            [(name, Raw::List(values))] if name == "uniform" => match values.as_slice() {
                [Raw::Text(low), Raw::Text(high)] => {
                    let (low, high) = (work_span(low)?, work_span(high)?);
                    if low <= high {
                        Ok(ServiceTime::Uniform(low, high))
                    } else {
                        Err(format!("uniform: {low} is above {high}; write the smaller one first"))
                    }
                }
                _ => Err("uniform takes two durations: { uniform = [\"1ms\", \"9ms\"] }".to_owned()),
            },
            [(name, Raw::Table(values))] if name == "lognormal" => lognormal(values),
            _ => Err(expected()),
        },
        _ => Err(expected()),
    }
}

fn lognormal(values: &[(String, Raw)]) -> Result<ServiceTime, String> {
    let named = |wanted: &str| {
        values.iter().find_map(|(name, value)| match value {
            Raw::Text(text) if name == wanted => Some(text),
            _ => None,
        })
    };
    let (Some(median), Some(p99), 2) = (named("median"), named("p99"), values.len()) else {
        return Err("lognormal takes two durations: { lognormal = { median = \"5ms\", p99 = \"50ms\" } }".to_owned());
    };
    let (median, p99) = (work_span(median)?, work_span(p99)?);
    if Span::ZERO < median && median < p99 {
        Ok(ServiceTime::Lognormal(median, p99))
    } else {
        Err(format!(
            "lognormal: the median ({median}) must be above zero and below the p99 ({p99})"
        ))
    }
}

fn work_span(text: &str) -> Result<Span, String> {
    let span: Span = text
        .parse()
        .map_err(|error: crate::units::UnitError| error.to_string())?;
    if span <= SERVICE_TIME_MAX {
        Ok(span)
    } else {
        Err(format!("`{text}` is out of range: a service time is at most 1h"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Duration { min_ms, max_ms } => {
                write!(f, "a duration from {} to {}", Span::from_millis(*min_ms), Span::from_millis(*max_ms))
            }
            Kind::Rate { max } => write!(f, "a rate up to {max}/s"),
            Kind::Size { max } => write!(f, "a size up to {}", Size(*max)),
            Kind::Share => f.write_str("a percentage from 0% to 100%"),
            Kind::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Limit { min, max } => write!(f, "a whole number from {min} to {max}, or \"unlimited\""),
            Kind::Flag => f.write_str("true or false"),
            Kind::Choice(words) => {
                f.write_str("one of ")?;
                for (i, word) in words.iter().enumerate() {
                    write!(f, "{}\"{word}\"", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Kind::Name => f.write_str("a name (letters, digits, `.`, `_`, `-`; at most 64)"),
            Kind::Bound(unit) => f.write_str(unit.example()),
            Kind::File => f.write_str("the name of a file"),
            Kind::Phases => f.write_str("tables: [[load.phases]], each with a duration"),
            Kind::Condition => f.write_str("what a queue looks like, such as \"inventory.backlog >= 1000\""),
            Kind::Faults => f.write_str("tables: [[faults]], each with what, when and mostly a stage"),
            Kind::ServiceTime => f.write_str(
                "\"none\", a duration, or a distribution such as { exponential = \"5ms\" }, { uniform = [\"1ms\", \"9ms\"] }, { lognormal = { median = \"5ms\", p99 = \"50ms\" } }",
            ),
        }
    }
}

impl Value {
    /// The value as a number in base units (seconds, bytes, per second, a share of 1), where it is a quantity.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Duration(span) | Value::ServiceTime(ServiceTime::Fixed(span)) => Some(span.as_secs_f64()),
            Value::Rate(rate) => Some(rate.per_second()),
            Value::Size(size) => Some(size.0 as f64),
            Value::Share(share) => Some(share.0),
            Value::Count(count) | Value::Limit(Some(count)) => Some(*count as f64),
            Value::Limit(None)
            | Value::Flag(_)
            | Value::Choice(_)
            | Value::Name(_)
            | Value::File(_)
            | Value::Condition(_)
            | Value::ServiceTime(_)
            | Value::Bound(_) => None,
        }
    }
}

/// As it would be written in a file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Duration(span) => write!(f, "\"{span}\""),
            Value::Rate(rate) => write!(f, "\"{rate}\""),
            Value::Size(size) => write!(f, "\"{size}\""),
            Value::Share(share) => write!(f, "\"{share}\""),
            Value::Count(count) | Value::Limit(Some(count)) => write!(f, "{count}"),
            Value::Limit(None) => f.write_str("\"unlimited\""),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Choice(word) => write!(f, "\"{word}\""),
            Value::Name(name) => write!(f, "\"{name}\""),
            Value::Bound(bound) => write!(f, "\"{bound}\""),
            Value::Condition(condition) => write!(f, "\"{condition}\""),
            // A name may hold what TOML escapes, as JSON does.
            Value::File(name) => write!(f, "{}", serde_json::Value::from(name.as_str())),
            Value::ServiceTime(time) => match time {
                ServiceTime::None => f.write_str("\"none\""),
                ServiceTime::Fixed(span) => write!(f, "\"{span}\""),
                ServiceTime::Uniform(low, high) => write!(f, "{{ uniform = [\"{low}\", \"{high}\"] }}"),
                ServiceTime::Exponential(mean) => write!(f, "{{ exponential = \"{mean}\" }}"),
                ServiceTime::Lognormal(median, p99) => {
                    write!(f, "{{ lognormal = {{ median = \"{median}\", p99 = \"{p99}\" }} }}")
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_legal_value_of_its_key() {
        for key in KEYS {
            if let Some(default) = key.default {
                key.kind.default_value(default);
            }
        }
    }

    #[test]
    fn a_value_prints_as_what_reads_back_to_it() {
        for written in [
            "none",
            "5ms",
            "{ uniform = [\"1ms\", \"9ms\"] }",
            "{ exponential = \"5ms\" }",
            "{ lognormal = { median = \"5ms\", p99 = \"50ms\" } }",
        ] {
            let value = Kind::ServiceTime.default_value(written);
            assert_eq!(Kind::ServiceTime.default_value(&value.to_string()), value, "{written}");
        }
    }

    #[test]
    fn a_phase_has_the_keys_of_a_shape_and_its_own() {
        assert_eq!(phase_keys().count(), SHAPE_KEYS.len() + PHASE_OWN.len());
        assert_eq!(find("load.phases.3.rate").map(|key| key.path), Some("load.rate"));
        assert_eq!(find("load.phases.3.name").map(|key| key.path), Some("name"));
        for path in [
            "load.phases.0.rate",
            "load.phases.1.users",
            "load.phases.x.rate",
            "load.phases.1",
            "faults.1",
            "faults.0.at",
            "faults.101.at",
            "faults.1.rate",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
        assert_eq!(find("faults.3.at").map(|key| key.path), Some("at"));
        let paths = ["load.rate", "load.phases.2.rate", "faults.3.at", "load.phases.1.rate"];
        assert_eq!(tables_in(paths.into_iter()), Tables { phases: 2, faults: 3 });
    }

    #[test]
    fn only_stages_stand_for_the_star() {
        assert!(find("stage.payment.prefetch").is_some());
        assert!(find("stage.paymnet.prefetch").is_none());
    }
}
