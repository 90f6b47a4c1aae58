//! Recorders: HDR histograms, merged by addition and by nothing else. No sampling, no decay, no percentile of percentiles.

mod board;
mod recorder;
mod series;

pub use board::Board;
pub use recorder::{HIGHEST_NS, LOWEST_NS, Quantile, Recorder, Summary};
pub use series::{Series, StageSpan};
