//! A figure over two dimensions of numbers: a tile for each cell, with its median written in it.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::CellChart;
use super::lines::DECADES;
use super::panels::Rectangle;
use crate::report::chart::Figures;
use crate::report::chart::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use crate::report::chart::frame::{RIGHT, head};
use crate::report::chart::palette::{BLUE, GREY, GRID, INK, WHITE};
use crate::report::human;

const HEAD: f64 = 76.0;
const TILE: f64 = 40.0;
/// Space left of the tiles.
const NAMES: f64 = 110.0;
/// Name of the panel and of the rows' dimension.
const ABOVE: f64 = 28.0;
/// Values and name of the columns' dimension.
const BELOW: f64 = 44.0;
const TEXT: f64 = 12.0;

pub(super) fn height(chart: &CellChart<'_>) -> f64 {
    let panel = ABOVE + chart.layout.rows(chart.sweep) as f64 * TILE + BELOW;
    (HEAD + chart.layout.lines() as f64 * (panel + 14.0)).max(240.0)
}

pub(super) fn draw<DB: DrawingBackend>(chart: &CellChart<'_>, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let top = head(canvas, figures, &chart.title(), &[])?;
    for panel in 0..chart.layout.panels.len() {
        let (left, panel_top, right, bottom) = chart
            .layout
            .rectangle(panel, (0.0, top, WIDTH - RIGHT + 10.0, canvas.height()));
        let tiles = Tiles {
            canvas,
            chart,
            panel,
            range: range(chart),
            area: (left + NAMES, panel_top + ABOVE, right - 10.0, bottom - BELOW),
        };
        tiles.names(left)?;
        tiles.draw()?;
    }
    Ok(())
}

struct Tiles<'a, DB: DrawingBackend> {
    canvas: &'a Canvas<DB>,
    chart: &'a CellChart<'a>,
    panel: usize,
    range: (f64, f64),
    area: Rectangle,
}

impl<DB: DrawingBackend> Tiles<'_, DB> {
    /// The tile of a column and a row; rows ascend.
    fn tile(&self, column: usize, row: usize) -> Rectangle {
        let (left, top, right, bottom) = self.area;
        let columns = self.chart.sweep.dimensions[self.chart.layout.main].values.len() as f64;
        let rows = self.chart.layout.rows(self.chart.sweep) as f64;
        let (width, height) = ((right - left) / columns, (bottom - top) / rows);
        let (x, y) = (left + column as f64 * width, bottom - (row as f64 + 1.0) * height);
        (x, y, x + width, y + height)
    }

    fn names(&self, left_edge: f64) -> Drawn<DB> {
        let (left, top, right, bottom) = self.area;
        let (sweep, layout) = (self.chart.sweep, &self.chart.layout);
        let Some(second) = layout.second else { return Ok(()) };
        let (columns, rows) = (&sweep.dimensions[layout.main], &sweep.dimensions[second]);
        let room = (right - left) / 2.0;
        let name = if layout.columns() > 1 {
            rows.short_name()
        } else {
            &rows.name
        };
        let name = self.canvas.fitting(&human::plain(name), TEXT, room);
        self.canvas
            .text((left_edge + 16.0, top - 14.0), &name, TEXT, GREY, Anchor::Start)?;
        let panel = self.canvas.fitting(&layout.name(sweep, self.panel), TEXT, room);
        self.canvas.text((right, top - 14.0), &panel, TEXT, INK, Anchor::End)?;
        for (row, value) in rows.values.iter().enumerate() {
            let (_, from, _, to) = self.tile(0, row);
            let label = self.canvas.fitting(&human::plain(&value.label), TEXT, NAMES - 30.0);
            self.canvas
                .text((left - 8.0, (from + to) / 2.0), &label, TEXT, GREY, Anchor::End)?;
        }
        for (column, value) in columns.values.iter().enumerate() {
            let (from, _, to, _) = self.tile(column, 0);
            let label = self.canvas.fitting(&human::plain(&value.label), TEXT, to - from - 4.0);
            self.canvas
                .text(((from + to) / 2.0, bottom + 13.0), &label, TEXT, GREY, Anchor::Middle)?;
        }
        let name = self.canvas.fitting(&human::plain(&columns.name), TEXT, right - left);
        self.canvas
            .text(((left + right) / 2.0, bottom + 31.0), &name, TEXT, GREY, Anchor::Middle)
    }

    fn draw(&self) -> Drawn<DB> {
        let (sweep, layout) = (self.chart.sweep, &self.chart.layout);
        for row in 0..layout.rows(sweep) {
            for cell in layout.cells(sweep, self.panel, row) {
                let tile = self.tile(cell.place[layout.main], row);
                self.one(tile, cell.spread(self.chart.figure).map(|spread| spread.median))?;
            }
        }
        Ok(())
    }

    fn one(&self, (left, top, right, bottom): Rectangle, value: Option<f64>) -> Drawn<DB> {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        let Some(value) = value else {
            self.canvas.rect((left, top), (right, bottom), GRID, 0.5)?;
            return self.canvas.text(middle, human::ABSENT, TEXT, GREY, Anchor::Middle);
        };
        let part = match self.range {
            (min, max) if spans_decades(min, max) => (value / min).ln() / (max / min).ln(),
            (min, max) if max > min => (value - min) / (max - min),
            _ => 0.5,
        };
        self.canvas.rect((left, top), (right, bottom), shade(part), 1.0)?;
        let edge = Stroke {
            width: 1.0,
            ..Stroke::solid(WHITE)
        };
        self.canvas.frame((left, top), (right, bottom), edge)?;
        let ink = if part > 0.55 { WHITE } else { INK };
        let text = self.chart.figure.written(value);
        // Rather a smaller text than half a number.
        let width = right - left - 4.0;
        let size = [TEXT, 10.0, 8.5]
            .into_iter()
            .find(|size| self.canvas.text_width(&text, *size) * 1.05 <= width);
        match size {
            Some(size) => self.canvas.text(middle, &text, size, ink, Anchor::Middle),
            None => Ok(()),
        }
    }
}

/// Whether shades follow the logarithm.
pub(super) fn spans_decades(min: f64, max: f64) -> bool {
    min > 0.0 && max / min >= DECADES
}

/// The least and the greatest median.
pub(super) fn range(chart: &CellChart<'_>) -> (f64, f64) {
    let medians = chart
        .sweep
        .cells
        .iter()
        .filter_map(|cell| cell.spread(chart.figure))
        .map(|spread| spread.median);
    medians.fold((f64::MAX, f64::MIN), |(min, max), median| {
        (min.min(median), max.max(median))
    })
}

/// From nearly white to dark blue.
fn shade(part: f64) -> RGBColor {
    let part = 0.06 + 0.94 * part.clamp(0.0, 1.0);
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * part).round() as u8;
    RGBColor(mix(WHITE.0, BLUE.0), mix(WHITE.1, BLUE.1), mix(WHITE.2, BLUE.2))
}
