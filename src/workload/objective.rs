//! Objectives: figures of a run, and the bounds that a workload sets them.
//!
//! Plain data and how it is written. What a figure is of a trial, and whether it keeps its bound, is the desk's to say.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Rate, Share, Size, Span};

/// A figure that can be held to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Median of the end-to-end latency.
    EndToEndP50,
    /// Its 90th percentile.
    EndToEndP90,
    /// Its 99th percentile.
    EndToEndP99,
    /// Its 99.9th percentile.
    EndToEndP999,
    /// 99th percentile of the confirm latency.
    ConfirmLatencyP99,
    /// From the end of the load until Drained.
    DrainTime,
    /// Orders finished per second.
    Goodput,
    /// Achieved rate by offered load.
    AchievedShare,
    /// Orders that were confirmed and are nowhere.
    OrdersLost,
    /// Orders with an effect that happened twice.
    OrdersDuplicateEffect,
    /// Orders that reserved more than there was.
    OrdersOversold,
    /// Orders that the broker nacked or returned.
    OrdersRefused,
    /// Orders that ended as dead letters, of those published.
    DeadLetterShare,
    /// Deliveries with the redelivered flag.
    Redeliveries,
    /// Greatest ready + unacked over all queues.
    BacklogMax,
    /// Growth of the backlog over the measured part, messages per second (Theil–Sen).
    BacklogSlope,
    /// Processors that the driver used, of those that it may.
    DriverCpuShare,
    /// Greatest resident set of the driver.
    DriverMemoryMax,
    /// Greatest resident set of the broker.
    BrokerMemoryMax,
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// A share of 1.
    Share,
    /// A whole number.
    Count,
}

/// Which repeat of a cell speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The median of the repeats.
    Median,
    /// The repeat that is worst for the bound.
    Worst,
}

impl Figure {
    /// All, with name and unit, in the order of the workload's keys.
    pub const ALL: [(&'static str, Figure, Unit); 19] = [
        ("end_to_end_p50", Figure::EndToEndP50, Unit::Seconds),
        ("end_to_end_p90", Figure::EndToEndP90, Unit::Seconds),
        ("end_to_end_p99", Figure::EndToEndP99, Unit::Seconds),
        ("end_to_end_p999", Figure::EndToEndP999, Unit::Seconds),
        ("confirm_latency_p99", Figure::ConfirmLatencyP99, Unit::Seconds),
        ("drain_time", Figure::DrainTime, Unit::Seconds),
        ("goodput", Figure::Goodput, Unit::PerSecond),
        ("achieved_share", Figure::AchievedShare, Unit::Share),
        ("orders_lost", Figure::OrdersLost, Unit::Count),
        ("orders_duplicate_effect", Figure::OrdersDuplicateEffect, Unit::Count),
        ("orders_oversold", Figure::OrdersOversold, Unit::Count),
        ("orders_refused", Figure::OrdersRefused, Unit::Count),
        ("dead_letter_share", Figure::DeadLetterShare, Unit::Share),
        ("redeliveries", Figure::Redeliveries, Unit::Count),
        ("backlog_max", Figure::BacklogMax, Unit::Count),
        ("backlog_slope", Figure::BacklogSlope, Unit::PerSecond),
        ("driver_cpu_share", Figure::DriverCpuShare, Unit::Share),
        ("driver_memory_max", Figure::DriverMemoryMax, Unit::Bytes),
        ("broker_memory_max", Figure::BrokerMemoryMax, Unit::Bytes),
    ];

    /// Its name, which is its key below `objectives.`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it is counted in.
    pub fn unit(self) -> Unit {
        self.row().2
    }

    fn row(self) -> (&'static str, Figure, Unit) {
        let row = Figure::ALL.into_iter().find(|(_, figure, _)| *figure == self);
        row.expect("each figure has a row; a test holds the table")
    }

    /// Harm is not averaged away: one repeat that lost an order is one too many.
    pub fn is_harm(self) -> bool {
        matches!(
            self,
            Figure::OrdersLost | Figure::OrdersDuplicateEffect | Figure::OrdersOversold
        )
    }
}

/// How a figure is compared with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `<=`.
    #[serde(rename = "<=")]
    AtMost,
    /// `>=`.
    #[serde(rename = ">=")]
    AtLeast,
    /// `==`, of whole numbers.
    #[serde(rename = "==")]
    Equal,
    /// `<`.
    #[serde(rename = "<")]
    Below,
    /// `>`.
    #[serde(rename = ">")]
    Above,
}

impl Comparison {
    /// Longer signs first, since the shorter ones begin them.
    const SIGNS: [(&'static str, Comparison); 5] = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("==", Comparison::Equal),
        ("<", Comparison::Below),
        (">", Comparison::Above),
    ];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        let row = Self::SIGNS.into_iter().find(|(_, comparison)| *comparison == self);
        row.map_or("", |(sign, _)| sign)
    }
}

/// A limit in its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    Duration(Span),
    Rate(Rate),
    Size(Size),
    Share(Share),
    Count(u64),
}

/// A comparison with a limit, such as `<= 250ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// How.
    pub comparison: Comparison,
    limit: Limit,
}

impl Bound {
    /// Reads `<= 250ms` where the figure is counted in `unit`.
    ///
    /// # Errors
    /// A sentence that says what was found and what is legal.
    pub fn read(text: &str, unit: Unit) -> Result<Self, String> {
        let trimmed = text.trim();
        let sign = Comparison::SIGNS
            .into_iter()
            .find(|(sign, _)| trimmed.starts_with(sign));
        let Some((sign, comparison)) = sign else {
            return Err(format!("`{text}` is no comparison: write {}", unit.example()));
        };
        let written = trimmed[sign.len()..].trim();
        if comparison == Comparison::Equal && unit != Unit::Count {
            return Err(format!(
                "`{text}`: only whole numbers can be equal; write {}",
                unit.example()
            ));
        }
        let says = |error: crate::units::UnitError| error.to_string();
        let limit = match unit {
            Unit::Seconds => written.parse().map(Limit::Duration).map_err(says)?,
            Unit::PerSecond => written.parse().map(Limit::Rate).map_err(says)?,
            Unit::Bytes => written.parse().map(Limit::Size).map_err(says)?,
            Unit::Share => written.parse().map(Limit::Share).map_err(says)?,
            Unit::Count => {
                let number = written.replace('_', "").parse();
                number
                    .map(Limit::Count)
                    .map_err(|_| format!("`{written}` is not a whole number"))?
            }
        };
        Ok(Bound { comparison, limit })
    }

    /// The limit in base units: seconds, per second, bytes, a share of 1, a number.
    pub fn limit(&self) -> f64 {
        match self.limit {
            Limit::Duration(span) => span.as_secs_f64(),
            Limit::Rate(rate) => rate.per_second(),
            Limit::Size(size) => size.0 as f64,
            Limit::Share(share) => share.0,
            Limit::Count(count) => count as f64,
        }
    }

    /// Whether `value`, in base units, keeps it.
    pub fn holds(&self, value: f64) -> bool {
        let limit = self.limit();
        match self.comparison {
            Comparison::AtMost => value <= limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Equal => value == limit,
            Comparison::Below => value < limit,
            Comparison::Above => value > limit,
        }
    }

    /// How far `value` is on the wrong side of the limit; negative on the right one.
    pub fn excess(&self, value: f64) -> f64 {
        let limit = self.limit();
        match self.comparison {
            Comparison::AtMost | Comparison::Below => value - limit,
            Comparison::AtLeast | Comparison::Above => limit - value,
            Comparison::Equal => (value - limit).abs(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.comparison.sign())?;
        match self.limit {
            Limit::Duration(span) => span.fmt(f),
            Limit::Rate(rate) => rate.fmt(f),
            Limit::Size(size) => size.fmt(f),
            Limit::Share(share) => share.fmt(f),
            Limit::Count(count) => count.fmt(f),
        }
    }
}

impl Unit {
    /// A bound in this unit, for messages.
    pub fn example(self) -> &'static str {
        match self {
            Unit::Seconds => "a comparison with a duration, such as \"<= 250ms\"",
            Unit::PerSecond => "a comparison with a rate, such as \">= 500/s\"",
            Unit::Bytes => "a comparison with a size, such as \"<= 512MiB\"",
            Unit::Share => "a comparison with a share, such as \"<= 1%\"",
            Unit::Count => "a comparison with a whole number, such as \"== 0\"",
        }
    }
}

/// One objective of a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// What is held to it.
    pub figure: Figure,
    /// To what.
    pub bound: Bound,
}

impl Objective {
    /// Which repeat speaks for a cell.
    pub fn rule(&self) -> Rule {
        if self.figure.is_harm() || self.bound.comparison == Comparison::Equal {
            Rule::Worst
        } else {
            Rule::Median
        }
    }
}

/// As `{ figure = "…", bound = "<= 250ms" }`.
#[derive(Serialize, Deserialize)]
struct Written {
    figure: Figure,
    bound: String,
}

impl Serialize for Objective {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            figure: self.figure,
            bound: self.bound.to_string(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { figure, bound } = Written::deserialize(deserializer)?;
        let bound = Bound::read(&bound, figure.unit()).map_err(serde::de::Error::custom)?;
        Ok(Objective { figure, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_prints_as_it_is_read() {
        for (text, unit, limit) in [
            ("<= 250ms", Unit::Seconds, 0.25),
            (">= 500/s", Unit::PerSecond, 500.0),
            ("== 0", Unit::Count, 0.0),
            ("< 1%", Unit::Share, 0.01),
            ("> 2MiB", Unit::Bytes, 2_097_152.0),
        ] {
            let bound = Bound::read(text, unit).expect(text);
            assert_eq!(bound.to_string(), text);
            assert_eq!(bound.limit(), limit);
        }
        assert_eq!(
            Bound::read("<=1_000", Unit::Count).map(|bound| bound.to_string()),
            Ok("<= 1000".to_owned())
        );
    }

    #[test]
    fn what_is_no_bound_is_refused_with_one_that_is() {
        for (text, unit, says) in [
            ("250ms", Unit::Seconds, "no comparison"),
            ("=< 250ms", Unit::Seconds, "no comparison"),
            ("<= 250", Unit::Seconds, "is not a duration"),
            ("<= 5", Unit::PerSecond, "is not a rate"),
            ("== 1%", Unit::Share, "only whole numbers can be equal"),
            ("<= many", Unit::Count, "not a whole number"),
            ("<= -1", Unit::Count, "not a whole number"),
        ] {
            let error = Bound::read(text, unit).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn every_figure_has_one_row_and_its_serialised_name() {
        for (name, figure, unit) in Figure::ALL {
            assert_eq!((figure.name(), figure.unit()), (name, unit));
            assert_eq!(serde_json::to_value(figure).expect("a word"), name);
        }
    }

    #[test]
    fn an_objective_is_read_back_from_a_record() {
        let objective = Objective {
            figure: Figure::DrainTime,
            bound: Bound::read("<= 30s", Unit::Seconds).expect("legal"),
        };
        let json = serde_json::to_string(&objective).expect("JSON");
        assert_eq!(json, r#"{"figure":"drain_time","bound":"<= 30s"}"#);
        assert_eq!(serde_json::from_str::<Objective>(&json).expect("the same"), objective);
    }

    proptest! {
        #[test]
        fn what_exceeds_a_bound_does_not_keep_it(limit in 0_u64..1_000, value in 0_u64..1_000, at in 0_usize..5) {
            let (sign, comparison) = Comparison::SIGNS[at];
            let bound = Bound::read(&format!("{sign} {limit}"), Unit::Count).expect("legal");
            prop_assert_eq!(bound.comparison, comparison);
            let excess = bound.excess(value as f64);
            prop_assert!(!(bound.holds(value as f64) && excess > 0.0));
            prop_assert!(bound.holds(value as f64) || excess >= 0.0);
        }
    }
}
