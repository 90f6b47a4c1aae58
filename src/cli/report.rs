//! `orderstorm report`: makes the tables, charts and page of a run again from its folder; needs no broker.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, exit, print_line, stdout_style};
use crate::report::{text, write_all};
use crate::results::record;

/// Make a run's tables, charts and page again from its folder.
#[derive(Debug, Args)]
pub struct Report {
    /// Run folders.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
}

impl Report {
    pub(super) fn execute(self) -> Outcome {
        for folder in &self.runs {
            let record = record::read(folder)?;
            write_all(folder, &record)?;
            print_line(&text::end_of_run(&record, stdout_style()));
            print_line(&format!("page:    {}", folder.join("report.html").display()));
        }
        Ok(exit::PASS)
    }
}
