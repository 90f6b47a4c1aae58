//! The end of a run on a terminal: plain text of at most 100 columns, with colour where it is wanted.

use std::fmt::Write as _;

use super::capacity;
use super::columns;
use super::failures;
use super::human::{self, ABSENT};
use super::insight::{self, Recommendation, Scaling};
use super::objective;
use super::prediction;
use super::status::{self, Status};
use super::sweep::Sweep;
use crate::events::Stage;
use crate::ledger::{PromiseReport, Trail, Verdict};
use crate::measure::{Quantile, Series, StageSpan, Summary};
use crate::results::capacity::CapacityRecord;
use crate::results::record::{RunRecord, TrialRecord};

/// Most columns of a line.
const COLUMNS: usize = 100;
/// Most orders shown of a broken promise.
const EXAMPLES_MAX: usize = 10;
/// Longest value of others that is shown in a table.
const NAME_MAX: usize = 22;

/// Whether the terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Ansi,
}

/// The summary of a run.
pub fn end_of_run(record: &RunRecord, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
    };
    page.verdict(record);
    let sweep = Sweep::of(record);
    if let Some(capacity) = &record.capacity {
        page.capacity(record, capacity);
    } else if sweep.is_matrix() {
        page.cells(&sweep);
        // Of many trials the one that the charts show; the page and the tables have the others.
        status::shown_trial(record)
            .into_iter()
            .for_each(|trial| page.trial(record, trial));
    } else {
        record.trials.iter().for_each(|trial| page.trial(record, trial));
    }
    page.out
}

/// What a line says, by colour.
#[derive(Debug, Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Doubt,
    Heading,
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Doubt => "33",
            Tone::Heading => "1",
        };
        match self.style {
            Style::Plain => text.to_owned(),
            Style::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let text = self.toned(Tone::Heading, text);
        self.out.push('\n');
        self.line(&text);
    }

    /// Text that may hold words of others: cleaned, then wrapped with `indent` spaces from the second line on.
    fn wrapped(&mut self, tone: Option<Tone>, indent: usize, first: &str, text: &str) {
        for (i, line) in wrap(&human::plain(text), COLUMNS - indent).into_iter().enumerate() {
            let start = if i == 0 { first.to_owned() } else { " ".repeat(indent) };
            let line = tone.map_or_else(|| line.clone(), |tone| self.toned(tone, &line));
            self.line(&format!("{start}{line}"));
        }
    }

    fn verdict(&mut self, record: &RunRecord) {
        let status = Status::of(record);
        let tone = match status {
            Status::Pass => Tone::Good,
            Status::Fail | Status::Missed | Status::Invalid | Status::CouldNotRun => Tone::Bad,
            Status::Unknown | Status::Interrupted | Status::Partial => Tone::Doubt,
        };
        self.wrapped(
            Some(tone),
            0,
            "",
            &format!("{}: {}", status.word(), record.outcome.reason),
        );
        let broker = &record.broker;
        let mut about = format!(
            "{}, {}, {} {}",
            record.name,
            record.loop_kind(),
            broker.product,
            broker.version
        );
        if status::is_embedded(record) {
            let _ = write!(about, " ({})", status::EMBEDDED);
        }
        about.push_str(&broker.cluster());
        let _ = write!(about, ", client {}", record.tool.client);
        if broker.co_located {
            about.push_str(", co-located: relative comparisons only");
        }
        self.wrapped(None, 0, "", &about);
        if let Some(database) = &record.database {
            self.wrapped(None, 10, "database: ", &status::database(database));
        }
        if record.driver_ceiling.is_some() {
            self.wrapped(None, 18, "driver's ceiling: ", &status::ceiling(record));
        }
        if status::is_debug_build(record) {
            let advice = "a debug build measured: its figures are no figures; build with --release";
            self.wrapped(Some(Tone::Bad), 9, "warning: ", advice);
        }
        self.objectives(record);
    }

    fn objectives(&mut self, record: &RunRecord) {
        let lines = objective::lines(record);
        if lines.is_empty() {
            return;
        }
        self.heading("Objectives");
        for line in lines {
            let tone = match line.verdict {
                Verdict::Pass => Tone::Good,
                Verdict::Unknown => Tone::Doubt,
                Verdict::Fail => Tone::Bad,
            };
            let start = format!("  {} ", self.toned(tone, &format!("{:<11}", line.word())));
            self.wrapped(None, 14, &start, &format!("{}: {}", line.objective, line.finding));
        }
    }

    /// What a capacity search found.
    fn capacity(&mut self, record: &RunRecord, found: &CapacityRecord) {
        self.heading("Capacity");
        for line in capacity::lines(record, found) {
            let indent = line.len() - line.trim_start().len();
            // A table keeps its lines; sentences are wrapped.
            if line.chars().count() <= COLUMNS {
                self.line(&human::plain(&line));
            } else {
                self.wrapped(None, indent + 2, &" ".repeat(indent), line.trim_start());
            }
        }
    }

    /// The cells beside each other, and what they say about their settings.
    fn cells(&mut self, sweep: &Sweep<'_>) {
        self.heading(&format!(
            "{} and {}",
            human::plural(sweep.cells.len() as u64, "cell"),
            human::plural(sweep.record.trials.len() as u64, "trial")
        ));
        for row in columns::table(sweep) {
            let tone = match row.verdict {
                Some(Verdict::Fail) => Some(Tone::Bad),
                Some(Verdict::Unknown) => Some(Tone::Doubt),
                _ => None,
            };
            let line = tone.map_or_else(|| row.line.clone(), |tone| self.toned(tone, &row.line));
            self.line(&line);
        }
        let of = sweep.throughput_words();
        self.recommendations(of, &insight::recommendations(sweep));
        for scaling in insight::scalings(sweep) {
            self.scaling(&scaling);
        }
    }

    fn recommendations(&mut self, of: &str, recommendations: &[Recommendation]) {
        if recommendations.is_empty() {
            return;
        }
        self.heading(&format!("Smallest value within 5 % of the best {of}"));
        for (at, one) in recommendations.iter().enumerate() {
            let others = if one.others.is_empty() {
                String::new()
            } else {
                format!(" at {}", one.others)
            };
            self.wrapped(None, 4, "  ", &format!("{}{others}: {}", one.setting, one.reason));
            // What holds for several in a row is said once, after the last of them.
            let next = recommendations.get(at + 1).map(|next| &next.doubt);
            if let Some(doubt) = one.doubt.as_ref().filter(|_| next != Some(&one.doubt)) {
                self.wrapped(Some(Tone::Doubt), 6, "    but ", doubt);
            }
        }
    }

    fn scaling(&mut self, scaling: &Scaling) {
        let at = if scaling.others.is_empty() {
            String::new()
        } else {
            format!(" at {}", scaling.others)
        };
        self.heading(&human::plain(&format!("Scaling over {}{at}", scaling.dimension)));
        for step in &scaling.steps {
            let limit = if step.at_the_load {
                "  (all of the load: more could not show)"
            } else {
                ""
            };
            self.line(&format!(
                "  {:<12} {:>10}  {:>6.2} times  {:>8} efficiency{limit}",
                human::shortened(&human::plain(&step.label), 12),
                human::rate(step.rate_per_s),
                step.speed_up,
                human::share(step.efficiency)
            ));
        }
    }

    fn trial(&mut self, record: &RunRecord, trial: &TrialRecord) {
        if record.trials.len() > 1 {
            let cell = record.cell(trial).label.as_str();
            let cell = if cell.is_empty() {
                String::new()
            } else {
                format!(" ({})", human::plain(cell))
            };
            let heading = format!(
                "Trial {} of {}{cell}: {}",
                trial.trial,
                record.trials.len(),
                trial.verdict.name()
            );
            self.heading(&human::shortened(&heading, COLUMNS));
        }
        if let Some(why) = &trial.aborted {
            self.wrapped(Some(Tone::Doubt), 11, "cut short: ", why);
        }
        self.orders(trial);
        self.rates(trial);
        self.foretold(record, trial);
        self.latencies(trial);
        self.consumers(trial);
        self.stores(trial);
        self.resources(trial);
        self.promises(trial);
        for reason in &trial.validity.reasons {
            self.wrapped(Some(Tone::Bad), 9, "invalid: ", reason);
        }
        for warning in &trial.validity.warnings {
            self.wrapped(Some(Tone::Doubt), 9, "warning: ", warning);
        }
    }

    fn orders(&mut self, trial: &TrialRecord) {
        self.heading("Orders");
        let orders = &trial.orders;
        let planned = orders
            .planned
            .map_or(String::new(), |planned| format!("{} planned, ", human::count(planned)));
        self.line(&format!(
            "  {planned}{} published, {} unsent, {} confirmed",
            human::count(orders.published),
            human::count(orders.unsent),
            human::count(trial.ledger.confirmed)
        ));
        let fates = &trial.ledger.fates;
        let parts = [
            ("completed", fates.completed),
            ("cancelled", fates.cancelled()),
            ("dead-lettered", fates.dead_lettered),
            ("still queued", fates.still_queued),
            ("unrouted", fates.unrouted),
            ("dropped", fates.dropped),
            ("lost", fates.lost),
            ("refused", fates.nacked),
            ("returned", fates.returned),
            ("unknown", fates.unknown),
        ];
        // What every run should have none of is said even when there is none.
        let shown = parts
            .iter()
            .filter(|(name, n)| *n > 0 || ["completed", "lost"].contains(name));
        let shown: Vec<String> = shown.map(|(name, n)| format!("{} {name}", human::count(*n))).collect();
        self.wrapped(None, 4, "  = ", &shown.join(" + "));
        let dead: u64 = trial.ledger.dead_letters.iter().map(|(_, _, n)| n).sum();
        if dead > 0 {
            let all = human::plural(dead, "message");
            let says = format!("{all} in dead-letter queues: {}", failures::reasons(trial));
            self.wrapped(None, 4, "  ", &says);
        }

        for stage in trial.stages.iter().filter(|stage| stage.dropped > 0) {
            self.line(&format!(
                "  {} dropped from the {} queue ({})",
                human::plural(stage.dropped, "message"),
                stage.stage,
                stage.dropped_as.as_deref().unwrap_or("by its rules")
            ));
        }
        let refused: u64 = trial.stages.iter().map(|stage| stage.refused).sum();
        if refused > 0 {
            self.line(&format!(
                "  {} of stages refused by full queues, each tried again",
                human::plural(refused, "message")
            ));
        }
        self.failures(trial);
    }

    /// What was published beside the orders, what came twice, and what handlers failed at.
    fn failures(&mut self, trial: &TrialRecord) {
        if !trial.messages.beside.is_empty() {
            let parts: Vec<String> = trial.messages.beside.iter().map(failures::beside).collect();
            self.wrapped(None, 4, "  beside them ", &parts.join(", "));
        }
        let (delivered, in_effect) = failures::duplicates(trial);
        if delivered > 0 {
            self.line(&format!(
                "  {} delivered, {} in effect",
                human::plural(delivered, "duplicate"),
                human::count(in_effect)
            ));
        }
        if failures::failing(trial).next().is_some() {
            self.heading("Handler errors");
        }
        for (stage, retry) in failures::failing(trial) {
            self.wrapped(
                None,
                16,
                &format!("  {:<14}", stage.stage.name()),
                &failures::sentence(retry),
            );
        }
    }

    fn rates(&mut self, trial: &TrialRecord) {
        let rate = |rate: Option<f64>| rate.map_or(ABSENT.to_owned(), human::rate);
        self.heading("Rates and drain");
        self.line(&format!(
            "  offered {}, achieved {}, goodput {}",
            rate(trial.rates.offered_load_per_s),
            rate(trial.rates.achieved_rate_per_s),
            rate(trial.rates.goodput_per_s)
        ));
        self.load_phases(trial);
        let drain = match (trial.drain.drained, trial.drain.time_s) {
            (true, Some(time_s)) => format!("drained in {}", human::seconds(time_s)),
            (true, None) => "drained".to_owned(),
            (false, _) if trial.aborted.is_some() => "not drained (cut short)".to_owned(),
            (false, _) => format!("not drained (> {})", human::seconds(trial.drain.deadline_s)),
        };
        let backlog = trial
            .backlog_messages_max
            .map_or(ABSENT.to_owned(), |n| human::plural(n, "message"));
        let oldest = trial.stages.iter().filter_map(|stage| stage.delivery_age_ns_max).max();
        let oldest = oldest.map_or(String::new(), |ns| {
            format!(", oldest message delivered {}", human::nanos(ns as f64))
        });
        self.line(&format!("  {drain}, largest backlog {backlog}{oldest}"));
        if let Some(backlog) = &trial.backlog {
            self.wrapped(None, 4, "  ", &super::backlog::sentence(backlog));
        }
        if !trial.blocked_connections.is_empty() {
            self.blocked(trial);
        }
        self.overloads(trial);
        self.faults(trial);
    }

    /// What each fault cost, over its events.
    fn faults(&mut self, trial: &TrialRecord) {
        if trial.fault_events.is_empty() && trial.lost_connections.is_empty() {
            return;
        }
        self.heading("Faults");
        for sum in super::faults::summed(trial) {
            self.wrapped(None, 4, "  ", &super::faults::sentence(&sum));
        }
        if let Some(lost) = super::faults::lost_connections(trial) {
            self.wrapped(None, 4, "  ", &lost);
        }
    }

    /// How the deliveries were shared out, of stages with several consumers.
    fn consumers(&mut self, trial: &TrialRecord) {
        let shared = || trial.stages.iter().filter(|stage| stage.delivery_gini.is_some());
        if shared().next().is_none() {
            return;
        }
        self.heading("Consumers");
        for stage in shared() {
            let ratio = stage.delivery_share_ratio.map_or("one got none".to_owned(), |ratio| {
                format!("most/fewest deliveries {ratio:.2}")
            });
            let mean = stage
                .unacked_messages_mean
                .map_or(String::new(), |mean| format!(", {mean:.1} on average"));
            let text = format!(
                "{} consumers: {ratio}, Gini {:.2}; held unacked at most {}{mean}",
                human::count(u64::from(stage.consumers)),
                stage.delivery_gini.unwrap_or_default(),
                human::count(stage.unacked_messages_max),
            );
            self.wrapped(None, 16, &format!("  {:<14}", stage.stage.name()), &text);
        }
    }

    fn blocked(&mut self, trial: &TrialRecord) {
        self.line(&format!(
            "  blocked by the broker for {}:",
            human::seconds(trial.blocked_s)
        ));
        let parts: Vec<String> = trial
            .blocked_connections
            .iter()
            .map(|one| format!("{} {} ({})", one.connection, human::seconds(one.time_s), one.reason))
            .collect();
        self.wrapped(None, 4, "    ", &parts.join(", "));
    }

    fn load_phases(&mut self, trial: &TrialRecord) {
        let rate = |rate: Option<f64>| rate.map_or(ABSENT.to_owned(), human::rate);
        for phase in &trial.load_phases {
            self.line(&format!(
                "  {:<NAME_MAX$} {:>9} to {:<9} offered {}, achieved {}",
                human::shortened(&human::plain(&phase.band.name), NAME_MAX),
                human::seconds(phase.band.start_s),
                human::seconds(phase.band.end_s),
                rate(phase.offered_load_per_s()),
                rate(phase.achieved_rate_per_s())
            ));
        }
    }

    fn overloads(&mut self, trial: &TrialRecord) {
        for overload in &trial.overloads {
            let backlog = overload.backlog_messages_max;
            let cleared = match (overload.clear_time_s, overload.clear_time_ratio()) {
                (Some(time_s), Some(ratio)) => format!(
                    "cleared in {} ({} predicted, ratio {ratio:.2})",
                    human::seconds(time_s),
                    human::seconds(overload.clear_time_predicted_s)
                ),
                _ => format!(
                    "not seen to clear ({} predicted)",
                    human::seconds(overload.clear_time_predicted_s)
                ),
            };
            let says = format!(
                "{} overloaded from {} to {} (it takes {}): backlog {} ({} predicted), {cleared}",
                overload.stage,
                human::seconds(overload.begins_s),
                human::seconds(overload.peak_s),
                human::rate(overload.capacity_per_s),
                backlog.map_or(ABSENT.to_owned(), human::count),
                human::count(overload.backlog_orders_predicted.round() as u64)
            );
            self.wrapped(None, 4, "  ", &says);
        }
    }

    fn foretold(&mut self, record: &RunRecord, trial: &TrialRecord) {
        let foretold = prediction::of(record, trial);
        if foretold.is_empty() {
            return;
        }
        self.heading(&format!(
            "{:<30}{:>14}{:>14}{:>11}",
            "Foretold by the plan", "foretold", "measured", "error"
        ));
        for one in foretold {
            let of = |value| prediction::value(value, one.unit);
            self.line(&format!(
                "  {:<28}{:>14}{:>14}{:>11}",
                prediction::title(&one),
                of(one.predicted),
                one.measured.map_or(ABSENT.to_owned(), of),
                prediction::error(one.error())
            ));
        }
    }

    fn latencies(&mut self, trial: &TrialRecord) {
        self.heading("Latency");
        if trial.latencies.is_empty() {
            return self.line("  nothing was measured");
        }
        self.line(&format!(
            "  {:<NAME_MAX$} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11}",
            "", "n", "p50", "p90", "p99", "p99.9", "max"
        ));
        let mut rough = false;
        let whole = trial.latencies.iter().filter(|summary| !summary.series.contains('.'));
        for summary in whole {
            rough |= [summary.p50, summary.p90, summary.p99, summary.p999]
                .into_iter()
                .flatten()
                .any(|q| q.rough);
            let row = latency_row(summary);
            self.line(&row);
        }
        rough |= self.stages(trial);
        if rough {
            self.line("  ~ rests on fewer than 100 samples beyond it; n/a: on fewer than 10");
        }
    }

    /// Median and 99th percentile of the parts of a delivery's time, a line per stage; says whether one is rough.
    fn stages(&mut self, trial: &TrialRecord) -> bool {
        let cells = |stage: Stage| {
            // The commits of the few stages with a database stand with their stores.
            [
                StageSpan::QueueWait,
                StageSpan::BufferWait,
                StageSpan::Service,
                StageSpan::Emit,
            ]
            .map(|span| {
                let name = Series::Stage(stage, span).to_string();
                let summary = trial.latencies.iter().find(|summary| summary.series == name)?;
                Some((summary.p50, summary.p99))
            })
        };
        let rows = Stage::ALL.map(|stage| (stage, cells(stage)));
        let known = |cells: &[Option<_>]| cells.iter().any(Option::is_some);
        if !rows.iter().any(|(_, cells)| known(cells)) {
            return false;
        }
        let names = ["queue wait", "buffer wait", "service time", "emit"];
        let header: Vec<String> = names.iter().map(|name| format!("{name:>20}")).collect();
        self.line(&format!("  {:<14}{}", "p50 / p99", header.join(" ")));
        for (stage, cells) in rows.iter().filter(|(_, cells)| known(cells)) {
            let texts = cells.map(|cell| {
                let text = cell.map_or(String::new(), |(p50, p99)| {
                    format!("{} / {}", quantile(p50), quantile(p99))
                });
                format!("{text:>20}")
            });
            self.line(&format!("  {:<14}{}", stage.name(), texts.join(" ")));
        }
        let quantiles = rows.iter().flat_map(|(_, cells)| cells).flatten();
        quantiles
            .flat_map(|(p50, p99)| [p50, p99])
            .flatten()
            .any(|quantile| quantile.rough)
    }

    /// A line for each stage with a database.
    fn stores(&mut self, trial: &TrialRecord) {
        if trial.stages.iter().all(|stage| stage.store.is_none()) {
            return;
        }
        self.heading("Stores");
        for stage in &trial.stages {
            let Some(store) = &stage.store else { continue };
            let mut line = format!(
                "  {:<14}{}: {} steps in {} commits",
                stage.stage.name(),
                store.kind.name(),
                human::count(store.steps),
                human::count(store.commits)
            );
            let commit = Series::Stage(stage.stage, StageSpan::Commit).to_string();
            if let Some(summary) = trial.latencies.iter().find(|summary| summary.series == commit) {
                line.push_str(&format!(", {} / {}", quantile(summary.p50), quantile(summary.p99)));
            }
            self.line(&line);
            if store.errors > 0 {
                let failed = human::count(store.errors);
                self.line(&format!(
                    "  {:<14}{failed} look-ups or steps failed and were tried again",
                    ""
                ));
            }
            if store.connections_lost > 0 {
                let lost = human::plural(store.connections_lost, "connection");
                self.line(&format!("  {:<14}{lost} to the database lost", ""));
            }
            let Some(outbox) = &store.outbox else { continue };
            let mut line = format!(
                "  {:<14}outbox: at most {} rows unsent",
                "",
                human::count(outbox.unsent_max)
            );
            let lag = Series::Stage(stage.stage, StageSpan::Emit).to_string();
            if let Some(summary) = trial.latencies.iter().find(|summary| summary.series == lag) {
                line.push_str(&format!(", lag {} / {}", quantile(summary.p50), quantile(summary.p99)));
            }
            for (rows, what) in [(outbox.unsent, "never sent"), (outbox.unroutable, "unroutable")] {
                if rows > 0 {
                    line.push_str(&format!(", {} {what}", human::count(rows)));
                }
            }
            self.line(&line);
        }
    }

    fn resources(&mut self, trial: &TrialRecord) {
        self.heading("Resources");
        let used = &trial.resources;
        let bytes = |n: Option<u64>| n.map_or(ABSENT.to_owned(), |n| human::bytes(n as f64));
        let share = used
            .driver_cpu_share
            .map_or(String::new(), |share| format!(" ({})", human::share(share)));
        let cpu = |s: Option<f64>| s.map_or(ABSENT.to_owned(), human::seconds);
        self.line(&format!(
            "  driver {} CPU{share}, {} memory",
            cpu(used.driver_cpu_s),
            bytes(used.driver_rss_bytes_max)
        ));
        if used.broker_cpu_s.is_some() || used.broker_rss_bytes_max.is_some() {
            self.line(&format!(
                "  broker {} CPU, {} memory",
                cpu(used.broker_cpu_s),
                bytes(used.broker_rss_bytes_max)
            ));
        }
        if let Some(held) = used.broker_message_bytes_max {
            self.line(&format!(
                "  embedded broker {} of messages at most, within the driver's memory",
                human::bytes(held as f64)
            ));
        }
    }

    fn promises(&mut self, trial: &TrialRecord) {
        let kept = |promise: &&PromiseReport| promise.verdict == Verdict::Pass && promise.not_given_because.is_none();
        self.heading(&format!(
            "Promises: {} of {} kept",
            trial.promises.iter().filter(kept).count(),
            trial.promises.len()
        ));
        let mut helped = None;
        for promise in trial.promises.iter().filter(|promise| !kept(promise)) {
            let help = status::remedy(promise);
            // What helps several promises in a row is said once.
            let repeated = help == helped;
            self.promise(trial, promise, help.as_deref().filter(|_| !repeated));
            helped = help;
        }
    }

    fn promise(&mut self, trial: &TrialRecord, promise: &PromiseReport, help: Option<&str>) {
        let (word, tone) = match (promise.verdict, &promise.not_given_because) {
            (Verdict::Fail, None) => ("BROKEN   ", Tone::Bad),
            (Verdict::Unknown, None) => ("UNKNOWN  ", Tone::Doubt),
            (Verdict::Fail, Some(_)) => ("not given", Tone::Doubt),
            _ => ("not given", Tone::Heading),
        };
        let start = format!("  {} ", self.toned(tone, word));
        self.wrapped(None, 12, &start, &format!("{}: {}", promise.name, promise.finding));
        if let Some(reason) = &promise.not_given_because {
            self.wrapped(None, 12, "            ", reason);
        }
        if let Some(help) = help {
            self.wrapped(None, 18, "            help: ", help);
        }
        if promise.verdict != Verdict::Fail {
            return;
        }
        let examples = promise
            .examples
            .iter()
            .filter_map(|kind| trial.ledger.examples.get(kind));
        for trail in examples.flatten().take(EXAMPLES_MAX) {
            self.wrapped(None, 6, "    - ", &trail_text(trail));
        }
    }
}

/// An order's way in a sentence.
pub(super) fn trail_text(trail: &Trail) -> String {
    let mut text = format!("order {}: {}", trail.order, trail.publish);
    if !trail.events.is_empty() {
        let events: Vec<&str> = trail.events.iter().map(|event| event.name()).collect();
        let _ = write!(text, "; {}", events.join(" → "));
    }
    if !trail.missing.is_empty() {
        let _ = write!(text, "; missing {}", trail.missing.join(", "));
    }
    text
}

fn quantile(quantile: Option<Quantile>) -> String {
    match quantile {
        Some(quantile) if quantile.rough => format!("~{}", human::nanos(quantile.ns as f64)),
        Some(quantile) => human::nanos(quantile.ns as f64),
        None => ABSENT.to_owned(),
    }
}

fn latency_row(summary: &Summary) -> String {
    let max = summary.max_ns.map_or(ABSENT.to_owned(), |ns| human::nanos(ns as f64));
    format!(
        "  {:<NAME_MAX$} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11}",
        human::shortened(&human::plain(&summary.series), NAME_MAX),
        human::count(summary.count),
        quantile(summary.p50),
        quantile(summary.p90),
        quantile(summary.p99),
        quantile(summary.p999),
        max
    )
}

/// Breaks at spaces; a word that is too long is cut.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let chars: Vec<char> = word.chars().collect();
        for (i, piece) in chars.chunks(columns.max(1)).enumerate() {
            if used > 0 && (i > 0 || used + 1 + piece.len() > columns) {
                lines.push(String::new());
                used = 0;
            }
            let Some(line) = lines.last_mut() else { continue };
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.extend(piece);
            used += piece.len();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_good_run_says_so_first_and_shows_its_figures() {
        let text = end_of_run(&fixture::pass(), Style::Plain);
        assert!(
            text.starts_with("PASS: all promises that the configuration gives were kept"),
            "{text}"
        );
        for part in [
            "32,500 published",
            "31,200 completed + 1,300 cancelled + 0 lost",
            "achieved 499.6/s",
            "drained in 4.20 s",
            "end_to_end",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_broken_promise_shows_up_to_ten_orders_with_their_trails_and_a_remedy() {
        let text = end_of_run(&fixture::failed(), Style::Plain);
        assert!(text.starts_with("FAIL: nothing_lost"));
        assert_eq!(
            text.matches("missing payment: inventory.reserved").count(),
            10,
            "{text}"
        );
        for part in [
            "BROKEN    nothing_lost",
            "order 1000: confirmed",
            "help: ",
            "not given all_audited",
            "stage.audit.ack = \"manual\"",
            "invalid: send lag",
            "warning: noisy host",
            "not drained (> 60.0 s)",
            "payment overloaded from 35.0 s to 45.0 s (it takes 400/s): backlog 1,012",
            "storm                     35.0 s to 65.0 s    offered 500/s, achieved 499.3/s",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn nothing_of_others_steers_the_terminal_and_lines_fit_a_hundred_columns() {
        for record in [
            fixture::hostile(),
            fixture::failed(),
            fixture::no_data(),
            fixture::three_trials(),
            fixture::embedded(),
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3),
        ] {
            let text = end_of_run(&record, Style::Plain);
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
            }
            let coloured = end_of_run(&record, Style::Ansi);
            assert!(!coloured.contains("\u{1b}[31m\"") && coloured.contains("\u{1b}[1mOrders\u{1b}[0m"));
        }
    }

    #[test]
    fn what_is_absent_is_not_zero_and_the_embedded_broker_is_named() {
        let text = end_of_run(&fixture::no_data(), Style::Plain);
        assert!(
            text.starts_with("INTERRUPTED") && text.contains("goodput n/a") && text.contains("nothing was measured")
        );
        let text = end_of_run(&fixture::embedded(), Style::Plain);
        assert!(text.contains(status::EMBEDDED) && text.contains("debug build"));
    }

    #[test]
    fn of_a_matrix_the_cells_come_first_then_advice_then_one_trial() {
        let text = end_of_run(&fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3), Style::Plain);
        let mut at = 0;
        for part in [
            "10 cells and 30 trials",
            "prefetch, consumers",
            "unlimited, 4",
            "Smallest value within 5 %",
            "stage.payment.prefetch = 10 at consumers 4",
            "but 3 repeats a cell cannot rule out chance",
            "Scaling over consumers at prefetch 100",
            "Trial 1 of 30 (prefetch 1, consumers 1): pass",
        ] {
            at += text[at..]
                .find(part)
                .unwrap_or_else(|| panic!("{part} is missing, or in the wrong place, in\n{text}"));
        }
        assert_eq!(text.matches("Trial ").count(), 1, "{text}");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(wrap("ab cdefghij k", 4), ["ab", "cdef", "ghij", "k"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
