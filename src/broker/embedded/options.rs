//! What an embedded broker can be told, and why starting one can fail.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the broker's tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokerRuntime {
    /// On one thread of its own with its own tokio runtime: the driver's tasks and the broker's never wait for each
    /// other's poll, and the broker's CPU time can be told from the driver's. The default.
    #[default]
    OwnThread,
    /// On the tokio runtime of the caller.
    Current,
}

/// Settings of an [`EmbeddedBroker`](super::EmbeddedBroker). Start from [`EmbeddedOptions::default`].
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Address to listen on; port 0 lets the system choose. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Bytes of messages and unsent output beyond which publishers are blocked. Default 1 GiB.
    pub memory_limit: u64,
    /// Largest frame offered in `connection.tune`, in bytes; at least 4096, 0 for no limit. Default 131,072.
    pub frame_max: u32,
    /// Most channels per connection; 0 means 65,535. Default 2,047.
    pub channel_max: u16,
    /// Heartbeat offered in `connection.tune`, in seconds; 0 switches it off. Default 60.
    pub heartbeat: u16,
    /// Largest message body accepted, in bytes. Default 16 MiB.
    pub max_message_size: u64,
    /// User names and passwords. Default `guest`/`guest`.
    pub users: Vec<(String, String)>,
    /// Virtual hosts that exist from the start. Default `/`.
    pub vhosts: Vec<String>,
    /// How long a client may take from connecting to `connection.open`. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long a client may read nothing while output waits for it. Default 15 s.
    pub send_timeout: Duration,
    /// Bytes of output waiting for a connection beyond which it gets no further delivery and is not read. Default 1 MiB.
    pub output_limit: usize,
    /// Where the broker's tasks run.
    pub runtime: BrokerRuntime,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            memory_limit: 1 << 30,
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: 60,
            max_message_size: 16 << 20,
            users: vec![("guest".to_owned(), "guest".to_owned())],
            vhosts: vec!["/".to_owned()],
            handshake_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(15),
            output_limit: 1 << 20,
            runtime: BrokerRuntime::OwnThread,
        }
    }
}

impl EmbeddedOptions {
    /// Checks the values against each other and against the protocol.
    ///
    /// # Errors
    /// [`EmbeddedError::Option`] names the first value that cannot be served.
    pub fn check(&self) -> Result<(), EmbeddedError> {
        if self.frame_max != 0 && self.frame_max < crate::amqp::frame::MIN_MAX {
            return Err(EmbeddedError::Option {
                name: "frame_max",
                value: self.frame_max.to_string(),
                why: "the protocol's smallest is 4096",
            });
        }
        if self.memory_limit < 1 << 20 {
            return Err(EmbeddedError::Option {
                name: "memory_limit",
                value: self.memory_limit.to_string(),
                why: "less than 1 MiB cannot hold the buffers of one connection",
            });
        }
        if self.users.is_empty() {
            return Err(EmbeddedError::Option {
                name: "users",
                value: "[]".to_owned(),
                why: "nobody could log in",
            });
        }
        Ok(())
    }
}

/// Why an embedded broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The listening socket could not be had.
    #[error(
        "cannot listen on {address} for the embedded broker: {source}\n\
         help: choose another address, or port 0 for any free port"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker's own thread or runtime could not be made.
    #[error("cannot start the embedded broker's thread: {source}\nhelp: check the limits on threads and open files")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting cannot be served.
    #[error("cannot start the embedded broker with {name} = {value}: {why}\nhelp: change {name}")]
    Option {
        /// The field of [`EmbeddedOptions`].
        name: &'static str,
        /// Its value.
        value: String,
        /// The reason.
        why: &'static str,
    },
    /// [`BrokerRuntime::Current`] outside a tokio runtime.
    #[error(
        "cannot start the embedded broker on the current runtime: there is none\n\
         help: call it inside a tokio runtime, or choose BrokerRuntime::OwnThread"
    )]
    NoRuntime,
}
