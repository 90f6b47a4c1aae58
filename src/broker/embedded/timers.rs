//! What happens by itself after a time: messages expire at the head of their queue, unused queues are deleted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::dead_letter::Reason;
use super::queue::QueueKey;
use super::vhost::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    HeadExpires,
    QueueUnused,
}

/// The pending deadlines of one virtual host.
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, QueueKey, Due)>>,
    /// Wakes the task that waits for the earliest deadline when an earlier one has come.
    wake: Arc<Notify>,
}

impl Timers {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            heap: BinaryHeap::new(),
            wake,
        }
    }

    fn push(&mut self, at: Instant, queue: QueueKey, due: Due) {
        let earliest = self.heap.peek().is_none_or(|Reverse((first, _, _))| at < *first);
        self.heap.push(Reverse((at, queue, due)));
        if earliest {
            self.wake.notify_one();
        }
    }
}

impl State {
    /// Does all that is due and returns when the next is.
    pub(super) fn run_timers(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, queue, due))) = self.timers.heap.peek().copied() {
            if at > now {
                break;
            }
            self.timers.heap.pop();
            match due {
                Due::HeadExpires => {
                    if let Some(queue) = self.queues.get_mut(queue)
                        && queue.expiry_timer == Some(at)
                    {
                        queue.expiry_timer = None;
                        queue.overtaken = false;
                    }
                    self.expire_head(queue);
                    self.arm_expiry_timer(queue);
                }
                Due::QueueUnused => self.expire_queue(queue, now),
            }
        }
        self.settle();
        self.flush();
        self.timers.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Dead-letters messages at the head of a queue whose time is over. One behind a message that lives longer waits,
    /// as in RabbitMQ.
    pub(super) fn expire_head(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(key) else {
            return;
        };
        if queue.overtaken || queue.ready.front().is_none_or(|entry| entry.expires.is_none()) {
            return;
        }
        let now = Instant::now();
        while let Some(queue) = self.queues.get_mut(key)
            && queue
                .ready
                .front()
                .is_some_and(|entry| entry.expires.is_some_and(|at| at <= now))
        {
            if let Some(entry) = queue.ready.pop_front() {
                self.discard(key, entry, Reason::Expired);
            }
        }
    }

    /// Sets the timer for the head's expiry, unless one is set that is early enough.
    pub(super) fn arm_expiry_timer(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        if queue.overtaken {
            return;
        }
        let Some(at) = queue.ready.front().and_then(|entry| entry.expires) else {
            return;
        };
        if queue.expiry_timer.is_none_or(|set| at < set) {
            queue.expiry_timer = Some(at);
            self.timers.push(at, key, Due::HeadExpires);
        }
    }

    /// Notes a use of the queue, which postpones `x-expires`.
    pub(super) fn touch_queue(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.options.expires.is_some()
        {
            queue.used_at = Instant::now();
        }
    }

    pub(super) fn arm_unused_timer(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get(key)
            && let Some(expires) = queue.options.expires
        {
            let at = queue.used_at + expires;
            self.timers.push(at, key, Due::QueueUnused);
        }
    }

    fn expire_queue(&mut self, key: QueueKey, now: Instant) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let Some(expires) = queue.options.expires else {
            return;
        };
        if !queue.consumers.is_empty() {
            // The timer is set again when the last consumer leaves.
            return;
        }
        if queue.used_at + expires <= now {
            self.remove_queue(key);
        } else {
            self.arm_unused_timer(key);
        }
    }
}
