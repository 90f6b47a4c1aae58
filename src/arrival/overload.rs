//! When more orders are planned than a server can take: how high they should pile up, and when that should be worked off.
//!
//! The fluid approximation: work comes at the planned rate λ(t) and goes at the fixed rate μ, so that a spike of T seconds
//! leaves B = (λ − μ)·T orders, which a later rate λ' clears in B / (μ − λ') seconds. What scatters, scatters around it.

use super::Schedule;
use crate::clock::Nanos;

/// Steps that a load is looked at in, at most; and the least length of one, seconds.
const STEPS_MAX: f64 = 100_000.0;
const STEP_MIN_S: f64 = 0.01;
/// What less than this many seconds of work leaves is no overload: queues breathe.
const WORTH_S: f64 = 1.0;
/// … and what fewer orders make.
const WORTH_ORDERS: f64 = 10.0;

/// A stretch of time in which orders pile up and are worked off; times in seconds since the load began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overload {
    /// When orders begin to pile up.
    pub begins_s: f64,
    /// When the pile is highest: from here on it is worked off.
    pub peak_s: f64,
    /// How high it is then, orders.
    pub backlog: f64,
    /// When it is worked off.
    pub clear_s: f64,
}

/// The overloads that `schedule` plans for a server of `capacity` orders per second.
pub fn overloads(schedule: &Schedule, capacity: f64) -> Vec<Overload> {
    let (Some(end_s), true) = (schedule.planned_end_s(), capacity > 0.0) else {
        return Vec::new();
    };
    let step_s = (end_s / STEPS_MAX).max(STEP_MIN_S);
    let mut found: Vec<Overload> = Vec::new();
    let mut open: Option<Overload> = None;
    let (mut backlog, mut planned, mut at_s) = (0.0_f64, 0.0, 0.0);
    while at_s < end_s {
        let until_s = (at_s + step_s).min(end_s);
        let by = schedule.planned_by((until_s * 1e9) as Nanos);
        let moved = by - planned - capacity * (until_s - at_s);
        let after = (backlog + moved).max(0.0);
        if backlog == 0.0 && after > 0.0 {
            open = Some(Overload {
                begins_s: at_s,
                peak_s: until_s,
                backlog: after,
                clear_s: f64::NAN,
            });
        } else if let Some(overload) = &mut open {
            if after > overload.backlog {
                (overload.peak_s, overload.backlog) = (until_s, after);
            }
            if after == 0.0 {
                // Within the step, where the line meets zero.
                overload.clear_s = at_s + (until_s - at_s) * (backlog / -moved).clamp(0.0, 1.0);
                found.extend(open.take());
            }
        }
        (backlog, planned, at_s) = (after, by, until_s);
    }
    if let Some(mut overload) = open {
        // Nothing comes after the end.
        overload.clear_s = end_s + backlog / capacity;
        found.push(overload);
    }
    let worth = (capacity * WORTH_S).max(WORTH_ORDERS);
    found.retain(|overload| overload.backlog >= worth);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Rate, Span};
    use crate::workload::model::{Arrival, Jitter, Load, Pattern, Shape, Until};

    fn schedule(shape: Shape, seconds: u64) -> Schedule {
        let load = Load {
            arrival: Arrival::Open(Pattern {
                shape,
                jitter: Jitter::None,
            }),
            until: Until::Duration(Span::from_secs(seconds)),
            warm_up: Span::ZERO,
            connections: 1,
            confirm_window: None,
        };
        Schedule::new(&load, 1).expect("an open loop")
    }

    fn spike(hold: u64) -> Shape {
        Shape::Spike {
            base: Rate(20.0),
            peak: Rate(1000.0),
            at: Span::from_secs(5),
            rise: Span::ZERO,
            hold: Span::from_secs(hold),
        }
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 0.02 * expected.max(1.0)
    }

    #[test]
    fn a_spike_leaves_its_excess_and_clears_at_the_spare_rate() {
        let found = overloads(&schedule(spike(10), 200), 100.0);
        let [overload] = found[..] else { panic!("{found:?}") };
        assert!(
            near(overload.begins_s, 5.0) && near(overload.peak_s, 15.0),
            "{overload:?}"
        );
        // B = (1000 − 100)·10, and B / (100 − 20) to clear.
        assert!(near(overload.backlog, 9000.0), "{overload:?}");
        assert!(near(overload.clear_s - overload.peak_s, 112.5), "{overload:?}");
    }

    #[test]
    fn what_the_end_of_the_load_leaves_is_worked_off_at_full_speed() {
        let found = overloads(&schedule(spike(10), 15), 100.0);
        let [overload] = found[..] else { panic!("{found:?}") };
        assert!(near(overload.clear_s, 15.0 + 90.0), "{overload:?}");
    }

    #[test]
    fn enough_capacity_has_no_overload_and_each_wave_has_its_own() {
        assert_eq!(overloads(&schedule(spike(10), 200), 1000.0), []);
        assert_eq!(overloads(&schedule(Shape::Constant { rate: Rate(50.0) }, 20), 50.0), []);
        let bursts = Shape::Burst {
            rate: Rate(10.0),
            burst_rate: Rate(400.0),
            width: Span::from_secs(1),
            every: Span::from_secs(10),
        };
        let found = overloads(&schedule(bursts, 40), 100.0);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().all(|overload| near(overload.backlog, 300.0)));
        assert!(
            found
                .iter()
                .all(|overload| near(overload.clear_s - overload.peak_s, 300.0 / 90.0))
        );
    }
}
