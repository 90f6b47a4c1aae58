//! One run: broker, folder, trials, verdict.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::between::{self, Found, Site};
use super::capacity::{self as search, Search};
use super::manifest::{self, CleanupError, Manifest, clean_up};
use super::outcome::{note_clean_up, outcome, so_far};
use super::provenance;
use super::resume::{Resume, ResumeError};
use super::snapshot::{Phase, Snapshot};
use super::stores::{Stores, schemas_of};
use super::trial::{self, Stand, TrialError};
use super::watch::Files;
use crate::amqp::uri::BrokerUri;
use crate::broker::management::{ManagementClient, ManagementError};
use crate::broker::{BrokerChoice, BrokerError, BrokerInfo, Resource, RunningBroker, StartOptions};
use crate::clock::{self, Clock};
use crate::pipeline::store::postgres::{PostgresAddress, PostgresError};
use crate::plan::{Cell, Plan, TrialPlan, Varied};
use crate::report::{self, Extent, ReportError};
use crate::results::hlog::HlogWriter;
use crate::results::record::{
    BrokerRecord, CellRecord, DriverCeiling, METHOD_VERSION, Progress, RunRecord, SCHEMA_VERSION, SettingRecord, Tool,
    TrialRecord, VariedRecord,
};
use crate::results::series::{SeriesError, SeriesWriter};
use crate::results::{FolderError, RunFolder};
use crate::results::{capacity, objective};
use crate::timer::Timer;
use crate::wire::topology::Declared;
use crate::workload::check::{Origin, Setting};
use crate::workload::model::{Client, Faults};

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
    /// What worker processes run: this program ([`super::own_program`]).
    pub program: PathBuf,
    /// The command that repeats the run, without secrets.
    pub command: String,
    /// The driver's ceiling, if it was measured ([`super::measure_ceiling`]).
    pub ceiling: Option<DriverCeiling>,
    /// How much of a report is made at the end.
    pub report: Extent,
    /// What becomes of the run's queues.
    pub at_end: AtEnd,
    /// The PostgreSQL server of the stores that are kept on one; absent: a throw-away cluster.
    pub postgres: Option<PostgresAddress>,
    /// Trials are not those of the plan, but what this search finds it needs.
    pub search: Option<Search>,
}

/// What becomes of a run's queues and exchanges at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// They are deleted.
    #[default]
    Delete,
    /// They stay, with what lies in them, until an hour after their last use or `orderstorm cleanup`.
    Keep,
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
    /// The plan asks for a cluster that this broker is not.
    #[error(
        "broker.nodes = {nodes}: a cluster is started by the run itself\nhelp: use --broker managed (it needs rabbitmq-server), or --set broker.nodes=1 with a workload that strikes no node"
    )]
    CannotCluster {
        /// Nodes asked for.
        nodes: u32,
    },
    /// The queues cannot stay.
    #[error("--keep: {0}")]
    CannotKeep(&'static str),
    /// As above, for a fault that takes the broker down.
    #[error(
        "fault {position} of the script ({what}) needs a broker that the run may stop and start on its data\nhelp: use --broker managed (it needs rabbitmq-server), or leave the fault out"
    )]
    CannotRestart {
        /// Its position in the script, from 1.
        position: usize,
        /// What it does.
        what: &'static str,
    },
    /// The run that was left cannot be gone on with here.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// What the run's last session left on the broker could not be taken off.
    #[error(
        "the broker could not be cleaned up after the run's last session: {0}\nhelp: `orderstorm cleanup RUN` says more"
    )]
    Cleanup(CleanupError),
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
    /// The plan promises what this broker cannot keep.
    #[error(
        "promises.survives_broker_restart cannot be given: the embedded broker keeps everything in memory\nhelp: use --broker managed (it needs rabbitmq-server) or the address of a RabbitMQ, or leave the promise out"
    )]
    CannotSurviveRestart,
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No database server.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
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
            RunError::CannotPause
            | RunError::CannotCluster { .. }
            | RunError::CannotRestart { .. }
            | RunError::CannotAlarm { .. }
            | RunError::CannotSurviveRestart
            | RunError::CannotKeep(_)
            | RunError::Resume(_) => true,
            RunError::Broker(error) => error.is_usage(),
            RunError::Postgres(error) => error.is_usage(),
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
    check_nodes(&request)?;
    check_promises(&request.plan, request.choice.survives_restart())?;
    check_keep(&request)?;
    let started = clock::wall_time();
    let run_id = random_id();
    let id = format!("{}-{}-{run_id}", request.plan.name, clock::compact(started));
    let folder = RunFolder::create(&request.results, &id)?;
    let mut leave = Leave {
        folder: Some(folder),
        is_new: true,
    };
    leave.folder().write("workload.toml", request.plan.text.as_bytes())?;
    let stores = start_stores(&request, interrupt).await?;
    let broker = start_broker(&request, screen, interrupt).await?;
    announce(broker.info());
    let plan = match &request.search {
        Some(search) => search.first_plan(),
        None => request.plan.clone(),
    };
    let mut run = Run {
        record: empty_record(&request, &plan, &broker, &stores, id, started),
        plan: Arc::new(plan),
        request: &request,
        run_id,
        left: None,
        broker,
        stores,
        screen,
        interrupt,
    };
    let result = run.trials(&mut leave).await;
    run.stop_broker().await?;
    result
}

/// Goes on with a run that was left: runs the trials that are missing, in the same folder. `request` must be the request of
/// that run.
///
/// # Errors
/// As [`run`], and [`RunError::Resume`] when plan or broker are not the run's; the folder is then as it was.
pub async fn resume(
    request: RunRequest,
    from: Resume,
    screen: &Sender<Snapshot>,
    interrupt: &Interrupt,
    announce: impl FnOnce(&BrokerInfo),
) -> Result<Finished, RunError> {
    for cell in &request.plan.cells {
        check_faults(&cell.workload.faults, &request.choice)?;
    }
    check_nodes(&request)?;
    check_promises(&request.plan, request.choice.survives_restart())?;
    check_keep(&request)?;
    let plan = match &request.search {
        Some(search) => search.replanted(&from.record),
        None => request.plan.clone(),
    };
    from.fits_plan(&plan)?;
    let stores = start_stores(&request, interrupt).await?;
    let broker = start_broker(&request, screen, interrupt).await?;
    announce(broker.info());
    let reopened = from.fits_broker(broker.info()).map_err(RunError::from);
    let reopened = reopened.and_then(|()| Ok(RunFolder::reopen(&from.folder)?));
    let finished: Vec<TrialRecord> = from.finished().cloned().collect();
    let mut record = from.record;
    record.trials = finished;
    record.database = stores.record();
    record.progress.resumed.push(clock::rfc3339(clock::wall_time()));
    if let (Some(search), Some(capacity)) = (&request.search, &mut record.capacity) {
        capacity.budget_s = search.record().budget_s;
    }
    let mut run = Run {
        record,
        plan: Arc::new(plan),
        request: &request,
        run_id: random_id(),
        left: from.manifest,
        broker,
        stores,
        screen,
        interrupt,
    };
    let result = match reopened {
        Ok(folder) => {
            let mut leave = Leave {
                folder: Some(folder),
                is_new: false,
            };
            run.trials(&mut leave).await
        }
        Err(error) => Err(error),
    };
    run.stop_broker().await?;
    result
}

async fn start_stores(request: &RunRequest, interrupt: &Interrupt) -> Result<Stores, RunError> {
    let starting = Stores::start(&request.plan, request.postgres.clone(), request.start.allow_remote);
    tokio::select! {
        stores = starting => Ok(stores?),
        () = interrupt.0.cancelled() => Err(TrialError::from(interrupted_early()).into()),
    }
}

async fn start_broker(
    request: &RunRequest,
    screen: &Sender<Snapshot>,
    interrupt: &Interrupt,
) -> Result<Arc<RunningBroker>, RunError> {
    screen.send_replace(Snapshot {
        trials: request.plan.trials.len() as u32,
        ..Snapshot::default()
    });
    let start = StartOptions {
        nodes: request.plan.nodes(),
        ..request.start.clone()
    };
    let starting = RunningBroker::start(&request.choice, &start);
    let broker = tokio::select! {
        broker = starting => broker?,
        () = interrupt.0.cancelled() => return Err(TrialError::from(interrupted_early()).into()),
    };
    check_promises(&request.plan, broker.info().survives_restart())?;
    Ok(Arc::new(broker))
}

/// The record of a run in which nothing has been measured yet.
fn empty_record(
    request: &RunRequest,
    plan: &Plan,
    broker: &RunningBroker,
    stores: &Stores,
    id: String,
    started: std::time::SystemTime,
) -> RunRecord {
    let info = broker.info();
    RunRecord {
        schema_version: SCHEMA_VERSION,
        method_version: METHOD_VERSION,
        id,
        started: clock::rfc3339(started),
        finished: clock::rfc3339(started),
        outcome: so_far(&[], plan.trials.len()),
        command: request.command.clone(),
        tool: tool(plan),
        commit: provenance::commit(),
        machine: provenance::machine(),
        broker: broker_record(info),
        database: stores.record(),
        driver_ceiling: request.ceiling.clone(),
        name: plan.name.clone(),
        question: plan.question.clone(),
        cells: plan.cells.iter().map(cell_record).collect(),
        capacity: request.search.as_ref().map(|search| search.record().clone()),
        rng: crate::rng::ALGORITHM.to_owned(),
        progress: Progress {
            trials_planned: plan.trials.len() as u32,
            overrides: plan.overrides.clone(),
            replay_folder: plan.folder.as_ref().map(|folder| folder.display().to_string()),
            resumed: Vec::new(),
        },
        trials: Vec::new(),
    }
}

/// What the broker says of itself.
pub(super) fn broker_record(info: &BrokerInfo) -> BrokerRecord {
    BrokerRecord {
        kind: info.kind.to_owned(),
        product: info.product.clone(),
        version: info.version.clone(),
        platform: info.platform.clone(),
        address: info.address.clone(),
        co_located: info.co_located,
        nodes: info.nodes,
    }
}

/// This program, and the clients that its cells use.
pub(super) fn tool(plan: &Plan) -> Tool {
    let mut clients: Vec<Client> = plan.cells.iter().map(|cell| cell.workload.driver.client).collect();
    clients.sort_unstable();
    clients.dedup();
    let names = clients.into_iter().map(|client| match client {
        Client::Lapin => "lapin 4",
        Client::Direct => "direct",
    });
    Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        client: names.collect::<Vec<_>>().join(", "),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
    }
}

/// What a broker cannot be told to do is refused before anything is touched.
fn check_faults(faults: &Faults, choice: &BrokerChoice) -> Result<(), RunError> {
    if let Some((position, what)) = faults.of_broker()
        && !choice.can_restart()
    {
        return Err(RunError::CannotRestart { position, what });
    }
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

/// Only a broker of the run's own has as many nodes as the run likes.
fn check_nodes(request: &RunRequest) -> Result<(), RunError> {
    match request.plan.nodes() {
        nodes if nodes > 1 && request.choice != BrokerChoice::Managed => Err(RunError::CannotCluster { nodes }),
        _ => Ok(()),
    }
}

/// What a broker cannot keep is refused before anything is put on it.
fn check_promises(plan: &Plan, survives_restart: bool) -> Result<(), RunError> {
    let promised = plan
        .cells
        .iter()
        .any(|cell| cell.workload.promises.survives_broker_restart);
    if promised && !survives_restart {
        return Err(RunError::CannotSurviveRestart);
    }
    Ok(())
}

/// Queues can stay only where the broker does, and of one trial only: the next one finds the broker empty.
fn check_keep(request: &RunRequest) -> Result<(), RunError> {
    if request.at_end == AtEnd::Delete {
        return Ok(());
    }
    if !matches!(request.choice, BrokerChoice::External(_)) {
        return Err(RunError::CannotKeep(
            "a managed or embedded broker is gone with its run\nhelp: name a broker that stays, with --broker amqp://…",
        ));
    }
    if request.plan.trials.len() > 1 {
        return Err(RunError::CannotKeep(
            "the queues of several trials cannot stay: each finds the broker empty\nhelp: run one trial: no matrix, trial.repeats = 1",
        ));
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
fn save(
    folder: RunFolder,
    record: &RunRecord,
    logged: std::io::Result<()>,
    extent: Extent,
) -> Result<PathBuf, SaveError> {
    write_record(&folder, record)?;
    logged?;
    match extent {
        Extent::Full => report::write_all(folder.path(), record)?,
        Extent::Tables => report::write_tables(folder.path(), record)?,
    }
    Ok(folder.finish()?)
}

fn write_record(folder: &RunFolder, record: &RunRecord) -> Result<(), SaveError> {
    let json = serde_json::to_vec_pretty(record).map_err(std::io::Error::other)?;
    Ok(folder.write("run.json", &json)?)
}

/// Eight random hexadecimal digits. Runs on one broker tell their objects apart by it, and each deletes its own at its end:
/// two that share an id would share queues, and the first to end would take them from the other.
pub(super) fn random_id() -> String {
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

/// Removes a new folder in which nothing was measured.
#[derive(Debug)]
struct Leave {
    folder: Option<RunFolder>,
    is_new: bool,
}

impl Leave {
    fn folder(&self) -> &RunFolder {
        self.folder.as_ref().expect("the folder is taken once, at the end")
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.is_new) {
            // It holds the workload's text and at most a manifest of objects that are gone.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

struct Run<'a> {
    request: &'a RunRequest,
    /// The request's plan, or what a search has made of it so far.
    plan: Arc<Plan>,
    run_id: String,
    /// What the run's last session may have left on the broker.
    left: Option<Manifest>,
    broker: Arc<RunningBroker>,
    stores: Stores,
    /// What has been measured so far.
    record: RunRecord,
    screen: &'a Sender<Snapshot>,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    async fn trials(&mut self, leave: &mut Leave) -> Result<Finished, RunError> {
        let clock = Clock::start();
        let broker = Arc::clone(&self.broker);
        self.clean_up_last_session().await?;
        let mut files = self.files(leave.folder().path(), clock)?;
        let (uri, mut manifest) = self.vhost(leave.folder()).await?;
        manifest.schemas = self.stores.schemas();
        let mut stand = Stand {
            plan: Arc::clone(&self.plan),
            workload: Arc::clone(&self.plan.cells[0].workload),
            broker: &broker,
            stores: self.stores.clone(),
            uri,
            run_id: self.run_id.clone(),
            clock,
            timer: Timer::start(clock)?,
            interrupt: self.interrupt.0.clone(),
            screen: self.screen,
            cores: provenance::cores(),
            program: &self.request.program,
            later_s: None,
            at_end: self.request.at_end,
        };
        let mut failure: Option<RunError> = self.checkpoint(leave.folder(), &mut files).err();
        let (mut pace, mut first) = (Pace::default(), true);
        while failure.is_none()
            && let Some(trial) = self.next_trial()
        {
            stand.plan = Arc::clone(&self.plan);
            let (plan, trial) = (&Arc::clone(&self.plan), &trial);
            stand.later_s = pace.later_s(plan, trial);
            let found = match std::mem::replace(&mut first, false) {
                true => Found::Empty,
                false => self.cool_down(&stand, &manifest, trial).await,
            };
            if self.interrupt.0.is_cancelled() {
                break;
            }
            stand.workload = Arc::clone(plan.workload(trial));
            manifest
                .trials
                .push(stand.topology(trial.trial).declared(&stand.workload));
            let schemas = schemas_of(&stand.workload, &self.run_id, trial.trial);
            if let Some(listed) = &mut manifest.schemas {
                listed.names.extend(schemas.iter().cloned());
            }
            if let Err(error) = leave.folder().write(manifest::FILE, &manifest.to_bytes()) {
                failure = Some(error.into());
                break;
            }
            let began = clock.now();
            let outcome = trial::run(&stand, trial, &mut files).await;
            let cleaned = match (self.request.at_end, &outcome) {
                // What broke off before its load left nothing to look at. The stores' tables go all the same.
                (AtEnd::Keep, Ok(_)) => self
                    .stores
                    .drop(schemas)
                    .await
                    .map(|_| None)
                    .map_err(CleanupError::from),
                _ => self.clean_trial(&manifest, schemas).await,
            };
            match outcome {
                Ok(mut record) => {
                    pace.took(plan, trial, clock.now() - began);
                    note_clean_up(&mut record, &stand.workload, cleaned);
                    note_found(&mut record, found);
                    self.record.trials.push(record);
                    failure = self.checkpoint(leave.folder(), &mut files).err();
                }
                Err(error) => failure = Some(error.into()),
            }
            let aborted = self.record.trials.last().is_some_and(|trial| trial.aborted.is_some());
            if aborted || self.interrupt.0.is_cancelled() {
                break;
            }
        }
        self.drop_vhost(&manifest).await;
        let Files { series, hlog, .. } = files;
        drop(series);
        let logged = hlog.finish();
        match failure {
            // Trials that went before are kept.
            Some(error) if self.record.trials.is_empty() => Err(error),
            failure => self.persist(leave, failure, logged),
        }
    }

    /// The first trial of the plan that has no record yet; what a search needs next is planned here.
    fn next_trial(&mut self) -> Option<TrialPlan> {
        let missing = |plan: &Plan, record: &RunRecord| {
            let is_missing = |planned: &&TrialPlan| !record.trials.iter().any(|trial| trial.trial == planned.trial);
            plan.trials.iter().find(is_missing).cloned()
        };
        let planned = missing(&self.plan, &self.record);
        let Some(search) = self.request.search.as_ref().filter(|_| planned.is_none()) else {
            return planned;
        };
        if search.extend(Arc::make_mut(&mut self.plan), &mut self.record) {
            self.record.progress.trials_planned = self.plan.trials.len() as u32;
        }
        missing(&self.plan, &self.record)
    }

    /// The files that grow, cut back to the trials that are kept.
    fn files(&self, path: &Path, clock: Clock) -> Result<Files, RunError> {
        let kept: Vec<u32> = self.record.trials.iter().map(|trial| trial.trial).collect();
        let now = clock::wall_time();
        let hlog = HlogWriter::resume(&path.join("latency.hlog"), &kept, now)?;
        Ok(Files {
            series: SeriesWriter::resume(&path.join("series.csv"), &kept)?,
            hlog_offset: now.duration_since(hlog.began()).unwrap_or_default(),
            hlog_began: clock.now(),
            hlog,
        })
    }

    /// Writes down what has been measured so far: whatever happens to this process now, it is there.
    fn checkpoint(&mut self, folder: &RunFolder, files: &mut Files) -> Result<(), RunError> {
        files.series.flush()?;
        files.hlog.flush();
        let record = &mut self.record;
        record.finished = clock::rfc3339(clock::wall_time());
        judge(record);
        record.outcome = so_far(&record.trials, record.progress.trials_planned as usize);
        write_record(folder, record).map_err(|source| RunError::Unsaved {
            folder: folder.path().to_owned(),
            record: Box::new(record.clone()),
            source,
        })
    }

    async fn cool_down(&self, stand: &Stand<'_>, manifest: &Manifest, next: &TrialPlan) -> Found {
        self.screen.send_replace(Snapshot {
            phase: Phase::CoolDown,
            ..stand.snapshot(next)
        });
        let site = Site {
            broker: &self.broker,
            uri: &stand.uri,
            manifest,
            prefix: format!("orderstorm.{}.", self.run_id),
        };
        between::cool_down(&site, self.plan.cool_down().0, &self.interrupt.0).await
    }

    /// Takes off a user's broker what a session that was killed has left there. A broker of the run's own died with it.
    async fn clean_up_last_session(&mut self) -> Result<(), RunError> {
        let left = self.left.take();
        if let (Some(schemas), Some(address)) = (
            left.as_ref().and_then(|left| left.schemas.as_ref()),
            &self.request.postgres,
        ) {
            let dropped = schemas.clean_up(address.clone()).await;
            dropped.map_err(|error| RunError::Cleanup(error.into()))?;
        }
        match left {
            Some(left) if self.record.broker.kind == "external" => {
                clean_up(&left, &self.broker).await.map_err(RunError::Cleanup)
            }
            _ => Ok(()),
        }
    }

    /// Whatever came of the trials, the broker of our own goes.
    async fn stop_broker(self) -> Result<(), BrokerError> {
        self.stores.stop().await;
        match Arc::into_inner(self.broker) {
            Some(broker) => broker.stop().await,
            None => Ok(()),
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
    async fn clean_trial(&self, manifest: &Manifest, schemas: Vec<String>) -> Result<Option<u64>, CleanupError> {
        let dropped = self.stores.drop(schemas).await;
        let only: Vec<Declared> = manifest.trials.last().cloned().into_iter().collect();
        let here = Manifest {
            own_vhost: false,
            trials: only,
            ..manifest.clone()
        };
        clean_up(&here, &self.broker).await?;
        dropped?;
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
        let empty = self.request.at_end == AtEnd::Delete || self.record.trials.is_empty();
        if manifest.own_vhost && empty {
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
        &mut self,
        leave: &mut Leave,
        failure: Option<RunError>,
        logged: std::io::Result<()>,
    ) -> Result<Finished, RunError> {
        self.screen.send_modify(|snapshot| snapshot.phase = Phase::Persist);
        let mut record = self.record.clone();
        record.finished = clock::rfc3339(clock::wall_time());
        judge(&mut record);
        record.outcome = outcome(&record, failure.as_ref(), self.interrupt.0.is_cancelled());
        let folder = leave.folder.take().expect("the folder is taken once, here");
        let partial = folder.path().to_owned();
        match save(folder, &record, logged, self.request.report) {
            Ok(folder) => Ok(Finished { record, folder }),
            Err(source) => Err(RunError::Unsaved {
                folder: partial,
                record: Box::new(record),
                source,
            }),
        }
    }
}

/// How long trials take beside what the plan says: drains above all.
#[derive(Debug, Default)]
struct Pace {
    trials: u32,
    /// Seconds in all beyond the plan.
    beyond_s: f64,
}

impl Pace {
    fn took(&mut self, plan: &Plan, trial: &TrialPlan, ns: u64) {
        if let Some(planned) = plan.estimate_of(trial).duration {
            self.trials += 1;
            self.beyond_s += ns as f64 / 1e9 - planned.as_secs_f64();
        }
    }

    /// Seconds that the trials after `trial` will take; absent where the plan of one cannot tell.
    fn later_s(&self, plan: &Plan, trial: &TrialPlan) -> Option<f64> {
        let each = if self.trials > 0 {
            self.beyond_s / f64::from(self.trials)
        } else {
            0.0
        };
        let pause = plan.cool_down().as_secs_f64();
        let later = plan.trials.iter().filter(|later| later.trial > trial.trial);
        later
            .map(|later| Some((plan.estimate_of(later).duration?.as_secs_f64() + each).max(0.0) + pause))
            .sum()
    }
}

/// Objectives of cells, or the settings of a search: beyond its capacity a cell misses objectives by design.
fn judge(record: &mut RunRecord) {
    if record.capacity.is_some() {
        capacity::judge(record);
        // One that is left in the middle has a next trial, whichever that will be.
        let more = u32::from(search::is_unfinished(record));
        record.progress.trials_planned = record.trials.len() as u32 + more;
        return;
    }
    let judged = objective::judge(record);
    for (cell, objectives) in record.cells.iter_mut().zip(judged) {
        cell.objectives = objectives;
    }
}

/// A trial that did not find the broker empty measured something of the one before.
fn note_found(record: &mut TrialRecord, found: Found) {
    match found {
        Found::Empty => {}
        Found::Left(what) => {
            record.validity.valid = false;
            record.validity.reasons.push(format!(
                "the broker was not empty when the trial began: {what} of an earlier one"
            ));
        }
        Found::Unknown(why) => record.validity.warnings.push(format!(
            "nobody could look whether the broker was empty when the trial began: {why}"
        )),
    }
}

pub(super) fn cell_record(cell: &Cell) -> CellRecord {
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
        // Judged when there is something to judge.
        objectives: Vec::new(),
    }
}
