//! The backlog that a burst leaves, as the fluid model foretells it.

use plotters::prelude::DrawingBackend;

use super::super::Figures;
use super::super::axis::{Axis, thousands};
use super::super::canvas::{Anchor, Canvas, Drawn, Stroke};
use super::super::frame::{Entry, Mark, Plot, head};
use super::super::palette::{BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION};
use crate::report::human;
use crate::sizing::Plan;

/// Stages that are drawn apart, at most: those with the highest backlog.
const STAGES_MAX: usize = 3;

pub(super) fn draw<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
    title: &str,
    plan: &Plan,
) -> Drawn<DB> {
    let Some(flow) = &plan.flow else { return Ok(()) };
    let burst_s = plan.load.get(1).map_or(0.0, |(end_s, _)| *end_s);
    let (_, peak) = flow.peak();
    let mut stages: Vec<_> = flow
        .backlogs
        .iter()
        .filter(|(stage, _)| flow.peak_of(*stage) > 0.01 * peak)
        .collect();
    stages.sort_by(|(a, _), (b, _)| flow.peak_of(*b).total_cmp(&flow.peak_of(*a)));
    stages.truncate(if stages.len() > 1 { STAGES_MAX } else { 0 });
    let colours = [ORANGE, GREEN, PURPLE];
    let mut legend = vec![Entry::new("all queues, predicted", Mark::Line(Stroke::solid(BLUE)))];
    legend.extend(
        stages
            .iter()
            .zip(colours)
            .map(|((stage, _), colour)| Entry::new(stage.name(), Mark::Line(Stroke::solid(colour)))),
    );
    let end_of_burst = Stroke::dashed(GREY);
    let asked = Stroke::dashed(VERMILLION);
    legend.push(Entry::new("end of the burst", Mark::Line(end_of_burst)));
    let asked_s = plan.demand.drain.map(|drain| burst_s + drain.as_secs_f64());
    if asked_s.is_some() {
        legend.push(Entry::new("cleared by then, as asked", Mark::Line(asked)));
    }
    let top = head(canvas, figures, title, &legend)?;
    let cleared_s = plan.drain_s.map(|drain_s| burst_s + drain_s);
    let end_s = cleared_s.unwrap_or(burst_s * 4.0).max(asked_s.unwrap_or(0.0)) * 1.08;
    let x = Axis {
        title: "time since the burst began",
        ..Axis::time(end_s)
    };
    let y = Axis::from_zero(peak, "messages that wait", thousands);
    let highest = y.to;
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
    plot.axes()?;
    if peak <= 0.0 {
        return plot.sentence("nothing piles up: the burst is no more than the pipeline can sustain");
    }
    let shown = |curve: &[(f64, f64)]| {
        let mut points: Vec<(f64, f64)> = curve.iter().copied().filter(|(at, _)| *at <= end_s).collect();
        if curve.iter().any(|(at, _)| *at > end_s) {
            points.push((end_s, crate::sizing::value_at(curve, end_s)));
        }
        points
    };
    let total = shown(&flow.total);
    plot.area(&total, 0.0, BLUE)?;
    for ((_, curve), colour) in stages.iter().zip(colours) {
        plot.curve(&shown(curve), Stroke::solid(colour))?;
    }
    plot.curve(&total, Stroke::solid(BLUE))?;
    plot.curve(&[(burst_s, 0.0), (burst_s, highest)], end_of_burst)?;
    if let Some(asked_s) = asked_s {
        plot.curve(&[(asked_s, 0.0), (asked_s, highest)], asked)?;
    }
    let (at_s, _) = flow.peak();
    let (x, y) = plot.at(at_s, peak);
    let label = format!("{} messages", human::count(peak.round() as u64));
    canvas.text((x + 8.0, y - 9.0), &label, 12.0, BLUE, Anchor::Start)
}
