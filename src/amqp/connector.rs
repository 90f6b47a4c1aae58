//! Makes connections: the address, the client that speaks, the way there, and what to say when there is none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::direct;
use super::gate::AfterLoss;
use super::incidents::Incidents;
use super::link::Link;
use super::ways::Ways;
use crate::amqp::uri::{BrokerUri, ClientParam};
use crate::workload::model::Client;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The same where another node can be tried instead.
const NODE_TIMEOUT: Duration = Duration::from_secs(4);
/// lapin keeps buffers of 16 frames per connection: 7 MiB at RabbitMQ's default, 62 KiB at this, at the same throughput.
const FRAME_MAX: u32 = 8192;

/// What went wrong on the wire; foreign texts bear no credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AmqpError {
    /// No connection.
    #[error("cannot connect to {uri}: {why}\nhelp: {help}")]
    Connect {
        /// The address, masked.
        uri: String,
        /// The cause.
        why: String,
        /// The remedy.
        help: String,
    },
    /// A method failed.
    #[error("{doing}: {why}")]
    Method {
        /// What was tried, on what.
        doing: String,
        /// The cause.
        why: String,
    },
    /// The broker did not answer.
    #[error("{doing}: the broker did not answer within {}\nhelp: it may be paused, overloaded or cut off", humantime::format_duration(*after))]
    NoAnswer {
        /// What was tried, on what.
        doing: String,
        /// How long.
        after: Duration,
    },
}

/// Makes connections to one broker.
#[derive(Debug, Clone)]
pub struct Connector {
    /// As the user gave it, for messages.
    given: BrokerUri,
    /// With the client's own parameters.
    uri: BrokerUri,
    incidents: Arc<Incidents>,
    /// What load and stages speak through.
    client: Client,
    /// Where to connect instead: nodes of a cluster, or proxies. TLS still expects the broker's own name.
    ways: Arc<Ways>,
}

impl Connector {
    /// A connector to `uri`; what happens to its connections goes to `incidents`.
    pub fn new(uri: &BrokerUri, incidents: Arc<Incidents>) -> Self {
        Connector {
            given: uri.clone(),
            uri: uri.with_param(ClientParam::FrameMax(FRAME_MAX)),
            incidents,
            client: Client::Lapin,
            ways: Arc::default(),
        }
    }

    /// The same with a heartbeat of so many seconds, instead of the address's or the broker's.
    pub fn with_heartbeat(mut self, seconds: u16) -> Self {
        self.uri = self.uri.with_param(ClientParam::HeartbeatSeconds(seconds));
        self
    }

    /// The same, with this client for the connections of load and stages.
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// The same to these addresses instead: the nodes of a cluster, or proxies in front of the broker. Connections are dealt
    /// out over them, the first to number `first`, counted round; one whose node does not answer goes on to the next. With no
    /// address it is the same connector.
    pub fn over(&self, addresses: Vec<SocketAddr>, first: usize) -> Self {
        if addresses.is_empty() {
            return self.clone();
        }
        Connector {
            ways: Arc::new(Ways::new(addresses, first)),
            ..self.clone()
        }
    }

    /// The broker's address as it was given.
    pub fn address(&self) -> &BrokerUri {
        &self.given
    }

    /// Where it connects instead; nothing where it goes to the broker's address.
    pub fn ways(&self) -> &[SocketAddr] {
        self.ways.addresses()
    }

    /// The incidents of this connector's connections.
    pub fn incidents(&self) -> &Arc<Incidents> {
        &self.incidents
    }

    /// Opens a connection of lapin's that bears `name` on the broker; its loss ends the trial.
    ///
    /// # Errors
    /// [`AmqpError::Connect`] with the cause and the remedy.
    pub async fn connect(&self, name: &str) -> Result<Link, AmqpError> {
        self.any_way(name, |way| Link::open(self, way, name, AfterLoss::End))
            .await
    }

    /// As [`Connector::connect`], but its owner opens it anew when it is lost.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub(super) async fn connect_renewable(&self, name: &str) -> Result<Connection, AmqpError> {
        self.any_way(name, |way| self.renewable_by(way, name)).await
    }

    async fn renewable_by(&self, way: Option<SocketAddr>, name: &str) -> Result<Connection, AmqpError> {
        match self.client {
            Client::Lapin => Link::open(self, way, name, AfterLoss::Renew)
                .await
                .map(Connection::Lapin),
            Client::Direct => direct::Link::open(self, way, name).await.map(Connection::Direct),
        }
    }

    /// One attempt: at each node once, until one answers.
    async fn any_way<T, F>(&self, name: &str, open: impl Fn(Option<SocketAddr>) -> F) -> Result<T, AmqpError>
    where
        F: Future<Output = Result<T, AmqpError>>,
    {
        let mut refused = self.refused("there is no node");
        for way in self.ways.of(name) {
            match open(way).await {
                Ok(opened) => {
                    self.ways.took(name, way);
                    return Ok(opened);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The address with the client's own parameters.
    pub(super) fn tuned(&self) -> &BrokerUri {
        &self.uri
    }

    /// Longest wait for a connection.
    pub(super) fn patience(&self) -> Duration {
        let usual = match self.ways().len() {
            0 | 1 => CONNECT_TIMEOUT,
            _ => NODE_TIMEOUT,
        };
        self.uri.connection_timeout_ms().map_or(usual, Duration::from_millis)
    }

    /// Why there is no connection, with the remedy.
    pub(super) fn refused(&self, why: &str) -> AmqpError {
        let why = self.uri.mask_secrets(why);
        let lower = why.to_lowercase();
        let help = if lower.contains("certificate") || lower.contains("unknownissuer") || lower.contains("tls") {
            "the broker's certificate is checked against the system's certificates and its name against the host; name its issuer with ?cacertfile=FILE"
        } else if lower.contains("access_refused")
            || lower.contains("access-refused")
            || lower.contains("login was refused")
        {
            "the user name or the password is wrong, or the user may not enter this vhost; `guest` may only come from the broker's own host"
        } else if lower.contains("not_allowed") || lower.contains("vhost") {
            "the vhost does not exist, or the user has no permission on it; the default vhost is written /%2f"
        } else if lower.contains("refused") {
            "is a broker listening there? `orderstorm doctor` shows what this machine has; `--broker managed` starts a private one"
        } else if lower.contains("timed out") {
            "the host does not answer, or no AMQP broker does; check host and port"
        } else {
            "check the address, and that the broker speaks AMQP 0-9-1 there"
        };
        AmqpError::Connect {
            uri: self.given.to_string(),
            why,
            help: help.to_owned(),
        }
    }
}
