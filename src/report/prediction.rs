//! `prediction.csv`: what a plan foretold of a workload, beside what each trial measured (RFC 4180), and the same figures as
//! text. Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell;
use super::human;
use crate::results::prediction::{self, Foretold};
use crate::results::record::{RunRecord, TrialRecord};
use crate::workload::objective::Unit;

type Column = (&'static str, fn(&TrialRecord, &Foretold) -> Cell);
const COLUMNS: &[Column] = &[
    ("trial", |t, _| t.trial.into()),
    ("figure", |_, f| f.figure.into()),
    ("stage", |_, f| f.stage.map(|stage| Cell::from(stage.name())).into()),
    ("unit", |_, f| unit(f.unit).into()),
    ("predicted", |_, f| f.predicted.into()),
    ("measured", |_, f| f.measured.into()),
    ("error_share", |_, f| f.error().into()),
];

/// The names of the columns, in their order.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// What was foretold of the trial's workload, beside what it measured.
pub(super) fn of(record: &RunRecord, trial: &TrialRecord) -> Vec<Foretold> {
    prediction::of(&record.cell(trial).workload, trial)
}

/// Writes `prediction.csv`: the header and a row for each figure of each trial that was foretold.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(columns())?;
    for trial in &record.trials {
        for foretold in of(record, trial) {
            csv.write_record(COLUMNS.iter().map(|(_, cell)| cell(trial, &foretold).written()))?;
        }
    }
    csv.flush()?;
    Ok(())
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::PerSecond => "1/s",
        Unit::Bytes => "bytes",
        Unit::Share => "share",
        Unit::Count => "count",
    }
}

/// What it is, such as `utilisation of payment`.
pub(super) fn title(foretold: &Foretold) -> String {
    let name = foretold.figure.replace('_', " ");
    foretold
        .stage
        .map_or(name.clone(), |stage| format!("{name} of {stage}"))
}

/// A figure of its unit as people read it.
pub(super) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => human::nanos(value * 1e9),
        Unit::PerSecond => human::rate(value),
        Unit::Bytes => human::bytes(value),
        Unit::Share => human::share(value),
        Unit::Count => human::count(value.max(0.0).round() as u64),
    }
}

/// A relative error with its sign, such as `+3.1 %`.
pub(super) fn error(error: Option<f64>) -> String {
    error.map_or(human::ABSENT.to_owned(), |error| format!("{:+.1} %", error * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn each_figure_that_was_foretold_stands_beside_what_was_measured() {
        let record = fixture::foretold();
        let mut bytes = Vec::new();
        write(&record, &mut bytes).expect("written");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let row = |start: &str| {
            text.lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("no {start} in\n{text}"))
        };
        assert!(row("1,drain_time,,s,10,10.4,").contains(",-0.0384615"), "{text}");
        assert!(
            row("1,sustainable_rate,,1/s,400,")
                .split(',')
                .nth(5)
                .is_some_and(|measured| !measured.is_empty())
        );
        assert!(row("1,utilisation,payment,share,0.8,").len() > 30);
        // Nobody foretold it.
        assert!(!text.contains("end_to_end_p99") && text.lines().count() == 5, "{text}");
        assert_eq!(error(Some(0.0312)), "+3.1 %");
    }

    #[test]
    fn the_manual_describes_each_column() {
        let manual = include_str!("../../docs/RESULTS.md");
        let section = manual.split("\n## prediction.csv").nth(1).expect("a section");
        for column in columns() {
            assert!(section.contains(&format!("| `{column}` |")), "{column}");
        }
    }
}
