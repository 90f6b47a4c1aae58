//! What the broker did to our connections: blocked them, or lost them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Nanos};

/// A time during which the broker had a connection blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedPeriod {
    /// The connection's name.
    pub connection: String,
    /// The broker's reason.
    pub reason: String,
    /// Start.
    pub start: Nanos,
    /// End; absent while it lasts.
    pub end: Option<Nanos>,
}

/// Incidents of all connections of a trial.
#[derive(Debug)]
pub struct Incidents {
    clock: Clock,
    state: Mutex<State>,
    lost: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    blocked: Vec<BlockedPeriod>,
    lost: Option<String>,
    closing: bool,
}

impl Incidents {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Incidents {
            clock,
            state: Mutex::default(),
            lost: CancellationToken::new(),
        }
    }

    /// A push or an assignment leaves the state whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn blocked(&self, connection: &str, reason: String) {
        let start = self.clock.now();
        self.lock().blocked.push(BlockedPeriod {
            connection: connection.to_owned(),
            reason,
            start,
            end: None,
        });
    }

    pub(super) fn unblocked(&self, connection: &str) {
        let end = self.clock.now();
        for period in self
            .lock()
            .blocked
            .iter_mut()
            .filter(|period| period.connection == connection)
        {
            period.end.get_or_insert(end);
        }
    }

    /// A connection is gone. The first loss is kept, unless we are closing the connections ourselves.
    pub fn lose(&self, connection: &str, why: &str) {
        let mut state = self.lock();
        if !state.closing && state.lost.is_none() {
            state.lost = Some(format!("the connection `{connection}` was lost: {why}"));
            drop(state);
            self.lost.cancel();
        }
    }

    /// From now on a closed connection is no incident.
    pub fn closing(&self) {
        self.lock().closing = true;
    }

    /// Cancelled at the first loss.
    pub fn lost_token(&self) -> &CancellationToken {
        &self.lost
    }

    /// The first loss.
    pub fn loss(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// All periods so far.
    pub fn blocked_periods(&self) -> Vec<BlockedPeriod> {
        self.lock().blocked.clone()
    }
}
