//! What a plan foretold.

use orderstorm::workload::check::check;

use crate::support::drive::run_alone;

/// A burst of two seconds on one worker of 10 ms, with what was foretold of it.
const FORETOLD: [&str; 13] = [
    "pipeline=work-queue",
    "load.arrival=spike",
    "load.rate=20/s",
    "load.spike_rate=400/s",
    "load.spike_at=500ms",
    "load.spike_hold=600ms",
    "load.duration=4s",
    "sample.interval=50ms",
    "stage.worker.service_time=10ms",
    "prediction.sustainable_rate=100/s",
    "prediction.drain_time=2s",
    "prediction.backlog_max=180",
    "stage.worker.predicted_utilisation=80%",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_foretold_stands_beside_what_was_measured() {
    let done = run_alone(&[&FORETOLD[..], &["prediction.end_to_end_p99=3s"]].concat()).await;
    let table = std::fs::read_to_string(done.folder.join("prediction.csv")).expect("a table");
    for (figure, predicted) in [
        ("sustainable_rate,,1/s", "100"),
        ("drain_time,,s", "2"),
        ("backlog_max,,count", "180"),
        ("end_to_end_p99,,s", "3"),
        ("utilisation,worker,share", "0.8"),
    ] {
        let start = format!("1,{figure},{predicted},");
        let row = table
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("no {start} in\n{table}"));
        // Too few orders carry a 99th percentile.
        assert_eq!(row.ends_with(",,"), figure.starts_with("end_to_end"), "{row}");
    }
    let page = std::fs::read_to_string(done.folder.join("report.html")).expect("a page");
    assert!(page.contains("Foretold by the plan") && page.contains("utilisation of worker"));
    let without = run_alone(&["load.orders=10", "load.rate=200/s"]).await;
    let table = std::fs::read_to_string(without.folder.join("prediction.csv")).expect("a table");
    assert_eq!(table.lines().count(), 1, "{table}");
}

#[test]
fn a_prediction_that_could_never_be_compared_is_refused() {
    for (key, value) in [
        ("sustainable_rate", "\"5/s\""),
        ("drain_time", "\"5s\""),
        ("backlog_max", "5"),
    ] {
        let text = format!("[load]\narrival = \"closed\"\n[prediction]\n{key} = {value}\n");
        let error = check("w.toml", "w", text, &[]).expect_err("refused").to_string();
        assert!(
            error.contains("never measured in a closed loop") && error.contains("help"),
            "{error}"
        );
    }
    let varied = check("w.toml", "w", "[prediction]\nbacklog_max = [5, 6]\n".to_owned(), &[]);
    assert!(
        varied
            .expect_err("refused")
            .to_string()
            .contains("changes nothing that is measured")
    );
}
