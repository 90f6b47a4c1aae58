//! Shipping, and the simulated customer at the other end of it.

use super::{Emit, Reaction, Service};
use crate::events::Event;
use crate::wire::message::Envelope;

/// The shipping service.
#[derive(Debug)]
pub struct Shipping;

impl Service for Shipping {
    fn handle(&self, message: &Envelope) -> Reaction {
        Reaction::Effect(Emit::Event(match message.event {
            Event::CustomerConfirmed => Event::ShippingDelivered,
            _ => Event::ShippingPrepared,
        }))
    }
}

/// The person who receives the goods; `stage.customer.service_time` is how long the parcel is on its way.
#[derive(Debug)]
pub struct Customer;

impl Service for Customer {
    fn handle(&self, _: &Envelope) -> Reaction {
        Reaction::Effect(Emit::Event(Event::CustomerConfirmed))
    }
}
