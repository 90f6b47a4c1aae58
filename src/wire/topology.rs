//! Exchanges, queues and bindings of one trial, all under the run's own prefix.

use std::sync::Arc;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::{Deserialize, Serialize};

use super::retry_queue::times_to_live_ms;
use crate::amqp::{AmqpError, Channel, Link};
use crate::events::{Event, PipelineKind, Stage};
use crate::workload::Workload;
use crate::workload::model::{ExchangeType, QueueSettings, QueueType, RetryPolicy, Topology as Settings};

/// The header that names the event where the order exchange goes by headers.
pub const EVENT_HEADER: &str = "event";

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
    /// What the order exchange cannot route.
    pub unrouted_exchange: ShortString,
    /// Where that ends up.
    pub unrouted_queue: ShortString,
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
            unrouted_exchange: name("unrouted.exchange"),
            unrouted_queue: name("unrouted.queue"),
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

    /// The queue in which what a stage failed at waits `ttl_ms` milliseconds for its next attempt.
    pub fn retry_queue(&self, stage: Stage, ttl_ms: u64) -> ShortString {
        let name = match stage {
            Stage::Worker => JOBS,
            stage => stage.name(),
        };
        format!("{}.{name}.retry.{ttl_ms}ms", self.prefix).into()
    }

    /// The queues in which messages wait for their next attempt, with their stages and times to live in milliseconds; none
    /// unless a stage fails and is tried again after a pause.
    pub fn retry_queues(&self, workload: &Workload) -> Vec<(Stage, u64, ShortString)> {
        let stages = self.stages().iter().copied();
        let waiting = stages.filter(|stage| workload.retries(*stage) == Some(RetryPolicy::Backoff));
        waiting
            .flat_map(|stage| {
                times_to_live_ms(&workload.retry)
                    .into_iter()
                    .map(move |ttl| (stage, ttl))
            })
            .map(|(stage, ttl)| (stage, ttl, self.retry_queue(stage, ttl)))
            .collect()
    }

    /// The stages whose queues get what the load publishes.
    pub fn entrance_stages(&self, settings: &Settings) -> Vec<Stage> {
        let opening = self.pipeline.opening();
        let gets = |stage: &Stage| match stage {
            Stage::Email | Stage::Sms => false,
            _ => settings.order_exchange == ExchangeType::Fanout || stage.consumes().contains(&opening),
        };
        self.stages().iter().copied().filter(gets).collect()
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
            ExchangeType::Headers => ExchangeKind::Headers,
        };
        let mut exchanges = Vec::new();
        if settings.alternate_exchange {
            exchanges.push((&self.unrouted_exchange, ExchangeKind::Fanout));
        }
        if self.pipeline == PipelineKind::Orders {
            exchanges.extend([
                (&self.order_exchange, order),
                (&self.audit_exchange, ExchangeKind::Fanout),
                (&self.notification_exchange, ExchangeKind::Fanout),
            ]);
        }
        if settings.dead_letter {
            exchanges.push((&self.dead_letter_exchange, ExchangeKind::Direct));
        }
        exchanges
    }

    /// What [`Topology::declare`] will declare.
    pub fn declared(&self, workload: &Workload) -> Declared {
        let settings = &workload.topology;
        let dead = if settings.dead_letter {
            self.dead_letter_queues.as_slice()
        } else {
            &[]
        };
        let unrouted = settings.alternate_exchange.then_some(&self.unrouted_queue);
        let retry = self.retry_queues(workload).into_iter().map(|(_, _, queue)| queue);
        let queues = self.queues.iter().chain(dead).chain(unrouted).cloned().chain(retry);
        Declared {
            queues: queues.map(|queue| queue.to_string()).collect(),
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
    pub async fn declare(&self, channel: &Channel, workload: &Workload) -> Result<(), AmqpError> {
        let settings = &workload.topology;
        for (name, kind) in self.exchanges(settings) {
            let mut arguments = FieldTable::default();
            if settings.alternate_exchange && *name == self.order_exchange {
                arguments.insert("alternate-exchange".into(), text(self.unrouted_exchange.as_str()));
            }
            channel
                .declare_exchange(name, kind, settings.durable, arguments)
                .await?;
        }
        if settings.alternate_exchange {
            self.declare_plain_queue(channel, (&self.unrouted_queue, QueueType::Classic), settings)
                .await?;
            let (queue, exchange) = (&self.unrouted_queue, &self.unrouted_exchange);
            self.bind_queue(channel, queue, exchange, Route::any()).await?;
        }
        for stage in self.stages() {
            self.declare_queues(channel, *stage, workload).await?;
            self.bind(channel, *stage, settings).await?;
        }
        for (stage, ttl_ms, queue) in self.retry_queues(workload) {
            self.declare_retry_queue(channel, (stage, ttl_ms, &queue), workload)
                .await?;
        }
        match self.pipeline {
            PipelineKind::Orders => self.bind_audit(channel, settings).await,
            PipelineKind::WorkQueue => Ok(()),
        }
    }

    /// A queue that nobody limits and nobody consumes from.
    async fn declare_plain_queue(
        &self,
        channel: &Channel,
        (queue, kind): (&ShortString, QueueType),
        settings: &Settings,
    ) -> Result<(), AmqpError> {
        let mut arguments = expiring();
        set_type(&mut arguments, kind);
        channel.declare_queue(queue, settings.durable, arguments).await
    }

    /// A queue that nobody consumes from, and from which everything goes back to its stage when its time is up.
    async fn declare_retry_queue(
        &self,
        channel: &Channel,
        (stage, ttl_ms, queue): (Stage, u64, &ShortString),
        workload: &Workload,
    ) -> Result<(), AmqpError> {
        let mut arguments = FieldTable::default();
        set_type(&mut arguments, type_beside(workload, stage));
        let expires = ttl_ms.saturating_add(QUEUE_EXPIRES_MS as u64);
        for (name, value) in [
            ("x-expires", AMQPValue::LongLongInt(expires as i64)),
            ("x-message-ttl", AMQPValue::LongLongInt(ttl_ms as i64)),
            // The default exchange, which leads to each queue by its name.
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(self.queue(stage).as_str())),
        ] {
            arguments.insert(name.into(), value);
        }
        channel.declare_queue(queue, workload.topology.durable, arguments).await
    }

    async fn declare_queues(&self, channel: &Channel, stage: Stage, workload: &Workload) -> Result<(), AmqpError> {
        let settings = &workload.topology;
        let mut arguments = arguments(&workload.stage(stage).queue, workload.delivery_limit(stage));
        if settings.dead_letter {
            let dead = self.dead_letter_queue(stage);
            self.declare_plain_queue(channel, (dead, type_beside(workload, stage)), settings)
                .await?;
            self.bind_queue(channel, dead, &self.dead_letter_exchange, Route::key(dead.as_str()))
                .await?;
            arguments.insert(
                "x-dead-letter-exchange".into(),
                text(self.dead_letter_exchange.as_str()),
            );
            arguments.insert("x-dead-letter-routing-key".into(), text(dead.as_str()));
        }
        let queue = self.queue(stage);
        channel.declare_queue(queue, settings.durable, arguments).await
    }

    async fn bind(&self, channel: &Channel, stage: Stage, settings: &Settings) -> Result<(), AmqpError> {
        let queue = self.queue(stage);
        let exchange = match stage {
            Stage::Email | Stage::Sms => {
                return self
                    .bind_queue(channel, queue, &self.notification_exchange, Route::any())
                    .await;
            }
            Stage::Audit => {
                return self
                    .bind_queue(channel, queue, &self.audit_exchange, Route::any())
                    .await;
            }
            Stage::Worker => return Ok(()),
            _ => &self.order_exchange,
        };
        match (settings.order_exchange, stage) {
            (ExchangeType::Fanout, _) => self.bind_queue(channel, queue, exchange, Route::any()).await,
            (ExchangeType::Topic, Stage::Notification) => {
                self.bind_queue(channel, queue, exchange, Route::key("order.*")).await
            }
            (kind @ (ExchangeType::Topic | ExchangeType::Direct | ExchangeType::Headers), _) => {
                for event in stage.consumes() {
                    self.bind_queue(channel, queue, exchange, Route::event(*event, kind))
                        .await?;
                }
                Ok(())
            }
        }
    }

    async fn bind_queue(
        &self,
        channel: &Channel,
        queue: &ShortString,
        exchange: &ShortString,
        route: Route,
    ) -> Result<(), AmqpError> {
        channel.bind_queue(queue, exchange, route.key, route.arguments).await
    }

    /// Every event reaches the audit exchange by the same publish that brings it to its consumers.
    async fn bind_audit(&self, channel: &Channel, settings: &Settings) -> Result<(), AmqpError> {
        let routes: Vec<Route> = match settings.order_exchange {
            ExchangeType::Topic => vec![Route::key("#")],
            ExchangeType::Fanout => vec![Route::any()],
            kind @ (ExchangeType::Direct | ExchangeType::Headers) => {
                let events = self.pipeline.events().iter();
                events.map(|event| Route::event(*event, kind)).collect()
            }
        };
        let (destination, source) = (&self.audit_exchange, &self.order_exchange);
        for route in routes {
            channel
                .bind_exchange(destination, source, route.key, route.arguments)
                .await?;
        }
        Ok(())
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn expiring() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-expires".into(), AMQPValue::LongInt(QUEUE_EXPIRES_MS));
    arguments
}

/// Which messages a binding lets through.
struct Route {
    key: ShortString,
    arguments: FieldTable,
}

impl Route {
    /// Whatever the exchange has, at an exchange that does not look.
    fn any() -> Self {
        Self::key("")
    }

    fn key(key: &str) -> Self {
        Self {
            key: key.into(),
            arguments: FieldTable::default(),
        }
    }

    /// One event. Only an exchange that goes by headers looks at arguments, and it does not look at the key.
    fn event(event: Event, exchange: ExchangeType) -> Self {
        let mut route = Self::key(event.name());
        if exchange == ExchangeType::Headers {
            route.arguments.insert("x-match".into(), text("all"));
            route.arguments.insert(EVENT_HEADER.into(), text(event.name()));
        }
        route
    }
}

/// Type of a stage's retry and dead-letter queues: in a cluster what a replicated queue hands on shall be as safe as in it.
fn type_beside(workload: &Workload, stage: Stage) -> QueueType {
    match workload.broker.nodes {
        1 => QueueType::Classic,
        _ => workload.stage(stage).queue.kind,
    }
}

fn set_type(arguments: &mut FieldTable, kind: QueueType) {
    if kind == QueueType::Quorum {
        arguments.insert("x-queue-type".into(), text("quorum"));
    }
}

/// The arguments of a stage's queue, where its settings are not the broker's defaults.
fn arguments(queue: &QueueSettings, delivery_limit: Option<u32>) -> FieldTable {
    let mut arguments = expiring();
    set_type(&mut arguments, queue.kind);
    let mut set = |name: &str, value: Option<AMQPValue>| {
        if let Some(value) = value {
            arguments.insert(name.into(), value);
        }
    };
    // The bounds in the table of keys are far below what an i64 holds.
    let number = |value: u64| AMQPValue::LongLongInt(value as i64);
    set("x-max-length", queue.max_length.map(number));
    set("x-max-length-bytes", queue.max_length_bytes.map(number));
    set("x-overflow", queue.is_bounded().then(|| text(queue.overflow.name())));
    let ttl = queue.message_ttl.map(|ttl| ttl.0.as_millis() as u64);
    set("x-message-ttl", ttl.map(number));
    set(
        "x-max-priority",
        queue.max_priority.map(|priority| number(priority.into())),
    );
    set(
        "x-single-active-consumer",
        queue.single_active_consumer.then_some(AMQPValue::Boolean(true)),
    );
    set("x-delivery-limit", delivery_limit.map(|limit| number(limit.into())));
    arguments
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

    fn workload(text: &str) -> Workload {
        let checked = crate::workload::check::check("t.toml", "t", text.to_owned(), &[]);
        checked.unwrap_or_else(|error| panic!("{error}")).into_first().workload
    }

    #[test]
    fn every_name_bears_the_prefix() {
        for (text, queues, exchanges) in [
            ("topology.alternate_exchange = true", 19, 5),
            ("pipeline = \"work-queue\"", 2, 1),
            (
                "pipeline = \"work-queue\"\nstage.worker.errors = \"5%\"\nretry.jitter = \"0%\"",
                5,
                1,
            ),
            ("stage.payment.errors = \"5%\"\nretry.limit = 2", 18 + 10, 4),
            ("stage.payment.errors = \"5%\"\nretry.policy = \"requeue\"", 18, 4),
        ] {
            let workload = workload(text);
            let declared = Topology::new("os.ab12.1", workload.pipeline).declared(&workload);
            assert_eq!(
                (declared.queues.len(), declared.exchanges.len()),
                (queues, exchanges),
                "{text}"
            );
            let mut names = declared.queues.iter().chain(&declared.exchanges);
            assert!(names.all(|name| name.starts_with("os.ab12.1.")), "{declared:?}");
        }
    }

    #[test]
    fn what_the_load_publishes_comes_to_the_queues_that_are_bound_to_it() {
        let stages = |text: &str| {
            let workload = workload(text);
            Topology::new("os.ab12.1", workload.pipeline).entrance_stages(&workload.topology)
        };
        assert_eq!(stages(""), [Stage::Inventory, Stage::Notification, Stage::Audit]);
        assert_eq!(stages("topology.order_exchange = \"fanout\"").len(), 7);
        assert_eq!(stages("pipeline = \"work-queue\""), [Stage::Worker]);
    }
}
