//! The measured part of a trial.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Nanos;

/// From the end of the warm-up to the end of the load; set while the trial runs.
#[derive(Debug)]
pub struct Window {
    start: AtomicU64,
    end: AtomicU64,
}

impl Default for Window {
    /// Nothing is measured yet.
    fn default() -> Self {
        Window {
            start: AtomicU64::new(Nanos::MAX),
            end: AtomicU64::new(Nanos::MAX),
        }
    }
}

impl Window {
    /// What is intended from `start` on is measured.
    pub fn open(&self, start: Nanos) {
        self.start.store(start, Ordering::Release);
    }

    /// When the load began that is measured from `warm_up` on; absent until that is known.
    pub fn load_began(&self, warm_up: Nanos) -> Option<Nanos> {
        let start = self.start.load(Ordering::Acquire);
        (start != Nanos::MAX).then(|| start.saturating_sub(warm_up))
    }

    /// The load ended at `end`.
    pub fn close(&self, end: Nanos) {
        self.end.store(end, Ordering::Release);
    }

    /// Whether `instant` lies in the measured part.
    pub fn contains(&self, instant: Nanos) -> bool {
        self.start.load(Ordering::Acquire) <= instant && instant < self.end.load(Ordering::Acquire)
    }
}
