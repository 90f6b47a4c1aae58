//! The schedule of an open loop: intended instants, drawn before anything happens. Pure: it never sleeps, and nothing that
//! the broker does can move an instant.

mod shape;

use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::rng;
use crate::workload::model::{Arrival, Load, Until};
use shape::Shape;

/// Intended instants of one trial, nanoseconds since the load began, in order; clones run through the same ones.
#[derive(Debug, Clone)]
pub struct Schedule {
    shape: Shape,
    end: Nanos,
    orders: u64,
    next: OrderNumber,
}

impl Schedule {
    /// The schedule of `load` under `seed`; `None` for a closed loop, which has none.
    pub fn new(load: &Load, seed: u64) -> Option<Self> {
        let (end, orders) = match load.until {
            Until::Duration(duration) => (load.warm_up.as_nanos().saturating_add(duration.as_nanos()), u64::MAX),
            Until::Orders(orders) => (Nanos::MAX, orders),
        };
        let shape = match &load.arrival {
            Arrival::Constant { rate } => Shape::constant(rate.per_second()),
            Arrival::Poisson { rate } => Shape::poisson(rate.per_second(), rng::stream(seed, "arrival", 0)),
            Arrival::Burst {
                rate,
                burst_rate,
                width,
                every,
            } => Shape::burst(
                rate.per_second(),
                burst_rate.per_second(),
                width.as_secs_f64(),
                every.as_secs_f64(),
            ),
            Arrival::Closed { .. } => return None,
        };
        Some(Schedule {
            shape,
            end,
            orders,
            next: 0,
        })
    }

    /// When the load ends, where it ends by time.
    pub fn end(&self) -> Option<Nanos> {
        (self.end != Nanos::MAX).then_some(self.end)
    }

    /// Arrivals in the half-open interval of nanoseconds since the load began.
    pub fn count_between(&self, from: Nanos, to: Nanos) -> u64 {
        self.clone()
            .skip_while(|(_, instant)| *instant < from)
            .take_while(|(_, instant)| *instant < to)
            .count() as u64
    }
}

impl Iterator for Schedule {
    type Item = (OrderNumber, Nanos);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.orders {
            return None;
        }
        let number = self.next;
        let instant = self.shape.instant(number);
        if instant >= self.end {
            return None;
        }
        self.next += 1;
        Some((number, instant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Rate, Span};
    use proptest::prelude::*;

    fn load(arrival: Arrival, until: Until) -> Load {
        Load {
            arrival,
            until,
            warm_up: Span::ZERO,
            connections: 1,
            confirm_window: None,
        }
    }

    fn schedule(arrival: Arrival, until: Until) -> Schedule {
        Schedule::new(&load(arrival, until), 42).expect("an open loop")
    }

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn constant_arrivals_are_evenly_spaced_and_start_at_once() {
        let instants: Vec<_> = schedule(
            Arrival::Constant { rate: Rate(200.0) },
            Until::Duration(Span::from_secs(1)),
        )
        .collect();
        assert_eq!(instants.len(), 200);
        assert!(instants.iter().all(|(number, instant)| *instant == number * 5_000_000));
    }

    #[test]
    fn the_warm_up_comes_before_the_measured_time() {
        let warm = Load {
            warm_up: Span::from_secs(2),
            ..load(
                Arrival::Constant { rate: Rate(10.0) },
                Until::Duration(Span::from_secs(3)),
            )
        };
        let schedule = Schedule::new(&warm, 1).expect("an open loop");
        assert_eq!(schedule.count_between(2 * SECOND, Nanos::MAX), 30);
        assert_eq!(schedule.count(), 50);
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let instants: Vec<Nanos> = schedule(Arrival::Poisson { rate: Rate(1000.0) }, Until::Orders(50_000))
            .map(|(_, at)| at)
            .collect();
        let mut gaps: Vec<f64> = instants
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / 1e9)
            .collect();
        gaps.sort_by(f64::total_cmp);
        // Kolmogorov–Smirnov against Exp(1000); 1.63/√n is the 1 % point.
        let n = gaps.len() as f64;
        let distance = gaps
            .iter()
            .enumerate()
            .map(|(i, gap)| ((1.0 - (-1000.0 * gap).exp()) - (i as f64 + 0.5) / n).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1.63 / n.sqrt(), "{distance}");
    }

    #[test]
    fn a_burst_train_has_its_orders_where_the_bursts_are() {
        let burst = Arrival::Burst {
            rate: Rate(10.0),
            burst_rate: Rate(1000.0),
            width: Span::from_millis(500),
            every: Span::from_secs(5),
        };
        let schedule = schedule(burst, Until::Duration(Span::from_secs(10)));
        for period in [0, 5 * SECOND] {
            let inside = schedule.count_between(period, period + SECOND / 2);
            assert!((499..=501).contains(&inside), "{inside}");
            let outside = schedule.count_between(period + SECOND / 2, period + 5 * SECOND);
            assert!((44..=46).contains(&outside), "{outside}");
        }
    }

    #[test]
    fn a_closed_loop_has_no_schedule() {
        assert!(
            Schedule::new(
                &load(
                    Arrival::Closed {
                        users: 1,
                        think_time: Span::ZERO
                    },
                    Until::Orders(1)
                ),
                1
            )
            .is_none()
        );
    }

    proptest! {
        #[test]
        fn instants_never_go_back_and_the_seed_fixes_them(seed in any::<u64>(), rate in 1.0f64..1e5, base in 0.0f64..100.0) {
            for arrival in [
                Arrival::Constant { rate: Rate(rate) },
                Arrival::Poisson { rate: Rate(rate) },
                Arrival::Burst { rate: Rate(base), burst_rate: Rate(rate), width: Span::from_millis(20), every: Span::from_millis(100) },
            ] {
                let load = load(arrival, Until::Orders(300));
                let instants: Vec<_> = Schedule::new(&load, seed).expect("an open loop").map(|(_, at)| at).collect();
                prop_assert_eq!(instants.len(), 300);
                prop_assert!(instants.windows(2).all(|pair| pair[0] <= pair[1]));
                let again: Vec<_> = Schedule::new(&load, seed).expect("an open loop").map(|(_, at)| at).collect();
                prop_assert_eq!(instants, again);
            }
        }
    }
}
