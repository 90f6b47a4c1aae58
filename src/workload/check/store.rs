//! Where a stage keeps its state, and how what follows from it reaches the broker.

use super::Builder;
use crate::events::Stage;
use crate::units::Span;
use crate::workload::model::{Publishing, StoreKind};

/// The settings of a stage that are about its store.
pub(super) struct StoreSettings {
    pub kind: StoreKind,
    pub publish: Publishing,
    pub commit_batch: u32,
    pub commit_flush: Span,
}

impl Builder<'_> {
    /// Reads them; `prefetch` is what each of the stage's consumers may hold.
    pub(super) fn store(&mut self, stage: Stage, prefetch: Option<u64>) -> StoreSettings {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let (store, publish) = (self.choice(&path("store")), self.choice(&path("publish")));
        let kinds = StoreKind::NAMES.into_iter();
        let ways = Publishing::NAMES.into_iter();
        let settings = StoreSettings {
            kind: kinds
                .filter(|(name, _)| Some(*name) == store)
                .map(|(_, kind)| kind)
                .next()
                .unwrap_or(StoreKind::Memory),
            publish: ways
                .filter(|(name, _)| Some(*name) == publish)
                .map(|(_, way)| way)
                .next()
                .unwrap_or(Publishing::Republish),
            commit_batch: self.count_u32(&path("commit_batch")),
            commit_flush: self.duration(&path("commit_flush")).unwrap_or_default(),
        };
        self.check_publishing(stage, &settings);
        self.check_commits(stage, &settings, prefetch);
        settings
    }

    fn check_publishing(&mut self, stage: Stage, settings: &StoreSettings) {
        let (publish, store) = (format!("stage.{stage}.publish"), format!("stage.{stage}.store"));
        if !stage.emits() {
            self.refuse_written(
                &publish,
                format!("`{publish}` has no effect: the {stage} stage publishes nothing"),
                "leave it out",
            );
        } else if settings.publish == Publishing::Outbox && !settings.kind.is_durable() {
            self.refuse(
                &[&publish, &store],
                format!("`{publish} = \"outbox\"` needs a store with transactions"),
                format!("set {store} = \"sqlite\" or \"postgres\""),
            );
        } else if settings.kind == StoreKind::None {
            self.refuse_written(
                &publish,
                format!("`{publish}` has no effect on a stage that remembers nothing: each delivery publishes"),
                format!("leave it out, or set {store}"),
            );
        }
    }

    fn check_commits(&mut self, stage: Stage, settings: &StoreSettings, prefetch: Option<u64>) {
        let path = |key: &str| format!("stage.{stage}.{key}");
        if !settings.kind.is_durable() {
            for key in ["commit_batch", "commit_flush"] {
                self.refuse_written(
                    &path(key),
                    format!(
                        "`{}` has no effect without a durable store: nothing is committed to a disk",
                        path(key)
                    ),
                    format!("leave it out, or set {} = \"sqlite\" or \"postgres\"", path("store")),
                );
            }
            return;
        }
        if settings.commit_batch == 1 {
            self.refuse_written(
                &path("commit_flush"),
                format!(
                    "`{}` has no effect with a transaction for each step",
                    path("commit_flush")
                ),
                format!("leave it out, or set {} above 1", path("commit_batch")),
            );
        }
        let consumers = u64::from(self.count_u32(&path("consumers")));
        let held = prefetch.map(|limit| limit.saturating_mul(consumers));
        if let Some(held) = held.filter(|held| u64::from(settings.commit_batch) > *held) {
            let batch = settings.commit_batch;
            self.refuse(
                &[&path("commit_batch"), &path("prefetch"), &path("consumers")],
                format!("a transaction of {batch} steps never fills with {held} deliveries held at most (prefetch times consumers)"),
                format!("set {} to at most {held}, or raise {}", path("commit_batch"), path("prefetch")),
            );
        }
    }
}
