//! Connections whose loss and blocking are noticed, publishes that end in one [`Outcome`], consumers: over lapin, or over a
//! client of our own (`amqp::direct`) that costs less. Load and stages see [`Connection`], [`Channel`], [`Publisher`], [`Consumer`]
//! and [`Delivery`], and never which client it is; what only looks at a broker uses a [`Link`], which is lapin's.
//!
//! lapin's automatic recovery is not used: it was seen to hang for good after a break. A lost connection fails every future
//! on it promptly; a [`Renewable`] is opened anew, and whoever drives decides what is sent again. Waits that a silent broker could make endless bear a time-out.

mod backoff;
mod channel;
mod connection;
mod connector;
mod direct;
pub(crate) mod frame;
mod gate;
mod incidents;
mod link;
mod meter;
mod publish;
mod renewal;
pub mod secret;
pub mod uri;
mod ways;

pub use backoff::Backoff;
pub use channel::{Acks, Channel, Consumer, Delivery, Ended, Reach, Requeue};
pub use connection::Connection;
pub use connector::{AmqpError, Connector};
pub use incidents::{Absence, BlockedPeriod, Incidents};
pub use link::{Link, REPLY_TIMEOUT};
pub use meter::PublishMeter;
pub use publish::{Message, Outcome, Publisher, Refusal, Uncertainty};
pub use renewal::{Renewable, RenewablePublisher, persist};
