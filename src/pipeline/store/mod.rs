//! What a stage remembers of the messages that it has processed.

mod memory;

pub use memory::MemoryStore;

use crate::events::Event;
use crate::ledger::Ledger;
use crate::orders::OrderNumber;
use crate::workload::model::Dedupe;

use super::order::Emit;
use memory::Claim;

/// What is known of a step when its message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Never seen.
    Fresh,
    /// The effect stands, but its event may not have gone out: emit it again, and have no second effect.
    Applied(Emit),
    /// Done.
    Done,
}

/// A stage's memory, by the setting `stage.*.dedupe`.
#[derive(Debug)]
pub enum Store {
    /// None: every delivery is fresh.
    None,
    /// In this process, lost with it.
    Memory(MemoryStore),
}

impl Store {
    /// The store of a setting.
    pub fn new(setting: Dedupe) -> Self {
        match setting {
            Dedupe::None => Store::None,
            Dedupe::Memory => Store::Memory(MemoryStore::default()),
        }
    }

    /// What is known of the step (`number`, `event`).
    pub fn lookup(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Known {
        match self {
            Store::None => Known::Fresh,
            Store::Memory(store) => store.lookup(number, event, ledger),
        }
    }

    /// Takes the step on: until the claim is dropped, nobody else may have its effect.
    ///
    /// # Errors
    /// What is known of the step if somebody was faster; `Fresh` while they are at it.
    pub fn claim(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Result<Option<Claim<'_>>, Known> {
        match self {
            Store::None => Ok(None),
            Store::Memory(store) => store.claim(number, event, ledger).map(Some),
        }
    }

    /// The effect stands and calls for `emit`.
    pub fn applied(&self, number: OrderNumber, event: Event, emit: Emit, ledger: &Ledger) {
        if let Store::Memory(store) = self {
            store.applied(number, event, emit, ledger);
        }
    }

    /// What the step emitted is out.
    pub fn done(&self, number: OrderNumber, event: Event) {
        if let Store::Memory(store) = self {
            store.done(number, event);
        }
    }
}
