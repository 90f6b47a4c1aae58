//! Flow balance: what came into a stage's queue is what went out of it plus what its queue grew by.
//!
//! The three are counted apart: in, by the publishers of the load and the visits that an order pays to the stage; out, by the
//! consumers; growth, by the broker. Pure figures; docs/METHOD.md gives the rule in words.

use crate::events::Stage;

/// Orders in the window that the balance needs: with fewer, chance decides.
const ORDERS_MIN: u64 = 100;
/// Share by which both sides may differ.
const SHARE: f64 = 0.05;
/// Seconds by which the looks at the three counts may be apart.
const SKEW_S: f64 = 0.1;
/// Deviations of a random count that are chance: a visit that only some orders pay.
const DEVIATIONS: f64 = 4.0;

/// Everything that was counted at one instant, or nearly so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowLook {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Orders that the load has published.
    pub sent: u64,
    /// Orders under way.
    pub open: u64,
    /// By position in the pipeline's stages: first deliveries so far, and ready messages; absent where the queue did not answer.
    pub stages: Vec<Option<(u64, u64)>>,
}

/// The balance of one stage over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// Which.
    pub stage: Stage,
    /// Out and growth, over in: 1 by flow balance.
    pub ratio: f64,
    /// How far from 1 it may be.
    pub allowed: f64,
}

impl Balance {
    /// How much of what is allowed it takes.
    fn strain(&self) -> f64 {
        (self.ratio - 1.0).abs() / self.allowed
    }
}

/// The worst balance between two looks. `visits` is how often an order comes to each stage, by position in `stages`, in the mean
/// over the whole trial. Absent where too few orders were sent between the looks, or none comes to any stage.
pub fn worst(stages: &[Stage], visits: &[f64], from: &FlowLook, to: &FlowLook) -> Option<Balance> {
    let sent = to.sent.checked_sub(from.sent).filter(|sent| *sent >= ORDERS_MIN)? as f64;
    let length_s = to.at_s - from.at_s;
    // An order that was sent and has not arrived yet is under way; so is one that arrives and was sent before.
    let under_way = (to.open as f64 - from.open as f64).abs();
    let of = |(at, stage): (usize, &Stage)| {
        let (before, after) = ((*from.stages.get(at)?)?, (*to.stages.get(at)?)?);
        let visits = visits.get(at).copied().filter(|visits| *visits > 0.0)?;
        let came = sent * visits;
        let went = after.0 as f64 - before.0 as f64 + after.1 as f64 - before.1 as f64;
        let slack = visits * under_way + came * (SKEW_S / length_s.max(SKEW_S)) + DEVIATIONS * came.sqrt();
        Some(Balance {
            stage: *stage,
            ratio: went / came,
            allowed: SHARE + slack / came,
        })
    };
    let balances = stages.iter().enumerate().filter_map(of);
    balances.max_by(|a, b| a.strain().total_cmp(&b.strain()))
}

/// Whether a balance is out of what is allowed.
pub fn is_broken(ratio: f64, allowed: f64) -> bool {
    (ratio - 1.0).abs() > allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAGES: [Stage; 2] = [Stage::Order, Stage::Payment];

    fn look(at_s: f64, sent: u64, open: u64, stages: [(u64, u64); 2]) -> FlowLook {
        FlowLook {
            at_s,
            sent,
            open,
            stages: stages.map(Some).to_vec(),
        }
    }

    #[test]
    fn what_is_counted_on_one_side_alone_breaks_the_balance_of_its_stage() {
        let from = look(0.0, 0, 0, [(0, 0), (0, 0)]);
        let sound = look(10.0, 1_000, 0, [(1_000, 0), (900, 100)]);
        let found = worst(&STAGES, &[1.0, 1.0], &from, &sound).expect("enough orders");
        assert!(!is_broken(found.ratio, found.allowed), "{found:?}");
        let lost = look(10.0, 1_000, 0, [(1_000, 0), (600, 100)]);
        let found = worst(&STAGES, &[1.0, 1.0], &from, &lost).expect("enough orders");
        assert_eq!(found.stage, Stage::Payment);
        assert!(
            is_broken(found.ratio, found.allowed) && (found.ratio - 0.7).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn few_orders_and_queues_that_did_not_answer_have_no_balance() {
        let from = look(0.0, 0, 0, [(0, 0), (0, 0)]);
        assert_eq!(
            worst(&STAGES, &[1.0, 1.0], &from, &look(10.0, 99, 0, [(99, 0), (99, 0)])),
            None
        );
        let silent = FlowLook {
            stages: vec![None, None],
            ..look(10.0, 1_000, 0, [(0, 0), (0, 0)])
        };
        assert_eq!(worst(&STAGES, &[1.0, 1.0], &from, &silent), None);
    }

    proptest! {
        #[test]
        fn whatever_waits_or_is_under_way_a_sound_count_is_in_balance(
            sent in 200..200_000_u64, waits in 0.0..1.0_f64, visits in 0.2..3.0_f64, stuck in 0.0..0.9_f64, length in 1.0..600.0_f64,
        ) {
            // Some orders have not come to the second stage yet; of what came, some wait in its queue.
            let open = (sent as f64 * stuck) as u64;
            let came = ((sent - open) as f64 * visits).round() as u64;
            let ready = (came as f64 * waits) as u64;
            let from = look(0.0, 50, 0, [(50, 0), (100, 7)]);
            let to = look(length, 50 + sent, open, [(50 + sent, 0), (100 + came - ready, 7 + ready)]);
            let found = worst(&STAGES, &[1.0, visits], &from, &to).expect("enough orders");
            prop_assert!(!is_broken(found.ratio, found.allowed), "{found:?}");
        }

        #[test]
        fn a_third_that_is_missing_is_found_whenever_the_window_is_long(sent in 2_000..200_000_u64, length in 5.0..600.0_f64) {
            let from = look(0.0, 0, 0, [(0, 0), (0, 0)]);
            let to = look(length, sent, 0, [(sent, 0), (sent * 2 / 3, 0)]);
            let found = worst(&STAGES, &[1.0, 1.0], &from, &to).expect("enough orders");
            prop_assert!(is_broken(found.ratio, found.allowed) && found.stage == Stage::Payment, "{found:?}");
        }
    }
}
