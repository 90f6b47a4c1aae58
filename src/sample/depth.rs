//! Ready messages of a queue, by passive declare: the freshest and cheapest way there is (0.2 to 0.7 ms), and the same on
//! every broker. Unacked messages are the driver's own to count, since all consumers are its own.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};

use crate::amqp::{AmqpError, Connector, Link};

/// A sample that takes longer than this is given up; the value is absent then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks for depths on a connection of its own.
#[derive(Debug)]
pub struct DepthProbe {
    link: Link,
    channel: Channel,
}

impl DepthProbe {
    /// Connects.
    ///
    /// # Errors
    /// What the connection may say.
    pub async fn connect(connector: &Connector) -> Result<Self, AmqpError> {
        let link = connector.connect("depth probe").await?;
        let channel = link.channel().await?;
        Ok(DepthProbe { link, channel })
    }

    /// Ready messages of `queue`; absent when the broker does not answer in time.
    pub async fn ready(&self, queue: &ShortString) -> Option<u64> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asking = self
            .channel
            .queue_declare(queue.clone(), options, FieldTable::default());
        let state = tokio::time::timeout(PATIENCE, asking).await.ok()?.ok()?;
        Some(u64::from(state.message_count()))
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.link.close().await;
    }
}
