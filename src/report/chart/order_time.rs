//! The mean time of an order in its parts: for each stage what all deliveries of an order take there, bars of one linear scale.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Tick, nanos};
use super::canvas::{Anchor, Canvas, Drawn, WIDTH};
use super::frame::{Entry, Mark, Plot, RIGHT, head};
use super::palette::{GREY, INK};
use super::stages::{colour, label};
use super::{Chart, Figures, NO_DATA};
use crate::events::Stage;
use crate::measure::{Series, StageSpan};
use crate::report::human;

/// Space for the names of the stages.
const NAMES: f64 = 150.0;
/// Space for the sums at the end of the rows.
const SUMS: f64 = 70.0;
const ROW: f64 = 30.0;
/// Share of a row that its bar fills.
const FILLED: f64 = 0.68;

/// A stage with the parts of its time, nanoseconds per order.
struct Row {
    stage: Stage,
    parts: Vec<(StageSpan, f64)>,
}

impl Row {
    fn sum(&self) -> f64 {
        self.parts.iter().map(|(_, ns)| ns).sum()
    }
}

fn rows(figures: &Figures<'_>) -> Vec<Row> {
    let Some(trial) = figures.trial else {
        return Vec::new();
    };
    let find = |name: &str| trial.latencies.iter().find(|summary| summary.series == name);
    let Some(orders) = find("end_to_end")
        .map(|summary| summary.count)
        .filter(|count| *count > 0)
    else {
        return Vec::new();
    };
    let part = |stage, span| {
        let summary = find(&Series::Stage(stage, span).to_string())?;
        Some((span, summary.mean_ns? * summary.count as f64 / orders as f64))
    };
    let rows = Stage::ALL.into_iter().map(|stage| Row {
        stage,
        parts: StageSpan::ALL
            .into_iter()
            .filter_map(|span| part(stage, span))
            .collect(),
    });
    rows.filter(|row| !row.parts.is_empty()).collect()
}

/// Whether an order's end waits for the stage.
fn is_on_the_way(stage: Stage) -> bool {
    !matches!(stage, Stage::Notification | Stage::Email | Stage::Sms | Stage::Audit)
}

pub(super) fn height(figures: &Figures<'_>) -> f64 {
    (150.0 + rows(figures).len() as f64 * ROW).max(220.0)
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let rows = rows(figures);
    let spans = StageSpan::ALL
        .into_iter()
        .filter(|span| rows.iter().any(|row| row.parts.iter().any(|(known, _)| known == span)));
    let legend: Vec<Entry> = spans
        .map(|span| Entry::new(label(span), Mark::Area(colour(span), 1.0)))
        .collect();
    let top = head(canvas, figures, Chart::OrderTime.title(), &legend)?;
    let longest = rows.iter().map(Row::sum).fold(0.0, f64::max);
    let x = Axis::from_zero(longest.max(1.0), "time per order, mean", nanos);
    let y = Axis {
        from: 0.0,
        to: rows.len().max(1) as f64,
        ticks: (0..rows.len())
            .map(|row| Tick {
                at: row as f64,
                label: String::new(),
            })
            .collect(),
        title: "",
    };
    let plot = Plot::new(canvas, x, y, (top - 8.0, canvas.height()), Vec::new()).between((NAMES, WIDTH - RIGHT - SUMS));
    if rows.is_empty() {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    for (at, row) in rows.iter().enumerate() {
        let floor = (rows.len() - 1 - at) as f64 + (1.0 - FILLED) / 2.0;
        let mut from = 0.0;
        for (span, ns) in &row.parts {
            let (lower, upper) = (plot.at(from, floor), plot.at(from + ns, floor + FILLED));
            canvas.rect((lower.0, upper.1), (upper.0, lower.1), colour(*span), 1.0)?;
            from += ns;
        }
        let (end, middle) = plot.at(from, floor + FILLED / 2.0);
        let beside = if is_on_the_way(row.stage) { "" } else { " (beside)" };
        let name = format!("{}{beside}", row.stage.name());
        let ink = if beside.is_empty() { INK } else { GREY };
        canvas.text((16.0, middle), &name, 12.0, ink, Anchor::Start)?;
        canvas.text((end + 6.0, middle), &human::nanos(row.sum()), 11.0, INK, Anchor::Start)?;
    }
    Ok(())
}
