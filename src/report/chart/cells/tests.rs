//! Charts of small, large, wordy and empty matrices.

use super::*;
use crate::report::fixture::{self, PREFETCH_BY_CONSUMERS, Varied};
use crate::report::status;
use crate::results::record::RunRecord;

fn svgs(record: &RunRecord) -> Vec<(String, String)> {
    let sweep = Sweep::of(record);
    let charts = charts(&sweep);
    charts
        .iter()
        .map(|chart| (chart.name(), chart.picture().expect("drawn").svg))
        .collect()
}

#[test]
fn each_figure_is_drawn_along_the_setting_with_its_values_in_order() {
    let all = svgs(&fixture::matrix(&PREFETCH_BY_CONSUMERS, 3));
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "cells-goodput",
            "cells-end-to-end-p50",
            "cells-end-to-end-p99",
            "cells-drain-time",
            "cells-largest-backlog",
            "cells-held-unacked",
            "cells-gini-of-deliveries",
            "cells-oldest-in-a-queue",
            "cells-redelivered",
            "cells-driver-cpu-per-order",
            "cells-driver-memory",
            "cells-broker-cpu-per-order",
            "cells-broker-memory",
            "cells-goodput-map",
            "cells-end-to-end-p99-map",
            "cells-drain-time-map",
        ]
    );
    let goodput = &all[0].1;
    for part in [
        "Goodput by prefetch — prefetch-sweep",
        "consumers 4",
        "stage.payment.prefetch",
        "unlimited",
        "co-located",
    ] {
        assert!(goodput.contains(part), "{part}");
    }
    // 10 medians and 30 repeats, with an entry of the legend for each of the two lines.
    assert_eq!(goodput.matches("<circle").count(), 42);
    let map = all.iter().find(|(name, _)| name == "cells-goodput-map").expect("a map");
    assert!(map.1.contains("stage.payment.consumers"));
}

#[test]
fn what_befell_orders_is_a_share_of_orders_and_a_cleared_backlog_has_its_rate() {
    let mut record = fixture::matrix(&PREFETCH_BY_CONSUMERS, 3);
    for trial in &mut record.trials {
        trial.ledger.fates.dropped = trial.orders.published / 4;
        trial.backlog = Some(fixture::backlog());
    }
    let all = svgs(&record);
    let chart = |wanted: &str| &all.iter().find(|(name, _)| name == wanted).expect(wanted).1;
    assert!(chart("cells-orders-dropped").contains("share of orders"));
    assert!(chart("cells-redelivered").contains("share of deliveries"));
    assert!(chart("cells-backlog-cleared-at").contains("messages per second"));
}

#[test]
fn a_run_without_a_matrix_has_no_such_charts() {
    assert!(svgs(&fixture::three_trials()).is_empty());
    assert!(
        svgs(&fixture::matrix(&PREFETCH_BY_CONSUMERS, 0)).is_empty(),
        "no trial, nothing to show"
    );
}

#[test]
fn words_stand_beside_each_other_and_are_not_joined_by_a_line() {
    let strategies: [Varied<'_>; 1] = [(
        "strategy",
        &[("unbounded", None), ("drop-head", None), ("reject-publish", None)],
    )];
    let all = svgs(&fixture::matrix(&strategies, 1));
    let goodput = &all[0].1;
    assert!(goodput.contains("reject-publish") && !all.iter().any(|(name, _)| name.ends_with("-map")));
    // Grid and axis are lines of two points each; nothing joins three.
    assert!(!goodput.split("points=\"").skip(1).any(|points| {
        points
            .split('"')
            .next()
            .unwrap_or("")
            .split(' ')
            .filter(|p| !p.is_empty())
            .count()
            == 3
    }));
}

#[test]
fn a_third_dimension_becomes_small_multiples() {
    let three: [Varied<'_>; 3] = [
        PREFETCH_BY_CONSUMERS[0],
        PREFETCH_BY_CONSUMERS[1],
        (
            "stage.payment.ack_batch",
            &[("1", Some(1.0)), ("10", Some(10.0)), ("100", Some(100.0))],
        ),
    ];
    let record = fixture::matrix(&three, 2);
    let (sweep, all) = (Sweep::of(&record), svgs(&record));
    let goodput = &all[0].1;
    // Lines are the dimension with the most values; the other one makes the panels.
    assert!(
        goodput.contains("ack_batch 100") && goodput.contains(">\nconsumers 4\n<"),
        "{}",
        sweep.dimensions.len()
    );
    assert_eq!(
        goodput.matches("stage.payment.prefetch").count(),
        2,
        "an axis for each panel"
    );
}

#[test]
fn embedded_and_invalid_are_written_on_each() {
    let mut record = fixture::matrix(&PREFETCH_BY_CONSUMERS, 1);
    record.broker = fixture::embedded().broker;
    record.trials[3].validity.valid = false;
    for (name, svg) in svgs(&record) {
        assert!(svg.contains(status::EMBEDDED) && svg.contains("INVALID"), "{name}");
    }
}

#[test]
fn absurd_values_are_drawn_without_panic() {
    let odd: [Varied<'_>; 2] = [
        (
            "a",
            &[
                ("0", Some(0.0)),
                ("1e300", Some(1e300)),
                ("-5", Some(-5.0)),
                ("nan", Some(f64::NAN)),
            ],
        ),
        ("b", &[("same", Some(1.0)), ("same too", Some(1.0))]),
    ];
    let mut record = fixture::matrix(&odd, 1);
    record.trials[0].rates.goodput_per_s = Some(1e300);
    record.trials[1].rates.goodput_per_s = Some(-1.0);
    record.trials[2].drain.time_s = Some(f64::NAN);
    assert!(!svgs(&record).is_empty());
    let mut hostile = fixture::hostile();
    hostile.cells.push(hostile.cells[0].clone());
    for (at, cell) in hostile.cells.iter_mut().enumerate() {
        cell.varied = vec![crate::results::record::VariedRecord {
            dimension: hostile.name.clone(),
            value: format!("{}{at}", hostile.name),
            number: None,
        }];
    }
    for (name, svg) in svgs(&hostile) {
        assert!(
            !svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\u{202e}'),
            "{name}"
        );
    }
}
