//! Faults: what is done to the broker in the middle of a trial, one file each. Every fault heals, on every way out.

mod broker_pause;

pub use broker_pause::{Pausable, run_pause};
