//! Thresholds: changes that matter when runs of a workload are compared.

use orderstorm::compare::measure::{MEASURES, Thresholds};
use orderstorm::compare::{Judgement, by};
use orderstorm::workload::check::check;

use crate::support::drive::run_alone;

/// Six pairs of jobs of 10 ms and of 16 ms.
const TWO_CELLS: [&str; 9] = [
    "pipeline=work-queue",
    "load.arrival=closed",
    "load.users=16",
    "load.orders=80",
    "load.warm_up=0s",
    "stage.worker.consumers=8",
    "stage.worker.service_time=[\"10ms\", \"16ms\"]",
    "trial.repeats=6",
    "trial.cool_down=0s",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_of_the_workload_is_that_of_its_measure_and_decides() {
    let record = run_alone(&TWO_CELLS).await.record;
    for (share, threshold, judgement) in [("1%", 0.01, Judgement::Worse), ("99%", 0.99, Judgement::Same)] {
        for (at, measure) in MEASURES.iter().enumerate() {
            let text = format!("[compare]\n{} = \"{share}\"\n", measure.name);
            let workload = check("w.toml", "w", text, &[]).expect("legal").into_first().workload;
            let thresholds = Thresholds::from(&workload.compare);
            for (other, default) in MEASURES.iter().enumerate() {
                let expected = if other == at {
                    threshold
                } else {
                    Thresholds::default().of(other)
                };
                assert_eq!(
                    thresholds.of(other),
                    expected,
                    "{share} for {}, {}",
                    measure.name,
                    default.name
                );
            }
            let found = by(&record, "service_time", &thresholds).expect("two cells");
            let measured = found.cases[0]
                .measures
                .iter()
                .find(|measured| measured.measure == measure.name);
            if measure.name == "end_to_end_p50" {
                assert_eq!(measured.expect("measured").judgement, judgement, "{measured:#?}");
            }
        }
    }
}

#[test]
fn a_threshold_that_is_none_or_of_one_cell_alone_is_refused() {
    for (bad, part) in [
        ("goodput = \"0%\"", "0% is no threshold"),
        ("drain_time = \"100%\"", "is no threshold"),
        ("driver_cpu = \"101%\"", "compare.driver_cpu"),
        ("end_to_end_p50 = [\"1%\", \"2%\"]", "same thresholds"),
        ("speed = \"5%\"", "unknown key `compare.speed`"),
    ] {
        let text = format!("[compare]\n{bad}\n");
        let error = check("w.toml", "w", text, &[]).expect_err(bad).to_string();
        assert!(error.contains(part), "{bad}: {error}");
    }
}
