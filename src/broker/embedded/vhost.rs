//! One virtual host: the state that its connections share, behind one lock.
//!
//! A connection takes the lock once per batch of frames that it read, and everything a frame causes (routing,
//! deliveries to other connections, confirms) happens under it. So each batch is atomic, no lock order exists that
//! could be got wrong, and the cost of locking is spread over many messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::arena::Arena;
use super::channel::{Channel, ChannelKey};
use super::consumer::Consumer;
use super::dead_letter::DeadLetter;
use super::exchange::{self, Exchange};
use super::memory::Gauge;
use super::outbox::Outbox;
use super::queue::{Queue, QueueKey};
use super::refusal::Refusal;
use super::stats::{Counters, QueueDepth};
use super::timers::Timers;

/// Numbers connections within one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// A virtual host, which knows its name only as part of its state.
pub(super) struct Vhost {
    state: Mutex<State>,
}

impl Vhost {
    pub(super) fn new(name: &str, gauge: &Gauge, timer: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(name.into(), gauge, timer)),
        })
    }

    /// Takes the lock. A panic under it leaves no half-done change that the next holder could not live with: keys of
    /// the arenas are checked at every use.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything in a virtual host.
pub(super) struct State {
    pub(super) vhost: Arc<str>,
    pub(super) exchanges: HashMap<Arc<str>, Exchange>,
    pub(super) queues: Arena<Queue>,
    pub(super) queue_names: HashMap<Arc<str>, QueueKey>,
    /// The queues that die with a connection.
    pub(super) exclusive: HashMap<ConnectionId, Vec<QueueKey>>,
    pub(super) channels: Arena<Channel>,
    pub(super) consumers: Arena<Consumer>,
    /// Consumers of the direct reply-to pseudo queue, by the name that a request carries in `reply-to`.
    pub(super) reply_to: HashMap<Arc<str>, ChannelKey>,
    pub(super) timers: Timers,
    /// Messages that left a queue for its dead-letter exchange and are not routed yet.
    pub(super) dead_letters: VecDeque<DeadLetter>,
    /// Queues that may have something to deliver.
    pub(super) to_pump: Vec<QueueKey>,
    /// Consumers whose queue has gone and whose clients were not told yet.
    pub(super) to_tell: Vec<Consumer>,
    /// Channels that owe confirms.
    pub(super) to_confirm: Vec<ChannelKey>,
    /// Outboxes filled since the last [`State::flush`].
    filled: Vec<Arc<Outbox>>,
    /// Kept between publishes for its allocation.
    pub(super) routed: Vec<QueueKey>,
    pub(super) counts: Counters,
    metadata: usize,
    metadata_limit: usize,
}

impl State {
    fn new(vhost: Arc<str>, gauge: &Gauge, timer: Arc<Notify>) -> Self {
        /// Queues, exchanges, bindings and consumers may take a quarter of the memory limit, and 8 MiB at least.
        const LEAST_METADATA: u64 = 8 << 20;
        let metadata_limit = (gauge.limit() / 4).max(LEAST_METADATA) as usize;
        Self {
            vhost,
            exchanges: exchange::predeclared()
                .map(|exchange| (exchange.name.clone(), exchange))
                .collect(),
            queues: Arena::default(),
            queue_names: HashMap::new(),
            exclusive: HashMap::new(),
            channels: Arena::default(),
            consumers: Arena::default(),
            reply_to: HashMap::new(),
            timers: Timers::new(timer),
            dead_letters: VecDeque::new(),
            to_pump: Vec::new(),
            to_tell: Vec::new(),
            to_confirm: Vec::new(),
            filled: Vec::new(),
            routed: Vec::new(),
            counts: Counters::default(),
            metadata: 0,
            metadata_limit,
        }
    }

    /// Puts `bytes` of queue, exchange, binding or consumer on the account.
    ///
    /// # Errors
    /// 506 when a client fills the broker with declarations.
    pub(super) fn charge_metadata(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.metadata + bytes > self.metadata_limit {
            return Err(Refusal::resource_error(format!(
                "queues, exchanges, bindings and consumers of vhost '{}' would take more than {} bytes",
                self.vhost, self.metadata_limit
            )));
        }
        self.metadata += bytes;
        Ok(())
    }

    pub(super) fn release_metadata(&mut self, bytes: usize) {
        self.metadata = self.metadata.saturating_sub(bytes);
    }

    /// Remembers that `outbox` has something for its writer.
    pub(super) fn filled(&mut self, outbox: &Arc<Outbox>) {
        if outbox.mark_dirty() {
            self.filled.push(outbox.clone());
        }
    }

    /// Finishes what the frames so far have caused: dead letters are routed, free consumers served, and
    /// clients told of consumers that ended, after the reply to whoever ended them. Called after
    /// every frame, so that each sees the full effect of the one before.
    pub(super) fn settle(&mut self) {
        for consumer in std::mem::take(&mut self.to_tell) {
            self.tell_of_cancel(&consumer);
        }
        while !self.to_pump.is_empty() || !self.dead_letters.is_empty() {
            while let Some(letter) = self.dead_letters.pop_front() {
                self.publish_dead_letter(letter);
            }
            if let Some(queue) = self.to_pump.pop() {
                self.pump(queue);
            }
        }
    }

    /// Ends a batch: sends the confirms that are due and wakes the writers.
    pub(super) fn flush(&mut self) {
        while let Some(channel) = self.to_confirm.pop() {
            self.send_confirms(channel);
        }
        for outbox in self.filled.drain(..) {
            outbox.flush();
        }
    }

    pub(super) fn depths(&self) -> impl Iterator<Item = QueueDepth> {
        self.queues.iter().map(|(_, queue)| QueueDepth {
            vhost: self.vhost.to_string(),
            queue: queue.name.to_string(),
            ready: queue.ready.len() as u64,
            unacked: queue.unacked as u64,
            consumers: queue.consumers.len() as u64,
        })
    }
}
