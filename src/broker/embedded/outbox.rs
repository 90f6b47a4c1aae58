//! What waits to be written to one client, and the back-pressure that a client who does not read puts on the rest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use amq_protocol::protocol::AMQPClass;
use tokio::sync::Notify;

use super::memory::Gauge;
use crate::amqp::frame;

/// Whether more output will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Open,
    Ended,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    stream: Stream,
}

/// Output of one connection: filled by anyone under the virtual host's lock, emptied by the connection's writer.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Bytes waiting or in the writer's hands.
    pending: AtomicUsize,
    congested: AtomicBool,
    /// Filled since the writer was last told.
    dirty: AtomicBool,
    filled: Notify,
    eased: Notify,
    limit: usize,
    gauge: Arc<Gauge>,
}

impl Outbox {
    pub(super) fn new(limit: usize, gauge: Arc<Gauge>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Waiting {
                bytes: Vec::new(),
                stream: Stream::Open,
            }),
            pending: AtomicUsize::new(0),
            congested: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            filled: Notify::new(),
            eased: Notify::new(),
            limit,
            gauge,
        })
    }

    /// Appends whatever `write` writes. The writer learns of it at the next [`Outbox::flush`].
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.stream == Stream::Ended {
            return;
        }
        let before = waiting.bytes.len();
        write(&mut waiting.bytes);
        let added = waiting.bytes.len() - before;
        drop(waiting);
        self.gauge.add(added as u64);
        if self.pending.fetch_add(added, Ordering::AcqRel) + added > self.limit {
            self.congested.store(true, Ordering::Release);
        }
    }

    pub(super) fn append_method(&self, channel: u16, class: &AMQPClass) {
        self.append(|out| frame::write_method(out, channel, class));
    }

    /// True for the first caller since the last [`Outbox::flush`]: that one sees to it that it is flushed.
    pub(super) fn mark_dirty(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Tells the writer that there is something to write.
    pub(super) fn flush(&self) {
        self.dirty.store(false, Ordering::Release);
        self.filled.notify_one();
    }

    /// Lets the writer finish what is there and close the socket; later output is dropped.
    pub(super) fn end(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).stream = Stream::Ended;
        self.flush();
    }

    /// True while the client is too far behind to be given more.
    pub(super) fn is_congested(&self) -> bool {
        self.congested.load(Ordering::Acquire)
    }

    /// True when everything was written.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Waits until [`Outbox::flush`] was called.
    ///
    /// # Cancel safety
    /// Cancel safe: a wake-up is kept for the next caller.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until a congestion has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: an end that nobody waited for is kept for the next caller.
    pub(super) async fn eased(&self) {
        self.eased.notified().await;
    }

    /// Swaps the waiting bytes into `buffer`, which must be empty.
    pub(super) fn take(&self, buffer: &mut Vec<u8>) -> Stream {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.bytes, buffer);
        waiting.stream
    }

    /// Accounts for `count` bytes that the writer got rid of.
    pub(super) fn written(&self, count: usize) {
        self.gauge.subtract(count as u64);
        let left = self.pending.fetch_sub(count, Ordering::AcqRel) - count;
        if left <= self.limit / 4 && self.congested.swap(false, Ordering::AcqRel) {
            self.eased.notify_one();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.gauge.subtract(self.pending.load(Ordering::Acquire) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_begins_above_the_limit_and_ends_at_a_quarter() {
        let gauge = Gauge::new(u64::MAX);
        let outbox = Outbox::new(100, gauge.clone());
        outbox.append(|out| out.extend_from_slice(&[0; 101]));
        assert!(outbox.is_congested());
        outbox.written(60);
        assert!(outbox.is_congested());
        outbox.written(20);
        assert!(!outbox.is_congested());
        drop(outbox);
        assert_eq!(gauge.used(), 0);
    }

    #[test]
    fn output_after_the_end_is_dropped() {
        let outbox = Outbox::new(100, Gauge::new(u64::MAX));
        outbox.append(|out| out.push(1));
        outbox.end();
        outbox.append(|out| out.push(2));
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken), Stream::Ended);
        assert_eq!(taken, [1]);
    }
}
