//! What a stage emits: its message, its way to the broker, and what the ledger hears of it. Consumers and relays share it.

use lapin::types::ShortString;

use super::consumer::StageContext;
use super::order::Emit;
use crate::amqp::{Message, Outcome, Publisher, Uncertainty};
use crate::clock::Nanos;
use crate::events::Event;
use crate::measure::StageSpan;
use crate::wire::message::{Envelope, Kind};

/// A message on its way.
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

    /// Publishes and awaits the outcome; of a success the ledger hears. Absent where nothing is to go out.
    pub(super) async fn publish(&self, publisher: &Publisher, emission: &Emission<'_>) -> Option<Outcome> {
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
        let body = wiring.encoder.event(event, about, published);
        let outcome = publisher
            .publish(Message {
                exchange,
                routing_key: &routing_key,
                properties: wiring.properties(about.number, event, kind),
                body: &body,
            })
            .await;
        if let Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) = outcome {
            wiring.publishes.confirmed_after(self.now().saturating_sub(published));
            if kind == Kind::Event {
                self.emitted(about, event, published);
            }
            self.span(about, StageSpan::Emit, self.now().saturating_sub(emission.effect));
        }
        Some(outcome)
    }

    fn emitted(&self, message: &Envelope, event: Event, published: Nanos) {
        let ledger = &self.wiring.ledger;
        let at = self.now();
        if event.is_end() {
            // The last step's confirm belongs to the order's time, as every other step's is somebody else's queue wait.
            ledger.accounted(message.number, at.saturating_sub(published));
        }
        self.finished(message, at, ledger.emitted(message.number, event, at));
    }

    pub(super) fn now(&self) -> Nanos {
        self.wiring.timer.clock().now()
    }
}
