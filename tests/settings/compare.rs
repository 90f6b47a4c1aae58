//! Thresholds: changes that matter when runs of a workload are compared.

use orderstorm::compare::measure::{MEASURES, Thresholds};
use orderstorm::compare::{Judgement, by};
use orderstorm::results::RunRecord;
use orderstorm::workload::check::check;

use crate::support::drive::run_alone;

/// Eight pairs of a few jobs.
const TWO_CELLS: [&str; 8] = [
    "pipeline=work-queue",
    "load.arrival=closed",
    "load.users=4",
    "load.orders=40",
    "load.warm_up=0s",
    "stage.worker.service_time=[\"1ms\", \"2ms\"]",
    "trial.repeats=8",
    "trial.cool_down=0s",
];

/// A fifth more time per order in the second cell, whatever the machine did.
fn settled(record: &mut RunRecord) {
    for trial in &mut record.trials {
        let p50 = 10_000_000 + trial.cell * 2_000_000 + trial.repeat * 1_000;
        for summary in trial
            .latencies
            .iter_mut()
            .filter(|summary| summary.series == "end_to_end")
        {
            summary.p50.as_mut().expect("forty jobs carry a median").ns = p50.into();
        }
        trial.validity.valid = true;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_of_the_workload_is_that_of_its_measure_and_decides() {
    let mut record = run_alone(&TWO_CELLS).await.record;
    settled(&mut record);
    for (share, threshold, judgement) in [("1%", 0.01, Judgement::Worse), ("99%", 0.99, Judgement::Same)] {
        for (at, measure) in MEASURES.iter().enumerate() {
            let text = format!("[compare]\n{} = \"{share}\"\n", measure.name);
            let workload = check("w.toml", "w", text, &[]).expect("legal").into_first().workload;
            let thresholds = Thresholds::from(&workload.compare);
            for (other, others) in MEASURES.iter().enumerate() {
                let expected = if other == at {
                    threshold
                } else {
                    Thresholds::default().of(other)
                };
                assert_eq!(
                    thresholds.of(other),
                    expected,
                    "{share} for {}: {}",
                    measure.name,
                    others.name
                );
            }
            let found = by(&record, "service_time", &thresholds).expect("two cells");
            let mut measures = found.cases[0].measures.iter();
            let p50 = measures
                .find(|measured| measured.measure == "end_to_end_p50")
                .expect("measured");
            if measure.name == p50.measure {
                assert_eq!((p50.judgement, p50.threshold), (judgement, threshold), "{p50:#?}");
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
