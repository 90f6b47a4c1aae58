//! The broker's process is stopped and goes on later: the stall that a tool with coordinated omission does not see.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Nanos;
use crate::timer::Timer;
use crate::workload::model::BrokerPause;

/// A broker whose process can be stopped. `resume` must be idempotent and must not fail for a broker that runs.
pub trait Pausable: Send + Sync {
    /// Stops the process.
    ///
    /// # Errors
    /// Why it could not be stopped, in a sentence.
    fn pause(&self) -> Result<(), String>;

    /// Lets the process go on.
    ///
    /// # Errors
    /// Why it could not be continued, in a sentence.
    fn resume(&self) -> Result<(), String>;
}

/// Resumes on every way out: end of the fault, cancellation, panic.
struct Heal(Arc<dyn Pausable>);

impl Drop for Heal {
    fn drop(&mut self) {
        // The fault's own end reports a failure; here, on the way out of a cancelled trial, the broker is stopped for good
        // a moment later.
        let _ = self.0.resume();
    }
}

/// Runs the fault; `began` is when the load began. Returns its start and end on the run's clock, or `None` if the trial
/// ended before it began.
///
/// # Errors
/// Why the broker could not be stopped or continued.
pub async fn run_pause(
    settings: BrokerPause,
    broker: Arc<dyn Pausable>,
    began: Nanos,
    timer: &Timer,
    stop: &CancellationToken,
) -> Result<Option<(Nanos, Nanos)>, String> {
    tokio::select! {
        () = timer.sleep_until(began + settings.at.as_nanos()) => {}
        () = stop.cancelled() => return Ok(None),
    }
    let heal = Heal(Arc::clone(&broker));
    broker.pause()?;
    let start = timer.clock().now();
    tokio::select! {
        () = timer.sleep_until(start + settings.lasts.as_nanos()) => {}
        () = stop.cancelled() => {}
    }
    broker.resume()?;
    let end = timer.clock().now();
    drop(heal);
    Ok(Some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::units::Span;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Switch(AtomicBool);

    impl Pausable for Switch {
        fn pause(&self) -> Result<(), String> {
            self.0.store(true, Ordering::Release);
            Ok(())
        }

        fn resume(&self) -> Result<(), String> {
            self.0.store(false, Ordering::Release);
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancelled_pause_leaves_the_broker_running() {
        let (broker, stop) = (Arc::new(Switch::default()), CancellationToken::new());
        let timer = Timer::start(Clock::start()).expect("a timer");
        let settings = BrokerPause {
            at: Span::ZERO,
            lasts: Span::from_secs(3600),
        };
        let (fault_broker, fault_stop) = (Arc::clone(&broker), stop.clone());
        let fault = tokio::spawn(async move { run_pause(settings, fault_broker, 0, &timer, &fault_stop).await });
        while !broker.0.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        let ended = fault.await.expect("no panic").expect("no failure");
        assert!(ended.is_some() && !broker.0.load(Ordering::Acquire));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_aborted_pause_leaves_the_broker_running() {
        let broker = Arc::new(Switch::default());
        let timer = Timer::start(Clock::start()).expect("a timer");
        let settings = BrokerPause {
            at: Span::ZERO,
            lasts: Span::from_secs(3600),
        };
        let fault_broker = Arc::clone(&broker);
        let fault =
            tokio::spawn(async move { run_pause(settings, fault_broker, 0, &timer, &CancellationToken::new()).await });
        while !broker.0.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        fault.abort();
        assert!(fault.await.is_err_and(|error| error.is_cancelled()));
        assert!(!broker.0.load(Ordering::Acquire));
    }
}
