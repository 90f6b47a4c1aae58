//! Messages waiting in each stage's queue over time.

use std::collections::BTreeMap;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, thousands};
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::{GREY, SERIES};
use super::{Chart, Figures, NO_DATA, over_time};
use crate::events::Stage;
use crate::report::human;
use crate::results::series::Point;

/// One line of the chart.
struct Line {
    label: String,
    points: Vec<Point>,
    stroke: Stroke,
}

fn max(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).fold(0.0, f64::max)
}

/// The largest backlogs by name, and the sum of the others: more lines than colours nobody can read.
fn lines(figures: &Figures<'_>) -> Vec<Line> {
    let stages = Stage::ALL
        .into_iter()
        .map(|stage| (stage, figures.series.points(&format!("backlog_messages.{stage}"))));
    let mut stages: Vec<(Stage, Vec<Point>)> = stages.filter(|(_, points)| !points.is_empty()).collect();
    stages.sort_by(|(_, a), (_, b)| max(b).total_cmp(&max(a)));
    // One left over is named as well as any sum.
    let others = if stages.len() > SERIES.len() + 1 {
        stages.split_off(SERIES.len())
    } else {
        Vec::new()
    };
    let colours = SERIES.into_iter().chain([GREY]);
    let named = stages.into_iter().zip(colours).map(|((stage, points), colour)| Line {
        label: format!("{stage} (max {})", human::count(max(&points) as u64)),
        points,
        stroke: Stroke::solid(colour),
    });
    let mut lines: Vec<Line> = named.collect();
    if !others.is_empty() {
        let names: Vec<&str> = others.iter().map(|(stage, _)| stage.name()).collect();
        lines.push(Line {
            label: format!("{} together", names.join(", ")),
            points: sum(others.iter().map(|(_, points)| points.as_slice())),
            stroke: Stroke::dashed(GREY),
        });
    }
    lines
}

/// The sum over series that were sampled at the same instants.
fn sum<'a>(series: impl Iterator<Item = &'a [Point]>) -> Vec<Point> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for points in series {
        for point in points.iter().filter(|point| point.time_s >= 0.0) {
            *sums.entry((point.time_s * 1e3).round() as u64).or_default() += point.value;
        }
    }
    let points = sums.into_iter().map(|(ms, value)| Point {
        time_s: ms as f64 / 1e3,
        value,
    });
    points.collect()
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let lines = lines(figures);
    let legend: Vec<Entry> = lines
        .iter()
        .map(|line| Entry::new(line.label.as_str(), Mark::Line(line.stroke)))
        .collect();
    let top = head(canvas, figures, Chart::Backlog.title(), &legend)?;
    let greatest = lines.iter().map(|line| max(&line.points)).fold(0.0, f64::max);
    let y = Axis::from_zero(greatest, "messages (ready + unacked)", thousands);
    let plot = Plot::new(
        canvas,
        over_time::axis(figures),
        y,
        (top, canvas.height()),
        strips(figures),
    );
    plot.axes()?;
    if lines.is_empty() {
        return plot.sentence(NO_DATA);
    }
    // The largest last, so that it lies on top.
    for line in lines.iter().rev() {
        over_time::line(&plot, figures, &line.points, line.stroke, |value| value)?;
    }
    Ok(())
}
