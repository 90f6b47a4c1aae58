//! From a workload to the trials that will run: every default written out, the order fixed by the seed, before anything is
//! touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;

use crate::arrival::Schedule;
use crate::events::PipelineKind;
use crate::rng;
use crate::units::Span;
use crate::workload::check::{Checked, CheckedCell, Setting};
pub use crate::workload::matrix::Varied;
use crate::workload::model::{Until, Workload};

/// What an order that is completed costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    publishes: u64,
    deliveries: u64,
    /// Bytes of a body without padding, about.
    body_bytes: u64,
}

/// Ten events and four notifications.
const ORDER: Cost = Cost {
    publishes: 14,
    deliveries: 31,
    body_bytes: 190,
};
const JOB: Cost = Cost {
    publishes: 1,
    deliveries: 1,
    body_bytes: 120,
};
/// Settling, starting consumers and cleaning up, per trial.
const TRIAL_OVERHEAD: Duration = Duration::from_secs(3);

/// One trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialPlan {
    /// From 1, in the order of running.
    pub trial: u32,
    /// Position of its cell in [`Plan::cells`].
    pub cell: usize,
    /// Which repeat of its cell, from 1.
    pub repeat: u32,
    /// Its seed: repeats draw different arrivals and payloads, the cells of one repeat the same.
    pub seed: u64,
}

/// One combination of the varied settings.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The varied settings in short; empty if nothing is varied.
    pub label: String,
    /// Its place on each dimension of the matrix.
    pub varied: Vec<Varied>,
    /// The experiment with this cell's settings.
    pub workload: Arc<Workload>,
    /// Every setting, with its origin.
    pub settings: Vec<Setting>,
}

/// What a run will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the experiment.
    pub name: String,
    /// The question that its file answers.
    pub question: String,
    /// The combinations of the varied settings, at least one.
    pub cells: Vec<Cell>,
    /// The workload file's text.
    pub text: String,
    /// The `--set` arguments.
    pub overrides: Vec<String>,
    /// The absolute folder that replayed files are named from; absent if none is replayed.
    pub folder: Option<PathBuf>,
    /// The trials, in the order in which they run.
    pub trials: Vec<TrialPlan>,
}

/// What a run will take, about.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Orders of all trials; absent in a closed loop by time.
    pub orders: Option<u64>,
    /// Messages published.
    pub publishes: Option<u64>,
    /// Messages delivered.
    pub deliveries: Option<u64>,
    /// Bytes published in bodies.
    pub bytes: Option<u64>,
    /// Time, without the drain.
    pub duration: Option<Duration>,
}

impl Plan {
    /// The plan of a checked workload.
    pub fn new(checked: Checked) -> Self {
        let Checked {
            cells,
            text,
            overrides,
            folder,
        } = checked;
        let cells: Vec<Cell> = cells.into_iter().map(Cell::from).collect();
        let first = Arc::clone(&cells[0].workload);
        Plan {
            name: first.name.clone(),
            question: first.question.clone(),
            trials: in_rounds(cells.len(), first.trial.repeats, first.seed),
            cells,
            text,
            overrides,
            folder,
        }
    }

    /// What is varied, with the values of each in the order of the cells.
    pub fn dimensions(&self) -> Vec<(&str, Vec<&str>)> {
        let mut dimensions: Vec<(&str, Vec<&str>)> = Vec::new();
        for varied in self.cells.iter().flat_map(|cell| &cell.varied) {
            match dimensions.iter_mut().find(|(name, _)| *name == varied.dimension) {
                Some((_, values)) if values.contains(&varied.value.as_str()) => {}
                Some((_, values)) => values.push(&varied.value),
                None => dimensions.push((&varied.dimension, vec![&varied.value])),
            }
        }
        dimensions
    }

    /// The workload of a trial.
    pub fn workload(&self, trial: &TrialPlan) -> &Arc<Workload> {
        &self.cells[trial.cell].workload
    }

    /// What the run will take.
    pub fn estimate(&self) -> Estimate {
        let mut trials = self.trials.iter().map(|trial| self.estimate_of(trial));
        let first = trials.next().unwrap_or_default();
        let mut all = trials.fold(first, Estimate::plus);
        let pauses = self
            .cool_down()
            .0
            .saturating_mul(self.trials.len().saturating_sub(1) as u32);
        all.duration = all.duration.map(|duration| duration.saturating_add(pauses));
        all
    }

    /// What a trial will take, without the pause before it.
    pub fn estimate_of(&self, trial: &TrialPlan) -> Estimate {
        estimate_of(self.workload(trial))
    }

    /// Nodes of the broker, which all trials have.
    pub fn nodes(&self) -> u32 {
        self.cells[0].workload.broker.nodes
    }

    /// The pause between two trials.
    pub fn cool_down(&self) -> Span {
        self.cells[0].workload.trial.cool_down
    }

    /// Arrivals that a trial's plan has; absent in a closed loop by time.
    pub fn arrivals(&self, trial: &TrialPlan) -> Option<u64> {
        let load = &self.workload(trial).load;
        match (load.until, Schedule::new(load, trial.seed)) {
            (Until::Orders(orders), _) => Some(orders),
            (Until::Duration(_), Some(schedule)) => Some(schedule.count() as u64),
            (Until::Duration(_), None) => None,
        }
    }
}

impl From<CheckedCell> for Cell {
    fn from(cell: CheckedCell) -> Self {
        Cell {
            label: cell.label,
            varied: cell.varied,
            workload: Arc::new(cell.workload),
            settings: cell.settings,
        }
    }
}

/// Every cell once in each round, each round in an order of its own: what drifts while a run goes on (a warmer machine, a busier
/// neighbour) then meets all cells alike. The cells of a round have the same seed, so that they can be compared in pairs.
fn in_rounds(cells: usize, repeats: u32, seed: u64) -> Vec<TrialPlan> {
    let mut trials = Vec::new();
    for repeat in 1..=repeats {
        let mut order: Vec<usize> = (0..cells).collect();
        order.shuffle(&mut rng::stream(seed, "order of trials", u64::from(repeat)));
        for cell in order {
            trials.push(TrialPlan {
                trial: trials.len() as u32 + 1,
                cell,
                repeat,
                seed: seed.wrapping_add(u64::from(repeat) - 1),
            });
        }
    }
    trials
}

impl Estimate {
    /// The sum; what one side does not know, the sum does not.
    fn plus(self, other: Self) -> Self {
        let add = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Estimate {
            orders: add(self.orders, other.orders),
            publishes: add(self.publishes, other.publishes),
            deliveries: add(self.deliveries, other.deliveries),
            bytes: add(self.bytes, other.bytes),
            duration: self
                .duration
                .zip(other.duration)
                .map(|(one, other)| one.saturating_add(other)),
        }
    }
}

/// What one trial of `workload` takes.
fn estimate_of(workload: &Workload) -> Estimate {
    let load = &workload.load;
    let schedule = Schedule::new(load, workload.seed);
    let orders = match load.until {
        Until::Orders(orders) => Some(orders),
        Until::Duration(_) => schedule.as_ref().map(|schedule| schedule.planned().round() as u64),
    };
    let duration = match load.until {
        Until::Orders(_) => schedule.and_then(|schedule| Some(seconds(schedule.planned_end_s()?))),
        Until::Duration(duration) => Some(load.warm_up.0 + duration.0),
    };
    let cost = match workload.pipeline {
        PipelineKind::Orders => ORDER,
        PipelineKind::WorkQueue => JOB,
    };
    let body = cost.body_bytes.max(workload.orders.body_size.0);
    let times = |factor: u64| orders.map(|orders| orders.saturating_mul(factor));
    Estimate {
        orders,
        publishes: times(cost.publishes),
        deliveries: times(cost.deliveries),
        bytes: times(cost.publishes.saturating_mul(body)),
        duration: duration.map(|duration| duration.saturating_add(TRIAL_OVERHEAD)),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Event, Stage};
    use crate::workload::check::check;
    use proptest::prelude::*;

    fn plan(text: &str) -> Plan {
        Plan::new(check("w.toml", "w", text.to_owned(), &[]).expect("a legal workload"))
    }

    #[test]
    fn the_estimate_counts_what_a_completed_order_really_publishes() {
        let aside = [
            Event::InventoryOutOfStock,
            Event::PaymentFailed,
            Event::InventoryReleased,
            Event::OrderCancelled,
        ];
        let happens = |event: &&Event| !aside.contains(event);
        let stages = PipelineKind::Orders.stages().iter();
        let deliveries: usize = stages
            .map(|stage| stage.consumes().iter().filter(happens).count())
            .sum();
        let notifications = Stage::Notification.consumes().iter().filter(happens).count();
        assert_eq!(deliveries as u64, ORDER.deliveries);
        let events = PipelineKind::Orders.events().len() - aside.len();
        assert_eq!((events + notifications) as u64, ORDER.publishes);
    }

    #[test]
    fn repeats_are_trials_with_seeds_of_their_own() {
        let plan = plan("seed = 7\n[trial]\nrepeats = 3");
        assert_eq!(
            plan.trials.iter().map(|trial| trial.seed).collect::<Vec<_>>(),
            [7, 8, 9]
        );
        assert_eq!(plan.estimate().orders, Some(3 * 3_000));
    }

    #[test]
    fn the_dimensions_are_listed_with_their_values() {
        let plan = plan("load.rate = [\"5/s\", \"9/s\"]\nstage.audit.prefetch = [1, \"unlimited\"]");
        assert_eq!(
            plan.dimensions(),
            [
                ("load.rate", vec!["5/s", "9/s"]),
                ("stage.audit.prefetch", vec!["1", "unlimited"])
            ]
        );
    }

    proptest! {
        #[test]
        fn every_cell_runs_exactly_once_in_every_round_with_the_round_s_seed(cells in 1_usize..12, repeats in 1_u32..9, seed: u64) {
            let trials = in_rounds(cells, repeats, seed);
            prop_assert_eq!(trials.len(), cells * repeats as usize);
            for (round, trials) in trials.chunks(cells).enumerate() {
                let mut seen: Vec<usize> = trials.iter().map(|trial| trial.cell).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..cells).collect::<Vec<_>>());
                for trial in trials {
                    prop_assert_eq!(trial.repeat, round as u32 + 1);
                    prop_assert_eq!(trial.seed, seed.wrapping_add(round as u64));
                }
            }
            let numbers: Vec<u32> = trials.iter().map(|trial| trial.trial).collect();
            prop_assert_eq!(numbers, (1..=trials.len() as u32).collect::<Vec<_>>());
        }

        #[test]
        fn the_order_is_the_seed_s_own(seed: u64, other: u64) {
            prop_assume!(seed != other);
            let order = |seed| -> Vec<usize> { in_rounds(12, 3, seed).iter().map(|trial| trial.cell).collect() };
            prop_assert_eq!(order(seed), order(seed));
            prop_assert_ne!(order(seed), order(other));
            let first_round = &order(seed)[..12];
            prop_assert_ne!(first_round, &order(seed)[12..24]);
        }
    }

    #[test]
    fn a_closed_loop_by_time_has_no_planned_number_of_orders() {
        let plan = plan("load = { arrival = \"closed\", users = 3 }");
        assert_eq!(plan.estimate().orders, None);
        assert_eq!(plan.arrivals(&plan.trials[0]), None);
    }
}
