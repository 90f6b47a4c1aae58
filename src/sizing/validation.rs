//! The model's error on cells that it was not fitted to: each cell is foretold from all others.

use serde::Serialize;

use super::evidence::{Evidence, TrialEvidence};
use super::model::{Model, SERVICE_MIN_S, Staffing};
use crate::events::Stage;
use crate::stats;

/// Offered work over capacity from which on a trial has no steady state worth the name in its time.
const NEARLY_FULL: f64 = 0.95;

/// What is foretold and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Busy share of a stage's slots.
    Utilisation,
    /// Mean wait before a stage's work begins; its error is a share of the whole time there, wait and service.
    MeanWait,
    /// 99th percentile of the end-to-end latency.
    P99,
    /// Time in which a backlog cleared.
    Drain,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 4] = [Measure::Utilisation, Measure::MeanWait, Measure::P99, Measure::Drain];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Utilisation => "utilisation",
            Measure::MeanWait => "mean wait",
            Measure::P99 => "end-to-end p99",
            Measure::Drain => "drain time",
        }
    }
}

/// A figure of a trial, foretold from the other cells, and measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// Of what.
    pub measure: Measure,
    /// Position of the cell.
    pub cell: usize,
    /// Number of the trial.
    pub trial: u32,
    /// Of a stage; absent for the whole pipeline.
    pub stage: Option<Stage>,
    /// Foretold; a share, or seconds.
    pub predicted: f64,
    /// Measured.
    pub measured: f64,
    /// What the difference is a share of.
    pub scale: f64,
}

impl Pair {
    /// Its relative error, above zero where too much was foretold.
    pub fn error(&self) -> f64 {
        (self.predicted - self.measured) / self.scale
    }
}

/// Errors of a measure, as shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// The median of their sizes.
    pub median: f64,
    /// The worst.
    pub worst: f64,
    /// Of so many figures.
    pub figures: usize,
}

/// All pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// In the order of the trials.
    pub pairs: Vec<Pair>,
    /// Trials without a wait to compare: too near to saturation, or of a load that is not steady.
    pub unsteady: usize,
}

impl Validation {
    /// Foretells each cell from the others.
    pub fn of(evidence: &Evidence<'_>) -> Validation {
        let mut validation = Validation {
            pairs: Vec::new(),
            unsteady: 0,
        };
        for cell in evidence.cells() {
            let others = evidence.trials.iter().filter(|trial| trial.cell != cell);
            let Some(model) = Model::fit(others) else { continue };
            for trial in evidence.trials.iter().filter(|trial| trial.cell == cell) {
                validation.add(&model, trial);
            }
        }
        validation
    }

    fn add(&mut self, model: &Model, trial: &TrialEvidence) {
        let mut full = 0.0_f64;
        let mut waits = Vec::new();
        for seen in trial.stages.iter().filter(|seen| seen.service_s >= SERVICE_MIN_S) {
            let (Some(stage), staffed) = (model.stage(seen.stage), Staffing::from(seen)) else {
                continue;
            };
            let pair = |measure, predicted, measured, scale| Pair {
                measure,
                cell: trial.cell,
                trial: trial.trial,
                stage: Some(seen.stage),
                predicted,
                measured,
                scale,
            };
            if let Some(measured) = seen.utilisation.filter(|measured| *measured > 0.0) {
                let predicted = stage.utilisation(&staffed, trial.orders_per_s);
                self.pairs
                    .push(pair(Measure::Utilisation, predicted, measured, measured));
            }
            let load = stage
                .capacity_per_s(&staffed)
                .map_or(0.0, |capacity| trial.orders_per_s / capacity);
            full = full.max(load);
            let wait = trial
                .arrival_scv
                .and_then(|scv| stage.wait(&staffed, trial.orders_per_s, scv));
            waits.extend(wait.map(|wait| {
                pair(
                    Measure::MeanWait,
                    wait.mean_s,
                    seen.wait_s,
                    seen.wait_s + seen.service_s,
                )
            }));
        }
        match trial.arrival_scv.filter(|_| full < NEARLY_FULL) {
            Some(scv) => {
                self.pairs.extend(waits);
                self.pairs.extend(p99(model, trial, scv));
            }
            None => self.unsteady += 1,
        }
        self.pairs.extend(drains(model, trial));
    }

    /// How far a measure was off; absent where nothing of it was compared.
    pub fn errors(&self, measure: Measure) -> Option<Errors> {
        let errors = self
            .pairs
            .iter()
            .filter(|pair| pair.measure == measure)
            .map(|pair| pair.error().abs());
        let errors: Vec<f64> = errors.filter(|error| error.is_finite()).collect();
        Some(Errors {
            median: stats::median(&errors)?,
            worst: errors.iter().copied().fold(0.0, f64::max),
            figures: errors.len(),
        })
    }
}

fn p99(model: &Model, trial: &TrialEvidence, scv: f64) -> Option<Pair> {
    let measured = trial.p99_s?;
    let staffing = |stage| trial.stages.iter().find(|seen| seen.stage == stage).map(Staffing::from);
    let journey = model.journey(trial.orders_per_s, scv, staffing)?;
    Some(Pair {
        measure: Measure::P99,
        cell: trial.cell,
        trial: trial.trial,
        stage: None,
        predicted: journey.quantile_s(0.99),
        measured,
        scale: measured,
    })
}

fn drains<'a>(model: &'a Model, trial: &'a TrialEvidence) -> impl Iterator<Item = Pair> + 'a {
    trial.drained.iter().filter_map(|drained| {
        let seen = trial.stages.iter().find(|seen| seen.stage == drained.stage)?;
        Some(Pair {
            measure: Measure::Drain,
            cell: trial.cell,
            trial: trial.trial,
            stage: Some(drained.stage),
            predicted: model.drain_s(drained, &Staffing::from(seen))?,
            measured: drained.time_s,
            scale: drained.time_s,
        })
    })
}
