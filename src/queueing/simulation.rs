//! A small simulation of queues before servers, event by event, to hold the formulas against. For tests alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand_distr::{Distribution, Exp};

use crate::rng;

/// Gaps between arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    Poisson,
    Even,
}

/// Service times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Exponential,
    Fixed,
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub mean_s: f64,
    pub p99_s: f64,
}

fn measured(mut waits: Vec<f64>) -> Measured {
    // The first tenth is the warm-up.
    waits.drain(..waits.len() / 10);
    let mean_s = waits.iter().sum::<f64>() / waits.len() as f64;
    waits.sort_unstable_by(f64::total_cmp);
    Measured {
        mean_s,
        p99_s: waits[waits.len() * 99 / 100],
    }
}

/// Gaps and service times of so many arrivals.
fn drawn(arrival_per_s: f64, service_s: f64, gap: Gap, work: Work, arrivals: usize) -> Vec<(f64, f64)> {
    let mut stream = rng::stream(11, "simulation", 0);
    let gaps = Exp::new(arrival_per_s).expect("a positive rate");
    let works = Exp::new(1.0 / service_s).expect("a positive rate");
    let mut at = 0.0;
    (0..arrivals)
        .map(|_| {
            at += match gap {
                Gap::Poisson => gaps.sample(&mut stream),
                Gap::Even => 1.0 / arrival_per_s,
            };
            let work_s = match work {
                Work::Exponential => works.sample(&mut stream),
                Work::Fixed => service_s,
            };
            (at, work_s)
        })
        .collect()
}

/// One queue before `servers`.
pub(super) fn simulate(
    servers: u32,
    arrival_per_s: f64,
    service_s: f64,
    gap: Gap,
    work: Work,
    arrivals: usize,
) -> Measured {
    let mut free: BinaryHeap<Reverse<u64>> = (0..servers).map(|_| Reverse(0)).collect();
    let nanos = |s: f64| (s * 1e9) as u64;
    let mut waits = Vec::with_capacity(arrivals);
    for (at, work_s) in drawn(arrival_per_s, service_s, gap, work, arrivals) {
        let Reverse(free_at) = free.pop().expect("at least one server");
        let start = free_at.max(nanos(at));
        waits.push((start - nanos(at)) as f64 / 1e9);
        free.push(Reverse(start + nanos(work_s)));
    }
    measured(waits)
}

/// Consumers that the broker serves in turns, each holding up to `prefetch` deliveries; what none has room for waits in a
/// common queue.
pub(super) fn simulate_consumers(
    consumers: usize,
    prefetch: usize,
    (arrival_per_s, service_s): (f64, f64),
    work: Work,
    arrivals: usize,
) -> Measured {
    let jobs = drawn(arrival_per_s, service_s, Gap::Poisson, work, arrivals);
    // When each held delivery of a consumer ends, in its order.
    let mut held: Vec<std::collections::VecDeque<f64>> = vec![Default::default(); consumers];
    let (mut turn, mut last_handed, mut waits) = (0, 0.0_f64, Vec::with_capacity(arrivals));
    for (at, work_s) in jobs {
        // First come, first handed out: not before the delivery ahead of it was.
        let mut now = at.max(last_handed);
        let taker = loop {
            for queue in &mut held {
                while queue.front().is_some_and(|end| *end <= now) {
                    queue.pop_front();
                }
            }
            if let Some(taker) = (0..consumers)
                .map(|n| (turn + n) % consumers)
                .find(|n| held[*n].len() < prefetch)
            {
                break taker;
            }
            let next = held
                .iter()
                .filter_map(|queue| queue.front())
                .fold(f64::MAX, |a, b| a.min(*b));
            now = next;
        };
        turn = (taker + 1) % consumers;
        last_handed = now;
        let start = held[taker].back().copied().unwrap_or(now).max(now);
        held[taker].push_back(start + work_s);
        waits.push(start - at);
    }
    measured(waits)
}
