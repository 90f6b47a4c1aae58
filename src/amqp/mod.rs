//! A thin shell over lapin: connections whose loss and blocking are noticed, publishes that end in one [`Outcome`].
//!
//! lapin's automatic recovery is not used: it was seen to hang for good after a break. A lost connection fails every future
//! on it promptly; a [`Renewable`] is opened anew, and whoever drives decides what is sent again. Waits that a silent broker could make endless bear a time-out.

mod backoff;
mod incidents;
mod link;
mod publish;
mod renewal;
pub mod secret;
pub mod uri;
mod ways;

pub use backoff::Backoff;
pub use incidents::{Absence, BlockedPeriod, Incidents};
pub use link::{AmqpError, Connector, Link, REPLY_TIMEOUT};
pub use publish::{Message, Outcome, PublishMeter, Publisher, Refusal, Uncertainty};
pub use renewal::{Renewable, RenewablePublisher, persist};
