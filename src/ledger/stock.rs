//! The ledger's own stock book, kept from the effects that inventory reports, and compared with inventory's at the end.

use serde::{Deserialize, Serialize};

use super::EXAMPLES_MAX;
use crate::orders::{Line, OrderNumber};

/// One item in a stock book; pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemBook {
    /// Set aside for orders that are not paid yet.
    pub reserved: u64,
    /// Sold.
    pub sold: u64,
}

/// The ledger's stock book.
#[derive(Debug)]
pub(super) struct StockLedger {
    initial: Option<u64>,
    items: Vec<ItemBook>,
    oversold: u64,
    oversold_orders: Vec<OrderNumber>,
    /// Commits and releases of what was not reserved.
    underflows: u64,
}

impl StockLedger {
    pub(super) fn new(items: u32, initial: Option<u64>) -> Self {
        let items = vec![ItemBook::default(); items as usize];
        StockLedger {
            initial,
            items,
            oversold: 0,
            oversold_orders: Vec::new(),
            underflows: 0,
        }
    }

    pub(super) fn reserved(&mut self, number: OrderNumber, lines: &[Line]) {
        let mut over = false;
        for line in lines {
            let Some(item) = self.items.get_mut(line.item as usize) else {
                continue;
            };
            item.reserved += u64::from(line.quantity);
            over |= self.initial.is_some_and(|initial| item.reserved + item.sold > initial);
        }
        if over {
            self.oversold += 1;
            if self.oversold_orders.len() < EXAMPLES_MAX {
                self.oversold_orders.push(number);
            }
        }
    }

    pub(super) fn committed(&mut self, lines: &[Line]) {
        for line in lines {
            let Some(item) = self.items.get_mut(line.item as usize) else {
                continue;
            };
            let quantity = u64::from(line.quantity);
            self.underflows += u64::from(item.reserved < quantity);
            item.reserved = item.reserved.saturating_sub(quantity);
            item.sold += quantity;
        }
    }

    pub(super) fn released(&mut self, lines: &[Line]) {
        for line in lines {
            let Some(item) = self.items.get_mut(line.item as usize) else {
                continue;
            };
            let quantity = u64::from(line.quantity);
            self.underflows += u64::from(item.reserved < quantity);
            item.reserved = item.reserved.saturating_sub(quantity);
        }
    }

    /// The end of the books; `inventory` is the service's own, by item.
    pub(super) fn report(&self, inventory: &[ItemBook]) -> StockReport {
        let differing = self
            .items
            .iter()
            .zip(inventory)
            .filter(|(ours, theirs)| ours != theirs)
            .count();
        StockReport {
            initial_per_item: self.initial,
            reserved: self.items.iter().map(|item| item.reserved).sum(),
            sold: self.items.iter().map(|item| item.sold).sum(),
            orders_oversold: self.oversold,
            oversold_orders: self.oversold_orders.clone(),
            underflows: self.underflows,
            items_differing: differing as u64 + self.items.len().abs_diff(inventory.len()) as u64,
        }
    }
}

/// The stock at the end of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StockReport {
    /// Pieces of each item at the start; absent when unlimited.
    pub initial_per_item: Option<u64>,
    /// Pieces still set aside.
    pub reserved: u64,
    /// Pieces sold.
    pub sold: u64,
    /// Reservations beyond the stock.
    pub orders_oversold: u64,
    /// Up to ten of them.
    pub oversold_orders: Vec<OrderNumber>,
    /// Commits and releases of what was not reserved.
    pub underflows: u64,
    /// Items on which the ledger's book and the inventory service's differ.
    pub items_differing: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: [Line; 1] = [Line { item: 0, quantity: 2 }];

    #[test]
    fn a_balanced_book_has_nothing_to_say() {
        let mut stock = StockLedger::new(2, Some(4));
        stock.reserved(0, &LINE);
        stock.committed(&LINE);
        stock.reserved(1, &LINE);
        stock.released(&LINE);
        let report = stock.report(&[ItemBook { reserved: 0, sold: 2 }, ItemBook::default()]);
        assert_eq!(
            (
                report.sold,
                report.orders_oversold,
                report.underflows,
                report.items_differing
            ),
            (2, 0, 0, 0)
        );
    }

    #[test]
    fn a_reservation_beyond_the_stock_is_oversold() {
        let mut stock = StockLedger::new(1, Some(3));
        stock.reserved(7, &LINE);
        stock.reserved(8, &LINE);
        let report = stock.report(&[ItemBook { reserved: 4, sold: 0 }]);
        assert_eq!((report.orders_oversold, report.oversold_orders), (1, vec![8]));
    }

    #[test]
    fn a_second_commit_and_a_foreign_book_are_noticed() {
        let mut stock = StockLedger::new(1, None);
        stock.reserved(0, &LINE);
        stock.committed(&LINE);
        stock.committed(&LINE);
        let report = stock.report(&[ItemBook { reserved: 0, sold: 2 }]);
        assert_eq!((report.underflows, report.items_differing), (1, 1));
    }
}
