//! Objectives: figures that must keep a bound.

use orderstorm::ledger::Verdict;
use orderstorm::results::record::ObjectiveRecord;
use orderstorm::workload::check::check;

use crate::support::drive::{Done, run_alone};

/// Each objective with a bound that every run keeps, and one that none keeps.
const BOUNDS: [(&str, &str, &str); 17] = [
    ("end_to_end_p50", "<= 1h", "<= 1us"),
    ("end_to_end_p90", "<= 1h", "<= 1us"),
    ("end_to_end_p99", "<= 1h", "<= 1us"),
    ("confirm_latency_p99", "<= 1h", "<= 1us"),
    ("drain_time", "<= 60s", "> 60s"),
    ("goodput", ">= 1/s", ">= 1000000/s"),
    ("achieved_share", ">= 1%", "< 1%"),
    ("orders_lost", "== 0", ">= 1"),
    ("orders_duplicate_effect", "== 0", ">= 1"),
    ("orders_oversold", "== 0", ">= 1"),
    ("orders_refused", "== 0", ">= 1"),
    ("dead_letter_share", "<= 1%", "> 50%"),
    ("redeliveries", "== 0", ">= 1"),
    ("backlog_max", ">= 1", "== 0"),
    ("backlog_slope", "<= 1000000/s", ">= 1000000/s"),
    ("driver_cpu_share", "> 0%", "<= 0%"),
    ("driver_memory_max", ">= 1B", "<= 1B"),
];

/// Enough orders for a 99th percentile.
const LOAD: [&str; 5] = [
    "load.orders=1000",
    "load.rate=400/s",
    "sample.interval=50ms",
    "orders.stock_per_item=1000000",
    "stage.audit.prefetch=1000",
];

/// Enough jobs for a 99.9th percentile.
const MANY: [&str; 4] = [
    "pipeline=work-queue",
    "load.arrival=closed",
    "load.users=200",
    "load.orders=10000",
];

fn judged(done: &Done) -> &[ObjectiveRecord] {
    &done.record.cells[0].objectives
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_objective_is_met_or_missed_as_its_bound_says() {
    for (which, verdict, code) in [(0, Verdict::Pass, None), (1, Verdict::Fail, Some(4))] {
        let bounds = BOUNDS.map(|(name, kept, missed)| format!("objectives.{name}={}", [kept, missed][which]));
        let settings = [&LOAD[..], &bounds.each_ref().map(String::as_str)].concat();
        let done = run_alone(&settings).await;
        assert_eq!(judged(&done).len(), BOUNDS.len());
        for objective in judged(&done) {
            assert_eq!(objective.verdict, verdict, "{objective:?}");
            assert_eq!(objective.beyond.is_some(), verdict == Verdict::Fail, "{objective:?}");
        }
        let outcome = &done.record.outcome;
        match code {
            Some(code) => assert_eq!(outcome.exit_code, code, "{}", outcome.reason),
            None => assert_ne!(outcome.exit_code, 4, "{}", outcome.reason),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_thousandth_is_held_to_its_bound_where_enough_orders_carry_it() {
    for (bound, verdict) in [("<= 1h", Verdict::Pass), ("<= 1us", Verdict::Fail)] {
        let objective = format!("objectives.end_to_end_p999={bound}");
        let done = run_alone(&[&MANY[..], &[&objective]].concat()).await;
        assert_eq!(judged(&done)[0].verdict, verdict, "{:?}", judged(&done)[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_objective_whose_figure_is_absent_is_never_met() {
    let settings = [
        "load.orders=40",
        "load.rate=200/s",
        "objectives.end_to_end_p99=<= 1h",
        "objectives.broker_memory_max=<= 1GiB",
    ];
    let done = run_alone(&settings).await;
    for objective in judged(&done) {
        assert_eq!(
            (objective.verdict, objective.measured),
            (Verdict::Unknown, None),
            "{objective:?}"
        );
    }
    let why: Vec<&str> = judged(&done)
        .iter()
        .filter_map(|one| one.unknown_because.as_deref())
        .collect();
    assert!(
        why[0].contains("40 samples") && why[1].contains("process is not known"),
        "{why:?}"
    );
    assert_eq!(done.record.outcome.exit_code, 5, "{}", done.record.outcome.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_comes_before_a_missed_objective_and_that_before_a_doubt() {
    let code = async |settings: &[&str]| {
        let settings = [
            &["load.orders=40", "load.rate=200/s", "objectives.goodput=>= 1000000/s"],
            settings,
        ]
        .concat();
        run_alone(&settings).await.record.outcome.exit_code
    };
    assert_eq!(code(&["canary.defect=charge-twice"]).await, 3);
    assert_eq!(
        code(&["drain.deadline=200ms", "stage.payment.service_time=40ms"]).await,
        4
    );
    assert_eq!(code(&["objectives.end_to_end_p99=<= 1h"]).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_a_matrix_is_held_to_its_objectives() {
    let done = run_alone(&[
        "load.orders=60",
        "load.rate=300/s",
        "stage.payment.service_time=[none, 40ms]",
        "objectives.end_to_end_p50=<= 300ms",
        "trial.repeats=2",
        "trial.cool_down=0s",
    ])
    .await;
    let verdicts: Vec<Verdict> = done
        .record
        .cells
        .iter()
        .map(|cell| cell.objectives[0].verdict)
        .collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
    assert!(done.record.cells.iter().all(|cell| cell.objectives[0].repeats == 2));
    let reason = &done.record.outcome.reason;
    assert!(
        reason.contains("end_to_end_p50 <= 300ms")
            && reason.contains("`service_time 40ms`")
            && reason.contains("beyond the bound"),
        "{reason}"
    );
}

#[test]
fn an_objective_that_could_never_be_told_is_refused() {
    for (settings, says) in [
        (&["objectives.end_to_end_p99=250ms"][..], "no comparison"),
        (&["objectives.end_to_end_p99=<= 250"], "is not a duration"),
        (
            &["objectives.orders_lost=0"],
            "expected a comparison with a whole number",
        ),
        (&["objectives.goodput== 5/s"], "no comparison"),
        (
            &["objectives.dead_letter_share=== 1%"],
            "only whole numbers can be equal",
        ),
        (&["objectives.drain_time=<= 90s"], "given up after 1m"),
        (&["objectives.orders_oversold=== 0"], "never oversold"),
        (
            &[
                "objectives.achieved_share=>= 99%",
                "load.arrival=closed",
                "load.users=3",
            ],
            "a closed loop has no planned rate",
        ),
        (
            &["objectives.goodput=[>= 5/s, >= 9/s]"],
            "changes nothing that is measured",
        ),
        (
            &["objectives.end_to_end_p98=<= 1s"],
            "did you mean `objectives.end_to_end_p9",
        ),
    ] {
        let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let error = check("o.toml", "o", String::new(), &overrides)
            .expect_err(says)
            .to_string();
        assert!(error.contains(says), "{says} is missing in\n{error}");
    }
}
