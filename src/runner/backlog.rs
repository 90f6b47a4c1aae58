//! A stage that is held back, and how its queue clears when its consumers return. docs/METHOD.md gives the definitions in
//! words.

use crate::clock::Nanos;
use crate::events::Stage;
use crate::results::record::{BacklogCause, BacklogRecord};
use crate::workload::Workload;

/// A close look at the queue of the stage that is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When the look began: whatever happened later may be missing from it.
    pub began: Nanos,
    /// When the answer came.
    pub answered: Nanos,
    /// Ready messages.
    pub ready: u64,
    /// Deliveries that the stage's consumers hold.
    pub unacked: u64,
    /// Deliveries so far.
    pub delivered: u64,
}

impl Look {
    fn mark(self, at: Nanos) -> Mark {
        Mark {
            at,
            backlog: self.ready + self.unacked,
            finished: self.delivered.saturating_sub(self.unacked),
        }
    }
}

/// State of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at: Nanos,
    /// Ready and unacked messages.
    backlog: u64,
    /// Deliveries that are settled.
    finished: u64,
}

/// Follows the stage that is held back through its trial.
#[derive(Debug, Clone)]
pub struct HeldStage {
    /// Which.
    pub stage: Stage,
    cause: BacklogCause,
    /// Messages that its consumers can work on at once.
    at_work: u64,
    service_rate: Option<f64>,
    /// Greatest backlog before the consumers stopped.
    before: u64,
    held_at: Option<Nanos>,
    /// The last look before the consumers were back.
    while_held: Option<Look>,
    returned: Option<Mark>,
    arrivals_stopped: bool,
    cleared: Option<Mark>,
}

/// What the switch of the stage says at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When the consumers were told to stop; absent if nobody has yet.
    pub held_at: Option<Nanos>,
    /// When all of them were back.
    pub returned_at: Option<Nanos>,
    /// The load is over.
    pub load_ended: bool,
}

impl HeldStage {
    /// The stage that `workload` holds back, if it does.
    pub fn of(workload: &Workload) -> Option<Self> {
        let by_count = workload
            .backlog
            .as_ref()
            .map(|backlog| (backlog.stage, BacklogCause::Count));
        let outage = workload.faults.stage_outage.as_ref();
        let (stage, cause) = by_count.or(outage.map(|outage| (outage.stage, BacklogCause::Outage)))?;
        let settings = workload.stage(stage);
        Some(HeldStage {
            stage,
            cause,
            at_work: u64::from(settings.consumers) * u64::from(settings.concurrency),
            service_rate: settings.service_rate(),
            before: 0,
            held_at: None,
            while_held: None,
            returned: None,
            arrivals_stopped: false,
            cleared: None,
        })
    }

    /// Takes note of a look.
    pub fn look(&mut self, look: Look, held: Held) {
        self.held_at = held.held_at;
        let (Some(held_at), returned_at) = (held.held_at, held.returned_at) else {
            self.before = self.before.max(look.ready + look.unacked);
            return;
        };
        let Some(returned_at) = returned_at.filter(|at| *at >= held_at && look.began >= *at) else {
            // A look that the return came into has neither the state before nor that after.
            if returned_at.is_none() {
                self.while_held = Some(look);
            }
            return;
        };
        if self.returned.is_none() {
            // What came since is among the arrivals.
            self.returned = Some(self.while_held.unwrap_or(look).mark(returned_at));
            self.arrivals_stopped = held.load_ended;
        }
        if !self.arrivals_stopped && self.cleared.is_none() && look.ready + look.unacked <= self.level() {
            self.cleared = Some(look.mark(look.answered));
        }
    }

    /// The pipeline ran empty at `at`, with `finished` deliveries settled.
    pub fn drained(&mut self, at: Nanos, finished: u64) {
        let empty = Mark {
            at,
            backlog: 0,
            finished,
        };
        if self.returned.is_some_and(|returned| returned.at <= at) {
            self.cleared.get_or_insert(empty);
        }
    }

    /// With arrivals going on a queue is never empty for long: it is cleared when it is back where it was before, or when all
    /// that is left is at work.
    fn level(&self) -> u64 {
        if self.arrivals_stopped {
            0
        } else {
            self.before.max(self.at_work)
        }
    }

    /// The record; absent if the consumers were never stopped.
    pub fn record(&self, began: Nanos) -> Option<BacklogRecord> {
        let seconds = |at: Nanos| (at as f64 - began as f64) / 1e9;
        let held_s = seconds(self.held_at?);
        let returned = self.returned;
        let level = returned.map(|_| self.level());
        let both = returned.zip(self.cleared);
        let drain_time_s = both.map(|(from, to)| to.at.saturating_sub(from.at) as f64 / 1e9);
        let per_second = |count: f64| drain_time_s.filter(|time_s| *time_s > 0.0).map(|time_s| count / time_s);
        let finished = both.map(|(from, to)| to.finished as f64 - from.finished as f64);
        let arrived = both
            .zip(finished)
            .map(|((from, to), finished)| (finished + to.backlog as f64 - from.backlog as f64).max(0.0));
        let arrival_rate_per_s = arrived.and_then(per_second);
        let excess = returned
            .zip(level)
            .map(|(returned, level)| returned.backlog.saturating_sub(level) as f64);
        let spare = self
            .service_rate
            .zip(arrival_rate_per_s)
            .map(|(service, arrival)| service - arrival);
        let ideal_time_s = excess
            .zip(spare)
            .filter(|(excess, spare)| *excess > 0.0 && *spare > 0.0)
            .map(|(excess, spare)| excess / spare);
        Some(BacklogRecord {
            stage: self.stage,
            cause: self.cause,
            held_s,
            returned_s: returned.map(|returned| seconds(returned.at)),
            arrivals_stopped: returned.map(|_| self.arrivals_stopped),
            messages: returned.map(|returned| returned.backlog),
            level_messages: level,
            drain_time_s,
            drain_rate_per_s: finished.and_then(per_second),
            arrival_rate_per_s,
            service_rate_per_s: self.service_rate,
            ideal_time_s,
            ratio_to_ideal: drain_time_s.zip(ideal_time_s).map(|(measured, ideal)| measured / ideal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::check::check;

    const SECOND: Nanos = 1_000_000_000;

    fn held(text: &str) -> HeldStage {
        let text =
            format!("pipeline = \"work-queue\"\n[stage.worker]\nservice_time = \"10ms\"\nconsumers = 10\n{text}");
        let checked = check("w.toml", "w", text, &[]).unwrap_or_else(|error| panic!("{error}"));
        HeldStage::of(&checked.into_first().workload).expect("a stage is held back")
    }

    fn look(at: Nanos, ready: u64, finished: u64) -> Look {
        Look {
            began: at,
            answered: at,
            ready,
            unacked: 0,
            delivered: finished,
        }
    }

    fn at(returned_at: Option<Nanos>, load_ended: bool) -> Held {
        Held {
            held_at: Some(SECOND),
            returned_at,
            load_ended,
        }
    }

    const BACKLOG: &str = "[backlog]\nstage = \"worker\"\nmessages = 2000\n";

    #[test]
    fn with_arrivals_stopped_the_drain_ends_when_everything_is_empty() {
        let mut held = held(BACKLOG);
        held.look(look(2 * SECOND, 2_000, 0), at(None, false));
        held.look(look(4 * SECOND, 2_000, 0), at(Some(3 * SECOND), true));
        held.look(look(5 * SECOND, 5, 1_995), at(Some(3 * SECOND), true));
        assert_eq!(held.record(0).and_then(|record| record.drain_time_s), None);
        held.drained(5 * SECOND + SECOND / 10, 2_000);
        let record = held.record(SECOND).expect("held back");
        assert_eq!((record.held_s, record.returned_s), (0.0, Some(2.0)));
        assert_eq!((record.messages, record.level_messages), (Some(2_000), Some(0)));
        assert_eq!((record.arrival_rate_per_s, record.ideal_time_s), (Some(0.0), Some(2.0)));
        assert!(
            record.ratio_to_ideal.is_some_and(|ratio| (ratio - 1.05).abs() < 1e-9),
            "{record:?}"
        );
    }

    #[test]
    fn with_arrivals_going_on_the_drain_ends_at_the_level_of_before() {
        let mut held = held("[fault.stage_outage]\nstage = \"worker\"\nat = \"1s\"\nlasts = \"2s\"\n");
        let not_yet = Held {
            held_at: None,
            returned_at: Some(1),
            load_ended: false,
        };
        held.look(look(SECOND / 2, 30, 400), not_yet);
        held.look(look(3 * SECOND, 1_030, 500), at(Some(3 * SECOND), false));
        held.look(look(4 * SECOND, 530, 1_500), at(Some(3 * SECOND), false));
        assert_eq!(held.record(0).and_then(|record| record.drain_time_s), None);
        held.look(look(5 * SECOND, 30, 2_500), at(Some(3 * SECOND), false));
        held.look(look(6 * SECOND, 0, 3_000), at(Some(3 * SECOND), false));
        held.drained(9 * SECOND, 3_500);
        let record = held.record(0).expect("held back");
        assert_eq!((record.messages, record.level_messages), (Some(1_030), Some(30)));
        assert_eq!(
            (record.drain_time_s, record.drain_rate_per_s),
            (Some(2.0), Some(1_000.0))
        );
        assert_eq!(
            (record.arrival_rate_per_s, record.ratio_to_ideal),
            (Some(500.0), Some(1.0))
        );
    }

    #[test]
    fn a_queue_that_would_never_clear_has_no_ideal_time() {
        let mut held = held(BACKLOG);
        held.look(look(3 * SECOND, 2_000, 0), at(Some(3 * SECOND), false));
        held.look(look(5 * SECOND, 10, 9_000), at(Some(3 * SECOND), false));
        let record = held.record(0).expect("held back");
        assert!(record.drain_time_s.is_some() && record.ideal_time_s.is_none() && record.ratio_to_ideal.is_none());
    }

    #[test]
    fn what_never_returned_has_no_drain() {
        let mut held = held(BACKLOG);
        held.look(look(2 * SECOND, 100, 0), at(None, false));
        held.drained(3 * SECOND, 0);
        let record = held.record(0).expect("held back");
        assert_eq!(
            (record.returned_s, record.messages, record.drain_time_s),
            (None, None, None)
        );
    }
}
