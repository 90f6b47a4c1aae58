//! `report.html`: the run on one page that needs nothing else, no network and no script.
//!
//! The verdict first, then what it rests on, then everything that was measured, then how it was measured.

pub mod beside;
#[cfg(test)]
mod browser;
mod capacity;
mod cells;
mod foretold;
mod lead;
mod phases;
mod sink;
pub mod sizing;
mod stores;
mod tables;

use super::chart::Picture;
use super::chart::cells::ALIKE;
use super::human;
use super::status;
use super::sweep::Sweep;
use crate::results::record::{RunRecord, TrialRecord};
use sink::Sink;

const STYLE: &str = include_str!("../../assets/report.css");

/// Most trials of a matrix whose details are on the page; all of them are in the tables.
const DETAILS_MAX: usize = 12;

/// The page. `charts` are drawn for the trial that [`status::shown_trial`] chooses, `cell_charts` over all cells.
pub fn page(sweep: &Sweep<'_>, charts: &[Picture], cell_charts: &[Picture]) -> String {
    let record = sweep.record;
    let mut page = Sink::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    page.text(&format!("{}: {}", status::Status::of(record).word(), record.name));
    page.raw("</title>\n<style>\n")
        .raw(STYLE)
        .raw("</style></head>\n<body>\n<header>\n");
    lead::verdict(&mut page, record);
    page.raw("</header>\n<main>\n");
    lead::objectives(&mut page, record);
    if let Some(capacity) = &record.capacity {
        capacity::section(&mut page, record, capacity);
        figures(&mut page, cell_charts);
        capacity::rates(&mut page, capacity);
    } else if sweep.is_matrix() {
        cells::section(&mut page, sweep);
        let (alike, telling): (Vec<&Picture>, Vec<&Picture>) = cell_charts.iter().partition(|chart| chart.alike);
        figures(&mut page, telling);
        alike_figures(&mut page, &alike);
    } else {
        lead::key_figures(&mut page, record);
    }
    let details = details(sweep);
    foretold::section(&mut page, record, &details);
    if sweep.is_matrix() {
        which_details(&mut page, sweep, &details);
    }
    per_trial(&mut page, record, &details, "Promises", tables::promises);
    per_trial(&mut page, record, &details, "Do the figures count?", tables::validity);
    lead::what_was_run(&mut page, record);
    per_trial(&mut page, record, &details, "When what happened", phases::stretches);
    if record.trials.iter().any(|trial| !trial.overloads.is_empty()) {
        per_trial(&mut page, record, &details, "Planned overloads", phases::overloads);
    }
    pictures(&mut page, record, charts);
    per_trial(&mut page, record, &details, "Latency", tables::latency);
    per_trial(&mut page, record, &details, "Stages", tables::stages);
    per_trial(
        &mut page,
        record,
        &details,
        "Where every order went",
        tables::accounting,
    );
    per_trial(&mut page, record, &details, "Dead letters", tables::dead_letters);
    for (title, any, table) in [
        (
            "Faults",
            record.trials.iter().any(tables::has_faults),
            tables::faults as fn(&mut Sink, &TrialRecord),
        ),
        ("Stores", record.trials.iter().any(stores::has_stores), stores::stores),
        (
            "Handler errors, duplicates and bad messages",
            record.trials.iter().any(tables::has_failures),
            tables::failed,
        ),
        (
            "Dropped and refused",
            record.trials.iter().any(tables::has_dropped),
            tables::dropped,
        ),
        (
            "Blocked connections",
            record.trials.iter().any(|trial| !trial.blocked_connections.is_empty()),
            tables::blocked,
        ),
    ] {
        if any {
            per_trial(&mut page, record, &details, title, table);
        }
    }
    tables::settings(&mut page, record);
    page.raw("</main>\n<footer><p>");
    page.text(&format!(
        "orderstorm {} · schema {} · method {} · run {} · from {} to {}",
        record.tool.version, record.schema_version, record.method_version, record.id, record.started, record.finished
    ));
    page.raw("</p></footer>\n</body></html>\n");
    page.finish()
}

/// The trials whose details are shown: all of a run without a matrix, else one of each cell, the worst first.
fn details<'a>(sweep: &Sweep<'a>) -> Vec<&'a TrialRecord> {
    if !sweep.is_matrix() {
        return sweep.record.trials.iter().collect();
    }
    let shown = sweep
        .cells
        .iter()
        .filter_map(|cell| cell.shown_trial().map(|trial| trial.trial));
    let shown: Vec<u32> = shown.collect();
    let mut trials: Vec<&TrialRecord> = sweep
        .record
        .trials
        .iter()
        .filter(|trial| shown.contains(&trial.trial))
        .collect();
    trials.sort_by_key(|trial| (std::cmp::Reverse(trial.verdict), trial.validity.valid));
    trials.truncate(DETAILS_MAX);
    trials.sort_by_key(|trial| trial.cell);
    trials
}

fn which_details(page: &mut Sink, sweep: &Sweep<'_>, details: &[&TrialRecord]) {
    let text = format!(
        "Below are the details of {} of {}: of each cell the first with its worst verdict{}. All trials are in summary.csv and \
         stages.csv.",
        human::plural(details.len() as u64, "trial"),
        human::count(sweep.record.trials.len() as u64),
        if details.len() < sweep.cells.len() {
            ", the worst cells first"
        } else {
            ""
        }
    );
    page.raw("<h2>Details</h2>\n")
        .element("<p class=\"soft\">", &text, "</p>\n");
}

/// A section with a part for each trial; of several, the one that the charts show is unfolded.
fn per_trial(
    page: &mut Sink,
    record: &RunRecord,
    trials: &[&TrialRecord],
    heading: &str,
    body: fn(&mut Sink, &TrialRecord),
) {
    if trials.is_empty() {
        return;
    }
    page.element("<h2>", heading, "</h2>\n");
    if let ([only], 1) = (trials, record.trials.len()) {
        return body(page, only);
    }
    let shown = status::shown_trial(record).map(|trial| trial.trial);
    for trial in trials {
        page.raw(if Some(trial.trial) == shown {
            "<details class=\"trial\" open><summary>"
        } else {
            "<details class=\"trial\"><summary>"
        });
        page.text(&trial_name(record, trial)).raw("</summary>\n");
        body(page, trial);
        page.raw("</details>\n");
    }
}

/// `Trial 2 of 3 (prefetch 10): fail, invalid`.
fn trial_name(record: &RunRecord, trial: &TrialRecord) -> String {
    let invalid = if trial.validity.valid { "" } else { ", invalid" };
    let cell = &record.cell(trial).label;
    let cell = if cell.is_empty() {
        String::new()
    } else {
        format!(" ({cell})")
    };
    format!(
        "Trial {} of {}{cell}: {}{invalid}",
        trial.trial,
        record.trials.len(),
        trial.verdict.name()
    )
}

fn pictures(page: &mut Sink, record: &RunRecord, charts: &[Picture]) {
    page.raw("<h2>Charts</h2>\n");
    if let (Some(trial), true) = (status::shown_trial(record), record.trials.len() > 1) {
        let which = format!(
            "Charts over time show trial {} of {}: the first with the worst verdict.",
            trial.trial,
            record.trials.len()
        );
        page.element("<p class=\"soft\">", &which, "</p>\n");
    }
    figures(page, charts);
}

/// What takes part in no decision is folded away.
fn alike_figures(page: &mut Sink, pictures: &[&Picture]) {
    if pictures.is_empty() {
        return;
    }
    let summary = format!(
        "{} in which no two cells differ by more than {}",
        human::plural(pictures.len() as u64, "chart"),
        human::share(ALIKE)
    );
    page.element("<details><summary>", &summary, "</summary>\n");
    figures(page, pictures.iter().copied());
    page.raw("</details>\n");
}

fn figures<'a>(page: &mut Sink, pictures: impl IntoIterator<Item = &'a Picture>) {
    for picture in pictures {
        let (title, explanation) = (&picture.title, &picture.explanation);
        page.raw("<figure id=\"chart-").text(&picture.name);
        page.raw("\"><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
            .text(title)
            .raw("\">");
        page.chart(&picture.svg, &format!("{title}. {explanation}"));
        page.element("</div><figcaption><strong>", title, ".</strong> ");
        page.text(explanation).raw("</figcaption></figure>\n");
    }
}

/// `n/a (n = …)`: what stands where too few samples carry a quantile.
fn not_available(count: u64) -> String {
    format!("{} (n = {})", human::ABSENT, human::count(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::{Chart, Figures};
    use crate::report::fixture;
    use crate::results::series::SeriesTable;

    fn html(record: &RunRecord) -> String {
        let series = SeriesTable::default();
        let figures = Figures::new(record, &series);
        let charts = Chart::ALL.map(|chart| chart.picture(&figures).expect("drawn"));
        let sweep = Sweep::of(record);
        let of_cells = crate::report::chart::cells::charts(&sweep);
        let of_cells: Vec<Picture> = of_cells.iter().map(|chart| chart.picture().expect("drawn")).collect();
        page(&sweep, &charts, &of_cells)
    }

    #[test]
    fn the_verdict_comes_first_and_everything_in_its_order() {
        let html = html(&fixture::failed());
        let parts = [
            "FAIL",
            "nothing_lost: 40 of 32452",
            "Key figures",
            "Promises",
            "order 1000",
            "Do the figures count?",
            "noisy host",
            "What was run",
            "orderstorm run workloads/storm.toml",
            "When what happened",
            "storm",
            "broker pause",
            "Planned overloads",
            "1.04",
            "Charts",
            "Latency</h2>",
            "Stages</h2>",
            "Where every order went",
            "Dead letters",
            "orderstorm.payment.dead",
            "All settings",
            "command line",
        ];
        let body = html.find("<body>").expect("a body");
        let mut at = body;
        for part in parts {
            at += html[at..]
                .find(part)
                .unwrap_or_else(|| panic!("{part} is missing, or in the wrong place"));
        }
    }

    #[test]
    fn of_a_matrix_the_cells_come_first_then_their_charts_then_one_trial_of_each() {
        let html = html(&fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3));
        let mut at = html.find("<body>").expect("a body");
        for part in [
            "<h2>Cells</h2>",
            "stage.payment.prefetch",
            "unlimited",
            "that takes 6 repeats",
            "Smallest value within 5 %",
            "Scaling over consumers at prefetch 1",
            "chart-cells-goodput",
            "chart-cells-drain-time-map",
            "details of 10 trials of 30",
            "Trial 1 of 30 (prefetch 1, consumers 1): pass",
            "Charts over time show trial 1 of 30",
            "varies",
        ] {
            at += html[at..]
                .find(part)
                .unwrap_or_else(|| panic!("{part} is missing, or in the wrong place"));
        }
        assert_eq!(html.matches("<summary>Trial ").count() % 10, 0);
    }

    #[test]
    fn charts_of_cells_that_hardly_differ_are_folded_away_behind_the_others() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        for trial in &mut record.trials {
            trial.resources.driver_rss_bytes_max = Some(60_000_000);
        }
        let html = html(&record);
        let folded = html
            .find("charts in which no two cells differ")
            .expect("some are folded");
        let at = |name: &str| html.find(&format!("id=\"chart-cells-{name}\"")).expect("the chart");
        assert!(at("goodput") < folded && at("end-to-end-p99") < folded);
        assert!(folded < at("driver-memory"));
    }

    #[test]
    fn a_page_of_fifty_trials_stays_under_two_megabytes() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 5);
        let folder = fixture::folder(&record);
        crate::report::write_all(folder.path(), &record).expect("written");
        let page = std::fs::metadata(folder.path().join("report.html"))
            .expect("the page")
            .len();
        assert!(record.trials.len() == 50 && page < 2_000_000, "{page} bytes");
        let prefetches: Vec<(String, Option<f64>)> = (0..8).map(|n| (n.to_string(), Some(f64::from(n)))).collect();
        let prefetches: Vec<(&str, Option<f64>)> = prefetches.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let forty = [
            ("stage.payment.prefetch", prefetches.as_slice()),
            ("stage.payment.consumers", &prefetches[1..6]),
        ];
        let bytes = html(&fixture::matrix(&forty, 3)).len();
        assert!(bytes < 2_000_000, "40 cells: {bytes} bytes");
    }

    #[test]
    fn the_page_needs_no_network_and_no_script() {
        let html = html(&fixture::three_trials());
        assert!(html.contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
        for foreign in ["<script", "src=", "@import", "url(", "<link", "onload"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        let addresses = html.matches("http").count();
        let harmless = html.matches("http-equiv").count() + html.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, harmless);
    }

    #[test]
    fn ids_are_unique_and_tags_are_balanced() {
        for record in [
            fixture::three_trials(),
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 6),
        ] {
            balanced(&html(&record));
        }
    }

    fn balanced(html: &str) {
        let mut ids: Vec<&str> = html
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        for tag in [
            "table", "tr", "td", "th", "div", "ul", "li", "figure", "h2", "details", "dl", "p", "svg", "main", "abbr",
            "span",
        ] {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "<{tag}>");
        }
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        let html = html(&fixture::hostile());
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        for control in ['\u{1b}', '\u{7}', '\u{202e}'] {
            assert!(!html.contains(control));
        }
        assert!(!html.contains("[31m\"'"), "quotes are escaped");
    }

    #[test]
    fn quantiles_are_absent_or_rough_where_samples_are_few() {
        let html = html(&fixture::pass());
        assert!(html.contains("n/a (n = 600)"), "p99 of 600 samples");
        assert!(
            html.contains("95 % interval") && html.contains(">~"),
            "p99 of 2,000 samples"
        );
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn fates_add_up_to_what_was_published() {
        let html = html(&fixture::failed());
        let table = &html[html.find("Where every order went").expect("there")..];
        assert!(table.contains("32,500") && table.contains("= published"));
    }

    #[test]
    fn a_run_without_data_or_trials_is_a_page_too() {
        let mut record = fixture::no_data();
        assert!(html(&record).contains("INTERRUPTED"));
        record.trials.clear();
        assert!(html(&record).contains("No trial"));
        assert!(html(&fixture::embedded()).contains("embedded broker, not RabbitMQ"));
    }
}
