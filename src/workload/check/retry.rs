//! Handlers that fail, and what follows.

use super::Builder;
use crate::events::{PipelineKind, Stage};
use crate::workload::model::{
    AckMode, Arrival, HandlerErrors, Publish, QueueType, Retry, RetryPolicy, StageSettings, Topology, Workload,
};

/// The keys that only a pause has.
const OF_BACKOFF: [&str; 4] = ["retry.backoff", "retry.multiplier", "retry.backoff_max", "retry.jitter"];

impl Builder<'_> {
    /// How often a stage's handler fails.
    pub(super) fn errors(&mut self, stage: Stage, ack: AckMode) -> HandlerErrors {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let errors = HandlerErrors {
            transient: self.share(&path("errors")).unwrap_or_default(),
            permanent: self.share(&path("permanent_errors")).unwrap_or_default(),
            at: self.duration(&path("errors_at")),
            lasts: self.duration(&path("errors_last")),
        };
        if !errors.any() {
            for key in ["errors_at", "errors_last"] {
                self.refuse_written(
                    &path(key),
                    format!("`{}` has no effect where the handler never fails", path(key)),
                    format!("set {} or {}", path("errors"), path("permanent_errors")),
                );
            }
        } else if ack == AckMode::Auto {
            self.refuse(
                &[&path("errors"), &path("permanent_errors"), &path("ack")],
                "with automatic acknowledgement the broker has forgotten a message before its handler can fail at it",
                format!("set {} = \"manual\"", path("ack")),
            );
        }
        errors
    }

    /// What follows a failure.
    pub(super) fn retry(
        &mut self,
        pipeline: PipelineKind,
        publish: &Publish,
        topology: &Topology,
        stages: &[StageSettings],
    ) -> Retry {
        let defaults = Retry::default();
        let word = self.choice("retry.policy").unwrap_or_default();
        let policy = RetryPolicy::NAMES.into_iter().find(|(name, _)| *name == word);
        let policy = policy.map_or(defaults.policy, |(_, policy)| policy);
        let retry = Retry {
            policy,
            limit: match policy {
                RetryPolicy::None => 0,
                _ => self.count_u32("retry.limit"),
            },
            backoff: self.duration("retry.backoff").unwrap_or(defaults.backoff),
            multiplier: self.count_u32("retry.multiplier"),
            backoff_max: self.duration("retry.backoff_max").unwrap_or(defaults.backoff_max),
            jitter: self.share("retry.jitter").unwrap_or(defaults.jitter),
        };
        let failing =
            || (pipeline.stages().iter().zip(stages)).filter(|(_, settings)| settings.errors.transient.0 > 0.0);
        self.check_retry_keys(&retry, failing().next().is_some());
        if policy == RetryPolicy::Backoff && failing().next().is_some() && publish.ttl.is_some() {
            self.refuse(
                &["publish.ttl", "retry.policy"],
                "a message with a time to live of its own would expire from its retry queue early, and have none after that",
                "use stage.*.message_ttl, or another retry.policy",
            );
        }
        for (stage, settings) in failing() {
            let counted = settings.queue.kind == QueueType::Quorum && policy == RetryPolicy::Requeue;
            if counted && settings.queue.delivery_limit.is_some() {
                let path = format!("stage.{stage}.delivery_limit");
                self.refuse_written(
                    "retry.limit",
                    format!("`retry.limit` has no effect beside {path}: on a quorum queue the broker counts what is requeued"),
                    "leave one of them out",
                );
            }
        }
        self.check_dead_letter(topology, pipeline, stages);
        retry
    }

    /// Keys of `[retry]` that nothing looks at.
    fn check_retry_keys(&mut self, retry: &Retry, used: bool) {
        let all = ["retry.policy", "retry.limit"].into_iter().chain(OF_BACKOFF);
        if !used {
            for path in all {
                self.refuse_written(
                    path,
                    format!("`{path}` has no effect where no handler fails for a cause that passes"),
                    "set stage.<stage>.errors, for example stage.payment.errors = \"5%\"",
                );
            }
            return;
        }
        if retry.policy == RetryPolicy::None {
            self.refuse_written(
                "retry.limit",
                "`retry.limit` has no effect with retry.policy = \"none\"",
                "leave it out, or choose another retry.policy",
            );
        }
        if retry.policy != RetryPolicy::Backoff {
            for path in OF_BACKOFF {
                self.refuse_written(
                    path,
                    format!("`{path}` has no effect with retry.policy = \"{}\"", retry.policy.name()),
                    "leave it out, or set retry.policy = \"backoff\"",
                );
            }
        } else if retry.backoff > retry.backoff_max {
            self.refuse(
                &["retry.backoff", "retry.backoff_max"],
                format!(
                    "the first pause ({}) is longer than the longest ({})",
                    retry.backoff, retry.backoff_max
                ),
                "raise retry.backoff_max, or lower retry.backoff",
            );
        }
    }

    /// A message that is given up must be found somewhere, if nothing shall be lost.
    fn check_dead_letter(&mut self, topology: &Topology, pipeline: PipelineKind, stages: &[StageSettings]) {
        if topology.dead_letter || self.flag("promises.nothing_lost") != Some(true) {
            return;
        }
        for (stage, settings) in pipeline.stages().iter().zip(stages) {
            if settings.errors.any() {
                self.refuse(
                    &[
                        &format!("stage.{stage}.errors"),
                        &format!("stage.{stage}.permanent_errors"),
                        "topology.dead_letter",
                    ],
                    "`promises.nothing_lost` cannot be given: what is given up is gone without a dead-letter queue",
                    "set topology.dead_letter = true",
                );
            }
        }
    }

    /// In a closed loop a user waits for the end of its order, and an order whose message is given up has none.
    pub(super) fn check_closed_loop_errors(&mut self, workload: &Workload) {
        if !matches!(workload.load.arrival, Arrival::Closed { .. }) {
            return;
        }
        for stage in workload.pipeline.stages().iter().filter(|stage| stage.is_in_chain()) {
            if workload.may_fail(*stage) {
                let path = |key: &str| format!("stage.{stage}.{key}");
                self.refuse(
                    &[&path("errors"), &path("permanent_errors")],
                    format!("in a closed loop a user would wait for ever for an order that the {stage} stage gave up"),
                    "use an open loop, such as load.arrival = \"constant\"",
                );
            }
        }
    }
}
