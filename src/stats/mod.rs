//! Statistics of few trials: medians, intervals, tests, effect sizes. Pure functions over slices of finite numbers.
//!
//! The trial is the unit, so samples are small (3 to 50) and nothing here assumes a distribution, apart from `power`, which
//! has to assume one to look ahead. Nothing here knows what the numbers mean. Absent and infinite values are the caller's to
//! leave out; an empty sample gives `None`.

mod bootstrap;
mod change;
mod inequality;
mod multiple;
mod normal;
mod power;
mod rank;
mod sample;
mod shift;
mod sign_flip;
mod trend;

pub use bootstrap::{Interval, RESAMPLES, interval};
pub use change::{Change, changes};
pub use inequality::gini;
pub use multiple::{holm, within_reach};
pub use power::{Design, detectable, repeats_needed};
pub use rank::mann_whitney;
pub use sample::{mad, mean, median, quantile, sd};
pub use shift::{hodges_lehmann, hodges_lehmann_between};
pub use sign_flip::sign_flip;
pub use trend::{Slope, theil_sen};

/// A test's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Two-sided probability of a difference at least as great by chance alone.
    pub p: f64,
    /// The least p that this sample could have given, whatever came out; more than the level says that it cannot decide.
    pub least: f64,
}
