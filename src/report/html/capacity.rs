//! The capacity of each setting: the interval first, then what it rests on, then every rate that was tried.

use super::sink::{Align, Sink};
use crate::report::capacity::{demands, ending, interval, knee};
use crate::report::human::{self, ABSENT};
use crate::results::capacity::{CapacityRecord, CapacitySetting, RateStatus};
use crate::results::record::RunRecord;

use Align::{Number, Text};

pub(super) fn section(page: &mut Sink, record: &RunRecord, capacity: &CapacityRecord) {
    page.raw("<h2>Capacity</h2>\n");
    let columns = [
        ("Setting", Text),
        ("Sustainable rate", Text),
        ("Width", Number),
        ("How it ended", Text),
        ("Breaks first", Text),
        ("Knee of the p99", Text),
    ];
    page.table("Capacity", &columns);
    for setting in &capacity.settings {
        page.raw("<tr>").row_name(shown(setting));
        page.element("<td><strong>", &interval(setting), "</strong></td>");
        page.number(&setting.width().map_or(ABSENT.to_owned(), human::share));
        page.cell(&ending(setting, capacity));
        page.cell(setting.breaks.as_ref().map_or(ABSENT, |breaks| breaks.finding.as_str()));
        page.cell(&knee(setting)).raw("</tr>\n");
    }
    page.table_end();
    rule(page, record, capacity);
    demand(page, capacity);
}

/// What a rate had to do to hold.
fn rule(page: &mut Sink, record: &RunRecord, capacity: &CapacityRecord) {
    let objectives = match capacity.objectives.as_slice() {
        [] => "no objective was given, so latency did not count".to_owned(),
        some => format!("it keeps {}", some.join(", ")),
    };
    let text = format!(
        "A rate holds when the backlog does not grow (upper end of the slope's 95 % interval at most 1 % of the offered load), {objectives}, \
         the broker neither refuses nor holds back, and the driver kept up. Arrivals: {}. An edge counts when {} of it agree.",
        capacity.arrival,
        human::plural(u64::from(capacity.repeats), "trial")
    );
    page.element("<p class=\"soft\">", &text, "</p>\n");
    page.raw("<ul class=\"notes\">");
    for what in &capacity.overridden {
        page.element("<li>Overridden: ", what, "</li>");
    }
    if let Some((is_s, should_s)) = capacity.short_trials(record) {
        let text = format!(
            "Trials measured {} or less; a rate that is to hold for long should be judged on {}.",
            human::seconds(is_s),
            human::seconds(should_s)
        );
        page.element("<li class=\"doubt\">", &text, "</li>");
    }
    page.raw("</ul>\n");
}

fn demand(page: &mut Sink, capacity: &CapacityRecord) {
    for demand in demands(capacity) {
        page.element("<h3>", &demand.title(), "</h3>\n");
        let columns = [
            ("Load", Number),
            ("Least that holds", Number),
            ("Least that may hold", Number),
        ];
        page.table(&demand.title(), &columns);
        for row in &demand.rows {
            page.element(
                "<tr><th scope=\"row\" class=\"number\">",
                &human::rate(row.load_per_s),
                "</th>",
            );
            for value in [&row.certain, &row.possible] {
                page.number(value.as_deref().unwrap_or("none that was tried"));
            }
            page.raw("</tr>\n");
        }
        page.table_end();
    }
}

/// Every rate that was tried, setting by setting.
pub(super) fn rates(page: &mut Sink, capacity: &CapacityRecord) {
    page.raw("<h2>Rates that were tried</h2>\n");
    for setting in &capacity.settings {
        page.raw("<details class=\"trial\"><summary>")
            .text(&format!(
                "{}: {}",
                shown(setting),
                human::plural(setting.rates.len() as u64, "rate")
            ))
            .raw("</summary>\n");
        let columns = [
            ("Offered", Number),
            ("", Text),
            ("Trials", Text),
            ("Achieved", Number),
            ("Finished", Number),
            ("p50", Number),
            ("p99", Number),
            ("Busiest stage", Text),
            ("Why", Text),
        ];
        page.table(&format!("Rates of {}", shown(setting)), &columns);
        for rate in &setting.rates {
            page.element(
                "<tr><th scope=\"row\" class=\"number\">",
                &human::rate(rate.rate_per_s),
                "</th>",
            );
            page.raw(match rate.status {
                RateStatus::Held => "<td><span class=\"pill good\">",
                RateStatus::Failed => "<td><span class=\"pill bad\">",
                RateStatus::Undecided | RateStatus::Invalid => "<td><span class=\"pill doubt\">",
            });
            page.text(rate.status.name()).raw("</span></td>");
            let counts = [
                (rate.held, "held"),
                (rate.failed, "failed"),
                (rate.undecided, "undecided"),
                (rate.invalid, "invalid"),
            ];
            let counts: Vec<String> = counts
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, word)| format!("{n} {word}"))
                .collect();
            page.cell(&counts.join(", "));
            page.number(&rate.achieved_rate_per_s.map_or(ABSENT.to_owned(), human::rate));
            page.number(&rate.goodput_per_s.map_or(ABSENT.to_owned(), human::rate));
            page.number(&rate.end_to_end_ns_p50.map_or(ABSENT.to_owned(), human::nanos));
            page.number(&rate.end_to_end_ns_p99.map_or(ABSENT.to_owned(), human::nanos));
            let busiest = rate
                .utilisations
                .iter()
                .max_by(|a, b| a.utilisation.total_cmp(&b.utilisation));
            page.cell(&busiest.map_or(ABSENT.to_owned(), |one| {
                format!("{} {}", one.stage, human::share(one.utilisation))
            }));
            page.cell(rate.because.as_deref().unwrap_or("")).raw("</tr>\n");
        }
        page.table_end().raw("</details>\n");
    }
}

fn shown(setting: &CapacitySetting) -> &str {
    match setting.label.as_str() {
        "" => "as it is",
        label => label,
    }
}
