//! From what the phases left to the trial's record.

mod checks;
mod faults;

use super::{Fixed, Ran};
use std::collections::BTreeSet;

use crate::arrival::Schedule;
use crate::clock::rfc3339;
use crate::events::Stage;
use crate::ledger::{self, BadMessage, LedgerReport, Observed, Verdict};
use crate::load::BesideMeter;
use crate::measure::Series;
use crate::pipeline::StageMeter;
use crate::pipeline::meter::ConsumerMeter;
use crate::pipeline::store::StoreMeter;
use crate::results::record::{
    BacklogCause, BacklogRecord, Band, BesideRecord, BlockedConnection, ConsumerRecord, DrainRecord, LoadPhaseRecord,
    MessageCounts, OrderCounts, OutboxRecord, Rates, Resources, RetryRecord, StageRecord, StoreRecord, TrialRecord,
};
use crate::runner::validity::{self, Evidence};
use crate::stats;
use crate::workload::Workload;
use crate::workload::model::{BadKind, Overflow, Publishing, QueueType, StageSettings};

impl Fixed<'_> {
    /// The trial's record.
    pub(super) fn record(&self, ran: Ran, report: LedgerReport) -> TrialRecord {
        let workload = &self.stand.workload;
        let measured_s = (ran.load_ended.saturating_sub(ran.warm_until)) as f64 / 1e9;
        let offered = Schedule::new(&workload.load, self.trial.seed).map(|schedule| {
            schedule.count_between(ran.warm_until - ran.began, ran.load_ended.saturating_sub(ran.began))
        });
        let per_second = |count: u64| (measured_s > 0.0).then(|| count as f64 / measured_s);
        let latencies: Vec<_> = Series::all()
            .filter_map(|series| {
                self.wiring
                    .board
                    .total(series)
                    .map(|recorder| recorder.summary(series.to_string()))
            })
            .collect();
        let drained = ran.drained_at.is_some();
        let observed = Observed {
            drained,
            prefetch_exceeded: ran.meters.iter().map(|meter| meter.prefetch_exceeded()).sum(),
            overstays: workload
                .pipeline
                .stages()
                .iter()
                .copied()
                .filter(|stage| workload.time_to_live(*stage).is_some())
                .map(|stage| (stage, ran.meters[stage.index()].overstay()))
                .collect(),
            slowest_confirm: workload
                .publish
                .confirms
                .then(|| self.wiring.publishes.slowest_confirm()),
            rejected: Some(
                ran.meters
                    .iter()
                    .map(|meter| meter.malformed() + meter.unroutable())
                    .sum(),
            ),
            given_up: Some(ran.meters.iter().map(|meter| meter.retry().given_up()).sum()),
            bad_messages: self.bad_messages(&ran),
            consumers_missing: ran.consumers_missing.clone(),
            faults: self.faults_struck(&ran),
            left_behind: None,
        };
        let promises = ledger::judge(workload, &report, &observed);
        let given = promises.iter().filter(|promise| promise.not_given_because.is_none());
        let mut verdict = given.map(|promise| promise.verdict).max().unwrap_or(Verdict::Unknown);
        if (ran.aborted.is_some() || ran.interrupted) && verdict == Verdict::Pass {
            verdict = Verdict::Unknown;
        }
        let validity = validity::judge(&self.evidence(&ran, &report, offered, drained));
        let measured = self
            .wiring
            .board
            .total(Series::EndToEnd)
            .map_or(0, |recorder| recorder.count());
        let backlog = ran.held.as_ref().and_then(|held| held.record(ran.began));
        let slope = ran.maxima.backlog_points.slope(
            (ran.warm_until - ran.began) as f64 / 1e9,
            ran.load_ended.saturating_sub(ran.began) as f64 / 1e9,
        );
        let slope_interval = slope.and_then(|slope| slope.interval);
        let fault_events = self.fault_events(&ran);
        let mut faults = self.fault_bands(&ran);
        faults.extend(self.held_back(&backlog, &ran));
        let blocked_connections = self.blocked_connections(&ran);
        let blocked = blocked_bands(&blocked_connections);
        TrialRecord {
            trial: self.trial.trial,
            cell: self.trial.cell as u32,
            repeat: self.trial.repeat,
            seed: self.trial.seed,
            started: rfc3339(self.started),
            log_began_s: ran.course.log_began_s,
            phases: self.phase_bands(&ran),
            load_phases: self.load_phases(&ran),
            blocked_s: blocked.iter().map(|band| band.end_s - band.start_s).sum(),
            blocked,
            blocked_connections,
            orders: OrderCounts {
                planned: self.stand.plan.arrivals(self.trial),
                published: ran.load_meter.sent(),
                unsent: ran.load_meter.unsent(),
                measured,
            },
            messages: self.messages(&ran, &report),
            rates: Rates {
                offered_load_per_s: offered.and_then(per_second),
                achieved_rate_per_s: per_second(ran.load_meter.sent_measured()),
                goodput_per_s: per_second(ran.ended_at_load_end.saturating_sub(ran.ended_at_window_start)),
            },
            latencies,
            stages: self.stages(&ran, &report, measured_s),
            drain: DrainRecord {
                drained,
                time_s: ran.drained_at.map(|at| at.saturating_sub(ran.load_ended) as f64 / 1e9),
                deadline_s: workload.drain.deadline.as_secs_f64(),
            },
            overloads: ran.course.overloads.clone(),
            backlog,
            backlog_messages_max: ran.maxima.backlog,
            backlog_slope_messages_per_s: slope.map(|slope| slope.value),
            backlog_slope_low_messages_per_s: slope_interval.map(|interval| interval.low),
            backlog_slope_high_messages_per_s: slope_interval.map(|interval| interval.high),
            resources: Resources {
                driver_cpu_s: ran.usage.driver_s,
                driver_cpu_share: self.share_of_cores(&ran, ran.load_usage.driver_s),
                driver_rss_bytes_max: ran.maxima.driver_rss,
                broker_cpu_s: ran.usage.broker_s,
                broker_cpu_share: self.share_of_cores(&ran, ran.load_usage.broker_s),
                broker_rss_bytes_max: ran.maxima.broker_rss,
                broker_message_bytes_max: ran.maxima.broker_messages,
            },
            validity,
            promises,
            verdict,
            faults,
            fault_events,
            lost_connections: self.lost_connections(&ran),
            aborted: ran.aborted,
            interrupted: ran.interrupted,
            ledger: report,
        }
    }

    /// Processor seconds over the load as a share of all processors; absent where no time has passed.
    fn share_of_cores(&self, ran: &Ran, cpu_s: Option<f64>) -> Option<f64> {
        let load_s = (ran.load_ended.saturating_sub(ran.began)) as f64 / 1e9;
        (load_s > 0.0)
            .then(|| cpu_s.map(|cpu_s| cpu_s / load_s / f64::from(self.stand.cores)))
            .flatten()
    }

    fn evidence(&self, ran: &Ran, report: &LedgerReport, offered: Option<u64>, drained: bool) -> Evidence {
        let lag = self.wiring.board.total(Series::DriverLag);
        let lag_quantile = lag.map_or(0.99, |lag| highest_quantile(lag.count()));
        let at = |series| {
            let total = self.wiring.board.total(series)?;
            total.quantile(lag_quantile).map(|quantile| quantile.ns)
        };
        Evidence {
            lag_quantile,
            driver_lag: at(Series::DriverLag),
            end_to_end: at(Series::EndToEnd),
            offered,
            sent: ran.load_meter.sent_measured(),
            driver_cpu_share: self.share_of_cores(ran, ran.load_usage.driver_s),
            checks: self.checks(ran, report),
            residual_share: report.residual_share,
            redeliveries: report.stages.iter().map(|stage| stage.redelivered).sum::<u64>()
                + ran.load_meter.beside.duplicates.published(),
            ended: self.wiring.ledger.ended(),
            interrupted: ran.interrupted || ran.aborted.is_some(),
            above_range: Series::all()
                .filter_map(|series| self.wiring.board.total(series))
                .map(|recorder| recorder.outside().1)
                .sum(),
            co_located: self.stand.broker.info().co_located,
            broker_in_driver: self.stand.broker.embedded().is_some(),
            drained,
            backlog_short: ran.backlog_short,
        }
    }

    /// Phases that began before the load ended.
    fn load_phases(&self, ran: &Ran) -> Vec<LoadPhaseRecord> {
        let load = &self.stand.workload.load;
        let Some(schedule) = Schedule::new(load, self.trial.seed) else {
            return Vec::new();
        };
        let length = ran.load_ended.saturating_sub(ran.began);
        let mut start = 0;
        let mut records = Vec::new();
        for (position, phase) in load.arrival.phases().iter().enumerate() {
            let end = (start + phase.duration.as_nanos()).min(length);
            if start >= length {
                break;
            }
            records.push(LoadPhaseRecord {
                band: self.band(&phase.name, 0, start, end),
                orders_offered: schedule.count_between(start, end),
                orders_sent: ran.load_meter.sent_in_phase(position),
            });
            start = end;
        }
        records
    }

    fn phase_bands(&self, ran: &Ran) -> Vec<Band> {
        let drained = ran.drained_at.unwrap_or(ran.drain_ended);
        let bands = [
            ("declare", self.prepared_at, ran.began),
            ("warm-up", ran.began, ran.warm_until),
            ("measure", ran.warm_until, ran.load_ended),
            ("drain", ran.load_ended, drained),
            ("verify", drained, self.stand.clock.now()),
        ];
        bands
            .into_iter()
            .filter(|(_, start, end)| end > start)
            .map(|(name, start, end)| self.band(name, ran.began, start, end))
            .collect()
    }

    /// The time during which a stage was held back for its backlog; an outage has a band of its own.
    fn held_back(&self, backlog: &Option<BacklogRecord>, ran: &Ran) -> Option<Band> {
        let backlog = backlog
            .as_ref()
            .filter(|backlog| backlog.cause == BacklogCause::Count)?;
        let end_s = (ran.drain_ended as f64 - ran.began as f64) / 1e9;
        Some(Band {
            name: format!("{} held back", backlog.stage),
            start_s: backlog.held_s.max(0.0),
            end_s: backlog.returned_s.unwrap_or(end_s),
        })
    }

    fn blocked_connections(&self, ran: &Ran) -> Vec<BlockedConnection> {
        let mut connections: Vec<BlockedConnection> = Vec::new();
        for period in self.wiring.connector.incidents().blocked_periods() {
            let end = period.end.unwrap_or(ran.drain_ended);
            let Band { start_s, end_s, .. } = self.band("", ran.began, period.start, end);
            let known = connections
                .iter_mut()
                .find(|known| known.connection == period.connection && known.reason == period.reason);
            match known {
                Some(known) => {
                    known.times += 1;
                    known.time_s += end_s - start_s;
                    known.periods_s.push((start_s, end_s));
                }
                None => connections.push(BlockedConnection {
                    connection: period.connection,
                    reason: period.reason,
                    times: 1,
                    time_s: end_s - start_s,
                    periods_s: vec![(start_s, end_s)],
                }),
            }
        }
        connections
    }

    /// What became of what the load made bad on purpose.
    fn bad_messages(&self, ran: &Ran) -> Vec<BadMessage> {
        let workload = &self.stand.workload;
        let queues = self.wiring.topology.entrance_stages(&workload.topology).len() as u64;
        let kinds = BadKind::ALL.into_iter();
        kinds
            .filter(|kind| workload.messages.share(*kind).0 > 0.0)
            .map(|kind| {
                let meter = &ran.load_meter.beside.bad[kind as usize];
                BadMessage {
                    kind,
                    confirmed: meter.confirmed(),
                    returned: meter.returned(),
                    queues,
                }
            })
            .collect()
    }

    /// What the load published beside its orders.
    fn beside(&self, ran: &Ran, report: &LedgerReport) -> Vec<BesideRecord> {
        let (messages, meters) = (&self.stand.workload.messages, &ran.load_meter.beside);
        let record = |kind: &str, meter: &BesideMeter, dead_letters| BesideRecord {
            kind: kind.to_owned(),
            published: meter.published(),
            confirmed: meter.confirmed(),
            returned: meter.returned(),
            dead_letters,
        };
        let duplicates = (messages.duplicates.0 > 0.0).then(|| record("duplicate", &meters.duplicates, None));
        let bad = BadKind::ALL.into_iter().filter(|kind| messages.share(*kind).0 > 0.0);
        let bad = bad.map(|kind| {
            let dead = report.bad_dead_letters.get(&kind).copied().unwrap_or(0);
            let known = report.residue_complete && kind != BadKind::Unroutable;
            record(kind.name(), &meters.bad[kind as usize], known.then_some(dead))
        });
        duplicates.into_iter().chain(bad).collect()
    }

    fn messages(&self, ran: &Ran, report: &LedgerReport) -> MessageCounts {
        let sum = |of: fn(&StageMeter) -> u64| ran.meters.iter().map(|meter| of(meter)).sum();
        MessageCounts {
            published: self.wiring.publishes.published(),
            confirmed: self.wiring.publishes.confirmed(),
            nacked: self.wiring.publishes.nacked(),
            returned: self.wiring.publishes.returned(),
            delivered: sum(StageMeter::delivered),
            redelivered: sum(StageMeter::redelivered),
            malformed: sum(StageMeter::malformed),
            not_for_stage: sum(StageMeter::not_for_stage),
            acks: sum(StageMeter::acks),
            beside: self.beside(ran, report),
        }
    }

    /// What a stage's handler failed at.
    fn retry(&self, settings: &StageSettings, meter: &StageMeter) -> Option<RetryRecord> {
        let counts = meter.retry();
        settings.errors.any().then(|| RetryRecord {
            policy: self.stand.workload.retry.policy,
            transient_errors: counts.transient(),
            permanent_errors: counts.permanent(),
            retries: counts.retried(),
            given_up: counts.given_up(),
        })
    }

    fn stages(&self, ran: &Ran, report: &LedgerReport, measured_s: f64) -> Vec<StageRecord> {
        let stages = self.stand.workload.pipeline.stages().iter().copied();
        stages
            .map(|stage| {
                let settings = self.stand.workload.stage(stage);
                let slots = f64::from(settings.consumers) * f64::from(settings.concurrency);
                let meter = &ran.meters[stage.index()];
                let counts = report.stages.iter().find(|counts| counts.stage == stage);
                StageRecord {
                    stage,
                    consumers: settings.consumers,
                    delivered: meter.delivered(),
                    redelivered: meter.redelivered(),
                    suppressed: counts.map_or(0, |counts| counts.suppressed),
                    refused: meter.refused(),
                    dropped: counts.map_or(0, |counts| counts.dropped),
                    dropped_as: drop_reasons(&self.stand.workload, stage),
                    delivery_age_ns_max: meter.longest_wait(),
                    backlog_messages_max: ran.maxima.stage_backlog[stage.index()],
                    utilisation: (measured_s > 0.0).then(|| meter.busy_ns() as f64 / 1e9 / measured_s / slots),
                    unacked_messages_max: meter.held_max(),
                    unacked_messages_mean: ran.maxima.stage_unacked[stage.index()].value(),
                    delivery_share_ratio: share_ratio(meter.consumers()),
                    delivery_gini: delivery_gini(meter.consumers()),
                    repeated: repeated(report, stage),
                    retry: self.retry(settings, meter),
                    store: store(settings, meter.store()),
                    each_consumer: consumers(meter.consumers(), settings.slow_consumers()),
                }
            })
            .collect()
    }
}

/// Effects of a stage that happened again.
fn repeated(report: &LedgerReport, stage: Stage) -> u64 {
    let effects = report.effects.iter().filter(|effect| effect.stage == stage);
    effects.map(|effect| effect.repeated).sum()
}

/// What a stage's database did; absent without one.
fn store(settings: &StageSettings, meter: &StoreMeter) -> Option<StoreRecord> {
    let outbox = OutboxRecord {
        unsent_max: meter.unsent_max(),
        unsent: meter.unsent(),
        unroutable: meter.unroutable(),
    };
    settings.store.is_durable().then(|| StoreRecord {
        kind: settings.store,
        commits: meter.commits(),
        steps: meter.steps(),
        errors: meter.errors(),
        connections_lost: meter.connections_lost(),
        outbox: (settings.publish == Publishing::Outbox).then_some(outbox),
    })
}

fn consumers(meters: &[ConsumerMeter], slow: u32) -> Vec<ConsumerRecord> {
    let record = |(number, meter): (u32, &ConsumerMeter)| ConsumerRecord {
        slow: number < slow,
        delivered: meter.delivered(),
        busy_s: meter.busy_ns() as f64 / 1e9,
        unacked_messages_max: meter.held_max(),
    };
    (0..).zip(meters).map(record).collect()
}

/// Most deliveries over fewest, of two consumers or more.
fn share_ratio(meters: &[ConsumerMeter]) -> Option<f64> {
    let deliveries = || meters.iter().map(ConsumerMeter::delivered);
    let (most, fewest) = deliveries().max().zip(deliveries().min())?;
    (meters.len() > 1 && fewest > 0).then(|| most as f64 / fewest as f64)
}

fn delivery_gini(meters: &[ConsumerMeter]) -> Option<f64> {
    let deliveries: Vec<f64> = meters.iter().map(|meter| meter.delivered() as f64).collect();
    stats::gini(&deliveries).filter(|_| meters.len() > 1)
}

/// The highest quantile up to the 99th percentile that ten of `count` values lie beyond; the 90th of too few.
fn highest_quantile(count: u64) -> f64 {
    (1.0 - 10.0 / count.max(1) as f64).clamp(0.9, 0.99)
}

/// Times at which at least one connection was blocked, named by their number and reason.
fn blocked_bands(connections: &[BlockedConnection]) -> Vec<Band> {
    let mut periods: Vec<(f64, f64, &str, &str)> = connections
        .iter()
        .flat_map(|one| {
            let periods = one.periods_s.iter();
            periods.map(|(start_s, end_s)| (*start_s, *end_s, one.connection.as_str(), one.reason.as_str()))
        })
        .collect();
    periods.sort_by(|a, b| a.0.total_cmp(&b.0));
    let overlapping = |open: &Band, start_s: f64| start_s <= open.end_s;
    let mut bands: Vec<(Band, BTreeSet<&str>, BTreeSet<&str>)> = Vec::new();
    for (start_s, end_s, connection, reason) in periods {
        match bands.last_mut().filter(|(band, ..)| overlapping(band, start_s)) {
            Some((band, connections, reasons)) => {
                band.end_s = band.end_s.max(end_s);
                connections.insert(connection);
                reasons.insert(reason);
            }
            None => {
                let band = Band {
                    name: String::new(),
                    start_s,
                    end_s,
                };
                bands.push((band, [connection].into(), [reason].into()));
            }
        }
    }
    let named = bands.into_iter().map(|(band, connections, reasons)| {
        let reasons: Vec<&str> = reasons.into_iter().collect();
        let name = format!("{} blocked: {}", connections.len(), reasons.join(", "));
        Band { name, ..band }
    });
    named.collect()
}

/// The names under which a stage's queue may drop messages; absent if it may not.
fn drop_reasons(workload: &Workload, stage: Stage) -> Option<String> {
    workload.may_drop(stage)?;
    let queue = &workload.stage(stage).queue;
    let reasons = [
        ("maxlen", queue.is_bounded() && queue.overflow == Overflow::DropHead),
        ("expired", workload.time_to_live(stage).is_some()),
        ("delivery_limit", queue.kind == QueueType::Quorum),
    ];
    let named: Vec<&str> = reasons
        .into_iter()
        .filter_map(|(name, may)| may.then_some(name))
        .collect();
    Some(named.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_at_the_same_time_are_one_band() {
        let blocked = |connection: &str, reason: &str, periods_s: &[(f64, f64)]| BlockedConnection {
            connection: connection.to_owned(),
            reason: reason.to_owned(),
            times: periods_s.len() as u32,
            time_s: periods_s.iter().map(|(start, end)| end - start).sum(),
            periods_s: periods_s.to_vec(),
        };
        let bands = blocked_bands(&[
            blocked("load 0", "low on memory", &[(1.0, 3.0), (5.0, 6.0)]),
            blocked("order publishers", "low on memory", &[(2.0, 4.0)]),
        ]);
        let found: Vec<(&str, f64, f64)> = bands
            .iter()
            .map(|band| (band.name.as_str(), band.start_s, band.end_s))
            .collect();
        assert_eq!(
            found,
            [
                ("2 blocked: low on memory", 1.0, 4.0),
                ("1 blocked: low on memory", 5.0, 6.0)
            ]
        );
        assert!(blocked_bands(&[]).is_empty());
    }
}
