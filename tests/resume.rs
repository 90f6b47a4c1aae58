//! Runs that are gone on with: a matrix whose driver was killed or interrupted, and what must not be gone on with.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use orderstorm::results::record::{self, RunRecord};
use support::eventually;
use support::program::{Running, Said, finish, only_entry, orderstorm};
use tempfile::TempDir;

/// Four trials of about two seconds, in two cells.
const MATRIX: &str = "# Which prefetch?\n[load]\nrate = \"50/s\"\nduration = \"1500ms\"\n[stage.payment]\nprefetch = [1, 10]\n\
                      [trial]\nrepeats = 2\ncool_down = \"100ms\"\n";

struct Place {
    dir: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("matrix.toml");
        std::fs::write(&file, MATRIX).expect("written");
        Place { dir, file }
    }

    fn results(&self) -> PathBuf {
        self.dir.path().join("results")
    }

    fn run(&self) -> Command {
        let mut command = orderstorm(&["run", "--broker", "embedded", "--quiet", "--results"]);
        command.arg(self.results()).arg(&self.file);
        command
    }

    /// The record as it is on disk, once it holds this many trials.
    async fn recorded(&self, trials: usize) -> RunRecord {
        let results = self.results();
        eventually("trials on record", || {
            let folder = std::fs::read_dir(&results).ok()?.next()?.ok()?.path();
            record::read(&folder)
                .ok()
                .filter(|record| record.trials.len() >= trials)
        })
        .await
    }

    fn folder(&self) -> PathBuf {
        only_entry(&self.results())
    }
}

fn resume(folder: &Path) -> Command {
    let mut command = orderstorm(&["run", "--quiet", "--resume"]);
    command.arg(folder);
    command
}

/// Trials that the rows of `series.csv` belong to, and that the intervals of the log belong to.
fn trials_in(folder: &Path) -> (Vec<u32>, Vec<u32>) {
    let numbers = |found: Vec<&str>| -> Vec<u32> {
        let mut numbers: Vec<u32> = found.iter().map(|number| number.parse().expect("a trial")).collect();
        numbers.dedup();
        numbers
    };
    let series = std::fs::read_to_string(folder.join("series.csv")).expect("series.csv");
    let rows = series
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().expect("a cell"));
    let log = std::fs::read_to_string(folder.join("latency.hlog")).expect("latency.hlog");
    let tags = log
        .lines()
        .filter_map(|line| line.strip_prefix("Tag=")?.split('.').next());
    (numbers(rows.collect()), numbers(tags.collect()))
}

/// A whole run in which what `before` held is unchanged.
fn is_whole(folder: &Path, before: &RunRecord, kept: usize) -> RunRecord {
    let after = record::read(folder).expect("run.json");
    assert_eq!(after.trials.len(), 4);
    assert_eq!(
        after.trials[..kept],
        before.trials[..kept],
        "finished trials are as they were"
    );
    let mut cells: Vec<(u32, u32)> = after.trials.iter().map(|trial| (trial.cell, trial.repeat)).collect();
    cells.sort_unstable();
    assert_eq!(cells, [(0, 1), (0, 2), (1, 1), (1, 2)]);
    assert_eq!(
        (after.id.as_str(), after.started.as_str()),
        (before.id.as_str(), before.started.as_str())
    );
    assert_eq!(after.progress.resumed.len(), 1);
    assert_eq!(trials_in(folder), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    for file in ["complete", "summary.csv", "report.html", "charts/throughput.svg"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    let rows = csv::Reader::from_path(folder.join("summary.csv"))
        .expect("summary.csv")
        .records()
        .count();
    assert_eq!(rows, 4);
    after
}

fn passes(said: &Said) {
    // A busy machine may make a trial invalid, which is 5.
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_matrix_whose_driver_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let run = Running::start(&mut place.run());
    let before = place.recorded(2).await;
    run.signal(Signal::SIGKILL);
    assert_eq!(run.said().code, None, "it was killed");
    let partial = place.folder();
    assert!(partial.to_string_lossy().ends_with(".partial"));
    let torn = std::fs::read(partial.join("series.csv")).expect("series.csv");
    std::fs::write(partial.join("series.csv"), [&torn[..], b"3,0.25"].concat()).expect("written");
    let shown = finish(orderstorm(&["report"]).arg(&partial));
    assert!(
        shown.out.contains("PARTIAL: 2 of 4 trials") && shown.out.contains("--resume"),
        "{shown:#?}"
    );
    let said = finish(&mut resume(&partial));
    passes(&said);
    assert!(said.out.contains("2 of 4 trials are there"), "{said:#?}");
    let folder = place.folder();
    assert!(!folder.to_string_lossy().ends_with(".partial"));
    is_whole(&folder, &before, 2);
    let again = finish(&mut resume(&folder));
    again.fails(2, &["is whole: all 4 trials have run"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_matrix_goes_on_and_runs_the_trial_that_was_cut_short_again() {
    let place = Place::new();
    let run = Running::start(&mut place.run());
    place.recorded(1).await;
    run.signal(Signal::SIGINT);
    let said = run.said();
    assert_eq!(said.code, Some(130), "{said:#?}");
    let folder = place.folder();
    assert!(said.out.contains("orderstorm run --resume"), "{said:#?}");
    let before = record::read(&folder).expect("run.json");
    assert!(
        before.is_partial() && before.outcome.reason.contains("of 4 trials"),
        "{}",
        before.outcome.reason
    );
    let finished = before.trials.iter().filter(|trial| !trial.interrupted).count();
    assert!((1..4).contains(&finished), "{finished}");
    let said = finish(&mut resume(&folder));
    passes(&said);
    let after = is_whole(&place.folder(), &before, finished);
    assert!(after.trials.iter().all(|trial| !trial.interrupted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_gone_on_with_only_as_it_was_begun() {
    let place = Place::new();
    let run = Running::start(&mut place.run());
    place.recorded(1).await;
    let busy = finish(&mut resume(&place.folder()));
    busy.fails(1, &["another run is filling it"]);
    run.signal(Signal::SIGKILL);
    run.said();
    let folder = place.folder();
    let untouched = std::fs::read(folder.join("run.json")).expect("run.json");
    finish(resume(&folder).args(["--set", "load.rate=5/s"])).fails(2, &["--set cannot change a run that has begun"]);
    finish(resume(&folder).arg(&place.file).args(["--set", "load.rate=5/s"]))
        .fails(2, &["--set is not what it was", "load.rate=5/s"]);
    finish(resume(&folder).arg("quickstart")).fails(2, &["the workload's text is not what it was"]);
    let (_broker, uri) = support::program::broker();
    finish(resume(&folder).args(["--broker", &uri])).fails(
        2,
        &["the kind of broker is not what it was", "then embedded, now external"],
    );
    finish(resume(&folder).args(["--results", "elsewhere"])).fails(2, &["--results"]);
    let workload = folder.join("workload.toml");
    std::fs::write(&workload, MATRIX.replace("50/s", "60/s")).expect("written");
    finish(&mut resume(&folder)).fails(
        2,
        &[
            "a setting is not what it was",
            "load.rate = \"50/s\"",
            "load.rate = \"60/s\"",
        ],
    );
    std::fs::write(&workload, MATRIX).expect("written");
    let path = folder.join("run.json");
    let text = String::from_utf8(untouched.clone()).expect("JSON");
    let (key, version) = ("\"version\": ", env!("CARGO_PKG_VERSION"));
    std::fs::write(
        &path,
        text.replacen(&format!("{key}\"{version}\""), &format!("{key}\"0.0.1\""), 1),
    )
    .expect("written");
    finish(&mut resume(&folder)).fails(2, &["the program is not what it was: then 0.0.1"]);
    std::fs::write(&path, &untouched).expect("written");
    assert_eq!(place.folder(), folder, "nothing was renamed");
    passes(&finish(resume(&folder).arg(&place.file)));
}

#[test]
fn a_folder_without_a_record_cannot_be_gone_on_with() {
    let place = Place::new();
    finish(&mut resume(place.dir.path())).fails(2, &["cannot go on with", "start it anew"]);
    finish(&mut orderstorm(&["run"])).fails(2, &["WORKLOAD"]);
}
