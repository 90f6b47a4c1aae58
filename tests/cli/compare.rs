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

/// Go's benchmark format, as its proposal writes it: `key: value`, `Unit unit key=value…`, and
/// `BenchmarkName iterations (value unit)+`; other lines are passed over.
#[test]
fn the_go_format_follows_its_grammar_line_by_line() {
    let golden = include_str!("../golden/compare.gobench");
    let (mut results, mut sides) = (0, Vec::new());
    for line in golden.lines().filter(|line| !line.starts_with("# ")) {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(name) = line.strip_prefix("Benchmark") {
            assert!(name.starts_with(|c: char| c.is_uppercase()), "{line}");
            assert!(words[1].parse::<u64>().is_ok_and(|iterations| iterations > 0), "{line}");
            let pairs = words[2..].chunks(2);
            assert!(pairs.len() > 0 && words.len().is_multiple_of(2), "{line}");
            for pair in pairs {
                assert!(
                    pair[0].parse::<f64>().is_ok_and(f64::is_finite) && !pair[1].is_empty(),
                    "{line}"
                );
            }
            results += 1;
        } else if words[0] == "Unit" {
            assert!(
                words.len() > 2 && words[2..].iter().all(|word| word.contains('=')),
                "{line}"
            );
        } else {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("no key: {line}"));
            let legal =
                key.starts_with(char::is_lowercase) && !key.contains(|c: char| c.is_whitespace() || c.is_uppercase());
            assert!(legal, "{line}");
            if key == "side" {
                sides.push(value);
            }
        }
    }
    assert_eq!((results, sides.as_slice()), (20, ["base", "new"].as_slice()));
}

/// benchstat is not everywhere; `ORDERSTORM_BENCHSTAT` names one.
#[test]
fn benchstat_reads_the_go_format_and_finds_the_same_changes() {
    let benchstat = std::env::var("ORDERSTORM_BENCHSTAT").unwrap_or_else(|_| "benchstat".to_owned());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compare.gobench");
    let output = std::process::Command::new(benchstat)
        .args(["-col", "side"])
        .arg(golden)
        .output();
    let Ok(output) = output else {
        println!("skipped: no benchstat here (golang.org/x/perf/cmd/benchstat; ORDERSTORM_BENCHSTAT names one)");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    // Its medians and its rank test, of the same trials.
    for part in ["Storm", "-19.6", "+49.6", "p=0.000 n=10", "end-to-end-p50-sec"] {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
}

#[test]
fn the_committed_baseline_is_small_sound_and_found_by_its_name() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let baseline = results.join("baseline");
    let record = orderstorm::results::record::read(&baseline).expect("it can be read");
    assert_eq!((record.outcome.exit_code, record.name.as_str()), (0, "quickstart"));
    assert_eq!(
        (record.tool.build.as_str(), record.broker.kind.as_str()),
        ("release", "embedded")
    );
    assert!(record.commit.is_some_and(|commit| !commit.dirty));
    let mut bytes = 0;
    let mut folders = vec![baseline.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(entry.path()),
                false => bytes += entry.metadata().expect("a file").len(),
            }
        }
    }
    assert!(bytes < 400_000, "{bytes} bytes");
    // Against itself: nothing is worse, and a lone trial can tell nothing else.
    let said = say(&[
        "compare",
        "baseline",
        text(&baseline),
        "--results",
        text(&results),
        "--strict",
    ]);
    assert_eq!(said.code, Some(5), "{said:#?}");
    assert!(
        said.out.starts_with("CANNOT TELL") && said.out.contains("1 pairs: 6 are the least"),
        "{}",
        said.out
    );
}
