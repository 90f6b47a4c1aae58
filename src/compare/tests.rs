//! Verdicts of whole comparisons.

use super::fixture::{forced, record, regression};
use super::*;
use crate::report::fixture as run;

fn compared(base: &RunRecord, new: &RunRecord) -> Comparison {
    runs(base, new, &Thresholds::default(), Strictness::Refuse).expect("comparable")
}

fn judgement(comparison: &Comparison, measure: &str) -> Judgement {
    let measured = comparison.cases[0]
        .measures
        .iter()
        .find(|measured| measured.measure == measure);
    measured.expect("measured").judgement
}

#[test]
fn a_slower_run_is_a_regression_in_what_became_slower() {
    let found = regression();
    assert_eq!(found.judgement, Judgement::Worse);
    for (measure, expected) in [
        ("goodput", Judgement::Worse),
        ("end_to_end_p50", Judgement::Worse),
        ("end_to_end_p99", Judgement::Worse),
        ("drain_time", Judgement::Same),
        ("driver_cpu", Judgement::Same),
        ("redelivered", Judgement::Same),
    ] {
        assert_eq!(judgement(&found, measure), expected, "{measure}: {:#?}", found.cases);
    }
    assert_eq!(found.cases[0].measures[0].pairs, Some(10));
    assert!(
        found
            .sentence()
            .starts_with("REGRESSION: worse in goodput, end_to_end_p50, end_to_end_p99")
    );
}

#[test]
fn the_same_run_twice_is_the_same_and_the_other_way_round_is_better() {
    let found = compared(&record("a", 10, 1.0, 1.0), &record("b", 10, 1.0, 1.0));
    assert_eq!(
        (found.judgement, found.sentence().as_str()),
        (Judgement::Same, "SAME: no change that matters")
    );
    let found = compared(&record("a", 10, 0.8, 1.5), &record("b", 10, 1.0, 1.0));
    assert!(found.judgement == Judgement::Better && found.sentence().contains("nothing is worse"));
}

#[test]
fn lone_trials_cannot_tell() {
    let found = compared(&record("a", 1, 1.0, 1.0), &record("b", 1, 0.1, 9.0));
    assert_eq!(found.judgement, Judgement::CannotTell);
}

#[test]
fn a_promise_broken_anew_is_a_regression_however_fast_it_is() {
    let (base, mut new) = (record("a", 10, 1.0, 1.0), record("b", 10, 1.3, 0.5));
    new.trials[4].promises[0].verdict = Verdict::Fail;
    let found = compared(&base, &new);
    assert_eq!(found.judgement, Judgement::Worse);
    let change = &found.cases[0].promises[0];
    assert_eq!(
        (change.base, change.new, change.judgement),
        (Verdict::Pass, Verdict::Fail, Judgement::Worse)
    );
    // Broken before and after is no change; mended is better.
    let both = compared(&new, &new);
    assert!(both.cases[0].promises.is_empty());
    assert_eq!(compared(&new, &base).cases[0].promises[0].judgement, Judgement::Better);
}

#[test]
fn a_drain_that_no_longer_ends_is_a_regression() {
    let (base, mut new) = (record("a", 10, 1.0, 1.0), record("b", 10, 1.0, 1.0));
    (new.trials[0].drain.drained, new.trials[0].drain.time_s) = (false, None);
    let found = compared(&base, &new);
    assert!(
        found.judgement == Judgement::Worse && found.sentence().contains("worse in drained"),
        "{}",
        found.sentence()
    );
    assert_eq!(judgement(&found, "drain_time"), Judgement::CannotTell);
}

#[test]
fn runs_that_differ_are_refused_unless_forced_and_then_it_is_stated() {
    let (base, mut new) = (record("a", 3, 1.0, 1.0), record("b", 3, 1.0, 1.0));
    new.broker = run::embedded().broker;
    let error = runs(&base, &new, &Thresholds::default(), Strictness::Refuse)
        .expect_err("another broker")
        .to_string();
    assert!(
        error.contains("broker kind: managed → embedded") && error.contains("--force"),
        "{error}"
    );
    let found = runs(&base, &new, &Thresholds::default(), Strictness::Force).expect("forced");
    assert!(found.forced.len() >= 2 && found.notes[0].contains("say nothing about RabbitMQ"));
    assert_eq!(forced().forced.len(), 1);
}

#[test]
fn a_few_invalid_trials_are_left_out_with_their_partners_and_many_decide_nothing() {
    let (base, mut new) = (record("a", 10, 1.0, 1.0), record("b", 10, 0.7, 1.0));
    new.trials[0].validity.valid = false;
    let found = compared(&base, &new);
    assert!(found.cases[0].measures[0].pairs == Some(9) && found.judgement == Judgement::Worse);
    new.trials[1..6]
        .iter_mut()
        .for_each(|trial| trial.validity.valid = false);
    let found = compared(&base, &new);
    assert_eq!(found.judgement, Judgement::CannotTell);
    assert_eq!(
        found.cases[0].measures[0].why.as_deref(),
        Some("6 of 20 trials are invalid: their driver did not keep up")
    );
}

#[test]
fn other_seeds_are_compared_without_pairs() {
    let (base, mut new) = (record("a", 10, 1.0, 1.0), record("b", 10, 0.7, 1.0));
    new.trials.iter_mut().for_each(|trial| trial.seed += 1_000);
    let found = compared(&base, &new);
    assert!(found.cases[0].measures[0].pairs.is_none() && found.judgement == Judgement::Worse);
}

#[test]
fn cells_are_compared_each_and_together() {
    let base = run::matrix(&run::PREFETCH_BY_CONSUMERS[..1], 8);
    let mut new = base.clone();
    for trial in new.trials.iter_mut().filter(|trial| trial.cell == 2) {
        trial.rates.goodput_per_s = trial.rates.goodput_per_s.map(|rate| rate * 0.7);
    }
    let found = compared(&base, &new);
    let names: Vec<&str> = found.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "all cells",
            "prefetch 1",
            "prefetch 100",
            "prefetch 10",
            "prefetch unlimited",
            "prefetch 1000"
        ]
    );
    assert_eq!(found.cases[0].measures[0].pairs, Some(40));
    let worse: Vec<&str> = found
        .cases
        .iter()
        .filter(|case| case.judgement == Judgement::Worse)
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(worse, ["prefetch 10"], "{}", found.sentence());
}

#[test]
fn one_cell_is_compared_with_another_by_label_or_number() {
    let record = run::matrix(&run::PREFETCH_BY_CONSUMERS[..1], 8);
    for (base, new) in [("prefetch 10", "prefetch 1"), ("3", "1")] {
        let found = cells(&record, base, new, &Thresholds::default()).expect("cells");
        assert!(found.judgement == Judgement::Worse && found.cases[0].name == "prefetch 1 vs prefetch 10");
    }
    let error = cells(&record, "prefetch 2", "1", &Thresholds::default())
        .expect_err("none")
        .to_string();
    assert!(
        error.contains("no cell `prefetch 2`") && error.contains("3: prefetch 10"),
        "{error}"
    );
}

#[test]
fn each_value_is_compared_with_the_first() {
    let record = run::matrix(&run::PREFETCH_BY_CONSUMERS, 12);
    let found = by(&record, "prefetch", &Thresholds::default()).expect("a dimension");
    assert_eq!(found.cases.len(), 8);
    assert_eq!(found.cases[0].name, "prefetch 10 vs 1 (consumers 1)");
    assert_eq!(judgement(&found, "goodput"), Judgement::Better);
    let error = by(&record, "rate", &Thresholds::default())
        .expect_err("none")
        .to_string();
    assert!(
        error.contains("it varies stage.payment.prefetch, stage.payment.consumers"),
        "{error}"
    );
    let error = by(&run::pass(), "prefetch", &Thresholds::default())
        .expect_err("none")
        .to_string();
    assert!(error.contains("it varies nothing"), "{error}");
}

#[test]
fn a_run_that_was_cut_short_is_noted() {
    let (base, mut new) = (record("a", 3, 1.0, 1.0), record("b", 3, 1.0, 1.0));
    assert!(
        compared(&base, &new)
            .notes
            .iter()
            .all(|note| !note.contains("cut short"))
    );
    new.progress.trials_planned = 10;
    assert!(
        compared(&base, &new)
            .notes
            .iter()
            .any(|note| note.starts_with("b was cut short"))
    );
}

#[test]
fn a_run_without_trials_is_refused() {
    let (base, mut new) = (record("a", 3, 1.0, 1.0), record("b", 3, 1.0, 1.0));
    new.trials.clear();
    let error = runs(&base, &new, &Thresholds::default(), Strictness::Refuse)
        .expect_err("nothing")
        .to_string();
    assert!(error.contains("b has no trials"), "{error}");
}
