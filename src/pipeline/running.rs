//! The running pipeline: connections, consumers, and the counts that tell whether it is empty.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::acked::AckLog;
use super::consumer::Ended;
use super::evidence;
use super::meter::StageMeter;
use super::order::{Context, Inventory, service};
use super::process::{Crew, StageSeats, WorkerCosts};
use super::staff::{Staff, Staffed};
use super::store::{Grip, Store, StoreError, StoreGround, StoreSite};
use super::strike::Targets;
use super::switch::StageSwitch;
use crate::amqp::{AmqpError, Renewable};
use crate::clock::Nanos;
use crate::events::Stage;
use crate::ledger::ItemBook;
use crate::orders::OrderNumber;
use crate::wire::Wiring;

/// Longest wait for consumers to finish what they hold when the pipeline is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a worker process to start and connect.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the pipeline did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the {stage} stage: {source}")]
pub struct PipelineError {
    /// Which stage.
    pub stage: Stage,
    /// Why.
    pub source: StartError,
}

/// What a stage that starts may fail at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The broker.
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What its worker processes need.
    #[error("worker processes cannot be had: {0}")]
    Crew(#[from] std::io::Error),
    /// One of its worker processes.
    #[error("{0}")]
    Worker(String),
}

/// A running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    inventory: Arc<Inventory>,
    meters: Vec<Arc<StageMeter>>,
    switches: Vec<(Stage, Arc<StageSwitch>)>,
    targets: Vec<(Stage, Targets)>,
    acks: Vec<Arc<AckLog>>,
    lines: Vec<Arc<Renewable>>,
    consumers: JoinSet<Ended>,
    stop: CancellationToken,
    finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    /// The worker processes, if there are any.
    crew: Option<Crew>,
    wiring: Wiring,
    /// Hands on the databases, for faults.
    grips: Vec<(Stage, Grip)>,
    /// Kept as long as the stores: their files are in it.
    site: StoreSite,
}

impl Pipeline {
    /// Connects and starts every consumer; the topology must be declared. Databases are made on `ground`. Ends of orders go to
    /// `finished`, for a closed loop. Worker processes run `program`, which must be this one.
    ///
    /// # Errors
    /// [`PipelineError`] with the stage that did not start.
    pub async fn start(
        wiring: &Wiring,
        ground: StoreGround,
        finished: Option<mpsc::UnboundedSender<OrderNumber>>,
        program: &Path,
    ) -> Result<Self, PipelineError> {
        let workload = &wiring.workload;
        let first = workload.pipeline.stages()[0];
        let before = |source: StartError| PipelineError { stage: first, source };
        let site = StoreSite::prepare(&workload.stages, ground).map_err(|error| before(error.into()))?;
        let crew = Crew::open(wiring, finished.clone(), program).map_err(|error| before(error.into()))?;
        let ledger = match &crew {
            Some(crew) => crew.ledger(),
            None => &wiring.ledger,
        };
        let context = Context {
            seed: wiring.seed,
            workload: Arc::clone(&wiring.workload),
            ledger: Arc::clone(ledger),
        };
        let meter = |stage: Stage| {
            let in_processes = crew.as_ref().and_then(|crew| crew.meter(stage));
            match workload.pipeline.position(stage) {
                _ if in_processes.is_some() => in_processes.cloned(),
                Some(_) => Some(Arc::new(StageMeter::new(workload.stage(stage).consumers))),
                None => None,
            }
        };
        let meters = Stage::ALL
            .iter()
            .map(|stage| meter(*stage).unwrap_or_else(|| Arc::new(StageMeter::new(0))));
        let mut pipeline = Pipeline {
            inventory: Arc::new(Inventory::new(context.clone())),
            meters: meters.collect(),
            switches: Vec::new(),
            targets: Vec::new(),
            acks: crew.as_ref().map(Crew::ack_logs).unwrap_or_default(),
            lines: Vec::new(),
            consumers: JoinSet::new(),
            stop: CancellationToken::new(),
            finished,
            wiring: Wiring {
                ledger: Arc::clone(ledger),
                ..wiring.clone()
            },
            crew,
            grips: Vec::new(),
            site,
        };
        for stage in wiring.workload.pipeline.stages().iter().copied() {
            pipeline
                .start_stage(stage, &context)
                .await
                .map_err(|source| PipelineError { stage, source })?;
        }
        Ok(pipeline)
    }

    async fn start_stage(&mut self, stage: Stage, context: &Context) -> Result<(), StartError> {
        let workload = Arc::clone(&self.wiring.workload);
        let settings = workload.stage(stage);
        let held_back = matches!(&workload.backlog, Some(backlog) if backlog.stage == stage);
        let switch = StageSwitch::new(self.wiring.timer.clock(), settings.consumers, !held_back);
        let switch = Arc::new(switch);
        self.switches.push((stage, Arc::clone(&switch)));
        let crew = self.crew.as_mut();
        if let Some(seats) = crew.and_then(|crew| crew.seats(stage, &switch, &self.site)) {
            return self.start_processes(stage, seats).await;
        }
        let meter = Arc::clone(&self.meters[stage.index()]);
        let acks = workload.faults.take_broker_down().then(Arc::<AckLog>::default);
        self.acks.extend(acks.clone());
        let staff = Staff {
            stage,
            wiring: self.wiring.clone(),
            service: service(stage, context, &self.inventory),
            store: Store::open(stage, settings, &self.site, meter.store())?,
            meter,
            switch,
            seats: 0..settings.consumers,
            whose: String::new(),
            open: !held_back,
            finished: self.finished.clone(),
            teller: None,
            acks,
        };
        let Staffed {
            stage: shared,
            strikes,
            lines,
        } = staff.start(&mut self.consumers, &self.stop).await?;
        self.grips
            .extend(shared.store.durable().and_then(|store| Some((stage, store.grip()?))));
        self.lines.extend(lines);
        self.targets.push((stage, Targets::here(strikes)));
        Ok(())
    }

    /// Starts the worker processes of a stage, and waits until all of them work.
    async fn start_processes(&mut self, stage: Stage, seats: StageSeats) -> Result<(), StartError> {
        let settings = self.wiring.workload.stage(stage);
        let store = self.meters[stage.index()].store();
        let grip = self.site.grip(stage, settings.store, store);
        self.grips.extend(grip.map(|grip| (stage, grip)));
        for post in seats.posts {
            self.consumers.spawn(post.keep(self.stop.clone()));
        }
        for ready in seats.ready {
            let late = || format!("a worker process of the {stage} stage does not get ready");
            match tokio::time::timeout(READY_TIMEOUT, ready).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(why))) => return Err(StartError::Worker(why)),
                Ok(Err(_)) | Err(_) => return Err(StartError::Worker(late())),
            }
        }
        self.targets.push((stage, seats.targets));
        Ok(())
    }

    /// The load has begun, and what is intended from `start` on is measured.
    pub fn measures_from(&self, start: Nanos) {
        self.wiring.window.open(start);
        if let Some(crew) = &self.crew {
            crew.measures_from(start);
        }
    }

    /// What the worker processes cost.
    pub fn worker_costs(&self) -> WorkerCosts {
        self.crew.as_ref().map(Crew::costs).unwrap_or_default()
    }

    /// The consumers of a stage, for a fault to strike; absent for a stage of another pipeline.
    pub fn targets(&self, stage: Stage) -> Option<&Targets> {
        let mut targets = self.targets.iter();
        targets.find(|(own, _)| *own == stage).map(|(_, targets)| targets)
    }

    /// Waits until each consumer that shall consume does, but not beyond `patience`; stages with consumers missing, and how many.
    pub async fn missing_consumers(&self, patience: Duration) -> Vec<(Stage, u32)> {
        let settling = futures_util::future::join_all(self.switches.iter().map(|(_, switch)| switch.settled()));
        // Those who are not back by then are counted.
        let _ = tokio::time::timeout(patience, settling).await;
        let missing = self.switches.iter().map(|(stage, switch)| (*stage, switch.missing()));
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// The stages' logs of what they acknowledged; none where no fault takes the broker down.
    pub fn ack_logs(&self) -> &[Arc<AckLog>] {
        &self.acks
    }

    /// Holds a stage's consumers back; absent for a stage of another pipeline.
    pub fn switch(&self, stage: Stage) -> Option<&Arc<StageSwitch>> {
        let mut switches = self.switches.iter();
        switches.find(|(own, _)| *own == stage).map(|(_, switch)| switch)
    }

    /// Live counts of a stage.
    pub fn meter(&self, stage: Stage) -> &Arc<StageMeter> {
        &self.meters[stage.index()]
    }

    /// All meters, by [`Stage::index`].
    pub fn meters(&self) -> &[Arc<StageMeter>] {
        &self.meters
    }

    /// Deliveries that consumers hold, over all stages.
    pub fn held(&self) -> u64 {
        self.meters.iter().map(|meter| meter.held()).sum()
    }

    /// Rows of outboxes that are not sent, over all stages.
    pub fn unsent(&self) -> u64 {
        self.meters.iter().map(|meter| meter.store().unsent()).sum()
    }

    /// A hand on a stage's database; absent for a stage without one.
    pub fn grip(&self, stage: Stage) -> Option<&Grip> {
        let mut grips = self.grips.iter();
        grips.find(|(own, _)| *own == stage).map(|(_, grip)| grip)
    }

    /// Why a database is given up, if one is: the trial cannot go on.
    pub fn store_given_up(&self) -> Option<String> {
        let stages = Stage::ALL.iter().zip(&self.meters);
        let mut given_up = stages.filter_map(|(stage, meter)| Some((stage, meter.store().gave_up()?)));
        given_up
            .next()
            .map(|(stage, why)| format!("the {stage} stage lost its store: {why}"))
    }

    /// Whether a consumer has ended that nobody stopped: a panic, or a consumer that the broker cancelled.
    pub fn consumers_lost(&mut self) -> u64 {
        let mut lost = 0;
        while let Some(ended) = self.consumers.try_join_next() {
            lost += u64::from(!matches!(ended, Ok(Ended::Told)));
        }
        lost
    }

    /// Stops every consumer and closes the connections. What consumers hold goes back to its queue. Returns inventory's stock
    /// book, in which nobody writes any more.
    pub async fn stop(mut self) -> Vec<ItemBook> {
        self.stop.cancel();
        let ending = async { while self.consumers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, ending).await.is_err() {
            self.consumers.abort_all();
            while self.consumers.join_next().await.is_some() {}
        }
        futures_util::future::join_all(self.lines.iter().map(|line| line.close())).await;
        let Some(mut crew) = self.crew.take() else {
            return self.inventory.book();
        };
        let book = crew.close().await;
        if crew.lost_somebody() {
            evidence::settle(&self.wiring, crew.booked(), &self.site).await;
        }
        // The stores went with the last of their consumers.
        book.unwrap_or_else(|| self.inventory.book())
    }
}
