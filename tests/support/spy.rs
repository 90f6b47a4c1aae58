//! A look at the broker from beside a run, with a client of its own.

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, ExchangeUnbindOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use orderstorm::amqp::uri::BrokerUri;

use super::{PATIENCE, in_time};

/// A client beside the run.
#[derive(Debug)]
pub struct Spy {
    connection: Connection,
}

/// Messages as they pass the order exchange.
#[derive(Debug)]
pub struct Copies {
    consumer: Consumer,
    _channel: Channel,
}

/// A queue as a passive declaration shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Messages that wait for a consumer.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

impl Spy {
    /// Connects.
    pub async fn connect(uri: &BrokerUri) -> Spy {
        let connecting = Connection::connect_uri(uri.to_client(), ConnectionProperties::default());
        let connection = in_time("connect", connecting).await.expect("a connection");
        Spy { connection }
    }

    async fn channel(&self) -> Channel {
        let opening = self.connection.create_channel();
        in_time("open a channel", opening).await.expect("a channel")
    }

    /// The queue, if it exists.
    pub async fn queue(&self, name: &str) -> Option<Seen> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.channel().await;
        let asking = channel.queue_declare(name.into(), options, FieldTable::default());
        let seen = in_time("look at a queue", asking).await.ok()?;
        Some(Seen {
            ready: seen.message_count(),
            consumers: seen.consumer_count(),
        })
    }

    /// Whether the exchange exists.
    pub async fn has_exchange(&self, name: &str) -> bool {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        // A passive declaration does not look at the type.
        self.declare_exchange(name, ExchangeKind::Topic, options).await
    }

    /// Whether the existing exchange is of this type and durability: only then may it be declared again.
    pub async fn exchange_is(&self, name: &str, kind: ExchangeKind, durable: bool) -> bool {
        let options = ExchangeDeclareOptions {
            durable,
            ..ExchangeDeclareOptions::default()
        };
        self.declare_exchange(name, kind, options).await
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind, options: ExchangeDeclareOptions) -> bool {
        let channel = self.channel().await;
        let asking = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
        in_time("look at an exchange", asking).await.is_ok()
    }

    /// Waits until the last object of a trial is declared and consumed from.
    pub async fn trial_is_up(&self, prefix: &str) {
        self.has_consumers(&format!("{prefix}.audit.queue"), 1).await;
    }

    /// Waits until the queue exists and has at least `consumers` consumers.
    pub async fn has_consumers(&self, queue: &str, consumers: u32) {
        let looking = async {
            while self.queue(queue).await.is_none_or(|seen| seen.consumers < consumers) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        in_time("the trial's topology and consumers", looking).await;
    }

    /// Copies of what passes the trial's order exchange with a routing key that fits `pattern`, from now on.
    pub async fn copies(&self, prefix: &str, pattern: &str) -> Copies {
        let exchange = format!("{prefix}.order.exchange");
        let looking = async {
            while !self.has_exchange(&exchange).await {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        in_time("the order exchange", looking).await;
        let channel = self.channel().await;
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let declaring = channel.queue_declare("".into(), options, FieldTable::default());
        let queue = in_time("declare", declaring).await.expect("a queue").name().clone();
        let binding = channel.queue_bind(
            queue.clone(),
            exchange.into(),
            pattern.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        in_time("bind", binding).await.expect("a binding");
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consuming = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let consumer = in_time("consume", consuming).await.expect("a consumer");
        Copies {
            consumer,
            _channel: channel,
        }
    }

    /// Puts a message into a queue, past every exchange of the run.
    pub async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let channel = self.channel().await;
        let options = lapin::options::ConfirmSelectOptions::default();
        in_time("confirms", channel.confirm_select(options))
            .await
            .expect("confirm mode");
        let publishing = channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        );
        let confirm = in_time("publish", publishing).await.expect("written");
        assert!(in_time("confirm", confirm).await.expect("answered").is_ack());
    }

    /// Whether the existing durable queue has these arguments: only then may it be declared again.
    pub async fn queue_is(&self, name: &str, arguments: FieldTable) -> bool {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.channel().await;
        let asking = channel.queue_declare(name.into(), options, arguments);
        in_time("look at a queue", asking).await.is_ok()
    }

    /// Makes a queue that is none of the run's.
    pub async fn declare_queue(&self, name: &str) {
        let channel = self.channel().await;
        // RabbitMQ 4.3 refuses transient queues that are not exclusive.
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declaring = channel.queue_declare(name.into(), options, FieldTable::default());
        in_time("declare", declaring).await.expect("a queue");
    }

    /// Deletes it.
    pub async fn delete_queue(&self, name: &str) {
        let channel = self.channel().await;
        let deleting = channel.queue_delete(name.into(), QueueDeleteOptions::default());
        in_time("delete", deleting).await.expect("deleted");
    }

    /// Takes every way of `order.created` through a topic exchange away.
    pub async fn cut_off_new_orders(&self, prefix: &str) {
        let channel = self.channel().await;
        let name = |rest: &str| format!("{prefix}.{rest}").into();
        for (queue, key) in [("inventory.queue", "order.created"), ("notification.queue", "order.*")] {
            let exchange = name("order.exchange");
            let unbinding = channel.queue_unbind(name(queue), exchange, key.into(), FieldTable::default());
            in_time("unbind", unbinding).await.expect("the binding existed");
        }
        let unbinding = channel.exchange_unbind(
            name("audit.fanout.exchange"),
            name("order.exchange"),
            "#".into(),
            ExchangeUnbindOptions::default(),
            FieldTable::default(),
        );
        in_time("unbind", unbinding).await.expect("the binding existed");
    }
}

impl Copies {
    /// The next message; `None` when none comes.
    pub async fn next(&mut self) -> Option<Delivery> {
        let next = tokio::time::timeout(PATIENCE, self.consumer.next()).await;
        next.ok()??.ok()
    }

    /// The next `count` messages.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn take(&mut self, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(self.next().await.unwrap_or_else(|| {
                panic!("only {} of {count} messages came", taken.len());
            }));
        }
        taken
    }

    /// The first message that fits.
    ///
    /// # Panics
    /// When none comes.
    pub async fn first(&mut self, fits: impl Fn(&Delivery) -> bool) -> Delivery {
        loop {
            let next = self.next().await.expect("the message that fits comes");
            if fits(&next) {
                return next;
            }
        }
    }
}
