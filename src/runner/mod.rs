//! The conductor: one run through its phases.
//!
//! Provision → declare → warm up → measure (faults live here) → drain → verify → persist. Whatever happens, what was
//! measured is kept, the faults are healed, and what the run put on the broker is taken off again.

pub mod ab;
mod backlog;
mod balance;
mod between;
mod capacity;
mod ceiling;
mod databases;
mod depth;
pub mod dlq;
mod impact;
mod manifest;
mod network;
mod node_down;
mod node_loss;
mod outcome;
mod overload;
mod provenance;
mod residue;
mod resume;
mod run;
mod slope;
mod snapshot;
mod stores;
mod trial;
mod validity;
mod watch;

/// The program that this process runs, for worker processes; even if its file was replaced meanwhile.
pub fn own_program() -> std::path::PathBuf {
    "/proc/self/exe".into()
}

pub use capacity::{Asked, Search, SearchError};
pub use ceiling::measure_ceiling;
pub use manifest::{CleanupError, Manifest, clean_up};
pub use provenance::{commit, machine};
pub use resume::{Resume, ResumeError};
pub use run::{AtEnd, Finished, Interrupt, RunError, RunRequest, resume, run};
pub use snapshot::{Phase, Snapshot};
pub use stores::{Schemas, Stores};
