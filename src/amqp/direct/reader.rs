//! Reads frames and hands each to its channel: deliveries, confirms, returns, answers. Bodies are slices of what was read.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic, channel, connection, parse_class};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use super::confirms::{Answer, print};
use super::delivery::{Delivery, address};
use super::lane::Lane;
use super::line::{Line, Place, Table};
use crate::amqp::frame::{self, Fields, Frame};

/// How much is read at once.
const READ_CHUNK: usize = 64 << 10;
/// With less room than this left, another block is begun.
const ROOM: usize = 8 << 10;
/// A body size is only a claim until the body arrives, so no more than this is set aside at once.
const AT_ONCE: u64 = 1 << 20;

/// A message whose content is still coming.
#[derive(Debug)]
pub(super) struct Partial {
    what: What,
    /// The method's arguments.
    arguments: Bytes,
    /// Absent until the content header has come.
    header: Option<Header>,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Delivery,
    Return,
}

#[derive(Debug)]
struct Header {
    properties: Bytes,
    size: u64,
    /// What has come of a body of several frames.
    body: Vec<u8>,
}

/// What ends a connection.
#[derive(Debug)]
enum End {
    /// The broker broke the protocol: it is told so.
    Violated(String),
    /// Anything else.
    Gone(String),
}

/// Reads until the connection is gone. `input` is what came with the handshake.
pub(super) async fn run(line: Arc<Line>, mut socket: OwnedReadHalf, mut input: BytesMut) {
    let end = tokio::select! {
        end = read(&line, &mut socket, &mut input) => end,
        () = line.over().cancelled() => return,
    };
    match end {
        End::Gone(why) => line.fail(&why),
        End::Violated(why) => {
            let close = connection::Close {
                reply_code: 505,
                reply_text: "unexpected frame".into(),
                class_id: 0,
                method_id: 0,
            };
            line.append_method(0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)));
            line.fail(&format!("the broker broke the protocol: {why}"));
        }
    }
}

async fn read(line: &Line, socket: &mut OwnedReadHalf, input: &mut BytesMut) -> End {
    loop {
        if let Err(end) = digest(line, input) {
            return end;
        }
        if input.capacity() - input.len() < ROOM {
            input.reserve(READ_CHUNK);
        }
        match socket.read_buf(input).await {
            Ok(0) => return End::Gone("the broker closed the connection without a word".to_owned()),
            Ok(_) => line.hear(),
            Err(error) => return End::Gone(format!("cannot read from the broker: {error}")),
        }
    }
}

/// Deals with all whole frames of `input`, and leaves the rest.
fn digest(line: &Line, input: &mut BytesMut) -> Result<(), End> {
    let max = line.tuned.frame_max;
    let mut whole = 0;
    loop {
        match frame::split(&input[whole..], max) {
            Ok(Some((_, octets))) => whole += octets,
            Ok(None) => break,
            Err(bad) => return Err(End::Violated(format!("what came is no frame: {bad:?}"))),
        }
    }
    if whole == 0 {
        return Ok(());
    }
    let batch = input.split_to(whole).freeze();
    let mut rest = &batch[..];
    // Answers wake tasks that open channels; they wait for the batch, which takes microseconds.
    let mut table = line.table();
    while let Ok(Some((frame, octets))) = frame::split(rest, max) {
        rest = &rest[octets..];
        match (frame.kind, frame.channel) {
            (frame::HEARTBEAT, _) => {}
            (frame::METHOD, 0) => connection_method(line, frame.payload)?,
            (_, 0) => return Err(End::Violated("content on channel 0".to_owned())),
            _ => channel_frame(line, &mut table, &batch, frame)?,
        }
    }
    Ok(())
}

fn connection_method(line: &Line, payload: &[u8]) -> Result<(), End> {
    use connection::AMQPMethod as Method;
    match decode(payload)? {
        AMQPClass::Connection(Method::Blocked(blocked)) => line.block(blocked.reason.as_str().to_owned()),
        AMQPClass::Connection(Method::Unblocked(_)) => line.unblock(),
        AMQPClass::Connection(Method::Close(close)) => {
            let ok = AMQPClass::Connection(Method::CloseOk(connection::CloseOk {}));
            line.append_method(0, &ok);
            return Err(End::Gone(said(close.reply_code, close.reply_text.as_str())));
        }
        AMQPClass::Connection(Method::CloseOk(_)) => return Err(End::Gone("closed".to_owned())),
        other => return Err(End::Violated(format!("{} on channel 0", name(&other)))),
    }
    Ok(())
}

fn channel_frame(line: &Line, table: &mut Table, batch: &Bytes, frame: Frame<'_>) -> Result<(), End> {
    let number = usize::from(frame.channel);
    let Some(place) = table.get_mut(number).and_then(Option::as_mut) else {
        // The answer to a close that crossed the broker's own.
        if frame.kind == frame::METHOD && frame.payload.starts_with(&frame::CHANNEL_CLOSE_OK) {
            return Ok(());
        }
        return Err(End::Violated(format!("a frame on channel {number}, which is not open")));
    };
    let slice = |part: &[u8]| batch.slice_ref(part);
    match (frame.kind, &mut place.partial) {
        (frame::METHOD, None) => match frame.payload.split_first_chunk::<4>() {
            Some((&frame::BASIC_DELIVER, arguments)) => {
                place.partial = Some(Partial::new(What::Delivery, slice(arguments)));
            }
            Some((&frame::BASIC_RETURN, arguments)) => {
                place.partial = Some(Partial::new(What::Return, slice(arguments)));
            }
            Some((&frame::BASIC_ACK, arguments)) => confirmed(&place.lane, arguments, Answer::Ack)?,
            Some((&frame::BASIC_NACK, arguments)) => confirmed(&place.lane, arguments, Answer::Nack)?,
            _ => {
                if channel_method(line, &place.lane, decode(frame.payload)?)? == Fate::Closed {
                    table[number] = None;
                }
            }
        },
        (frame::HEADER, Some(partial)) if partial.header.is_none() => {
            let mut fields = Fields(frame.payload);
            let (Some(_class), Some(_weight), Some(size)) = (fields.short(), fields.short(), fields.long_long()) else {
                return Err(End::Violated("a content header that is cut short".to_owned()));
            };
            partial.header = Some(Header {
                properties: slice(fields.0),
                size,
                body: Vec::new(),
            });
            if size == 0 {
                whole(place, Bytes::new())?;
            }
        }
        (
            frame::BODY,
            Some(Partial {
                header: Some(header), ..
            }),
        ) => {
            let come = (header.body.len() + frame.payload.len()) as u64;
            if come > header.size {
                return Err(End::Violated("a body that is longer than its header says".to_owned()));
            }
            let (last, first) = (come == header.size, header.body.is_empty());
            if last && first {
                let body = slice(frame.payload);
                return whole(place, body);
            }
            if first {
                header.body.reserve(header.size.min(AT_ONCE) as usize);
            }
            header.body.extend_from_slice(frame.payload);
            if last {
                let body = Bytes::from(std::mem::take(&mut header.body));
                whole(place, body)?;
            }
        }
        (kind, _) => {
            return Err(End::Violated(format!(
                "a frame of type {kind} out of turn on channel {number}"
            )));
        }
    }
    Ok(())
}

impl Partial {
    fn new(what: What, arguments: Bytes) -> Self {
        Partial {
            what,
            arguments,
            header: None,
        }
    }
}

/// A message has come whole.
fn whole(place: &mut Place, body: Bytes) -> Result<(), End> {
    let Some(Partial {
        what,
        arguments,
        header: Some(header),
    }) = place.partial.take()
    else {
        return Ok(());
    };
    let malformed = || End::Violated("a method whose arguments are malformed".to_owned());
    match what {
        What::Delivery => {
            let delivery = Delivery::new(&arguments, header.properties, body).ok_or_else(malformed)?;
            place.lane.inbox.push(delivery);
        }
        What::Return => {
            let mut fields = Fields(&arguments);
            let (_code, _text) = fields.short().zip(fields.short_string()).ok_or_else(malformed)?;
            let (exchange, key) = address(fields.0).ok_or_else(malformed)?;
            place
                .lane
                .confirms
                .returned(print(exchange.as_bytes(), key.as_bytes(), &body));
        }
    }
    Ok(())
}

fn confirmed(lane: &Lane, arguments: &[u8], answer: Answer) -> Result<(), End> {
    let mut fields = Fields(arguments);
    let Some((number, bits)) = fields.long_long().zip(fields.octet()) else {
        return Err(End::Violated("a confirm that is cut short".to_owned()));
    };
    lane.confirms.answered(number, bits & 1 == 1, answer);
    Ok(())
}

/// What a method means for its channel's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Closed,
}

fn channel_method(line: &Line, lane: &Lane, method: AMQPClass) -> Result<Fate, End> {
    use channel::AMQPMethod as Method;
    match method {
        AMQPClass::Channel(Method::Close(close)) => {
            let ok = AMQPClass::Channel(Method::CloseOk(channel::CloseOk {}));
            line.append_method(lane.number, &ok);
            lane.end(&said(close.reply_code, close.reply_text.as_str()));
            return Ok(Fate::Closed);
        }
        AMQPClass::Channel(Method::CloseOk(_)) => {
            lane.answered(method);
            lane.end("the channel was closed");
            return Ok(Fate::Closed);
        }
        AMQPClass::Channel(Method::Flow(flow)) => {
            let ok = channel::FlowOk { active: flow.active };
            line.append_method(lane.number, &AMQPClass::Channel(Method::FlowOk(ok)));
        }
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            if !cancel.nowait {
                let ok = basic::CancelOk {
                    consumer_tag: cancel.consumer_tag,
                };
                line.append_method(lane.number, &AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)));
            }
            lane.inbox.end();
        }
        answer => {
            if matches!(answer, AMQPClass::Basic(basic::AMQPMethod::CancelOk(_))) {
                lane.inbox.end();
            }
            let what = name(&answer);
            if !lane.answered(answer) {
                return Err(End::Violated(format!("{what}, which nobody asked for")));
            }
        }
    }
    Ok(Fate::Open)
}

fn decode(payload: &[u8]) -> Result<AMQPClass, End> {
    match parse_class(payload) {
        Ok((_, class)) => Ok(class),
        Err(_) => Err(End::Violated(format!(
            "a method that cannot be read: {:?}",
            &payload[..payload.len().min(4)]
        ))),
    }
}

/// The reason that the broker gives.
pub(super) fn said(code: u16, text: &str) -> String {
    format!("{text} (reply code {code})")
}

fn name(method: &AMQPClass) -> String {
    format!("method {}.{}", method.get_amqp_class_id(), method.get_amqp_method_id())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::amqp::direct::line::Tuned;
    use crate::amqp::gate::Socket;
    use crate::amqp::publish::{Outcome, Refusal};
    use crate::amqp::{Connector, Incidents};
    use crate::clock::Clock;

    /// A connection without a socket, with one open channel.
    fn line() -> (Arc<Line>, Arc<Lane>) {
        let connector = Connector::new(
            &"amqp://127.0.0.1".parse().expect("an address"),
            Arc::new(Incidents::new(Clock::start())),
        );
        let tuned = Tuned {
            frame_max: 4096,
            channel_max: 0,
            heartbeat: 0,
        };
        let line = Arc::new(Line::new(&connector, "test", tuned, Socket::default()));
        let lane = line.admit().expect("a channel");
        (line, lane)
    }

    /// What a broker writes for a message: basic.deliver or basic.return, header, body.
    fn message(method: [u8; 4], arguments: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::write_payload(&mut out, frame::METHOD, 1, &[&method, arguments].concat());
        let properties = lapin::BasicProperties::default().with_message_id("m".into());
        frame::write_header(&mut out, 1, &properties, body.len() as u64);
        frame::write_body(&mut out, 1, body, 4096);
        out
    }

    fn delivery(tag: u64, body: &[u8]) -> Vec<u8> {
        let arguments = [b"\x02ct", &tag.to_be_bytes()[..], b"\x01\x01e\x03key"].concat();
        message(frame::BASIC_DELIVER, &arguments, body)
    }

    fn confirm(number: u64, multiple: bool) -> Vec<u8> {
        let mut out = Vec::new();
        frame::write_confirm(&mut out, 1, number, multiple, true);
        out
    }

    fn taken(lane: &Lane) -> VecDeque<Delivery> {
        let mut ready = VecDeque::new();
        let mut context = Context::from_waker(Waker::noop());
        {
            let arrived = std::pin::pin!(lane.inbox.arrived(&mut ready));
            let _ = arrived.poll(&mut context);
        }
        ready
    }

    fn feed(line: &Line, bytes: &[u8]) -> Result<(), End> {
        digest(line, &mut BytesMut::from(bytes))
    }

    #[test]
    fn a_return_between_confirms_is_told_from_them() {
        let (line, lane) = line();
        for (at, body) in [b"a", b"b", b"c"].into_iter().enumerate() {
            let print = print(b"e", b"key", body);
            lane.confirms.lock().begin(Waker::noop(), print, at as u64);
        }
        let back = message(frame::BASIC_RETURN, b"\x01\x38\x08NO_ROUTE\x01e\x03key", b"b");
        feed(&line, &[back, confirm(1, false), confirm(3, true)].concat()).expect("well-formed");
        let outcomes = [1, 2, 3].map(|number| lane.confirms.poll(number, Waker::noop()));
        let confirmed = Poll::Ready(Outcome::Confirmed);
        assert_eq!(
            outcomes,
            [confirmed, Poll::Ready(Outcome::Refused(Refusal::Returned)), confirmed]
        );
    }

    #[test]
    fn what_is_out_of_turn_ends_the_connection_with_its_name() {
        let header = &delivery(1, b"x")[frame::OVERHEAD + 22..];
        let mut twice = delivery(1, b"xy");
        twice.truncate(frame::OVERHEAD + 22);
        let mut elsewhere = Vec::new();
        frame::write_confirm(&mut elsewhere, 7, 1, false, true);
        let mut unasked = Vec::new();
        frame::write_payload(&mut unasked, frame::METHOD, 1, &[0, 60, 0, 11]);
        let mut odd = Vec::new();
        frame::write_payload(&mut odd, frame::METHOD, 1, &[0, 99, 0, 99]);
        let mut content = Vec::new();
        frame::write_payload(&mut content, frame::BODY, 0, b"x");
        let twice = [&twice[..], &twice[..]].concat();
        for (bytes, says) in [
            (header, "out of turn"),
            (&twice, "out of turn"),
            (&elsewhere, "channel 7, which is not open"),
            (&unasked, "method 60.11, which nobody asked for"),
            (&odd, "cannot be read"),
            (&content, "content on channel 0"),
            (&b"\x01\x00\x01\x00\x00\x00\x00\x00"[..], "no frame"),
        ] {
            let (line, _lane) = line();
            match feed(&line, bytes) {
                Err(End::Violated(why)) => assert!(why.contains(says), "{why}"),
                other => panic!("{says}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_close_of_the_channel_ends_what_waits_on_it_and_nothing_else() {
        let (line, lane) = line();
        let other = line.admit().expect("another channel");
        lane.confirms.lock().begin(Waker::noop(), 0, 0);
        let close = channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no queue".into(),
            class_id: 50,
            method_id: 10,
        };
        let mut bytes = Vec::new();
        frame::write_method(&mut bytes, 1, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
        feed(&line, &bytes).expect("well-formed");
        assert!(!lane.is_open() && other.is_open());
        assert!(matches!(
            lane.confirms.poll(1, Waker::noop()),
            Poll::Ready(Outcome::Unknown(_))
        ));
        assert!(taken(&lane).is_empty());
        assert_eq!(line.admit().expect("its number is free").number, 1);
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_deliveries_are_the_same(
            sizes in prop::collection::vec(0usize..9_000, 1..6), cuts in prop::collection::vec(1usize..5_000, 1..20)
        ) {
            let (line, lane) = line();
            let body = |at: usize, size: usize| vec![at as u8; size];
            let stream: Vec<u8> = sizes.iter().enumerate().flat_map(|(at, size)| delivery(at as u64 + 1, &body(at, *size))).collect();
            let (mut input, mut rest, mut cuts) = (BytesMut::new(), &stream[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(cuts.next().expect("endless").min(rest.len()));
                input.extend_from_slice(piece);
                rest = more;
                digest(&line, &mut input).expect("well-formed");
            }
            let taken = taken(&lane);
            prop_assert_eq!(taken.len(), sizes.len());
            for (at, (delivery, size)) in taken.iter().zip(sizes).enumerate() {
                prop_assert_eq!((delivery.tag, delivery.redelivered), (at as u64 + 1, true));
                prop_assert_eq!(&delivery.body[..], &body(at, size)[..]);
                prop_assert_eq!(delivery.address(), ("e", "key"));
                prop_assert_eq!(delivery.properties().message_id().as_ref().map(|id| id.as_str().to_owned()), Some("m".to_owned()));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            frames in prop::collection::vec((0u8..9, 0u16..3, prop::collection::vec(any::<u8>(), 0..40), 0u16..130), 0..20)
        ) {
            let (line, _lane) = line();
            let mut bytes = Vec::new();
            for (kind, channel, payload, method) in frames {
                let start = if method % 2 == 0 { [0, 60].to_vec() } else { Vec::new() };
                frame::write_payload(&mut bytes, kind, channel, &[start, method.to_be_bytes().to_vec(), payload].concat());
            }
            let _ = feed(&line, &bytes);
        }
    }
}
