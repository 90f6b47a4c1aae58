//! Two runs, or two cells of one run: what changed, and whether that can be told. docs/METHOD.md describes the method.
//!
//! Needs no broker: it reads run folders. The trial is the unit; nothing here looks inside one.

pub mod ab;
mod comparable;
pub mod find;
pub mod format;
pub mod history;
mod judge;
pub mod measure;

use serde::Serialize;

pub use comparable::Difference;
pub use judge::{Judgement, Measured};

use crate::ledger::Verdict;
use crate::report::sweep::Sweep;
use crate::report::{objective, status};
use crate::results::record::{CellRecord, RunRecord, TrialRecord};
use judge::Trials;
use measure::{MEASURES, Thresholds};

/// Version of the layout of a comparison as JSON or CSV.
pub const SCHEMA_VERSION: u32 = 1;
/// Share of invalid trials that a comparison bears; they and their partners are left out.
const INVALID_MAX: f64 = 0.2;

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The one that is compared with.
    pub base: Side,
    /// The one that is judged.
    pub new: Side,
    /// What forbids the comparison; not empty only if it was forced.
    pub forced: Vec<Difference>,
    /// What the reader must know.
    pub notes: Vec<String>,
    /// The questions, each with its measures.
    pub cases: Vec<Case>,
    /// The worst of all.
    pub judgement: Judgement,
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The run's id.
    pub run: String,
    /// The workload's name.
    pub workload: String,
    /// When the run began.
    pub started: String,
    /// The commit that it was made on, with its branch.
    pub commit: Option<String>,
    /// Kind, product and version of the broker; the embedded one says that it is not RabbitMQ.
    pub broker: String,
    /// Processor and processors.
    pub machine: String,
    /// Trials.
    pub trials: usize,
}

/// One question: two sets of trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// What is compared: a cell, `all cells`, or one value with another; empty for runs of a single cell.
    pub name: String,
    /// The measures that at least one side has.
    pub measures: Vec<Measured>,
    /// Promises, the drain and objectives whose verdict differs; objectives that both sides miss are among them.
    pub promises: Vec<PromiseChange>,
    /// The worst of all.
    pub judgement: Judgement,
}

/// A promise that one side kept and the other did not, or an objective that one of them missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromiseChange {
    /// `promise` or `objective`.
    pub kind: &'static str,
    /// Its name, an objective's with its bound; `drained` is the drain by its deadline.
    pub promise: String,
    /// The base's worst verdict.
    pub base: Verdict,
    /// The new side's.
    pub new: Verdict,
    /// What it means.
    pub judgement: Judgement,
}

/// Why nothing was compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The runs differ in more than what is asked about.
    #[error(
        "these runs cannot be compared:\n{}\nhelp: run both on the same machine, broker and workload; --force compares them all the same, and says so in every output",
        .differences.iter().map(|difference| format!("  - {difference}")).collect::<Vec<_>>().join("\n")
    )]
    Different {
        /// What differs.
        differences: Vec<Difference>,
    },
    /// There is no such cell.
    #[error("the run has no cell `{cell}`\nhelp: its cells are {}", known.join("; "))]
    NoCell {
        /// What was asked for.
        cell: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is no such dimension.
    #[error("the run does not vary `{dimension}`\nhelp: {}", if known.is_empty() { "it varies nothing: compare it with another run".to_owned() } else { format!("it varies {}", known.join(", ")) })]
    NoDimension {
        /// What was asked for.
        dimension: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A side has no trials.
    #[error("{side} has no trials to compare\nhelp: see how the run ended: `orderstorm report RUN`")]
    NoTrials {
        /// Which.
        side: String,
    },
}

/// Whether differences that forbid a comparison do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// They do.
    Refuse,
    /// They are stated.
    Force,
}

/// Compares two runs, cell with cell; of several cells all together too.
///
/// # Errors
/// [`CompareError`] when they differ in what must be the same (unless forced), or one has no trials.
pub fn runs(
    base: &RunRecord,
    new: &RunRecord,
    thresholds: &Thresholds,
    strictness: Strictness,
) -> Result<Comparison, CompareError> {
    let differences = comparable::differences(base, new);
    let after =
        "the two runs were made one after the other: what else changed on the machine between them counts as a change";
    cell_by_cell(base, new, thresholds, strictness, differences, vec![after.to_owned()])
}

/// Cell with cell, and of several cells all together too. `own` are the notes that only the caller knows.
fn cell_by_cell(
    base: &RunRecord,
    new: &RunRecord,
    thresholds: &Thresholds,
    strictness: Strictness,
    differences: Vec<Difference>,
    own: Vec<String>,
) -> Result<Comparison, CompareError> {
    if strictness == Strictness::Refuse && !differences.is_empty() {
        return Err(CompareError::Different { differences });
    }
    for record in [base, new] {
        if record.trials.is_empty() {
            return Err(CompareError::NoTrials {
                side: record.id.clone(),
            });
        }
    }
    // Cells with the same values belong together; two runs of one cell each do so whatever their values are.
    let mut couples: Vec<(String, usize, usize)> = base
        .cells
        .iter()
        .enumerate()
        .filter_map(|(at, cell)| Some((cell.label.clone(), at, comparable::partner(cell, new)?.0)))
        .collect();
    if couples.is_empty() {
        couples = vec![(String::new(), 0, 0)];
    }
    let groups: Vec<Group<'_>> = couples
        .iter()
        .map(|(name, b, n)| Group {
            name: name.clone(),
            trials: trials(base.trials_of(*b), new.trials_of(*n)),
            objectives: objectives(&base.cells[*b], &new.cells[*n]),
        })
        .collect();
    let mut cases = Vec::new();
    if groups.len() > 1 {
        let mut whole = Trials::default();
        for group in groups.iter().map(|group| &group.trials) {
            let (b, n) = (whole.base.len(), whole.new.len());
            whole.base.extend(&group.base);
            whole.new.extend(&group.new);
            whole.pairs.extend(group.pairs.iter().map(|(i, j)| (b + i, n + j)));
        }
        if groups.iter().any(|group| group.trials.pairs.is_empty()) {
            whole.pairs.clear();
        }
        // All cells together are judged for themselves: they see a change that all cells share.
        let whole = Group {
            name: "all cells".to_owned(),
            trials: whole,
            objectives: Vec::new(),
        };
        cases.extend(self::cases(vec![whole], thresholds));
    }
    cases.extend(self::cases(groups, thresholds));
    let mut notes = notes(&[base, new]);
    notes.extend(own);
    Ok(comparison(side(base), side(new), differences, notes, cases))
}

/// Compares cell `base` of a run with cell `new`: each is a label, or a number from 1.
///
/// # Errors
/// [`CompareError::NoCell`], [`CompareError::NoTrials`].
pub fn cells(record: &RunRecord, base: &str, new: &str, thresholds: &Thresholds) -> Result<Comparison, CompareError> {
    let (b, n) = (cell(record, base)?, cell(record, new)?);
    let name = format!("{} vs {}", record.cells[n].label, record.cells[b].label);
    let trials = trials(record.trials_of(b), record.trials_of(n));
    for (side, label) in [(&trials.base, base), (&trials.new, new)] {
        if side.is_empty() {
            return Err(CompareError::NoTrials {
                side: format!("cell `{label}`"),
            });
        }
    }
    let group = Group {
        name,
        trials,
        objectives: objectives(&record.cells[b], &record.cells[n]),
    };
    let cases = self::cases(vec![group], thresholds);
    Ok(comparison(
        side(record),
        side(record),
        Vec::new(),
        notes(&[record]),
        cases,
    ))
}

/// Compares the first value of `dimension` with each other one, at each combination of the other dimensions.
///
/// # Errors
/// [`CompareError::NoDimension`], [`CompareError::NoTrials`].
pub fn by(record: &RunRecord, dimension: &str, thresholds: &Thresholds) -> Result<Comparison, CompareError> {
    let sweep = Sweep::of(record);
    let named = |name: &str, short: &str| name == dimension || short == dimension;
    let at = sweep
        .dimensions
        .iter()
        .position(|known| named(&known.name, known.short_name()));
    let at = at
        .filter(|at| sweep.dimensions[*at].values.len() > 1)
        .ok_or_else(|| CompareError::NoDimension {
            dimension: dimension.to_owned(),
            known: sweep.dimensions.iter().map(|known| known.name.clone()).collect(),
        })?;
    let mut groups = Vec::new();
    for row in sweep.rows(at) {
        let Some((first, rest)) = row.split_first() else {
            continue;
        };
        for cell in rest {
            let value = |place: usize| sweep.dimensions[at].values[place].label.as_str();
            let others = sweep.others(cell, &[at]);
            let others = if others.is_empty() {
                others
            } else {
                format!(" ({others})")
            };
            let name = format!(
                "{} {} vs {}{others}",
                sweep.dimensions[at].short_name(),
                value(cell.place[at]),
                value(first.place[at])
            );
            let pair = trials(first.trials.iter().copied(), cell.trials.iter().copied());
            if !pair.base.is_empty() && !pair.new.is_empty() {
                groups.push(Group {
                    name,
                    trials: pair,
                    objectives: objectives(first.record, cell.record),
                });
            }
        }
    }
    if groups.is_empty() {
        return Err(CompareError::NoTrials {
            side: record.id.clone(),
        });
    }
    let cases = cases(groups, thresholds);
    Ok(comparison(
        side(record),
        side(record),
        Vec::new(),
        notes(&[record]),
        cases,
    ))
}

fn cell(record: &RunRecord, asked: &str) -> Result<usize, CompareError> {
    let labelled = record.cells.iter().position(|cell| cell.label == asked);
    let numbered = || {
        asked
            .parse::<usize>()
            .ok()
            .filter(|n| (1..=record.cells.len()).contains(n))
            .map(|n| n - 1)
    };
    labelled.or_else(numbered).ok_or_else(|| CompareError::NoCell {
        cell: asked.to_owned(),
        known: (1..)
            .zip(&record.cells)
            .map(|(n, cell)| format!("{n}: {}", cell.label))
            .collect(),
    })
}

/// Two sets of trials; paired by their repeat where each has a partner with the same seed.
fn trials<'a>(base: impl Iterator<Item = &'a TrialRecord>, new: impl Iterator<Item = &'a TrialRecord>) -> Trials<'a> {
    let (base, new): (Vec<_>, Vec<_>) = (base.collect(), new.collect());
    let partner = |trial: &&TrialRecord| {
        new.iter()
            .position(|other| (other.repeat, other.seed) == (trial.repeat, trial.seed))
    };
    let pairs: Option<Vec<(usize, usize)>> = base
        .iter()
        .enumerate()
        .map(|(at, trial)| Some((at, partner(trial)?)))
        .collect();
    let pairs = pairs.filter(|pairs| pairs.len() == new.len()).unwrap_or_default();
    Trials { base, new, pairs }
}

/// Without the trials whose figures do not count, and their partners; with a reason if they are too many to leave out.
fn valid<'a>(trials: &Trials<'a>) -> (Trials<'a>, Option<String>) {
    let counts = |trial: &&TrialRecord| trial.validity.valid;
    let invalid = trials
        .base
        .iter()
        .chain(&trials.new)
        .filter(|trial| !trial.validity.valid)
        .count();
    let all = trials.base.len() + trials.new.len();
    let kept = if trials.pairs.is_empty() {
        Trials {
            base: trials.base.iter().copied().filter(|trial| counts(trial)).collect(),
            new: trials.new.iter().copied().filter(|trial| counts(trial)).collect(),
            pairs: Vec::new(),
        }
    } else {
        let pairs = trials.pairs.iter().map(|(b, n)| (trials.base[*b], trials.new[*n]));
        let pairs: Vec<_> = pairs.filter(|(b, n)| counts(b) && counts(n)).collect();
        Trials {
            base: pairs.iter().map(|(b, _)| *b).collect(),
            new: pairs.iter().map(|(_, n)| *n).collect(),
            pairs: (0..pairs.len()).map(|i| (i, i)).collect(),
        }
    };
    let too_many = invalid as f64 > INVALID_MAX * all as f64;
    let why = too_many.then(|| format!("{invalid} of {all} trials are invalid: their driver did not keep up"));
    // Invalid figures are shown, rather than none, when there are no others.
    (if too_many { trials.clone() } else { kept }, why)
}

/// One question before it is answered.
struct Group<'a> {
    name: String,
    trials: Trials<'a>,
    objectives: Vec<PromiseChange>,
}

fn cases(groups: Vec<Group<'_>>, thresholds: &Thresholds) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut doubts = Vec::new();
    for Group {
        name,
        trials,
        objectives,
    } in groups
    {
        let (counting, doubt) = valid(&trials);
        let measures = MEASURES.iter().enumerate();
        let measures =
            measures.filter_map(|(at, measure)| judge::measured(measure, &counting, thresholds.of(at), &name));
        cases.push(Case {
            measures: measures.collect(),
            promises: promises(&trials).into_iter().chain(objectives).collect(),
            judgement: Judgement::Same,
            name,
        });
        doubts.push(doubt);
    }
    let all = cases.iter_mut().flat_map(|case| &mut case.measures);
    let mut family: Vec<_> = all
        .filter_map(|measured| {
            Some((
                MEASURES.iter().find(|measure| measure.name == measured.measure)?,
                measured,
            ))
        })
        .collect();
    judge::decide(&mut family);
    for (case, doubt) in cases.iter_mut().zip(doubts) {
        for measured in case.measures.iter_mut().filter(|_| doubt.is_some()) {
            (measured.judgement, measured.why) = (Judgement::CannotTell, doubt.clone());
        }
        case.judgement = worst(
            case.measures
                .iter()
                .map(|measured| measured.judgement)
                .chain(case.promises.iter().map(|promise| promise.judgement)),
        );
    }
    cases
}

fn worst(judgements: impl Iterator<Item = Judgement>) -> Judgement {
    judgements.max().unwrap_or(Judgement::CannotTell)
}

/// Promises whose worst verdict over the trials differs, and the drain.
fn promises(trials: &Trials<'_>) -> Vec<PromiseChange> {
    let mut names: Vec<&str> = Vec::new();
    let all = trials.base.iter().chain(&trials.new).flat_map(|trial| &trial.promises);
    for promise in all.filter(|promise| promise.not_given_because.is_none()) {
        if !names.contains(&promise.name.as_str()) {
            names.push(&promise.name);
        }
    }
    let kept = |side: &[&TrialRecord], name: &str| {
        let of = side.iter().flat_map(|trial| &trial.promises);
        let of = of.filter(|promise| promise.name == name && promise.not_given_because.is_none());
        of.map(|promise| promise.verdict).max()
    };
    let drained = |side: &[&TrialRecord]| {
        let verdict = |trial: &&TrialRecord| match (trial.drain.drained, &trial.aborted) {
            (true, _) => Verdict::Pass,
            (false, None) => Verdict::Fail,
            (false, Some(_)) => Verdict::Unknown,
        };
        side.iter().map(verdict).max()
    };
    let found = names
        .into_iter()
        .map(|name| (name, kept(&trials.base, name), kept(&trials.new, name)));
    let drain = ("drained", drained(&trials.base), drained(&trials.new));
    found
        .chain([drain])
        .filter_map(|(name, base, new)| promise_change(name, base?, new?))
        .collect()
}

fn promise_change(name: &str, base: Verdict, new: Verdict) -> Option<PromiseChange> {
    let judgement = match (base, new) {
        (base, new) if base == new => return None,
        (_, Verdict::Fail) => Judgement::Worse,
        (_, Verdict::Unknown) => Judgement::CannotTell,
        (_, Verdict::Pass) => Judgement::Better,
    };
    Some(PromiseChange {
        kind: "promise",
        promise: name.to_owned(),
        base,
        new,
        judgement,
    })
}

/// Objectives of both cells whose verdict differs, and those that both miss: they are no change, but must be seen.
fn objectives(base: &CellRecord, new: &CellRecord) -> Vec<PromiseChange> {
    let of_base = |figure| base.objectives.iter().find(|one| one.figure == figure);
    let couples = new
        .objectives
        .iter()
        .filter_map(|one| Some((of_base(one.figure)?, one)));
    let changes = couples.filter_map(|(base, new)| {
        let missed = PromiseChange {
            kind: "objective",
            promise: objective::name(new),
            base: base.verdict,
            new: new.verdict,
            judgement: Judgement::Same,
        };
        match (base.verdict, new.verdict) {
            (Verdict::Fail, Verdict::Fail) => Some(missed),
            (base, new) => Some(PromiseChange {
                kind: missed.kind,
                ..promise_change(&missed.promise, base, new)?
            }),
        }
    });
    changes.collect()
}

fn side(record: &RunRecord) -> Side {
    let broker = &record.broker;
    let mut about = format!("{} {} ({})", broker.product, broker.version, broker.kind);
    if status::is_embedded(record) {
        about = format!("{} {} ({})", broker.product, broker.version, status::EMBEDDED);
    }
    Side {
        run: record.id.clone(),
        workload: record.name.clone(),
        started: record.started.clone(),
        commit: record.commit.as_ref().map(|commit| {
            let branch = commit
                .branch
                .as_ref()
                .map_or(String::new(), |branch| format!(" on {branch}"));
            let dirty = if commit.dirty { ", with uncommitted changes" } else { "" };
            format!("{}{branch}{dirty}", commit.hash.chars().take(12).collect::<String>())
        }),
        broker: about,
        machine: format!("{}, {} processors", record.machine.cpu, record.machine.cores),
        trials: record.trials.len(),
    }
}

fn notes(records: &[&RunRecord]) -> Vec<String> {
    let any = |of: fn(&RunRecord) -> bool| records.iter().any(|record| of(record));
    let mut notes = Vec::new();
    if any(status::is_embedded) {
        notes.push(format!(
            "{}: these figures say nothing about RabbitMQ",
            status::EMBEDDED
        ));
    }
    if any(status::is_debug_build) {
        notes.push("debug build: its figures are no figures; measure with a release build".to_owned());
    }
    for record in records.iter().filter(|record| record.is_partial()) {
        notes.push(format!("{} was cut short: not all of its trials were made", record.id));
    }
    let invalid = records
        .iter()
        .flat_map(|record| &record.trials)
        .filter(|trial| !trial.validity.valid)
        .count();
    if invalid > 0 {
        notes.push(format!("{invalid} trials are invalid: their driver did not keep up; they and their partners are left out if they are few"));
    }
    notes
}

fn comparison(base: Side, new: Side, forced: Vec<Difference>, notes: Vec<String>, cases: Vec<Case>) -> Comparison {
    Comparison {
        schema_version: SCHEMA_VERSION,
        base,
        new,
        forced,
        notes,
        judgement: worst(cases.iter().map(|case| case.judgement)),
        cases,
    }
}

impl Comparison {
    /// `regression`, `improvement`, … in a sentence.
    pub fn sentence(&self) -> String {
        let named = |judgement: Judgement| -> Vec<String> {
            let cases = self.cases.iter().flat_map(|case| {
                let measures = case
                    .measures
                    .iter()
                    .map(|measured| (measured.measure, measured.judgement));
                let promises = case
                    .promises
                    .iter()
                    .map(|promise| (promise.promise.as_str(), promise.judgement));
                let of = measures.chain(promises).filter(move |(_, found)| *found == judgement);
                let at = if case.name.is_empty() {
                    String::new()
                } else {
                    format!(" at {}", case.name)
                };
                of.map(move |(name, _)| format!("{name}{at}"))
            });
            cases.collect()
        };
        let list = |names: &[String]| {
            let shown = names.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
            if names.len() > 4 {
                format!("{shown} and {} more", names.len() - 4)
            } else {
                shown
            }
        };
        match self.judgement {
            Judgement::Worse => format!("REGRESSION: worse in {}", list(&named(Judgement::Worse))),
            Judgement::CannotTell => format!("CANNOT TELL: {}", list(&named(Judgement::CannotTell))),
            Judgement::Better => format!("BETTER: {}; nothing is worse", list(&named(Judgement::Better))),
            Judgement::Same => "SAME: no change that matters".to_owned(),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
