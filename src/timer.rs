//! Sleeps that end on time: about 60 µs late, where the runtime's own timer rounds up to the next millisecond.
//!
//! The kernel's timer for the earliest deadline wakes the runtime itself, which wakes the tasks that are due: one wake-up for
//! what a thread of its own needs two for. The load's pacing and the service times of the stages depend on it; time-outs, which
//! need no precision, stay with the runtime.

use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::clock::{Clock, Nanos};

/// A running timer; clones share its task, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Timer {
    clock: Clock,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    sleepers: Mutex<BinaryHeap<Sleeper>>,
    /// Set to the earliest deadline, in the same lock as the sleepers.
    alarm: AsyncFd<Alarm>,
}

/// The kernel's timer, as the runtime wants to see it.
#[derive(Debug)]
struct Alarm(TimerFd);

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
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
    /// The heap is whole between any two statements here, so a panic while it was locked has not torn it.
    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Sleeper>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self) {
        let mut due = Vec::new();
        // The alarm of a descriptor that is ours alone cannot fail otherwise than with the runtime.
        while let Ok(mut rung) = self.alarm.readable().await {
            // Setting it anew clears it as well as reading it would.
            rung.clear_ready();
            let now = self.clock.now();
            let mut sleepers = self.lock();
            while sleepers.peek().is_some_and(|sleeper| sleeper.deadline <= now) {
                due.extend(sleepers.pop().map(|sleeper| sleeper.waker));
            }
            if let Some(next) = sleepers.peek() {
                self.set(next.deadline);
            }
            drop(sleepers);
            due.drain(..).for_each(Waker::wake);
        }
    }

    /// Sets the alarm; one that has passed rings at once. A time in the kernel's range is never refused.
    fn set(&self, deadline: Nanos) {
        let at = TimeSpec::from_duration(std::time::Duration::from_nanos(
            self.clock.origin().saturating_add(deadline),
        ));
        let _ = self
            .alarm
            .get_ref()
            .0
            .set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Timer {
    /// Starts the timer on the runtime that it is called in.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let alarm = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // SAFETY: the descriptor is valid and owned by the alarm, which names no other and does not give it away.
        let alarm = unsafe { AsyncFd::register_with_interest(Alarm(alarm), Interest::READABLE)? };
        let shared = Arc::new(Shared {
            clock,
            sleepers: Mutex::default(),
            alarm,
        });
        let ringing = Arc::clone(&shared);
        let task = tokio::spawn(async move { ringing.run().await }).abort_handle();
        Ok(Timer {
            clock,
            handle: Arc::new(Handle { shared, task }),
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

impl Sleep<'_> {
    /// When it ends.
    pub fn deadline(&self) -> Nanos {
        self.deadline
    }
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
            let mut sleepers = shared.lock();
            if sleepers.peek().is_none_or(|first| self.deadline < first.deadline) {
                shared.set(self.deadline);
            }
            sleepers.push(Sleeper {
                deadline: self.deadline,
                waker,
            });
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
        let timer = Timer::start(clock).expect("a timer");
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
        let timer = Timer::start(Clock::start()).expect("a timer");
        timer.sleep_until(0).await;
    }
}
