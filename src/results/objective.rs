//! Whether the cells of a run met the objectives of their workload.
//!
//! Judges from records alone, so it can be done again at any time. A figure that is absent is never met.

use super::record::{CellRecord, ObjectiveRecord, RunRecord, TrialRecord};
use crate::ledger::Verdict;
use crate::measure::{Quantile, Summary};
use crate::workload::objective::{Bound, Comparison, Figure, Objective, Rule};

/// A figure of one trial, in base units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    /// It was measured.
    Is(f64),
    /// It is longer than that: the wait for it was given up.
    MoreThan(f64),
    /// It was not measured, or too few samples carry it.
    Absent,
}

/// Judges every cell of `record` anew.
pub fn judge(record: &RunRecord) -> Vec<Vec<ObjectiveRecord>> {
    let cells = record.cells.iter().enumerate();
    cells
        .map(|(at, cell)| {
            let trials: Vec<&TrialRecord> = record
                .trials_of(at)
                .filter(|trial| !trial.interrupted && trial.aborted.is_none())
                .collect();
            of_cell(cell, &trials)
        })
        .collect()
}

fn of_cell(cell: &CellRecord, trials: &[&TrialRecord]) -> Vec<ObjectiveRecord> {
    let planned = cell.workload.trial.repeats as usize;
    let objectives = cell.workload.objectives.iter();
    objectives
        .map(|objective| of_objective(objective, trials, planned))
        .collect()
}

fn of_objective(objective: &Objective, trials: &[&TrialRecord], planned: usize) -> ObjectiveRecord {
    let Objective { figure, bound } = *objective;
    let readings: Vec<Reading> = trials.iter().map(|trial| reading(figure, trial)).collect();
    let rule = objective.rule();
    let (spoken, verdict) = match rule {
        Rule::Worst => worst(&readings, &bound, planned),
        Rule::Median => median(&readings, &bound, planned),
    };
    let (measured, more_than) = match spoken {
        Reading::Is(value) => (Some(value), false),
        Reading::MoreThan(value) => (Some(value), true),
        Reading::Absent => (None, false),
    };
    let absent = trials.iter().find(|trial| reading(figure, trial) == Reading::Absent);
    ObjectiveRecord {
        figure,
        unit: figure.unit(),
        bound: bound.to_string(),
        limit: bound.limit(),
        measured,
        more_than,
        rule,
        repeats: trials.len() as u32,
        verdict,
        beyond: measured
            .filter(|_| verdict == Verdict::Fail)
            .map(|value| bound.excess(value)),
        unknown_because: (verdict == Verdict::Unknown).then(|| match absent {
            Some(trial) => why_absent(figure, trial),
            None if trials.len() < planned => format!("{} of {planned} repeats were finished", trials.len()),
            None => "the wait was given up before it could be told".to_owned(),
        }),
    }
}

/// The repeat that is worst for the bound. One that breaks it decides, whatever is missing beside it.
fn worst(readings: &[Reading], bound: &Bound, planned: usize) -> (Reading, Verdict) {
    let known: Vec<f64> = readings
        .iter()
        .filter_map(|reading| match reading {
            Reading::Is(value) => Some(*value),
            _ => None,
        })
        .collect();
    let worst = known
        .iter()
        .copied()
        .max_by(|left, right| bound.excess(*left).total_cmp(&bound.excess(*right)));
    let all_known = known.len() == readings.len() && readings.len() >= planned;
    match worst {
        Some(value) if !bound.holds(value) => (Reading::Is(value), Verdict::Fail),
        Some(value) if all_known => (Reading::Is(value), Verdict::Pass),
        Some(value) => (Reading::Is(value), Verdict::Unknown),
        None => (Reading::Absent, Verdict::Unknown),
    }
}

/// The median of the repeats; what is longer than could be waited for counts as longer than everything.
fn median(readings: &[Reading], bound: &Bound, planned: usize) -> (Reading, Verdict) {
    let mut values = Vec::new();
    let mut given_up = f64::INFINITY;
    for reading in readings {
        match reading {
            Reading::Is(value) => values.push(*value),
            Reading::MoreThan(value) => {
                values.push(f64::INFINITY);
                given_up = given_up.min(*value);
            }
            Reading::Absent => return (Reading::Absent, Verdict::Unknown),
        }
    }
    let Some(median) = crate::stats::median(&values) else {
        return (Reading::Absent, Verdict::Unknown);
    };
    let all = readings.len() >= planned;
    if median.is_finite() {
        let verdict = match bound.holds(median) {
            _ if !all => Verdict::Unknown,
            true => Verdict::Pass,
            false => Verdict::Fail,
        };
        return (Reading::Is(median), verdict);
    }
    let at_most = matches!(bound.comparison, Comparison::AtMost | Comparison::Below);
    let verdict = match () {
        () if !all => Verdict::Unknown,
        () if at_most && given_up >= bound.limit() => Verdict::Fail,
        () if !at_most && bound.holds(given_up) => Verdict::Pass,
        () => Verdict::Unknown,
    };
    (Reading::MoreThan(given_up), verdict)
}

pub(super) fn reading(figure: Figure, trial: &TrialRecord) -> Reading {
    let series = |name: &str| trial.latencies.iter().find(|summary| summary.series == name);
    let seconds = |name: &str, which: fn(&Summary) -> Option<Quantile>| {
        series(name).and_then(which).map(|quantile| quantile.ns as f64 / 1e9)
    };
    let fates = &trial.ledger.fates;
    let count = |n: u64| Some(n as f64);
    let value = match figure {
        Figure::EndToEndP50 => seconds("end_to_end", |summary| summary.p50),
        Figure::EndToEndP90 => seconds("end_to_end", |summary| summary.p90),
        Figure::EndToEndP99 => seconds("end_to_end", |summary| summary.p99),
        Figure::EndToEndP999 => seconds("end_to_end", |summary| summary.p999),
        Figure::ConfirmLatencyP99 => seconds("confirm_latency", |summary| summary.p99),
        Figure::DrainTime if !trial.drain.drained => return Reading::MoreThan(trial.drain.deadline_s),
        Figure::DrainTime => trial.drain.time_s,
        Figure::Goodput => trial.rates.goodput_per_s,
        Figure::AchievedShare => trial
            .rates
            .achieved_rate_per_s
            .zip(trial.rates.offered_load_per_s.filter(|offered| *offered > 0.0))
            .map(|(achieved, offered)| achieved / offered),
        // What is still on its way may yet be lost, or not.
        Figure::OrdersLost if fates.lost == 0 && !trial.drain.drained => None,
        Figure::OrdersLost => count(fates.lost),
        Figure::OrdersDuplicateEffect => count(trial.ledger.duplicate_effect),
        Figure::OrdersOversold => count(trial.ledger.stock.orders_oversold),
        Figure::OrdersRefused => count(fates.nacked + fates.returned),
        Figure::DeadLetterShare => {
            let published = trial.orders.published;
            (published > 0).then(|| fates.dead_lettered as f64 / published as f64)
        }
        Figure::Redeliveries => count(trial.messages.redelivered),
        Figure::BacklogMax => trial.backlog_messages_max.map(|n| n as f64),
        Figure::BacklogSlope => trial.backlog_slope_messages_per_s,
        Figure::DriverCpuShare => trial.resources.driver_cpu_share,
        Figure::DriverMemoryMax => trial.resources.driver_rss_bytes_max.map(|n| n as f64),
        Figure::BrokerMemoryMax => trial.resources.broker_rss_bytes_max.map(|n| n as f64),
    };
    value.map_or(Reading::Absent, Reading::Is)
}

pub(super) fn why_absent(figure: Figure, trial: &TrialRecord) -> String {
    let samples = |series: &str, needed: &str| {
        let summary = trial.latencies.iter().find(|summary| summary.series == series);
        let n = summary.map_or(0, |summary| summary.count);
        format!("{n} samples do not carry it; {needed} are needed")
    };
    match figure {
        Figure::EndToEndP50 => samples("end_to_end", "20"),
        Figure::EndToEndP90 => samples("end_to_end", "100"),
        Figure::EndToEndP99 => samples("end_to_end", "1,000"),
        Figure::EndToEndP999 => samples("end_to_end", "10,000"),
        Figure::ConfirmLatencyP99 => samples("confirm_latency", "1,000"),
        Figure::OrdersLost => "the pipeline did not run empty".to_owned(),
        Figure::BacklogSlope | Figure::BacklogMax => "too few looks at the queues were answered".to_owned(),
        Figure::BrokerMemoryMax => "the broker's process is not known here".to_owned(),
        _ => "it was not measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::objective::Unit;

    fn bound(text: &str) -> Bound {
        Bound::read(text, Unit::Count).expect("legal")
    }

    #[test]
    fn the_median_speaks_for_a_cell() {
        let readings = [5.0, 100.0, 6.0].map(Reading::Is);
        assert_eq!(median(&readings, &bound("<= 6"), 3), (Reading::Is(6.0), Verdict::Pass));
        assert_eq!(median(&readings, &bound("< 6"), 3), (Reading::Is(6.0), Verdict::Fail));
        assert_eq!(median(&readings, &bound(">= 7"), 3).1, Verdict::Fail);
    }

    #[test]
    fn of_harm_the_worst_repeat_speaks() {
        let readings = [0.0, 2.0, 0.0].map(Reading::Is);
        assert_eq!(worst(&readings, &bound("== 0"), 3), (Reading::Is(2.0), Verdict::Fail));
        assert_eq!(worst(&readings, &bound("<= 2"), 3), (Reading::Is(2.0), Verdict::Pass));
        assert_eq!(worst(&readings, &bound(">= 1"), 3), (Reading::Is(0.0), Verdict::Fail));
        let beside = [Reading::Absent, Reading::Is(2.0)];
        assert_eq!(
            worst(&beside, &bound("== 0"), 2).1,
            Verdict::Fail,
            "one that breaks it decides"
        );
        assert_eq!(worst(&beside, &bound("<= 2"), 2).1, Verdict::Unknown);
    }

    #[test]
    fn what_is_absent_is_never_met() {
        for readings in [&[][..], &[Reading::Absent], &[Reading::Is(1.0), Reading::Absent]] {
            assert_eq!(median(readings, &bound("<= 5"), 1).1, Verdict::Unknown);
            assert_eq!(worst(readings, &bound("<= 5"), 1).1, Verdict::Unknown);
        }
    }

    #[test]
    fn a_cell_whose_repeats_are_missing_has_met_nothing_yet() {
        let readings = [Reading::Is(1.0)];
        assert_eq!(
            median(&readings, &bound("<= 5"), 2),
            (Reading::Is(1.0), Verdict::Unknown)
        );
        assert_eq!(
            worst(&readings, &bound("== 1"), 2),
            (Reading::Is(1.0), Verdict::Unknown)
        );
        assert_eq!(worst(&readings, &bound("== 0"), 2).1, Verdict::Fail);
    }

    #[test]
    fn a_drain_that_was_given_up_is_longer_than_its_deadline() {
        let given_up = [Reading::MoreThan(60.0)];
        assert_eq!(
            median(&given_up, &bound("<= 30"), 1),
            (Reading::MoreThan(60.0), Verdict::Fail)
        );
        assert_eq!(median(&given_up, &bound("<= 60"), 1).1, Verdict::Fail);
        assert_eq!(median(&given_up, &bound("<= 90"), 1).1, Verdict::Unknown);
        let one_of_three = [Reading::Is(3.0), Reading::MoreThan(60.0), Reading::Is(4.0)];
        assert_eq!(
            median(&one_of_three, &bound("<= 5"), 3),
            (Reading::Is(4.0), Verdict::Pass)
        );
        let one_of_two = [Reading::Is(3.0), Reading::MoreThan(60.0)];
        assert_eq!(median(&one_of_two, &bound("<= 5"), 2).1, Verdict::Fail);
    }
}
