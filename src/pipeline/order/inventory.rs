//! Inventory: sets stock aside, turns it into sold stock, or puts it back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Context, Emit, Reaction, Service};
use crate::events::Event;
use crate::ledger::ItemBook;
use crate::orders::{Line, OrderNumber};
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
        self.stock.lock().unwrap_or_else(PoisonError::into_inner).items.clone()
    }

    fn reserve(&self, message: &Envelope) -> Reaction {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        let blind = self.context.struck_by(Defect::Oversell, message);
        if !blind && !stock.has(&message.lines) {
            return Reaction::Effect(Emit::Event(Event::InventoryOutOfStock));
        }
        stock.add(&message.lines, |item, quantity| item.reserved += quantity);
        stock.reservations.insert(message.number, message.lines.clone());
        self.context.ledger.reserved(message.number, &message.lines);
        if self.context.struck_by(Defect::LoseEvent, message) {
            return Reaction::EffectWithoutEvent;
        }
        Reaction::Effect(Emit::Event(Event::InventoryReserved))
    }

    fn commit(&self, message: &Envelope) -> Reaction {
        let twice = self.context.struck_by(Defect::CommitTwice, message);
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        // A stage that remembers nothing may commit again: there is nothing left to commit then.
        let lines = stock.reservations.remove(&message.number).unwrap_or_default();
        for _ in 0..1 + u32::from(twice) {
            stock.add(&lines, |item, quantity| {
                item.reserved = item.reserved.saturating_sub(quantity);
                item.sold += quantity;
            });
            self.context.ledger.committed(&lines);
        }
        Reaction::Effect(Emit::Event(Event::InventoryCommitted))
    }

    fn release(&self, message: &Envelope) -> Reaction {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = stock.reservations.remove(&message.number).unwrap_or_default();
        stock.add(&lines, |item, quantity| {
            item.reserved = item.reserved.saturating_sub(quantity)
        });
        self.context.ledger.released(&lines);
        Reaction::Effect(Emit::Event(Event::InventoryReleased))
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
            Event::PaymentSuccess => self.commit(message),
            Event::PaymentFailed => self.release(message),
            _ => self.reserve(message),
        }
    }
}
