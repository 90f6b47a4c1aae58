//! Recorders: HDR histograms, merged by addition and by nothing else. No sampling, no decay, no percentile of percentiles.

mod board;
mod recorder;
mod series;
mod steady;
mod window;

pub use board::Board;
pub use recorder::{HIGHEST_NS, LOWEST_NS, Quantile, Recorder, Summary};
pub use series::{Series, StageSpan};
pub use steady::{Steady, steady};
pub use window::Window;
