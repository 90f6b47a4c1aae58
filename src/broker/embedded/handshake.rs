//! From the protocol header to connection.open: versions, login, tuning, virtual host.

use std::sync::Arc;

use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{self, AMQPMethod};
use amq_protocol::types::parsing::parse_field_table;
use amq_protocol::types::{AMQPValue, FieldTable};
use bytes::{Buf, BytesMut};

use super::outbox::Outbox;
use super::refusal::Refusal;
use super::session::decode_method;
use super::shared::Shared;
use super::vhost::Vhost;
use crate::amqp::frame;

const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// Client capabilities that change what the broker sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) consumer_cancel_notify: bool,
    pub(super) connection_blocked: bool,
    pub(super) authentication_failure_close: bool,
}

/// What the handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tuned {
    pub(super) frame_max: u32,
    pub(super) channel_max: u16,
    /// Seconds; 0 is off.
    pub(super) heartbeat: u16,
    pub(super) user: String,
    pub(super) capabilities: Capabilities,
}

impl Tuned {
    /// Limits until tune-ok: enough for a start-ok with many client properties.
    pub(super) fn before_tune() -> Self {
        Self {
            frame_max: 2 * frame::MIN_MAX,
            channel_max: 0,
            heartbeat: 0,
            user: String::new(),
            capabilities: Capabilities::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Header,
    StartOk,
    TuneOk,
    Open,
}

/// How far the handshake is.
#[derive(Debug)]
pub(super) struct Handshake {
    awaited: Awaited,
}

/// What came of one look at the input.
pub(super) enum Step {
    NeedInput,
    /// One message was dealt with.
    Again,
    Done(Arc<Vhost>),
    /// The client cannot be talked to: close the socket once the output is written.
    HangUp,
}

impl Handshake {
    pub(super) fn new() -> Self {
        Self {
            awaited: Awaited::Header,
        }
    }

    /// Deals with the next message in `input`, if it is complete.
    ///
    /// # Errors
    /// What is to be sent as connection.close: 403 login, 530 tuning and virtual host, 50x malformed or out of order.
    pub(super) fn step(
        &mut self,
        input: &mut BytesMut,
        shared: &Shared,
        outbox: &Outbox,
        tuned: &mut Tuned,
    ) -> Result<Step, Refusal> {
        if self.awaited == Awaited::Header {
            return Ok(self.protocol_header(input, outbox));
        }
        let (class, length) = match frame::split(input, tuned.frame_max) {
            Ok(None) => return Ok(Step::NeedInput),
            // Before login, what is no frame is no AMQP client: no answer is owed.
            Err(_) => return Ok(Step::HangUp),
            Ok(Some((frame, length))) if frame.kind == frame::HEARTBEAT => {
                input.advance(length);
                return Ok(Step::Again);
            }
            Ok(Some((frame, _))) if frame.kind != frame::METHOD || frame.channel != 0 => return Ok(Step::HangUp),
            Ok(Some((frame, length))) => (decode_method(frame.payload), length),
        };
        input.advance(length);
        match (self.awaited, class?) {
            (Awaited::StartOk, AMQPClass::Connection(AMQPMethod::StartOk(start_ok))) => {
                self.start_ok(&start_ok, shared, outbox, tuned)
            }
            (Awaited::TuneOk, AMQPClass::Connection(AMQPMethod::TuneOk(tune_ok))) => {
                negotiate(&tune_ok, shared, tuned)?;
                self.awaited = Awaited::Open;
                Ok(Step::Again)
            }
            (Awaited::Open, AMQPClass::Connection(AMQPMethod::Open(open))) => {
                let name = open.virtual_host.as_str();
                let vhost = shared
                    .vhost(name)
                    .ok_or_else(|| Refusal::not_allowed(format!("vhost {name} not found")).during(10, 40))?;
                send(outbox, AMQPMethod::OpenOk(connection::OpenOk {}));
                Ok(Step::Done(vhost))
            }
            (_, AMQPClass::Connection(AMQPMethod::Close(_))) => {
                send(outbox, AMQPMethod::CloseOk(connection::CloseOk {}));
                Ok(Step::HangUp)
            }
            (Awaited::Open | Awaited::TuneOk, _) => {
                Err(Refusal::channel_error("unexpected method in connection state opening"))
            }
            _ => Ok(Step::HangUp),
        }
    }

    fn protocol_header(&mut self, input: &mut BytesMut, outbox: &Outbox) -> Step {
        let enough = input.len().min(PROTOCOL_HEADER.len());
        if input[..enough] != PROTOCOL_HEADER[..enough] {
            // Specification 4.2.2: answer with the header of the version that is spoken, and close.
            outbox.append(|out| out.extend_from_slice(PROTOCOL_HEADER));
            return Step::HangUp;
        }
        if enough < PROTOCOL_HEADER.len() {
            return Step::NeedInput;
        }
        input.advance(PROTOCOL_HEADER.len());
        send(outbox, AMQPMethod::Start(start()));
        self.awaited = Awaited::StartOk;
        Step::Again
    }

    fn start_ok(
        &mut self,
        start_ok: &connection::StartOk,
        shared: &Shared,
        outbox: &Outbox,
        tuned: &mut Tuned,
    ) -> Result<Step, Refusal> {
        tuned.capabilities = capabilities(&start_ok.client_properties);
        let mechanism = start_ok.mechanism.as_str();
        let login = match mechanism {
            "PLAIN" => plain(start_ok.response.as_bytes()),
            "AMQPLAIN" => amqplain(start_ok.response.as_bytes()),
            _ => {
                return Err(
                    Refusal::command_invalid(format!("unknown authentication mechanism '{mechanism}'")).during(10, 11),
                );
            }
        };
        match login.filter(|login| shared.options.users.contains(login)) {
            Some((user, _)) => {
                tuned.user = user;
                send(
                    outbox,
                    AMQPMethod::Tune(connection::Tune {
                        channel_max: shared.options.channel_max,
                        frame_max: shared.options.frame_max,
                        heartbeat: shared.options.heartbeat,
                    }),
                );
                self.awaited = Awaited::TuneOk;
                Ok(Step::Again)
            }
            None if tuned.capabilities.authentication_failure_close => Err(Refusal::access_refused(format!(
                "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
            ))),
            None => Ok(Step::HangUp),
        }
    }
}

fn send(outbox: &Outbox, method: AMQPMethod) {
    outbox.append_method(0, &AMQPClass::Connection(method));
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn start() -> connection::Start {
    let mut capabilities = FieldTable::default();
    for name in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties.insert("product".into(), text(super::PRODUCT));
    properties.insert("version".into(), text(env!("CARGO_PKG_VERSION")));
    properties.insert("platform".into(), text("Rust"));
    properties.insert("information".into(), text("in-memory only"));
    connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: "PLAIN AMQPLAIN".into(),
        locales: "en_US".into(),
    }
}

fn capabilities(properties: &FieldTable) -> Capabilities {
    let Some(AMQPValue::FieldTable(table)) = properties.inner().get("capabilities") else {
        return Capabilities::default();
    };
    let has = |name: &str| matches!(table.inner().get(name), Some(AMQPValue::Boolean(true)));
    Capabilities {
        consumer_cancel_notify: has("consumer_cancel_notify"),
        connection_blocked: has("connection.blocked"),
        authentication_failure_close: has("authentication_failure_close"),
    }
}

/// RFC 4616: authorization identity, user, password, separated by NUL.
fn plain(response: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0').skip(1);
    let login = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(login)
}

/// AMQP 0-8's own mechanism: a field table without its length.
fn amqplain(response: &[u8]) -> Option<(String, String)> {
    if frame::table_depth(response)? > frame::TABLE_DEPTH_MAX {
        return None;
    }
    let mut sized = (response.len() as u32).to_be_bytes().to_vec();
    sized.extend_from_slice(response);
    let (_, table) = parse_field_table(&sized[..]).ok()?;
    let field = |name: &str| match table.inner().get(name) {
        Some(AMQPValue::LongString(value)) => Some(value.to_string()),
        _ => None,
    };
    Some((field("LOGIN")?, field("PASSWORD")?))
}

fn negotiate(tune_ok: &connection::TuneOk, shared: &Shared, tuned: &mut Tuned) -> Result<(), Refusal> {
    let offered = &shared.options;
    check_limit("frame_max", tune_ok.frame_max, frame::MIN_MAX, offered.frame_max)?;
    check_limit(
        "channel_max",
        u32::from(tune_ok.channel_max),
        1,
        u32::from(offered.channel_max),
    )?;
    tuned.frame_max = tune_ok.frame_max;
    tuned.channel_max = tune_ok.channel_max;
    tuned.heartbeat = tune_ok.heartbeat;
    Ok(())
}

/// A client may lower a limit, not raise it; 0 means none.
fn check_limit(name: &str, asked: u32, least: u32, offered: u32) -> Result<(), Refusal> {
    let refuse = |how: &str, limit: u32| {
        let asked = if asked == 0 {
            "no limit".to_owned()
        } else {
            asked.to_string()
        };
        Err(
            Refusal::not_allowed(format!("negotiated {name} = {asked} is {how} allowed value ({limit})"))
                .during(10, 31),
        )
    };
    if asked != 0 && asked < least {
        return refuse("lower than the minimum", least);
    }
    if offered != 0 && (asked == 0 || asked > offered) {
        return refuse("higher than the maximum", offered);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_needs_user_and_password() {
        assert_eq!(plain(b"\0guest\0secret"), Some(("guest".into(), "secret".into())));
        assert_eq!(plain(b"guest"), None);
        assert_eq!(plain(b"\0guest"), None);
        assert_eq!(plain(b"\0a\0b\0c"), None);
    }

    #[test]
    fn a_limit_can_be_lowered_and_not_raised() {
        assert!(check_limit("frame_max", 8192, 4096, 131_072).is_ok());
        assert_eq!(
            check_limit("frame_max", 4095, 4096, 131_072).expect_err("low").code,
            530
        );
        assert_eq!(
            check_limit("frame_max", 131_073, 4096, 131_072).expect_err("high").code,
            530
        );
        assert_eq!(check_limit("frame_max", 0, 4096, 131_072).expect_err("none").code, 530);
        assert!(check_limit("frame_max", 0, 4096, 0).is_ok());
    }
}
