//! Faults and planted defects.

use super::Builder;
use crate::events::{PipelineKind, Stage};
use crate::units::Span;
use crate::workload::model::{
    BrokerPause, Canary, Defect, Faults, Load, Orders, Publishing, QueueType, Retry, RetryPolicy, StageSettings,
    Stretch, Until,
};

impl Builder<'_> {
    pub(super) fn faults(&mut self, pipeline: PipelineKind, load: &Load, stages: &[StageSettings]) -> Faults {
        let pause = self.stretch("broker_pause", "a pause of the broker", load);
        Faults {
            stage_outage: self.stage_outage(pipeline, load),
            broker_pause: pause.map(|Stretch { at, lasts }| BrokerPause { at, lasts }),
            memory_alarm: self.stretch("memory_alarm", "a memory alarm", load),
            disk_alarm: self.stretch("disk_alarm", "a disk alarm", load),
            script: self.script(pipeline, load, stages),
        }
    }

    /// Start and length of the fault `name`, which ends within the load.
    fn stretch(&mut self, name: &str, what: &str, load: &Load) -> Option<Stretch> {
        let (at_path, lasts_path) = (format!("fault.{name}.at"), format!("fault.{name}.lasts"));
        let stretch = match (self.duration(&at_path), self.duration(&lasts_path)) {
            (Some(at), Some(lasts)) => Stretch { at, lasts },
            (None, None) => return None,
            _ => {
                self.refuse(
                    &[&at_path, &lasts_path],
                    format!("{what} needs both its start and its length"),
                    format!("write [fault.{name}] with at = \"10s\" and lasts = \"5s\""),
                );
                return None;
            }
        };
        if let Until::Duration(duration) = load.until {
            let end = load.warm_up.0 + duration.0;
            if stretch.at.0 + stretch.lasts.0 > end {
                self.refuse(
                    &[&at_path, &lasts_path],
                    format!("{what} would end after the load does ({})", Span(end)),
                    "start it earlier, make it shorter, or make the load longer",
                );
            }
        }
        Some(stretch)
    }

    pub(super) fn canary(
        &mut self,
        pipeline: PipelineKind,
        orders: &Orders,
        stages: &[StageSettings],
        faults: &Faults,
        retry: &Retry,
    ) -> Option<Canary> {
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
        } else if defect == Defect::SkipRelay
            && (pipeline.position(Stage::Inventory))
                .is_none_or(|position| stages[position].publish != Publishing::Outbox)
        {
            self.refuse(
                &["canary.defect"],
                format!("the defect `{word}` has no place without an outbox at the inventory stage"),
                "set stage.inventory.publish = \"outbox\" and stage.inventory.store = \"sqlite\"",
            );
        }
        if defect == Defect::ForgetEffect && faults.script.is_empty() {
            self.refuse(
                &["canary.defect"],
                "what is forgotten does no harm where nothing comes again",
                "add a fault such as [[faults]] with what = \"connection-drop\", stage = \"payment\", point = \"confirm-to-ack\"",
            );
        }
        let payment = pipeline.position(Stage::Payment);
        let fails = payment.is_some_and(|position| stages[position].errors.transient.0 > 0.0);
        if matches!(defect, Defect::DropRetry | Defect::RetryForever) && !fails {
            self.refuse(
                &["canary.defect"],
                format!("the defect `{word}` has no place where the payment stage never fails"),
                "set stage.payment.errors, for example to \"50%\"",
            );
        } else if defect == Defect::RetryForever {
            let counted = payment.is_some_and(|position| stages[position].queue.kind == QueueType::Quorum);
            let why = match retry.policy {
                RetryPolicy::None => "nothing is tried again",
                RetryPolicy::Requeue if counted => "the broker keeps the limit",
                RetryPolicy::Requeue | RetryPolicy::Republish | RetryPolicy::Backoff => "",
            };
            if !why.is_empty() {
                self.refuse(
                    &["canary.defect", "retry.policy"],
                    format!("the defect `{word}` has no place where {why}"),
                    "set retry.policy = \"republish\"",
                );
            }
        }
        Some(Canary {
            defect,
            every: self.count("canary.every").unwrap_or(1),
        })
    }
}
