//! How busy each stage's consumers are planned to be.

use plotters::prelude::DrawingBackend;

use super::super::Figures;
use super::super::axis::{Axis, Tick};
use super::super::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use super::super::frame::{Entry, Mark, Plot, RIGHT, head};
use super::super::palette::{BLUE, GREY, INK, VERMILLION};
use crate::report::human;
use crate::sizing::{Plan, Row, StagePlan};

const ROW: f64 = 28.0;
const NAMES: f64 = 190.0;
const FIGURES: f64 = 66.0;
/// Share of a row that its bar fills.
const FILLED: f64 = 0.6;

pub(super) fn height(plan: &Plan) -> f64 {
    (150.0 + shown(plan).len() as f64 * ROW).max(220.0)
}

/// Stages whose work is long enough to be planned for.
fn shown(plan: &Plan) -> Vec<&StagePlan> {
    plan.stages.iter().filter(|stage| stage.works).collect()
}

fn row_of<'a>(plan: &'a Plan, stage: &StagePlan) -> Option<&'a Row> {
    plan.rows
        .iter()
        .find(|row| row.about == stage.stage.name() && row.name == "utilisation")
}

pub(super) fn draw<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
    title: &str,
    plan: &Plan,
) -> Drawn<DB> {
    let limit = Stroke::dashed(VERMILLION);
    let legend = [
        Entry::new("predicted at the rate", Mark::Area(BLUE, 0.75)),
        Entry::new("interval", Mark::Line(Stroke::solid(INK))),
        Entry::new(
            format!("planned limit {}", plan.demand.utilisation_max),
            Mark::Line(limit),
        ),
    ];
    let top = head(canvas, figures, title, &legend)?;
    let ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|at| Tick {
        at,
        label: human::share(at).replace(".0", ""),
    });
    let x = Axis {
        from: 0.0,
        to: 1.0,
        ticks: ticks.to_vec(),
        title: "busy share of the consumers",
    };
    let stages = shown(plan);
    let rows = stages.len().max(1) as f64;
    let y = Axis {
        from: 0.0,
        to: rows,
        ticks: Vec::new(),
        title: "",
    };
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new()).between((NAMES, WIDTH - RIGHT - FIGURES));
    plot.axes()?;
    for (at, stage) in stages.into_iter().enumerate() {
        let middle = rows - at as f64 - 0.5;
        let (left, y) = plot.at(0.0, middle);
        let name = format!("{} ({})", stage.stage, human::plural(u64::from(stage.left), "consumer"));
        canvas.text((left - 8.0, y), &name, 12.0, INK, Anchor::End)?;
        let corner = |share: f64, up: f64| plot.at(share, middle + up * FILLED / 2.0);
        canvas.rect(corner(0.0, 1.0), corner(stage.utilisation, -1.0), BLUE, 0.75)?;
        if let Some((low, high)) = row_of(plan, stage).and_then(|row| row.low.zip(row.high)) {
            plot.curve(&[(low, middle), (high.min(1.0), middle)], Stroke::solid(INK))?;
        }
        let figure = (WIDTH - RIGHT, y);
        canvas.text(figure, &human::share(stage.utilisation), 12.0, GREY, Anchor::End)?;
    }
    let most = plan.demand.utilisation_max.0;
    plot.curve(&[(most, 0.0), (most, rows)], limit)
}
