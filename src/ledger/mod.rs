//! The fate of every order, and the promises checked on it.
//!
//! Stages and load report what they did; the ledger believes nobody's totals but its own. One small record per open order,
//! folded into counts and one bit when the order is closed: memory follows the orders that are open, not the length of the
//! run. Nothing is sampled. A breach keeps up to [`EXAMPLES_MAX`] orders with their trail.

mod bitmap;
mod book;
mod entry;
mod population;
mod promise;
mod settle;
mod stock;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use bitmap::Bitmap;
use book::{Book, Counts};
pub use book::{Finished, PublishFate};
pub use entry::{Afar, Entry, StepKey, Testimony};
pub use population::Population;
pub use promise::{BadMessage, Observed, PromiseReport, Verdict, judge, promised};
pub use settle::{Drops, EffectCount, Fates, LedgerReport, Residue, StageCounts, Trail};
use stock::StockLedger;
pub use stock::{ItemBook, StockReport};

use crate::clock::Nanos;
use crate::events::{Event, PipelineKind, Stage};
use crate::orders::{Line, OrderNumber};

/// Most examples kept of each kind of breach.
pub const EXAMPLES_MAX: usize = 10;
/// Independent parts, so that tasks rarely wait for each other.
const SHARDS: usize = 16;

/// The ledger of one trial.
#[derive(Debug)]
pub struct Ledger {
    pipeline: PipelineKind,
    shards: Vec<Mutex<Book>>,
    stock: Mutex<StockLedger>,
    /// Where the entries of stages go instead.
    afar: Option<Arc<dyn Afar>>,
}

/// Each call leaves a book whole, so a panic elsewhere while it was locked has not torn it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A ledger of the order pipeline over `items` items with `stock_per_item` pieces each at the start (`None`: unlimited).
    pub fn new(items: u32, stock_per_item: Option<u64>) -> Self {
        Ledger::of(PipelineKind::Orders, StockLedger::new(items, stock_per_item))
    }

    /// A ledger of the work queue: its orders are jobs, and there is no stock.
    pub fn work_queue() -> Self {
        Ledger::of(PipelineKind::WorkQueue, StockLedger::new(0, None))
    }

    fn of(pipeline: PipelineKind, stock: StockLedger) -> Self {
        let book = || Mutex::new(Book::new(pipeline.opening(), SHARDS as u64));
        Ledger {
            pipeline,
            shards: (0..SHARDS).map(|_| book()).collect(),
            stock: Mutex::new(stock),
            afar: None,
        }
    }

    /// A ledger that stages tell what they did, and that books nothing: it sends all of it to `afar`.
    pub fn elsewhere(pipeline: PipelineKind, afar: Arc<dyn Afar>) -> Self {
        Ledger {
            afar: Some(afar),
            ..Ledger::of(pipeline, StockLedger::new(0, None))
        }
    }

    /// Whether entries go elsewhere.
    pub fn is_elsewhere(&self) -> bool {
        self.afar.is_some()
    }

    /// Books an entry, here or elsewhere. The first end of an order returns it, where it is booked.
    pub fn enter(&self, entry: Entry) -> Option<Finished> {
        if let Some(afar) = &self.afar {
            afar.enter(entry);
            return None;
        }
        match entry {
            Entry::Attempted { number, event } => self.book(number).attempted(number, event),
            Entry::Emitted { number, event, at } => return self.book(number).emitted(number, event, at),
            Entry::Delivered {
                number,
                stage,
                redelivered,
            } => self.book(number).delivered(stage, redelivered),
            Entry::Settled { number, stage, event } => self.book(number).settled(number, stage, event),
            Entry::Failed {
                number,
                stage,
                event,
                allowed,
            } => self.book(number).failed(number, stage, event, allowed),
            Entry::GaveUp { number } => self.book(number).gave_up(number),
            Entry::Suppressed { number, stage } => self.book(number).suppressed(stage),
            Entry::Effect { number, stage, event } => self.book(number).effect(number, stage, event),
            Entry::EndedBy {
                number,
                stage,
                event,
                at,
                accounted,
            } => return self.book(number).ended_by(number, stage, event, at, accounted),
            Entry::Charged { number, cents } => self.book(number).charged(number, cents),
            Entry::Accounted { number, nanos } => self.book(number).accounted(number, nanos),
            Entry::Reserved { number, lines } => lock(&self.stock).reserved(number, &lines),
            Entry::Committed { lines } => lock(&self.stock).committed(&lines),
            Entry::Released { lines } => lock(&self.stock).released(&lines),
        }
        None
    }

    /// The effect of a step with what goes with it: all that `entries` enters arrives as one, or nothing of it.
    pub fn together(&self, step: StepKey, testimony: Testimony, entries: impl FnOnce()) {
        match &self.afar {
            None => entries(),
            Some(afar) => {
                let mut entries = Some(entries);
                afar.together(step, testimony, &mut || {
                    if let Some(entries) = entries.take() {
                        entries();
                    }
                });
            }
        }
    }

    /// Whether the effect of a step is booked, or would be none any more.
    pub fn has_effect(&self, step: StepKey) -> bool {
        self.book(step.number).has_effect(step.number, step.stage, step.event)
    }

    fn book(&self, number: OrderNumber) -> MutexGuard<'_, Book> {
        assert!(
            self.afar.is_none(),
            "what stages tell is an `Entry`, or it is lost in a worker process"
        );
        lock(&self.shards[(number % SHARDS as u64) as usize])
    }

    /// An order is about to be published. Call before the publish: an answer or an effect of an unknown order is a breach.
    pub fn placed(&self, number: OrderNumber, intended: Nanos, sent: Nanos, cents: u64) {
        self.book(number).placed(number, intended, sent, cents);
    }

    /// The broker answered for an order's publish, or never will.
    pub fn answered(&self, number: OrderNumber, fate: PublishFate) {
        self.book(number).answered(number, fate);
    }

    /// A stage is going to publish `event`. Call before the publish, and before the effect that calls for it: an order at
    /// its end of which nothing is due is closed.
    pub fn attempted(&self, number: OrderNumber, event: Event) {
        self.enter(Entry::Attempted { number, event });
    }

    /// A stage's publish of `event` is confirmed (or sent, where confirms are off). The first end of an order returns it.
    pub fn emitted(&self, number: OrderNumber, event: Event, at: Nanos) -> Option<Finished> {
        self.enter(Entry::Emitted { number, event, at })
    }

    /// A delivery reached a consumer.
    pub fn delivered(&self, number: OrderNumber, stage: Stage, redelivered: bool) {
        self.enter(Entry::Delivered {
            number,
            stage,
            redelivered,
        });
    }

    /// A delivery of `event` was acknowledged or rejected, and does not go back to its queue: from now on no queue can drop it.
    pub fn settled(&self, number: OrderNumber, stage: Stage, event: Event) {
        self.enter(Entry::Settled { number, stage, event });
    }

    /// A stage's handler failed at `event` for a cause that passes, and had no effect. It may be tried `allowed` times in all
    /// until it succeeds.
    pub fn failed(&self, number: OrderNumber, stage: Stage, event: Event, allowed: u32) {
        self.enter(Entry::Failed {
            number,
            stage,
            event,
            allowed,
        });
    }

    /// A stage gave up a message of the order: it lies in a dead-letter queue, or is dropped where there is none. A drain no longer
    /// waits for the order.
    pub fn gave_up(&self, number: OrderNumber) {
        self.enter(Entry::GaveUp { number });
    }

    /// Open orders of which a stage gave up a message, and which are not refused or unknown.
    pub fn given_up(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).given_up()).sum()
    }

    /// A delivery was recognised as already processed and had no effect.
    pub fn suppressed(&self, number: OrderNumber, stage: Stage) {
        self.enter(Entry::Suppressed { number, stage });
    }

    /// A stage's effect on account of `event` stands.
    pub fn effect(&self, number: OrderNumber, stage: Stage, event: Event) {
        self.enter(Entry::Effect { number, stage, event });
    }

    /// A stage's effect on account of `event` stands and is the end of the order ([`Stage::is_end`]); the last step took
    /// `accounted` nanoseconds of it. The first end of an order returns it.
    pub fn ended_by(
        &self,
        number: OrderNumber,
        stage: Stage,
        event: Event,
        at: Nanos,
        accounted: Nanos,
    ) -> Option<Finished> {
        self.enter(Entry::EndedBy {
            number,
            stage,
            event,
            at,
            accounted,
        })
    }

    /// Payment charged the customer.
    pub fn charged(&self, number: OrderNumber, cents: u64) {
        self.enter(Entry::Charged { number, cents });
    }

    /// Nanoseconds of the order's critical path that one step accounts for; their sum is checked against the whole.
    pub fn accounted(&self, number: OrderNumber, nanos: Nanos) {
        self.enter(Entry::Accounted { number, nanos });
    }

    /// Inventory set the lines aside.
    pub fn reserved(&self, number: OrderNumber, lines: &[Line]) {
        let lines = lines.to_vec();
        self.enter(Entry::Reserved { number, lines });
    }

    /// Inventory turned reserved lines into sold ones.
    pub fn committed(&self, lines: &[Line]) {
        self.enter(Entry::Committed { lines: lines.to_vec() });
    }

    /// Inventory put reserved lines back.
    pub fn released(&self, lines: &[Line]) {
        self.enter(Entry::Released { lines: lines.to_vec() });
    }

    /// Orders that are not closed: placed, and not yet at their end with everything that belongs to it.
    pub fn open(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).open()).sum()
    }

    /// Open orders that the broker confirmed, or has not answered for yet: what a drain waits for.
    pub fn awaited(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).awaited()).sum()
    }

    /// Orders that have come to an end so far.
    pub fn ended(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).ended()).sum()
    }

    /// Deliveries so far of what was processed already: those that had no second effect, and those that had one.
    pub fn duplicates(&self) -> (u64, u64) {
        let books = self.shards.iter().map(|shard| lock(shard).duplicates());
        books.fold((0, 0), |sum, (suppressed, repeated)| {
            (sum.0 + suppressed, sum.1 + repeated)
        })
    }

    /// Who came and went so far.
    pub fn population(&self) -> Population {
        let books = self.shards.iter().map(|shard| lock(shard).population());
        books.fold(Population::default(), Population::plus)
    }

    /// Whether everything that this order calls for has happened; then a store may forget it, and a late delivery is a
    /// repetition.
    pub fn is_closed(&self, number: OrderNumber) -> bool {
        match &self.afar {
            None => self.book(number).is_closed(number),
            Some(afar) => afar.is_closed(number),
        }
    }

    /// Takes stock after the drain. `residue` says what still lies in queues and dead-letter queues.
    pub fn settle(&self, residue: &Residue, inventory: &[ItemBook]) -> LedgerReport {
        let mut counts = Counts::default();
        let mut open = Vec::new();
        for shard in &self.shards {
            let book = lock(shard);
            counts.add(book.counts());
            open.extend(book.records().map(|(number, record)| (number, *record)));
        }
        open.sort_unstable_by_key(|(number, _)| *number);
        let stock = lock(&self.stock).report(inventory);
        settle::settle(self.pipeline, counts, &open, residue, stock)
    }
}
