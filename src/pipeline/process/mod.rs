//! Stages whose consumers run in processes of their own, so that they can be killed as processes are.
//!
//! A worker is this same program, started again by the driver: it gets its `job` and commands by its standard input, and
//! tells what it does through a pipe that all workers of a trial share (`tell`). A `write` to that pipe is in the kernel and
//! outlives its writer, and one pipe has one order: what a worker told before it published is read before what the next
//! stage tells of that message. `desk` reads it and books it where in-process stages book, `post` keeps one worker
//! running, `crew` is all of them. Counters are memory that worker and driver share ([`crate::tally`]).

mod crew;
mod desk;
mod job;
mod nursery;
mod post;
mod tell;
mod worker;

pub(super) use crew::StageSeats;
pub use crew::{Costs as WorkerCosts, Crew};
pub(super) use post::Whom;
pub(super) use tell::{Teller, Word};
pub use worker::work;
