//! The fault script: strikes consumers, network or broker when the workload says so, and heals on every way out.
//!
//! When a fault happens and whom it strikes is drawn from the seed, so a run repeated has the same faults. What a strike does to a
//! consumer is the pipeline's business, behind [`Strikable`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::clock::Nanos;
use crate::rng::{self, Stream};
use crate::timer::Timer;
use crate::workload::model::{Condition, Pace, ScriptedFault, When};

/// How often the deliveries of a stage are looked at by a fault that waits for their number.
const LOOK_NS: Nanos = 1_000_000;

/// The consumers of a stage as a fault finds them.
pub trait Strikable: Send + Sync {
    /// Consumers of the stage.
    fn consumers(&self) -> u32;

    /// Deliveries to the stage so far.
    fn delivered(&self) -> u64;

    /// Waits until a queue is seen to be so.
    fn sees(&self, condition: Condition) -> BoxFuture<'_, ()>;

    /// Strikes these consumers, each now or when its handler comes to the fault's point. Cancelling `heal` revokes what has not
    /// bitten and brings back at once who is away; it must be idempotent.
    fn strike(&self, victims: &[u32], heal: &CancellationToken) -> Arc<dyn Struck>;
}

/// What became of one event's strikes.
pub trait Struck: Send + Sync {
    /// Consumers struck so far.
    fn struck(&self) -> u32;

    /// When the first was struck; absent until then.
    fn struck_at(&self) -> Option<Nanos>;

    /// When the last so far came back; absent if nobody has, and while somebody is away.
    fn healed_at(&self) -> Option<Nanos>;

    /// Waits until so many are back.
    fn back(&self, consumers: u32) -> BoxFuture<'_, ()>;

    /// Longest wait for what has been healed to be back.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Why it could not be begun or healed; absent if nothing of the kind was seen.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Which node was struck, from 1; absent where it is none of several.
    fn victim(&self) -> Option<u32> {
        None
    }
}

/// All that a fault of the script did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Happened {
    /// Its events that struck.
    pub events: Vec<FaultEvent>,
    /// Why one of them could not be begun or healed.
    pub failure: Option<String>,
}

/// One event of a fault: the instants on the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultEvent {
    /// Consumers struck, at least one.
    pub consumers: u32,
    /// When the first was struck.
    pub struck_at: Nanos,
    /// When all of them were back; absent if the trial ended before.
    pub healed_at: Option<Nanos>,
    /// The node that was struck, from 1; absent where it was none of several.
    pub node: Option<u32>,
}

/// When the script begins and ends.
#[derive(Debug, Clone)]
pub struct Span {
    /// When the load began.
    pub began: Nanos,
    /// Cancelled as the load ends: nothing more is begun.
    pub load_over: CancellationToken,
    /// Cancelled as the trial ends: everything is healed.
    pub stop: CancellationToken,
}

/// Runs the fault at `position` of the script until the load ends, and waits for those who were struck.
pub async fn run_scripted(
    fault: &ScriptedFault,
    (seed, position): (u64, usize),
    stage: Arc<dyn Strikable>,
    span: Span,
    timer: &Timer,
) -> Happened {
    let heal = CancellationToken::new();
    // On every way out, abort and panic among them.
    let _heals = heal.clone().drop_guard();
    let mut events: Vec<Arc<dyn Struck>> = Vec::new();
    let mut instants = instants(fault.when, seed, position);
    loop {
        let due = async {
            match fault.when {
                When::On(condition) if events.is_empty() => stage.sees(condition).await,
                When::After(deliveries) if events.is_empty() => {
                    while stage.delivered() < deliveries {
                        timer.sleep_until(timer.clock().now() + LOOK_NS).await;
                    }
                }
                _ => match instants.next() {
                    Some(at) => timer.sleep_until(span.began + at).await,
                    None => std::future::pending().await,
                },
            }
        };
        tokio::select! {
            () = due => {}
            () = span.load_over.cancelled() => break,
            () = span.stop.cancelled() => break,
        }
        let victims = victims(fault, (seed, position), events.len() as u64, stage.consumers());
        events.push(stage.strike(&victims, &heal));
    }
    span.stop.cancelled().await;
    heal.cancel();
    let mut found = Happened::default();
    for event in events {
        // A trial that is over waits for the healed, but not for ever.
        let _ = tokio::time::timeout(event.patience(), event.back(event.struck())).await;
        found.failure = found.failure.or_else(|| event.failure());
        found.events.extend(event.struck_at().map(|struck_at| FaultEvent {
            consumers: event.struck(),
            struck_at,
            healed_at: event.healed_at(),
            node: event.victim(),
        }));
    }
    found
}

/// When a fault happens, nanoseconds since the load began; nothing for one that waits for what it sees.
pub fn instants(when: When, seed: u64, position: usize) -> Box<dyn Iterator<Item = Nanos> + Send> {
    match when {
        When::At(at) => Box::new(std::iter::once(at.as_nanos())),
        When::Repeated { pace, until, times } => {
            let mut gaps = rng::stream(seed, &format!("fault.{position}.instants"), 0);
            let mut last = 0.0;
            let instants = std::iter::from_fn(move || {
                last += match pace {
                    Pace::Every(every) => every.as_secs_f64(),
                    Pace::Random(rate) => -(1.0 - unit(&mut gaps)).ln() / rate.per_second(),
                };
                Some((last * 1e9) as Nanos)
            });
            let until = until.map_or(Nanos::MAX, crate::units::Span::as_nanos);
            let times = times.map_or(usize::MAX, |times| usize::try_from(times).unwrap_or(usize::MAX));
            Box::new(instants.take_while(move |at| *at <= until).take(times))
        }
        When::On(_) | When::After(_) => Box::new(std::iter::empty()),
    }
}

/// Which of `consumers` the event number `event` strikes: different ones, drawn anew for each event.
pub fn victims(fault: &ScriptedFault, (seed, position): (u64, usize), event: u64, consumers: u32) -> Vec<u32> {
    let mut draws = rng::stream(seed, &format!("fault.{position}.victims"), event);
    let mut all: Vec<u32> = (0..consumers).collect();
    let count = fault.whom.of(consumers) as usize;
    for at in 0..count {
        let other = at + (unit(&mut draws) * (all.len() - at) as f64) as usize;
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

fn unit(stream: &mut Stream) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::events::Stage;
    use crate::units::{Rate, Share, Span as Time};
    use crate::workload::model::{FaultKind, Whom};
    use proptest::prelude::*;
    use std::sync::Mutex;

    fn fault(when: When, whom: Whom) -> ScriptedFault {
        ScriptedFault {
            what: FaultKind::ChannelClose,
            stage: Some(Stage::Payment),
            when,
            whom,
            restart_after: Time::ZERO,
            point: None,
        }
    }

    fn repeated(pace: Pace, until_s: Option<u64>, times: Option<u64>) -> When {
        When::Repeated {
            pace,
            until: until_s.map(Time::from_secs),
            times,
        }
    }

    #[test]
    fn a_fault_comes_back_at_its_distance_until_its_end_or_so_often() {
        let every = Pace::Every(Time::from_secs(2));
        let seconds = |when| -> Vec<u64> { instants(when, 1, 1).map(|at| at / 1_000_000_000).collect() };
        assert_eq!(seconds(repeated(every, Some(7), None)), [2, 4, 6]);
        assert_eq!(seconds(repeated(every, Some(7), Some(2))), [2, 4]);
        assert_eq!(seconds(When::At(Time::from_secs(5))), [5]);
    }

    #[test]
    fn random_faults_have_their_rate_and_are_the_seed_s() {
        let when = repeated(Pace::Random(Rate(5.0)), Some(1_000), None);
        let drawn = |seed| instants(when, seed, 1).collect::<Vec<_>>();
        let count = drawn(1).len() as f64;
        assert!((4_700.0..5_300.0).contains(&count), "{count}");
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    proptest! {
        #[test]
        fn a_fault_strikes_as_many_different_consumers_as_it_says(
            consumers in 1u32..50, count in 1u32..50, share in 0.01f64..1.0, seed: u64, event in 0u64..5
        ) {
            for whom in [Whom::Count(count), Whom::Share(Share(share))] {
                let mut drawn = victims(&fault(When::After(1), whom), (seed, 1), event, consumers);
                prop_assert!(drawn.iter().all(|victim| *victim < consumers));
                prop_assert_eq!(drawn.len() as u32, whom.of(consumers));
                drawn.sort_unstable();
                drawn.dedup();
                prop_assert_eq!(drawn.len() as u32, whom.of(consumers));
            }
        }
    }

    /// Consumers that are struck at once and come back when healed.
    #[derive(Default)]
    struct Stand {
        heals: Mutex<Vec<CancellationToken>>,
    }

    struct Mark(CancellationToken);

    impl Struck for Mark {
        fn struck(&self) -> u32 {
            1
        }

        fn struck_at(&self) -> Option<Nanos> {
            Some(1)
        }

        fn healed_at(&self) -> Option<Nanos> {
            self.0.is_cancelled().then_some(2)
        }

        fn back(&self, _: u32) -> BoxFuture<'_, ()> {
            Box::pin(self.0.cancelled())
        }
    }

    impl Strikable for Stand {
        fn consumers(&self) -> u32 {
            1
        }

        fn delivered(&self) -> u64 {
            1
        }

        fn sees(&self, _: Condition) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }

        fn strike(&self, _: &[u32], heal: &CancellationToken) -> Arc<dyn Struck> {
            self.heals.lock().expect("no panic").push(heal.clone());
            Arc::new(Mark(heal.clone()))
        }
    }

    fn started() -> (Arc<Stand>, CancellationToken, tokio::task::JoinHandle<Happened>) {
        let (stand, stop) = (Arc::new(Stand::default()), CancellationToken::new());
        let span = Span {
            began: 0,
            load_over: CancellationToken::new(),
            stop: stop.clone(),
        };
        let timer = Timer::start(Clock::start()).expect("a timer");
        let stage = Arc::clone(&stand);
        let task = tokio::spawn(async move {
            run_scripted(&fault(When::After(1), Whom::Count(1)), (1, 1), stage, span, &timer).await
        });
        (stand, stop, task)
    }

    async fn struck(stand: &Stand) -> CancellationToken {
        loop {
            if let Some(heal) = stand.heals.lock().expect("no panic").first() {
                return heal.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_the_trial_heals_and_the_event_is_on_record() {
        let (stand, stop, task) = started();
        struck(&stand).await;
        stop.cancel();
        let event = FaultEvent {
            consumers: 1,
            struck_at: 1,
            healed_at: Some(2),
            node: None,
        };
        let happened = task.await.expect("no panic");
        assert_eq!((happened.events, happened.failure), (vec![event], None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_aborted_script_heals() {
        let (stand, _stop, task) = started();
        let heal = struck(&stand).await;
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        assert!(heal.is_cancelled());
    }
}
