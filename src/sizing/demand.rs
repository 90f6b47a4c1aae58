//! What is asked of a plan: rate, burst, objectives, growth and losses, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::units::{Rate, Share, Span};

/// What the pipeline shall carry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Demand {
    /// Orders per second, day in, day out.
    pub rate: Rate,
    /// What comes on top of a normal day.
    pub burst: Option<Burst>,
    /// What 99 of 100 orders may take, outside bursts.
    pub p99: Option<Span>,
    /// How long the backlog of the burst may take to clear.
    pub drain: Option<Span>,
    /// What is added to rate and burst.
    pub growth: Share,
    /// Consumers that are taken for lost.
    pub lose: Option<Loss>,
    /// How busy consumers may be at the rate.
    pub utilisation_max: Share,
}

/// A burst: a higher rate for a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Burst {
    /// Orders per second while it lasts.
    pub rate: Rate,
    /// How long it lasts.
    pub lasts: Span,
}

/// Consumers that are taken for lost: so many in so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Lost, at least 1.
    pub lost: u32,
    /// Of so many, more than `lost`.
    pub of: u32,
}

/// Why a demand is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DemandError {
    /// No burst.
    #[error("`{0}` is no burst\nhelp: write a rate and how long it lasts, such as '3000/s for 2m'")]
    Burst(String),
    /// No loss.
    #[error("`{0}` is no loss\nhelp: write how many of how many consumers are lost, such as 1-consumer-in-4")]
    Loss(String),
    /// Two wishes that contradict each other.
    #[error("{what}\nhelp: {help}")]
    Contradiction {
        /// Which.
        what: String,
        /// How to mend it.
        help: &'static str,
    },
}

impl FromStr for Burst {
    type Err = DemandError;

    fn from_str(text: &str) -> Result<Self, DemandError> {
        let wrong = || DemandError::Burst(text.to_owned());
        let (rate, lasts) = text.split_once(" for ").ok_or_else(wrong)?;
        let burst = Burst {
            rate: rate.trim().parse().map_err(|_| wrong())?,
            lasts: lasts.trim().parse().map_err(|_| wrong())?,
        };
        let is_one = burst.rate.per_second() > 0.0 && burst.lasts > Span::ZERO;
        is_one.then_some(burst).ok_or_else(wrong)
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.rate, self.lasts)
    }
}

impl FromStr for Loss {
    type Err = DemandError;

    fn from_str(text: &str) -> Result<Self, DemandError> {
        let wrong = || DemandError::Loss(text.to_owned());
        let words: Vec<&str> = text.split(['-', ' ']).filter(|word| !word.is_empty()).collect();
        let (lost, of) = match words.as_slice() {
            [lost, "in", of] | [lost, "consumer" | "consumers", "in", of] => (lost, of),
            _ => return Err(wrong()),
        };
        let loss = Loss {
            lost: lost.parse().map_err(|_| wrong())?,
            of: of.parse().map_err(|_| wrong())?,
        };
        (loss.lost > 0 && loss.lost < loss.of).then_some(loss).ok_or_else(wrong)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-consumer-in-{}", self.lost, self.of)
    }
}

impl Loss {
    /// Of `consumers`, how many are left; a part of one is a whole one lost.
    pub fn leaves(&self, consumers: u32) -> u32 {
        let lost = (u64::from(consumers) * u64::from(self.lost)).div_ceil(u64::from(self.of));
        consumers - u32::try_from(lost).unwrap_or(consumers)
    }
}

impl Demand {
    /// The rate with its growth, orders per second.
    pub fn rate_per_s(&self) -> f64 {
        self.rate.per_second() * (1.0 + self.growth.0)
    }

    /// The rate of the burst with its growth, orders per second; absent without one.
    pub fn burst_per_s(&self) -> Option<f64> {
        self.burst.map(|burst| burst.rate.per_second() * (1.0 + self.growth.0))
    }

    /// The consumers that are left of `consumers`.
    pub fn left_of(&self, consumers: u32) -> u32 {
        self.lose.map_or(consumers, |loss| loss.leaves(consumers))
    }

    /// Whether the wishes agree with each other.
    ///
    /// # Errors
    /// [`DemandError::Contradiction`] with what to change.
    pub fn check(&self) -> Result<(), DemandError> {
        let contradiction = |what: String, help| Err(DemandError::Contradiction { what, help });
        if self.rate.per_second() <= 0.0 {
            return contradiction(
                format!("a rate of {} asks for nothing", self.rate),
                "write the orders per second of a normal day, such as --rate 400/s",
            );
        }
        if let Some(burst) = self.burst.filter(|burst| burst.rate <= self.rate) {
            return contradiction(
                format!("a burst of {} is no more than the rate of {}", burst.rate, self.rate),
                "write the whole rate during the burst, such as --burst '3000/s for 2m', or leave it out",
            );
        }
        if let (Some(drain), None) = (self.drain, self.burst) {
            return contradiction(
                format!("--drain {drain} has no effect without a burst: nothing piles up"),
                "add --burst, such as --burst '3000/s for 2m', or leave --drain out",
            );
        }
        if !(0.05..=0.95).contains(&self.utilisation_max.0) {
            return contradiction(
                format!("consumers cannot be planned to be {} busy", self.utilisation_max),
                "write 5% to 95%; waits grow without bound towards 100%",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn demand(rate: f64) -> Demand {
        Demand {
            rate: Rate(rate),
            burst: None,
            p99: None,
            drain: None,
            growth: Share(0.0),
            lose: None,
            utilisation_max: Share(0.8),
        }
    }

    #[test]
    fn bursts_and_losses_are_read_as_people_write_them() {
        let burst: Burst = "3000/s for 2m".parse().expect("a burst");
        assert_eq!((burst.rate, burst.lasts), (Rate(3_000.0), Span::from_secs(120)));
        for text in ["1-consumer-in-4", "1 in 4", "1 consumer in 4", "1-in-4"] {
            assert_eq!(text.parse(), Ok(Loss { lost: 1, of: 4 }), "{text}");
        }
        for text in ["3000/s", "3000 for 2m", "3000/s for ever", "0/s for 2m", "for 2m"] {
            assert_eq!(text.parse::<Burst>(), Err(DemandError::Burst(text.to_owned())));
        }
        for text in ["1", "4-in-4", "0-in-4", "one-in-four", "1-broker-in-3", ""] {
            assert_eq!(text.parse::<Loss>(), Err(DemandError::Loss(text.to_owned())));
        }
    }

    #[test]
    fn wishes_that_contradict_each_other_are_refused() {
        let says = |demand: Demand, part: &str| {
            let error = demand.check().expect_err("a contradiction").to_string();
            assert!(error.contains(part) && error.contains("\nhelp: "), "{error}");
        };
        assert_eq!(demand(400.0).check(), Ok(()));
        says(demand(0.0), "asks for nothing");
        says(
            Demand {
                drain: Some(Span::from_secs(300)),
                ..demand(400.0)
            },
            "--drain 5m has no effect",
        );
        says(
            Demand {
                burst: Some("300/s for 2m".parse().expect("a burst")),
                ..demand(400.0)
            },
            "no more than the rate",
        );
        says(
            Demand {
                utilisation_max: Share(1.0),
                ..demand(400.0)
            },
            "100% busy",
        );
    }

    #[test]
    fn growth_is_added_to_rate_and_burst() {
        let demand = Demand {
            burst: Some("1000/s for 1m".parse().expect("a burst")),
            growth: Share(0.3),
            ..demand(100.0)
        };
        assert!((demand.rate_per_s() - 130.0).abs() < 1e-9);
        assert!(demand.burst_per_s().is_some_and(|rate| (rate - 1_300.0).abs() < 1e-9));
    }

    proptest! {
        #[test]
        fn a_part_of_a_lost_consumer_is_a_whole_one(consumers in 1u32..1_000, lost in 1u32..10, more in 1u32..10) {
            let loss = Loss { lost, of: lost + more };
            let left = loss.leaves(consumers);
            prop_assert!(left < consumers);
            let exact = f64::from(consumers) * f64::from(more) / f64::from(lost + more);
            prop_assert!(f64::from(left) <= exact + 1e-9 && f64::from(left) > exact - 1.0);
        }
    }
}
