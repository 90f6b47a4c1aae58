//! A figure along the varied setting: a line for each value of the second dimension, with the spread over the repeats.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::CellChart;
use super::panels::Rectangle;
use crate::report::chart::Figures;
use crate::report::chart::axis::{Axis, nanos, thousands};
use crate::report::chart::canvas::{Anchor, Canvas, Drawn, Place, Stroke, WIDTH};
use crate::report::chart::frame::{Entry, LEFT, Mark, RIGHT, head};
use crate::report::chart::palette::{BLUE, GREEN, GREY, GRID, INK, ORANGE, PURPLE, SKY, VERMILLION};
use crate::report::figure::{Figure, Unit};
use crate::report::human;
use crate::report::sweep::{Cell, Dimension, Spread};

const COLOURS: [RGBColor; 7] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK];
const TEXT: f64 = 12.0;
/// Least end of an axis of ratios.
const RATIO_MIN: f64 = 0.1;
/// Title and legend.
const HEAD: f64 = 104.0;
/// Title of the y axis and name of the panel.
const ABOVE: f64 = 26.0;
/// Tick labels and title of the x axis.
const BELOW: f64 = 44.0;
/// Space for labels that are written upwards.
const UPWARDS: f64 = 116.0;
/// Greatest over least value from which on an axis is logarithmic.
pub(super) const DECADES: f64 = 20.0;
/// Share of the width of all panels that a word beside numbers takes.
const WORD: f64 = 0.11;

/// The places of a dimension's values on an axis from 0 to 1.
struct Across {
    places: Vec<f64>,
    /// Values with numbers, which a line may join; words stand behind them.
    numbers: usize,
}

impl Across {
    fn of(dimension: &Dimension, panels_beside: usize) -> Across {
        let count = dimension.values.len();
        let numbers: Vec<f64> = dimension.values.iter().map_while(|value| value.number).collect();
        if numbers.len() < 2 {
            let places = (0..count).map(|at| (at as f64 + 0.5) / count as f64);
            return Across {
                places: places.collect(),
                numbers: 0,
            };
        }
        let (min, max) = (numbers[0], numbers[numbers.len() - 1]);
        let logarithmic = min > 0.0 && max / min >= DECADES;
        let scaled = |number: f64| if logarithmic { number.log10() } else { number };
        let words = count - numbers.len();
        let (start, end) = (0.04, 0.96 - (WORD * (words * panels_beside) as f64).min(0.6));
        let part = |number: &f64| (scaled(*number) - scaled(min)) / (scaled(max) - scaled(min)).max(f64::MIN_POSITIVE);
        let mut places: Vec<f64> = numbers
            .iter()
            .map(|number| start + part(number).clamp(0.0, 1.0) * (end - start))
            .collect();
        let step = (0.96 - end) / words.max(1) as f64;
        places.extend((1..=words).map(|word| end + step * word as f64));
        Across {
            places,
            numbers: numbers.len(),
        }
    }
}

/// Whether the values have to be written upwards to be read.
fn is_upwards(chart: &CellChart<'_>) -> bool {
    let dimension = &chart.sweep.dimensions[chart.layout.main];
    let slot = (WIDTH - LEFT - RIGHT) / chart.layout.columns() as f64 / dimension.values.len().max(1) as f64;
    let longest = dimension.values.iter().map(|value| value.label.chars().count()).max();
    !dimension.is_numeric() && longest.unwrap_or(0) as f64 * TEXT * 0.6 > slot - 6.0
}

pub(super) fn height(chart: &CellChart<'_>) -> f64 {
    let below = if is_upwards(chart) { UPWARDS } else { 0.0 };
    let panel = if chart.layout.panels.len() > 1 { 170.0 } else { 230.0 };
    let legend = 18.0 * (chart.layout.rows(chart.sweep) / 6) as f64;
    HEAD + legend + chart.layout.lines() as f64 * (ABOVE + panel + BELOW + below)
}

/// The y axis for all panels, and a value's coordinate on it.
struct Up {
    axis: Axis,
    logarithmic: bool,
}

impl Up {
    fn of(chart: &CellChart<'_>) -> Up {
        let (min, max) = chart.values().fold((f64::MAX, 0.0), |(min, max), value| {
            (f64::min(min, value), f64::max(max, value))
        });
        let figure = chart.figure;
        let spans = min > 0.0 && max / min >= DECADES;
        let logarithmic = spans && matches!(figure.unit(), Unit::Nanos | Unit::Seconds | Unit::Messages);
        let label = move |value: f64| match figure.unit() {
            Unit::PerSecond | Unit::Messages => thousands(value),
            Unit::Seconds => nanos(value * 1e9),
            Unit::Nanos => nanos(value),
            Unit::Share => percent(value),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Bytes => human::bytes(value),
        };
        let title = match (figure.unit(), logarithmic) {
            (Unit::PerSecond, _) if figure == Figure::BacklogDrainRate => "messages per second",
            (Unit::PerSecond, _) => "orders per second",
            (Unit::Nanos, false) => "time",
            (Unit::Seconds, false) => "seconds",
            (Unit::Messages, false) => "messages",
            (Unit::Nanos, true) => "time (logarithmic)",
            (Unit::Seconds, true) => "seconds (logarithmic)",
            (Unit::Messages, true) => "messages (logarithmic)",
            (Unit::Share, _) if figure == Figure::Redelivered => "share of deliveries",
            (Unit::Share, _) => "share of orders",
            (Unit::Ratio, _) => "ratio",
            (Unit::Bytes, _) => "greatest",
        };
        let axis = match (logarithmic, figure.unit()) {
            (true, _) => Axis::log(min, max, title, label),
            (_, Unit::Bytes) => Axis::bytes(max, title),
            // Its labels have two decimals.
            (_, Unit::Ratio) => Axis::from_zero(max.max(RATIO_MIN), title, label),
            _ => Axis::from_zero(max, title, label),
        };
        Up { axis, logarithmic }
    }

    fn part(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.max(1e-9).log10()
        } else {
            value
        };
        ((value - self.axis.from) / (self.axis.to - self.axis.from)).clamp(0.0, 1.0)
    }
}

/// A share on an axis, as small as it may be: `0.004 %`.
fn percent(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn draw<DB: DrawingBackend>(chart: &CellChart<'_>, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let (sweep, layout) = (chart.sweep, &chart.layout);
    let mut legend: Vec<Entry> = Vec::new();
    if let Some(second) = layout.second {
        let dimension = &sweep.dimensions[second];
        legend.extend(dimension.values.iter().enumerate().map(|(row, value)| {
            let label = human::shortened(
                &human::plain(&format!("{} {}", dimension.short_name(), value.label)),
                40,
            );
            Entry::new(label, mark(row))
        }));
    }
    let top = head(canvas, figures, &chart.title(), &legend)?;
    let (across, up) = (
        Across::of(&sweep.dimensions[layout.main], layout.columns()),
        Up::of(chart),
    );
    for panel in 0..layout.panels.len() {
        let (left, panel_top, right, bottom) =
            layout.rectangle(panel, (0.0, top, WIDTH - RIGHT + 10.0, canvas.height()));
        let below = BELOW + if is_upwards(chart) { UPWARDS } else { 0.0 };
        let plot = Plot {
            canvas,
            chart,
            across: &across,
            up: &up,
            area: (left + LEFT, panel_top + ABOVE, right - 10.0, bottom - below),
        };
        plot.frame(&layout.name(sweep, panel), left)?;
        let rows = layout.rows(sweep);
        for row in 0..rows {
            // Lines stand a little beside each other, so that bars at the same value do not hide each other.
            let beside = (row as f64 - (rows as f64 - 1.0) / 2.0) * 7.0_f64.min(28.0 / rows as f64);
            plot.row(&layout.cells(sweep, panel, row), row, beside)?;
        }
    }
    Ok(())
}

fn colour(row: usize) -> RGBColor {
    COLOURS[row % COLOURS.len()]
}

/// Colours come again after seven rows, with another mark.
fn mark(row: usize) -> Mark {
    if row < COLOURS.len() {
        Mark::Dot(colour(row))
    } else {
        Mark::Diamond(colour(row))
    }
}

/// One panel.
struct Plot<'a, DB: DrawingBackend> {
    canvas: &'a Canvas<DB>,
    chart: &'a CellChart<'a>,
    across: &'a Across,
    up: &'a Up,
    area: Rectangle,
}

impl<DB: DrawingBackend> Plot<'_, DB> {
    fn x(&self, place: usize) -> f64 {
        let (left, _, right, _) = self.area;
        left + self.across.places[place] * (right - left)
    }

    fn y(&self, value: f64) -> f64 {
        let (_, top, _, bottom) = self.area;
        bottom - self.up.part(value) * (bottom - top)
    }

    fn frame(&self, name: &str, left_edge: f64) -> Drawn<DB> {
        let (left, top, right, bottom) = self.area;
        let thin = |colour| Stroke {
            width: 1.0,
            ..Stroke::solid(colour)
        };
        for tick in &self.up.axis.ticks {
            let part = (tick.at - self.up.axis.from) / (self.up.axis.to - self.up.axis.from);
            let y = bottom - part * (bottom - top);
            self.canvas.line(&[(left, y), (right, y)], thin(GRID))?;
            self.canvas
                .text((left - 8.0, y), &tick.label, TEXT, GREY, Anchor::End)?;
        }
        self.canvas.line(&[(left, bottom), (right, bottom)], thin(GREY))?;
        self.canvas.text(
            (left_edge + 16.0, top - 14.0),
            self.up.axis.title,
            TEXT,
            GREY,
            Anchor::Start,
        )?;
        if !name.is_empty() {
            let room = (right - left) - 120.0;
            self.canvas.text(
                (right, top - 14.0),
                &self.canvas.fitting(name, TEXT, room),
                TEXT,
                INK,
                Anchor::End,
            )?;
        }
        self.values_below()
    }

    /// The values under the axis; one that would run into its neighbour is left out, never the last.
    fn values_below(&self) -> Drawn<DB> {
        let (left, top, right, bottom) = self.area;
        let dimension = &self.chart.sweep.dimensions[self.chart.layout.main];
        let upwards = is_upwards(self.chart);
        let labels: Vec<String> = dimension
            .values
            .iter()
            .map(|value| human::plain(&value.label))
            .collect();
        let width = |label: &str| self.canvas.text_width(label, TEXT) * 1.08;
        let last = labels.len() - 1;
        let last_from = self.x(last) - width(&labels[last]) / 2.0;
        let mut free = f64::MIN;
        for (at, label) in labels.iter().enumerate() {
            let x = self.x(at);
            let grid = Stroke {
                width: 1.0,
                ..Stroke::solid(GRID)
            };
            self.canvas.line(&[(x, top), (x, bottom)], grid)?;
            if upwards {
                let label = self.canvas.fitting(label, TEXT - 1.0, UPWARDS - 6.0);
                self.canvas.text_upwards((x, bottom + 8.0), &label, TEXT - 1.0, GREY)?;
                continue;
            }
            let (from, to) = (x - width(label) / 2.0, x + width(label) / 2.0);
            if from < free || (at != last && to > last_from - 6.0) {
                continue;
            }
            self.canvas
                .text((x, bottom + 13.0), label, TEXT, GREY, Anchor::Middle)?;
            free = to + 6.0;
        }
        let below = bottom + 31.0 + if upwards { UPWARDS - 14.0 } else { 0.0 };
        let title = self.canvas.fitting(&human::plain(&dimension.name), TEXT, right - left);
        self.canvas
            .text(((left + right) / 2.0, below), &title, TEXT, GREY, Anchor::Middle)
    }

    /// The cells of one value of the second dimension.
    fn row(&self, cells: &[&Cell<'_>], row: usize, beside: f64) -> Drawn<DB> {
        let (main, figure) = (self.chart.layout.main, self.chart.figure);
        let spreads = cells.iter().filter_map(|cell| Some((*cell, cell.spread(figure)?)));
        let spreads: Vec<(&Cell<'_>, Spread)> = spreads.collect();
        let at = |cell: &Cell<'_>, value: f64| -> Place { (self.x(cell.place[main]) + beside, self.y(value)) };
        // Numbers are joined; words have no order that a line could show.
        let joined = spreads
            .iter()
            .filter(|(cell, _)| cell.place[main] < self.across.numbers);
        let joined: Vec<Place> = joined.map(|(cell, spread)| at(cell, spread.median)).collect();
        self.canvas.line(
            &joined,
            Stroke {
                alpha: 0.75,
                ..Stroke::solid(colour(row))
            },
        )?;
        for (cell, spread) in &spreads {
            if spread.n > 1 {
                self.bar(at(cell, spread.min), at(cell, spread.max), colour(row))?;
                for value in cell.values(figure) {
                    self.canvas.dot(at(cell, value), 1.5, colour(row))?;
                }
            }
            let median = at(cell, spread.median);
            match mark(row) {
                Mark::Diamond(colour) => self.canvas.diamond(median, 5.0, colour)?,
                _ => self.canvas.dot(median, 4.0, colour(row))?,
            }
        }
        Ok(())
    }

    fn bar(&self, from: Place, to: Place, colour: RGBColor) -> Drawn<DB> {
        let stroke = Stroke {
            width: 1.5,
            alpha: 0.6,
            ..Stroke::solid(colour)
        };
        self.canvas.line(&[from, to], stroke)?;
        for (x, y) in [from, to] {
            self.canvas.line(&[(x - 3.0, y), (x + 3.0, y)], stroke)?;
        }
        Ok(())
    }
}
