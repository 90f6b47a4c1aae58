//! `phases.csv` and `overloads.csv`: when what happened in each trial, and the planned overloads with their predictions (RFC
//! 4180). Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell;
use crate::results::record::{Band, LoadPhaseRecord, OverloadRecord, RunRecord, TrialRecord};

/// What kind of stretch a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A phase of the trial.
    Trial,
    /// A phase of the load.
    Load,
    /// A fault.
    Fault,
    /// The broker blocked connections.
    Blocked,
}

impl Kind {
    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Trial => "trial",
            Kind::Load => "load",
            Kind::Fault => "fault",
            Kind::Blocked => "blocked",
        }
    }
}

/// A stretch of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name, and when it was.
    pub band: &'a Band,
    /// Its orders; of phases of the load only.
    pub load: Option<&'a LoadPhaseRecord>,
}

/// Everything that had a begin and an end, in the order of kinds and times.
pub fn stretches(trial: &TrialRecord) -> Vec<Stretch<'_>> {
    let phases = trial.phases.iter().map(|band| (Kind::Trial, band));
    let load = trial.load_phases.iter().map(|phase| Stretch {
        kind: Kind::Load,
        band: &phase.band,
        load: Some(phase),
    });
    let faults = trial.faults.iter().map(|band| (Kind::Fault, band));
    let blocked = trial.blocked.iter().map(|band| (Kind::Blocked, band));
    let without_orders = |(kind, band)| Stretch { kind, band, load: None };
    phases
        .map(without_orders)
        .chain(load)
        .chain(faults.chain(blocked).map(without_orders))
        .collect()
}

type PhaseColumn = (&'static str, fn(&TrialRecord, &Stretch<'_>) -> Cell);
const PHASE_COLUMNS: &[PhaseColumn] = &[
    ("trial", |t, _| t.trial.into()),
    ("kind", |_, s| s.kind.name().into()),
    ("phase", |_, s| s.band.name.as_str().into()),
    ("start_s", |_, s| s.band.start_s.into()),
    ("end_s", |_, s| s.band.end_s.into()),
    ("orders_offered", |_, s| s.load.map(|load| load.orders_offered).into()),
    ("orders_sent", |_, s| s.load.map(|load| load.orders_sent).into()),
    ("offered_load_per_s", |_, s| {
        s.load.and_then(LoadPhaseRecord::offered_load_per_s).into()
    }),
    ("achieved_rate_per_s", |_, s| {
        s.load.and_then(LoadPhaseRecord::achieved_rate_per_s).into()
    }),
];

type OverloadColumn = (&'static str, fn(&TrialRecord, &OverloadRecord) -> Cell);
const OVERLOAD_COLUMNS: &[OverloadColumn] = &[
    ("trial", |t, _| t.trial.into()),
    ("stage", |_, o| o.stage.name().into()),
    ("capacity_per_s", |_, o| o.capacity_per_s.into()),
    ("begins_s", |_, o| o.begins_s.into()),
    ("peak_s", |_, o| o.peak_s.into()),
    ("backlog_orders_predicted", |_, o| o.backlog_orders_predicted.into()),
    ("backlog_messages_max", |_, o| o.backlog_messages_max.into()),
    ("clear_time_s_predicted", |_, o| o.clear_time_predicted_s.into()),
    ("clear_time_s", |_, o| o.clear_time_s.into()),
    ("clear_time_ratio", |_, o| o.clear_time_ratio().into()),
    ("finished_per_s", |_, o| o.finished_per_s.into()),
];

/// The names of the columns of `phases.csv`, in their order.
pub fn phase_columns() -> impl Iterator<Item = &'static str> {
    PHASE_COLUMNS.iter().map(|(name, _)| *name)
}

/// The names of the columns of `overloads.csv`, in their order.
pub fn overload_columns() -> impl Iterator<Item = &'static str> {
    OVERLOAD_COLUMNS.iter().map(|(name, _)| *name)
}

/// Writes `phases.csv`: the header and a row for each stretch of each trial.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(phase_columns())?;
    for trial in &record.trials {
        for stretch in stretches(trial) {
            csv.write_record(PHASE_COLUMNS.iter().map(|(_, cell)| cell(trial, &stretch).written()))?;
        }
    }
    csv.flush()?;
    Ok(())
}

/// Writes `overloads.csv`: the header and a row for each planned overload of each trial.
///
/// # Errors
/// What `to` returns.
pub fn write_overloads(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(overload_columns())?;
    for trial in &record.trials {
        for overload in &trial.overloads {
            csv.write_record(OVERLOAD_COLUMNS.iter().map(|(_, cell)| cell(trial, overload).written()))?;
        }
    }
    csv.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    type Write = fn(&RunRecord, &mut Vec<u8>) -> Result<(), csv::Error>;

    fn rows(write: Write, record: &RunRecord) -> Vec<std::collections::HashMap<String, String>> {
        let mut bytes = Vec::new();
        write(record, &mut bytes).expect("written");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        reader.deserialize().map(|row| row.expect("legal CSV")).collect()
    }

    #[test]
    fn phases_of_the_load_have_their_orders_and_the_others_only_times() {
        let rows = rows(|record, to| write(record, to), &fixture::failed());
        let of = |kind: &str| -> Vec<_> { rows.iter().filter(|row| row["kind"] == kind).collect() };
        let load = of("load");
        assert_eq!((load.len(), load[1]["phase"].as_str()), (2, "storm"));
        assert_eq!(
            (load[1]["start_s"].as_str(), load[1]["orders_sent"].as_str()),
            ("35", "14980")
        );
        assert_eq!(load[1]["offered_load_per_s"], "500");
        assert_eq!(of("fault")[0]["orders_offered"], "");
        assert_eq!((of("blocked").len(), of("trial").is_empty()), (3, false));
    }

    #[test]
    fn an_overload_stands_beside_its_prediction() {
        let rows = rows(|record, to| write_overloads(record, to), &fixture::failed());
        assert_eq!((rows.len(), rows[0]["stage"].as_str()), (1, "payment"));
        assert_eq!(
            (
                rows[0]["clear_time_s_predicted"].as_str(),
                rows[0]["clear_time_ratio"].as_str()
            ),
            ("10", "1.04")
        );
    }

    #[test]
    fn every_column_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RESULTS.md");
        let section = |heading: &str| {
            let from = manual.find(heading).unwrap_or_else(|| panic!("no section {heading}"));
            let rest = &manual[from + heading.len()..];
            rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
        };
        let (phases, overloads) = (section("\n## phases.csv"), section("\n## overloads.csv"));
        for column in phase_columns() {
            assert!(phases.contains(&format!("| `{column}` |")), "{column}");
        }
        for column in overload_columns() {
            assert!(overloads.contains(&format!("| `{column}` |")), "{column}");
        }
    }
}
