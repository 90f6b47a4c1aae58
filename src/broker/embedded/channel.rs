//! Channels as the virtual host sees them: what was delivered and not settled, prefetch, confirms owed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::arena::Key;
use super::confirms::Confirms;
use super::consumer::{Acks, ConsumerKey};
use super::outbox::Outbox;
use super::queue::QueueKey;
use super::ready::Entry;
use super::transaction::Transaction;
use super::vhost::State;

pub(super) type ChannelKey = Key<Channel>;

/// A delivery that the client has not settled.
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) tag: u64,
    pub(super) queue: QueueKey,
    /// `None` for basic.get.
    pub(super) consumer: Option<ConsumerKey>,
    pub(super) entry: Entry,
}

/// The unsettled deliveries of a channel by delivery tag.
///
/// Settling out of order leaves holes, which are swept when they outnumber what is left, so that a client that never
/// settles its first delivery costs no more than twice its unacked messages.
#[derive(Debug, Default)]
pub(super) struct UnackedSet {
    slots: VecDeque<(u64, Option<Unacked>)>,
    live: usize,
}

impl UnackedSet {
    /// Adds a delivery; its tag must be higher than all before.
    pub(super) fn push(&mut self, unacked: Unacked) {
        self.live += 1;
        self.slots.push_back((unacked.tag, Some(unacked)));
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn contains(&self, tag: u64) -> bool {
        self.find(tag).is_some()
    }

    pub(super) fn remove(&mut self, tag: u64) -> Option<Unacked> {
        let at = self.find(tag)?;
        let unacked = self.slots[at].1.take()?;
        self.live -= 1;
        self.sweep();
        Some(unacked)
    }

    /// Takes the oldest delivery if its tag is at most `tag`.
    pub(super) fn pop_up_to(&mut self, tag: u64) -> Option<Unacked> {
        self.sweep();
        if self.slots.front()?.0 > tag {
            return None;
        }
        // The sweep has left something live in front.
        let unacked = self.slots.pop_front()?.1?;
        self.live -= 1;
        Some(unacked)
    }

    /// Takes the oldest delivery, whatever its tag.
    pub(super) fn pop_first(&mut self) -> Option<Unacked> {
        self.pop_up_to(u64::MAX)
    }

    /// Puts back a delivery that was removed, at its tag.
    pub(super) fn restore(&mut self, unacked: Unacked) {
        let at = self.slots.partition_point(|(tag, _)| *tag < unacked.tag);
        self.live += 1;
        match self.slots.get_mut(at) {
            Some((tag, slot)) if *tag == unacked.tag => *slot = Some(unacked),
            _ => self.slots.insert(at, (unacked.tag, Some(unacked))),
        }
    }

    fn find(&self, tag: u64) -> Option<usize> {
        let at = self.slots.partition_point(|(other, _)| *other < tag);
        let (found, slot) = self.slots.get(at)?;
        (*found == tag && slot.is_some()).then_some(at)
    }

    fn sweep(&mut self) {
        while self.slots.front().is_some_and(|(_, slot)| slot.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.live + 64 {
            self.slots.retain(|(_, slot)| slot.is_some());
        }
    }
}

/// One open channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) outbox: Arc<Outbox>,
    pub(super) frame_max: u32,
    /// The client declared the capability `consumer_cancel_notify`.
    pub(super) told_of_cancels: bool,
    pub(super) next_tag: u64,
    pub(super) unacked: UnackedSet,
    pub(super) consumers: BTreeMap<Arc<str>, ConsumerKey>,
    /// For consumers to come (basic.qos without `global`).
    pub(super) prefetch: u16,
    /// For all consumers of the channel together (basic.qos with `global`); 0 means no limit.
    pub(super) prefetch_global: u16,
    /// Unacked deliveries to consumers, which the global prefetch counts.
    pub(super) unacked_by_consumers: u32,
    /// Unacked messages of basic.get at the moment when the global prefetch was set. As in RabbitMQ they take their share
    /// of it until it is lifted, even once they are settled; later ones take none.
    pub(super) gotten_before_limit: u32,
    /// Consumers out of the turns of their queues until there is room.
    pub(super) parked: Vec<ConsumerKey>,
    pub(super) confirms: Option<Confirms>,
    pub(super) transaction: Option<Transaction>,
    /// The name under which this channel takes direct replies, and its consumer's tag.
    pub(super) replies: Option<(Arc<str>, Arc<str>)>,
}

impl Channel {
    pub(super) fn new(number: u16, outbox: Arc<Outbox>, frame_max: u32) -> Self {
        Self {
            number,
            outbox,
            frame_max,
            told_of_cancels: false,
            next_tag: 1,
            unacked: UnackedSet::default(),
            consumers: BTreeMap::new(),
            prefetch: 0,
            prefetch_global: 0,
            unacked_by_consumers: 0,
            gotten_before_limit: 0,
            parked: Vec::new(),
            confirms: None,
            transaction: None,
            replies: None,
        }
    }

    pub(super) fn take_tag(&mut self) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        tag
    }
}

impl State {
    /// Ends channels that end together: no consumer of theirs gets anything more, what they had not settled goes back
    /// to the queues, then the consumers leave.
    pub(super) fn close_channels(&mut self, keys: &[ChannelKey]) {
        for key in keys {
            self.suspend(*key);
        }
        for key in keys {
            self.close_suspended(*key);
        }
        self.settle();
    }

    fn close_suspended(&mut self, key: ChannelKey) {
        let Some(mut channel) = self.channels.remove(key) else {
            return;
        };
        if let Some((name, _)) = channel.replies.take() {
            self.reply_to.remove(&name);
        }
        if let Some(transaction) = channel.transaction.take() {
            transaction.return_settled(&mut channel.unacked);
        }
        while let Some(unacked) = channel.unacked.pop_first() {
            self.requeue(unacked);
        }
        for consumer in std::mem::take(&mut channel.consumers).into_values() {
            self.remove_consumer(consumer);
        }
    }

    fn suspend(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        for key in channel.consumers.values() {
            if let Some(consumer) = self.consumers.get(*key)
                && let Some(queue) = self.queues.get_mut(consumer.queue)
            {
                queue.leave_turns(*key);
            }
        }
    }

    /// Whether a consumer may get one more delivery now.
    pub(super) fn has_room(&self, key: ConsumerKey) -> bool {
        let Some(consumer) = self.consumers.get(key) else {
            return false;
        };
        let Some(channel) = self.channels.get(consumer.channel) else {
            return false;
        };
        if channel.outbox.is_congested() {
            return false;
        }
        let below = |limit: u16, unacked: u32| limit == 0 || unacked < u32::from(limit);
        // As in RabbitMQ, a full global prefetch stops consumers without acks too, though they do not fill it.
        let shared = channel.unacked_by_consumers + channel.gotten_before_limit;
        below(channel.prefetch_global, shared)
            && (consumer.acks == Acks::None || below(consumer.prefetch, consumer.unacked))
    }

    /// Takes a consumer without room out of the turns, until [`State::unpark`].
    pub(super) fn park(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else {
            return;
        };
        if consumer.parked {
            return;
        }
        consumer.parked = true;
        if let Some(channel) = self.channels.get_mut(consumer.channel) {
            channel.parked.push(key);
        }
    }

    /// Lets those parked consumers of a channel that have room again back into the turns.
    pub(super) fn unpark(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        if channel.parked.is_empty() {
            return;
        }
        let parked = std::mem::take(&mut channel.parked);
        let mut still = Vec::new();
        for key in parked {
            if !self.consumers.get(key).is_some_and(|consumer| consumer.parked) {
                continue;
            }
            if !self.has_room(key) {
                still.push(key);
                continue;
            }
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.parked = false;
                let (queue_key, priority) = (consumer.queue, consumer.priority);
                if let Some(queue) = self.queues.get_mut(queue_key) {
                    queue.enter_turns(key, priority);
                    self.to_pump.push(queue_key);
                }
            }
        }
        if let Some(channel) = self.channels.get_mut(key) {
            channel.parked = still;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::embedded::memory::Gauge;
    use crate::broker::embedded::message::Draft;

    fn set(tags: std::ops::RangeInclusive<u64>) -> UnackedSet {
        let message = Arc::new(
            Draft::default()
                .assemble(&[0; 14], 0, &Gauge::new(u64::MAX))
                .finish(0, None),
        );
        let mut set = UnackedSet::default();
        for tag in tags {
            let entry = Entry {
                message: message.clone(),
                position: tag,
                expires: None,
                returns: 0,
                redelivered: false,
            };
            set.push(Unacked {
                tag,
                queue: Key::dangling(),
                consumer: None,
                entry,
            });
        }
        set
    }

    #[test]
    fn a_settled_tag_is_unknown() {
        let mut set = set(1..=5);
        assert!(set.remove(3).is_some());
        assert!(set.remove(3).is_none());
        assert!(!set.contains(3) && set.contains(4));
        assert_eq!(set.live, 4);
    }

    #[test]
    fn settling_up_to_a_tag_skips_holes() {
        let mut set = set(1..=5);
        set.remove(2);
        let tags: Vec<u64> = std::iter::from_fn(|| set.pop_up_to(4))
            .map(|unacked| unacked.tag)
            .collect();
        assert_eq!(tags, [1, 3, 4]);
        assert_eq!(set.live, 1);
    }

    #[test]
    fn holes_do_not_pile_up_behind_an_old_delivery() {
        let mut set = set(1..=10_000);
        for tag in 2..=10_000 {
            set.remove(tag);
        }
        assert!(set.slots.len() < 100);
        assert!(set.contains(1));
    }

    #[test]
    fn a_restored_delivery_is_at_its_tag_again() {
        let mut set = set(1..=3);
        let first = set.remove(1).expect("there");
        let second = set.remove(2).expect("there");
        set.restore(second);
        set.restore(first);
        let tags: Vec<u64> = std::iter::from_fn(|| set.pop_first())
            .map(|unacked| unacked.tag)
            .collect();
        assert_eq!(tags, [1, 2, 3]);
    }
}
