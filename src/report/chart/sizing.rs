//! Charts of a plan: the backlog under the burst, utilisation by stage, the model beside what was measured, and how capacity scales.

mod backlog;
mod scaling;
mod utilisation;
mod validation;

use std::path::Path;

use plotters::prelude::DrawingBackend;

use super::canvas::{Canvas, Drawn};
use super::picture::{self, Drawing};
use super::{ChartError, Figures, Picture};
use crate::results::record::RunRecord;
use crate::results::series::SeriesTable;
use crate::sizing::Plan;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Backlog,
    Utilisation,
    Validation,
    Scaling,
}

/// A chart of a plan.
#[derive(Debug, Clone, Copy)]
pub struct SizingChart<'a> {
    plan: &'a Plan,
    record: &'a RunRecord,
    kind: Kind,
}

/// The charts that a plan has something to show for.
pub fn charts<'a>(plan: &'a Plan, record: &'a RunRecord) -> Vec<SizingChart<'a>> {
    let has = |kind: &Kind| match kind {
        Kind::Backlog => plan.flow.is_some(),
        Kind::Utilisation => true,
        Kind::Validation => !plan.validation.pairs.is_empty(),
        Kind::Scaling => scaling::law(plan).is_some(),
    };
    let kinds = [Kind::Backlog, Kind::Utilisation, Kind::Validation, Kind::Scaling];
    kinds
        .into_iter()
        .filter(has)
        .map(|kind| SizingChart { plan, record, kind })
        .collect()
}

impl SizingChart<'_> {
    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Backlog => "plan-backlog",
            Kind::Utilisation => "plan-utilisation",
            Kind::Validation => "plan-validation",
            Kind::Scaling => "plan-scaling",
        }
    }

    const fn title(&self) -> &'static str {
        match self.kind {
            Kind::Backlog => "Backlog under the burst",
            Kind::Utilisation => "Utilisation by stage",
            Kind::Validation => "Model against measurement",
            Kind::Scaling => "Capacity over consumers",
        }
    }

    const fn explanation(&self) -> &'static str {
        match self.kind {
            Kind::Backlog => {
                "What the fluid model foretells from the begin of the burst: messages that wait, in all queues and in those that hold \
                 most, and the end of the drain that was asked for."
            }
            Kind::Utilisation => {
                "Busy share of each stage's consumers at the rate, with those lost that the plan allows for. The bar is the interval of the \
                 model; the dashed line is the most that the plan lets consumers be busy."
            }
            Kind::Validation => {
                "Each figure of each cell as a model foretold it that was fitted to the other cells, against what was measured; on the \
                 line both are equal, between the dashed ones they differ by no more than 15 %."
            }
            Kind::Scaling => {
                "Messages per second that a stage finished under overload, and the Universal Scalability Law through them; dashed where \
                 it reaches beyond what was measured."
            }
        }
    }

    /// The chart with its words, as a page shows it.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn picture(&self) -> Result<Picture, ChartError> {
        Ok(Picture {
            name: self.name().to_owned(),
            title: self.title().to_owned(),
            explanation: self.explanation().to_owned(),
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
}

impl Drawing for SizingChart<'_> {
    fn file_name(&self) -> String {
        self.name().to_owned()
    }

    fn height(&self) -> f64 {
        match self.kind {
            Kind::Utilisation => utilisation::height(self.plan),
            _ => 400.0,
        }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        let series = SeriesTable::default();
        let figures = Figures {
            record: self.record,
            trial: None,
            series: &series,
            latencies: &[],
        };
        match self.kind {
            Kind::Backlog => backlog::draw(canvas, &figures, self.title(), self.plan),
            Kind::Utilisation => utilisation::draw(canvas, &figures, self.title(), self.plan),
            Kind::Validation => validation::draw(canvas, &figures, self.title(), self.plan),
            Kind::Scaling => scaling::draw(canvas, &figures, self.title(), self.plan),
        }
    }
}
