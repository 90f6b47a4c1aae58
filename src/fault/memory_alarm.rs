//! The broker's memory limit is lowered below what it uses, and put back later: it blocks the connections that
//! publish, and consumers go on.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::stretch::{Ends, run};
use crate::clock::Nanos;
use crate::timer::Timer;
use crate::workload::model::Stretch;

/// A broker whose memory alarm can be raised. Both methods may block; clearing must be idempotent and must not fail where no
/// alarm was raised.
pub trait MemoryAlarm: Send + Sync {
    /// Raises the alarm.
    ///
    /// # Errors
    /// Why it could not be raised, in a sentence.
    fn raise(&self) -> Result<(), String>;

    /// Puts the limit back as it was.
    ///
    /// # Errors
    /// Why it could not be put back, in a sentence.
    fn clear(&self) -> Result<(), String>;
}

/// Runs the fault; `began` is when the load began. Returns its start and end on the run's clock, or `None` if the trial
/// ended before it began.
///
/// # Errors
/// Why the alarm could not be raised or cleared.
pub async fn run_memory_alarm(
    settings: Stretch,
    broker: Arc<dyn MemoryAlarm>,
    began: Nanos,
    timer: &Timer,
    stop: &CancellationToken,
) -> Result<Option<(Nanos, Nanos)>, String> {
    let healing = Arc::clone(&broker);
    let ends = Ends::new(move || broker.raise(), move || healing.clear());
    run(settings, ends, began, timer, stop).await
}
