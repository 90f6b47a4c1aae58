//! `consumers.csv`: one row per trial, stage and consumer (RFC 4180). Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell;
use crate::results::record::{ConsumerRecord, RunRecord, StageRecord, TrialRecord};

/// What a row is about.
struct Row<'a> {
    trial: &'a TrialRecord,
    stage: &'a StageRecord,
    number: usize,
    consumer: &'a ConsumerRecord,
}

impl Row<'_> {
    /// Of the stage's deliveries; absent where there was none.
    fn share(&self) -> Option<f64> {
        let all: u64 = self.stage.each_consumer.iter().map(|consumer| consumer.delivered).sum();
        (all > 0).then(|| self.consumer.delivered as f64 / all as f64)
    }
}

/// A column: its name, and where its cell comes from.
type Column = (&'static str, fn(&Row<'_>) -> Cell);
const COLUMNS: &[Column] = &[
    ("trial", |row| row.trial.trial.into()),
    ("stage", |row| row.stage.stage.name().into()),
    ("consumer", |row| (row.number as u64).into()),
    ("slow", |row| row.consumer.slow.into()),
    ("delivered", |row| row.consumer.delivered.into()),
    ("delivered_share", |row| row.share().into()),
    ("busy_s", |row| row.consumer.busy_s.into()),
    ("unacked_messages_max", |row| row.consumer.unacked_messages_max.into()),
];

/// Writes the header and a row for each consumer of each stage of each trial.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(COLUMNS.iter().map(|(name, _)| *name))?;
    for trial in &record.trials {
        for stage in &trial.stages {
            for (number, consumer) in stage.each_consumer.iter().enumerate() {
                let row = Row {
                    trial,
                    stage,
                    number,
                    consumer,
                };
                csv.write_record(COLUMNS.iter().map(|(_, cell)| cell(&row).written()))?;
            }
        }
    }
    csv.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use std::collections::HashMap;

    #[test]
    fn each_consumer_is_a_row_and_the_shares_of_a_stage_add_up() {
        let mut bytes = Vec::new();
        write(&fixture::pass(), &mut bytes).expect("written");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let rows: Vec<HashMap<String, String>> = reader.deserialize().map(|row| row.expect("legal CSV")).collect();
        let payment: Vec<_> = rows.iter().filter(|row| row["stage"] == "payment").collect();
        let shares = payment
            .iter()
            .map(|row| row["delivered_share"].parse::<f64>().expect("a share"));
        assert_eq!((payment.len(), payment[3]["consumer"].as_str()), (4, "3"));
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(
            (payment[0]["slow"].as_str(), payment[3]["slow"].as_str()),
            ("true", "false")
        );
    }

    #[test]
    fn every_column_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RESULTS.md");
        for (column, _) in COLUMNS {
            assert!(
                manual.contains(&format!("| `{column}` |")),
                "{column} is missing in docs/RESULTS.md"
            );
        }
    }
}
