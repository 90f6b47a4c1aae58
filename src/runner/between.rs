//! Between two trials: a pause, and a look whether the broker is as empty as the next trial must find it.
//!
//! Looks and waits; what is left is the next trial's to bear, as a reason not to trust it.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio_util::sync::CancellationToken;

use super::manifest::Manifest;
use crate::amqp::uri::BrokerUri;
use crate::amqp::{Connector, Incidents};
use crate::broker::RunningBroker;
use crate::clock::Clock;

/// Longest wait for the broker to be empty, after the pause.
const PATIENCE: Duration = Duration::from_secs(15);
/// From one look to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Leftovers that are named.
const NAMED_MAX: usize = 5;

/// What the next trial finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing of the run.
    Empty,
    /// Something that should be gone, in words.
    Left(String),
    /// Nobody could look, and why.
    Unknown(String),
}

/// Where to look.
#[derive(Debug)]
pub struct Site<'a> {
    pub broker: &'a RunningBroker,
    pub uri: &'a BrokerUri,
    pub manifest: &'a Manifest,
    /// Of everything that the run declares, with its last dot.
    pub prefix: String,
}

/// Waits for `pause`, then until nothing of the run is on the broker, or for [`PATIENCE`]. An interruption ends both.
pub async fn cool_down(site: &Site<'_>, pause: Duration, interrupt: &CancellationToken) -> Found {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = interrupt.cancelled() => return Found::Empty,
    }
    let clock = Clock::start();
    loop {
        let found = match site.left().await {
            Ok(left) if left.is_empty() => return Found::Empty,
            Ok(left) => Found::Left(in_words(&left)),
            Err(why) => Found::Unknown(why),
        };
        if u128::from(clock.now()) >= PATIENCE.as_nanos() {
            return found;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = interrupt.cancelled() => return Found::Empty,
        }
    }
}

fn in_words(left: &[String]) -> String {
    let mut named: Vec<String> = left.iter().take(NAMED_MAX).cloned().collect();
    if left.len() > NAMED_MAX {
        named.push(format!("and {} more", left.len() - NAMED_MAX));
    }
    named.join(", ")
}

impl Site<'_> {
    /// Everything of the run that is on the broker, each in words.
    async fn left(&self) -> Result<Vec<String>, String> {
        if let Some(broker) = self.broker.embedded() {
            let depths = broker.queue_depths().into_iter();
            let ours = depths.filter(|depth| depth.queue.starts_with(&self.prefix));
            return Ok(ours
                .map(|depth| {
                    format!(
                        "the queue {} with {} messages",
                        depth.queue,
                        depth.ready + depth.unacked
                    )
                })
                .collect());
        }
        match self.broker.management() {
            Some(_) => self.left_by_management().await,
            None => self.left_by_asking().await,
        }
    }

    async fn left_by_management(&self) -> Result<Vec<String>, String> {
        let Some(management) = self.broker.management() else {
            return Ok(Vec::new());
        };
        let failed = |error: crate::broker::management::ManagementError| error.to_string();
        let vhost = &self.manifest.vhost;
        let queues = management.queues(vhost).await.map_err(failed)?;
        let exchanges = management.exchanges(vhost).await.map_err(failed)?;
        let mut left: Vec<String> = queues
            .into_iter()
            .filter(|queue| queue.name.starts_with(&self.prefix))
            .map(|queue| {
                format!(
                    "the queue {} with {} messages",
                    queue.name,
                    queue.messages.unwrap_or_default()
                )
            })
            .collect();
        let exchanges = exchanges
            .into_iter()
            .filter(|exchange| exchange.name.starts_with(&self.prefix));
        left.extend(exchanges.map(|exchange| format!("the exchange {}", exchange.name)));
        // In a virtual host of the run's own every connection is the run's, and it has none between trials.
        if self.manifest.own_vhost || self.broker.node().is_some() {
            let connections = management.connections(vhost).await.map_err(failed)?;
            let name = |connection: &crate::broker::management::ClientConnection| {
                connection
                    .user_provided_name
                    .clone()
                    .unwrap_or_else(|| connection.name.clone())
            };
            left.extend(
                connections
                    .iter()
                    .map(|connection| format!("the connection {}", name(connection))),
            );
        }
        Ok(left)
    }

    /// Without a management API: the last trial's queues must not be there.
    async fn left_by_asking(&self) -> Result<Vec<String>, String> {
        let Some(last) = self.manifest.trials.last() else {
            return Ok(Vec::new());
        };
        let incidents = std::sync::Arc::new(Incidents::new(Clock::start()));
        let connector = Connector::new(self.uri, incidents).over(self.broker.addresses(), 0);
        let link = connector
            .connect("cool-down")
            .await
            .map_err(|error| error.to_string())?;
        let mut left = Vec::new();
        for queue in &last.queues {
            // A queue that is not there closes the channel; each question has one of its own.
            let channel = link.channel().await.map_err(|error| error.to_string())?;
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let asking = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
            if let Ok(there) = link.answer(&format!("look for the queue {queue}"), asking).await {
                left.push(format!("the queue {queue} with {} messages", there.message_count()));
            }
        }
        connector.incidents().closing();
        link.close().await;
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_leftovers_are_named_in_part() {
        let left: Vec<String> = (1..=7).map(|n| format!("the queue {n}")).collect();
        assert_eq!(
            in_words(&left),
            "the queue 1, the queue 2, the queue 3, the queue 4, the queue 5, and 2 more"
        );
        assert_eq!(in_words(&left[..1]), "the queue 1");
    }
}
