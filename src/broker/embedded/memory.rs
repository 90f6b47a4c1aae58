//! How many bytes the broker holds for its clients, and the alarm that stops publishers.
//!
//! Counted: messages (once, however many queues hold them) with their queue entries, contents still arriving, and
//! output that clients have not read yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// The broker's memory account. Relaxed ordering throughout: it is a statistic, and no other data hangs on it.
#[derive(Debug)]
pub(super) struct Gauge {
    used: AtomicU64,
    limit: AtomicU64,
    forced: AtomicBool,
    raised: AtomicBool,
    alarm: watch::Sender<bool>,
}

impl Gauge {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            forced: AtomicBool::new(false),
            raised: AtomicBool::new(false),
            alarm: watch::Sender::new(false),
        })
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.limit() && !self.raised.load(Ordering::Relaxed) {
            self.settle();
        }
    }

    pub(super) fn subtract(&self, bytes: u64) {
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        if self.raised.load(Ordering::Relaxed) && used <= self.low() {
            self.settle();
        }
    }

    /// Changes the limit; takes effect at once.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        self.settle();
    }

    /// Raises the alarm whatever is used, or gives it back to the account.
    pub(super) fn force(&self, raised: bool) {
        self.forced.store(raised, Ordering::Relaxed);
        self.settle();
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.alarm.subscribe()
    }

    /// The alarm ends a tenth below the limit, so that it does not flutter.
    fn low(&self) -> u64 {
        self.limit() / 10 * 9
    }

    fn settle(&self) {
        self.alarm.send_if_modified(|raised| {
            let used = self.used();
            let wanted = self.forced.load(Ordering::Relaxed) || used > if *raised { self.low() } else { self.limit() };
            let changed = *raised != wanted;
            *raised = wanted;
            self.raised.store(wanted, Ordering::Relaxed);
            changed
        });
    }
}

/// A share of the account that is given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    gauge: Arc<Gauge>,
    bytes: u64,
}

impl Charge {
    pub(super) fn new(gauge: &Arc<Gauge>, bytes: usize) -> Self {
        gauge.add(bytes as u64);
        Self {
            gauge: gauge.clone(),
            bytes: bytes as u64,
        }
    }

    pub(super) fn raise_to(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.gauge.add(bytes - self.bytes);
            self.bytes = bytes;
        }
    }

    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.gauge.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_rises_above_the_limit_and_ends_a_tenth_below_it() {
        let gauge = Gauge::new(1000);
        let first = Charge::new(&gauge, 950);
        assert!(!gauge.is_raised());
        let second = Charge::new(&gauge, 51);
        assert!(gauge.is_raised());
        drop(second);
        assert!(gauge.is_raised());
        drop(first);
        assert!(!gauge.is_raised());
        assert_eq!(gauge.used(), 0);
    }

    #[test]
    fn a_forced_alarm_ends_only_when_it_is_lifted() {
        let gauge = Gauge::new(1000);
        gauge.force(true);
        drop(Charge::new(&gauge, 10));
        assert!(gauge.is_raised());
        gauge.force(false);
        assert!(!gauge.is_raised());
    }
}
