//! The services that follow an order's status: order itself, notification, and the ends of the line (e-mail, SMS, audit).

use super::{Context, Emit, Reaction, Service};
use crate::events::Event;
use crate::wire::message::Envelope;
use crate::workload::model::Defect;

/// The order service: turns what the others report into the order's status.
#[derive(Debug)]
pub struct Order {
    context: Context,
}

impl Order {
    pub(super) fn new(context: Context) -> Self {
        Order { context }
    }
}

impl Service for Order {
    fn handle(&self, message: &Envelope) -> Reaction {
        Reaction::Effect(Emit::Event(match message.event {
            Event::PaymentSuccess if self.context.struck_by(Defect::SkipAhead, message) => Event::OrderCompleted,
            Event::PaymentSuccess => Event::OrderPaid,
            Event::ShippingPrepared => Event::OrderShipped,
            Event::ShippingDelivered => Event::OrderCompleted,
            _ => Event::OrderCancelled,
        }))
    }
}

/// The notification service: broadcasts each status.
#[derive(Debug)]
pub struct Notification;

impl Service for Notification {
    fn handle(&self, _: &Envelope) -> Reaction {
        Reaction::Effect(Emit::Notification)
    }
}

/// An end of the line: takes note and emits nothing.
#[derive(Debug)]
pub struct Channel {
    context: Context,
    defect: Option<Defect>,
}

impl Channel {
    pub(super) fn new(context: Context, defect: Option<Defect>) -> Self {
        Channel { context, defect }
    }
}

impl Service for Channel {
    fn handle(&self, message: &Envelope) -> Reaction {
        match self.defect {
            Some(defect) if self.context.struck_by(defect, message) => Reaction::Swallowed,
            _ => Reaction::Effect(Emit::Nothing),
        }
    }
}
