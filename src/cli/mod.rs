//! The command line: clap structs and verbs, one file each.

mod ab;
mod broker;
mod capacity;
mod check;
mod cleanup;
mod compare;
mod dlq;
mod doctor;
mod history;
mod list;
mod plan;
mod report;
mod run;
mod shipped;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::text::Style;
use crate::workload::{WorkloadError, problem};

/// Exit codes; docs/METHOD.md and the README list them for users.
pub mod exit {
    /// Every promise that the configuration gives was kept.
    pub const PASS: u8 = 0;
    /// The run could not be made, or broke off.
    pub const COULD_NOT_RUN: u8 = 1;
    /// The command line or the workload is wrong.
    pub const USAGE: u8 = 2;
    /// An objective was missed, or a comparison found a regression.
    pub const MISSED: u8 = 4;
    /// It cannot be told.
    pub const INCONCLUSIVE: u8 = 5;
}

/// Load tests and benchmarks for order pipelines on RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "orderstorm", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 pass, 1 could not run, 2 usage or workload error, 3 a promise was broken, 4 an objective was missed or a comparison found a regression, 5 inconclusive, 130 interrupted"
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    List(list::List),
    Doctor(doctor::Doctor),
    Report(report::Report),
    Compare(compare::Compare),
    Ab(Box<ab::Ab>),
    Capacity(Box<capacity::Capacity>),
    History(history::History),
    Plan(Box<plan::Plan>),
    Cleanup(cleanup::Cleanup),
    Dlq(dlq::Dlq),
    Broker(broker::Serve),
    #[command(hide = true)]
    Worker(worker::Worker),
    /// Print the JSON Schema of workload files, for editors.
    Schema,
}

/// A failure with its exit code. Errors that need no code of their own are `COULD_NOT_RUN`.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Failure {
            code: exit::USAGE,
            error: error.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure {
            code: exit::COULD_NOT_RUN,
            error: error.into(),
        }
    }
}

type Outcome = Result<u8, Failure>;

impl Cli {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        let outcome = match self.verb {
            Verb::Run(run) => run.execute(),
            Verb::Check(check) => check.execute(),
            Verb::List(list) => list.execute(),
            Verb::Doctor(doctor) => doctor.execute(),
            Verb::Report(report) => report.execute(),
            Verb::Compare(compare) => compare.execute(),
            Verb::Ab(ab) => ab.execute(),
            Verb::Capacity(capacity) => capacity.execute(),
            Verb::History(history) => history.execute(),
            Verb::Plan(plan) => plan.execute(),
            Verb::Cleanup(cleanup) => cleanup.execute(),
            Verb::Dlq(dlq) => dlq.execute(),
            Verb::Broker(serve) => serve.execute(),
            Verb::Worker(worker) => worker.execute(),
            Verb::Schema => schema(),
        };
        let code = outcome.unwrap_or_else(|Failure { code, error }| {
            eprintln!("{}", explained(&error));
            code
        });
        ExitCode::from(code)
    }
}

fn schema() -> Outcome {
    print_line(&serde_json::to_string_pretty(&crate::workload::schema::schema())?);
    Ok(exit::PASS)
}

/// Prints to standard output. A reader that has gone away (`orderstorm list | head -1`) is no failure.
fn print_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The error with its causes, in the words of the library; mistakes in a workload are drawn into its text.
fn explained(error: &anyhow::Error) -> String {
    if let Some(WorkloadError::Invalid { problems, sources }) = error.downcast_ref() {
        let colour = if std::io::stderr().is_terminal() {
            problem::Colour::Ansi
        } else {
            problem::Colour::Plain
        };
        let count = match problems.len() {
            1 => "1 mistake".to_owned(),
            n => format!("{n} mistakes"),
        };
        return format!(
            "{}\n\n{count}; nothing was touched",
            problem::render(problems, sources, colour)
        );
    }
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Library errors write their cause into their own message.
        if !text.contains(&cause) {
            text.push_str(&format!("\ncaused by: {cause}"));
        }
    }
    text
}

/// How results are printed.
fn stdout_style() -> Style {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Style::Ansi
    } else {
        Style::Plain
    }
}

/// Quoted for a shell where it must be.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A runtime for verbs that need one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
