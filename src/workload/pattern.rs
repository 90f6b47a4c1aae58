//! How orders arrive, as plain data: shapes of an open loop, alone or one after the other, and the closed loop.
//!
//! Times inside a shape count from the start of its phase, which is the start of the load where there are no phases. What
//! the shapes mean in instants is the business of `crate::arrival`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::replay::Trace;
use crate::units::{Rate, Span};

/// The arrivals of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// Open loop, one pattern from start to end.
    Open(Pattern),
    /// Open loop, patterns in sequence; at least one.
    Phases(Vec<LoadPhase>),
    /// Closed loop: each user places an order, waits for its end, thinks, and places the next.
    Closed {
        /// Users at once.
        users: u32,
        /// Pause between an order's end and the user's next.
        think_time: Span,
    },
    /// Publishers that send as fast as the confirm window and the socket let them, and wait for no order.
    Saturate,
}

impl Arrival {
    /// Evenly spaced orders.
    pub fn constant(rate: Rate) -> Self {
        Arrival::Open(Pattern {
            shape: Shape::Constant { rate },
            jitter: Jitter::None,
        })
    }

    /// Exponential gaps.
    pub fn poisson(rate: Rate) -> Self {
        Arrival::Open(Pattern {
            shape: Shape::Constant { rate },
            jitter: Jitter::Poisson,
        })
    }

    /// Whether answers pace the load, and no schedule: those of the pipeline to its users, or those of the broker to publishers.
    pub fn is_closed(&self) -> bool {
        matches!(self, Arrival::Closed { .. } | Arrival::Saturate)
    }

    /// Whether users wait for their orders.
    pub fn waits_for_orders(&self) -> bool {
        matches!(self, Arrival::Closed { .. })
    }

    /// `open loop` or `closed loop`: a figure of one is never compared with a figure of the other.
    pub fn loop_kind(&self) -> &'static str {
        if self.is_closed() { "closed loop" } else { "open loop" }
    }

    /// Whether a recorded arrival file is replayed.
    pub fn replays(&self) -> bool {
        let is_replay = |pattern: &Pattern| matches!(pattern.shape, Shape::Replay(_));
        match self {
            Arrival::Open(pattern) => is_replay(pattern),
            Arrival::Phases(phases) => phases.iter().any(|phase| is_replay(&phase.pattern)),
            Arrival::Closed { .. } | Arrival::Saturate => false,
        }
    }

    /// Fingerprints of the files that are replayed, in the order of their phases; empty if none is.
    pub fn fingerprints(&self) -> String {
        let alone = match self {
            Arrival::Open(pattern) => Some(pattern),
            _ => None,
        };
        let patterns = alone
            .into_iter()
            .chain(self.phases().iter().map(|phase| &phase.pattern));
        let of_files = patterns.filter_map(|pattern| match &pattern.shape {
            Shape::Replay(replay) => Some(replay.fingerprint.as_str()),
            _ => None,
        });
        of_files.collect::<Vec<_>>().join(", ")
    }

    /// The phases of the load, if it has any.
    pub fn phases(&self) -> &[LoadPhase] {
        match self {
            Arrival::Phases(phases) => phases,
            _ => &[],
        }
    }
}

/// A part of the load with a pattern of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadPhase {
    /// Its name in charts and tables.
    pub name: String,
    /// Its length.
    pub duration: Span,
    /// What arrives in it.
    pub pattern: Pattern,
}

/// A planned rate over time, and how orders scatter around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// The rate over time.
    pub shape: Shape,
    /// The scatter.
    pub jitter: Jitter,
}

/// How orders scatter around the planned rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all: order n comes when the rate has summed up to n.
    None,
    /// As a Poisson process of that rate: independent users, who know nothing of each other.
    Poisson,
}

/// A rate over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The same all the time.
    Constant {
        /// Orders per second; 0 (a pause) inside phases only.
        rate: Rate,
    },
    /// From one rate to another along a straight line, and on at the second.
    Ramp {
        /// Orders per second at the start; may be 0.
        from: Rate,
        /// Orders per second at the end; may be 0.
        to: Rate,
        /// How long the way takes.
        over: Span,
    },
    /// Upstairs: a rate that is raised again and again.
    Steps {
        /// Orders per second of the first step; may be 0.
        from: Rate,
        /// What each step adds.
        by: Rate,
        /// Length of a step.
        every: Span,
    },
    /// A base rate, and at each period's start a burst instead.
    Burst {
        /// Orders per second between bursts; may be 0.
        rate: Rate,
        /// Orders per second inside a burst.
        burst_rate: Rate,
        /// Length of a burst.
        width: Span,
        /// From the start of a burst to the start of the next.
        every: Span,
    },
    /// A wave that begins at its lowest: the load of a day.
    Sine {
        /// Mean orders per second.
        mean: Rate,
        /// Greatest distance from the mean; at most the mean.
        amplitude: Rate,
        /// Length of the wave.
        period: Span,
    },
    /// A base rate, once raised to another and held there.
    Spike {
        /// Orders per second before and after; may be 0.
        base: Rate,
        /// Orders per second while it is held.
        peak: Rate,
        /// When it begins.
        at: Span,
        /// How long the rate climbs from base to peak, along a straight line; 0: at once.
        rise: Span,
        /// How long the peak is held; then the base rate is back at once.
        hold: Span,
    },
    /// What a file says.
    Replay(Replay),
}

impl Shape {
    /// Orders after which no more come, however long the load goes on; absent where they go on for ever.
    pub fn orders_max(&self) -> Option<f64> {
        match self {
            Shape::Ramp { from, to, over } if to.per_second() <= 0.0 => {
                Some(from.per_second() / 2.0 * over.as_secs_f64())
            }
            Shape::Spike {
                base, peak, rise, hold, ..
            } if base.per_second() <= 0.0 => Some(peak.per_second() * (rise.as_secs_f64() / 2.0 + hold.as_secs_f64())),
            Shape::Replay(replay) => Some(replay.orders as f64),
            _ => None,
        }
    }
}

/// Arrivals of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// The file, as it was named.
    pub file: String,
    /// Its contents' fingerprint, `fnv1a64:` and 16 hexadecimal digits: the same file, the same arrivals.
    pub fingerprint: String,
    /// Orders in it.
    pub orders: u64,
    /// From the start to the last instant or the end of the last interval.
    pub length: Span,
    /// What stands in it. Not part of the record: only a load needs it, and it may be long.
    #[serde(skip)]
    pub trace: Arc<Trace>,
}
