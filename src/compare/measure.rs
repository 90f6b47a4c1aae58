//! What decides: the gating measures, six at most, each with the change that matters in practice.
//!
//! Few on purpose: each further one takes power from the others, since the level is shared among them (Holm).

use crate::report::figure::{Better, Figure};
use crate::results::record::TrialRecord;
use crate::workload::model::Compare;

/// A measure that a comparison is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// What it reads from a trial.
    pub figure: Figure,
    /// What it is called on the command line and in outputs.
    pub name: &'static str,
}

/// The gating measures.
pub const MEASURES: [Measure; 6] = [
    Measure::new(Figure::Goodput, "goodput"),
    Measure::new(Figure::EndToEndP50, "end_to_end_p50"),
    Measure::new(Figure::EndToEndP99, "end_to_end_p99"),
    Measure::new(Figure::DrainTime, "drain_time"),
    Measure::new(Figure::DriverCpu, "driver_cpu"),
    Measure::new(Figure::Redelivered, "redelivered"),
];

/// How a change is expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As a share of the base: 0.05 is 5 % more.
    Relative,
    /// As a difference of shares: a share that is often 0 has no ratio.
    Difference,
}

impl Measure {
    const fn new(figure: Figure, name: &'static str) -> Measure {
        Measure { figure, name }
    }

    /// What `trial` has.
    pub fn of(&self, trial: &TrialRecord) -> Option<f64> {
        self.figure.of(trial)
    }

    /// How its change is expressed.
    pub fn scale(&self) -> Scale {
        match self.figure {
            Figure::Redelivered => Scale::Difference,
            _ => Scale::Relative,
        }
    }

    /// The smallest change that matters to a workload.
    pub fn threshold(&self, compare: &Compare) -> f64 {
        let share = match self.figure {
            Figure::Goodput => compare.goodput,
            Figure::EndToEndP50 => compare.end_to_end_p50,
            Figure::DrainTime => compare.drain_time,
            Figure::DriverCpu => compare.driver_cpu,
            Figure::Redelivered => compare.redelivered,
            // The table has no other.
            _ => compare.end_to_end_p99,
        };
        share.0
    }

    /// Whether `change` is for the worse.
    pub fn is_worse(&self, change: f64) -> bool {
        match self.figure.better() {
            Better::Higher => change < 0.0,
            Better::Lower => change > 0.0,
        }
    }
}

/// The changes that matter, in the order of [`MEASURES`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds([f64; MEASURES.len()]);

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds::from(&Compare::default())
    }
}

impl From<&Compare> for Thresholds {
    fn from(compare: &Compare) -> Self {
        Thresholds(MEASURES.map(|measure| measure.threshold(compare)))
    }
}

/// A threshold that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// No such measure.
    #[error("there is no measure `{name}` with a threshold\nhelp: the measures are {}", MEASURES.map(|measure| measure.name).join(", "))]
    Measure {
        /// What was given.
        name: String,
    },
    /// No such share.
    #[error(
        "`{value}` is no threshold for {measure}\nhelp: write a share above 0 and under 100 %, such as {measure}=5%"
    )]
    Value {
        /// The measure.
        measure: &'static str,
        /// What was given.
        value: String,
    },
}

impl Thresholds {
    /// Of the measure at this place of [`MEASURES`].
    pub fn of(&self, measure: usize) -> f64 {
        self.0[measure]
    }

    /// Takes `name=5%`, or `name=0.05`.
    ///
    /// # Errors
    /// [`ThresholdError`] when there is no such measure, or no such share.
    pub fn set(&mut self, argument: &str) -> Result<(), ThresholdError> {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        let at = MEASURES.iter().position(|measure| measure.name == name.trim());
        let at = at.ok_or_else(|| ThresholdError::Measure { name: name.to_owned() })?;
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let share = match value.trim().strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| percent / 100.0),
            None => number(value),
        };
        let share = share.filter(|share| *share > 0.0 && *share < 1.0);
        self.0[at] = share.ok_or_else(|| ThresholdError::Value {
            measure: MEASURES[at].name,
            value: value.to_owned(),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_set_by_name_and_mistakes_are_named() {
        let mut thresholds = Thresholds::default();
        thresholds.set("end_to_end_p99=2.5%").expect("legal");
        thresholds.set("goodput=0.01").expect("legal");
        assert_eq!(
            (thresholds.of(2), thresholds.of(0), thresholds.of(3)),
            (0.025, 0.01, 0.15)
        );
        let error = thresholds.set("speed=5%").expect_err("unknown").to_string();
        assert!(error.contains("`speed`") && error.contains("drain_time"), "{error}");
        for bad in [
            "goodput",
            "goodput=",
            "goodput=0%",
            "goodput=-1%",
            "goodput=100%",
            "goodput=many",
        ] {
            assert!(
                thresholds
                    .set(bad)
                    .expect_err("no share")
                    .to_string()
                    .contains("goodput=5%"),
                "{bad}"
            );
        }
    }

    #[test]
    fn less_goodput_and_more_latency_are_worse() {
        assert!(MEASURES[0].is_worse(-0.1) && !MEASURES[0].is_worse(0.1) && MEASURES[2].is_worse(0.1));
    }
}
