//! Counts of all publishes of a trial, those of worker processes among them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::publish::{Outcome, Refusal};
use crate::tally::{Tallies, Tally};

/// Counts of all publishes of a trial.
#[derive(Debug, Default)]
pub struct PublishMeter {
    published: Tally,
    confirmed: Tally,
    nacked: Tally,
    returned: Tally,
    unknown: Tally,
    slowest_confirm: Tally,
    /// Those of worker processes.
    elsewhere: Mutex<Vec<Arc<PublishMeter>>>,
}

impl PublishMeter {
    /// Counters that one of these has.
    pub const TALLIES: usize = 6;

    /// One whose counters come from `tallies`.
    pub fn within(tallies: &mut Tallies) -> Self {
        PublishMeter {
            published: tallies.tally(),
            confirmed: tallies.tally(),
            nacked: tallies.tally(),
            returned: tallies.tally(),
            unknown: tallies.tally(),
            slowest_confirm: tallies.tally(),
            elsewhere: Mutex::default(),
        }
    }

    /// Counts what `other` counts, too.
    pub fn include(&self, other: &Arc<PublishMeter>) {
        self.elsewhere().push(Arc::clone(other));
    }

    fn elsewhere(&self) -> MutexGuard<'_, Vec<Arc<PublishMeter>>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, of: fn(&PublishMeter) -> u64) -> u64 {
        self.elsewhere().iter().map(|other| of(other)).sum()
    }

    /// Nobody is left who could hear an answer: what is in flight is unknown.
    pub fn abandon(&self) {
        self.unknown.fetch_add(self.in_flight(), Ordering::Relaxed);
    }

    /// Notes that a publish was confirmed `ns` nanoseconds after it was begun.
    pub fn confirmed_after(&self, ns: u64) {
        self.slowest_confirm.fetch_max(ns, Ordering::Relaxed);
    }

    /// Longest time from a publish to its confirm so far, nanoseconds; 0: none was confirmed.
    pub fn slowest_confirm(&self) -> u64 {
        let elsewhere = self.elsewhere();
        let others = elsewhere.iter().map(|other| other.slowest_confirm());
        others.fold(self.slowest_confirm.load(Ordering::Relaxed), u64::max)
    }

    /// Handed to the client.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed) + self.sum(PublishMeter::published)
    }

    /// Confirmed and routed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed) + self.sum(PublishMeter::confirmed)
    }

    /// Refused.
    pub fn nacked(&self) -> u64 {
        self.nacked.load(Ordering::Relaxed) + self.sum(PublishMeter::nacked)
    }

    /// Returned as unroutable.
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed) + self.sum(PublishMeter::returned)
    }

    /// Published and not yet answered for.
    pub fn in_flight(&self) -> u64 {
        let unknown = self.unknown.load(Ordering::Relaxed) + self.sum(|other| other.unknown.load(Ordering::Relaxed));
        let answered = self.confirmed() + self.nacked() + self.returned() + unknown;
        self.published().saturating_sub(answered)
    }

    /// A publish was begun.
    pub(super) fn begun(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// A publish has this outcome.
    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Confirmed => &self.confirmed,
            Outcome::Refused(Refusal::Nack) => &self.nacked,
            Outcome::Refused(Refusal::Returned) => &self.returned,
            Outcome::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
