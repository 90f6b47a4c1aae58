//! A capacity search on the embedded broker whose answer is known, and what stands before it.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use orderstorm::results::RunRecord;
use orderstorm::results::capacity::{BreakKind, CapacityEnding};
use orderstorm::results::record;
use tempfile::TempDir;

use crate::support::program::{Running, Said, finish, only_entry, orderstorm};
use crate::{results, text, workload};

/// Two workers of 10 ms carry 200 jobs a second.
const JOBS: &str = "# How many jobs of 10 ms do two workers carry?\npipeline = \"work-queue\"\n[load]\narrival = \"constant\"\nrate = \"50/s\"\n\
    warm_up = \"200ms\"\nduration = \"1s\"\n[sample]\ninterval = \"50ms\"\n[stage.worker]\nconsumers = 2\nprefetch = 2\nservice_time = \"10ms\"\n\
    [trial]\nrepeats = 2\ncool_down = \"0s\"\n";

fn command(results: &TempDir, file: &Path, more: &[&str]) -> Command {
    let mut command = orderstorm(&[
        "capacity",
        text(file),
        "--broker",
        "embedded",
        "--results",
        text(results.path()),
    ]);
    command.args(more);
    command
}

fn searched(results: &TempDir, file: &Path, more: &[&str]) -> Said {
    finish(&mut command(results, file, more))
}

/// Whether a rate within 15 % of `truth` lies in the interval. On a busy machine the driver may give out before the workers.
fn contains(record: &RunRecord, setting: usize, truth: f64) -> bool {
    let found = &record.capacity.as_ref().expect("a search").settings[setting];
    let high = found.high_per_s.or(found.driver_per_s);
    let (low, high) = (found.low_per_s.expect("a rate held"), high.expect("a rate did not"));
    low < high && low <= truth * 1.15 && high >= truth * 0.85
}

#[test]
fn two_workers_of_ten_milliseconds_carry_two_hundred_jobs_a_second() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let options = [
        "--objective",
        "end_to_end_p50<=500ms",
        "--repeats",
        "1",
        "--resolution",
        "20%",
        "--budget",
        "12s",
        "--curve",
        "0",
    ];
    let said = searched(&results, &file, &options);
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    for part in [
        "a rate holds with a backlog that does not grow, and end_to_end_p50 <= 500ms",
        "overridden: load.rate = 50/s",
        "overridden: trial.repeats = 2",
        "Capacity",
        "breaks first: at ",
    ] {
        assert!(
            said.out.replace('\n', " ").contains(part),
            "`{part}` is missing in {}",
            said.out
        );
    }
    let folder = only_entry(results.path());
    let made = record::read(&folder).expect("a record");
    assert!(contains(&made, 0, 200.0), "{:?}", made.capacity);
    let setting = &made.capacity.as_ref().expect("a search").settings[0];
    let breaks = setting.breaks.as_ref().expect("it broke");
    let (kind, part) = match setting.ending {
        CapacityEnding::Driver => (BreakKind::Driver, "measured itself"),
        _ => (BreakKind::Consumers, "the consumers of worker are what is short"),
    };
    assert!(breaks.what == kind && breaks.finding.contains(part), "{breaks:?}");
    // Each step is a trial of a cell of its own rate.
    assert_eq!(
        made.trials.len() as u32,
        setting
            .rates
            .iter()
            .map(|rate| rate.held + rate.failed + rate.undecided + rate.invalid)
            .sum::<u32>()
    );
    for name in [
        "capacity.csv",
        "capacity-rates.csv",
        "demand.csv",
        "capacity.md",
        "report.html",
        "charts/capacity-latency.png",
        "charts/capacity-stages-1.svg",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let before = std::fs::read_to_string(folder.join("capacity.md")).expect("there");
    std::fs::remove_file(folder.join("capacity.md")).expect("there");
    let again = finish(&mut orderstorm(&["report", text(&folder)]));
    again.says(&["breaks first: at "]);
    assert_eq!(
        std::fs::read_to_string(folder.join("capacity.md")).expect("made again"),
        before
    );
}

#[test]
fn the_lowest_rate_of_interest_that_does_not_hold_is_exit_code_four() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let said = searched(
        &results,
        &file,
        &[
            "--from",
            "600/s",
            "--repeats",
            "1",
            "--budget",
            "8s",
            "--report",
            "tables",
            "--quiet",
        ],
    );
    assert_eq!(said.code, Some(4), "{said:#?}");
    assert!(
        said.out.contains("MISSED: the lowest rate of interest does not hold"),
        "{}",
        said.out
    );
    assert!(!only_entry(results.path()).join("report.html").exists());
}

#[test]
fn a_budget_that_was_too_small_is_gone_on_with() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let options = [
        "--vary",
        "stage.worker.consumers=1,2",
        "--repeats",
        "1",
        "--resolution",
        "20%",
        "--curve",
        "0",
        "--report",
        "tables",
    ];
    let mut first: Vec<&str> = options.to_vec();
    first.extend(["--budget", "3s"]);
    let said = searched(&results, &file, &first);
    assert_eq!(said.code, Some(5), "{said:#?}");
    assert!(
        said.out.contains("UNKNOWN: inconclusive") && said.out.contains("orderstorm capacity --resume"),
        "{}",
        said.out
    );
    let folder = only_entry(results.path());
    let trials = record::read(&folder).expect("a record").trials.len();
    let wrong = finish(&mut orderstorm(&["run", "--resume", text(&folder)]));
    wrong.fails(2, &["is a capacity search", "orderstorm capacity --resume"]);
    let resume = [
        "capacity",
        "--resume",
        text(&folder),
        "--budget",
        "25s",
        "--report",
        "tables",
    ];
    let said = finish(&mut orderstorm(&resume));
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    let made = record::read(&only_entry(results.path())).expect("a record");
    assert!(
        made.trials.len() > trials && made.progress.resumed.len() == 1,
        "{} trials",
        made.trials.len()
    );
    assert!(
        contains(&made, 0, 100.0) && contains(&made, 1, 200.0),
        "{:?}",
        made.capacity
    );
}

#[test]
fn ctrl_c_keeps_the_trials_of_a_search() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let mut command = command(&results, &file, &["--budget", "10m", "--report", "tables"]);
    let running = Running::start(command.stdout(Stdio::piped()));
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    let measured = |path: &Path| record::read(path).is_ok_and(|made| !made.trials.is_empty());
    loop {
        let entries = std::fs::read_dir(results.path()).into_iter().flatten().flatten();
        if entries
            .map(|entry| entry.path())
            .any(|path| path.is_dir() && measured(&path))
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no trial was measured");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.signal(Signal::SIGINT);
    let said = running.said();
    assert_eq!(said.code, Some(130), "{said:#?}");
    let made = record::read(&only_entry(results.path())).expect("a record");
    assert!(made.is_partial() && !made.trials.is_empty());
    assert_eq!(
        made.capacity.expect("a search").settings[0].ending,
        CapacityEnding::Unfinished
    );
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_runs() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let refused = |more: &[&str], parts: &[&str]| {
        searched(&results, &file, more).fails(2, parts);
        assert_eq!(
            std::fs::read_dir(results.path()).expect("a folder").count(),
            0,
            "{more:?}"
        );
    };
    refused(
        &["--objective", "end_to_end_p99"],
        &["no comparison", "end_to_end_p99<=500ms"],
    );
    refused(&["--objective", "speed<=5s"], &["objectives.speed"]);
    refused(&["--objective", "end_to_end_p99<=5"], &["is not a duration"]);
    refused(
        &["--vary", "stage.worker.consumers=4"],
        &["fewer than two values", "help: "],
    );
    refused(&["--vary", "stage.worker.consumers=9..2"], &["a range begins at 1"]);
    refused(
        &["--vary", "load.rate=5/s,9/s"],
        &["load.rate is what the search varies", "help: "],
    );
    refused(&["--vary", "stage.payment.consumers=1,2"], &["stage.payment.consumers"]);
    refused(&["--from", "9/s", "--to", "5/s"], &["--from 9/s is not below --to 5/s"]);
    refused(&["--from", "0/s"], &["from 0.1/s"]);
    refused(&["--resolution", "0%"], &["from 0.5% to 50%"]);
    refused(&["--budget", "1s"], &["does not pay for one trial", "load.duration"]);
    refused(&["--resume", "nowhere"], &["cannot be used with"]);
    for (name, shipped) in [("a closed loop", "closed-loop"), ("faults", "kill-storm")] {
        let said = finish(&mut orderstorm(&[
            "capacity",
            shipped,
            "--broker",
            "embedded",
            "--results",
            text(results.path()),
        ]));
        assert!(said.code == Some(2) && said.err.contains("help: "), "{name}: {said:#?}");
    }
}
