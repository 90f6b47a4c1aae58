//! A rate over time and its sum: how many orders are planned by a moment, and when a number of them is reached.
//!
//! Every shape but the wave is made of pieces with a rate that changes along a straight line, so that both directions are
//! exact up to rounding. Times are seconds since the start of the phase.

use std::f64::consts::TAU;
use std::sync::Arc;

use crate::clock::Nanos;
use crate::units::Span;
use crate::workload::model::Shape;
use crate::workload::replay::{Interval, Trace};

/// Where a sum is this close to a whole number of orders, rounding stands between them.
pub(super) const HAIR: f64 = 1e-6;

/// The planned rate of one shape.
#[derive(Debug, Clone)]
pub(super) enum Intensity {
    /// Pieces one after the other; the last goes on, or all come again.
    Pieces(Pieces),
    /// `mean − amplitude · cos(2π·t / period)` orders per second.
    Sine { mean: f64, amplitude: f64, period_s: f64 },
    /// An order at each of these instants (nanoseconds).
    Points(Arc<Trace>),
}

/// A stretch of time with a rate on a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    start_s: f64,
    /// Orders planned before it.
    before: f64,
    /// Orders per second at its start.
    rate: f64,
    /// Orders per second, more each second.
    slope: f64,
}

impl Piece {
    fn at(&self, t_s: f64) -> f64 {
        let dt = t_s - self.start_s;
        self.before + (self.rate + self.slope / 2.0 * dt) * dt
    }

    /// When `orders` are reached, if they are.
    fn reaches(&self, orders: f64) -> Option<f64> {
        let missing = (orders - self.before).max(0.0);
        // The root of rate·dt + slope/2·dt² = missing, in the form that does not cancel.
        let discriminant = self.rate * self.rate + 2.0 * self.slope * missing;
        let speed = self.rate + discriminant.max(0.0).sqrt();
        match (missing > 0.0, speed > 0.0) {
            (false, _) => Some(self.start_s),
            (true, true) => Some(self.start_s + 2.0 * missing / speed),
            (true, false) => None,
        }
    }
}

/// Pieces in the order of time; the first starts at 0.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    pieces: Arc<[Piece]>,
    /// Seconds and orders of a period, after which the pieces come again.
    period: Option<(f64, f64)>,
}

/// Collects pieces and sums their orders up.
#[derive(Debug, Default)]
struct Builder {
    pieces: Vec<Piece>,
    at_s: f64,
    orders: f64,
}

impl Builder {
    /// Adds `length_s` seconds from one rate to another.
    fn piece(mut self, from: f64, to: f64, length_s: f64) -> Self {
        if length_s > 0.0 {
            self.pieces.push(Piece {
                start_s: self.at_s,
                before: self.orders,
                rate: from,
                slope: (to - from) / length_s,
            });
            self.at_s += length_s;
            self.orders += (from + to) / 2.0 * length_s;
        }
        self
    }

    /// The last piece goes on for ever at this rate.
    fn then(mut self, rate: f64) -> Intensity {
        self.pieces.push(Piece {
            start_s: self.at_s,
            before: self.orders,
            rate,
            slope: 0.0,
        });
        Intensity::Pieces(Pieces {
            pieces: self.pieces.into(),
            period: None,
        })
    }

    /// All of it comes again and again.
    fn again(self) -> Intensity {
        Intensity::Pieces(Pieces {
            pieces: self.pieces.into(),
            period: Some((self.at_s, self.orders)),
        })
    }
}

impl Pieces {
    fn by(&self, t_s: f64) -> f64 {
        let (period_s, each) = self.period.unwrap_or((f64::INFINITY, 0.0));
        let times = (t_s / period_s).floor();
        let rest = if times > 0.0 { t_s - times * period_s } else { t_s };
        let next = self.pieces.partition_point(|piece| piece.start_s <= rest);
        self.pieces[next.saturating_sub(1)].at(rest) + times * each
    }

    /// The sum stands still where the rate is 0, and an order that is due there comes when it moves again: rounding must not
    /// put it before the pause. So what is a hair below a border counts as the border.
    fn reaches(&self, orders: f64) -> Option<f64> {
        let (period_s, each) = self.period.unwrap_or((0.0, f64::INFINITY));
        let times = ((orders + HAIR) / each).floor();
        let rest = if times > 0.0 { orders - times * each } else { orders };
        let next = self
            .pieces
            .partition_point(|piece| piece.before <= rest.max(0.0) + HAIR);
        Some(times * period_s + self.pieces[next.saturating_sub(1)].reaches(rest)?)
    }
}

impl Intensity {
    /// The rate of `shape`, which is asked for `length` or, where that is absent, for `orders` orders.
    pub(super) fn new(shape: &Shape, length: Option<Span>, orders: u64) -> Self {
        let start = Builder::default();
        match shape {
            Shape::Constant { rate } => start.then(rate.per_second()),
            Shape::Ramp { from, to, over } => start
                .piece(from.per_second(), to.per_second(), over.as_secs_f64())
                .then(to.per_second()),
            Shape::Steps { from, by, every } => {
                let (from, by, every_s) = (from.per_second(), by.per_second(), every.as_secs_f64());
                let (mut stairs, mut step) = (start, 0.0);
                let ended = |stairs: &Builder| match length {
                    Some(length) => stairs.at_s >= length.as_secs_f64(),
                    None => stairs.orders >= orders as f64,
                };
                while !ended(&stairs) {
                    let rate = from + by * step;
                    stairs = stairs.piece(rate, rate, every_s);
                    step += 1.0;
                }
                stairs.then(from + by * step)
            }
            Shape::Burst {
                rate,
                burst_rate,
                width,
                every,
            } => {
                let (rate, burst) = (rate.per_second(), burst_rate.per_second());
                let width_s = width.as_secs_f64();
                start
                    .piece(burst, burst, width_s)
                    .piece(rate, rate, every.as_secs_f64() - width_s)
                    .again()
            }
            Shape::Sine {
                mean,
                amplitude,
                period,
            } => Intensity::Sine {
                mean: mean.per_second(),
                amplitude: amplitude.per_second(),
                period_s: period.as_secs_f64(),
            },
            Shape::Spike {
                base,
                peak,
                at,
                rise,
                hold,
            } => {
                let (base, peak) = (base.per_second(), peak.per_second());
                start
                    .piece(base, base, at.as_secs_f64())
                    .piece(base, peak, rise.as_secs_f64())
                    .piece(peak, peak, hold.as_secs_f64())
                    .then(base)
            }
            Shape::Replay(replay) => match &*replay.trace {
                Trace::Instants(_) => Intensity::Points(Arc::clone(&replay.trace)),
                Trace::Counts(intervals) => intervals.iter().fold(start, counted).then(0.0),
            },
        }
    }

    /// Orders planned before `t_s`.
    pub(super) fn by(&self, t_s: f64) -> f64 {
        match self {
            Intensity::Pieces(pieces) => pieces.by(t_s),
            Intensity::Sine {
                mean,
                amplitude,
                period_s,
            } => wave(*mean, *amplitude, *period_s, t_s),
            Intensity::Points(trace) => {
                let at = (t_s * 1e9).round() as Nanos;
                instants(trace).partition_point(|instant| *instant < at) as f64
            }
        }
    }

    /// When the sum of the rate reaches `orders`; absent where it never does.
    pub(super) fn reaches(&self, orders: f64) -> Option<f64> {
        match self {
            Intensity::Pieces(pieces) => pieces.reaches(orders),
            Intensity::Sine {
                mean,
                amplitude,
                period_s,
            } => Some(wave_reaches(*mean, *amplitude, *period_s, orders.max(0.0))),
            Intensity::Points(trace) => {
                let index = (orders.max(0.0) + HAIR).floor() as usize;
                instants(trace).get(index).map(|instant| *instant as f64 / 1e9)
            }
        }
    }
}

fn counted(pieces: Builder, interval: &Interval) -> Builder {
    let rate = interval.orders as f64 / interval.length_s;
    // The next interval starts where this one ends, without the rounding of a sum.
    let mut pieces = pieces.piece(rate, rate, interval.length_s);
    pieces.at_s = interval.start_s + interval.length_s;
    pieces.orders = pieces.orders.round();
    pieces
}

fn instants(trace: &Trace) -> &[Nanos] {
    match trace {
        Trace::Instants(instants) => instants,
        Trace::Counts(_) => &[],
    }
}

/// Orders of a wave before `t_s`.
fn wave(mean: f64, amplitude: f64, period_s: f64, t_s: f64) -> f64 {
    let angle = TAU * (t_s / period_s).fract();
    mean * t_s - amplitude * period_s / TAU * angle.sin()
}

/// When a wave has brought `orders`: Newton's steps, kept between two bounds that close in.
fn wave_reaches(mean: f64, amplitude: f64, period_s: f64, orders: f64) -> f64 {
    let per_period = mean * period_s;
    let periods = (orders / per_period).floor();
    let rest = orders - periods * per_period;
    let (mut low, mut high) = (0.0, period_s);
    let mut t_s = rest / mean;
    for _ in 0..60 {
        let wrong = wave(mean, amplitude, period_s, t_s) - rest;
        if wrong > 0.0 {
            high = t_s;
        } else {
            low = t_s;
        }
        let rate = mean - amplitude * (TAU * t_s / period_s).cos();
        let newton = t_s - wrong / rate;
        let next = if newton > low && newton < high {
            newton
        } else {
            (low + high) / 2.0
        };
        // A tenth of a nanosecond is below what an instant tells apart.
        if (next - t_s).abs() < 1e-10 {
            break;
        }
        t_s = next;
    }
    periods * period_s + t_s
}
