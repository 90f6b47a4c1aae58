//! The tables of the page.

use super::lead::pill;
use super::not_available;
use super::sink::{Align, Sink};
use crate::events::Stage;
use crate::ledger::{PromiseReport, Verdict};
use crate::measure::{Quantile, Series, StageSpan, Summary};
use crate::report::human::{self, ABSENT};
use crate::report::status;
use crate::report::text::trail_text;
use crate::report::{backlog, failures, faults as fault_report};
use crate::results::record::{CellRecord, RunRecord, StageRecord, TrialRecord};

use Align::{Number, Text};

pub(super) fn promises(page: &mut Sink, trial: &TrialRecord) {
    if trial.promises.is_empty() {
        page.raw("<p>No promise was checked.</p>\n");
        return;
    }
    let columns = [
        ("Promise", Text),
        ("Kept", Text),
        ("Given", Text),
        ("Finding", Text),
        ("Remedy", Text),
    ];
    page.table("Promises", &columns);
    for promise in &trial.promises {
        promise_row(page, promise);
    }
    page.table_end();
    for promise in trial.promises.iter().filter(|promise| promise.verdict == Verdict::Fail) {
        examples(page, trial, promise);
    }
}

fn promise_row(page: &mut Sink, promise: &PromiseReport) {
    page.raw("<tr>")
        .element("<th scope=\"row\" class=\"prose\"><code>", &promise.name, "</code>");
    page.element("<br><span class=\"soft\">", &promise.statement, "</span></th>");
    page.raw("<td>");
    pill(page, promise.verdict, promise.not_given_because.is_none());
    page.raw("</td>");
    match &promise.not_given_because {
        None => page.cell("given"),
        Some(reason) => page.element("<td class=\"prose\"><strong>not given</strong><br>", reason, "</td>"),
    };
    page.element("<td class=\"prose\">", &promise.finding, "</td>");
    let remedy = status::remedy(promise).unwrap_or_default();
    page.element("<td class=\"prose\">", &remedy, "</td></tr>\n");
}

fn examples(page: &mut Sink, trial: &TrialRecord, promise: &PromiseReport) {
    let trails = promise
        .examples
        .iter()
        .filter_map(|kind| trial.ledger.examples.get(kind))
        .flatten();
    let mut trails = trails.peekable();
    if trails.peek().is_none() {
        return;
    }
    page.raw("<details open><summary>Examples of <code>")
        .text(&promise.name)
        .raw("</code></summary><ul>");
    for trail in trails {
        page.element("<li>", &trail_text(trail), "</li>");
    }
    page.raw("</ul></details>\n");
}

pub(super) fn validity(page: &mut Sink, trial: &TrialRecord) {
    if trial.validity.valid {
        page.raw("<p>Yes: the driver was not the bottleneck.</p>\n");
    }
    page.raw("<ul class=\"notes\">");
    for reason in &trial.validity.reasons {
        page.element("<li class=\"bad\"><strong>Invalid:</strong> ", reason, "</li>");
    }
    if !trial.validity.valid && trial.validity.reasons.is_empty() {
        page.raw("<li class=\"bad\"><strong>Invalid.</strong> No reason was recorded.</li>");
    }
    if let Some(why) = &trial.aborted {
        page.element("<li class=\"doubt\"><strong>Cut short:</strong> ", why, "</li>");
    }
    for warning in &trial.validity.warnings {
        page.element("<li class=\"doubt\"><strong>Warning:</strong> ", warning, "</li>");
    }
    page.raw("</ul>\n");
}

/// A quantile: rough ones bear `~` and their interval.
pub(super) fn quantile(page: &mut Sink, quantile: Option<Quantile>, count: u64) {
    let Some(quantile) = quantile else {
        page.number(&not_available(count));
        return;
    };
    let value = human::nanos(quantile.ns as f64);
    if !quantile.rough {
        page.number(&value);
        return;
    }
    let high = quantile
        .high_ns
        .map_or("more than 1 h".to_owned(), |ns| human::nanos(ns as f64));
    let interval = format!("95 % interval: {} to {high}", human::nanos(quantile.low_ns as f64));
    page.raw("<td class=\"number\"><abbr title=\"")
        .text(&interval)
        .raw("\">~")
        .text(&value)
        .raw("</abbr></td>");
}

pub(super) fn latency(page: &mut Sink, trial: &TrialRecord) {
    if trial.latencies.is_empty() {
        page.raw("<p>Nothing was measured.</p>\n");
        return;
    }
    let columns = [
        ("Series", Text),
        ("n", Number),
        ("p50", Number),
        ("p90", Number),
        ("p99", Number),
        ("p99.9", Number),
        ("max", Number),
    ];
    page.table("Latency", &columns);
    for summary in &trial.latencies {
        page.raw("<tr>")
            .row_name(&summary.series)
            .number(&human::count(summary.count));
        for value in [summary.p50, summary.p90, summary.p99, summary.p999] {
            quantile(page, value, summary.count);
        }
        let max = summary
            .max_ns
            .map_or(not_available(summary.count), |ns| human::nanos(ns as f64));
        page.number(&max).raw("</tr>\n");
    }
    page.table_end();
    page.raw("<p class=\"soft\">n/a: fewer than 10 samples lie beyond the percentile. ~: fewer than 100 do; the title shows the 95 % interval. Percentiles of stages do not add up.");
    let outside = |value: fn(&Summary) -> u64| trial.latencies.iter().map(value).sum::<u64>();
    let (below, above) = (
        outside(|summary| summary.below_range),
        outside(|summary| summary.above_range),
    );
    if below + above > 0 {
        page.text(&format!(
            " {} values lay under 1 µs and {} over 1 h; they count, at the range's edges.",
            human::count(below),
            human::count(above)
        ));
    }
    page.raw("</p>\n");
}

pub(super) fn has_faults(trial: &TrialRecord) -> bool {
    !trial.fault_events.is_empty() || !trial.lost_connections.is_empty()
}

/// What each fault cost, over its events.
pub(super) fn faults(page: &mut Sink, trial: &TrialRecord) {
    let sums = fault_report::summed(trial);
    if !sums.is_empty() {
        let columns = [
            ("Fault", Text),
            ("Events", Number),
            ("Consumers struck", Number),
            ("Away at most", Number),
            ("Recovery time", Text),
            ("Longest gap", Number),
            ("Redeliveries", Number),
            ("Duplicates delivered", Number),
            ("… in effect", Number),
        ];
        page.table("Faults", &columns);
        let seconds = |value: Option<f64>| value.map_or(ABSENT.to_owned(), human::seconds);
        for sum in &sums {
            page.raw("<tr>").row_name(&sum.name).number(&human::count(sum.events));
            page.number(&sum.consumers.map_or(ABSENT.to_owned(), human::count));
            page.number(&seconds(sum.away_s_max));
            page.cell(&sum.recovery_words());
            page.number(&seconds(sum.longest_gap_s));
            for again in sum.again {
                page.number(&human::count(again));
            }
            page.raw("</tr>\n");
        }
        page.table_end();
        for (sum, words) in sums.iter().filter_map(|sum| Some((sum, sum.exposure_words()?))) {
            page.element("<p>", &format!("{}: {words}", sum.name), ".</p>\n");
        }
        page.raw("<p class=\"soft\">Recovery time: from the heal until the goodput was back in its band. Longest gap: in which no order came to its end. What came again is counted from the start of an event to that of the next. Each event is in faults.csv.</p>\n");
    }
    if let Some(lost) = fault_report::lost_connections(trial) {
        page.element("<p>", &lost, ".</p>\n");
    }
}

pub(super) fn stages(page: &mut Sink, trial: &TrialRecord) {
    if trial.stages.is_empty() {
        page.raw("<p>No stage was started.</p>\n");
        return;
    }
    let columns = [
        ("Stage", Text),
        ("Consumers", Number),
        ("Delivered", Number),
        ("Redelivered", Number),
        ("Suppressed", Number),
        ("Largest backlog", Number),
        ("Oldest message", Number),
        ("Utilisation", Number),
        ("Held unacked", Number),
        ("Gini", Number),
        ("Queue wait p99", Number),
        ("Service time p99", Number),
    ];
    page.table("Stages", &columns);
    for stage in &trial.stages {
        stage_row(page, trial, stage);
    }
    page.table_end();
    if let Some(backlog) = &trial.backlog {
        page.element("<p>Backlog: ", &backlog::sentence(backlog), ".</p>\n");
    }
    page.raw("<p class=\"soft\">Suppressed: deliveries recognised as processed already. Utilisation: busy share of the consumers' job slots; a stage near 100&nbsp;% is the bottleneck. Held unacked: the most that its consumers held at once. Gini: of the deliveries among its consumers, 0 if all got as many; each consumer is in consumers.csv.</p>\n");
}

fn stage_row(page: &mut Sink, trial: &TrialRecord, stage: &StageRecord) {
    page.raw("<tr>").row_name(stage.stage.name());
    for n in [
        u64::from(stage.consumers),
        stage.delivered,
        stage.redelivered,
        stage.suppressed,
    ] {
        page.number(&human::count(n));
    }
    page.number(&stage.backlog_messages_max.map_or(ABSENT.to_owned(), human::count));
    page.number(
        &stage
            .delivery_age_ns_max
            .map_or(ABSENT.to_owned(), |ns| human::nanos(ns as f64)),
    );
    page.number(&stage.utilisation.map_or(ABSENT.to_owned(), human::share));
    page.number(&human::count(stage.unacked_messages_max));
    page.number(&stage.delivery_gini.map_or(String::new(), |gini| format!("{gini:.2}")));
    for span in [StageSpan::QueueWait, StageSpan::Service] {
        let summary = summary(trial, stage.stage, span);
        quantile(
            page,
            summary.and_then(|summary| summary.p99),
            summary.map_or(0, |summary| summary.count),
        );
    }
    page.raw("</tr>\n");
}

pub(super) fn summary(trial: &TrialRecord, stage: Stage, span: StageSpan) -> Option<&Summary> {
    let name = Series::Stage(stage, span).to_string();
    trial.latencies.iter().find(|summary| summary.series == name)
}

pub(super) fn accounting(page: &mut Sink, trial: &TrialRecord) {
    let (ledger, fates) = (&trial.ledger, &trial.ledger.fates);
    page.table(
        "Where every order went",
        &[("Fate", Text), ("Orders", Number), ("Meaning", Text)],
    );
    let rows = [
        (
            "completed",
            fates.completed,
            "ended in order.completed; in a work queue: done",
        ),
        (
            "cancelled: out of stock",
            fates.cancelled_out_of_stock,
            "ended in order.cancelled",
        ),
        (
            "cancelled: payment declined",
            fates.cancelled_payment_declined,
            "ended in order.cancelled",
        ),
        (
            "dead-lettered",
            fates.dead_lettered,
            "did not end; a message of it is a dead letter",
        ),
        (
            "still queued",
            fates.still_queued,
            "did not end; a message of it is still in a queue",
        ),
        (
            "unrouted",
            fates.unrouted,
            "did not end; a message of it went to the alternate exchange",
        ),
        (
            "dropped",
            fates.dropped,
            "confirmed; a queue that may drop messages (full, or expired) never delivered one of it",
        ),
        (
            "lost",
            fates.lost,
            "confirmed, and neither ended nor to be found anywhere, nor dropped where that is allowed",
        ),
        ("refused", fates.nacked, "refused by the broker, and not seen since"),
        ("returned", fates.returned, "unroutable, and not seen since"),
        ("unknown", fates.unknown, "never answered for, and not seen at its end"),
    ];
    let orders = trial.stages.iter().any(|stage| stage.stage == Stage::Order);
    for (fate, n, meaning) in rows.into_iter().filter(|(fate, n, _)| match *fate {
        "unrouted" | "dropped" => *n > 0,
        fate => orders || *n > 0 || !fate.starts_with("cancelled"),
    }) {
        page.raw("<tr>")
            .row_name(fate)
            .number(&human::count(n))
            .cell(meaning)
            .raw("</tr>\n");
    }
    let total = fates.total();
    let published = trial.orders.published;
    let check = if total == published {
        "= published".to_owned()
    } else {
        format!(
            "published: {}; the difference is an error of the driver",
            human::count(published)
        )
    };
    page.raw("<tr class=\"sum\">")
        .row_name("sum")
        .number(&human::count(total))
        .cell(&check)
        .raw("</tr>");
    page.table_end();
    let mut also = format!(
        "Also: {} unsent, {} not confirmed and yet at their end (recovered), {} with a repeated effect",
        human::count(trial.orders.unsent),
        human::count(ledger.recovered),
        human::count(ledger.duplicate_effect),
    );
    also += &if orders {
        format!(
            ", {} oversold, {} with a gap in the audit trail, {} with a notification missing. Stock: {} pieces sold, {} still \
             reserved.",
            human::count(ledger.stock.orders_oversold),
            human::count(ledger.not_audited),
            human::count(ledger.not_notified),
            human::count(ledger.stock.sold),
            human::count(ledger.stock.reserved)
        )
    } else {
        ".".to_owned()
    };
    page.element("<p>", &also, "</p>\n");
    if !ledger.residue_complete {
        page.raw(
            "<p class=\"soft\">Not every queue was looked into after the drain: what is missing may be in one.</p>\n",
        );
    }
}

pub(super) fn dead_letters(page: &mut Sink, trial: &TrialRecord) {
    let ledger = &trial.ledger;
    if ledger.dead_letters.is_empty() && ledger.foreign_dead_letters == 0 {
        page.raw("<p>None.</p>\n");
        return;
    }
    page.table(
        "Dead letters",
        &[("Dead-letter queue", Text), ("Reason", Text), ("Messages", Number)],
    );
    for (queue, reason, n) in &ledger.dead_letters {
        page.raw("<tr>")
            .row_name(queue)
            .cell(reason.as_deref().unwrap_or("no x-death header"));
        page.number(&human::count(*n)).raw("</tr>\n");
    }
    if ledger.foreign_dead_letters > 0 {
        page.raw("<tr>")
            .row_name("(any)")
            .cell("no message of this run")
            .number(&human::count(ledger.foreign_dead_letters))
            .raw("</tr>\n");
    }
    page.table_end();
}

/// Whether a handler failed, something came twice, or something was published beside the orders.
pub(super) fn has_failures(trial: &TrialRecord) -> bool {
    failures::failing(trial).next().is_some() || !trial.messages.beside.is_empty() || failures::duplicates(trial).0 > 0
}

/// Handler errors and retries by stage, duplicates, and what was published beside the orders.
pub(super) fn failed(page: &mut Sink, trial: &TrialRecord) {
    if failures::failing(trial).next().is_some() {
        let columns = [
            ("Stage", Text),
            ("Transient errors", Number),
            ("Permanent errors", Number),
            ("Policy", Text),
            ("Retries", Number),
            ("Given up", Number),
        ];
        page.table("Handler errors and retries", &columns);
        for (stage, retry) in failures::failing(trial) {
            page.raw("<tr>")
                .row_name(stage.stage.name())
                .number(&human::count(retry.transient_errors))
                .number(&human::count(retry.permanent_errors))
                .cell(retry.policy.name())
                .number(&human::count(retry.retries))
                .number(&human::count(retry.given_up))
                .raw("</tr>\n");
        }
        page.table_end();
    }
    if !trial.messages.beside.is_empty() {
        let columns = [
            ("Beside the orders", Text),
            ("Published", Number),
            ("Confirmed", Number),
            ("Came back", Number),
            ("Dead letters", Number),
        ];
        page.table("Messages beside the orders", &columns);
        for one in &trial.messages.beside {
            page.raw("<tr>")
                .row_name(&one.kind.replace('_', " "))
                .number(&human::count(one.published))
                .number(&human::count(one.confirmed))
                .number(&human::count(one.returned))
                .number(&one.dead_letters.map_or(String::new(), human::count))
                .raw("</tr>\n");
        }
        page.table_end();
    }
    let (delivered, in_effect) = failures::duplicates(trial);
    if delivered > 0 {
        let says = format!(
            "{} delivered, {} in effect. A bad message is a dead letter at every stage that got it.",
            human::plural(delivered, "duplicate"),
            human::count(in_effect)
        );
        page.element("<p class=\"soft\">", &says, "</p>\n");
    }
}

fn is_concerned(stage: &StageRecord) -> bool {
    stage.dropped > 0 || stage.refused > 0
}

/// Whether a queue dropped or refused anything.
pub(super) fn has_dropped(trial: &TrialRecord) -> bool {
    trial.stages.iter().any(is_concerned)
}

/// What queues dropped or refused, by stage and reason.
pub(super) fn dropped(page: &mut Sink, trial: &TrialRecord) {
    if !has_dropped(trial) {
        page.raw("<p>None.</p>\n");
        return;
    }
    page.table(
        "Dropped and refused",
        &[
            ("Stage", Text),
            ("Dropped from its queue", Number),
            ("For", Text),
            ("Its own publishes refused", Number),
        ],
    );
    for stage in trial.stages.iter().filter(|stage| is_concerned(stage)) {
        page.raw("<tr>")
            .row_name(stage.stage.name())
            .number(&human::count(stage.dropped))
            .cell(stage.dropped_as.as_deref().unwrap_or_default())
            .number(&human::count(stage.refused))
            .raw("</tr>\n");
    }
    page.table_end();
    if let Some(counted) = trial.ledger.dropped_by_broker {
        let says = format!("The broker itself counts {} dropped.", human::count(counted));
        page.element("<p class=\"soft\">", &says, "</p>\n");
    }
}

/// Connections that the broker blocked.
pub(super) fn blocked(page: &mut Sink, trial: &TrialRecord) {
    if trial.blocked_connections.is_empty() {
        page.raw("<p>None.</p>\n");
        return;
    }
    page.table(
        "Blocked connections",
        &[
            ("Connection", Text),
            ("The broker's reason", Text),
            ("Times", Number),
            ("Time", Number),
        ],
    );
    for one in &trial.blocked_connections {
        page.raw("<tr>")
            .row_name(&one.connection)
            .cell(&one.reason)
            .number(&human::count(u64::from(one.times)))
            .number(&human::seconds(one.time_s))
            .raw("</tr>\n");
    }
    page.table_end();
    let says = format!("At least one was blocked for {}.", human::seconds(trial.blocked_s));
    page.element("<p class=\"soft\">", &says, "</p>\n");
}

pub(super) fn settings(page: &mut Sink, record: &RunRecord) {
    page.raw("<h2>All settings</h2>\n");
    page.table("All settings", &[("Setting", Text), ("Value", Text), ("Origin", Text)]);
    // Each setting once; one that differs between cells is among the columns of the cells' table.
    let mut seen = std::collections::HashSet::new();
    let settings = record.cells.iter().flat_map(|cell| &cell.settings);
    for setting in settings.filter(|setting| seen.insert(setting.path.as_str())) {
        let same = |other: &CellRecord| {
            let value = other.settings.iter().find(|known| known.path == setting.path);
            value.map(|known| &known.value) == Some(&setting.value)
        };
        page.raw("<tr>").row_name(&setting.path);
        if record.cells.iter().all(same) {
            page.element("<td><code>", &setting.value, "</code></td>");
        } else {
            page.raw("<td><strong>varies by cell</strong></td>");
        }
        let open = if setting.origin == "default" {
            "<td class=\"soft\">"
        } else {
            "<td><strong>"
        };
        let close = if setting.origin == "default" {
            "</td></tr>\n"
        } else {
            "</strong></td></tr>\n"
        };
        page.element(open, &setting.origin, close);
    }
    page.table_end();
}
