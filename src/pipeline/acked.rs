//! What a stage acknowledged lately, so that an acknowledged message that a restarted broker delivers again is recognised.
//!
//! It is there only where a fault takes the broker down. It keeps what was acknowledged in the last half minute, and from the moment at which
//! the broker is gone what was acknowledged before it, until it comes back or the trial ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::process::Teller;
use crate::clock::Nanos;
use crate::events::{Event, Stage};
use crate::orders::OrderNumber;

/// How long before its end the broker may have forgotten an acknowledgement; half a second was seen.
const KEPT_NS: Nanos = 30_000_000_000;

/// A message, within its stage.
pub(super) type Key = (OrderNumber, Event);

/// The log of one stage.
#[derive(Debug, Default)]
pub struct AckLog {
    state: Mutex<State>,
    /// In a worker process: whom it tells, instead of keeping a log.
    teller: Option<(Arc<Teller>, Stage)>,
}

#[derive(Debug, Default)]
struct State {
    acked: HashMap<Key, Nanos>,
    order: VecDeque<(Nanos, Key)>,
    ends: Vec<End>,
}

/// What was acknowledged before an end of the broker and has not come back.
#[derive(Debug, Default)]
struct End {
    at: Nanos,
    acked: HashMap<Key, Nanos>,
    returned: Returned,
}

/// Messages that had been acknowledged before the broker went down and were delivered again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Returned {
    /// How many.
    pub messages: u64,
    /// Longest time from an acknowledgement to the broker's end: the duplicate exposure; 0 for what was acknowledged while it went
    /// down. Absent if none came back.
    pub exposure: Option<Nanos>,
    /// Longest time from an acknowledgement to the message's return. Absent if none came back.
    pub until_return: Option<Nanos>,
}

impl Returned {
    /// Both together.
    pub fn merged(self, other: Returned) -> Returned {
        let longest = |a: Option<Nanos>, b: Option<Nanos>| a.into_iter().chain(b).max();
        Returned {
            messages: self.messages + other.messages,
            exposure: longest(self.exposure, other.exposure),
            until_return: longest(self.until_return, other.until_return),
        }
    }
}

impl AckLog {
    /// Each change of it is whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that keeps nothing and tells the driver everything.
    pub(super) fn told(teller: Arc<Teller>, stage: Stage) -> Self {
        AckLog {
            state: Mutex::default(),
            teller: Some((teller, stage)),
        }
    }

    /// A message was acknowledged.
    pub(super) fn acked(&self, key: Key, now: Nanos) {
        if let Some((teller, stage)) = &self.teller {
            return teller.acked(*stage, key, now);
        }
        let mut state = self.lock();
        state.acked.insert(key, now);
        state.order.push_back((now, key));
        while let Some((at, oldest)) = state.order.front().copied() {
            if at + KEPT_NS >= now {
                break;
            }
            state.order.pop_front();
            // One that was acknowledged again meanwhile is younger.
            if state.acked.get(&oldest) == Some(&at) {
                state.acked.remove(&oldest);
            }
        }
    }

    /// A message was delivered.
    pub(super) fn delivered(&self, key: Key, now: Nanos) {
        if let Some((teller, stage)) = &self.teller {
            return teller.came(*stage, key, now);
        }
        let mut state = self.lock();
        for end in state.ends.iter_mut().rev() {
            let Some(acked) = end.acked.remove(&key) else { continue };
            end.returned = end.returned.merged(Returned {
                messages: 1,
                exposure: Some(end.at.saturating_sub(acked)),
                until_return: Some(now.saturating_sub(acked)),
            });
            return;
        }
    }

    /// The broker is gone, `at` is when its end began; what was acknowledged so far may come back.
    pub fn broker_is_gone(&self, at: Nanos) {
        let mut state = self.lock();
        let acked = std::mem::take(&mut state.acked);
        state.order.clear();
        state.ends.push(End {
            at,
            acked,
            returned: Returned::default(),
        });
    }

    /// What came back after each end of the broker, in their order.
    pub fn returned(&self) -> Vec<Returned> {
        self.lock().ends.iter().map(|end| end.returned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn only_what_was_acknowledged_before_the_broker_went_down_and_comes_again_has_returned() {
        let log = AckLog::default();
        log.acked((1, Event::OrderCreated), 10 * S);
        log.acked((2, Event::OrderCreated), 11 * S);
        // A redelivery without an end of the broker is none of this log's.
        log.delivered((1, Event::OrderCreated), 11 * S);
        log.broker_is_gone(12 * S);
        log.acked((3, Event::OrderCreated), 13 * S);
        for number in 1..=3 {
            log.delivered((number, Event::OrderCreated), 20 * S);
        }
        log.delivered((1, Event::OrderCreated), 21 * S);
        log.delivered((2, Event::PaymentSuccess), 21 * S);
        let returned = Returned {
            messages: 2,
            exposure: Some(2 * S),
            until_return: Some(10 * S),
        };
        assert_eq!(log.returned(), [returned]);
    }

    #[test]
    fn a_message_counts_for_the_end_before_which_it_was_acknowledged() {
        let log = AckLog::default();
        log.acked((1, Event::OrderCreated), S);
        log.broker_is_gone(2 * S);
        log.acked((2, Event::OrderCreated), 3 * S);
        log.broker_is_gone(4 * S);
        log.delivered((1, Event::OrderCreated), 5 * S);
        log.delivered((2, Event::OrderCreated), 5 * S);
        let messages: Vec<u64> = log.returned().iter().map(|returned| returned.messages).collect();
        assert_eq!(messages, [1, 1]);
    }

    #[test]
    fn what_was_acknowledged_long_ago_is_forgotten() {
        let log = AckLog::default();
        log.acked((1, Event::OrderCreated), S);
        log.acked((2, Event::OrderCreated), 2 * S);
        log.acked((1, Event::OrderCreated), 3 * S);
        log.acked((3, Event::OrderCreated), 32 * S + 1);
        let mut kept: Vec<Key> = log.lock().acked.keys().copied().collect();
        kept.sort_by_key(|key| key.0);
        assert_eq!(kept, [(1, Event::OrderCreated), (3, Event::OrderCreated)]);
    }
}
