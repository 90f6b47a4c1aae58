//! The figures of a plan as rows: value, interval, and where it comes from.

use serde::Serialize;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was asked for.
    Given,
    /// The run has it.
    Measured,
    /// The model makes it from what was measured.
    Modelled,
    /// Neither: a usual value, which should be looked after.
    Assumed,
}

impl Origin {
    /// Its word in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Origin::Given => "given",
            Origin::Measured => "measured",
            Origin::Modelled => "modelled",
            Origin::Assumed => "assumed",
        }
    }
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Whole things.
    Count,
    /// Per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of 1.
    Share,
    /// Processors.
    Processors,
}

impl Unit {
    /// Its name in a CSV file.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::PerSecond => "1/s",
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
            Unit::Share => "share",
            Unit::Processors => "processors",
        }
    }
}

/// A figure of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What it is about: a stage's name, or `pipeline`.
    pub about: String,
    /// What it says.
    pub name: &'static str,
    /// The figure; absent where it cannot be told.
    pub value: Option<f64>,
    /// Lower end of its interval; absent where there is none.
    pub low: Option<f64>,
    /// Upper end; absent where there is none.
    pub high: Option<f64>,
    /// What it is counted in.
    pub unit: Unit,
    /// Where it comes from.
    pub origin: Origin,
    /// What else to know of it; may be empty.
    pub note: String,
}

impl Row {
    pub(super) fn new(
        about: &str,
        name: &'static str,
        value: impl Into<Option<f64>>,
        unit: Unit,
        origin: Origin,
    ) -> Row {
        Row {
            about: about.to_owned(),
            name,
            value: value.into(),
            low: None,
            high: None,
            unit,
            origin,
            note: String::new(),
        }
    }

    pub(super) fn between(self, low: impl Into<Option<f64>>, high: impl Into<Option<f64>>) -> Row {
        Row {
            low: low.into(),
            high: high.into(),
            ..self
        }
    }

    /// As far off as this share, either way.
    pub(super) fn within(self, share: f64) -> Row {
        let at = |factor: f64| self.value.map(|value| value * factor);
        let (low, high) = (at((1.0 - share).max(0.0)), at(1.0 + share));
        self.between(low, high)
    }

    pub(super) fn noted(self, note: impl Into<String>) -> Row {
        Row {
            note: note.into(),
            ..self
        }
    }
}
