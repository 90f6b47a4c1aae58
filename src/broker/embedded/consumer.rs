//! Consumers: registration, cancellation, whose turn it is.

use std::collections::VecDeque;
use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic};

use super::arena::Key;
use super::arguments::{QueueKind, Sharing};
use super::channel::ChannelKey;
use super::queue::{Queue, QueueKey};
use super::refusal::{self, Refusal};
use super::vhost::State;

pub(super) type ConsumerKey = Key<Consumer>;

/// Whether deliveries wait for an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    /// A delivery is done with when it is sent.
    None,
    /// A delivery stays unacked until the client says otherwise.
    Manual,
}

/// One consumer on one queue.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) channel: ChannelKey,
    pub(super) queue: QueueKey,
    pub(super) tag: Arc<str>,
    /// The tag as a short string, as every delivery carries it.
    pub(super) tag_wire: Box<[u8]>,
    pub(super) acks: Acks,
    pub(super) priority: i32,
    /// Unacked deliveries that this consumer may have; 0 means no limit.
    pub(super) prefetch: u16,
    pub(super) unacked: u32,
    /// Out of the turns until its channel has room again.
    pub(super) parked: bool,
}

/// The fields of basic.consume.
#[derive(Debug)]
pub(super) struct ConsumerSpec {
    pub(super) queue: QueueKey,
    pub(super) tag: Arc<str>,
    pub(super) acks: Acks,
    pub(super) exclusive: bool,
    pub(super) priority: i32,
}

/// Bytes on the metadata account per consumer.
const CONSUMER_BYTES: usize = 512;

impl Queue {
    /// Puts a consumer at the end of the turns of its priority.
    pub(super) fn enter_turns(&mut self, consumer: ConsumerKey, priority: i32) {
        let at = self.turns.partition_point(|(other, _)| *other > priority);
        if self.turns.get(at).is_none_or(|(other, _)| *other != priority) {
            self.turns.insert(at, (priority, VecDeque::new()));
        }
        self.turns[at].1.push_back(consumer);
    }

    pub(super) fn leave_turns(&mut self, consumer: ConsumerKey) {
        for (_, line) in &mut self.turns {
            line.retain(|other| *other != consumer);
        }
        self.turns.retain(|(_, line)| !line.is_empty());
    }
}

impl State {
    /// basic.consume. The caller has sent consume-ok when this returns and then settles, so that no delivery overtakes
    /// it.
    ///
    /// # Errors
    /// 403 where an exclusive consumer keeps others away, or wants to and comes too late; 540 for a quorum queue on a
    /// channel with a global prefetch.
    pub(super) fn add_consumer(&mut self, channel: ChannelKey, spec: ConsumerSpec) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(spec.queue) else {
            return Err(Refusal::no_queue("", &self.vhost));
        };
        // Being the active one of several and being the only one contradict each other.
        let cannot_exclude = !queue.consumers.is_empty() || queue.options.sharing == Sharing::SingleActive;
        if queue.taken || (spec.exclusive && cannot_exclude) {
            return Err(Refusal::access_refused(format!(
                "queue '{}' in vhost '{}' in exclusive use",
                queue.name, self.vhost
            )));
        }
        let has_global_prefetch = self
            .channels
            .get(channel)
            .is_some_and(|owner| owner.prefetch_global > 0);
        if queue.options.kind == QueueKind::Quorum && has_global_prefetch {
            return Err(Refusal::not_implemented(format!(
                "queue '{}' in vhost '{}' does not support global qos",
                queue.name, self.vhost
            )));
        }
        self.charge_metadata(CONSUMER_BYTES)?;
        let Some(owner) = self.channels.get_mut(channel) else {
            return Ok(());
        };
        let mut tag_wire = Vec::with_capacity(spec.tag.len() + 1);
        tag_wire.push(spec.tag.len() as u8);
        tag_wire.extend_from_slice(spec.tag.as_bytes());
        let key = self.consumers.insert(Consumer {
            channel,
            queue: spec.queue,
            tag: spec.tag.clone(),
            tag_wire: tag_wire.into_boxed_slice(),
            acks: spec.acks,
            priority: spec.priority,
            prefetch: owner.prefetch,
            unacked: 0,
            parked: false,
        });
        owner.consumers.insert(spec.tag, key);
        if let Some(queue) = self.queues.get_mut(spec.queue) {
            queue.consumers.push(key);
            queue.taken = spec.exclusive;
            match (queue.options.sharing, queue.active) {
                (Sharing::RoundRobin, _) => queue.enter_turns(key, spec.priority),
                (Sharing::SingleActive, None) => {
                    queue.active = Some(key);
                    queue.enter_turns(key, spec.priority);
                }
                (Sharing::SingleActive, Some(_)) => {}
            }
        }
        self.to_pump.push(spec.queue);
        Ok(())
    }

    /// basic.cancel: false where the channel has no such consumer. Its unacked deliveries stay with the channel.
    pub(super) fn cancel_consumer(&mut self, channel: ChannelKey, tag: &str) -> bool {
        let Some(key) = self
            .channels
            .get_mut(channel)
            .and_then(|channel| channel.consumers.remove(tag))
        else {
            return false;
        };
        self.remove_consumer(key);
        true
    }

    /// Takes a consumer off its queue and lets the next one be active; may delete an auto-delete queue.
    pub(super) fn remove_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else {
            return;
        };
        self.release_metadata(CONSUMER_BYTES);
        let Some(queue) = self.queues.get_mut(consumer.queue) else {
            return;
        };
        queue.consumers.retain(|other| *other != key);
        queue.taken = false;
        queue.leave_turns(key);
        if queue.active == Some(key) {
            queue.active = None;
            self.activate_next(consumer.queue);
        }
        let Some(queue) = self.queues.get(consumer.queue) else {
            return;
        };
        if !queue.consumers.is_empty() {
            return;
        }
        if queue.auto_delete {
            self.remove_queue(consumer.queue);
        } else {
            self.touch_queue(consumer.queue);
            self.arm_unused_timer(consumer.queue);
        }
    }

    /// On a single-active-consumer queue, hands over to the consumer of the highest priority who came first.
    fn activate_next(&mut self, queue_key: QueueKey) {
        let Some(queue) = self.queues.get_mut(queue_key) else {
            return;
        };
        let mut best: Option<(ConsumerKey, i32)> = None;
        for key in &queue.consumers {
            if let Some(consumer) = self.consumers.get(*key)
                && best.is_none_or(|(_, priority)| consumer.priority > priority)
            {
                best = Some((*key, consumer.priority));
            }
        }
        if let Some((key, priority)) = best {
            queue.active = Some(key);
            queue.enter_turns(key, priority);
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.parked = false;
            }
            self.to_pump.push(queue_key);
        }
    }

    /// Ends a consumer whose queue has gone. Its client is told when the frame that did it is answered.
    pub(super) fn cancel_by_broker(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else {
            return;
        };
        self.release_metadata(CONSUMER_BYTES);
        if let Some(channel) = self.channels.get_mut(consumer.channel) {
            channel.consumers.remove(&consumer.tag);
            if channel.told_of_cancels {
                self.to_tell.push(consumer);
            }
        }
    }

    pub(super) fn tell_of_cancel(&mut self, consumer: &Consumer) {
        let Some(channel) = self.channels.get(consumer.channel) else {
            return;
        };
        let cancel = basic::Cancel {
            consumer_tag: refusal::short(&consumer.tag),
            nowait: true,
        };
        let outbox = channel.outbox.clone();
        outbox.append_method(channel.number, &AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        self.filled(&outbox);
    }
}
