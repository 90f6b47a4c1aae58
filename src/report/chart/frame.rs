//! What all charts share: title, badges, legend, the plot with its axes, and bands behind it.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::Figures;
use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Place, Stroke, WIDTH};
use super::palette::{ALARM, BLUE, GREY, GRID, INK, PURPLE, VERMILLION, WHITE};
use crate::report::human;
use crate::report::status;
use crate::results::record::Band;

/// Space left of a plot, for the labels of its y axis.
pub(super) const LEFT: f64 = 78.0;
/// Space right of a plot.
pub(super) const RIGHT: f64 = 34.0;
/// Space below a plot, for its x axis.
const BOTTOM: f64 = 44.0;
const MARGIN: f64 = 16.0;
const TITLE_SIZE: f64 = 17.0;
const TEXT_SIZE: f64 = 12.0;
const SMALL_SIZE: f64 = 11.0;
const STRIP_HEIGHT: f64 = 15.0;

/// How an entry of the legend is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Line(Stroke),
    /// A field of a colour with this alpha.
    Area(RGBColor, f64),
    Dot(RGBColor),
    Diamond(RGBColor),
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub label: String,
    pub mark: Mark,
}

impl Entry {
    pub(super) fn new(label: impl Into<String>, mark: Mark) -> Entry {
        Entry {
            label: label.into(),
            mark,
        }
    }
}

/// Draws the background, title, subtitle, badges and legend; says where the rest may begin.
pub(super) fn head<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
    title: &str,
    legend: &[Entry],
) -> Result<f64, plotters::prelude::DrawingAreaErrorKind<DB::ErrorType>> {
    canvas.rect((0.0, 0.0), (WIDTH, canvas.height()), WHITE, 1.0)?;
    let workload = human::plain(&figures.record.name);
    let title = canvas.fitting(&format!("{title} — {workload}"), TITLE_SIZE, WIDTH - 2.0 * MARGIN);
    canvas.text((MARGIN, 22.0), &title, TITLE_SIZE, INK, Anchor::Start)?;
    let badges_from = badges(canvas, figures)?;
    let subtitle = canvas.fitting(&subtitle(figures), TEXT_SIZE, (badges_from - MARGIN) * 0.92 - 8.0);
    canvas.text((MARGIN, 45.0), &subtitle, TEXT_SIZE, GREY, Anchor::Start)?;
    legend_rows(canvas, legend, 68.0)
}

fn subtitle(figures: &Figures<'_>) -> String {
    let record = figures.record;
    let mut parts = vec![
        human::plain(&format!("{} {}", record.broker.product, record.broker.version)),
        record.loop_kind().to_owned(),
    ];
    if let (Some(trial), true) = (figures.trial, record.trials.len() > 1) {
        parts.push(format!("trial {} of {}", trial.trial, record.trials.len()));
    }
    parts.join(" · ")
}

/// Draws the badges from the right; says where the leftmost begins.
fn badges<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figures: &Figures<'_>,
) -> Result<f64, plotters::prelude::DrawingAreaErrorKind<DB::ErrorType>> {
    let record = figures.record;
    let mut badges = Vec::new();
    if record.broker.co_located {
        badges.push(("co-located", GREY));
    }
    if status::is_debug_build(record) {
        badges.push(("debug build", ALARM));
    }
    if status::is_embedded(record) {
        badges.push((status::EMBEDDED, ALARM));
    }
    let invalid = match figures.trial {
        Some(trial) => !trial.validity.valid,
        None => !status::all_valid(record),
    };
    if invalid {
        badges.push(("INVALID", ALARM));
    }
    let mut right = WIDTH - MARGIN;
    for (text, colour) in badges {
        let width = canvas.text_width(text, SMALL_SIZE) * 1.1 + 14.0;
        canvas.frame(
            (right - width, 36.0),
            (right, 54.0),
            Stroke {
                width: 1.0,
                ..Stroke::solid(colour)
            },
        )?;
        canvas.text((right - width / 2.0, 45.0), text, SMALL_SIZE, colour, Anchor::Middle)?;
        right -= width + 8.0;
    }
    Ok(right)
}

fn legend_rows<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    legend: &[Entry],
    top: f64,
) -> Result<f64, plotters::prelude::DrawingAreaErrorKind<DB::ErrorType>> {
    if legend.is_empty() {
        return Ok(top);
    }
    const SWATCH: f64 = 22.0;
    let (mut x, mut y) = (MARGIN, top + 2.0);
    for entry in legend {
        let width = SWATCH + 6.0 + canvas.text_width(&entry.label, TEXT_SIZE) * 1.08 + 18.0;
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        match entry.mark {
            Mark::Line(stroke) => canvas.line(&[(x, y), (x + SWATCH, y)], Stroke { width: 2.5, ..stroke })?,
            Mark::Area(colour, alpha) => canvas.rect((x + 4.0, y - 5.0), (x + SWATCH, y + 6.0), colour, alpha)?,
            Mark::Dot(colour) => canvas.dot((x + SWATCH / 2.0, y), 4.0, colour)?,
            Mark::Diamond(colour) => canvas.diamond((x + SWATCH / 2.0, y), 5.0, colour)?,
        }
        canvas.text((x + SWATCH + 6.0, y), &entry.label, TEXT_SIZE, INK, Anchor::Start)?;
        x += width;
    }
    Ok(y + 16.0)
}

/// A plot: a rectangle with two axes.
pub(super) struct Plot<'a, DB: DrawingBackend> {
    pub canvas: &'a Canvas<DB>,
    pub x: Axis,
    pub y: Axis,
    strips: Vec<Strip<'a>>,
    /// Where the title of the y axis begins.
    title_from: f64,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl<'a, DB: DrawingBackend> Plot<'a, DB> {
    /// A plot over the whole width, from `top` (the title of its y axis) to `bottom` (the title of its x axis).
    pub(super) fn new(
        canvas: &'a Canvas<DB>,
        x: Axis,
        y: Axis,
        (top, bottom): (f64, f64),
        strips: Vec<Strip<'a>>,
    ) -> Self {
        let top = top + 20.0 + strips.iter().map(|strip| strip.height).sum::<f64>();
        Plot {
            canvas,
            x,
            y,
            strips,
            title_from: MARGIN,
            left: LEFT,
            top,
            right: WIDTH - RIGHT,
            bottom: bottom - BOTTOM,
        }
    }

    /// The same plot between other sides.
    pub(super) fn between(self, (left, right): (f64, f64)) -> Self {
        Plot { left, right, ..self }
    }

    /// The same plot as one of several beside each other: the title of its y axis begins at `title_from`.
    pub(super) fn titled_from(self, title_from: f64) -> Self {
        Plot { title_from, ..self }
    }

    pub(super) fn at(&self, x: f64, y: f64) -> Place {
        let part = |axis: &Axis, value: f64| ((value - axis.from) / (axis.to - axis.from)).clamp(0.0, 1.0);
        let (across, up) = (part(&self.x, x), part(&self.y, y));
        (
            self.left + across * (self.right - self.left),
            self.bottom - up * (self.bottom - self.top),
        )
    }

    /// Bands, grid, labels and titles.
    pub(super) fn axes(&self) -> Drawn<DB> {
        let mut y = self.top - self.strips.iter().map(|strip| strip.height).sum::<f64>();
        let above = y - 13.0;
        for strip in &self.strips {
            self.strip(strip, y)?;
            y += strip.height;
        }
        let grid = Stroke {
            width: 1.0,
            ..Stroke::solid(GRID)
        };
        for tick in &self.y.ticks {
            let (_, y) = self.at(self.x.from, tick.at);
            self.canvas.line(&[(self.left, y), (self.right, y)], grid)?;
            self.canvas
                .text((self.left - 8.0, y), &tick.label, TEXT_SIZE, GREY, Anchor::End)?;
        }
        for tick in &self.x.ticks {
            let (x, _) = self.at(tick.at, self.y.from);
            self.canvas.line(&[(x, self.top), (x, self.bottom)], grid)?;
            self.canvas
                .text((x, self.bottom + 13.0), &tick.label, TEXT_SIZE, GREY, Anchor::Middle)?;
        }
        let axis = Stroke {
            width: 1.0,
            ..Stroke::solid(GREY)
        };
        self.canvas
            .line(&[(self.left, self.bottom), (self.right, self.bottom)], axis)?;
        let middle = (self.left + self.right) / 2.0;
        self.canvas.text(
            (middle, self.bottom + 31.0),
            self.x.title,
            TEXT_SIZE,
            GREY,
            Anchor::Middle,
        )?;
        self.canvas
            .text((self.title_from, above), self.y.title, TEXT_SIZE, GREY, Anchor::Start)
    }

    /// Fills what lies between `floor` and points of the axes' coordinates, in the order of x.
    pub(super) fn area(&self, points: &[(f64, f64)], floor: f64, colour: RGBColor) -> Drawn<DB> {
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return Ok(());
        };
        let corners = [(*last, floor), (*first, floor)];
        let outline: Vec<Place> = points.iter().chain(&corners).map(|(x, y)| self.at(*x, *y)).collect();
        self.canvas.polygon(&outline, colour, 0.3)
    }

    /// A line through points of the axes' coordinates; a point that stands alone becomes a dot.
    pub(super) fn curve(&self, points: &[(f64, f64)], stroke: Stroke) -> Drawn<DB> {
        let places: Vec<Place> = points.iter().map(|(x, y)| self.at(*x, *y)).collect();
        match places.as_slice() {
            [] => Ok(()),
            [alone] => self.canvas.dot(*alone, 2.0, stroke.colour),
            line => self.canvas.line(line, stroke),
        }
    }

    /// A sentence in the middle of the plot.
    pub(super) fn sentence(&self, text: &str) -> Drawn<DB> {
        let middle = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        self.canvas.text(middle, text, 14.0, GREY, Anchor::Middle)
    }

    /// Shades stretches of time, with their names in a strip above the plot.
    fn strip(&self, strip: &Strip<'_>, y: f64) -> Drawn<DB> {
        let mut labelled_to = self.left;
        let shown = strip
            .bands
            .iter()
            .filter(|band| band.end_s > self.x.from && band.start_s < self.x.to);
        for (i, band) in shown.enumerate() {
            let alpha = match strip.shading {
                Shading::All => strip.alpha,
                Shading::InTurn => strip.alpha * if i % 2 == 0 { 1.0 } else { 0.35 },
            };
            let (from, _) = self.at(band.start_s, 0.0);
            let (to, _) = self.at(band.end_s, 0.0);
            let to = to.max(from + 1.0);
            self.canvas
                .rect((from, self.top), (to, self.bottom), strip.colour, alpha)?;
            if strip.height == 0.0 {
                continue;
            }
            self.canvas
                .rect((from, y), (to, y + STRIP_HEIGHT - 2.0), strip.colour, alpha * 2.0)?;
            let label = human::shortened(&human::plain(&band.name), 24);
            let width = self.canvas.text_width(&label, SMALL_SIZE) * 1.08;
            let start = (from + 3.0).min(self.right - width);
            // A label that would run into the one before stays away: the colour says the same.
            if start >= labelled_to {
                self.canvas.text(
                    (start, y + STRIP_HEIGHT / 2.0 - 1.0),
                    &label,
                    SMALL_SIZE,
                    INK,
                    Anchor::Start,
                )?;
                labelled_to = start + width + 6.0;
            }
        }
        Ok(())
    }
}

/// One kind of bands.
pub(super) struct Strip<'a> {
    bands: Vec<&'a Band>,
    colour: RGBColor,
    alpha: f64,
    shading: Shading,
    /// Of the strip with the names; 0 for a shade alone.
    height: f64,
}

/// Which bands of a kind are shaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shading {
    /// Each alike: there is something else between them.
    All,
    /// Strong and weak in turn: they border on each other.
    InTurn,
}

/// The kinds of bands that a time chart shows: phases of the trial other than measuring, phases of the load, faults, and
/// times when the broker blocked.
pub(super) fn strips<'a>(figures: &Figures<'a>) -> Vec<Strip<'a>> {
    let Some(trial) = figures.trial else {
        return Vec::new();
    };
    let phases = trial
        .phases
        .iter()
        .filter(|band| matches!(band.name.as_str(), "warm-up" | "drain"));
    let of_load = trial.load_phases.iter().map(|phase| &phase.band);
    let kinds = [
        (phases.collect::<Vec<_>>(), BLUE, 0.07, Shading::All),
        (of_load.collect(), GREY, 0.13, Shading::InTurn),
        (trial.faults.iter().collect(), VERMILLION, 0.16, Shading::All),
        (trial.blocked.iter().collect(), PURPLE, 0.22, Shading::All),
    ];
    let strips = kinds.into_iter().map(|(bands, colour, alpha, shading)| Strip {
        bands,
        colour,
        alpha,
        shading,
        height: STRIP_HEIGHT,
    });
    strips.filter(|strip| !strip.bands.is_empty()).collect()
}

/// The same as shades alone, for a second plot below the first.
pub(super) fn shades<'a>(figures: &Figures<'a>) -> Vec<Strip<'a>> {
    strips(figures)
        .into_iter()
        .map(|strip| Strip { height: 0.0, ..strip })
        .collect()
}
