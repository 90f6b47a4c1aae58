//! A message as the broker holds it: one allocation with everything in wire form, shared by all queues that hold it.

use std::sync::Arc;

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::{AMQPProperties, gen_properties, parse_properties};
use amq_protocol::types::FieldTable;

use super::memory::{Charge, Gauge};
use crate::amqp::frame;
use crate::amqp::frame::properties::Properties;

/// Octets of the content header before the property flags: class, weight, body size.
const HEADER_FIXED: usize = 12;

/// An immutable message. Its memory is on the broker's account until the last holder lets go.
#[derive(Debug)]
pub(super) struct Message {
    /// Exchange and routing key as short strings, the content header's payload, the body.
    wire: Vec<u8>,
    key_at: usize,
    header_at: usize,
    body_at: usize,
    pub(super) priority: u8,
    /// Time to live from the `expiration` property, in milliseconds.
    pub(super) expiration_ms: Option<u64>,
    /// Routing keys of the `BCC` header, which was taken out; a dead letter without a key of its own follows them.
    pub(super) hidden_keys: Vec<String>,
    charge: Charge,
}

impl Message {
    /// The exchange it was published to; names were checked to be UTF-8 when it came in.
    pub(super) fn exchange(&self) -> &str {
        std::str::from_utf8(&self.wire[1..self.key_at]).unwrap_or_default()
    }

    pub(super) fn routing_key(&self) -> &str {
        std::str::from_utf8(&self.wire[self.key_at + 1..self.header_at]).unwrap_or_default()
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.wire[self.body_at..]
    }

    fn header(&self) -> &[u8] {
        &self.wire[self.header_at..self.body_at]
    }

    pub(super) fn properties(&self) -> Properties<'_> {
        Properties::scan(&self.header()[HEADER_FIXED..]).unwrap_or_default()
    }

    /// The whole property list, owned. Only for the cold paths: it costs an allocation per property.
    pub(super) fn decode_properties(&self) -> AMQPProperties {
        parse_properties(&self.header()[HEADER_FIXED..])
            .map(|(_, properties)| properties)
            .unwrap_or_default()
    }

    /// The header table, owned; empty where there is none.
    pub(super) fn decode_headers(&self) -> FieldTable {
        self.decode_properties().headers().clone().unwrap_or_default()
    }

    /// The same content under another address and property list. Hidden keys are kept.
    pub(super) fn rewritten(&self, exchange: &str, routing_key: &str, properties: &AMQPProperties) -> Self {
        let mut header = self.header()[..HEADER_FIXED].to_vec();
        match gen_properties(properties)(WriteContext::from(Vec::new())) {
            Ok(context) => header.extend_from_slice(&context.into_inner().0),
            // Writing to a Vec fails only for over-long strings, and these came off the wire with their own lengths.
            Err(error) => unreachable!("a property list that was decoded could not be encoded: {error:?}"),
        }
        let mut draft = Draft::default();
        draft.address(exchange.as_bytes(), routing_key.as_bytes());
        let gauge = self.charge.gauge();
        // The broker wrote these properties itself: they are well-formed by construction.
        let mut assembly = draft.assemble(&header, self.body().len() as u64, gauge);
        assembly.push(self.body());
        let expiration = properties
            .expiration()
            .as_ref()
            .and_then(|value| value.as_str().parse().ok());
        Self {
            hidden_keys: self.hidden_keys.clone(),
            ..assembly.finish(properties.priority().unwrap_or(0), expiration)
        }
    }

    /// Appends basic.deliver and the content.
    pub(super) fn write_deliver(&self, out: &mut Vec<u8>, to: &DeliverTo<'_>) {
        let start = frame::begin(out, frame::METHOD, to.channel);
        out.extend_from_slice(&[0, 60, 0, 60]);
        out.extend_from_slice(to.consumer_tag_wire);
        out.extend_from_slice(&to.delivery_tag.to_be_bytes());
        out.push(u8::from(to.redelivered));
        out.extend_from_slice(&self.wire[..self.header_at]);
        frame::finish(out, start);
        self.write_content(out, to.channel, to.frame_max);
    }

    /// Appends basic.get-ok and the content. `left` is what the queue still holds after it.
    pub(super) fn write_get_ok(&self, out: &mut Vec<u8>, to: &DeliverTo<'_>, left: u32) {
        let start = frame::begin(out, frame::METHOD, to.channel);
        out.extend_from_slice(&[0, 60, 0, 71]);
        out.extend_from_slice(&to.delivery_tag.to_be_bytes());
        out.push(u8::from(to.redelivered));
        out.extend_from_slice(&self.wire[..self.header_at]);
        out.extend_from_slice(&left.to_be_bytes());
        frame::finish(out, start);
        self.write_content(out, to.channel, to.frame_max);
    }

    /// Appends basic.return and the content.
    pub(super) fn write_return(&self, out: &mut Vec<u8>, channel: u16, frame_max: u32, code: u16, text: &str) {
        let start = frame::begin(out, frame::METHOD, channel);
        out.extend_from_slice(&[0, 60, 0, 50]);
        out.extend_from_slice(&code.to_be_bytes());
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(&self.wire[..self.header_at]);
        frame::finish(out, start);
        self.write_content(out, channel, frame_max);
    }

    fn write_content(&self, out: &mut Vec<u8>, channel: u16, frame_max: u32) {
        frame::write_payload(out, frame::HEADER, channel, self.header());
        frame::write_body(out, channel, self.body(), frame_max);
    }
}

/// Where and how a message goes to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliverTo<'a> {
    pub(super) channel: u16,
    pub(super) frame_max: u32,
    /// The consumer tag with its length octet; unused by basic.get-ok.
    pub(super) consumer_tag_wire: &'a [u8],
    pub(super) delivery_tag: u64,
    pub(super) redelivered: bool,
}

/// The address of a publish whose content header has not come yet. Kept per channel, so that its buffer is used again.
#[derive(Debug, Default)]
pub(super) struct Draft {
    address: Vec<u8>,
    key_at: usize,
}

impl Draft {
    /// Sets the address; both names are at most 255 octets, as they came in short strings.
    pub(super) fn address(&mut self, exchange: &[u8], routing_key: &[u8]) {
        self.address.clear();
        for name in [exchange, routing_key] {
            self.key_at = self.address.len();
            self.address.push(name.len() as u8);
            self.address.extend_from_slice(name);
        }
    }

    /// Starts collecting the body under a content header whose property list was scanned before.
    pub(super) fn assemble(&self, header: &[u8], body_size: u64, gauge: &Arc<Gauge>) -> Assembly {
        /// A body size is only a claim until the body arrives, so no more than this is set aside at once.
        const AT_ONCE: u64 = 64 << 10;
        let capacity = self.address.len() + header.len() + body_size.min(AT_ONCE) as usize;
        let mut wire = Vec::with_capacity(capacity);
        wire.extend_from_slice(&self.address);
        wire.extend_from_slice(header);
        Assembly {
            key_at: self.key_at,
            header_at: self.address.len(),
            body_at: wire.len(),
            missing: body_size,
            charge: Charge::new(gauge, capacity + ENTRY_BYTES),
            wire,
        }
    }
}

/// What a message costs beyond its bytes: the shared block and a queue entry.
const ENTRY_BYTES: usize = 200;

/// A message whose body is still arriving.
#[derive(Debug)]
pub(super) struct Assembly {
    wire: Vec<u8>,
    key_at: usize,
    header_at: usize,
    body_at: usize,
    missing: u64,
    charge: Charge,
}

impl Assembly {
    /// Octets of the body that have not arrived.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Adds a piece of the body, which must not be longer than what is missing.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.wire.extend_from_slice(piece);
        self.missing -= piece.len() as u64;
        self.charge.raise_to(self.wire.capacity() + ENTRY_BYTES);
    }

    pub(super) fn properties(&self) -> Properties<'_> {
        Properties::scan(&self.wire[self.header_at + HEADER_FIXED..self.body_at]).unwrap_or_default()
    }

    pub(super) fn finish(self, priority: u8, expiration_ms: Option<u64>) -> Message {
        let Self {
            wire,
            key_at,
            header_at,
            body_at,
            charge,
            ..
        } = self;
        Message {
            wire,
            key_at,
            header_at,
            body_at,
            priority,
            expiration_ms,
            hidden_keys: Vec::new(),
            charge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::types::AMQPValue;

    fn header(properties: &AMQPProperties, size: u64) -> Vec<u8> {
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&size.to_be_bytes());
        let list = gen_properties(properties)(WriteContext::from(Vec::new()))
            .expect("encodes")
            .into_inner()
            .0;
        header.extend_from_slice(&list);
        header
    }

    #[test]
    fn properties_are_found_among_all_others() {
        let mut table = FieldTable::default();
        table.insert("k".into(), AMQPValue::LongInt(1));
        let all = AMQPProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("utf-8".into())
            .with_headers(table)
            .with_delivery_mode(2)
            .with_priority(7)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_timestamp(1)
            .with_type("t".into())
            .with_user_id("guest".into())
            .with_app_id("a".into())
            .with_cluster_id("x".into());
        let bytes = header(&all, 0);
        let found = Properties::scan(&bytes[HEADER_FIXED..]).expect("well-formed");
        assert_eq!(found.priority, Some(7));
        assert_eq!(found.reply_to, Some(&b"r"[..]));
        assert_eq!(found.expiration, Some(&b"60000"[..]));
        assert_eq!(found.user_id, Some(&b"guest"[..]));
        assert_eq!(found.headers, Some(&[1, b'k', b'I', 0, 0, 0, 1][..]));
    }

    #[test]
    fn a_cut_property_list_is_refused() {
        let bytes = header(&AMQPProperties::default().with_message_id("message".into()), 0);
        for end in HEADER_FIXED..bytes.len() {
            assert_eq!(Properties::scan(&bytes[HEADER_FIXED..end]), None);
        }
    }

    #[test]
    fn a_message_gives_its_memory_back() {
        let gauge = Gauge::new(u64::MAX);
        let mut draft = Draft::default();
        draft.address(b"exchange", b"key");
        let mut assembly = draft.assemble(&header(&AMQPProperties::default(), 300_000), 300_000, &gauge);
        assert!(gauge.used() < 100_000);
        for _ in 0..3 {
            assembly.push(&[1; 100_000]);
        }
        assert_eq!(assembly.missing(), 0);
        let message = assembly.finish(0, None);
        assert_eq!(
            (message.exchange(), message.routing_key(), message.body().len()),
            ("exchange", "key", 300_000)
        );
        assert!(gauge.used() > 300_000);
        drop(message);
        assert_eq!(gauge.used(), 0);
    }

    #[test]
    fn a_rewritten_message_keeps_its_body() {
        let gauge = Gauge::new(u64::MAX);
        let mut draft = Draft::default();
        draft.address(b"a", b"b");
        let mut assembly = draft.assemble(&header(&AMQPProperties::default(), 4), 4, &gauge);
        assembly.push(b"body");
        let message = assembly.finish(0, None);
        let other = message.rewritten("c", "d", &AMQPProperties::default().with_priority(3));
        assert_eq!(
            (other.exchange(), other.routing_key(), other.body()),
            ("c", "d", &b"body"[..])
        );
        assert_eq!(other.priority, 3);
        assert_eq!(other.decode_properties().priority(), &Some(3));
    }
}
