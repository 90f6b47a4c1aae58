//! `orderstorm capacity`: the highest rate that a pipeline sustains, as an interval, for each setting.

use std::path::PathBuf;

use clap::Args;

use super::run::{BrokerArgs, Job, ReportName, conduct, workload_of};
use super::{Failure, Outcome, quoted, shipped};
use crate::broker::BrokerChoice;
use crate::pipeline::store::postgres::PostgresAddress;
use crate::plan::Plan;
use crate::runner::{self, Asked, AtEnd, Resume, RunRequest, Search, SearchError, Stores};
use crate::units::{Rate, Share, Span};

/// The budget, if none is given.
const BUDGET: Span = Span::from_secs(600);
/// Longest list that a range of values becomes.
const RANGE_MAX: u64 = 1_000_000;

/// Find the highest rate that a pipeline sustains, as an interval: the highest rate that held and the lowest that did not.
///
/// A rate holds when the backlog does not grow, every objective is kept, the broker neither refuses nor holds the load back,
/// and the driver kept up. The workload's own arrivals give way to a constant (or Poisson) rate; its warm-up and duration are those of
/// each trial. The search brackets, bisects, and repeats both edges until all repeats agree.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 found, 1 could not run, 2 usage or workload error, 3 a promise was broken, 4 the lowest rate of interest does not hold, 5 inconclusive (the budget was too small, rates could not be decided, or the driver gave out first), 130 interrupted (--resume goes on)"
)]
pub struct Capacity {
    /// Workload file, or the name of a shipped one (`orderstorm list`).
    #[arg(required_unless_present = "resume")]
    workload: Option<PathBuf>,
    /// What a rate must keep, such as 'end_to_end_p99<=500ms'; may be given often. The workload's own objectives count too.
    #[arg(long, value_name = "FIGURE<=BOUND")]
    objective: Vec<String>,
    /// Find the capacity for each of these values: a list (stage.payment.consumers=1,2,4,8) or a range, which doubles from its
    /// begin to its end (1..16 is 1,2,4,8,16). May be given often: every combination is searched.
    #[arg(long, value_name = "KEY=VALUES")]
    vary: Vec<String>,
    /// Time for all trials, shared among the settings [default: 10m].
    #[arg(long, value_name = "TIME")]
    budget: Option<Span>,
    /// Width of the interval over its upper end.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = resolution)]
    resolution: Share,
    /// Repeats of each edge of the interval that must agree.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeats: u32,
    /// Lowest rate of interest; if it does not hold, the exit code is 4.
    #[arg(long, value_name = "RATE", value_parser = positive)]
    from: Option<Rate>,
    /// Highest rate of interest; if it holds, the search is over.
    #[arg(long, value_name = "RATE", value_parser = positive)]
    to: Option<Rate>,
    /// Rates of each setting's curves, tried with what is left of the budget once the capacities are known. A knee takes 10.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    curve: u32,
    /// Go on with a search that was left, or whose budget was too small: its folder. Everything else is the search's own;
    /// --budget gives it more.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["workload", "objective", "vary", "resolution", "repeats", "from", "to", "curve", "set", "results"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Change a setting of the workload, such as load.duration=60s; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder that result folders are made in.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// How much of a report is made at the end; `orderstorm report` makes the rest at any time.
    #[arg(long, value_enum, value_name = "EXTENT", default_value = "full")]
    report: ReportName,
    /// Show nothing while it runs.
    #[arg(long, short)]
    quiet: bool,
}

impl Capacity {
    pub(super) fn execute(self) -> Outcome {
        let from = match &self.resume {
            Some(folder) => Some(Resume::read(folder).map_err(Failure::usage)?),
            None => None,
        };
        let checked = match (&self.workload, &from) {
            (Some(workload), _) => shipped::open(workload, &self.settings()?).map_err(Failure::usage)?,
            (None, Some(from)) => workload_of(from)?,
            (None, None) => return Err(Failure::usage(anyhow::anyhow!("no workload is given"))),
        };
        let broker = self.broker.word(from.as_ref());
        let selection = BrokerChoice::select(broker, self.broker.rabbitmq_server.as_ref()).map_err(Failure::usage)?;
        let plan = Plan::new(checked);
        let search = Search::new(plan.clone(), self.asked(from.as_ref())?).map_err(Failure::usage)?;
        let announced = announced(&search);
        let mut request = RunRequest {
            plan,
            choice: selection.choice,
            start: self.broker.start_options(),
            results: self.results.clone(),
            program: runner::own_program(),
            command: self.command(),
            ceiling: None,
            report: self.report.into(),
            at_end: AtEnd::Delete,
            postgres: None,
            search: Some(search),
        };
        if Stores::are_wanted(&request.plan) {
            request.postgres = PostgresAddress::from_environment().map_err(Failure::usage)?;
        }
        conduct(Job {
            request,
            from,
            because: selection.because,
            announced,
            quiet: self.quiet,
            ceiling: false,
            verb: "capacity",
        })
    }

    /// `--set`, and what else of the command line is a setting of the workload.
    fn settings(&self) -> Result<Vec<String>, Failure> {
        let mut settings = self.set.clone();
        for objective in &self.objective {
            settings.push(objective_setting(objective).map_err(Failure::usage)?);
        }
        for varied in &self.vary {
            settings.push(varied_setting(varied).map_err(Failure::usage)?);
        }
        Ok(settings)
    }

    fn asked(&self, from: Option<&Resume>) -> Result<Asked, Failure> {
        let Some(from) = from else {
            return Ok(Asked {
                from: self.from,
                to: self.to,
                resolution: self.resolution,
                repeats: self.repeats,
                curve_rates: self.curve,
                budget: self.budget.unwrap_or(BUDGET),
            });
        };
        let Some(then) = &from.record.capacity else {
            return Err(Failure::usage(SearchError::NoSearch(from.folder.display().to_string())));
        };
        let budget_s = std::time::Duration::try_from_secs_f64(then.budget_s).unwrap_or(BUDGET.0);
        Ok(Asked {
            from: then.from_per_s.map(Rate),
            to: then.to_per_s.map(Rate),
            resolution: Share(then.resolution),
            repeats: then.repeats,
            curve_rates: then.curve_rates,
            budget: self.budget.unwrap_or(Span(budget_s)),
        })
    }

    /// The command that repeats it.
    fn command(&self) -> String {
        let mut words = vec!["orderstorm".to_owned(), "capacity".to_owned()];
        words.extend(self.workload.iter().map(|workload| quoted(&workload.to_string_lossy())));
        words.extend(self.broker.words());
        for (flag, values) in [
            ("--objective", &self.objective),
            ("--vary", &self.vary),
            ("--set", &self.set),
        ] {
            words.extend(values.iter().flat_map(|value| [flag.to_owned(), quoted(value)]));
        }
        let rate = |rate: Option<Rate>| rate.map(|rate| rate.to_string());
        for (flag, value) in [
            ("--from", rate(self.from)),
            ("--to", rate(self.to)),
            ("--budget", self.budget.map(|budget| budget.to_string())),
        ] {
            words.extend(value.iter().flat_map(|value| [flag.to_owned(), quoted(value)]));
        }
        words.extend(["--resolution".to_owned(), self.resolution.to_string()]);
        words.extend(["--repeats".to_owned(), self.repeats.to_string()]);
        words.extend(["--curve".to_owned(), self.curve.to_string()]);
        words.join(" ")
    }
}

/// What the user must know before the first trial.
fn announced(search: &Search) -> Vec<String> {
    let asked = search.record();
    let objectives = match asked.objectives.as_slice() {
        [] => "a backlog that does not grow (no objective is given, so latency does not count)".to_owned(),
        objectives => format!("a backlog that does not grow, and {}", objectives.join(", ")),
    };
    let mut lines = vec![format!(
        "a rate holds with {objectives}; arrivals are {}",
        asked.arrival
    )];
    lines.extend(asked.overridden.iter().map(|what| format!("overridden: {what}")));
    lines
}

/// `end_to_end_p99<=500ms` as a setting of the workload, whose check knows the figures and their units.
fn objective_setting(written: &str) -> anyhow::Result<String> {
    let name_ends = written.find(['<', '>', '=']).filter(|at| *at > 0);
    let Some(at) = name_ends else {
        anyhow::bail!(
            "--objective {written}: no comparison\nhelp: write a figure, a comparison and a bound, such as 'end_to_end_p99<=500ms'; quote it for the shell"
        );
    };
    let (name, bound) = (written[..at].trim(), written[at..].trim());
    Ok(format!("objectives.{name}=\"{bound}\""))
}

/// `KEY=1,2,4` or `KEY=1..16` as a list of the workload.
fn varied_setting(written: &str) -> anyhow::Result<String> {
    let help = "help: write a key and its values, such as stage.payment.consumers=1,2,4,8 or =1..16";
    let Some((key, values)) = written.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        anyhow::bail!("--vary {written}: no values\n{help}");
    };
    if values.trim_start().starts_with('[') {
        return Ok(written.to_owned());
    }
    if let Some((first, last)) = values.split_once("..") {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (Some(first), Some(last)) = (number(first), number(last.trim_start_matches('='))) else {
            anyhow::bail!("--vary {written}: a range has whole numbers on both sides\n{help}");
        };
        if first == 0 || first >= last || last > RANGE_MAX {
            anyhow::bail!("--vary {written}: a range begins at 1 or more and ends above its begin\n{help}");
        }
        let doubled = std::iter::successors(Some(first), |value| Some(value * 2)).take_while(|value| *value < last);
        let values: Vec<String> = doubled.chain([last]).map(|value| value.to_string()).collect();
        return Ok(format!("{key}=[{}]", values.join(", ")));
    }
    let values: Vec<&str> = values.split(',').map(str::trim).collect();
    if values.len() < 2 || values.contains(&"") {
        anyhow::bail!("--vary {written}: fewer than two values\n{help}; --set takes one value");
    }
    let bare = |value: &str| {
        value.parse::<f64>().is_ok() || value.starts_with(['"', '\'', '{']) || value == "true" || value == "false"
    };
    let values: Vec<String> = values
        .into_iter()
        .map(|value| {
            if bare(value) {
                value.to_owned()
            } else {
                format!("\"{value}\"")
            }
        })
        .collect();
    Ok(format!("{key}=[{}]", values.join(", ")))
}

fn resolution(written: &str) -> Result<Share, String> {
    let share: Share = written
        .parse()
        .map_err(|error: crate::units::UnitError| error.to_string())?;
    if (0.005..=0.5).contains(&share.0) {
        Ok(share)
    } else {
        Err("a resolution is from 0.5% to 50%".to_owned())
    }
}

fn positive(written: &str) -> Result<Rate, String> {
    let rate: Rate = written
        .parse()
        .map_err(|error: crate::units::UnitError| error.to_string())?;
    if (0.1..=1e6).contains(&rate.per_second()) {
        Ok(rate)
    } else {
        Err("a rate of interest is from 0.1/s to 1000000/s".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_becomes_a_setting_of_the_workload() {
        let read = |written| objective_setting(written).expect(written);
        assert_eq!(read("end_to_end_p99<=500ms"), "objectives.end_to_end_p99=\"<=500ms\"");
        assert_eq!(read("orders_lost == 0"), "objectives.orders_lost=\"== 0\"");
        for wrong in ["end_to_end_p99", "<=500ms", ""] {
            let error = objective_setting(wrong).expect_err(wrong).to_string();
            assert!(error.contains("help: "), "{error}");
        }
    }

    #[test]
    fn values_are_a_list_or_a_range_that_doubles() {
        let read = |written| varied_setting(written).expect(written);
        assert_eq!(
            read("stage.payment.consumers=1..16"),
            "stage.payment.consumers=[1, 2, 4, 8, 16]"
        );
        assert_eq!(
            read("stage.payment.consumers=3..10"),
            "stage.payment.consumers=[3, 6, 10]"
        );
        assert_eq!(
            read("stage.payment.prefetch=1,10,unlimited"),
            "stage.payment.prefetch=[1, 10, \"unlimited\"]"
        );
        assert_eq!(
            read("stage.worker.service_time=5ms,10ms"),
            "stage.worker.service_time=[\"5ms\", \"10ms\"]"
        );
        for wrong in [
            "stage.payment.consumers",
            "x=",
            "x=4",
            "x=4..2",
            "x=0..8",
            "x=1..y",
            "x=1,,2",
        ] {
            let error = varied_setting(wrong).expect_err(wrong).to_string();
            assert!(error.contains("help: "), "{error}");
        }
    }
}
