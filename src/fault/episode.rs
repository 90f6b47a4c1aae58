//! An event that befalls the network or the broker: it begins, lasts and is healed, on every way out.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;

use super::script::Struck;
use crate::clock::Nanos;
use crate::timer::Timer;

/// What is kept while trouble lasts. Dropping it heals what can be healed at once.
pub type Hold = Box<dyn Any + Send>;

/// What can befall everybody at once.
pub trait Trouble: Send + Sync {
    /// Begins it; returns when it stands.
    ///
    /// # Errors
    /// Why it could not be begun, in a sentence.
    fn begin(&self) -> BoxFuture<'_, Result<Hold, String>>;

    /// Ends it; returns when everything is as before. Must not fail where nothing was begun.
    ///
    /// # Errors
    /// Why it could not be ended, in a sentence.
    fn heal(&self, hold: Hold) -> BoxFuture<'_, Result<(), String>>;

    /// Longest time that `heal` may take.
    fn patience(&self) -> Duration;

    /// Whether the last `heal` brought everything back; it may leave down what goes with a run that is being stopped.
    fn is_back(&self) -> bool {
        true
    }

    /// Which of several it struck last, from 1; absent where there is but one, and until it has begun.
    fn victim(&self) -> Option<u32> {
        None
    }
}

/// How an event of it goes.
#[derive(Debug, Clone)]
pub struct Course {
    /// How long it lasts once it stands.
    pub lasts: Nanos,
    /// Held from the beginning to the end, so that events that would disturb each other come one after the other.
    pub turn: Option<Arc<tokio::sync::Mutex<()>>>,
    pub timer: Timer,
}

/// Begins `trouble` and heals it when its time is over or `heal` is cancelled. To be called in a tokio runtime.
pub fn begin(trouble: Arc<dyn Trouble>, course: Course, heal: CancellationToken) -> Arc<dyn Struck> {
    let episode = Arc::new(Episode {
        patience: trouble.patience(),
        state: Mutex::default(),
        over: watch::Sender::new(false),
    });
    let running = Arc::clone(&episode);
    tokio::spawn(async move {
        // However this ends, whoever waits for it goes on.
        let over = Over(Arc::clone(&running));
        if let Err(why) = running.run(&*trouble, course, heal).await {
            running.lock().failure = Some(why);
        }
        drop(over);
    });
    episode
}

/// An event and what became of it.
struct Episode {
    patience: Duration,
    state: Mutex<State>,
    over: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    began_at: Option<Nanos>,
    healed_at: Option<Nanos>,
    failure: Option<String>,
    victim: Option<u32>,
}

struct Over(Arc<Episode>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over.send_replace(true);
    }
}

impl Episode {
    /// Assignments leave the state whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, trouble: &dyn Trouble, course: Course, heal: CancellationToken) -> Result<(), String> {
        let Course { lasts, turn, timer } = course;
        let _turn: Option<OwnedMutexGuard<()>> = match turn {
            None => None,
            Some(turn) => tokio::select! {
                turn = turn.lock_owned() => Some(turn),
                () = heal.cancelled() => return Ok(()),
            },
        };
        if heal.is_cancelled() {
            return Ok(());
        }
        self.lock().began_at = Some(timer.clock().now());
        let begun = trouble.begin().await;
        self.lock().victim = trouble.victim();
        let hold = begun?;
        tokio::select! {
            () = timer.sleep_until(timer.clock().now() + lasts) => {}
            () = heal.cancelled() => {}
        }
        trouble.heal(hold).await?;
        if trouble.is_back() {
            self.lock().healed_at = Some(timer.clock().now());
        }
        Ok(())
    }
}

impl Struck for Episode {
    fn struck(&self) -> u32 {
        u32::from(self.lock().began_at.is_some())
    }

    fn struck_at(&self) -> Option<Nanos> {
        self.lock().began_at
    }

    fn healed_at(&self) -> Option<Nanos> {
        self.lock().healed_at
    }

    fn back(&self, _consumers: u32) -> BoxFuture<'_, ()> {
        let mut over = self.over.subscribe();
        Box::pin(async move {
            // The sender lives as long as this value.
            let _ = over.wait_for(|over| *over).await;
        })
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    fn victim(&self) -> Option<u32> {
        self.lock().victim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

    /// Counts how many events of it are under way.
    #[derive(Debug, Default)]
    struct Storm {
        under_way: Arc<AtomicI32>,
        most: AtomicI32,
        begun: AtomicU32,
        fails: bool,
    }

    struct Calm(Arc<AtomicI32>);

    impl Drop for Calm {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }

    impl Trouble for Storm {
        fn begin(&self) -> BoxFuture<'_, Result<Hold, String>> {
            Box::pin(async {
                if self.fails {
                    return Err("no wind".to_owned());
                }
                self.begun.fetch_add(1, Ordering::AcqRel);
                let now = self.under_way.fetch_add(1, Ordering::AcqRel) + 1;
                self.most.fetch_max(now, Ordering::AcqRel);
                Ok(Box::new(Calm(Arc::clone(&self.under_way))) as Hold)
            })
        }

        fn heal(&self, hold: Hold) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async move {
                drop(hold);
                Ok(())
            })
        }

        fn patience(&self) -> Duration {
            Duration::from_secs(5)
        }
    }

    fn course(lasts_ms: u64) -> Course {
        Course {
            lasts: lasts_ms * 1_000_000,
            turn: None,
            timer: Timer::start(Clock::start()).expect("a timer"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_event_lasts_as_long_as_it_says_and_heals() {
        let storm = Arc::<Storm>::default();
        let event = begin(storm.clone(), course(20), CancellationToken::new());
        event.back(1).await;
        let lasted = event.healed_at().expect("healed") - event.struck_at().expect("struck");
        assert!(lasted >= 20_000_000, "{lasted}");
        assert_eq!((storm.under_way.load(Ordering::Acquire), event.failure()), (0, None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_is_cancelled_heals_at_once_and_one_that_waits_for_its_turn_never_begins() {
        let (storm, heal) = (Arc::<Storm>::default(), CancellationToken::new());
        let hour = Course {
            turn: Some(Arc::default()),
            ..course(3_600_000)
        };
        let first = begin(storm.clone(), hour.clone(), heal.clone());
        while storm.begun.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        let second = begin(storm.clone(), hour, heal.clone());
        heal.cancel();
        first.back(1).await;
        second.back(1).await;
        assert!(first.healed_at().is_some());
        assert_eq!((second.struck(), second.healed_at()), (0, None));
        assert_eq!(
            (
                storm.most.load(Ordering::Acquire),
                storm.under_way.load(Ordering::Acquire)
            ),
            (1, 0)
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_cannot_begin_says_why_and_is_over() {
        let storm = Arc::new(Storm {
            fails: true,
            ..Storm::default()
        });
        let event = begin(storm, course(1), CancellationToken::new());
        event.back(1).await;
        assert_eq!((event.failure().as_deref(), event.healed_at()), (Some("no wind"), None));
    }
}
