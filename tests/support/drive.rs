//! Runs inside this process, so that a test can look at the broker while they go on.

use std::path::{Path, PathBuf};

use orderstorm::amqp::uri::BrokerUri;
use orderstorm::broker::{BrokerChoice, StartOptions};
use orderstorm::events::Stage;
use orderstorm::ledger::PromiseReport;
use orderstorm::measure::Summary;
use orderstorm::pipeline::store::postgres::PostgresAddress;
use orderstorm::plan::Plan;
use orderstorm::results::record::{RunRecord, StageRecord, TrialRecord};
use orderstorm::runner::{Finished, Interrupt, Manifest, RunError, RunRequest, Snapshot, run};
use orderstorm::workload::check::check;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::stand::Stand;
use super::{eventually, in_time};

/// The plan of an empty workload file with these `KEY=VALUE` settings.
///
/// # Panics
/// When it is refused.
pub fn plan(settings: &[&str]) -> Plan {
    plan_of("", settings)
}

/// The plan of a workload file with this text and these `KEY=VALUE` settings.
///
/// # Panics
/// When it is refused.
pub fn plan_of(text: &str, settings: &[&str]) -> Plan {
    let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let checked = check("effect.toml", "effect", text.to_owned(), &overrides);
    Plan::new(checked.unwrap_or_else(|error| panic!("{error}")))
}

/// The setting for each client, for what must hold over both.
pub const CLIENTS: [&str; 2] = ["driver.client=lapin", "driver.client=direct"];

/// A run under way.
#[derive(Debug)]
pub struct Running {
    results: TempDir,
    task: JoinHandle<Result<Finished, RunError>>,
    /// Stops it as Ctrl-C does.
    pub interrupt: Interrupt,
}

/// A run with its result.
#[derive(Debug)]
pub struct Done {
    /// What was recorded.
    pub record: RunRecord,
    /// The result folder; gone with this value.
    pub folder: PathBuf,
    _results: TempDir,
}

/// Starts a run of `settings` against the broker at `uri`.
pub fn start_at(uri: &BrokerUri, settings: &[&str]) -> Running {
    start_on(BrokerChoice::External(Box::new(uri.clone())), None, settings)
}

/// Runs `settings` to the end on an embedded broker of the run's own, which it may also steer.
pub async fn run_embedded(settings: &[&str]) -> Done {
    start_on(BrokerChoice::Embedded, None, settings).done().await
}

/// Runs `settings` to the end on a broker of its own, with stores on the PostgreSQL server at `address`.
pub async fn run_with_postgres(address: &PostgresAddress, settings: &[&str]) -> Done {
    let stand = Stand::start().await;
    let choice = BrokerChoice::External(Box::new(stand.uri().clone()));
    start_on(choice, Some(address.clone()), settings).done().await
}

/// Starts a run of `settings` on a private RabbitMQ node of the run's own, of this server.
pub fn start_managed(server: &Path, settings: &[&str]) -> Running {
    start_managed_plan(server, plan(settings))
}

/// Starts a run of `plan` on a private RabbitMQ of the run's own, of this server.
pub fn start_managed_plan(server: &Path, plan: Plan) -> Running {
    let start = StartOptions {
        server: Some(server.to_owned()),
        ..StartOptions::default()
    };
    start_plan(BrokerChoice::Managed, start, None, plan)
}

fn start_on(choice: BrokerChoice, postgres: Option<PostgresAddress>, settings: &[&str]) -> Running {
    let start = StartOptions {
        // Nobody listens there: whatever management API this machine has is none of the test's broker.
        management: Some("http://127.0.0.1:9".to_owned()),
        ..StartOptions::default()
    };
    start_with(choice, start, postgres, settings)
}

fn start_with(
    choice: BrokerChoice,
    start: StartOptions,
    postgres: Option<PostgresAddress>,
    settings: &[&str],
) -> Running {
    start_plan(choice, start, postgres, plan(settings))
}

fn start_plan(choice: BrokerChoice, start: StartOptions, postgres: Option<PostgresAddress>, plan: Plan) -> Running {
    let results = tempfile::tempdir().expect("a temporary directory");
    let interrupt = Interrupt::default();
    let request = RunRequest {
        plan,
        choice,
        start,
        results: results.path().to_owned(),
        program: env!("CARGO_BIN_EXE_orderstorm").into(),
        command: "orderstorm run effect.toml".to_owned(),
        ceiling: None,
        report: orderstorm::report::Extent::Full,
        at_end: orderstorm::runner::AtEnd::Delete,
        postgres,
        search: None,
    };
    let asked = interrupt.clone();
    let task = tokio::spawn(async move {
        let (screen, _snapshots) = tokio::sync::watch::channel(Snapshot::default());
        run(request, &screen, &asked, |_| {}).await
    });
    Running {
        results,
        task,
        interrupt,
    }
}

/// Starts a run of `settings` on `stand`.
pub fn start(stand: &Stand, settings: &[&str]) -> Running {
    start_at(stand.uri(), settings)
}

/// Runs `settings` on `stand` to the end.
pub async fn run_on(stand: &Stand, settings: &[&str]) -> Done {
    start(stand, settings).done().await
}

/// Runs `settings` on a broker of its own.
pub async fn run_alone(settings: &[&str]) -> Done {
    run_on(&Stand::start().await, settings).await
}

/// The manifest of the one run in `results`, once it lists a trial.
pub fn manifest_in(results: &Path) -> Option<Manifest> {
    let folder = std::fs::read_dir(results).ok()?.next()?.ok()?.path();
    Manifest::read(&folder)
        .ok()
        .filter(|manifest| !manifest.trials.is_empty())
}

impl Running {
    /// Where its result goes.
    pub fn results(&self) -> &Path {
        self.results.path()
    }

    /// The prefix of all names of the first trial, once it is written down; the objects follow.
    pub async fn prefix(&self) -> String {
        let manifest = eventually("the run's manifest", || manifest_in(self.results.path())).await;
        let queue = &manifest.trials[0].queues[0];
        let prefix = queue
            .strip_suffix(".order.queue")
            .or(queue.strip_suffix(".email_notifications"));
        prefix
            .expect("the first queue is the order stage's or the work queue")
            .to_owned()
    }

    /// Breaks it off where it is, as a panic does: its parts are dropped.
    pub async fn breaks_off(self) {
        self.task.abort();
        let broken_off = self.task.await;
        assert!(broken_off.is_err_and(|error| error.is_cancelled()));
    }

    /// Waits for its end; why it could not run, if it could not.
    pub async fn ended(self) -> Result<Finished, RunError> {
        in_time("the end of the run", self.task).await.expect("no panic")
    }

    /// Waits for its end.
    pub async fn done(self) -> Done {
        let finished = in_time("the end of the run", self.task).await.expect("no panic");
        let Finished { record, folder } = finished.unwrap_or_else(|error| panic!("{error}"));
        Done {
            record,
            folder,
            _results: self.results,
        }
    }
}

impl Done {
    /// The first trial.
    pub fn trial(&self) -> &TrialRecord {
        &self.record.trials[0]
    }

    /// A stage of the first trial.
    pub fn stage(&self, stage: Stage) -> &StageRecord {
        let mut stages = self.trial().stages.iter();
        stages.find(|record| record.stage == stage).expect("every stage")
    }

    /// A latency series of the first trial.
    pub fn latency(&self, series: &str) -> &Summary {
        let mut all = self.trial().latencies.iter();
        all.find(|summary| summary.series == series)
            .unwrap_or_else(|| panic!("no series {series}"))
    }

    /// A promise of the first trial.
    pub fn promise(&self, name: &str) -> &PromiseReport {
        let mut all = self.trial().promises.iter();
        all.find(|promise| promise.name == name)
            .unwrap_or_else(|| panic!("no promise {name}"))
    }

    /// Names of the promises that the configuration gives and that were broken.
    pub fn broken(&self) -> Vec<&str> {
        let broken = self.trial().promises.iter().filter(|promise| {
            promise.not_given_because.is_none() && promise.verdict == orderstorm::ledger::Verdict::Fail
        });
        broken.map(|promise| promise.name.as_str()).collect()
    }

    /// Time and value of every row of `series.csv` with that name.
    pub fn series(&self, name: &str) -> Vec<(f64, f64)> {
        series_of(&self.folder, name)
    }

    /// The greatest value of a series.
    pub fn series_max(&self, name: &str) -> f64 {
        let values = self.series(name).into_iter().map(|(_, value)| value);
        values.reduce(f64::max).unwrap_or_else(|| panic!("no series {name}"))
    }
}

/// Time and value of every row of a folder's `series.csv` with that name.
pub fn series_of(folder: &Path, name: &str) -> Vec<(f64, f64)> {
    let mut rows = csv::Reader::from_path(folder.join("series.csv")).expect("series.csv");
    rows.deserialize()
        .map(|row| row.expect("trial, time, series, value"))
        .filter(|(_, _, series, _): &(u32, f64, String, f64)| series == name)
        .map(|(_, time_s, _, value)| (time_s, value))
        .collect()
}
