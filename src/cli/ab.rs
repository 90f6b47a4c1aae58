//! `orderstorm ab`: two builds, or one under two settings, with their trials in turns.

use std::path::{Path, PathBuf};

use clap::Args;

use super::compare::Judging;
use super::run::{BrokerArgs, listen_for_signals};
use super::{Failure, Outcome, quoted, runtime, shipped};
use crate::broker::BrokerChoice;
use crate::compare::Comparison;
use crate::compare::ab::Sides;
use crate::compare::format::Format;
use crate::plan::Plan;
use crate::report::human;
use crate::report::text::Style;
use crate::results::ab::{self, AbRecord};
use crate::runner::Interrupt;
use crate::runner::ab::{AbError, AbRequest, BuildError, Builds, Told};

/// The exit code of Ctrl-C.
const INTERRUPTED: u8 = 130;
/// What a side is when nobody says.
const SELF: &str = "this program";

/// Compare two builds, or one under two settings: their trials take turns on one broker.
///
/// A side is the path of an orderstorm program, or a commit (hash, branch, tag), which is built with `cargo build --release` in a
/// worktree of its own; the program stays in the cache. Unless it is given, a side is this very program. The embedded broker is
/// part of the program, so there each side has its own.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is worse, 1 a side could not be built or run, 2 usage or workload error, 4 a regression, 5 cannot tell (with --strict), 130 interrupted (what was measured is compared and kept)"
)]
pub struct Ab {
    /// Workload file, or the name of a shipped one (`orderstorm list`); both programs must know its keys.
    #[arg(required_unless_present = "from")]
    workload: Option<PathBuf>,
    /// The build to compare with.
    #[arg(long, value_name = "BIN_OR_COMMIT")]
    base: Option<String>,
    /// The build to judge.
    #[arg(long, value_name = "BIN_OR_COMMIT")]
    new: Option<String>,
    /// Change a setting of both sides; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Change a setting of the base alone.
    #[arg(long, value_name = "KEY=VALUE")]
    base_set: Vec<String>,
    /// Change a setting of the new side alone.
    #[arg(long, value_name = "KEY=VALUE")]
    new_set: Vec<String>,
    /// Pairs of trials. Under 6 nothing can be told; 8 can tell of each measure, 10 are a good number.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Judge the runs of an earlier ab again, from its folder; nothing is run.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["workload", "base", "new", "set", "base_set", "new_set", "pairs", "broker", "allow_remote", "results", "cache", "quiet"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Folder that the result folder is made in.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Where programs that were built of commits stay [default: orderstorm/builds in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Show nothing while it runs.
    #[arg(long, short)]
    quiet: bool,
}

impl Ab {
    pub(super) fn execute(self) -> Outcome {
        self.judging.check()?;
        if let Some(folder) = &self.from {
            let record = ab::read(folder).map_err(Failure::usage)?;
            return self.judging.tell(&self.compared(folder, record)?);
        }
        // Without --from there is a workload: clap has seen to it.
        let workload = self.workload.clone().unwrap_or_default();
        let (base_set, new_set) = (joined(&self.set, &self.base_set), joined(&self.set, &self.new_set));
        let plan = Plan::new(shipped::open(&workload, &base_set).map_err(Failure::usage)?);
        // The new side's settings must be legal too, before anything is built.
        shipped::open(&workload, &new_set).map_err(Failure::usage)?;
        let selection = BrokerChoice::select(&self.broker.broker, self.broker.rabbitmq_server.as_ref());
        let selection = selection.map_err(Failure::usage)?;
        runtime()?.block_on(async {
            let interrupt = Interrupt::default();
            listen_for_signals(&interrupt)?;
            let builds = Builds {
                cache: self.cache.clone().unwrap_or_else(Builds::default_cache),
            };
            let side = async |given: &Option<String>, set: Vec<String>| {
                let build = |hash: &str| self.say(&format!("building {hash} in {}", builds.cache.display()));
                match given {
                    Some(given) => builds.side(given, set, &interrupt, build).await.map_err(unbuilt),
                    None => itself(set),
                }
            };
            let (base, new) = (side(&self.base, base_set).await?, side(&self.new, new_set).await?);
            let request = AbRequest {
                workload: workload.clone(),
                plan,
                choice: selection.choice,
                start: self.broker.start_options(),
                results: self.results.clone(),
                command: self.command(),
                base,
                new,
                pairs: self.pairs,
            };
            let finished = crate::runner::ab::ab(request, &interrupt, |told| self.tell(&told)).await;
            let finished = match finished {
                Ok(finished) => finished,
                Err(error) if interrupt.0.is_cancelled() => {
                    return Err(Failure {
                        code: INTERRUPTED,
                        error: error.into(),
                    });
                }
                Err(error) => return Err(failure(error)),
            };
            let comparison = match self.compared(finished.folder.path(), finished.record) {
                Ok(comparison) => comparison,
                // The runs are there; --from judges them, with --force if that is what it takes.
                Err(refused) => {
                    eprintln!("results: {}", finished.folder.finish()?.display());
                    return Err(refused);
                }
            };
            for (name, format) in [
                ("comparison.json", Format::Json),
                ("comparison.md", Format::Markdown),
                ("comparison.txt", Format::Text),
            ] {
                let text = format.render(&comparison, Style::Plain)?;
                finished.folder.write(name, text.as_bytes())?;
            }
            let folder = finished.folder.finish()?;
            let code = self.judging.tell(&comparison)?;
            // Standard output may be for a program to read.
            eprintln!("results: {}", folder.display());
            match finished.failure {
                Some(error) => Err(failure(error)),
                None if interrupt.0.is_cancelled() => Ok(INTERRUPTED),
                None => Ok(code),
            }
        })
    }

    fn compared(&self, folder: &Path, record: AbRecord) -> Result<Comparison, Failure> {
        let sides = Sides::read(folder, record).map_err(Failure::usage)?;
        let thresholds = self.judging.thresholds(&sides.new.cells[0].workload)?;
        sides
            .comparison(&thresholds, self.judging.strictness())
            .map_err(Failure::usage)
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    fn tell(&self, told: &Told<'_>) {
        match told {
            Told::Broker(info) => self.say(&format!("broker: {info}, shared by both sides")),
            Told::Trial { pair, which, run } => {
                let goodput: Vec<f64> = run
                    .trials
                    .iter()
                    .filter_map(|trial| trial.rates.goodput_per_s)
                    .collect();
                let goodput = crate::stats::median(&goodput).map_or(human::ABSENT.to_owned(), human::rate);
                self.say(&format!("pair {pair} of {}: {} {goodput}", self.pairs, which.name()));
            }
        }
    }

    /// The command that repeats it.
    fn command(&self) -> String {
        let mut words = vec!["orderstorm".to_owned(), "ab".to_owned()];
        words.extend(self.workload.iter().map(|workload| quoted(&workload.to_string_lossy())));
        words.extend(self.broker.words());
        for (flag, value) in [("--base", &self.base), ("--new", &self.new)] {
            words.extend(value.iter().flat_map(|value| [flag.to_owned(), quoted(value)]));
        }
        for (flag, set) in [
            ("--set", &self.set),
            ("--base-set", &self.base_set),
            ("--new-set", &self.new_set),
        ] {
            words.extend(set.iter().flat_map(|set| [flag.to_owned(), quoted(set)]));
        }
        words.extend(["--pairs".to_owned(), self.pairs.to_string()]);
        words.join(" ")
    }
}

fn joined(both: &[String], own: &[String]) -> Vec<String> {
    both.iter().chain(own).cloned().collect()
}

/// This very program as a side.
fn itself(set: Vec<String>) -> Result<ab::SideRecord, Failure> {
    Ok(ab::SideRecord {
        given: SELF.to_owned(),
        program: std::env::current_exe()?,
        commit: None,
        set,
    })
}

fn unbuilt(error: BuildError) -> Failure {
    match error {
        BuildError::Interrupted { .. } => Failure {
            code: INTERRUPTED,
            error: error.into(),
        },
        error if error.is_usage() => Failure::usage(error),
        error => Failure::from(error),
    }
}

fn failure(error: AbError) -> Failure {
    if error.is_usage() {
        Failure::usage(error)
    } else {
        Failure::from(error)
    }
}
