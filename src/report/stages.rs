//! `stages.csv`: one row per trial and stage (RFC 4180). Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell;
use crate::measure::{Series, StageSpan, Summary};
use crate::results::record::{OutboxRecord, RetryRecord, RunRecord, StageRecord, TrialRecord};

/// A column that does not depend on a span.
type Column = (&'static str, fn(&TrialRecord, &StageRecord) -> Cell);
const COLUMNS: &[Column] = &[
    ("trial", |t, _| t.trial.into()),
    ("stage", |_, s| s.stage.name().into()),
    ("consumers", |_, s| s.consumers.into()),
    ("delivered", |_, s| s.delivered.into()),
    ("redelivered", |_, s| s.redelivered.into()),
    ("suppressed", |_, s| s.suppressed.into()),
    ("duplicates_in_effect", |_, s| s.repeated.into()),
    ("transient_errors", |_, s| retry(s, |retry| retry.transient_errors)),
    ("permanent_errors", |_, s| retry(s, |retry| retry.permanent_errors)),
    ("retries", |_, s| retry(s, |retry| retry.retries)),
    ("given_up", |_, s| retry(s, |retry| retry.given_up)),
    ("refused", |_, s| s.refused.into()),
    ("dropped", |_, s| s.dropped.into()),
    ("dropped_as", |_, s| s.dropped_as.as_deref().into()),
    ("dead_letters_rejected", |t, s| dead_letters(t, s, "rejected")),
    ("dead_letters_expired", |t, s| dead_letters(t, s, "expired")),
    ("dead_letters_maxlen", |t, s| dead_letters(t, s, "maxlen")),
    ("dead_letters_delivery_limit", |t, s| {
        dead_letters(t, s, "delivery_limit")
    }),
    ("dead_letters_permanent_error", |t, s| {
        dead_letters(t, s, "permanent_error")
    }),
    ("dead_letters_retry_limit", |t, s| dead_letters(t, s, "retry_limit")),
    ("backlog_messages_max", |_, s| s.backlog_messages_max.into()),
    ("delivery_age_ns_max", |_, s| s.delivery_age_ns_max.into()),
    ("utilisation", |_, s| s.utilisation.into()),
    ("unacked_messages_max", |_, s| s.unacked_messages_max.into()),
    ("unacked_messages_mean", |_, s| s.unacked_messages_mean.into()),
    ("delivery_share_ratio", |_, s| s.delivery_share_ratio.into()),
    ("delivery_gini", |_, s| s.delivery_gini.into()),
    ("commits", |_, s| s.store.as_ref().map(|store| store.commits).into()),
    ("commit_steps_mean", |_, s| commit_steps_mean(s).into()),
    ("store_errors", |_, s| s.store.as_ref().map(|store| store.errors).into()),
    ("outbox_unsent_max", |_, s| {
        outbox(s).map(|outbox| outbox.unsent_max).into()
    }),
    ("outbox_unsent", |_, s| outbox(s).map(|outbox| outbox.unsent).into()),
];

/// Of a stage whose handler may fail.
fn retry(stage: &StageRecord, count: fn(&RetryRecord) -> u64) -> Cell {
    stage.retry.as_ref().map(count).into()
}

fn outbox(stage: &StageRecord) -> Option<&OutboxRecord> {
    stage.store.as_ref()?.outbox.as_ref()
}

/// Steps of a transaction, on average.
fn commit_steps_mean(stage: &StageRecord) -> Option<f64> {
    let store = stage.store.as_ref().filter(|store| store.commits > 0)?;
    Some(store.steps as f64 / store.commits as f64)
}

/// Dead letters of a stage's queue that died for `reason`; absent where not every queue could be looked into.
fn dead_letters(trial: &TrialRecord, stage: &StageRecord, reason: &str) -> Cell {
    let dead = trial.ledger.dead_letters.iter().filter(|(queue, why, _)| {
        why.as_deref() == Some(reason)
            && (trial.stages.len() == 1 || queue.ends_with(&format!("{}.dead-letter", stage.stage)))
    });
    let count = dead.map(|(_, _, count)| count).sum::<u64>();
    trial.ledger.residue_complete.then_some(count).into()
}

/// A column of each span; its full name is `<span>_<this>`.
type SpanColumn = (&'static str, fn(&Summary) -> Cell);
const SPAN_COLUMNS: &[SpanColumn] = &[
    ("count", |s| s.count.into()),
    ("ns_p50", |s| s.p50.map(|q| q.ns).into()),
    ("ns_p90", |s| s.p90.map(|q| q.ns).into()),
    ("ns_p99", |s| s.p99.map(|q| q.ns).into()),
    ("ns_p999", |s| s.p999.map(|q| q.ns).into()),
    ("ns_max", |s| s.max_ns.into()),
];

/// The names of all columns, in their order.
pub fn columns() -> impl Iterator<Item = String> {
    let spans = StageSpan::ALL.into_iter().flat_map(|span| {
        SPAN_COLUMNS
            .iter()
            .map(move |(name, _)| format!("{}_{name}", span.name()))
    });
    COLUMNS.iter().map(|(name, _)| (*name).to_owned()).chain(spans)
}

/// Writes the header and a row for each stage of each trial.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(columns())?;
    for trial in &record.trials {
        for stage in &trial.stages {
            csv.write_record(row(trial, stage).map(|cell| cell.written()))?;
        }
    }
    csv.flush()?;
    Ok(())
}

fn row<'a>(trial: &'a TrialRecord, stage: &'a StageRecord) -> impl Iterator<Item = Cell> + 'a {
    let spans = StageSpan::ALL.into_iter().flat_map(move |span| {
        let name = Series::Stage(stage.stage, span).to_string();
        let summary = trial.latencies.iter().find(|summary| summary.series == name);
        SPAN_COLUMNS
            .iter()
            .map(move |(_, cell)| summary.map_or(Cell::Absent, cell))
    });
    COLUMNS.iter().map(move |(_, cell)| cell(trial, stage)).chain(spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Stage;
    use crate::report::fixture;

    #[test]
    fn each_stage_of_each_trial_is_a_row() {
        let record = fixture::three_trials();
        let mut bytes = Vec::new();
        write(&record, &mut bytes).expect("written");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().expect("a header").clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("legal CSV")).collect();
        assert_eq!(rows.len(), 3 * record.trials[0].stages.len());
        let column = |name: &str| header.iter().position(|column| column == name).expect(name);
        let payment = &rows[Stage::Payment.index()];
        assert_eq!(&payment[column("stage")], "payment");
        let wait: u64 = payment[column("queue_wait_ns_p50")].parse().expect("a number");
        assert!(wait > 0);
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
        for (column, _) in SPAN_COLUMNS {
            assert!(
                manual.contains(&format!("| `<span>_{column}` |")),
                "{column} is missing in docs/RESULTS.md"
            );
        }
    }
}
