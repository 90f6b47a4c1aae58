//! The load: turns arrivals into published orders.
//!
//! Open loop: the schedule is fixed; whatever holds a send back (a blocked connection, a full window, a socket that does not
//! drain) makes it late, and the lateness is measured from the intended instant. Nothing is skipped, nothing is sent early,
//! and no answer is awaited. Closed loop: each user waits for the end of its order, or each publisher for room in its window.

mod beside;
mod closed;
mod open;
pub mod pace;
mod saturate;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::amqp::{AmqpError, Renewable, RenewablePublisher};
use crate::arrival::Schedule;
use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::wire::{Peer, Wiring};
use crate::workload::model::{Arrival, BadKind, LoadPhase};
pub use beside::{BesideMeter, BesideMeters};
use sender::Sender;

/// How often a held-back load looks whether the socket takes something again.
const CHOKED_RETRY_NS: Nanos = 500_000;

/// Live counts of the load.
#[derive(Debug, Default)]
pub struct LoadMeter {
    sent: AtomicU64,
    sent_measured: AtomicU64,
    unsent: AtomicU64,
    in_flight: AtomicU64,
    held_ns: [AtomicU64; Hold::ALL.len()],
    ended: AtomicU64,
    /// What was published beside the orders.
    pub beside: BesideMeters,
    /// The end of each phase of the load, nanoseconds since the load began, and the orders sent of those intended in it.
    phases: Vec<(Nanos, AtomicU64)>,
}

/// What keeps a due order from being sent; none of it is the driver's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The broker blocked the connection.
    Blocked,
    /// The confirm window is full.
    Window,
    /// The socket takes nothing, or is gone and not yet opened anew.
    Socket,
}

impl Hold {
    /// All of them.
    pub const ALL: [Hold; 3] = [Hold::Blocked, Hold::Window, Hold::Socket];
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

    /// Nanoseconds during which a due order was held back by this, summed over connections.
    pub fn held_ns(&self, by: Hold) -> u64 {
        self.held_ns[by as usize].load(Ordering::Relaxed)
    }

    /// Orders sent so far of those intended in the phase of the load at this position, from 0.
    pub fn sent_in_phase(&self, position: usize) -> u64 {
        self.phases
            .get(position)
            .map_or(0, |(_, sent)| sent.load(Ordering::Relaxed))
    }

    fn for_phases(phases: &[LoadPhase]) -> Self {
        let ends = phases.iter().scan(0, |end: &mut Nanos, phase| {
            *end = end.saturating_add(phase.duration.as_nanos());
            Some((*end, AtomicU64::new(0)))
        });
        LoadMeter {
            phases: ends.collect(),
            ..LoadMeter::default()
        }
    }

    fn hold(&self, by: Hold, ns: Nanos) {
        self.held_ns[by as usize].fetch_add(ns, Ordering::Relaxed);
    }

    /// An order was sent that was intended at `offset` nanoseconds since the load began.
    fn sent_at(&self, offset: Nanos) {
        let position = self.phases.partition_point(|(end, _)| *end <= offset);
        if let Some((_, sent)) = self.phases.get(position) {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A connected load that has not begun.
#[derive(Debug)]
pub struct Load {
    senders: Vec<Arc<Sender>>,
    lines: Vec<Arc<Renewable>>,
    wiring: Wiring,
    meter: Arc<LoadMeter>,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// What the connections may say.
    pub async fn connect(wiring: Wiring) -> Result<Self, AmqpError> {
        let meter = Arc::new(LoadMeter::for_phases(wiring.workload.load.arrival.phases()));
        let (mut senders, mut lines) = (Vec::new(), Vec::new());
        for index in 0..wiring.workload.load.connections {
            let line = Renewable::connect(wiring.connector_of(Peer::Load), &format!("load {index}")).await?;
            let publisher =
                RenewablePublisher::open(&line, &wiring.workload.publish, Arc::clone(&wiring.publishes)).await?;
            let (settings, publishes) = (&wiring.workload.publish, &wiring.publishes);
            let astray = match wiring.workload.messages.share(BadKind::Unroutable).0 > 0.0 {
                true => Some(RenewablePublisher::open(&line, settings, Arc::clone(publishes)).await?),
                false => None,
            };
            let (publisher, astray) = (Arc::new(publisher), astray.map(Arc::new));
            let sender = Sender::new(wiring.clone(), publisher, astray, Arc::clone(&meter));
            senders.push(Arc::new(sender));
            lines.push(line);
        }
        Ok(Load {
            senders,
            lines,
            wiring,
            meter,
        })
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
        match (
            Schedule::new(&self.wiring.workload.load, self.wiring.seed),
            &self.wiring.workload.load.arrival,
        ) {
            (Some(schedule), _) => {
                for (share, sender) in self.senders.into_iter().enumerate() {
                    let mine = open::Share {
                        schedule: schedule.clone(),
                        began,
                        shares,
                        share: share as u64,
                    };
                    tasks.spawn(open::run(mine, sender, stop.clone()));
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
                tasks.spawn(closed::run(settings, self.senders, finished, stop.clone()));
            }
            (None, Arrival::Saturate) => {
                let numbers = Arc::new(AtomicU64::new(0));
                for (share, sender) in (0..).zip(self.senders) {
                    tasks.spawn(saturate::run(
                        Arc::clone(&numbers),
                        (shares, share),
                        began,
                        sender,
                        stop.clone(),
                    ));
                }
            }
            // Only where answers pace the load is there no schedule.
            (None, Arrival::Open(_) | Arrival::Phases(_)) => {}
        }
        while tasks.join_next().await.is_some() {}
        for line in self.lines {
            line.close().await;
        }
    }
}
