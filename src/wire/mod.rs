//! What the pipeline looks like on the wire: its messages, and the exchanges, queues and bindings they travel through.
//!
//! Load, pipeline and clean-up share it; none of them knows another.

pub mod message;
pub mod topology;
