//! `orderstorm plan`: mistakes, and one plan from the measured run to the run of its own workload.

use std::path::Path;

use orderstorm::results::record;
use tempfile::TempDir;

use crate::support::program::{Said, finish, only_entry, orderstorm, say};
use crate::{results, text, workload};

/// A work queue at three rates, two workers with jobs of 20 ms.
const RATES: &str = "# How does a queue of jobs behave at three rates?\npipeline = \"work-queue\"\nseed = 7\n\
    [load]\narrival = \"poisson\"\nrate = [\"30/s\", \"50/s\", \"70/s\"]\nwarm_up = \"200ms\"\nduration = \"1500ms\"\n\
    [stage.worker]\nconsumers = 2\nprefetch = 5\nservice_time = \"20ms\"\n[trial]\ncool_down = \"0s\"\n";

fn plan(results: &Path, more: &[&str]) -> Said {
    let mut arguments = vec!["plan", "latest", "--results", text(results)];
    arguments.extend(more);
    finish(&mut orderstorm(&arguments))
}

fn run(file: &Path, results: &TempDir) {
    let arguments = [
        "run",
        text(file),
        "--broker",
        "embedded",
        "--quiet",
        "--report",
        "tables",
        "--results",
        text(results.path()),
    ];
    let said = say(&arguments);
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
}

#[test]
fn a_slip_of_the_pen_is_told_before_any_run_is_looked_for() {
    let results = results();
    for (arguments, parts) in [
        (&["--rate", "400"][..], &["400", "--rate"][..]),
        (&["--rate", "0/s"], &["asks for nothing", "help:"]),
        (
            &["--rate", "400/s", "--burst", "3000/s"],
            &["`3000/s` is no burst", "3000/s for 2m"],
        ),
        (
            &["--rate", "400/s", "--burst", "300/s for 2m"],
            &["no more than the rate"],
        ),
        (
            &["--rate", "400/s", "--drain", "5m"],
            &["has no effect without a burst"],
        ),
        (
            &["--rate", "400/s", "--lose", "4-in-4"],
            &["`4-in-4` is no loss", "1-consumer-in-4"],
        ),
        (&["--rate", "400/s", "--max-utilisation", "100%"], &["100% busy"]),
        (
            &["--rate", "400/s", "--workload-time", "1s"],
            &["--workload-time 1s", "help:"],
        ),
        (&["--rate", "400/s"], &["no run is called `latest`", "help:"]),
    ] {
        plan(results.path(), arguments).fails(2, parts);
    }
    plan(results.path(), &[]).fails(2, &["--rate"]);
}

#[test]
fn a_run_of_one_cell_says_too_little_and_a_cell_that_is_not_there_is_named() {
    let (dir, results) = (results(), results());
    let file = workload(
        &dir,
        "one.toml",
        &RATES
            .replace("[\"30/s\", \"50/s\", \"70/s\"]", "\"30/s\"")
            .replace("1500ms", "400ms")
            .replace("[trial]\ncool_down = \"0s\"\n", ""),
    );
    run(&file, &results);
    plan(results.path(), &["--rate", "40/s", "--force"])
        .fails(5, &["takes 3 cells", "has 1 of use", "help: vary the load"]);
    plan(results.path(), &["--rate", "40/s", "--cell", "9"]).fails(2, &["no cell `9`"]);
}

/// The figures of a plan's run are those that it foretold, near enough for a debug build on a busy machine; scripts/plan-quality.sh
/// holds a release build to 15 %.
#[test]
fn the_workload_of_a_plan_shows_whether_it_holds() {
    let (dir, measured, tried) = (results(), results(), results());
    run(&workload(&dir, "rates.toml", RATES), &measured);
    let plan_of = ["--rate", "60/s", "--burst", "300/s for 1m", "--drain", "90s", "--force"];
    let mut arguments = plan_of.to_vec();
    arguments.extend(["--workload-time", "7s", "--format", "csv"]);
    let said = plan(measured.path(), &arguments);
    said.says(&[
        "about,figure,value,low,high,unit,origin,note",
        "worker,consumers,",
        "pipeline,drain time,",
    ]);
    let folder = only_entry(measured.path()).join("plan");
    for name in [
        "plan.csv",
        "plan.md",
        "plan.json",
        "plan.html",
        "charts/plan-backlog.svg",
        "charts/plan-validation.png",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    run(&folder.join("plan.toml"), &tried);
    let folder = only_entry(tried.path());
    let table = std::fs::read_to_string(folder.join("prediction.csv")).expect("a table");
    let error = |figure: &str| -> f64 {
        let row = table
            .lines()
            .find(|line| line.contains(&format!(",{figure},")))
            .unwrap_or_else(|| panic!("no {figure} in\n{table}"));
        row.rsplit(',')
            .next()
            .and_then(|error| error.parse().ok())
            .unwrap_or_else(|| panic!("{figure} was not measured:\n{table}"))
    };
    for (figure, bound) in [("utilisation", 0.3), ("sustainable_rate", 0.4), ("drain_time", 0.7)] {
        assert!(error(figure).abs() <= bound, "{figure}:\n{table}");
    }
    let record = record::read(&folder).expect("a record");
    assert!(record.trials[0].overloads[0].finished_per_s.is_some());
    let page = say(&["report", text(&folder)]);
    page.says(&["Foretold by the plan", "utilisation of worker", "drain time"]);
    // What cannot be done says so, and leaves the figures.
    let said = plan(measured.path(), &["--rate", "60/s", "--p99", "5ms", "--force"]);
    said.fails(4, &["the demand cannot be met", "service times alone"]);
}
