//! Looks at the queues at a fixed cadence, in a task of its own: a broker that does not answer must not hold up anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backlog::Look;
use crate::clock::{Clock, Nanos};
use crate::events::{PipelineKind, Stage};
use crate::pipeline::StageMeter;
use crate::sample::DepthProbe;

/// One look at all queues. A queue that did not answer is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depths {
    /// When the look began: whatever happened later may be missing from it.
    pub began: Nanos,
    /// When the last answer came: the figures are of then. A broker that stood still answers long after it was asked.
    pub answered: Nanos,
    /// Of which pipeline.
    pub pipeline: PipelineKind,
    /// Ready messages, by position in [`PipelineKind::stages`].
    pub ready: Vec<Option<u64>>,
    /// Unacked messages, by position in [`PipelineKind::stages`]: the driver's own count.
    pub unacked: Vec<u64>,
    /// Messages that wait for their next attempt; absent where a queue did not answer.
    pub retrying: Option<u64>,
    /// Messages in all dead-letter queues.
    pub dead_letters: Option<u64>,
    /// Deliveries so far, to tell whether anything moves.
    pub delivered: u64,
}

impl Depths {
    /// Ready + unacked of a stage's queue.
    pub fn backlog(&self, stage: Stage) -> Option<u64> {
        let position = self.pipeline.position(stage)?;
        let ready = (*self.ready.get(position)?)?;
        Some(ready + self.unacked.get(position)?)
    }

    /// Unacked messages of a stage's queue; of a stage of another pipeline none.
    pub fn held(&self, stage: Stage) -> u64 {
        let position = self.pipeline.position(stage);
        position
            .and_then(|position| self.unacked.get(position))
            .copied()
            .unwrap_or(0)
    }

    /// Ready + unacked over all queues; absent unless each queue answered.
    pub fn total(&self) -> Option<u64> {
        self.pipeline.stages().iter().map(|stage| self.backlog(*stage)).sum()
    }
}

/// Cadence of the close look at a queue that is held back.
const CLOSE: Duration = Duration::from_millis(20);

/// A close look at one queue, for times that the samples are too coarse for.
#[derive(Debug)]
pub struct CloseLook {
    /// Looks at this queue alone.
    pub probe: DepthProbe,
    /// Its stage's.
    pub meter: Arc<StageMeter>,
    pub clock: Clock,
}

impl CloseLook {
    /// Looks until stopped or until nobody listens. A look that gets no answer is left out.
    pub async fn run(mut self, to: mpsc::Sender<Look>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(CLOSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let began = self.clock.now();
            let Some(Some(ready)) = self.probe.ready().await.first().copied() else {
                continue;
            };
            let (unacked, delivered) = (self.meter.held(), self.meter.delivered());
            let look = Look {
                began,
                answered: self.clock.now(),
                ready,
                unacked,
                delivered,
            };
            if to.send(look).await.is_err() {
                break;
            }
        }
        self.probe.close().await;
    }
}

/// What the task looks at.
#[derive(Debug)]
pub struct DepthTask {
    pub probe: DepthProbe,
    pub pipeline: PipelineKind,
    /// Queues in which messages wait for their next attempt.
    pub retry_queues: usize,
    /// By [`Stage::index`].
    pub meters: Vec<Arc<StageMeter>>,
    pub clock: Clock,
    pub interval: Duration,
}

impl DepthTask {
    /// Looks until stopped or until nobody listens.
    pub async fn run(mut self, to: mpsc::Sender<Depths>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        // A late look is followed by the next at its full distance, not by a burst of looks.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let depths = self.look().await;
            if to.send(depths).await.is_err() {
                break;
            }
        }
        self.probe.close().await;
    }

    async fn look(&mut self) -> Depths {
        let mut depths = Depths {
            began: self.clock.now(),
            pipeline: self.pipeline,
            ..Depths::default()
        };
        let mut ready = self.probe.ready().await;
        // The stages' queues come first, those of retries and the dead-letter queues after them.
        let stages = self.pipeline.stages();
        let retrying = ready.drain(stages.len()..stages.len() + self.retry_queues);
        depths.retrying = retrying.sum();
        let dead = ready.split_off(stages.len());
        depths.dead_letters = if dead.is_empty() { None } else { dead.into_iter().sum() };
        depths.ready = ready;
        depths.answered = self.clock.now();
        for meter in stages.iter().map(|stage| &self.meters[stage.index()]) {
            depths.unacked.push(meter.held());
            depths.delivered += meter.delivered();
        }
        depths
    }
}
