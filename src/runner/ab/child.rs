//! One trial of one side: the program as a child, with the shared broker's address in its environment.
//!
//! A child has a process group of its own, so that Ctrl-C reaches it once, through us; it dies with us.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::broker::{BROKER_VARIABLES, RunningBroker, StartOptions};
use crate::results::ab::{SideRecord, Which};
use crate::results::record::{self, RecordError, RunRecord};
use crate::runner::Interrupt;

/// Tells the program to leave out charts and page; builds that do not know the variable make them.
pub const REPORT_VARIABLE: &str = "ORDERSTORM_REPORT";
/// Exit code of a run that somebody stopped, and of one whose command line or workload is wrong.
const INTERRUPTED: i32 = 130;
const USAGE: i32 = 2;
/// Lines of what the program said that an error quotes.
const QUOTED_MAX: usize = 12;

/// Why a side made no run.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started.
    #[error("cannot start the {} program {}: {source}\nhelp: name a program that can be executed, or a commit", which.name(), program.display())]
    Start {
        /// Whose.
        which: Which,
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended without a result.
    #[error("the {} program made no run ({status}): {}{said}\nhelp: the same by hand: {command}", which.name(), program.display())]
    NoRun {
        /// Whose.
        which: Which,
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
        /// Its command line.
        command: String,
    },
    /// Its result cannot be read.
    #[error("the run of the {} program cannot be read: {source}\nhelp: both builds must write the record layout that this program reads; run ab with the newer of the two", which.name())]
    Record {
        /// Whose.
        which: Which,
        /// Why.
        source: RecordError,
    },
    /// Somebody stopped it before anything was measured.
    #[error("interrupted before a pair was measured")]
    Interrupted,
}

impl ChildError {
    /// Whether the child refused its command line or its workload.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, ChildError::NoRun { status, .. } if status.code() == Some(USAGE))
    }
}

/// How a child's run ended.
pub(super) enum Ended {
    /// With a record.
    Whole {
        /// Its folder, from that of the ab.
        folder: PathBuf,
        /// What it measured.
        run: Box<RunRecord>,
    },
    /// By Ctrl-C.
    Interrupted,
}

/// What all children share.
pub(super) struct Child<'a> {
    pub workload: &'a Path,
    /// The workload as the user named it.
    pub named: &'a Path,
    /// Absent: each child has its own embedded one.
    pub broker: Option<&'a RunningBroker>,
    pub start: &'a StartOptions,
}

impl Child<'_> {
    /// Runs one trial of each cell with `seed`, in a folder under `folder`.
    pub(super) async fn run(
        &self,
        side: &SideRecord,
        which: Which,
        seed: u64,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Ended, ChildError> {
        if interrupt.0.is_cancelled() {
            return Ok(Ended::Interrupted);
        }
        let results = folder.join(which.name());
        let before = runs_in(&results);
        let arguments = self.arguments(side, seed, self.workload, &results);
        let failed = |source| ChildError::Start {
            which,
            program: side.program.clone(),
            source,
        };
        let mut command = self.command(side, &arguments);
        let child = command.spawn().map_err(failed)?;
        let pid = child.id();
        let output = child.wait_with_output();
        tokio::pin!(output);
        let output = tokio::select! {
            output = &mut output => output,
            () = interrupt.0.cancelled() => {
                if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                    // A child that has just ended needs no telling.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
                }
                output.await
            }
        };
        let output = output.map_err(failed)?;
        if interrupt.0.is_cancelled() || output.status.code() == Some(INTERRUPTED) {
            return Ok(Ended::Interrupted);
        }
        let Some(found) = runs_in(&results).difference(&before).next().cloned() else {
            let said = [output.stdout, output.stderr].concat();
            return Err(ChildError::NoRun {
                which,
                program: side.program.clone(),
                status: output.status,
                said: last_lines(&String::from_utf8_lossy(&said)),
                command: by_hand(
                    &side.program,
                    &self.arguments(side, seed, self.named, Path::new("results")),
                ),
            });
        };
        let run = record::read(&results.join(&found)).map_err(|source| ChildError::Record { which, source })?;
        Ok(Ended::Whole {
            folder: Path::new(which.name()).join(found),
            run: Box::new(run),
        })
    }

    fn arguments(&self, side: &SideRecord, seed: u64, workload: &Path, results: &Path) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec!["run".to_owned(), text(workload), "--quiet".to_owned()];
        words.extend(["--results".to_owned(), text(results)]);
        if self.broker.is_none() {
            words.extend(["--broker".to_owned(), "embedded".to_owned()]);
        }
        if self.start.allow_remote {
            words.push("--allow-remote".to_owned());
        }
        let own = [format!("seed={seed}"), "trial.repeats=1".to_owned()];
        for setting in side.set.iter().chain(&own) {
            words.extend(["--set".to_owned(), setting.clone()]);
        }
        words
    }

    fn command(&self, side: &SideRecord, arguments: &[String]) -> Command {
        let mut command = Command::new(&side.program);
        command
            .args(arguments)
            .env(REPORT_VARIABLE, "tables")
            .env("NO_COLOR", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(broker) = self.broker {
            // In the environment, as arguments are visible to every user of the machine.
            command.env(BROKER_VARIABLES[0], broker.uri().expose_for_client());
            let management = broker.node().and_then(|node| node.management_uri());
            if let Some(management) = management.or(self.start.management.as_deref()) {
                command.env("RABBITMQ_MANAGEMENT_URL", management);
            }
        }
        command.process_group(0).kill_on_drop(true);
        #[cfg(target_os = "linux")]
        // SAFETY: runs in the forked child before exec; it is a plain system call that neither allocates nor locks.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
        }
        command
    }
}

/// Names of the whole runs in a folder.
fn runs_in(results: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten();
    let whole = entries.filter(|entry| entry.path().join("complete").is_file());
    whole.map(|entry| PathBuf::from(entry.file_name())).collect()
}

/// Each on a line of its own, after what goes before.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.len().saturating_sub(QUOTED_MAX);
    lines[from..].iter().map(|line| format!("\n  | {line}")).collect()
}

/// The command line as one would type it.
fn by_hand(program: &Path, arguments: &[String]) -> String {
    let words = arguments
        .iter()
        .map(|word| match word.contains([' ', '\'', '"', '[', '$', '*']) {
            true => format!("'{}'", word.replace('\'', r"'\''")),
            false => word.clone(),
        });
    let words: Vec<String> = [program.display().to_string()].into_iter().chain(words).collect();
    words.join(" ")
}
