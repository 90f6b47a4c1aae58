//! What a fault does to a consumer, and what became of it.
//!
//! A strike is sent to the consumer's seat; the consumer breaks itself off, so that nothing is torn that a real death would not
//! tear. A strike may be revoked at any time (invariant Heal): one that has not bitten never will, and who is away comes back.

use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::process::{Teller, Whom, Word};
use crate::clock::{Clock, Nanos};
use crate::workload::model::{FaultKind, Point};

/// What is done to one consumer.
#[derive(Debug, Clone)]
pub struct Strike {
    /// What.
    pub what: FaultKind,
    /// Where in its handler; absent: wherever it is.
    pub point: Option<Point>,
    /// How long it stays away, nanoseconds.
    pub restart_after: Nanos,
    /// Cancelled: it comes back at once, or is not struck at all.
    pub heal: CancellationToken,
    /// What became of it.
    pub mark: Arc<Mark>,
}

/// What became of the strikes of one event.
#[derive(Debug)]
pub struct Mark {
    clock: Clock,
    struck: AtomicU32,
    back: AtomicU32,
    /// 0: not yet.
    struck_at: AtomicU64,
    back_at: AtomicU64,
    changed: Notify,
    /// In a worker process: whom it tells, and the strike's number there.
    teller: Option<(Arc<Teller>, u64)>,
}

impl Mark {
    /// Nobody is struck yet.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Mark {
            clock,
            struck: AtomicU32::default(),
            back: AtomicU32::default(),
            struck_at: AtomicU64::default(),
            back_at: AtomicU64::default(),
            changed: Notify::new(),
            teller: None,
        })
    }

    /// As above, in a worker process: what becomes of the strike is told as that of number `strike`.
    pub(super) fn told(clock: Clock, teller: Arc<Teller>, strike: u64) -> Arc<Self> {
        let mark = Mark {
            teller: Some((teller, strike)),
            ..Arc::into_inner(Mark::new(clock)).expect("nobody else has it yet")
        };
        Arc::new(mark)
    }

    /// Consumers struck.
    pub fn struck(&self) -> u32 {
        self.struck.load(Ordering::Acquire)
    }

    /// Of those, the ones that consume again.
    pub fn back(&self) -> u32 {
        self.back.load(Ordering::Acquire)
    }

    /// When the first was struck; absent if none was.
    pub fn struck_at(&self) -> Option<Nanos> {
        Some(self.struck_at.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// When the last so far came back; absent if none did.
    pub fn back_at(&self) -> Option<Nanos> {
        Some(self.back_at.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// Waits until `consumers` were struck and are back.
    pub async fn all_back(&self, consumers: u32) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.back() >= consumers {
                return;
            }
            changed.await;
        }
    }

    fn bit(&self, at: Nanos) {
        let now = at.max(1);
        if let Some((teller, strike)) = &self.teller {
            teller.word(&Word::Bit {
                strike: *strike,
                at: now,
            });
        }
        // The first of several keeps the instant.
        let _ = self
            .struck_at
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        self.struck.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn healed(&self, at: Nanos) {
        if let Some((teller, strike)) = &self.teller {
            teller.word(&Word::Healed { strike: *strike, at });
        }
        self.back_at.fetch_max(at.max(1), Ordering::AcqRel);
        self.back.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }
}

impl Strike {
    /// The consumer is struck now.
    pub(super) fn bit(&self) {
        self.bit_at(self.mark.clock.now());
    }

    /// The consumer was struck then.
    pub(super) fn bit_at(&self, at: Nanos) {
        self.mark.bit(at);
    }

    /// The consumer works again.
    pub(super) fn healed(&self) {
        self.healed_at(self.mark.clock.now());
    }

    /// The consumer worked again then.
    pub(super) fn healed_at(&self, at: Nanos) {
        self.mark.healed(at);
    }
}

/// The strikes that wait for one consumer's handler to come to their point.
#[derive(Debug, Default)]
pub(super) struct Armed(Mutex<Vec<Strike>>);

impl Armed {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Strike>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn arm(&self, strike: Strike) {
        self.with(|armed| armed.push(strike));
    }

    /// The strike that bites at `point`, if one does.
    pub(super) fn bites(&self, point: Point) -> Option<Strike> {
        self.with(|armed| {
            armed.retain(|strike| !strike.heal.is_cancelled());
            let at = armed.iter().position(|strike| strike.point == Some(point))?;
            Some(armed.remove(at))
        })
    }
}

/// The payload of a panic that a fault planned: anything else that panics is a defect, and ends the trial.
pub(super) struct Planned(pub(super) Strike);

/// The strike behind a panic.
///
/// # Errors
/// The panic's own payload, if no fault planned it.
pub(super) fn planned(payload: Box<dyn Any + Send>) -> Result<Strike, Box<dyn Any + Send>> {
    payload.downcast::<Planned>().map(|planned| planned.0)
}

/// Ends this process as a crash does: nothing is flushed, closed or said.
pub(super) fn die() -> ! {
    // Signalling itself cannot fail; what comes after never runs.
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    std::process::abort()
}

/// The consumers of a stage as a fault finds them.
#[derive(Debug, Clone)]
pub struct Targets {
    seats: Vec<Door>,
    processes: Vec<mpsc::UnboundedSender<(Whom, Strike)>>,
}

/// The way to a consumer.
#[derive(Debug, Clone)]
enum Door {
    /// It is in this process.
    Here(mpsc::UnboundedSender<Strike>),
    /// By the post of its process.
    InProcess(u32, mpsc::UnboundedSender<(Whom, Strike)>),
}

impl Targets {
    /// Consumers of this process.
    pub(super) fn here(seats: Vec<mpsc::UnboundedSender<Strike>>) -> Self {
        Targets {
            seats: seats.into_iter().map(Door::Here).collect(),
            processes: Vec::new(),
        }
    }

    /// Consumers, by their number, and the processes that they are in.
    pub(super) fn in_processes(
        seats: Vec<(u32, mpsc::UnboundedSender<(Whom, Strike)>)>,
        processes: Vec<mpsc::UnboundedSender<(Whom, Strike)>>,
    ) -> Self {
        let doors = seats
            .into_iter()
            .map(|(consumer, post)| Door::InProcess(consumer, post));
        Targets {
            seats: doors.collect(),
            processes,
        }
    }

    /// Whom a fault of this kind can strike: consumers of the stage, or its worker processes.
    pub fn count(&self, what: FaultKind) -> u32 {
        match what.strikes_processes() {
            true => self.processes.len() as u32,
            false => self.seats.len() as u32,
        }
    }

    /// Strikes number `index` of them, now or when it is back.
    pub fn strike(&self, index: u32, strike: Strike) {
        let index = index as usize;
        // One that is gone for good cannot be struck; the mark shows it.
        if strike.what.strikes_processes() {
            if let Some(process) = self.processes.get(index) {
                let _ = process.send((Whom::Process, strike));
            }
            return;
        }
        match self.seats.get(index) {
            Some(Door::Here(seat)) => {
                let _ = seat.send(strike);
            }
            Some(Door::InProcess(consumer, post)) => {
                let _ = post.send((Whom::Consumer(*consumer), strike));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(point: Option<Point>) -> Strike {
        Strike {
            what: FaultKind::ChannelClose,
            point,
            restart_after: 0,
            heal: CancellationToken::new(),
            mark: Mark::new(Clock::start()),
        }
    }

    #[test]
    fn a_strike_bites_once_and_only_at_its_point() {
        let armed = Armed::default();
        armed.arm(strike(Some(Point::ConfirmToAck)));
        assert!(armed.bites(Point::BeforeEffect).is_none());
        assert!(armed.bites(Point::ConfirmToAck).is_some());
        assert!(armed.bites(Point::ConfirmToAck).is_none());
    }

    #[test]
    fn a_revoked_strike_never_bites() {
        let (armed, revoked) = (Armed::default(), strike(Some(Point::BeforeEffect)));
        armed.arm(revoked.clone());
        revoked.heal.cancel();
        assert!(armed.bites(Point::BeforeEffect).is_none());
        assert_eq!((revoked.mark.struck(), revoked.mark.struck_at()), (0, None));
    }
}
