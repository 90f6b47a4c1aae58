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

/// A time during which a connection was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The connection's name.
    pub connection: String,
    /// When its loss was noticed.
    pub start: Nanos,
    /// When it was open again; absent if it did not come back.
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
    absent: Vec<Absence>,
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

    /// A connection that will be opened anew is gone, and with it what blocked it.
    pub(super) fn absent(&self, connection: &str) {
        let start = self.clock.now();
        self.unblocked(connection);
        let mut state = self.lock();
        let known = state
            .absent
            .iter()
            .any(|one| one.connection == connection && one.end.is_none());
        if !state.closing && !known {
            state.absent.push(Absence {
                connection: connection.to_owned(),
                start,
                end: None,
            });
        }
    }

    /// A connection was opened anew.
    pub(super) fn restored(&self, connection: &str) {
        let end = self.clock.now();
        let mut state = self.lock();
        for absence in state.absent.iter_mut().filter(|one| one.connection == connection) {
            absence.end.get_or_insert(end);
        }
    }

    /// Times so far at which connections were gone.
    pub fn absences(&self) -> Vec<Absence> {
        self.lock().absent.clone()
    }

    /// A time at which a connection of a worker process was gone; once more as it ends.
    pub fn note_absence(&self, absence: &Absence) {
        let mut state = self.lock();
        let known = |one: &&mut Absence| one.connection == absence.connection && one.start == absence.start;
        match state.absent.iter_mut().find(known) {
            Some(known) => known.end = absence.end,
            None => state.absent.push(absence.clone()),
        }
    }

    /// As above, of a connection that the broker blocked.
    pub fn note_block(&self, period: &BlockedPeriod) {
        let mut state = self.lock();
        let known = |one: &&mut BlockedPeriod| one.connection == period.connection && one.start == period.start;
        match state.blocked.iter_mut().find(known) {
            Some(known) => known.end = period.end,
            None => state.blocked.push(period.clone()),
        }
    }

    /// A connection is gone for good. The first loss is kept, unless we are closing the connections ourselves.
    pub fn lose(&self, connection: &str, why: &str) {
        self.end(format!("the connection `{connection}` was lost: {why}"));
    }

    /// Something is gone that the trial cannot go on without; as above.
    pub fn end(&self, why: String) {
        let mut state = self.lock();
        if !state.closing && state.lost.is_none() {
            state.lost = Some(why);
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
