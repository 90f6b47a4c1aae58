//! A delivery as slices of what was read; properties and names are looked at only when somebody asks.

use amq_protocol::protocol::basic::parse_properties;
use bytes::Bytes;
use lapin::BasicProperties;

use crate::amqp::frame::Fields;
use crate::amqp::frame::properties::Properties;

/// A message that a consumer was sent.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    /// Exchange and routing key, as short strings.
    address: Bytes,
    /// The property list: flags and values.
    properties: Bytes,
    pub(crate) body: Bytes,
}

impl Delivery {
    /// From the arguments of basic.deliver; absent where they are malformed.
    pub(super) fn new(arguments: &Bytes, properties: Bytes, body: Bytes) -> Option<Self> {
        let mut fields = Fields(arguments);
        let _consumer_tag = fields.short_string()?;
        let (tag, redelivered) = (fields.long_long()?, fields.octet()? & 1 == 1);
        Some(Delivery {
            tag,
            redelivered,
            address: arguments.slice_ref(fields.0),
            properties,
            body,
        })
    }

    /// Exchange and routing key; empty where the broker sent no text.
    pub(crate) fn address(&self) -> (&str, &str) {
        address(&self.address).unwrap_or_default()
    }

    /// All properties; none where they cannot be read.
    pub(crate) fn properties(&self) -> BasicProperties {
        // The codec recurses once per level of a table; the scan has a limit.
        if Properties::scan(&self.properties).is_none() {
            return BasicProperties::default();
        }
        parse_properties(&self.properties[..])
            .map(|(_, properties)| properties)
            .unwrap_or_default()
    }
}

/// Exchange and routing key from two short strings.
pub(super) fn address(wire: &[u8]) -> Option<(&str, &str)> {
    let mut fields = Fields(wire);
    let (exchange, key) = (fields.short_string()?, fields.short_string()?);
    Some((std::str::from_utf8(exchange).ok()?, std::str::from_utf8(key).ok()?))
}
