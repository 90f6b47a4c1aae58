//! Stated promises that the settings cannot give.

use super::Builder;
use crate::workload::model::{AckMode, Placement, Publishing, StoreKind, Workload};

impl Builder<'_> {
    /// A stated promise that the settings cannot give.
    pub(super) fn check_promises(&mut self, workload: &Workload) {
        if workload.promises.nothing_lost {
            for (path, given, why) in [
                (
                    "publish.confirms",
                    workload.publish.confirms,
                    "without confirms nobody knows what the broker took",
                ),
                (
                    "publish.mandatory",
                    workload.publish.mandatory,
                    "without mandatory an unroutable message is confirmed and gone",
                ),
                (
                    "publish.persistent",
                    workload.publish.persistent,
                    "transient messages are gone after a restart of the broker",
                ),
                (
                    "topology.durable",
                    workload.topology.durable,
                    "transient queues are gone after a restart of the broker",
                ),
            ] {
                if !given {
                    self.refuse(
                        &[path, "promises.nothing_lost"],
                        format!("`promises.nothing_lost` cannot be given: {why}"),
                        format!("set {path} = true"),
                    );
                }
            }
            let stages = workload.pipeline.stages().iter();
            for stage in stages.filter(|stage| workload.stage(**stage).ack == AckMode::Auto) {
                let path = format!("stage.{stage}.ack");
                self.refuse(
                    &[&path, "promises.nothing_lost"],
                    "`promises.nothing_lost` cannot be given: with automatic acknowledgement what is in flight to a consumer is lost with it",
                    format!("set {path} = \"manual\""),
                );
            }
            let stages = workload.pipeline.stages().iter();
            for stage in stages.filter(|stage| workload.stage(**stage).publish == Publishing::DualWrite) {
                let path = format!("stage.{stage}.publish");
                self.refuse(
                    &[&path, "promises.nothing_lost"],
                    "`promises.nothing_lost` cannot be given: with a dual write an event is lost that was committed and not published",
                    format!("set {path} = \"outbox\" or \"republish\""),
                );
            }
        }
        if let (true, true, Some((position, what))) = (
            workload.promises.nothing_lost,
            workload.routes_may_be_away(),
            workload.faults.that_takes_node_down(),
        ) {
            self.refuse(
                &["promises.nothing_lost"],
                format!(
                    "`promises.nothing_lost` cannot be given: what is published to a classic queue while its node is away is lost (fault {position}, {what})"
                ),
                "set queue_type = \"quorum\" for each stage, or leave the promise out",
            );
        }
        if workload.promises.survives_broker_restart {
            self.check_survives_restart(workload);
        }
        for stage in workload.pipeline.stages().iter().copied() {
            if let (true, Some(why)) = (workload.promises.nothing_lost, workload.may_drop(stage)) {
                let keys = [
                    "overflow",
                    "max_length",
                    "max_length_bytes",
                    "message_ttl",
                    "delivery_limit",
                    "queue_type",
                ];
                let paths = keys.map(|key| format!("stage.{stage}.{key}"));
                let mut places: Vec<&str> = paths.iter().map(String::as_str).collect();
                places.extend(["publish.ttl", "topology.dead_letter", "promises.nothing_lost"]);
                self.refuse(
                    &places,
                    format!("`promises.nothing_lost` cannot be given: {why}"),
                    "set topology.dead_letter = true: what leaves the queue is found there",
                );
            }
            if workload.promises.nothing_twice && workload.stage(stage).store == StoreKind::None {
                let path = format!("stage.{stage}.store");
                self.refuse(
                    &[&path, "promises.nothing_twice"],
                    "`promises.nothing_twice` cannot be given: a stage that remembers nothing repeats its effect at each redelivery",
                    format!("set {path} = \"memory\""),
                );
            }
            let settings = workload.stage(stage);
            if workload.promises.nothing_twice
                && settings.store == StoreKind::Memory
                && settings.placement == Placement::Process
            {
                let path = format!("stage.{stage}.store");
                let placement = format!("stage.{stage}.placement");
                self.refuse(
                    &[&path, &placement, "promises.nothing_twice"],
                    "`promises.nothing_twice` cannot be given: the memory of a worker process dies with it",
                    format!("set {path} = \"sqlite\", or {placement} = \"in-process\""),
                );
            }
            if workload.promises.prefetch_respected && (settings.prefetch.is_none() || settings.ack == AckMode::Auto) {
                let path = format!("stage.{stage}.prefetch");
                self.refuse(
                    &[&path, &format!("stage.{stage}.ack"), "promises.prefetch_respected"],
                    format!("`promises.prefetch_respected` cannot be given: the {stage} stage has no limit"),
                    format!("set {path} to a number"),
                );
            }
        }
    }

    fn check_survives_restart(&mut self, workload: &Workload) {
        for (path, given, why) in [
            (
                "publish.confirms",
                workload.publish.confirms,
                "without confirms nobody knows what the broker has on its disk",
            ),
            (
                "publish.persistent",
                workload.publish.persistent,
                "transient messages are gone after a restart of the broker",
            ),
            (
                "topology.durable",
                workload.topology.durable,
                "transient queues are gone after a restart of the broker",
            ),
        ] {
            if !given {
                self.refuse(
                    &[path, "promises.survives_broker_restart"],
                    format!("`promises.survives_broker_restart` cannot be given: {why}"),
                    format!("set {path} = true"),
                );
            }
        }
    }
}
