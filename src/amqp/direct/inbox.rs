//! Deliveries of one channel that its consumer has not taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::delivery::Delivery;

/// Bounded by the prefetch alone, as every client's.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    arrived: VecDeque<Delivery>,
    waiting: Option<Waker>,
    ended: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, delivery: Delivery) {
        let mut state = self.lock();
        state.arrived.push_back(delivery);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Swaps what has arrived into `ready`, which must be empty; waits until something has. It stays empty where nothing more
    /// will come.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn arrived(&self, ready: &mut VecDeque<Delivery>) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.arrived.is_empty() && !state.ended {
                state.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            std::mem::swap(&mut state.arrived, ready);
            Poll::Ready(())
        })
        .await;
    }
}
