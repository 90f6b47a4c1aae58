//! Looks at the broker's queues and at processes; measures nothing that is on a message's way.

mod depth;
mod host;
mod process;

pub use depth::DepthProbe;
pub use host::busy_seconds;
pub use process::{ProcessProbe, ProcessSample, driver_cpu_seconds};
