//! A content header's property list, walked and written without an allocation.

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::generation::gen_field_table;

use super::{Fields, TABLE_DEPTH_MAX, table_depth};

/// The properties that a broker itself looks at, borrowed from a content header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// Content of the header table.
    pub headers: Option<&'a [u8]>,
    pub priority: Option<u8>,
    pub reply_to: Option<&'a [u8]>,
    pub expiration: Option<&'a [u8]>,
    pub user_id: Option<&'a [u8]>,
}

impl<'a> Properties<'a> {
    /// Walks a property list (flags and values); `None` where it is malformed or nests tables too deep.
    pub fn scan(list: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(list);
        let flags = fields.short()?;
        // Bit 0 continues the flags, which the basic class never needs; bit 1 is no property.
        if flags & 0b11 != 0 {
            return None;
        }
        let mut found = Self::default();
        for bit in (2..16).rev().filter(|bit| flags & (1 << bit) != 0) {
            match bit {
                13 => {
                    let table = fields.long_string()?;
                    if table_depth(table)? > TABLE_DEPTH_MAX {
                        return None;
                    }
                    found.headers = Some(table);
                }
                12 => _ = fields.octet()?,
                11 => found.priority = Some(fields.octet()?),
                9 => found.reply_to = Some(fields.short_string()?),
                8 => found.expiration = Some(fields.short_string()?),
                6 => _ = fields.long_long()?,
                4 => found.user_id = Some(fields.short_string()?),
                _ => _ = fields.short_string()?,
            }
        }
        fields.is_empty().then_some(found)
    }
}

/// Appends a property list: flags and values, in the order of the specification.
pub fn write(out: &mut Vec<u8>, properties: &AMQPProperties) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut flags = 0u16;
    let mut text = |out: &mut Vec<u8>, bit: u16, value: &Option<amq_protocol::types::ShortString>| {
        if let Some(value) = value {
            flags |= 1 << bit;
            out.push(value.as_str().len() as u8);
            out.extend_from_slice(value.as_str().as_bytes());
        }
    };
    text(out, 15, properties.content_type());
    text(out, 14, properties.content_encoding());
    let mut rest = 0u16;
    if let Some(headers) = properties.headers() {
        rest |= 1 << 13;
        let buffer = std::mem::take(out);
        let position = buffer.len() as u64;
        // The codec seeks back by absolute position to patch lengths, so the context starts at the buffer's end.
        match gen_field_table(headers)(WriteContext {
            write: buffer,
            position,
        }) {
            Ok(context) => *out = context.into_inner().0,
            Err(error) => unreachable!("a table could not be encoded: {error:?}"),
        }
    }
    if let Some(mode) = properties.delivery_mode() {
        rest |= 1 << 12;
        out.push(*mode);
    }
    if let Some(priority) = properties.priority() {
        rest |= 1 << 11;
        out.push(*priority);
    }
    text(out, 10, properties.correlation_id());
    text(out, 9, properties.reply_to());
    text(out, 8, properties.expiration());
    text(out, 7, properties.message_id());
    if let Some(timestamp) = properties.timestamp() {
        rest |= 1 << 6;
        out.extend_from_slice(&timestamp.to_be_bytes());
    }
    text(out, 5, properties.kind());
    text(out, 4, properties.user_id());
    text(out, 3, properties.app_id());
    text(out, 2, properties.cluster_id());
    out[start..start + 2].copy_from_slice(&(flags | rest).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::protocol::basic::parse_properties;
    use amq_protocol::types::{AMQPValue, FieldTable};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_by_the_codec(present in any::<u16>(), text in "[a-z]{0,255}", number in any::<u64>()) {
            let has = |bit: u16| present & (1 << bit) != 0;
            let mut properties = AMQPProperties::default();
            if has(0) { properties = properties.with_content_type(text.as_str().into()); }
            if has(1) { properties = properties.with_content_encoding("gzip".into()); }
            if has(2) {
                let mut table = FieldTable::default();
                table.insert("x-retry".into(), AMQPValue::LongLongInt(number as i64));
                table.insert("x-text".into(), AMQPValue::LongString(text.as_str().into()));
                properties = properties.with_headers(table);
            }
            if has(3) { properties = properties.with_delivery_mode(2); }
            if has(4) { properties = properties.with_priority(number as u8); }
            if has(5) { properties = properties.with_correlation_id(text.as_str().into()); }
            if has(6) { properties = properties.with_reply_to("r".into()); }
            if has(7) { properties = properties.with_expiration("1000".into()); }
            if has(8) { properties = properties.with_message_id(text.as_str().into()); }
            if has(9) { properties = properties.with_timestamp(number); }
            if has(10) { properties = properties.with_type("t".into()); }
            if has(11) { properties = properties.with_user_id("u".into()); }
            if has(12) { properties = properties.with_app_id(text.as_str().into()); }
            if has(13) { properties = properties.with_cluster_id("c".into()); }
            let mut out = vec![7, 7, 7];
            write(&mut out, &properties);
            let (rest, read) = parse_properties(&out[3..]).expect("a property list");
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read, properties);
            prop_assert!(Properties::scan(&out[3..]).is_some());
        }
    }
}
