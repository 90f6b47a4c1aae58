//! One connection to the broker.

use std::future::Future;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus, Event};
use tokio::sync::Notify;

use super::incidents::Incidents;
use super::ways::Ways;
use crate::amqp::uri::{BrokerUri, ClientParam};

/// Longest wait for the answer to a synchronous method. A paused broker is not a dead one, so this is generous.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
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
            ways: Arc::default(),
        }
    }

    /// The same with a heartbeat of so many seconds, instead of the address's or the broker's.
    pub fn with_heartbeat(mut self, seconds: u16) -> Self {
        self.uri = self.uri.with_param(ClientParam::HeartbeatSeconds(seconds));
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

    /// Opens a connection that bears `name` on the broker; its loss ends the trial.
    ///
    /// # Errors
    /// [`AmqpError::Connect`] with the cause and the remedy.
    pub async fn connect(&self, name: &str) -> Result<Link, AmqpError> {
        self.open(name, AfterLoss::End).await
    }

    /// As [`Connector::connect`], but its owner opens it anew when it is lost.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub(super) async fn connect_renewable(&self, name: &str) -> Result<Link, AmqpError> {
        self.open(name, AfterLoss::Renew).await
    }

    /// One attempt: at each node once, until one answers.
    async fn open(&self, name: &str, after_loss: AfterLoss) -> Result<Link, AmqpError> {
        let mut refused = self.refused("there is no node");
        for way in self.ways.of(name) {
            match self.open_by(way, name, after_loss).await {
                Ok(link) => {
                    self.ways.took(name, way);
                    return Ok(link);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn open_by(
        &self,
        by_way_of: Option<SocketAddr>,
        name: &str,
        after_loss: AfterLoss,
    ) -> Result<Link, AmqpError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = self.tls().await?;
        let runtime = default_runtime().map_err(|error| self.refused(&error.to_string()))?;
        let socket = Arc::new(Socket::default());
        let kept = Arc::clone(&socket);
        let connecting = Connection::connector(
            self.uri.to_client(),
            runtime,
            async move |mut uri, runtime| {
                // The plain connection first, so that its socket can be kept; TLS is spoken over it then.
                let scheme = std::mem::replace(&mut uri.scheme, AMQPScheme::AMQP);
                let name = uri.authority.host.clone();
                if let Some(proxy) = by_way_of {
                    uri.authority.host = proxy.ip().to_string();
                    uri.authority.port = proxy.port();
                }
                let stream = AMQPUriTcpExt::connect_async(&uri, &runtime).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    kept.keep(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                }
                Ok(match scheme {
                    AMQPScheme::AMQP => stream,
                    AMQPScheme::AMQPS => stream.into_tls(&name, tls.as_ref()).await?,
                })
            },
            properties,
        );
        let usual = match self.ways().len() {
            0 | 1 => CONNECT_TIMEOUT,
            _ => NODE_TIMEOUT,
        };
        let patience = self.uri.connection_timeout_ms().map_or(usual, Duration::from_millis);
        let connection = match tokio::time::timeout(patience, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.refused(&error.to_string())),
            Err(_) => return Err(self.refused("timed out")),
        };
        let gate = Arc::new(Gate::default());
        let ear = Ear {
            name: name.to_owned(),
            gate: Arc::clone(&gate),
            incidents: Arc::clone(&self.incidents),
            uri: self.uri.clone(),
            after_loss,
            status: connection.status().clone(),
            socket: Arc::clone(&socket),
        };
        tokio::spawn(ear.listen(connection.events_listener()));
        Ok(Link {
            connection,
            name: name.to_owned(),
            incidents: Arc::clone(&self.incidents),
            gate,
            socket,
            uri: self.uri.clone(),
        })
    }

    /// The certificates and the key that the address names; lapin's own parser leaves them out.
    async fn tls(&self) -> Result<OwnedTLSConfig, AmqpError> {
        let files = self.uri.tls_files();
        let mut config = OwnedTLSConfig::default();
        if let Some(path) = &files.ca_certificates {
            let pem = self.read("cacertfile", path).await?;
            config.cert_chain = Some(String::from_utf8_lossy(&pem).into_owned());
        }
        if let (Some(certificate), Some(key)) = (&files.certificate, &files.private_key) {
            let (pem, key) = (
                self.read("certfile", certificate).await?,
                self.read("keyfile", key).await?,
            );
            config.identity = Some(OwnedIdentity::PKCS8 { pem, key });
        }
        Ok(config)
    }

    async fn read(&self, key: &str, path: &Path) -> Result<Vec<u8>, AmqpError> {
        let owned = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || std::fs::read(owned)).await;
        reading
            .unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")))
            .map_err(|error| AmqpError::Connect {
                uri: self.given.to_string(),
                why: format!("{key} {}: {error}", path.display()),
                help: "name a readable PEM file".to_owned(),
            })
    }

    fn refused(&self, why: &str) -> AmqpError {
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

/// Whether the broker lets a connection publish.
#[derive(Debug, Default)]
struct Gate {
    blocked: AtomicBool,
    opened: Notify,
    /// We are closing it ourselves: its end is no incident.
    closing: AtomicBool,
    /// It is gone.
    lost: AtomicBool,
    left: Notify,
}

impl Gate {
    /// Takes note that the connection is gone; says whether that is news.
    fn lose(&self) -> bool {
        let news = !self.lost.swap(true, Ordering::AcqRel);
        self.left.notify_waiters();
        // Nobody is held back by the block of a connection that is gone.
        self.blocked.store(false, Ordering::Release);
        self.opened.notify_waiters();
        news
    }
}

/// What the loss of a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterLoss {
    /// The end of the trial.
    End,
    /// A new connection.
    Renew,
}

/// The socket of a connection, kept to be cut; lapin has its own handle on it.
#[derive(Debug, Default)]
struct Socket(Mutex<Option<TcpStream>>);

impl Socket {
    fn keep(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Lets go of it, so that nothing of ours keeps a dead connection open.
    fn release(&self) -> Option<TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Listens to what happens to a connection.
struct Ear {
    name: String,
    gate: Arc<Gate>,
    incidents: Arc<Incidents>,
    uri: BrokerUri,
    after_loss: AfterLoss,
    status: ConnectionStatus,
    socket: Arc<Socket>,
}

impl Ear {
    async fn listen(self, events: impl futures_util::Stream<Item = Event>) {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Event::ConnectionBlocked(reason) => {
                    self.gate.blocked.store(true, Ordering::Release);
                    self.incidents.blocked(&self.name, reason);
                }
                Event::ConnectionUnblocked => {
                    self.gate.blocked.store(false, Ordering::Release);
                    self.gate.opened.notify_waiters();
                    self.incidents.unblocked(&self.name);
                }
                Event::Error(_) if self.gate.closing.load(Ordering::Acquire) => {
                    self.socket.release();
                }
                Event::Error(error) => self.failed(&self.uri.mask_secrets(&error.to_string())),
                _ => {}
            }
        }
    }

    fn failed(&self, why: &str) {
        match self.after_loss {
            AfterLoss::End => self.incidents.lose(&self.name, why),
            // One of its channels is gone, and whose it was knows.
            AfterLoss::Renew if self.status.connected() => {}
            // One that we cut has been noted, and may have a successor under its name already.
            AfterLoss::Renew if self.gate.lose() => self.incidents.absent(&self.name),
            AfterLoss::Renew => {}
        }
        if !self.status.connected() {
            self.socket.release();
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    name: String,
    incidents: Arc<Incidents>,
    gate: Arc<Gate>,
    socket: Arc<Socket>,
    uri: BrokerUri,
}

impl Link {
    /// Opens a channel.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`].
    pub async fn channel(&self) -> Result<Channel, AmqpError> {
        self.answer("open a channel", self.connection.create_channel()).await
    }

    /// Awaits the answer to a synchronous method, with a time-out and a masked error; `doing` says what is tried, on what.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`].
    pub async fn answer<T>(&self, doing: &str, method: impl Future<Output = lapin::Result<T>>) -> Result<T, AmqpError> {
        match tokio::time::timeout(REPLY_TIMEOUT, method).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(AmqpError::Method {
                doing: doing.to_owned(),
                why: self.uri.mask_secrets(&error.to_string()),
            }),
            Err(_) => Err(AmqpError::NoAnswer {
                doing: doing.to_owned(),
                after: REPLY_TIMEOUT,
            }),
        }
    }

    /// Whether the broker has this connection blocked.
    pub fn is_blocked(&self) -> bool {
        self.gate.blocked.load(Ordering::Acquire)
    }

    /// Waits until the broker lets this connection publish; at once if it does.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn unblocked(&self) {
        loop {
            let opened = self.gate.opened.notified();
            if !self.is_blocked() {
                return;
            }
            opened.await;
        }
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.gate.lost.load(Ordering::Acquire) || self.connection.status().errored()
    }

    /// Waits until the connection is gone; at once if it is.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn lost(&self) {
        loop {
            let left = self.gate.left.notified();
            if self.is_lost() {
                return;
            }
            left.await;
        }
    }

    /// Ends the connection as the death of its process would: the socket closes with no goodbye. What was written to it
    /// before still arrives.
    pub fn cut(&self) {
        if self.gate.lose() {
            self.incidents.absent(&self.name);
        }
        if let Some(socket) = self.socket.release() {
            // A socket that the broker has closed already needs no cut.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Closes the connection; an error means that it was closed already.
    pub async fn close(&self) {
        self.gate.closing.store(true, Ordering::Release);
        let closing = self.connection.close(200, "done".into());
        let _ = tokio::time::timeout(Duration::from_secs(5), closing).await;
    }
}
