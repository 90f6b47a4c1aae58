//! How a run came out: verdict, exit code and reason, from its trials.

use super::manifest::CleanupError;
use super::run::RunError;
use crate::ledger::{PromiseReport, Verdict};
use crate::report::{capacity, objective};
use crate::results::RunRecord;
use crate::results::record::{Outcome, TrialRecord};

/// The clean-up's finding joins the trial's promises; what could not be cleaned is a warning with its remedy.
pub fn note_clean_up(
    record: &mut TrialRecord,
    workload: &crate::workload::Workload,
    cleaned: Result<Option<u64>, CleanupError>,
) {
    match cleaned {
        Ok(left_behind) => {
            let observed = crate::ledger::Observed {
                left_behind,
                drained: record.drain.drained,
                ..Default::default()
            };
            let found = crate::ledger::judge(workload, &record.ledger, &observed);
            let left: Vec<PromiseReport> = found
                .into_iter()
                .filter(|promise| promise.name == "nothing_left_behind")
                .collect();
            record.verdict = left
                .iter()
                .map(|promise| promise.verdict)
                .fold(record.verdict, Verdict::max);
            record.promises.extend(left);
        }
        Err(error) => {
            let says = format!("the broker could not be cleaned up: {error}; `orderstorm cleanup RUN` does it later");
            record.validity.warnings.push(says);
        }
    }
}

/// What a record says while the run goes on, and for good if it is killed.
pub fn so_far(trials: &[TrialRecord], planned: usize) -> Outcome {
    Outcome {
        verdict: worst(trials),
        exit_code: 1,
        reason: format!(
            "{} of {planned} trials are on record; `orderstorm run --resume` with this folder runs the others",
            trials.len()
        ),
    }
}

fn worst(trials: &[TrialRecord]) -> Verdict {
    let verdicts = trials.iter().map(|trial| trial.verdict);
    verdicts.max().unwrap_or(Verdict::Unknown)
}

/// The worst of everything, and the process's exit code.
pub fn outcome(record: &RunRecord, failure: Option<&RunError>, interrupted: bool) -> Outcome {
    let trials = &record.trials;
    let verdict = match &record.capacity {
        // Beyond its capacity a pipeline does not run empty in time: that is what is searched for.
        Some(_) if worst(trials) != Verdict::Fail => Verdict::Pass,
        _ => worst(trials),
    };
    let broken: Vec<&str> = trials
        .iter()
        .flat_map(|trial| &trial.promises)
        .filter(|promise| promise.verdict == Verdict::Fail && promise.not_given_because.is_none())
        .map(|promise| promise.name.as_str())
        .collect();
    let aborted = trials
        .iter()
        .find_map(|trial| trial.aborted.clone())
        .or_else(|| failure.map(ToString::to_string));
    let invalid = trials.iter().flat_map(|trial| &trial.validity.reasons).next();
    let (exit_code, reason) = if interrupted {
        (130, interruption(record))
    } else if !broken.is_empty() {
        (3, format!("a promise was broken: {}", broken.join(", ")))
    } else if let Some(why) = aborted {
        (1, why)
    } else if let Some(capacity) = &record.capacity {
        capacity::outcome(record, capacity)
    } else if let Some(missed) = objective::reason(record, Verdict::Fail) {
        (4, missed)
    } else if let Some(why) = invalid {
        (5, why.clone())
    } else if let Some(missed) = unstruck(trials) {
        (5, format!("inconclusive: of the faults planned {missed}"))
    } else if verdict == Verdict::Unknown {
        (
            5,
            "inconclusive: the pipeline did not run empty by the deadline, or nothing was confirmed".to_owned(),
        )
    } else if let Some(why) = objective::reason(record, Verdict::Unknown) {
        (5, why)
    } else {
        (0, "every promise that the configuration gives was kept".to_owned())
    };
    Outcome {
        verdict,
        exit_code,
        reason,
    }
}

/// What is said of planned faults that struck nobody, if there are any.
fn unstruck(trials: &[TrialRecord]) -> Option<&str> {
    let mut promises = trials.iter().flat_map(|trial| &trial.promises);
    let missed = promises.find(|promise| promise.name == "faults_struck" && promise.verdict == Verdict::Unknown)?;
    Some(&missed.finding)
}

fn interruption(record: &RunRecord) -> String {
    if record.progress.trials_planned <= 1 {
        return "interrupted; what was measured is kept".to_owned();
    }
    let finished = record.trials.iter().filter(|trial| !trial.interrupted).count();
    format!(
        "interrupted after {finished} of {} trials; what was measured is kept",
        record.progress.trials_planned
    )
}
