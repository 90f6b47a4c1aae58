//! Live counts of stages and of their consumers, read while they run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::retry::RetryMeter;
use super::store::StoreMeter;
use crate::clock::Nanos;
use crate::tally::{Tallies, Tally};

/// Live counts of one stage.
#[derive(Debug)]
pub struct StageMeter {
    pub(super) delivered: Tally,
    pub(super) redelivered: Tally,
    pub(super) held: Tally,
    pub(super) malformed: Tally,
    pub(super) unroutable: Tally,
    pub(super) not_for_stage: Tally,
    pub(super) acks: Tally,
    pub(super) prefetch_exceeded: Tally,
    pub(super) requeued: Tally,
    busy_ns: Tally,
    held_max: Tally,
    pub(super) refused: Tally,
    /// Longest wait of a message delivered since somebody asked, and of all; nanoseconds. One more than the value: 0 is none.
    recent_wait: Tally,
    longest_wait: Tally,
    overstay: Tally,
    store: Arc<StoreMeter>,
    retry: RetryMeter,
    consumers: Box<[ConsumerMeter]>,
    counted: Counted,
}

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Tasks of this process.
    Here,
    /// Worker processes, which may die between the count of a consumer and that of its stage: only the former is exact.
    InProcesses,
}

impl StageMeter {
    /// Counters of a stage with so many consumers.
    pub const fn tallies(consumers: u32) -> usize {
        40 + consumers as usize * 4
    }

    /// Nothing counted yet.
    pub fn new(consumers: u32) -> Self {
        StageMeter::within(consumers, &mut Tallies::own())
    }

    /// One whose counters come from `tallies`; at most [`StageMeter::tallies`].
    pub fn within(consumers: u32, tallies: &mut Tallies) -> Self {
        StageMeter {
            delivered: tallies.tally(),
            redelivered: tallies.tally(),
            held: tallies.tally(),
            malformed: tallies.tally(),
            unroutable: tallies.tally(),
            not_for_stage: tallies.tally(),
            acks: tallies.tally(),
            prefetch_exceeded: tallies.tally(),
            requeued: tallies.tally(),
            busy_ns: tallies.tally(),
            held_max: tallies.tally(),
            refused: tallies.tally(),
            recent_wait: tallies.tally(),
            longest_wait: tallies.tally(),
            overstay: tallies.tally(),
            store: Arc::new(StoreMeter::within(tallies)),
            retry: RetryMeter::within(tallies),
            counted: match tallies.path() {
                None => Counted::Here,
                Some(_) => Counted::InProcesses,
            },
            consumers: (0..consumers).map(|_| ConsumerMeter::within(tallies)).collect(),
        }
    }

    /// The consumers' own counts, by their number.
    pub fn consumers(&self) -> &[ConsumerMeter] {
        &self.consumers
    }

    pub(super) fn consumer(&self, index: u32) -> &ConsumerMeter {
        &self.consumers[index as usize]
    }

    /// What its database did.
    pub fn store(&self) -> &Arc<StoreMeter> {
        &self.store
    }

    /// What its handlers failed at.
    pub fn retry(&self) -> &RetryMeter {
        &self.retry
    }

    /// The broker refused a publish of the stage.
    pub(super) fn nacked(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// One more delivery is held; its consumer has counted it already.
    pub(super) fn take(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.held_max.fetch_max(self.held(), Ordering::Relaxed);
    }

    /// Notes that a message was delivered after `wait` nanoseconds in flight and in its queue, where it may stay for
    /// `time_to_live`.
    pub(super) fn waited(&self, wait: Nanos, time_to_live: Option<Nanos>) {
        let mark = wait.saturating_add(1);
        self.recent_wait.fetch_max(mark, Ordering::Relaxed);
        self.longest_wait.fetch_max(mark, Ordering::Relaxed);
        if let Some(beyond) = time_to_live.and_then(|ttl| wait.checked_sub(ttl)) {
            self.overstay.fetch_max(beyond, Ordering::Relaxed);
        }
    }

    /// Work inside the measured part.
    pub(super) fn worked(&self, nanos: Nanos) {
        self.busy_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Greatest number of deliveries held at once.
    pub fn held_max(&self) -> u64 {
        self.held_max.load(Ordering::Relaxed)
    }

    /// Longest queue wait of the messages delivered since the last call; absent if there were none.
    pub fn take_recent_wait(&self) -> Option<Nanos> {
        self.recent_wait.swap(0, Ordering::Relaxed).checked_sub(1)
    }

    /// Longest queue wait of all messages delivered so far; absent if there were none.
    pub fn longest_wait(&self) -> Option<Nanos> {
        self.longest_wait.load(Ordering::Relaxed).checked_sub(1)
    }

    /// By how much the latest delivery came after its message's time to live, counted from the publish; 0: none did.
    pub fn overstay(&self) -> Nanos {
        self.overstay.load(Ordering::Relaxed)
    }

    /// Publishes of the stage that the broker refused (nack); each is tried again.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Deliveries, redeliveries among them.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Deliveries with the redelivered flag.
    pub fn redelivered(&self) -> u64 {
        self.redelivered.load(Ordering::Relaxed)
    }

    /// Deliveries that consumers hold and have not settled.
    pub fn held(&self) -> u64 {
        match self.counted {
            Counted::Here => self.held.load(Ordering::Relaxed),
            Counted::InProcesses => self.consumers.iter().map(ConsumerMeter::held).sum(),
        }
    }

    /// The process of these consumers has died: they hold nothing any more.
    pub(super) fn died(&self, consumers: std::ops::Range<u32>) {
        for consumer in consumers {
            self.consumer(consumer).held.store(0, Ordering::Relaxed);
        }
    }

    /// Deliveries rejected because what they called for could not be routed.
    pub fn unroutable(&self) -> u64 {
        self.unroutable.load(Ordering::Relaxed)
    }

    /// Deliveries rejected as malformed.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Deliveries that were not for this stage.
    pub fn not_for_stage(&self) -> u64 {
        self.not_for_stage.load(Ordering::Relaxed)
    }

    /// Acknowledgements sent.
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Deliveries beyond the prefetch.
    pub fn prefetch_exceeded(&self) -> u64 {
        self.prefetch_exceeded.load(Ordering::Relaxed)
    }

    /// Deliveries given back because what they called for could not be published, or their store failed.
    pub fn requeued(&self) -> u64 {
        self.requeued.load(Ordering::Relaxed)
    }

    /// Nanoseconds of work inside the measured part, over all jobs.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }
}

/// Live counts of one consumer.
#[derive(Debug, Default)]
pub struct ConsumerMeter {
    delivered: Tally,
    pub(super) held: Tally,
    held_max: Tally,
    pub(super) busy_ns: Tally,
}

impl ConsumerMeter {
    fn within(tallies: &mut Tallies) -> Self {
        ConsumerMeter {
            delivered: tallies.tally(),
            held: tallies.tally(),
            held_max: tallies.tally(),
            busy_ns: tallies.tally(),
        }
    }

    /// One more delivery is held; returns how many are.
    pub(super) fn take(&self) -> u64 {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        self.held_max.fetch_max(held, Ordering::Relaxed);
        held
    }

    /// Deliveries, redeliveries among them.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Deliveries that it holds and has not settled.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Greatest number of deliveries held at once.
    pub fn held_max(&self) -> u64 {
        self.held_max.load(Ordering::Relaxed)
    }

    /// Nanoseconds of work over the whole trial, over all jobs.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }
}
