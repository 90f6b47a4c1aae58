//! Holds a stage's consumers back and lets them return: for a backlog that is to build up, and for an outage of the stage.
//!
//! Closing and opening only say what shall be; the consumers follow by themselves, and [`StageSwitch::settled`] waits for
//! them. So a heal on the way out of a cancelled fault needs nobody to wait.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::clock::{Clock, Nanos};

/// The switch of one stage.
#[derive(Debug)]
pub struct StageSwitch {
    clock: Clock,
    consumers: u32,
    open: watch::Sender<bool>,
    /// Consumers that consume.
    consuming: watch::Sender<u32>,
    closed_at: AtomicU64,
    returned_at: AtomicU64,
}

impl StageSwitch {
    /// The switch of a stage with that many consumers; a closed one holds them back from the start.
    pub(super) fn new(clock: Clock, consumers: u32, open: bool) -> Self {
        StageSwitch {
            clock,
            consumers,
            open: watch::Sender::new(open),
            consuming: watch::Sender::new(0),
            closed_at: AtomicU64::new(if open { 0 } else { clock.now().max(1) }),
            returned_at: AtomicU64::new(0),
        }
    }

    /// Consumers shall stop: they finish what they have begun, and the rest of what they hold goes back to its queue.
    pub fn close(&self) {
        self.returned_at.store(0, Ordering::Release);
        self.closed_at.store(self.clock.now().max(1), Ordering::Release);
        self.open.send_replace(false);
    }

    /// Consumers shall consume; without effect on those that do.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Whether consumers shall consume.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until every consumer does what the switch says.
    pub async fn settled(&self) {
        let (mut consuming, mut open) = (self.consuming.subscribe(), self.open.subscribe());
        loop {
            let wanted = if *open.borrow_and_update() { self.consumers } else { 0 };
            if *consuming.borrow_and_update() == wanted {
                return;
            }
            // Both senders live as long as this borrow.
            tokio::select! {
                _ = consuming.changed() => {}
                _ = open.changed() => {}
            }
        }
    }

    /// Consumers that shall consume and do not.
    pub fn missing(&self) -> u32 {
        let wanted = if self.is_open() { self.consumers } else { 0 };
        wanted.saturating_sub(*self.consuming.borrow())
    }

    /// When the consumers were last told to stop, on the run's clock; absent if nobody has.
    pub fn closed_at(&self) -> Option<Nanos> {
        Some(self.closed_at.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// When the last of the consumers came (back), on the run's clock; absent until then.
    pub fn returned_at(&self) -> Option<Nanos> {
        Some(self.returned_at.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// How many consumers consume, as it changes.
    pub(super) fn consuming(&self) -> watch::Receiver<u32> {
        self.consuming.subscribe()
    }

    /// Waits until the switch is open, or closed.
    pub(super) async fn is(&self, open: bool) {
        // The sender lives as long as this borrow.
        let _ = self.open.subscribe().wait_for(|now| *now == open).await;
    }

    /// One more consumer consumes.
    pub(super) fn entered(&self) {
        self.consuming.send_modify(|consuming| {
            *consuming += 1;
            if *consuming == self.consumers {
                self.returned_at.store(self.clock.now(), Ordering::Release);
            }
        });
    }

    /// One consumer has stopped.
    pub(super) fn left(&self) {
        self.consuming.send_modify(|consuming| *consuming -= 1);
    }
}
