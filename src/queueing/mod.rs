//! Queueing models: what consumers can carry, how long messages wait, how a backlog grows and drains. Pure functions over numbers.
//!
//! Nothing here knows a run, a stage or a broker; `sizing` puts measured figures in. Times are seconds, rates per second. Each
//! model names its source; docs/PLANNING.md says where they stop being true. A figure that a model does not have (the wait of a
//! station that cannot keep up) is `None`, never infinite.

mod consumers;
mod delay;
mod erlang;
mod fluid;
#[cfg(test)]
mod simulation;
mod station;
mod usl;

pub use consumers::{Consumers, Work};
pub use delay::{Delay, Journey};
pub use erlang::{erlang_b, erlang_c};
pub use fluid::{Passage, Segment, capacity_to_drain, pass};
pub use station::{Station, Wait};
pub use usl::{POINTS_FOR_TRUST, REACH, Usl, UslError, UslIntervals, fit as fit_usl};
