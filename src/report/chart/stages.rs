//! Where a delivery's time goes: for each stage and part of its time the median and the 99th percentile.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use super::frame::{Entry, LEFT, Mark, RIGHT, head};
use super::palette::{BLUE, GREEN, GREY, GRID, INK, ORANGE, PURPLE, VERMILLION};
use super::{Chart, Figures, NO_DATA};
use crate::events::Stage;
use crate::measure::{Series, StageSpan, Summary};
use crate::report::human;

const ROW: f64 = 14.0;
const GAP: f64 = 8.0;
/// Head, axis and its title.
const REST: f64 = 160.0;
/// Space for the names of stages.
const NAMES: f64 = LEFT + 22.0;
/// Space for the figures at the end of a row.
const FIGURES: f64 = 92.0;

pub(super) fn colour(span: StageSpan) -> RGBColor {
    match span {
        StageSpan::QueueWait => BLUE,
        StageSpan::BufferWait => ORANGE,
        StageSpan::Service => GREEN,
        StageSpan::Commit => PURPLE,
        StageSpan::Emit => VERMILLION,
    }
}

pub(super) fn label(span: StageSpan) -> &'static str {
    match span {
        StageSpan::QueueWait => "queue wait",
        StageSpan::BufferWait => "buffer wait",
        StageSpan::Service => "service time",
        StageSpan::Commit => "commit",
        StageSpan::Emit => "emit (until confirmed)",
    }
}

/// The rows of a stage.
struct Group<'a> {
    stage: Stage,
    rows: Vec<(StageSpan, &'a Summary)>,
}

fn groups<'a>(figures: &Figures<'a>) -> Vec<Group<'a>> {
    let Some(trial) = figures.trial else {
        return Vec::new();
    };
    let row = |stage, span| {
        let name = Series::Stage(stage, span).to_string();
        let summary = trial.latencies.iter().find(|summary| summary.series == name)?;
        summary.p50.map(|_| (span, summary))
    };
    let groups = Stage::ALL.into_iter().map(|stage| Group {
        stage,
        rows: StageSpan::ALL.into_iter().filter_map(|span| row(stage, span)).collect(),
    });
    groups.filter(|group| !group.rows.is_empty()).collect()
}

/// Height of the chart, logical units: it follows the number of rows.
pub(super) fn height(figures: &Figures<'_>) -> f64 {
    let groups = groups(figures);
    let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
    (REST + rows as f64 * ROW + groups.len() as f64 * GAP).max(260.0)
}

/// The area of the rows, and its x axis.
struct Rows<'a, DB: DrawingBackend> {
    canvas: &'a Canvas<DB>,
    x: Axis,
    top: f64,
    bottom: f64,
}

const PLOT_RIGHT: f64 = WIDTH - RIGHT - FIGURES;

impl<DB: DrawingBackend> Rows<'_, DB> {
    fn across(&self, ns: u64) -> f64 {
        let part = ((ns as f64).max(1.0).log10() - self.x.from) / (self.x.to - self.x.from);
        NAMES + part.clamp(0.0, 1.0) * (PLOT_RIGHT - NAMES)
    }

    fn grid(&self) -> Drawn<DB> {
        for tick in &self.x.ticks {
            let x = NAMES + (tick.at - self.x.from) / (self.x.to - self.x.from) * (PLOT_RIGHT - NAMES);
            let line = Stroke {
                width: 1.0,
                ..Stroke::solid(GRID)
            };
            self.canvas.line(&[(x, self.top), (x, self.bottom)], line)?;
            self.canvas
                .text((x, self.bottom + 13.0), &tick.label, 12.0, GREY, Anchor::Middle)?;
        }
        let middle = (NAMES + PLOT_RIGHT) / 2.0;
        self.canvas
            .text((middle, self.bottom + 31.0), self.x.title, 12.0, GREY, Anchor::Middle)?;
        let figures = WIDTH - RIGHT;
        self.canvas
            .text((figures, self.top - 9.0), "p50 – p99", 11.0, GREY, Anchor::End)
    }

    fn row(&self, y: f64, span: StageSpan, summary: &Summary) -> Drawn<DB> {
        let Some(p50) = summary.p50 else { return Ok(()) };
        let from = self.across(p50.ns);
        let p99 = summary.p99.map(|p99| p99.ns);
        if let Some(p99) = p99 {
            let bar = Stroke {
                width: 2.5,
                alpha: 0.55,
                ..Stroke::solid(colour(span))
            };
            self.canvas.line(&[(from, y), (self.across(p99), y)], bar)?;
            self.canvas.diamond((self.across(p99), y), 5.0, colour(span))?;
        }
        self.canvas.dot((from, y), 4.0, colour(span))?;
        let end = p99.map_or_else(|| human::ABSENT.to_owned(), |ns| human::nanos(ns as f64));
        let text = match end.split_once(' ') {
            // The unit once, where both have the same.
            Some((value, unit)) => match human::nanos(p50.ns as f64).split_once(' ') {
                Some((start, same)) if same == unit => format!("{start} – {value} {unit}"),
                _ => format!("{} – {end}", human::nanos(p50.ns as f64)),
            },
            None => format!("{} – {end}", human::nanos(p50.ns as f64)),
        };
        self.canvas.text((WIDTH - RIGHT, y), &text, 10.0, INK, Anchor::End)
    }
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let groups = groups(figures);
    let mut legend: Vec<Entry> = StageSpan::ALL
        .into_iter()
        .filter(|span| {
            groups
                .iter()
                .any(|group| group.rows.iter().any(|(known, _)| known == span))
        })
        .map(|span| Entry::new(label(span), Mark::Line(Stroke::solid(colour(span)))))
        .collect();
    if !groups.is_empty() {
        legend.push(Entry::new("p50", Mark::Dot(GREY)));
        legend.push(Entry::new("p99", Mark::Diamond(GREY)));
    }
    let top = head(canvas, figures, Chart::StageLatency.title(), &legend)? + 12.0;
    let values = || {
        groups
            .iter()
            .flat_map(|group| &group.rows)
            .flat_map(|(_, summary)| [summary.p50, summary.p99])
    };
    let values = || values().flatten().map(|quantile| quantile.ns as f64);
    let (min, max) = values().fold((f64::MAX, 0.0), |(min, max), ns| (min.min(ns), f64::max(max, ns)));
    if groups.is_empty() {
        let middle = (WIDTH / 2.0, (top + canvas.height()) / 2.0);
        return canvas.text(middle, NO_DATA, 14.0, GREY, Anchor::Middle);
    }
    let rows = Rows {
        canvas,
        x: Axis::log_nanos(min, max, "latency (logarithmic)"),
        top,
        bottom: canvas.height() - 44.0,
    };
    let mut y = top + GAP / 2.0;
    for (i, group) in groups.iter().enumerate() {
        let height = group.rows.len() as f64 * ROW;
        if i % 2 == 0 {
            let (from, to) = ((16.0, y - GAP / 2.0), (WIDTH - RIGHT + 6.0, y + height + GAP / 2.0));
            canvas.rect(from, to, GRID, 0.35)?;
        }
        y += height + GAP;
    }
    rows.grid()?;
    let mut y = top + GAP / 2.0;
    for group in &groups {
        let height = group.rows.len() as f64 * ROW;
        canvas.text((22.0, y + height / 2.0), group.stage.name(), 12.0, INK, Anchor::Start)?;
        for (i, (span, summary)) in group.rows.iter().enumerate() {
            rows.row(y + (i as f64 + 0.5) * ROW, *span, summary)?;
        }
        y += height + GAP;
    }
    Ok(())
}
