//! Idempotency in memory: order and event, forgotten when the order is closed, so that memory follows the open orders.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Known;
use crate::events::Event;
use crate::ledger::Ledger;
use crate::orders::OrderNumber;
use crate::pipeline::order::Emit;
use crate::workload::model::Publishing;

/// No sweep below this size.
const SWEEP_MIN: usize = 4096;

/// Remembers the steps of one stage.
#[derive(Debug)]
pub struct MemoryStore {
    steps: Mutex<Steps>,
    publish: Publishing,
}

#[derive(Debug, Default)]
struct Steps {
    known: HashMap<(OrderNumber, Event), Known>,
    /// Size at which closed orders are forgotten next.
    sweep_at: usize,
}

impl MemoryStore {
    /// An empty one.
    pub fn new(publish: Publishing) -> Self {
        MemoryStore {
            steps: Mutex::default(),
            publish,
        }
    }

    /// An insertion leaves the map whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lookup(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Known {
        let known = self.lock().known.get(&(number, event)).copied();
        match known {
            Some(Known::Applied(_)) if self.publish == Publishing::DualWrite => Known::Done,
            Some(known) => known,
            // A closed order has had every step that belongs to it.
            None if ledger.is_closed(number) => Known::Done,
            None => Known::Fresh,
        }
    }

    /// Says whether the step was new; one that was not has changed nothing.
    pub(super) fn applied(&self, number: OrderNumber, event: Event, emit: Emit, ledger: &Ledger) -> bool {
        let mut steps = self.lock();
        if steps.known.contains_key(&(number, event)) || ledger.is_closed(number) {
            return false;
        }
        steps.known.insert((number, event), Known::Applied(emit));
        if steps.known.len() >= steps.sweep_at.max(SWEEP_MIN) {
            steps
                .known
                .retain(|(number, _), known| *known != Known::Done || !ledger.is_closed(*number));
            steps.sweep_at = steps.known.len() * 2;
        }
        true
    }

    pub(super) fn done(&self, number: OrderNumber, event: Event) {
        self.lock().known.insert((number, event), Known::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Stage;
    use crate::ledger::PublishFate;

    #[test]
    fn a_closed_order_is_forgotten_and_its_messages_are_repetitions() {
        let store = MemoryStore::new(Publishing::Republish);
        let ledger = Ledger::work_queue();
        let event = Event::JobQueued;
        for number in 0..2 * SWEEP_MIN as u64 {
            ledger.placed(number, 0, 0, 0);
            assert_eq!(store.lookup(number, event, &ledger), Known::Fresh);
            assert!(store.applied(number, event, Emit::Nothing, &ledger));
            store.done(number, event);
            ledger.answered(number, PublishFate::Confirmed);
            ledger.ended_by(number, Stage::Worker, event, 1, 1);
        }
        assert!(
            store.lock().known.len() <= SWEEP_MIN + 1,
            "{}",
            store.lock().known.len()
        );
        assert_eq!(store.lookup(0, event, &ledger), Known::Done);
        assert!(!store.applied(0, event, Emit::Nothing, &ledger));
    }
}
