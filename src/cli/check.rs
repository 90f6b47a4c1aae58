//! `orderstorm check`: validates workloads and prints their plans; touches no broker.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, exit, print_line, shipped};
use crate::plan::Plan;
use crate::report::human;
use crate::units::Span;
use crate::workload::check::Origin;

/// Validate workloads and print their full plans: every default, trials, messages, expected time.
#[derive(Debug, Args)]
pub struct Check {
    /// Workload files, or names of shipped ones.
    #[arg(required = true)]
    workloads: Vec<PathBuf>,
    /// Change a setting of every workload, such as load.rate=500/s; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Check {
    pub(super) fn execute(self) -> Outcome {
        let mut first_failure = None;
        for path in &self.workloads {
            match shipped::open(path, &self.set) {
                Ok(checked) => print_line(&shown(&Plan::new(checked))),
                Err(error) if first_failure.is_none() => first_failure = Some(error),
                // Each further file's mistakes, at once.
                Err(error) => eprintln!("{}\n", super::explained(&error.into())),
            }
        }
        first_failure.map_or(Ok(exit::PASS), |error| Err(Failure::usage(error)))
    }
}

fn shown(plan: &Plan) -> String {
    let cell = &plan.cells[0];
    let workload = &cell.workload;
    let estimate = plan.estimate();
    let mut text = format!("{}: valid\n", workload.name);
    if !workload.question.is_empty() {
        text.push_str(&format!("  question: {}\n", workload.question));
    }
    text.push_str(&format!(
        "  {}, {}\n",
        workload.load.arrival.loop_kind(),
        human::plural(plan.trials.len() as u64, "trial")
    ));
    let about = |value: Option<u64>, of: &str| value.map(|value| format!("about {} {of}", human::count(value)));
    let sizes = [
        about(estimate.orders, "orders"),
        about(estimate.publishes, "publishes"),
        about(estimate.deliveries, "deliveries"),
        estimate
            .bytes
            .map(|bytes| format!("about {} of bodies", human::bytes(bytes as f64))),
        estimate.duration.map(|duration| {
            format!(
                "about {} and the drain",
                Span(std::time::Duration::from_secs(duration.as_secs()))
            )
        }),
    ];
    let sizes: Vec<String> = sizes.into_iter().flatten().collect();
    if !sizes.is_empty() {
        text.push_str(&format!("  {}\n", sizes.join(", ")));
    }
    for setting in &cell.settings {
        let origin = match setting.origin {
            Origin::Default => "",
            Origin::File => "  # file",
            Origin::CommandLine => "  # --set",
        };
        text.push_str(&format!("    {} = {}{origin}\n", setting.path, setting.value));
    }
    text
}
