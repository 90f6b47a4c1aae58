//! Faults: what is done to the broker or to a stage in the middle of a trial, one file each. Every fault heals, on every way out.

mod broker_pause;
mod stage_outage;

pub use broker_pause::{Pausable, run_pause};
pub use stage_outage::{Switchable, run_outage};
