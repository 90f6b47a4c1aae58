//! Exchanges, queues and bindings of one trial, all under the run's own prefix.

use std::sync::Arc;

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use serde::{Deserialize, Serialize};

use crate::amqp::{AmqpError, Link};
use crate::events::{PipelineKind, Stage};
use crate::workload::model::{ExchangeType, Topology as Settings};

/// A queue that nobody has used for this long goes away by itself, so that a driver that died leaves nothing for long;
/// milliseconds.
const QUEUE_EXPIRES_MS: i32 = 3_600_000;

/// The work queue's own name.
const JOBS: &str = "email_notifications";

/// Names of everything that a trial declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
    pipeline: PipelineKind,
    /// Where events are published.
    pub order_exchange: ShortString,
    /// Every event, for audit.
    pub audit_exchange: ShortString,
    /// Notifications, for e-mail and SMS.
    pub notification_exchange: ShortString,
    /// Rejected messages, by the name of the queue that rejected them.
    pub dead_letter_exchange: ShortString,
    queues: Vec<ShortString>,
    dead_letter_queues: Vec<ShortString>,
}

/// Everything that a trial declares, written down before it is declared, so that nothing else is ever deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Queues.
    pub queues: Vec<String>,
    /// Exchanges.
    pub exchanges: Vec<String>,
}

impl Topology {
    /// The names of `pipeline` under `prefix`.
    pub fn new(prefix: &str, pipeline: PipelineKind) -> Arc<Self> {
        let name = |rest: &str| ShortString::from(format!("{prefix}.{rest}"));
        let named = |of: fn(Stage) -> (&'static str, &'static str)| {
            let stages = pipeline.stages().iter();
            stages
                .map(|stage| of(*stage))
                .map(|(first, last)| name(&format!("{first}{last}")))
                .collect()
        };
        Arc::new(Topology {
            pipeline,
            order_exchange: name("order.exchange"),
            audit_exchange: name("audit.fanout.exchange"),
            notification_exchange: name("notification.exchange"),
            dead_letter_exchange: name("dead-letter.exchange"),
            queues: named(|stage| match stage {
                Stage::Worker => (JOBS, ""),
                stage => (stage.name(), ".queue"),
            }),
            dead_letter_queues: named(|stage| match stage {
                Stage::Worker => (JOBS, ".dead-letter"),
                stage => (stage.name(), ".dead-letter"),
            }),
            prefix: prefix.to_owned(),
        })
    }

    /// The stages that there are queues for.
    pub fn stages(&self) -> &'static [Stage] {
        self.pipeline.stages()
    }

    /// A stage's queue; the stage must be of this pipeline.
    pub fn queue(&self, stage: Stage) -> &ShortString {
        &self.queues[self.position(stage)]
    }

    /// A stage's dead-letter queue; the stage must be of this pipeline.
    pub fn dead_letter_queue(&self, stage: Stage) -> &ShortString {
        &self.dead_letter_queues[self.position(stage)]
    }

    fn position(&self, stage: Stage) -> usize {
        let position = self.pipeline.position(stage);
        position.expect("no stage of another pipeline is ever started or looked at")
    }

    /// Exchange and routing key that the load publishes by.
    pub fn entrance(&self) -> (ShortString, ShortString) {
        match self.pipeline {
            PipelineKind::Orders => (self.order_exchange.clone(), self.pipeline.opening().name().into()),
            // The default exchange leads to each queue by its name.
            PipelineKind::WorkQueue => ("".into(), self.queue(Stage::Worker).clone()),
        }
    }

    /// The prefix of all names.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn exchanges(&self, settings: &Settings) -> Vec<(&ShortString, ExchangeKind)> {
        let order = match settings.order_exchange {
            ExchangeType::Direct => ExchangeKind::Direct,
            ExchangeType::Topic => ExchangeKind::Topic,
            ExchangeType::Fanout => ExchangeKind::Fanout,
        };
        let mut exchanges = match self.pipeline {
            PipelineKind::Orders => vec![
                (&self.order_exchange, order),
                (&self.audit_exchange, ExchangeKind::Fanout),
                (&self.notification_exchange, ExchangeKind::Fanout),
            ],
            PipelineKind::WorkQueue => Vec::new(),
        };
        if settings.dead_letter {
            exchanges.push((&self.dead_letter_exchange, ExchangeKind::Direct));
        }
        exchanges
    }

    /// What [`Topology::declare`] will declare.
    pub fn declared(&self, settings: &Settings) -> Declared {
        let dead = if settings.dead_letter {
            self.dead_letter_queues.as_slice()
        } else {
            &[]
        };
        Declared {
            queues: self.queues.iter().chain(dead).map(ToString::to_string).collect(),
            exchanges: self
                .exchanges(settings)
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
        }
    }

    /// Declares everything.
    ///
    /// # Errors
    /// The first method that failed, with the object's name.
    pub async fn declare(&self, link: &Link, settings: &Settings) -> Result<(), AmqpError> {
        let channel = link.channel().await?;
        for (name, kind) in self.exchanges(settings) {
            let options = ExchangeDeclareOptions {
                durable: settings.durable,
                ..ExchangeDeclareOptions::default()
            };
            let declaring = channel.exchange_declare(name.clone(), kind, options, FieldTable::default());
            link.answer(&format!("declare the exchange {name}"), declaring).await?;
        }
        for stage in self.stages() {
            self.declare_queues(link, &channel, *stage, settings).await?;
            self.bind(link, &channel, *stage, settings).await?;
        }
        match self.pipeline {
            PipelineKind::Orders => self.bind_audit(link, &channel, settings).await,
            PipelineKind::WorkQueue => Ok(()),
        }
    }

    async fn declare_queues(
        &self,
        link: &Link,
        channel: &Channel,
        stage: Stage,
        settings: &Settings,
    ) -> Result<(), AmqpError> {
        let options = QueueDeclareOptions {
            durable: settings.durable,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), AMQPValue::LongInt(QUEUE_EXPIRES_MS));
        if settings.dead_letter {
            let dead = self.dead_letter_queue(stage);
            let declaring = channel.queue_declare(dead.clone(), options, arguments.clone());
            link.answer(&format!("declare the queue {dead}"), declaring).await?;
            self.bind_queue(link, channel, dead, &self.dead_letter_exchange, dead)
                .await?;
            let long = |text: &ShortString| AMQPValue::LongString(text.as_str().into());
            arguments.insert("x-dead-letter-exchange".into(), long(&self.dead_letter_exchange));
            arguments.insert("x-dead-letter-routing-key".into(), long(dead));
        }
        let queue = self.queue(stage);
        let declaring = channel.queue_declare(queue.clone(), options, arguments);
        link.answer(&format!("declare the queue {queue}"), declaring)
            .await
            .map(drop)
    }

    async fn bind(&self, link: &Link, channel: &Channel, stage: Stage, settings: &Settings) -> Result<(), AmqpError> {
        let queue = self.queue(stage);
        let exchange = match stage {
            Stage::Email | Stage::Sms => {
                return self
                    .bind_queue(link, channel, queue, &self.notification_exchange, &"".into())
                    .await;
            }
            Stage::Audit => {
                return self
                    .bind_queue(link, channel, queue, &self.audit_exchange, &"".into())
                    .await;
            }
            Stage::Worker => return Ok(()),
            _ => &self.order_exchange,
        };
        match (settings.order_exchange, stage) {
            (ExchangeType::Fanout, _) => self.bind_queue(link, channel, queue, exchange, &"".into()).await,
            (ExchangeType::Topic, Stage::Notification) => {
                self.bind_queue(link, channel, queue, exchange, &"order.*".into()).await
            }
            (ExchangeType::Topic | ExchangeType::Direct, _) => {
                for event in stage.consumes() {
                    self.bind_queue(link, channel, queue, exchange, &event.name().into())
                        .await?;
                }
                Ok(())
            }
        }
    }

    async fn bind_queue(
        &self,
        link: &Link,
        channel: &Channel,
        queue: &ShortString,
        exchange: &ShortString,
        key: &ShortString,
    ) -> Result<(), AmqpError> {
        let binding = channel.queue_bind(
            queue.clone(),
            exchange.clone(),
            key.clone(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        link.answer(&format!("bind the queue {queue} to {exchange} by `{key}`"), binding)
            .await
    }

    /// Every event reaches the audit exchange by the same publish that brings it to its consumers.
    async fn bind_audit(&self, link: &Link, channel: &Channel, settings: &Settings) -> Result<(), AmqpError> {
        let keys: Vec<&str> = match settings.order_exchange {
            ExchangeType::Topic => vec!["#"],
            ExchangeType::Fanout => vec![""],
            ExchangeType::Direct => self.pipeline.events().iter().map(|event| event.name()).collect(),
        };
        for key in keys {
            let (destination, source) = (self.audit_exchange.clone(), self.order_exchange.clone());
            let binding = channel.exchange_bind(
                destination,
                source,
                key.into(),
                ExchangeBindOptions::default(),
                FieldTable::default(),
            );
            link.answer(
                &format!("bind {} to {} by `{key}`", self.audit_exchange, self.order_exchange),
                binding,
            )
            .await?;
        }
        Ok(())
    }
}

impl Declared {
    /// Deletes everything that is listed and nothing else; what is gone already is no error.
    ///
    /// # Errors
    /// The first method that failed; the rest is tried all the same.
    pub async fn delete(&self, link: &Link) -> Result<(), AmqpError> {
        let mut first_error = None;
        let channel = link.channel().await?;
        for queue in &self.queues {
            let deleting = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
            first_error = first_error.or(link.answer(&format!("delete the queue {queue}"), deleting).await.err());
        }
        for exchange in &self.exchanges {
            let deleting = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default());
            first_error = first_error.or(link
                .answer(&format!("delete the exchange {exchange}"), deleting)
                .await
                .err());
        }
        first_error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_bears_the_prefix() {
        let settings = Settings {
            order_exchange: ExchangeType::Topic,
            durable: true,
            dead_letter: true,
        };
        for (pipeline, queues, exchanges) in [(PipelineKind::Orders, 18, 4), (PipelineKind::WorkQueue, 2, 1)] {
            let declared = Topology::new("os.ab12.1", pipeline).declared(&settings);
            assert_eq!((declared.queues.len(), declared.exchanges.len()), (queues, exchanges));
            let mut names = declared.queues.iter().chain(&declared.exchanges);
            assert!(names.all(|name| name.starts_with("os.ab12.1.")), "{declared:?}");
        }
    }
}
