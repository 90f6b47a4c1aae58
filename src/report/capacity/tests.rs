use super::*;
use crate::report::fixture;

fn capacity() -> (RunRecord, CapacityRecord) {
    let record = fixture::capacity();
    let capacity = record.capacity.clone().expect("a search");
    (record, capacity)
}

fn rows(write: impl FnOnce(&mut Vec<u8>) -> Result<(), csv::Error>) -> Vec<std::collections::HashMap<String, String>> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("written");
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    reader.deserialize().map(|row| row.expect("legal CSV")).collect()
}

#[test]
fn each_setting_is_a_row_with_its_interval_and_each_rate_one_below_it() {
    let (_, capacity) = capacity();
    let found = rows(|to| write(&capacity, to));
    assert_eq!(found.len(), 3);
    assert_eq!(
        (
            found[1]["stage.payment.consumers"].as_str(),
            found[1]["ending"].as_str()
        ),
        ("2", "found")
    );
    let of = |column: &str| found[1][column].parse::<f64>().expect(column);
    assert!(of("low_per_s") <= 200.0 && of("high_per_s") > 200.0 && of("width_share") <= 0.05);
    assert_eq!(
        (found[1]["breaks"].as_str(), found[1]["breaks_stage"].as_str()),
        ("consumers", "payment")
    );
    let rates = rows(|to| write_rates(&capacity, to));
    assert_eq!(
        rates.len(),
        capacity
            .settings
            .iter()
            .map(|setting| setting.rates.len())
            .sum::<usize>()
    );
    assert!(
        rates
            .iter()
            .any(|row| row["status"] == "failed" && row["because"].contains("backlog grew"))
    );
}

#[test]
fn a_load_between_two_capacities_demands_the_greater_resource() {
    let (_, capacity) = capacity();
    let demands = demands(&capacity);
    let [demand] = demands.as_slice() else {
        panic!("{demands:?}")
    };
    assert_eq!(demand.resource, "stage.payment.consumers");
    let at = |load: f64| demand.rows.iter().rfind(|row| row.load_per_s <= load).expect("a row");
    assert_eq!(at(150.0).certain.as_deref(), Some("2"));
    assert_eq!(at(300.0).certain.as_deref(), Some("4"));
    let last = demand.rows.last().expect("rows");
    assert_eq!(
        (last.certain.as_ref(), last.possible.as_ref()),
        (None, None),
        "beyond all that was tried"
    );
    for row in &demand.rows {
        let number = |value: &Option<String>| {
            value
                .as_ref()
                .and_then(|value| value.parse::<f64>().ok())
                .unwrap_or(1e9)
        };
        assert!(number(&row.possible) <= number(&row.certain), "{row:?}");
    }
    assert_eq!(rows(|to| write_demand(&capacity, to)).len(), demand.rows.len());
}

#[test]
fn the_outcome_follows_the_worst_setting() {
    let (mut record, mut capacity) = capacity();
    let (code, reason) = outcome(&record, &capacity);
    assert!(code == 0 && reason.contains("consumers 2: "), "{reason}");
    record.trials.truncate(8);
    crate::results::capacity::judge(&mut record);
    let (code, reason) = outcome(&record, record.capacity.as_ref().expect("a search"));
    assert!(code == 5 && reason.contains("--budget"), "{reason}");
    capacity.settings[0].ending = CapacityEnding::NotMet;
    assert_eq!(outcome(&record, &capacity).0, 4);
}

#[test]
fn terminal_and_markdown_say_the_same() {
    let (record, capacity) = capacity();
    let (lines, markdown) = (lines(&record, &capacity).join("\n"), markdown(&record, &capacity));
    for part in [
        "consumers 4",
        "the consumers of payment are what is short",
        "Demand for stage.payment.consumers",
    ] {
        assert!(
            lines.contains(part) && markdown.contains(part),
            "{part}\n{lines}\n{markdown}"
        );
    }
    for setting in &capacity.settings {
        assert!(lines.contains(&interval(setting)) && markdown.contains(&interval(setting)));
    }
}

#[test]
fn every_column_is_described_in_the_manual() {
    let manual = include_str!("../../../docs/CAPACITY.md");
    for column in COLUMNS.iter().chain(&RATE_COLUMNS).chain(&DEMAND_COLUMNS) {
        assert!(
            manual.contains(&format!("| `{column}` |")),
            "{column} is missing in docs/CAPACITY.md"
        );
    }
}

mod rule {
    use crate::capacity::Answer;
    use crate::report::fixture;
    use crate::results::capacity::{BreakKind, answer};
    use crate::results::record::TrialRecord;

    /// What the first trial of the search says once it was changed.
    fn says(change: impl FnOnce(&mut TrialRecord)) -> (Answer, String) {
        let record = fixture::capacity();
        let mut trial = record.trials[0].clone();
        change(&mut trial);
        let (answer, why) = answer(&record.cells[0].workload, &trial);
        (answer, why.unwrap_or_default())
    }

    #[test]
    fn a_rate_holds_only_when_nothing_speaks_against_it() {
        assert_eq!(says(|_| ()), (Answer::Held, String::new()));
        let fails = |part: &str, change: fn(&mut TrialRecord)| {
            let (answer, why) = says(change);
            assert!(
                answer == Answer::Failed && why.contains(part),
                "{part}: {answer:?} {why}"
            );
        };
        fails("the backlog grew by 9.0", |trial| {
            trial.backlog_slope_messages_per_s = Some(9.0);
            trial.backlog_slope_low_messages_per_s = Some(8.0);
            trial.backlog_slope_high_messages_per_s = Some(10.0);
        });
        fails("returned 2", |trial| trial.messages.returned = 2);
        fails("held the load back 3.0 %", |trial| {
            trial.validity.checks.blocked_share = Some(0.03)
        });
        fails("97.0 % of the offered load", |trial| {
            trial.rates.achieved_rate_per_s = trial.rates.offered_load_per_s.map(|offered| offered * 0.97);
        });
        fails("end_to_end_p99 was", |trial| {
            let summary = trial
                .latencies
                .iter_mut()
                .find(|summary| summary.series == "end_to_end");
            summary.and_then(|summary| summary.p99.as_mut()).expect("carried").ns = 600_000_000;
        });
    }

    #[test]
    fn what_a_trial_cannot_tell_is_neither_held_nor_failed() {
        let (answer, why) = says(|trial| trial.backlog_slope_high_messages_per_s = Some(50.0));
        assert!(answer == Answer::Undecided && why.contains("may have grown"), "{why}");
        let (answer, why) = says(|trial| trial.latencies.iter_mut().for_each(|summary| summary.p99 = None));
        assert!(answer == Answer::Undecided && why.contains("1,000 are needed"), "{why}");
        let (answer, why) = says(|trial| {
            trial.validity.valid = false;
            trial.validity.reasons = vec!["it measured itself".to_owned()];
            trial.messages.returned = 2;
        });
        assert_eq!((answer, why.as_str()), (Answer::Invalid, "it measured itself"));
    }

    #[test]
    fn what_was_short_is_named_with_its_figures() {
        let broken = |change: &dyn Fn(&mut TrialRecord)| {
            let mut record = fixture::capacity();
            record.trials.iter_mut().for_each(change);
            crate::results::capacity::judge(&mut record);
            let capacity = record.capacity.expect("a search");
            capacity.settings[0].breaks.clone().expect("it broke")
        };
        let idle = |trial: &mut TrialRecord| trial.stages.iter_mut().for_each(|stage| stage.utilisation = Some(0.3));
        let consumers = broken(&|_| ());
        assert_eq!(consumers.what, BreakKind::Consumers);
        for part in ["payment", "100.0 %", "/s)", "waited", "backlog grew"] {
            assert!(consumers.finding.contains(part), "{part}: {}", consumers.finding);
        }
        let broker = broken(&|trial| {
            idle(trial);
            trial.resources.broker_cpu_share = Some(0.93);
        });
        assert!(
            broker.what == BreakKind::Broker && broker.finding.contains("93.0 %"),
            "{broker:?}"
        );
        let machine = broken(&|trial| {
            idle(trial);
            (trial.resources.broker_cpu_share, trial.resources.driver_cpu_share) = (Some(0.6), Some(0.35));
        });
        assert_eq!(machine.what, BreakKind::Machine);
        let queue = broken(&|trial| {
            idle(trial);
            trial.resources.broker_cpu_share = Some(0.2);
        });
        assert_eq!(
            (queue.what, queue.stage),
            (BreakKind::Queue, Some(crate::events::Stage::Payment))
        );
    }
}
