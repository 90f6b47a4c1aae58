//! The running pipeline: connections, consumers, and the counts that tell whether it is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::consumer::{Lane, StageContext};
use super::order::{Context, Inventory, service};
use super::store::Store;
use crate::amqp::{AmqpError, Link, Publisher};
use crate::events::Stage;
use crate::ledger::ItemBook;
use crate::orders::OrderNumber;
use crate::wire::Wiring;
use crate::workload::model::AckMode;

/// Longest wait for consumers to finish what they hold when the pipeline is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the pipeline did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the {stage} stage: {source}")]
pub struct PipelineError {
    /// Which stage.
    pub stage: Stage,
    /// Why.
    pub source: AmqpError,
}

/// Live counts of one stage.
#[derive(Debug, Default)]
pub struct StageMeter {
    pub(super) delivered: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) held: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) not_for_stage: AtomicU64,
    pub(super) acks: AtomicU64,
    pub(super) prefetch_exceeded: AtomicU64,
    pub(super) requeued: AtomicU64,
    pub(super) busy_ns: AtomicU64,
}

impl StageMeter {
    /// Deliveries, redeliveries among them.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Deliveries with the redelivered flag.
    pub fn redelivered(&self) -> u64 {
        self.redelivered.load(Ordering::Relaxed)
    }

    /// Deliveries that consumers hold and have not settled.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Deliveries rejected as malformed.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Deliveries that were not for this stage.
    pub fn not_for_stage(&self) -> u64 {
        self.not_for_stage.load(Ordering::Relaxed)
    }

    /// Acknowledgements sent.
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Deliveries beyond the prefetch.
    pub fn prefetch_exceeded(&self) -> u64 {
        self.prefetch_exceeded.load(Ordering::Relaxed)
    }

    /// Deliveries given back because what they called for could not be published.
    pub fn requeued(&self) -> u64 {
        self.requeued.load(Ordering::Relaxed)
    }

    /// Nanoseconds of work inside the measured part, over all jobs.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }
}

/// A running pipeline.
#[derive(Debug)]
pub struct Pipeline {
    inventory: Arc<Inventory>,
    meters: Vec<Arc<StageMeter>>,
    links: Vec<Link>,
    consumers: JoinSet<()>,
    stop: CancellationToken,
    finished: Option<mpsc::UnboundedSender<OrderNumber>>,
}

impl Pipeline {
    /// Connects and starts every consumer; the topology must be declared. Ends of orders go to `finished`, for a closed loop.
    ///
    /// # Errors
    /// [`PipelineError`] with the stage that did not start.
    pub async fn start(
        wiring: &Wiring,
        finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    ) -> Result<Self, PipelineError> {
        let context = Context {
            seed: wiring.seed,
            workload: Arc::clone(&wiring.workload),
            ledger: Arc::clone(&wiring.ledger),
        };
        let mut pipeline = Pipeline {
            inventory: Arc::new(Inventory::new(context.clone())),
            meters: Stage::ALL.iter().map(|_| Arc::default()).collect(),
            links: Vec::new(),
            consumers: JoinSet::new(),
            stop: CancellationToken::new(),
            finished,
        };
        for stage in wiring.workload.pipeline.stages().iter().copied() {
            pipeline
                .start_stage(stage, wiring, &context)
                .await
                .map_err(|source| PipelineError { stage, source })?;
        }
        Ok(pipeline)
    }

    /// One connection to consume and, where the stage emits, one to publish: a broker that blocks publishers must not stop
    /// the acknowledgements.
    async fn start_stage(&mut self, stage: Stage, wiring: &Wiring, context: &Context) -> Result<(), AmqpError> {
        let settings = wiring.workload.stage(stage).clone();
        let consuming = wiring.connector.connect(&format!("{stage} consumers")).await?;
        let emits = !matches!(stage, Stage::Email | Stage::Sms | Stage::Audit | Stage::Worker);
        let publishing = if emits {
            Some(wiring.connector.connect(&format!("{stage} publishers")).await?)
        } else {
            None
        };
        let shared = Arc::new(StageContext {
            stage,
            service: service(stage, context, &self.inventory),
            store: Store::new(settings.dedupe),
            meter: Arc::clone(&self.meters[stage.index()]),
            settings,
            wiring: wiring.clone(),
            finished: self.finished.clone(),
        });
        for index in 0..shared.settings.consumers {
            let publisher = match &publishing {
                Some(link) => {
                    Some(Publisher::open(link, &wiring.workload.publish, Arc::clone(&wiring.publishes)).await?)
                }
                None => None,
            };
            let channel = consuming.channel().await?;
            if let Some(prefetch) = shared.settings.prefetch {
                let setting = channel.basic_qos(prefetch, BasicQosOptions::default());
                consuming.answer("set the prefetch", setting).await?;
            }
            let queue = wiring.topology.queue(stage).clone();
            let options = BasicConsumeOptions {
                no_ack: shared.settings.ack == AckMode::Auto,
                ..BasicConsumeOptions::default()
            };
            let tag = format!("{stage}-{index}");
            let consuming_from = channel.basic_consume(queue.clone(), tag.into(), options, FieldTable::default());
            let consumer = consuming
                .answer(&format!("consume from {queue}"), consuming_from)
                .await?;
            let lane = Lane::new(Arc::clone(&shared), index, channel, publisher);
            self.consumers.spawn(lane.run(consumer, self.stop.clone()));
        }
        self.links.push(consuming);
        self.links.extend(publishing);
        Ok(())
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

    /// Inventory's stock book.
    pub fn inventory_book(&self) -> Vec<ItemBook> {
        self.inventory.book()
    }

    /// Whether a consumer has ended that nobody stopped: a panic, or a consumer that the broker cancelled.
    pub fn consumers_lost(&mut self) -> u64 {
        let mut lost = 0;
        while let Some(ended) = self.consumers.try_join_next() {
            lost += u64::from(ended.is_err() || !self.stop.is_cancelled());
        }
        lost
    }

    /// Stops every consumer and closes the connections. What consumers hold goes back to its queue.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ending = async { while self.consumers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, ending).await.is_err() {
            self.consumers.abort_all();
        }
        futures_util::future::join_all(self.links.into_iter().map(Link::close)).await;
    }
}
