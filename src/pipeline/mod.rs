//! The pipeline under test: its topology on the broker, its messages, and its services.
//!
//! [`consumer`] takes deliveries through parse → look up → work → commit → emit → ack, the same for every stage; what a
//! stage does in the middle is its [`order::Service`], and what it remembers is its [`store::Store`]. Measures and effects go to the trial's board and ledger as they
//! happen.

mod acked;
mod batch;
pub mod consumer;
mod emission;
mod evidence;
pub mod meter;
pub mod order;
pub mod process;
mod relay;
pub mod retry;
pub mod running;
mod staff;
mod step;
pub mod store;
pub mod strike;
pub mod switch;
mod work;

pub use acked::{AckLog, Returned};
pub use meter::StageMeter;
pub use running::{Pipeline, PipelineError, StartError};
pub use switch::StageSwitch;
