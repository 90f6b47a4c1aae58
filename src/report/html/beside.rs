//! The page of several runs beside each other: what they are, their figures, what they differ in, and the charts.

use super::sink::{Align, Sink};
use super::{STYLE, cells, figures};
use crate::report::beside::Beside;
use crate::report::chart::Picture;
use crate::report::human::{self, ABSENT};

use Align::Text;

/// The page.
pub fn page(beside: &Beside, charts: &[Picture]) -> String {
    let title = format!("{} side by side", human::plural(beside.runs().len() as u64, "run"));
    let mut page = Sink::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.element("<title>", &title, "</title>\n<style>\n");
    page.raw(STYLE).raw("</style></head>\n<body>\n<header>\n");
    page.element("<h1>", &title, "</h1>\n<ul class=\"notes\">");
    for note in beside.notes() {
        page.element("<li class=\"doubt\">", &note, "</li>");
    }
    page.raw("</ul>\n</header>\n<main>\n<h2>Runs</h2>\n");
    runs(&mut page, beside);
    page.raw("<h2>Figures</h2>\n");
    cells::unmarked(&mut page, &beside.sweep());
    page.raw("<p class=\"soft\">Medians over the repeats, with least and greatest.</p>\n");
    settings(&mut page, beside);
    page.raw("<h2>Charts</h2>\n");
    figures(&mut page, charts);
    page.raw("</main>\n<footer><p>");
    page.text(&format!("orderstorm {}", env!("CARGO_PKG_VERSION")));
    page.raw("</p></footer>\n</body></html>\n");
    page.finish()
}

fn runs(page: &mut Sink, beside: &Beside) {
    let columns = [
        "Run", "Verdict", "Folder", "Started", "Broker", "Loop", "Commit", "Machine",
    ];
    page.table("Runs", &columns.map(|name| (name, Text)));
    for run in beside.runs() {
        page.raw("<tr>").row_name(&run.label);
        let commit = if run.commit.is_empty() { ABSENT } else { &run.commit };
        for text in [
            run.status,
            &run.id,
            &run.started,
            &run.broker,
            run.loop_kind,
            commit,
            &run.machine,
        ] {
            page.cell(text);
        }
        page.raw("</tr>\n");
    }
    page.table_end();
}

fn settings(page: &mut Sink, beside: &Beside) {
    page.raw("<h2>Settings that differ</h2>\n");
    let differing = beside.differing();
    if differing.is_empty() {
        page.raw("<p>None.</p>\n");
        return;
    }
    let columns: Vec<(&str, Align)> = ["Setting"]
        .into_iter()
        .chain(beside.cell_labels())
        .map(|name| (name, Text))
        .collect();
    page.table("Settings that differ", &columns);
    for setting in differing {
        page.raw("<tr>").row_name(&setting.path);
        for value in &setting.values {
            page.cell(value.as_deref().unwrap_or(ABSENT));
        }
        page.raw("</tr>\n");
    }
    page.table_end();
}
