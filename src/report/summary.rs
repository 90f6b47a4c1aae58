//! `summary.csv`: one row per trial (RFC 4180). Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell;
use crate::events::PipelineKind;
use crate::measure::{Quantile, Summary};
use crate::results::record::{BacklogRecord, CellRecord, RunRecord, TrialRecord};

/// A column: its name, and where its cell comes from.
type Column = (&'static str, fn(&RunRecord, &TrialRecord) -> Cell);

fn series<'a>(trial: &'a TrialRecord, name: &str) -> Option<&'a Summary> {
    trial.latencies.iter().find(|summary| summary.series == name)
}

fn quantile(trial: &TrialRecord, name: &str, which: fn(&Summary) -> Option<Quantile>) -> Cell {
    series(trial, name).and_then(which).map(|quantile| quantile.ns).into()
}

/// What only the order pipeline can have.
fn of_orders(record: &RunRecord, trial: &TrialRecord, count: u64) -> Cell {
    match record.cell(trial).workload.pipeline {
        PipelineKind::Orders => count.into(),
        PipelineKind::WorkQueue => Cell::Absent,
    }
}

/// Of the stage that was held back, if one was.
fn of_backlog(trial: &TrialRecord, figure: fn(&BacklogRecord) -> Option<f64>) -> Cell {
    trial.backlog.as_ref().and_then(figure).into()
}

/// All columns, in their order.
const COLUMNS: &[Column] = &[
    ("trial", |_, t| t.trial.into()),
    ("cell", |r, t| r.cell(t).label.as_str().into()),
    ("repeat", |_, t| t.repeat.into()),
    ("run", |r, _| r.id.as_str().into()),
    ("workload", |r, _| r.name.as_str().into()),
    ("pipeline", |r, t| r.cell(t).workload.pipeline.name().into()),
    ("loop", |r, t| r.cell(t).workload.load.arrival.loop_kind().into()),
    ("seed", |_, t| t.seed.into()),
    ("started", |_, t| t.started.as_str().into()),
    ("broker_kind", |r, _| r.broker.kind.as_str().into()),
    ("broker_product", |r, _| r.broker.product.as_str().into()),
    ("broker_version", |r, _| r.broker.version.as_str().into()),
    ("co_located", |r, _| r.broker.co_located.into()),
    ("build", |r, _| r.tool.build.as_str().into()),
    ("client", |r, t| r.cell(t).workload.driver.client.name().into()),
    ("orders_planned", |_, t| t.orders.planned.into()),
    ("orders_published", |_, t| t.orders.published.into()),
    ("orders_unsent", |_, t| t.orders.unsent.into()),
    ("orders_confirmed", |_, t| t.ledger.confirmed.into()),
    ("orders_measured", |_, t| t.orders.measured.into()),
    ("orders_completed", |_, t| t.ledger.fates.completed.into()),
    ("orders_cancelled", |_, t| t.ledger.fates.cancelled().into()),
    ("orders_dead_lettered", |_, t| t.ledger.fates.dead_lettered.into()),
    ("orders_still_queued", |_, t| t.ledger.fates.still_queued.into()),
    ("orders_unrouted", |_, t| t.ledger.fates.unrouted.into()),
    ("orders_dropped", |_, t| t.ledger.fates.dropped.into()),
    ("orders_lost", |_, t| t.ledger.fates.lost.into()),
    ("orders_nacked", |_, t| t.ledger.fates.nacked.into()),
    ("orders_returned", |_, t| t.ledger.fates.returned.into()),
    ("orders_unknown", |_, t| t.ledger.fates.unknown.into()),
    ("orders_recovered", |_, t| t.ledger.recovered.into()),
    ("orders_duplicate_effect", |_, t| t.ledger.duplicate_effect.into()),
    ("orders_oversold", |r, t| {
        of_orders(r, t, t.ledger.stock.orders_oversold)
    }),
    ("orders_not_audited", |r, t| of_orders(r, t, t.ledger.not_audited)),
    ("orders_not_notified", |r, t| of_orders(r, t, t.ledger.not_notified)),
    ("offered_load_per_s", |_, t| t.rates.offered_load_per_s.into()),
    ("achieved_rate_per_s", |_, t| t.rates.achieved_rate_per_s.into()),
    ("goodput_per_s", |_, t| t.rates.goodput_per_s.into()),
    ("messages_published", |_, t| t.messages.published.into()),
    ("messages_delivered", |_, t| t.messages.delivered.into()),
    ("messages_redelivered", |_, t| t.messages.redelivered.into()),
    ("messages_nacked", |_, t| t.messages.nacked.into()),
    ("duplicates_delivered", |_, t| {
        t.stages
            .iter()
            .map(|stage| stage.suppressed + stage.repeated)
            .sum::<u64>()
            .into()
    }),
    ("duplicates_in_effect", |_, t| {
        t.stages.iter().map(|stage| stage.repeated).sum::<u64>().into()
    }),
    ("retries", |_, t| {
        let retries = t.stages.iter().filter_map(|stage| stage.retry.as_ref());
        retries.map(|retry| retry.retries).reduce(|a, b| a + b).into()
    }),
    ("dead_letters", |_, t| {
        let letters = t.ledger.dead_letters.iter().map(|(_, _, count)| count);
        t.ledger.residue_complete.then_some(letters.sum::<u64>()).into()
    }),
    ("messages_dropped", |_, t| {
        t.stages.iter().map(|stage| stage.dropped).sum::<u64>().into()
    }),
    ("messages_dropped_by_broker", |_, t| t.ledger.dropped_by_broker.into()),
    ("end_to_end_ns_p50", |_, t| quantile(t, "end_to_end", |s| s.p50)),
    ("end_to_end_ns_p90", |_, t| quantile(t, "end_to_end", |s| s.p90)),
    ("end_to_end_ns_p99", |_, t| quantile(t, "end_to_end", |s| s.p99)),
    ("end_to_end_ns_p999", |_, t| quantile(t, "end_to_end", |s| s.p999)),
    ("end_to_end_ns_max", |_, t| {
        series(t, "end_to_end").and_then(|s| s.max_ns).into()
    }),
    ("end_to_end_from_send_ns_p99", |_, t| {
        quantile(t, "end_to_end_from_send", |s| s.p99)
    }),
    ("end_to_end_urgent_ns_p50", |_, t| {
        quantile(t, "end_to_end_urgent", |s| s.p50)
    }),
    ("end_to_end_urgent_ns_p99", |_, t| {
        quantile(t, "end_to_end_urgent", |s| s.p99)
    }),
    ("end_to_end_normal_ns_p50", |_, t| {
        quantile(t, "end_to_end_normal", |s| s.p50)
    }),
    ("end_to_end_normal_ns_p99", |_, t| {
        quantile(t, "end_to_end_normal", |s| s.p99)
    }),
    ("send_lag_ns_p99", |_, t| quantile(t, "send_lag", |s| s.p99)),
    ("confirm_latency_ns_p99", |_, t| {
        quantile(t, "confirm_latency", |s| s.p99)
    }),
    ("drained", |_, t| t.drain.drained.into()),
    ("drain_time_s", |_, t| t.drain.time_s.into()),
    ("drain_deadline_s", |_, t| t.drain.deadline_s.into()),
    ("backlog_messages_max", |_, t| t.backlog_messages_max.into()),
    ("backlog_stage", |_, t| {
        t.backlog.as_ref().map(|backlog| backlog.stage.name()).into()
    }),
    ("backlog_cause", |_, t| {
        t.backlog.as_ref().map(|backlog| backlog.cause.name()).into()
    }),
    ("backlog_messages", |_, t| {
        of_backlog(t, |b| b.messages.map(|n| n as f64))
    }),
    ("backlog_level_messages", |_, t| {
        of_backlog(t, |b| b.level_messages.map(|n| n as f64))
    }),
    ("backlog_drain_time_s", |_, t| of_backlog(t, |b| b.drain_time_s)),
    ("backlog_drain_rate_per_s", |_, t| of_backlog(t, |b| b.drain_rate_per_s)),
    ("backlog_arrival_rate_per_s", |_, t| {
        of_backlog(t, |b| b.arrival_rate_per_s)
    }),
    ("backlog_service_rate_per_s", |_, t| {
        of_backlog(t, |b| b.service_rate_per_s)
    }),
    ("backlog_ideal_time_s", |_, t| of_backlog(t, |b| b.ideal_time_s)),
    ("backlog_ratio_to_ideal", |_, t| of_backlog(t, |b| b.ratio_to_ideal)),
    ("delivery_age_ns_max", |_, t| {
        let ages = t.stages.iter().filter_map(|stage| stage.delivery_age_ns_max);
        ages.max().into()
    }),
    ("blocked_s", |_, t| t.blocked_s.into()),
    ("blocked_connections", |_, t| {
        let mut names: Vec<&str> = t
            .blocked_connections
            .iter()
            .map(|one| one.connection.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        (names.len() as u64).into()
    }),
    ("driver_cpu_s", |_, t| t.resources.driver_cpu_s.into()),
    ("driver_cpu_share", |_, t| t.resources.driver_cpu_share.into()),
    ("driver_rss_bytes_max", |_, t| t.resources.driver_rss_bytes_max.into()),
    ("broker_cpu_s", |_, t| t.resources.broker_cpu_s.into()),
    ("broker_rss_bytes_max", |_, t| t.resources.broker_rss_bytes_max.into()),
    ("broker_message_bytes_max", |_, t| {
        t.resources.broker_message_bytes_max.into()
    }),
    ("valid", |_, t| t.validity.valid.into()),
    ("verdict", |_, t| t.verdict.name().into()),
    ("aborted", |_, t| t.aborted.as_deref().into()),
    ("schema_version", |r, _| r.schema_version.into()),
];

/// The names of all columns, in their order.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// What this run varied, in its matrix or against its workload file: each is a column by its key.
fn varied(record: &RunRecord) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for cell in &record.cells {
        let dimensions = cell.varied.iter().map(|varied| varied.dimension.as_str());
        let arguments = cell.settings.iter().filter(|setting| setting.origin == "command line");
        for column in dimensions.chain(arguments.map(|setting| setting.path.as_str())) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

/// A cell's value in such a column. A text is written bare, as for `--set`; the quotes are the workload file's.
fn varied_value<'a>(cell: &'a CellRecord, column: &str) -> Option<&'a str> {
    let varied = cell.varied.iter().find(|varied| varied.dimension == column);
    let setting = || cell.settings.iter().find(|setting| setting.path == column);
    varied
        .map(|varied| varied.value.as_str())
        .or_else(|| setting().map(|setting| setting.value.trim_matches('"')))
}

/// Writes the header and a row for each trial.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    let names = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
    let varied = varied(record);
    csv.write_record(names.chain(varied.iter().map(|column| Cell::from(*column).written())))?;
    for trial in &record.trials {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(record, trial).written());
        let of = record.cell(trial);
        let settings = varied
            .iter()
            .map(|column| Cell::from(varied_value(of, column)).written());
        csv.write_record(cells.chain(settings))?;
    }
    csv.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn rows(record: &RunRecord) -> Vec<std::collections::HashMap<String, String>> {
        let mut bytes = Vec::new();
        write(record, &mut bytes).expect("written");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        reader.deserialize().map(|row| row.expect("legal CSV")).collect()
    }

    #[test]
    fn each_trial_is_a_row_with_the_figures_of_the_record() {
        let record = fixture::three_trials();
        let rows = rows(&record);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2]["trial"], "3");
        assert_eq!(
            rows[0]["orders_published"],
            record.trials[0].orders.published.to_string()
        );
        let p99 = series(&record.trials[0], "end_to_end")
            .and_then(|s| s.p99)
            .expect("enough samples");
        assert_eq!(rows[0]["end_to_end_ns_p99"], p99.ns.to_string());
        assert_eq!(rows[0]["verdict"], "pass");
    }

    #[test]
    fn each_varied_setting_is_a_column_by_its_key() {
        let mut record = fixture::pass();
        let rate = record.cells[0]
            .settings
            .iter_mut()
            .find(|setting| setting.path == "load.rate")
            .expect("a setting");
        (rate.value, rate.origin) = ("\"500/s\"".to_owned(), "command line".to_owned());
        let row = &rows(&record)[0];
        assert_eq!(row["load.rate"], "500/s");
        assert!(!row.contains_key("load.duration"));
    }

    #[test]
    fn absent_values_are_empty_cells() {
        let rows = rows(&fixture::no_data());
        for column in [
            "end_to_end_ns_p50",
            "end_to_end_ns_max",
            "goodput_per_s",
            "drain_time_s",
            "broker_cpu_s",
        ] {
            assert_eq!(rows[0][column], "", "{column}");
        }
        assert_eq!(rows[0]["orders_lost"], "0");
    }

    #[test]
    fn text_of_others_is_quoted_and_disarmed() {
        let record = fixture::hostile();
        let rows = rows(&record);
        assert!(rows[0]["broker_product"].starts_with("'=cmd()"));
        assert!(!rows[0]["orders_published"].starts_with('\''));
    }

    #[test]
    fn every_column_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RESULTS.md");
        for column in columns() {
            assert!(
                manual.contains(&format!("| `{column}` |")),
                "{column} is missing in docs/RESULTS.md"
            );
        }
    }
}
