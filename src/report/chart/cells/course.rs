//! How the cells of a matrix went over time: a small panel for each, all to the same scales.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::DrawingBackend;

use crate::report::chart::axis::{Axis, thousands};
use crate::report::chart::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use crate::report::chart::frame::{Entry, Mark, Plot, head, shades};
use crate::report::chart::palette::{BLUE, GREEN, GREY, INK, VERMILLION};
use crate::report::chart::picture::{self, Drawing};
use crate::report::chart::{ChartError, Figures, Picture, over_time, stacked};
use crate::report::human;
use crate::report::sweep::{Cell, Sweep};
use crate::results::record::TrialRecord;
use crate::results::series::{Point, SeriesTable};

/// Most panels; the other cells' series are in series.csv.
const PANELS_MAX: usize = 24;
const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = WIDTH / COLUMNS as f64;
const PANEL_HEIGHT: f64 = 150.0;
const HEAD: f64 = 92.0;
/// Space left of a panel's plot.
const LABELS: f64 = 62.0;
/// What a plot keeps free below itself for the title of its x axis, which a panel lacks.
const UNTITLED: f64 = 18.0;
/// Stretches of time of which a line keeps the least and the greatest value.
const STRETCHES: usize = 70;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Goodput,
    Backlog,
    Latency,
}

/// A cell with its shown trial.
#[derive(Debug, Clone, Copy)]
struct Panel<'a> {
    cell: &'a Cell<'a>,
    trial: &'a TrialRecord,
    series: &'a SeriesTable,
}

/// A chart of the cells over time.
#[derive(Debug, Clone)]
pub struct CourseChart<'a> {
    sweep: &'a Sweep<'a>,
    what: What,
    panels: Vec<Panel<'a>>,
}

/// The cells that have a panel with the trial that it shows, in the order of their values.
fn shown<'a>(sweep: &'a Sweep<'a>) -> impl Iterator<Item = (&'a Cell<'a>, &'a TrialRecord)> {
    let mut cells: Vec<&Cell<'_>> = sweep.cells.iter().collect();
    cells.sort_by(|a, b| a.place.cmp(&b.place));
    let cells = cells.into_iter().filter_map(|cell| Some((cell, cell.shown_trial()?)));
    cells.take(if sweep.is_matrix() { PANELS_MAX } else { 0 })
}

/// The trials whose series these charts need.
pub fn trials(sweep: &Sweep<'_>) -> Vec<u32> {
    shown(sweep).map(|(_, trial)| trial.trial).collect()
}

/// The charts that there are series for; none without a matrix.
pub fn charts<'a>(sweep: &'a Sweep<'a>, series: &'a BTreeMap<u32, SeriesTable>) -> Vec<CourseChart<'a>> {
    let panels = shown(sweep).filter_map(|(cell, trial)| {
        let series = series.get(&trial.trial)?;
        Some(Panel { cell, trial, series })
    });
    let panels: Vec<Panel<'_>> = panels.collect();
    let charts = [What::Goodput, What::Backlog, What::Latency].map(|what| CourseChart {
        sweep,
        what,
        panels: panels.clone(),
    });
    charts.into_iter().filter(CourseChart::has_something_to_show).collect()
}

impl CourseChart<'_> {
    fn has_something_to_show(&self) -> bool {
        let end = self.end_s();
        self.panels.iter().any(|panel| !lines(self.what, panel, end).is_empty())
    }

    /// The end of the longest trial shown.
    fn end_s(&self) -> f64 {
        let ends = self.panels.iter().map(|panel| over_time::axis(&self.figures(panel)).to);
        ends.fold(0.0, f64::max)
    }

    fn figures<'a>(&'a self, panel: &Panel<'a>) -> Figures<'a> {
        Figures {
            record: self.sweep.record,
            trial: Some(panel.trial),
            series: panel.series,
            latencies: &[],
        }
    }

    /// The name of its files, without the extension.
    pub fn name(&self) -> &'static str {
        match self.what {
            What::Goodput => "cells-goodput-over-time",
            What::Backlog => "cells-backlog-over-time",
            What::Latency => "cells-latency-over-time",
        }
    }

    fn title(&self) -> &'static str {
        match self.what {
            What::Goodput => "Goodput over time, cell by cell",
            What::Backlog => "Backlog over time, cell by cell",
            What::Latency => "Latency over time, cell by cell",
        }
    }

    fn explanation(&self) -> String {
        let hidden = match self.sweep.cells.len() - self.panels.len() {
            0 => String::new(),
            n => format!(
                " The series of {} more are in series.csv.",
                human::plural(n as u64, "cell")
            ),
        };
        format!(
            "Of each cell the first trial with its worst verdict, all panels to the same scales; warm-up, drain, phases, faults and \
             blocked connections are shaded.{hidden}"
        )
    }

    /// The chart with its words, as a page shows it.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn picture(&self) -> Result<Picture, ChartError> {
        Ok(Picture {
            name: self.name().to_owned(),
            title: self.title().to_owned(),
            explanation: self.explanation(),
            svg: picture::svg(self)?,
            alike: false,
        })
    }

    /// Writes the chart as a PNG, 1,800 pixels wide. The name at `path` must end in `.png`.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw or write it.
    pub fn write_png(&self, path: &Path) -> Result<(), ChartError> {
        picture::write_png(self, path)
    }

    /// The values of all dimensions with their names, or without, where there is no room.
    fn name_of<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, cell: &Cell<'_>) -> String {
        let room = (PANEL_WIDTH - 36.0) * 0.92;
        let whole = human::plain(&self.sweep.others(cell, &[]));
        if canvas.text_width(&whole, 11.0) <= room {
            return whole;
        }
        let dimensions = self.sweep.dimensions.iter().zip(&cell.place);
        let values: Vec<&str> = dimensions
            .map(|(dimension, at)| dimension.values[*at].label.as_str())
            .collect();
        canvas.fitting(&human::plain(&values.join(", ")), 11.0, room)
    }

    /// The y axis of all panels, with few ticks, and how a value gets onto it.
    fn up(&self, lines: &[Vec<Line>]) -> (Axis, fn(f64) -> f64) {
        let values = lines
            .iter()
            .flatten()
            .flat_map(|line| &line.points)
            .map(|point| point.value);
        let (min, max) = values.fold((f64::MAX, 0.0), |(min, max), value| {
            (f64::min(min, value), f64::max(max, value))
        });
        let (mut axis, scaled): (Axis, fn(f64) -> f64) = match self.what {
            What::Latency => (Axis::log_nanos(min, max, ""), |ns| ns.max(1.0).log10()),
            _ => (Axis::from_zero(max, "", thousands), |value| value),
        };
        few(&mut axis, 4);
        (axis, scaled)
    }
}

/// Leaves every so many of the ticks, so that no more than `most` are left.
fn few(axis: &mut Axis, most: usize) {
    let every = axis.ticks.len().div_ceil(most).max(1);
    axis.ticks = std::mem::take(&mut axis.ticks).into_iter().step_by(every).collect();
}

/// A line of a panel.
struct Line {
    points: Vec<Point>,
    stroke: Stroke,
    label: &'static str,
    filled: bool,
}

/// The lines of a panel that have points.
fn lines(what: What, panel: &Panel<'_>, end_s: f64) -> Vec<Line> {
    let of = |series: &str, label, stroke| Line {
        points: over_time::reduced(&panel.series.points(series), STRETCHES),
        stroke,
        label,
        filled: false,
    };
    let lines = match what {
        What::Goodput => vec![
            of("offered_load_per_s", "offered load, per second", Stroke::dashed(GREY)),
            of("goodput_per_s", "goodput, per second", Stroke::solid(GREEN)),
        ],
        What::Latency => vec![
            of("end_to_end_ns_p99", "end-to-end p99", Stroke::solid(VERMILLION)),
            of("end_to_end_ns_p50", "end-to-end p50", Stroke::solid(INK)),
        ],
        What::Backlog => {
            let instants = STRETCHES * 2;
            let times: Vec<f64> = (0..=instants).map(|at| end_s * at as f64 / instants as f64).collect();
            let sums = stacked::total(panel.series, &times).unwrap_or_default();
            let points = times
                .into_iter()
                .zip(sums)
                .map(|(time_s, value)| Point { time_s, value });
            vec![Line {
                points: points.collect(),
                stroke: Stroke::solid(BLUE),
                label: "messages of all stages, ready + unacked",
                filled: true,
            }]
        }
    };
    lines.into_iter().filter(|line| !line.points.is_empty()).collect()
}

impl Drawing for CourseChart<'_> {
    fn file_name(&self) -> String {
        self.name().to_owned()
    }

    fn height(&self) -> f64 {
        HEAD + self.panels.len().div_ceil(COLUMNS) as f64 * PANEL_HEIGHT + 10.0
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        let end_s = self.end_s();
        let lines: Vec<Vec<Line>> = self.panels.iter().map(|panel| lines(self.what, panel, end_s)).collect();
        let mut legend: Vec<(&str, Stroke)> = Vec::new();
        for line in lines.iter().flatten() {
            if !legend.iter().any(|(known, _)| *known == line.label) {
                legend.push((line.label, line.stroke));
            }
        }
        let entries = legend
            .into_iter()
            .map(|(label, stroke)| Entry::new(label, Mark::Line(stroke)));
        let entries: Vec<Entry> = entries.collect();
        let none = SeriesTable::default();
        let of_all = Figures {
            record: self.sweep.record,
            trial: None,
            series: &none,
            latencies: &[],
        };
        head(canvas, &of_all, self.title(), &entries)?;
        let (y, scaled) = self.up(&lines);
        let mut x = Axis {
            title: "",
            ..Axis::time(end_s)
        };
        few(&mut x, 4);
        for (at, (panel, lines)) in self.panels.iter().zip(&lines).enumerate() {
            let left = (at % COLUMNS) as f64 * PANEL_WIDTH;
            let top = HEAD + (at / COLUMNS) as f64 * PANEL_HEIGHT;
            let figures = self.figures(panel);
            let area = (top, top + PANEL_HEIGHT - 8.0 + UNTITLED);
            let plot = Plot::new(canvas, x.clone(), y.clone(), area, shades(&figures))
                .between((left + LABELS, left + PANEL_WIDTH - 20.0));
            plot.axes()?;
            let name = self.name_of(canvas, panel.cell);
            canvas.text((left + 16.0, top + 9.0), &name, 11.0, INK, Anchor::Start)?;
            for line in lines {
                if line.filled {
                    over_time::area(&plot, &figures, &line.points, line.stroke.colour, (0.0, &scaled))?;
                }
                over_time::line(&plot, &figures, &line.points, line.stroke, scaled)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn each_cell_has_a_panel_in_each_chart_and_a_run_without_a_matrix_has_none() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 2);
        let folder = fixture::folder(&record);
        let sweep = Sweep::of(&record);
        let wanted = trials(&sweep);
        assert_eq!(wanted.len(), 10);
        let series = SeriesTable::read_all(&folder.path().join("series.csv"), &wanted).expect("legal");
        let charts = charts(&sweep, &series);
        let names: Vec<&str> = charts.iter().map(CourseChart::name).collect();
        assert_eq!(
            names,
            [
                "cells-goodput-over-time",
                "cells-backlog-over-time",
                "cells-latency-over-time"
            ]
        );
        for chart in charts {
            let svg = chart.picture().expect("drawn").svg;
            assert!(svg.len() < 150_000, "{}: {} bytes", chart.name(), svg.len());
            for cell in ["prefetch 1, consumers 1", "prefetch unlimited, consumers 4"] {
                assert!(svg.contains(cell), "{}: {cell}", chart.name());
            }
        }
        let single = fixture::three_trials();
        assert!(trials(&Sweep::of(&single)).is_empty());
    }

    #[test]
    fn more_cells_than_panels_are_counted_in_the_caption() {
        let values: Vec<String> = (1..=30).map(|n| n.to_string()).collect();
        let values: Vec<(&str, Option<f64>)> = values.iter().map(|n| (n.as_str(), n.parse().ok())).collect();
        let record = fixture::matrix(&[("stage.payment.prefetch", &values)], 1);
        let folder = fixture::folder(&record);
        let sweep = Sweep::of(&record);
        let series = SeriesTable::read_all(&folder.path().join("series.csv"), &trials(&sweep)).expect("legal");
        let picture = charts(&sweep, &series)[0].picture().expect("drawn");
        assert!(picture.explanation.contains("6 cells"), "{}", picture.explanation);
    }
}
