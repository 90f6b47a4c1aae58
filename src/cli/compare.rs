//! `orderstorm compare`: what changed between two runs, or between cells of one.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Failure, Outcome, exit, stdout_style};
use crate::compare::format::Format;
use crate::compare::measure::Thresholds;
use crate::compare::{self, Comparison, Judgement, Strictness, find};
use crate::report::text::Style;
use crate::results::record::{self, RunRecord};
use crate::workload::Workload;

/// Compare two runs, or cells of one: what changed, and whether that can be told.
///
/// A run is its folder, `latest`, `latest~1` (the one before), `baseline`, the begin of its id, or a commit.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is worse, 2 the runs cannot be compared, 4 a regression, 5 cannot tell (with --strict)"
)]
pub struct Compare {
    /// The run to compare with.
    base: String,
    /// The run to judge; with --cells or --by there is none.
    #[arg(required_unless_present_any = ["cells", "by"], conflicts_with_all = ["cells", "by"])]
    new: Option<String>,
    /// Compare cell A with cell B of BASE; each is a label or a number from 1.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "by")]
    cells: Option<Vec<String>>,
    /// Compare the first value of a varied setting of BASE with each other one.
    #[arg(long, value_name = "DIMENSION")]
    by: Option<String>,
    #[command(flatten)]
    judging: Judging,
    /// Folder in which runs are looked for by name.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// How it is judged and told.
#[derive(Debug, Args)]
pub(super) struct Judging {
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: FormatName,
    /// The smallest change of a measure that matters, such as end_to_end_p99=20%; may be given often
    /// [default: those of the workload's `[compare]`].
    #[arg(long, value_name = "MEASURE=SHARE")]
    threshold: Vec<String>,
    /// Exit with 5 if it cannot be told.
    #[arg(long)]
    strict: bool,
    /// Compare runs of different machines, brokers, workloads or methods; every output says so.
    #[arg(long)]
    force: bool,
}

impl Judging {
    /// Whether the thresholds given are any.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let mut thresholds = Thresholds::default();
        let mut given = self.threshold.iter();
        given
            .try_for_each(|argument| thresholds.set(argument))
            .map_err(Failure::usage)
    }

    /// The thresholds of a workload, and those of the command line above them.
    pub(super) fn thresholds(&self, of: &Workload) -> Result<Thresholds, Failure> {
        let mut thresholds = Thresholds::from(&of.compare);
        for argument in &self.threshold {
            thresholds.set(argument).map_err(Failure::usage)?;
        }
        Ok(thresholds)
    }

    /// Whether differences that forbid a comparison do so.
    pub(super) fn strictness(&self) -> Strictness {
        if self.force {
            Strictness::Force
        } else {
            Strictness::Refuse
        }
    }

    /// Prints the comparison, adds it to the summary of a CI step, and says the exit code.
    pub(super) fn tell(&self, comparison: &Comparison) -> Result<u8, Failure> {
        let style = if self.format.0 == Format::Text {
            stdout_style()
        } else {
            Style::Plain
        };
        // A reader that has gone away is no failure.
        let _ = write!(std::io::stdout(), "{}", self.format.0.render(comparison, style)?);
        step_summary(comparison)?;
        Ok(match comparison.judgement {
            Judgement::Worse => exit::MISSED,
            Judgement::CannotTell if self.strict => exit::INCONCLUSIVE,
            _ => exit::PASS,
        })
    }
}

/// The names of [`Format`] on the command line.
#[derive(Debug, Clone, Copy)]
struct FormatName(Format);

impl ValueEnum for FormatName {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [FormatName; Format::ALL.len()] = {
            let mut all = [FormatName(Format::Text); Format::ALL.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = FormatName(Format::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

impl Compare {
    pub(super) fn execute(self) -> Outcome {
        // A slip of the pen is found before any run is read.
        self.judging.check()?;
        self.judging.tell(&self.comparison()?)
    }

    fn comparison(&self) -> Result<Comparison, Failure> {
        let read = |name: &str| -> Result<RunRecord, Failure> {
            let folder = find::run(name, &self.results).map_err(Failure::usage)?;
            record::read(&folder).map_err(Failure::usage)
        };
        let base = read(&self.base)?;
        let own = || self.judging.thresholds(&base.cells[0].workload);
        let found = match (&self.new, &self.cells, &self.by) {
            (Some(new), _, _) => {
                let new = read(new)?;
                let thresholds = self.judging.thresholds(&new.cells[0].workload)?;
                compare::runs(&base, &new, &thresholds, self.judging.strictness())
            }
            (None, Some(cells), _) => compare::cells(&base, &cells[0], &cells[1], &own()?),
            (None, None, by) => compare::by(&base, by.as_deref().unwrap_or_default(), &own()?),
        };
        found.map_err(Failure::usage)
    }
}

/// Appends the comparison as Markdown to the summary of a GitHub Actions step, where there is one.
fn step_summary(comparison: &Comparison) -> Result<(), Failure> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let text = Format::Markdown.render(comparison, Style::Plain)?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{text}"));
    written.map_err(|error| {
        anyhow::anyhow!(
            "cannot append to GITHUB_STEP_SUMMARY ({}): {error}",
            PathBuf::from(path).display()
        )
    })?;
    Ok(())
}
