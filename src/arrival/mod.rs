//! The schedule of an open loop: intended instants, drawn before anything happens. Pure: it never sleeps, and nothing that
//! the broker does can move an instant.
//!
//! Each shape is a rate over time, and each instant the moment at which the sum of that rate reaches a level: the levels are
//! the whole numbers without scatter, and the sums of exponential gaps of mean 1 with it. So the number of orders in any
//! interval is the integral of the rate, within one or by a Poisson distribution, whatever the shape.

mod intensity;
mod overload;

#[cfg(test)]
mod tests;

use rand_distr::{Distribution, Exp1};

use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::rng::{self, Stream};
use crate::units::Span;
use crate::workload::model::{Arrival, Jitter, Load, LoadPhase, Pattern, Until};
use intensity::{HAIR, Intensity};
pub use overload::{Overload, overloads};

/// Intended instants of one trial, nanoseconds since the load began, in order; clones run through the same ones.
#[derive(Debug, Clone)]
pub struct Schedule {
    phases: Vec<Phase>,
    /// When the load ends, where it ends by time.
    end: Option<Nanos>,
    orders: u64,
    next: OrderNumber,
    /// The phase that the next order is looked for in.
    at: usize,
    /// What the sum of the rate must reach for the next order.
    level: f64,
    stream: Box<Stream>,
}

/// A stretch of the load with one pattern.
#[derive(Debug, Clone)]
struct Phase {
    start_s: f64,
    /// Absent: until the last order.
    end_s: Option<f64>,
    /// Sum of the planned orders of all phases before it, and with it.
    before: f64,
    through: f64,
    intensity: Intensity,
    jitter: Jitter,
}

impl Schedule {
    /// The schedule of `load` under `seed`; `None` for a closed loop, which has none.
    pub fn new(load: &Load, seed: u64) -> Option<Self> {
        let (end, orders) = match load.until {
            Until::Duration(duration) => (Some(Span(load.warm_up.0 + duration.0)), u64::MAX),
            Until::Orders(orders) => (None, orders),
        };
        let phases = match &load.arrival {
            Arrival::Open(pattern) => vec![Phase::new(pattern, 0.0, 0.0, end, orders)],
            Arrival::Phases(phases) => in_sequence(phases),
            Arrival::Closed { .. } | Arrival::Saturate => return None,
        };
        let mut schedule = Schedule {
            phases,
            end: end.map(Span::as_nanos),
            orders,
            next: 0,
            at: 0,
            level: 0.0,
            stream: Box::new(rng::stream(seed, "arrival", 0)),
        };
        schedule.enter(0);
        Some(schedule)
    }

    /// When the load ends, where it ends by time.
    pub fn end(&self) -> Option<Nanos> {
        self.end
    }

    /// Orders planned before `at`, by the rate alone: the mean of what scatters.
    pub fn planned_by(&self, at: Nanos) -> f64 {
        let t_s = at as f64 / 1e9;
        let begun = |phase: &&Phase| phase.start_s <= t_s;
        let Some(phase) = self.phases.iter().rev().find(begun) else {
            return 0.0;
        };
        let sum = (phase.before + phase.intensity.by(t_s - phase.start_s)).min(phase.through);
        sum.min(self.orders as f64)
    }

    /// Orders in all, by the rate alone.
    pub fn planned(&self) -> f64 {
        let through = self.phases.last().map_or(0.0, |last| last.through);
        through.min(self.orders as f64)
    }

    /// When the load is over, by the rate alone: its end, or when the last order is reached.
    pub fn planned_end_s(&self) -> Option<f64> {
        let last = self.phases.last()?;
        let reached = || Some(last.start_s + last.intensity.reaches(self.orders as f64 - last.before)?);
        last.end_s.or_else(reached)
    }

    /// Arrivals in the half-open interval of nanoseconds since the load began.
    pub fn count_between(&self, from: Nanos, to: Nanos) -> u64 {
        self.clone()
            .skip_while(|(_, instant)| *instant < from)
            .take_while(|(_, instant)| *instant < to)
            .count() as u64
    }

    /// Goes into the phase at `at`. A Poisson process begins anew there, since it has no memory; an even one keeps its beat
    /// from phase to phase, so that the count follows the sum of the rate over their borders too.
    fn enter(&mut self, at: usize) {
        let Some(phase) = self.phases.get(at) else { return };
        let before = at.checked_sub(1).map(|before| self.phases[before].jitter);
        let start = phase.before;
        self.level = match (before, phase.jitter) {
            (Some(Jitter::None), Jitter::None) => self.level,
            (_, Jitter::None) => start,
            (_, Jitter::Poisson) => start + self.gap(),
        };
        self.at = at;
    }

    fn gap(&mut self) -> f64 {
        Exp1.sample(self.stream.as_mut())
    }
}

impl Iterator for Schedule {
    type Item = (OrderNumber, Nanos);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.orders {
            return None;
        }
        while self.level >= self.phases.get(self.at)?.through - HAIR {
            let next = self.at + 1;
            if next >= self.phases.len() {
                return None;
            }
            self.enter(next);
        }
        let instant = self.phases[self.at].instant(self.level)?;
        let number = self.next;
        self.next += 1;
        self.level += match self.phases[self.at].jitter {
            Jitter::None => 1.0,
            Jitter::Poisson => self.gap(),
        };
        Some((number, instant))
    }
}

fn in_sequence(phases: &[LoadPhase]) -> Vec<Phase> {
    let (mut start, mut before) = (Span::ZERO, 0.0);
    let mut sequence = Vec::with_capacity(phases.len());
    for phase in phases {
        let made = Phase::new(
            &phase.pattern,
            start.as_secs_f64(),
            before,
            Some(phase.duration),
            u64::MAX,
        );
        start = Span(start.0 + phase.duration.0);
        before = made.through;
        sequence.push(made);
    }
    sequence
}

impl Phase {
    /// A phase that starts after `before` orders and lasts for `length` or, where that is absent, for `orders` orders.
    fn new(pattern: &Pattern, start_s: f64, before: f64, length: Option<Span>, orders: u64) -> Self {
        let intensity = Intensity::new(&pattern.shape, length, orders);
        let length_s = length.map(Span::as_secs_f64);
        let own = match length_s {
            Some(length_s) => intensity.by(length_s),
            None => pattern.shape.orders_max().unwrap_or(f64::INFINITY),
        };
        Phase {
            start_s,
            end_s: length_s.map(|length_s| start_s + length_s),
            before,
            through: before + own,
            intensity,
            jitter: pattern.jitter,
        }
    }

    /// When the sum of the rate reaches `level`: inside this phase, whatever rounding says.
    fn instant(&self, level: f64) -> Option<Nanos> {
        let at_s = self.start_s + self.intensity.reaches(level - self.before)?;
        let last = self.end_s.map_or(Nanos::MAX, |end_s| to_nanos(end_s).saturating_sub(1));
        Some(to_nanos(at_s).min(last))
    }
}

fn to_nanos(seconds: f64) -> Nanos {
    (seconds * 1e9).round() as Nanos
}
