//! Messages waiting in each stage's queue over time: a row per stage, all to the same scale, since nine noisy lines in one
//! plot cannot be told apart.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Tick};
use super::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use super::frame::{Plot, RIGHT, head, strips};
use super::palette::{BLUE, GREY, INK, VERMILLION};
use super::{Chart, Figures, NO_DATA, over_time};
use crate::events::Stage;
use crate::report::human;
use crate::results::series::Point;

/// Space for the names of the stages.
const NAMES: f64 = 100.0;
/// Space for the greatest values at the end of the rows.
const MAXIMA: f64 = 66.0;
/// Height of a row, logical units.
const ROW: f64 = 38.0;
/// Share of a row that its greatest value may fill.
const FILLED: f64 = 0.86;

/// The rows, in the order of the pipeline.
fn rows(figures: &Figures<'_>) -> Vec<(Stage, Vec<Point>)> {
    let all = Stage::ALL
        .into_iter()
        .map(|stage| (stage, figures.series.points(&format!("backlog_messages.{stage}"))));
    all.filter(|(_, points)| !points.is_empty()).collect()
}

fn max(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).fold(0.0, f64::max)
}

/// Height of the chart, logical units.
pub(super) fn height(figures: &Figures<'_>) -> f64 {
    let strips = 15.0 * strips(figures).len() as f64;
    (150.0 + strips + ROW * rows(figures).len() as f64).max(260.0)
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let rows = rows(figures);
    let top = head(canvas, figures, Chart::Backlog.title(), &[])?;
    // The unit of the y axis is a row, from below.
    let floor = |row: usize| (rows.len() - 1 - row) as f64;
    let y = Axis {
        from: 0.0,
        to: rows.len().max(1) as f64,
        ticks: (0..rows.len())
            .map(|row| Tick {
                at: floor(row),
                label: String::new(),
            })
            .collect(),
        title: "messages (ready + unacked), all rows to the same scale",
    };
    let sides = (NAMES, WIDTH - RIGHT - MAXIMA);
    let area = (top, canvas.height());
    let plot = Plot::new(canvas, over_time::axis(figures), y, area, strips(figures)).between(sides);
    if rows.is_empty() {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    let greatest = rows.iter().map(|(_, points)| max(points)).fold(0.0, f64::max);
    for (row, (stage, points)) in rows.iter().enumerate() {
        let row_max = max(points);
        let colour = if row_max == greatest && greatest > 0.0 {
            VERMILLION
        } else {
            BLUE
        };
        let scaled = |value: f64| floor(row) + FILLED * (value / greatest.max(1.0)).clamp(0.0, 1.0);
        over_time::area(&plot, figures, points, colour, (floor(row), &scaled))?;
        over_time::line(
            &plot,
            figures,
            points,
            Stroke {
                width: 1.0,
                ..Stroke::solid(colour)
            },
            scaled,
        )?;
        let (_, middle) = plot.at(0.0, floor(row) + 0.4);
        canvas.text((16.0, middle), stage.name(), 12.0, INK, Anchor::Start)?;
        let label = format!("max {}", human::count(row_max as u64));
        canvas.text((WIDTH - 16.0, middle), &label, 11.0, GREY, Anchor::End)?;
    }
    Ok(())
}
