//! The pairs of an `ab`: two programs, or one under two settings, whose trials took turns.
//!
//! The runs of a side make one record, in which each is a repeat; then the comparison is that of two runs, always in pairs. What
//! the sides differ in is what is asked about, so no setting forbids it.

use std::path::{Path, PathBuf};

use super::measure::Thresholds;
use super::{CompareError, Comparison, Strictness, cell_by_cell, comparable};
use crate::results::ab::{AbRecord, Which};
use crate::results::objective;
use crate::results::record::{self, Commit, RecordError, RunRecord};

/// Both sides, each as one run.
#[derive(Debug, Clone)]
pub struct Sides {
    /// What they were made of.
    pub ab: AbRecord,
    /// The one that is compared with.
    pub base: RunRecord,
    /// The one that is judged.
    pub new: RunRecord,
    /// Trials without a partner, which are left out.
    alone: usize,
}

/// Why the runs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SidesError {
    /// A file.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing was measured.
    #[error("{} has no pair of runs\nhelp: it was stopped before its first pair ended; measure again", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
}

impl Sides {
    /// Reads the runs of an `ab` folder.
    ///
    /// # Errors
    /// [`SidesError`].
    pub fn read(folder: &Path, ab: AbRecord) -> Result<Sides, SidesError> {
        let runs = |which: Which| -> Result<Vec<RunRecord>, RecordError> {
            let folders = ab.pairs.iter().map(|pair| match which {
                Which::Base => &pair.base,
                Which::New => &pair.new,
            });
            folders.map(|run| record::read(&folder.join(run))).collect()
        };
        let (base, new) = (runs(Which::Base)?, runs(Which::New)?);
        Sides::of(ab, base, new).ok_or_else(|| SidesError::Empty {
            folder: folder.to_owned(),
        })
    }

    /// Makes one run of the runs of each side; nothing of none.
    fn of(ab: AbRecord, base: Vec<RunRecord>, new: Vec<RunRecord>) -> Option<Sides> {
        let (mut base, mut new) = (merged(&ab, Which::Base, base)?, merged(&ab, Which::New, new)?);
        let alone = keep_partners(&mut base, &mut new);
        for record in [&mut base, &mut new] {
            let judged = objective::judge(record);
            for (cell, objectives) in record.cells.iter_mut().zip(judged) {
                cell.objectives = objectives;
            }
        }
        Some(Sides { ab, base, new, alone })
    }

    /// Compares the two.
    ///
    /// # Errors
    /// [`CompareError`] when they differ in more than program and settings, unless forced.
    pub fn comparison(&self, thresholds: &Thresholds, strictness: Strictness) -> Result<Comparison, CompareError> {
        let (base, new) = (&self.base, &self.new);
        let differences = comparable::circumstances(base, new);
        cell_by_cell(base, new, thresholds, strictness, differences, self.notes())
    }

    /// What the reader must know.
    fn notes(&self) -> Vec<String> {
        let ab = &self.ab;
        let mut notes = vec![match &ab.broker {
            Some(_) => format!(
                "trials of both sides took turns on one broker, in pairs of one seed; seed {} drew who went first",
                ab.seed
            ),
            None => format!(
                "trials of both sides took turns, in pairs of one seed (seed {} drew who went first), each on the embedded broker of its own program: a change of that broker counts too",
                ab.seed
            ),
        }];
        for which in [Which::Base, Which::New] {
            let side = ab.side(which);
            let commit = side
                .commit
                .as_ref()
                .map_or(String::new(), |hash| format!(" (commit {hash})"));
            let set = match side.set.as_slice() {
                [] => String::new(),
                set => format!(" with {}", set.join(", ")),
            };
            notes.push(format!("{} is {}{commit}{set}", which.name(), side.given));
        }
        if ab.is_control() {
            notes.push(
                "both sides are the same (A/A): whatever is called better or worse here is a false alarm".to_owned(),
            );
        } else if ab.base.program == ab.new.program && comparable::settings(&self.base, &self.new).is_empty() {
            notes.push("both sides have the same program and settings: nothing but chance can differ".to_owned());
        }
        for difference in comparable::settings(&self.base, &self.new) {
            notes.push(difference.to_string());
        }
        if let Some(why) = &ab.ended_because {
            let first = why.lines().next().unwrap_or_default();
            notes.push(format!(
                "{} of {} pairs were measured: {first}",
                ab.pairs.len(),
                ab.pairs_planned
            ));
        }
        if self.alone > 0 {
            notes.push(format!("{} trials have no partner and are left out", self.alone));
        }
        notes
    }
}

/// The runs of a side as one, each a repeat.
fn merged(ab: &AbRecord, which: Which, runs: Vec<RunRecord>) -> Option<RunRecord> {
    let side = ab.side(which);
    let repeats = ab.pairs.len() as u32;
    let mut runs = runs.into_iter();
    let mut whole = runs.next()?;
    let mut trials = std::mem::take(&mut whole.trials);
    for (pair, run) in (2_u32..).zip(runs) {
        whole.finished = run.finished;
        let from = trials.len() as u32;
        trials.extend(run.trials.into_iter().map(|mut trial| {
            trial.repeat = pair;
            trial.trial += from;
            trial
        }));
    }
    whole.trials = trials;
    whole.id = format!("{}/{}", ab.id, which.name());
    // The commit of a run is that of the folder that it was started in; of a side, what its program was built of.
    whole.commit = side.commit.as_ref().map(|hash| Commit {
        hash: hash.clone(),
        branch: None,
        dirty: false,
    });
    if let Some(broker) = &ab.broker {
        whole.broker = broker.clone();
    }
    for cell in &mut whole.cells {
        cell.workload.trial.repeats = repeats;
    }
    whole.progress.trials_planned = ab.pairs_planned * whole.cells.len() as u32;
    Some(whole)
}

/// Leaves out trials whose partner is missing, because a run broke off between its cells; says how many.
fn keep_partners(base: &mut RunRecord, new: &mut RunRecord) -> usize {
    let key = |record: &RunRecord| -> Vec<(String, u32)> {
        let trials = record.trials.iter();
        trials
            .map(|trial| (record.cell(trial).label.clone(), trial.repeat))
            .collect()
    };
    let (of_base, of_new) = (key(base), key(new));
    // Cells that one side alone has are no broken-off runs: the comparison says that they differ.
    if base.cells.len() != new.cells.len() {
        return 0;
    }
    let before = of_base.len() + of_new.len();
    let single = base.cells.len() == 1;
    let has = |keys: &[(String, u32)], key: &(String, u32)| {
        keys.iter()
            .any(|other| other.1 == key.1 && (single || other.0 == key.0))
    };
    let mut mine = of_base.iter();
    base.trials.retain(|_| mine.next().is_some_and(|key| has(&of_new, key)));
    let mut mine = of_new.iter();
    new.trials.retain(|_| mine.next().is_some_and(|key| has(&of_base, key)));
    before - base.trials.len() - new.trials.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Judgement, fixture};
    use crate::results::ab::{PairRecord, SCHEMA_VERSION, SideRecord};

    fn side(program: &str, set: &[&str]) -> SideRecord {
        SideRecord {
            given: program.to_owned(),
            program: PathBuf::from(program),
            commit: None,
            set: set.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    fn ab(pairs: u32) -> AbRecord {
        AbRecord {
            schema_version: SCHEMA_VERSION,
            id: "ab-storm".to_owned(),
            command: "orderstorm ab".to_owned(),
            workload: "storm".to_owned(),
            seed: 1,
            started: String::new(),
            finished: String::new(),
            broker: None,
            base: side("old", &[]),
            new: side("new", &[]),
            pairs_planned: pairs,
            pairs: (1..=pairs)
                .map(|pair| PairRecord {
                    pair,
                    first: Which::Base,
                    base: PathBuf::new(),
                    new: PathBuf::new(),
                })
                .collect(),
            ended_because: None,
        }
    }

    /// A run of one trial for each trial of the fixture, as children make them.
    fn runs(id: &str, pairs: u32, goodput: f64, latency: f64) -> Vec<RunRecord> {
        let whole = fixture::record(id, pairs, goodput, latency);
        let one = |trial: &crate::results::record::TrialRecord| {
            let mut run = whole.clone();
            run.trials = vec![trial.clone()];
            (run.trials[0].trial, run.trials[0].repeat) = (1, 1);
            run
        };
        whole.trials.iter().map(one).collect()
    }

    fn compared(sides: &Sides) -> Comparison {
        sides
            .comparison(&Thresholds::default(), Strictness::Refuse)
            .expect("comparable")
    }

    #[test]
    fn runs_of_one_trial_are_pairs_and_a_slower_side_is_found() {
        let sides = Sides::of(ab(10), runs("a", 10, 1.0, 1.0), runs("b", 10, 0.8, 1.5)).expect("pairs");
        let found = compared(&sides);
        assert_eq!(found.judgement, Judgement::Worse, "{found:#?}");
        assert!(
            found.cases[0]
                .measures
                .iter()
                .all(|measured| measured.pairs == Some(10))
        );
        assert_eq!((found.base.trials, found.new.trials), (10, 10));
        assert!(
            found.notes.iter().any(|note| note.contains("took turns")),
            "{:?}",
            found.notes
        );
        assert!(
            !found
                .notes
                .iter()
                .any(|note| note.contains("one after the other") || note.contains("cut short"))
        );
        let numbers: Vec<u32> = sides.new.trials.iter().map(|trial| trial.trial).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn other_settings_are_what_is_asked_about_and_another_method_is_refused() {
        let (base, mut new) = (runs("a", 8, 1.0, 1.0), runs("b", 8, 1.0, 1.0));
        for setting in new.iter_mut().flat_map(|run| &mut run.cells[0].settings) {
            if setting.path == "load.rate" {
                "\"900/s\"".clone_into(&mut setting.value);
            }
        }
        let sides = Sides::of(ab(8), base.clone(), new.clone()).expect("pairs");
        assert!(
            compared(&sides)
                .notes
                .iter()
                .any(|note| note.starts_with("setting load.rate: "))
        );
        new[0].method_version += 1;
        let sides = Sides::of(ab(8), base, new).expect("pairs");
        let refused = sides.comparison(&Thresholds::default(), Strictness::Refuse);
        assert!(matches!(refused, Err(CompareError::Different { .. })), "{refused:?}");
    }

    #[test]
    fn a_trial_without_a_partner_is_left_out_and_counted() {
        let (base, mut new) = (runs("a", 8, 1.0, 1.0), runs("b", 8, 1.0, 1.0));
        new[3].trials.clear();
        let sides = Sides::of(ab(8), base, new).expect("pairs");
        assert_eq!(
            (sides.base.trials.len(), sides.new.trials.len(), sides.alone),
            (7, 7, 1)
        );
        let found = compared(&sides);
        assert_eq!(found.cases[0].measures[0].pairs, Some(7));
        assert!(found.notes.iter().any(|note| note.contains("1 trials have no partner")));
    }

    #[test]
    fn objectives_are_judged_over_all_pairs_and_a_new_miss_is_a_regression() {
        let bound = |runs: &mut Vec<RunRecord>| {
            for run in runs {
                let workload = &mut run.cells[0].workload;
                workload.objectives = vec![crate::workload::objective::Objective {
                    figure: crate::workload::objective::Figure::Goodput,
                    bound: crate::workload::objective::Bound::read(
                        ">= 380/s",
                        crate::workload::objective::Unit::PerSecond,
                    )
                    .expect("a bound"),
                }];
            }
        };
        let (mut base, mut new) = (runs("a", 8, 1.0, 1.0), runs("b", 8, 0.9, 1.0));
        bound(&mut base);
        bound(&mut new);
        let change = |sides: Sides| {
            let found = compared(&sides);
            let of = found.cases[0].promises.iter().find(|change| change.kind == "objective");
            of.map(|change| (change.promise.clone(), change.judgement))
        };
        let kept = Sides::of(ab(8), base.clone(), base.clone()).expect("pairs");
        assert_eq!(change(kept), None);
        let missed = Sides::of(ab(8), base, new.clone()).expect("pairs");
        let (name, judgement) = change(missed).expect("a change");
        assert!(name.starts_with("goodput >= 380"), "{name}");
        assert_eq!(judgement, Judgement::Worse);
        let both = Sides::of(ab(8), new.clone(), new).expect("pairs");
        assert_eq!(change(both).expect("it must be seen").1, Judgement::Same);
    }

    #[test]
    fn an_a_a_says_so_and_nothing_of_nothing_is_none() {
        let mut same = ab(8);
        same.new = same.base.clone();
        let sides = Sides::of(same, runs("a", 8, 1.0, 1.0), runs("a", 8, 1.0, 1.0)).expect("pairs");
        assert!(compared(&sides).notes.iter().any(|note| note.contains("A/A")));
        assert!(Sides::of(ab(0), Vec::new(), Vec::new()).is_none());
    }

    /// Runs of a side as `workloads/gate.toml` makes them: the spread of trials is what was measured on a machine with two
    /// processors and nine other processes that wanted them, with tails (Student's t of 3 degrees) as such machines have them.
    fn noisy(id: &str, seed: u64, pairs: u32, service_time: f64) -> Vec<RunRecord> {
        use rand_distr::{Distribution, StudentT};
        let tails = StudentT::new(3.0).expect("legal");
        let mut runs = runs(id, pairs, 1.0, 1.0);
        for (pair, run) in (0..).zip(&mut runs) {
            let mut stream = crate::rng::stream(seed, id, pair);
            // Deviations of the logarithm of one trial; those of Student's t of 3 degrees are √3 times its scale.
            let mut by = |sd: f64| (sd / 3.0_f64.sqrt() * tails.sample(&mut stream)).clamp(-0.7, 0.7).exp();
            let trial = &mut run.trials[0];
            trial.seed = seed + pair;
            trial.rates.goodput_per_s = Some(200.0 / service_time * by(0.045));
            let p50 = 1e9 * 0.16 * service_time * by(0.03);
            for summary in trial
                .latencies
                .iter_mut()
                .filter(|summary| summary.series == "end_to_end")
            {
                summary.p99 = None;
                if let Some(quantile) = &mut summary.p50 {
                    quantile.ns = p50 as u64;
                }
            }
            trial.drain.time_s = Some(0.18 * by(0.06));
            trial.resources.driver_cpu_s = Some(0.06 * by(0.1));
            run.cells[0].workload.compare.end_to_end_p50 = crate::units::Share(0.05);
            run.cells[0].workload.compare.drain_time = crate::units::Share(0.5);
            run.cells[0].workload.compare.driver_cpu = crate::units::Share(0.25);
        }
        runs
    }

    /// What `scripts/ab-quality.sh` measures, in simulation.
    #[test]
    fn twenty_a_a_raise_one_alarm_at_most_and_a_tenth_more_service_time_is_found_in_eighteen_of_twenty() {
        let judged = |seed: u64, service_time: f64| {
            let (base, new) = (noisy("base", seed, 10, 1.0), noisy("new", seed, 10, service_time));
            let sides = Sides::of(ab(10), base, new).expect("pairs");
            let thresholds = Thresholds::from(&sides.new.cells[0].workload.compare);
            let found = sides.comparison(&thresholds, Strictness::Refuse).expect("comparable");
            let measures = found.cases[0].measures.iter();
            measures.map(|measured| measured.judgement).collect::<Vec<_>>()
        };
        let told = |judgement: &Judgement| matches!(judgement, Judgement::Worse | Judgement::Better);
        let alarms = (0..20).filter(|run| judged(run * 100, 1.0).iter().any(told)).count();
        let found = (0..20)
            .filter(|run| judged(50 + run * 100, 1.1).contains(&Judgement::Worse))
            .count();
        assert!(alarms <= 1 && found >= 18, "{alarms} false alarms, {found} of 20 found");
    }
}
