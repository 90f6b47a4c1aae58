//! What the live view shows; it reads these and decides nothing.

/// A part of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Starting or finding the broker.
    #[default]
    Provision,
    /// Waiting between two trials.
    CoolDown,
    /// Declaring the topology, starting consumers.
    Declare,
    /// Load that is not measured.
    WarmUp,
    /// Load that is measured.
    Measure,
    /// Waiting for the pipeline to run empty.
    Drain,
    /// Looking into what is left, and cleaning up.
    Verify,
    /// Writing the results.
    Persist,
}

impl Phase {
    /// The name in results and on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Provision => "provision",
            Phase::CoolDown => "cool-down",
            Phase::Declare => "declare",
            Phase::WarmUp => "warm-up",
            Phase::Measure => "measure",
            Phase::Drain => "drain",
            Phase::Verify => "verify",
            Phase::Persist => "persist",
        }
    }
}

/// The state of a run, about four times a second. Absent values are not known yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The running trial, from 1.
    pub trial: u32,
    /// Trials of the run.
    pub trials: u32,
    /// The running trial's cell in short; empty if nothing is varied.
    pub cell: String,
    /// Seconds that the trials after this one take, about.
    pub later_s: Option<f64>,
    /// Where it is.
    pub phase: Phase,
    /// Seconds since the load began.
    pub elapsed_s: f64,
    /// Seconds that the load takes, where that is planned.
    pub load_s: Option<f64>,
    /// Orders sent so far.
    pub sent: u64,
    /// Orders planned.
    pub planned: Option<u64>,
    /// Orders that came to their end.
    pub finished: u64,
    /// Orders per second sent, over the last second.
    pub achieved_per_s: Option<f64>,
    /// Orders per second finished, over the last second.
    pub goodput_per_s: Option<f64>,
    /// Ready and unacked messages over all queues.
    pub backlog: Option<u64>,
    /// End-to-end latency of the last second, nanoseconds.
    pub p50_ns: Option<u64>,
    /// As above.
    pub p99_ns: Option<u64>,
    /// The broker has a connection blocked.
    pub blocked: bool,
}
