//! What a stage emits: its message, its way to the broker, and what the ledger hears of it. Consumers and relays share it.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::ShortString;

use super::consumer::StageContext;
use super::order::Emit;
use crate::amqp::{AmqpError, Backoff, Message, Outcome, Refusal, RenewablePublisher, Uncertainty, persist};
use crate::clock::Nanos;
use crate::events::Event;
use crate::measure::StageSpan;
use crate::wire::message::{Envelope, Kind};

/// What is to go out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Emission<'a> {
    /// What the stage received.
    pub cause: Event,
    /// What goes out.
    pub emit: Emit,
    /// The order's data.
    pub about: &'a Envelope,
    /// Up to when the order's critical path is accounted for.
    pub since: Nanos,
    /// When the effect stood.
    pub effect: Nanos,
}

/// A message, ready for the wire.
#[derive(Debug)]
pub(super) struct Parcel<'a> {
    event: Event,
    kind: Kind,
    exchange: &'a ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
    published: Nanos,
}

impl Parcel<'_> {
    pub(super) fn message(&self) -> Message<'_> {
        Message {
            exchange: self.exchange,
            routing_key: &self.routing_key,
            properties: self.properties.clone(),
            body: &self.body,
        }
    }
}

impl StageContext {
    /// The body that goes out for `emit`, if anything does.
    pub(super) fn outgoing(&self, message: &Envelope, emit: Emit, published: Nanos) -> Option<Vec<u8>> {
        let event = match emit {
            Emit::Nothing => return None,
            Emit::Event(event) => event,
            Emit::Notification => message.event,
        };
        Some(self.wiring.encoder.event(event, message, published))
    }

    /// What goes on the wire, accounted for up to now; absent where nothing is to go out.
    pub(super) fn parcel(&self, emission: &Emission<'_>) -> Option<Parcel<'_>> {
        let Emission { cause, emit, about, .. } = *emission;
        let wiring = &self.wiring;
        let (event, exchange, routing_key, kind) = match emit {
            Emit::Nothing => return None,
            Emit::Event(event) => (
                event,
                &wiring.topology.order_exchange,
                ShortString::from(event.name()),
                Kind::Event,
            ),
            Emit::Notification => (
                cause,
                &wiring.topology.notification_exchange,
                "".into(),
                Kind::Notification,
            ),
        };
        let published = self.now();
        if kind == Kind::Event && self.stage.is_critical(cause) {
            wiring
                .ledger
                .accounted(about.number, published.saturating_sub(emission.since));
        }
        Some(Parcel {
            event,
            kind,
            exchange,
            routing_key,
            properties: wiring.properties(about.number, event, kind),
            body: wiring.encoder.event(event, about, published),
            published,
        })
    }

    /// Publishes what a stage emits and awaits the outcome; of a success the ledger hears. `who`: which of the stage's publishers this is.
    pub(super) async fn publish(
        &self,
        publisher: &RenewablePublisher,
        who: u64,
        emission: &Emission<'_>,
        parcel: &Parcel<'_>,
    ) -> Outcome {
        let mut outcome = self.send(publisher, who, || parcel.message()).await;
        if self.wiring.workload.routes_may_be_away() {
            outcome = self.send_until_routed(outcome, publisher, who, parcel).await;
        }
        if let Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) = outcome {
            let since = self.now().saturating_sub(parcel.published);
            self.wiring.publishes.confirmed_after(since);
            if parcel.kind == Kind::Event {
                self.emitted(emission, parcel);
            }
            self.span(
                emission.about,
                StageSpan::Emit,
                self.now().saturating_sub(emission.effect),
            );
        }
        outcome
    }

    /// Publishes and awaits the outcome. At least once: what went down with its connection is published again before its input
    /// is acknowledged.
    pub(super) async fn send<'m>(
        &self,
        publisher: &RenewablePublisher,
        who: u64,
        message: impl Fn() -> Message<'m>,
    ) -> Outcome {
        let mut outcome = publisher.current().publish(message()).await;
        while outcome == Outcome::Unknown(Uncertainty::ConnectionLost) {
            if self.renew(publisher, who).await.is_err() {
                break;
            }
            outcome = publisher.current().publish(message()).await;
        }
        outcome
    }

    /// Publishes again, with pauses, what came back because a node is away, and with it the classic queues that live there. What still
    /// comes back when the time for a return is over leads nowhere.
    async fn send_until_routed(
        &self,
        mut outcome: Outcome,
        publisher: &RenewablePublisher,
        who: u64,
        parcel: &Parcel<'_>,
    ) -> Outcome {
        let wiring = &self.wiring;
        let name = format!("{}.route", self.stage);
        let mut backoff = Backoff::new(wiring.workload.recovery, wiring.seed, &name, who);
        while outcome == Outcome::Refused(Refusal::Returned)
            && let Some(pause) = backoff.next(self.now())
        {
            tokio::time::sleep(Duration::from_nanos(pause)).await;
            outcome = self.send(publisher, who, || parcel.message()).await;
        }
        outcome
    }

    /// Gets the publisher back; whoever gives up ends the trial.
    async fn renew(&self, publisher: &RenewablePublisher, who: u64) -> Result<(), AmqpError> {
        let wiring = &self.wiring;
        let name = format!("{}.publisher", self.stage);
        let mut backoff = Backoff::new(wiring.workload.recovery, wiring.seed, &name, who);
        let renewing = persist(&mut backoff, wiring.timer.clock(), || async {
            // A channel that went alone may have met an exchange that is gone.
            let link = publisher.line().link().await?;
            if publisher.current().is_lost() {
                wiring
                    .topology
                    .declare(&link.channel().await?, &wiring.workload)
                    .await?;
            }
            publisher.renewed().await
        });
        let renewed = renewing.await.map(drop);
        if let Err(error) = &renewed {
            publisher.line().give_up(error);
        }
        renewed
    }

    fn emitted(&self, emission: &Emission<'_>, parcel: &Parcel<'_>) {
        let (ledger, at) = (&self.wiring.ledger, self.now());
        let (number, event) = (emission.about.number, parcel.event);
        if event.is_end() {
            // The last step's confirm belongs to the order's time, as every other step's is somebody else's queue wait.
            ledger.accounted(number, at.saturating_sub(parcel.published));
        }
        self.finished(emission.about, at, ledger.emitted(number, event, at));
    }

    pub(super) fn now(&self) -> Nanos {
        self.wiring.timer.clock().now()
    }
}
