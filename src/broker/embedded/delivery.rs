//! From a queue to its consumers: enqueueing, turns, deliveries, basic.get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amq_protocol::types::AMQPValue;

use super::arguments::{Overflow, QueueKind};
use super::channel::{ChannelKey, Unacked};
use super::consumer::{Acks, ConsumerKey};
use super::dead_letter::Reason;
use super::message::{DeliverTo, Message};
use super::queue::{Queue, QueueKey};
use super::ready::Entry;
use super::vhost::State;

/// What a queue did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Taken,
    /// Over a limit with `x-overflow` = `reject-publish` or `reject-publish-dlx`.
    Refused,
}

impl Queue {
    fn is_over_limit(&self) -> bool {
        self.options.max_length.is_some_and(|limit| self.ready.len() > limit)
            || self
                .options
                .max_length_bytes
                .is_some_and(|limit| self.ready.bytes() > limit)
    }

    fn would_overflow(&self, message: &Message) -> bool {
        self.options
            .max_length
            .is_some_and(|limit| self.ready.len() + 1 > limit)
            || self
                .options
                .max_length_bytes
                .is_some_and(|limit| self.ready.bytes() + message.body().len() as u64 > limit)
    }

    /// The shorter of the queue's and the message's time to live, as an instant.
    fn expiry_of(&self, message: &Message) -> Option<Instant> {
        let ttl = match (self.options.message_ttl_ms, message.expiration_ms) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some(Instant::now() + Duration::from_millis(ttl))
    }

    fn new_entry(&mut self, message: Arc<Message>) -> Entry {
        let position = self.next_position;
        self.next_position += 1;
        Entry {
            expires: self.expiry_of(&message),
            message,
            position,
            returns: 0,
            redelivered: false,
        }
    }
}

impl State {
    /// Gives a routed message to a queue, and what follows to [`State::settle`].
    pub(super) fn enqueue(&mut self, key: QueueKey, message: Arc<Message>) -> Admission {
        let Some(queue) = self.queues.get_mut(key) else {
            return Admission::Taken;
        };
        if queue.options.overflow != Overflow::DropHead && queue.would_overflow(&message) {
            if queue.options.overflow == Overflow::RejectPublishDeadLetter {
                let entry = queue.new_entry(message);
                self.discard(key, entry, Reason::MaxLength);
            }
            return Admission::Refused;
        }
        let entry = queue.new_entry(message);
        let is_next = queue.ready.len() == 0;
        // A message that meets a free consumer never waits: one with TTL 0, or over the limit, is delivered all the same.
        if is_next && let Some(consumer) = self.next_consumer(key) {
            self.deliver(key, consumer, entry);
            return Admission::Taken;
        }
        if let Some(queue) = self.queues.get_mut(key) {
            let (position, expires) = (entry.position, entry.expires);
            queue.ready.push_back(entry);
            let goes_first = queue.ready.front().is_some_and(|front| front.position == position);
            if is_next {
                queue.overtaken = false;
            } else if goes_first && expires.is_some() {
                queue.overtaken = true;
            }
        }
        // What is over the limit is dropped as such, even if its time is over too.
        self.drop_overflow(key);
        self.pump(key);
        Admission::Taken
    }

    /// Drops from the head what a bounded queue has no room for. One that refuses publishes instead keeps what is
    /// returned to it.
    pub(super) fn drop_overflow(&mut self, key: QueueKey) {
        while let Some(queue) = self.queues.get_mut(key)
            && queue.options.overflow == Overflow::DropHead
            && queue.is_over_limit()
        {
            queue.overtaken = false;
            match queue.ready.pop_front() {
                Some(entry) => self.discard(key, entry, Reason::MaxLength),
                None => return,
            }
        }
    }

    /// Delivers from the head of a queue until it is empty or no consumer has room.
    pub(super) fn pump(&mut self, key: QueueKey) {
        loop {
            self.expire_head(key);
            if self.queues.get(key).is_none_or(|queue| queue.ready.len() == 0) {
                return;
            }
            let Some(consumer) = self.next_consumer(key) else {
                break;
            };
            if let Some(queue) = self.queues.get_mut(key) {
                queue.overtaken = false;
                if let Some(entry) = queue.ready.pop_front() {
                    self.deliver(key, consumer, entry);
                }
            }
        }
        self.arm_expiry_timer(key);
    }

    /// Whose turn it is. Consumers without room are parked on the way; the one returned goes to the end of the line.
    fn next_consumer(&mut self, key: QueueKey) -> Option<ConsumerKey> {
        loop {
            let queue = self.queues.get(key)?;
            let candidate = *queue.turns.first()?.1.front()?;
            let has_room = self.has_room(candidate);
            let queue = self.queues.get_mut(key)?;
            let line = &mut queue.turns.first_mut()?.1;
            line.pop_front();
            if has_room {
                line.push_back(candidate);
                return Some(candidate);
            }
            if line.is_empty() {
                queue.turns.remove(0);
            }
            self.park(candidate);
        }
    }

    fn deliver(&mut self, queue_key: QueueKey, consumer_key: ConsumerKey, entry: Entry) {
        let Self {
            consumers,
            channels,
            queues,
            ..
        } = self;
        let (Some(consumer), Some(queue)) = (consumers.get_mut(consumer_key), queues.get_mut(queue_key)) else {
            return;
        };
        let Some(channel) = channels.get_mut(consumer.channel) else {
            return;
        };
        let tag = channel.take_tag();
        let to = DeliverTo {
            channel: channel.number,
            frame_max: channel.frame_max,
            consumer_tag_wire: &consumer.tag_wire,
            delivery_tag: tag,
            redelivered: entry.redelivered,
        };
        match counted(queue, &entry) {
            None => channel.outbox.append(|out| entry.message.write_deliver(out, &to)),
            Some(message) => channel.outbox.append(|out| message.write_deliver(out, &to)),
        }
        self.counts.delivered += 1;
        self.counts.redelivered += u64::from(entry.redelivered);
        let outbox = channel.outbox.clone();
        match consumer.acks {
            Acks::None => self.counts.acked += 1,
            Acks::Manual => {
                consumer.unacked += 1;
                channel.unacked_by_consumers += 1;
                queue.unacked += 1;
                channel.unacked.push(Unacked {
                    tag,
                    queue: queue_key,
                    consumer: Some(consumer_key),
                    entry,
                });
            }
        }
        self.filled(&outbox);
    }

    /// basic.get: writes get-ok with the content and returns true, or returns false where the queue is empty.
    pub(super) fn get(&mut self, channel_key: ChannelKey, queue_key: QueueKey, acks: Acks) -> bool {
        self.touch_queue(queue_key);
        self.expire_head(queue_key);
        let Some(queue) = self.queues.get_mut(queue_key) else {
            return false;
        };
        let Some(entry) = queue.ready.pop_front() else {
            return false;
        };
        queue.overtaken = false;
        // What has expired behind it is not left.
        self.expire_head(queue_key);
        let (Some(queue), Some(channel)) = (self.queues.get_mut(queue_key), self.channels.get_mut(channel_key)) else {
            return false;
        };
        let left = queue.ready.len() as u32;
        let tag = channel.take_tag();
        let to = DeliverTo {
            channel: channel.number,
            frame_max: channel.frame_max,
            consumer_tag_wire: &[],
            delivery_tag: tag,
            redelivered: entry.redelivered,
        };
        match counted(queue, &entry) {
            None => channel.outbox.append(|out| entry.message.write_get_ok(out, &to, left)),
            Some(message) => channel.outbox.append(|out| message.write_get_ok(out, &to, left)),
        }
        self.counts.delivered += 1;
        self.counts.redelivered += u64::from(entry.redelivered);
        match acks {
            Acks::None => self.counts.acked += 1,
            Acks::Manual => {
                queue.unacked += 1;
                channel.unacked.push(Unacked {
                    tag,
                    queue: queue_key,
                    consumer: None,
                    entry,
                });
            }
        }
        self.arm_expiry_timer(queue_key);
        true
    }
}

/// A quorum queue says in a header how often a message came back.
fn counted(queue: &Queue, entry: &Entry) -> Option<Message> {
    if queue.options.kind != QueueKind::Quorum || entry.returns == 0 {
        return None;
    }
    let properties = entry.message.decode_properties();
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(
        "x-delivery-count".into(),
        AMQPValue::LongLongInt(i64::from(entry.returns)),
    );
    let properties = properties.with_headers(headers);
    Some(
        entry
            .message
            .rewritten(entry.message.exchange(), entry.message.routing_key(), &properties),
    )
}
