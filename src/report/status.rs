//! How a run came out, in one word and one sentence, for everyone who shows it.

use super::human::{self, ABSENT};
use crate::ledger::{PromiseReport, Verdict};
use crate::results::record::{DatabaseRecord, RunRecord, TrialRecord};

/// Exit code of a run that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;
/// Exit code of a run that missed an objective.
const EXIT_MISSED: u8 = 4;
/// Exit code of a run that could not be carried out.
const EXIT_COULD_NOT_RUN: u8 = 1;

/// The run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All promises kept, and the figures count.
    Pass,
    /// A promise that the configuration gives was broken.
    Fail,
    /// An objective of the workload was missed.
    Missed,
    /// It cannot be told.
    Unknown,
    /// The driver was the bottleneck: the figures do not count.
    Invalid,
    /// Somebody stopped it.
    Interrupted,
    /// Trials are missing: it was killed, or broke off.
    Partial,
    /// It could not be carried out.
    CouldNotRun,
}

impl Status {
    /// What the record says. A broken promise counts whoever was too slow, so it comes first.
    pub fn of(record: &RunRecord) -> Status {
        match (record.outcome.exit_code, record.outcome.verdict) {
            (EXIT_INTERRUPTED, _) => Status::Interrupted,
            (EXIT_COULD_NOT_RUN, _) if record.is_partial() => Status::Partial,
            (EXIT_COULD_NOT_RUN, _) => Status::CouldNotRun,
            (_, Verdict::Fail) => Status::Fail,
            (EXIT_MISSED, _) => Status::Missed,
            _ if !all_valid(record) => Status::Invalid,
            (_, Verdict::Unknown) => Status::Unknown,
            (0, Verdict::Pass) => Status::Pass,
            (_, Verdict::Pass) => Status::Unknown,
        }
    }

    /// The word in capitals.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Pass => "PASS",
            Status::Fail => "FAIL",
            Status::Missed => "MISSED",
            Status::Unknown => "UNKNOWN",
            Status::Invalid => "INVALID",
            Status::Interrupted => "INTERRUPTED",
            Status::Partial => "PARTIAL",
            Status::CouldNotRun => "COULD NOT RUN",
        }
    }

    /// What the word means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Status::Pass => "every promise that the configuration gives was kept",
            Status::Fail => "a promise that the configuration gives was broken",
            Status::Missed => "an objective of the workload was missed",
            Status::Unknown => "it cannot be told whether all promises were kept",
            Status::Invalid => "the driver did not keep up, so the figures do not count",
            Status::Interrupted => "the run was stopped; what was measured until then is kept",
            Status::Partial => "trials are missing; `orderstorm run --resume` goes on",
            Status::CouldNotRun => "the run could not be carried out",
        }
    }
}

/// Whether the figures of all trials count. Those of a search that do not have decided nothing.
pub fn all_valid(record: &RunRecord) -> bool {
    record.capacity.is_some() || record.trials.iter().all(|trial| trial.validity.valid)
}

/// The database server of the stores, in words.
pub fn database(database: &DatabaseRecord) -> String {
    let unsafe_commits = if database.fsync {
        ""
    } else {
        ", fsync off: its commits do not wait for the disk"
    };
    format!(
        "{} {} ({}{unsafe_commits}), {}",
        database.product, database.version, database.kind, database.address
    )
}

/// Whether the broker is the built-in one, whose figures say nothing about RabbitMQ.
pub fn is_embedded(record: &RunRecord) -> bool {
    record.broker.kind == "embedded"
}

/// What is written on everything that shows figures of the built-in broker.
pub const EMBEDDED: &str = "embedded broker, not RabbitMQ";

/// Whether figures come from a build without optimisation.
pub fn is_debug_build(record: &RunRecord) -> bool {
    record.tool.build != "release"
}

/// The driver's own ceiling, in words.
pub fn ceiling(record: &RunRecord) -> String {
    let Some(ceiling) = &record.driver_ceiling else {
        return "not measured (run with --ceiling)".to_owned();
    };
    let rate =
        |value: Option<f64>, of: &str| value.map_or(ABSENT.to_owned(), |value| format!("{} {of}", human::rate(value)));
    let (orders, messages) = (
        rate(ceiling.orders_per_s, "orders"),
        rate(ceiling.messages_per_s, "messages"),
    );
    format!(
        "{orders}, {messages} (closed loop of {} on the embedded broker)",
        ceiling.users
    )
}

/// The trial that time charts show: the first of those with the worst verdict, an invalid one before a valid one.
pub fn shown_trial(record: &RunRecord) -> Option<&TrialRecord> {
    // `max_by_key` takes the last of equals, so the order is turned round.
    record
        .trials
        .iter()
        .rev()
        .max_by_key(|trial| (trial.verdict, !trial.validity.valid))
}

/// What would make the configuration keep a promise, or where to look.
pub fn remedy(promise: &PromiseReport) -> Option<String> {
    if let Some(reason) = &promise.not_given_because {
        return safer_setting(reason);
    }
    let advice = match (promise.verdict, promise.name.as_str()) {
        (Verdict::Pass, _) => return None,
        (Verdict::Unknown, "faults_struck") => {
            "let the load come to what the fault waits for, or let the fault wait for less"
        }
        (Verdict::Unknown, _) => {
            "let the drain end: raise drain.deadline, lower the load or add consumers, and see that orders are confirmed"
        }
        (Verdict::Fail, "nothing_lost") => "see where each trail ends: the stage that it misses last had the message",
        (Verdict::Fail, "nothing_twice" | "charged_once") => {
            "deduplicate on order and step, before the effect, in a store that outlives the consumer"
        }
        (Verdict::Fail, "stock_balances") => "check and reserve in one step; commit and release only what is reserved",
        (Verdict::Fail, "all_audited" | "all_notified" | "nothing_unfinished") => {
            "acknowledge only after the effect stands; the trails name the step that is missing"
        }
        (Verdict::Fail, "causes_first") => {
            "publish an event only for a state that was reached, and reach each state once"
        }
        (Verdict::Fail, "dead_letters_explained") => {
            "let the broker dead-letter; do not republish without the x-death header"
        }
        (Verdict::Fail, "losses_explained") => {
            "what a consumer had is no drop of its queue: see where each trail ends, as for a lost order"
        }
        (Verdict::Fail, "ttl_respected") => {
            "the broker delivers what has expired, or the driver took too long to receive it: look at its CPU and lag"
        }
        (Verdict::Fail, "prefetch_respected") => "set the prefetch on the channel before its consumer starts",
        (Verdict::Fail, "consumers_back") => {
            "see why they could not come back: the broker's log, the queue, recovery.*"
        }
        (Verdict::Fail, "nothing_left_behind") => "`orderstorm cleanup` removes what a run left on the broker",
        (Verdict::Fail, _) => "the finding and the trails say what happened",
    };
    Some(advice.to_owned())
}

/// The setting behind a promise that is not given, turned to its safe value. The reason starts with `key = value: `.
fn safer_setting(reason: &str) -> Option<String> {
    let (setting, _) = reason.split_once(": ")?;
    if setting.ends_with(" without topology.dead_letter") {
        return Some("topology.dead_letter = true".to_owned());
    }
    let (key, value) = setting.split_once(" = ")?;
    let safe = match value {
        "false" => "true",
        "\"auto\"" => "\"manual\"",
        "\"none\"" => "\"memory\"",
        _ => return None,
    };
    Some(format!("{key} = {safe}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_word_follows_exit_code_verdict_and_validity() {
        assert_eq!(Status::of(&fixture::pass()), Status::Pass);
        assert_eq!(Status::of(&fixture::failed()), Status::Fail);
        assert_eq!(Status::of(&fixture::no_data()), Status::Interrupted);
        let mut invalid = fixture::pass();
        invalid.outcome.exit_code = 5;
        invalid.trials[0].validity.valid = false;
        assert_eq!(Status::of(&invalid), Status::Invalid);
        invalid.trials[0].validity.valid = true;
        assert_eq!(Status::of(&invalid), Status::Unknown, "exit code 5 is never a pass");
    }

    #[test]
    fn the_trial_with_the_worst_verdict_is_shown_and_the_first_of_equals() {
        let mut record = fixture::three_trials();
        assert_eq!(shown_trial(&record).map(|trial| trial.trial), Some(1));
        record.trials[1].verdict = Verdict::Fail;
        assert_eq!(shown_trial(&record).map(|trial| trial.trial), Some(2));
    }

    #[test]
    fn a_promise_that_is_not_given_names_the_setting_that_would_give_it() {
        for (reason, remedy) in [
            (
                "publish.confirms = false: nobody knows",
                Some("publish.confirms = true"),
            ),
            (
                "stage.payment.ack = \"auto\": lost",
                Some("stage.payment.ack = \"manual\""),
            ),
            (
                "stage.audit.store = \"none\": repeats",
                Some("stage.audit.store = \"memory\""),
            ),
            ("because", None),
        ] {
            assert_eq!(safer_setting(reason).as_deref(), remedy);
        }
    }
}
