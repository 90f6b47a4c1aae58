//! Sizing: a model fitted to a run, how far it is from cells that it has not seen, and the plan that it gives for a demand.
//!
//! From a [`RunRecord`](crate::results::RunRecord) alone; needs no broker. The order is [`Evidence`] (what a run measured) → [`Model`] (what a
//! message costs each stage) → [`Validation`] (the model's error, cell by cell) → [`Plan`] (consumers, prefetch, backlog, drain) →
//! [`generate`] (a workload that shows whether the plan holds). docs/PLANNING.md has the method and its limits. How a plan looks
//! on paper is the report's business.

mod demand;
mod evidence;
mod forecast;
pub mod generate;
mod model;
mod plan;
mod rows;
mod validation;

pub use demand::{Burst, Demand, DemandError, Loss};
pub use evidence::{Drained, Evidence, Include, StageEvidence, TrialEvidence};
pub use forecast::{Flow, flow_order, value_at};
pub use model::{Model, SERVICE_MIN_S, StageModel};
pub use plan::{Plan, StagePlan, plan};
pub use rows::{Origin, Row, Unit};
pub use validation::{Errors, Measure, Pair, Validation};

/// Different cells that a model must be fitted to, so that each can be foretold from the others.
pub const CELLS_MIN: usize = 3;

/// Why nothing can be planned from a run: the evidence is missing, or a cell that was named.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// No trial can be used.
    #[error(
        "the run {run} has no trial that a model can be fitted to{}\nhelp: {help}",
        because(excluded)
    )]
    NoTrials {
        /// Its id.
        run: String,
        /// Why trials were left out, and how many for each reason.
        excluded: Vec<(String, usize)>,
        /// What to do.
        help: &'static str,
    },
    /// Too few cells.
    #[error(
        "a model takes {CELLS_MIN} cells that differ in load or settings, to see its error on each; the run {run} has {found} of use{}\nhelp: vary the load or a setting in its workload, such as rate = [\"50/s\", \"100/s\", \"150/s\"] under [load], and run it again",
        because(excluded)
    )]
    TooFewCells {
        /// Its id.
        run: String,
        /// Cells of use.
        found: usize,
        /// Why trials were left out, and how many for each reason.
        excluded: Vec<(String, usize)>,
    },
    /// Nothing takes time.
    #[error(
        "no stage of the run {run} works long enough on a message to be planned for: the longest mean service time is {longest}\nhelp: give the stages the service times of your services, such as service_time = \"8ms\" under [stage.payment], and run it again"
    )]
    NoServiceTime {
        /// Its id.
        run: String,
        /// The longest mean.
        longest: String,
    },
    /// The cell that was named does not exist.
    #[error("the run {run} has no cell `{asked}`\nhelp: its cells are {}", known.join("; "))]
    NoCell {
        /// Its id.
        run: String,
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
}

fn because(excluded: &[(String, usize)]) -> String {
    if excluded.is_empty() {
        return String::new();
    }
    let reasons: Vec<String> = excluded.iter().map(|(why, count)| format!("{count} {why}")).collect();
    format!(" (left out: {})", reasons.join(", "))
}
