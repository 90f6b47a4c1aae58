//! An AMQP 0-9-1 client of our own, for the driver's hot path: one socket, one task that reads and one that writes.
//!
//! Frames are appended to one buffer and written in batches; what is read is parsed where it lies, and bodies are slices of it.
//! Confirms are matched by a ring of sequence numbers, a return to its own publish. A publish costs no task, no timer and no
//! thread. It opens no channel by itself, repeats nothing and does not come back from a loss: that is [`super::Renewable`]'s.
//!
//! ```text
//! Outlet, Channel ─ append ─▶ Line (buffer) ─▶ writer ─▶ socket ─▶ reader ─▶ Lane (confirms, inbox, replies) ─▶ their futures
//! ```

mod channel;
mod confirms;
mod delivery;
mod handshake;
mod inbox;
mod keeper;
mod lane;
mod line;
mod link;
mod outlet;
mod reader;
mod writer;

pub(super) use channel::{Channel, Verdict};
pub(super) use delivery::Delivery;
pub use link::Link;
pub(super) use outlet::Outlet;
