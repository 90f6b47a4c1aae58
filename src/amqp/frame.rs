//! AMQP 0-9-1 frames as byte slices: splitting the inbound stream, writing the outbound one. The embedded broker and the
//! direct client share it.
//!
//! The hot frames (publish, header, body, deliver, ack) take this path without touching `amq-protocol`; every other
//! method goes through that codec, after [`table_depth`] has made sure that a nested table cannot exhaust its stack.
//! Source: AMQP 0-9-1 specification, section 4.2 (protocol wire-level format).

pub mod properties;

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, gen_class};

/// Frame type octets.
pub const METHOD: u8 = 1;
pub const HEADER: u8 = 2;
pub const BODY: u8 = 3;
pub const HEARTBEAT: u8 = 8;
/// The octet that ends every frame.
pub const END: u8 = 0xCE;
/// Class and method of what is served without the codec.
pub const BASIC_PUBLISH: [u8; 4] = [0, 60, 0, 40];
pub const BASIC_RETURN: [u8; 4] = [0, 60, 0, 50];
pub const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];
pub const BASIC_ACK: [u8; 4] = [0, 60, 0, 80];
pub const BASIC_REJECT: [u8; 4] = [0, 60, 0, 90];
pub const BASIC_NACK: [u8; 4] = [0, 60, 0, 120];
pub const CHANNEL_CLOSE_OK: [u8; 4] = [0, 20, 0, 41];
/// Octets of a frame around its payload: type, channel, size, end.
pub const OVERHEAD: usize = 8;
/// The smallest frame that a peer must accept, whatever was negotiated.
pub const MIN_MAX: u32 = 4096;
/// Field tables and arrays nested deeper than this are refused: the codec recurses once per level.
pub const TABLE_DEPTH_MAX: usize = 32;

/// One inbound frame, borrowed from the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// Why the inbound bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// The size field goes beyond the negotiated frame_max.
    TooLarge {
        kind: u8,
        channel: u16,
        size: u32,
        max: u32,
    },
    /// The last octet is not 0xCE.
    WrongEnd { kind: u8, channel: u16, end: u8 },
}

/// Takes the first frame off `input`, with the number of octets it occupies; `None` while it is incomplete.
///
/// `max` is the negotiated frame_max with the overhead in it; 0 means no limit.
pub fn split(input: &[u8], max: u32) -> Result<Option<(Frame<'_>, usize)>, BadFrame> {
    let Some(head) = input.first_chunk::<7>() else {
        return Ok(None);
    };
    let kind = head[0];
    let channel = u16::from_be_bytes([head[1], head[2]]);
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if max != 0 && size > max.saturating_sub(OVERHEAD as u32) {
        return Err(BadFrame::TooLarge {
            kind,
            channel,
            size,
            max,
        });
    }
    let total = size as usize + OVERHEAD;
    let Some(frame) = input.get(..total) else {
        return Ok(None);
    };
    let end = frame[total - 1];
    if end != END {
        return Err(BadFrame::WrongEnd { kind, channel, end });
    }
    Ok(Some((
        Frame {
            kind,
            channel,
            payload: &frame[7..total - 1],
        },
        total,
    )))
}

/// Cursor over the arguments of a hot method or a property list. Every read returns `None` at the end of the input.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|octets| octets[0])
    }

    pub fn short(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    pub fn long(&mut self) -> Option<u32> {
        let octets = self.take(4)?;
        Some(u32::from_be_bytes(octets.try_into().ok()?))
    }

    pub fn long_long(&mut self) -> Option<u64> {
        let octets = self.take(8)?;
        Some(u64::from_be_bytes(octets.try_into().ok()?))
    }

    /// The content of a short string, without its length octet.
    pub fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(usize::from(length))
    }

    /// The content of a long string, table or array, without its length.
    pub fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(length as usize)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// How deep tables and arrays nest inside the *content* of a field table, or `None` where its bytes are no table.
///
/// Iterative, so that hostile input costs time in proportion to its length and no stack.
pub fn table_depth(content: &[u8]) -> Option<usize> {
    let mut stack = vec![(Fields(content), true)];
    let mut deepest = 1;
    while let Some((mut fields, is_table)) = stack.pop() {
        if fields.is_empty() {
            continue;
        }
        if is_table {
            fields.short_string()?;
        }
        let inner = match fields.octet()? {
            b't' | b'b' | b'B' => fields.take(1).map(|_| None),
            b's' | b'u' | b'U' => fields.take(2).map(|_| None),
            b'I' | b'i' | b'f' => fields.take(4).map(|_| None),
            b'l' | b'L' | b'd' | b'T' => fields.take(8).map(|_| None),
            b'D' => fields.take(5).map(|_| None),
            b'S' | b'x' => fields.long_string().map(|_| None),
            b'V' => Some(None),
            b'A' => fields.long_string().map(|inner| Some((Fields(inner), false))),
            b'F' => fields.long_string().map(|inner| Some((Fields(inner), true))),
            _ => None,
        }?;
        stack.push((fields, is_table));
        if let Some(inner) = inner {
            stack.push(inner);
            deepest = deepest.max(stack.len());
            if deepest > TABLE_DEPTH_MAX {
                return Some(deepest);
            }
        }
    }
    Some(deepest)
}

/// The content of the field table among a method's arguments, for the client methods that carry one.
///
/// `payload` is a whole method frame payload. `Ok(None)`: this method has no table; `Err(())`: it is cut short.
pub fn table_of_method(payload: &[u8]) -> Result<Option<&[u8]>, ()> {
    let mut fields = Fields(payload);
    let class = fields.short().ok_or(())?;
    let method = fields.short().ok_or(())?;
    // Shape of the arguments before the table: 2 = short, 1 = octet of bits, s = short string.
    let shape: &[u8] = match (class, method) {
        (10, 11) => b"",
        (40, 10) => b"2ss1",
        (40, 30 | 40) => b"2sss1",
        (50, 10) => b"2s1",
        (50, 20) => b"2sss1",
        (50, 50) => b"2sss",
        (60, 20) => b"2ss1",
        _ => return Ok(None),
    };
    for field in shape {
        match field {
            b'2' => fields.short().map(|_| ()),
            b'1' => fields.octet().map(|_| ()),
            _ => fields.short_string().map(|_| ()),
        }
        .ok_or(())?;
    }
    fields.long_string().map(Some).ok_or(())
}

/// Appends a method frame whose arguments the codec writes.
pub fn write_method(out: &mut Vec<u8>, channel: u16, class: &AMQPClass) {
    let start = begin(out, METHOD, channel);
    let buffer = std::mem::take(out);
    // The codec seeks back by absolute position to patch lengths, so the context starts at the buffer's end.
    let length = buffer.len() as u64;
    match gen_class(class)(WriteContext {
        write: buffer,
        position: length,
    }) {
        Ok(context) => *out = context.into_inner().0,
        // Writing into a Vec fails only for strings beyond their length prefix, which this broker never builds.
        Err(error) => unreachable!("a server method could not be encoded: {error:?}"),
    }
    finish(out, start);
}

/// Starts a frame and returns the position of its size field for [`finish`].
pub fn begin(out: &mut Vec<u8>, kind: u8, channel: u16) -> usize {
    let number = channel.to_be_bytes();
    out.extend_from_slice(&[kind, number[0], number[1], 0, 0, 0, 0]);
    out.len() - 4
}

/// Ends the frame started at `start`: patches the size and adds the end octet.
pub fn finish(out: &mut Vec<u8>, start: usize) {
    let size = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    out.push(END);
}

/// Appends a complete frame around a payload that is already encoded.
pub fn write_payload(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    let number = channel.to_be_bytes();
    let size = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[kind, number[0], number[1], size[0], size[1], size[2], size[3]]);
    out.extend_from_slice(payload);
    out.push(END);
}

/// Appends `body` as as many body frames as `frame_max` (0: no limit) asks for; none where it is empty.
pub fn write_body(out: &mut Vec<u8>, channel: u16, body: &[u8], frame_max: u32) {
    let chunk = if frame_max == 0 {
        usize::MAX
    } else {
        frame_max as usize - OVERHEAD
    };
    for part in body.chunks(chunk) {
        write_payload(out, BODY, channel, part);
    }
}

/// Appends a method that names a delivery or a publish by its number: basic.ack, basic.nack, basic.reject.
pub fn write_tagged(out: &mut Vec<u8>, channel: u16, method: [u8; 4], tag: u64, bits: u8) {
    let start = begin(out, METHOD, channel);
    out.extend_from_slice(&method);
    out.extend_from_slice(&tag.to_be_bytes());
    out.push(bits);
    finish(out, start);
}

/// Appends basic.ack or basic.nack from the server: the answer to a confirmed publish.
pub fn write_confirm(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool, positive: bool) {
    let method = if positive { BASIC_ACK } else { BASIC_NACK };
    write_tagged(out, channel, method, tag, u8::from(multiple));
}

/// Appends basic.publish; the names are at most 255 octets long.
pub fn write_publish(out: &mut Vec<u8>, channel: u16, exchange: &[u8], routing_key: &[u8], mandatory: bool) {
    let start = begin(out, METHOD, channel);
    out.extend_from_slice(&BASIC_PUBLISH);
    out.extend_from_slice(&[0, 0]);
    for name in [exchange, routing_key] {
        out.push(name.len() as u8);
        out.extend_from_slice(name);
    }
    out.push(u8::from(mandatory));
    finish(out, start);
}

/// Appends the content header of a body of `size` octets.
pub fn write_header(out: &mut Vec<u8>, channel: u16, properties: &AMQPProperties, size: u64) {
    let start = begin(out, HEADER, channel);
    out.extend_from_slice(&[0, 60, 0, 0]);
    out.extend_from_slice(&size.to_be_bytes());
    properties::write(out, properties);
    finish(out, start);
}

/// Appends a heartbeat frame.
pub fn write_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEARTBEAT, 0, 0, 0, 0, 0, 0, END]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::frame::{AMQPFrame, parsing::parse_frame};
    use amq_protocol::protocol::{basic, queue};

    #[test]
    fn a_written_method_is_read_back_by_the_codec() {
        let mut out = vec![9, 9, 9];
        let class = AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: "orders".into(),
            message_count: 7,
            consumer_count: 1,
        }));
        write_method(&mut out, 5, &class);
        let (rest, frame) = parse_frame(&out[3..]).expect("a whole frame");
        assert!(rest.is_empty());
        assert_eq!(frame, AMQPFrame::Method(5, class));
    }

    #[test]
    fn a_confirm_is_read_back_by_the_codec() {
        let mut out = Vec::new();
        write_confirm(&mut out, 1, 300, true, true);
        let (_, frame) = parse_frame(&out[..]).expect("a whole frame");
        let ack = basic::Ack {
            delivery_tag: 300,
            multiple: true,
        };
        assert_eq!(
            frame,
            AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)))
        );
    }

    #[test]
    fn a_frame_beyond_frame_max_is_refused_before_its_payload_arrives() {
        let head = [METHOD, 0, 1, 0, 0, 0x10, 0];
        assert_eq!(
            split(&head, 4096),
            Err(BadFrame::TooLarge {
                kind: METHOD,
                channel: 1,
                size: 4096,
                max: 4096
            })
        );
        assert_eq!(split(&head, 4104), Ok(None));
        assert_eq!(split(&head, 0), Ok(None));
    }

    #[test]
    fn a_body_is_cut_at_frame_max() {
        let mut out = Vec::new();
        write_body(&mut out, 1, &[7; 10_000], 4096);
        let mut sizes = Vec::new();
        let mut rest = &out[..];
        while let Some((frame, used)) = split(rest, 4096).expect("well-formed") {
            sizes.push(frame.payload.len());
            rest = &rest[used..];
        }
        assert_eq!(sizes, [4088, 4088, 1824]);
        assert!(rest.is_empty());
    }

    #[test]
    fn nesting_is_measured_without_recursion() {
        let mut table = Vec::new();
        for _ in 0..20_000 {
            let mut outer = vec![1, b'k', b'F'];
            outer.extend_from_slice(&(table.len() as u32).to_be_bytes());
            outer.append(&mut table);
            table = outer;
            if table.len() > 100_000 {
                break;
            }
        }
        assert!(table_depth(&table).expect("well-formed") > TABLE_DEPTH_MAX);
        assert_eq!(table_depth(b""), Some(1));
        assert_eq!(table_depth(&[1, b'k', b'F', 0, 0, 0, 0]), Some(2));
        assert_eq!(table_depth(&[1, b'k', b'?']), None);
        assert_eq!(table_depth(&[1, b'k', b'S', 0, 0, 0, 9]), None);
    }
}
