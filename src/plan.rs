//! From a workload to the trials that will run: every default written out, the order fixed by the seed, before anything is
//! touched.

use std::time::Duration;

use crate::arrival::Schedule;
use crate::workload::check::{Checked, Setting};
use crate::workload::model::{Until, Workload};

/// Bytes of a body without padding, about; for the estimate only.
const BODY_BYTES: u64 = 190;
/// Publishes of an order that is completed: ten events and four notifications.
const PUBLISHES_PER_ORDER: u64 = 14;
/// Deliveries of an order that is completed.
const DELIVERIES_PER_ORDER: u64 = 31;
/// Settling, starting consumers and cleaning up, per trial.
const TRIAL_OVERHEAD: Duration = Duration::from_secs(3);

/// One trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialPlan {
    /// From 1.
    pub trial: u32,
    /// Its seed: repeats draw different arrivals and payloads.
    pub seed: u64,
}

/// What a run will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The experiment.
    pub workload: Workload,
    /// Every setting, with its origin.
    pub settings: Vec<Setting>,
    /// The workload file's text.
    pub text: String,
    /// The trials, in the order in which they run.
    pub trials: Vec<TrialPlan>,
}

/// What a run will take, about.
#[derive(Debug, Clone, Copy, PartialEq)]
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
            workload,
            settings,
            text,
        } = checked;
        let trials = (1..=workload.trial.repeats)
            .map(|trial| TrialPlan {
                trial,
                seed: workload.seed.wrapping_add(u64::from(trial) - 1),
            })
            .collect();
        Plan {
            workload,
            settings,
            text,
            trials,
        }
    }

    /// What the run will take.
    pub fn estimate(&self) -> Estimate {
        let load = &self.workload.load;
        let trials = self.trials.len() as u64;
        let per_trial = match load.until {
            Until::Orders(orders) => Some(orders),
            Until::Duration(duration) => load
                .arrival
                .mean_rate()
                .map(|rate| (rate * (load.warm_up.0 + duration.0).as_secs_f64()).round() as u64),
        };
        let orders = per_trial.map(|orders| orders.saturating_mul(trials));
        let one = match load.until {
            Until::Duration(duration) => Some(load.warm_up.0 + duration.0),
            Until::Orders(orders) => load
                .arrival
                .mean_rate()
                .map(|rate| Duration::try_from_secs_f64(orders as f64 / rate).unwrap_or(Duration::MAX)),
        };
        let body = BODY_BYTES.max(self.workload.orders.body_size.0);
        let times = |factor: u64| orders.map(|orders| orders.saturating_mul(factor));
        Estimate {
            orders,
            publishes: times(PUBLISHES_PER_ORDER),
            deliveries: times(DELIVERIES_PER_ORDER),
            bytes: times(PUBLISHES_PER_ORDER.saturating_mul(body)),
            duration: one.map(|one| one.saturating_add(TRIAL_OVERHEAD).saturating_mul(trials as u32)),
        }
    }

    /// Arrivals that a trial's plan has; absent in a closed loop by time.
    pub fn arrivals(&self, trial: &TrialPlan) -> Option<u64> {
        match (self.workload.load.until, Schedule::new(&self.workload.load, trial.seed)) {
            (Until::Orders(orders), _) => Some(orders),
            (Until::Duration(_), Some(schedule)) => Some(schedule.count() as u64),
            (Until::Duration(_), None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Event, Stage};
    use crate::workload::check::check;

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
        let deliveries: usize = Stage::ALL
            .iter()
            .map(|stage| stage.consumes().iter().filter(happens).count())
            .sum();
        let notifications = Stage::Notification.consumes().iter().filter(happens).count();
        assert_eq!(deliveries as u64, DELIVERIES_PER_ORDER);
        let events = Event::ALL.len() - aside.len();
        assert_eq!((events + notifications) as u64, PUBLISHES_PER_ORDER);
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
    fn a_closed_loop_by_time_has_no_planned_number_of_orders() {
        let plan = plan("load = { arrival = \"closed\", users = 3 }");
        assert_eq!(plan.estimate().orders, None);
        assert_eq!(plan.arrivals(&plan.trials[0]), None);
    }
}
