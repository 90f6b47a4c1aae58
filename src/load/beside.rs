//! What the load publishes beside its orders: copies, and messages that are bad on purpose. None of them is an order to the
//! ledger; which order has one beside it depends on the seed and the order alone.

use std::sync::atomic::{AtomicU64, Ordering};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use super::sender::Sender;
use crate::amqp::{Message, Outcome, Refusal};
use crate::clock::Nanos;
use crate::events::{Event, PipelineKind};
use crate::orders::{Order, OrderNumber};
use crate::rng;
use crate::wire::message::Kind;
use crate::wire::{bad, headers};
use crate::workload::model::BadKind;

/// Answers to one kind of message beside the orders.
#[derive(Debug, Default)]
pub struct BesideMeter {
    published: AtomicU64,
    confirmed: AtomicU64,
    returned: AtomicU64,
}

impl BesideMeter {
    /// Handed to the broker.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// … that it confirmed and routed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// … that came back as unroutable.
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Confirmed => self.confirmed.fetch_add(1, Ordering::Relaxed),
            Outcome::Refused(Refusal::Returned) => self.returned.fetch_add(1, Ordering::Relaxed),
            Outcome::Refused(Refusal::Nack) | Outcome::Unknown(_) => return,
        };
    }
}

/// Answers to all of them.
#[derive(Debug, Default)]
pub struct BesideMeters {
    /// Copies of orders.
    pub duplicates: BesideMeter,
    /// Bad messages, by [`BadKind`].
    pub bad: [BesideMeter; BadKind::ALL.len()],
}

/// One message beside an order.
pub(super) struct Extra {
    /// Absent: a copy.
    kind: Option<BadKind>,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Sender {
    /// What goes beside order `number`, whose own message has this body and these properties.
    pub(super) fn extras(
        &self,
        number: OrderNumber,
        (body, properties): (&[u8], &BasicProperties),
        (intended, sent): (Nanos, Nanos),
    ) -> Vec<Extra> {
        let wiring = self.wiring();
        let messages = &wiring.workload.messages;
        let drawn = |what: &str| rng::unit(wiring.seed, &format!("messages.{what}"), number);
        let mut extras = Vec::new();
        if messages.duplicates.0 > 0.0 && drawn("duplicates") < messages.duplicates.0 {
            let (exchange, routing_key) = wiring.topology.entrance();
            extras.push(Extra {
                kind: None,
                exchange,
                routing_key,
                properties: properties.clone(),
                body: body.to_vec(),
            });
        }
        let bad = BadKind::ALL.into_iter().filter(|kind| messages.share(*kind).0 > 0.0);
        extras.extend(
            bad.filter(|kind| drawn(kind.name()) < messages.share(*kind).0)
                .map(|kind| self.bad(kind, number, intended, sent)),
        );
        extras
    }

    fn bad(&self, kind: BadKind, number: OrderNumber, intended: Nanos, sent: Nanos) -> Extra {
        let wiring = self.wiring();
        let (encoder, workload) = (&wiring.encoder, &wiring.workload);
        let beside = bad::number_beside(number);
        let (sound, properties) = match workload.pipeline {
            PipelineKind::Orders => {
                let order = Order {
                    number: beside,
                    ..Order::draw(wiring.seed, number, &workload.orders)
                };
                (
                    encoder.order_created(&order, intended, sent),
                    wiring.properties(beside, Event::OrderCreated, Kind::Event),
                )
            }
            PipelineKind::WorkQueue => (encoder.job(beside, intended, sent), wiring.job_properties(beside)),
        };
        let (exchange, routing_key) = match kind {
            // The default exchange has a route to each queue, and there is no such queue.
            BadKind::Unroutable => ("".into(), format!("{}.nobody.queue", wiring.topology.prefix()).into()),
            _ => wiring.topology.entrance(),
        };
        Extra {
            kind: Some(kind),
            exchange,
            routing_key,
            properties: headers::with(properties, headers::BAD, AMQPValue::LongString(kind.name().into())),
            body: bad::spoiled(kind, sound, workload.messages.size_limit.0),
        }
    }

    /// Publishes it and counts the answer.
    pub(super) async fn send_beside(&self, extra: Extra) {
        let meters = &self.meter().beside;
        let meter = match extra.kind {
            None => &meters.duplicates,
            Some(kind) => &meters.bad[kind as usize],
        };
        meter.published.fetch_add(1, Ordering::Relaxed);
        let message = Message {
            exchange: &extra.exchange,
            routing_key: &extra.routing_key,
            properties: extra.properties,
            body: &extra.body,
        };
        if extra.kind == Some(BadKind::Unroutable) {
            self.renew_astray().await;
        }
        meter.count(self.publisher_of(extra.kind).publish(message).await);
    }
}
