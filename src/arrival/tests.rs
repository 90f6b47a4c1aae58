//! Instants against the rates that they are drawn from: exactly without scatter, by a Kolmogorov–Smirnov test with it.

use proptest::prelude::*;

use super::*;
use crate::units::Rate;
use crate::workload::model::{Replay, Shape};
use crate::workload::replay::{Interval, Trace};

const SECOND: Nanos = 1_000_000_000;

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

fn even(shape: Shape) -> Pattern {
    Pattern {
        shape,
        jitter: Jitter::None,
    }
}

fn scattered(shape: Shape) -> Pattern {
    Pattern {
        shape,
        jitter: Jitter::Poisson,
    }
}

fn seconds(seconds: f64) -> Span {
    Span(std::time::Duration::from_secs_f64(seconds))
}

fn replay(trace: Trace, orders: u64, length: Span) -> Shape {
    Shape::Replay(Replay {
        file: "a.csv".to_owned(),
        fingerprint: String::new(),
        orders,
        length,
        trace: trace.into(),
    })
}

/// One of each shape that has a rate, within `length_s` seconds, at up to about `top` orders per second.
fn shapes(top: f64, length_s: f64) -> Vec<Shape> {
    let part = |share: f64| seconds(length_s * share);
    let rate = |share: f64| Rate(top * share);
    let interval = |at: f64, share: f64| Interval {
        start_s: length_s * at,
        length_s: length_s / 4.0,
        orders: (top * share * length_s / 4.0) as u64,
    };
    let counts = vec![
        interval(0.0, 0.3),
        interval(0.25, 0.0),
        interval(0.5, 1.0),
        interval(0.75, 0.1),
    ];
    let orders = counts.iter().map(|interval| interval.orders).sum();
    let spike = |rise| Shape::Spike {
        base: rate(0.1),
        peak: rate(1.0),
        at: part(0.3),
        rise,
        hold: part(0.2),
    };
    vec![
        Shape::Constant { rate: rate(0.7) },
        Shape::Ramp {
            from: rate(0.0),
            to: rate(1.0),
            over: part(1.0),
        },
        Shape::Ramp {
            from: rate(1.0),
            to: rate(0.0),
            over: part(0.6),
        },
        Shape::Steps {
            from: rate(0.1),
            by: rate(0.2),
            every: part(0.21),
        },
        Shape::Burst {
            rate: rate(0.0),
            burst_rate: rate(1.0),
            width: part(0.01),
            every: part(0.07),
        },
        Shape::Sine {
            mean: rate(0.5),
            amplitude: rate(0.5),
            period: part(0.4),
        },
        spike(Span::ZERO),
        spike(part(0.1)),
        replay(Trace::Counts(counts), orders, part(1.0)),
    ]
}

#[test]
fn constant_arrivals_are_evenly_spaced_and_start_at_once() {
    let instants: Vec<_> = schedule(Arrival::constant(Rate(200.0)), Until::Duration(Span::from_secs(1))).collect();
    assert_eq!(instants.len(), 200);
    assert!(instants.iter().all(|(number, instant)| *instant == number * 5_000_000));
}

#[test]
fn the_warm_up_comes_before_the_measured_time() {
    let warm = Load {
        warm_up: Span::from_secs(2),
        ..load(Arrival::constant(Rate(10.0)), Until::Duration(Span::from_secs(3)))
    };
    let schedule = Schedule::new(&warm, 1).expect("an open loop");
    assert_eq!(schedule.count_between(2 * SECOND, Nanos::MAX), 30);
    assert_eq!(schedule.count(), 50);
}

#[test]
fn each_shape_has_its_orders_where_its_formula_says() {
    let ramp = Shape::Ramp {
        from: Rate(0.0),
        to: Rate(100.0),
        over: Span::from_secs(10),
    };
    let steps = Shape::Steps {
        from: Rate(10.0),
        by: Rate(10.0),
        every: Span::from_secs(2),
    };
    let sine = Shape::Sine {
        mean: Rate(100.0),
        amplitude: Rate(100.0),
        period: Span::from_secs(10),
    };
    let spike = Shape::Spike {
        base: Rate(10.0),
        peak: Rate(110.0),
        at: Span::from_secs(2),
        rise: Span::from_secs(1),
        hold: Span::from_secs(3),
    };
    // Shape, seconds, and the orders of each second.
    let cases: [(Shape, &[u64]); 4] = [
        // ∫ 10·t: 5, 15, 25, … orders in the seconds of a ramp, then 100 in each.
        (ramp, &[5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 100]),
        (steps, &[10, 10, 20, 20, 30, 30, 40, 40]),
        // 100·(1 − (sin(2π(t+1)/10) − sin(2πt/10))·10/2π): quiet at night, twice the mean at noon.
        (sine, &[6, 42, 100, 158, 194, 194, 158, 100, 42, 6]),
        (spike, &[10, 10, 60, 110, 110, 110, 10, 10]),
    ];
    for (shape, orders) in cases {
        let length = Span::from_secs(orders.len() as u64);
        let schedule = schedule(Arrival::Open(even(shape.clone())), Until::Duration(length));
        for (second, expected) in orders.iter().enumerate() {
            let from = second as u64 * SECOND;
            let found = schedule.count_between(from, from + SECOND);
            assert!(
                found.abs_diff(*expected) <= 1,
                "{shape:?}, second {second}: {found}, not {expected}"
            );
        }
        let total = orders.iter().sum::<u64>();
        assert!(
            schedule.planned().round() as u64 == total,
            "{shape:?}: {}",
            schedule.planned()
        );
        assert_eq!(schedule.count() as u64, total, "{shape:?}");
    }
}

#[test]
fn a_burst_train_has_its_orders_where_the_bursts_are() {
    let burst = |rate| {
        even(Shape::Burst {
            rate: Rate(rate),
            burst_rate: Rate(1000.0),
            width: Span::from_millis(500),
            every: Span::from_secs(5),
        })
    };
    let until = Until::Duration(Span::from_secs(10));
    let train = schedule(Arrival::Open(burst(10.0)), until);
    for period in [0, 5 * SECOND] {
        let inside = train.count_between(period, period + SECOND / 2);
        assert!((499..=501).contains(&inside), "{inside}");
        let outside = train.count_between(period + SECOND / 2, period + 5 * SECOND);
        assert!((44..=46).contains(&outside), "{outside}");
    }
    // With nothing between them, bursts of a width far below a second keep their edges, and each begins on time.
    let alone = schedule(Arrival::Open(burst(0.0)), until);
    let instants: Vec<Nanos> = alone.map(|(_, at)| at).collect();
    assert_eq!(instants.len(), 1000);
    assert!(instants.iter().all(|at| at % (5 * SECOND) < SECOND / 2));
    assert!(instants.contains(&0) && instants.contains(&(5 * SECOND)));
}

#[test]
fn a_load_by_count_brings_exactly_its_count() {
    for shape in shapes(1000.0, 4.0) {
        if shape.orders_max().is_some() {
            continue;
        }
        for pattern in [even(shape.clone()), scattered(shape)] {
            let schedule = schedule(Arrival::Open(pattern.clone()), Until::Orders(12_345));
            assert!(schedule.planned_end_s().is_some_and(|end_s| end_s > 1.0));
            assert_eq!(schedule.count(), 12_345, "{pattern:?}");
        }
    }
}

#[test]
fn phases_follow_one_another_and_their_counts_follow_the_whole() {
    let phase = |shape, length_s| LoadPhase {
        name: "p".to_owned(),
        duration: seconds(length_s),
        pattern: even(shape),
    };
    let rate = |rate| Shape::Constant { rate: Rate(rate) };
    // 2.5 orders, none, 2.5 and 5: alone each half would be lost or doubled.
    let phases = [
        phase(rate(5.0), 0.5),
        phase(rate(0.0), 1.0),
        phase(rate(5.0), 0.5),
        phase(rate(50.0), 0.1),
    ];
    let until = Until::Duration(seconds(2.1));
    let schedule = schedule(Arrival::Phases(phases.into()), until);
    let instants: Vec<f64> = schedule.map(|(_, at)| at as f64 / 1e9).collect();
    let expected = [0.0, 0.2, 0.4, 1.6, 1.8, 2.0, 2.02, 2.04, 2.06, 2.08];
    assert_eq!(instants.len(), expected.len(), "{instants:?}");
    assert!(
        instants
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found - expected).abs() < 1e-6),
        "{instants:?}"
    );
}

#[test]
fn a_replay_of_instants_is_those_instants_wherever_it_begins() {
    let trace = vec![0, 1, 1, 500_000_000, 2 * SECOND];
    let whole = replay(Trace::Instants(trace.clone()), 5, Span::from_secs(2));
    let alone = schedule(Arrival::Open(even(whole.clone())), Until::Orders(5));
    assert_eq!(alone.map(|(_, at)| at).collect::<Vec<_>>(), trace);
    let before = LoadPhase {
        name: "before".to_owned(),
        duration: seconds(0.5),
        pattern: even(Shape::Constant { rate: Rate(3.0) }),
    };
    let during = LoadPhase {
        name: "replay".to_owned(),
        duration: seconds(2.5),
        pattern: even(whole),
    };
    let both = schedule(Arrival::Phases(vec![before, during]), Until::Duration(seconds(3.0)));
    let instants: Vec<Nanos> = both.map(|(_, at)| at).filter(|at| *at >= SECOND / 2).collect();
    assert_eq!(instants, trace.iter().map(|at| at + SECOND / 2).collect::<Vec<_>>());
}

#[test]
fn a_closed_loop_has_no_schedule() {
    let users = Arrival::Closed {
        users: 1,
        think_time: Span::ZERO,
    };
    assert!(Schedule::new(&load(users, Until::Orders(1)), 1).is_none());
}

/// Kolmogorov–Smirnov: the greatest distance between the share of values below a point and the share that should be there,
/// in units of 1/√n. Above 1.63 the values are of another distribution, but for one chance in a hundred.
fn distance(mut values: Vec<f64>, share_below: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let apart = |(i, value): (usize, &f64)| {
        let share = share_below(*value);
        (share - i as f64 / n).max((i as f64 + 1.0) / n - share)
    };
    values.iter().enumerate().map(apart).fold(0.0, f64::max) * n.sqrt()
}

const KS_ONE_PERCENT: f64 = 1.63;

#[test]
fn poisson_gaps_are_exponential() {
    let instants: Vec<Nanos> = schedule(Arrival::poisson(Rate(1000.0)), Until::Orders(50_000))
        .map(|(_, at)| at)
        .collect();
    let gaps: Vec<f64> = instants
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64 / 1e9)
        .collect();
    let of = |rate: f64| move |gap: f64| 1.0 - (-rate * gap).exp();
    assert!(distance(gaps.clone(), of(1000.0)) < KS_ONE_PERCENT);
    assert!(
        distance(gaps, of(1030.0)) > KS_ONE_PERCENT,
        "a rate 3 % off is told apart"
    );
}

/// Given their number, the instants of a Poisson process lie as independent draws from its rate.
#[test]
fn scattered_shapes_lie_as_their_rate_says_and_not_as_another() {
    let until = Until::Duration(Span::from_secs(20));
    for shape in shapes(2000.0, 20.0) {
        let planned = schedule(Arrival::Open(even(shape.clone())), until);
        let scattered = schedule(Arrival::Open(scattered(shape.clone())), until);
        let (mean, count) = (planned.planned(), scattered.clone().count() as f64);
        assert!(
            (count - mean).abs() < 4.0 * mean.sqrt(),
            "{shape:?}: {count} orders, {mean} planned"
        );
        let instants = || scattered.clone().map(|(_, at)| at as f64).collect::<Vec<_>>();
        let found = distance(instants(), |at| planned.planned_by(at as Nanos) / mean);
        assert!(found < KS_ONE_PERCENT, "{shape:?}: {found}");
        if !matches!(shape, Shape::Constant { .. } | Shape::Burst { .. }) {
            let wrong = distance(instants(), |at| at / 20e9);
            assert!(
                wrong > 3.0 * KS_ONE_PERCENT,
                "{shape:?} passes for an even rate: {wrong}"
            );
        }
        // A tenth of the orders a little late: a wrong shape that is close to the right one.
        let late = instants().into_iter().enumerate();
        let late = late.map(|(i, at)| if i % 10 == 0 { at + 1.5e9 } else { at }).collect();
        let wrong = distance(late, |at| planned.planned_by((at as Nanos).min(20 * SECOND)) / mean);
        assert!(wrong > found, "{shape:?}: {wrong}, {found}");
    }
}

#[test]
fn the_gaps_of_a_scattered_shape_are_exponential_in_its_own_time() {
    let until = Until::Duration(Span::from_secs(20));
    for shape in shapes(2000.0, 20.0) {
        let planned = schedule(Arrival::Open(even(shape.clone())), until);
        let levels: Vec<f64> = schedule(Arrival::Open(scattered(shape.clone())), until)
            .map(|(_, at)| planned.planned_by(at))
            .collect();
        let gaps: Vec<f64> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let found = distance(gaps, |gap| 1.0 - (-gap).exp());
        assert!(found < KS_ONE_PERCENT, "{shape:?}: {found}");
    }
    let even: Vec<f64> = (0..1000).map(|_| 1.0).collect();
    assert!(distance(even, |gap| 1.0 - (-gap).exp()) > KS_ONE_PERCENT);
}

proptest! {
    #[test]
    fn instants_never_go_back_and_the_seed_fixes_them(seed in any::<u64>(), top in 1.0f64..1e5, length_s in 0.01f64..1000.0) {
        for shape in shapes(top, length_s) {
            for pattern in [even(shape.clone()), scattered(shape.clone())] {
                let load = load(Arrival::Open(pattern), Until::Duration(seconds(length_s)));
                let take = || Schedule::new(&load, seed).expect("an open loop").take(2_000).map(|(_, at)| at).collect::<Vec<_>>();
                let instants = take();
                prop_assert!(instants.windows(2).all(|pair| pair[0] <= pair[1]));
                prop_assert!(instants.iter().all(|at| *at < seconds(length_s).as_nanos()));
                prop_assert_eq!(instants, take());
            }
        }
    }

    #[test]
    fn the_orders_of_any_interval_are_the_integral_of_the_rate_within_one(
        top in 1.0f64..2000.0,
        length_s in 0.1f64..10.0,
        from in 0.0f64..1.0,
        to in 0.0f64..1.0,
        split in 0.05f64..0.95,
    ) {
        for shape in shapes(top, length_s) {
            let part = |share: f64| LoadPhase { name: "p".to_owned(), duration: seconds(length_s * share), pattern: even(shape.clone()) };
            let halves = Arrival::Phases(vec![part(split), part(1.0 - split)]);
            for arrival in [Arrival::Open(even(shape.clone())), halves] {
                let schedule = schedule(arrival, Until::Duration(seconds(length_s)));
                let at = |share: f64| (share * length_s * 1e9) as Nanos;
                let (from, to) = (at(from.min(to)), at(from.max(to)));
                let integral = schedule.planned_by(to) - schedule.planned_by(from);
                let found = schedule.count_between(from, to) as f64;
                prop_assert!((found - integral).abs() <= 1.0 + 1e-3, "{:?}: {} for {}", shape, found, integral);
            }
        }
    }
}
