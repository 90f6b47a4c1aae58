//! What all parts of a connection share: the output buffer, the channels, and whether it is gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, connection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::lane::Lane;
use super::reader::Partial;
use crate::amqp::connector::{AmqpError, Connector};
use crate::amqp::frame;
use crate::amqp::gate::{Gate, Socket};
use crate::amqp::incidents::Incidents;
use crate::amqp::link::REPLY_TIMEOUT;
use crate::amqp::uri::BrokerUri;

/// What the handshake settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuned {
    /// Octets of a frame, its overhead among them; 0: no limit.
    pub(super) frame_max: u32,
    pub(super) channel_max: u16,
    /// Seconds; 0 is off.
    pub(super) heartbeat: u16,
}

/// Whether more output will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Open,
    Ended,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// Publishes among them.
    publishes: u64,
    output: Output,
    /// The writer has been told, and has not found the buffer empty since.
    told: bool,
    /// Octets ever appended.
    appended: u64,
}

/// A channel's place in the table.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lane: Arc<Lane>,
    /// A message whose content is still coming.
    pub(super) partial: Option<Partial>,
}

/// Channels by their number; number 0 is never taken.
pub(super) type Table = Vec<Option<Place>>;

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    name: String,
    uri: BrokerUri,
    incidents: Arc<Incidents>,
    pub(super) gate: Gate,
    pub(super) socket: Socket,
    pub(super) tuned: Tuned,
    waiting: Mutex<Waiting>,
    filled: Notify,
    written: AtomicU64,
    wrote: Notify,
    unwritten: AtomicU64,
    table: Mutex<Table>,
    over: CancellationToken,
    why: OnceLock<String>,
    /// Reads from the socket so far.
    heard: AtomicU64,
    /// Milliseconds since the connection was opened, as of the keeper's last look.
    now_ms: AtomicU64,
    /// How often the keeper looks for publishes whose time is up.
    look_ms: AtomicU64,
    pub(super) look_changed: Notify,
}

impl Line {
    pub(super) fn new(connector: &Connector, name: &str, tuned: Tuned, socket: Socket) -> Self {
        Line {
            name: name.to_owned(),
            uri: connector.tuned().clone(),
            incidents: Arc::clone(connector.incidents()),
            gate: Gate::default(),
            socket,
            tuned,
            waiting: Mutex::new(Waiting {
                bytes: Vec::new(),
                publishes: 0,
                output: Output::Open,
                told: false,
                appended: 0,
            }),
            filled: Notify::new(),
            written: AtomicU64::new(0),
            wrote: Notify::new(),
            unwritten: AtomicU64::new(0),
            table: Mutex::new(vec![None]),
            over: CancellationToken::new(),
            why: OnceLock::new(),
            heard: AtomicU64::new(0),
            now_ms: AtomicU64::new(0),
            look_ms: AtomicU64::new(1_000),
            look_changed: Notify::new(),
        }
    }

    /// Each append is whole, so a panic elsewhere has not torn it.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channels. Nothing that ends the connection may be called under this lock.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what `write` writes, `publishes` messages; false where nothing can be sent any more. The writer is told once for all
    /// that comes before it gets its turn.
    pub(super) fn append(&self, publishes: u64, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut waiting = self.waiting();
        if waiting.output == Output::Ended {
            return false;
        }
        let before = waiting.bytes.len();
        write(&mut waiting.bytes);
        waiting.appended += (waiting.bytes.len() - before) as u64;
        waiting.publishes += publishes;
        let told = std::mem::replace(&mut waiting.told, true);
        drop(waiting);
        if publishes > 0 {
            self.unwritten.fetch_add(publishes, Ordering::Relaxed);
        }
        if !told {
            self.filled.notify_one();
        }
        true
    }

    pub(super) fn append_method(&self, channel: u16, class: &AMQPClass) -> bool {
        self.append(0, |out| frame::write_method(out, channel, class))
    }

    /// Swaps what waits into `buffer`, which must be empty; with the number of publishes in it. An empty one means that the
    /// writer will be told again.
    pub(super) fn take(&self, buffer: &mut Vec<u8>) -> (u64, Output) {
        let mut waiting = self.waiting();
        std::mem::swap(&mut waiting.bytes, buffer);
        waiting.told = !buffer.is_empty();
        (std::mem::take(&mut waiting.publishes), waiting.output)
    }

    /// Waits until there is something to write.
    ///
    /// # Cancel safety
    /// Safe: a wake-up is kept for the next caller.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Octets that the socket took, the last of `publishes` messages among them.
    pub(super) fn wrote(&self, octets: usize, publishes: u64) {
        self.written.fetch_add(octets as u64, Ordering::Release);
        self.unwritten.fetch_sub(publishes, Ordering::Relaxed);
        self.wrote.notify_waiters();
    }

    /// Publishes that the socket has not taken.
    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Octets that the socket took so far.
    pub(super) fn octets_written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Waits until the socket has taken all that was appended before, or the connection is gone.
    pub(super) async fn flushed(&self) {
        let mark = self.waiting().appended;
        loop {
            let wrote = self.wrote.notified();
            if self.written.load(Ordering::Acquire) >= mark {
                return;
            }
            tokio::select! {
                () = wrote => {}
                () = self.over.cancelled() => return,
            }
        }
    }

    /// Notes that something was read.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Milliseconds since the connection was opened; as coarse as the keeper's looks, and never ahead.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(super) fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A publish may wait this long: the keeper looks often enough for that.
    pub(super) fn look_for(&self, timeout: Duration) {
        let often = (timeout.as_millis() as u64 / 10).clamp(5, 1_000);
        if self.look_ms.fetch_min(often, Ordering::Relaxed) > often {
            self.look_changed.notify_one();
        }
    }

    pub(super) fn look_every(&self) -> Duration {
        Duration::from_millis(self.look_ms.load(Ordering::Relaxed))
    }

    /// Cancelled when the connection is gone.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Why it is gone, without the password.
    pub(super) fn why(&self) -> String {
        self.why.get().cloned().unwrap_or_default()
    }

    /// The connection is gone, or can't be used any more: everything that waits for it ends now. What was appended before is
    /// still written. The first reason is kept.
    pub(super) fn fail(&self, why: &str) {
        let _ = self.why.set(self.uri.mask_secrets(why));
        self.waiting().output = Output::Ended;
        let places = std::mem::take(&mut *self.table());
        for place in places.into_iter().flatten() {
            place.lane.end(&self.why());
        }
        let news = self.gate.lose();
        if news && !self.gate.is_closing() {
            self.incidents.absent(&self.name);
        }
        self.socket.release();
        self.over.cancel();
        self.filled.notify_one();
    }

    /// Asks the broker to end the connection; its answer does.
    pub(super) fn say_goodbye(&self) {
        self.gate.close();
        let close = connection::Close {
            reply_code: 200,
            reply_text: "done".into(),
            class_id: 0,
            method_id: 0,
        };
        self.append_method(0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)));
    }

    pub(super) fn block(&self, reason: String) {
        self.gate.block();
        self.incidents.blocked(&self.name, reason);
    }

    pub(super) fn unblock(&self) {
        self.gate.unblock();
        self.incidents.unblocked(&self.name);
    }

    /// Gives a channel the lowest free number.
    ///
    /// # Errors
    /// When the connection is gone, or has no number left.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Arc<Lane>, String> {
        let mut table = self.table();
        if self.gate.is_lost() || table.is_empty() {
            return Err(self.why());
        }
        let free = (1..table.len()).find(|number| table[*number].is_none());
        let number = free.unwrap_or(table.len());
        let most = if self.tuned.channel_max == 0 {
            u16::MAX
        } else {
            self.tuned.channel_max
        };
        let Ok(channel) = u16::try_from(number)
            .map_err(drop)
            .and_then(|n| if n > most { Err(()) } else { Ok(n) })
        else {
            return Err(format!("the connection has no channel left of {most}"));
        };
        if number == table.len() {
            table.push(None);
        }
        let lane = Arc::new(Lane::new(channel, Arc::clone(self)));
        table[number] = Some(Place {
            lane: Arc::clone(&lane),
            partial: None,
        });
        Ok(lane)
    }

    /// Awaits an answer, with a time-out.
    pub(super) async fn answer<T>(
        &self,
        doing: &str,
        answer: impl Future<Output = Result<T, String>>,
    ) -> Result<T, AmqpError> {
        match tokio::time::timeout(REPLY_TIMEOUT, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(why)) => Err(AmqpError::Method {
                doing: doing.to_owned(),
                why: self.uri.mask_secrets(&why),
            }),
            Err(_) => Err(AmqpError::NoAnswer {
                doing: doing.to_owned(),
                after: REPLY_TIMEOUT,
            }),
        }
    }
}
