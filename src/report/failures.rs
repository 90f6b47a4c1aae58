//! What handlers failed at, what came twice, and what was published beside the orders, in words for terminal and page.

use std::collections::BTreeMap;

use super::human;
use crate::results::record::{BesideRecord, RetryRecord, StageRecord, TrialRecord};
use crate::workload::model::RetryPolicy;

/// Dead letters by reason, the most first: `12 retry_limit, 3 permanent_error`; empty without any.
pub fn reasons(trial: &TrialRecord) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, reason, count) in &trial.ledger.dead_letters {
        *sums.entry(reason.as_deref().unwrap_or("without a reason")).or_default() += count;
    }
    let mut sums: Vec<(&str, u64)> = sums.into_iter().collect();
    sums.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let parts: Vec<String> = sums
        .into_iter()
        .map(|(reason, count)| format!("{} {reason}", human::count(count)))
        .collect();
    parts.join(", ")
}

/// Stages whose handlers may fail.
pub fn failing(trial: &TrialRecord) -> impl Iterator<Item = (&StageRecord, &RetryRecord)> {
    trial
        .stages
        .iter()
        .filter_map(|stage| stage.retry.as_ref().map(|retry| (stage, retry)))
}

/// A stage's failures in a sentence.
pub fn sentence(retry: &RetryRecord) -> String {
    let policy = match retry.policy {
        RetryPolicy::None => "never tried again".to_owned(),
        policy => format!("{} tried again by {}", human::count(retry.retries), policy.name()),
    };
    format!(
        "{} transient and {} permanent errors; {policy}, {} given up",
        human::count(retry.transient_errors),
        human::count(retry.permanent_errors),
        human::count(retry.given_up)
    )
}

/// Deliveries of what was processed already, and those of them that had an effect again.
pub fn duplicates(trial: &TrialRecord) -> (u64, u64) {
    let again: u64 = trial.stages.iter().map(|stage| stage.repeated).sum();
    let suppressed: u64 = trial.stages.iter().map(|stage| stage.suppressed).sum();
    (suppressed + again, again)
}

/// One kind of message beside the orders: `12 malformed (36 dead letters)`.
pub fn beside(one: &BesideRecord) -> String {
    let mut text = match one.kind.as_str() {
        "duplicate" => human::plural(one.published, "duplicate"),
        kind => format!("{} {}", human::count(one.published), kind.replace('_', " ")),
    };
    if let Some(dead) = one.dead_letters {
        text.push_str(&format!(" ({})", human::plural(dead, "dead letter")));
    } else if one.returned > 0 {
        text.push_str(&format!(" ({} came back)", human::count(one.returned)));
    }
    text
}
