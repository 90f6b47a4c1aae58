//! Writes down what happens while a trial runs: time series, interval histograms, maxima, and the snapshot for the screen.

use std::fs::File;
use std::io::BufWriter;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Sender;

use super::balance::FlowLook;
use super::depth::Depths;
use super::impact::Counts;
use super::overload::OverloadWatch;
use super::slope::Points;
use super::snapshot::{Phase, Snapshot};
use crate::amqp::PublishMeter;
use crate::arrival::Schedule;
use crate::broker::RunningBroker;
use crate::broker::embedded::BrokerHandle;
use crate::clock::{Clock, Nanos};
use crate::events::Stage;
use crate::ledger::Ledger;
use crate::load::LoadMeter;
use crate::measure::{Board, Series};
use crate::pipeline::StageMeter;
use crate::pipeline::process::WorkerCosts;
use crate::results::hlog::{HlogWriter, Interval};
use crate::results::record::OverloadRecord;
use crate::results::series::{SeriesError, SeriesWriter};
use crate::sample::{ProcessProbe, ProcessSample};

/// Files of a run that trials append to.
#[derive(Debug)]
pub struct Files {
    /// `series.csv`.
    pub series: SeriesWriter<BufWriter<File>>,
    /// `latency.hlog`.
    pub hlog: HlogWriter,
    /// When this process began to write the log, on the run's clock.
    pub hlog_began: Nanos,
    /// How old the log was then: it may have been begun by an earlier session.
    pub hlog_offset: Duration,
}

/// What a trial is watched through.
#[derive(Debug)]
pub struct Sources {
    pub clock: Clock,
    pub board: Arc<Board>,
    pub ledger: Arc<Ledger>,
    pub load: Arc<LoadMeter>,
    pub publishes: Arc<PublishMeter>,
    pub schedule: Option<Schedule>,
    pub overloads: OverloadWatch,
    /// Asked for its process at each look: that is another one after a restart.
    pub broker: Arc<RunningBroker>,
    /// Counts of the embedded broker, if it is the run's.
    pub embedded: Option<BrokerHandle>,
    /// Stages, by [`Stage::index`].
    pub meters: Vec<Arc<StageMeter>>,
    pub cores: u32,
    /// What the worker processes cost.
    pub workers: WorkerCosts,
    /// Whether faults are to be measured.
    pub faults: bool,
    /// Whether there are queues in which messages wait for their next attempt.
    pub retries: bool,
}

/// Greatest values seen.
#[derive(Debug, Clone, Default)]
pub struct Maxima {
    pub backlog: Option<u64>,
    /// The backlog over time.
    pub backlog_points: Points,
    pub stage_backlog: [Option<u64>; Stage::ALL.len()],
    /// Deliveries held, over the samples of the measured part.
    pub stage_unacked: [Mean; Stage::ALL.len()],
    pub driver_rss: Option<u64>,
    pub broker_rss: Option<u64>,
    /// What the embedded broker holds for its clients, bytes.
    pub broker_messages: Option<u64>,
}

/// What the measured part looked like, for the rule that judges it.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Mean end-to-end time of each second's ends, nanoseconds.
    pub end_to_end_means: Vec<f64>,
    /// Samples of the whole backlog, and their sum.
    pub backlog_samples: u64,
    pub backlog_sum: u64,
    /// Planned overloads and what became of them.
    pub overloads: Vec<OverloadRecord>,
    /// When the load began, seconds since the base time of the latency log.
    pub log_began_s: Option<f64>,
    /// What was counted at the first and the last look at the queues of the measured part.
    pub flow: Option<(FlowLook, FlowLook)>,
    /// What faults are measured by; empty where the workload has none.
    pub counts: Vec<Counts>,
}

/// A mean of samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, sample: u64) {
        self.sum += sample;
        self.count += 1;
    }

    /// The mean; absent without a sample.
    pub fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// Watches one trial.
#[derive(Debug)]
pub struct Watch<'a> {
    trial: u32,
    files: &'a mut Files,
    sources: Sources,
    began: Nanos,
    offered: Option<Peekable<Schedule>>,
    processes: ProcessProbe,
    last_tick: Option<Tick>,
    last_second: Second,
    maxima: Maxima,
    course: Course,
    overloads: OverloadWatch,
    snapshot: Snapshot,
    screen: &'a Sender<Snapshot>,
    /// The first failure to write; measuring goes on without the files.
    failure: Option<SeriesError>,
}

#[derive(Debug, Clone)]
struct Tick {
    at: Nanos,
    driver: Option<ProcessSample>,
    /// With its processes.
    broker: Option<(Vec<u32>, ProcessSample)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    at: Nanos,
    sent: u64,
    ended: u64,
}

impl<'a> Watch<'a> {
    /// Watches from `began`, when the load begins.
    pub fn new(
        trial: u32,
        files: &'a mut Files,
        mut sources: Sources,
        began: Nanos,
        snapshot: Snapshot,
        screen: &'a Sender<Snapshot>,
    ) -> Self {
        let overloads = std::mem::take(&mut sources.overloads);
        Watch {
            trial,
            files,
            began,
            offered: sources.schedule.clone().map(Iterator::peekable),
            processes: ProcessProbe::default(),
            last_tick: None,
            last_second: Second {
                at: began,
                ..Second::default()
            },
            maxima: Maxima::default(),
            course: Course::default(),
            overloads,
            snapshot,
            screen,
            failure: None,
            sources,
        }
    }

    fn seconds(&self, at: Nanos) -> f64 {
        (at as f64 - self.began as f64) / 1e9
    }

    fn row(&mut self, at: Nanos, series: &str, value: f64) {
        let time_s = self.seconds(at);
        if let Err(error) = self.files.series.append(self.trial, time_s, series, value) {
            self.failure.get_or_insert(error);
        }
    }

    /// CPU and memory, since the last tick.
    pub fn tick(&mut self) {
        let at = self.sources.clock.now();
        let workers = &self.sources.workers;
        // What runs in worker processes is the driver's work all the same.
        let driver = self.processes.driver().map(|own| ProcessSample {
            cpu_s: own.cpu_s + workers.cpu_s(),
            rss_bytes: own.rss_bytes + workers.rss_bytes(),
        });
        let broker = self.broker();
        let broker_rss = broker.as_ref().map(|(_, sample)| sample.rss_bytes);
        let this = Tick {
            at,
            driver,
            broker: broker.clone(),
        };
        if let Some(last) = self.last_tick.replace(this) {
            let capacity_s = (at - last.at) as f64 / 1e9 * f64::from(self.sources.cores);
            let both = |(before, after): ((Vec<u32>, ProcessSample), (Vec<u32>, ProcessSample))| {
                (before.0 == after.0).then_some((before.1, after.1))
            };
            let brokers = last.broker.zip(broker).and_then(both);
            for (name, samples) in [("driver", last.driver.zip(driver)), ("broker", brokers)] {
                if let Some((before, after)) = samples {
                    self.row(
                        at,
                        &format!("{name}_cpu_share"),
                        (after.cpu_s - before.cpu_s).max(0.0) / capacity_s,
                    );
                    self.row(at, &format!("{name}_rss_bytes"), after.rss_bytes as f64);
                }
            }
        }
        self.maxima.driver_rss = self.maxima.driver_rss.max(driver.map(|sample| sample.rss_bytes));
        self.maxima.broker_rss = self.maxima.broker_rss.max(broker_rss);
        if let Some(bytes) = self.sources.embedded.as_ref().map(BrokerHandle::memory_used) {
            self.maxima.broker_messages = self.maxima.broker_messages.max(Some(bytes));
            self.row(at, "broker_message_bytes", bytes as f64);
        }
        for stage in Stage::ALL {
            // A stage of another pipeline is never delivered anything.
            if let Some(wait) = self.sources.meters[stage.index()].take_recent_wait() {
                self.row(at, &format!("delivery_age_ns_max.{stage}"), wait as f64);
            }
        }
        self.count(at);
        self.row(at, "in_flight_messages", self.sources.publishes.in_flight() as f64);
        self.row(at, "open_orders", self.sources.ledger.open() as f64);
        self.snapshot.elapsed_s = self.seconds(at).max(0.0);
        self.snapshot.sent = self.sources.load.sent();
        self.snapshot.finished = self.sources.ledger.ended();
        self.show();
    }

    /// The broker's processes, and what they use together; absent while none is known.
    fn broker(&mut self) -> Option<(Vec<u32>, ProcessSample)> {
        let pids = self.sources.broker.pids();
        let looks = pids.iter().filter_map(|pid| Some((*pid, self.processes.look(*pid)?)));
        let (pids, samples): (Vec<u32>, Vec<ProcessSample>) = looks.unzip();
        let together = samples.into_iter().reduce(|sum, node| ProcessSample {
            cpu_s: sum.cpu_s + node.cpu_s,
            rss_bytes: sum.rss_bytes + node.rss_bytes,
        })?;
        Some((pids, together))
    }

    /// Notes the counts that faults are measured by.
    fn count(&mut self, at: Nanos) {
        if !self.sources.faults {
            return;
        }
        let (suppressed, repeated) = self.sources.ledger.duplicates();
        self.course.counts.push(Counts {
            at,
            ended: self.sources.ledger.ended(),
            redelivered: self.sources.meters.iter().map(|meter| meter.redelivered()).sum(),
            suppressed,
            repeated,
        });
    }

    /// A look at the queues.
    pub fn depths(&mut self, depths: &Depths) {
        for (position, stage) in depths.pipeline.stages().iter().copied().enumerate() {
            if let Some(ready) = depths.ready[position] {
                self.row(
                    depths.answered,
                    &format!("backlog_messages.{stage}.ready"),
                    ready as f64,
                );
            }
            self.row(
                depths.answered,
                &format!("backlog_messages.{stage}.unacked"),
                depths.unacked[position] as f64,
            );
            if self.snapshot.phase == Phase::Measure {
                self.maxima.stage_unacked[stage.index()].add(depths.unacked[position]);
            }
            let greatest = &mut self.maxima.stage_backlog[stage.index()];
            *greatest = (*greatest).max(depths.backlog(stage));
        }
        if let Some(waiting) = depths.retrying.filter(|_| self.sources.retries) {
            self.row(depths.answered, "retry_messages", waiting as f64);
        }
        if let Some(dead) = depths.dead_letters {
            self.row(depths.answered, "dead_letters_messages", dead as f64);
        }
        self.maxima.backlog = self.maxima.backlog.max(depths.total());
        if let Some(total) = depths.total() {
            let time_s = self.seconds(depths.answered);
            self.maxima.backlog_points.add(time_s, total as f64);
        }
        let meters = &self.sources.meters;
        self.overloads
            .look(depths, |stage| meters[stage.index()].delivered(), self.began);
        self.snapshot.backlog = depths.total();
        if let (Phase::Measure, Some(total)) = (self.snapshot.phase, depths.total()) {
            self.course.backlog_samples += 1;
            self.course.backlog_sum += total;
            self.flow(depths);
        }
    }

    /// Counts what came and went, for the balance of flow.
    fn flow(&mut self, depths: &Depths) {
        let of_stage = |(position, stage): (usize, &Stage)| {
            let meter = &self.sources.meters[stage.index()];
            depths.ready[position].map(|ready| (meter.delivered().saturating_sub(meter.redelivered()), ready))
        };
        let look = FlowLook {
            at_s: self.seconds(depths.answered),
            sent: self.sources.load.sent(),
            open: self.sources.ledger.open(),
            stages: depths.pipeline.stages().iter().enumerate().map(of_stage).collect(),
        };
        match &mut self.course.flow {
            Some((_, last)) => *last = look,
            None => self.course.flow = Some((look.clone(), look)),
        }
    }

    /// Rates and latencies, since the last second.
    pub fn second(&mut self) {
        let at = self.sources.clock.now();
        let Second {
            at: before,
            sent,
            ended,
        } = self.last_second;
        let length_s = (at.saturating_sub(before)) as f64 / 1e9;
        if at <= self.began || length_s <= 0.0 {
            return;
        }
        let this = Second {
            at,
            sent: self.sources.load.sent(),
            ended: self.sources.ledger.ended(),
        };
        self.last_second = this;
        let (achieved, goodput) = (
            (this.sent - sent) as f64 / length_s,
            (this.ended - ended) as f64 / length_s,
        );
        let offset = at - self.began;
        if let Some(offered) = &mut self.offered {
            let count = std::iter::from_fn(|| offered.next_if(|(_, intended)| *intended < offset)).count();
            self.row(at, "offered_load_per_s", count as f64 / length_s);
        }
        self.row(at, "achieved_rate_per_s", achieved);
        self.row(at, "goodput_per_s", goodput);
        self.snapshot.achieved_per_s = Some(achieved);
        self.snapshot.goodput_per_s = Some(goodput);
        self.end_interval(before, at);
        if let Err(error) = self.files.series.flush() {
            self.failure.get_or_insert(error);
        }
        self.show();
    }

    fn end_interval(&mut self, before: Nanos, at: Nanos) {
        let board = Arc::clone(&self.sources.board);
        let start = self.files.hlog_offset + Duration::from_nanos(before.saturating_sub(self.files.hlog_began));
        let length = Duration::from_nanos(at - before);
        let (mut quantiles, mut mean) = ([None, None], None);
        board.end_interval(|series, recorder| {
            if series == Series::EndToEnd {
                quantiles = [recorder.quantile(0.5), recorder.quantile(0.99)];
                mean = Some(recorder.histogram().mean());
            }
            let histogram = recorder.histogram().clone();
            self.files.hlog.append(Interval {
                trial: self.trial,
                series: series.to_string(),
                start,
                length,
                histogram,
            });
        });
        if self.snapshot.phase == Phase::Measure {
            self.course.end_to_end_means.extend(mean);
        }
        let [p50, p99] = quantiles.map(|quantile| quantile.map(|quantile| quantile.ns));
        for (name, value) in [("end_to_end_ns_p50", p50), ("end_to_end_ns_p99", p99)] {
            if let Some(ns) = value {
                self.row(at, name, ns as f64);
            }
        }
        (self.snapshot.p50_ns, self.snapshot.p99_ns) = (p50, p99);
    }

    /// The trial enters a phase.
    pub fn phase(&mut self, phase: Phase) {
        self.snapshot.phase = phase;
        self.show();
    }

    /// Whether the broker has a connection blocked.
    pub fn blocked(&mut self, blocked: bool) {
        self.snapshot.blocked = blocked;
    }

    fn show(&self) {
        self.screen.send_replace(self.snapshot.clone());
    }

    /// Ends the last interval; returns the maxima, the course and the first failure to write.
    pub fn finish(mut self) -> (Maxima, Course, Option<SeriesError>) {
        self.second();
        let log_began_s = (self.began as f64 - self.files.hlog_began as f64) / 1e9;
        self.course.log_began_s = Some(self.files.hlog_offset.as_secs_f64() + log_began_s);
        self.count(self.sources.clock.now());
        self.course.overloads = self.overloads.records();
        (self.maxima, self.course, self.failure)
    }
}
