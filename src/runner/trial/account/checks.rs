//! What was measured beside the load, and the two laws that a steady trial must obey.

use super::super::{Fixed, Ran};
use crate::events::Stage;
use crate::ledger::LedgerReport;
use crate::load::Hold;
use crate::measure::{Recorder, Series, StageSpan, steady};
use crate::results::record::Checks;
use crate::runner::balance::{self, Balance};
use crate::workload::model::{Arrival, BadMessages, Faults, Pattern, Shape};

/// Ended orders that Little's law needs.
const ORDERS_MIN: u64 = 1_000;
/// The mean end-to-end time as a share of the window: beyond it, what is cut off at its edges counts.
const EDGE_SHARE: f64 = 0.01;
/// Samples of the backlog that the law needs, and their least mean: with less, chance and the beat of the arrivals decide.
const SAMPLES_MIN: u64 = 100;
const BACKLOG_MIN: f64 = 10.0;

impl Fixed<'_> {
    pub(super) fn checks(&self, ran: &Ran, report: &LedgerReport) -> Checks {
        let load = &self.stand.workload.load;
        let usage = &ran.load_usage;
        let load_s = ran.load_ended.saturating_sub(ran.began) as f64 / 1e9;
        let sends = !load.arrival.waits_for_orders() && load_s > 0.0;
        let held = |by| {
            let held_s = ran.load_meter.held_ns(by) as f64 / 1e9;
            sends.then(|| held_s / load_s / f64::from(load.connections))
        };
        let of_load = |s: Option<f64>| s.filter(|_| load_s > 0.0).map(|s| s / load_s);
        let hiccups = ran.hiccups.as_ref();
        let steadiness = self
            .should_be_steady(ran)
            .then(|| steady(&ran.course.end_to_end_means))
            .flatten();
        let is_steady = steadiness.is_some_and(|found| found.reached);
        let flow = self.flow(ran);
        let foreign_s = usage.foreign_s(self.stand.broker.embedded().is_some());
        Checks {
            hiccup_ns_p99: hiccups.and_then(|late| late.quantile(0.99)).map(|quantile| quantile.ns),
            hiccup_ns_max: hiccups.and_then(Recorder::max),
            blocked_share: held(Hold::Blocked),
            window_full_share: load.confirm_window.and_then(|_| held(Hold::Window)),
            socket_full_share: held(Hold::Socket),
            stolen_share: self.share_of_cores(ran, usage.stolen_s),
            throttled_share: of_load(usage.throttled_s),
            foreign_share: self.share_of_cores(ran, foreign_s),
            suspended_s: usage.suspended_s,
            wall_clock_step_s: usage.wall_s,
            steady_from_s: steadiness.map(|found| found.cut as f64),
            steady: steadiness.map(|found| found.reached),
            littles_law_ratio: is_steady.then(|| self.orders_under_way(ran, report)).flatten(),
            littles_law_backlog_ratio: is_steady.then(|| self.backlog(ran)).flatten(),
            flow_balance_ratio: flow.map(|flow| flow.ratio),
            flow_balance_allowed: flow.map(|flow| flow.allowed),
            flow_balance_stage: flow.map(|flow| flow.stage),
        }
    }

    /// Whether the load asks the same of the pipeline all the time, and nothing else disturbed it.
    fn should_be_steady(&self, ran: &Ran) -> bool {
        let even = match &self.stand.workload.load.arrival {
            Arrival::Open(Pattern { shape, .. }) => matches!(shape, Shape::Constant { .. }),
            Arrival::Phases(_) | Arrival::Saturate => false,
            Arrival::Closed { .. } => true,
        };
        let workload = &self.stand.workload;
        let sound = workload.messages == BadMessages::default()
            && !workload.pipeline.stages().iter().any(|stage| workload.may_fail(*stage));
        let planned = self.stand.workload.faults == Faults::default() && self.stand.workload.backlog.is_none();
        let undisturbed = planned && ran.aborted.is_none() && !ran.interrupted;
        even && undisturbed && sound
    }

    /// The worst balance of flow between the first and the last look of the measured part. It needs a trial that ran empty, so that
    /// every visit has been paid, and messages that come once: no faults, nothing bad, nothing tried again or dropped.
    fn flow(&self, ran: &Ran) -> Option<Balance> {
        let workload = &self.stand.workload;
        let stages = workload.pipeline.stages();
        let once = workload.messages == BadMessages::default()
            && workload.faults == Faults::default()
            && workload.canary.is_none()
            && !stages
                .iter()
                .any(|stage| workload.may_fail(*stage) || workload.may_drop(*stage).is_some());
        let whole = ran.drained_at.is_some() && ran.aborted.is_none() && !ran.interrupted;
        let sent = ran.load_meter.sent();
        if !once || !whole || sent == 0 {
            return None;
        }
        let (from, to) = ran.course.flow.as_ref()?;
        let visits = |stage: &Stage| {
            let meter = &ran.meters[stage.index()];
            meter.delivered().saturating_sub(meter.redelivered()) as f64 / sent as f64
        };
        let visits: Vec<f64> = stages.iter().map(visits).collect();
        balance::worst(stages, &visits, from, to)
    }

    /// Mean orders under way over goodput × mean time from send to end.
    fn orders_under_way(&self, ran: &Ran, report: &LedgerReport) -> Option<f64> {
        let [Some((from, before)), Some((to, after))] = ran.population else {
            return None;
        };
        let length = to.checked_sub(from).filter(|length| *length > 0)? as f64;
        let ended = (after.ended() - before.ended()) as f64;
        let mean_ns = self.wiring.board.total(Series::EndToEndFromSend)?.histogram().mean();
        // An order that never ends is under way for ever, and in no mean.
        let all_ended = report.placed == self.wiring.ledger.ended();
        let applies = all_ended && ended >= ORDERS_MIN as f64 && mean_ns > 0.0 && mean_ns <= EDGE_SHARE * length;
        applies.then(|| {
            after
                .mean_since(&before, from, to)
                .map(|mean| mean / (ended / length * mean_ns))
        })?
    }

    /// Mean sampled backlog over what the times at the stages make of it.
    fn backlog(&self, ran: &Ran) -> Option<f64> {
        let (samples, sum) = (ran.course.backlog_samples, ran.course.backlog_sum);
        let mean = sum as f64 / samples.max(1) as f64;
        let length = ran
            .load_ended
            .checked_sub(ran.warm_until)
            .filter(|length| *length > 0)? as f64;
        let spans = Stage::ALL
            .into_iter()
            .flat_map(|stage| StageSpan::ALL.map(|span| (stage, span)))
            // A relay publishes what has been acknowledged.
            .filter(|(stage, span)| !(*span == StageSpan::Emit && self.stand.workload.has_outbox(*stage)))
            .map(|(stage, span)| Series::Stage(stage, span));
        let lived: f64 = spans
            .filter_map(|series| self.wiring.board.total(series))
            .map(|spent| spent.histogram().mean() * spent.histogram().len() as f64)
            .sum();
        let applies = samples >= SAMPLES_MIN && mean >= BACKLOG_MIN && lived > 0.0;
        applies.then(|| mean / (lived / length))
    }
}
