//! Charts of a run as SVG and PNG, each from one drawing function over any backend of plotters.
//!
//! Needs no font and no library of the machine. An empty series makes a chart that says so.

mod axis;
mod backlog;
mod canvas;
pub mod capacity;
pub mod cells;
mod drain;
mod font;
mod frame;
mod latency;
mod order_time;
mod over_time;
mod palette;
mod percentiles;
mod picture;
mod resources;
pub mod sizing;
mod stacked;
mod stage_percentiles;
mod stages;
mod throughput;

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::status;
use crate::results::latency_log::Classes;
use crate::results::record::{RunRecord, TrialRecord};
use crate::results::series::SeriesTable;
use canvas::{Canvas, Drawn};
use picture::Drawing;

/// What stands in a chart without data.
const NO_DATA: &str = "no data: nothing was recorded for this chart";

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The embedded font is damaged.
    #[error("cannot read the embedded font of the charts\nhelp: the binary is damaged; build it again")]
    Font,
    /// The backend said no.
    #[error("cannot draw the chart {chart}: {why}")]
    Draw {
        /// Its name.
        chart: String,
        /// What the backend says.
        why: String,
    },
    /// The picture could not be written.
    #[error("cannot write the chart {}: {why}\nhelp: the run folder must exist and be writable", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the backend says.
        why: String,
    },
}

/// What charts are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Figures<'a> {
    record: &'a RunRecord,
    trial: Option<&'a TrialRecord>,
    series: &'a SeriesTable,
    latencies: &'a [Classes],
}

impl<'a> Figures<'a> {
    /// `series` are those of the trial that [`status::shown_trial`] chooses.
    pub fn new(record: &'a RunRecord, series: &'a SeriesTable) -> Self {
        Figures {
            record,
            trial: status::shown_trial(record),
            series,
            latencies: &[],
        }
    }

    /// The same with the end-to-end latencies of the shown trial, as its log has them.
    pub fn with_latencies(self, latencies: &'a [Classes]) -> Self {
        Figures { latencies, ..self }
    }

    /// The shown trial's cadence of samples, seconds.
    fn interval_s(&self) -> f64 {
        let cell = self
            .trial
            .map_or(self.record.cells.first(), |trial| Some(self.record.cell(trial)));
        cell.map_or(0.0, |cell| cell.workload.sample.interval.as_secs_f64())
    }
}

/// A chart, drawn.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The name of its files, without the extension.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it.
    pub explanation: String,
    /// The SVG document.
    pub svg: String,
    /// It compares cells that hardly differ: of less interest than the others.
    pub alike: bool,
}

/// The charts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// Orders per second over time.
    Throughput,
    /// Latency over the percentiles.
    LatencyPercentiles,
    /// Latency over time.
    LatencyOverTime,
    /// Latency of each stage's parts over the percentiles.
    StagePercentiles,
    /// Where the time goes, stage by stage.
    StageLatency,
    /// The time of an order in its parts.
    OrderTime,
    /// Messages waiting, stage by stage, over time.
    Backlog,
    /// The same on top of each other.
    BacklogStacked,
    /// How a backlog went down.
    Drain,
    /// CPU and memory over time.
    Resources,
}

impl Chart {
    /// All charts, in the order in which a report shows them.
    pub const ALL: [Chart; 10] = [
        Chart::Throughput,
        Chart::LatencyPercentiles,
        Chart::LatencyOverTime,
        Chart::StagePercentiles,
        Chart::StageLatency,
        Chart::OrderTime,
        Chart::Backlog,
        Chart::BacklogStacked,
        Chart::Drain,
        Chart::Resources,
    ];

    /// The name of its files, without the extension.
    pub const fn name(self) -> &'static str {
        match self {
            Chart::Throughput => "throughput",
            Chart::LatencyPercentiles => "latency-percentiles",
            Chart::LatencyOverTime => "latency-over-time",
            Chart::StagePercentiles => "stage-percentiles",
            Chart::StageLatency => "stage-latency",
            Chart::OrderTime => "order-time",
            Chart::Backlog => "backlog",
            Chart::BacklogStacked => "backlog-stacked",
            Chart::Drain => "drain",
            Chart::Resources => "resources",
        }
    }

    /// What it shows, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Chart::Throughput => "Throughput over time",
            Chart::LatencyPercentiles => "Latency percentiles",
            Chart::LatencyOverTime => "Latency over time",
            Chart::StagePercentiles => "Latency percentiles by stage",
            Chart::StageLatency => "Latency by stage",
            Chart::OrderTime => "Where the time of an order goes",
            Chart::Backlog => "Backlog by stage",
            Chart::BacklogStacked => "Backlog, stacked",
            Chart::Drain => "Drain",
            Chart::Resources => "CPU and memory",
        }
    }

    /// How to read it, in a sentence.
    pub const fn explanation(self) -> &'static str {
        match self {
            Chart::Throughput => {
                "Offered load is what the plan asks for, achieved rate what was published, goodput what came to its end; a gap \
                 between the first two is the driver's, a gap to the third fills the backlog."
            }
            Chart::LatencyPercentiles => {
                "Each curve says which share of the orders took no longer than so long. End-to-end counts from the instant at \
                 which an order was due; from send counts from the actual publish and hides what a late driver or a full window \
                 cost. Dashed ends rest on fewer than ten orders."
            }
            Chart::LatencyOverTime => {
                "Median and 99th percentile of the orders that came to their end in each interval, over a heat map of all of them: \
                 the darker a field, the more orders ended then after so long. An interval with too few orders has no point."
            }
            Chart::StagePercentiles => {
                "As the percentiles of orders, for each part of a delivery's time and each stage. Percentiles of stages do not \
                 add up to those of the whole. Dashed ends rest on fewer than ten deliveries."
            }
            Chart::StageLatency => {
                "For each stage the median (dot) and the 99th percentile (diamond) of the parts of a delivery's time. Percentiles \
                 of stages do not add up to those of the whole."
            }
            Chart::OrderTime => {
                "Mean time that an order's deliveries spend in each stage, all of them together. Means add up, so the longest bar is \
                 where to look first; stages marked beside do not hold the order up."
            }
            Chart::BacklogStacked => {
                "Ready plus unacknowledged messages, stage upon stage: the upper edge is the backlog of the whole pipeline."
            }
            Chart::Drain => {
                "From the instant at which nothing more piled up: messages that still waited, and beside them the straight line that \
                 service rate and arrivals predict, where there is a prediction."
            }
            Chart::Backlog => {
                "Ready plus unacknowledged messages in each stage's queue, all rows to the same scale; the largest is orange."
            }
            Chart::Resources => {
                "100 % is all processors that the process may use. A driver near its limit measures itself; see the validity."
            }
        }
    }

    /// Height in logical units.
    fn height(self, figures: &Figures<'_>) -> f64 {
        match self {
            Chart::StageLatency => stages::height(figures),
            Chart::OrderTime => order_time::height(figures),
            Chart::Backlog => backlog::height(figures),
            Chart::Resources => 520.0,
            Chart::StagePercentiles => stage_percentiles::height(figures),
            _ => 400.0,
        }
    }

    fn draw<DB: DrawingBackend>(self, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
        match self {
            Chart::Throughput => throughput::draw(canvas, figures),
            Chart::LatencyPercentiles => percentiles::draw(canvas, figures),
            Chart::LatencyOverTime => latency::draw(canvas, figures),
            Chart::StagePercentiles => stage_percentiles::draw(canvas, figures),
            Chart::StageLatency => stages::draw(canvas, figures),
            Chart::OrderTime => order_time::draw(canvas, figures),
            Chart::Backlog => backlog::draw(canvas, figures),
            Chart::BacklogStacked => stacked::draw(canvas, figures),
            Chart::Drain => drain::draw(canvas, figures),
            Chart::Resources => resources::draw(canvas, figures),
        }
    }

    /// The chart with its words, as a page shows it.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn picture(self, figures: &Figures<'_>) -> Result<Picture, ChartError> {
        Ok(Picture {
            name: self.name().to_owned(),
            title: self.title().to_owned(),
            explanation: self.explanation().to_owned(),
            svg: self.svg(figures)?,
            alike: false,
        })
    }

    /// The chart as an SVG document, 900 wide.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn svg(self, figures: &Figures<'_>) -> Result<String, ChartError> {
        picture::svg(&OfTrial { chart: self, figures })
    }

    /// Writes the chart as a PNG, 1,800 pixels wide. The name at `path` must end in `.png`.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw or write it.
    pub fn write_png(self, figures: &Figures<'_>, path: &Path) -> Result<(), ChartError> {
        picture::write_png(&OfTrial { chart: self, figures }, path)
    }
}

/// A chart of a trial with what it is drawn from.
struct OfTrial<'a> {
    chart: Chart,
    figures: &'a Figures<'a>,
}

impl Drawing for OfTrial<'_> {
    fn file_name(&self) -> String {
        self.chart.name().to_owned()
    }

    fn height(&self) -> f64 {
        self.chart.height(self.figures)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        self.chart.draw(canvas, self.figures)
    }
}

#[cfg(test)]
mod tests;
