//! What the stages' databases did, and how far behind their outboxes were.

use super::sink::{Align, Sink};
use super::tables::{quantile, summary};
use crate::measure::StageSpan;
use crate::report::human;
use crate::results::record::{StageRecord, StoreRecord, TrialRecord};

use Align::{Number, Text};

pub(super) fn has_stores(trial: &TrialRecord) -> bool {
    trial.stages.iter().any(|stage| stage.store.is_some())
}

pub(super) fn stores(page: &mut Sink, trial: &TrialRecord) {
    let of = |stage: &'_ StageRecord| stage.store.clone().map(|store| (stage.clone(), store));
    let stages: Vec<(StageRecord, StoreRecord)> = trial.stages.iter().filter_map(of).collect();
    if stages.is_empty() {
        page.raw("<p>No stage had a database.</p>\n");
        return;
    }
    let has_outbox = stages.iter().any(|(_, store)| store.outbox.is_some());
    let mut columns = vec![
        ("Stage", Text),
        ("Store", Text),
        ("Steps", Number),
        ("Commits", Number),
        ("Commit p50", Number),
        ("Commit p99", Number),
        ("Failed", Number),
        ("Connections lost", Number),
    ];
    if has_outbox {
        columns.extend([
            ("Outbox lag p50", Number),
            ("Outbox lag p99", Number),
            ("Most rows unsent", Number),
            ("Never sent", Number),
        ]);
    }
    page.table("Stores", &columns);
    for (stage, store) in &stages {
        page.raw("<tr>").row_name(stage.stage.name()).cell(store.kind.name());
        page.number(&human::count(store.steps));
        page.number(&human::count(store.commits));
        span(page, trial, stage, StageSpan::Commit);
        page.number(&human::count(store.errors));
        page.number(&human::count(store.connections_lost));
        match &store.outbox {
            Some(outbox) => {
                span(page, trial, stage, StageSpan::Emit);
                page.number(&human::count(outbox.unsent_max));
                page.number(&human::count(outbox.unsent + outbox.unroutable));
            }
            None if has_outbox => (0..4).for_each(|_| {
                page.number("");
            }),
            None => {}
        }
        page.raw("</tr>\n");
    }
    page.table_end();
    page.raw("<p class=\"soft\">Commit: from the end of the work until its effect stands, waiting for others of its group among it. Failed: look-ups and steps that were rolled back; each delivery went back to its queue. ");
    if has_outbox {
        page.raw("Outbox lag: from handing a row to its transaction until the broker has confirmed its message. ");
    }
    page.raw("</p>\n");
}

/// Median and 99th percentile.
fn span(page: &mut Sink, trial: &TrialRecord, stage: &StageRecord, span: StageSpan) {
    let summary = summary(trial, stage.stage, span);
    let count = summary.map_or(0, |summary| summary.count);
    quantile(page, summary.and_then(|summary| summary.p50), count);
    quantile(page, summary.and_then(|summary| summary.p99), count);
}
