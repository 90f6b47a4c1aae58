//! `orderstorm plan`: from a measured run and a demand to consumers, prefetch, backlog and drain.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Failure, Outcome, exit, print_line, quoted};
use crate::compare::find;
use crate::report::sizing::{self as paper, Format};
use crate::results::record::{self, RunRecord};
use crate::sizing::{Burst, Demand, Evidence, Include, Loss, Plan as Sized, SizingError, generate, plan};
use crate::units::{Rate, Share, Span};

/// Plan capacity: from what a run measured and what is asked for to consumers, prefetch, backlog, memory and drain time.
///
/// The run must vary the load or a setting (at least three cells), so that the model's error can be seen on cells that it was
/// not fitted to. The plan comes with a workload that shows whether it holds: `orderstorm run` it.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 planned, 2 the demand or the run's name is wrong, 4 the demand cannot be met, 5 the run does not say enough"
)]
pub struct Plan {
    /// The run: its folder, `latest`, `latest~1` (the one before), `baseline`, the begin of its id, or a commit.
    run: String,
    /// Orders per second of a normal time, such as 400/s.
    #[arg(long, value_name = "RATE")]
    rate: Rate,
    /// A higher rate for a time, such as '3000/s for 2m'.
    #[arg(long, value_name = "RATE for TIME")]
    burst: Option<Burst>,
    /// What 99 of 100 orders may take at the rate, such as 2s.
    #[arg(long, value_name = "TIME")]
    p99: Option<Span>,
    /// How long the backlog of the burst may take to clear, such as 5m.
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// What is added to rate and burst, such as 30%.
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    growth: Share,
    /// Consumers of each stage that are taken for lost, such as 1-consumer-in-4.
    #[arg(long, value_name = "LOSS")]
    lose: Option<Loss>,
    /// How busy consumers may be at the rate.
    #[arg(long, value_name = "SHARE", default_value = "80%")]
    max_utilisation: Share,
    /// Of a matrix: the cell whose other settings the plan keeps; a label or a number from 1 [default: the first].
    #[arg(long, value_name = "CELL")]
    cell: Option<String>,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: FormatName,
    /// Folder that tables, charts, page and workload go to [default: plan in the run's folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File that the plan's workload goes to [default: plan.toml in the folder of the plan].
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// How long the load of that workload takes; a longer burst and drain are shortened to fit.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    workload_time: Span,
    /// Use invalid trials too, whose driver did not keep up; every output says so.
    #[arg(long)]
    force: bool,
    /// Folder in which runs are looked for by name.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// The names of [`Format`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    /// For a terminal.
    Text,
    /// For documentation.
    Markdown,
    /// For a spreadsheet.
    Csv,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Format {
        match name {
            FormatName::Text => Format::Text,
            FormatName::Markdown => Format::Markdown,
            FormatName::Csv => Format::Csv,
        }
    }
}

/// The shortest load that shows a burst and its drain between two calm times.
const WORKLOAD_TIME_MIN: Span = Span::from_secs(3);
/// The longest: a workload's load ends within a day.
const WORKLOAD_TIME_MAX: Span = Span::from_secs(12 * 3_600);

impl Plan {
    pub(super) fn execute(self) -> Outcome {
        // A slip of the pen is found before any run is read.
        let demand = self.demand()?;
        let folder = find::run(&self.run, &self.results).map_err(Failure::usage)?;
        let record = record::read(&folder).map_err(Failure::usage)?;
        let planned = self.planned(&record, &demand)?;
        let out = self.out.clone().unwrap_or_else(|| folder.join("plan"));
        paper::write(&planned, &record, &out)?;
        print_line(&paper::render(&planned, &record, self.format.into())?);
        if !planned.impossible.is_empty() {
            eprintln!("the demand cannot be met: {}", planned.impossible.join("; "));
            return Ok(exit::MISSED);
        }
        let workload = self.workload.clone().unwrap_or_else(|| out.join("plan.toml"));
        self.write_workload(&planned, &record, &workload)?;
        if matches!(self.format, FormatName::Text) {
            let run = format!("orderstorm run {}", quoted(&workload.display().to_string()));
            print_line(&format!(
                "\npage:     {}\ntry it:   {run}",
                out.join("plan.html").display()
            ));
        }
        Ok(exit::PASS)
    }

    fn demand(&self) -> Result<Demand, Failure> {
        let demand = Demand {
            rate: self.rate,
            burst: self.burst,
            p99: self.p99,
            drain: self.drain,
            growth: self.growth,
            lose: self.lose,
            utilisation_max: self.max_utilisation,
        };
        demand.check().map_err(Failure::usage)?;
        if !(WORKLOAD_TIME_MIN..=WORKLOAD_TIME_MAX).contains(&self.workload_time) {
            return Err(Failure::usage(anyhow::anyhow!(
                "--workload-time {} is none for a burst, its drain and a calm time before and after\nhelp: write {WORKLOAD_TIME_MIN} to {WORKLOAD_TIME_MAX}",
                self.workload_time
            )));
        }
        Ok(demand)
    }

    fn planned(&self, record: &RunRecord, demand: &Demand) -> Result<Sized, Failure> {
        let include = if self.force { Include::Invalid } else { Include::Valid };
        let cell = self.cell_of(record).map_err(Failure::usage)?;
        let inconclusive = |error: SizingError| Failure {
            code: exit::INCONCLUSIVE,
            error: error.into(),
        };
        let evidence = Evidence::of(record, include).map_err(inconclusive)?;
        plan(&evidence, cell, demand).map_err(inconclusive)
    }

    /// The position of the cell that was named.
    fn cell_of(&self, record: &RunRecord) -> Result<usize, SizingError> {
        let Some(asked) = &self.cell else { return Ok(0) };
        let by_label = record.cells.iter().position(|cell| cell.label == *asked);
        let by_number = asked.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let found = by_label.or(by_number.filter(|position| *position < record.cells.len()));
        found.ok_or_else(|| SizingError::NoCell {
            run: record.id.clone(),
            asked: asked.clone(),
            known: record.cells.iter().map(|cell| cell.label.clone()).collect(),
        })
    }

    fn write_workload(&self, planned: &Sized, record: &RunRecord, path: &Path) -> Result<(), Failure> {
        let made = generate::workload(planned, record, self.workload_time)?;
        std::fs::write(path, made.text).map_err(|error| {
            anyhow::anyhow!(
                "cannot write the plan's workload {}: {error}\nhelp: name a file in a folder that exists, with --workload",
                path.display()
            )
        })?;
        Ok(())
    }
}
