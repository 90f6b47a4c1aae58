//! Exchanges and queues.

use super::Builder;
use crate::workload::model::{ExchangeType, Topology};

impl Builder<'_> {
    pub(super) fn topology(&mut self) -> Topology {
        Topology {
            order_exchange: match self.choice("topology.order_exchange") {
                Some("direct") => ExchangeType::Direct,
                Some("fanout") => ExchangeType::Fanout,
                Some("headers") => ExchangeType::Headers,
                _ => ExchangeType::Topic,
            },
            durable: self.flag("topology.durable").unwrap_or(true),
            dead_letter: self.flag("topology.dead_letter").unwrap_or(true),
            alternate_exchange: self.flag("topology.alternate_exchange").unwrap_or_default(),
        }
    }
}
