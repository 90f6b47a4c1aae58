//! Dead-lettering: why a message left its queue, and the history that it carries on from there.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};

use super::headers::integer;
use super::message::Message;
use super::queue::QueueKey;
use super::ready::Entry;
use super::refusal::short;
use super::routing::LazyHeaders;
use super::vhost::State;

/// Why a message was dead-lettered, as `x-death` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A message on its way to a dead-letter exchange.
pub(super) struct DeadLetter {
    message: Arc<Message>,
    queue: Arc<str>,
    exchange: Arc<str>,
    key: Option<Arc<str>>,
    reason: Reason,
}

impl State {
    /// Ends a message's stay in a queue: dead-letters it where the queue says where to, else drops it.
    pub(super) fn discard(&mut self, key: QueueKey, entry: Entry, reason: Reason) {
        self.counts.discarded += 1;
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        let Some(exchange) = queue.options.dead_letter_exchange.clone() else {
            self.counts.dropped += u64::from(reason != Reason::Rejected);
            return;
        };
        self.counts.dead_lettered += 1;
        self.dead_letters.push_back(DeadLetter {
            message: entry.message,
            queue: queue.name.clone(),
            exchange,
            key: queue.options.dead_letter_key.clone(),
            reason,
        });
    }

    /// Routes a dead letter. A missing exchange drops it; so does a queue that it would reach in a cycle without any
    /// rejection, because nothing would ever end that cycle.
    pub(super) fn publish_dead_letter(&mut self, letter: DeadLetter) {
        let Some(exchange) = self.exchanges.get(&letter.exchange) else {
            return;
        };
        let original = letter.message.decode_properties();
        let headers = with_death(&letter, &original);
        let key = letter.key.as_deref().unwrap_or_else(|| letter.message.routing_key());
        let decode = || headers.clone();
        let mut queues = Vec::new();
        let mut lazy = LazyHeaders::new(&decode);
        let copies = match letter.key {
            Some(_) => Vec::new(),
            None => [carbon_copies(&headers), letter.message.hidden_keys.clone()].concat(),
        };
        let keys: Vec<&str> = std::iter::once(key).chain(copies.iter().map(String::as_str)).collect();
        self.route(exchange, &keys, &mut lazy, &mut queues);
        queues.retain(|queue| {
            let name = self.queues.get(*queue).map(|queue| queue.name.clone());
            letter.reason == Reason::Rejected || !name.is_some_and(|name| is_cycle(&headers, &name))
        });
        if queues.is_empty() {
            return;
        }
        let properties = without_expiration(&original, headers);
        let mut message = letter.message.rewritten(&letter.exchange, key, &properties);
        if letter.key.is_some() {
            message.hidden_keys = Vec::new();
        }
        let message = Arc::new(message);
        for queue in queues {
            self.enqueue(queue, message.clone());
        }
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn carbon_copies(headers: &FieldTable) -> Vec<String> {
    match headers.inner().get("CC") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().iter().map(value_text).collect(),
        _ => Vec::new(),
    }
}

fn value_text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        _ => String::new(),
    }
}

fn field(table: &FieldTable, name: &str) -> String {
    table.inner().get(name).map(value_text).unwrap_or_default()
}

/// The deaths that the headers tell of, latest first.
fn deaths(headers: &FieldTable) -> Vec<FieldTable> {
    match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => deaths
            .as_slice()
            .iter()
            .filter_map(|death| match death {
                AMQPValue::FieldTable(death) => Some(death.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A message comes round to `queue` again when it died there before, and nobody rejected it since.
fn is_cycle(headers: &FieldTable, queue: &str) -> bool {
    let deaths = deaths(headers);
    match deaths.iter().position(|death| field(death, "queue") == queue) {
        None => false,
        Some(at) => deaths[..=at]
            .iter()
            .all(|death| field(death, "reason") != Reason::Rejected.name()),
    }
}

/// The header table with this death in `x-death`: counted up where it happened before, and first in the list.
fn with_death(letter: &DeadLetter, properties: &AMQPProperties) -> FieldTable {
    let mut headers = properties.headers().clone().unwrap_or_default();
    let mut deaths = deaths(&headers);
    let same =
        |death: &FieldTable| field(death, "queue") == *letter.queue && field(death, "reason") == letter.reason.name();
    let latest = match deaths.iter().position(same) {
        Some(at) => {
            let mut death = deaths.remove(at);
            let count = death.inner().get("count").and_then(integer).unwrap_or(0);
            death.insert("count".into(), AMQPValue::LongLongInt(count + 1));
            death
        }
        None => first_death(letter, properties),
    };
    deaths.insert(0, latest);
    let deaths: Vec<AMQPValue> = deaths.into_iter().map(AMQPValue::FieldTable).collect();
    headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(deaths)));
    if !headers.contains_key("x-first-death-reason") {
        headers.insert("x-first-death-reason".into(), text(letter.reason.name()));
        headers.insert("x-first-death-queue".into(), text(&letter.queue));
        headers.insert("x-first-death-exchange".into(), text(letter.message.exchange()));
    }
    // Carbon copies were resolved by the first publish; with a key of its own the dead letter goes nowhere else.
    if letter.key.is_some() && headers.contains_key("CC") {
        let mut without = FieldTable::default();
        for (name, value) in headers.into_iter().filter(|(name, _)| name.as_str() != "CC") {
            without.insert(name.clone(), value.clone());
        }
        return without;
    }
    headers
}

fn first_death(letter: &DeadLetter, properties: &AMQPProperties) -> FieldTable {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let mut keys = vec![text(letter.message.routing_key())];
    if let Some(headers) = properties.headers() {
        keys.extend(carbon_copies(headers).iter().map(|key| text(key)));
    }
    let mut death = FieldTable::default();
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert("reason".into(), text(letter.reason.name()));
    death.insert("queue".into(), text(&letter.queue));
    death.insert("time".into(), AMQPValue::Timestamp(now));
    death.insert("exchange".into(), text(letter.message.exchange()));
    death.insert("routing-keys".into(), AMQPValue::FieldArray(FieldArray::from(keys)));
    if let Some(expiration) = properties.expiration() {
        death.insert("original-expiration".into(), text(expiration.as_str()));
    }
    death
}

/// The properties with `headers` and without the expiration, which must not kill the message again where it goes.
fn without_expiration(properties: &AMQPProperties, headers: FieldTable) -> AMQPProperties {
    let copied = AMQPProperties::default().with_headers(headers);
    let copied = [
        (
            properties.content_type(),
            AMQPProperties::with_content_type as fn(AMQPProperties, _) -> AMQPProperties,
        ),
        (properties.content_encoding(), AMQPProperties::with_content_encoding),
        (properties.correlation_id(), AMQPProperties::with_correlation_id),
        (properties.reply_to(), AMQPProperties::with_reply_to),
        (properties.message_id(), AMQPProperties::with_message_id),
        (properties.kind(), AMQPProperties::with_type),
        (properties.user_id(), AMQPProperties::with_user_id),
        (properties.app_id(), AMQPProperties::with_app_id),
        (properties.cluster_id(), AMQPProperties::with_cluster_id),
    ]
    .into_iter()
    .fold(copied, |copied, (value, set)| match value {
        Some(value) => set(copied, short(value.as_str())),
        None => copied,
    });
    let copied = properties
        .delivery_mode()
        .map_or(copied.clone(), |mode| copied.with_delivery_mode(mode));
    let copied = properties
        .priority()
        .map_or(copied.clone(), |priority| copied.with_priority(priority));
    properties
        .timestamp()
        .map_or(copied.clone(), |timestamp| copied.with_timestamp(timestamp))
}
