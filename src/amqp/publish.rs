//! One publish, one outcome.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};

use super::link::{AmqpError, Link};
use crate::tally::{Tallies, Tally};

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed and routed.
    Confirmed,
    /// The broker did not take it.
    Refused(Refusal),
    /// Nobody knows; it may be processed any number of times.
    Unknown(Uncertainty),
}

/// How the broker refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Negative confirm.
    Nack,
    /// Routed nowhere, and returned. The confirm that follows a return says nothing.
    Returned,
}

/// Why nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncertainty {
    /// Confirms were not asked for.
    NotAsked,
    /// No answer in time.
    Timeout,
    /// The connection or the channel went away before the answer.
    ConnectionLost,
}

/// A message to publish.
#[derive(Debug)]
pub struct Message<'a> {
    /// Exchange.
    pub exchange: &'a ShortString,
    /// Routing key.
    pub routing_key: &'a ShortString,
    /// Properties.
    pub properties: BasicProperties,
    /// Body.
    pub body: &'a [u8],
}

/// Counts of all publishes of a trial.
#[derive(Debug, Default)]
pub struct PublishMeter {
    published: Tally,
    confirmed: Tally,
    nacked: Tally,
    returned: Tally,
    unknown: Tally,
    slowest_confirm: Tally,
    /// Those of worker processes.
    elsewhere: Mutex<Vec<Arc<PublishMeter>>>,
}

impl PublishMeter {
    /// Counters that one of these has.
    pub const TALLIES: usize = 6;

    /// One whose counters come from `tallies`.
    pub fn within(tallies: &mut Tallies) -> Self {
        PublishMeter {
            published: tallies.tally(),
            confirmed: tallies.tally(),
            nacked: tallies.tally(),
            returned: tallies.tally(),
            unknown: tallies.tally(),
            slowest_confirm: tallies.tally(),
            elsewhere: Mutex::default(),
        }
    }

    /// Counts what `other` counts, too.
    pub fn include(&self, other: &Arc<PublishMeter>) {
        self.elsewhere().push(Arc::clone(other));
    }

    fn elsewhere(&self) -> MutexGuard<'_, Vec<Arc<PublishMeter>>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, of: fn(&PublishMeter) -> u64) -> u64 {
        self.elsewhere().iter().map(|other| of(other)).sum()
    }

    /// Nobody is left who could hear an answer: what is in flight is unknown.
    pub fn abandon(&self) {
        self.unknown.fetch_add(self.in_flight(), Ordering::Relaxed);
    }

    /// Notes that a publish was confirmed `ns` nanoseconds after it was begun.
    pub fn confirmed_after(&self, ns: u64) {
        self.slowest_confirm.fetch_max(ns, Ordering::Relaxed);
    }

    /// Longest time from a publish to its confirm so far, nanoseconds; 0: none was confirmed.
    pub fn slowest_confirm(&self) -> u64 {
        let elsewhere = self.elsewhere();
        let others = elsewhere.iter().map(|other| other.slowest_confirm());
        others.fold(self.slowest_confirm.load(Ordering::Relaxed), u64::max)
    }

    /// Handed to the client.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed) + self.sum(PublishMeter::published)
    }

    /// Confirmed and routed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed) + self.sum(PublishMeter::confirmed)
    }

    /// Refused.
    pub fn nacked(&self) -> u64 {
        self.nacked.load(Ordering::Relaxed) + self.sum(PublishMeter::nacked)
    }

    /// Returned as unroutable.
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed) + self.sum(PublishMeter::returned)
    }

    /// Published and not yet answered for.
    pub fn in_flight(&self) -> u64 {
        let unknown = self.unknown.load(Ordering::Relaxed) + self.sum(|other| other.unknown.load(Ordering::Relaxed));
        let answered = self.confirmed() + self.nacked() + self.returned() + unknown;
        self.published().saturating_sub(answered)
    }

    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Confirmed => &self.confirmed,
            Outcome::Refused(Refusal::Nack) => &self.nacked,
            Outcome::Refused(Refusal::Returned) => &self.returned,
            Outcome::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Publishes on one channel.
#[derive(Debug, Clone)]
pub struct Publisher {
    channel: Channel,
    options: BasicPublishOptions,
    confirm_timeout: Duration,
    meter: Arc<PublishMeter>,
    /// Publishes of this publisher that the client has not written to the socket yet.
    unwritten: Arc<AtomicU64>,
    /// A publish met a channel that is gone.
    lost: Arc<AtomicBool>,
}

impl Publisher {
    /// Opens a channel on `link` for publishing.
    ///
    /// # Errors
    /// What [`Link::channel`] and `confirm.select` may say.
    pub async fn open(
        link: &Link,
        settings: &crate::workload::model::Publish,
        meter: Arc<PublishMeter>,
    ) -> Result<Self, AmqpError> {
        let channel = link.channel().await?;
        if settings.confirms {
            link.answer(
                "ask for publisher confirms",
                channel.confirm_select(ConfirmSelectOptions::default()),
            )
            .await?;
        }
        Ok(Publisher {
            channel,
            options: BasicPublishOptions {
                mandatory: settings.mandatory,
                immediate: false,
            },
            confirm_timeout: settings.confirm_timeout.0,
            meter,
            unwritten: Arc::default(),
            lost: Arc::default(),
        })
    }

    /// Publishes that wait in the client for room in the socket; the mark of a broker that pushes back silently.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Whether a publish has met its channel gone: nothing more can be published here.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Publishes, and waits for no answer: until the message is with the socket. It counts as unknown.
    pub async fn publish_unanswered(&self, message: Message<'_>) {
        let _awaited = Awaited::new(&self.meter);
        let Message {
            exchange,
            routing_key,
            properties,
            body,
        } = message;
        let writing = self
            .channel
            .basic_publish(exchange.clone(), routing_key.clone(), self.options, body, properties);
        // Whether it was written is as unknown as whether it arrived.
        let _ = tokio::time::timeout(self.confirm_timeout, writing).await;
    }

    /// Publishes and awaits the outcome. The message is queued at the first poll; the answer comes later, so many of these
    /// can be on their way at once.
    ///
    /// # Cancel safety
    /// A dropped publish may have happened; its confirm is lost, and it counts as unknown.
    pub async fn publish(&self, message: Message<'_>) -> Outcome {
        let mut awaited = Awaited::new(&self.meter);
        let outcome = match tokio::time::timeout(self.confirm_timeout, self.send(message)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown(Uncertainty::Timeout),
        };
        awaited.answered(outcome);
        outcome
    }

    async fn send(&self, message: Message<'_>) -> Outcome {
        let unwritten = Unwritten::new(&self.unwritten);
        let Message {
            exchange,
            routing_key,
            properties,
            body,
        } = message;
        let written = self
            .channel
            .basic_publish(exchange.clone(), routing_key.clone(), self.options, body, properties)
            .await;
        drop(unwritten);
        let Ok(confirm) = written else {
            return self.gone();
        };
        match confirm.await {
            Ok(Confirmation::Ack(None)) => Outcome::Confirmed,
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Outcome::Refused(Refusal::Returned),
            Ok(Confirmation::Nack(None)) => Outcome::Refused(Refusal::Nack),
            Ok(Confirmation::NotRequested) => Outcome::Unknown(Uncertainty::NotAsked),
            Err(_) => self.gone(),
        }
    }

    fn gone(&self) -> Outcome {
        self.lost.store(true, Ordering::Release);
        Outcome::Unknown(Uncertainty::ConnectionLost)
    }
}

/// A publish that is in flight until its outcome is known, or nobody waits for it any more.
struct Awaited<'a> {
    meter: &'a PublishMeter,
    outcome: Outcome,
}

impl<'a> Awaited<'a> {
    fn new(meter: &'a PublishMeter) -> Self {
        meter.published.fetch_add(1, Ordering::Relaxed);
        let outcome = Outcome::Unknown(Uncertainty::ConnectionLost);
        Awaited { meter, outcome }
    }

    fn answered(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.meter.count(self.outcome);
    }
}

/// Holds one place in the count of unwritten publishes, whatever becomes of the future.
struct Unwritten<'a>(&'a AtomicU64);

impl<'a> Unwritten<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Unwritten(count)
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
