//! What the pipeline looks like on the wire: its messages, and the exchanges, queues and bindings they travel through; and
//! what everything that takes part in a trial is wired to.
//!
//! Load, pipeline and clean-up share it; none of them knows another.

pub mod bad;
pub mod headers;
pub mod message;
pub mod retry_queue;
pub mod topology;

use std::sync::Arc;

use crate::amqp::{Connector, PublishMeter};
use crate::events::{Event, PipelineKind, Stage};
use crate::ledger::Ledger;
use crate::measure::{Board, Window};
use crate::orders::{OrderNumber, is_urgent};
use crate::timer::Timer;
use crate::workload::Workload;
use crate::workload::model::ExchangeType;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use message::{Encoder, Kind, OrderIds};
use topology::Topology;

/// Whose connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Those of the load.
    Load,
    /// Those of a stage, to consume and to publish.
    Stage(Stage),
}

/// What load and stages of a trial are wired to; clones share it all.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Makes the driver's own connections, straight to the broker.
    pub connector: Connector,
    /// Whose connections go another way.
    pub detours: Arc<Vec<(Peer, Connector)>>,
    /// The experiment.
    pub workload: Arc<Workload>,
    /// The trial's seed.
    pub seed: u64,
    /// Names on the broker.
    pub topology: Arc<Topology>,
    /// Writes bodies.
    pub encoder: Arc<Encoder>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The recorders.
    pub board: Arc<Board>,
    /// The measured part.
    pub window: Arc<Window>,
    /// Precise sleeps.
    pub timer: Timer,
    /// Counts of all publishes.
    pub publishes: Arc<PublishMeter>,
}

impl Wiring {
    /// A trial's wiring with an empty ledger and empty recorders. `ids` is the prefix of the trial's order ids.
    pub fn new(
        connector: Connector,
        workload: Arc<Workload>,
        seed: u64,
        topology: Arc<Topology>,
        ids: &str,
        timer: Timer,
    ) -> Self {
        let orders = &workload.orders;
        let ledger = match workload.pipeline {
            PipelineKind::Orders => Ledger::new(orders.items, orders.stock_per_item),
            PipelineKind::WorkQueue => Ledger::work_queue(),
        };
        Wiring {
            connector,
            detours: Arc::default(),
            seed,
            topology,
            encoder: Arc::new(Encoder::new(OrderIds::new(ids), orders.body_size.0)),
            ledger: Arc::new(ledger),
            board: Arc::default(),
            window: Arc::default(),
            timer,
            publishes: Arc::default(),
            workload,
        }
    }

    /// Makes the connections of `peer`.
    pub fn connector_of(&self, peer: Peer) -> &Connector {
        let detour = self.detours.iter().find(|(whose, _)| *whose == peer);
        detour.map_or(&self.connector, |(_, connector)| connector)
    }

    /// Whether an order is urgent.
    pub fn is_urgent(&self, number: OrderNumber) -> bool {
        is_urgent(self.seed, number, &self.workload.orders)
    }

    /// Properties of a message about an order: what it is, and what the workload has the broker do with it.
    pub fn properties(&self, number: OrderNumber, event: Event, kind: Kind) -> BasicProperties {
        let Workload { publish, topology, .. } = &*self.workload;
        let mut properties = message::properties(self.encoder.ids(), number, event, kind, publish);
        if topology.order_exchange == ExchangeType::Headers && kind == Kind::Event {
            let mut headers = FieldTable::default();
            headers.insert(
                topology::EVENT_HEADER.into(),
                AMQPValue::LongString(event.name().into()),
            );
            properties = properties.with_headers(headers);
        }
        self.in_queue(properties, number)
    }

    /// Properties of a job's message.
    pub fn job_properties(&self, number: OrderNumber) -> BasicProperties {
        let properties = message::job_properties(self.encoder.ids(), number, &self.workload.publish);
        self.in_queue(properties, number)
    }

    /// What a message's queue is to look at.
    fn in_queue(&self, mut properties: BasicProperties, number: OrderNumber) -> BasicProperties {
        let Workload { orders, publish, .. } = &*self.workload;
        if self.is_urgent(number) {
            properties = properties.with_priority(orders.urgent_priority);
        }
        if let Some(ttl) = publish.ttl {
            properties = properties.with_expiration(ttl.0.as_millis().to_string().into());
        }
        properties
    }
}
