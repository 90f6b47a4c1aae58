//! One publish, one outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation};

use super::connection::Connection;
use super::connector::AmqpError;
use super::direct;
use super::link::Link;
use super::meter::PublishMeter;
use crate::workload::model::Publish;

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

/// Publishes on one channel.
#[derive(Debug, Clone)]
pub struct Publisher {
    outlet: Outlet,
    meter: Arc<PublishMeter>,
}

#[derive(Debug, Clone)]
enum Outlet {
    Lapin(LapinOutlet),
    Direct(direct::Outlet),
}

impl Publisher {
    /// Opens a channel on `connection` for publishing.
    ///
    /// # Errors
    /// What [`Connection::channel`] and `confirm.select` may say.
    pub async fn open(
        connection: &Connection,
        settings: &Publish,
        meter: Arc<PublishMeter>,
    ) -> Result<Self, AmqpError> {
        let outlet = match connection {
            Connection::Lapin(link) => Outlet::Lapin(LapinOutlet::open(link, settings).await?),
            Connection::Direct(link) => Outlet::Direct(direct::Outlet::open(link, settings).await?),
        };
        Ok(Publisher { outlet, meter })
    }

    /// As [`Publisher::open`], on a connection of lapin's.
    ///
    /// # Errors
    /// What [`Link::channel`] and `confirm.select` may say.
    pub async fn on(link: &Link, settings: &Publish, meter: Arc<PublishMeter>) -> Result<Self, AmqpError> {
        let outlet = Outlet::Lapin(LapinOutlet::open(link, settings).await?);
        Ok(Publisher { outlet, meter })
    }

    /// Publishes that wait in the client for room in the socket; the mark of a broker that pushes back silently.
    pub fn unwritten(&self) -> u64 {
        match &self.outlet {
            Outlet::Lapin(outlet) => outlet.unwritten.load(Ordering::Relaxed),
            Outlet::Direct(outlet) => outlet.unwritten(),
        }
    }

    /// Whether nothing more can be published here: the channel is gone. lapin tells of it when a publish meets it so.
    pub fn is_lost(&self) -> bool {
        match &self.outlet {
            Outlet::Lapin(outlet) => outlet.lost.load(Ordering::Acquire),
            Outlet::Direct(outlet) => outlet.is_lost(),
        }
    }

    /// Publishes, and waits for no answer: until the message is with the socket. It counts as unknown.
    pub async fn publish_unanswered(&self, message: Message<'_>) {
        let _awaited = Awaited::new(&self.meter);
        match &self.outlet {
            Outlet::Lapin(outlet) => outlet.write(message).await,
            Outlet::Direct(outlet) => outlet.write(message).await,
        }
    }

    /// Publishes and awaits the outcome. The message is queued at the first poll; the answer comes later, so many of these
    /// can be on their way at once.
    ///
    /// # Cancel safety
    /// A dropped publish may have happened; its confirm is lost, and it counts as unknown.
    pub async fn publish(&self, message: Message<'_>) -> Outcome {
        let mut awaited = Awaited::new(&self.meter);
        let outcome = match &self.outlet {
            Outlet::Lapin(outlet) => outlet.publish(message).await,
            Outlet::Direct(outlet) => outlet.publish(message).await,
        };
        awaited.answered(outcome);
        outcome
    }
}

/// A channel of lapin's, for publishing.
#[derive(Debug, Clone)]
struct LapinOutlet {
    channel: lapin::Channel,
    options: BasicPublishOptions,
    confirm_timeout: Duration,
    /// Publishes of this publisher that the client has not written to the socket yet.
    unwritten: Arc<AtomicU64>,
    /// A publish met a channel that is gone.
    lost: Arc<AtomicBool>,
}

impl LapinOutlet {
    async fn open(link: &Link, settings: &Publish) -> Result<Self, AmqpError> {
        let channel = link.channel().await?;
        if settings.confirms {
            let selecting = channel.confirm_select(ConfirmSelectOptions::default());
            link.answer("ask for publisher confirms", selecting).await?;
        }
        Ok(LapinOutlet {
            channel,
            options: BasicPublishOptions {
                mandatory: settings.mandatory,
                immediate: false,
            },
            confirm_timeout: settings.confirm_timeout.0,
            unwritten: Arc::default(),
            lost: Arc::default(),
        })
    }

    async fn write(&self, message: Message<'_>) {
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

    async fn publish(&self, message: Message<'_>) -> Outcome {
        match tokio::time::timeout(self.confirm_timeout, self.send(message)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown(Uncertainty::Timeout),
        }
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

/// A publish that is in flight until its outcome is known, or nobody waits for it any more.
struct Awaited<'a> {
    meter: &'a PublishMeter,
    outcome: Outcome,
}

impl<'a> Awaited<'a> {
    fn new(meter: &'a PublishMeter) -> Self {
        meter.begun();
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
