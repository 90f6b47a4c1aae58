//! What a broker says of itself before anyone logs in: the server-properties of its first method, `connection.start`.
//!
//! Source: AMQP 0-9-1 specification, sections 2.2.4 (connection opening) and 4.2.2 (protocol header).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, connection};
use amq_protocol::types::{AMQPValue, FieldTable};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
const FRAME_HEADER_BYTES: usize = 7;
/// A `connection.start` is below 1 KiB; more is not a broker.
const GREETING_BYTES_MAX: usize = 128 * 1024;

/// Name and versions of a broker, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerGreeting {
    /// `RabbitMQ`, for instance.
    pub product: String,
    /// Version of the product.
    pub version: String,
    /// What it runs on, such as `Erlang/OTP 25.2.3`; absent when it does not say.
    pub platform: Option<String>,
    /// Name of the cluster; absent when it does not say.
    pub cluster_name: Option<String>,
}

/// Why no greeting came.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// No connection, or it broke.
    #[error("asked {address} for its AMQP greeting: {source}; help: check that the broker runs and listens there")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nothing within the time given.
    #[error("asked {address} for its AMQP greeting: no answer within {after:?}; help: is it paused, or still booting?")]
    Timeout {
        /// Where.
        address: SocketAddr,
        /// Time given.
        after: Duration,
    },
    /// An answer that is not AMQP 0-9-1.
    #[error(
        "asked {address} for its AMQP greeting: the answer is not AMQP 0-9-1; help: AMQP is on port 5672 by default, 15672 is HTTP, 5671 is TLS"
    )]
    NotAmqp {
        /// Where.
        address: SocketAddr,
    },
}

/// Connects, reads the greeting, and hangs up without logging in.
///
/// # Errors
/// [`GreetingError`]; its text names the remedy.
///
/// # Cancel safety
/// Dropping the future closes the socket; nothing else is held.
pub async fn greet(address: SocketAddr, timeout: Duration) -> Result<ServerGreeting, GreetingError> {
    let frame = tokio::time::timeout(timeout, first_frame(address))
        .await
        .map_err(|_| GreetingError::Timeout {
            address,
            after: timeout,
        })?
        .map_err(|source| GreetingError::Unreachable { address, source })?;
    read_start(&frame).ok_or(GreetingError::NotAmqp { address })
}

/// Bytes of the first frame, or as many as came of something else.
async fn first_frame(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut frame).await?;
    let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if frame[0] != amq_protocol::protocol::constants::FRAME_METHOD || size > GREETING_BYTES_MAX {
        return Ok(frame);
    }
    frame.resize(FRAME_HEADER_BYTES + size + 1, 0);
    stream.read_exact(&mut frame[FRAME_HEADER_BYTES..]).await?;
    Ok(frame)
}

fn read_start(frame: &[u8]) -> Option<ServerGreeting> {
    let Ok((_, AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Start(start))))) = parse_frame(frame)
    else {
        return None;
    };
    let property = |name| text(&start.server_properties, name);
    Some(ServerGreeting {
        product: property("product").unwrap_or_default(),
        version: property("version").unwrap_or_default(),
        platform: property("platform"),
        cluster_name: property("cluster_name"),
    })
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered_with(bytes: Vec<u8>) -> Result<ServerGreeting, GreetingError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut header = [0; 8];
            stream.read_exact(&mut header).await.expect("protocol header");
            stream.write_all(&bytes).await.expect("answer");
            (stream, header)
        });
        let greeting = greet(address, Duration::from_secs(2)).await;
        assert_eq!(&server.await.expect("server task").1, PROTOCOL_HEADER);
        greeting
    }

    fn start_frame(properties: FieldTable) -> Vec<u8> {
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties,
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        };
        let frame = AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Start(start)));
        let buffer = amq_protocol::frame::gen_frame(&frame)(Vec::new().into()).expect("a frame");
        buffer.into_inner().0
    }

    #[tokio::test]
    async fn server_properties_are_read_without_a_login() {
        let mut properties = FieldTable::default();
        properties.insert("product".into(), AMQPValue::LongString("RabbitMQ".into()));
        properties.insert("version".into(), AMQPValue::LongString("9.9.9".into()));
        properties.insert("platform".into(), AMQPValue::LongString("Erlang/OTP 99".into()));
        let greeting = answered_with(start_frame(properties)).await.expect("a greeting");
        assert_eq!(
            (greeting.product.as_str(), greeting.version.as_str()),
            ("RabbitMQ", "9.9.9")
        );
        assert_eq!(
            (greeting.platform.as_deref(), greeting.cluster_name),
            (Some("Erlang/OTP 99"), None)
        );
    }

    #[tokio::test]
    async fn other_protocols_are_told_from_amqp() {
        for answer in [
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            b"AMQP\x00\x01\x00\x00".to_vec(),
        ] {
            let error = answered_with(answer).await.expect_err("not AMQP 0-9-1");
            assert!(matches!(error, GreetingError::NotAmqp { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_silent_listener_is_a_timeout_and_a_closed_port_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let silent = greet(address, Duration::from_millis(50))
            .await
            .expect_err("nobody accepts");
        assert!(matches!(silent, GreetingError::Timeout { .. }), "{silent}");
        drop(listener);
        let closed = greet(address, Duration::from_secs(1)).await.expect_err("closed");
        assert!(matches!(closed, GreetingError::Unreachable { .. }), "{closed}");
    }
}
