//! The shape of a fault that begins, lasts and is healed: on time, and healed on every way out.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Nanos;
use crate::timer::Timer;
use crate::workload::model::Stretch;

/// A step of a fault; it may block.
type Step = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Both ends of a fault.
pub(super) struct Ends {
    begin: Step,
    heal: Step,
    /// Held during either step: a heal on the way out waits for a begin that is under way, and none begins after it.
    healed: Mutex<bool>,
}

impl Ends {
    /// `heal` must be idempotent and must not fail where nothing was begun.
    pub(super) fn new(
        begin: impl Fn() -> Result<(), String> + Send + Sync + 'static,
        heal: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Ends {
            begin: Box::new(begin),
            heal: Box::new(heal),
            healed: Mutex::new(false),
        })
    }

    fn begin(&self) -> Result<(), String> {
        let healed = self.healed.lock().unwrap_or_else(PoisonError::into_inner);
        if *healed { Ok(()) } else { (self.begin)() }
    }

    fn heal(&self) -> Result<(), String> {
        let mut healed = self.healed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*healed {
            (self.heal)()?;
            *healed = true;
        }
        Ok(())
    }
}

/// Heals on every way out that did not: cancellation, panic, failure.
struct Heal(Arc<Ends>);

impl Drop for Heal {
    fn drop(&mut self) {
        // The fault's own end reports a failure; here the trial is over, and the broker is the run's own.
        let _ = self.0.heal();
    }
}

/// Runs a fault; `began` is when the load began. Returns its start and end on the run's clock (from when it stood, to when it
/// was healed), or `None` if the trial ended before it began.
///
/// # Errors
/// Why it could not be begun or healed.
pub(super) async fn run(
    stretch: Stretch,
    ends: Arc<Ends>,
    began: Nanos,
    timer: &Timer,
    stop: &CancellationToken,
) -> Result<Option<(Nanos, Nanos)>, String> {
    tokio::select! {
        () = timer.sleep_until(began + stretch.at.as_nanos()) => {}
        () = stop.cancelled() => return Ok(None),
    }
    let heal = Heal(Arc::clone(&ends));
    let beginning = Arc::clone(&ends);
    blocking(move || beginning.begin()).await?;
    let start = timer.clock().now();
    tokio::select! {
        () = timer.sleep_until(start + stretch.lasts.as_nanos()) => {}
        () = stop.cancelled() => {}
    }
    blocking(move || ends.heal()).await?;
    let end = timer.clock().now();
    drop(heal);
    Ok(Some((start, end)))
}

async fn blocking(step: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(step).await;
    done.unwrap_or_else(|error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::units::Span;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Duration;

    #[derive(Default)]
    struct Alarm {
        raised: AtomicBool,
        heals: AtomicU32,
    }

    fn ends(alarm: &Arc<Alarm>, slow: bool) -> Arc<Ends> {
        let (begins, heals) = (Arc::clone(alarm), Arc::clone(alarm));
        Ends::new(
            move || {
                if slow {
                    std::thread::sleep(Duration::from_millis(50));
                }
                begins.raised.store(true, Ordering::Release);
                Ok(())
            },
            move || {
                heals.raised.store(false, Ordering::Release);
                heals.heals.fetch_add(1, Ordering::AcqRel);
                Ok(())
            },
        )
    }

    const LONG: Stretch = Stretch {
        at: Span::ZERO,
        lasts: Span::from_secs(3600),
    };

    async fn raised(alarm: &Alarm) {
        while !alarm.raised.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fault_that_ends_in_time_is_healed_once() {
        let alarm = Arc::<Alarm>::default();
        let timer = Timer::start(Clock::start()).expect("a timer");
        let stretch = Stretch {
            lasts: Span::from_millis(5),
            ..LONG
        };
        let (start, end) = run(stretch, ends(&alarm, false), 0, &timer, &CancellationToken::new())
            .await
            .expect("no failure")
            .expect("it began");
        assert!(end >= start + 5_000_000);
        assert_eq!(alarm.heals.load(Ordering::Acquire), 1);
        assert!(!alarm.raised.load(Ordering::Acquire));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_fault_is_healed_and_one_that_never_began_is_not_begun() {
        for at in [Span::ZERO, Span::from_secs(3600)] {
            let (alarm, stop) = (Arc::<Alarm>::default(), CancellationToken::new());
            let timer = Timer::start(Clock::start()).expect("a timer");
            let (ends, stopping) = (ends(&alarm, false), stop.clone());
            let fault = tokio::spawn(async move { run(Stretch { at, ..LONG }, ends, 0, &timer, &stopping).await });
            if at == Span::ZERO {
                raised(&alarm).await;
            }
            stop.cancel();
            let ended = fault.await.expect("no panic").expect("no failure");
            assert_eq!(ended.is_some(), at == Span::ZERO);
            assert!(!alarm.raised.load(Ordering::Acquire));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_aborted_fault_is_healed_even_while_it_begins() {
        let alarm = Arc::<Alarm>::default();
        let timer = Timer::start(Clock::start()).expect("a timer");
        let ends = ends(&alarm, true);
        let (seen, stop) = (Arc::clone(&ends), CancellationToken::new());
        let fault = tokio::spawn(async move { run(LONG, ends, 0, &timer, &stop).await });
        // Under way: the step holds the lock.
        while seen.healed.try_lock().is_ok() && !alarm.raised.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        fault.abort();
        assert!(fault.await.is_err_and(|error| error.is_cancelled()));
        assert!(!alarm.raised.load(Ordering::Acquire), "the heal came after the begin");
        assert_eq!(alarm.heals.load(Ordering::Acquire), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fault_that_cannot_begin_says_why() {
        let timer = Timer::start(Clock::start()).expect("a timer");
        let ends = Ends::new(|| Err("no node".to_owned()), || Ok(()));
        let failed = run(LONG, ends, 0, &timer, &CancellationToken::new()).await;
        assert_eq!(failed, Err("no node".to_owned()));
    }
}
