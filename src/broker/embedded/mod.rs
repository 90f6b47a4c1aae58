//! The in-process AMQP 0-9-1 broker. **It is not RabbitMQ, and it keeps everything in memory.**
//!
//! It exists so that a run needs nothing but Rust, and so that the driver can be measured against a broker that costs
//! next to nothing. `docs/EMBEDDED.md` lists what it honours, refuses and leaves out.
//!
//! How a message goes through it:
//!
//! ```text
//! socket → connection (reads a batch) → session (frames → channel) → content (publish, header, body)
//!        → publish → routing → delivery: queue → consumer → outbox of the consumer's connection → its writer → socket
//! ```
//!
//! Everything between two sockets happens under one lock per virtual host (`vhost`), taken once per batch that was
//! read. A session knows no socket: tests and the fuzz target feed it bytes.
//!
//! Hot frames are read and written as slices (`frame`); all other methods go through `amq-protocol`, lapin's codec,
//! which is complete on the server side but allocates per field and does not enforce frame_max.

/// What it calls itself to its clients.
pub const PRODUCT: &str = "orderstorm embedded broker, not RabbitMQ";

mod acks;
mod arena;
mod arguments;
mod channel;
mod confirms;
mod connection;
mod consumer;
mod content;
mod dead_letter;
mod delivery;
mod exchange;
mod handshake;
mod headers;
mod memory;
mod message;
mod methods;
mod names;
mod options;
mod outbox;
mod probe;
mod publish;
mod queue;
mod ready;
mod refusal;
mod routing;
mod server;
mod session;
mod shared;
mod stats;
mod timers;
mod topic;
mod transaction;
mod vhost;

pub use options::{BrokerRuntime, EmbeddedError, EmbeddedOptions};
pub use probe::{Probe, ProbeBroker, ProbeState};
pub use server::{BrokerHandle, EmbeddedBroker, serve};
pub use stats::{Counters, QueueDepth};
