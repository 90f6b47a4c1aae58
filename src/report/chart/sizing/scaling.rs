//! The Universal Scalability Law of the stage that was measured at most consumer counts.

use plotters::prelude::DrawingBackend;

use super::super::Figures;
use super::super::axis::{Axis, thousands};
use super::super::canvas::{Canvas, Drawn, Stroke};
use super::super::frame::{Entry, Mark, Plot, head};
use super::super::palette::{BLUE, GREY};
use crate::events::Stage;
use crate::queueing::{REACH, Usl};
use crate::sizing::Plan;

const STEPS: u32 = 120;

/// The law, and whose it is; absent where none was fitted.
pub(super) fn law(plan: &Plan) -> Option<(Stage, Usl)> {
    let laws = plan
        .model
        .stages
        .iter()
        .filter_map(|model| Some((model.stage, model.scaling?)));
    laws.max_by_key(|(_, law)| law.points)
}

pub(super) fn draw<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
    title: &str,
    plan: &Plan,
) -> Drawn<DB> {
    let Some((stage, law)) = law(plan) else { return Ok(()) };
    let trusted = if law.is_trusted() { "" } else { ", a sketch" };
    let (solid, straight) = (Stroke::solid(BLUE), Stroke::dashed(GREY));
    let legend = [
        Entry::new(
            format!(
                "{stage}: contention {:.4}, coherency {:.6}{trusted}",
                law.contention, law.coherency
            ),
            Mark::Line(solid),
        ),
        Entry::new("straight", Mark::Line(straight)),
    ];
    let top = head(canvas, figures, title, &legend)?;
    let end = law.measured_to * REACH;
    let points = |from: f64, to: f64| -> Vec<(f64, f64)> {
        let at = (0..=STEPS).map(|step| from + (to - from) * f64::from(step) / f64::from(STEPS));
        at.map(|n| (n, law.capacity(n))).collect()
    };
    let highest = points(1.0, end)
        .iter()
        .map(|(_, capacity)| *capacity)
        .fold(0.0, f64::max);
    let x = Axis::from_zero(end, "consumers", thousands);
    let y = Axis::from_zero(highest, "messages/s", thousands);
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
    plot.axes()?;
    let straight_to = (highest / law.of_one).min(end);
    plot.curve(&[(1.0, law.of_one), (straight_to, law.of_one * straight_to)], straight)?;
    plot.curve(&points(1.0, law.measured_to), solid)?;
    plot.curve(&points(law.measured_to, end), Stroke::dashed(BLUE))
}
