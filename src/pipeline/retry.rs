//! What follows when a handler fails: the message is tried again by the workload's policy, or given up.
//!
//! What is published again, or put into the dead-letter queue by the stage itself, is confirmed before its delivery is
//! acknowledged: a consumer that is cut off in between leaves the message twice rather than not at all. Nothing here
//! decides what a delivery's work is; [`super::consumer`] does.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use super::consumer::StageContext;
use crate::amqp::{Delivery, Message, Outcome, RenewablePublisher};
use crate::clock::Nanos;
use crate::events::Event;
use crate::orders::OrderNumber;
use crate::rng;
use crate::tally::{Tallies, Tally};
use crate::wire::headers;
use crate::wire::message::Envelope;
use crate::wire::retry_queue;
use crate::workload::model::{Defect, GiveUp, RetryPolicy};

/// Attempts beyond the limit that the planted defect [`Defect::RetryForever`] makes; a number, so that the trial ends.
const FOREVER: u32 = 3;

/// Why a handler failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandlerError {
    /// It may succeed when it is tried again.
    Transient,
    /// It fails at this message whenever it is tried.
    Permanent,
}

/// What is to be done with a delivery whose handler failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequel {
    /// A planted defect: acknowledged, and nothing else.
    Drop,
    /// Back to its queue at once.
    Requeue,
    /// Published again to its queue, as this retry (from 1).
    Republish(u32),
    /// Published to the queue of a pause, as this retry.
    Wait(u32),
    /// To the dead-letter queue.
    GiveUp(GiveUp),
}

/// Live counts of a stage's failures.
#[derive(Debug, Default)]
pub struct RetryMeter {
    pub(super) transient: Tally,
    pub(super) permanent: Tally,
    pub(super) retried: Tally,
    pub(super) given_up: Tally,
}

impl RetryMeter {
    /// One whose counters come from `tallies`.
    pub(super) fn within(tallies: &mut Tallies) -> Self {
        RetryMeter {
            transient: tallies.tally(),
            permanent: tallies.tally(),
            retried: tallies.tally(),
            given_up: tallies.tally(),
        }
    }

    /// Attempts that failed for a cause that passes.
    pub fn transient(&self) -> u64 {
        self.transient.load(Ordering::Relaxed)
    }

    /// Attempts that failed for a cause that stays.
    pub fn permanent(&self) -> u64 {
        self.permanent.load(Ordering::Relaxed)
    }

    /// Messages given back or published again after a failure.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Messages that the stage itself put into its dead-letter queue, or rejected where there is none.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, error: HandlerError) {
        let counter = match error {
            HandlerError::Transient => &self.transient,
            HandlerError::Permanent => &self.permanent,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Failed attempts at messages that were requeued: the broker's deliveries do not count them on a classic queue. It is the
/// process's memory, and ends with it.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<(OrderNumber, Event), u32>>);

impl Attempts {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(OrderNumber, Event), u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, message: &Envelope) -> u32 {
        self.lock().get(&(message.number, message.event)).copied().unwrap_or(0)
    }

    fn one_more(&self, message: &Envelope) {
        *self.lock().entry((message.number, message.event)).or_default() += 1;
    }

    /// The message will not fail again.
    pub(super) fn forget(&self, message: &Envelope) {
        self.lock().remove(&(message.number, message.event));
    }
}

impl StageContext {
    /// Retries of this delivery's message before it.
    fn retries_before(&self, message: &Envelope, delivery: &Delivery) -> u32 {
        match self.wiring.workload.retry.policy {
            RetryPolicy::Requeue => self.attempts.count(message),
            RetryPolicy::None | RetryPolicy::Republish | RetryPolicy::Backoff => {
                headers::retries(&delivery.properties())
            }
        }
    }

    /// Whether the handler fails at this attempt, and why: the same at each run of the same seed.
    pub(super) fn fails(&self, message: &Envelope, delivery: &Delivery, now: Nanos) -> Option<HandlerError> {
        let errors = &self.settings.errors;
        if !errors.any() {
            return None;
        }
        let began = self
            .wiring
            .window
            .load_began(self.wiring.workload.load.warm_up.as_nanos())?;
        let since = now.saturating_sub(began);
        let at = errors.at.map_or(0, |at| at.as_nanos());
        let until = errors
            .lasts
            .map_or(Nanos::MAX, |lasts| at.saturating_add(lasts.as_nanos()));
        if !(at..until).contains(&since) {
            return None;
        }
        let which = message.number.wrapping_mul(1 << 12) + ((message.event.index() as u64) << 7);
        let drawn = |what: &str, attempt: u64| {
            rng::unit(
                self.wiring.seed,
                &format!("error.{what}.{}", self.stage),
                which + attempt,
            )
        };
        if drawn("permanent", 0) < errors.permanent.0 {
            return Some(HandlerError::Permanent);
        }
        let attempt = u64::from(self.retries_before(message, delivery));
        (drawn("transient", attempt) < errors.transient.0).then_some(HandlerError::Transient)
    }

    /// What the policy says, and the ledger and the counts hear of it.
    pub(super) fn sequel(&self, error: HandlerError, message: &Envelope, delivery: &Delivery) -> Sequel {
        let workload = &self.wiring.workload;
        self.meter.retry().failed(error);
        let planted = |defect| {
            let canary = workload
                .canary
                .as_ref()
                .filter(|_| self.stage == crate::events::Stage::Payment);
            canary.is_some_and(|canary| canary.strikes(defect, message.number))
        };
        if error == HandlerError::Permanent {
            return Sequel::GiveUp(GiveUp::PermanentError);
        }
        let broker_counts = workload.broker_counts_retries(self.stage);
        let limit = match workload.delivery_limit(self.stage).filter(|_| broker_counts) {
            Some(limit) => limit,
            None => workload.retry.limit,
        };
        self.wiring
            .ledger
            .failed(message.number, self.stage, message.event, limit.saturating_add(1));
        if planted(Defect::DropRetry) {
            return Sequel::Drop;
        }
        if broker_counts {
            self.attempts.one_more(message);
            return Sequel::Requeue;
        }
        let before = self.retries_before(message, delivery);
        let more = if planted(Defect::RetryForever) { FOREVER } else { 0 };
        if before >= workload.retry.limit + more {
            self.attempts.forget(message);
            return Sequel::GiveUp(GiveUp::RetryLimit);
        }
        match workload.retry.policy {
            RetryPolicy::None => Sequel::GiveUp(GiveUp::RetryLimit),
            RetryPolicy::Requeue => {
                self.attempts.one_more(message);
                Sequel::Requeue
            }
            RetryPolicy::Republish => Sequel::Republish(before + 1),
            RetryPolicy::Backoff => Sequel::Wait(before + 1),
        }
    }

    /// Publishes a failed delivery's message again as retry number `retry`, to its own queue or to that of its pause.
    pub(super) async fn try_again(
        &self,
        publisher: &RenewablePublisher,
        who: u64,
        (message, delivery): (&Envelope, &Delivery),
        sequel: Sequel,
    ) -> Outcome {
        let topology = &self.wiring.topology;
        let (queue, retry) = match sequel {
            Sequel::Wait(retry) => {
                // Beyond the limit there are no queues; a planted defect goes there.
                let settings = &self.wiring.workload.retry;
                let level = retry.min(settings.limit);
                let place = retry_queue::place(self.wiring.seed, self.stage.name(), message.number, retry);
                let ttl = retry_queue::time_to_live_ms(settings, level, place);
                (topology.retry_queue(self.stage, ttl), retry)
            }
            Sequel::Republish(retry) => (topology.queue(self.stage).clone(), retry),
            Sequel::Drop | Sequel::Requeue | Sequel::GiveUp(_) => (topology.queue(self.stage).clone(), 0),
        };
        let properties = headers::with(first_came_by(delivery), headers::RETRIES, AMQPValue::LongUInt(retry));
        self.pass_on(publisher, who, ("".into(), queue), properties, delivery.body())
            .await
    }

    /// Publishes a delivery's message to the stage's dead-letter queue, with the reason.
    pub(super) async fn give_up(
        &self,
        publisher: &RenewablePublisher,
        who: u64,
        delivery: &Delivery,
        reason: GiveUp,
    ) -> Outcome {
        let topology = &self.wiring.topology;
        let properties = headers::with(first_came_by(delivery), headers::REASON, text(reason.name()));
        let properties = headers::with(properties, headers::SOURCE, text(topology.queue(self.stage).as_str()));
        let route = (
            topology.dead_letter_exchange.clone(),
            topology.dead_letter_queue(self.stage).clone(),
        );
        self.pass_on(publisher, who, route, properties, delivery.body()).await
    }

    async fn pass_on(
        &self,
        publisher: &RenewablePublisher,
        who: u64,
        (exchange, routing_key): (ShortString, ShortString),
        properties: BasicProperties,
        body: &[u8],
    ) -> Outcome {
        let message = || Message {
            exchange: &exchange,
            routing_key: &routing_key,
            properties: properties.clone(),
            body,
        };
        self.send(publisher, who, message).await
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A delivery's properties with the exchange and routing key that its message first came by.
fn first_came_by(delivery: &Delivery) -> BasicProperties {
    let properties = delivery.properties().into_owned();
    if headers::text(&properties, headers::SOURCE_KEY).is_some() {
        return properties;
    }
    let properties = headers::with(properties, headers::SOURCE_EXCHANGE, text(delivery.exchange()));
    headers::with(properties, headers::SOURCE_KEY, text(delivery.routing_key()))
}
