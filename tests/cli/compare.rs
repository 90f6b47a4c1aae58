//! Comparisons of real runs on the embedded broker.

use std::path::Path;

use orderstorm::compare::format::Format;
use tempfile::TempDir;

use crate::support::program::{Said, finish, orderstorm, say};
use crate::{results, text, workload};

/// Eight users and one payment consumer, whose service time is what limits goodput.
const SERVICE: &str = "# What does a slower payment cost?\n[load]\narrival = \"closed\"\nusers = 8\nthink_time = \"0ms\"\n\
    warm_up = \"0s\"\nduration = \"300ms\"\n[stage.payment]\nconsumers = 1\nprefetch = 1\n";

fn run(results: &TempDir, file: &Path, more: &[&str]) {
    let mut arguments = vec![
        "run",
        text(file),
        "--broker",
        "embedded",
        "--quiet",
        "--results",
        text(results.path()),
    ];
    arguments.extend(more);
    let said = say(&arguments);
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
}

fn compare(results: &TempDir, arguments: &[&str]) -> Said {
    let mut all = vec!["compare", "--results", text(results.path())];
    all.extend(arguments);
    finish(orderstorm(&all).env_remove("GITHUB_STEP_SUMMARY"))
}

fn verdict(said: &Said, measure: &str) -> String {
    let row = said.out.lines().find(|line| line.trim_start().starts_with(measure));
    let row = row.unwrap_or_else(|| panic!("no {measure} in {said:#?}"));
    row.rsplit("  ").next().unwrap_or_default().to_owned()
}

#[test]
fn a_slower_service_is_a_regression_and_the_same_again_is_none() {
    let (dir, results) = (results(), results());
    let file = workload(
        &dir,
        "service.toml",
        &format!("{SERVICE}service_time = [\"5ms\", \"15ms\"]\n"),
    );
    run(
        &results,
        &file,
        &["--set", "trial.repeats=8", "--set", "trial.cool_down=0s"],
    );
    let said = compare(&results, &["latest", "--by", "service_time"]);
    assert_eq!(said.code, Some(4), "{said:#?}");
    assert!(
        said.out.starts_with("REGRESSION: worse in ") && said.out.contains("embedded broker, not RabbitMQ"),
        "{}",
        said.out
    );
    assert_eq!(
        (
            verdict(&said, "goodput").as_str(),
            verdict(&said, "end_to_end_p50").as_str()
        ),
        ("worse", "worse"),
        "{}",
        said.out
    );
    // The other way round it is better.
    let said = compare(&results, &["latest", "--cells", "2", "1"]);
    assert_eq!(verdict(&said, "goodput"), "better", "{}", said.out);
}

#[test]
fn the_same_twice_is_never_called_worse() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "service.toml", &format!("{SERVICE}service_time = \"5ms\"\n"));
    for _ in 0..2 {
        run(
            &results,
            &file,
            &["--set", "trial.repeats=6", "--set", "trial.cool_down=0s"],
        );
    }
    let said = compare(&results, &["latest~1", "latest"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    for measure in ["goodput", "end_to_end_p50", "driver_cpu"] {
        let verdict = verdict(&said, measure);
        assert!(
            ["same", "cannot tell"].contains(&verdict.as_str()),
            "{measure}: {verdict}\n{}",
            said.out
        );
    }
    assert!(said.out.contains("one after the other"));
}

#[test]
fn runs_of_other_settings_are_refused_and_forced_ones_say_so_everywhere() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "service.toml", &format!("{SERVICE}service_time = \"5ms\"\n"));
    run(&results, &file, &[]);
    run(&results, &file, &["--set", "stage.payment.service_time=6ms"]);
    let pair = ["latest~1", "latest"];
    compare(&results, &pair).fails(
        2,
        &["cannot be compared", "setting stage.payment.service_time: ", "--force"],
    );
    for format in Format::ALL {
        let said = compare(&results, &[pair[0], pair[1], "--force", "--format", format.name()]);
        assert!(
            said.code == Some(0) && said.out.to_lowercase().contains("forced"),
            "{}: {said:#?}",
            format.name()
        );
        assert!(
            said.out.contains("embedded broker, not RabbitMQ"),
            "{}: {said:#?}",
            format.name()
        );
    }
    let strict = compare(&results, &[pair[0], pair[1], "--force", "--strict"]);
    assert_eq!(strict.code, Some(5), "lone trials cannot tell: {strict:#?}");
    let summary = dir.path().join("summary.md");
    let mut command = orderstorm(&[
        "compare",
        "--results",
        text(results.path()),
        pair[0],
        pair[1],
        "--force",
    ]);
    for _ in 0..2 {
        assert_eq!(finish(command.env("GITHUB_STEP_SUMMARY", &summary)).code, Some(0));
    }
    let summary = std::fs::read_to_string(&summary).expect("written");
    assert_eq!(
        summary.matches("### service: CANNOT TELL").count(),
        2,
        "appended, not overwritten: {summary}"
    );
}

#[test]
fn what_cannot_be_compared_is_explained() {
    let results = results();
    compare(&results, &["latest", "latest~1"]).fails(2, &["no run is called `latest`", "no run there yet"]);
    compare(&results, &["a", "b", "--threshold", "speed=5%"]).fails(2, &["no measure `speed`", "goodput"]);
    compare(&results, &["a"]).fails(2, &["<NEW>"]);
    compare(&results, &["a", "b", "--by", "prefetch"]).fails(2, &["cannot be used with"]);
}

#[test]
fn every_run_leaves_a_line_in_the_history_that_is_shown() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "service.toml", &format!("{SERVICE}service_time = \"5ms\"\n"));
    let other = ["--set", "stage.payment.service_time=6ms"];
    for more in [other.as_slice(), &[], &[]] {
        run(&results, &file, more);
    }
    let history = |arguments: &[&str]| {
        let mut all = vec!["history", "--results", text(results.path())];
        all.extend(arguments);
        say(&all)
    };
    history(&["service"]).says(&["Goodput of service: 2 runs, 0 changes in level; 1 more", "●", "/s"]);
    let csv = history(&["service", "--csv"]);
    assert_eq!(
        csv.says(&["time,commit,branch,run,goodput_per_s,"]).out.lines().count(),
        3
    );
    history(&["steady"]).fails(2, &["no run of `steady`", "it has runs of service"]);
    history(&["service", "--measure", "speed"]).fails(2, &["no figure `speed`", "goodput_per_s"]);
}
