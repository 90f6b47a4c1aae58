//! What a trial took of the machine: looks at processor seconds and clocks, and the difference of two.

use super::Stand;
use crate::clock;
use crate::pipeline::process::WorkerCosts;
use crate::sample::{ProcessProbe, busy_seconds, driver_cpu_seconds, stolen_seconds, throttled_seconds};

/// Processor seconds and clocks, since something started or between two looks; absent where nobody can tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    pub(super) driver_s: Option<f64>,
    pub(super) broker_s: Option<f64>,
    /// Whose seconds those are: a broker that was restarted counts anew.
    pub(super) broker_pids: Vec<u32>,
    pub(super) host_s: Option<f64>,
    pub(super) stolen_s: Option<f64>,
    pub(super) throttled_s: Option<f64>,
    pub(super) suspended_s: Option<f64>,
    /// How far the wall clock is ahead of the monotonic one.
    pub(super) wall_s: Option<f64>,
}

impl Usage {
    pub(super) fn look(stand: &Stand<'_>, workers: &WorkerCosts) -> Self {
        let (mut probe, clocks) = (ProcessProbe::default(), clock::offsets());
        // The embedded broker is part of the driver's process and of its account.
        let broker_pids = match stand.broker.embedded() {
            Some(_) => Vec::new(),
            None => stand.broker.pids(),
        };
        let processes: Option<Vec<f64>> = broker_pids.iter().map(|pid| Some(probe.look(*pid)?.cpu_s)).collect();
        Usage {
            // What runs in worker processes is the driver's work all the same.
            driver_s: driver_cpu_seconds().map(|driver_s| driver_s + workers.cpu_s()),
            broker_s: processes.filter(|all| !all.is_empty()).map(|all| all.iter().sum()),
            broker_pids,
            host_s: busy_seconds(),
            stolen_s: stolen_seconds(),
            throttled_s: throttled_seconds(),
            suspended_s: clocks.suspended_s,
            wall_s: Some(clocks.wall_s),
        }
    }

    pub(super) fn since(self, before: &Usage) -> Usage {
        let difference =
            |after: Option<f64>, before: Option<f64>| after.zip(before).map(|(after, before)| after - before);
        Usage {
            driver_s: difference(self.driver_s, before.driver_s),
            broker_s: difference(self.broker_s, before.broker_s).filter(|_| self.broker_pids == before.broker_pids),
            broker_pids: self.broker_pids,
            host_s: difference(self.host_s, before.host_s),
            stolen_s: difference(self.stolen_s, before.stolen_s),
            throttled_s: difference(self.throttled_s, before.throttled_s),
            suspended_s: difference(self.suspended_s, before.suspended_s),
            wall_s: difference(self.wall_s, before.wall_s),
        }
    }

    /// What neither driver nor broker used, but somebody did; absent unless the broker's own account is known.
    pub(super) fn foreign_s(&self, broker_is_in_driver: bool) -> Option<f64> {
        let broker_s = if broker_is_in_driver { 0.0 } else { self.broker_s? };
        Some((self.host_s? - self.driver_s? - broker_s).max(0.0))
    }
}
