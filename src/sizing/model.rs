//! The fitted model: what a message costs each stage, and what follows for a rate and a number of consumers.
//!
//! A stage's service time is what its settings ask for and an overhead that is the same in all cells; so a cell with another service
//! time is foretold from the others. Where settings ask for none (the work is a store's), the overhead is all of it.

use serde::Serialize;

use super::evidence::{Cause, Drained, StageEvidence, TrialEvidence};
use super::forecast::flow_order;
use crate::events::Stage;
use crate::queueing::{self, Consumers, Delay, Journey, Segment, Usl, Wait, Work};
use crate::stats;

/// Mean service times below this are no work to plan for, seconds: timers and the driver's own scheduling are as long.
pub const SERVICE_MIN_S: f64 = 0.000_5;

/// What a message costs, stage by stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// The stages, in the order in which an order's messages reach them.
    pub stages: Vec<StageModel>,
    /// Mean time from an order's instant to its send, seconds.
    pub lag_s: f64,
    /// Messages published and delivered for each order.
    pub messages_per_order: f64,
    /// Processor seconds of the broker for each of them; absent where its process was not known.
    pub broker_s_per_message: Option<f64>,
    /// Broker's memory for each message that waits, bytes; absent where backlogs were too alike to tell.
    pub memory_per_message: Option<f64>,
}

/// What a message costs a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageModel {
    /// Which.
    pub stage: Stage,
    /// Messages that it gets for each order.
    pub messages_per_order: f64,
    /// Of these, those that an order's end waits for.
    pub critical_per_order: f64,
    /// Service time beyond what its settings ask for, seconds.
    pub overhead_s: f64,
    /// Variance beyond what its settings ask for, seconds squared.
    pub overhead_variance: f64,
    /// Time between the end of one message's work and the begin of the next one's while more wait, seconds; 0 where no stage was
    /// overloaded, so that it could be seen.
    pub gap_s: f64,
    /// Until the effect stands, after the work, seconds.
    pub commit_s: f64,
    /// Time that a delivery is held beside the service: commit, confirms, and the way of acknowledgement and next delivery,
    /// seconds.
    pub beside_s: f64,
    /// What a message takes through the broker without waiting, seconds.
    pub transit_s: f64,
    /// How capacity grows with consumers, where it was measured at enough of them.
    pub scaling: Option<Usl>,
}

/// A stage as it is staffed: what the model needs of its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Staffing {
    /// Its consumers.
    pub consumers: Consumers,
    /// Mean service time that its settings ask for, seconds.
    pub asked_s: f64,
    /// Variance of that, seconds squared.
    pub asked_variance: f64,
}

impl From<&StageEvidence> for Staffing {
    fn from(stage: &StageEvidence) -> Staffing {
        Staffing {
            consumers: stage.consumers,
            asked_s: stage.asked_s,
            asked_variance: stage.asked_variance,
        }
    }
}

impl Model {
    /// The model of these trials, at least one; absent if none has a stage.
    pub fn fit<'a>(trials: impl Iterator<Item = &'a TrialEvidence>) -> Option<Model> {
        let trials: Vec<&TrialEvidence> = trials.collect();
        let median = |values: Vec<f64>| stats::median(&values);
        let stages = flow_order().into_iter().filter_map(|stage| {
            let seen: Vec<&StageEvidence> = trials
                .iter()
                .flat_map(|trial| trial.stages.iter().filter(|of| of.stage == stage))
                .collect();
            StageModel::fit(stage, &seen)
        });
        let stages: Vec<StageModel> = stages.collect();
        (!stages.is_empty()).then(|| Model {
            stages,
            lag_s: median(trials.iter().map(|trial| trial.lag_s).collect()).unwrap_or(0.0),
            messages_per_order: median(trials.iter().map(|trial| trial.messages_per_order).collect()).unwrap_or(0.0),
            broker_s_per_message: median(trials.iter().filter_map(|trial| trial.broker_s_per_message).collect()),
            memory_per_message: memory_per_message(&trials),
        })
    }

    /// What it knows of a stage.
    pub fn stage(&self, stage: Stage) -> Option<&StageModel> {
        self.stages.iter().find(|model| model.stage == stage)
    }

    /// The way of an order through staffed stages at a rate: its delays; absent where a stage cannot keep up.
    pub fn journey(
        &self,
        orders_per_s: f64,
        arrival_scv: f64,
        staffing: impl Fn(Stage) -> Option<Staffing>,
    ) -> Option<Journey> {
        let mut journey = Journey::default();
        journey.add(Delay::constant(self.lag_s), 1.0);
        let mut scv = arrival_scv;
        for stage in &self.stages {
            let Some(staffed) = staffing(stage.stage) else { continue };
            let wait = stage.wait(&staffed, orders_per_s, scv)?;
            let work = stage.work(&staffed);
            let times = stage.critical_per_order;
            if stage.stage.is_in_chain() {
                scv = stage.departure_scv(&staffed, orders_per_s, scv);
            }
            if times > 0.0 {
                journey.add(Delay::constant(stage.transit_s + stage.commit_s), times);
                journey.add(Delay::from(wait), times);
                journey.add(Delay::of_moments(work.service_s, work.service_scv), times);
            }
        }
        Some(journey)
    }

    /// How long a backlog like that one should have taken to clear; absent where it never would, or there would be none.
    pub fn drain_s(&self, drained: &Drained, staffed: &Staffing) -> Option<f64> {
        let stage = self.stage(drained.stage)?;
        match drained.cause {
            Cause::Held { excess, arrival_per_s } => {
                let spare = stage.capacity_messages_per_s(staffed)? - arrival_per_s;
                (spare > 0.0 && excess > 0.0).then(|| excess / spare)
            }
            Cause::Overload {
                burst_per_s,
                burst_s,
                after_per_s,
            } => {
                let capacity = stage.capacity_per_s(staffed)?;
                let burst = Segment {
                    duration_s: burst_s,
                    rate_per_s: burst_per_s,
                };
                let (_, backlog) = queueing::pass(&[burst], capacity).peak();
                let spare = capacity - after_per_s;
                (spare > 0.0 && backlog > 0.0).then(|| backlog / spare)
            }
        }
    }
}

/// The slope of memory over backlog, where backlogs differ at least twofold and by a thousand messages.
fn memory_per_message(trials: &[&TrialEvidence]) -> Option<f64> {
    let points: Vec<(f64, f64)> = trials.iter().filter_map(|trial| trial.backlog_memory).collect();
    let (least, most) = points.iter().fold((f64::MAX, 0.0_f64), |(least, most), (backlog, _)| {
        (least.min(*backlog), most.max(*backlog))
    });
    let apart = points.len() >= 3 && most > 2.0 * least && most - least >= 1_000.0;
    apart
        .then(|| stats::theil_sen(&points))
        .flatten()
        .map(|slope| slope.value)
        .filter(|bytes| *bytes > 0.0)
}

impl StageModel {
    fn fit(stage: Stage, seen: &[&StageEvidence]) -> Option<StageModel> {
        let median =
            |of: &dyn Fn(&StageEvidence) -> f64| stats::median(&seen.iter().map(|one| of(one)).collect::<Vec<_>>());
        let least = |of: &dyn Fn(&StageEvidence) -> f64| seen.iter().map(|one| of(one)).reduce(f64::min);
        let variances = seen
            .iter()
            .filter_map(|one| Some((one.service_variance? - one.asked_variance).max(0.0)));
        let transit_s = least(&|one| one.transit_s)?;
        Some(StageModel {
            stage,
            messages_per_order: median(&|one| one.messages_per_order)?,
            critical_per_order: median(&|one| one.critical_per_order)?,
            overhead_s: median(&|one| one.service_s - one.asked_s)?.max(0.0),
            overhead_variance: stats::median(&variances.collect::<Vec<_>>()).unwrap_or(0.0),
            gap_s: stats::median(&seen.iter().filter_map(|one| gap_s(one)).collect::<Vec<_>>()).unwrap_or(0.0),
            commit_s: median(&|one| one.commit_s)?,
            beside_s: median(&|one| one.commit_s + one.emit_s)? + transit_s,
            transit_s,
            scaling: scaling(seen),
        })
    }

    /// What a message costs a consumer.
    pub fn work(&self, staffed: &Staffing) -> Work {
        let service_s = staffed.asked_s + self.overhead_s;
        let variance = staffed.asked_variance + self.overhead_variance;
        Work {
            service_s,
            service_scv: if service_s > 0.0 {
                variance / service_s.powi(2)
            } else {
                0.0
            },
            beside_s: self.beside_s,
        }
    }

    /// Messages per second that the staffed stage can finish; absent where the work takes no time.
    pub fn capacity_messages_per_s(&self, staffed: &Staffing) -> Option<f64> {
        let work = self.work(staffed);
        let with_gap = Work {
            service_s: work.service_s + self.gap_s,
            beside_s: (work.beside_s - self.gap_s).max(0.0),
            ..work
        };
        let straight = staffed.consumers.capacity_per_s(with_gap)?;
        let trusted = self.scaling.filter(Usl::is_trusted);
        Some(straight * trusted.map_or(1.0, |law| efficiency(&law, f64::from(staffed.consumers.count))))
    }

    /// The same in orders.
    pub fn capacity_per_s(&self, staffed: &Staffing) -> Option<f64> {
        let messages = self.capacity_messages_per_s(staffed)?;
        (self.messages_per_order > 0.0).then(|| messages / self.messages_per_order)
    }

    /// Busy share of its slots at a rate of orders: at most 1.
    pub fn utilisation(&self, staffed: &Staffing, orders_per_s: f64) -> f64 {
        let work = self.work(staffed);
        let messages = orders_per_s * self.messages_per_order;
        let done = self
            .capacity_messages_per_s(staffed)
            .map_or(messages, |most| messages.min(most));
        (done * work.service_s / f64::from(staffed.consumers.slots())).min(1.0)
    }

    /// The wait for a free slot; absent where the stage cannot keep up.
    pub fn wait(&self, staffed: &Staffing, orders_per_s: f64, arrival_scv: f64) -> Option<Wait> {
        let work = self.work(staffed);
        if work.service_s <= 0.0 {
            return Some(Wait {
                mean_s: 0.0,
                probability: 0.0,
            });
        }
        let scv = if self.messages_per_order > 1.5 {
            1.0
        } else {
            arrival_scv
        };
        staffed
            .consumers
            .wait(work, orders_per_s * self.messages_per_order, scv)
    }

    fn departure_scv(&self, staffed: &Staffing, orders_per_s: f64, arrival_scv: f64) -> f64 {
        let work = self.work(staffed);
        queueing::Station {
            servers: staffed.consumers.slots(),
            arrival_per_s: orders_per_s * self.messages_per_order,
            arrival_scv: if self.messages_per_order > 1.5 {
                1.0
            } else {
                arrival_scv
            },
            service_s: work.service_s,
            service_scv: work.service_scv,
        }
        .departure_scv()
    }
}

/// What passed between two messages of an overloaded stage; absent where none was, or where its prefetch held it back.
fn gap_s(seen: &StageEvidence) -> Option<f64> {
    let cycle_s = f64::from(seen.consumers.slots()) / seen.saturated_per_s.filter(|per_s| *per_s > 0.0)?;
    let ahead = seen
        .consumers
        .prefetch
        .is_none_or(|prefetch| prefetch > seen.consumers.concurrency);
    ahead.then(|| (cycle_s - seen.service_s).max(0.0))
}

/// Share of straight scaling that is left at `n` consumers.
fn efficiency(law: &Usl, n: f64) -> f64 {
    (law.capacity(n) / (n * law.of_one)).clamp(0.0, 1.0)
}

/// The law of capacities that were measured under overload, at the same service time and prefetch.
fn scaling(seen: &[&StageEvidence]) -> Option<Usl> {
    let first = seen.iter().find(|one| one.saturated_per_s.is_some())?;
    let alike = |one: &StageEvidence| {
        let same = |a: f64, b: f64| (a - b).abs() <= 0.01 * a.max(b);
        same(one.asked_s, first.asked_s) && one.consumers.prefetch == first.consumers.prefetch
    };
    let points: Vec<(f64, f64)> = seen
        .iter()
        .filter(|one| alike(one))
        .filter_map(|one| Some((f64::from(one.consumers.count), one.saturated_per_s?)))
        .collect();
    queueing::fit_usl(&points, 1).ok()
}
