//! The load: turns arrivals into published orders.
//!
//! Open loop: the schedule is fixed; whatever holds a send back (a blocked connection, a full window, a socket that does not
//! drain) makes it late, and the lateness is measured from the intended instant. Nothing is skipped, nothing is sent early,
//! and no answer is awaited. Closed loop: each user waits for the end of its order.

mod closed;
mod open;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::amqp::{AmqpError, Link, Publisher};
use crate::arrival::Schedule;
use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::wire::Wiring;
use crate::workload::model::Arrival;
use sender::Sender;

/// Live counts of the load.
#[derive(Debug, Default)]
pub struct LoadMeter {
    sent: AtomicU64,
    sent_measured: AtomicU64,
    unsent: AtomicU64,
    in_flight: AtomicU64,
    held_ns: AtomicU64,
    ended: AtomicU64,
}

impl LoadMeter {
    /// Orders handed to the broker.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// … whose intended instant lies in the measured part.
    pub fn sent_measured(&self) -> u64 {
        self.sent_measured.load(Ordering::Relaxed)
    }

    /// Arrivals that were due and could not be sent before the load ended.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Orders published and not yet answered for.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// When the last order was sent or the load's time was up, on the run's clock; absent while the load runs. The answers to
    /// what is in flight come later.
    pub fn ended(&self) -> Option<Nanos> {
        Some(self.ended.load(Ordering::Acquire)).filter(|ended| *ended > 0)
    }

    /// Nanoseconds during which a due order was held back by the broker (blocked connection, full window, full socket),
    /// summed over connections.
    pub fn held_ns(&self) -> u64 {
        self.held_ns.load(Ordering::Relaxed)
    }
}

/// A connected load that has not begun.
#[derive(Debug)]
pub struct Load {
    senders: Vec<(Link, Sender)>,
    wiring: Wiring,
    meter: Arc<LoadMeter>,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// What the connections may say.
    pub async fn connect(wiring: Wiring) -> Result<Self, AmqpError> {
        let meter = Arc::<LoadMeter>::default();
        let mut senders = Vec::new();
        for index in 0..wiring.workload.load.connections {
            let link = wiring.connector.connect(&format!("load {index}")).await?;
            let publisher = Publisher::open(&link, &wiring.workload.publish, Arc::clone(&wiring.publishes)).await?;
            senders.push((link, Sender::new(wiring.clone(), publisher, Arc::clone(&meter))));
        }
        Ok(Load { senders, wiring, meter })
    }

    /// Live counts.
    pub fn meter(&self) -> &Arc<LoadMeter> {
        &self.meter
    }

    /// Runs the load from `began` on the run's clock until its end or until `stop`, and waits for the answers to what is in
    /// flight. `finished` brings the ends of orders, which a closed loop waits for.
    pub async fn run(
        self,
        began: Nanos,
        finished: Option<mpsc::UnboundedReceiver<OrderNumber>>,
        stop: CancellationToken,
    ) {
        let shares = self.senders.len() as u64;
        let mut tasks = JoinSet::new();
        let mut links = Vec::new();
        match (
            Schedule::new(&self.wiring.workload.load, self.wiring.seed),
            &self.wiring.workload.load.arrival,
        ) {
            (Some(schedule), _) => {
                for (share, (link, sender)) in self.senders.into_iter().enumerate() {
                    let link = Arc::new(link);
                    links.push(Arc::clone(&link));
                    let mine = open::Share {
                        schedule: schedule.clone(),
                        began,
                        shares,
                        share: share as u64,
                    };
                    tasks.spawn(open::run(mine, link, sender, stop.clone()));
                }
            }
            (None, Arrival::Closed { users, think_time }) => {
                let think_ns = think_time.as_nanos();
                let settings = closed::Users {
                    users: *users,
                    think_ns,
                    until: self.wiring.workload.load.clone(),
                    began,
                };
                let senders: Vec<_> = self
                    .senders
                    .into_iter()
                    .map(|(link, sender)| (Arc::new(link), sender))
                    .collect();
                links.extend(senders.iter().map(|(link, _)| Arc::clone(link)));
                tasks.spawn(closed::run(settings, senders, finished, stop.clone()));
            }
            // Only a closed loop has no schedule.
            (None, _) => {}
        }
        while tasks.join_next().await.is_some() {}
        for link in links.into_iter().filter_map(Arc::into_inner) {
            link.close().await;
        }
    }
}
