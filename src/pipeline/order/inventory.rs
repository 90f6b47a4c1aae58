//! Inventory: sets stock aside, turns it into sold stock, or puts it back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Context, Emit, Reaction, Service};
use crate::events::Event;
use crate::ledger::ItemBook;
use crate::orders::{Line, Order, OrderNumber};
use crate::pipeline::store::PastStep;
use crate::wire::message::Envelope;
use crate::workload::model::Defect;

/// The inventory service with its stock book.
#[derive(Debug)]
pub struct Inventory {
    context: Context,
    stock: Mutex<Stock>,
}

#[derive(Debug)]
struct Stock {
    per_item: Option<u64>,
    items: Vec<ItemBook>,
    reservations: HashMap<OrderNumber, Vec<Line>>,
}

impl Inventory {
    /// A full stock.
    pub fn new(context: Context) -> Self {
        let orders = &context.workload.orders;
        let items = vec![ItemBook::default(); orders.items as usize];
        let stock = Stock {
            per_item: orders.stock_per_item,
            items,
            reservations: HashMap::new(),
        };
        Inventory {
            context,
            stock: Mutex::new(stock),
        }
    }

    /// The stock book, by item.
    pub fn book(&self) -> Vec<ItemBook> {
        self.lock().items.clone()
    }

    /// Makes the book anew from the steps that a database has; nobody may use it yet.
    pub fn recover(&self, steps: &[PastStep]) {
        let mut stock = self.lock();
        let reserved = Emit::Event(Event::InventoryReserved);
        for step in steps.iter().filter(|step| step.emit == reserved) {
            let lines = self.lines(step.number);
            stock.add(&lines, |item, quantity| item.reserved += quantity);
            stock.reservations.insert(step.number, lines);
        }
        for step in steps {
            match step.event {
                Event::PaymentSuccess => stock.sell(step.number),
                Event::PaymentFailed => stock.release(step.number),
                _ => Vec::new(),
            };
        }
    }

    /// The lines of an order, as it was drawn.
    fn lines(&self, number: OrderNumber) -> Vec<Line> {
        Order::draw(self.context.seed, number, &self.context.workload.orders).lines
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the lines aside, if the stock has them.
    fn reserve(&self, message: &Envelope) -> Reaction {
        let mut stock = self.lock();
        let blind = self.context.struck_by(Defect::Oversell, message);
        if !blind && !stock.has(&message.lines) {
            return Reaction::Effect(Emit::Event(Event::InventoryOutOfStock));
        }
        stock.add(&message.lines, |item, quantity| item.reserved += quantity);
        if self.context.struck_by(Defect::LoseEvent, message) {
            return Reaction::EffectWithoutEvent;
        }
        Reaction::Effect(Emit::Event(Event::InventoryReserved))
    }

    fn reserved(&self, message: &Envelope) {
        let mut stock = self.lock();
        stock.reservations.insert(message.number, message.lines.clone());
        self.context.ledger.reserved(message.number, &message.lines);
    }

    fn committed(&self, message: &Envelope) {
        let twice = self.context.struck_by(Defect::CommitTwice, message);
        let mut stock = self.lock();
        let lines = stock.sell(message.number);
        self.context.ledger.committed(&lines);
        if twice {
            stock.sold(&lines);
            self.context.ledger.committed(&lines);
        }
    }

    fn released(&self, message: &Envelope) {
        let mut stock = self.lock();
        let lines = stock.release(message.number);
        self.context.ledger.released(&lines);
    }
}

impl Stock {
    fn has(&self, lines: &[Line]) -> bool {
        let Some(initial) = self.per_item else { return true };
        lines.iter().all(|line| {
            let taken = self
                .items
                .get(line.item as usize)
                .map_or(initial, |item| item.reserved + item.sold);
            taken + u64::from(line.quantity) <= initial
        })
    }

    /// Turns an order's reservation into sold stock. A stage that remembers nothing may commit again: there is nothing left to
    /// commit then.
    fn sell(&mut self, number: OrderNumber) -> Vec<Line> {
        let lines = self.reservations.remove(&number).unwrap_or_default();
        self.sold(&lines);
        lines
    }

    fn sold(&mut self, lines: &[Line]) {
        self.add(lines, |item, quantity| {
            item.reserved = item.reserved.saturating_sub(quantity);
            item.sold += quantity;
        });
    }

    /// Puts an order's reservation back.
    fn release(&mut self, number: OrderNumber) -> Vec<Line> {
        let lines = self.reservations.remove(&number).unwrap_or_default();
        self.put_back(&lines);
        lines
    }

    fn put_back(&mut self, lines: &[Line]) {
        self.add(lines, |item, quantity| {
            item.reserved = item.reserved.saturating_sub(quantity)
        });
    }

    fn add(&mut self, lines: &[Line], change: impl Fn(&mut ItemBook, u64)) {
        for line in lines {
            if let Some(item) = self.items.get_mut(line.item as usize) {
                change(item, u64::from(line.quantity));
            }
        }
    }
}

impl Service for Inventory {
    fn handle(&self, message: &Envelope) -> Reaction {
        match message.event {
            Event::PaymentSuccess => Reaction::Effect(Emit::Event(Event::InventoryCommitted)),
            Event::PaymentFailed => Reaction::Effect(Emit::Event(Event::InventoryReleased)),
            _ => self.reserve(message),
        }
    }

    fn stands(&self, message: &Envelope, emit: Emit) {
        match (message.event, emit) {
            (Event::PaymentSuccess, _) => self.committed(message),
            (Event::PaymentFailed, _) => self.released(message),
            (_, Emit::Event(Event::InventoryOutOfStock)) => {}
            _ => self.reserved(message),
        }
    }

    fn tell(&self, message: &Envelope, emit: Emit) {
        let (ledger, lines) = (&self.context.ledger, self.lines(message.number));
        match (message.event, emit) {
            (Event::PaymentSuccess, _) => ledger.committed(&lines),
            (Event::PaymentFailed, _) => ledger.released(&lines),
            (_, Emit::Event(Event::InventoryOutOfStock)) => {}
            _ => ledger.reserved(message.number, &lines),
        }
    }

    fn undone(&self, message: &Envelope, reaction: Reaction) {
        let reserved = matches!(
            reaction,
            Reaction::Effect(Emit::Event(Event::InventoryReserved)) | Reaction::EffectWithoutEvent
        );
        if reserved {
            self.lock().put_back(&message.lines);
        }
    }
}
