//! A pipeline without broker and clock that tells a ledger what it does, in an order and with the mistakes that a test asks
//! for.

use std::collections::HashSet;

use orderstorm::events::{Event, Stage};
use orderstorm::ledger::{
    ItemBook, Ledger, LedgerReport, Observed, PromiseReport, PublishFate, Residue, Verdict, judge,
};
use orderstorm::orders::Line;
use orderstorm::workload::Workload;
use orderstorm::workload::check::check;

/// How an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To `order.completed`.
    Paid,
    /// To `order.cancelled`: the payment is declined.
    Declined,
    /// To `order.cancelled`: out of stock.
    OutOfStock,
}

/// Price of each order here.
pub const CENTS: u64 = 1_250;
/// What each order here is about.
pub const LINES: [Line; 1] = [Line { item: 0, quantity: 2 }];

/// Something that is about to happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The broker's answer to the order's own publish.
    Answer,
    /// A delivery.
    Delivery(Stage, Event),
    /// The broker's answer to a stage's publish.
    Confirm(Event),
}

/// The pipeline.
#[derive(Debug)]
pub struct Model {
    /// What it reports to.
    pub ledger: Ledger,
    /// Inventory's own book.
    pub inventory: Vec<ItemBook>,
    /// Deliveries that vanish.
    pub skipped: HashSet<(Stage, Event)>,
    /// Deliveries that have their effect twice.
    pub repeated: HashSet<(Stage, Event)>,
    /// What the broker says to orders.
    pub answer: PublishFate,
}

impl Model {
    /// A faultless pipeline over one item with so much in stock.
    pub fn new(stock: Option<u64>) -> Self {
        Model {
            ledger: Ledger::new(1, stock),
            inventory: vec![ItemBook::default()],
            skipped: HashSet::new(),
            repeated: HashSet::new(),
            answer: PublishFate::Confirmed,
        }
    }

    /// One whose deliveries of `event` to `stage` vanish.
    pub fn that_skips(stage: Stage, event: Event) -> Self {
        let mut model = Model::new(None);
        model.skipped.insert((stage, event));
        model
    }

    /// One in which `stage` has its effect of `event` twice.
    pub fn that_repeats(stage: Stage, event: Event) -> Self {
        let mut model = Model::new(None);
        model.repeated.insert((stage, event));
        model
    }

    /// Takes order `number` through the pipeline; what is due happens in the order in which it came up.
    pub fn order(&mut self, number: u64, way: Way) {
        self.order_in_turn(number, way, |_| 0);
    }

    /// Takes order `number` through the pipeline; `choose` picks what happens next, by its position in so many.
    pub fn order_in_turn(&mut self, number: u64, way: Way, mut choose: impl FnMut(usize) -> usize) {
        let mut due = self.place(number);
        while !due.is_empty() {
            let next = due.remove(choose(due.len()) % due.len());
            self.happens(number, way, next, &mut due);
        }
    }

    /// Places an order; returns what is due then.
    pub fn place(&self, number: u64) -> Vec<Due> {
        self.ledger.placed(number, 1_000, 1_500, CENTS);
        let mut due = vec![Due::Answer];
        due.extend(consumers(Event::OrderCreated));
        due
    }

    /// Lets one thing happen, and adds what follows from it.
    pub fn happens(&mut self, number: u64, way: Way, next: Due, due: &mut Vec<Due>) {
        match next {
            Due::Answer => self.ledger.answered(number, self.answer),
            Due::Confirm(event) => {
                self.ledger.emitted(number, event, 9_000);
            }
            Due::Delivery(stage, event) if self.skipped.contains(&(stage, event)) => {}
            Due::Delivery(stage, event) => {
                self.ledger.delivered(number, stage, false);
                // As a stage that remembers does: of a closed order everything has been done.
                if self.ledger.is_closed(number) {
                    return self.ledger.suppressed(number, stage);
                }
                let emitted = reaction(stage, event, way);
                if let Some(emitted) = emitted {
                    self.ledger.attempted(number, emitted);
                }
                for _ in 0..1 + usize::from(self.repeated.contains(&(stage, event))) {
                    self.business(number, stage, event, way);
                    self.ledger.effect(number, stage, event);
                }
                if let Some(emitted) = emitted {
                    due.extend(consumers(emitted));
                    due.push(Due::Confirm(emitted));
                }
            }
        }
    }

    fn business(&mut self, number: u64, stage: Stage, event: Event, way: Way) {
        let (item, quantity) = (&mut self.inventory[0], u64::from(LINES[0].quantity));
        match (stage, event, way) {
            (Stage::Inventory, Event::OrderCreated, Way::Paid | Way::Declined) => {
                item.reserved += quantity;
                self.ledger.reserved(number, &LINES);
            }
            (Stage::Inventory, Event::PaymentSuccess, _) => {
                item.reserved = item.reserved.saturating_sub(quantity);
                item.sold += quantity;
                self.ledger.committed(&LINES);
            }
            (Stage::Inventory, Event::PaymentFailed, _) => {
                item.reserved = item.reserved.saturating_sub(quantity);
                self.ledger.released(&LINES);
            }
            (Stage::Payment, _, Way::Paid) => self.ledger.charged(number, CENTS),
            _ => {}
        }
    }

    /// The report with nothing left on the broker.
    pub fn report(&self) -> LedgerReport {
        self.report_with(&emptied())
    }

    /// The report with this left on the broker.
    pub fn report_with(&self, residue: &Residue) -> LedgerReport {
        self.ledger.settle(residue, &self.inventory)
    }

    /// Names of the promises that a default workload gives and that are broken, after a full drain.
    pub fn broken(&self) -> Vec<String> {
        broken(&judged(&self.report(), &drained()))
    }
}

/// Deliveries that an event calls for.
pub fn consumers(event: Event) -> Vec<Due> {
    let stages = Stage::ALL.into_iter().filter(|stage| stage.consumes().contains(&event));
    stages.map(|stage| Due::Delivery(stage, event)).collect()
}

/// What a stage publishes on account of an event.
pub fn reaction(stage: Stage, event: Event, way: Way) -> Option<Event> {
    Some(match (stage, event) {
        (Stage::Inventory, Event::OrderCreated) if way == Way::OutOfStock => Event::InventoryOutOfStock,
        (Stage::Inventory, Event::OrderCreated) => Event::InventoryReserved,
        (Stage::Inventory, Event::PaymentSuccess) => Event::InventoryCommitted,
        (Stage::Inventory, Event::PaymentFailed) => Event::InventoryReleased,
        (Stage::Payment, _) if way == Way::Declined => Event::PaymentFailed,
        (Stage::Payment, _) => Event::PaymentSuccess,
        (Stage::Order, Event::PaymentSuccess) => Event::OrderPaid,
        (Stage::Order, Event::ShippingPrepared) => Event::OrderShipped,
        (Stage::Order, Event::ShippingDelivered) => Event::OrderCompleted,
        (Stage::Order, Event::PaymentFailed | Event::InventoryOutOfStock) => Event::OrderCancelled,
        (Stage::Shipping, Event::PaymentSuccess) => Event::ShippingPrepared,
        (Stage::Shipping, Event::CustomerConfirmed) => Event::ShippingDelivered,
        (Stage::Customer, _) => Event::CustomerConfirmed,
        _ => return None,
    })
}

/// Every queue was looked into, and nothing was there.
pub fn emptied() -> Residue {
    Residue {
        complete: true,
        ..Residue::default()
    }
}

/// The pipeline ran empty.
pub fn drained() -> Observed {
    Observed {
        drained: true,
        ..Observed::default()
    }
}

/// The workload of these settings.
pub fn workload(settings: &[&str]) -> Workload {
    let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let checked = check("w.toml", "w", String::new(), &overrides);
    checked.unwrap_or_else(|error| panic!("{error}")).into_first().workload
}

/// The promises of a default workload, judged.
pub fn judged(report: &LedgerReport, observed: &Observed) -> Vec<PromiseReport> {
    judge(&workload(&[]), report, observed)
}

/// Names of given promises that were broken.
pub fn broken(promises: &[PromiseReport]) -> Vec<String> {
    let given = promises.iter().filter(|promise| promise.not_given_because.is_none());
    let broken = given.filter(|promise| promise.verdict == Verdict::Fail);
    broken.map(|promise| promise.name.clone()).collect()
}

/// One promise by name.
pub fn named<'a>(promises: &'a [PromiseReport], name: &str) -> &'a PromiseReport {
    let mut all = promises.iter();
    all.find(|promise| promise.name == name)
        .unwrap_or_else(|| panic!("no promise {name}"))
}
