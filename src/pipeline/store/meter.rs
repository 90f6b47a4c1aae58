//! What a stage's database did, read while it runs.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::grip::Slowness;
use crate::tally::{Tallies, Tally};

/// Live counts of one stage's database; all zero for a stage without one.
#[derive(Debug, Default)]
pub struct StoreMeter {
    commits: Tally,
    steps: Tally,
    errors: Tally,
    unsent: Tally,
    unsent_max: Tally,
    unroutable: Tally,
    lost: Tally,
    slowness: Arc<Slowness>,
    gave_up: OnceLock<String>,
}

impl StoreMeter {
    /// One whose counters come from `tallies`.
    pub fn within(tallies: &mut Tallies) -> Self {
        StoreMeter {
            commits: tallies.tally(),
            steps: tallies.tally(),
            errors: tallies.tally(),
            unsent: tallies.tally(),
            unsent_max: tallies.tally(),
            unroutable: tallies.tally(),
            lost: tallies.tally(),
            slowness: Arc::new(Slowness(tallies.tally())),
            gave_up: OnceLock::new(),
        }
    }

    /// Transactions that were committed with at least one new step.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Steps in them.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Lookups and steps that failed and were rolled back; each delivery went back to its queue.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Rows of the outbox that are not sent.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Acquire)
    }

    /// Most rows of the outbox that were not sent at once.
    pub fn unsent_max(&self) -> u64 {
        self.unsent_max.load(Ordering::Relaxed)
    }

    /// Rows of the outbox that the broker returned as unroutable; they are not tried again.
    pub fn unroutable(&self) -> u64 {
        self.unroutable.load(Ordering::Relaxed)
    }

    /// Connections to the database that were lost; each was opened anew, or the trial ended.
    pub fn connections_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Why the database is given up, if it is: the trial ends.
    pub fn gave_up(&self) -> Option<&str> {
        self.gave_up.get().map(String::as_str)
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn give_up(&self, why: &str) {
        // The first reason is the reason.
        let _ = self.gave_up.set(why.to_owned());
    }

    pub(super) fn committed(&self, steps: u64, outbox_rows: u64) {
        self.commits.fetch_add(u64::from(steps > 0), Ordering::Relaxed);
        self.steps.fetch_add(steps, Ordering::Relaxed);
        self.waiting(outbox_rows);
    }

    /// More rows wait to be sent.
    fn waiting(&self, rows: u64) {
        let unsent = self.unsent.fetch_add(rows, Ordering::AcqRel) + rows;
        self.unsent_max.fetch_max(unsent, Ordering::Relaxed);
    }

    /// How much longer a fault makes its commits.
    pub(super) fn slowness(&self) -> &Arc<Slowness> {
        &self.slowness
    }

    /// So many rows wait in a database that was opened just now.
    pub(super) fn found(&self, rows: u64) {
        self.unsent.store(rows, Ordering::Release);
        self.unsent_max.fetch_max(rows, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, rows: u64) {
        self.unsent.fetch_sub(rows, Ordering::AcqRel);
    }

    pub(in crate::pipeline) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::pipeline) fn returned(&self) {
        self.unroutable.fetch_add(1, Ordering::Relaxed);
    }
}
