//! What a stage tells the ledger: one value for each thing that may happen, so that it can be booked here or sent to where it
//! is booked.

use crate::clock::Nanos;
use crate::events::{Event, Stage};
use crate::orders::{Line, OrderNumber};

/// Something that happened at a stage; each is the call of the [`super::Ledger`] of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Attempted {
        number: OrderNumber,
        event: Event,
    },
    Emitted {
        number: OrderNumber,
        event: Event,
        at: Nanos,
    },
    Delivered {
        number: OrderNumber,
        stage: Stage,
        redelivered: bool,
    },
    Settled {
        number: OrderNumber,
        stage: Stage,
        event: Event,
    },
    Failed {
        number: OrderNumber,
        stage: Stage,
        event: Event,
        allowed: u32,
    },
    GaveUp {
        number: OrderNumber,
    },
    Suppressed {
        number: OrderNumber,
        stage: Stage,
    },
    Effect {
        number: OrderNumber,
        stage: Stage,
        event: Event,
    },
    EndedBy {
        number: OrderNumber,
        stage: Stage,
        event: Event,
        at: Nanos,
        accounted: Nanos,
    },
    Charged {
        number: OrderNumber,
        cents: u64,
    },
    Accounted {
        number: OrderNumber,
        nanos: Nanos,
    },
    Reserved {
        number: OrderNumber,
        lines: Vec<Line>,
    },
    Committed {
        lines: Vec<Line>,
    },
    Released {
        lines: Vec<Line>,
    },
}

/// A step: one stage's effect on account of one event of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepKey {
    pub number: OrderNumber,
    pub stage: Stage,
    pub event: Event,
}

/// How it is known that a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Testimony {
    /// Its commit was answered just now.
    Committed,
    /// It was found in a store that survives its process. Who committed it may have died before it could tell.
    Found,
}

/// Takes entries to the ledger of another process.
///
/// An implementer never reorders what one task tells, and never lets half of what is told together arrive.
pub trait Afar: Send + Sync + std::fmt::Debug {
    /// Takes one entry.
    fn enter(&self, entry: Entry);

    /// Takes everything that is entered meanwhile by this thread as one: the effect of a step, with what goes with it.
    fn together(&self, step: StepKey, testimony: Testimony, entries: &mut dyn FnMut());

    /// What [`super::Ledger::is_closed`] says; false where nobody here can know.
    fn is_closed(&self, number: OrderNumber) -> bool;
}
