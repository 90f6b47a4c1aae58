//! Latency over the percentiles, stretched so that each nine takes the same room.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, nines};
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head};
use super::palette::{BLUE, GREEN, GREY, PURPLE, VERMILLION};
use super::{Chart, Figures, NO_DATA};
use crate::measure::Summary;
use crate::results::record::TrialRecord;

/// A point of the curve with fewer samples beyond it than this is drawn dashed: docs/METHOD.md prints no figure for it.
const SAMPLES_BEYOND_MIN: f64 = 10.0;
const FROM_SEND: Stroke = Stroke {
    width: 4.0,
    alpha: 0.55,
    ..Stroke::solid(VERMILLION)
};
const SERIES: [(&str, &str, Stroke); 5] = [
    ("end_to_end", "end-to-end", Stroke::solid(BLUE)),
    ("end_to_end_from_send", "end-to-end from send", FROM_SEND),
    (
        "end_to_end_urgent",
        "end-to-end of urgent orders",
        Stroke::solid(PURPLE),
    ),
    ("end_to_end_normal", "end-to-end of the others", Stroke::solid(GREY)),
    ("confirm_latency", "confirm latency", Stroke::solid(GREEN)),
];

fn summary<'a>(trial: &'a TrialRecord, series: &str) -> Option<&'a Summary> {
    let mut named = trial.latencies.iter().filter(|summary| summary.series == series);
    named.find(|summary| !summary.spectrum.is_empty())
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let known: Vec<_> = SERIES
        .into_iter()
        .filter_map(|(series, label, stroke)| Some((summary(figures.trial?, series)?, label, stroke)))
        .collect();
    let mut legend: Vec<Entry> = known
        .iter()
        .map(|(_, label, stroke)| Entry::new(*label, Mark::Line(*stroke)))
        .collect();
    let others: Vec<&TrialRecord> = others(figures).collect();
    if !others.is_empty() && !known.is_empty() {
        legend.push(Entry::new(
            "end-to-end of the other trials",
            Mark::Line(light(SERIES[0].2)),
        ));
    }
    let top = head(canvas, figures, Chart::LatencyPercentiles.title(), &legend)?;
    let curves = known.iter().map(|(summary, ..)| *summary);
    let all: Vec<&Summary> = curves
        .chain(others.iter().filter_map(|trial| summary(trial, SERIES[0].0)))
        .collect();
    let points = || all.iter().flat_map(|summary| &summary.spectrum);
    let (min, max) = points().fold((f64::MAX, 0.0), |(min, max), (_, ns)| {
        (min.min(*ns as f64), f64::max(max, *ns as f64))
    });
    let range = if all.is_empty() { (1e6, 1e9) } else { (min, max) };
    let x = Axis::percentiles(points().map(|(q, _)| nines(*q)).fold(0.0, f64::max));
    let y = Axis::log_nanos(range.0, range.1, "latency (logarithmic)");
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
    if all.is_empty() {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    for trial in others {
        if let Some(summary) = summary(trial, SERIES[0].0) {
            curve(&plot, summary, light(SERIES[0].2))?;
        }
    }
    // The first last: where the driver is on time, it lies on the second, which is wider.
    for (summary, _, stroke) in known.iter().rev() {
        curve(&plot, summary, *stroke)?;
    }
    Ok(())
}

/// The trials beside the one that is shown.
fn others<'a>(figures: &Figures<'a>) -> impl Iterator<Item = &'a TrialRecord> {
    let shown = figures.trial.map(|trial| trial.trial);
    figures
        .record
        .trials
        .iter()
        .filter(move |trial| Some(trial.trial) != shown)
}

fn light(stroke: Stroke) -> Stroke {
    Stroke {
        alpha: 0.3,
        width: 1.0,
        ..stroke
    }
}

pub(super) fn curve<DB: DrawingBackend>(plot: &Plot<'_, DB>, summary: &Summary, stroke: Stroke) -> Drawn<DB> {
    let carried = |q: f64| summary.count as f64 * (1.0 - q) + 1e-6 >= SAMPLES_BEYOND_MIN;
    let solid = summary.spectrum.iter().take_while(|(q, _)| carried(*q)).count();
    let points: Vec<(f64, f64)> = summary
        .spectrum
        .iter()
        .map(|(q, ns)| (nines(*q), (*ns as f64).max(1.0).log10()))
        .collect();
    plot.curve(&points[..solid], stroke)?;
    // From the last point that is carried, so that the two parts meet.
    plot.curve(&points[solid.saturating_sub(1)..], Stroke { dashed: true, ..stroke })
}
