//! basic.publish once its content is complete: checks, routing, returns.

use std::sync::Arc;

use amq_protocol::types::{AMQPValue, FieldTable};

use super::channel::ChannelKey;
use super::confirms::Answer;
use super::delivery::Admission;
use super::message::{DeliverTo, Message};
use super::queue::QueueKey;
use super::refusal::Refusal;
use super::routing::LazyHeaders;
use super::vhost::State;

/// Whether a message that reaches no queue is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mandatory {
    Return,
    Drop,
}

/// The name that a consumer of direct replies subscribes to, and the prefix of the names that stand for it.
pub(super) const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

impl State {
    /// Checks an exchange when basic.publish arrives, before its content.
    ///
    /// # Errors
    /// 404 where there is none, 403 for an internal one.
    pub(super) fn check_publish(&self, exchange: &str) -> Result<(), Refusal> {
        if self.exchange(exchange)?.internal {
            return Err(Refusal::access_refused(format!(
                "cannot publish to internal exchange '{exchange}' in vhost '{}'",
                self.vhost
            )));
        }
        Ok(())
    }

    /// Routes a message, or keeps it for tx.commit.
    ///
    /// # Errors
    /// 404 where the exchange has gone since [`State::check_publish`].
    pub(super) fn publish(
        &mut self,
        channel: ChannelKey,
        message: Message,
        mandatory: Mandatory,
    ) -> Result<(), Refusal> {
        self.check_publish(message.exchange())?;
        let message = Arc::new(message);
        if let Some(transaction) = self
            .channels
            .get_mut(channel)
            .and_then(|channel| channel.transaction.as_mut())
        {
            transaction.publishes.push((message, mandatory));
            return Ok(());
        }
        self.publish_routed(channel, message, mandatory);
        Ok(())
    }

    /// Routes a message, and sends what it returns where the channel is in confirm mode.
    pub(super) fn publish_routed(
        &mut self,
        channel: ChannelKey,
        message: Arc<Message>,
        mandatory: Mandatory,
    ) -> Answer {
        self.counts.published += 1;
        if message.exchange().is_empty() && message.routing_key().starts_with(DIRECT_REPLY) {
            let answered = self.deliver_reply(&message);
            if !answered {
                self.send_back(channel, &message, mandatory);
            }
            self.answer_publish(channel, Answer::Ack);
            return Answer::Ack;
        }
        let (queues, message) = self.route_message(message);
        if queues.is_empty() {
            self.send_back(channel, &message, mandatory);
        }
        let mut answer = Answer::Ack;
        for queue in &queues {
            if self.enqueue(*queue, message.clone()) == Admission::Refused {
                answer = Answer::Nack;
            }
        }
        self.routed = queues;
        self.answer_publish(channel, answer);
        answer
    }

    /// The queues that a message reaches with its routing key and those in its `CC` and `BCC` headers. `BCC` is taken
    /// out of the message.
    fn route_message(&mut self, message: Arc<Message>) -> (Vec<QueueKey>, Arc<Message>) {
        let mut queues = std::mem::take(&mut self.routed);
        queues.clear();
        let Some(exchange) = self.exchanges.get(message.exchange()) else {
            return (queues, message);
        };
        let decode = || message.decode_headers();
        let mut headers = LazyHeaders::new(&decode);
        let carries_copies = message.properties().headers.is_some_and(mentions_copies);
        if !carries_copies {
            self.route(exchange, &[message.routing_key()], &mut headers, &mut queues);
            return (queues, message);
        }
        let table = message.decode_headers();
        let (public_keys, hidden_keys) = (copies(&table, "CC"), copies(&table, "BCC"));
        let copies = public_keys.iter().chain(&hidden_keys).map(String::as_str);
        let keys: Vec<&str> = std::iter::once(message.routing_key()).chain(copies).collect();
        self.route(exchange, &keys, &mut headers, &mut queues);
        if !table.contains_key("BCC") {
            return (queues, message);
        }
        let mut public = FieldTable::default();
        for (name, value) in table.into_iter().filter(|(name, _)| name.as_str() != "BCC") {
            public.insert(name.clone(), value.clone());
        }
        let properties = message.decode_properties().with_headers(public);
        let mut public = message.rewritten(message.exchange(), message.routing_key(), &properties);
        public.hidden_keys = hidden_keys;
        (queues, Arc::new(public))
    }

    fn send_back(&mut self, key: ChannelKey, message: &Message, mandatory: Mandatory) {
        self.counts.unroutable += 1;
        if mandatory == Mandatory::Drop {
            return;
        }
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        self.counts.returned += 1;
        let outbox = channel.outbox.clone();
        outbox.append(|out| message.write_return(out, channel.number, channel.frame_max, 312, "NO_ROUTE"));
        self.filled(&outbox);
    }

    /// Hands a direct reply to the channel that asked for it; false where that has gone.
    fn deliver_reply(&mut self, message: &Message) -> bool {
        let Some(key) = self.reply_to.get(message.routing_key()) else {
            return false;
        };
        let Some(channel) = self.channels.get_mut(*key) else {
            return false;
        };
        let Some((_, consumer_tag)) = channel.replies.clone() else {
            return false;
        };
        let mut tag_wire = vec![consumer_tag.len() as u8];
        tag_wire.extend_from_slice(consumer_tag.as_bytes());
        let to = DeliverTo {
            channel: channel.number,
            frame_max: channel.frame_max,
            consumer_tag_wire: &tag_wire,
            delivery_tag: channel.take_tag(),
            redelivered: false,
        };
        let outbox = channel.outbox.clone();
        outbox.append(|out| message.write_deliver(out, &to));
        self.counts.delivered += 1;
        self.counts.acked += 1;
        self.filled(&outbox);
        true
    }
}

/// A quick look at a header table's bytes, to decode it only when it may matter.
fn mentions_copies(table: &[u8]) -> bool {
    table
        .windows(4)
        .any(|window| matches!(window, [2, b'C', b'C', b'A'] | [3, b'B', b'C', b'C']))
}

fn copies(table: &FieldTable, name: &str) -> Vec<String> {
    match table.inner().get(name) {
        Some(AMQPValue::FieldArray(keys)) => keys
            .as_slice()
            .iter()
            .filter_map(|key| match key {
                AMQPValue::LongString(key) => Some(key.to_string()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
