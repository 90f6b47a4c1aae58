//! A channel as the connection's tasks see it: where answers, confirms and deliveries of its number go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, channel};
use tokio::sync::oneshot;

use super::confirms::Confirms;
use super::inbox::Inbox;
use super::line::Line;

type Answer = Result<AMQPClass, String>;

/// One channel.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) number: u16,
    pub(super) line: Arc<Line>,
    pub(super) confirms: Confirms,
    pub(super) inbox: Inbox,
    /// Those who wait for an answer, in the order in which they asked: the broker answers in it.
    callers: Mutex<VecDeque<oneshot::Sender<Answer>>>,
    /// How long a publish waits for its answer, in milliseconds.
    patience_ms: AtomicU64,
    /// Why it is closed.
    end: OnceLock<String>,
}

impl Lane {
    pub(super) fn new(number: u16, line: Arc<Line>) -> Self {
        Lane {
            number,
            line,
            confirms: Confirms::default(),
            inbox: Inbox::default(),
            callers: Mutex::default(),
            patience_ms: AtomicU64::new(u64::MAX),
            end: OnceLock::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.get().is_none()
    }

    /// Sends a method and awaits the answer. A caller that does not wait for it leaves its place to nobody.
    pub(super) async fn call(&self, method: &AMQPClass) -> Answer {
        let answer = {
            let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = self.end.get() {
                return Err(why.clone());
            }
            let (sender, answer) = oneshot::channel();
            if !self.line.append_method(self.number, method) {
                return Err(self.line.why());
            }
            callers.push_back(sender);
            answer
        };
        answer
            .await
            .unwrap_or_else(|_| Err(self.end.get().cloned().unwrap_or_else(|| self.line.why())))
    }

    /// An answer has come; false where nobody asked.
    pub(super) fn answered(&self, answer: AMQPClass) -> bool {
        let caller = self.callers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match caller {
            // One that stopped waiting does not take it.
            Some(caller) => {
                let _ = caller.send(Ok(answer));
                true
            }
            None => false,
        }
    }

    /// From now on a publish waits so long for its answer.
    pub(super) fn expires_after(&self, patience: Duration) {
        self.patience_ms.store(patience.as_millis() as u64, Ordering::Relaxed);
    }

    /// The patience with what was published long enough ago is over. Publishes are stamped with a time that has passed
    /// already, so one look more keeps each from being given up early.
    pub(super) fn expire(&self, now_ms: u64, look_ms: u64) {
        let patience = self.patience_ms.load(Ordering::Relaxed).saturating_add(look_ms);
        if let Some(until_ms) = now_ms.checked_sub(patience) {
            self.confirms.expire(until_ms);
        }
    }

    /// The channel is gone: whoever waits for something of it gets to know.
    pub(super) fn end(&self, why: &str) {
        let _ = self.end.set(why.to_owned());
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.confirms.end();
        self.inbox.end();
    }

    /// Asks the broker to close it, if that is still to be asked; nobody waits.
    pub(super) fn leave(&self) {
        if self.is_open() {
            let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
            if self.line.append_method(self.number, &closing("no longer used")) {
                callers.push_back(oneshot::channel().0);
            }
        }
    }
}

/// The method that closes a channel.
pub(super) fn closing(why: &str) -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
        reply_code: 200,
        reply_text: why.into(),
        class_id: 0,
        method_id: 0,
    }))
}
