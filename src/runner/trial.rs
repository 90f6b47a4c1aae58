//! One trial through its phases.

mod account;
mod strikes;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch, watch::Sender};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backlog::{Held, HeldStage, Look};
use super::databases::Databases;
use super::depth::{CloseLook, DepthTask, Depths};
use super::network::Network;
use super::overload::OverloadWatch;
use super::residue;
use super::run::AtEnd;
use super::snapshot::{Phase, Snapshot};
use super::stores::Stores;
use super::watch::{Course, Files, Maxima, Sources, Watch};
use crate::amqp::uri::BrokerUri;
use crate::amqp::{AmqpError, Channel, Connector, Incidents};
use crate::arrival::Schedule;
use crate::broker::RunningBroker;
use crate::broker::embedded::EmbeddedBroker;
use crate::clock::{Clock, Nanos};
use crate::events::Stage;
use crate::fault::{Happened, ScriptSpan};
use crate::ledger::{Population, Residue};
use crate::load::{Load, LoadMeter};
use crate::measure::Recorder;
use crate::pipeline::process::WorkerCosts;
use crate::pipeline::{AckLog, Pipeline, PipelineError, StageMeter};
use crate::plan::{Plan, TrialPlan};
use crate::results::record::{Band, TrialRecord};
use crate::sample::{DepthProbe, HiccupProbe};
use crate::timer::Timer;
use crate::wire::Wiring;
use crate::wire::topology::Topology;
use crate::workload::Workload;
use crate::workload::model::{BacklogArrivals, Faults, Until};
use strikes::{RanFault, RunningFault, RunningScript, band_of, strikes_consumers};
use usage::Usage;

/// From the last preparation to the first order.
const RUN_UP_NS: Nanos = 50_000_000;
/// Cadence of the drain's own look at the counts.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// Longest drain after an interruption.
const INTERRUPTED_DRAIN: Duration = Duration::from_secs(5);
/// With confirms off nobody knows what is still to come; then nothing may move for this long.
const QUIET_NS: Nanos = 2_000_000_000;

/// With orders that were given up nobody knows what else of them is on its way; then nothing may move for this long.
const GIVEN_UP_QUIET_NS: Nanos = 300_000_000;

/// Longest wait for consumers that nothing keeps away any more.
const CONSUMERS_PATIENCE: Duration = Duration::from_secs(5);

/// Looks at counters of the broker that must still come, and the pause between two of them.
const COUNTERS_LOOKS: u32 = 32;
const COUNTERS_POLL: Duration = Duration::from_millis(250);

/// Why a trial did not begin. Once the load has begun, what happens ends up in the trial's record instead.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A method or a connection failed.
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    /// The pipeline did not start.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// No port for a proxy.
    #[error("cannot start the proxies for the faults: {0}")]
    Network(std::io::Error),
}

/// What all trials of a run share.
#[derive(Debug)]
pub struct Stand<'a> {
    pub plan: Arc<Plan>,
    pub workload: Arc<Workload>,
    pub broker: &'a Arc<RunningBroker>,
    pub stores: Stores,
    pub uri: BrokerUri,
    pub run_id: String,
    pub clock: Clock,
    pub timer: Timer,
    pub interrupt: CancellationToken,
    pub screen: &'a Sender<Snapshot>,
    pub cores: u32,
    /// What worker processes run: this program.
    pub program: &'a Path,
    /// Seconds that the trials after this one take, about.
    pub later_s: Option<f64>,
    pub at_end: AtEnd,
}

impl Stand<'_> {
    /// The snapshot with which `trial` begins.
    pub fn snapshot(&self, trial: &TrialPlan) -> Snapshot {
        let load = &self.plan.workload(trial).load;
        Snapshot {
            trial: trial.trial,
            trials: self.plan.trials.len() as u32,
            cell: self.plan.cells[trial.cell].label.clone(),
            later_s: self.later_s,
            planned: self.plan.arrivals(trial),
            load_s: match load.until {
                Until::Duration(duration) => Some((load.warm_up.0 + duration.0).as_secs_f64()),
                Until::Orders(_) => None,
            },
            ..Snapshot::default()
        }
    }

    /// The names of a trial's objects.
    pub fn topology(&self, trial: u32) -> Arc<Topology> {
        Topology::new(&format!("orderstorm.{}.{trial}", self.run_id), self.workload.pipeline)
    }
}

/// A trial that is ready for its load: its fixed parts, and those that move.
struct Ready<'a> {
    fixed: Fixed<'a>,
    pipeline: Pipeline,
    load: Load,
    finished: mpsc::UnboundedReceiver<u64>,
    probe: DepthProbe,
    close_look: Option<CloseLook>,
}

/// A trial without its moving parts.
struct Fixed<'a> {
    stand: &'a Stand<'a>,
    trial: &'a TrialPlan,
    started: SystemTime,
    prepared_at: Nanos,
    wiring: Wiring,
    /// What the worker processes cost.
    workers: WorkerCosts,
    /// Between clients and broker, where a fault of the network is planned.
    network: Network,
    /// Between stages and their databases, likewise.
    databases: Databases,
    /// What the broker's queues had dropped before the trial; absent where it does not tell.
    drops_before: Option<u64>,
}

/// What the phases left.
struct Ran {
    began: Nanos,
    warm_until: Nanos,
    /// 0 until it has.
    load_ended: Nanos,
    drained_at: Option<Nanos>,
    drain_ended: Nanos,
    /// Events of faults, with the bands that show them.
    faults: Vec<RanFault>,
    /// The stages' logs of what they acknowledged; none where no fault takes the broker down.
    acks: Vec<Arc<AckLog>>,
    /// Consumers that were not back at the end; absent where nothing had taken any away.
    consumers_missing: Option<Vec<(Stage, u32)>>,
    aborted: Option<String>,
    interrupted: bool,
    ended_at_window_start: u64,
    ended_at_load_end: u64,
    /// Over the load.
    load_usage: Usage,
    /// Over load and drain.
    usage: Usage,
    load_meter: Arc<LoadMeter>,
    meters: Vec<Arc<StageMeter>>,
    maxima: Maxima,
    /// The stage that is held back, if one is.
    held: Option<HeldStage>,
    /// A backlog that never stood: messages asked for, and messages found.
    backlog_short: Option<(u64, u64)>,
    course: Course,
    /// Orders under way, and when that was looked at: as measuring began and as the load ended.
    population: [Option<(Nanos, Population)>; 2],
    /// How late the sleeper beside the load woke; absent where there was none.
    hiccups: Option<Recorder>,
}

impl Ran {
    fn new(began: Nanos, stand: &Stand<'_>, load_meter: &Arc<LoadMeter>, pipeline: &Pipeline) -> Self {
        Ran {
            began,
            warm_until: began + stand.workload.load.warm_up.as_nanos(),
            load_ended: 0,
            drained_at: None,
            drain_ended: 0,
            faults: Vec::new(),
            acks: pipeline.ack_logs().to_vec(),
            consumers_missing: None,
            aborted: None,
            interrupted: false,
            ended_at_window_start: 0,
            ended_at_load_end: 0,
            load_usage: Usage::default(),
            usage: Usage::default(),
            load_meter: Arc::clone(load_meter),
            meters: pipeline.meters().to_vec(),
            maxima: Maxima::default(),
            held: HeldStage::of(&stand.workload),
            backlog_short: None,
            course: Course::default(),
            population: [None, None],
            hiccups: None,
        }
    }
}

/// A steady cadence; a late tick is followed by the next at its full distance, not by a burst of ticks.
fn every(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Runs a trial on a broker on which its topology's names are free.
///
/// # Errors
/// [`TrialError`] when it could not begin; the caller cleans up what was declared.
pub async fn run(stand: &Stand<'_>, trial: &TrialPlan, files: &mut Files) -> Result<TrialRecord, TrialError> {
    let snapshot = Snapshot {
        phase: Phase::Declare,
        ..stand.snapshot(trial)
    };
    stand.screen.send_replace(snapshot.clone());
    let ready = prepare(stand, trial).await?;
    ready.run(files, snapshot).await
}

async fn prepare<'a>(stand: &'a Stand<'a>, trial: &'a TrialPlan) -> Result<Ready<'a>, TrialError> {
    let (started, prepared_at) = (crate::clock::wall_time(), stand.clock.now());
    let workload = Arc::clone(&stand.workload);
    let nodes = stand.broker.addresses();
    let incidents = Arc::new(Incidents::new(stand.clock));
    let mut connector = Connector::new(&stand.uri, incidents)
        .with_client(workload.driver.client)
        .over(nodes.clone(), 0);
    if let Some(heartbeat) = workload.recovery.heartbeat {
        connector = connector.with_heartbeat(heartbeat.0.as_secs() as u16);
    }
    let network = Network::start(&workload, (&stand.uri, &nodes), trial.seed, &stand.timer);
    let network = network.map_err(TrialError::Network)?;
    let databases = Databases::start(&workload, stand.stores.address(), trial.seed, &stand.timer);
    let databases = databases.map_err(TrialError::Network)?;
    let topology = stand.topology(trial.trial);
    let declaring = connector.connect("declaration").await?;
    topology.declare(&Channel::on(&declaring).await?, &workload).await?;
    let ids = format!("{}-{}", stand.run_id, trial.trial);
    // An open loop waits for nobody's end.
    let waits = workload.load.arrival.waits_for_orders();
    let detours = network.detours(&connector);
    let mut wiring = Wiring::new(connector, workload, trial.seed, topology, &ids, stand.timer.clone());
    wiring.detours = Arc::new(detours);
    let (finished_tx, finished) = mpsc::unbounded_channel();
    let mut ground = stand
        .stores
        .ground(&stand.workload, &stand.run_id, trial.trial, trial.seed);
    ground.detours = databases.detours();
    let finished_to = waits.then_some(finished_tx);
    let pipeline = Pipeline::start(&wiring, ground, finished_to, stand.program).await?;
    let load = Load::connect(wiring.clone()).await?;
    let topology = &wiring.topology;
    let stages = topology.stages().iter().copied();
    let mut watched: Vec<_> = stages.clone().map(|stage| topology.queue(stage).clone()).collect();
    watched.extend(
        topology
            .retry_queues(&stand.workload)
            .into_iter()
            .map(|(_, _, queue)| queue),
    );
    if stand.workload.topology.dead_letter {
        watched.extend(stages.map(|stage| topology.dead_letter_queue(stage).clone()));
    }
    let probe = DepthProbe::connect(&wiring.connector, watched).await?;
    let close_look = match HeldStage::of(&stand.workload) {
        Some(held) => Some(CloseLook {
            probe: DepthProbe::connect(&wiring.connector, vec![topology.queue(held.stage).clone()]).await?,
            meter: Arc::clone(pipeline.meter(held.stage)),
            clock: stand.clock,
        }),
        None => None,
    };
    declaring.close().await;
    let fixed = Fixed {
        stand,
        trial,
        started,
        prepared_at,
        wiring,
        workers: pipeline.worker_costs(),
        network,
        databases,
        drops_before: dropped_by_queues(stand.broker).await,
    };
    Ok(Ready {
        fixed,
        pipeline,
        load,
        finished,
        probe,
        close_look,
    })
}

/// The tasks that run beside the load.
struct Tasks {
    load: JoinHandle<()>,
    faults: Vec<RunningFault>,
    script: Vec<RunningScript>,
    /// The last look at the queues, for faults that wait for one.
    seen: watch::Sender<Depths>,
    /// Cancelled as the load ends: no fault begins after it.
    load_over: CancellationToken,
    depths: mpsc::Receiver<Depths>,
    looks: mpsc::Receiver<Look>,
    stop_load: CancellationToken,
    stop_faults: CancellationToken,
    stop_probe: CancellationToken,
}

impl Ready<'_> {
    async fn run(self, files: &mut Files, snapshot: Snapshot) -> Result<TrialRecord, TrialError> {
        let Ready {
            fixed,
            load,
            finished,
            probe,
            close_look,
            mut pipeline,
        } = self;
        let Fixed { stand, trial, .. } = fixed;
        let began = stand.clock.now() + RUN_UP_NS;
        let load_meter = Arc::clone(load.meter());
        let (depth_tx, depths) = mpsc::channel(4);
        let [stop_load, stop_faults, stop_probe] = [(); 3].map(|()| CancellationToken::new());
        let depth_task = DepthTask {
            probe,
            pipeline: stand.workload.pipeline,
            retry_queues: fixed.wiring.topology.retry_queues(&stand.workload).len(),
            meters: pipeline.meters().to_vec(),
            clock: stand.clock,
            interval: stand.workload.sample.interval.0,
        };
        let probing = tokio::spawn(depth_task.run(depth_tx, stop_probe.clone()));
        let (look_tx, looks) = mpsc::channel(4);
        let looking = close_look.map(|close_look| tokio::spawn(close_look.run(look_tx, stop_probe.clone())));
        pipeline.measures_from(began + stand.workload.load.warm_up.as_nanos());
        let (seen, sight) = watch::channel(Depths::default());
        let load_over = CancellationToken::new();
        let span = ScriptSpan {
            began,
            load_over: load_over.clone(),
            stop: stop_faults.clone(),
        };
        let tasks = Tasks {
            script: fixed.start_script(&span, &sight, &pipeline),
            seen,
            load_over,
            load: tokio::spawn(load.run(began, Some(finished), stop_load.clone())),
            faults: fixed.start_faults(began, &pipeline, &stop_faults),
            depths,
            looks,
            stop_load,
            stop_faults,
            stop_probe,
        };
        let schedule = Schedule::new(&stand.workload.load, trial.seed);
        let sources = Sources {
            clock: stand.clock,
            board: Arc::clone(&fixed.wiring.board),
            ledger: Arc::clone(&fixed.wiring.ledger),
            load: Arc::clone(&load_meter),
            publishes: Arc::clone(&fixed.wiring.publishes),
            overloads: OverloadWatch::new(&stand.workload, schedule.as_ref()),
            schedule,
            broker: Arc::clone(stand.broker),
            embedded: stand.broker.embedded().map(EmbeddedBroker::handle),
            meters: pipeline.meters().to_vec(),
            cores: stand.cores,
            workers: fixed.workers.clone(),
            faults: stand.workload.faults != Faults::default(),
            retries: !fixed.wiring.topology.retry_queues(&stand.workload).is_empty(),
        };
        let watch = Watch::new(trial.trial, files, sources, began, snapshot, stand.screen);
        let mut ran = fixed.phases(tasks, watch, began, &load_meter, &mut pipeline).await;
        ran.consumers_missing = fixed.consumers_missing(&ran, &pipeline).await;
        fixed.wiring.connector.incidents().closing();
        let inventory = pipeline.stop().await;
        // The probe closes its own connection; it ends within one look.
        let _ = tokio::time::timeout(Duration::from_secs(5), probing).await;
        if let Some(looking) = looking {
            let _ = tokio::time::timeout(Duration::from_secs(5), looking).await;
        }
        let mut residue = fixed.verify(&ran).await;
        let may_drop = |stage: &Stage| stand.workload.may_drop(*stage).is_some();
        residue.drops.by = stand
            .workload
            .pipeline
            .stages()
            .iter()
            .copied()
            .filter(may_drop)
            .collect();
        let mut report = fixed.wiring.ledger.settle(&residue, &inventory);
        if !residue.drops.by.is_empty() && ran.aborted.is_none() {
            let missing = report.stages.iter().map(|counts| counts.dropped).sum();
            residue.drops.counted = fixed.drops_counted(missing).await;
            report = fixed.wiring.ledger.settle(&residue, &inventory);
        }
        Ok(fixed.record(ran, report))
    }
}

impl Fixed<'_> {
    /// Consumers that are not back although nothing keeps them away any more; absent where nothing had taken any away.
    async fn consumers_missing(&self, ran: &Ran, pipeline: &Pipeline) -> Option<Vec<(Stage, u32)>> {
        let lost = !self.wiring.connector.incidents().absences().is_empty();
        let taken_away = lost || ran.faults.iter().any(|fault| fault.stage.is_some());
        if !taken_away || ran.aborted.is_some() || ran.interrupted {
            return None;
        }
        Some(pipeline.missing_consumers(CONSUMERS_PATIENCE).await)
    }

    /// Takes note of a close look at the stage that is held back, and lets it begin when its backlog stands.
    fn look(&self, look: Look, ran: &mut Ran, pipeline: &Pipeline, load: &LoadMeter, stop_load: &CancellationToken) {
        let Some(held) = &mut ran.held else { return };
        let Some(switch) = pipeline.switch(held.stage) else {
            return;
        };
        held.look(
            look,
            Held {
                held_at: switch.closed_at(),
                returned_at: switch.returned_at(),
                load_ended: load.ended().is_some(),
            },
        );
        let Some(backlog) = &self.stand.workload.backlog else {
            return;
        };
        if switch.is_open() {
            return;
        }
        // When the load is over and answered for, there is nothing more to come from it.
        let exhausted = load.in_flight() == 0 && load.ended().is_some_and(|ended| look.began > ended);
        if look.ready >= backlog.messages {
            if backlog.arrivals == BacklogArrivals::Stop {
                stop_load.cancel();
            }
            switch.open();
        } else if exhausted && pipeline.held() == 0 {
            ran.backlog_short = Some((backlog.messages, look.ready));
            switch.open();
        }
    }

    /// Warm-up, measuring and drain, in one loop over whatever happens next.
    async fn phases(
        &self,
        mut tasks: Tasks,
        mut watch: Watch<'_>,
        began: Nanos,
        load_meter: &Arc<LoadMeter>,
        pipeline: &mut Pipeline,
    ) -> Ran {
        let stand = self.stand;
        let mut ran = Ran::new(began, stand, load_meter, pipeline);
        let before = Usage::look(stand, &self.workers);
        let mut hiccups = HiccupProbe::start(stand.clock).ok();
        let incidents = Arc::clone(self.wiring.connector.incidents());
        let (mut ticks, mut seconds) = (every(stand.workload.sample.interval.0), every(Duration::from_secs(1)));
        let mut drain_ticks = every(DRAIN_TICK);
        let (mut drain, mut warm) = (Drain::default(), false);
        watch.phase(if ran.warm_until > began {
            Phase::WarmUp
        } else {
            Phase::Measure
        });
        while ran.aborted.is_none() {
            tokio::select! {
                _ = ticks.tick() => {
                    watch.tick();
                    watch.blocked(incidents.blocked_periods().iter().any(|period| period.end.is_none()));
                    if let Some(why) = pipeline.store_given_up() {
                        ran.aborted = Some(why);
                    } else if pipeline.consumers_lost() > 0 {
                        ran.aborted = Some(consumer_lost(&incidents).await);
                    }
                }
                _ = seconds.tick() => watch.second(),
                Some(depths) = tasks.depths.recv() => {
                    watch.depths(&depths);
                    tasks.seen.send_replace(depths.clone());
                    drain.depths = Some(depths);
                }
                Some(look) = tasks.looks.recv() => self.look(look, &mut ran, pipeline, load_meter, &tasks.stop_load),
                () = stand.timer.sleep_until(ran.warm_until), if !warm => {
                    warm = true;
                    ran.ended_at_window_start = self.wiring.ledger.ended();
                    ran.population[0] = Some((stand.clock.now(), self.wiring.ledger.population()));
                    watch.phase(Phase::Measure);
                }
                () = stand.interrupt.cancelled(), if !ran.interrupted => {
                    ran.interrupted = true;
                    tasks.stop_load.cancel();
                    tasks.stop_faults.cancel();
                    if let Some(switch) = ran.held.as_ref().and_then(|held| pipeline.switch(held.stage)) {
                        switch.open();
                    }
                }
                () = incidents.lost_token().cancelled() => ran.aborted = incidents.loss(),
                _ = drain_ticks.tick() => {}
            }
            if let (0, Some(ended)) = (ran.load_ended, load_meter.ended()) {
                self.end_load(&mut ran, ended, &before);
                tasks.load_over.cancel();
                ran.hiccups = hiccups.take().map(HiccupProbe::finish);
                watch.phase(Phase::Drain);
            }
            if ran.load_ended > 0 && self.drain_is_over(&mut ran, &mut drain, load_meter, pipeline) {
                break;
            }
        }
        ran.drain_ended = stand.clock.now();
        if ran.load_ended == 0 {
            let ended = ran.drain_ended;
            self.end_load(&mut ran, ended, &before);
        }
        ran.usage = Usage::look(stand, &self.workers).since(&before);
        if let (Some(at), Some(held)) = (ran.drained_at, &mut ran.held) {
            let meter = pipeline.meter(held.stage);
            held.drained(at, meter.delivered().saturating_sub(meter.held()));
        }
        tasks.stop_load.cancel();
        tasks.stop_faults.cancel();
        tasks.stop_probe.cancel();
        self.end_tasks(tasks, &mut ran).await;
        let (maxima, course, failure) = watch.finish();
        (ran.maxima, ran.course) = (maxima, course);
        ran.aborted = ran.aborted.or(failure.map(|error| error.to_string()));
        ran
    }

    /// The load is over: from here on nothing is measured that begins.
    fn end_load(&self, ran: &mut Ran, ended: Nanos, before: &Usage) {
        ran.load_ended = ended;
        self.wiring.window.close(ended);
        ran.ended_at_load_end = self.wiring.ledger.ended();
        ran.population[1] = Some((self.stand.clock.now(), self.wiring.ledger.population()));
        ran.load_usage = Usage::look(self.stand, &self.workers).since(before);
    }

    /// Whether the pipeline ran empty, which is noted, or the time for that is up.
    fn drain_is_over(&self, ran: &mut Ran, drain: &mut Drain, load: &LoadMeter, pipeline: &Pipeline) -> bool {
        let limit = if ran.interrupted && self.broker_is_down() {
            // Nothing can drain, and nobody waits for a broker that goes with the run.
            Duration::ZERO
        } else if ran.interrupted {
            INTERRUPTED_DRAIN
        } else {
            self.stand.workload.drain.deadline.0
        };
        ran.drained_at = self.drained(drain, ran, load, pipeline);
        ran.drained_at.is_some() || self.stand.clock.now() > ran.load_ended + limit.as_nanos() as Nanos
    }

    /// Whether a broker of the run's own has no living process, by a fault.
    fn broker_is_down(&self) -> bool {
        let broker = self.stand.broker;
        broker.cluster().is_some() && broker.pids().is_empty()
    }

    /// When the pipeline ran empty, if it has: nothing ready, unacked or in flight, and no order awaited.
    fn drained(&self, drain: &mut Drain, ran: &Ran, load: &LoadMeter, pipeline: &Pipeline) -> Option<Nanos> {
        let now = self.stand.clock.now();
        let delivered: u64 = pipeline.meters().iter().map(|meter| meter.delivered()).sum();
        let idle = pipeline.held() == 0
            && pipeline.unsent() == 0
            && load.in_flight() == 0
            && self.wiring.publishes.in_flight() == 0;
        if !idle || drain.delivered != Some(delivered) {
            drain.delivered = Some(delivered);
            drain.idle_since = Some(now);
            if !idle {
                drain.idle_since = None;
            }
            return None;
        }
        let idle_since = *drain.idle_since.get_or_insert(now);
        let depths = drain.depths.as_ref()?;
        // The look must be younger than the idleness, or it may have missed what came after it.
        let empty = depths.began >= idle_since
            && depths.ready.iter().all(|ready| *ready == Some(0))
            && depths.retrying == Some(0);
        let nothing_awaited = self.wiring.ledger.awaited() == 0 && self.stand.workload.publish.confirms;
        let quiet = match (nothing_awaited, self.wiring.ledger.given_up()) {
            (true, 0) => 0,
            (true, _) => GIVEN_UP_QUIET_NS,
            (false, _) => QUIET_NS,
        };
        (empty && now >= idle_since + quiet).then_some(idle_since.max(ran.load_ended))
    }

    async fn end_tasks(&self, tasks: Tasks, ran: &mut Ran) {
        let fault_of = |section: &str, band, stage, start, healed| RanFault {
            position: None,
            what: section.replace('_', "-"),
            band,
            stage,
            point: None,
            consumers: None,
            node: None,
            start,
            healed: Some(healed),
        };
        for RunningFault {
            section,
            band,
            stage,
            task,
        } in tasks.faults
        {
            match task.await {
                Ok(Ok(Some((start, end)))) => ran.faults.push(fault_of(section, band, stage, start, end)),
                Ok(Ok(None)) => {}
                Ok(Err(why)) => ran.aborted = Some(format!("the fault {section} failed: {why}")),
                Err(error) => ran.aborted = Some(format!("the fault {section} ended early: {error}")),
            }
        }
        for RunningScript { position, fault, task } in tasks.script {
            match task.await {
                Ok(Happened { events, failure }) => {
                    ran.faults.extend(events.into_iter().map(|event| RanFault {
                        position: Some(position),
                        what: fault.what.name().to_owned(),
                        band: band_of(&fault, event.node),
                        stage: fault.stage,
                        point: fault.point.map(|point| point.name().to_owned()),
                        consumers: strikes_consumers(&fault).then_some(event.consumers),
                        node: event.node,
                        start: event.struck_at,
                        healed: event.healed_at,
                    }));
                    if let Some(why) = failure {
                        ran.aborted = Some(format!(
                            "fault {position} of the script ({}) failed: {why}",
                            fault.what.name()
                        ));
                    }
                }
                Err(error) => ran.aborted = Some(format!("fault {position} of the script ended early: {error}")),
            }
        }
        ran.faults.sort_by_key(|fault| fault.start);
        let load = tasks.load;
        let abort = load.abort_handle();
        // Answers that a dead broker never gives end by their own time-out, which may be longer than anybody wants to wait.
        if tokio::time::timeout(Duration::from_secs(2), load).await.is_err() {
            abort.abort();
        }
    }

    /// Reads what is left on the broker. A broker that is gone cannot be asked: then the residue is unknown.
    async fn verify(&self, ran: &Ran) -> Residue {
        self.stand.screen.send_modify(|snapshot| snapshot.phase = Phase::Verify);
        if ran.aborted.is_some() {
            return Residue::default();
        }
        residue::read(
            &self.wiring.connector,
            &self.wiring.topology,
            &self.stand.workload,
            self.wiring.encoder.ids(),
            self.stand.at_end,
        )
        .await
        .unwrap_or_default()
    }

    /// What the broker counts as dropped over the trial; its exporter may lag behind what is known to be `missing`.
    async fn drops_counted(&self, missing: u64) -> Option<u64> {
        if self.stand.workload.faults.take_broker_down() {
            // A broker counts from its last start.
            return None;
        }
        let before = self.drops_before?;
        let mut looks = COUNTERS_LOOKS;
        loop {
            let counted = dropped_by_queues(self.stand.broker).await?.saturating_sub(before);
            looks -= 1;
            if counted >= missing || looks == 0 {
                return Some(counted);
            }
            tokio::time::sleep(COUNTERS_POLL).await;
        }
    }

    fn band(&self, name: &str, began: Nanos, start: Nanos, end: Nanos) -> Band {
        let seconds = |at: Nanos| (at as f64 - began as f64) / 1e9;
        Band {
            name: name.to_owned(),
            start_s: seconds(start),
            end_s: seconds(end),
        }
    }
}

/// Messages that the broker's queues dropped since it started, full or expired, with nowhere to dead-letter them; absent where
/// it does not tell.
async fn dropped_by_queues(broker: &RunningBroker) -> Option<u64> {
    if let Some(embedded) = broker.embedded() {
        return Some(embedded.counters().dropped);
    }
    let totals = broker.management()?.message_totals().await.ok()?;
    totals?.dropped_by_queues
}

/// Why a consumer has ended that nobody had stopped. With its connection gone, the connection's own word comes a moment later
/// and says more.
async fn consumer_lost(incidents: &Incidents) -> String {
    let _ = tokio::time::timeout(Duration::from_secs(1), incidents.lost_token().cancelled()).await;
    incidents.loss().unwrap_or_else(|| {
        "a consumer ended that nobody had stopped (it panicked, or the broker cancelled it)".to_owned()
    })
}

/// State of the drain's look.
#[derive(Debug, Default)]
struct Drain {
    depths: Option<Depths>,
    delivered: Option<u64>,
    idle_since: Option<Nanos>,
}
