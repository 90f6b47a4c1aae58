//! Orders per second over time.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, thousands};
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::{BLUE, GREEN, GREY};
use super::{Chart, Figures, NO_DATA, over_time};

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let lines = [
        ("offered_load_per_s", "offered load (planned)", Stroke::dashed(GREY)),
        ("achieved_rate_per_s", "achieved rate (published)", Stroke::solid(BLUE)),
        ("goodput_per_s", "goodput (orders at their end)", Stroke::solid(GREEN)),
    ];
    let known = lines
        .into_iter()
        .filter(|(series, ..)| figures.series.max(series).is_some());
    let known: Vec<_> = known.collect();
    let legend: Vec<Entry> = known
        .iter()
        .map(|(_, label, stroke)| Entry::new(*label, Mark::Line(*stroke)))
        .collect();
    let top = head(canvas, figures, Chart::Throughput.title(), &legend)?;
    let max = known
        .iter()
        .filter_map(|(series, ..)| figures.series.max(series))
        .fold(0.0, f64::max);
    let y = Axis::from_zero(max, "orders per second", thousands);
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
    // The offered load last: where the driver keeps up, its dashes lie on the achieved rate.
    for (series, _, stroke) in known.into_iter().rev() {
        over_time::line(&plot, figures, &figures.series.points(series), stroke, |value| value)?;
    }
    Ok(())
}
