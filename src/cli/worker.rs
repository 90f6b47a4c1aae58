//! `orderstorm worker`: consumers of one stage, started by a run of this very program and by nobody else.

use clap::Args;

use super::{Outcome, exit, runtime};
use crate::pipeline::process;

/// Run consumers for a driver, which tells what to do on standard input.
#[derive(Debug, Args)]
pub struct Worker {}

impl Worker {
    pub(super) fn execute(self) -> Outcome {
        let done = runtime()?.block_on(process::work());
        if let Err(why) = &done {
            eprintln!("error: {why}");
        }
        // At once: a thread still waits for orders, and there will be none.
        std::process::exit(i32::from(match done {
            Ok(()) => exit::PASS,
            Err(_) => exit::COULD_NOT_RUN,
        }));
    }
}
