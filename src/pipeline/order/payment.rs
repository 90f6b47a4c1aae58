//! Payment: charges the customer, or is declined.

use super::{Context, Emit, Reaction, Service};
use crate::events::Event;
use crate::orders::payment_declined;
use crate::wire::message::Envelope;
use crate::workload::model::Defect;

/// The payment service.
#[derive(Debug)]
pub struct Payment {
    context: Context,
}

impl Payment {
    pub(super) fn new(context: Context) -> Self {
        Payment { context }
    }
}

impl Service for Payment {
    fn handle(&self, message: &Envelope) -> Reaction {
        if self.context.struck_by(Defect::LoseDelivery, message) {
            return Reaction::Swallowed;
        }
        if self.context.struck_by(Defect::RejectSound, message) {
            return Reaction::Rejected;
        }
        if payment_declined(self.context.seed, message.number, &self.context.workload.orders) {
            return Reaction::Effect(Emit::Event(Event::PaymentFailed));
        }
        Reaction::Effect(Emit::Event(Event::PaymentSuccess))
    }

    fn stands(&self, message: &Envelope, emit: Emit) {
        if emit != Emit::Event(Event::PaymentSuccess) {
            return;
        }
        let times = 1 + u32::from(self.context.struck_by(Defect::ChargeTwice, message));
        for _ in 0..times {
            self.context.ledger.charged(message.number, message.cents);
        }
    }

    fn tell(&self, message: &Envelope, emit: Emit) {
        if emit == Emit::Event(Event::PaymentSuccess) {
            self.context.ledger.charged(message.number, message.cents);
        }
    }
}
