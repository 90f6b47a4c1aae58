//! A plan on paper: as text, Markdown, CSV, JSON and a page with charts, all of them from the same [`Plan`].

mod csv_table;
mod markdown;
mod text;

use std::path::Path;

use super::chart::sizing::{SizingChart, charts};
use super::{ReportError, html, human, write_picture, write_whole};
use crate::results::record::RunRecord;
use crate::sizing::{Errors, Measure, Pair, Plan, Row, Unit};

pub use csv_table::columns;

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For a terminal.
    #[default]
    Text,
    /// For a page of documentation or a merge request.
    Markdown,
    /// For a spreadsheet.
    Csv,
}

/// The plan in a format.
///
/// # Errors
/// [`ReportError::Table`] if the CSV cannot be made.
pub fn render(plan: &Plan, record: &RunRecord, format: Format) -> Result<String, ReportError> {
    match format {
        Format::Text => Ok(text::render(plan, record)),
        Format::Markdown => Ok(markdown::render(plan, record)),
        Format::Csv => csv_table::render(plan).map_err(|source| ReportError::Table {
            name: "plan.csv",
            source,
        }),
    }
}

/// Writes `plan.csv`, `plan.md`, `plan.json`, the charts and `plan.html` into `folder`, which is made where it is missing.
///
/// # Errors
/// [`ReportError`], with the file; what was written before it stays.
pub fn write(plan: &Plan, record: &RunRecord, folder: &Path) -> Result<(), ReportError> {
    let folder_of_charts = folder.join("charts");
    std::fs::create_dir_all(&folder_of_charts).map_err(|source| ReportError::Write {
        path: folder_of_charts.clone(),
        source,
    })?;
    for (name, format) in [("plan.csv", Format::Csv), ("plan.md", Format::Markdown)] {
        write_whole(&folder.join(name), render(plan, record, format)?.as_bytes())?;
    }
    let json = folder.join("plan.json");
    let text = serde_json::to_string_pretty(plan).map_err(|error| ReportError::Write {
        path: json.clone(),
        source: error.into(),
    })?;
    write_whole(&json, text.as_bytes())?;
    let mut drawn = Vec::new();
    for chart in charts(plan, record) {
        let picture = SizingChart::picture(&chart)?;
        write_picture(&folder_of_charts, &picture, |path| chart.write_png(path))?;
        drawn.push(picture);
    }
    write_whole(
        &folder.join("plan.html"),
        html::sizing::page(plan, record, &drawn).as_bytes(),
    )
}

/// What was asked, in a sentence.
pub(super) fn asked(plan: &Plan) -> String {
    let demand = &plan.demand;
    let mut text = format!("{} orders/s", number(demand.rate.per_second()));
    if let Some(burst) = demand.burst {
        text.push_str(&format!(
            ", bursts of {} for {}",
            human::rate(burst.rate.per_second()),
            burst.lasts
        ));
    }
    if let Some(p99) = demand.p99 {
        text.push_str(&format!(", 99 % of the orders within {p99}"));
    }
    if let Some(drain) = demand.drain {
        text.push_str(&format!(", backlog gone within {drain}"));
    }
    if demand.growth.0 > 0.0 {
        text.push_str(&format!(", {} growth", demand.growth));
    }
    if let Some(loss) = demand.lose {
        text.push_str(&format!(", a loss of {loss}"));
    }
    text
}

/// The answer, in a sentence.
pub(super) fn answer(plan: &Plan) -> String {
    if !plan.impossible.is_empty() {
        return "cannot be met".to_owned();
    }
    let consumers: Vec<String> = plan
        .stages
        .iter()
        .filter(|stage| stage.works)
        .map(|stage| format!("{} {}", stage.stage, stage.consumers))
        .collect();
    let drain = plan.drain_s.map_or(String::new(), |s| {
        format!("; a burst is cleared in {}", human::seconds(s))
    });
    format!(
        "consumers: {}; it can sustain {} orders/s{drain}",
        consumers.join(", "),
        number(plan.sustainable_per_s)
    )
}

/// A figure as people read it.
pub(super) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => human::count(value.max(0.0).round() as u64),
        Unit::PerSecond => human::rate(value),
        Unit::Seconds => human::nanos(value * 1e9),
        Unit::Bytes => human::bytes(value),
        Unit::Share => human::share(value),
        Unit::Processors => number(value),
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The figure of a row; `n/a` where there is none.
pub(super) fn figure(row: &Row) -> String {
    row.value.map_or(human::ABSENT.to_owned(), |of| value(of, row.unit))
}

/// The interval of a row; empty where there is none.
pub(super) fn interval(row: &Row) -> String {
    match (row.low, row.high) {
        (Some(low), Some(high)) => format!("{} – {}", value(low, row.unit), value(high, row.unit)),
        (Some(low), None) => format!("{} and more", value(low, row.unit)),
        (None, Some(high)) => format!("up to {}", value(high, row.unit)),
        (None, None) => String::new(),
    }
}

/// The errors of the cross-validation, measure by measure.
pub(super) fn errors(plan: &Plan) -> Vec<(Measure, Option<Errors>)> {
    Measure::ALL
        .into_iter()
        .map(|measure| (measure, plan.validation.errors(measure)))
        .collect()
}

/// Foretold and measured of a pair as people read them.
pub(super) fn pair_values(pair: &Pair) -> (String, String) {
    let unit = if pair.measure == Measure::Utilisation {
        Unit::Share
    } else {
        Unit::Seconds
    };
    (value(pair.predicted, unit), value(pair.measured, unit))
}

/// What the model rests on, in a sentence.
pub(super) fn rests_on(plan: &Plan, record: &RunRecord) -> String {
    let cells: std::collections::BTreeSet<usize> = plan.validation.pairs.iter().map(|pair| pair.cell).collect();
    format!(
        "the run {} on {} {} ({}), {}; settings as in {}",
        record.id,
        record.broker.product,
        record.broker.version,
        record.broker.kind,
        human::plural(cells.len() as u64, "cell"),
        plan.settings_of
    )
}

#[cfg(test)]
mod tests;
