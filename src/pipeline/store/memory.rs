//! Idempotency in memory: order and event, forgotten when the order is closed, so that memory follows the open orders.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Known;
use crate::events::Event;
use crate::ledger::Ledger;
use crate::orders::OrderNumber;
use crate::pipeline::order::Emit;

/// No sweep below this size.
const SWEEP_MIN: usize = 4096;

/// Remembers the steps of one stage.
#[derive(Debug, Default)]
pub struct MemoryStore {
    steps: Mutex<Steps>,
}

#[derive(Debug, Default)]
struct Steps {
    known: HashMap<(OrderNumber, Event), Known>,
    /// Steps whose effect somebody is about to have.
    claimed: HashSet<(OrderNumber, Event)>,
    /// Size at which closed orders are forgotten next.
    sweep_at: usize,
}

/// A step that one consumer has taken on.
#[derive(Debug)]
pub struct Claim<'a> {
    store: &'a MemoryStore,
    step: (OrderNumber, Event),
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.lock().claimed.remove(&self.step);
    }
}

impl MemoryStore {
    /// An insertion leaves the map whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lookup(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Known {
        let known = self.lock().known.get(&(number, event)).copied();
        match known {
            Some(known) => known,
            // A closed order has had every step that belongs to it.
            None if ledger.is_closed(number) => Known::Done,
            None => Known::Fresh,
        }
    }

    pub(super) fn claim(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Result<Claim<'_>, Known> {
        let step = (number, event);
        let mut steps = self.lock();
        match steps.known.get(&step).copied() {
            Some(known) => return Err(known),
            None if ledger.is_closed(number) => return Err(Known::Done),
            None => {}
        }
        if !steps.claimed.insert(step) {
            return Err(Known::Fresh);
        }
        Ok(Claim { store: self, step })
    }

    pub(super) fn applied(&self, number: OrderNumber, event: Event, emit: Emit, ledger: &Ledger) {
        let mut steps = self.lock();
        steps.known.insert((number, event), Known::Applied(emit));
        if steps.known.len() >= steps.sweep_at.max(SWEEP_MIN) {
            steps
                .known
                .retain(|(number, _), known| *known != Known::Done || !ledger.is_closed(*number));
            steps.sweep_at = steps.known.len() * 2;
        }
    }

    pub(super) fn done(&self, number: OrderNumber, event: Event) {
        self.lock().known.insert((number, event), Known::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_consumer_at_a_time_may_have_the_effect_of_a_step() {
        let (store, ledger) = (MemoryStore::default(), Ledger::new(1, None));
        ledger.placed(7, 0, 0, 1);
        let claim = |event| store.claim(7, event, &ledger).map(drop);
        let held = store.claim(7, Event::OrderCreated, &ledger).expect("nobody has it");
        assert_eq!(claim(Event::OrderCreated), Err(Known::Fresh));
        assert_eq!(claim(Event::PaymentSuccess), Ok(()));
        drop(held);
        assert_eq!(claim(Event::OrderCreated), Ok(()));
        store.applied(7, Event::OrderCreated, Emit::Nothing, &ledger);
        assert_eq!(claim(Event::OrderCreated), Err(Known::Applied(Emit::Nothing)));
    }

    #[test]
    fn a_step_is_fresh_then_applied_then_done() {
        let (store, ledger) = (MemoryStore::default(), Ledger::new(1, None));
        ledger.placed(7, 0, 0, 1);
        let (event, emit) = (Event::OrderCreated, Emit::Event(Event::InventoryReserved));
        assert_eq!(store.lookup(7, event, &ledger), Known::Fresh);
        store.applied(7, event, emit, &ledger);
        assert_eq!(store.lookup(7, event, &ledger), Known::Applied(emit));
        store.done(7, event);
        assert_eq!(store.lookup(7, event, &ledger), Known::Done);
        assert_eq!(store.lookup(7, Event::PaymentSuccess, &ledger), Known::Fresh);
        assert_eq!(store.lookup(8, event, &ledger), Known::Fresh);
    }
}
