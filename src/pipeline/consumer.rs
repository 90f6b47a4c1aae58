//! One consumer: takes deliveries through parse → dedupe → work → effect → emit → acknowledge.
//!
//! Work is done by as many jobs at once as `concurrency` says; waiting for confirms is no work and blocks nobody. A delivery
//! is acknowledged only when its effect stands and what it emitted is confirmed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::ShortString;
use lapin::{Channel, Consumer};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::order::{Emit, Reaction, Service};
use super::running::StageMeter;
use super::store::{Known, Store};
use super::work;
use crate::amqp::{Message, Outcome, Publisher, Refusal, Uncertainty};
use crate::clock::Nanos;
use crate::events::{Event, Stage};
use crate::ledger::Finished;
use crate::measure::{Series, StageSpan};
use crate::orders::OrderNumber;
use crate::rng::{self, Stream};
use crate::wire::Wiring;
use crate::wire::message::{Envelope, Kind, decode, properties};
use crate::workload::model::{AckMode, StageSettings};

/// Before a delivery whose event could not be published goes back to its queue; else it would come straight back.
const REQUEUE_PAUSE: Duration = Duration::from_millis(50);

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
    /// What it is wired to.
    pub wiring: Wiring,
    /// Where ends of orders go, for a closed loop.
    pub finished: Option<mpsc::UnboundedSender<OrderNumber>>,
}

impl fmt::Debug for StageContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageContext")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// One consumer with its channels.
#[derive(Debug)]
pub struct Lane {
    stage: Arc<StageContext>,
    channel: Channel,
    publisher: Option<Publisher>,
    slots: Semaphore,
    service_times: Stream,
    /// Deliveries that this consumer holds and has not settled.
    held: AtomicU64,
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settlement {
    /// Processed.
    Ack,
    /// Never to be processed: to the dead-letter queue.
    Reject,
    /// Not processed now: back to the queue.
    Requeue,
    /// The connection is gone, and the delivery with it.
    Abandon,
}

/// When a delivery passed each point, on the run's clock.
#[derive(Debug, Clone, Copy)]
struct Stamps {
    delivered: Nanos,
    started: Nanos,
    effect: Nanos,
}

impl Lane {
    /// Consumer number `index` of its stage.
    pub fn new(stage: Arc<StageContext>, index: u32, channel: Channel, publisher: Option<Publisher>) -> Self {
        let slots = Semaphore::new(stage.settings.concurrency as usize);
        let service_times = rng::stream(stage.wiring.seed, &format!("service.{}", stage.stage), u64::from(index));
        Lane {
            stage,
            channel,
            publisher,
            slots,
            service_times,
            held: AtomicU64::new(0),
        }
    }

    /// Consumes until stopped, or until the broker ends the consumer.
    pub async fn run(mut self, mut consumer: Consumer, stop: CancellationToken) {
        let mut service_times = std::mem::replace(&mut self.service_times, rng::stream(0, "", 0));
        let lane = &self;
        let (mut jobs, mut batch) = (FuturesUnordered::new(), Batch::default());
        let flush_after = self.stage.settings.ack_flush.as_nanos();
        loop {
            tokio::select! {
                delivery = consumer.next() => {
                    let Some(Ok(delivery)) = delivery else { break };
                    let delivered = lane.taken(&delivery);
                    batch.taken(delivery.delivery_tag);
                    let work_ns = work::draw(self.stage.settings.service_time, &mut service_times);
                    jobs.push(async move { (delivery.delivery_tag, lane.process(delivery, delivered, work_ns).await) });
                }
                Some((tag, settlement)) = jobs.next(), if !jobs.is_empty() => lane.settle(tag, settlement, &mut batch).await,
                () = lane.stage.wiring.timer.sleep_until(batch.oldest.unwrap_or_default() + flush_after), if batch.waits() => {
                    lane.flush(&mut batch).await;
                }
                () = stop.cancelled() => break,
            }
        }
        lane.flush(&mut batch).await;
        // What is left goes back to its queue with the channel.
        lane.released(lane.held.load(Ordering::Relaxed));
    }

    /// Counts a delivery that has come; returns when.
    fn taken(&self, delivery: &Delivery) -> Nanos {
        let meter = &self.stage.meter;
        meter.delivered.fetch_add(1, Ordering::Relaxed);
        meter
            .redelivered
            .fetch_add(u64::from(delivery.redelivered), Ordering::Relaxed);
        meter.held.fetch_add(1, Ordering::Relaxed);
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        let beyond = self
            .stage
            .settings
            .prefetch
            .is_some_and(|prefetch| held > u64::from(prefetch));
        meter.prefetch_exceeded.fetch_add(u64::from(beyond), Ordering::Relaxed);
        self.now()
    }

    /// Counts deliveries off that are about to be settled. Before, not after: the broker may answer with the next delivery
    /// before the task that settled goes on.
    fn released(&self, deliveries: u64) {
        self.held.fetch_sub(deliveries, Ordering::Relaxed);
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
            Settlement::Ack if ack_batch > 1 => {
                batch.finished(tag, self.now());
                if batch.ready() >= usize::from(ack_batch) {
                    self.flush(batch).await;
                }
                return;
            }
            Settlement::Ack => {
                self.released(1);
                self.stage.meter.acks.fetch_add(1, Ordering::Relaxed);
                let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: false }).await;
            }
            Settlement::Reject | Settlement::Requeue => {
                self.released(1);
                let requeue = settlement == Settlement::Requeue;
                let _ = self
                    .channel
                    .basic_nack(
                        tag,
                        BasicNackOptions {
                            multiple: false,
                            requeue,
                        },
                    )
                    .await;
            }
            Settlement::Abandon => self.released(1),
        }
        batch.settled(tag);
    }

    /// Acknowledges everything that is finished, with as few acknowledgements as may be.
    async fn flush(&self, batch: &mut Batch) {
        self.released(batch.finished.len() as u64);
        for (tag, multiple) in batch.take() {
            self.stage.meter.acks.fetch_add(1, Ordering::Relaxed);
            let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple }).await;
        }
    }

    async fn process(&self, delivery: Delivery, delivered: Nanos, work_ns: Nanos) -> Settlement {
        let StageContext {
            stage,
            meter,
            wiring,
            store,
            ..
        } = &*self.stage;
        let Ok(message) = decode(wiring.encoder.ids(), &delivery.data) else {
            meter.malformed.fetch_add(1, Ordering::Relaxed);
            return Settlement::Reject;
        };
        if !stage.consumes().contains(&message.event) {
            meter.not_for_stage.fetch_add(1, Ordering::Relaxed);
            return Settlement::Ack;
        }
        wiring.ledger.delivered(message.number, *stage, delivery.redelivered);
        // The semaphore is never closed, so there is always a permit to come.
        let Ok(slot) = self.slots.acquire().await else {
            return Settlement::Abandon;
        };
        let started = self.now();
        let emit = match store.lookup(message.number, message.event, &wiring.ledger) {
            Known::Done => {
                wiring.ledger.suppressed(message.number, *stage);
                return Settlement::Ack;
            }
            Known::Applied(emit) => emit,
            Known::Fresh => {
                if work_ns > 0 {
                    wiring.timer.sleep_until(started + work_ns).await;
                }
                match self.stage.service.handle(&message) {
                    Reaction::Effect(emit) => self.effect(&message, emit),
                    Reaction::EffectWithoutEvent => {
                        self.effect(&message, Emit::Nothing);
                        return Settlement::Ack;
                    }
                    Reaction::EffectTwice => {
                        self.effect(&message, Emit::Nothing);
                        self.effect(&message, Emit::Nothing)
                    }
                    Reaction::Swallowed => return Settlement::Ack,
                }
            }
        };
        let effect = self.now();
        drop(slot);
        let stamps = Stamps {
            delivered,
            started,
            effect,
        };
        let settlement = self.emit(&message, emit, stamps).await;
        if settlement == Settlement::Ack {
            store.done(message.number, message.event);
            self.record(&message, stamps);
        }
        settlement
    }

    fn effect(&self, message: &Envelope, emit: Emit) -> Emit {
        let StageContext {
            stage, wiring, store, ..
        } = &*self.stage;
        // The store first: it asks the ledger whether the order is closed, and must not be told so by this very step.
        store.applied(message.number, message.event, emit, &wiring.ledger);
        if let Emit::Event(event) = emit {
            // Before the effect, or an order of which nothing else is due would be closed in between.
            wiring.ledger.attempted(message.number, event);
        }
        if stage.is_end(message.event) {
            let at = self.now();
            let last_step = at.saturating_sub(message.published);
            let finished = wiring
                .ledger
                .ended_by(message.number, *stage, message.event, at, last_step);
            self.finished(message, at, finished);
        } else {
            wiring.ledger.effect(message.number, *stage, message.event);
        }
        emit
    }

    /// Publishes what the effect calls for and awaits the outcome.
    async fn emit(&self, message: &Envelope, emit: Emit, stamps: Stamps) -> Settlement {
        let wiring = &self.stage.wiring;
        let (event, exchange, routing_key, kind) = match emit {
            Emit::Nothing => return Settlement::Ack,
            Emit::Event(event) => (
                event,
                &wiring.topology.order_exchange,
                ShortString::from(event.name()),
                Kind::Event,
            ),
            Emit::Notification => (
                message.event,
                &wiring.topology.notification_exchange,
                "".into(),
                Kind::Notification,
            ),
        };
        let Some(publisher) = &self.publisher else {
            return Settlement::Reject;
        };
        let published = self.now();
        if kind == Kind::Event && on_critical_path(self.stage.stage, message.event) {
            wiring
                .ledger
                .accounted(message.number, published.saturating_sub(message.published));
        }
        let body = wiring.encoder.event(event, message, published);
        let properties = properties(
            wiring.encoder.ids(),
            message.number,
            event,
            kind,
            &wiring.workload.publish,
        );
        let outcome = publisher
            .publish(Message {
                exchange,
                routing_key: &routing_key,
                properties,
                body: &body,
            })
            .await;
        match outcome {
            Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) => {
                if kind == Kind::Event {
                    self.emitted(message, event, published);
                }
                self.span(message, StageSpan::Emit, self.now().saturating_sub(stamps.effect));
                Settlement::Ack
            }
            // Nobody will ever route it: a repetition would fail for ever.
            Outcome::Refused(Refusal::Returned) => Settlement::Reject,
            Outcome::Unknown(Uncertainty::ConnectionLost) => Settlement::Abandon,
            Outcome::Refused(Refusal::Nack) | Outcome::Unknown(Uncertainty::Timeout) => {
                self.stage.meter.requeued.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REQUEUE_PAUSE).await;
                Settlement::Requeue
            }
        }
    }

    fn emitted(&self, message: &Envelope, event: Event, published: Nanos) {
        let ledger = &self.stage.wiring.ledger;
        let at = self.now();
        if event.is_end() {
            // The last step's confirm belongs to the order's time, as every other step's is somebody else's queue wait.
            ledger.accounted(message.number, at.saturating_sub(published));
        }
        self.finished(message, at, ledger.emitted(message.number, event, at));
    }

    /// Measures an order that has just come to its end, if it has.
    fn finished(&self, message: &Envelope, at: Nanos, order: Option<Finished>) {
        let Some(order) = order else { return };
        let Wiring { board, window, .. } = &self.stage.wiring;
        if window.contains(order.intended) {
            board.record(Series::EndToEnd, at.saturating_sub(order.intended));
            board.record(Series::EndToEndFromSend, at.saturating_sub(order.sent));
        }
        if let Some(finished) = &self.stage.finished {
            // The load may have ended; then nobody waits for the order.
            let _ = finished.send(message.number);
        }
    }

    fn span(&self, message: &Envelope, span: StageSpan, nanos: Nanos) {
        if self.stage.wiring.window.contains(message.intended) {
            self.stage
                .wiring
                .board
                .record(Series::Stage(self.stage.stage, span), nanos);
        }
    }

    fn record(&self, message: &Envelope, stamps: Stamps) {
        let Stamps {
            delivered,
            started,
            effect,
        } = stamps;
        self.span(
            message,
            StageSpan::QueueWait,
            delivered.saturating_sub(message.published),
        );
        self.span(message, StageSpan::BufferWait, started.saturating_sub(delivered));
        self.span(message, StageSpan::Service, effect.saturating_sub(started));
        if self.stage.wiring.window.contains(started) {
            self.stage
                .meter
                .busy_ns
                .fetch_add(effect.saturating_sub(started), Ordering::Relaxed);
        }
    }
}

/// The steps that an order's end waits for; the others run beside them.
fn on_critical_path(stage: Stage, event: Event) -> bool {
    matches!(
        (stage, event),
        (Stage::Inventory, Event::OrderCreated)
            | (Stage::Payment, Event::InventoryReserved)
            | (Stage::Shipping, Event::PaymentSuccess | Event::CustomerConfirmed)
            | (Stage::Customer, Event::OrderShipped)
            | (
                Stage::Order,
                Event::ShippingPrepared | Event::ShippingDelivered | Event::InventoryOutOfStock | Event::PaymentFailed
            )
    )
}

/// Deliveries of one channel that are finished but not acknowledged, and those that stand before them.
///
/// An acknowledgement of several deliveries covers every tag up to its own, so it may reach no further than the first tag
/// that is not finished.
#[derive(Debug, Default)]
struct Batch {
    open: BTreeSet<u64>,
    finished: BTreeSet<u64>,
    /// Since when the oldest of the finished waits.
    oldest: Option<Nanos>,
}

impl Batch {
    fn taken(&mut self, tag: u64) {
        self.open.insert(tag);
    }

    /// Finished; its acknowledgement waits.
    fn finished(&mut self, tag: u64, now: Nanos) {
        if self.open.remove(&tag) {
            self.finished.insert(tag);
            self.oldest.get_or_insert(now);
        }
    }

    /// Settled by itself.
    fn settled(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    fn waits(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Finished deliveries that one acknowledgement can cover.
    fn ready(&self) -> usize {
        match self.open.first() {
            Some(first_open) => self.finished.range(..first_open).count(),
            None => self.finished.len(),
        }
    }

    /// The acknowledgements that settle everything finished: one for the whole front, one for each delivery behind it.
    fn take(&mut self) -> Vec<(u64, bool)> {
        let first_open = self.open.first().copied().unwrap_or(u64::MAX);
        let finished = std::mem::take(&mut self.finished);
        self.oldest = None;
        let mut acks: Vec<(u64, bool)> = finished
            .range(..first_open)
            .next_back()
            .map(|tag| (*tag, true))
            .into_iter()
            .collect();
        acks.extend(finished.range(first_open..).map(|tag| (*tag, false)));
        acks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_acknowledgement_never_covers_an_unfinished_delivery() {
        let mut batch = Batch::default();
        (1..=5).for_each(|tag| batch.taken(tag));
        [1, 2, 4].into_iter().for_each(|tag| batch.finished(tag, 0));
        assert_eq!(batch.ready(), 2);
        assert_eq!(batch.take(), [(2, true), (4, false)]);
        batch.finished(3, 0);
        assert_eq!(batch.ready(), 1);
        assert_eq!(batch.take(), [(3, true)]);
        assert!(!batch.waits());
    }

    #[test]
    fn a_rejected_delivery_does_not_hold_the_batch_back() {
        let mut batch = Batch::default();
        (1..=3).for_each(|tag| batch.taken(tag));
        batch.settled(1);
        batch.finished(2, 0);
        assert_eq!(batch.take(), [(2, true)]);
    }
}
