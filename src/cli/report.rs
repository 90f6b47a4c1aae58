//! `orderstorm report`: makes the tables, charts and page of a run again from its folder; needs no broker.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, exit, print_line, stdout_style};
use crate::compare::find;
use crate::report::beside::Beside;
use crate::report::{text, write_all};
use crate::results::record;

/// Make a run's tables, charts and page again from its folder; of several runs a page with them side by side too.
///
/// A run is its folder, `latest`, `latest~1` (the one before), `baseline`, the begin of its id, or a commit.
#[derive(Debug, Args)]
pub struct Report {
    /// Runs.
    #[arg(required = true)]
    runs: Vec<String>,
    /// Of several runs: where the page with all of them goes [default: side-by-side in the folder of runs].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder in which runs are looked for by name.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

impl Report {
    pub(super) fn execute(self) -> Outcome {
        if self.runs.len() == 1 && self.out.is_some() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--out has no effect with one run\nhelp: its report is made in its own folder; name a second run to set them side by side"
            )));
        }
        let mut records = Vec::with_capacity(self.runs.len());
        for name in &self.runs {
            // What is there is taken at its word, so that the error names the file that it lacks.
            let folder = match PathBuf::from(name) {
                folder if folder.exists() => folder,
                _ => find::run(name, &self.results).map_err(Failure::usage)?,
            };
            let record = record::read(&folder)?;
            write_all(&folder, &record)?;
            if self.runs.len() == 1 {
                print_line(&text::end_of_run(&record, stdout_style()));
            }
            print_line(&format!("page:    {}", folder.join("report.html").display()));
            records.push(record);
        }
        if let Some(beside) = Beside::of(&records).filter(|_| records.len() > 1) {
            let out = self.out.clone().unwrap_or_else(|| self.results.join("side-by-side"));
            beside.write(&out)?;
            print_line(&beside.text(stdout_style()));
            print_line(&format!("page:    {}", out.join("report.html").display()));
        }
        Ok(exit::PASS)
    }
}
