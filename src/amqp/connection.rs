//! An open connection of load or stages, whichever client speaks on it.

use super::channel::Channel;
use super::connector::AmqpError;
use super::direct;
use super::gate::Gate;
use super::link::Link;

/// An open connection.
#[expect(
    clippy::large_enum_variant,
    reason = "there are few, and none is moved for a message"
)]
#[derive(Debug)]
pub enum Connection {
    /// Of lapin's.
    Lapin(Link),
    /// Of our own client.
    Direct(direct::Link),
}

impl Connection {
    /// Opens a channel.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`].
    pub async fn channel(&self) -> Result<Channel, AmqpError> {
        match self {
            Connection::Lapin(link) => Channel::on(link).await,
            Connection::Direct(link) => Ok(Channel::direct(link.channel().await?)),
        }
    }

    fn gate(&self) -> &Gate {
        match self {
            Connection::Lapin(link) => link.gate(),
            Connection::Direct(link) => link.gate(),
        }
    }

    /// Whether the broker has this connection blocked.
    pub fn is_blocked(&self) -> bool {
        self.gate().is_blocked()
    }

    /// Waits until the broker lets this connection publish; at once if it does.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn unblocked(&self) {
        self.gate().unblocked().await;
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        match self {
            Connection::Lapin(link) => link.is_lost(),
            Connection::Direct(link) => link.gate().is_lost(),
        }
    }

    /// Waits until the connection is gone; at once if it is.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn lost(&self) {
        self.gate().lost(|| self.is_lost()).await;
    }

    /// Ends the connection as the death of its process would: the socket closes with no goodbye. What was written to it
    /// before still arrives.
    pub fn cut(&self) {
        match self {
            Connection::Lapin(link) => link.cut(),
            Connection::Direct(link) => link.cut(),
        }
    }

    /// Closes the connection; an error means that it was closed already.
    pub async fn close(&self) {
        match self {
            Connection::Lapin(link) => link.close().await,
            Connection::Direct(link) => link.close().await,
        }
    }
}
