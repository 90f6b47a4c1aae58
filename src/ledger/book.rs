//! One shard of the ledger: open orders, and the counts that closed ones were folded into.

use std::collections::HashMap;

use super::EXAMPLES_MAX;
use super::bitmap::Bitmap;
use super::population::Population;
use crate::clock::Nanos;
use crate::events::{Event, EventSet, Stage};
use crate::orders::OrderNumber;

/// What became of the publish of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishFate {
    /// No answer yet.
    Pending,
    /// Confirmed and routed: only this obliges the pipeline.
    Confirmed,
    /// The broker refused it.
    Nacked,
    /// Confirmed but routed nowhere; it came back.
    Returned,
    /// No answer will come: time-out, lost connection, or no confirms asked for.
    Unknown,
}

/// A step is one stage's effect on account of one event; each has a bit.
const STEPS: [[Option<u8>; Event::ALL.len()]; Stage::ALL.len()] = steps();

const fn steps() -> [[Option<u8>; Event::ALL.len()]; Stage::ALL.len()] {
    let mut table = [[None; Event::ALL.len()]; Stage::ALL.len()];
    let (mut bit, mut stage) = (0u8, 0);
    while stage < Stage::ALL.len() {
        let events = Stage::ALL[stage].consumes();
        let mut i = 0;
        while i < events.len() {
            table[stage][events[i].index()] = Some(bit);
            bit += 1;
            i += 1;
        }
        stage += 1;
    }
    assert!(bit <= 64, "the steps must fit into the bits of a word");
    table
}

/// The bit of a step; 0 for a step that no order has.
pub(super) const fn step_bit(stage: Stage, event: Event) -> u64 {
    match STEPS[stage.index()][event.index()] {
        Some(bit) => 1 << bit,
        None => 0,
    }
}

/// All steps that the events of an order call for.
pub(super) fn steps_due(emitted: EventSet) -> u64 {
    let mut due = 0;
    for event in emitted.iter() {
        for stage in Stage::ALL {
            due |= step_bit(stage, event);
        }
    }
    due
}

/// What is known of an open order.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderRecord {
    pub(super) intended: Nanos,
    pub(super) sent: Nanos,
    /// Time on the critical path that the steps account for.
    pub(super) accounted: Nanos,
    pub(super) cents: u64,
    /// Steps done.
    pub(super) done: u64,
    /// Steps whose delivery a consumer settled for good: no queue can have dropped it.
    pub(super) settled: u64,
    /// Events somebody set out to publish.
    pub(super) attempted: EventSet,
    /// Events that are published for certain (or were sent, where confirms are off).
    pub(super) emitted: EventSet,
    pub(super) fate: PublishFate,
    /// The customer was charged.
    pub(super) charged: bool,
    /// The order's end was reached.
    pub(super) ended: bool,
    /// A stage gave up a message of it: something of it will never happen.
    pub(super) given_up: bool,
}

impl OrderRecord {
    /// An event whose publish is not answered for keeps the order open: its consumers may be ahead of its confirm, and
    /// what they still owe is known only with it.
    fn is_complete(&self) -> bool {
        self.ended
            && self.fate != PublishFate::Pending
            && self.attempted.is_subset(self.emitted)
            && steps_due(self.emitted) & !self.done == 0
    }
}

/// An order that has just come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// When it should have been sent.
    pub intended: Nanos,
    /// When it was sent.
    pub sent: Nanos,
    /// The event that it ended with; that it ended on, where a step is the end.
    pub end: Event,
}

/// Counts and examples; shards are merged by addition.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) placed: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    pub(super) returned: u64,
    pub(super) unknown: u64,
    pub(super) completed: u64,
    pub(super) cancelled_out_of_stock: u64,
    pub(super) cancelled_declined: u64,
    pub(super) recovered: u64,
    pub(super) closed: u64,
    pub(super) deliveries: [u64; Stage::ALL.len()],
    pub(super) redeliveries: [u64; Stage::ALL.len()],
    pub(super) suppressed: [u64; Stage::ALL.len()],
    pub(super) effects: [[u64; Event::ALL.len()]; Stage::ALL.len()],
    pub(super) repeated: [[u64; Event::ALL.len()]; Stage::ALL.len()],
    /// Orders with at least one repeated effect.
    pub(super) repeated_orders: Vec<OrderNumber>,
    pub(super) repeated_orders_count: u64,
    /// Effects, answers or events without a cause.
    pub(super) causeless: u64,
    pub(super) causeless_orders: Vec<OrderNumber>,
    /// Ends after an end.
    pub(super) second_ends: u64,
    /// Messages that were tried more often than they may be.
    pub(super) beyond_limit: u64,
    pub(super) beyond_limit_orders: Vec<OrderNumber>,
    /// What payments took, and what the orders that were to be charged cost.
    pub(super) captured_cents: u64,
    pub(super) due_cents: u64,
    pub(super) charged_again: u64,
    pub(super) charged_again_orders: Vec<OrderNumber>,
    /// Sums over finished orders without a repetition, for the residual of the critical path.
    pub(super) end_to_end_sum: u128,
    pub(super) residual_sum: u128,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        let Counts {
            placed,
            confirmed,
            nacked,
            returned,
            unknown,
            completed,
            cancelled_out_of_stock,
            cancelled_declined,
            recovered,
            closed,
            deliveries,
            redeliveries,
            suppressed,
            effects,
            repeated,
            repeated_orders,
            repeated_orders_count,
            causeless,
            causeless_orders,
            second_ends,
            beyond_limit,
            beyond_limit_orders,
            captured_cents,
            due_cents,
            charged_again,
            charged_again_orders,
            end_to_end_sum,
            residual_sum,
        } = other;
        self.placed += placed;
        self.confirmed += confirmed;
        self.nacked += nacked;
        self.returned += returned;
        self.unknown += unknown;
        self.completed += completed;
        self.cancelled_out_of_stock += cancelled_out_of_stock;
        self.cancelled_declined += cancelled_declined;
        self.recovered += recovered;
        self.closed += closed;
        self.repeated_orders_count += repeated_orders_count;
        self.causeless += causeless;
        self.second_ends += second_ends;
        self.beyond_limit += beyond_limit;
        self.beyond_limit_orders.extend(beyond_limit_orders);
        self.captured_cents += captured_cents;
        self.due_cents += due_cents;
        self.charged_again += charged_again;
        self.charged_again_orders.extend(charged_again_orders);
        self.end_to_end_sum += end_to_end_sum;
        self.residual_sum += residual_sum;
        add_each(&mut self.deliveries, deliveries);
        add_each(&mut self.redeliveries, redeliveries);
        add_each(&mut self.suppressed, suppressed);
        for stage in 0..Stage::ALL.len() {
            add_each(&mut self.effects[stage], &effects[stage]);
            add_each(&mut self.repeated[stage], &repeated[stage]);
        }
        self.repeated_orders.extend(repeated_orders);
        self.causeless_orders.extend(causeless_orders);
    }
}

fn add_each(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Notes an example, once per order, up to the limit.
fn example(examples: &mut Vec<OrderNumber>, number: OrderNumber) {
    if examples.len() < EXAMPLES_MAX && !examples.contains(&number) {
        examples.push(number);
    }
}

/// One shard.
#[derive(Debug)]
pub(super) struct Book {
    /// What an order's placing publishes.
    opening: Event,
    open: HashMap<OrderNumber, OrderRecord>,
    closed: Bitmap,
    /// Closed orders that ended in `order.cancelled`.
    cancelled: Bitmap,
    /// Orders with a repeated effect, so that each counts once.
    repeated: Bitmap,
    /// Open orders that the broker refused or never answered for.
    not_obliged: u64,
    /// Open orders beside those of which a stage gave up a message.
    given_up: u64,
    /// Failed attempts at steps that have not succeeded.
    failures: HashMap<(OrderNumber, Stage, Event), u32>,
    shards: u64,
    counts: Counts,
    population: Population,
}

impl Book {
    pub(super) fn new(opening: Event, shards: u64) -> Self {
        let [closed, cancelled, repeated] = [(); 3].map(|()| Bitmap::default());
        Book {
            opening,
            open: HashMap::new(),
            closed,
            cancelled,
            repeated,
            not_obliged: 0,
            given_up: 0,
            failures: HashMap::new(),
            shards,
            counts: Counts::default(),
            population: Population::default(),
        }
    }

    pub(super) fn population(&self) -> Population {
        self.population
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (OrderNumber, &OrderRecord)> {
        self.open.iter().map(|(number, record)| (*number, record))
    }

    /// Orders that something is still due of: not closed, not refused or unknown, and not given up.
    pub(super) fn awaited(&self) -> u64 {
        (self.open.len() as u64).saturating_sub(self.not_obliged + self.given_up)
    }

    /// Open orders of which a stage gave up a message.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    pub(super) fn open(&self) -> u64 {
        self.open.len() as u64
    }

    pub(super) fn ended(&self) -> u64 {
        self.counts.completed + self.counts.cancelled_out_of_stock + self.counts.cancelled_declined
    }

    pub(super) fn duplicates(&self) -> (u64, u64) {
        let repeated = self.counts.repeated.iter().flatten().sum();
        (self.counts.suppressed.iter().sum(), repeated)
    }

    pub(super) fn is_closed(&self, number: OrderNumber) -> bool {
        self.closed.contains(number / self.shards)
    }

    /// Whether a step's effect is booked; that of an order that is closed, or was never placed, makes no difference any more.
    pub(super) fn has_effect(&self, number: OrderNumber, stage: Stage, event: Event) -> bool {
        let record = self.open.get(&number);
        record.is_none_or(|record| record.done & step_bit(stage, event) != 0)
    }

    pub(super) fn placed(&mut self, number: OrderNumber, intended: Nanos, sent: Nanos, cents: u64) {
        if self.is_closed(number) || self.open.contains_key(&number) {
            // The same order again is no new one: it would take the first one's fate.
            return self.causeless(number);
        }
        self.counts.placed += 1;
        self.population.begin(sent);
        let mut attempted = EventSet::EMPTY;
        attempted.insert(self.opening);
        let record = OrderRecord {
            intended,
            sent,
            accounted: 0,
            cents,
            done: 0,
            settled: 0,
            attempted,
            // What was published calls for its steps; whether it obliges is the fate's to say.
            emitted: attempted,
            fate: PublishFate::Pending,
            charged: false,
            ended: false,
            given_up: false,
        };
        self.open.insert(number, record);
    }

    pub(super) fn answered(&mut self, number: OrderNumber, fate: PublishFate) {
        let Some(record) = self
            .open
            .get_mut(&number)
            .filter(|record| record.fate == PublishFate::Pending)
        else {
            return self.causeless(number);
        };
        record.fate = fate;
        match fate {
            PublishFate::Confirmed => self.counts.confirmed += 1,
            PublishFate::Nacked => self.counts.nacked += 1,
            PublishFate::Returned => self.counts.returned += 1,
            PublishFate::Unknown | PublishFate::Pending => self.counts.unknown += 1,
        }
        let obliges = fate == PublishFate::Confirmed;
        self.not_obliged += u64::from(!obliges);
        self.given_up -= u64::from(!obliges && record.given_up);
        self.close_if_complete(number);
    }

    pub(super) fn attempted(&mut self, number: OrderNumber, event: Event) {
        if let Some(record) = self.open.get_mut(&number) {
            let causes = event.causes();
            let follows = causes.is_empty() || causes.iter().any(|cause| record.attempted.contains(*cause));
            record.attempted.insert(event);
            if !follows {
                // A state was left out, or reached before its time.
                self.causeless(number);
            }
        } else if !self.is_closed(number) {
            // After the close it is a repetition, counted where its effect happens.
            self.causeless(number);
        }
    }

    pub(super) fn emitted(&mut self, number: OrderNumber, event: Event, at: Nanos) -> Option<Finished> {
        let closed = self.is_closed(number);
        let Some(record) = self.open.get_mut(&number) else {
            if closed && event.is_end() {
                // The same end once more is a publish that was repeated: whether its effect was, is counted there.
                let cancelled = self.cancelled.contains(number / self.shards);
                self.counts.second_ends += u64::from(cancelled != (event == Event::OrderCancelled));
            } else if !closed {
                self.causeless(number);
            }
            return None;
        };
        if !record.emitted.insert(event) {
            return None;
        }
        let finished = event
            .is_end()
            .then(|| finish(record, event, at, &mut self.counts, &mut self.population))
            .flatten();
        self.close_if_complete(number);
        finished
    }

    pub(super) fn delivered(&mut self, stage: Stage, redelivered: bool) {
        self.counts.deliveries[stage.index()] += 1;
        self.counts.redeliveries[stage.index()] += u64::from(redelivered);
    }

    pub(super) fn settled(&mut self, number: OrderNumber, stage: Stage, event: Event) {
        if let Some(record) = self.open.get_mut(&number) {
            record.settled |= step_bit(stage, event);
        }
    }

    /// A stage gave up a message of the order.
    pub(super) fn gave_up(&mut self, number: OrderNumber) {
        if let Some(record) = self.open.get_mut(&number).filter(|record| !record.given_up) {
            record.given_up = true;
            let obliges = matches!(record.fate, PublishFate::Confirmed | PublishFate::Pending);
            self.given_up += u64::from(obliges);
        }
    }

    /// An attempt at a step failed; one more than `allowed` is a breach, once.
    pub(super) fn failed(&mut self, number: OrderNumber, stage: Stage, event: Event, allowed: u32) {
        let failures = self.failures.entry((number, stage, event)).or_default();
        *failures += 1;
        if *failures == allowed.saturating_add(1) {
            self.counts.beyond_limit += 1;
            example(&mut self.counts.beyond_limit_orders, number);
        }
    }

    pub(super) fn suppressed(&mut self, stage: Stage) {
        self.counts.suppressed[stage.index()] += 1;
    }

    pub(super) fn effect(&mut self, number: OrderNumber, stage: Stage, event: Event) {
        if self.step(number, stage, event).is_some() {
            self.close_if_complete(number);
        }
    }

    /// An effect that is the order's end.
    pub(super) fn ended_by(
        &mut self,
        number: OrderNumber,
        stage: Stage,
        event: Event,
        at: Nanos,
        accounted: Nanos,
    ) -> Option<Finished> {
        self.step(number, stage, event)?;
        let record = self.open.get_mut(&number)?;
        record.accounted += accounted;
        let finished = finish(record, event, at, &mut self.counts, &mut self.population);
        self.close_if_complete(number);
        finished
    }

    /// Books a step; `None` if it was a repetition or had no cause.
    fn step(&mut self, number: OrderNumber, stage: Stage, event: Event) -> Option<()> {
        let bit = step_bit(stage, event);
        let closed = self.is_closed(number);
        let Some(record) = self.open.get_mut(&number) else {
            if closed {
                self.repeated(number, stage, event);
            } else {
                self.causeless(number);
            }
            return None;
        };
        if bit == 0 || !record.attempted.contains(event) {
            self.causeless(number);
            return None;
        }
        if record.done & bit != 0 {
            self.repeated(number, stage, event);
            return None;
        }
        record.done |= bit;
        if !self.failures.is_empty() {
            self.failures.remove(&(number, stage, event));
        }
        self.counts.effects[stage.index()][event.index()] += 1;
        Some(())
    }

    pub(super) fn accounted(&mut self, number: OrderNumber, nanos: Nanos) {
        if let Some(record) = self.open.get_mut(&number) {
            record.accounted += nanos;
        }
    }

    /// The customer was charged `cents`; the first charge of an order is due, every other one is one too many.
    pub(super) fn charged(&mut self, number: OrderNumber, cents: u64) {
        self.counts.captured_cents += cents;
        match self.open.get_mut(&number) {
            Some(record) if !record.charged => {
                record.charged = true;
                self.counts.due_cents += record.cents;
            }
            _ => {
                self.counts.charged_again += 1;
                example(&mut self.counts.charged_again_orders, number);
            }
        }
    }

    fn repeated(&mut self, number: OrderNumber, stage: Stage, event: Event) {
        self.counts.repeated[stage.index()][event.index()] += 1;
        self.counts.repeated_orders_count += u64::from(self.repeated.insert(number / self.shards));
        example(&mut self.counts.repeated_orders, number);
    }

    fn causeless(&mut self, number: OrderNumber) {
        self.counts.causeless += 1;
        example(&mut self.counts.causeless_orders, number);
    }

    fn close_if_complete(&mut self, number: OrderNumber) {
        let Some(record) = self.open.get(&number).filter(|record| record.is_complete()) else {
            return;
        };
        if record.fate != PublishFate::Confirmed {
            self.counts.recovered += 1;
            self.not_obliged -= 1;
        } else {
            // A copy of the message came through.
            self.given_up -= u64::from(record.given_up);
        }
        self.counts.closed += 1;
        if record.emitted.contains(Event::OrderCancelled) {
            self.cancelled.insert(number / self.shards);
        }
        self.open.remove(&number);
        self.closed.insert(number / self.shards);
    }
}

/// The first end of an order; a second one is counted and is no end.
fn finish(
    record: &mut OrderRecord,
    end: Event,
    at: Nanos,
    counts: &mut Counts,
    population: &mut Population,
) -> Option<Finished> {
    if record.ended {
        counts.second_ends += 1;
        return None;
    }
    record.ended = true;
    population.end(at);
    match end {
        Event::OrderCompleted | Event::JobQueued => counts.completed += 1,
        _ if record.attempted.contains(Event::InventoryOutOfStock) => counts.cancelled_out_of_stock += 1,
        _ => counts.cancelled_declined += 1,
    }
    let whole = at.saturating_sub(record.intended);
    let explained = record.sent.saturating_sub(record.intended) + record.accounted;
    counts.end_to_end_sum += u128::from(whole);
    counts.residual_sum += u128::from(whole.abs_diff(explained));
    Some(Finished {
        intended: record.intended,
        sent: record.sent,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::PipelineKind;

    #[test]
    fn a_job_ends_with_its_first_work_and_closes_with_its_confirm() {
        let (mut book, work) = (Book::new(Event::JobQueued, 1), (Stage::Worker, Event::JobQueued));
        book.placed(0, 100, 110, 0);
        let finished = book.ended_by(0, work.0, work.1, 150, 40).expect("the first end");
        assert_eq!((finished.intended, finished.sent), (100, 110));
        assert_eq!((book.ended(), book.open()), (1, 1), "its confirm is still out");
        assert_eq!((book.population().under_way(), book.population().ended()), (0, 1));
        book.answered(0, PublishFate::Confirmed);
        assert_eq!((book.open(), book.counts().residual_sum), (0, 0));
        assert_eq!(book.ended_by(0, work.0, work.1, 160, 50), None);
        assert_eq!((book.ended(), book.counts().repeated_orders_count), (1, 1));
        assert_eq!(book.ended_by(1, work.0, work.1, 160, 50), None);
        assert_eq!(book.counts().causeless, 1, "nobody placed it");
    }

    #[test]
    fn an_order_of_which_a_message_was_given_up_is_not_awaited() {
        let mut book = Book::new(Event::JobQueued, 1);
        (0..4).for_each(|number| book.placed(number, 0, 0, 0));
        (0..3).for_each(|number| book.gave_up(number));
        book.gave_up(0);
        assert_eq!((book.awaited(), book.given_up()), (1, 3));
        book.answered(0, PublishFate::Confirmed);
        book.answered(1, PublishFate::Unknown);
        assert_eq!((book.open(), book.awaited(), book.given_up()), (4, 1, 2));
        // A copy of the message comes through all the same.
        for number in 0..2 {
            book.ended_by(number, Stage::Worker, Event::JobQueued, 5, 5);
        }
        assert_eq!((book.open(), book.awaited(), book.given_up()), (2, 1, 1));
    }

    #[test]
    fn an_order_whose_end_overtakes_a_confirm_stays_open_for_the_steps_behind_it() {
        let mut book = Book::new(Event::OrderCreated, 1);
        book.placed(0, 0, 0, 1);
        book.answered(0, PublishFate::Confirmed);
        let (stages, events) = (PipelineKind::Orders.stages(), PipelineKind::Orders.events());
        for event in events.iter().copied().filter(|event| *event != Event::OrderCreated) {
            book.attempted(0, event);
        }
        for stage in stages.iter().copied() {
            for event in stage.consumes() {
                if (stage, *event) != (Stage::Inventory, Event::PaymentSuccess) {
                    book.effect(0, stage, *event);
                }
            }
        }
        for event in events.iter().copied().filter(|event| *event != Event::PaymentSuccess) {
            book.emitted(0, event, 5);
        }
        assert_eq!(book.open(), 1, "the confirm of payment.success is still out");
        book.emitted(0, Event::PaymentSuccess, 6);
        assert_eq!(book.open(), 1, "inventory has not committed");
        book.effect(0, Stage::Inventory, Event::PaymentSuccess);
        assert_eq!((book.open(), book.counts().repeated_orders_count), (0, 0));
    }
}
