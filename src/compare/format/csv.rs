//! One row per measure (RFC 4180). Each column is described in docs/RESULTS.md.

use super::super::{Case, Comparison, Measured};
use crate::report::cell::Cell;

/// All columns, in their order.
pub(super) const COLUMNS: [&str; 24] = [
    "base_run",
    "new_run",
    "workload",
    "broker",
    "forced",
    "case",
    "measure",
    "figure",
    "better",
    "scale",
    "pairs",
    "base_trials",
    "new_trials",
    "base_median",
    "new_median",
    "change",
    "change_low",
    "change_high",
    "p",
    "p_adjusted",
    "threshold",
    "detectable",
    "trials_needed",
    "verdict",
];

pub(super) fn render(comparison: &Comparison) -> anyhow::Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS)?;
    for case in &comparison.cases {
        for measured in &case.measures {
            let row = head(comparison, case).into_iter().chain(figures(measured));
            csv.write_record(row.map(|cell| cell.written()))?;
        }
        for promise in &case.promises {
            // A promise has a verdict on each side and no figures.
            let mut row: Vec<Cell> = head(comparison, case).to_vec();
            row.push(promise.promise.as_str().into());
            row.resize(COLUMNS.len() - 1, Cell::Absent);
            row[7] = promise.kind.into();
            row[13] = promise.base.name().into();
            row[14] = promise.new.name().into();
            row.push(promise.judgement.word().into());
            csv.write_record(row.iter().map(Cell::written))?;
        }
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

fn head(comparison: &Comparison, case: &Case) -> [Cell; 6] {
    let forced: Vec<String> = comparison.forced.iter().map(ToString::to_string).collect();
    [
        comparison.base.run.as_str().into(),
        comparison.new.run.as_str().into(),
        comparison.new.workload.as_str().into(),
        comparison.new.broker.as_str().into(),
        forced.join("; ").as_str().into(),
        case.name.as_str().into(),
    ]
}

fn figures(measured: &Measured) -> [Cell; 18] {
    let count = |n: usize| Cell::Count(n as u64);
    [
        measured.measure.into(),
        measured.figure.into(),
        measured.better.into(),
        measured.scale.into(),
        measured.pairs.map_or(Cell::Absent, count),
        count(measured.base.len()),
        count(measured.new.len()),
        measured.base_median.into(),
        measured.new_median.into(),
        measured.change.into(),
        measured.interval.map(|interval| interval.low).into(),
        measured.interval.map(|interval| interval.high).into(),
        measured.p.into(),
        measured.p_adjusted.into(),
        measured.threshold.into(),
        measured.detectable.into(),
        measured.trials_needed.map_or(Cell::Absent, count),
        measured.judgement.word().into(),
    ]
}
