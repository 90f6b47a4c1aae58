//! Latency over the percentiles, by stage: a panel for each part of a delivery's time, a curve for each stage.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::{Axis, nines};
use super::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use super::frame::{Entry, LEFT, Mark, Plot, RIGHT, head};
use super::palette::{BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION};
use super::percentiles::curve;
use super::{Chart, Figures, NO_DATA, stages};
use crate::events::Stage;
use crate::measure::{Series, StageSpan, Summary};

/// A stage's colour in charts that show all of them.
pub(super) fn colour(stage: Stage) -> RGBColor {
    match stage {
        Stage::Order | Stage::Worker => BLUE,
        Stage::Inventory => SKY,
        Stage::Payment => VERMILLION,
        Stage::Shipping => GREEN,
        Stage::Customer => ORANGE,
        Stage::Notification => PURPLE,
        Stage::Email => INK,
        Stage::Sms => GREY,
        Stage::Audit => BROWN,
    }
}

/// The stages that have such a part, with their figures.
fn curves<'a>(figures: &Figures<'a>, span: StageSpan) -> Vec<(Stage, &'a Summary)> {
    let Some(trial) = figures.trial else {
        return Vec::new();
    };
    let of = |stage| {
        let name = Series::Stage(stage, span).to_string();
        let mut named = trial.latencies.iter().filter(|summary| summary.series == name);
        Some((stage, named.find(|summary| !summary.spectrum.is_empty())?))
    };
    Stage::ALL.into_iter().filter_map(of).collect()
}

/// The parts that any stage has, with their curves: a panel for each.
fn panels<'a>(figures: &Figures<'a>) -> Vec<(StageSpan, Vec<(Stage, &'a Summary)>)> {
    let parts = StageSpan::ALL.map(|span| (span, curves(figures, span)));
    parts.into_iter().filter(|(_, curves)| !curves.is_empty()).collect()
}

/// Height in logical units: two panels side by side, in as many rows as they need.
pub(super) fn height(figures: &Figures<'_>) -> f64 {
    let rows = panels(figures).len().div_ceil(2).max(1);
    80.0 + 270.0 * rows as f64
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let parts = panels(figures);
    let shown = |stage: &Stage| {
        parts
            .iter()
            .any(|(_, curves)| curves.iter().any(|(known, _)| known == stage))
    };
    let legend: Vec<Entry> = Stage::ALL
        .into_iter()
        .filter(shown)
        .map(|stage| Entry::new(stage.name(), Mark::Line(Stroke::solid(colour(stage)))))
        .collect();
    let top = head(canvas, figures, Chart::StagePercentiles.title(), &legend)?;
    if legend.is_empty() {
        let middle = (WIDTH / 2.0, (top + canvas.height()) / 2.0);
        return canvas.text(middle, NO_DATA, 14.0, GREY, Anchor::Middle);
    }
    // One scale for all panels: a part that takes little shall look like it.
    let points = || {
        let summaries = parts.iter().flat_map(|(_, curves)| curves);
        summaries.flat_map(|(_, summary)| &summary.spectrum)
    };
    let (min, max) = points().fold((f64::MAX, 0.0), |(min, max), (_, ns)| {
        (min.min(*ns as f64), f64::max(max, *ns as f64))
    });
    let last = points().map(|(q, _)| nines(*q)).fold(0.0, f64::max);
    let (width, height) = (WIDTH / 2.0, (canvas.height() - top) / parts.len().div_ceil(2) as f64);
    for (at, (span, curves)) in parts.iter().enumerate() {
        let (left, upper) = ((at % 2) as f64 * width, top + (at / 2) as f64 * height);
        let mut y = Axis::log_nanos(min, max, stages::label(*span));
        let every = y.ticks.len().div_ceil(6).max(1);
        y.ticks = y.ticks.into_iter().step_by(every).collect();
        let mut x = Axis::percentiles(last);
        // In half the width 0 % would run into 50 %.
        x.ticks.retain(|tick| tick.at > 0.0);
        let plot = Plot::new(canvas, x, y, (upper, upper + height), Vec::new())
            .between((left + LEFT, left + width - RIGHT))
            .titled_from(left + 16.0);
        plot.axes()?;
        for (stage, summary) in curves {
            curve(&plot, summary, Stroke::solid(colour(*stage)))?;
        }
    }
    Ok(())
}
