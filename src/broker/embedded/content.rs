//! The order of frames on a channel: a method, and after basic.publish a content header and its body.

use super::acks::{Reach, Verdict};
use super::handshake::Tuned;
use super::message::Assembly;
use super::names;
use super::publish::{DIRECT_REPLY, Mandatory};
use super::refusal::Refusal;
use super::session::LocalChannel;
use super::shared::Shared;
use super::vhost::State;
use crate::amqp::frame::properties::Properties;
use crate::amqp::frame::{self, Fields, Frame};

/// What the next frame on a channel must be.
pub(super) enum Expectation {
    Method,
    Header { mandatory: Mandatory },
    Body { assembly: Assembly, mandatory: Mandatory },
}

/// What a frame amounted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// It was dealt with.
    Nothing,
    /// It was dealt with, and a publish began: the moment for a memory alarm to take hold.
    Published,
    /// It is a method for the codec.
    Method,
}

const PUBLISH: [u8; 4] = [0, 60, 0, 40];
const ACK: [u8; 4] = [0, 60, 0, 80];
const REJECT: [u8; 4] = [0, 60, 0, 90];
const NACK: [u8; 4] = [0, 60, 0, 120];

fn malformed() -> Refusal {
    Refusal::frame_error("cannot decode the method or its arguments")
}

impl Content {
    /// Takes one frame of an open channel; the hot ones (publish, header, body, verdicts) are served here.
    ///
    /// # Errors
    /// 505 out of order, 502 malformed, and what publishing and settling refuse.
    pub(super) fn accept(
        local: &mut LocalChannel,
        state: &mut State,
        shared: &Shared,
        tuned: &Tuned,
        frame: Frame<'_>,
    ) -> Result<Self, Refusal> {
        match (&mut local.expectation, frame.kind) {
            (Expectation::Method, frame::METHOD) => method(local, state, frame.payload),
            (Expectation::Method, _) => Err(Refusal::unexpected_frame(
                "expected method frame, got non method frame instead",
            )),
            (Expectation::Header { mandatory }, frame::HEADER) => {
                let mandatory = *mandatory;
                header(local, state, shared, tuned, frame.payload, mandatory)
            }
            (Expectation::Header { .. }, _) => Err(Refusal::unexpected_frame(
                "expected content header for class 60, got non content header frame instead",
            )),
            (Expectation::Body { assembly, .. }, frame::BODY) => {
                if frame.payload.len() as u64 > assembly.missing() {
                    return Err(Refusal::frame_error(format!(
                        "content body is {} octets longer than its header says",
                        frame.payload.len() as u64 - assembly.missing()
                    )));
                }
                assembly.push(frame.payload);
                finish_if_whole(local, state)
            }
            (Expectation::Body { .. }, _) => Err(Refusal::unexpected_frame(
                "expected content body, got non content body frame instead",
            )),
        }
    }
}

fn method(local: &mut LocalChannel, state: &mut State, payload: &[u8]) -> Result<Content, Refusal> {
    let Some((id, arguments)) = payload.split_first_chunk::<4>() else {
        return Err(malformed());
    };
    let mut fields = Fields(arguments);
    match *id {
        PUBLISH => return publish(local, state, fields),
        ACK => {
            let (tag, bits) = fields.long_long().zip(fields.octet()).ok_or_else(malformed)?;
            let reach = if bits & 1 == 0 { Reach::One } else { Reach::UpTo };
            state.settle_delivery(local.key, tag, reach, Verdict::Ack)?;
        }
        NACK => {
            let (tag, bits) = fields.long_long().zip(fields.octet()).ok_or_else(malformed)?;
            let reach = if bits & 1 == 0 { Reach::One } else { Reach::UpTo };
            let verdict = if bits & 2 == 0 {
                Verdict::Discard
            } else {
                Verdict::Requeue
            };
            state.settle_delivery(local.key, tag, reach, verdict)?;
        }
        REJECT => {
            let (tag, bits) = fields.long_long().zip(fields.octet()).ok_or_else(malformed)?;
            let verdict = if bits & 1 == 0 {
                Verdict::Discard
            } else {
                Verdict::Requeue
            };
            state.settle_delivery(local.key, tag, Reach::One, verdict)?;
        }
        _ => return Ok(Content::Method),
    }
    Ok(Content::Nothing)
}

fn publish(local: &mut LocalChannel, state: &State, mut fields: Fields<'_>) -> Result<Content, Refusal> {
    let (Some(_ticket), Some(exchange), Some(key), Some(bits)) = (
        fields.short(),
        fields.short_string(),
        fields.short_string(),
        fields.octet(),
    ) else {
        return Err(malformed());
    };
    if bits & 2 != 0 {
        return Err(Refusal::not_implemented("immediate=true"));
    }
    let name = std::str::from_utf8(exchange).map_err(|_| malformed())?;
    if std::str::from_utf8(key).is_err() {
        return Err(Refusal::syntax_error("routing key is not UTF-8"));
    }
    state.check_publish(name)?;
    local.draft.address(exchange, key);
    let mandatory = if bits & 1 == 0 {
        Mandatory::Drop
    } else {
        Mandatory::Return
    };
    local.expectation = Expectation::Header { mandatory };
    Ok(Content::Published)
}

fn header(
    local: &mut LocalChannel,
    state: &mut State,
    shared: &Shared,
    tuned: &Tuned,
    payload: &[u8],
    mandatory: Mandatory,
) -> Result<Content, Refusal> {
    let mut fields = Fields(payload);
    let (Some(class), Some(_weight), Some(size)) = (fields.short(), fields.short(), fields.long_long()) else {
        return Err(Refusal::frame_error("content header is cut short"));
    };
    if class != 60 {
        return Err(Refusal::unexpected_frame(format!(
            "expected content header for class 60, got one for class {class} instead"
        )));
    }
    let during_publish = |refusal: Refusal| refusal.during(60, 40);
    let properties =
        Properties::scan(fields.0).ok_or_else(|| during_publish(Refusal::syntax_error("malformed property list")))?;
    check_properties(&properties, size, shared, tuned).map_err(during_publish)?;
    let assembly = if properties.reply_to == Some(DIRECT_REPLY.as_bytes()) {
        let renamed = rename_reply_to(local, state, payload).map_err(during_publish)?;
        local.draft.assemble(&renamed, size, &shared.gauge)
    } else {
        local.draft.assemble(payload, size, &shared.gauge)
    };
    local.expectation = Expectation::Body { assembly, mandatory };
    finish_if_whole(local, state)
}

fn check_properties(properties: &Properties<'_>, size: u64, shared: &Shared, tuned: &Tuned) -> Result<(), Refusal> {
    let most = shared.options.max_message_size;
    if size > most {
        return Err(Refusal::precondition_failed(format!(
            "message size {size} is larger than configured max size {most}"
        )));
    }
    if let Some(user) = properties.user_id
        && user != tuned.user.as_bytes()
    {
        return Err(Refusal::precondition_failed(format!(
            "user_id property set to '{}' but authenticated user was '{}'",
            String::from_utf8_lossy(user),
            tuned.user
        )));
    }
    if let Some(expiration) = properties.expiration {
        parse_expiration(expiration)?;
    }
    Ok(())
}

fn parse_expiration(text: &[u8]) -> Result<u64, Refusal> {
    /// What an Erlang timer can hold.
    const MOST: i128 = 4_294_967_295;
    let text = String::from_utf8_lossy(text);
    match text.parse::<i128>() {
        Ok(milliseconds) if milliseconds < 0 => Err(Refusal::precondition_failed(format!(
            "invalid expiration '{text}': {{value_negative,{milliseconds}}}"
        ))),
        Ok(milliseconds) if milliseconds <= MOST => Ok(milliseconds as u64),
        Ok(milliseconds) => Err(Refusal::precondition_failed(format!(
            "invalid expiration '{text}': {{value_too_big,{milliseconds}}}"
        ))),
        Err(_) => Err(Refusal::precondition_failed(format!(
            "invalid expiration '{text}': no_integer"
        ))),
    }
}

/// A request that wants its reply sent directly bears a name that only its channel answers to.
fn rename_reply_to(local: &LocalChannel, state: &State, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    let name = state
        .channels
        .get(local.key)
        .and_then(|channel| channel.replies.as_ref());
    let Some((name, _)) = name else {
        return Err(Refusal::precondition_failed("fast reply consumer does not exist"));
    };
    let mut renamed = payload.to_vec();
    let needle = [&[DIRECT_REPLY.len() as u8], DIRECT_REPLY.as_bytes()].concat();
    if let Some(at) = renamed.windows(needle.len()).position(|window| window == needle) {
        let mut value = vec![name.len() as u8];
        value.extend_from_slice(name.as_bytes());
        renamed.splice(at..at + needle.len(), value);
    }
    Ok(renamed)
}

/// The name that stands for a channel's direct replies.
pub(super) fn reply_name() -> String {
    names::generated(&format!("{DIRECT_REPLY}."))
}

fn finish_if_whole(local: &mut LocalChannel, state: &mut State) -> Result<Content, Refusal> {
    if !matches!(&local.expectation, Expectation::Body { assembly, .. } if assembly.missing() == 0) {
        return Ok(Content::Nothing);
    }
    if let Expectation::Body { assembly, mandatory } = std::mem::replace(&mut local.expectation, Expectation::Method) {
        let properties = assembly.properties();
        let priority = properties.priority.unwrap_or(0);
        let expiration = properties.expiration.map(parse_expiration).transpose()?;
        state
            .publish(local.key, assembly.finish(priority, expiration), mandatory)
            .map_err(|r| r.during(60, 40))?;
    }
    Ok(Content::Nothing)
}
