//! The worker of the work queue: does a job, whose length is the stage's service time, and emits nothing.

use super::{Context, Emit, Reaction, Service};
use crate::wire::message::Envelope;
use crate::workload::model::Defect;

/// One of the identical workers.
#[derive(Debug)]
pub struct Worker {
    context: Context,
}

impl Worker {
    pub(super) fn new(context: Context) -> Self {
        Worker { context }
    }
}

impl Service for Worker {
    fn handle(&self, message: &Envelope) -> Reaction {
        if self.context.struck_by(Defect::LoseDelivery, message) {
            Reaction::Swallowed
        } else if self.context.struck_by(Defect::WorkTwice, message) {
            Reaction::EffectTwice
        } else {
            Reaction::Effect(Emit::Nothing)
        }
    }
}
