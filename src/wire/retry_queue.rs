//! The queues in which messages wait for their next attempt: no consumers, one time to live each.
//!
//! A classic queue expires messages at its head only, so a queue has one time to live and not each message its own; pauses of
//! different lengths are queues of their own. Jitter is a choice among the [`PLACES`] queues of a pause.

use crate::orders::OrderNumber;
use crate::rng;
use crate::workload::model::Retry;

/// Queues that the jitter of one pause is spread over.
pub const PLACES: u32 = 5;

/// The time to live of the queue at `place` (below [`PLACES`]) for the pause before retry `retry` (from 1), milliseconds.
pub fn time_to_live_ms(retry_settings: &Retry, retry: u32, place: u32) -> u64 {
    let middle = retry_settings.pause(retry).0.as_secs_f64() * 1e3;
    let side = 2.0 * f64::from(place) / f64::from(PLACES - 1) - 1.0;
    (middle * (1.0 + retry_settings.jitter.0 * side)).round().max(1.0) as u64
}

/// Every time to live that there is a queue for, ascending, milliseconds.
pub fn times_to_live_ms(retry_settings: &Retry) -> Vec<u64> {
    let retries = 1..=retry_settings.limit;
    let mut all: Vec<u64> = retries
        .flat_map(|retry| (0..PLACES).map(move |place| time_to_live_ms(retry_settings, retry, place)))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The place among the queues of a pause that a message's retry is drawn to.
pub fn place(seed: u64, stage: &str, number: OrderNumber, retry: u32) -> u32 {
    let drawn = rng::unit(
        seed,
        &format!("retry.jitter.{stage}"),
        number.wrapping_mul(128) + u64::from(retry),
    );
    ((drawn * f64::from(PLACES)) as u32).min(PLACES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Share, Span};
    use crate::workload::model::RetryPolicy;
    use proptest::prelude::*;

    fn settings(backoff_ms: u64, multiplier: u32, max_ms: u64, jitter: f64, limit: u32) -> Retry {
        Retry {
            policy: RetryPolicy::Backoff,
            limit,
            backoff: Span::from_millis(backoff_ms),
            multiplier,
            backoff_max: Span::from_millis(max_ms),
            jitter: Share(jitter),
        }
    }

    #[test]
    fn pauses_grow_by_their_multiplier_up_to_the_longest() {
        let retry = settings(100, 2, 700, 0.0, 5);
        let pauses: Vec<u128> = (1..=5).map(|n| retry.pause(n).0.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 700, 700]);
        assert_eq!(times_to_live_ms(&retry), [100, 200, 400, 700]);
        assert_eq!(times_to_live_ms(&settings(100, 1, 700, 0.0, 100)), [100]);
    }

    #[test]
    fn jitter_spreads_a_pause_over_its_queues() {
        let retry = settings(100, 2, 1_000, 0.2, 1);
        assert_eq!(times_to_live_ms(&retry), [80, 90, 100, 110, 120]);
        let mut places = [0; PLACES as usize];
        (0..5_000).for_each(|number| places[place(7, "payment", number, 1) as usize] += 1);
        assert!(places.iter().all(|count| (850..1_150).contains(count)), "{places:?}");
    }

    proptest! {
        #[test]
        fn each_retry_finds_a_queue_of_a_pause_within_its_jitter(
            backoff_ms in 1u64..5_000, multiplier in 1u32..=10, more_ms in 0u64..1_000_000, jitter in 0.0f64..=1.0,
            limit in 1u32..=100, number in any::<u64>(),
        ) {
            let retry = settings(backoff_ms, multiplier, backoff_ms + more_ms, jitter, limit);
            let all = times_to_live_ms(&retry);
            for n in 1..=limit {
                let ttl = time_to_live_ms(&retry, n, place(1, "payment", number, n));
                prop_assert!(all.binary_search(&ttl).is_ok());
                let middle = retry.pause(n).0.as_secs_f64() * 1e3;
                prop_assert!((ttl as f64 - middle).abs() <= middle * jitter + 1.0);
                prop_assert!(retry.pause(n) <= retry.backoff_max && (n == 1 || retry.pause(n) >= retry.pause(n - 1)));
            }
        }
    }
}
