//! What a plan foretold of a workload, beside what a trial of it measured.

use crate::events::Stage;
use crate::results::record::{OverloadRecord, TrialRecord};
use crate::workload::Workload;
use crate::workload::objective::Unit;

/// A figure that was foretold.
#[derive(Debug, Clone, PartialEq)]
pub struct Foretold {
    /// Its name, which is its key in the workload.
    pub figure: &'static str,
    /// Of a stage; absent for the whole pipeline.
    pub stage: Option<Stage>,
    /// What it is counted in.
    pub unit: Unit,
    /// What was foretold, in the base unit.
    pub predicted: f64,
    /// What was measured; absent where it was not, or too few samples carry it.
    pub measured: Option<f64>,
}

impl Foretold {
    /// Foretold over measured, less one: above zero where too much was foretold. Absent without a measured value.
    pub fn error(&self) -> Option<f64> {
        let measured = self.measured.filter(|measured| *measured > 0.0)?;
        Some(self.predicted / measured - 1.0)
    }
}

/// All that was foretold of `workload`, beside what `trial` measured; empty where nothing was.
pub fn of(workload: &Workload, trial: &TrialRecord) -> Vec<Foretold> {
    let prediction = &workload.prediction;
    let overload = greatest(trial);
    let figure = |figure, unit, predicted: Option<f64>, measured| {
        predicted.map(|predicted| Foretold {
            figure,
            stage: None,
            unit,
            predicted,
            measured,
        })
    };
    let p99 = trial
        .latencies
        .iter()
        .find(|summary| summary.series == "end_to_end")
        .and_then(|latency| latency.p99);
    let of_pipeline = [
        figure(
            "sustainable_rate",
            Unit::PerSecond,
            prediction.sustainable_rate.map(|rate| rate.per_second()),
            overload.and_then(|overload| orders_per_s(overload, trial)),
        ),
        figure(
            "drain_time",
            Unit::Seconds,
            prediction.drain_time.map(|time| time.as_secs_f64()),
            overload.and_then(|overload| overload.clear_time_s),
        ),
        figure(
            "backlog_max",
            Unit::Count,
            prediction.backlog_max.map(|messages| messages as f64),
            trial.backlog_messages_max.map(|messages| messages as f64),
        ),
        figure(
            "end_to_end_p99",
            Unit::Seconds,
            prediction.end_to_end_p99.map(|time| time.as_secs_f64()),
            p99.map(|p99| p99.ns as f64 / 1e9),
        ),
    ];
    let of_stages = trial.stages.iter().filter_map(|record| {
        let predicted = workload.stage(record.stage).predicted_utilisation?;
        Some(Foretold {
            figure: "utilisation",
            stage: Some(record.stage),
            unit: Unit::Share,
            predicted: predicted.0,
            measured: record.utilisation,
        })
    });
    of_pipeline.into_iter().flatten().chain(of_stages).collect()
}

fn greatest(trial: &TrialRecord) -> Option<&OverloadRecord> {
    let size = |overload: &&OverloadRecord| overload.backlog_orders_predicted;
    trial.overloads.iter().max_by(|a, b| size(a).total_cmp(&size(b)))
}

/// Orders that the overloaded stage took per second: its messages, by how many it gets for each order.
fn orders_per_s(overload: &OverloadRecord, trial: &TrialRecord) -> Option<f64> {
    let stage = trial.stages.iter().find(|record| record.stage == overload.stage)?;
    let messages = stage.delivered.saturating_sub(stage.redelivered) as f64;
    (messages > 0.0).then_some(overload.finished_per_s? * trial.orders.published as f64 / messages)
}
