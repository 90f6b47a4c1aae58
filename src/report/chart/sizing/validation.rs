//! What models foretold of cells that they had not seen, against what was measured there, relative to it.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::super::Figures;
use super::super::axis::{Axis, Tick};
use super::super::canvas::{Canvas, Drawn, Stroke, WIDTH};
use super::super::frame::{Entry, Mark, Plot, head};
use super::super::palette::{BLUE, GREEN, GREY, ORANGE, VERMILLION};
use crate::report::human;
use crate::sizing::{Measure, Pair, Plan};

/// How far off is still called good, as a share.
const GOOD: f64 = 0.15;
/// Space between panels.
const GAP: f64 = 62.0;
const LEFT: f64 = 72.0;

const fn colour(measure: Measure) -> RGBColor {
    match measure {
        Measure::Utilisation => BLUE,
        Measure::MeanWait => ORANGE,
        Measure::P99 => GREEN,
        Measure::Drain => VERMILLION,
    }
}

/// How values lie on the axes of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// Shares as they are.
    Linear,
    /// Seconds by the logarithm of their nanoseconds.
    Logarithmic,
}

impl Scale {
    fn at(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Logarithmic => (value * 1e9).log10(),
        }
    }

    /// Where a factor on what stands at `x` leads.
    fn times(self, x: f64, factor: f64) -> f64 {
        match self {
            Scale::Linear => x * factor,
            Scale::Logarithmic => x + factor.log10(),
        }
    }
}

/// A panel for shares and one for times, which go over decades.
pub(super) fn draw<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
    title: &str,
    plan: &Plan,
) -> Drawn<DB> {
    let entry = |measure: Measure| {
        let errors = plan.validation.errors(measure)?;
        let (median, worst) = (human::share(errors.median), human::share(errors.worst));
        Some(Entry::new(
            format!("{}: median {median}, worst {worst}", measure.name()),
            Mark::Dot(colour(measure)),
        ))
    };
    let legend: Vec<Entry> = Measure::ALL.into_iter().filter_map(entry).collect();
    let top = head(canvas, figures, title, &legend)?;
    let middle = WIDTH / 2.0;
    let pairs = |shares: bool| {
        let of = plan.validation.pairs.iter();
        of.filter(|pair| (pair.measure == Measure::Utilisation) == shares)
            .collect::<Vec<_>>()
    };
    let places = (top, canvas.height());
    let shares = Plot::new(
        canvas,
        share_axis("measured utilisation"),
        share_axis("predicted"),
        places,
        Vec::new(),
    );
    panel(
        canvas,
        &shares.between((LEFT, middle - GAP / 2.0)),
        &pairs(true),
        Scale::Linear,
    )?;
    let times: Vec<&Pair> = pairs(false)
        .into_iter()
        .filter(|pair| pair.predicted > 0.0 && pair.measured > 0.0)
        .collect();
    let (least, most) = times
        .iter()
        .flat_map(|pair| [pair.predicted, pair.measured])
        .fold((f64::MAX, 0.0), |(least, most): (f64, f64), s| {
            (least.min(s), most.max(s))
        });
    let (least, most) = if times.is_empty() { (1e-3, 1.0) } else { (least, most) };
    let axis = |title| Axis::log_nanos(least * 1e9, most * 1e9, title);
    let plot = Plot::new(canvas, axis("measured time"), axis("predicted"), places, Vec::new());
    let plot = plot
        .between((middle + GAP, WIDTH - 34.0))
        .titled_from(middle + GAP / 4.0);
    panel(canvas, &plot, &times, Scale::Logarithmic)
}

fn share_axis(title: &'static str) -> Axis {
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| Tick {
        at,
        label: format!("{:.0} %", at * 100.0),
    });
    Axis {
        from: 0.0,
        to: 1.04,
        ticks: ticks.to_vec(),
        title,
    }
}

fn panel<DB: DrawingBackend>(canvas: &Canvas<DB>, plot: &Plot<'_, DB>, pairs: &[&Pair], scale: Scale) -> Drawn<DB> {
    plot.axes()?;
    if pairs.is_empty() {
        return plot.sentence("nothing to compare");
    }
    let (from, to) = (plot.x.from, plot.x.to);
    let line = |factor: f64| -> Vec<(f64, f64)> {
        let steps = (0..=200).map(|step| from + (to - from) * f64::from(step) / 200.0);
        steps
            .map(|x| (x, scale.times(x, factor)))
            .filter(|(_, y)| (plot.y.from..=plot.y.to).contains(y))
            .collect()
    };
    let grey = |dashed| Stroke {
        width: 1.0,
        dashed,
        ..Stroke::solid(GREY)
    };
    plot.curve(&line(1.0), grey(false))?;
    plot.curve(&line(1.0 + GOOD), grey(true))?;
    plot.curve(&line(1.0 - GOOD), grey(true))?;
    for pair in pairs {
        canvas.dot(
            plot.at(scale.at(pair.measured), scale.at(pair.predicted)),
            3.5,
            colour(pair.measure),
        )?;
    }
    Ok(())
}
