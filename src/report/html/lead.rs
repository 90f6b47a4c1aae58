//! The beginning of the page: verdict, key figures, and what was run.

use super::sink::{Align, Sink};
use crate::ledger::Verdict;
use crate::report::human::{self, ABSENT};
use crate::report::objective;
use crate::report::status::{self, Status};
use crate::results::record::{RunRecord, TrialRecord};

pub(super) fn verdict(page: &mut Sink, record: &RunRecord) {
    let status = Status::of(record);
    page.element("<h1>", &record.name, "</h1>\n");
    if !record.question.is_empty() {
        page.element("<p class=\"soft\">", &record.question, "</p>\n");
    }
    page.raw(match status {
        Status::Pass => "<section class=\"verdict good\" aria-label=\"Verdict\">",
        Status::Fail | Status::Missed | Status::Invalid | Status::CouldNotRun => {
            "<section class=\"verdict bad\" aria-label=\"Verdict\">"
        }
        Status::Unknown | Status::Interrupted | Status::Partial => {
            "<section class=\"verdict doubt\" aria-label=\"Verdict\">"
        }
    });
    page.element("<p class=\"word\">", status.word(), "</p>");
    page.element("<p class=\"reason\">", &record.outcome.reason, "</p>");
    let code = format!("exit code {}", record.outcome.exit_code);
    let meaning = match status.meaning() {
        said if said == record.outcome.reason => code,
        meaning => format!("{meaning} ({code})"),
    };
    page.element("<p class=\"soft\">", &meaning, "</p></section>\n");

    page.raw("<ul class=\"notes\">");
    if status != Status::Invalid && !status::all_valid(record) {
        page.raw("<li class=\"bad\"><strong>INVALID:</strong> the driver did not keep up in at least one trial, so its figures do not count.</li>");
    }
    if status::is_embedded(record) {
        page.element(
            "<li class=\"bad\"><strong>Broker: ",
            status::EMBEDDED,
            ".</strong> Its figures say nothing about RabbitMQ.</li>",
        );
    }
    if status::is_debug_build(record) {
        page.raw("<li class=\"bad\"><strong>Debug build:</strong> its figures are no figures; measure with a release build.</li>");
    }
    if record.broker.co_located {
        page.raw("<li class=\"doubt\"><strong>Co-located:</strong> driver and broker shared a machine; compare with runs like it only.</li>");
    }
    page.raw("</ul>\n");
}

pub(super) fn key_figures(page: &mut Sink, record: &RunRecord) {
    page.raw("<h2>Key figures</h2>\n");
    if record.trials.is_empty() {
        page.raw("<p>No trial was carried out.</p>\n");
        return;
    }
    if let [only] = record.trials.as_slice() {
        return tiles(page, only);
    }
    let names = record.trials.first().map(figures).unwrap_or_default();
    let names = names.iter().map(|(name, ..)| (*name, Align::Number));
    let columns: Vec<(&str, Align)> = [("Trial", Align::Text), ("Verdict", Align::Text)]
        .into_iter()
        .chain(names)
        .collect();
    page.table("Key figures", &columns);
    for trial in &record.trials {
        page.raw("<tr>").row_name(&trial.trial.to_string()).raw("<td>");
        pill(page, trial.verdict, true);
        if !trial.validity.valid {
            page.raw(" <span class=\"pill bad\">invalid</span>");
        }
        page.raw("</td>");
        for (_, value, _) in figures(trial) {
            page.number(&value);
        }
        page.raw("</tr>\n");
    }
    page.table_end();
}

fn tiles(page: &mut Sink, trial: &TrialRecord) {
    page.raw("<dl class=\"figures\">");
    for (name, value, note) in figures(trial) {
        page.element("<div><dt>", name, "</dt>").element("<dd>", &value, "");
        if !note.is_empty() {
            page.element("<small>", &note, "</small>");
        }
        page.raw("</dd></div>");
    }
    page.raw("</dl>\n");
}

fn figures(trial: &TrialRecord) -> Vec<(&'static str, String, String)> {
    let rate = |rate: Option<f64>| rate.map_or(ABSENT.to_owned(), human::rate);
    let end_to_end = trial.latencies.iter().find(|summary| summary.series == "end_to_end");
    let n = end_to_end.map_or(0, |summary| summary.count);
    let quantile = |value: Option<crate::measure::Quantile>| {
        value.map_or_else(
            || super::not_available(n),
            |q| format!("{}{}", if q.rough { "~" } else { "" }, human::nanos(q.ns as f64)),
        )
    };
    let fates = &trial.ledger.fates;
    let drain = match (trial.drain.drained, trial.drain.time_s) {
        (true, Some(time_s)) => human::seconds(time_s),
        (true, None) => ABSENT.to_owned(),
        (false, _) if trial.aborted.is_some() => ABSENT.to_owned(),
        (false, _) => format!("> {}", human::seconds(trial.drain.deadline_s)),
    };
    let (used, bytes) = (&trial.resources, |n: u64| human::bytes(n as f64));
    let memory = |bytes_max: Option<u64>| bytes_max.map_or(String::new(), |n| format!("{} memory", bytes(n)));
    vec![
        (
            "Orders published",
            human::count(trial.orders.published),
            format!("{} unsent", human::count(trial.orders.unsent)),
        ),
        (
            "Orders lost",
            human::count(fates.lost),
            format!("of {} confirmed", human::count(trial.ledger.confirmed)),
        ),
        (
            "Orders completed",
            human::count(fates.completed),
            format!("{} cancelled", human::count(fates.cancelled())),
        ),
        (
            "Goodput",
            rate(trial.rates.goodput_per_s),
            "orders at their end".to_owned(),
        ),
        (
            "Achieved rate",
            rate(trial.rates.achieved_rate_per_s),
            format!("offered {}", rate(trial.rates.offered_load_per_s)),
        ),
        (
            "End-to-end p50",
            quantile(end_to_end.and_then(|s| s.p50)),
            "from the intended instant".to_owned(),
        ),
        (
            "End-to-end p99",
            quantile(end_to_end.and_then(|s| s.p99)),
            format!("n = {}", human::count(n)),
        ),
        (
            "Drain time",
            drain,
            if trial.drain.drained { "drained" } else { "not drained" }.to_owned(),
        ),
        (
            "Largest backlog",
            trial.backlog_messages_max.map_or(ABSENT.to_owned(), human::count),
            "messages, ready + unacked".to_owned(),
        ),
        (
            "Driver CPU",
            used.driver_cpu_share.map_or(ABSENT.to_owned(), human::share),
            memory(used.driver_rss_bytes_max),
        ),
        (
            "Broker CPU time",
            used.broker_cpu_s.map_or(ABSENT.to_owned(), human::seconds),
            memory(used.broker_rss_bytes_max),
        ),
    ]
}

/// What the workload set its figures as bounds, and whether they kept them; nothing if it set none.
pub(super) fn objectives(page: &mut Sink, record: &RunRecord) {
    let lines = objective::lines(record);
    if lines.is_empty() {
        return;
    }
    let columns = [
        ("objective", Align::Text),
        ("verdict", Align::Text),
        ("measured", Align::Text),
    ];
    page.raw("<h2>Objectives</h2>\n").table("Objectives", &columns);
    for line in lines {
        page.raw("<tr>").row_name(&line.objective).raw("<td>");
        let open = match line.verdict {
            Verdict::Pass => "<span class=\"pill good\">",
            Verdict::Unknown => "<span class=\"pill doubt\">",
            Verdict::Fail => "<span class=\"pill bad\">",
        };
        page.element(open, line.word(), "</span>").raw("</td>");
        page.cell(&line.finding).raw("</tr>");
    }
    page.table_end();
}

/// A verdict as a coloured word; grey where the configuration does not promise anything.
pub(super) fn pill(page: &mut Sink, verdict: Verdict, given: bool) {
    let open = match (verdict, given) {
        (Verdict::Pass, true) => "<span class=\"pill good\">",
        (Verdict::Fail, true) => "<span class=\"pill bad\">",
        (Verdict::Unknown, true) => "<span class=\"pill doubt\">",
        (_, false) => "<span class=\"pill none\">",
    };
    page.element(open, verdict.name(), "</span>");
}

pub(super) fn what_was_run(page: &mut Sink, record: &RunRecord) {
    page.raw("<h2>What was run</h2>\n");
    page.element("<pre>", &record.command, "</pre>\n");
    page.raw("<div class=\"scroll\"><table class=\"facts\"><tbody>");
    for (name, value) in facts(record) {
        page.raw("<tr>").row_name(name).cell(&value).raw("</tr>");
    }
    page.table_end();
}

fn facts(record: &RunRecord) -> Vec<(&'static str, String)> {
    let (broker, machine) = (&record.broker, &record.machine);
    let platform = broker
        .platform
        .as_ref()
        .map_or(String::new(), |platform| format!(" on {platform}"));
    let commit = record
        .commit
        .as_ref()
        .map_or("not in a git checkout".to_owned(), |commit| {
            let branch = commit
                .branch
                .as_ref()
                .map_or(String::new(), |branch| format!(" on {branch}"));
            let dirty = if commit.dirty { ", with uncommitted changes" } else { "" };
            format!("{}{branch}{dirty}", commit.hash)
        });
    let seeds: Vec<String> = record.trials.iter().map(|trial| trial.seed.to_string()).collect();
    vec![
        ("Question", record.question.clone()),
        ("Load", record.loop_kind().to_owned()),
        (
            "Broker",
            format!(
                "{} {}{platform} ({}{})",
                broker.product,
                broker.version,
                broker.kind,
                broker.cluster()
            ),
        ),
        ("Address", broker.address.clone()),
        (
            "Database",
            record
                .database
                .as_ref()
                .map_or("none but the driver's own".to_owned(), status::database),
        ),
        (
            "Machine",
            format!(
                "{}, {}, {} memory",
                machine.cpu,
                human::plural(u64::from(machine.cores), "core"),
                human::bytes(machine.memory_bytes as f64)
            ),
        ),
        (
            "System",
            format!(
                "{}{}",
                machine.os,
                machine
                    .kernel
                    .as_ref()
                    .map_or(String::new(), |kernel| format!(", kernel {kernel}"))
            ),
        ),
        ("Driver's ceiling", status::ceiling(record)),
        ("Commit", commit),
        (
            "Tool",
            format!(
                "orderstorm {} ({} build), {}",
                record.tool.version, record.tool.build, record.tool.client
            ),
        ),
        (
            "Seeds",
            format!("{} ({})", human::shortened(&seeds.join(", "), 200), record.rng),
        ),
    ]
}
