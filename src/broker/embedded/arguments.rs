//! The `x-` arguments of queues: which are known, which values they may have, and when two declarations are equivalent.

use std::sync::Arc;
use std::time::Duration;

use amq_protocol::types::{AMQPType, AMQPValue, FieldTable};

use super::headers::integer;
use super::refusal::Refusal;

/// How a queue behaves where a workload can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum QueueKind {
    #[default]
    Classic,
    /// One replica in memory, with the visible rules of a quorum queue: declaration limits, delivery count and limit.
    Quorum,
}

/// What happens to a message for which a bounded queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishDeadLetter,
}

/// Who gets deliveries when a queue has several consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sharing {
    #[default]
    RoundRobin,
    SingleActive,
}

/// The arguments of a queue, checked and typed.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueOptions {
    pub(super) kind: QueueKind,
    pub(super) message_ttl_ms: Option<u64>,
    pub(super) expires: Option<Duration>,
    pub(super) max_length: Option<usize>,
    pub(super) max_length_bytes: Option<u64>,
    pub(super) overflow: Overflow,
    pub(super) dead_letter_exchange: Option<Arc<str>>,
    pub(super) dead_letter_key: Option<Arc<str>>,
    pub(super) max_priority: Option<u8>,
    pub(super) sharing: Sharing,
    pub(super) delivery_limit: Option<u32>,
}

/// Arguments whose values must be equal when a queue is declared again, in the order in which RabbitMQ compares them.
pub(super) const COMPARED: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-delivery-limit",
];

/// Arguments of the other queue type, which RabbitMQ refuses rather than ignores.
const NOT_FOR_CLASSIC: &[&str] = &[
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-dead-letter-strategy",
];
const NOT_FOR_QUORUM: &[&str] = &["x-max-priority", "x-queue-mode", "x-queue-version"];

/// Longest time to live accepted, as in RabbitMQ: what an Erlang timer can hold.
const TIME_MAX_MS: i64 = 4_294_967_295;

impl QueueOptions {
    /// Reads the arguments of a queue.declare.
    ///
    /// # Errors
    /// 406 for a known argument with a value that does not fit, or one that the queue type has not.
    pub(super) fn parse(arguments: &FieldTable, queue: &str, vhost: &str) -> Result<Self, Refusal> {
        let reader = Reader {
            arguments,
            queue,
            vhost,
        };
        let kind = reader.kind()?;
        reader.refuse_foreign(kind)?;
        // In RabbitMQ's order, which decides what a declaration with several faults is told.
        let expires = reader.number("x-expires", 1, TIME_MAX_MS)?.map(Duration::from_millis);
        let message_ttl_ms = reader.number("x-message-ttl", 0, TIME_MAX_MS)?;
        let dead_letter_exchange = reader.text("x-dead-letter-exchange")?.map(Arc::from);
        let dead_letter_key = reader.text("x-dead-letter-routing-key")?.map(Arc::from);
        if dead_letter_key.is_some() && dead_letter_exchange.is_none() {
            return Err(reader.invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"));
        }
        let options = Self {
            kind,
            message_ttl_ms,
            expires,
            max_length: reader
                .number("x-max-length", 0, i64::MAX)?
                .map(|length| length as usize),
            max_length_bytes: reader.number("x-max-length-bytes", 0, i64::MAX)?,
            max_priority: reader.number("x-max-priority", 0, 255)?.map(|priority| priority as u8),
            overflow: reader.overflow()?,
            dead_letter_exchange,
            dead_letter_key,
            sharing: reader.sharing()?,
            delivery_limit: reader
                .number("x-delivery-limit", 0, i64::from(u32::MAX))?
                .map(|limit| limit as u32),
        };
        if let Some(mode) = reader.text("x-queue-mode")?
            && !matches!(mode.as_str(), "default" | "lazy")
        {
            return Err(reader.invalid("x-queue-mode", "invalid_queue_mode"));
        }
        reader.number("x-queue-version", 1, 2)?;
        Ok(options)
    }
}

struct Reader<'a> {
    arguments: &'a FieldTable,
    queue: &'a str,
    vhost: &'a str,
}

impl Reader<'_> {
    fn invalid(&self, name: &str, why: &str) -> Refusal {
        Refusal::precondition_failed(format!(
            "invalid arg '{name}' for queue '{}' in vhost '{}': {why}",
            self.queue, self.vhost
        ))
    }

    fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.arguments.inner().get(name) else {
            return Ok(None);
        };
        let Some(number) = integer(value) else {
            return Err(self.invalid(name, &format!("{{unacceptable_type,{}}}", type_name(value.get_type()))));
        };
        if number < least || number > most {
            let why = match number {
                0 => "value_zero",
                _ if number < 0 => "value_negative",
                _ if name == "x-max-priority" => "max_value_exceeded",
                _ => "value_too_big",
            };
            return Err(self.invalid(name, &format!("{{{why},{number}}}")));
        }
        Ok(Some(number as u64))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.arguments.inner().get(name) {
            None => Ok(None),
            Some(AMQPValue::LongString(text)) => match std::str::from_utf8(text.as_bytes()) {
                // Exchange names and routing keys end up in short strings.
                Ok(text) if text.len() <= 255 => Ok(Some(text.to_owned())),
                _ => Err(self.invalid(name, "not a short UTF-8 string")),
            },
            Some(other) => Err(self.invalid(name, &format!("{{unacceptable_type,{}}}", type_name(other.get_type())))),
        }
    }

    fn kind(&self) -> Result<QueueKind, Refusal> {
        match self.text("x-queue-type")?.as_deref() {
            None | Some("classic") => Ok(QueueKind::Classic),
            Some("quorum") => Ok(QueueKind::Quorum),
            Some("stream") => Err(Refusal::not_implemented(format!(
                "queue '{}' in vhost '{}': the embedded broker has no streams",
                self.queue, self.vhost
            ))),
            Some(other) => Err(self.invalid("x-queue-type", &format!("\"unsupported queue type '{other}'\""))),
        }
    }

    fn refuse_foreign(&self, kind: QueueKind) -> Result<(), Refusal> {
        let (foreign, type_name) = match kind {
            QueueKind::Classic => (NOT_FOR_CLASSIC, "rabbit_classic_queue"),
            QueueKind::Quorum => (NOT_FOR_QUORUM, "rabbit_quorum_queue"),
        };
        match foreign.iter().find(|name| self.arguments.contains_key(name)) {
            None => Ok(()),
            Some(name) => Err(Refusal::precondition_failed(format!(
                "invalid arg '{name}' for queue '{}' in vhost '{}' of queue type {type_name}",
                self.queue, self.vhost
            ))),
        }
    }

    fn overflow(&self) -> Result<Overflow, Refusal> {
        match self.text("x-overflow")?.as_deref() {
            None | Some("drop-head") => Ok(Overflow::DropHead),
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDeadLetter),
            Some(_) => Err(self.invalid("x-overflow", "invalid_overflow")),
        }
    }

    fn sharing(&self) -> Result<Sharing, Refusal> {
        match self.arguments.inner().get("x-single-active-consumer") {
            None | Some(AMQPValue::Boolean(false)) => Ok(Sharing::RoundRobin),
            Some(AMQPValue::Boolean(true)) => Ok(Sharing::SingleActive),
            Some(other) => Err(self.invalid(
                "x-single-active-consumer",
                &format!("{{unacceptable_type,{}}}", type_name(other.get_type())),
            )),
        }
    }
}

/// 406 for a declaration that does not match what exists.
pub(super) fn inequivalent(name: &str, what: &str, given: &str, current: &str) -> Refusal {
    Refusal::precondition_failed(format!(
        "inequivalent arg '{name}' for {what}: received '{given}' but current is '{current}'"
    ))
}

/// Compares the named arguments of two declarations; numbers of different widths are equal by value.
pub(super) fn check_equivalent(
    names: &[&str],
    what: &str,
    given: &FieldTable,
    current: &FieldTable,
) -> Result<(), Refusal> {
    for name in names {
        let (given, current) = (named(given, name), named(current, name));
        let same = match (given, current) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one == other || integer(one).is_some_and(|number| integer(other) == Some(number))
            }
            _ => false,
        };
        if let (false, Some(given), Some(current)) = (same, given, current)
            && given.get_type() == current.get_type()
        {
            return Err(inequivalent(name, what, &spell(given), &spell(current)));
        }
        if !same {
            return Err(Refusal::precondition_failed(format!(
                "inequivalent arg '{name}' for {what}: received {} but current is {}",
                describe(given),
                describe(current)
            )));
        }
    }
    Ok(())
}

/// An argument, where naming the default queue type is like naming none.
fn named<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a AMQPValue> {
    let is_default = |value: &AMQPValue| matches!(value, AMQPValue::LongString(kind) if kind.as_bytes() == b"classic");
    arguments
        .inner()
        .get(name)
        .filter(|value| name != "x-queue-type" || !is_default(value))
}

fn spell(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::Boolean(flag) => flag.to_string(),
        other => integer(other).map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    }
}

fn describe(value: Option<&AMQPValue>) -> String {
    let Some(value) = value else {
        return "none".to_owned();
    };
    let text = spell(value);
    format!("the value '{text}' of type '{}'", type_name(value.get_type()))
}

/// RabbitMQ's names of the field types.
fn type_name(kind: AMQPType) -> &'static str {
    match kind {
        AMQPType::Boolean => "bool",
        AMQPType::ShortShortInt => "byte",
        AMQPType::ShortShortUInt => "unsignedbyte",
        AMQPType::ShortInt => "short",
        AMQPType::ShortUInt => "unsignedshort",
        AMQPType::LongInt => "signedint",
        AMQPType::LongUInt => "unsignedint",
        AMQPType::LongLongInt | AMQPType::LongLongUInt => "long",
        AMQPType::Float => "float",
        AMQPType::Double => "double",
        AMQPType::DecimalValue => "decimal",
        AMQPType::ShortString | AMQPType::LongString => "longstr",
        AMQPType::FieldArray => "array",
        AMQPType::Timestamp => "timestamp",
        AMQPType::FieldTable => "table",
        AMQPType::ByteArray => "binary",
        AMQPType::Void => "void",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, AMQPValue)]) -> Result<QueueOptions, Refusal> {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        QueueOptions::parse(&table, "q", "/")
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    #[test]
    fn a_stream_is_refused_and_never_a_classic_queue() {
        assert_eq!(
            parse(&[("x-queue-type", text("stream"))]).expect_err("refused").code,
            540
        );
        assert_eq!(parse(&[("x-queue-type", text("tape"))]).expect_err("refused").code, 406);
    }

    #[test]
    fn each_type_refuses_the_arguments_of_the_other() {
        assert_eq!(
            parse(&[("x-delivery-limit", AMQPValue::LongInt(3))])
                .expect_err("refused")
                .code,
            406
        );
        let quorum = [
            ("x-queue-type", text("quorum")),
            ("x-max-priority", AMQPValue::LongInt(3)),
        ];
        assert_eq!(parse(&quorum).expect_err("refused").code, 406);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (name, value) in [
            ("x-message-ttl", AMQPValue::LongInt(-1)),
            ("x-message-ttl", text("soon")),
            ("x-expires", AMQPValue::LongInt(0)),
            ("x-max-priority", AMQPValue::LongInt(256)),
            ("x-overflow", text("explode")),
            ("x-dead-letter-routing-key", text("alone")),
            ("x-single-active-consumer", text("true")),
        ] {
            assert_eq!(parse(&[(name, value)]).expect_err(name).code, 406, "{name}");
        }
    }

    #[test]
    fn integers_of_any_width_are_accepted() {
        for value in [
            AMQPValue::ShortShortUInt(5),
            AMQPValue::LongLongInt(5),
            AMQPValue::ShortInt(5),
        ] {
            assert_eq!(parse(&[("x-max-length", value)]).expect("valid").max_length, Some(5));
        }
    }
}
