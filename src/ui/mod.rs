//! The live view: reads snapshots, never decides.

mod live;

pub use live::{View, follow};
