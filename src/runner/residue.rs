//! What lies on the broker after the drain: which orders still have a message in a queue or a dead-letter queue.
//!
//! Reading takes the messages off: it comes last, before everything is deleted. Where the queues are to stay, they get
//! everything back.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};

use super::run::AtEnd;
use crate::amqp::{AmqpError, Connector, Link};
use crate::events::Stage;
use crate::ledger::Residue;
use crate::wire::headers;
use crate::wire::message::OrderIds;
use crate::wire::topology::Topology;
use crate::workload::Workload;
use crate::workload::model::BadKind;

/// Longest wait for the next message of a queue that has one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages read in all; beyond that the residue is incomplete, and says so.
const READ_MAX: u64 = 2_000_000;

/// Reads every queue of a trial empty; one that is to stay gets its messages back.
///
/// # Errors
/// What the broker may say; then nothing is known of the residue.
pub async fn read(
    connector: &Connector,
    topology: &Topology,
    workload: &Workload,
    ids: &OrderIds,
    at_end: AtEnd,
) -> Result<Residue, AmqpError> {
    let settings = &workload.topology;
    let link = connector.connect("verification").await?;
    let mut reader = Reader {
        link,
        ids,
        at_end,
        residue: Residue {
            complete: true,
            ..Residue::default()
        },
        read: 0,
    };
    for stage in topology.stages().iter().copied() {
        let queued = reader.orders_in(topology.queue(stage)).await?;
        reader.still_queued(stage, queued);
        if settings.dead_letter {
            reader
                .dead_letter_queue(stage, topology.dead_letter_queue(stage))
                .await?;
        }
    }
    for (stage, _, queue) in topology.retry_queues(workload) {
        let waiting = reader.orders_in(&queue).await?;
        reader.still_queued(stage, waiting);
    }
    if settings.alternate_exchange {
        reader.residue.unrouted = reader.orders_in(&topology.unrouted_queue).await?;
    }
    reader.link.close().await;
    Ok(reader.residue)
}

struct Reader<'a> {
    link: Link,
    ids: &'a OrderIds,
    at_end: AtEnd,
    residue: Residue,
    read: u64,
}

impl Reader<'_> {
    async fn orders_in(&mut self, queue: &ShortString) -> Result<HashSet<u64>, AmqpError> {
        let messages = self.messages(queue).await?;
        Ok(messages
            .iter()
            .filter_map(|delivery| order_of(delivery, self.ids))
            .collect())
    }

    fn still_queued(&mut self, stage: Stage, orders: HashSet<u64>) {
        let (chain, beside) = (&mut self.residue.queued, &mut self.residue.queued_beside);
        if stage.is_in_chain() { chain } else { beside }.extend(orders);
    }

    async fn dead_letter_queue(&mut self, stage: Stage, queue: &ShortString) -> Result<(), AmqpError> {
        for delivery in self.messages(queue).await? {
            let dead = if stage.is_in_chain() {
                &mut self.residue.dead
            } else {
                &mut self.residue.dead_beside
            };
            let bad = headers::text(&delivery.properties, headers::BAD).and_then(BadKind::by_name);
            match (bad, order_of(&delivery, self.ids)) {
                (Some(kind), _) => *self.residue.bad_dead_letters.entry(kind).or_default() += 1,
                (None, Some(number)) => {
                    dead.insert(number);
                }
                (None, None) => self.residue.foreign_dead_letters += 1,
            }
            let key = (queue.to_string(), headers::reason(&delivery.properties));
            *self.residue.dead_letters.entry(key).or_default() += 1;
        }
        Ok(())
    }

    async fn messages(&mut self, queue: &ShortString) -> Result<Vec<Delivery>, AmqpError> {
        let channel = self.link.channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asking = channel.queue_declare(queue.clone(), passive, FieldTable::default());
        let waiting = u64::from(
            self.link
                .answer(&format!("look at the queue {queue}"), asking)
                .await?
                .message_count(),
        );
        if waiting == 0 {
            return Ok(Vec::new());
        }
        let allowed = waiting.min(READ_MAX.saturating_sub(self.read));
        let messages = self.consume(&channel, queue, allowed).await?;
        if self.at_end == AtEnd::Keep {
            // With its channel everything goes back to its place.
            let closing = channel.close(200, "verified".into());
            self.link.answer("close a channel", closing).await?;
        }
        self.read += messages.len() as u64;
        self.residue.complete &= messages.len() as u64 == waiting;
        Ok(messages)
    }

    async fn consume(&self, channel: &Channel, queue: &ShortString, count: u64) -> Result<Vec<Delivery>, AmqpError> {
        let options = BasicConsumeOptions {
            no_ack: self.at_end == AtEnd::Delete,
            ..BasicConsumeOptions::default()
        };
        let consuming = channel.basic_consume(queue.clone(), "verification".into(), options, FieldTable::default());
        let mut consumer = self.link.answer(&format!("read the queue {queue}"), consuming).await?;
        let mut messages = Vec::new();
        while (messages.len() as u64) < count {
            match tokio::time::timeout(PATIENCE, consumer.next()).await {
                Ok(Some(Ok(delivery))) => messages.push(delivery),
                _ => break,
            }
        }
        let cancelling = channel.basic_cancel("verification".into(), BasicCancelOptions::default());
        self.link
            .answer(&format!("stop reading the queue {queue}"), cancelling)
            .await?;
        Ok(messages)
    }
}

fn order_of(delivery: &Delivery, ids: &OrderIds) -> Option<u64> {
    let id = delivery.properties.correlation_id().as_ref()?;
    ids.number(id.as_str())
}
