//! When what happened in a trial, and its planned overloads.

use super::sink::{Align, Sink};
use crate::report::human::{self, ABSENT};
use crate::report::phases::{self, Kind, Stretch};
use crate::results::record::{LoadPhaseRecord, OverloadRecord, TrialRecord};

use Align::{Number, Text};

/// Most rows of stretches; a broker that blocks again and again would fill the page.
const ROWS_MAX: usize = 40;

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Trial => "phase of the trial",
        Kind::Load => "phase of the load",
        Kind::Fault => "fault",
        Kind::Blocked => "blocked by the broker",
    }
}

pub(super) fn stretches(page: &mut Sink, trial: &TrialRecord) {
    let stretches = phases::stretches(trial);
    if stretches.is_empty() {
        page.raw("<p>Nothing was recorded.</p>\n");
        return;
    }
    let with_orders = !trial.load_phases.is_empty();
    let mut columns = vec![
        ("What", Text),
        ("Kind", Text),
        ("Start", Number),
        ("End", Number),
        ("Length", Number),
    ];
    if with_orders {
        columns.extend([
            ("Orders offered", Number),
            ("Orders sent", Number),
            ("Offered load", Number),
            ("Achieved rate", Number),
        ]);
    }
    page.table("When what happened", &columns);
    for stretch in stretches.iter().take(ROWS_MAX) {
        row(page, stretch, with_orders);
    }
    page.table_end();
    let more = stretches.len().saturating_sub(ROWS_MAX);
    let more = if more > 0 {
        format!(" {more} more are in phases.csv.")
    } else {
        String::new()
    };
    page.element("<p class=\"soft\">Seconds since the load began.", &more, "</p>\n");
}

fn row(page: &mut Sink, stretch: &Stretch<'_>, with_orders: bool) {
    let band = stretch.band;
    page.raw("<tr>").row_name(&band.name).cell(kind(stretch.kind));
    page.number(&format!("{:.2} s", band.start_s))
        .number(&format!("{:.2} s", band.end_s))
        .number(&human::seconds((band.end_s - band.start_s).max(0.0)));
    if with_orders {
        let count = |orders: fn(&LoadPhaseRecord) -> u64| stretch.load.map(|load| human::count(orders(load)));
        let rate = |rate: fn(&LoadPhaseRecord) -> Option<f64>| stretch.load.and_then(rate).map(human::rate);
        for cell in [
            count(|load| load.orders_offered),
            count(|load| load.orders_sent),
            rate(LoadPhaseRecord::offered_load_per_s),
            rate(LoadPhaseRecord::achieved_rate_per_s),
        ] {
            page.number(&cell.unwrap_or_default());
        }
    }
    page.raw("</tr>\n");
}

pub(super) fn overloads(page: &mut Sink, trial: &TrialRecord) {
    if trial.overloads.is_empty() {
        page.raw("<p>None: no more orders were planned than the narrowest stage can take.</p>\n");
        return;
    }
    page.table(
        "Planned overloads",
        &[
            ("Stage", Text),
            ("It takes", Number),
            ("Begins", Number),
            ("Peak", Number),
            ("Backlog, predicted", Number),
            ("Backlog, measured", Number),
            ("Cleared in, predicted", Number),
            ("Cleared in, measured", Number),
            ("Measured over predicted", Number),
        ],
    );
    for overload in &trial.overloads {
        overload_row(page, overload);
    }
    page.table_end();
    page.raw("<p class=\"soft\">Predicted: what the plan offers beyond the narrowest stage's capacity piles up, and clears from the peak on with what the capacity leaves.</p>\n");
}

fn overload_row(page: &mut Sink, overload: &OverloadRecord) {
    let absent = || ABSENT.to_owned();
    page.raw("<tr>").row_name(overload.stage.name());
    for cell in [
        human::rate(overload.capacity_per_s),
        format!("{:.2} s", overload.begins_s),
        format!("{:.2} s", overload.peak_s),
        human::count(overload.backlog_orders_predicted.max(0.0).round() as u64),
        overload.backlog_messages_max.map_or_else(absent, human::count),
        human::seconds(overload.clear_time_predicted_s),
        overload.clear_time_s.map_or_else(absent, human::seconds),
        overload
            .clear_time_ratio()
            .map_or_else(absent, |ratio| format!("{ratio:.2}")),
    ] {
        page.number(&cell);
    }
    page.raw("</tr>\n");
}
