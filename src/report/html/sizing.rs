//! The page of a plan: the answer first, then its figures, its charts, and how far the model is off.

use super::sink::{Align, Sink};
use super::{STYLE, figures};
use crate::report::chart::Picture;
use crate::report::human;
use crate::report::prediction;
use crate::report::sizing::{answer, asked, errors, figure, interval, pair_values, rests_on};
use crate::results::record::RunRecord;
use crate::sizing::{Pair, Plan};

use Align::{Number, Text};

/// Most compared figures that are on the page.
const PAIRS_MAX: usize = 60;

/// The page.
pub fn page(plan: &Plan, record: &RunRecord, charts: &[Picture]) -> String {
    let mut page = Sink::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.element("<title>", &format!("Plan: {}", asked(plan)), "</title>\n<style>\n");
    page.raw(STYLE)
        .raw("</style></head>\n<body>\n<header>\n<h1>Capacity plan</h1>\n");
    lead(&mut page, plan, record);
    page.raw("</header>\n<main>\n<h2>Figures</h2>\n");
    rows(&mut page, plan);
    page.raw("<h2>Charts</h2>\n");
    figures(&mut page, charts);
    validation(&mut page, plan, record);
    page.raw("</main>\n<footer><p>");
    page.text(&format!(
        "orderstorm {} · from run {}",
        env!("CARGO_PKG_VERSION"),
        record.id
    ));
    page.raw("</p></footer>\n</body></html>\n");
    page.finish()
}

fn lead(page: &mut Sink, plan: &Plan, record: &RunRecord) {
    page.raw(if plan.impossible.is_empty() {
        "<div class=\"verdict good\">"
    } else {
        "<div class=\"verdict bad\">"
    });
    page.element("<p class=\"reason\">Asked: ", &asked(plan), "</p>");
    page.element("<p class=\"reason\"><strong>", &answer(plan), "</strong></p>");
    for why in &plan.impossible {
        page.element("<p class=\"reason\">", why, "</p>");
    }
    page.element("<p class=\"soft\">Fitted to ", &rests_on(plan, record), "</p></div>\n");
    if !plan.warnings.is_empty() {
        page.raw("<ul class=\"notes\">");
        for warning in &plan.warnings {
            page.element("<li class=\"doubt\">", warning, "</li>");
        }
        page.raw("</ul>\n");
    }
}

fn rows(page: &mut Sink, plan: &Plan) {
    let columns = [
        ("About", Text),
        ("Figure", Text),
        ("Value", Number),
        ("Interval", Number),
        ("Origin", Text),
        ("Note", Text),
    ];
    page.table("Figures", &columns);
    let mut about = "";
    for row in &plan.rows {
        page.raw("<tr>");
        page.row_name(if row.about == about { "" } else { &row.about });
        page.cell(row.name).number(&figure(row)).number(&interval(row));
        page.cell(row.origin.word()).cell(&row.note).raw("</tr>\n");
        about = &row.about;
    }
    page.table_end();
    page.raw("<p class=\"soft\">Measured: the run has it. Modelled: the fitted model makes it; its interval is as wide as the model was off in the worst cell that it had not seen. Assumed: a usual value that nobody measured here.</p>\n");
}

fn validation(page: &mut Sink, plan: &Plan, record: &RunRecord) {
    page.raw(
        "<h2>How far the model is off</h2>\n<p>Each cell was foretold by a model that was fitted to all others.</p>\n",
    );
    page.table(
        "Errors",
        &[
            ("Measure", Text),
            ("Median", Number),
            ("Worst", Number),
            ("Figures", Number),
        ],
    );
    for (measure, errors) in errors(plan) {
        let share = |of: Option<f64>| of.map_or(human::ABSENT.to_owned(), human::share);
        page.raw("<tr>").row_name(measure.name());
        page.number(&share(errors.map(|errors| errors.median)))
            .number(&share(errors.map(|errors| errors.worst)))
            .number(&human::count(errors.map_or(0, |errors| errors.figures as u64)));
        page.raw("</tr>\n");
    }
    page.table_end();
    let mut worst: Vec<&Pair> = plan.validation.pairs.iter().collect();
    worst.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    page.raw("<h3>Figure by figure, the worst first</h3>\n");
    page.table(
        "Foretold and measured",
        &[
            ("Cell", Text),
            ("Trial", Number),
            ("What", Text),
            ("Foretold", Number),
            ("Measured", Number),
            ("Error", Number),
        ],
    );
    for pair in worst.iter().take(PAIRS_MAX) {
        let (predicted, measured) = pair_values(pair);
        let what = pair.stage.map_or(pair.measure.name().to_owned(), |stage| {
            format!("{} of {stage}", pair.measure.name())
        });
        let label = match record.cells[pair.cell].label.as_str() {
            "" => &record.name,
            label => label,
        };
        page.raw("<tr>")
            .row_name(label)
            .number(&pair.trial.to_string())
            .cell(&what);
        page.number(&predicted)
            .number(&measured)
            .number(&prediction::error(Some(pair.error())));
        page.raw("</tr>\n");
    }
    page.table_end();
}
