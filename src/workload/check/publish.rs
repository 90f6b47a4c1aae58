//! What is published, and how.

use super::Builder;
use crate::workload::model::{Orders, Publish};

impl Builder<'_> {
    pub(super) fn publish(&mut self) -> Publish {
        let confirms = self.flag("publish.confirms").unwrap_or(true);
        if !confirms {
            self.refuse_written(
                "publish.confirm_timeout",
                "`publish.confirm_timeout` has no effect without publisher confirms",
                "leave it out, or set publish.confirms = true",
            );
        }
        Publish {
            confirms,
            mandatory: self.flag("publish.mandatory").unwrap_or(true),
            persistent: self.flag("publish.persistent").unwrap_or(true),
            confirm_timeout: self.duration("publish.confirm_timeout").unwrap_or_default(),
            ttl: self.duration("publish.ttl"),
        }
    }

    pub(super) fn orders(&mut self) -> Orders {
        let (items, lines_max) = (self.count_u32("orders.items"), self.count_u32("orders.lines_max"));
        if lines_max > items && self.settings.written("orders.lines_max").is_some() {
            self.refuse(
                &["orders.lines_max"],
                format!("an order cannot have {lines_max} lines of different items: there are {items} items"),
                "raise orders.items or lower orders.lines_max",
            );
        }
        let urgent = self.share("orders.urgent").unwrap_or_default();
        if urgent.0 <= 0.0 {
            self.refuse_written(
                "orders.urgent_priority",
                "`orders.urgent_priority` has no effect while no order is urgent",
                "set orders.urgent, for example to \"10%\"",
            );
        }
        Orders {
            items,
            stock_per_item: self.limit("orders.stock_per_item").flatten(),
            lines_max: lines_max.min(items),
            quantity_max: self.count_u32("orders.quantity_max"),
            payment_decline: self.share("orders.payment_decline").unwrap_or_default(),
            body_size: self.size("orders.body_size").unwrap_or_default(),
            urgent,
            urgent_priority: self
                .count("orders.urgent_priority")
                .and_then(|priority| u8::try_from(priority).ok())
                .unwrap_or(1),
        }
    }
}
