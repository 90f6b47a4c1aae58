//! What a run says about its stages: rates, service times, waits, drains, trial by trial.

use std::collections::BTreeMap;

use super::SizingError;
use crate::events::Stage;
use crate::ledger::LedgerReport;
use crate::measure::{Series, StageSpan, Summary};
use crate::queueing::Consumers;
use crate::results::record::{RunRecord, StageRecord, TrialRecord};
use crate::workload::Workload;
use crate::workload::model::{Arrival, Faults, Jitter, ServiceTime, Shape, StageSettings, lognormal_sigma};

/// Which trials count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Those whose driver kept up.
    Valid,
    /// The others too: `--force`.
    Invalid,
}

/// The trials of a run that a model can be fitted to.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The run.
    pub record: &'a RunRecord,
    /// Its trials of use, in the order in which they ran; at least one.
    pub trials: Vec<TrialEvidence>,
    /// Why the others were left out, and how many for each reason.
    pub excluded: Vec<(String, usize)>,
}

/// What a trial says.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialEvidence {
    /// Its number.
    pub trial: u32,
    /// Position of its cell.
    pub cell: usize,
    /// Orders per second that came: planned in a steady open loop, else finished.
    pub orders_per_s: f64,
    /// Squared coefficient of variation of the gaps between orders, where the load was one rate in an open loop; absent
    /// otherwise: then waits are not those of a steady state.
    pub arrival_scv: Option<f64>,
    /// Mean time from the instant at which an order was due to its send, seconds.
    pub lag_s: f64,
    /// Its stages, in the order of the pipeline.
    pub stages: Vec<StageEvidence>,
    /// 99th percentile of the end-to-end latency, seconds; absent where too few orders carry it.
    pub p99_s: Option<f64>,
    /// Backlogs that cleared.
    pub drained: Vec<Drained>,
    /// Messages published and delivered, for each order.
    pub messages_per_order: f64,
    /// Processor seconds of the broker for each message published or delivered; absent where its process is not known.
    pub broker_s_per_message: Option<f64>,
    /// Greatest backlog, messages, and the broker's memory then, bytes; absent where it was not measured.
    pub backlog_memory: Option<(f64, f64)>,
}

/// What a trial says of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEvidence {
    /// Which.
    pub stage: Stage,
    /// Its consumers.
    pub consumers: Consumers,
    /// Messages that it gets for each order.
    pub messages_per_order: f64,
    /// Of these, those that an order's end waits for.
    pub critical_per_order: f64,
    /// Mean of the service time that its settings ask for, slow consumers among them, seconds.
    pub asked_s: f64,
    /// Variance of that, seconds squared.
    pub asked_variance: f64,
    /// Mean service time, seconds.
    pub service_s: f64,
    /// Its variance, seconds squared; absent in records of older versions.
    pub service_variance: Option<f64>,
    /// Mean time until the effect stands after the work, seconds.
    pub commit_s: f64,
    /// Mean time until what it emits is confirmed, seconds.
    pub emit_s: f64,
    /// What a message takes through the broker when it does not wait: the lowest tenth of the queue waits, seconds.
    pub transit_s: f64,
    /// Mean wait in queue and buffer beyond that, seconds.
    pub wait_s: f64,
    /// Busy share of its slots, 0 to 1.
    pub utilisation: Option<f64>,
    /// Messages per second that it finished while more waited than it can work on.
    pub saturated_per_s: Option<f64>,
}

/// A backlog that cleared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drained {
    /// Of which stage.
    pub stage: Stage,
    /// What is known of how it came about.
    pub cause: Cause,
    /// How long it took, seconds.
    pub time_s: f64,
}

/// How a backlog came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// A stage was held back: so many messages too many, so many arriving per second meanwhile.
    Held {
        /// Messages.
        excess: f64,
        /// Messages per second.
        arrival_per_s: f64,
    },
    /// More orders were planned than the stage can take: at this rate for this long, then at another.
    Overload {
        /// Orders per second while it grew.
        burst_per_s: f64,
        /// Seconds.
        burst_s: f64,
        /// Orders per second while it cleared.
        after_per_s: f64,
    },
}

impl<'a> Evidence<'a> {
    /// What the trials of `record` say.
    ///
    /// # Errors
    /// [`SizingError::NoTrials`] where none is of use.
    pub fn of(record: &'a RunRecord, include: Include) -> Result<Evidence<'a>, SizingError> {
        let mut excluded: BTreeMap<String, usize> = BTreeMap::new();
        let mut trials = Vec::new();
        for trial in &record.trials {
            match useless(record, trial, include) {
                Some(why) => *excluded.entry(why.to_owned()).or_default() += 1,
                None => match of_trial(record, trial) {
                    Some(evidence) => trials.push(evidence),
                    None => *excluded.entry("that finished no order".to_owned()).or_default() += 1,
                },
            }
        }
        let excluded: Vec<(String, usize)> = excluded.into_iter().collect();
        if trials.is_empty() {
            let forceable = excluded.iter().any(|(why, _)| why == INVALID);
            return Err(SizingError::NoTrials {
                run: record.id.clone(),
                excluded,
                help: if forceable {
                    "its report says what the driver could not keep up with; lower the load, give it a quieter machine, or take the figures as they are with --force"
                } else {
                    "let a trial end by itself, without faults, and plan from that run"
                },
            });
        }
        Ok(Evidence {
            record,
            trials,
            excluded,
        })
    }

    /// Positions of the cells with a trial of use.
    pub fn cells(&self) -> Vec<usize> {
        let mut cells: Vec<usize> = self.trials.iter().map(|trial| trial.cell).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }
}

const INVALID: &str = "invalid (the driver did not keep up)";

/// Why a trial says nothing about the pipeline as it is meant to be.
fn useless(record: &RunRecord, trial: &TrialRecord, include: Include) -> Option<&'static str> {
    let workload = &record.cell(trial).workload;
    if trial.interrupted || trial.aborted.is_some() {
        Some("cut short")
    } else if workload.faults != Faults::default() || !trial.lost_connections.is_empty() {
        Some("with faults")
    } else if !trial.validity.valid && include == Include::Valid {
        Some(INVALID)
    } else {
        None
    }
}

fn of_trial(record: &RunRecord, trial: &TrialRecord) -> Option<TrialEvidence> {
    let workload = &record.cell(trial).workload;
    let placed = trial.orders.published as f64;
    let goodput = trial.rates.goodput_per_s.filter(|rate| *rate > 0.0)?;
    let scv = arrival_scv(workload).filter(|_| trial.backlog.is_none());
    let messages = (trial.messages.published + trial.messages.delivered) as f64;
    let find = |name: &str| trial.latencies.iter().find(|summary| summary.series == name);
    let stages: Vec<StageEvidence> = trial
        .stages
        .iter()
        .filter_map(|stage| of_stage(workload.stage(stage.stage), trial, stage, placed))
        .collect();
    let resources = &trial.resources;
    let memory = resources.broker_message_bytes_max.or(resources.broker_rss_bytes_max);
    Some(TrialEvidence {
        trial: trial.trial,
        cell: trial.cell as usize,
        orders_per_s: trial
            .rates
            .offered_load_per_s
            .filter(|_| scv.is_some())
            .unwrap_or(goodput),
        arrival_scv: scv,
        lag_s: find("send_lag").and_then(|lag| lag.mean_ns).unwrap_or(0.0) / 1e9,
        drained: drained(trial),
        stages,
        p99_s: find("end_to_end")
            .and_then(|latency| latency.p99)
            .map(|p99| p99.ns as f64 / 1e9),
        messages_per_order: messages / placed,
        broker_s_per_message: resources
            .broker_cpu_s
            .filter(|_| messages > 0.0)
            .map(|cpu_s| cpu_s / messages),
        backlog_memory: trial
            .backlog_messages_max
            .zip(memory)
            .map(|(backlog, memory)| (backlog as f64, memory as f64)),
    })
}

/// Of a load of one rate; others have no steady state to speak of.
fn arrival_scv(workload: &Workload) -> Option<f64> {
    match &workload.load.arrival {
        Arrival::Open(pattern) if matches!(pattern.shape, Shape::Constant { .. }) => Some(match pattern.jitter {
            Jitter::None => 0.0,
            Jitter::Poisson => 1.0,
        }),
        _ => None,
    }
}

fn of_stage(settings: &StageSettings, trial: &TrialRecord, record: &StageRecord, placed: f64) -> Option<StageEvidence> {
    let stage = record.stage;
    let span = |span| -> Option<&Summary> {
        let name = Series::Stage(stage, span).to_string();
        trial.latencies.iter().find(|summary| summary.series == name)
    };
    let mean_s = |of| span(of).and_then(|summary| summary.mean_ns).map(|ns| ns / 1e9);
    let service = span(StageSpan::Service)?;
    let queue = span(StageSpan::QueueWait)?;
    let transit_s = queue
        .spectrum
        .iter()
        .find(|(q, _)| *q == 0.1)
        .map(|(_, ns)| *ns as f64 / 1e9)?;
    let waited_s = queue.mean_ns? / 1e9 + mean_s(StageSpan::BufferWait).unwrap_or(0.0);
    let saturated = trial.overloads.iter().filter(|overload| overload.stage == stage);
    let asked_s = asked_mean_s(settings);
    Some(StageEvidence {
        stage,
        consumers: consumers(settings),
        messages_per_order: record.delivered as f64 / placed,
        critical_per_order: critical(&trial.ledger, stage) / placed,
        asked_s,
        asked_variance: asked_variance(settings.service_time)
            * (asked_s / settings.service_time.mean_secs().max(1e-12)).powi(2),
        service_s: service.mean_ns? / 1e9,
        service_variance: service.sd_ns.map(|sd| (sd / 1e9).powi(2)),
        commit_s: mean_s(StageSpan::Commit).unwrap_or(0.0),
        emit_s: mean_s(StageSpan::Emit).unwrap_or(0.0),
        transit_s,
        wait_s: (waited_s - transit_s).max(0.0),
        utilisation: record.utilisation,
        saturated_per_s: saturated
            .filter_map(|overload| overload.finished_per_s)
            .reduce(f64::max),
    })
}

/// The consumers that settings ask for, as the models know them.
pub(super) fn consumers(settings: &StageSettings) -> Consumers {
    Consumers {
        count: if settings.queue.single_active_consumer {
            1
        } else {
            settings.consumers
        },
        concurrency: settings.concurrency,
        prefetch: settings.prefetch.map(u32::from),
    }
}

/// Mean service time that the settings ask for; that of all slots together, where some consumers are slow.
pub(super) fn asked_mean_s(settings: &StageSettings) -> f64 {
    let slots = f64::from(settings.consumers) * f64::from(settings.concurrency);
    settings.service_rate().map_or(0.0, |rate| slots / rate)
}

pub(super) fn asked_variance(time: ServiceTime) -> f64 {
    match time {
        ServiceTime::None | ServiceTime::Fixed(_) => 0.0,
        ServiceTime::Exponential(mean) => mean.as_secs_f64().powi(2),
        ServiceTime::Uniform(low, high) => (high.as_secs_f64() - low.as_secs_f64()).powi(2) / 12.0,
        ServiceTime::Lognormal(median, p99) => {
            let sigma = lognormal_sigma(median, p99);
            time.mean_secs().powi(2) * ((sigma * sigma).exp() - 1.0)
        }
    }
}

/// Effects of a stage that an order's end waited for, over all orders.
fn critical(ledger: &LedgerReport, stage: Stage) -> f64 {
    let effects = ledger
        .effects
        .iter()
        .filter(|effect| effect.stage == stage && stage.is_critical(effect.event));
    effects.map(|effect| effect.orders as f64).sum()
}

fn drained(trial: &TrialRecord) -> Vec<Drained> {
    let held = trial.backlog.as_ref().and_then(|backlog| {
        Some(Drained {
            stage: backlog.stage,
            cause: Cause::Held {
                excess: backlog.messages?.saturating_sub(backlog.level_messages?) as f64,
                arrival_per_s: backlog.arrival_rate_per_s?,
            },
            time_s: backlog.drain_time_s?,
        })
    });
    let overloads = trial.overloads.iter().filter_map(|overload| {
        let burst_s = overload.peak_s - overload.begins_s;
        let spare_per_s = overload.backlog_orders_predicted / overload.clear_time_predicted_s;
        Some(Drained {
            stage: overload.stage,
            cause: Cause::Overload {
                burst_per_s: overload.capacity_per_s + overload.backlog_orders_predicted / burst_s,
                burst_s,
                after_per_s: (overload.capacity_per_s - spare_per_s).max(0.0),
            },
            time_s: overload.clear_time_s?,
        })
    });
    let all = held.into_iter().chain(overloads);
    all.filter(|drained| drained.time_s > 0.0).collect()
}
