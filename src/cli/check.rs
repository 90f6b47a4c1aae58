//! `orderstorm check`: validates workloads and prints their plans; touches no broker.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, exit, print_line, shipped};
use crate::plan::Plan;
use crate::report::human;
use crate::units::Span;
use crate::workload::check::{Origin, Setting};

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
    let mut text = format!("{}: valid\n", plan.name);
    if !plan.question.is_empty() {
        text.push_str(&format!("  question: {}\n", plan.question));
    }
    text.push_str(&format!("  {}, {}\n", loop_kinds(plan), trials(plan)));
    let sizes = sizes(plan);
    if !sizes.is_empty() {
        text.push_str(&format!("  {}\n", sizes.join(", ")));
    }
    if plan.cells.len() > 1 {
        text.push_str(&matrix(plan));
    }
    for (path, setting) in common(plan) {
        text.push_str(&format!("    {path} = {}{}\n", setting.value, origin(setting)));
    }
    text
}

fn loop_kinds(plan: &Plan) -> &'static str {
    let mut kinds = plan.cells.iter().map(|cell| cell.workload.load.arrival.loop_kind());
    let first = kinds.next().unwrap_or_default();
    if kinds.all(|kind| kind == first) {
        first
    } else {
        "open and closed loop"
    }
}

fn trials(plan: &Plan) -> String {
    let trials = human::plural(plan.trials.len() as u64, "trial");
    match plan.cells.len() {
        1 => trials,
        cells => {
            let repeats = plan.trials.len() / cells;
            format!(
                "{} × {} = {trials}",
                human::plural(cells as u64, "cell"),
                human::plural(repeats as u64, "repeat")
            )
        }
    }
}

fn sizes(plan: &Plan) -> Vec<String> {
    let estimate = plan.estimate();
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
                "about {} and the drain{}",
                Span(std::time::Duration::from_secs(duration.as_secs())),
                if plan.trials.len() > 1 { "s" } else { "" }
            )
        }),
    ];
    sizes.into_iter().flatten().collect()
}

/// The dimensions, and what each cell has of its own.
fn matrix(plan: &Plan) -> String {
    let mut text = String::new();
    for (dimension, values) in plan.dimensions() {
        text.push_str(&format!("  varied: {dimension} = {}\n", values.join(", ")));
    }
    let shared: Vec<&str> = common(plan).into_iter().map(|(path, _)| path).collect();
    for cell in &plan.cells {
        text.push_str(&format!("  cell {}\n", cell.label));
        for setting in cell
            .settings
            .iter()
            .filter(|setting| !shared.contains(&setting.path.as_str()))
        {
            text.push_str(&format!(
                "    {} = {}{}\n",
                setting.path,
                setting.value,
                origin(setting)
            ));
        }
    }
    text.push_str("  in every cell\n");
    text
}

/// The settings that all cells have with the same value; all, if there is one cell.
fn common(plan: &Plan) -> Vec<(&str, &Setting)> {
    let (first, others) = plan.cells.split_first().expect("a plan has at least one cell");
    let mut shared: Vec<(&str, &Setting)> = first
        .settings
        .iter()
        .map(|setting| (setting.path.as_str(), setting))
        .collect();
    for cell in others {
        let values: HashMap<&str, &str> = cell
            .settings
            .iter()
            .map(|setting| (setting.path.as_str(), setting.value.as_str()))
            .collect();
        shared.retain(|(path, setting)| values.get(path) == Some(&setting.value.as_str()));
    }
    shared
}

fn origin(setting: &Setting) -> &'static str {
    match setting.origin {
        Origin::Default => "",
        Origin::File => "  # file",
        Origin::CommandLine => "  # --set",
    }
}
