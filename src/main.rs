//! The `orderstorm` program: parses the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    orderstorm::cli::Cli::parse().execute()
}
