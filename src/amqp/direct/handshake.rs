//! From the protocol header to connection.open-ok, as lapin does it: PLAIN, the same capabilities, the broker's own limits.

use amq_protocol::protocol::connection::{self, AMQPMethod};
use amq_protocol::protocol::{AMQPClass, parse_class};
use amq_protocol::types::{AMQPValue, FieldTable};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::line::Tuned;
use super::reader::said;
use crate::amqp::frame;
use crate::amqp::uri::BrokerUri;

const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// Frames are taken as large as RabbitMQ makes them by default: a large body then comes as one slice.
const FRAME_MAX: u32 = 128 << 10;
/// No method of a handshake is longer.
const METHOD_MAX: u32 = 64 << 10;

/// What the handshake came to, and what was read beyond it.
pub(super) struct Opened {
    pub(super) tuned: Tuned,
    pub(super) input: BytesMut,
}

/// Logs in and opens the virtual host; `name` is what the connection is called on the broker.
///
/// # Errors
/// Why not, for people; it may hold the password.
pub(super) async fn open(stream: &mut TcpStream, uri: &BrokerUri, name: &str) -> Result<Opened, String> {
    let mut talk = Talk {
        stream,
        input: BytesMut::new(),
    };
    talk.write(PROTOCOL_HEADER).await?;
    match talk.read().await? {
        AMQPMethod::Start(start) => {
            let offered = String::from_utf8_lossy(start.mechanisms.as_bytes()).into_owned();
            if !offered.split(' ').any(|mechanism| mechanism == "PLAIN") {
                return Err(format!("the broker offers no login by PLAIN, but {offered}"));
            }
        }
        other => return Err(unexpected(&other)),
    }
    let response = format!("\0{}\0{}", uri.user(), uri.password().expose());
    talk.send(AMQPMethod::StartOk(connection::StartOk {
        client_properties: client_properties(name),
        mechanism: "PLAIN".into(),
        response: response.as_str().into(),
        locale: "en_US".into(),
    }))
    .await?;
    let tuned = match talk.read().await? {
        AMQPMethod::Tune(tune) => negotiate(&tune, uri),
        other => return Err(unexpected(&other)),
    };
    talk.send(AMQPMethod::TuneOk(connection::TuneOk {
        channel_max: tuned.channel_max,
        frame_max: tuned.frame_max,
        heartbeat: tuned.heartbeat,
    }))
    .await?;
    talk.send(AMQPMethod::Open(connection::Open {
        virtual_host: uri.vhost().into(),
    }))
    .await?;
    match talk.read().await? {
        AMQPMethod::OpenOk(_) => Ok(Opened {
            tuned,
            input: talk.input,
        }),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(method: &AMQPMethod) -> String {
    match method {
        AMQPMethod::Close(close) => said(close.reply_code, close.reply_text.as_str()),
        other => format!("the broker's login took an unexpected turn: {other:?}"),
    }
}

/// The smaller of two limits, of which 0 or absence means none.
fn limit<T: Ord + Default + Copy>(ours: Option<T>, broker_s: T) -> T {
    match ours {
        Some(ours) if broker_s == T::default() => ours,
        Some(ours) => ours.min(broker_s),
        None => broker_s,
    }
}

fn negotiate(tune: &connection::Tune, uri: &BrokerUri) -> Tuned {
    Tuned {
        frame_max: limit(Some(FRAME_MAX), tune.frame_max),
        channel_max: limit(uri.channel_max(), tune.channel_max),
        heartbeat: limit(uri.heartbeat_seconds(), tune.heartbeat),
    }
}

fn client_properties(name: &str) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in [
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ] {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    for (key, value) in [
        ("product", "orderstorm"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "rust"),
        ("connection_name", name),
    ] {
        properties.insert(key.into(), AMQPValue::LongString(value.into()));
    }
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

/// The conversation, one method at a time.
struct Talk<'a> {
    stream: &'a mut TcpStream,
    input: BytesMut,
}

impl Talk<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| format!("cannot write to the broker: {error}"))
    }

    async fn send(&mut self, method: AMQPMethod) -> Result<(), String> {
        let mut out = Vec::new();
        frame::write_method(&mut out, 0, &AMQPClass::Connection(method));
        self.write(&out).await
    }

    async fn read(&mut self) -> Result<AMQPMethod, String> {
        loop {
            if self.input.starts_with(b"AMQP") {
                return Err("the broker speaks another version of AMQP".to_owned());
            }
            match frame::split(&self.input, METHOD_MAX) {
                Ok(Some((frame, octets))) if frame.kind == frame::HEARTBEAT => self.input.advance(octets),
                Ok(Some((frame, octets))) => {
                    let method = parse_class(frame.payload).map(|(_, class)| class);
                    self.input.advance(octets);
                    return match method {
                        Ok(AMQPClass::Connection(method)) => Ok(method),
                        Ok(_) | Err(_) => Err("what answered does not log in as an AMQP broker does".to_owned()),
                    };
                }
                Ok(None) => self.more().await?,
                Err(_) => return Err("what answered is no AMQP broker".to_owned()),
            }
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err("the broker closed the connection while logging in".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("cannot read from the broker: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_smaller_holds_and_0_is_none() {
        assert_eq!(limit(Some(10u16), 0), 10);
        assert_eq!(limit(Some(10u16), 60), 10);
        assert_eq!(limit(Some(60u16), 10), 10);
        assert_eq!(limit(None, 60u16), 60);
        assert_eq!(limit(None, 0u16), 0);
    }
}
