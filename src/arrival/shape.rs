//! The shapes: from an order's number to its intended instant.

use rand_distr::{Distribution, Exp};

use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::rng::Stream;

/// A shape of the load.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A rate that depends on the time alone: order n comes when the rate has summed up to n.
    Periodic {
        /// Seconds of a period's busy part, orders in it, seconds of the whole period, orders in it.
        busy_s: f64,
        busy_orders: f64,
        period_s: f64,
        period_orders: f64,
    },
    /// Exponential gaps, drawn one after the other.
    Poisson { rate: f64, stream: Box<Stream>, at_s: f64 },
}

impl Shape {
    /// One order each `1 / rate` seconds: a period of one second that is busy all the time.
    pub(super) fn constant(rate: f64) -> Self {
        Shape::Periodic {
            busy_s: 1.0,
            busy_orders: rate,
            period_s: 1.0,
            period_orders: rate,
        }
    }

    pub(super) fn burst(rate: f64, burst_rate: f64, width_s: f64, every_s: f64) -> Self {
        let busy_orders = burst_rate * width_s;
        Shape::Periodic {
            busy_s: width_s,
            busy_orders,
            period_s: every_s,
            period_orders: busy_orders + rate * (every_s - width_s),
        }
    }

    pub(super) fn poisson(rate: f64, stream: Stream) -> Self {
        Shape::Poisson {
            rate,
            stream: Box::new(stream),
            at_s: 0.0,
        }
    }

    /// The instant of order `number`; a Poisson shape must be asked for one after the other.
    pub(super) fn instant(&mut self, number: OrderNumber) -> Nanos {
        match self {
            Shape::Periodic {
                busy_s,
                busy_orders,
                period_s,
                period_orders,
            } => {
                let n = number as f64;
                let periods = (n / *period_orders).floor();
                let rest = n - periods * *period_orders;
                let inside = if rest < *busy_orders {
                    rest / *busy_orders * *busy_s
                } else {
                    *busy_s + (rest - *busy_orders) / (*period_orders - *busy_orders) * (*period_s - *busy_s)
                };
                to_nanos(periods * *period_s + inside)
            }
            Shape::Poisson { rate, stream, at_s } => {
                // The process runs before the load looks: the first gap counts too.
                let gap = Exp::new(*rate).map_or(0.0, |gaps| gaps.sample(stream.as_mut()));
                *at_s += gap;
                to_nanos(*at_s)
            }
        }
    }
}

fn to_nanos(seconds: f64) -> Nanos {
    (seconds * 1e9).round() as Nanos
}
