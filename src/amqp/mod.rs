//! A thin shell over lapin: connections whose loss and blocking are noticed, publishes that end in one [`Outcome`].
//!
//! lapin's automatic recovery is not used: it was seen to hang for good after a break. A lost connection fails every future
//! on it promptly, and whoever drives decides what follows. Waits that a silent broker could make endless bear a time-out.

mod incidents;
mod link;
mod publish;
pub mod secret;
pub mod uri;

pub use incidents::{BlockedPeriod, Incidents};
pub use link::{AmqpError, Connector, Link, REPLY_TIMEOUT};
pub use publish::{Message, Outcome, PublishMeter, Publisher, Refusal, Uncertainty};
