//! One consumer: takes deliveries through parse → look up → work → commit → emit → acknowledge.
//!
//! Work is done by as many jobs at once as `concurrency` says; waiting for commits and confirms is no work and blocks nobody. A delivery
//! is acknowledged only when its effect stands and what it emitted is confirmed.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::types::ShortString;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::acked::{AckLog, Key};
use super::batch::Batch;
use super::emission::Emission;
use super::meter::{ConsumerMeter, StageMeter};
use super::order::{Emit, Service};
use super::process::Teller;
use super::retry::{Attempts, HandlerError, Sequel};
use super::step::CarriedOut;
use super::store::{Known, Store};
use super::strike::{Armed, Planned, Strike, die, planned};
use super::switch::StageSwitch;
use super::work;
use crate::amqp::{
    Acks, AmqpError, Backoff, Channel, Consumer, Delivery, Outcome, Reach, Refusal, Renewable, RenewablePublisher,
    Requeue, Uncertainty, persist,
};
use crate::clock::Nanos;
use crate::events::Stage;
use crate::measure::StageSpan;
use crate::orders::OrderNumber;
use crate::rng::{self, Stream};
use crate::timer::Sleep;
use crate::wire::Wiring;
use crate::wire::headers;
use crate::wire::message::{Envelope, decode};
use crate::workload::model::{AckMode, FaultKind, Point, StageSettings};

/// Before a delivery whose step failed, or whose event could not be published, goes back to its queue; else it would come
/// straight back.
const REQUEUE_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the work that a consumer has begun when its stage is switched off.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Deliveries that are taken before others on this thread get their turn.
const TURN: u32 = 64;

/// What all consumers of a stage share.
pub struct StageContext {
    /// Which stage.
    pub stage: Stage,
    /// Its business.
    pub service: Arc<dyn Service>,
    /// Its memory.
    pub store: Store,
    /// Its live counts.
    pub meter: Arc<StageMeter>,
    /// Its settings.
    pub settings: StageSettings,
    /// Holds its consumers back.
    pub switch: Arc<StageSwitch>,
    /// How long a message may wait in its queue; absent: for ever.
    pub time_to_live: Option<Nanos>,
    /// What it is wired to.
    pub wiring: Wiring,
    /// Failed attempts at what was requeued.
    pub(super) attempts: Attempts,
    /// Where ends of orders go, for a closed loop.
    pub finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    /// In a worker process: whom it tells.
    pub(super) teller: Option<Arc<Teller>>,
    /// What it acknowledged lately, where a fault takes the broker down.
    pub acks: Option<Arc<AckLog>>,
}

impl fmt::Debug for StageContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageContext")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// The place of one consumer: it stays while the consumer is held back or broken off, and is taken again when it returns.
#[derive(Debug)]
pub struct Seat {
    stage: Arc<StageContext>,
    index: u32,
    line: Arc<Renewable>,
    publisher: Option<Arc<RenewablePublisher>>,
    service_times: Stream,
    strikes: mpsc::UnboundedReceiver<Strike>,
    armed: Armed,
    backoff: Backoff,
}

/// Why a consumer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// Nobody had told it to: the broker cancelled it, or its channel is gone.
    Untold,
}

/// What a consumer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// The stage is switched off: finish what is begun.
    Halt,
    /// The trial is over.
    Stop,
}

/// How a consumer came to stop consuming.
#[derive(Debug)]
enum Parted {
    /// It was told to.
    Told(Command),
    /// A fault struck it.
    Struck(Strike),
    /// Its channel, its connection or its subscription is gone.
    Lost,
}

/// One consumer with its channels.
#[derive(Debug)]
struct Lane<'a> {
    stage: &'a Arc<StageContext>,
    index: u32,
    meter: &'a ConsumerMeter,
    channel: Channel,
    publisher: Option<&'a RenewablePublisher>,
    armed: &'a Armed,
    /// The strike that has broken a job off.
    broken_off_by: Mutex<Option<Strike>>,
    /// Messages by delivery tag that are not acknowledged; empty where nobody logs what is.
    unacked: Mutex<HashMap<u64, Key>>,
    slots: Semaphore,
    /// How much longer this consumer's work takes than the stage's service time says.
    slowness: u64,
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// Processed.
    Ack,
    /// Its handler failed, and the message is published again or in the dead-letter queue: acknowledged.
    PassedOn,
    /// Its handler failed: back to the queue, at once.
    GiveBack,
    /// Never to be processed: to the dead-letter queue.
    Reject,
    /// Not processed now: back to the queue.
    Requeue,
    /// The connection is gone, or the stage is switched off: the delivery goes back with its channel.
    Abandon,
    /// A fault breaks the consumer off at this point of its handler.
    Struck,
}

/// When a delivery passed each point, on the run's clock.
#[derive(Debug, Clone, Copy)]
struct Stamps {
    delivered: Nanos,
    started: Nanos,
    /// The work is done.
    worked: Nanos,
    effect: Nanos,
}

impl Seat {
    /// The place of consumer number `index` of its stage.
    pub fn new(
        stage: Arc<StageContext>,
        index: u32,
        line: Arc<Renewable>,
        publisher: Option<RenewablePublisher>,
        strikes: mpsc::UnboundedReceiver<Strike>,
    ) -> Self {
        let wiring = &stage.wiring;
        let service_times = rng::stream(wiring.seed, &format!("service.{}", stage.stage), u64::from(index));
        let backoff = Backoff::new(
            wiring.workload.recovery,
            wiring.seed,
            stage.stage.name(),
            u64::from(index),
        );
        Seat {
            stage,
            index,
            line,
            publisher: publisher.map(Arc::new),
            service_times,
            strikes,
            armed: Armed::default(),
            backoff,
        }
    }

    /// Opens a channel and starts to consume.
    ///
    /// # Errors
    /// The method that failed.
    pub async fn take(&self) -> Result<(Channel, Consumer), AmqpError> {
        let StageContext {
            stage,
            settings,
            wiring,
            ..
        } = &*self.stage;
        let link = self.line.link().await?;
        let channel = link.channel().await?;
        if let Some(prefetch) = settings.prefetch {
            channel.set_prefetch(prefetch).await?;
        }
        let acks = match settings.ack {
            AckMode::Auto => Acks::Auto,
            AckMode::Manual => Acks::Manual,
        };
        let queue = wiring.topology.queue(*stage);
        let consumer = channel.consume(queue, &self.tag(), acks).await?;
        self.stage.switch.entered();
        Ok((channel, consumer))
    }

    fn tag(&self) -> ShortString {
        format!("{}-{}", self.stage.stage, self.index).into()
    }

    /// Consumes until the trial stops it, with a pause while the stage is switched off, and comes back from whatever else ends
    /// it. `taken`: it consumes already.
    pub async fn occupy(mut self, mut taken: Option<(Channel, Consumer)>, stop: CancellationToken) -> Ended {
        let stage = Arc::clone(&self.stage);
        // Whoever comes back after a fault: its strike; after a loss of its own: none.
        let mut away: Option<Option<Strike>> = None;
        loop {
            let (channel, consumer) = match taken.take() {
                Some(taken) => taken,
                None => {
                    tokio::select! {
                        () = stage.switch.is(true) => {}
                        () = stop.cancelled() => return Ended::Told,
                    }
                    let retaken = match &away {
                        None => self.take().await,
                        Some(_) => {
                            tokio::select! {
                                retaken = self.retake() => retaken,
                                () = stop.cancelled() => return Ended::Told,
                            }
                        }
                    };
                    match retaken {
                        Ok(retaken) => retaken,
                        Err(error) => {
                            self.line.give_up(&error);
                            return Ended::Untold;
                        }
                    }
                }
            };
            if let Some(Some(strike)) = away.take() {
                strike.healed();
            }
            let parted = self.consume(&stage, channel, consumer, &stop).await;
            stage.switch.left();
            match parted {
                Parted::Told(Command::Halt) => {}
                Parted::Told(Command::Stop) => return Ended::Told,
                Parted::Lost => away = Some(None),
                Parted::Struck(strike) => {
                    let back_at = stage.wiring.timer.clock().now() + strike.restart_after;
                    tokio::select! {
                        () = stage.wiring.timer.sleep_until(back_at) => {}
                        () = strike.heal.cancelled() => {}
                        () = stop.cancelled() => return Ended::Told,
                    }
                    // A restarted process connects at once, and pauses only if that fails.
                    taken = self.take().await.ok();
                    away = Some(Some(strike));
                }
            }
        }
    }

    /// Takes the place again after a loss, on a new channel and if need be a new connection, with pauses between attempts.
    async fn retake(&mut self) -> Result<(Channel, Consumer), AmqpError> {
        let clock = self.stage.wiring.timer.clock();
        let mut backoff = std::mem::replace(
            &mut self.backoff,
            Backoff::new(self.stage.wiring.workload.recovery, self.stage.wiring.seed, "", 0),
        );
        let this = &*self;
        let retaken = persist(&mut backoff, clock, || async {
            this.recheck_topology().await?;
            this.take().await
        });
        let retaken = retaken.await;
        self.backoff = backoff;
        retaken
    }

    /// Declares what the broker may have forgotten; a queue that is there is left alone.
    async fn recheck_topology(&self) -> Result<(), AmqpError> {
        let wiring = &self.stage.wiring;
        let link = self.line.link().await?;
        let queue = wiring.topology.queue(self.stage.stage);
        match link.channel().await?.ready_in(queue).await {
            Ok(_) => Ok(()),
            Err(_) if !link.is_lost() => {
                let channel = link.channel().await?;
                wiring.topology.declare(&channel, &wiring.workload).await
            }
            Err(error) => Err(error),
        }
    }

    async fn consume(
        &mut self,
        stage: &Arc<StageContext>,
        channel: Channel,
        consumer: Consumer,
        stop: &CancellationToken,
    ) -> Parted {
        let tag = self.tag();
        let slow = self.index < stage.settings.slow_consumers();
        let lane = Lane {
            stage,
            index: self.index,
            meter: stage.meter.consumer(self.index),
            channel: channel.clone(),
            publisher: self.publisher.as_deref(),
            armed: &self.armed,
            broken_off_by: Mutex::default(),
            unacked: Mutex::default(),
            slots: Semaphore::new(stage.settings.concurrency as usize),
            slowness: if slow { u64::from(stage.settings.slow_factor) } else { 1 },
        };
        let running = lane.run(consumer, &tag, &mut self.service_times, &mut self.strikes, stop);
        let parted = AssertUnwindSafe(running).catch_unwind().await;
        // What is left goes back to its queue with the channel.
        lane.released(lane.meter.held());
        let parted = match parted {
            Ok(parted) => parted,
            Err(panic) => match planned(panic) {
                Ok(strike) => Parted::Struck(strike),
                Err(defect) => std::panic::resume_unwind(defect),
            },
        };
        match &parted {
            Parted::Struck(strike) if strike.what == FaultKind::ConnectionDrop => {
                self.line.current().cut();
                if let Some(publisher) = &self.publisher {
                    publisher.line().current().cut();
                }
            }
            // Nothing of it may be settled or delivered any more; one that is gone needs no close.
            Parted::Struck(_) | Parted::Lost | Parted::Told(Command::Halt) => {
                let closing = channel.close("held back");
                let _ = tokio::time::timeout(FINISH_TIMEOUT, closing).await;
            }
            Parted::Told(Command::Stop) => {}
        }
        parted
    }
}

impl Lane<'_> {
    /// Consumes until told to end, until a fault strikes, or until the broker ends the consumer.
    async fn run(
        &self,
        mut consumer: Consumer,
        tag: &ShortString,
        service_times: &mut Stream,
        strikes: &mut mpsc::UnboundedReceiver<Strike>,
        stop: &CancellationToken,
    ) -> Parted {
        let (mut jobs, mut batch) = (FuturesUnordered::new(), Batch::default());
        let (timer, flush_after) = (&self.stage.wiring.timer, self.stage.settings.ack_flush.as_nanos());
        // For the oldest of a batch as it was when the alarm was set; a batch that went by count leaves it as it is.
        let mut alarm = None::<Sleep<'_>>;
        let halted = self.stage.switch.is(false);
        let stopped = stop.cancelled();
        tokio::pin!(halted, stopped);
        let parted = 'consuming: loop {
            if let (None, Some(oldest)) = (&alarm, batch.oldest) {
                alarm = Some(timer.sleep_until(oldest + flush_after));
            }
            tokio::select! {
                delivery = consumer.next() => {
                    let Some(first) = delivery else { break Parted::Lost };
                    // What came with it is taken in the same turn, up to a number that lets the others have theirs.
                    let (mut next, mut turn) = (Some(first), 1);
                    while let Some(delivery) = next {
                        let delivered = self.taken(&delivery);
                        let tag = delivery.tag();
                        batch.taken(tag);
                        let work_ns = work::draw(self.stage.settings.service_time, service_times) * self.slowness;
                        let mut job = Box::pin(async move { (tag, self.process(delivery, delivered, work_ns).await) });
                        // A job that waits for nothing is done at once.
                        match futures_util::poll!(&mut job) {
                            Poll::Pending => jobs.push(job),
                            Poll::Ready((tag, settlement)) => {
                                if let Some(strike) = self.broken_off() {
                                    break 'consuming Parted::Struck(strike);
                                }
                                self.settle(tag, settlement, &mut batch).await;
                            }
                        }
                        // Whatever is fetched is taken: an acknowledgement of those behind it would cover it.
                        next = if turn < TURN { consumer.at_hand() } else { None };
                        turn += 1;
                    }
                }
                Some((tag, settlement)) = jobs.next(), if !jobs.is_empty() => {
                    let mut done = Some((tag, settlement));
                    while let Some((tag, settlement)) = done {
                        if let Some(strike) = self.broken_off() {
                            break 'consuming Parted::Struck(strike);
                        }
                        self.settle(tag, settlement, &mut batch).await;
                        done = jobs.next().now_or_never().flatten();
                    }
                }
                () = async { if let Some(alarm) = &mut alarm { alarm.await } }, if alarm.is_some() => {
                    alarm = None;
                    if batch.oldest.is_some_and(|oldest| oldest + flush_after <= self.now()) {
                        self.flush(&mut batch).await;
                    }
                }
                Some(strike) = strikes.recv() => {
                    if let Some(strike) = self.struck(strike, stop).await {
                        break Parted::Struck(strike);
                    }
                }
                () = &mut halted => break Parted::Told(Command::Halt),
                () = &mut stopped => break Parted::Told(Command::Stop),
            }
        };
        let finishes = match &parted {
            Parted::Told(Command::Halt) => true,
            Parted::Struck(strike) => strike.what == FaultKind::ConsumerCancel,
            Parted::Told(Command::Stop) | Parted::Lost => false,
        };
        if finishes {
            // A command to stop that comes meanwhile is seen right after.
            self.channel.cancel(tag).await;
            // Who waits for a slot gives up; who has one goes on.
            self.slots.close();
            let finishing = async {
                while let Some((tag, settlement)) = jobs.next().await {
                    self.settle(tag, settlement, &mut batch).await;
                }
            };
            // What is not done by then has had no effect, or is a redelivery that the store knows.
            let _ = tokio::time::timeout(FINISH_TIMEOUT, finishing).await;
            // A job that met a strike meanwhile is as far as it comes, and the consumer leaves anyway.
            if let Some(strike) = self.broken_off() {
                strike.healed();
            }
        }
        if finishes || matches!(parted, Parted::Told(Command::Stop)) {
            self.flush(&mut batch).await;
        }
        parted
    }

    /// A fault strikes. One that waits for a point of the handler is armed, a hang is lived through here; the others break the
    /// consumer off and are returned.
    async fn struck(&self, strike: Strike, stop: &CancellationToken) -> Option<Strike> {
        if strike.heal.is_cancelled() {
            return None;
        }
        if strike.point.is_some() {
            self.armed.arm(strike);
            return None;
        }
        strike.bit();
        let FaultKind::Hang(lasts) = strike.what else {
            return Some(strike);
        };
        // Meanwhile nobody polls the jobs: nothing is taken, done, published or acknowledged.
        tokio::select! {
            () = self.stage.wiring.timer.sleep_until(self.now() + lasts.as_nanos()) => {}
            () = strike.heal.cancelled() => {}
            () = stop.cancelled() => {}
        }
        strike.healed();
        None
    }

    /// The strike that a job has met at its point.
    fn broken_off(&self) -> Option<Strike> {
        self.broken_off_by.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Breaks the consumer off if a fault waits for `point`: the job goes no further.
    fn breaks_off_at(&self, point: Point) -> bool {
        let Some(strike) = self.armed.bites(point) else {
            return false;
        };
        strike.bit();
        if strike.what == FaultKind::Panic {
            // Not `panic!`: it is no defect, and nobody needs to read of it.
            std::panic::resume_unwind(Box::new(Planned(strike)));
        }
        if strike.what == FaultKind::Sigkill && point != Point::PublishToConfirm {
            die();
        }
        *self.broken_off_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(strike);
        true
    }

    /// Whether the strike that a job has met kills the process.
    fn is_to_die(&self) -> bool {
        let met = self.broken_off_by.lock().unwrap_or_else(PoisonError::into_inner);
        met.as_ref().is_some_and(|strike| strike.what == FaultKind::Sigkill)
    }

    /// Counts a delivery that has come; returns when.
    fn taken(&self, delivery: &Delivery) -> Nanos {
        let meter = &self.stage.meter;
        meter.delivered.fetch_add(1, Ordering::Relaxed);
        meter
            .redelivered
            .fetch_add(u64::from(delivery.is_redelivered()), Ordering::Relaxed);
        let held = self.meter.take();
        meter.take();
        let StageSettings { ack, prefetch, .. } = self.stage.settings;
        // The broker limits nothing that it takes for acknowledged as it sends.
        let beyond = ack == AckMode::Manual && prefetch.is_some_and(|prefetch| held > u64::from(prefetch));
        meter.prefetch_exceeded.fetch_add(u64::from(beyond), Ordering::Relaxed);
        self.now()
    }

    /// Counts deliveries off that are about to be settled. Before, not after: the broker may answer with the next delivery
    /// before the task that settled goes on.
    fn released(&self, deliveries: u64) {
        self.meter.held.fetch_sub(deliveries, Ordering::Relaxed);
        self.stage.meter.held.fetch_sub(deliveries, Ordering::Relaxed);
    }

    fn now(&self) -> Nanos {
        self.stage.wiring.timer.clock().now()
    }

    /// Settles one delivery; acknowledgements may wait for their batch. A failed settlement means that the channel is gone:
    /// the loss is noticed by the connection's own listener.
    async fn settle(&self, tag: u64, settlement: Settlement, batch: &mut Batch) {
        let StageSettings { ack, ack_batch, .. } = self.stage.settings;
        match settlement {
            _ if ack == AckMode::Auto => self.released(1),
            Settlement::Ack | Settlement::PassedOn if ack_batch > 1 => {
                batch.finished(tag, self.now());
                if batch.ready() >= usize::from(ack_batch) {
                    self.flush(batch).await;
                }
                return;
            }
            Settlement::Ack | Settlement::PassedOn => {
                self.released(1);
                self.stage.meter.acks.fetch_add(1, Ordering::Relaxed);
                let _ = self.channel.ack(tag, Reach::One).await;
                self.acknowledged(&[tag]);
            }
            // A reject, because a nack does not count towards the delivery limit of a quorum queue from RabbitMQ 4.3 on.
            Settlement::GiveBack => {
                self.released(1);
                let _ = self.channel.reject(tag, Requeue::Yes).await;
            }
            Settlement::Reject | Settlement::Requeue => {
                self.released(1);
                let requeue = match settlement {
                    Settlement::Requeue => Requeue::Yes,
                    _ => Requeue::No,
                };
                let _ = self.channel.nack(tag, requeue).await;
            }
            Settlement::Abandon | Settlement::Struck => {
                self.released(1);
                // It stays unfinished to the batch: no acknowledgement may reach beyond it.
                return;
            }
        }
        batch.settled(tag);
    }

    /// Acknowledges everything that is finished, with as few acknowledgements as may be.
    async fn flush(&self, batch: &mut Batch) {
        self.released(batch.waiting as u64);
        let tags: Vec<u64> = match self.stage.acks {
            Some(_) => batch.finished_tags().collect(),
            None => Vec::new(),
        };
        for (tag, reach) in batch.take() {
            self.stage.meter.acks.fetch_add(1, Ordering::Relaxed);
            let _ = self.channel.ack(tag, reach).await;
        }
        self.acknowledged(&tags);
    }

    /// Logs what came, where a fault takes the broker down: it may have been acknowledged before.
    fn logged(&self, tag: u64, key: Key) {
        let Some(log) = &self.stage.acks else { return };
        log.delivered(key, self.now());
        let mut unacked = self.unacked.lock().unwrap_or_else(PoisonError::into_inner);
        unacked.insert(tag, key);
    }

    fn acknowledged(&self, tags: &[u64]) {
        let Some(log) = &self.stage.acks else { return };
        let mut unacked = self.unacked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        for key in tags.iter().filter_map(|tag| unacked.remove(tag)) {
            log.acked(key, now);
        }
    }

    async fn process(&self, delivery: Delivery, delivered: Nanos, work_ns: Nanos) -> Settlement {
        let StageContext {
            stage, meter, wiring, ..
        } = &**self.stage;
        let body_max = wiring.workload.messages.body_max();
        let oversize = body_max.is_some_and(|most| delivery.body().len() as u64 > most);
        let Some(message) = decode(wiring.encoder.ids(), delivery.body()).ok().filter(|_| !oversize) else {
            meter.malformed.fetch_add(1, Ordering::Relaxed);
            return Settlement::Reject;
        };
        self.logged(delivery.tag(), (message.number, message.event));
        // A message that was published again lives from then on.
        let time_to_live = (self.stage.time_to_live).filter(|_| headers::retries(&delivery.properties()) == 0);
        meter.waited(delivered.saturating_sub(message.published), time_to_live);
        if !stage.consumes().contains(&message.event) {
            meter.not_for_stage.fetch_add(1, Ordering::Relaxed);
            return Settlement::Ack;
        }
        wiring
            .ledger
            .delivered(message.number, *stage, delivery.is_redelivered());
        let settlement = self.work_on(&message, &delivery, delivered, work_ns).await;
        if matches!(settlement, Settlement::Ack | Settlement::Reject) {
            wiring.ledger.settled(message.number, *stage, message.event);
        }
        settlement
    }

    async fn work_on(&self, message: &Envelope, delivery: &Delivery, delivered: Nanos, work_ns: Nanos) -> Settlement {
        let StageContext {
            stage, wiring, store, ..
        } = &**self.stage;
        // The slots are closed when the stage is switched off.
        let Ok(slot) = self.slots.acquire().await else {
            return Settlement::Abandon;
        };
        let started = self.now();
        let Ok(known) = store.lookup(message.number, message.event, &wiring.ledger).await else {
            self.stage.meter.store().failed();
            return self.requeue().await;
        };
        if known != Known::Fresh {
            self.stage.recall(message).await;
        }
        if known == Known::Fresh {
            if work_ns > 0 {
                wiring.timer.sleep_until(started + work_ns).await;
            }
            if self.breaks_off_at(Point::BeforeEffect) {
                return Settlement::Struck;
            }
        }
        let worked = self.now();
        drop(slot);
        if known == Known::Fresh
            && let Some(error) = self.stage.fails(message, delivery, worked)
        {
            self.spent(started, worked);
            return self.failed(error, message, delivery).await;
        }
        let next = match known {
            Known::Done => {
                wiring.ledger.suppressed(message.number, *stage);
                return Settlement::Ack;
            }
            Known::Applied(emit) => CarriedOut::Publish(emit),
            Known::Fresh => self.stage.carry_out(message).await,
        };
        let stamps = Stamps {
            delivered,
            started,
            worked,
            effect: self.now(),
        };
        let emits = matches!(next, CarriedOut::Publish(emit) if emit != Emit::Nothing) || next == CarriedOut::Complete;
        if emits && self.breaks_off_at(Point::EffectToPublish) {
            return Settlement::Struck;
        }
        let settlement = match next {
            CarriedOut::Publish(emit) => self.emit(message, emit, stamps).await,
            CarriedOut::Complete => Settlement::Ack,
            CarriedOut::Nothing => return Settlement::Ack,
            CarriedOut::Again => return self.requeue().await,
            CarriedOut::Rejected => return Settlement::Reject,
        };
        if settlement == Settlement::Ack && self.breaks_off_at(Point::ConfirmToAck) {
            return Settlement::Struck;
        }
        if settlement == Settlement::Ack {
            store.done(message.number, message.event);
            if self.stage.settings.errors.any() {
                self.stage.attempts.forget(message);
            }
            self.record(message, stamps);
        }
        settlement
    }

    /// Publishes what the effect calls for and awaits the outcome.
    async fn emit(&self, message: &Envelope, emit: Emit, stamps: Stamps) -> Settlement {
        if emit == Emit::Nothing {
            return Settlement::Ack;
        }
        let Some(publisher) = self.publisher else {
            return Settlement::Reject;
        };
        let emission = Emission {
            cause: message.event,
            emit,
            about: message,
            since: message.published,
            effect: stamps.effect,
        };
        let Some(parcel) = self.stage.parcel(&emission) else {
            return Settlement::Ack;
        };
        if self.breaks_off_at(Point::PublishToConfirm) {
            publisher.current().publish_unanswered(parcel.message()).await;
            if self.is_to_die() {
                die();
            }
            return Settlement::Struck;
        }
        match self
            .stage
            .publish(publisher, u64::from(self.index), &emission, &parcel)
            .await
        {
            Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) => Settlement::Ack,
            // Nobody will ever route it: a repetition would fail for ever.
            Outcome::Refused(Refusal::Returned) => {
                self.stage.meter.unroutable.fetch_add(1, Ordering::Relaxed);
                Settlement::Reject
            }
            // The publisher could not be had back.
            Outcome::Unknown(Uncertainty::ConnectionLost) => Settlement::Abandon,
            Outcome::Refused(Refusal::Nack) => {
                self.stage.meter.nacked();
                self.requeue().await
            }
            Outcome::Unknown(Uncertainty::Timeout) => self.requeue().await,
        }
    }

    /// The handler failed: the message is tried again, or given up.
    async fn failed(&self, error: HandlerError, message: &Envelope, delivery: &Delivery) -> Settlement {
        let (stage, retry) = (self.stage, self.stage.meter.retry());
        let who = u64::from(self.index);
        let sequel = stage.sequel(error, message, delivery);
        let (counter, outcome) = match (sequel, self.publisher) {
            (Sequel::Drop, _) => return Settlement::Ack,
            (Sequel::Requeue, _) => {
                retry.retried.fetch_add(1, Ordering::Relaxed);
                return Settlement::GiveBack;
            }
            (Sequel::GiveUp(reason), Some(publisher)) if stage.wiring.workload.topology.dead_letter => {
                // Before, not after: whoever dies in between leaves a dead letter that has its cause.
                retry.given_up.fetch_add(1, Ordering::Relaxed);
                let outcome = stage.give_up(publisher, who, delivery, reason).await;
                if matches!(outcome, Outcome::Refused(_)) {
                    retry.given_up.fetch_sub(1, Ordering::Relaxed);
                }
                (None, outcome)
            }
            // The broker drops it: there is nowhere to put it.
            (Sequel::GiveUp(_), _) | (Sequel::Republish(_) | Sequel::Wait(_), None) => {
                retry.given_up.fetch_add(1, Ordering::Relaxed);
                stage.wiring.ledger.gave_up(message.number);
                return Settlement::Reject;
            }
            (Sequel::Republish(_) | Sequel::Wait(_), Some(publisher)) => {
                let again = stage.try_again(publisher, who, (message, delivery), sequel);
                (Some(&retry.retried), again.await)
            }
        };
        match outcome {
            Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) => {
                if let Some(counter) = counter {
                    counter.fetch_add(1, Ordering::Relaxed);
                } else {
                    stage.wiring.ledger.gave_up(message.number);
                }
                Settlement::PassedOn
            }
            Outcome::Unknown(Uncertainty::ConnectionLost) => Settlement::Abandon,
            Outcome::Refused(Refusal::Nack) => {
                stage.meter.nacked();
                self.requeue().await
            }
            // The queue is not there at the moment, or the broker takes its time.
            Outcome::Refused(Refusal::Returned) | Outcome::Unknown(Uncertainty::Timeout) => self.requeue().await,
        }
    }

    /// Not now: the delivery goes back to its queue after a pause.
    async fn requeue(&self) -> Settlement {
        self.stage.meter.requeued.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(REQUEUE_PAUSE).await;
        Settlement::Requeue
    }

    fn record(&self, message: &Envelope, stamps: Stamps) {
        let Stamps {
            delivered,
            started,
            worked,
            effect,
        } = stamps;
        let stage = self.stage;
        stage.span(
            message,
            StageSpan::QueueWait,
            delivered.saturating_sub(message.published),
        );
        stage.span(message, StageSpan::BufferWait, started.saturating_sub(delivered));
        let done = if stage.store.durable().is_some() {
            stage.span(message, StageSpan::Commit, effect.saturating_sub(worked));
            worked
        } else {
            effect
        };
        let busy_ns = done.saturating_sub(started);
        stage.span(message, StageSpan::Service, busy_ns);
        self.spent(started, done);
    }

    /// Work was done from `started` to `done`, whatever came of it.
    fn spent(&self, started: Nanos, done: Nanos) {
        let busy_ns = done.saturating_sub(started);
        self.meter.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
        self.stage.busy(started, busy_ns);
    }
}
