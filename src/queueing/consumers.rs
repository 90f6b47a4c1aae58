//! The consumers of a queue: what prefetch and round trips make of their service time, and how long a message waits for one.
//!
//! A consumer works on up to `concurrency` messages at once and holds up to `prefetch` until they are acknowledged. Each message
//! takes up a place among the prefetched from its delivery to its acknowledgement's arrival at the broker, so a consumer
//! finishes no more than prefetch / (service + rest of the cycle) per second, whatever its speed: the bandwidth-delay product, as in
//! the RabbitMQ team's "Some queuing theory: throughput, latency and bandwidth" (2012).
//!
//! What is prefetched waits behind what its own consumer works on, even if another is idle: with much prefetch the queue is not one
//! for all but one for each consumer, which get turns, so that gaps vary less (round robin of a renewal stream: variation / n).
//! In between, the wait moves from one to the other with the chance that a consumer's line is longer than its prefetch; a
//! rule of ours, held against a simulation in the tests.

use super::station::{Station, Wait};

/// The consumers of one queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consumers {
    /// How many, at least 1.
    pub count: u32,
    /// Messages that each works on at once, at least 1.
    pub concurrency: u32,
    /// Deliveries that each may hold; absent: no limit.
    pub prefetch: Option<u32>,
}

/// What a message costs a consumer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Mean service time, seconds.
    pub service_s: f64,
    /// Its squared coefficient of variation.
    pub service_scv: f64,
    /// Mean time that a delivery is held beside the service: commit, confirms of what it emits, and the way of acknowledgement
    /// and next delivery, seconds.
    pub beside_s: f64,
}

impl Consumers {
    /// Messages that all of them work on at once.
    pub fn slots(&self) -> u32 {
        self.count.max(1).saturating_mul(self.concurrency.max(1))
    }

    /// Messages per second that they finish at most; absent where the work takes no time.
    pub fn capacity_per_s(&self, work: Work) -> Option<f64> {
        let busy = (work.service_s > 0.0).then(|| f64::from(self.slots()) / work.service_s)?;
        Some(self.held_per_s(work).map_or(busy, |held| held.min(busy)))
    }

    /// Messages per second that the prefetch lets through.
    fn held_per_s(&self, work: Work) -> Option<f64> {
        let places = f64::from(self.prefetch?.max(1)) * f64::from(self.count.max(1));
        Some(places / (work.service_s + work.beside_s))
    }

    /// The least prefetch that keeps a consumer at work, with one more for what comes unevenly.
    pub fn prefetch_needed(concurrency: u32, work: Work) -> u32 {
        if work.service_s <= 0.0 {
            return concurrency.max(1) + 1;
        }
        let cycle = f64::from(concurrency.max(1)) * (1.0 + work.beside_s / work.service_s);
        (cycle.ceil() as u32)
            .saturating_add(1)
            .clamp(concurrency.max(1) + 1, 65_535)
    }

    /// How long a message waits for a free slot, at `arrival_per_s` messages per second; absent where they cannot keep up.
    pub fn wait(&self, work: Work, arrival_per_s: f64, arrival_scv: f64) -> Option<Wait> {
        let starved = self
            .held_per_s(work)
            .is_some_and(|held| held < f64::from(self.slots()) / work.service_s);
        if starved {
            // The places are the servers, and each is taken for the whole cycle.
            let cycle_s = work.service_s + work.beside_s;
            let constant = work.service_s / cycle_s;
            return Station {
                servers: self.count.max(1) * self.prefetch.unwrap_or(1).max(1),
                arrival_per_s,
                arrival_scv,
                service_s: cycle_s,
                service_scv: work.service_scv * constant * constant,
            }
            .wait();
        }
        let pooled = Station {
            servers: self.slots(),
            arrival_per_s,
            arrival_scv,
            service_s: work.service_s,
            service_scv: work.service_scv,
        };
        let apart = Station {
            servers: self.concurrency.max(1),
            arrival_per_s: arrival_per_s / f64::from(self.count.max(1)),
            arrival_scv: arrival_scv / f64::from(self.count.max(1)),
            ..pooled
        };
        let load = pooled.utilisation();
        let (one, own) = (pooled.wait()?, apart.wait()?);
        let line = self.prefetch.map_or(0.0, |prefetch| {
            let spare = f64::from(prefetch.saturating_sub(self.concurrency.max(1)));
            load.powf(spare / f64::from(self.concurrency.max(1)))
        });
        let between = |one: f64, own: f64| one + (own - one).max(0.0) * (1.0 - line);
        Some(Wait {
            mean_s: between(one.mean_s, own.mean_s),
            probability: between(one.probability, own.probability).min(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::{self, simulate_consumers};
    use super::*;
    use proptest::prelude::*;

    fn consumers(count: u32, prefetch: u32) -> Consumers {
        Consumers {
            count,
            concurrency: 1,
            prefetch: Some(prefetch),
        }
    }

    const WORK: Work = Work {
        service_s: 0.01,
        service_scv: 0.0,
        beside_s: 0.0,
    };

    #[test]
    fn a_prefetch_of_one_pays_the_round_trip_for_each_message_and_a_larger_one_hides_it() {
        let work = Work {
            service_s: 0.002,
            service_scv: 0.0,
            beside_s: 0.001,
        };
        let capacity = |prefetch| consumers(4, prefetch).capacity_per_s(work).expect("work takes time");
        assert!((capacity(1) - 4.0 / 0.003).abs() < 1e-6);
        assert_eq!(capacity(2), 2_000.0);
        assert_eq!(Consumers::prefetch_needed(1, work), 3);
        let slow = Work { beside_s: 0.02, ..work };
        assert_eq!(Consumers::prefetch_needed(1, slow), 12);
        assert_eq!(consumers(4, 1).capacity_per_s(Work { service_s: 0.0, ..work }), None);
    }

    #[test]
    fn waits_between_one_queue_and_one_for_each_are_near_those_of_a_simulation() {
        for work in [simulation::Work::Fixed, simulation::Work::Exponential] {
            let service_scv = if work == simulation::Work::Fixed { 0.0 } else { 1.0 };
            for prefetch in [1, 2, 5, 100] {
                for load in [0.5, 0.7, 0.85] {
                    let rate = load * 4.0 / 0.01;
                    let measured = simulate_consumers(4, prefetch as usize, (rate, 0.01), work, 40_000);
                    let predicted = consumers(4, prefetch).wait(Work { service_scv, ..WORK }, rate, 1.0);
                    let predicted = predicted.expect("they keep up");
                    // Of a service time: what the whole sojourn is wrong by, at most.
                    let error = (predicted.mean_s - measured.mean_s) / (0.01 + measured.mean_s);
                    assert!(
                        error.abs() < 0.2,
                        "{work:?}, prefetch {prefetch} at {load}: {predicted:?}, {measured:?}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn more_consumers_carry_more_and_wait_less(count in 1u32..50, prefetch in 1u32..50, load in 0.1f64..0.95, beside in 0.0f64..0.01) {
            let work = Work { beside_s: beside, ..WORK };
            let few = consumers(count, prefetch);
            let more = consumers(count + 1, prefetch);
            let capacity = few.capacity_per_s(work).unwrap();
            prop_assert!(more.capacity_per_s(work).unwrap() > capacity);
            prop_assert!(consumers(count, prefetch + 1).capacity_per_s(work).unwrap() >= capacity);
            let wait = few.wait(work, capacity * load, 1.0).unwrap();
            prop_assert!(more.wait(work, capacity * load, 1.0).unwrap().mean_s <= wait.mean_s + 1e-12);
            prop_assert!((0.0..=1.0).contains(&wait.probability));
        }
    }
}
