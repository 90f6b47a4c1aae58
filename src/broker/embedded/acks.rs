//! What becomes of deliveries: acknowledged, rejected, returned to their place.

use super::arguments::QueueKind;
use super::channel::{ChannelKey, Unacked};
use super::dead_letter::Reason;
use super::refusal::Refusal;
use super::vhost::State;

/// The client's verdict on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    /// nack or reject with requeue.
    Requeue,
    /// nack or reject without.
    Discard,
}

/// Which deliveries a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    One,
    /// All up to the tag; tag 0 means all.
    UpTo,
}

impl State {
    /// basic.ack, basic.nack, basic.reject.
    ///
    /// # Errors
    /// 406 for a delivery tag that is not outstanding on this channel.
    pub(super) fn settle_delivery(
        &mut self,
        key: ChannelKey,
        tag: u64,
        reach: Reach,
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        let Some(channel) = self.channels.get_mut(key) else {
            return Ok(());
        };
        if reach == Reach::One && channel.transaction.is_none() {
            let unacked = channel
                .unacked
                .remove(tag)
                .ok_or_else(|| Refusal::unknown_delivery_tag(tag))?;
            self.conclude(key, unacked, verdict);
        } else {
            let all = tag == 0 && reach == Reach::UpTo;
            if !all && !channel.unacked.contains(tag) {
                return Err(Refusal::unknown_delivery_tag(tag));
            }
            let mut taken = Vec::new();
            match reach {
                Reach::One => taken.extend(channel.unacked.remove(tag)),
                Reach::UpTo => {
                    let last = if all { u64::MAX } else { tag };
                    taken.extend(std::iter::from_fn(|| channel.unacked.pop_up_to(last)));
                }
            }
            if let Some(transaction) = &mut channel.transaction {
                transaction
                    .settled
                    .extend(taken.into_iter().map(|unacked| (unacked, verdict)));
                return Ok(());
            }
            for unacked in taken {
                self.conclude(key, unacked, verdict);
            }
        }
        self.unpark(key);
        Ok(())
    }

    /// Carries out a verdict on a delivery that has left the channel's unacked set.
    pub(super) fn conclude(&mut self, channel: ChannelKey, unacked: Unacked, verdict: Verdict) {
        if verdict == Verdict::Requeue {
            self.credit(channel, &unacked);
            self.requeue(unacked);
            return;
        }
        self.credit(channel, &unacked);
        if let Some(queue) = self.queues.get_mut(unacked.queue) {
            queue.unacked -= 1;
            match verdict {
                Verdict::Discard => self.discard(unacked.queue, unacked.entry, Reason::Rejected),
                Verdict::Ack | Verdict::Requeue => self.counts.acked += 1,
            }
        }
    }

    /// Gives consumer and channel back the prefetch that a delivery took.
    fn credit(&mut self, channel: ChannelKey, unacked: &Unacked) {
        let Some(consumer_key) = unacked.consumer else {
            return;
        };
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.unacked_by_consumers = channel.unacked_by_consumers.saturating_sub(1);
        }
        if let Some(consumer) = self.consumers.get_mut(consumer_key) {
            consumer.unacked = consumer.unacked.saturating_sub(1);
        }
    }

    /// Puts a delivery back to where it was in its queue, or discards it at the queue's delivery limit.
    pub(super) fn requeue(&mut self, unacked: Unacked) {
        let Unacked {
            queue: key, mut entry, ..
        } = unacked;
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        queue.unacked -= 1;
        entry.returns += 1;
        entry.redelivered = true;
        if queue.options.kind == QueueKind::Quorum
            && queue.options.delivery_limit.is_some_and(|limit| entry.returns > limit)
        {
            self.discard(key, entry, Reason::DeliveryLimit);
            return;
        }
        self.counts.requeued += 1;
        queue.ready.put_back(entry);
        queue.overtaken = false;
        self.drop_overflow(key);
        self.to_pump.push(key);
    }

    /// basic.recover with requeue: everything unsettled on the channel goes back.
    pub(super) fn recover(&mut self, key: ChannelKey) {
        while let Some(unacked) = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.unacked.pop_first())
        {
            self.conclude(key, unacked, Verdict::Requeue);
        }
        self.unpark(key);
    }

    /// basic.qos.
    pub(super) fn set_prefetch(&mut self, key: ChannelKey, prefetch: u16, global: bool) {
        if let Some(channel) = self.channels.get_mut(key) {
            if global {
                if channel.prefetch_global == 0 {
                    let unacked = channel.unacked.len() as u32;
                    channel.gotten_before_limit = unacked.saturating_sub(channel.unacked_by_consumers);
                }
                channel.prefetch_global = prefetch;
            } else {
                channel.prefetch = prefetch;
                // As in RabbitMQ, the limit per consumer takes the place of one for the channel.
                channel.prefetch_global = 0;
            }
        }
        self.unpark(key);
    }
}
