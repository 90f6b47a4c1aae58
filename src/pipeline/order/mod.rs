//! The services of the pipelines, one file each. What they share is the shape: an event comes, an effect follows, and
//! at most one message goes out.

mod inventory;
mod payment;
mod status;
mod transport;
mod worker;

use std::sync::Arc;

pub use inventory::Inventory;

use crate::events::{Event, Stage};
use crate::ledger::Ledger;
use crate::wire::message::Envelope;
use crate::workload::Workload;
use crate::workload::model::Defect;

/// What goes out after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Nothing.
    Nothing,
    /// An event, on the order exchange.
    Event(Event),
    /// A notification of the event that came in, on the notification exchange.
    Notification,
}

/// What a handler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The effect stands; this goes out.
    Effect(Emit),
    /// A planted defect: acknowledged, and nothing happens.
    Swallowed,
    /// A planted defect: the effect stands, and its event never goes out.
    EffectWithoutEvent,
    /// A planted defect: the effect happens twice.
    EffectTwice,
    /// A planted defect: rejected, though there is nothing wrong with it.
    Rejected,
}

/// One service's business. An order and event is handled once unless the stage remembers nothing, or its store fails;
/// nothing here waits or publishes: the consumer does both.
pub trait Service: Send + Sync {
    /// Decides what follows, and sets aside what nobody else may take meanwhile. Nothing stands yet, and the ledger hears
    /// nothing.
    fn handle(&self, message: &Envelope) -> Reaction;

    /// The step that `handle` decided is committed: the books follow, the service's own and the ledger's.
    fn stands(&self, _message: &Envelope, _emit: Emit) {}

    /// A step was found in the store, and perhaps nobody told the ledger of it: what `stands` would have told, without the
    /// service's own books.
    fn tell(&self, _message: &Envelope, _emit: Emit) {}

    /// The step was not committed: what `handle` set aside is free again.
    fn undone(&self, _message: &Envelope, _reaction: Reaction) {}
}

/// What every service may use.
#[derive(Debug, Clone)]
pub struct Context {
    /// The trial's seed.
    pub seed: u64,
    /// The experiment.
    pub workload: Arc<Workload>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
}

impl Context {
    /// Whether the planted defect `defect` strikes this order.
    fn struck_by(&self, defect: Defect, message: &Envelope) -> bool {
        let canary = self.workload.canary.as_ref();
        canary.is_some_and(|canary| canary.strikes(defect, message.number))
    }
}

/// The service of `stage`; inventory's is handed in, because its stock book is read at the end.
pub fn service(stage: Stage, context: &Context, inventory: &Arc<Inventory>) -> Arc<dyn Service> {
    match stage {
        Stage::Order => Arc::new(status::Order::new(context.clone())),
        Stage::Inventory => Arc::clone(inventory) as Arc<dyn Service>,
        Stage::Payment => Arc::new(payment::Payment::new(context.clone())),
        Stage::Shipping => Arc::new(transport::Shipping),
        Stage::Customer => Arc::new(transport::Customer),
        Stage::Notification => Arc::new(status::Notification),
        Stage::Email => Arc::new(status::Channel::new(context.clone(), Some(Defect::SkipNotification))),
        Stage::Sms => Arc::new(status::Channel::new(context.clone(), None)),
        Stage::Audit => Arc::new(status::Channel::new(context.clone(), Some(Defect::SkipAudit))),
        Stage::Worker => Arc::new(worker::Worker::new(context.clone())),
    }
}
