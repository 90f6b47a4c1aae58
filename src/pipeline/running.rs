//! The running pipeline: connections, consumers, and the counts that tell whether it is empty.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::acked::AckLog;
use super::consumer::{Ended, Seat, StageContext};
use super::meter::StageMeter;
use super::order::{Context, Inventory, service};
use super::relay::Relay;
use super::retry::Attempts;
use super::store::{Store, StoreError, StoreGround, StoreSite};
use super::strike::Targets;
use super::switch::StageSwitch;
use crate::amqp::{AmqpError, Renewable, RenewablePublisher};
use crate::events::Stage;
use crate::ledger::ItemBook;
use crate::orders::OrderNumber;
use crate::units::Span;
use crate::wire::{Peer, Wiring};
use crate::workload::model::{Publishing, StageConnection};

/// Longest wait for consumers to finish what they hold when the pipeline is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Kept as long as the stores: their files are in it.
    site: StoreSite,
}

impl Pipeline {
    /// Connects and starts every consumer; the topology must be declared. Databases are made on `ground`. Ends of orders go to
    /// `finished`, for a closed loop.
    ///
    /// # Errors
    /// [`PipelineError`] with the stage that did not start.
    pub async fn start(
        wiring: &Wiring,
        ground: StoreGround,
        finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    ) -> Result<Self, PipelineError> {
        let context = Context {
            seed: wiring.seed,
            workload: Arc::clone(&wiring.workload),
            ledger: Arc::clone(&wiring.ledger),
        };
        let workload = &wiring.workload;
        let meter = |stage| match workload.pipeline.position(stage) {
            Some(_) => StageMeter::new(workload.stage(stage).consumers),
            None => StageMeter::new(0),
        };
        let first = workload.pipeline.stages()[0];
        let site = StoreSite::prepare(&workload.stages, ground).map_err(|error| PipelineError {
            stage: first,
            source: error.into(),
        })?;
        let mut pipeline = Pipeline {
            inventory: Arc::new(Inventory::new(context.clone())),
            meters: Stage::ALL.iter().map(|stage| Arc::new(meter(*stage))).collect(),
            switches: Vec::new(),
            targets: Vec::new(),
            acks: Vec::new(),
            lines: Vec::new(),
            consumers: JoinSet::new(),
            stop: CancellationToken::new(),
            finished,
            site,
        };
        for stage in wiring.workload.pipeline.stages().iter().copied() {
            pipeline
                .start_stage(stage, wiring, &context)
                .await
                .map_err(|source| PipelineError { stage, source })?;
        }
        Ok(pipeline)
    }

    /// One connection to consume and, where the stage emits, one to publish, for the stage or for each of its consumers: a
    /// broker that blocks publishers must not stop the acknowledgements.
    async fn start_stage(&mut self, stage: Stage, wiring: &Wiring, context: &Context) -> Result<(), StartError> {
        let settings = wiring.workload.stage(stage).clone();
        let held_back = matches!(&wiring.workload.backlog, Some(backlog) if backlog.stage == stage);
        let switch = Arc::new(StageSwitch::new(wiring.timer.clock(), settings.consumers, !held_back));
        let meter = Arc::clone(&self.meters[stage.index()]);
        let acks = wiring.workload.faults.take_broker_down().then(Arc::<AckLog>::default);
        self.acks.extend(acks.clone());
        let shared = Arc::new(StageContext {
            stage,
            service: service(stage, context, &self.inventory),
            store: Store::open(stage, &settings, &self.site, meter.store())?,
            meter,
            settings,
            switch: Arc::clone(&switch),
            time_to_live: wiring.workload.time_to_live(stage).map(Span::as_nanos),
            wiring: wiring.clone(),
            attempts: Attempts::default(),
            finished: self.finished.clone(),
            acks,
        });
        let mut lines = self.connect(stage, "", wiring).await?;
        let mut seats = Vec::new();
        for index in 0..shared.settings.consumers {
            if index > 0 && shared.settings.connection == StageConnection::Own {
                lines = self.connect(stage, &format!(" {index}"), wiring).await?;
            }
            let (consuming, publishing) = &lines;
            let publisher = match publishing {
                Some(line) => {
                    Some(RenewablePublisher::open(line, &wiring.workload.publish, Arc::clone(&wiring.publishes)).await?)
                }
                None => None,
            };
            let (strike, strikes) = mpsc::unbounded_channel();
            seats.push(strike);
            let seat = Seat::new(Arc::clone(&shared), index, Arc::clone(consuming), publisher, strikes);
            let taken = if held_back { None } else { Some(seat.take().await?) };
            self.consumers.spawn(seat.occupy(taken, self.stop.clone()));
        }
        if let (Publishing::Outbox, Some(line)) = (shared.settings.publish, &lines.1) {
            let publisher =
                RenewablePublisher::open(line, &wiring.workload.publish, Arc::clone(&wiring.publishes)).await?;
            self.consumers
                .spawn(Relay::new(Arc::clone(&shared), publisher).run(self.stop.clone()));
        }
        self.targets.push((stage, Targets { seats }));
        self.switches.push((stage, switch));
        Ok(())
    }

    /// A pair of connections; the second only where the stage publishes.
    async fn connect(
        &mut self,
        stage: Stage,
        whose: &str,
        wiring: &Wiring,
    ) -> Result<(Arc<Renewable>, Option<Arc<Renewable>>), AmqpError> {
        let connector = wiring.connector_of(Peer::Stage(stage));
        let consuming = Renewable::connect(connector, &format!("{stage} consumers{whose}")).await?;
        self.lines.push(Arc::clone(&consuming));
        // A failed delivery's message may have to be published again.
        if !stage.emits() && !wiring.workload.may_fail(stage) {
            return Ok((consuming, None));
        }
        let publishing = Renewable::connect(connector, &format!("{stage} publishers{whose}")).await?;
        self.lines.push(Arc::clone(&publishing));
        Ok((consuming, Some(publishing)))
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
        let book = self.inventory.book();
        // The stores went with the last of their consumers.
        drop(self.site);
        book
    }
}
