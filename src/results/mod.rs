//! The run folder: the only bridge between what measures and what reports.
//!
//! Files and their columns are described in docs/RESULTS.md.

pub mod ab;
pub mod capacity;
pub mod folder;
pub mod hlog;
pub mod latency_log;
pub mod objective;
pub mod prediction;
pub mod record;
pub mod series;
mod tail;
mod thin;

pub use folder::{FolderError, RunFolder};
pub use record::RunRecord;
pub use series::{SeriesTable, SeriesWriter};
