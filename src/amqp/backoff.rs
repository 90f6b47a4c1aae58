//! Pauses between attempts to get a lost connection back: twice as long each time, up to a limit, with jitter.
//!
//! Pure: it says how long to wait and when to give up, and never sleeps.

use crate::clock::Nanos;
use crate::rng::{self, Stream};
use crate::workload::model::Recovery;
use rand::Rng;

/// The pauses of one who tries to get back; begun anew after each success.
#[derive(Debug)]
pub struct Backoff {
    recovery: Recovery,
    jitter: Stream,
    attempt: u32,
    since: Option<Nanos>,
}

impl Backoff {
    /// Pauses by `recovery`; `name` and `index` say whose, so that many who lost the same connection do not return at once.
    pub fn new(recovery: Recovery, seed: u64, name: &str, index: u64) -> Self {
        Backoff {
            recovery,
            jitter: rng::stream(seed, &format!("recovery.{name}"), index),
            attempt: 0,
            since: None,
        }
    }

    /// It is back: the next loss begins with the first pause again.
    pub fn reset(&mut self) {
        (self.attempt, self.since) = (0, None);
    }

    /// The pause before the next attempt, nanoseconds: from half of the full pause to all of it. `None`: the time to come back
    /// is over.
    pub fn next(&mut self, now: Nanos) -> Option<Nanos> {
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) >= self.recovery.give_up_after.as_nanos() {
            return None;
        }
        let doubled = self
            .recovery
            .backoff_initial
            .as_nanos()
            .saturating_mul(1 << self.attempt.min(32));
        self.attempt += 1;
        let full = doubled.min(self.recovery.backoff_max.as_nanos());
        let share = (self.jitter.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Some(full / 2 + (full as f64 / 2.0 * share) as Nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;
    use proptest::prelude::*;

    fn recovery(initial_ms: u64, max_ms: u64, give_up_ms: u64) -> Recovery {
        Recovery {
            backoff_initial: Span::from_millis(initial_ms),
            backoff_max: Span::from_millis(max_ms),
            give_up_after: Span::from_millis(give_up_ms),
            heartbeat: None,
        }
    }

    proptest! {
        #[test]
        fn each_pause_is_between_half_and_all_of_its_doubling_and_below_the_limit(
            initial in 1u64..1_000, more in 0u64..10_000, seed: u64, attempts in 1usize..40
        ) {
            let max = initial + more;
            let mut backoff = Backoff::new(recovery(initial, max, 1_000), seed, "payment", 0);
            for attempt in 0..attempts {
                let full = (initial << attempt.min(20)).min(max) * 1_000_000;
                let pause = backoff.next(0).expect("no time has passed");
                prop_assert!((full / 2..=full).contains(&pause), "{pause} of {full}");
            }
        }
    }

    #[test]
    fn whoever_is_away_for_too_long_gives_up_and_one_who_was_back_begins_anew() {
        let mut backoff = Backoff::new(recovery(10, 100, 500), 1, "payment", 0);
        assert!(backoff.next(7_000_000).is_some() && backoff.next(506_999_999).is_some());
        assert_eq!(backoff.next(507_000_000), None);
        backoff.reset();
        let first = backoff.next(507_000_000).expect("a new loss");
        assert!(first <= 10_000_000, "{first}");
    }

    #[test]
    fn those_who_lost_the_same_connection_do_not_return_at_once() {
        let first = |index| Backoff::new(recovery(100, 100, 500), 1, "payment", index).next(0);
        assert_ne!(first(0), first(1));
        assert_eq!(first(1), first(1));
    }
}
