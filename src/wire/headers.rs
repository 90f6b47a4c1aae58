//! Headers of our own on messages, and the broker's history of a dead letter.
//!
//! RabbitMQ 4 no longer reads the history of a message that a client publishes again, so what must outlast that stands in
//! headers of our own: the number of retries, and why a stage gave a message up.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// How often a message was published again after its handler failed.
pub const RETRIES: &str = "x-retry";
/// Why a stage put a message into its dead-letter queue itself: a [`crate::workload::model::GiveUp`].
pub const REASON: &str = "x-reason";
/// The queue that a stage took such a message from.
pub const SOURCE: &str = "x-source-queue";
/// The exchange and the routing key that a message first came by, which publishing it again would hide.
pub const SOURCE_EXCHANGE: &str = "x-source-exchange";
/// … its routing key.
pub const SOURCE_KEY: &str = "x-source-key";
/// What is wrong with a message that the load made bad on purpose: a [`crate::workload::model::BadKind`]. Stages do not look
/// at it; the clean-up does.
pub const BAD: &str = "x-bad";

/// One entry of `x-death`: messages of one queue and reason are counted in one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Where it died.
    pub queue: String,
    /// Of what.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The exchange that it had come through.
    pub exchange: String,
    /// The routing keys that it had come by.
    pub routing_keys: Vec<String>,
    /// When it first died there, seconds since 1970.
    pub time: Option<u64>,
}

/// A header that is a text.
pub fn text<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    words(properties.headers().as_ref()?.inner().get(name)?)
}

/// How often a message was published again; 0 where it says nothing.
pub fn retries(properties: &BasicProperties) -> u32 {
    let headers = properties.headers().as_ref();
    let value = headers.and_then(|headers| headers.inner().get(RETRIES));
    value.and_then(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The properties with one header more.
pub fn with(properties: BasicProperties, name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(name.into(), value);
    properties.with_headers(headers)
}

/// The properties without some headers.
pub fn without(properties: BasicProperties, names: &[&str]) -> BasicProperties {
    let Some(headers) = properties.headers().clone() else {
        return properties;
    };
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner() {
        if !names.contains(&name.as_str()) {
            kept.insert(name.clone(), value.clone());
        }
    }
    properties.with_headers(kept)
}

/// The history of a dead letter, the latest entry first; empty where it bears none.
pub fn deaths(properties: &BasicProperties) -> Vec<Death> {
    let headers = properties.headers().as_ref();
    let Some(AMQPValue::FieldArray(entries)) = headers.and_then(|headers| headers.inner().get("x-death")) else {
        return Vec::new();
    };
    entries.as_slice().iter().filter_map(death).collect()
}

fn death(entry: &AMQPValue) -> Option<Death> {
    let AMQPValue::FieldTable(entry) = entry else {
        return None;
    };
    let field = |name: &str| entry.inner().get(name);
    let of = |name: &str| field(name).and_then(words).unwrap_or_default().to_owned();
    let keys = match field("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().iter().filter_map(words).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Some(Death {
        queue: of("queue"),
        reason: field("reason").and_then(words)?.to_owned(),
        count: field("count").and_then(number).unwrap_or(1),
        exchange: of("exchange"),
        routing_keys: keys,
        time: match field("time") {
            Some(AMQPValue::Timestamp(seconds)) => Some(*seconds),
            _ => None,
        },
    })
}

/// Why a message is a dead letter: a stage's own word before the newest entry of the broker's history.
pub fn reason(properties: &BasicProperties) -> Option<String> {
    let own = text(properties, REASON).map(str::to_owned);
    own.or_else(|| deaths(properties).into_iter().next().map(|death| death.reason))
}

fn words(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn number(value: &AMQPValue) -> Option<u64> {
    let signed = match value {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => return None,
    };
    u64::try_from(signed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::model::GiveUp;
    use lapin::types::FieldArray;

    fn died(reason: &str) -> BasicProperties {
        let mut entry = FieldTable::default();
        entry.insert("queue".into(), AMQPValue::LongString("a.queue".into()));
        entry.insert("reason".into(), AMQPValue::LongString(reason.into()));
        entry.insert("count".into(), AMQPValue::LongLongInt(2));
        let history = FieldArray::from(vec![AMQPValue::FieldTable(entry)]);
        with(BasicProperties::default(), "x-death", AMQPValue::FieldArray(history))
    }

    #[test]
    fn a_stage_s_own_reason_outranks_the_broker_s_history() {
        let properties = died("expired");
        assert_eq!(reason(&properties).as_deref(), Some("expired"));
        assert_eq!(
            (deaths(&properties)[0].queue.as_str(), deaths(&properties)[0].count),
            ("a.queue", 2)
        );
        let own = with(
            properties,
            REASON,
            AMQPValue::LongString(GiveUp::RetryLimit.name().into()),
        );
        assert_eq!(reason(&own).as_deref(), Some("retry_limit"));
        assert_eq!(reason(&without(own, &[REASON])).as_deref(), Some("expired"));
        assert_eq!(reason(&BasicProperties::default()), None);
    }

    #[test]
    fn the_retries_of_a_message_are_counted_from_none() {
        assert_eq!(retries(&BasicProperties::default()), 0);
        assert_eq!(retries(&with(died("expired"), RETRIES, AMQPValue::LongUInt(3))), 3);
        assert_eq!(retries(&with(died("expired"), RETRIES, AMQPValue::LongLongInt(-3))), 0);
    }
}
