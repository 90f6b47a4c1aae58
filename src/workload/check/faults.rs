//! Faults and planted defects.

use super::Builder;
use crate::events::PipelineKind;
use crate::units::Span;
use crate::workload::model::{BrokerPause, Canary, Defect, Faults, Load, Orders, Until};

impl Builder<'_> {
    pub(super) fn faults(&mut self, load: &Load) -> Faults {
        let (at, lasts) = (
            self.duration("fault.broker_pause.at"),
            self.duration("fault.broker_pause.lasts"),
        );
        let pause = match (at, lasts) {
            (Some(at), Some(lasts)) => Some(BrokerPause { at, lasts }),
            (None, None) => None,
            _ => {
                self.refuse(
                    &["fault.broker_pause.at", "fault.broker_pause.lasts"],
                    "a pause of the broker needs both its start and its length",
                    "write [fault.broker_pause] with at = \"10s\" and lasts = \"5s\"",
                );
                None
            }
        };
        if let (Some(pause), Until::Duration(duration)) = (&pause, load.until) {
            let end = load.warm_up.0 + duration.0;
            if pause.at.0 + pause.lasts.0 > end {
                self.refuse(
                    &["fault.broker_pause.at", "fault.broker_pause.lasts"],
                    format!("the pause would end after the load does ({})", Span(end)),
                    "start it earlier, make it shorter, or make the load longer",
                );
            }
        }
        Faults { broker_pause: pause }
    }

    pub(super) fn canary(&mut self, pipeline: PipelineKind, orders: &Orders) -> Option<Canary> {
        let Some(word) = self.choice("canary.defect") else {
            self.refuse_written(
                "canary.every",
                "`canary.every` has no effect without canary.defect",
                "add canary.defect, or leave it out",
            );
            return None;
        };
        let defect = Defect::NAMES.into_iter().find(|(name, _)| *name == word)?.1;
        if !defect.is_of(pipeline) {
            let possible = Defect::NAMES.iter().filter(|(_, defect)| defect.is_of(pipeline));
            let possible: Vec<String> = possible.map(|(name, _)| format!("\"{name}\"")).collect();
            self.refuse(
                &["canary.defect"],
                format!("the defect `{word}` has no place in pipeline = \"{pipeline}\""),
                format!("choose one of {}", possible.join(", ")),
            );
        } else if defect == Defect::Oversell && orders.stock_per_item.is_none() {
            self.refuse(
                &["canary.defect"],
                "an unlimited stock cannot be oversold",
                "set orders.stock_per_item",
            );
        }
        Some(Canary {
            defect,
            every: self.count("canary.every").unwrap_or(1),
        })
    }
}
