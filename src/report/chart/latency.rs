//! Latency over time: median and 99th percentile of each interval.

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::{BLUE, VERMILLION};
use super::{Chart, Figures, NO_DATA, over_time};

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let lines = [
        ("end_to_end_ns_p99", "end-to-end p99", Stroke::solid(VERMILLION)),
        ("end_to_end_ns_p50", "end-to-end p50", Stroke::solid(BLUE)),
    ];
    let known: Vec<_> = lines
        .into_iter()
        .map(|(series, label, stroke)| (figures.series.points(series), label, stroke))
        .filter(|(points, ..)| !points.is_empty())
        .collect();
    let legend: Vec<Entry> = known
        .iter()
        .map(|(_, label, stroke)| Entry::new(*label, Mark::Line(*stroke)))
        .collect();
    let top = head(canvas, figures, Chart::LatencyOverTime.title(), &legend)?;
    let values = || known.iter().flat_map(|(points, ..)| points).map(|point| point.value);
    let (min, max) = values().fold((f64::MAX, 0.0), |(min, max), value| {
        (min.min(value), f64::max(max, value))
    });
    let y = if known.is_empty() { (1e6, 1e9) } else { (min, max) };
    let y = Axis::log_nanos(y.0, y.1, "latency (logarithmic)");
    let plot = Plot::new(
        canvas,
        over_time::axis(figures),
        y,
        (top, canvas.height()),
        strips(figures),
    );
    if known.is_empty() {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    for (points, _, stroke) in &known {
        over_time::line(&plot, figures, points, *stroke, |ns| ns.max(1.0).log10())?;
    }
    Ok(())
}
