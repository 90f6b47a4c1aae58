//! Sleeps that end on time: about 60 µs late, where the runtime's own timer rounds up to the next millisecond.
//!
//! One thread waits for the earliest deadline and wakes the tasks that are due. The load's pacing and the service times of
//! the stages depend on it; time-outs, which need no precision, stay with the runtime.

use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::clock::{Clock, Nanos};

/// A running timer; clones share its thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Timer {
    clock: Clock,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sleepers: BinaryHeap<Sleeper>,
    closed: bool,
}

#[derive(Debug)]
struct Sleeper {
    deadline: Nanos,
    waker: Waker,
}

/// Earliest deadline first, as [`BinaryHeap`] pops the greatest.
impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.deadline.cmp(&self.deadline)
    }
}
impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.deadline == other.deadline
    }
}
impl Eq for Sleeper {}

impl Shared {
    /// The state is whole between any two statements here, so a panic while it was locked has not torn it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, clock: Clock) {
        // The kernel may deliver a wake-up 50 µs late unless told that the thread minds.
        // Failure costs precision only, and the driver's send lag shows it.
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut due = Vec::new();
        let mut state = self.lock();
        while !state.closed {
            let now = clock.now();
            while state.sleepers.peek().is_some_and(|sleeper| sleeper.deadline <= now) {
                due.extend(state.sleepers.pop().map(|sleeper| sleeper.waker));
            }
            if !due.is_empty() {
                drop(state);
                due.drain(..).for_each(Waker::wake);
                state = self.lock();
                continue;
            }
            state = match state.sleepers.peek().map(|sleeper| clock.until(sleeper.deadline)) {
                Some(wait) => {
                    self.changed
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Timer {
    /// Starts the timer's thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("timer".to_owned())
            .spawn(move || thread.run(clock))?;
        Ok(Timer {
            clock,
            handle: Arc::new(Handle { shared }),
        })
    }

    /// The clock of the deadlines.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Sleeps until `deadline`.
    ///
    /// # Cancel safety
    /// Safe; a dropped sleep leaves a wake-up that nobody hears.
    pub fn sleep_until(&self, deadline: Nanos) -> Sleep<'_> {
        Sleep {
            timer: self,
            deadline,
            registered: None,
        }
    }
}

/// A sleep of [`Timer::sleep_until`].
#[derive(Debug)]
pub struct Sleep<'a> {
    timer: &'a Timer,
    deadline: Nanos,
    registered: Option<Waker>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.clock.now() >= self.deadline {
            return Poll::Ready(());
        }
        let known = self
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()));
        if !known {
            let waker = context.waker().clone();
            self.registered = Some(waker.clone());
            let shared = &self.timer.handle.shared;
            let mut state = shared.lock();
            let earliest = state.sleepers.peek().is_none_or(|first| self.deadline < first.deadline);
            state.sleepers.push(Sleeper {
                deadline: self.deadline,
                waker,
            });
            drop(state);
            if earliest {
                shared.changed.notify_one();
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sleeps_end_in_the_order_of_their_deadlines_and_never_early() {
        let clock = Clock::start();
        let timer = Timer::start(clock).expect("a thread");
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for deadline in [9_000_000, 3_000_000, 6_000_000] {
            let (timer, sender) = (timer.clone(), sender.clone());
            tokio::spawn(async move {
                timer.sleep_until(deadline).await;
                assert!(timer.clock().now() >= deadline);
                sender.send(deadline)
            });
        }
        drop(sender);
        let mut ended = Vec::new();
        while let Some(deadline) = order.recv().await {
            ended.push(deadline);
        }
        assert_eq!(ended, [3_000_000, 6_000_000, 9_000_000]);
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_does_not_wait() {
        let timer = Timer::start(Clock::start()).expect("a thread");
        timer.sleep_until(0).await;
    }
}
