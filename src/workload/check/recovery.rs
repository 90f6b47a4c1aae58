//! How lost connections come back.

use super::Builder;
use crate::units::Span;
use crate::workload::model::Recovery;

impl Builder<'_> {
    pub(super) fn recovery(&mut self) -> Recovery {
        let [initial, max, give_up] =
            ["backoff_initial", "backoff_max", "give_up_after"].map(|key| format!("recovery.{key}"));
        let standard = Recovery::default();
        let heartbeat = self.heartbeat();
        let recovery = Recovery {
            heartbeat,
            backoff_initial: self.duration(&initial).unwrap_or(standard.backoff_initial),
            backoff_max: self.duration(&max).unwrap_or(standard.backoff_max),
            give_up_after: self.duration(&give_up).unwrap_or(standard.give_up_after),
        };
        if recovery.backoff_initial > recovery.backoff_max {
            self.refuse(
                &[&initial, &max],
                format!(
                    "the first pause ({}) is above the longest ({})",
                    recovery.backoff_initial, recovery.backoff_max
                ),
                format!("raise {max}, or lower {initial}"),
            );
        }
        if recovery.give_up_after == Span::ZERO {
            for path in [&initial, &max] {
                self.refuse_written(
                    path,
                    format!("`{path}` has no effect where the first loss ends the trial"),
                    format!("leave it out, or raise {give_up}"),
                );
            }
        }
        recovery
    }

    /// The protocol counts heartbeats in whole seconds.
    fn heartbeat(&mut self) -> Option<Span> {
        let path = "recovery.heartbeat";
        let heartbeat = self.duration(path)?;
        if heartbeat.0.subsec_nanos() != 0 {
            self.refuse(
                &[path],
                format!("a heartbeat of {heartbeat} is no whole number of seconds"),
                "write whole seconds, such as \"2s\"",
            );
        }
        Some(heartbeat)
    }
}
