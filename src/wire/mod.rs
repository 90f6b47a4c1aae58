//! What the pipeline looks like on the wire: its messages, and the exchanges, queues and bindings they travel through; and
//! what everything that takes part in a trial is wired to.
//!
//! Load, pipeline and clean-up share it; none of them knows another.

pub mod message;
pub mod topology;

use std::sync::Arc;

use crate::amqp::{Connector, PublishMeter};
use crate::events::PipelineKind;
use crate::ledger::Ledger;
use crate::measure::{Board, Window};
use crate::timer::Timer;
use crate::workload::Workload;
use message::{Encoder, OrderIds};
use topology::Topology;

/// What load and stages of a trial are wired to; clones share it all.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Makes connections.
    pub connector: Connector,
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
}
