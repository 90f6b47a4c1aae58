//! Looks at the broker's queues and at processes; measures nothing that is on a message's way.

mod depth;
mod hiccup;
mod host;
mod process;

pub use depth::DepthProbe;
pub use hiccup::HiccupProbe;
pub use host::{busy_seconds, stolen_seconds, throttled_seconds};
pub use process::{ProcessProbe, ProcessSample, driver_cpu_seconds};
