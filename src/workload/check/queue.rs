//! A stage's queue: its limits, and what they need of the other settings.

use super::Builder;
use crate::events::Stage;
use crate::units::Size;
use crate::workload::model::{Arrival, Overflow, QueueSettings, QueueType, Workload};

impl Builder<'_> {
    pub(super) fn queue(&mut self, stage: Stage) -> QueueSettings {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let kind = match self.choice(&path("queue_type")) {
            Some("quorum") => QueueType::Quorum,
            _ => QueueType::Classic,
        };
        let word = self.choice(&path("overflow")).unwrap_or_default();
        let overflow = Overflow::NAMES.into_iter().find(|(name, _)| *name == word);
        let settings = QueueSettings {
            kind,
            max_length: self.limit(&path("max_length")).flatten(),
            max_length_bytes: self.size(&path("max_length_bytes")).map(|Size(bytes)| bytes),
            overflow: overflow.map_or(Overflow::DropHead, |(_, overflow)| overflow),
            message_ttl: self.duration(&path("message_ttl")),
            max_priority: self.count(&path("max_priority")).and_then(|n| u8::try_from(n).ok()),
            single_active_consumer: self.flag(&path("single_active_consumer")).unwrap_or_default(),
            delivery_limit: self.count(&path("delivery_limit")).and_then(|n| u32::try_from(n).ok()),
        };
        self.check_limits(stage, &settings);
        self.check_type(stage, &settings);
        if settings.max_priority.is_some() && self.share("orders.urgent").unwrap_or_default().0 <= 0.0 {
            self.refuse_written(
                &path("max_priority"),
                format!("`{}` has no effect while no order is urgent", path("max_priority")),
                "set orders.urgent, for example to \"10%\"",
            );
        }
        if settings.single_active_consumer && self.count(&path("consumers")) == Some(1) {
            self.refuse_written(
                &path("single_active_consumer"),
                format!("`{}` has no effect with one consumer", path("single_active_consumer")),
                format!("raise {}, or leave it out", path("consumers")),
            );
        }
        settings
    }

    fn check_limits(&mut self, stage: Stage, settings: &QueueSettings) {
        let path = |key: &str| format!("stage.{stage}.{key}");
        if settings.max_length_bytes == Some(0) {
            self.refuse(
                &[&path("max_length_bytes")],
                "a queue of 0 bytes holds nothing",
                "write a size above zero, such as \"1MiB\", or leave it out for no limit",
            );
        }
        if !settings.is_bounded() {
            self.refuse_written(
                &path("overflow"),
                format!("`{}` has no effect on a queue without a limit", path("overflow")),
                format!("set {} or {}", path("max_length"), path("max_length_bytes")),
            );
            return;
        }
        let refuses = settings.overflow != Overflow::DropHead;
        if refuses && self.flag("publish.confirms") == Some(false) {
            self.refuse(
                &[&path("overflow"), "publish.confirms"],
                "without publisher confirms nobody hears that the queue refused a message: its fate would be unknown",
                format!("set publish.confirms = true, or {} = \"drop-head\"", path("overflow")),
            );
        }
        if settings.overflow == Overflow::RejectPublishDlx && self.flag("topology.dead_letter") == Some(false) {
            self.refuse(
                &[&path("overflow"), "topology.dead_letter"],
                "\"reject-publish-dlx\" dead-letters what it refuses, and there are no dead-letter queues",
                format!(
                    "set topology.dead_letter = true, or {} = \"reject-publish\"",
                    path("overflow")
                ),
            );
        }
    }

    /// What a type of queue has not.
    fn check_type(&mut self, stage: Stage, settings: &QueueSettings) {
        let path = |key: &str| format!("stage.{stage}.{key}");
        if settings.kind == QueueType::Classic {
            self.refuse_written(
                &path("delivery_limit"),
                format!("`{}` has no effect on a classic queue", path("delivery_limit")),
                format!("set {} = \"quorum\", or leave it out", path("queue_type")),
            );
            return;
        }
        if settings.max_priority.is_some() {
            self.refuse(
                &[&path("max_priority"), &path("queue_type")],
                "a quorum queue takes no x-max-priority: the broker refuses to declare it",
                format!(
                    "leave out {}, or set {} = \"classic\"",
                    path("max_priority"),
                    path("queue_type")
                ),
            );
        }
        if settings.is_bounded() && settings.overflow == Overflow::RejectPublishDlx {
            self.refuse(
                &[&path("overflow"), &path("queue_type")],
                "a quorum queue has no overflow mode \"reject-publish-dlx\"",
                format!("set {} to \"reject-publish\" or \"drop-head\"", path("overflow")),
            );
        }
        if self.flag("topology.durable") == Some(false) {
            self.refuse(
                &[&path("queue_type"), "topology.durable"],
                "a quorum queue is always durable",
                format!("set topology.durable = true, or {} = \"classic\"", path("queue_type")),
            );
        }
    }

    /// In a closed loop a user waits for the end of its order: one that leaves the chain on its way would hold a user for
    /// good.
    pub(super) fn check_closed_loop(&mut self, workload: &Workload) {
        if !matches!(workload.load.arrival, Arrival::Closed { .. }) {
            return;
        }
        let stages = workload.pipeline.stages().iter().copied();
        for stage in stages.filter(|stage| stage.is_in_chain()) {
            let path = |key: &str| format!("stage.{stage}.{key}");
            let queue = &workload.stage(stage).queue;
            if queue.is_bounded() && queue.overflow == Overflow::DropHead {
                self.refuse(
                    &[&path("max_length"), &path("max_length_bytes"), &path("overflow")],
                    format!("in a closed loop a user would wait for ever for an order that the {stage} queue dropped"),
                    format!("use an open loop, or set {} = \"reject-publish\"", path("overflow")),
                );
            }
            if queue.message_ttl.is_some() || workload.publish.ttl.is_some() {
                self.refuse(
                    &[&path("message_ttl"), "publish.ttl"],
                    format!(
                        "in a closed loop a user would wait for ever for an order that expired in the {stage} queue"
                    ),
                    "use an open loop, such as load.arrival = \"constant\"",
                );
            }
        }
    }
}
