//! A stage's consumers stop cleanly and return later: its messages pile up meanwhile.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::clock::Nanos;
use crate::timer::Timer;
use crate::workload::model::StageOutage;

/// A stage whose consumers can be held back. Both calls only say what shall be, at once and without fail; `open` is
/// idempotent.
pub trait Switchable: Send + Sync {
    /// Consumers shall stop.
    fn close(&self);

    /// Consumers shall return.
    fn open(&self);

    /// Waits until all of them have done so.
    fn settled(&self) -> BoxFuture<'_, ()>;
}

/// Lets the consumers return on every way out: end of the fault, cancellation, panic.
struct Heal(Arc<dyn Switchable>);

impl Drop for Heal {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Runs the fault; `began` is when the load began. Returns on the run's clock when the consumers were told to stop and when
/// all of them were back, or `None` if the trial ended before it began.
pub async fn run_outage(
    settings: StageOutage,
    stage: Arc<dyn Switchable>,
    began: Nanos,
    timer: &Timer,
    stop: &CancellationToken,
) -> Option<(Nanos, Nanos)> {
    tokio::select! {
        () = timer.sleep_until(began + settings.at.as_nanos()) => {}
        () = stop.cancelled() => return None,
    }
    let heal = Heal(Arc::clone(&stage));
    let start = timer.clock().now();
    stage.close();
    tokio::select! {
        () = timer.sleep_until(start + settings.lasts.as_nanos()) => {}
        () = stop.cancelled() => {}
    }
    drop(heal);
    // A trial that is over waits for nobody.
    tokio::select! {
        () = stage.settled() => {}
        () = stop.cancelled() => {}
    }
    Some((start, timer.clock().now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::events::Stage;
    use crate::units::Span;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Door(AtomicBool);

    impl Switchable for Door {
        fn close(&self) {
            self.0.store(true, Ordering::Release);
        }

        fn open(&self) {
            self.0.store(false, Ordering::Release);
        }

        fn settled(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn outage(stop: &CancellationToken) -> (Arc<Door>, tokio::task::JoinHandle<Option<(Nanos, Nanos)>>) {
        let (door, stop) = (Arc::new(Door::default()), stop.clone());
        let timer = Timer::start(Clock::start()).expect("a timer");
        let settings = StageOutage {
            stage: Stage::Inventory,
            at: Span::ZERO,
            lasts: Span::from_secs(3600),
        };
        let fault_door = Arc::clone(&door);
        let fault = tokio::spawn(async move { run_outage(settings, fault_door, 0, &timer, &stop).await });
        (door, fault)
    }

    async fn closed(door: &Door) {
        while !door.0.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancelled_outage_lets_the_consumers_return() {
        let stop = CancellationToken::new();
        let (door, fault) = outage(&stop);
        closed(&door).await;
        stop.cancel();
        assert!(fault.await.expect("no panic").is_some() && !door.0.load(Ordering::Acquire));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_aborted_outage_lets_the_consumers_return() {
        let (door, fault) = outage(&CancellationToken::new());
        closed(&door).await;
        fault.abort();
        assert!(fault.await.is_err_and(|error| error.is_cancelled()));
        assert!(!door.0.load(Ordering::Acquire));
    }
}
