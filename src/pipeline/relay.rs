//! The relay of a stage's outbox: publishes the rows that commits have left, in their order, and marks them as sent once the
//! broker has confirmed them.
//!
//! At least once: a row that was published and not marked goes out again. What the broker refused is tried again, and what
//! came after it may then have gone first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::consumer::{Ended, StageContext};
use super::emission::Emission;
use super::store::{DurableStore, OutboxRow};
use crate::amqp::{Outcome, Refusal, RenewablePublisher, Uncertainty};
use crate::events::Stage;
use crate::wire::message::decode;
use crate::workload::model::Defect;

/// Most rows under way at once.
const ROWS: usize = 200;
/// Before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The relay's number among the publishers of its stage, behind those of all consumers.
const RELAY: u64 = u64::MAX;

/// The relay of one stage.
#[derive(Debug)]
pub(super) struct Relay {
    stage: Arc<StageContext>,
    publisher: RenewablePublisher,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing more is to be done about it.
    Settled,
    /// It is to be tried again.
    Again,
    /// The connection is gone, and could not be had back.
    Lost,
}

impl Relay {
    pub(super) fn new(stage: Arc<StageContext>, publisher: RenewablePublisher) -> Self {
        Relay { stage, publisher }
    }

    /// Publishes until told to stop, or until the connection is gone.
    pub(super) async fn run(self, stop: CancellationToken) -> Ended {
        let stage = Arc::clone(&self.stage);
        let Some(store) = stage.store.durable() else {
            return Ended::Told;
        };
        tokio::select! {
            () = self.work(store) => Ended::Untold,
            () = stop.cancelled() => Ended::Told,
        }
    }

    /// Ends with the connection.
    async fn work(&self, store: &DurableStore) {
        let mut sent = Vec::new();
        loop {
            let rows = match store.next_unsent(sent.clone(), ROWS).await {
                Ok(rows) => rows,
                Err(_) => {
                    self.stage.meter.store().failed();
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            };
            sent.clear();
            if rows.is_empty() {
                store.outbox_grew().await;
                continue;
            }
            // Polled once each in this order, they are published in this order.
            let fates = join_all(rows.iter().map(|row| self.send(row))).await;
            let settled = rows.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Settled);
            sent.extend(settled.map(|(row, _)| row.id));
            if fates.contains(&Fate::Lost) {
                // What is confirmed is marked; nobody is left to publish the rest.
                let _ = store.next_unsent(sent, 0).await;
                return;
            }
            if fates.contains(&Fate::Again) {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn send(&self, row: &OutboxRow) -> Fate {
        let stage = &self.stage;
        let Ok(message) = decode(stage.wiring.encoder.ids(), &row.message) else {
            // Nobody here wrote it, and no repetition will mend it.
            stage.meter.store().returned();
            return Fate::Settled;
        };
        let canary = stage.wiring.workload.canary.as_ref();
        if stage.stage == Stage::Inventory && canary.is_some_and(|canary| canary.strikes(Defect::SkipRelay, row.number))
        {
            return Fate::Settled;
        }
        let emission = Emission {
            cause: row.cause,
            emit: row.emit,
            about: &message,
            since: message.published,
            effect: message.published,
        };
        let Some(parcel) = stage.parcel(&emission) else {
            return Fate::Settled;
        };
        match stage.publish(&self.publisher, RELAY, &emission, &parcel).await {
            Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked) => Fate::Settled,
            // Nobody will ever route it: a repetition would fail for ever.
            Outcome::Refused(Refusal::Returned) => {
                stage.meter.store().returned();
                Fate::Settled
            }
            Outcome::Unknown(Uncertainty::ConnectionLost) => Fate::Lost,
            Outcome::Refused(Refusal::Nack) => {
                stage.meter.nacked();
                Fate::Again
            }
            Outcome::Unknown(Uncertainty::Timeout) => Fate::Again,
        }
    }
}
