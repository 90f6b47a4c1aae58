//! What a capacity search asked for and found: the interval of each setting, what each rate said, and where it broke.
//!
//! Judges from trial records alone, so it can be done again at any time. Which trials run is the conductor's business.

use serde::{Deserialize, Serialize};

use super::objective::{self, Reading};
use super::record::{RunRecord, TrialRecord, VariedRecord};
use crate::capacity::{Answer, Bounds, Ending, Knee, Point, Status, Step, Trial, interval, knee, points, step};
use crate::events::Stage;
use crate::ledger::Verdict;
use crate::measure::{Quantile, Series, StageSpan, Summary};
use crate::stats;
use crate::workload::Workload;
use crate::workload::objective::{Comparison, Objective};

/// The dimension of a capacity run's cells along which it searches.
pub const RATE: &str = "load.rate";
/// Growth of the backlog that is none, as a share of the offered load.
pub const SLOPE_SHARE: f64 = 0.01;
/// Share of the offered load that must be achieved.
const ACHIEVED_SHARE: f64 = 0.99;
/// Share of the time in which the broker may hold the load back.
const HELD_BACK_SHARE: f64 = 0.01;
/// Busy share from which on consumers, or processors, are what is short.
const BUSY_SHARE: f64 = 0.9;
/// Least measured part on which a rate should be judged, seconds, and in mean latencies.
const STEADY_S: f64 = 60.0;
const STEADY_LATENCIES: f64 = 30.0;

/// A capacity search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityRecord {
    /// What each rate had to keep, such as `end_to_end_p99 <= 500ms`, besides a backlog that does not grow.
    pub objectives: Vec<String>,
    /// `constant` or `poisson`: how orders were spread at the searched rate.
    pub arrival: String,
    /// Settings of the workload that the search took the place of, in words.
    pub overridden: Vec<String>,
    /// Lowest rate of interest, orders per second; absent if none was given.
    pub from_per_s: Option<f64>,
    /// Highest rate of interest, orders per second; absent if none was given.
    pub to_per_s: Option<f64>,
    /// Width of the interval over its upper end that was asked for.
    pub resolution: f64,
    /// Repeats of an edge of the interval that had to agree.
    pub repeats: u32,
    /// Rates that each setting's curves should have.
    pub curve_rates: u32,
    /// Seconds for all trials.
    pub budget_s: f64,
    /// What was found for each setting.
    pub settings: Vec<CapacitySetting>,
}

/// The capacity of one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacitySetting {
    /// The setting in short; empty if nothing is varied.
    pub label: String,
    /// Its place on each varied dimension.
    pub varied: Vec<VariedRecord>,
    /// Where its search began, orders per second; absent before its first trial.
    pub start_per_s: Option<f64>,
    /// The highest rate that held, orders per second; absent if none did.
    pub low_per_s: Option<f64>,
    /// Its repeats agree.
    pub low_confirmed: bool,
    /// The lowest rate that did not hold; absent if none was found.
    pub high_per_s: Option<f64>,
    /// Its repeats agree.
    pub high_confirmed: bool,
    /// The lowest rate above the highest that held at which only the driver was measured; absent if there is none.
    pub driver_per_s: Option<f64>,
    /// How the search ended.
    pub ending: CapacityEnding,
    /// What each rate said, lowest first.
    pub rates: Vec<CapacityRate>,
    /// Where it broke first; absent where no rate failed.
    pub breaks: Option<BreakRecord>,
    /// The knee of its p99 over the offered load (Kneedle), orders per second; absent where there is none.
    pub knee_per_s: Option<f64>,
    /// Why there is none; absent where there is one.
    pub knee_absent_because: Option<String>,
}

impl CapacitySetting {
    /// Width of the interval over its upper end; absent with one end.
    pub fn width(&self) -> Option<f64> {
        let high = self.high_per_s.or(self.driver_per_s)?;
        Some((high - self.low_per_s?) / high)
    }
}

/// How the search of a setting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityEnding {
    /// The interval is as narrow as asked for.
    Found,
    /// The highest rate of interest held.
    AtLeast,
    /// The lowest rate of interest did not hold.
    NotMet,
    /// Above the rate that held only the driver could be measured.
    Driver,
    /// Rates inside the interval cannot be decided.
    Wide,
    /// The budget was used up, or somebody stopped it.
    Unfinished,
}

impl CapacityEnding {
    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            CapacityEnding::Found => "found",
            CapacityEnding::AtLeast => "at least",
            CapacityEnding::NotMet => "not met",
            CapacityEnding::Driver => "driver",
            CapacityEnding::Wide => "undecided",
            CapacityEnding::Unfinished => "unfinished",
        }
    }
}

impl From<Ending> for CapacityEnding {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Found => CapacityEnding::Found,
            Ending::AtLeast => CapacityEnding::AtLeast,
            Ending::NotMet => CapacityEnding::NotMet,
            Ending::Driver => CapacityEnding::Driver,
            Ending::Wide => CapacityEnding::Wide,
        }
    }
}

/// One rate of a setting, over all its trials. Latencies, rates and shares are medians over the trials that count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityRate {
    /// Offered load, orders per second.
    pub rate_per_s: f64,
    /// Position of its cell, from 0.
    pub cell: u32,
    /// Trials that held.
    pub held: u32,
    /// Trials that did not.
    pub failed: u32,
    /// Trials that cannot tell.
    pub undecided: u32,
    /// Trials that do not count.
    pub invalid: u32,
    /// What they say together.
    pub status: RateStatus,
    /// Why a trial did not hold, cannot tell or does not count: the first one's reason; absent if all held.
    pub because: Option<String>,
    /// Orders published per second.
    pub achieved_rate_per_s: Option<f64>,
    /// Orders that came to their end per second.
    pub goodput_per_s: Option<f64>,
    /// Median of the end-to-end latency, nanoseconds.
    pub end_to_end_ns_p50: Option<f64>,
    /// Its 99th percentile.
    pub end_to_end_ns_p99: Option<f64>,
    /// Busy share of each stage's consumers.
    pub utilisations: Vec<StageUtilisation>,
    /// Share of all processors that the broker used; absent where its process is not known.
    pub broker_cpu_share: Option<f64>,
    /// Share of all processors that the driver used.
    pub driver_cpu_share: Option<f64>,
}

/// What a rate's trials say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateStatus {
    /// It holds.
    Held,
    /// It does not.
    Failed,
    /// They disagree, or cannot tell.
    Undecided,
    /// None of them counts.
    Invalid,
}

impl RateStatus {
    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            RateStatus::Held => "held",
            RateStatus::Failed => "failed",
            RateStatus::Undecided => "undecided",
            RateStatus::Invalid => "invalid",
        }
    }
}

impl From<Status> for RateStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Held => RateStatus::Held,
            Status::Failed => RateStatus::Failed,
            Status::Undecided => RateStatus::Undecided,
            Status::Invalid => RateStatus::Invalid,
        }
    }
}

/// How busy a stage's consumers were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageUtilisation {
    /// Which.
    pub stage: Stage,
    /// Busy share of its job slots, 0 to 1.
    pub utilisation: f64,
}

/// Where a setting broke first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakRecord {
    /// What was short.
    pub what: BreakKind,
    /// Of which stage; absent for broker, driver and machine.
    pub stage: Option<Stage>,
    /// At which rate, orders per second.
    pub rate_per_s: f64,
    /// A sentence with the figures.
    pub finding: String,
}

/// What was short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakKind {
    /// The consumers of a stage were busy.
    Consumers,
    /// Messages waited for a stage whose consumers were not busy.
    Queue,
    /// The broker used its processors up, or held the load back.
    Broker,
    /// Broker and driver together used the processors up.
    Machine,
    /// The driver: it measured itself.
    Driver,
    /// Nothing that is measured.
    Unknown,
}

/// What one trial says of its rate, and why unless it held.
pub fn answer(workload: &Workload, trial: &TrialRecord) -> (Answer, Option<String>) {
    if !trial.validity.valid {
        return (Answer::Invalid, trial.validity.reasons.first().cloned());
    }
    if let Some(why) = broken(trial) {
        return (Answer::Failed, Some(why));
    }
    let mut doubts = Vec::new();
    match growth(trial) {
        (Answer::Failed, why) => return (Answer::Failed, why),
        (Answer::Undecided, why) => doubts.extend(why),
        _ => {}
    }
    for one in &workload.objectives {
        match kept(one, trial) {
            (Answer::Failed, why) => return (Answer::Failed, why),
            (Answer::Undecided, why) => doubts.extend(why),
            _ => {}
        }
    }
    match doubts.into_iter().next() {
        Some(doubt) => (Answer::Undecided, Some(doubt)),
        None => (Answer::Held, None),
    }
}

/// What no sustainable rate may show, whatever its objectives.
fn broken(trial: &TrialRecord) -> Option<String> {
    let promise = trial
        .promises
        .iter()
        .find(|promise| promise.verdict == Verdict::Fail && promise.not_given_because.is_none());
    if let Some(promise) = promise {
        return Some(format!("{}: {}", promise.name, promise.finding));
    }
    let (nacked, returned) = (trial.messages.nacked, trial.messages.returned);
    if nacked + returned > 0 {
        return Some(format!("the broker refused {nacked} messages and returned {returned}"));
    }
    let checks = &trial.validity.checks;
    let held_back = checks.blocked_share.unwrap_or(0.0) + checks.socket_full_share.unwrap_or(0.0);
    if held_back >= HELD_BACK_SHARE {
        return Some(format!(
            "the broker held the load back {:.1} % of the time",
            held_back * 100.0
        ));
    }
    let rates = &trial.rates;
    let achieved = rates
        .achieved_rate_per_s
        .zip(rates.offered_load_per_s.filter(|offered| *offered > 0.0))?;
    let share = achieved.0 / achieved.1;
    (share < ACHIEVED_SHARE).then(|| format!("{:.1} % of the offered load was achieved", share * 100.0))
}

/// Whether the backlog stays as it is, by the 95 % interval of its slope.
fn growth(trial: &TrialRecord) -> (Answer, Option<String>) {
    let Some(offered) = trial.rates.offered_load_per_s else {
        return (
            Answer::Undecided,
            Some("nothing was offered in the measured part".to_owned()),
        );
    };
    let allowed = SLOPE_SHARE * offered;
    let slopes = (
        trial.backlog_slope_messages_per_s,
        trial.backlog_slope_low_messages_per_s,
        trial.backlog_slope_high_messages_per_s,
    );
    let (Some(slope), Some(low), Some(high)) = slopes else {
        return (
            Answer::Undecided,
            Some("too few looks at the queues were answered for the slope of the backlog".to_owned()),
        );
    };
    let says = |what: &str| {
        format!("the backlog {what} {slope:.1} messages per second ({low:.1} to {high:.1}; at most {allowed:.1})")
    };
    match () {
        () if high <= allowed => (Answer::Held, None),
        () if low > allowed => (Answer::Failed, Some(says("grew by"))),
        () => (Answer::Undecided, Some(says("may have grown: slope"))),
    }
}

fn kept(one: &Objective, trial: &TrialRecord) -> (Answer, Option<String>) {
    let name = one.figure.name();
    let at_most = matches!(one.bound.comparison, Comparison::AtMost | Comparison::Below);
    match objective::reading(one.figure, trial) {
        Reading::Is(value) if one.bound.holds(value) => (Answer::Held, None),
        Reading::Is(value) => {
            let value = written(value, one);
            (Answer::Failed, Some(format!("{name} was {value} ({})", one.bound)))
        }
        Reading::MoreThan(value) if at_most && value >= one.bound.limit() => (
            Answer::Failed,
            Some(format!("{name} was more than {} ({})", written(value, one), one.bound)),
        ),
        Reading::MoreThan(_) | Reading::Absent => (
            Answer::Undecided,
            Some(format!("{name}: {}", objective::why_absent(one.figure, trial))),
        ),
    }
}

/// A value in the words of its objective's unit.
fn written(value: f64, one: &Objective) -> String {
    use crate::workload::objective::Unit;
    match one.figure.unit() {
        Unit::Seconds if value < 1.0 => format!("{:.1} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Share => format!("{:.2} %", value * 100.0),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
        Unit::Count => format!("{value:.0}"),
    }
}

/// Seconds that a trial took, from its preparation to its verdict.
pub fn took_s(trial: &TrialRecord) -> f64 {
    let start = trial.phases.iter().map(|band| band.start_s).fold(0.0, f64::min);
    let end = trial.phases.iter().map(|band| band.end_s).fold(0.0, f64::max);
    end - start
}

/// The trials of a setting, with what each said.
pub fn trials_of<'a>(record: &'a RunRecord, setting: &CapacitySetting) -> Vec<(Trial, &'a TrialRecord)> {
    let of = |trial: &'a TrialRecord| {
        let cell = record.cell(trial);
        let rate = cell.varied.iter().find(|varied| varied.dimension == RATE)?.number?;
        let others = cell.varied.iter().filter(|varied| varied.dimension != RATE);
        let finished = !trial.interrupted && trial.aborted.is_none();
        (finished && others.eq(&setting.varied)).then(|| {
            let answer = answer(&cell.workload, trial).0;
            (Trial { rate, answer }, trial)
        })
    };
    record.trials.iter().filter_map(of).collect()
}

impl CapacityRecord {
    /// What the searches of all settings are asked for.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            from: self.from_per_s,
            to: self.to_per_s,
            resolution: self.resolution,
            repeats: self.repeats,
        }
    }

    /// Whether trials are shorter than a rate should be judged on: the shortest measured part and what it should have been,
    /// seconds; absent if none is.
    pub fn short_trials(&self, record: &RunRecord) -> Option<(f64, f64)> {
        let short = |trial: &TrialRecord| {
            let measured = trial.phases.iter().find(|band| band.name == "measure")?;
            let measured_s = measured.end_s - measured.start_s;
            let mean_s = series(trial, Series::EndToEnd)
                .and_then(|summary| summary.mean_ns)
                .unwrap_or(0.0)
                / 1e9;
            let wanted_s = STEADY_S.max(STEADY_LATENCIES * mean_s.min(STEADY_S));
            // A trial that ends with its last order may be a moment short.
            (measured_s < wanted_s * 0.99).then_some((measured_s, wanted_s))
        };
        let held = record.trials.iter().filter(|trial| trial.validity.valid);
        held.filter_map(short)
            .min_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)))
    }
}

/// Judges every setting of `record` anew; nothing for a run that is no capacity search.
pub fn judge(record: &mut RunRecord) {
    let Some(mut capacity) = record.capacity.take() else {
        return;
    };
    let bounds = capacity.bounds();
    for setting in &mut capacity.settings {
        let trials = trials_of(record, setting);
        judge_setting(record, setting, &bounds, &trials);
    }
    record.capacity = Some(capacity);
}

fn judge_setting(record: &RunRecord, setting: &mut CapacitySetting, bounds: &Bounds, trials: &[(Trial, &TrialRecord)]) {
    let answers: Vec<Trial> = trials.iter().map(|(trial, _)| *trial).collect();
    setting.start_per_s = setting.start_per_s.or(answers.first().map(|trial| trial.rate));
    let found = interval(bounds, &answers);
    setting.low_per_s = found.low.map(|edge| edge.rate);
    setting.low_confirmed = found.low.is_some_and(|edge| edge.confirmed);
    setting.high_per_s = found.high.map(|edge| edge.rate);
    setting.high_confirmed = found.high.is_some_and(|edge| edge.confirmed);
    setting.driver_per_s = found.driver;
    setting.ending = match setting.start_per_s.map(|start| step(bounds, start, &answers)) {
        Some(Step::Done(ending)) => ending.into(),
        _ => CapacityEnding::Unfinished,
    };
    setting.rates = points(&answers)
        .iter()
        .map(|point| rate_record(record, bounds, point, trials))
        .collect();
    setting.breaks = breaks(record, setting, trials);
    let curve: Vec<(f64, f64)> = setting
        .rates
        .iter()
        .filter_map(|rate| Some((rate.rate_per_s, rate.end_to_end_ns_p99?)))
        .collect();
    (setting.knee_per_s, setting.knee_absent_because) = match knee(&curve) {
        Knee::At(rate, _) => (Some(rate), None),
        Knee::None => (
            None,
            Some("the curve bends nowhere in the range that was measured".to_owned()),
        ),
        Knee::TooFew(n) => {
            let needed = crate::capacity::knee::POINTS_MIN;
            (None, Some(format!("{n} rates have a p99; a knee takes {needed}")))
        }
    };
}

fn rate_record(record: &RunRecord, bounds: &Bounds, point: &Point, trials: &[(Trial, &TrialRecord)]) -> CapacityRate {
    let here: Vec<&(Trial, &TrialRecord)> = trials.iter().filter(|(trial, _)| trial.rate == point.rate).collect();
    let because = here
        .iter()
        .find_map(|(_, trial)| answer(&record.cell(trial).workload, trial).1);
    let count = here.iter().filter(|(trial, _)| trial.answer != Answer::Invalid);
    let count: Vec<&TrialRecord> = count.map(|(_, trial)| *trial).collect();
    let median = |of: &dyn Fn(&TrialRecord) -> Option<f64>| {
        let values: Vec<f64> = count.iter().filter_map(|trial| of(trial)).collect();
        stats::median(&values)
    };
    let quantile = |which: fn(&Summary) -> Option<Quantile>| {
        median(&|trial| Some(which(series(trial, Series::EndToEnd)?)?.ns as f64))
    };
    let stages: Vec<Stage> = count.first().map_or(Vec::new(), |trial| {
        trial.stages.iter().map(|stage| stage.stage).collect()
    });
    let of_stage = |stage: Stage| {
        let utilisation = median(&|trial| utilisation(trial, stage))?;
        Some(StageUtilisation { stage, utilisation })
    };
    CapacityRate {
        rate_per_s: point.rate,
        cell: here.first().map_or(0, |(_, trial)| trial.cell),
        held: point.held,
        failed: point.failed,
        undecided: point.undecided,
        invalid: point.invalid,
        status: point.status(bounds.repeats).into(),
        because,
        achieved_rate_per_s: median(&|trial| trial.rates.achieved_rate_per_s),
        goodput_per_s: median(&|trial| trial.rates.goodput_per_s),
        end_to_end_ns_p50: quantile(|summary| summary.p50),
        end_to_end_ns_p99: quantile(|summary| summary.p99),
        utilisations: stages.into_iter().filter_map(of_stage).collect(),
        broker_cpu_share: median(&|trial| trial.resources.broker_cpu_share),
        driver_cpu_share: median(&|trial| trial.resources.driver_cpu_share),
    }
}

fn series(trial: &TrialRecord, which: Series) -> Option<&Summary> {
    let name = which.to_string();
    trial.latencies.iter().find(|summary| summary.series == name)
}

fn utilisation(trial: &TrialRecord, stage: Stage) -> Option<f64> {
    trial.stages.iter().find(|one| one.stage == stage)?.utilisation
}

/// Mean time that messages waited for a stage: in its queue and in its consumers' buffers.
fn wait_ns(trial: &TrialRecord, stage: Stage) -> Option<f64> {
    let spans = [StageSpan::QueueWait, StageSpan::BufferWait];
    let means = spans.map(|span| series(trial, Series::Stage(stage, span)).and_then(|summary| summary.mean_ns));
    Some(means[0]? + means[1].unwrap_or(0.0))
}

fn share(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

fn milliseconds(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        ns if ns >= 1e6 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

/// Where the setting broke: what the lowest rate that did not hold has, beside the highest that did.
fn breaks(record: &RunRecord, setting: &CapacitySetting, trials: &[(Trial, &TrialRecord)]) -> Option<BreakRecord> {
    let at = |rate: f64, answer: Answer| {
        let mut here = trials
            .iter()
            .filter(|(trial, _)| trial.rate == rate && trial.answer == answer);
        here.next().map(|(_, trial)| *trial)
    };
    let below = setting.low_per_s.and_then(|rate| Some((rate, at(rate, Answer::Held)?)));
    let (rate_per_s, failed) = match setting.high_per_s {
        Some(rate) => (rate, at(rate, Answer::Failed)?),
        None => {
            let rate_per_s = setting.driver_per_s?;
            let invalid = at(rate_per_s, Answer::Invalid)?;
            return Some(BreakRecord {
                what: BreakKind::Driver,
                stage: None,
                rate_per_s,
                finding: format!(
                    "at {rate_per_s}/s the driver measured itself: {}",
                    invalid
                        .validity
                        .reasons
                        .first()
                        .map_or("it was too slow", String::as_str)
                ),
            });
        }
    };
    let why = answer(&record.cell(failed).workload, failed).1.unwrap_or_default();
    let (what, stage, found) = shortage(failed, below);
    Some(BreakRecord {
        what,
        stage,
        rate_per_s,
        finding: format!("at {rate_per_s}/s {found}; {why}"),
    })
}

/// What a trial was short of, beside one that held.
fn shortage(failed: &TrialRecord, below: Option<(f64, &TrialRecord)>) -> (BreakKind, Option<Stage>, String) {
    let before = |of: &dyn Fn(&TrialRecord) -> Option<String>| {
        let text = below.and_then(|(rate, trial)| Some(format!(" ({} at {rate}/s)", of(trial)?)));
        text.unwrap_or_default()
    };
    let wait = |stage: Stage| {
        let waited = wait_ns(failed, stage)?;
        let then = before(&|trial| wait_ns(trial, stage).map(milliseconds));
        Some(format!(
            "its messages waited {} in the mean{then}",
            milliseconds(waited)
        ))
    };
    let with_wait = |stage: Stage| wait(stage).map_or(String::new(), |wait| format!(", and {wait}"));
    let used = &failed.resources;
    let busiest = failed
        .stages
        .iter()
        .filter_map(|stage| Some((stage.stage, stage.utilisation?)));
    let busiest = busiest.max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((stage, busy)) = busiest.filter(|(_, busy)| *busy >= BUSY_SHARE) {
        let then = before(&|trial| utilisation(trial, stage).map(share));
        let found = format!(
            "the consumers of {stage} are what is short: they were busy {} of the time{then}{}",
            share(busy),
            with_wait(stage)
        );
        return (BreakKind::Consumers, Some(stage), found);
    }
    if let Some(busy) = used.broker_cpu_share.filter(|busy| *busy >= BUSY_SHARE) {
        let then = before(&|trial| trial.resources.broker_cpu_share.map(share));
        let found = format!(
            "the broker is what is short: it used {} of the processors{then}",
            share(busy)
        );
        return (BreakKind::Broker, None, found);
    }
    let together = |trial: &TrialRecord| Some(trial.resources.broker_cpu_share? + trial.resources.driver_cpu_share?);
    if let Some(busy) = together(failed).filter(|busy| *busy >= BUSY_SHARE) {
        let found = format!(
            "the machine is what is short: broker and driver used {} of the processors together{}",
            share(busy.min(1.0)),
            before(&|trial| together(trial).map(share))
        );
        return (BreakKind::Machine, None, found);
    }
    let growth = |stage: Stage| {
        let then = below.and_then(|(_, trial)| wait_ns(trial, stage)).unwrap_or(0.0);
        wait_ns(failed, stage).map(|now| now - then)
    };
    let grown = failed
        .stages
        .iter()
        .filter_map(|stage| Some((stage.stage, growth(stage.stage)?)));
    match grown
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, grown)| *grown > 0.0)
    {
        Some((stage, _)) => {
            let busy = utilisation(failed, stage).map_or(String::new(), |busy| {
                format!(", though its consumers were busy only {} of the time", share(busy))
            });
            let found = format!("the queue of {stage} is where it waits{busy}{}", with_wait(stage));
            (BreakKind::Queue, Some(stage), found)
        }
        None => (
            BreakKind::Unknown,
            None,
            "nothing that is measured was short".to_owned(),
        ),
    }
}
