//! Messages waiting in each stage's queue over time.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, thousands};
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::{GREY, SERIES};
use super::{Chart, Figures, NO_DATA, over_time};
use crate::events::Stage;
use crate::report::human;
use crate::results::series::Point;

/// What is left when the colours are used up.
const REST: Stroke = Stroke {
    width: 1.0,
    alpha: 0.7,
    ..Stroke::dashed(GREY)
};

/// One line of the chart.
struct Line {
    stage: Stage,
    points: Vec<Point>,
    stroke: Stroke,
}

fn max(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).fold(0.0, f64::max)
}

/// The stages by their largest backlog: the first ones in colours, the rest in grey, since more colours nobody tells apart.
fn lines(figures: &Figures<'_>) -> Vec<Line> {
    let stages = Stage::ALL
        .into_iter()
        .map(|stage| (stage, figures.series.points(&format!("backlog_messages.{stage}"))));
    let mut stages: Vec<(Stage, Vec<Point>)> = stages.filter(|(_, points)| !points.is_empty()).collect();
    stages.sort_by(|(_, a), (_, b)| max(b).total_cmp(&max(a)));
    let colours = SERIES.into_iter().map(Stroke::solid).chain(std::iter::repeat(REST));
    let lines = stages
        .into_iter()
        .zip(colours)
        .map(|((stage, points), stroke)| Line { stage, points, stroke });
    lines.collect()
}

fn legend(lines: &[Line]) -> Vec<Entry> {
    let (named, rest) = lines.split_at(lines.len().min(SERIES.len()));
    let entry = |line: &Line| {
        let label = format!("{} (max {})", line.stage, human::count(max(&line.points) as u64));
        Entry::new(label, Mark::Line(line.stroke))
    };
    let mut entries: Vec<Entry> = named.iter().map(entry).collect();
    if let Some(greatest) = rest.first() {
        let names: Vec<&str> = rest.iter().map(|line| line.stage.name()).collect();
        let label = format!(
            "{} (max {} each)",
            names.join(", "),
            human::count(max(&greatest.points) as u64)
        );
        entries.push(Entry::new(label, Mark::Line(REST)));
    }
    entries
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let lines = lines(figures);
    let top = head(canvas, figures, Chart::Backlog.title(), &legend(&lines))?;
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
