//! `orderstorm list`: the shipped workloads.

use clap::Args;

use super::{Outcome, exit, print_line, shipped};
use crate::workload::file::question;

/// List the shipped workloads, each with the question that it answers.
#[derive(Debug, Args)]
pub struct List {}

impl List {
    pub(super) fn execute(self) -> Outcome {
        for (name, text) in shipped::WORKLOADS {
            print_line(&format!("{name:<14} {}", question(text)));
        }
        Ok(exit::PASS)
    }
}
