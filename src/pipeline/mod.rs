//! The pipeline under test: its topology on the broker, its messages, and its services.
//!
//! [`consumer`] takes deliveries through parse → dedupe → work → effect → emit → ack, the same for every stage; what a
//! stage does in the middle is its [`order::Service`]. Measures and effects go to the trial's board and ledger as they
//! happen.

pub mod consumer;
pub mod meter;
pub mod order;
pub mod running;
pub mod store;
pub mod strike;
pub mod switch;
mod work;

pub use meter::StageMeter;
pub use running::{Pipeline, PipelineError};
pub use switch::StageSwitch;
