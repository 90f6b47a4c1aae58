//! Idempotency in memory: order and event, forgotten when the order is closed, so that memory follows the open orders.
//!
//! Which orders are closed the ledger says. That of a worker process knows only what its driver has told it; so such a store names now
//! and then the orders that it doubts ([`MemoryStore::doubtful`]), and forgets those that turn out to be closed.

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
/// New steps after which the orders are doubted again.
const DOUBT_EACH: usize = SWEEP_MIN / 2;

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
    /// Size at which its orders are doubted next.
    doubt_at: usize,
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
            steps.doubt_at = steps.known.len() + DOUBT_EACH;
        }
        true
    }

    /// The orders that it remembers and that are not known to be closed, once there are enough new ones that asking is worth its price;
    /// else none.
    pub fn doubtful(&self, ledger: &Ledger) -> Vec<OrderNumber> {
        let mut steps = self.lock();
        if steps.known.len() < steps.doubt_at.max(DOUBT_EACH) {
            return Vec::new();
        }
        steps.doubt_at = steps.known.len() + DOUBT_EACH;
        let mut orders: Vec<OrderNumber> = steps.known.keys().map(|(number, _)| *number).collect();
        orders.sort_unstable();
        orders.dedup();
        orders.retain(|number| !ledger.is_closed(*number));
        orders
    }

    pub(super) fn done(&self, number: OrderNumber, event: Event) {
        self.lock().known.insert((number, event), Known::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{PipelineKind, Stage};
    use crate::ledger::{Afar, Entry, PublishFate, StepKey, Testimony};
    use std::sync::Arc;

    /// A ledger elsewhere, of which some orders are known to be closed.
    #[derive(Debug, Default)]
    struct Told(Mutex<std::collections::HashSet<OrderNumber>>);

    impl Afar for Told {
        fn enter(&self, _: Entry) {}

        fn together(&self, _: StepKey, _: Testimony, entries: &mut dyn FnMut()) {
            entries();
        }

        fn is_closed(&self, number: OrderNumber) -> bool {
            self.0.lock().expect("no panic").contains(&number)
        }
    }

    #[test]
    fn what_another_process_says_is_closed_is_forgotten_and_what_it_does_not_is_kept() {
        let (store, told) = (MemoryStore::new(Publishing::Republish), Arc::new(Told::default()));
        let ledger = Ledger::elsewhere(PipelineKind::WorkQueue, Arc::clone(&told) as Arc<dyn Afar>);
        let (event, open) = (Event::JobQueued, 7);
        let orders = 6 * SWEEP_MIN as u64;
        for number in 0..orders {
            assert!(store.applied(number, event, Emit::Nothing, &ledger));
            store.done(number, event);
            let doubtful = store.doubtful(&ledger);
            assert!(doubtful.is_empty() || doubtful.contains(&open));
            told.0
                .lock()
                .expect("no panic")
                .extend(doubtful.iter().filter(|asked| **asked != open));
            let most = store.lock().known.len();
            assert!(most <= 2 * SWEEP_MIN, "{most} steps after {number} orders");
        }
        for number in [0, open, orders - 1] {
            assert!(!store.applied(number, event, Emit::Nothing, &ledger), "{number} again");
            assert_eq!(store.lookup(number, event, &ledger), Known::Done);
        }
        assert!(store.lock().known.contains_key(&(open, event)));
        assert_eq!(store.lookup(orders, event, &ledger), Known::Fresh);
    }

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
