//! The workload that shows whether a plan holds: its settings, its burst, and what it foretells.
//!
//! The burst and its drain are shortened alike where they would take too long: backlog and drain time of the fluid model shrink with
//! them, rates and utilisation stay. Consumers are those that are left after the loss that was planned for, the worst that the plan
//! promises to bear.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::forecast::Flow;
use super::plan::{Plan, StagePlan, server};
use crate::queueing::Segment;
use crate::results::record::{RunRecord, SettingRecord};
use crate::units::{Rate, Share, Span};
use crate::workload::check::check;
use crate::workload::model::StageSettings;
use crate::workload::{Workload, WorkloadError};

/// Share of the whole time before the burst, and after the drain.
const CALM: f64 = 1.0 / 6.0;
/// A backlog of less than this many seconds of work is no overload that a run could measure.
const WORTH_S: f64 = 1.0;
/// Sections and keys that a plan has its own of, or no use for.
const OWN: [&str; 12] = [
    "name",
    "load.",
    "objectives.",
    "compare.",
    "prediction.",
    "fault.",
    "faults",
    "backlog.",
    "canary.",
    "trial.",
    "sample.",
    "drain.",
];
/// Keys of a stage that a plan has its own of.
const OWN_OF_STAGE: [&str; 2] = ["consumers", "predicted_utilisation"];

/// A workload that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// What the burst and its drain were shortened to, 1: not at all.
    pub scale: f64,
    /// How long its load takes.
    pub length: Span,
}

/// The load in time: calm, burst, drain and calm again.
struct Course {
    calm_s: f64,
    burst_s: f64,
    after_s: f64,
    scale: f64,
}

/// Makes the workload of `plan`, whose load takes about `length`; `record` is the run that the plan rests on.
///
/// # Errors
/// [`WorkloadError`] where the settings of the run contradict what was planned; it says which.
pub fn workload(plan: &Plan, record: &RunRecord, length: Span) -> Result<Generated, WorkloadError> {
    let cell = &record.cells[plan.cell];
    let course = course(plan, length.as_secs_f64());
    let mut sections = kept(&cell.settings, plan, &cell.workload);
    for stage in &plan.stages {
        let section = sections.entry(format!("stage.{}", stage.stage)).or_default();
        section.push(format!("consumers = {}", stage.left));
        if let Some(prefetch) = stage.prefetch.filter(|_| stage.works) {
            section.push(format!("prefetch = {prefetch}"));
        }
    }
    let foretold = foretell(plan, &course);
    for (stage, utilisation) in foretold.utilisation {
        let share = Share((utilisation * 1_000.0).round() / 1_000.0);
        let section = sections.entry(format!("stage.{stage}")).or_default();
        section.push(format!("predicted_utilisation = \"{share}\""));
    }
    sections.insert("prediction".to_owned(), foretold.lines);
    let deadline_s = (plan.drain_s.unwrap_or(0.0) * course.scale * 3.0).clamp(60.0, 3_600.0);
    sections.insert("drain".to_owned(), vec![format!("deadline = \"{}\"", span(deadline_s))]);
    sections.insert("sample".to_owned(), vec!["interval = \"100ms\"".to_owned()]);
    let text = written(plan, record, &course, &sections);
    check("plan.toml", "plan", text.clone(), &[])?;
    Ok(Generated {
        text,
        scale: course.scale,
        length: span(course.calm_s + course.burst_s + course.after_s),
    })
}

fn course(plan: &Plan, length_s: f64) -> Course {
    let Some(burst) = plan.demand.burst else {
        return Course {
            calm_s: length_s,
            burst_s: 0.0,
            after_s: 0.0,
            scale: 1.0,
        };
    };
    let calm_s = length_s * CALM;
    let (burst_s, drain_s) = (burst.lasts.as_secs_f64(), plan.drain_s.unwrap_or(0.0));
    let scale = ((length_s - 2.0 * calm_s) / (burst_s + drain_s)).min(1.0);
    Course {
        calm_s,
        burst_s: burst_s * scale,
        after_s: drain_s * scale + calm_s,
        scale,
    }
}

/// What the run's own file or command line set, by section.
fn kept(settings: &[SettingRecord], plan: &Plan, workload: &Workload) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let written = settings.iter().filter(|setting| setting.origin != "default");
    for setting in written.filter(|setting| is_kept(&setting.path, plan, workload)) {
        let (section, key) = setting.path.rsplit_once('.').unwrap_or(("", &setting.path));
        let section = sections.entry(section.to_owned()).or_default();
        section.push(format!("{key} = {}", setting.value));
    }
    sections
}

fn is_kept(path: &str, plan: &Plan, workload: &Workload) -> bool {
    if matches!(path, "load.connections" | "load.confirm_window") {
        return true;
    }
    if OWN
        .iter()
        .any(|own| path == *own || own.ends_with('.') && path.starts_with(own) || path.starts_with("faults."))
    {
        return false;
    }
    let Some((name, key)) = path.strip_prefix("stage.").and_then(|rest| rest.split_once('.')) else {
        return true;
    };
    let planned = plan.stages.iter().find(|stage| stage.stage.name() == name);
    planned.is_none_or(|stage| !OWN_OF_STAGE.contains(&key) && fits(key, stage, workload.stage(stage.stage)))
}

/// Whether a setting still makes sense with so many consumers.
fn fits(key: &str, stage: &StagePlan, settings: &StageSettings) -> bool {
    match key {
        "prefetch" => !stage.works,
        "processes" => settings.processes <= stage.left,
        "slow_share" | "slow_factor" => (settings.slow_share.0 * f64::from(stage.left)).round() >= 1.0,
        _ => true,
    }
}

/// What a plan says of its workload.
struct Foretold {
    utilisation: Vec<(crate::events::Stage, f64)>,
    lines: Vec<String>,
}

fn foretell(plan: &Plan, course: &Course) -> Foretold {
    let rate = plan.demand.rate_per_s();
    let whole_s = course.calm_s + course.burst_s + course.after_s;
    let burst_per_s = plan.demand.burst_per_s().unwrap_or(rate);
    let segments = [
        (course.calm_s, rate),
        (course.burst_s, burst_per_s),
        (course.after_s, rate),
    ];
    let segments = segments.map(|(duration_s, rate_per_s)| Segment { duration_s, rate_per_s });
    let servers: Vec<_> = plan
        .stages
        .iter()
        .map(|stage| server(&plan.model, stage, 1.0))
        .collect();
    let flow = Flow::of(&segments, &servers);
    let measured_from = warm_up_s(course);
    let utilisation = plan.stages.iter().filter(|stage| stage.works).filter_map(|stage| {
        let model = plan.model.stage(stage.stage)?;
        let slots = f64::from(stage.staffed()?.consumers.slots());
        let orders = flow.served_between(stage.stage, measured_from, whole_s);
        let busy_s = orders * model.messages_per_order * stage.service_s;
        Some((stage.stage, busy_s / slots / (whole_s - measured_from)))
    });
    let mut lines = Vec::new();
    let (_, waiting) = flow.peak();
    let burst_end = course.calm_s + course.burst_s;
    if plan.demand.burst.is_none() {
        lines.extend(plan.p99_s.map(|p99| format!("end_to_end_p99 = \"{}\"", span(p99))));
    } else if is_measurable(plan, waiting) {
        lines.push(format!("sustainable_rate = \"{}\"", rounded(plan.sustainable_per_s)));
        lines.extend(
            flow.clear_s(burst_end)
                .map(|clear_s| format!("drain_time = \"{}\"", span(clear_s - burst_end))),
        );
        lines.push(format!("backlog_max = {:.0}", waiting + at_work(plan, burst_per_s)));
    }
    Foretold {
        utilisation: utilisation.collect(),
        lines,
    }
}

fn is_measurable(plan: &Plan, waiting: f64) -> bool {
    waiting >= plan.sustainable_per_s * WORTH_S
}

/// Messages that are on their way or worked on, by Little's law, while `orders_per_s` come.
fn at_work(plan: &Plan, orders_per_s: f64) -> f64 {
    let of = |stage: &StagePlan| {
        let model = plan.model.stage(stage.stage)?;
        let per_s = orders_per_s.min(plan.sustainable_per_s) * model.messages_per_order;
        Some(per_s * (stage.service_s + model.beside_s))
    };
    plan.stages.iter().filter_map(of).sum()
}

fn warm_up_s(course: &Course) -> f64 {
    if course.burst_s > 0.0 {
        course.calm_s / 2.0
    } else {
        course.calm_s * CALM
    }
}

fn written(plan: &Plan, record: &RunRecord, course: &Course, sections: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = comment(plan, record, course);
    // Writing to a String cannot fail.
    let mut line = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    line(&format!("name = \"{}\"", name(&record.name)));
    for own in sections.get("").into_iter().flatten() {
        line(own);
    }
    line("\n[load]");
    line(&format!("warm_up = \"{}\"", span(warm_up_s(course))));
    for own in sections.get("load").into_iter().flatten() {
        line(own);
    }
    let rate = rounded(plan.demand.rate_per_s());
    match plan.demand.burst_per_s().map(rounded) {
        None => {
            let measured_s = course.calm_s - warm_up_s(course);
            line(&format!(
                "arrival = \"poisson\"\nrate = \"{rate}\"\nduration = \"{}\"",
                span(measured_s)
            ));
        }
        Some(burst) => {
            for (name, length_s, rate) in [
                ("before", course.calm_s, rate),
                ("burst", course.burst_s, burst),
                ("after", course.after_s, rate),
            ] {
                line(&format!(
                    "\n[[load.phases]]\nname = \"{name}\"\nduration = \"{}\"\narrival = \"poisson\"\nrate = \"{rate}\"",
                    span(length_s)
                ));
            }
        }
    }
    for (section, lines) in sections
        .iter()
        .filter(|(section, lines)| !["", "load"].contains(&section.as_str()) && !lines.is_empty())
    {
        line(&format!("\n[{section}]"));
        lines.iter().for_each(|own| line(own));
    }
    text
}

fn comment(plan: &Plan, record: &RunRecord, course: &Course) -> String {
    let demand = &plan.demand;
    let mut asked = format!("{} orders/s", rounded(demand.rate_per_s()).0);
    if let Some((burst, per_s)) = demand.burst.zip(demand.burst_per_s()) {
        let _ = write!(asked, " with bursts of {}/s for {}", rounded(per_s).0, burst.lasts);
    }
    let mut text = format!(
        "# Does the plan for {asked} hold?\n#\n# Made by `orderstorm plan` from the run {}.",
        record.id
    );
    if course.scale < 1.0 {
        let _ = write!(
            text,
            " The burst and its drain are shortened to {:.3} of their time:\n# so are the backlog and the drain time foretold here; rates and utilisation are those of the plan.",
            course.scale
        );
    }
    if let Some(loss) = demand.lose {
        let _ = write!(text, "\n# Consumers are those that are left at a loss of {loss}.");
    }
    text.push_str("\n\n");
    text
}

fn name(of: &str) -> String {
    let short: String = of.chars().take(59).collect();
    format!("{short}-plan")
}

/// To milliseconds, or microseconds where that is much.
fn span(seconds: f64) -> Span {
    let step = if seconds < 0.1 { 1e6 } else { 1e3 };
    Span(std::time::Duration::from_secs_f64(
        (seconds.max(0.0) * step).round() / step,
    ))
}

fn rounded(per_s: f64) -> Rate {
    Rate((per_s * 100.0).round() / 100.0)
}
