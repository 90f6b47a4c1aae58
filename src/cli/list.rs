//! `orderstorm list`: the shipped workloads.

use clap::Args;

use super::{Outcome, exit, print_line, shipped};
use crate::workload::file::question;

/// List the shipped workloads, each with the question that it answers.
#[derive(Debug, Args)]
pub struct List {}

impl List {
    pub(super) fn execute(self) -> Outcome {
        let longest = shipped::WORKLOADS.iter().map(|(name, _)| name.len()).max();
        let width = longest.unwrap_or_default();
        for (name, text) in shipped::WORKLOADS {
            print_line(&format!("{name:<width$}  {}", question(text)));
        }
        Ok(exit::PASS)
    }
}
