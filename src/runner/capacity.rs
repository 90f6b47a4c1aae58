//! A capacity search: which trial runs next, from what the record says so far, within the budget.
//!
//! The way of the search is `crate::capacity`'s, what a trial says is `results::capacity`'s. Here they become cells and trials
//! of a plan. Nothing is kept beside the record, so a search that was left goes on from its folder.

use std::sync::Arc;
use std::time::Duration;

use super::overload;
use super::run::cell_record;
use crate::capacity::search::further;
use crate::capacity::{Step, Trial, step};
use crate::plan::{Cell, Plan, TrialPlan, Varied};
use crate::results::RunRecord;
use crate::results::capacity::{self, CapacityEnding, CapacityRecord, CapacitySetting, RATE};
use crate::results::record::VariedRecord;
use crate::stats;
use crate::units::{Rate, Share, Span};
use crate::workload::Workload;
use crate::workload::check::{Origin, Setting};
use crate::workload::keys;
use crate::workload::model::{Arrival, Faults, Jitter, Pattern, Shape, Until};

/// Length of a trial where the workload counts orders instead.
const DURATION: Span = Span::from_secs(30);
/// Longest drain of a trial: beyond the capacity it says nothing, and costs the budget.
const DRAIN_MIN: Span = Span::from_secs(5);
/// Share of the narrowest stage's capacity, by its service time, at which a search begins.
const FIRST_GUESS: f64 = 0.8;
/// Rate at which a search begins that knows nothing, per second.
const START: f64 = 100.0;
/// Between the parts of a cell's label.
const SEPARATOR: &str = " · ";

/// What a search is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Lowest rate of interest.
    pub from: Option<Rate>,
    /// Highest rate of interest.
    pub to: Option<Rate>,
    /// Width of the interval over its upper end.
    pub resolution: Share,
    /// Repeats of an edge that must agree.
    pub repeats: u32,
    /// Rates that the curves of each setting should have.
    pub curve_rates: u32,
    /// Time for all trials.
    pub budget: Span,
}

/// Why there is nothing to search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Answers pace the load.
    #[error(
        "the load of this workload is a closed loop, which slows down with the pipeline: it has no rate that could be too high\nhelp: --set load.arrival=constant --set load.rate=100/s makes it an open one; the search takes it from there"
    )]
    ClosedLoop,
    /// The matrix has the search's own dimension.
    #[error(
        "{0} is what the search varies\nhelp: leave the list out of the workload (--set {0}=100/s); --from and --to limit the search"
    )]
    Varied(String),
    /// Something disturbs the trials.
    #[error(
        "{what}: a capacity is that of a pipeline that nothing disturbs\nhelp: leave {section} out of the workload"
    )]
    Disturbed {
        /// What does.
        what: &'static str,
        /// Its section.
        section: &'static str,
    },
    /// The limits leave nothing.
    #[error("--from {from}/s is not below --to {to}/s\nhelp: the search looks between the two")]
    Limits {
        /// The lower one.
        from: f64,
        /// The upper one.
        to: f64,
    },
    /// The budget does not pay for a trial.
    #[error(
        "--budget {budget} does not pay for one trial of each setting: {settings} of {trial} take {needed}\nhelp: raise it, or make trials shorter (--set load.duration=…)"
    )]
    Budget {
        /// What was given.
        budget: Span,
        /// How many settings.
        settings: usize,
        /// How long a trial takes.
        trial: Span,
        /// How long one of each takes.
        needed: Span,
    },
    /// The folder is not of a search.
    #[error("{0} is no capacity search\nhelp: `orderstorm run --resume` goes on with it")]
    NoSearch(String),
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    /// Its settings, one cell each, before any rate.
    settings: Plan,
    asked: CapacityRecord,
}

impl Search {
    /// A search over the cells of `settings`, whose own arrivals it takes the place of.
    ///
    /// # Errors
    /// [`SearchError`] where there is no rate to search for.
    pub fn new(settings: Plan, asked: Asked) -> Result<Self, SearchError> {
        let dimensions = settings.dimensions();
        let own = |name: &str| keys::is_shape(name) || name.starts_with("load.phases");
        if let Some((name, _)) = dimensions.iter().find(|(name, _)| own(name)) {
            return Err(SearchError::Varied((*name).to_owned()));
        }
        for cell in &settings.cells {
            check_undisturbed(&cell.workload)?;
        }
        if let (Some(Rate(from)), Some(Rate(to))) = (asked.from, asked.to)
            && from >= to
        {
            return Err(SearchError::Limits { from, to });
        }
        let first = &settings.cells[0].workload;
        let record = CapacityRecord {
            objectives: objectives(first),
            arrival: match jitter(first) {
                Jitter::None => "constant",
                Jitter::Poisson => "poisson",
            }
            .to_owned(),
            overridden: overridden(first),
            from_per_s: asked.from.map(Rate::per_second),
            to_per_s: asked.to.map(Rate::per_second),
            resolution: asked.resolution.0,
            repeats: asked.repeats,
            curve_rates: asked.curve_rates,
            budget_s: asked.budget.as_secs_f64(),
            settings: settings.cells.iter().map(empty_setting).collect(),
        };
        let search = Search {
            settings,
            asked: record,
        };
        let needed_s = search.estimate_s(&[]) * search.settings.cells.len() as f64;
        let span = |s: f64| Span(Duration::from_secs(s.ceil() as u64));
        if needed_s > search.asked.budget_s {
            return Err(SearchError::Budget {
                budget: asked.budget,
                settings: search.settings.cells.len(),
                trial: span(search.estimate_s(&[])),
                needed: span(needed_s),
            });
        }
        Ok(search)
    }

    /// What was asked, with nothing found yet.
    pub fn record(&self) -> &CapacityRecord {
        &self.asked
    }

    /// The plan of a search that begins: its first trial.
    pub fn first_plan(&self) -> Plan {
        let mut plan = self.empty_plan();
        let rate = self.start(0, &[]);
        let bounds = self.asked.bounds();
        let rate = match step(&bounds, rate, &[]) {
            Step::Try(rate) => rate,
            Step::Done(_) => rate,
        };
        let cell = self.cell(&mut plan, 0, rate);
        push_trial(&mut plan, cell);
        plan
    }

    /// The plan that a search has made so far, from its record.
    pub fn replanted(&self, record: &RunRecord) -> Plan {
        let mut plan = self.empty_plan();
        for cell in &record.cells {
            let place = |varied: &&VariedRecord| varied.dimension != RATE;
            let others: Vec<&VariedRecord> = cell.varied.iter().filter(place).collect();
            let setting = self
                .asked
                .settings
                .iter()
                .position(|one| one.varied.iter().eq(others.iter().copied()));
            let rate = cell.varied.iter().find(|varied| varied.dimension == RATE);
            if let (Some(setting), Some(rate)) = (setting, rate.and_then(|rate| rate.number)) {
                self.cell(&mut plan, setting, rate);
            }
        }
        for trial in &record.trials {
            push_trial(&mut plan, trial.cell as usize);
        }
        plan
    }

    fn empty_plan(&self) -> Plan {
        Plan {
            cells: Vec::new(),
            trials: Vec::new(),
            ..self.settings.clone()
        }
    }

    /// Adds the next trial to `plan`, with its cell to `record`; false when there is none: everything asked for is known, or the
    /// budget is used up.
    pub(super) fn extend(&self, plan: &mut Plan, record: &mut RunRecord) -> bool {
        let Some(next) = self.next(record) else {
            return false;
        };
        let (setting, rate) = next;
        let cell = self.cell(plan, setting, rate);
        if cell == record.cells.len() {
            record.cells.push(cell_record(&plan.cells[cell]));
        }
        push_trial(plan, cell);
        true
    }

    /// The setting and rate of the next trial. Each setting has its share of the budget first; then those that are not found yet
    /// go on with what is left, and then the curves get their rates.
    fn next(&self, record: &RunRecord) -> Option<(usize, f64)> {
        let bounds = self.asked.bounds();
        let known: Vec<Known> = self
            .asked
            .settings
            .iter()
            .map(|setting| self.known(record, setting))
            .collect();
        let took: Vec<f64> = record.trials.iter().map(capacity::took_s).collect();
        let each_s = self.estimate_s(&took);
        let spent_s: f64 = known.iter().map(|known| known.spent_s).sum();
        let left_s = self.asked.budget_s - spent_s;
        let mut earlier_s = 0.0;
        let wish = |at: usize| match step(&bounds, self.start(at, &known), &known[at].trials) {
            Step::Try(rate) => Some(rate),
            Step::Done(_) => None,
        };
        for (at, one) in known.iter().enumerate() {
            let share_s = (self.asked.budget_s - earlier_s) / (known.len() - at) as f64;
            earlier_s += one.spent_s;
            let affordable = one.trials.is_empty() || one.spent_s + each_s <= share_s;
            if let Some(rate) = wish(at).filter(|_| affordable && each_s <= left_s.max(share_s)) {
                return Some((at, rate));
            }
        }
        if each_s > left_s {
            return None;
        }
        let unfinished = (0..known.len()).filter_map(|at| Some((at, wish(at)?)));
        if let Some(next) = unfinished.min_by(|a, b| known[a.0].spent_s.total_cmp(&known[b.0].spent_s)) {
            return Some(next);
        }
        let wanted = self.asked.curve_rates as usize;
        let curves = (0..known.len()).filter_map(|at| Some((at, further(&bounds, &known[at].trials, wanted)?)));
        curves.min_by_key(|(at, _)| known[*at].trials.len())
    }

    fn known(&self, record: &RunRecord, setting: &CapacitySetting) -> Known {
        let trials = capacity::trials_of(record, setting);
        let pause_s = self.settings.cool_down().as_secs_f64();
        Known {
            spent_s: trials.iter().map(|(_, trial)| capacity::took_s(trial) + pause_s).sum(),
            trials: trials.into_iter().map(|(trial, _)| trial).collect(),
        }
    }

    /// Seconds that a trial takes: the median of those that ran, else what the workload says.
    fn estimate_s(&self, took: &[f64]) -> f64 {
        let load = &self.settings.cells[0].workload.load;
        let planned = load.warm_up.as_secs_f64() + length(load.until).as_secs_f64();
        let pause_s = self.settings.cool_down().as_secs_f64();
        pause_s + stats::median(took).unwrap_or(planned)
    }

    /// Where the search of a setting begins: where that of the nearest setting before it ended, by the capacity that service
    /// times give both; else by that capacity alone.
    fn start(&self, at: usize, known: &[Known]) -> f64 {
        let bounds = self.asked.bounds();
        let theory = |at: usize| overload::capacity(&self.settings.cells[at].workload);
        let before = (0..at).rev().find_map(|before| {
            let trials = &known.get(before)?.trials;
            Some((before, crate::capacity::interval(&bounds, trials).low?.rate))
        });
        match (before, theory(at)) {
            (Some((before, low)), Some(here)) => theory(before).map_or(low, |there| low * here / there),
            (Some((_, low)), None) => low,
            (None, Some(here)) => here * FIRST_GUESS,
            (None, None) => own_rate(&self.settings.cells[at].workload).unwrap_or(START),
        }
    }

    /// The position of the setting's cell at `rate` in `plan`, which is made if it is not there.
    fn cell(&self, plan: &mut Plan, setting: usize, rate: f64) -> usize {
        let cell = at_rate(&self.settings.cells[setting], rate);
        match plan.cells.iter().position(|known| known.varied == cell.varied) {
            Some(at) => at,
            None => {
                plan.cells.push(cell);
                plan.cells.len() - 1
            }
        }
    }
}

/// What is known of a setting.
struct Known {
    trials: Vec<Trial>,
    spent_s: f64,
}

/// Whether a search that found nothing more to do in its budget would have gone on.
pub(super) fn is_unfinished(record: &RunRecord) -> bool {
    let settings = record.capacity.iter().flat_map(|capacity| &capacity.settings);
    settings
        .into_iter()
        .any(|setting| setting.ending == CapacityEnding::Unfinished)
}

fn check_undisturbed(workload: &Workload) -> Result<(), SearchError> {
    let disturbed = |what, section| Err(SearchError::Disturbed { what, section });
    match () {
        () if workload.load.arrival.is_closed() => Err(SearchError::ClosedLoop),
        () if workload.backlog.is_some() => disturbed("a stage is held back until a backlog stands", "[backlog]"),
        () if workload.faults != Faults::default() => disturbed("faults are planned", "[fault.…] and [[faults]]"),
        () => Ok(()),
    }
}

fn push_trial(plan: &mut Plan, cell: usize) {
    let repeat = plan.trials.iter().filter(|trial| trial.cell == cell).count() as u32 + 1;
    plan.trials.push(TrialPlan {
        trial: plan.trials.len() as u32 + 1,
        cell,
        repeat,
        seed: plan.cells[cell].workload.seed.wrapping_add(u64::from(repeat) - 1),
    });
}

fn empty_setting(cell: &Cell) -> CapacitySetting {
    CapacitySetting {
        label: cell.label.clone(),
        varied: cell_record(cell).varied,
        start_per_s: None,
        low_per_s: None,
        low_confirmed: false,
        high_per_s: None,
        high_confirmed: false,
        driver_per_s: None,
        ending: CapacityEnding::Unfinished,
        rates: Vec::new(),
        breaks: None,
        knee_per_s: None,
        knee_absent_because: None,
    }
}

fn objectives(workload: &Workload) -> Vec<String> {
    let objectives = workload.objectives.iter();
    objectives
        .map(|objective| format!("{} {}", objective.figure.name(), objective.bound))
        .collect()
}

/// How orders scatter around the searched rate: as the workload's own do, where that is one pattern.
fn jitter(workload: &Workload) -> Jitter {
    match &workload.load.arrival {
        Arrival::Open(pattern) => pattern.jitter,
        _ => Jitter::None,
    }
}

/// The workload's own rate, where it has one.
fn own_rate(workload: &Workload) -> Option<f64> {
    match &workload.load.arrival {
        Arrival::Open(Pattern {
            shape: Shape::Constant { rate },
            ..
        }) => Some(rate.per_second()),
        _ => None,
    }
}

fn length(until: Until) -> Span {
    match until {
        Until::Duration(duration) => duration,
        Until::Orders(_) => DURATION,
    }
}

fn drain_deadline(workload: &Workload) -> Span {
    let limit = length(workload.load.until).max(DRAIN_MIN);
    workload.drain.deadline.min(limit)
}

/// What of the workload the search takes the place of, in words.
fn overridden(workload: &Workload) -> Vec<String> {
    let load = &workload.load;
    let mut words = Vec::new();
    let searched = match jitter(workload) {
        Jitter::None => "constant",
        Jitter::Poisson => "poisson",
    };
    match &load.arrival {
        Arrival::Open(Pattern {
            shape: Shape::Constant { rate },
            ..
        }) => words.push(format!("load.rate = {rate}: the searched rate instead")),
        Arrival::Phases(phases) => words.push(format!(
            "load.phases ({} of them): arrivals are constant at the searched rate instead",
            phases.len()
        )),
        _ => words.push(format!(
            "load.arrival and the keys of its shape: arrivals are {searched} at the searched rate instead"
        )),
    }
    if let Until::Orders(orders) = load.until {
        words.push(format!("load.orders = {orders}: load.duration = {DURATION} instead"));
    }
    let deadline = drain_deadline(workload);
    if deadline < workload.drain.deadline {
        words.push(format!(
            "drain.deadline = {}: {deadline} instead",
            workload.drain.deadline
        ));
    }
    if workload.trial.repeats > 1 {
        words.push(format!(
            "trial.repeats = {}: the search repeats what it has to",
            workload.trial.repeats
        ));
    }
    words
}

/// A setting's cell at a rate.
fn at_rate(setting: &Cell, rate: f64) -> Cell {
    let mut workload = (*setting.workload).clone();
    let jitter = jitter(&workload);
    workload.load.until = Until::Duration(length(workload.load.until));
    workload.load.arrival = Arrival::Open(Pattern {
        shape: Shape::Constant { rate: Rate(rate) },
        jitter,
    });
    workload.drain.deadline = drain_deadline(&setting.workload);
    workload.trial.repeats = 1;
    let own = |path: &str| keys::is_shape(path) || path.starts_with("load.phases") || path == "load.orders";
    let mut settings: Vec<Setting> = setting.settings.iter().filter(|one| !own(&one.path)).cloned().collect();
    let arrival = match jitter {
        Jitter::None => "constant",
        Jitter::Poisson => "poisson",
    };
    let written = [
        ("load.arrival", format!("\"{arrival}\"")),
        (RATE, format!("\"{}\"", Rate(rate))),
        ("load.duration", format!("\"{}\"", length(workload.load.until))),
        ("drain.deadline", format!("\"{}\"", workload.drain.deadline)),
        ("trial.repeats", "1".to_owned()),
    ];
    for (path, value) in written {
        let found = settings.iter_mut().find(|one| one.path == path);
        match found {
            Some(one) if one.value == value => {}
            Some(one) => (one.value, one.origin) = (value, Origin::CommandLine),
            None => settings.push(Setting {
                path: path.to_owned(),
                value,
                origin: Origin::CommandLine,
            }),
        }
    }
    let mut varied = vec![Varied {
        dimension: RATE.to_owned(),
        value: Rate(rate).to_string(),
        number: Some(rate),
    }];
    varied.extend(setting.varied.iter().cloned());
    let mut label = format!("rate {}", Rate(rate));
    if !setting.label.is_empty() {
        label = format!("{}{SEPARATOR}{label}", setting.label);
    }
    Cell {
        label,
        varied,
        workload: Arc::new(workload),
        settings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::check::check;

    fn plan(text: &str) -> Plan {
        Plan::new(check("w.toml", "w", text.to_owned(), &[]).unwrap_or_else(|error| panic!("{error}")))
    }

    fn asked() -> Asked {
        Asked {
            from: None,
            to: None,
            resolution: Share(0.05),
            repeats: 3,
            curve_rates: 10,
            budget: Span::from_secs(600),
        }
    }

    const WORKERS: &str = "pipeline = \"work-queue\"\n[load]\narrival = \"burst\"\nrate = \"5/s\"\nburst_rate = \"50/s\"\nburst_width = \"1s\"\nburst_every = \"5s\"\nduration = \"10s\"\n[stage.worker]\nconsumers = [1, 4]\nservice_time = \"10ms\"\n";

    #[test]
    fn the_search_begins_below_what_service_times_allow_and_takes_the_place_of_the_workload_s_arrivals() {
        let search = Search::new(plan(WORKERS), asked()).expect("a search");
        let plan = search.first_plan();
        let cell = &plan.cells[0];
        assert_eq!(cell.workload.load.arrival, Arrival::constant(Rate(80.0)));
        assert_eq!((plan.trials.len(), cell.label.as_str()), (1, "consumers 1 · rate 80/s"));
        assert!(
            search.record().overridden[0].starts_with("load.arrival"),
            "{:?}",
            search.record()
        );
        assert!(!cell.settings.iter().any(|setting| setting.path == "load.burst_rate"));
        let rate = cell
            .settings
            .iter()
            .find(|setting| setting.path == RATE)
            .expect("listed");
        assert_eq!((rate.value.as_str(), rate.origin), ("\"80/s\"", Origin::CommandLine));
        assert!(cell.workload.drain.deadline <= Span::from_secs(10));
    }

    #[test]
    fn the_next_setting_begins_where_the_one_before_ended_scaled_by_its_consumers() {
        let search = Search::new(plan(WORKERS), asked()).expect("a search");
        let held = |rate| Trial {
            rate,
            answer: crate::capacity::Answer::Held,
        };
        let known = Known {
            trials: vec![held(90.0)],
            spent_s: 12.0,
        };
        assert!((search.start(1, &[known]) - 360.0).abs() < 1e-6);
    }

    #[test]
    fn what_has_no_rate_to_search_for_is_refused_with_a_remedy() {
        for (text, part) in [
            ("load = { arrival = \"closed\", users = 3 }", "closed loop"),
            ("load.rate = [\"5/s\", \"9/s\"]", "load.rate is what the search varies"),
            (
                "[fault.stage_outage]\nstage = \"payment\"\nat = \"1s\"\nlasts = \"2s\"",
                "faults are planned",
            ),
        ] {
            let error = Search::new(plan(text), asked()).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("help: "), "{error}");
        }
        let narrow = Asked {
            from: Some(Rate(9.0)),
            to: Some(Rate(5.0)),
            ..asked()
        };
        assert!(Search::new(plan(""), narrow).is_err());
        let poor = Asked {
            budget: Span::from_secs(15),
            ..asked()
        };
        let error = Search::new(plan(WORKERS), poor)
            .expect_err("two trials of ten seconds")
            .to_string();
        assert!(error.contains("2 of") && error.contains("--budget"), "{error}");
    }
}
