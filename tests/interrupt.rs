//! Runs that end early: by Ctrl-C, by a broker that dies, by a driver that is killed. What was measured is kept, and what
//! the run put on the broker goes.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use orderstorm::amqp::uri::BrokerUri;
use orderstorm::ledger::Verdict;
use orderstorm::results::record;
use orderstorm::runner::Manifest;
use support::drive::manifest_in;
use support::eventually;
use support::processes::{is_alive, is_stopped, workers_of};
use support::program::{Running, Said, broker, finish, only_entry, orderstorm};
use support::spy::Spy;
use support::stand::Stand;
use tempfile::TempDir;

/// A minute of load; every test ends it long before.
const LONG: [&str; 8] = [
    "run",
    "quickstart",
    "--set",
    "load.warm_up=0s",
    "--set",
    "load.duration=1m",
    "--quiet",
    "--results",
];

fn long_run(uri: &str, results: &TempDir, more: &[&str]) -> Command {
    let mut command = orderstorm(&LONG);
    command.arg(results.path()).args(more).env("AMQP_URL", uri);
    command
}

/// Where a broker for child processes is; `Stand` and child must live as long as the test.
async fn stand() -> (Stand, String) {
    let stand = Stand::start().await;
    let uri = stand.uri().expose_for_client();
    (stand, uri)
}

/// Waits until the run under way in `results` has load on its queues; its manifest.
async fn under_load(uri: &BrokerUri, results: &Path) -> Manifest {
    let manifest = eventually("the run's manifest", || manifest_in(results)).await;
    let spy = Spy::connect(uri).await;
    let prefix = prefix(&manifest);
    let mut copies = spy.copies(&prefix, "order.created").await;
    copies.take(20).await;
    manifest
}

fn prefix(manifest: &Manifest) -> String {
    let first = &manifest.trials[0].queues[0];
    first
        .strip_suffix(".order.queue")
        .expect("the order stage's queue")
        .to_owned()
}

/// Objects of the manifest that are on the broker.
async fn left_on(uri: &BrokerUri, manifest: &Manifest) -> Vec<String> {
    let spy = Spy::connect(uri).await;
    let mut left = Vec::new();
    for trial in &manifest.trials {
        for queue in &trial.queues {
            if spy.queue(queue).await.is_some() {
                left.push(queue.clone());
            }
        }
        for exchange in &trial.exchanges {
            if spy.has_exchange(exchange).await {
                left.push(exchange.clone());
            }
        }
    }
    left
}

/// The whole result folder of a run that ended early.
fn kept(results: &TempDir) -> (PathBuf, record::RunRecord) {
    let folder = only_entry(results.path());
    for file in [
        "complete",
        "run.json",
        "workload.toml",
        "summary.csv",
        "stages.csv",
        "series.csv",
        "latency.hlog",
    ] {
        assert!(folder.join(file).exists(), "{file} is missing in {}", folder.display());
    }
    for file in ["report.html", "charts/throughput.svg", "charts/throughput.png"] {
        assert!(folder.join(file).exists(), "{file} is missing in {}", folder.display());
    }
    let record = record::read(&folder).expect("run.json");
    (folder, record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_signal_saves_what_was_measured_and_leaves_nothing_on_the_broker() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
        let run = Running::start(&mut long_run(&uri, &results, &[]));
        let manifest = under_load(stand.uri(), results.path()).await;
        assert!(
            !left_on(stand.uri(), &manifest).await.is_empty(),
            "the run is on the broker"
        );
        run.signal(signal);
        let said = run.said();
        assert_eq!(said.code, Some(130), "{signal}: {said:#?}");
        assert!(said.err.contains("interrupted"), "{said:#?}");
        let (folder, record) = kept(&results);
        assert!(said.out.contains(&folder.display().to_string()), "{said:#?}");
        assert_eq!(record.outcome.exit_code, 130);
        assert!(
            record.outcome.reason.contains("interrupted"),
            "{}",
            record.outcome.reason
        );
        let trial = &record.trials[0];
        assert!(
            trial.orders.published >= 20 && trial.orders.published < 3_000,
            "{:?}",
            trial.orders
        );
        assert!(
            trial.orders.measured >= 10 && trial.drain.drained,
            "{:?} {:?}",
            trial.orders,
            trial.drain
        );
        assert_eq!(trial.ledger.fates.total(), trial.orders.published);
        assert_eq!((trial.ledger.fates.lost, trial.verdict), (0, Verdict::Unknown));
        assert_eq!(left_on(stand.uri(), &manifest).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_leaves_no_file_of_its_stores() {
    let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
    let scratch = tempfile::tempdir().expect("a directory");
    let outbox = [
        "--set",
        "stage.payment.store=sqlite",
        "--set",
        "stage.payment.publish=outbox",
    ];
    let run = Running::start(long_run(&uri, &results, &outbox).env("TMPDIR", scratch.path()));
    under_load(stand.uri(), results.path()).await;
    assert!(only_entry(scratch.path()).join("payment.sqlite").exists());
    run.signal(Signal::SIGINT);
    assert_eq!(run.said().code, Some(130));
    let left: Vec<_> = std::fs::read_dir(scratch.path()).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_leaves_at_once() {
    let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
    // The drain of an interrupted run would take its five seconds here.
    let slow = ["--set", "stage.payment.service_time=10s"];
    let run = Running::start(&mut long_run(&uri, &results, &slow));
    let manifest = under_load(stand.uri(), results.path()).await;
    run.signal(Signal::SIGINT);
    // Two signals close together are one wish: terminals and supervisors may deliver it twice.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let began = std::time::Instant::now();
    run.signal(Signal::SIGINT);
    let said = run.said();
    assert_eq!(said.code, Some(130), "{said:#?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(said.err.contains("leaving at once"), "{said:#?}");
    // The partial folder lists what is left, for a clean-up.
    let folder = only_entry(results.path());
    assert!(
        folder.display().to_string().ends_with(".partial"),
        "{}",
        folder.display()
    );
    assert_eq!(Manifest::read(&folder).expect("a manifest"), manifest);
    clean_up(&folder, &uri, &stand, &manifest).await;
}

/// `orderstorm cleanup` takes everything off the broker, and may be called again.
async fn clean_up(folder: &Path, uri: &str, stand: &Stand, manifest: &Manifest) {
    for _ in 0..2 {
        let folder = folder.to_str().expect("UTF-8");
        let said = finish(orderstorm(&["cleanup", folder]).env("AMQP_URL", uri));
        said.says(&["objects of the run are off"]);
        assert_eq!(left_on(stand.uri(), manifest).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_driver_left_is_taken_off_by_cleanup_and_nothing_else() {
    let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
    let run = Running::start(&mut long_run(&uri, &results, &[]));
    let manifest = under_load(stand.uri(), results.path()).await;
    run.signal(Signal::SIGKILL);
    assert_eq!(run.said().code, None);
    let left = left_on(stand.uri(), &manifest).await;
    let listed = manifest.trials[0].queues.len() + manifest.trials[0].exchanges.len();
    assert_eq!(left.len(), listed, "{left:?}");
    let foreign = format!("{}.of-somebody-else", prefix(&manifest));
    let spy = Spy::connect(stand.uri()).await;
    spy.declare_queue(&foreign).await;
    clean_up(&only_entry(results.path()), &uri, &stand, &manifest).await;
    assert!(
        spy.queue(&foreign).await.is_some(),
        "only what the manifest lists may go"
    );
    spy.delete_queue(&foreign).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_in_the_middle_ends_the_run_with_its_result() {
    let results = tempfile::tempdir().expect("a directory");
    let (broker, uri) = broker();
    let run = Running::start(&mut long_run(&uri, &results, &["--set", "recovery.give_up_after=1s"]));
    let address: BrokerUri = uri.parse().expect("the broker's own address");
    under_load(&address, results.path()).await;
    broker.signal(Signal::SIGKILL);
    let said = run.said();
    assert_eq!(said.code, Some(1), "{said:#?}");
    let (_, record) = kept(&results);
    let trial = &record.trials[0];
    let why = trial.aborted.as_ref().expect("why the trial was cut short");
    assert!(why.contains("was lost"), "{why}");
    // The terminal's lines are wrapped.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&said.out).contains(&words(why)), "{why}: {said:#?}");
    assert_eq!(record.outcome.exit_code, 1);
    assert_eq!(
        (trial.verdict, trial.ledger.residue_complete),
        (Verdict::Unknown, false)
    );
    assert!(
        trial.orders.measured > 0 && trial.ledger.fates.total() == trial.orders.published,
        "{:?}",
        trial.orders
    );
    let warned = trial
        .validity
        .warnings
        .iter()
        .any(|warning| warning.contains("orderstorm cleanup"));
    assert!(warned, "{:?}", trial.validity.warnings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_interrupted_between_its_trials_keeps_those_that_were() {
    let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
    let more = ["--set", "load.duration=300ms", "--set", "trial.repeats=500"];
    let run = Running::start(&mut long_run(&uri, &results, &more));
    let two = || manifest_in(results.path()).filter(|manifest| manifest.trials.len() >= 3);
    eventually("the third trial", two).await;
    run.signal(Signal::SIGINT);
    let said: Said = run.said();
    assert_eq!(said.code, Some(130), "{said:#?}");
    let (folder, record) = kept(&results);
    assert!((2..10).contains(&record.trials.len()), "{} trials", record.trials.len());
    assert_eq!(record.trials[0].ledger.fates.total(), 30);
    let manifest = Manifest::read(&folder).expect("a manifest");
    assert_eq!(left_on(stand.uri(), &manifest).await, Vec::<String>::new());
}

/// Payments in two worker processes, in a storm: one is killed again and again, one is stopped for longer than anybody waits.
const STORM: [&str; 24] = [
    "--set",
    "stage.payment.placement=process",
    "--set",
    "stage.payment.processes=2",
    "--set",
    "stage.payment.consumers=2",
    "--set",
    "stage.payment.store=sqlite",
    "--set",
    "stage.payment.service_time=5ms",
    "--set",
    "faults.1.what=sigkill",
    "--set",
    "faults.1.stage=payment",
    "--set",
    "faults.1.every=300ms",
    "--set",
    "faults.1.times=2",
    "--set",
    "faults.2.what=sigstop",
    "--set",
    "faults.2.stage=payment",
    "--set",
    "faults.2.at=1500ms",
];

/// Waits until `driver` has two workers, and one of them is stopped.
async fn under_storm(driver: u32) -> Vec<u32> {
    eventually("a stopped worker", || {
        let workers = workers_of(driver);
        (workers.len() == 2 && workers.iter().any(|pid| is_stopped(*pid))).then_some(workers)
    })
    .await
}

async fn all_gone(workers: &[u32]) {
    eventually("the end of all workers", || {
        workers.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_in_the_middle_of_a_storm_leaves_no_worker_and_no_queue() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
        let storm = [&STORM[..], &["--set", "faults.2.lasts=50s"]].concat();
        // Where a killed driver leaves the files of its stores.
        let scratch = tempfile::tempdir().expect("a directory");
        let run = Running::start(long_run(&uri, &results, &storm).env("TMPDIR", scratch.path()));
        let manifest = under_load(stand.uri(), results.path()).await;
        let workers = under_storm(run.pid()).await;
        run.signal(signal);
        let said = run.said();
        all_gone(&workers).await;
        if signal == Signal::SIGKILL {
            assert_eq!(said.code, None);
            continue;
        }
        assert_eq!(said.code, Some(130), "{signal}: {said:#?}");
        let (_, record) = kept(&results);
        let trial = &record.trials[0];
        assert_eq!((trial.aborted.as_ref(), trial.ledger.fates.lost), (None, 0));
        assert_eq!(left_on(stand.uri(), &manifest).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_breaks_off_in_the_middle_of_a_storm_leaves_no_worker() {
    let stand = Stand::start().await;
    let mut settings: Vec<&str> = STORM.into_iter().filter(|word| *word != "--set").collect();
    settings.extend(["faults.2.lasts=50s", "load.duration=1m"]);
    let run = support::drive::start(&stand, &settings);
    // No other run of this program has workers in it.
    let workers = under_storm(std::process::id()).await;
    run.breaks_off().await;
    all_gone(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_with_nobody_having_planned_it_ends_the_run() {
    const SMS: [&str; 4] = [
        "--set",
        "stage.sms.placement=process",
        "--set",
        "stage.sms.store=sqlite",
    ];
    let ((stand, uri), results) = (stand().await, tempfile::tempdir().expect("a directory"));
    let run = Running::start(&mut long_run(&uri, &results, &SMS));
    under_load(stand.uri(), results.path()).await;
    let worker = workers_of(run.pid())[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker as i32), Signal::SIGKILL).expect("it lives");
    let said = run.said();
    assert_eq!(said.code, Some(1), "{said:#?}");
    let (_, record) = kept(&results);
    let why = record.trials[0].aborted.as_deref().expect("cut short");
    for part in [
        "worker process 0 of the sms stage",
        "nobody had planned it",
        "signal: 9",
    ] {
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_worker_without_a_driver_says_so() {
    let said = support::program::say(&["worker"]);
    said.fails(1, &["started by `orderstorm run`, not by hand"]);
}

#[test]
fn a_broker_of_our_own_ends_at_a_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (broker, uri) = broker();
        broker.signal(signal);
        let said = broker.said();
        assert!(uri.starts_with("amqp://guest:guest@127.0.0.1:"), "{uri}");
        assert_eq!(said.code, Some(0), "{signal}: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_side_by_side_on_one_broker_do_not_meet() {
    let stand = Stand::start().await;
    let runs: Vec<_> = (0..3)
        .map(|_| support::drive::start(&stand, &["load.orders=40", "load.rate=100/s"]))
        .collect();
    for run in runs {
        let done = run.done().await;
        let ledger = &done.trial().ledger;
        assert_eq!(
            (ledger.fates.completed, done.trial().verdict),
            (40, Verdict::Pass),
            "{:#?}",
            done.trial().promises
        );
        assert_eq!(done.trial().messages.malformed, 0, "no message of another run");
    }
}
