//! A stage's consumers.

use super::Builder;
use crate::events::Stage;
use crate::workload::model::{AckMode, Placement, ServiceTime, StageConnection, StageSettings};

impl Builder<'_> {
    pub(super) fn stage(&mut self, stage: Stage) -> StageSettings {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let ack = if self.choice(&path("ack")) == Some("auto") {
            AckMode::Auto
        } else {
            AckMode::Manual
        };
        let prefetch = self.limit(&path("prefetch")).flatten();
        let batch = self.count(&path("ack_batch")).unwrap_or(1);
        let concurrency = self.count(&path("concurrency")).unwrap_or(1);
        if ack == AckMode::Auto {
            for key in ["prefetch", "ack_batch", "ack_flush"] {
                self.refuse_written(
                    &path(key),
                    format!(
                        "`{}` has no effect with automatic acknowledgement: the broker sends without waiting",
                        path(key)
                    ),
                    format!("leave it out, or set {} = \"manual\"", path("ack")),
                );
            }
        } else if let Some(limit) = prefetch {
            if batch > limit {
                self.refuse(
                    &[&path("ack_batch"), &path("prefetch")],
                    format!("a batch of {batch} acknowledgements never fills with a prefetch of {limit}: the broker would stop sending first"),
                    format!("set {} to at most {limit}, or raise {}", path("ack_batch"), path("prefetch")),
                );
            }
            if concurrency > limit {
                self.refuse(
                    &[&path("concurrency"), &path("prefetch")],
                    format!("{concurrency} jobs at once are never reached with a prefetch of {limit}"),
                    format!("raise {}, or lower {}", path("prefetch"), path("concurrency")),
                );
            }
        }
        if batch == 1 {
            self.refuse_written(
                &path("ack_flush"),
                format!(
                    "`{}` has no effect with an acknowledgement for each delivery",
                    path("ack_flush")
                ),
                format!("leave it out, or set {} above 1", path("ack_batch")),
            );
        }
        self.check_slow(&path);
        let errors = self.errors(stage, ack);
        let store = self.store(stage, prefetch);
        StageSettings {
            consumers: self.count_u32(&path("consumers")),
            prefetch: prefetch.and_then(|limit| u16::try_from(limit).ok()),
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
            service_time: self.service_time(&path("service_time")).unwrap_or(ServiceTime::None),
            ack,
            ack_batch: u16::try_from(batch).unwrap_or(u16::MAX),
            ack_flush: self.duration(&path("ack_flush")).unwrap_or_default(),
            store: store.kind,
            publish: store.publish,
            commit_batch: store.commit_batch,
            commit_flush: store.commit_flush,
            queue: self.queue(stage),
            slow_share: self.share(&path("slow_share")).unwrap_or_default(),
            slow_factor: self.count_u32(&path("slow_factor")),
            placement: self.placement(stage),
            processes: self.count_u32(&path("processes")),
            connection: match self.choice(&path("connection")) {
                Some("own") => StageConnection::Own,
                _ => StageConnection::Shared,
            },
            errors,
            predicted_utilisation: self.share(&path("predicted_utilisation")),
        }
    }

    /// Where the consumers run, and whether they can run there.
    fn placement(&mut self, stage: Stage) -> Placement {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let (placement, processes) = (path("placement"), path("processes"));
        if self.choice(&placement) != Some("process") {
            self.refuse_written(
                &processes,
                format!("`{processes}` has no effect on consumers that run in the driver"),
                format!("leave it out, or set {placement} = \"process\""),
            );
            return Placement::InProcess;
        }
        let (count, consumers) = (self.count_u32(&processes), self.count_u32(&path("consumers")));
        if count > consumers {
            self.refuse(
                &[&processes, &path("consumers")],
                format!("{consumers} consumers cannot be shared out over {count} processes"),
                format!("lower it to at most {consumers}, or raise {}", path("consumers")),
            );
        }
        if count > 1 && stage == Stage::Inventory {
            self.refuse(
                &[&processes],
                "the inventory service keeps its stock book in one process: two of them would sell the same stock",
                format!("set it to 1; {} says how many work in it", path("consumers")),
            );
        }
        if count > 1 && self.choice(&path("publish")) == Some("outbox") {
            self.refuse(
                &[&processes, &path("publish")],
                "an outbox has one relay, which must see the commits of all consumers: they need one process",
                format!("set {processes} = 1; {} says how many work in it", path("consumers")),
            );
        }
        Placement::Process
    }

    /// Slow consumers that are none, or that have nothing to be slow at.
    fn check_slow(&mut self, path: &dyn Fn(&str) -> String) {
        let share = self.share(&path("slow_share")).unwrap_or_default();
        if share.0 <= 0.0 {
            self.refuse_written(
                &path("slow_factor"),
                format!("`{}` has no effect without slow consumers", path("slow_factor")),
                format!("leave it out, or set {}", path("slow_share")),
            );
            return;
        }
        let consumers = self.count_u32(&path("consumers"));
        if (share.0 * f64::from(consumers)).round() < 1.0 {
            self.refuse(
                &[&path("slow_share"), &path("consumers")],
                format!("{share} of {consumers} consumers are not one"),
                format!("raise {} or {}", path("slow_share"), path("consumers")),
            );
        }
        if self
            .service_time(&path("service_time"))
            .is_none_or(|time| time.mean_secs() <= 0.0)
        {
            self.refuse(
                &[&path("slow_share")],
                format!("`{}` has no effect on work that takes no time", path("slow_share")),
                format!("set {}, such as \"5ms\"", path("service_time")),
            );
        }
    }
}
