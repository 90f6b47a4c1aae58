//! The words of the pipelines: their stages, their events, and who consumes what.
//!
//! Everything that must agree on them (bindings, handlers, the ledger's expectations) derives from the one table in
//! [`Stage::consumes`]; which of them a trial has at all is [`PipelineKind`]'s to say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pipeline that an experiment can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PipelineKind {
    /// Orders, payments, stock, shipping, notifications and audit.
    #[default]
    Orders,
    /// One queue of jobs and its identical workers; a job stands for an order.
    WorkQueue,
}

impl PipelineKind {
    /// All pipelines with their names in workload files.
    pub const NAMES: [(&'static str, PipelineKind); 2] = [
        ("orders", PipelineKind::Orders),
        ("work-queue", PipelineKind::WorkQueue),
    ];

    /// The name in workload files and results.
    pub const fn name(self) -> &'static str {
        match self {
            PipelineKind::Orders => "orders",
            PipelineKind::WorkQueue => "work-queue",
        }
    }

    /// Its stages, in the order of [`Stage::ALL`]; no other stage exists in a trial of it.
    pub const fn stages(self) -> &'static [Stage] {
        let (orders, work_queue) = Stage::ALL.split_at(Stage::Worker.index());
        match self {
            PipelineKind::Orders => orders,
            PipelineKind::WorkQueue => work_queue,
        }
    }

    /// Its events, in the order of [`Event::ALL`].
    pub const fn events(self) -> &'static [Event] {
        let (orders, work_queue) = Event::ALL.split_at(Event::JobQueued.index());
        match self {
            PipelineKind::Orders => orders,
            PipelineKind::WorkQueue => work_queue,
        }
    }

    /// What the load publishes.
    pub const fn opening(self) -> Event {
        match self {
            PipelineKind::Orders => Event::OrderCreated,
            PipelineKind::WorkQueue => Event::JobQueued,
        }
    }

    /// Position of `stage` in [`PipelineKind::stages`]; absent for a stage of another pipeline.
    pub fn position(self, stage: Stage) -> Option<usize> {
        self.stages().iter().position(|own| *own == stage)
    }
}

impl fmt::Display for PipelineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A consumer of a pipeline. Orders: the six services, the two channels that notifications go out by, and the simulated
/// customer who confirms the arrival of the goods. Work queue: the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Keeps each order's status and publishes its changes.
    Order,
    /// Reserves, commits and releases stock.
    Inventory,
    /// Charges the customer.
    Payment,
    /// Prepares and delivers.
    Shipping,
    /// Stands for the person who receives the goods: answers `order.shipped` with `customer.confirmed`.
    Customer,
    /// Turns order status events into notifications.
    Notification,
    /// Sends notifications by e-mail.
    Email,
    /// Sends notifications by SMS.
    Sms,
    /// Records every event.
    Audit,
    /// Does the jobs of the work queue.
    Worker,
}

impl Stage {
    /// All stages of all pipelines, each pipeline's together and in its order; a stage's position is its [`Stage::index`].
    pub const ALL: [Stage; 10] = [
        Stage::Order,
        Stage::Inventory,
        Stage::Payment,
        Stage::Shipping,
        Stage::Customer,
        Stage::Notification,
        Stage::Email,
        Stage::Sms,
        Stage::Audit,
        Stage::Worker,
    ];

    /// Position in [`Stage::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in workload files, queue names and results.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Order => "order",
            Stage::Inventory => "inventory",
            Stage::Payment => "payment",
            Stage::Shipping => "shipping",
            Stage::Customer => "customer",
            Stage::Notification => "notification",
            Stage::Email => "email",
            Stage::Sms => "sms",
            Stage::Audit => "audit",
            Stage::Worker => "worker",
        }
    }

    /// Whether an order does not end without this stage; the others work beside the chain.
    pub const fn is_in_chain(self) -> bool {
        matches!(
            self,
            Stage::Order | Stage::Inventory | Stage::Payment | Stage::Shipping | Stage::Customer | Stage::Worker
        )
    }

    /// Whether an order's end waits for what this stage does on account of `event`; its other steps run beside.
    pub const fn is_critical(self, event: Event) -> bool {
        matches!(
            (self, event),
            (Stage::Inventory, Event::OrderCreated)
                | (Stage::Payment, Event::InventoryReserved)
                | (Stage::Shipping, Event::PaymentSuccess | Event::CustomerConfirmed)
                | (Stage::Customer, Event::OrderShipped)
                | (Stage::Worker, Event::JobQueued)
                | (
                    Stage::Order,
                    Event::ShippingPrepared
                        | Event::ShippingDelivered
                        | Event::InventoryOutOfStock
                        | Event::PaymentFailed
                )
        )
    }

    /// The events that this stage acts on. E-mail and SMS receive them as notifications, through the notification exchange.
    pub const fn consumes(self) -> &'static [Event] {
        match self {
            Stage::Order => &[
                Event::InventoryOutOfStock,
                Event::PaymentSuccess,
                Event::PaymentFailed,
                Event::ShippingPrepared,
                Event::ShippingDelivered,
            ],
            Stage::Inventory => &[Event::OrderCreated, Event::PaymentSuccess, Event::PaymentFailed],
            Stage::Payment => &[Event::InventoryReserved],
            Stage::Shipping => &[Event::PaymentSuccess, Event::CustomerConfirmed],
            Stage::Customer => &[Event::OrderShipped],
            Stage::Notification | Stage::Email | Stage::Sms => &[
                Event::OrderCreated,
                Event::OrderPaid,
                Event::OrderShipped,
                Event::OrderCompleted,
                Event::OrderCancelled,
            ],
            Stage::Audit => PipelineKind::Orders.events(),
            Stage::Worker => &[Event::JobQueued],
        }
    }

    /// Whether its effects call for messages of its own; the others are ends of the line.
    pub const fn emits(self) -> bool {
        !matches!(self, Stage::Email | Stage::Sms | Stage::Audit | Stage::Worker)
    }

    /// Whether the effect on account of `event` is itself the end of the order; where it is not, an order ends with an event
    /// ([`Event::is_end`]).
    pub const fn is_end(self, event: Event) -> bool {
        matches!((self, event), (Stage::Worker, Event::JobQueued))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What happened to an order; the name is the routing key on the order exchange and the message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    /// The order was placed.
    #[serde(rename = "order.created")]
    OrderCreated,
    /// All its items are set aside.
    #[serde(rename = "inventory.reserved")]
    InventoryReserved,
    /// At least one item is short; nothing was set aside.
    #[serde(rename = "inventory.out_of_stock")]
    InventoryOutOfStock,
    /// The customer was charged.
    #[serde(rename = "payment.success")]
    PaymentSuccess,
    /// The charge was declined.
    #[serde(rename = "payment.failed")]
    PaymentFailed,
    /// Reserved stock became sold stock.
    #[serde(rename = "inventory.committed")]
    InventoryCommitted,
    /// Reserved stock went back after a declined payment.
    #[serde(rename = "inventory.released")]
    InventoryReleased,
    /// Order status: paid.
    #[serde(rename = "order.paid")]
    OrderPaid,
    /// The parcel is packed.
    #[serde(rename = "shipping.prepared")]
    ShippingPrepared,
    /// Order status: shipped.
    #[serde(rename = "order.shipped")]
    OrderShipped,
    /// The (simulated) customer says that the parcel came.
    #[serde(rename = "customer.confirmed")]
    CustomerConfirmed,
    /// The parcel is delivered.
    #[serde(rename = "shipping.delivered")]
    ShippingDelivered,
    /// Order status: completed; an end.
    #[serde(rename = "order.completed")]
    OrderCompleted,
    /// Order status: cancelled (out of stock, payment declined); an end.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// A job was put into the work queue.
    #[serde(rename = "job.queued")]
    JobQueued,
}

impl Event {
    /// All events of all pipelines, each pipeline's together; an event's position is its [`Event::index`].
    pub const ALL: [Event; 15] = [
        Event::OrderCreated,
        Event::InventoryReserved,
        Event::InventoryOutOfStock,
        Event::PaymentSuccess,
        Event::PaymentFailed,
        Event::InventoryCommitted,
        Event::InventoryReleased,
        Event::OrderPaid,
        Event::ShippingPrepared,
        Event::OrderShipped,
        Event::CustomerConfirmed,
        Event::ShippingDelivered,
        Event::OrderCompleted,
        Event::OrderCancelled,
        Event::JobQueued,
    ];

    /// Position in [`Event::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The routing key.
    pub const fn name(self) -> &'static str {
        match self {
            Event::OrderCreated => "order.created",
            Event::InventoryReserved => "inventory.reserved",
            Event::InventoryOutOfStock => "inventory.out_of_stock",
            Event::PaymentSuccess => "payment.success",
            Event::PaymentFailed => "payment.failed",
            Event::InventoryCommitted => "inventory.committed",
            Event::InventoryReleased => "inventory.released",
            Event::OrderPaid => "order.paid",
            Event::ShippingPrepared => "shipping.prepared",
            Event::OrderShipped => "order.shipped",
            Event::CustomerConfirmed => "customer.confirmed",
            Event::ShippingDelivered => "shipping.delivered",
            Event::OrderCompleted => "order.completed",
            Event::OrderCancelled => "order.cancelled",
            Event::JobQueued => "job.queued",
        }
    }

    /// The event of that name.
    pub fn by_name(name: &str) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name() == name)
    }

    /// The events of which one must have happened to the order before this one; none for one that opens an order.
    pub const fn causes(self) -> &'static [Event] {
        match self {
            Event::OrderCreated | Event::JobQueued => &[],
            Event::InventoryReserved | Event::InventoryOutOfStock => &[Event::OrderCreated],
            Event::PaymentSuccess | Event::PaymentFailed => &[Event::InventoryReserved],
            Event::InventoryCommitted | Event::OrderPaid | Event::ShippingPrepared => &[Event::PaymentSuccess],
            Event::InventoryReleased => &[Event::PaymentFailed],
            Event::OrderShipped => &[Event::ShippingPrepared],
            Event::CustomerConfirmed => &[Event::OrderShipped],
            Event::ShippingDelivered => &[Event::CustomerConfirmed],
            Event::OrderCompleted => &[Event::ShippingDelivered],
            Event::OrderCancelled => &[Event::InventoryOutOfStock, Event::PaymentFailed],
        }
    }

    /// Whether the order has come to its end with this event.
    pub const fn is_end(self) -> bool {
        matches!(self, Event::OrderCompleted | Event::OrderCancelled)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of events in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventSet(u16);

impl EventSet {
    /// No event.
    pub const EMPTY: EventSet = EventSet(0);

    /// Adds `event`; says whether it was new.
    pub fn insert(&mut self, event: Event) -> bool {
        let bit = 1 << event.index();
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether `event` is in the set.
    pub const fn contains(self, event: Event) -> bool {
        self.0 & (1 << event.index()) != 0
    }

    /// Whether each of its members is in `other`.
    pub const fn is_subset(self, other: EventSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// The members, in pipeline order.
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::ALL.into_iter().filter(move |event| self.contains(*event))
    }
}

impl FromIterator<Event> for EventSet {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut set = EventSet::EMPTY;
        for event in events {
            set.insert(event);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_names_lead_back_to_their_owner() {
        for (position, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage.index(), position);
        }
        for (position, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event.index(), position);
            assert_eq!(Event::by_name(event.name()), Some(event));
        }
    }

    #[test]
    fn every_event_is_consumed_by_a_stage_of_its_pipeline_and_by_no_other() {
        for (name, pipeline) in PipelineKind::NAMES {
            assert_eq!(pipeline.name(), name);
            assert!(pipeline.events().contains(&pipeline.opening()));
            for event in Event::ALL {
                let consumed = pipeline.stages().iter().any(|stage| stage.consumes().contains(&event));
                assert_eq!(consumed, pipeline.events().contains(&event), "{event} in {pipeline}");
            }
        }
    }

    #[test]
    fn each_stage_belongs_to_one_pipeline() {
        for stage in Stage::ALL {
            let owners = PipelineKind::NAMES
                .iter()
                .filter(|(_, pipeline)| pipeline.position(stage).is_some());
            assert_eq!(owners.count(), 1, "{stage}");
        }
    }
}
