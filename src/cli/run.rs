//! `orderstorm run`: the main job.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Outcome, print_line, quoted, runtime, shipped, stdout_style};
use crate::broker::{BrokerChoice, BrokerInfo, StartOptions};
use crate::compare::history;
use crate::pipeline::store::postgres::PostgresAddress;
use crate::plan::Plan;
use crate::report::{Extent, promised, text};
use crate::runner::{self, AtEnd, Interrupt, Resume, RunError, RunRequest, Stores};
use crate::ui::{View, follow};
use crate::workload::Checked;
use crate::workload::check::check_beside;

/// `--broker`, if it is not given.
const AUTO: &str = "auto";

/// Some senders (`timeout`, process groups) deliver one wish to stop twice; what comes this soon after the first is the same.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Run a workload against a broker and write a result folder.
#[derive(Debug, Args)]
pub struct Run {
    /// Workload file, or the name of a shipped one (`orderstorm list`).
    #[arg(required_unless_present = "resume")]
    workload: Option<PathBuf>,
    /// Go on with a run that was interrupted or killed: its missing trials, in its folder. Workload and settings are the
    /// run's own and need not be given again; the broker is of the run's kind.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["results", "ceiling"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Change a setting of the workload, such as load.rate=500/s; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder that result folders are made in.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Measure the driver's own ceiling first (five seconds, on the embedded broker) and state it beside the result.
    #[arg(long)]
    ceiling: bool,
    /// How much of a report is made at the end; `orderstorm report` makes the rest at any time.
    #[arg(long, value_enum, value_name = "EXTENT", default_value = "full", env = crate::runner::ab::REPORT_VARIABLE)]
    report: ReportName,
    /// Leave the queues and exchanges on the broker, with what lies in them, for `orderstorm dlq`. They go away an hour after
    /// their last use, or with `orderstorm cleanup`.
    #[arg(long)]
    keep: bool,
    /// Show nothing while it runs.
    #[arg(long, short)]
    quiet: bool,
}

/// The names of [`Extent`] on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum ReportName {
    /// Tables, charts and page.
    Full,
    /// Tables alone.
    Tables,
}

impl From<ReportName> for Extent {
    fn from(name: ReportName) -> Extent {
        match name {
            ReportName::Full => Extent::Full,
            ReportName::Tables => Extent::Tables,
        }
    }
}

/// Which broker.
#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// auto, managed (a private RabbitMQ node), embedded, or an AMQP URI. auto takes ORDERSTORM_BROKER or AMQP_URL, else a
    /// managed node if rabbitmq-server is installed, else the embedded broker. Prefer the variables for addresses with a
    /// password: arguments are visible to every user of the machine.
    #[arg(long, value_name = "BROKER", default_value = "auto")]
    pub broker: String,
    /// The rabbitmq-server of a managed node.
    #[arg(long, value_name = "PATH", env = "ORDERSTORM_RABBITMQ_SERVER")]
    pub rabbitmq_server: Option<PathBuf>,
    /// Address of the broker's management API [default: the broker's host, port 15672].
    #[arg(long, value_name = "URL", env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true)]
    pub management: Option<String>,
    /// Allow a broker, or a PostgreSQL server of ORDERSTORM_POSTGRES_URL, on another machine.
    #[arg(long)]
    pub allow_remote: bool,
}

impl BrokerArgs {
    /// `--broker` as it was given, an address without its secrets; nothing for the default.
    pub fn words(&self) -> Vec<String> {
        if self.broker == AUTO {
            return Vec::new();
        }
        let masked = self
            .broker
            .parse::<crate::amqp::uri::BrokerUri>()
            .map(|uri| uri.to_string());
        let word = masked.unwrap_or_else(|_| self.broker.clone());
        vec!["--broker".to_owned(), quoted(&word)]
    }

    /// Which broker is asked for; a run is gone on with on a broker of its kind.
    pub(super) fn word<'a>(&'a self, from: Option<&'a Resume>) -> &'a str {
        match from.map(|from| from.record.broker.kind.as_str()) {
            Some(kind @ ("managed" | "embedded")) if self.broker == AUTO => kind,
            _ => &self.broker,
        }
    }

    /// How to start it.
    pub fn start_options(&self) -> StartOptions {
        StartOptions {
            server: self.rabbitmq_server.clone(),
            management: self.management.clone(),
            allow_remote: self.allow_remote,
            nodes: 1,
        }
    }
}

impl Run {
    pub(super) fn execute(self) -> Outcome {
        let from = match &self.resume {
            Some(folder) => Some(Resume::read(folder).map_err(Failure::usage)?),
            None => None,
        };
        if from.as_ref().is_some_and(|from| from.record.capacity.is_some()) {
            return Err(Failure::usage(anyhow::anyhow!(
                "this run is a capacity search\nhelp: `orderstorm capacity --resume` goes on with it"
            )));
        }
        let checked = self.checked(from.as_ref())?;
        let broker = self.broker.word(from.as_ref());
        let selection = BrokerChoice::select(broker, self.broker.rabbitmq_server.as_ref()).map_err(Failure::usage)?;
        let mut request = RunRequest {
            plan: Plan::new(checked),
            choice: selection.choice,
            start: self.broker.start_options(),
            results: self.results.clone(),
            program: runner::own_program(),
            command: self.command(),
            ceiling: None,
            report: self.report.into(),
            at_end: if self.keep { AtEnd::Keep } else { AtEnd::Delete },
            postgres: None,
            search: None,
        };
        if Stores::are_wanted(&request.plan) {
            request.postgres = PostgresAddress::from_environment().map_err(Failure::usage)?;
        }
        let cells = request.plan.cells.iter();
        let promised = promised::lines(cells.map(|cell| (cell.label.as_str(), &*cell.workload)));
        conduct(Job {
            request,
            from,
            because: selection.because,
            announced: promised,
            quiet: self.quiet,
            ceiling: self.ceiling,
            verb: "run",
        })
    }

    /// The workload: the one given, or that of the run to go on with.
    fn checked(&self, from: Option<&Resume>) -> Result<Checked, Failure> {
        if let Some(workload) = &self.workload {
            return shipped::open(workload, &self.set).map_err(Failure::usage);
        }
        if !self.set.is_empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--set cannot change a run that has begun\nhelp: leave it out: --resume takes the run's own settings"
            )));
        }
        // Without a workload there is a folder: clap has seen to it.
        let Some(from) = from else {
            return Err(Failure::usage(anyhow::anyhow!("no workload is given")));
        };
        workload_of(from)
    }

    /// The command that repeats this run. An address on the command line is masked; the broker's kind is kept.
    fn command(&self) -> String {
        let mut words = vec!["orderstorm".to_owned(), "run".to_owned()];
        words.extend(self.workload.iter().map(|workload| quoted(&workload.to_string_lossy())));
        words.extend(self.broker.words());
        for setting in &self.set {
            words.extend(["--set".to_owned(), quoted(setting)]);
        }
        if self.ceiling {
            words.push("--ceiling".to_owned());
        }
        if self.keep {
            words.push("--keep".to_owned());
        }
        words.join(" ")
    }
}

/// The workload of a run to go on with, with its own settings.
pub(super) fn workload_of(from: &Resume) -> Result<Checked, Failure> {
    let name = from.folder.join("workload.toml").display().to_string();
    let progress = &from.record.progress;
    let folder = progress.replay_folder.as_ref().map_or(PathBuf::new(), PathBuf::from);
    let text = from.text.clone();
    check_beside(&folder, &name, &from.record.name, text, &progress.overrides).map_err(Failure::usage)
}

/// A run that is ready to be carried out.
pub(super) struct Job {
    pub(super) request: RunRequest,
    /// The run to go on with.
    pub(super) from: Option<Resume>,
    /// Why this broker.
    pub(super) because: String,
    /// Lines that are shown once the broker is known.
    pub(super) announced: Vec<String>,
    pub(super) quiet: bool,
    /// Whether the driver's ceiling is measured first.
    pub(super) ceiling: bool,
    /// The verb that goes on with it.
    pub(super) verb: &'static str,
}

/// Carries a run out, shows it, and says where its result is.
pub(super) fn conduct(job: Job) -> Outcome {
    let Job {
        mut request,
        from,
        because,
        announced,
        quiet,
        ceiling,
        verb,
    } = job;
    let extent = request.report;
    runtime()?.block_on(async move {
        let interrupt = Interrupt::default();
        listen_for_signals(&interrupt)?;
        if ceiling {
            request.ceiling = Some(
                runner::measure_ceiling(&request.plan, &interrupt)
                    .await
                    .map_err(failure)?,
            );
        }
        let (screen, snapshots) = tokio::sync::watch::channel(runner::Snapshot::default());
        let view = tokio::spawn(follow(snapshots, View::fitting(quiet)));
        let announce = |info: &BrokerInfo| {
            print_line(&format!("broker: {info} ({because})"));
            announced.iter().for_each(|line| print_line(line));
        };
        let result = match from {
            None => runner::run(request, &screen, &interrupt, announce).await,
            Some(from) => {
                print_line(&resuming(&from));
                runner::resume(request, from, &screen, &interrupt, announce).await
            }
        };
        drop(screen);
        // The view ends with its sender; nothing is lost if it does not.
        let _ = view.await;
        let finished = match result {
            Ok(finished) => finished,
            Err(error) if interrupt.0.is_cancelled() => {
                return Err(Failure {
                    code: 130,
                    error: error.into(),
                });
            }
            Err(error) => {
                // What was measured is shown even where it cannot be saved.
                if let RunError::Unsaved { record, .. } = &error {
                    print_line(&text::end_of_run(record, stdout_style()));
                }
                return Err(failure(error));
            }
        };
        print_line(&text::end_of_run(&finished.record, stdout_style()));
        remember(&finished);
        print_line(&format!("results: {}", finished.folder.display()));
        if finished.record.is_partial() {
            print_line(&format!(
                "go on:   orderstorm {verb} --resume {}",
                quoted(&finished.folder.to_string_lossy())
            ));
        }
        if extent == Extent::Full {
            print_line(&format!("page:    {}", finished.folder.join("report.html").display()));
        }
        Ok(finished.record.outcome.exit_code)
    })
}

/// Adds the run to the history beside it; a run that is there is not lost because its line could not be written.
fn remember(finished: &runner::Finished) {
    // The cells of two searches are not the same, so there is no history of them.
    let is_whole = !finished.record.is_partial() && finished.record.capacity.is_none();
    let Some(results) = finished.folder.parent().filter(|_| is_whole) else {
        return;
    };
    if let Err(error) = history::append(results, &finished.record) {
        eprintln!("warning: {error}");
    }
}

/// What is still to do, before it is done.
fn resuming(from: &Resume) -> String {
    let (done, planned) = (from.finished().count(), from.record.progress.trials_planned);
    if from.record.capacity.is_some() {
        return format!("going on with {}: {done} trials are there", from.record.id);
    }
    format!("going on with {}: {done} of {planned} trials are there", from.record.id)
}

fn failure(error: RunError) -> Failure {
    if error.is_usage() {
        Failure::usage(error)
    } else {
        Failure::from(error)
    }
}

/// The first Ctrl-C (or SIGTERM) asks the run to save what it has; the second leaves at once. A managed broker dies with the
/// driver; what stands on any other broker is listed in the partial folder's manifest.
pub(super) fn listen_for_signals(interrupt: &Interrupt) -> std::io::Result<()> {
    let (mut ctrl_c, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = interrupt.0.clone();
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = ctrl_c.recv() => {}
                _ = term.recv() => {}
            }
            match first {
                None => {
                    eprintln!("\ninterrupted: saving what was measured (once more leaves at once)");
                    token.cancel();
                    first = Some(Instant::now());
                }
                Some(at) if at.elapsed() < ONE_SIGNAL => {}
                Some(_) => {
                    eprintln!("\nleaving at once");
                    crate::pipeline::store::remove_all_files();
                    std::process::exit(130);
                }
            }
        }
    });
    Ok(())
}
