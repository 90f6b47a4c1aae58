//! What every database of a stage must do, as blocking calls on one connection; the threads around it are
//! [`super::durable`]'s.

use crate::events::Event;
use crate::orders::OrderNumber;
use crate::pipeline::order::Emit;

/// One step: a message's effect, its key, and what is to go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which order.
    pub number: OrderNumber,
    /// Which message of it: with the order, the key.
    pub event: Event,
    /// What goes out.
    pub emit: Emit,
    /// Price of the order, for the state's row.
    pub cents: u64,
    /// The message that goes out; only with an outbox.
    pub message: Option<Vec<u8>>,
}

/// A step that a database remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    pub emit: Emit,
    /// What it emitted is known to be out.
    pub published: bool,
}

/// A step as a database keeps it for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastStep {
    /// Which order.
    pub number: OrderNumber,
    /// Which message of it.
    pub event: Event,
    /// What went out, or is to go out.
    pub emit: Emit,
}

/// A message that was committed and is not yet sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Place in the order of commits.
    pub id: i64,
    /// The order that it is about.
    pub number: OrderNumber,
    /// What the stage received.
    pub cause: Event,
    /// What goes out on account of it.
    pub emit: Emit,
    /// The message.
    pub message: Vec<u8>,
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub struct Transaction<'a> {
    pub steps: &'a [Step],
    /// Steps whose event is out.
    pub published: &'a [(OrderNumber, Event)],
    /// Rows of the outbox that are sent.
    pub sent: &'a [i64],
}

/// What a transaction has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Of each step, whether it was new. One that was not has changed nothing.
    pub new: Vec<bool>,
    /// Rows of the outbox that were not sent before.
    pub sent: u64,
}

/// Why a database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds it.
    #[error(
        "{what}: the database is locked by another connection\nhelp: let nothing else open it while the trial runs"
    )]
    Locked {
        /// What was tried.
        what: &'static str,
    },
    /// No room.
    #[error("{what}: no room is left on the disk\nhelp: free some, or set TMPDIR to a folder on another disk")]
    Full {
        /// What was tried.
        what: &'static str,
    },
    /// The database's server is away, or the connection to it is.
    #[error("{what}: the database cannot be reached: {why}")]
    Unreachable {
        /// What was tried.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Something else.
    #[error("{what}: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What the database says.
        why: String,
    },
    /// The store's own thread has ended.
    #[error("the store is closed")]
    Closed,
    /// There is no such database here.
    #[error("{0}")]
    Missing(String),
}

/// One connection to a stage's database.
///
/// An implementer never keeps a part of a transaction that failed, and never reports a step as committed that a crash of the
/// process could undo.
pub trait Database: Send {
    /// What is remembered of a step.
    ///
    /// # Errors
    /// [`StoreError`].
    fn look_up(&mut self, number: OrderNumber, event: Event) -> Result<Option<Remembered>, StoreError>;

    /// Changes everything or nothing.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed.
    fn commit(&mut self, transaction: &Transaction<'_>) -> Result<Changed, StoreError>;

    /// All steps, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn steps(&mut self) -> Result<Vec<PastStep>, StoreError>;

    /// The oldest rows of the outbox that are not sent, in the order of their commits.
    ///
    /// # Errors
    /// [`StoreError`].
    fn unsent(&mut self, limit: usize) -> Result<Vec<OutboxRow>, StoreError>;

    /// How many rows of the outbox are not sent.
    ///
    /// # Errors
    /// [`StoreError`].
    fn unsent_count(&mut self) -> Result<u64, StoreError>;
}

const NOTIFICATION: &str = "notification";

/// How an [`Emit`] is written in a column.
pub(super) fn emit_name(emit: Emit) -> &'static str {
    match emit {
        Emit::Nothing => "",
        Emit::Event(event) => event.name(),
        Emit::Notification => NOTIFICATION,
    }
}

/// Reads what [`emit_name`] wrote.
pub(super) fn emit_by_name(name: &str) -> Option<Emit> {
    match name {
        "" => Some(Emit::Nothing),
        NOTIFICATION => Some(Emit::Notification),
        event => Event::by_name(event).map(Emit::Event),
    }
}

/// The order's status after a step: what came out of it, else what went in.
pub(super) fn status(step: &Step) -> &'static str {
    match step.emit {
        Emit::Event(event) => event.name(),
        Emit::Nothing | Emit::Notification => step.event.name(),
    }
}

/// The error of a row that nobody here has written.
pub(super) fn foreign(what: &'static str, found: &str) -> StoreError {
    StoreError::Failed {
        what,
        why: format!("`{found}` stands in a column of events"),
    }
}
