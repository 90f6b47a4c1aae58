//! Thresholds: changes that matter when runs of a workload are compared.

use orderstorm::compare::measure::{MEASURES, Thresholds};
use orderstorm::compare::{Comparison, Judgement, by};
use orderstorm::workload::check::check;

use crate::support::drive::run_alone;

/// Eight pairs of jobs of 5 ms and of 8 ms, enough orders for a p99.
const TWO_CELLS: [&str; 9] = [
    "pipeline=work-queue",
    "load.arrival=closed",
    "load.users=60",
    "load.orders=1000",
    "load.warm_up=0s",
    "stage.worker.consumers=30",
    "stage.worker.service_time=[\"5ms\", \"8ms\"]",
    "trial.repeats=8",
    "trial.cool_down=0s",
];

async fn compared(share: &str) -> Comparison {
    let thresholds = MEASURES.map(|measure| format!("compare.{}={share}", measure.name));
    let settings = [&TWO_CELLS[..], &thresholds.each_ref().map(String::as_str)].concat();
    let record = run_alone(&settings).await.record;
    let thresholds = Thresholds::from(&record.cells[0].workload.compare);
    by(&record, "service_time", &thresholds).expect("two cells")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_of_the_workload_is_that_of_its_measure_and_decides() {
    for (share, threshold, judgement) in [("1%", 0.01, Judgement::Worse), ("99%", 0.99, Judgement::Same)] {
        let found = compared(share).await;
        let measures = &found.cases[0].measures;
        assert_eq!(measures.len(), MEASURES.len(), "{measures:#?}");
        for measured in measures {
            assert_eq!(measured.threshold, threshold, "{}", measured.measure);
        }
        let p50 = measures.iter().find(|measured| measured.measure == "end_to_end_p50");
        assert_eq!(p50.expect("measured").judgement, judgement, "{p50:#?}");
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
