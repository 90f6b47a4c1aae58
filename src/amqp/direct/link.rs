//! An open connection of the direct client.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, channel};
use tokio::net::TcpStream;

use super::channel::Channel;
use super::handshake::{self, Opened};
use super::line::Line;
use super::{keeper, reader, writer};
use crate::amqp::connector::{AmqpError, Connector};
use crate::amqp::gate::{Gate, Socket};
use crate::amqp::uri::{AuthMechanism, Scheme};

/// Longest wait for the broker's word when we close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection; dropped, it says goodbye and closes.
#[derive(Debug)]
pub struct Link(Arc<Line>);

impl Link {
    /// Connects under `name`.
    ///
    /// # Errors
    /// [`AmqpError::Connect`] with the cause and the remedy.
    pub(in crate::amqp) async fn open(
        connector: &Connector,
        way: Option<SocketAddr>,
        name: &str,
    ) -> Result<Self, AmqpError> {
        let uri = connector.address();
        let without = |what: &str| AmqpError::Connect {
            uri: uri.to_string(),
            why: format!("driver.client = \"direct\" has no {what}"),
            help: "use driver.client = \"lapin\" with this address".to_owned(),
        };
        if uri.scheme() == Scheme::Amqps {
            return Err(without("TLS"));
        }
        if uri
            .auth_mechanism()
            .is_some_and(|mechanism| mechanism != AuthMechanism::Plain)
        {
            return Err(without("login but PLAIN"));
        }
        let opening = tokio::time::timeout(connector.patience(), connect(connector, way, name));
        match opening.await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(why)) => Err(connector.refused(&why)),
            Err(_) => Err(connector.refused("timed out")),
        }
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`].
    pub(in crate::amqp) async fn channel(&self) -> Result<Channel, AmqpError> {
        let doing = "open a channel";
        let lane = self.0.admit().map_err(|why| AmqpError::Method {
            doing: doing.to_owned(),
            why,
        })?;
        let channel = Channel::new(lane);
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        channel.call(doing, open).await?;
        Ok(channel)
    }

    pub(in crate::amqp) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Ends the connection with no goodbye. What was written to it before still arrives.
    pub(in crate::amqp) fn cut(&self) {
        self.0.socket.cut();
        self.0.fail("the connection was cut");
    }

    /// Closes the connection.
    pub(in crate::amqp) async fn close(&self) {
        self.0.say_goodbye();
        // A broker that says nothing is left alone.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.0.over().cancelled()).await;
        self.0.fail("closed");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.0.gate.is_lost() && !self.0.gate.is_closing() {
            self.0.say_goodbye();
        }
    }
}

async fn connect(connector: &Connector, way: Option<SocketAddr>, name: &str) -> Result<Link, String> {
    let uri = connector.tuned();
    let connected = match way {
        Some(way) => TcpStream::connect(way).await,
        None => TcpStream::connect((uri.host(), uri.port())).await,
    };
    let mut stream = connected.map_err(|error| error.to_string())?;
    // A frame must not wait for the acknowledgement of the segment before. On failure it is late, not lost.
    let _ = stream.set_nodelay(true);
    let Opened { tuned, input } = handshake::open(&mut stream, uri, name).await?;
    let socket = Socket::default();
    let handle = stream.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    socket.keep(handle.into());
    let line = Arc::new(Line::new(connector, name, tuned, socket));
    let (reading, writing) = stream.into_split();
    tokio::spawn(reader::run(Arc::clone(&line), reading, input));
    tokio::spawn(writer::run(Arc::clone(&line), writing));
    tokio::spawn(keeper::run(Arc::clone(&line)));
    Ok(Link(line))
}
