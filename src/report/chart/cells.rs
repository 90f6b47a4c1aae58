//! Charts of a matrix: each figure along the varied setting, and as a map over two of them.

pub mod course;
mod lines;
mod map;
mod panels;

use std::path::Path;

use plotters::prelude::DrawingBackend;

use super::canvas::{Canvas, Drawn};
use super::picture::{self, Drawing};
use super::{ChartError, Figures, Picture};
use crate::report::figure::Figure;
use crate::report::human;
use crate::report::sweep::Sweep;
use crate::results::series::SeriesTable;
use panels::Layout;

/// Figures that are drawn along the setting. The achieved rate is not: goodput and backlog say the same.
const ALONG: [Figure; 24] = [
    Figure::Goodput,
    Figure::EndToEndP50,
    Figure::EndToEndP99,
    Figure::UrgentP50,
    Figure::NormalP50,
    Figure::DrainTime,
    Figure::Backlog,
    Figure::BacklogDrainTime,
    Figure::BacklogDrainRate,
    Figure::Unacked,
    Figure::DeliveryGini,
    Figure::OldestAge,
    Figure::Redelivered,
    Figure::Refused,
    Figure::Dropped,
    Figure::DeadLettered,
    Figure::DuplicateEffect,
    Figure::Retries,
    Figure::Blocked,
    Figure::DriverCpu,
    Figure::DriverMemory,
    Figure::BrokerCpu,
    Figure::BrokerMemory,
    Figure::MessageMemory,
];
/// Figures that are drawn as a map too.
const MAPPED: [Figure; 4] = [
    Figure::Goodput,
    Figure::EndToEndP99,
    Figure::DrainTime,
    Figure::BacklogDrainTime,
];

/// Cells hardly differ in a figure if the medians lie within this share of the greatest.
pub const ALIKE: f64 = 0.05;

/// How a figure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Along,
    Map,
}

/// A chart of a matrix.
#[derive(Debug, Clone)]
pub struct CellChart<'a> {
    sweep: &'a Sweep<'a>,
    figure: Figure,
    kind: Kind,
    layout: Layout,
}

/// The charts that the cells of a run have something to show for; none without a matrix.
pub fn charts<'a>(sweep: &'a Sweep<'a>) -> Vec<CellChart<'a>> {
    let chart = |figure, kind, layout: &Layout| CellChart {
        sweep,
        figure,
        kind,
        layout: layout.clone(),
    };
    let mut charts = Vec::new();
    if let Some(layout) = Layout::along(sweep) {
        charts.extend(ALONG.into_iter().map(|figure| chart(figure, Kind::Along, &layout)));
    }
    if let Some(layout) = Layout::map(sweep) {
        charts.extend(MAPPED.into_iter().map(|figure| chart(figure, Kind::Map, &layout)));
    }
    charts.retain(|chart| chart.has_something_to_show());
    charts
}

impl CellChart<'_> {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.sweep.cells.iter().flat_map(|cell| cell.values(self.figure))
    }

    /// What no sound run has is shown only where there is some.
    fn has_something_to_show(&self) -> bool {
        self.values().any(|value| value > 0.0 || !self.figure.is_exceptional())
    }

    /// Whether no cell's median is more than [`ALIKE`] from any other's.
    fn is_alike(&self) -> bool {
        let medians = self
            .sweep
            .cells
            .iter()
            .map(|cell| Some(cell.spread(self.figure)?.median));
        let Some(medians) = medians.collect::<Option<Vec<f64>>>() else {
            return false;
        };
        let (least, greatest) = medians
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, greatest), median| {
                (least.min(*median), greatest.max(*median))
            });
        greatest - least <= ALIKE * greatest
    }

    /// The name of its files, without the extension.
    pub fn name(&self) -> String {
        let figure = self
            .figure
            .title()
            .to_lowercase()
            .replace("p99.9", "p999")
            .replace(' ', "-");
        match self.kind {
            Kind::Along => format!("cells-{figure}"),
            Kind::Map => format!("cells-{figure}-map"),
        }
    }

    /// What it shows, in a few words.
    pub fn title(&self) -> String {
        let name = |dimension: usize| human::plain(self.sweep.dimensions[dimension].short_name());
        match (self.kind, self.layout.second) {
            (Kind::Map, Some(second)) => {
                format!(
                    "{} over {} and {}",
                    self.figure.title(),
                    name(self.layout.main),
                    name(second)
                )
            }
            _ => format!("{} by {}", self.figure.title(), name(self.layout.main)),
        }
    }

    /// How to read it.
    fn explanation(&self) -> String {
        let hidden = match self.layout.hidden {
            0 => String::new(),
            n => format!(" {n} more combinations are in cells.csv."),
        };
        match self.kind {
            Kind::Along => format!(
                "The large mark is the median over the repeats of a cell, small dots are its repeats, the bar is their range; cells \
                 whose bars overlap cannot be told apart by eye.{hidden}"
            ),
            Kind::Map => {
                let (min, max) = map::range(self);
                let shades = if map::spans_decades(min, max) {
                    " (shades follow the logarithm)"
                } else {
                    ""
                };
                format!("Each tile is the median of a cell; a darker tile is a greater value{shades}.{hidden}")
            }
        }
    }

    /// The chart with its words, as a page shows it.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn picture(&self) -> Result<Picture, ChartError> {
        Ok(Picture {
            name: self.name(),
            title: self.title(),
            explanation: self.explanation(),
            svg: picture::svg(self)?,
            alike: self.is_alike(),
        })
    }

    /// Writes the chart as a PNG, 1,800 pixels wide. The name at `path` must end in `.png`.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw or write it.
    pub fn write_png(&self, path: &Path) -> Result<(), ChartError> {
        picture::write_png(self, path)
    }
}

impl Drawing for CellChart<'_> {
    fn file_name(&self) -> String {
        self.name()
    }

    fn height(&self) -> f64 {
        match self.kind {
            Kind::Along => lines::height(self),
            Kind::Map => map::height(self),
        }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        let series = SeriesTable::default();
        let figures = Figures {
            record: self.sweep.record,
            trial: None,
            series: &series,
            latencies: &[],
        };
        match self.kind {
            Kind::Along => lines::draw(self, canvas, &figures),
            Kind::Map => map::draw(self, canvas, &figures),
        }
    }
}

#[cfg(test)]
mod tests;
