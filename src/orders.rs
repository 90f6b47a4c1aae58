//! What is in order number n: drawn from the seed and n alone, so that a redelivery, a second process or a replay of the
//! plan sees the same order.

use serde::{Deserialize, Serialize};

use crate::rng;
use crate::workload::model::Orders;

/// Position of an order in its trial, from 0; the order id carries it.
pub type OrderNumber = u64;

/// Users that orders are drawn from.
const USERS: u64 = 10_000;

/// One line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The item, from 0 to `orders.items`.
    pub item: u32,
    /// Pieces, at least 1.
    pub quantity: u32,
}

/// An order's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its position.
    pub number: OrderNumber,
    /// Who placed it.
    pub user: u64,
    /// What for; different items, in ascending order.
    pub lines: Vec<Line>,
}

impl Order {
    /// Order `number` under `seed`.
    pub fn draw(seed: u64, number: OrderNumber, settings: &Orders) -> Order {
        let draw = |name: &str, below: u64| (rng::unit(seed, name, number) * below as f64) as u64;
        let items = u64::from(settings.items);
        let line_count = 1 + draw("order.lines", u64::from(settings.lines_max));
        let (first, quantity) = (draw("order.item", items), u64::from(settings.quantity_max));
        let mut lines: Vec<Line> = (0..line_count)
            .map(|i| {
                let pieces = 1
                    + (rng::unit(seed, "order.quantity", number.wrapping_mul(128).wrapping_add(i)) * quantity as f64)
                        as u64;
                // Neighbours of a random first item: different from each other, since there are at most `items` lines.
                Line {
                    item: ((first + i) % items) as u32,
                    quantity: pieces as u32,
                }
            })
            .collect();
        lines.sort_by_key(|line| line.item);
        Order {
            number,
            user: draw("order.user", USERS),
            lines,
        }
    }

    /// The whole price, in cents.
    pub fn cents(&self) -> u64 {
        self.lines
            .iter()
            .map(|line| u64::from(line.quantity) * price_cents(line.item))
            .sum()
    }
}

/// Price of one piece of an item, in cents.
pub fn price_cents(item: u32) -> u64 {
    499 + u64::from(item) * 250
}

/// Whether order `number`'s payment is declined.
pub fn payment_declined(seed: u64, number: OrderNumber, settings: &Orders) -> bool {
    rng::unit(seed, "payment.decline", number) < settings.payment_decline.0
}

/// Whether order `number` is urgent.
pub fn is_urgent(seed: u64, number: OrderNumber, settings: &Orders) -> bool {
    settings.urgent.0 > 0.0 && rng::unit(seed, "order.urgent", number) < settings.urgent.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Share;

    fn settings() -> Orders {
        Orders {
            items: 4,
            stock_per_item: None,
            lines_max: 4,
            quantity_max: 3,
            payment_decline: Share(0.25),
            body_size: crate::units::Size(0),
            urgent: Share(0.1),
            urgent_priority: 1,
        }
    }

    #[test]
    fn the_lines_of_an_order_are_different_items_within_the_settings() {
        for number in 0..2_000 {
            let order = Order::draw(42, number, &settings());
            assert!((1..=4).contains(&order.lines.len()));
            assert!(order.lines.windows(2).all(|pair| pair[0].item < pair[1].item));
            assert!(
                order
                    .lines
                    .iter()
                    .all(|line| line.item < 4 && (1..=3).contains(&line.quantity))
            );
            assert_eq!(order, Order::draw(42, number, &settings()));
        }
    }

    #[test]
    fn payments_are_declined_at_the_given_share() {
        let declined = (0..10_000)
            .filter(|number| payment_declined(42, *number, &settings()))
            .count();
        assert!((2_300..2_700).contains(&declined), "{declined}");
    }

    #[test]
    fn orders_are_urgent_at_the_given_share_whatever_else_is_drawn() {
        let urgent = (0..10_000).filter(|number| is_urgent(42, *number, &settings())).count();
        assert!((900..1_100).contains(&urgent), "{urgent}");
    }
}
