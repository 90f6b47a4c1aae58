//! One run: broker, folder, trials, verdict.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::manifest::{self, CleanupError, Manifest, clean_up};
use super::provenance;
use super::snapshot::{Phase, Snapshot};
use super::trial::{self, Stand, TrialError};
use super::watch::Files;
use crate::amqp::uri::BrokerUri;
use crate::broker::management::{ManagementClient, ManagementError};
use crate::broker::{BrokerChoice, BrokerError, BrokerInfo, Resource, RunningBroker, StartOptions};
use crate::clock::{self, Clock};
use crate::ledger::{PromiseReport, Verdict};
use crate::plan::{Cell, Plan, Varied};
use crate::report::{self, ReportError};
use crate::results::hlog::HlogWriter;
use crate::results::record::{
    BrokerRecord, CellRecord, DriverCeiling, METHOD_VERSION, Outcome, RunRecord, SCHEMA_VERSION, SettingRecord, Tool,
    TrialRecord, VariedRecord,
};
use crate::results::series::{SeriesError, SeriesWriter};
use crate::results::{FolderError, RunFolder};
use crate::timer::Timer;
use crate::wire::topology::Declared;
use crate::workload::check::{Origin, Setting};
use crate::workload::model::Faults;

/// What to run.
#[derive(Debug)]
pub struct RunRequest {
    /// The plan.
    pub plan: Plan,
    /// The broker.
    pub choice: BrokerChoice,
    /// How to start it.
    pub start: StartOptions,
    /// Where result folders go.
    pub results: PathBuf,
    /// The command that repeats the run, without secrets.
    pub command: String,
    /// The driver's ceiling, if it was measured ([`super::measure_ceiling`]).
    pub ceiling: Option<DriverCeiling>,
}

/// The user's wish to stop: once, and the run saves what it has.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(pub CancellationToken);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan asks for something that this broker cannot do.
    #[error(
        "fault.broker_pause needs a broker whose process the run may stop\nhelp: use --broker managed, or leave the fault out"
    )]
    CannotPause,
    /// As above, for an alarm.
    #[error(
        "{fault} needs a broker whose limits the run may change\nhelp: use --broker {brokers}, or leave the fault out"
    )]
    CannotAlarm {
        /// The fault's section.
        fault: &'static str,
        /// Which can.
        brokers: &'static str,
    },
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No series file.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// No log or timer.
    #[error("cannot start the run: {0}")]
    Io(#[from] std::io::Error),
    /// The first trial did not begin.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Something was measured and could not be saved whole.
    #[error("the result could not be saved whole: {source}\nhelp: what could be written is in {}", folder.display())]
    Unsaved {
        /// Where the rest is.
        folder: PathBuf,
        /// Everything that was measured.
        record: Box<RunRecord>,
        /// Why.
        source: SaveError,
    },
}

/// Why a result could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file of the run folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The latency log, or the record as JSON.
    #[error("cannot write the run's files: {0}")]
    Io(#[from] std::io::Error),
    /// A table, a chart or the page; the record itself is whole.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl RunError {
    /// Whether the command line or the workload is at fault.
    pub fn is_usage(&self) -> bool {
        match self {
            RunError::CannotPause | RunError::CannotAlarm { .. } => true,
            RunError::Broker(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// A run with its folder.
#[derive(Debug)]
pub struct Finished {
    /// Everything.
    pub record: RunRecord,
    /// The result folder.
    pub folder: PathBuf,
}

/// Runs a plan. `announce` is called as soon as the broker is known.
///
/// # Errors
/// [`RunError`] when nothing could be measured; what was put on the broker is taken off again.
pub async fn run(
    request: RunRequest,
    screen: &Sender<Snapshot>,
    interrupt: &Interrupt,
    announce: impl FnOnce(&BrokerInfo),
) -> Result<Finished, RunError> {
    for cell in &request.plan.cells {
        check_faults(&cell.workload.faults, &request.choice)?;
    }
    let started = clock::wall_time();
    let run_id = random_id();
    let id = format!("{}-{}-{run_id}", request.plan.name, clock::compact(started));
    let folder = RunFolder::create(&request.results, &id)?;
    let mut leave = Leave { folder: Some(folder) };
    leave.folder().write("workload.toml", request.plan.text.as_bytes())?;
    screen.send_replace(Snapshot {
        trials: request.plan.trials.len() as u32,
        ..Snapshot::default()
    });
    let starting = RunningBroker::start(&request.choice, &request.start);
    let broker = tokio::select! {
        broker = starting => Arc::new(broker?),
        () = interrupt.0.cancelled() => return Err(TrialError::from(interrupted_early()).into()),
    };
    announce(broker.info());
    let mut run = Run {
        request: &request,
        run_id,
        started,
        broker,
        id,
        screen,
        interrupt,
    };
    let result = run.trials(&mut leave).await;
    // Whatever came of the trials, the broker of our own goes.
    if let Some(broker) = Arc::into_inner(run.broker) {
        broker.stop().await?;
    }
    result
}

/// What a broker cannot be told to do is refused before anything is touched.
fn check_faults(faults: &Faults, choice: &BrokerChoice) -> Result<(), RunError> {
    if faults.broker_pause.is_some() && !choice.can_pause() {
        return Err(RunError::CannotPause);
    }
    if faults.memory_alarm.is_some() && !choice.can_alarm(Resource::Memory) {
        return Err(RunError::CannotAlarm {
            fault: "fault.memory_alarm",
            brokers: "managed or --broker embedded",
        });
    }
    if faults.disk_alarm.is_some() && !choice.can_alarm(Resource::Disk) {
        return Err(RunError::CannotAlarm {
            fault: "fault.disk_alarm",
            brokers: "managed",
        });
    }
    Ok(())
}

async fn may_make_vhosts(management: &ManagementClient) -> bool {
    management
        .whoami()
        .await
        .is_ok_and(|me| me.tags.iter().any(|tag| tag == "administrator"))
}

async fn make_vhost(management: &ManagementClient, name: &str) -> Result<(), ManagementError> {
    management.create_vhost(name).await?;
    management.grant_own_user(name).await
}

/// Writes everything, the record first; the folder gets its name only when it is whole.
fn save(folder: RunFolder, record: &RunRecord, logged: std::io::Result<()>) -> Result<PathBuf, SaveError> {
    let json = serde_json::to_vec_pretty(record).map_err(std::io::Error::other)?;
    folder.write("run.json", &json)?;
    logged?;
    report::write_all(folder.path(), record)?;
    Ok(folder.finish()?)
}

/// Eight random hexadecimal digits. Runs on one broker tell their objects apart by it, and each deletes its own at its end:
/// two that share an id would share queues, and the first to end would take them from the other.
fn random_id() -> String {
    // The standard library's hasher is keyed by the system's random numbers; its seed is all that is wanted of it.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{:08x}", random as u32)
}

fn interrupted_early() -> crate::amqp::AmqpError {
    crate::amqp::AmqpError::Method {
        doing: "start the broker".to_owned(),
        why: "interrupted".to_owned(),
    }
}

/// Removes a folder in which nothing was measured.
#[derive(Debug)]
struct Leave {
    folder: Option<RunFolder>,
}

impl Leave {
    fn folder(&self) -> &RunFolder {
        self.folder.as_ref().expect("the folder is taken once, at the end")
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // It holds the workload's text and at most a manifest of objects that are gone.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

struct Run<'a> {
    request: &'a RunRequest,
    run_id: String,
    started: std::time::SystemTime,
    broker: Arc<RunningBroker>,
    id: String,
    screen: &'a Sender<Snapshot>,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    async fn trials(&mut self, leave: &mut Leave) -> Result<Finished, RunError> {
        let plan = &self.request.plan;
        let clock = Clock::start();
        let path = leave.folder().path().to_owned();
        let mut files = Files {
            series: SeriesWriter::create(&path.join("series.csv"))?,
            hlog: HlogWriter::start(&path.join("latency.hlog"), clock::wall_time())?,
            hlog_began: clock.now(),
        };
        let (uri, mut manifest) = self.vhost(leave.folder()).await?;
        let mut stand = Stand {
            plan,
            workload: Arc::clone(&plan.cells[0].workload),
            broker: &self.broker,
            uri,
            run_id: self.run_id.clone(),
            clock,
            timer: Timer::start(clock)?,
            interrupt: self.interrupt.0.clone(),
            screen: self.screen,
            cores: provenance::cores(),
        };
        let mut trials: Vec<TrialRecord> = Vec::new();
        let mut failure: Option<RunError> = None;
        for trial in &plan.trials {
            stand.workload = Arc::clone(plan.workload(trial));
            manifest
                .trials
                .push(stand.topology(trial.trial).declared(&stand.workload.topology));
            if let Err(error) = leave.folder().write(manifest::FILE, &manifest.to_bytes()) {
                failure = Some(error.into());
                break;
            }
            let outcome = trial::run(&stand, trial, &mut files).await;
            let cleaned = self.clean_trial(&manifest).await;
            match outcome {
                Ok(mut record) => {
                    note_clean_up(&mut record, &stand.workload, cleaned);
                    trials.push(record);
                }
                Err(error) => failure = Some(error.into()),
            }
            let aborted = trials.last().is_some_and(|trial| trial.aborted.is_some());
            if failure.is_some() || aborted || self.interrupt.0.is_cancelled() {
                break;
            }
        }
        self.drop_vhost(&manifest).await;
        let Files { series, hlog, .. } = files;
        drop(series);
        let logged = hlog.finish();
        match failure {
            // Trials that went before are kept.
            Some(error) if trials.is_empty() => Err(error),
            failure => self.persist(leave, trials, failure, logged),
        }
    }

    /// A virtual host of the run's own where the broker's API lets us make one; else the given one, with prefixed names.
    /// The manifest is written before anything is made.
    async fn vhost(&self, folder: &RunFolder) -> Result<(BrokerUri, Manifest), FolderError> {
        let given = self.broker.uri().clone();
        if let Some(management) = self.broker.management().filter(|_| self.broker.node().is_none())
            && may_make_vhosts(management).await
        {
            let own = given.with_vhost(&format!("orderstorm-{}", self.run_id));
            let manifest = Manifest::new(&own, true);
            folder.write(manifest::FILE, &manifest.to_bytes())?;
            if make_vhost(management, own.vhost()).await.is_ok() {
                return Ok((own, manifest));
            }
        }
        let manifest = Manifest::new(&given, false);
        folder.write(manifest::FILE, &manifest.to_bytes())?;
        Ok((given, manifest))
    }

    /// Deletes the last trial's objects; says how many of the run's are left, where somebody can look.
    async fn clean_trial(&self, manifest: &Manifest) -> Result<Option<u64>, CleanupError> {
        let only: Vec<Declared> = manifest.trials.last().cloned().into_iter().collect();
        let here = Manifest {
            own_vhost: false,
            trials: only,
            ..manifest.clone()
        };
        clean_up(&here, &self.broker).await?;
        let Some(management) = self.broker.management() else {
            return Ok(None);
        };
        let prefix = format!("orderstorm.{}.", self.run_id);
        let queues = management
            .queues(&manifest.vhost)
            .await?
            .into_iter()
            .map(|queue| queue.name);
        let exchanges = management
            .exchanges(&manifest.vhost)
            .await?
            .into_iter()
            .map(|exchange| exchange.name);
        Ok(Some(
            queues.chain(exchanges).filter(|name| name.starts_with(&prefix)).count() as u64,
        ))
    }

    async fn drop_vhost(&self, manifest: &Manifest) {
        if manifest.own_vhost {
            // A failure leaves an empty vhost; the manifest in the result names it for `orderstorm cleanup`.
            let _ = clean_up(
                &Manifest {
                    trials: Vec::new(),
                    ..manifest.clone()
                },
                &self.broker,
            )
            .await;
        }
    }

    fn persist(
        &self,
        leave: &mut Leave,
        trials: Vec<TrialRecord>,
        failure: Option<RunError>,
        logged: std::io::Result<()>,
    ) -> Result<Finished, RunError> {
        self.screen.send_modify(|snapshot| snapshot.phase = Phase::Persist);
        let record = self.record(trials, failure);
        let folder = leave.folder.take().expect("the folder is taken once, here");
        let partial = folder.path().to_owned();
        match save(folder, &record, logged) {
            Ok(folder) => Ok(Finished { record, folder }),
            Err(source) => Err(RunError::Unsaved {
                folder: partial,
                record: Box::new(record),
                source,
            }),
        }
    }

    fn record(&self, trials: Vec<TrialRecord>, failure: Option<RunError>) -> RunRecord {
        let info = self.broker.info();
        let plan = &self.request.plan;
        RunRecord {
            schema_version: SCHEMA_VERSION,
            method_version: METHOD_VERSION,
            id: self.id.clone(),
            started: clock::rfc3339(self.started),
            finished: clock::rfc3339(clock::wall_time()),
            outcome: outcome(&trials, failure.as_ref(), self.interrupt.0.is_cancelled()),
            command: self.request.command.clone(),
            tool: Tool {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                client: "lapin 4".to_owned(),
                build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            },
            commit: provenance::commit(),
            machine: provenance::machine(),
            broker: BrokerRecord {
                kind: info.kind.to_owned(),
                product: info.product.clone(),
                version: info.version.clone(),
                platform: info.platform.clone(),
                address: info.address.clone(),
                co_located: info.co_located,
            },
            driver_ceiling: self.request.ceiling.clone(),
            name: plan.name.clone(),
            question: plan.question.clone(),
            cells: plan.cells.iter().map(cell_record).collect(),
            rng: crate::rng::ALGORITHM.to_owned(),
            trials,
        }
    }
}

fn cell_record(cell: &Cell) -> CellRecord {
    let setting = |setting: &Setting| SettingRecord {
        path: setting.path.clone(),
        value: setting.value.clone(),
        origin: match setting.origin {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::CommandLine => "command line",
        }
        .to_owned(),
    };
    let varied = |varied: &Varied| VariedRecord {
        dimension: varied.dimension.clone(),
        value: varied.value.clone(),
        number: varied.number,
    };
    CellRecord {
        label: cell.label.clone(),
        varied: cell.varied.iter().map(varied).collect(),
        workload: (*cell.workload).clone(),
        settings: cell.settings.iter().map(setting).collect(),
    }
}

/// The clean-up's finding joins the trial's promises; what could not be cleaned is a warning with its remedy.
fn note_clean_up(
    record: &mut TrialRecord,
    workload: &crate::workload::Workload,
    cleaned: Result<Option<u64>, CleanupError>,
) {
    match cleaned {
        Ok(left_behind) => {
            let observed = crate::ledger::Observed {
                left_behind,
                drained: record.drain.drained,
                ..Default::default()
            };
            let found = crate::ledger::judge(workload, &record.ledger, &observed);
            let left: Vec<PromiseReport> = found
                .into_iter()
                .filter(|promise| promise.name == "nothing_left_behind")
                .collect();
            record.verdict = left
                .iter()
                .map(|promise| promise.verdict)
                .fold(record.verdict, Verdict::max);
            record.promises.extend(left);
        }
        Err(error) => {
            let says = format!("the broker could not be cleaned up: {error}; `orderstorm cleanup RUN` does it later");
            record.validity.warnings.push(says);
        }
    }
}

/// The worst of everything, and the process's exit code.
fn outcome(trials: &[TrialRecord], failure: Option<&RunError>, interrupted: bool) -> Outcome {
    let verdict = trials
        .iter()
        .map(|trial| trial.verdict)
        .max()
        .unwrap_or(Verdict::Unknown);
    let broken: Vec<&str> = trials
        .iter()
        .flat_map(|trial| &trial.promises)
        .filter(|promise| promise.verdict == Verdict::Fail && promise.not_given_because.is_none())
        .map(|promise| promise.name.as_str())
        .collect();
    let aborted = trials
        .iter()
        .find_map(|trial| trial.aborted.clone())
        .or_else(|| failure.map(ToString::to_string));
    let invalid = trials.iter().flat_map(|trial| &trial.validity.reasons).next();
    let (exit_code, reason) = if interrupted {
        (130, "interrupted; what was measured is kept".to_owned())
    } else if !broken.is_empty() {
        (3, format!("a promise was broken: {}", broken.join(", ")))
    } else if let Some(why) = aborted {
        (1, why)
    } else if let Some(why) = invalid {
        (5, why.clone())
    } else if verdict == Verdict::Unknown {
        (
            5,
            "inconclusive: the pipeline did not run empty by the deadline, or nothing was confirmed".to_owned(),
        )
    } else {
        (0, "every promise that the configuration gives was kept".to_owned())
    };
    Outcome {
        verdict,
        exit_code,
        reason,
    }
}
