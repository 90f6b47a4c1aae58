//! From a demand to consumers, prefetch, backlog and drain.

use serde::Serialize;

use super::demand::Demand;
use super::evidence::{self, Evidence};
use super::forecast::{Flow, Server};
use super::model::{Model, SERVICE_MIN_S, Staffing};
use super::rows::{Origin, Row, Unit};
use super::validation::{Measure, Validation};
use super::{CELLS_MIN, SizingError, StageModel};
use crate::events::Stage;
use crate::queueing::{Consumers, REACH, Segment, capacity_to_drain};
use crate::workload::Workload;
use crate::workload::model::{AckMode, QueueType, StageSettings};

/// Most consumers of a stage; the table of keys says so too.
const CONSUMERS_MAX: u32 = 1_000;
/// The least that a figure of the model may be off, as a share: machines are no quieter.
const ERROR_MIN: f64 = 0.02;
/// … where nothing was compared.
const ERROR_UNKNOWN: f64 = 0.15;
/// An error from which on the plan warns.
const ERROR_LARGE: f64 = 0.25;
/// Memory and disk that a message takes beside its body, bytes, at least, usually and at most, where no run says better.
const BESIDE_BODY: [f64; 3] = [200.0, 1_024.0, 3_072.0];
/// Bodies are at least about as large as this: what an event has to say.
const BODY_MIN: f64 = 300.0;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What was asked.
    pub demand: Demand,
    /// The cell whose settings it keeps, but for consumers and prefetch: its label, or the workload's name.
    pub settings_of: String,
    /// Its position in the record.
    pub cell: usize,
    /// The stages, in the order of the flow.
    pub stages: Vec<StagePlan>,
    /// What the model was fitted to be.
    pub model: Model,
    /// How far it is off.
    pub validation: Validation,
    /// Orders per second that the narrowest stage can take, losses taken away.
    pub sustainable_per_s: f64,
    /// The load over time, from the begin of the burst; without a burst nothing.
    pub load: Vec<(f64, f64)>,
    /// Backlogs under the burst, from its begin.
    pub flow: Option<Flow>,
    /// From the end of the burst until nothing waits.
    pub drain_s: Option<f64>,
    /// 99th percentile of the end-to-end latency at the rate.
    pub p99_s: Option<f64>,
    /// Every figure.
    pub rows: Vec<Row>,
    /// What to know before the figures are used.
    pub warnings: Vec<String>,
    /// Why the demand cannot be met; empty if it can.
    pub impossible: Vec<String>,
}

/// What is planned for a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StagePlan {
    /// Which.
    pub stage: Stage,
    /// Consumers.
    pub consumers: u32,
    /// Consumers if the model is off as far as it was in the worst cell, for the better and for the worse.
    pub consumers_between: (u32, u32),
    /// Of these, those that are left after the loss.
    pub left: u32,
    /// Deliveries that each may hold; absent where the broker does not wait for acknowledgements.
    pub prefetch: Option<u32>,
    /// Orders per second that those left can take.
    pub capacity_per_s: f64,
    /// Busy share of those left, at the rate.
    pub utilisation: f64,
    /// Mean service time, seconds.
    pub service_s: f64,
    /// Whether its work is long enough to be planned for.
    pub works: bool,
    #[serde(skip)]
    staffed: Option<Staffing>,
}

/// Plans `demand` from what a run measured; settings other than consumers and prefetch are those of the cell at `cell`.
///
/// # Errors
/// [`SizingError`] where the evidence is missing. A demand that cannot be met is no error: see [`Plan::impossible`].
pub fn plan(evidence: &Evidence<'_>, cell: usize, demand: &Demand) -> Result<Plan, SizingError> {
    let record = evidence.record;
    let cells = evidence.cells().len();
    if cells < CELLS_MIN {
        return Err(SizingError::TooFewCells {
            run: record.id.clone(),
            found: cells,
            excluded: evidence.excluded.clone(),
        });
    }
    let seen = evidence.trials.iter().flat_map(|trial| &trial.stages);
    let longest = seen.map(|stage| stage.service_s).fold(0.0, f64::max);
    let model = Model::fit(evidence.trials.iter()).filter(|_| longest >= SERVICE_MIN_S);
    let model = model.ok_or_else(|| SizingError::NoServiceTime {
        run: record.id.clone(),
        longest: format!("{:.3} ms", longest * 1e3),
    })?;
    let validation = Validation::of(evidence);
    let workload = &record.cells[cell].workload;
    let errors = validation.errors(Measure::Utilisation);
    let mut planner = Planner {
        evidence,
        workload,
        demand,
        model: &model,
        error: errors.map_or(ERROR_UNKNOWN, |errors| errors.worst.clamp(ERROR_MIN, 0.5)),
        impossible: Vec::new(),
    };
    let mut stages = planner.staffed();
    let p99_s = planner.hold_p99(&mut stages);
    let impossible = std::mem::take(&mut planner.impossible);
    let outlook = planner.outlook(&stages, 1.0);
    let warnings = planner.warnings(&stages, &validation);
    let rows = planner.rows(&stages, &outlook, p99_s, &validation);
    Ok(Plan {
        demand: demand.clone(),
        settings_of: match record.cells[cell].label.as_str() {
            "" => record.name.clone(),
            label => label.to_owned(),
        },
        cell,
        sustainable_per_s: outlook.sustainable_per_s,
        load: planner.load(),
        drain_s: outlook.drain_s,
        flow: outlook.flow,
        p99_s,
        rows,
        warnings,
        impossible,
        stages,
        model,
        validation,
    })
}

struct Planner<'a> {
    evidence: &'a Evidence<'a>,
    workload: &'a Workload,
    demand: &'a Demand,
    model: &'a Model,
    /// How far service times, and so capacities, may be off, as a share.
    error: f64,
    impossible: Vec<String>,
}

/// What the burst does to a staffed pipeline.
struct Outlook {
    sustainable_per_s: f64,
    flow: Option<Flow>,
    drain_s: Option<f64>,
}

impl Planner<'_> {
    /// Orders per second that each stage must be able to take: for the rate at the utilisation asked for, and for the drain.
    fn capacity_needed(&self) -> f64 {
        let rate = self.demand.rate_per_s();
        let steady = rate / self.demand.utilisation_max.0;
        let drained = self.demand.burst.zip(self.demand.burst_per_s()).zip(self.demand.drain);
        let clearing = drained.map(|((burst, burst_per_s), drain)| {
            capacity_to_drain(rate, burst_per_s, burst.lasts.as_secs_f64(), drain.as_secs_f64())
        });
        steady.max(clearing.unwrap_or(0.0))
    }

    fn staffing(&self, model: &StageModel, settings: &StageSettings, count: u32) -> Staffing {
        let mut staffed = Staffing {
            consumers: Consumers {
                count: if settings.queue.single_active_consumer {
                    1
                } else {
                    count
                },
                ..evidence::consumers(settings)
            },
            asked_s: evidence::asked_mean_s(settings),
            asked_variance: variance(settings),
        };
        let work = model.work(&staffed);
        if settings.ack == AckMode::Auto {
            staffed.consumers.prefetch = None;
        } else if work.service_s >= SERVICE_MIN_S {
            let needed = Consumers::prefetch_needed(settings.concurrency, work);
            let batches = u32::from(settings.ack_batch).max(settings.commit_batch);
            staffed.consumers.prefetch = Some(needed.max(batches));
        }
        staffed
    }

    /// The fewest consumers of which enough are left, if service times are so many times as long; absent if there are none.
    fn consumers(&self, model: &StageModel, settings: &StageSettings, factor: f64) -> Option<u32> {
        let needed = self.capacity_needed() * factor;
        let enough = |count: &u32| {
            let left = self.demand.left_of(*count);
            let capacity = model.capacity_per_s(&self.staffing(model, settings, left.max(1)));
            left > 0 && capacity.is_none_or(|capacity| capacity >= needed)
        };
        (1..=CONSUMERS_MAX).find(enough)
    }

    /// All stages with the fewest consumers for rate and drain.
    fn staffed(&mut self) -> Vec<StagePlan> {
        let models = self
            .model
            .stages
            .iter()
            .filter(|model| self.workload.pipeline.position(model.stage).is_some());
        let mut impossible = Vec::new();
        let stages = models.map(|model| {
            let settings = self.workload.stage(model.stage);
            let found = self.consumers(model, settings, 1.0);
            if found.is_none() {
                impossible.push(self.never_enough(model, settings));
            }
            let consumers = found.unwrap_or(CONSUMERS_MAX);
            let at = |factor| self.consumers(model, settings, factor).unwrap_or(CONSUMERS_MAX);
            let between = (at(1.0 - self.error), at(1.0 + self.error));
            self.stage_plan(model, consumers, between)
        });
        let stages = stages.collect();
        self.impossible.extend(impossible);
        stages
    }

    fn stage_plan(&self, model: &StageModel, consumers: u32, consumers_between: (u32, u32)) -> StagePlan {
        let left = self.demand.left_of(consumers).max(1);
        let staffed = self.staffing(model, self.workload.stage(model.stage), left);
        let service_s = model.work(&staffed).service_s;
        StagePlan {
            stage: model.stage,
            consumers,
            consumers_between,
            left,
            prefetch: staffed.consumers.prefetch,
            capacity_per_s: model.capacity_per_s(&staffed).unwrap_or(f64::MAX),
            utilisation: model.utilisation(&staffed, self.demand.rate_per_s()),
            service_s,
            works: service_s >= SERVICE_MIN_S,
            staffed: Some(staffed),
        }
    }

    fn never_enough(&self, model: &StageModel, settings: &StageSettings) -> String {
        let stage = model.stage;
        let needed = self.capacity_needed();
        let one = model.capacity_per_s(&self.staffing(model, settings, 1)).unwrap_or(0.0);
        if settings.queue.single_active_consumer {
            return format!(
                "stage.{stage}.single_active_consumer: one consumer at a time takes {one:.1} orders/s, and {needed:.1} are needed; shorten its work or share its queue out"
            );
        }
        let peak = model.scaling.filter(|law| law.is_trusted()).and_then(|law| law.peak());
        match peak {
            Some(peak) if peak < f64::from(CONSUMERS_MAX) => format!(
                "the {stage} stage never takes the {needed:.1} orders/s that are needed: by the scaling that was measured its capacity is greatest at {peak:.0} consumers; shorten its work or share its queue out"
            ),
            _ => format!(
                "the {stage} stage would need more than {CONSUMERS_MAX} consumers: one takes {one:.2} orders/s, and {needed:.1} are needed; shorten its work, raise stage.{stage}.concurrency, or allow a longer drain"
            ),
        }
    }

    fn p99_s(&self, stages: &[StagePlan]) -> Option<f64> {
        let staffing = |stage| stages.iter().find(|plan| plan.stage == stage)?.staffed;
        // Customers know nothing of each other.
        let journey = self.model.journey(self.demand.rate_per_s(), 1.0, staffing)?;
        Some(journey.quantile_s(0.99))
    }

    /// Adds consumers where orders wait longest until the 99th percentile holds; says what it is then.
    fn hold_p99(&mut self, stages: &mut [StagePlan]) -> Option<f64> {
        let mut found = self.p99_s(stages);
        let Some(objective) = self.demand.p99.map(|p99| p99.as_secs_f64()) else {
            return found;
        };
        let idle = |stage| {
            let plan = stages.iter().find(|plan: &&StagePlan| plan.stage == stage)?;
            let mut staffed = plan.staffed?;
            staffed.consumers.count = CONSUMERS_MAX;
            Some(staffed)
        };
        let least = self
            .model
            .journey(self.demand.rate_per_s(), 1.0, idle)
            .map(|journey| journey.quantile_s(0.99));
        if least.is_some_and(|least| least > objective) {
            self.impossible.push(format!(
                "--p99 {}: even with {CONSUMERS_MAX} consumers everywhere 1 in 100 orders takes longer than {:.3} s, by the service times alone; shorten the work, or allow more",
                self.demand.p99.unwrap_or_default(),
                least.unwrap_or_default()
            ));
            return found;
        }
        while found.is_some_and(|p99| p99 > objective) {
            let Some(slowest) = self.longest_wait(stages) else {
                break;
            };
            let plan = &stages[slowest];
            let Some(model) = self.model.stage(plan.stage) else {
                break;
            };
            let (low, high) = plan.consumers_between;
            stages[slowest] = self.stage_plan(model, plan.consumers + 1, (low, high.max(plan.consumers + 1)));
            found = self.p99_s(stages);
        }
        found
    }

    /// The stage at which an order waits longest on its way, that may have more consumers.
    fn longest_wait(&self, stages: &[StagePlan]) -> Option<usize> {
        let waits = stages.iter().enumerate().filter_map(|(at, plan)| {
            let model = self.model.stage(plan.stage)?;
            let wait = model.wait(&plan.staffed?, self.demand.rate_per_s(), 1.0)?;
            let settings = self.workload.stage(plan.stage);
            let may = plan.consumers < CONSUMERS_MAX && !settings.queue.single_active_consumer;
            let waited = wait.quantile_s(0.99) * model.critical_per_order;
            (may && waited > 0.0).then_some((at, waited))
        });
        waits.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
    }

    /// The burst and what follows, seconds and orders per second.
    fn load(&self) -> Vec<(f64, f64)> {
        let burst = self.demand.burst.zip(self.demand.burst_per_s());
        burst.map_or(Vec::new(), |(burst, per_s)| {
            vec![(0.0, per_s), (burst.lasts.as_secs_f64(), self.demand.rate_per_s())]
        })
    }

    /// What becomes of the pipeline, if capacities are `factor` times what the model says.
    fn outlook(&self, stages: &[StagePlan], factor: f64) -> Outlook {
        let servers: Vec<Server> = stages.iter().map(|plan| server(self.model, plan, factor)).collect();
        let narrowest = servers
            .iter()
            .map(|server| server.capacity_per_s)
            .fold(f64::MAX, f64::min);
        let burst = self.demand.burst.zip(self.demand.burst_per_s());
        let flow = burst.map(|(burst, burst_per_s)| {
            let burst_s = burst.lasts.as_secs_f64();
            let rate = self.demand.rate_per_s();
            let tail_s = drain_bound_s(burst_s, burst_per_s, rate, narrowest);
            let segments = [(burst_s, burst_per_s), (tail_s, rate)];
            let segments = segments.map(|(duration_s, rate_per_s)| Segment { duration_s, rate_per_s });
            (burst_s, Flow::of(&segments, &servers))
        });
        let keeps_up = narrowest > self.demand.rate_per_s();
        Outlook {
            sustainable_per_s: narrowest,
            drain_s: flow
                .as_ref()
                .filter(|_| keeps_up)
                .and_then(|(burst_s, flow)| Some(flow.clear_s(*burst_s)? - burst_s)),
            flow: flow.map(|(_, flow)| flow),
        }
    }

    fn rows(&self, stages: &[StagePlan], outlook: &Outlook, p99_s: Option<f64>, validation: &Validation) -> Vec<Row> {
        let mut rows = self.given();
        for plan in stages {
            rows.extend(self.stage_rows(plan, outlook));
        }
        rows.extend(self.pipeline_rows(stages, outlook, p99_s, validation));
        rows.extend(self.burst_rows(stages, outlook));
        rows.extend(self.volume_rows());
        rows
    }

    fn given(&self) -> Vec<Row> {
        let rate = self.demand.rate_per_s();
        let growth = match self.demand.growth.0 {
            0.0 => String::new(),
            _ => format!("{} and {} on top", self.demand.rate, self.demand.growth),
        };
        let mut rows = vec![Row::new("pipeline", "rate", rate, Unit::PerSecond, Origin::Given).noted(growth)];
        if let (Some(burst), Some(per_s)) = (self.demand.burst, self.demand.burst_per_s()) {
            let lasts = format!("for {}", burst.lasts);
            rows.push(Row::new("pipeline", "burst", per_s, Unit::PerSecond, Origin::Given).noted(lasts));
        }
        rows
    }

    fn stage_rows(&self, plan: &StagePlan, outlook: &Outlook) -> Vec<Row> {
        let about = plan.stage.name();
        let (low, high) = plan.consumers_between;
        let lost = match self.demand.lose {
            Some(loss) => format!("{} of them are left at a loss of {loss}", plan.left),
            None => String::new(),
        };
        let mut rows = vec![
            Row::new(
                about,
                "consumers",
                f64::from(plan.consumers),
                Unit::Count,
                Origin::Modelled,
            )
            .between(f64::from(low.min(plan.consumers)), f64::from(high.max(plan.consumers)))
            .noted(lost),
        ];
        if !plan.works {
            let note = "its work is too short to be planned for";
            rows.push(
                Row::new(
                    about,
                    "mean service time",
                    plan.service_s,
                    Unit::Seconds,
                    Origin::Measured,
                )
                .noted(note),
            );
            return rows;
        }
        if let Some(prefetch) = plan.prefetch {
            rows.push(
                Row::new(about, "prefetch", f64::from(prefetch), Unit::Count, Origin::Modelled)
                    .noted("the least that hides the round trip, and one more"),
            );
        }
        rows.push(
            Row::new(
                about,
                "mean service time",
                plan.service_s,
                Unit::Seconds,
                Origin::Measured,
            )
            .between(
                self.measured(plan.stage, |seen| seen.service_s - seen.asked_s, f64::min)
                    .map(|s| s + self.asked(plan.stage)),
                self.measured(plan.stage, |seen| seen.service_s - seen.asked_s, f64::max)
                    .map(|s| s + self.asked(plan.stage)),
            ),
        );
        rows.push(
            Row::new(
                about,
                "capacity",
                finite(plan.capacity_per_s),
                Unit::PerSecond,
                Origin::Modelled,
            )
            .within(self.error)
            .noted("orders, by the consumers that are left"),
        );
        let utilisation =
            Row::new(about, "utilisation", plan.utilisation, Unit::Share, Origin::Modelled).within(self.error);
        let most = utilisation.high.map(|high| high.min(1.0));
        let utilisation = Row {
            high: most,
            ..utilisation
        };
        rows.push(utilisation.noted("at the rate, of the consumers that are left"));
        if let Some(flow) = &outlook.flow {
            let peak = flow.peak_of(plan.stage);
            rows.push(Row::new(about, "peak backlog", peak, Unit::Count, Origin::Modelled).noted("messages"));
        }
        rows
    }

    fn asked(&self, stage: Stage) -> f64 {
        evidence::asked_mean_s(self.workload.stage(stage))
    }

    fn measured(
        &self,
        stage: Stage,
        of: impl Fn(&evidence::StageEvidence) -> f64,
        pick: fn(f64, f64) -> f64,
    ) -> Option<f64> {
        let seen = self.evidence.trials.iter().flat_map(|trial| &trial.stages);
        seen.filter(|seen| seen.stage == stage).map(of).reduce(pick)
    }

    fn pipeline_rows(
        &self,
        stages: &[StagePlan],
        outlook: &Outlook,
        p99_s: Option<f64>,
        validation: &Validation,
    ) -> Vec<Row> {
        let rate = self.demand.rate_per_s();
        let sustainable = outlook.sustainable_per_s;
        let narrowest = stages
            .iter()
            .min_by(|a, b| a.capacity_per_s.total_cmp(&b.capacity_per_s));
        let narrowest = narrowest.map_or(String::new(), |plan| {
            format!("orders; the {} stage is the narrowest", plan.stage)
        });
        let headroom = |capacity: f64| (capacity > 0.0).then(|| 1.0 - rate / capacity);
        let row = |name, value, unit, origin| Row::new("pipeline", name, value, unit, origin);
        let p99_error = validation
            .errors(Measure::P99)
            .map(|errors| errors.worst.max(ERROR_MIN));
        let p99 = row("end-to-end p99", p99_s, Unit::Seconds, Origin::Modelled);
        let mut rows = vec![
            row(
                "sustainable rate",
                finite(sustainable),
                Unit::PerSecond,
                Origin::Modelled,
            )
            .within(self.error)
            .noted(narrowest),
            row("headroom", headroom(sustainable), Unit::Share, Origin::Modelled)
                .between(
                    headroom(sustainable * (1.0 - self.error)),
                    headroom(sustainable * (1.0 + self.error)),
                )
                .noted("of the sustainable rate, at the rate"),
            match p99_error {
                Some(error) => p99.within(error).noted("at the rate, outside bursts"),
                None => p99.noted("at the rate, outside bursts; never compared with a measured one"),
            },
        ];
        let cost = self
            .model
            .broker_s_per_message
            .map(|s| s * self.model.messages_per_order);
        for (name, per_s) in [
            ("broker CPU at the rate", Some(rate)),
            ("broker CPU in the burst", self.demand.burst_per_s()),
        ] {
            if let Some((cost, per_s)) = cost.zip(per_s) {
                let note = "by processor time per message as measured, if the broker scales";
                rows.push(
                    row(name, Some(cost * per_s), Unit::Processors, Origin::Modelled)
                        .within(self.error)
                        .noted(note),
                );
            }
        }
        rows
    }

    fn burst_rows(&self, stages: &[StagePlan], outlook: &Outlook) -> Vec<Row> {
        let Some(flow) = &outlook.flow else { return Vec::new() };
        let (better, worse) = (
            self.outlook(stages, 1.0 + self.error),
            self.outlook(stages, 1.0 - self.error),
        );
        let peak_of = |outlook: &Outlook| outlook.flow.as_ref().map(|flow| flow.peak().1);
        let (peak, low, high) = (flow.peak().1, peak_of(&better), peak_of(&worse));
        let row = |name, value, unit, origin| Row::new("pipeline", name, value, unit, origin);
        let longest = |outlook: &Outlook, peak: Option<f64>| peak.map(|peak| peak / outlook.sustainable_per_s);
        let drain =
            row("drain time", outlook.drain_s, Unit::Seconds, Origin::Modelled).between(better.drain_s, worse.drain_s);
        let mut rows = vec![
            row("peak backlog", Some(peak), Unit::Count, Origin::Modelled)
                .between(low, high)
                .noted("messages, all queues together"),
            match worse.drain_s {
                Some(_) => drain.noted("from the end of the burst until nothing waits"),
                None => drain.noted("it may never clear: the interval of the capacity reaches down to the rate"),
            },
            row(
                "longest wait in the burst",
                longest(outlook, Some(peak)),
                Unit::Seconds,
                Origin::Modelled,
            )
            .between(longest(&better, low), longest(&worse, high))
            .noted("of an order that comes at the peak"),
        ];
        rows.extend(self.storage_rows(peak, low, high));
        rows
    }

    /// What the backlog takes of memory and disk.
    fn storage_rows(&self, peak: f64, low: Option<f64>, high: Option<f64>) -> Vec<Row> {
        let body = (self.workload.orders.body_size.0 as f64).max(BODY_MIN);
        let row = |name, bytes: f64, origin| Row::new("pipeline", name, peak * bytes, Unit::Bytes, origin);
        let memory = match self.model.memory_per_message {
            Some(bytes) => row("memory of the backlog", bytes, Origin::Measured)
                .between(low.map(|n| n * bytes), high.map(|n| n * bytes))
                .noted(format!(
                    "{bytes:.0} B for each message, from the memory of trials with different backlogs"
                )),
            None => row("memory of the backlog", body + BESIDE_BODY[1], Origin::Assumed)
                .between(
                    low.map(|n| n * (body + BESIDE_BODY[0])),
                    high.map(|n| n * (body + BESIDE_BODY[2])),
                )
                .noted(format!(
                    "a body of {body:.0} B and {:.0} B beside it; classic queues page most of it out",
                    BESIDE_BODY[1]
                )),
        };
        if !self.workload.publish.persistent {
            return vec![memory];
        }
        let quorum = self
            .workload
            .stages
            .iter()
            .any(|stage| stage.queue.kind == QueueType::Quorum);
        let copies = if quorum { 3.0 } else { 1.0 };
        let note = if quorum {
            "on each node, with the write-ahead log of quorum queues"
        } else {
            "persistent messages on one node"
        };
        let disk = row("disk of the backlog", (body + BESIDE_BODY[0]) * copies, Origin::Assumed)
            .between(
                low.map(|n| n * body),
                high.map(|n| n * (body + BESIDE_BODY[1]) * copies),
            )
            .noted(note);
        vec![memory, disk]
    }

    fn volume_rows(&self) -> Vec<Row> {
        let rate = self.demand.rate_per_s();
        let per_order = self.model.messages_per_order;
        let row =
            |name, value: f64, origin, note: &str| Row::new("pipeline", name, value, Unit::Count, origin).noted(note);
        let mut rows = vec![
            row(
                "orders per hour",
                rate * 3_600.0,
                Origin::Given,
                "at the rate, without bursts",
            ),
            row(
                "orders per day",
                rate * 86_400.0,
                Origin::Given,
                "at the rate, without bursts",
            ),
            row(
                "orders per month",
                rate * 86_400.0 * 30.0,
                Origin::Given,
                "30 days at the rate, without bursts",
            ),
        ];
        if let (Some(burst), Some(per_s)) = (self.demand.burst, self.demand.burst_per_s()) {
            rows.push(row(
                "orders per burst",
                per_s * burst.lasts.as_secs_f64(),
                Origin::Given,
                "",
            ));
        }
        let note = "published and delivered, per order as measured";
        for (name, seconds) in [
            ("messages per hour", 3_600.0),
            ("messages per day", 86_400.0),
            ("messages per month", 2_592_000.0),
        ] {
            rows.push(row(name, rate * per_order * seconds, Origin::Modelled, note));
        }
        rows
    }

    fn warnings(&self, stages: &[StagePlan], validation: &Validation) -> Vec<String> {
        let mut warnings = Vec::new();
        let trials = &self.evidence.trials;
        let fastest = trials.iter().map(|trial| trial.orders_per_s).fold(0.0, f64::max);
        let asked = self.demand.burst_per_s().map_or(self.demand.rate_per_s(), |burst| {
            let narrowest = stages.iter().map(|plan| plan.capacity_per_s).fold(f64::MAX, f64::min);
            burst.min(narrowest).max(self.demand.rate_per_s())
        });
        if asked > fastest * REACH {
            warnings.push(format!(
                "outside the range: {asked:.0} orders/s are planned for, and no more than {fastest:.0} were measured; what broker, network and databases do beyond {:.0} is unknown",
                fastest * REACH
            ));
        }
        for plan in stages.iter().filter(|plan| plan.works) {
            let most = self
                .measured(plan.stage, |seen| f64::from(seen.consumers.count), f64::max)
                .unwrap_or(0.0);
            let trusted = self
                .model
                .stage(plan.stage)
                .and_then(|model| model.scaling)
                .filter(|law| law.is_trusted());
            if f64::from(plan.consumers) > most * REACH {
                let why = if trusted.is_some() {
                    "the fitted scaling law says little there"
                } else {
                    "that capacity grows with consumers is assumed"
                };
                warnings.push(format!(
                    "outside the range: {} consumers of the {} stage are planned, and no more than {most:.0} were measured; {why}",
                    plan.consumers, plan.stage
                ));
            }
            let busiest = self
                .measured(plan.stage, |seen| seen.utilisation.unwrap_or(0.0), f64::max)
                .unwrap_or(0.0);
            if plan.utilisation > busiest * 1.1 {
                warnings.push(format!(
                    "outside the range: the {} stage is planned to be {:.0} % busy, and was no more than {:.0} % so; waits there were never compared",
                    plan.stage,
                    plan.utilisation * 100.0,
                    busiest * 100.0
                ));
            }
        }
        for measure in Measure::ALL {
            match validation.errors(measure) {
                Some(errors) if errors.worst > ERROR_LARGE => warnings.push(format!(
                    "the model was off by up to {:.0} % in the {} of a cell that it was not fitted to",
                    errors.worst * 100.0,
                    measure.name()
                )),
                None if measure == Measure::Utilisation => {
                    warnings.push(format!(
                        "no utilisation could be compared: intervals assume {:.0} %",
                        ERROR_UNKNOWN * 100.0
                    ));
                }
                _ => {}
            }
        }
        if trials.iter().any(|trial| {
            !self
                .evidence
                .record
                .trials
                .iter()
                .any(|one| one.trial == trial.trial && one.validity.valid)
        }) {
            warnings.push("fitted to invalid trials too (--force): the driver did not keep up in them".to_owned());
        }
        warnings
    }
}

fn variance(settings: &StageSettings) -> f64 {
    let mean = settings.service_time.mean_secs();
    let scale = if mean > 0.0 {
        evidence::asked_mean_s(settings) / mean
    } else {
        0.0
    };
    evidence::asked_variance(settings.service_time) * scale * scale
}

fn finite(capacity_per_s: f64) -> Option<f64> {
    (capacity_per_s < f64::MAX).then_some(capacity_per_s)
}

/// A stage as the flow has it. In the chain an order waits with one message at a time; beside it with all of them.
pub(super) fn server(model: &Model, plan: &StagePlan, factor: f64) -> Server {
    let beside = model.stage(plan.stage).filter(|model| !model.stage.is_in_chain());
    Server {
        stage: plan.stage,
        capacity_per_s: (plan.capacity_per_s * factor).min(f64::MAX),
        messages_per_order: beside.map_or(1.0, |model| model.messages_per_order),
    }
}

/// Long enough for everything to clear where it does, and no longer than a day where it does not.
fn drain_bound_s(burst_s: f64, burst_per_s: f64, rate: f64, capacity: f64) -> f64 {
    const DAY_S: f64 = 86_400.0;
    let backlog = ((burst_per_s - capacity) * burst_s).max(0.0);
    if capacity <= rate {
        return DAY_S;
    }
    (backlog / (capacity - rate) * 1.5 + burst_s).min(DAY_S)
}

impl StagePlan {
    /// How the stage is staffed after the loss.
    pub(super) fn staffed(&self) -> Option<Staffing> {
        self.staffed
    }
}
