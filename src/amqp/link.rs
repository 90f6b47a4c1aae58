//! A connection of lapin's.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus, Event};

use super::connector::{AmqpError, Connector};
use super::gate::{AfterLoss, Gate, Socket};
use super::incidents::Incidents;
use crate::amqp::uri::BrokerUri;

/// Longest wait for the answer to a synchronous method. A paused broker is not a dead one, so this is generous.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

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
                    self.gate.block();
                    self.incidents.blocked(&self.name, reason);
                }
                Event::ConnectionUnblocked => {
                    self.gate.unblock();
                    self.incidents.unblocked(&self.name);
                }
                Event::Error(_) if self.gate.is_closing() => {
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
    pub(super) async fn open(
        connector: &Connector,
        by_way_of: Option<SocketAddr>,
        name: &str,
        after_loss: AfterLoss,
    ) -> Result<Self, AmqpError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = tls(connector).await?;
        let runtime = default_runtime().map_err(|error| connector.refused(&error.to_string()))?;
        let socket = Arc::new(Socket::default());
        let kept = Arc::clone(&socket);
        let connecting = Connection::connector(
            connector.tuned().to_client(),
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
        let connection = match tokio::time::timeout(connector.patience(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(connector.refused(&error.to_string())),
            Err(_) => return Err(connector.refused("timed out")),
        };
        let gate = Arc::new(Gate::default());
        let ear = Ear {
            name: name.to_owned(),
            gate: Arc::clone(&gate),
            incidents: Arc::clone(connector.incidents()),
            uri: connector.tuned().clone(),
            after_loss,
            status: connection.status().clone(),
            socket: Arc::clone(&socket),
        };
        tokio::spawn(ear.listen(connection.events_listener()));
        Ok(Link {
            connection,
            name: name.to_owned(),
            incidents: Arc::clone(connector.incidents()),
            gate,
            socket,
            uri: connector.tuned().clone(),
        })
    }

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
        answer(&self.uri, doing, method).await
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The broker's address, to mask what the client says.
    pub(super) fn uri(&self) -> &BrokerUri {
        &self.uri
    }

    /// Whether the connection is gone.
    pub fn is_lost(&self) -> bool {
        self.gate.is_lost() || self.connection.status().errored()
    }

    /// Ends the connection as the death of its process would: the socket closes with no goodbye. What was written to it
    /// before still arrives.
    pub fn cut(&self) {
        if self.gate.lose() {
            self.incidents.absent(&self.name);
        }
        self.socket.cut();
    }

    /// Closes the connection; an error means that it was closed already.
    pub async fn close(&self) {
        self.gate.close();
        let closing = self.connection.close(200, "done".into());
        let _ = tokio::time::timeout(Duration::from_secs(5), closing).await;
    }
}

/// Awaits the answer to a synchronous method of lapin's, with a time-out and a masked error.
pub(super) async fn answer<T>(
    uri: &BrokerUri,
    doing: &str,
    method: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    match tokio::time::timeout(REPLY_TIMEOUT, method).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(AmqpError::Method {
            doing: doing.to_owned(),
            why: uri.mask_secrets(&error.to_string()),
        }),
        Err(_) => Err(AmqpError::NoAnswer {
            doing: doing.to_owned(),
            after: REPLY_TIMEOUT,
        }),
    }
}

/// The certificates and the key that the address names; lapin's own parser leaves them out.
async fn tls(connector: &Connector) -> Result<OwnedTLSConfig, AmqpError> {
    let files = connector.tuned().tls_files();
    let mut config = OwnedTLSConfig::default();
    if let Some(path) = &files.ca_certificates {
        let pem = read(connector, "cacertfile", path).await?;
        config.cert_chain = Some(String::from_utf8_lossy(&pem).into_owned());
    }
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.private_key) {
        let (pem, key) = (
            read(connector, "certfile", certificate).await?,
            read(connector, "keyfile", key).await?,
        );
        config.identity = Some(OwnedIdentity::PKCS8 { pem, key });
    }
    Ok(config)
}

async fn read(connector: &Connector, key: &str, path: &Path) -> Result<Vec<u8>, AmqpError> {
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || std::fs::read(owned)).await;
    reading
        .unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")))
        .map_err(|error| AmqpError::Connect {
            uri: connector.address().to_string(),
            why: format!("{key} {}: {error}", path.display()),
            help: "name a readable PEM file".to_owned(),
        })
}
