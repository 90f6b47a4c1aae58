//! The contract of a channel, its consumer and its deliveries, over either client.
//!
//! Enums and no trait objects: a delivery or an acknowledgement costs a branch.

use std::borrow::Cow;
use std::collections::VecDeque;

use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::{basic, exchange, queue};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, ExchangeKind};

use super::connector::AmqpError;
use super::direct;
use super::link::{Link, answer};
use super::uri::BrokerUri;

/// An open channel. It closes when the last of its clones goes.
#[derive(Debug, Clone)]
pub struct Channel(Wire);

#[derive(Debug, Clone)]
enum Wire {
    Lapin { channel: lapin::Channel, uri: BrokerUri },
    Direct(direct::Channel),
}

/// Who says that a delivery is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The consumer.
    Manual,
    /// The broker, as it sends.
    Auto,
}

/// How far an acknowledgement reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This delivery.
    One,
    /// This one and all before it.
    UpTo,
}

/// What becomes of a delivery that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Back to its queue.
    Yes,
    /// Dropped, or dead-lettered.
    No,
}

/// The broker or the connection has ended the channel: what was asked for did not happen, or nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl Channel {
    /// Opens one of lapin's.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`].
    pub async fn on(link: &Link) -> Result<Self, AmqpError> {
        Ok(Channel(Wire::Lapin {
            channel: link.channel().await?,
            uri: link.uri().clone(),
        }))
    }

    pub(super) fn direct(channel: direct::Channel) -> Self {
        Channel(Wire::Direct(channel))
    }

    /// Whether neither side has closed it.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Wire::Lapin { channel, .. } => channel.status().connected(),
            Wire::Direct(channel) => channel.is_open(),
        }
    }

    /// Limits the deliveries that a consumer holds; for consumers that come after.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`], here and below.
    pub async fn set_prefetch(&self, prefetch: u16) -> Result<(), AmqpError> {
        let doing = "set the prefetch";
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                answer(uri, doing, channel.basic_qos(prefetch, BasicQosOptions::default())).await
            }
            Wire::Direct(channel) => {
                let qos = basic::Qos {
                    prefetch_count: prefetch,
                    global: false,
                };
                let qos = AMQPClass::Basic(basic::AMQPMethod::Qos(qos));
                channel.call(doing, qos).await.map(drop)
            }
        }
    }

    /// Consumes from a queue; at most one consumer on a channel.
    ///
    /// # Errors
    /// As above.
    pub async fn consume(&self, queue: &ShortString, tag: &ShortString, acks: Acks) -> Result<Consumer, AmqpError> {
        let doing = format!("consume from {queue}");
        let no_ack = acks == Acks::Auto;
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = BasicConsumeOptions {
                    no_ack,
                    ..BasicConsumeOptions::default()
                };
                let consuming = channel.basic_consume(queue.clone(), tag.clone(), options, FieldTable::default());
                Ok(Consumer(Stream::Lapin(answer(uri, &doing, consuming).await?)))
            }
            Wire::Direct(channel) => {
                let consume = basic::Consume {
                    queue: queue.clone(),
                    consumer_tag: tag.clone(),
                    no_local: false,
                    no_ack,
                    exclusive: false,
                    nowait: false,
                    arguments: FieldTable::default(),
                };
                let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
                channel.call(&doing, consume).await?;
                Ok(Consumer(Stream::Direct {
                    channel: channel.clone(),
                    ready: VecDeque::new(),
                }))
            }
        }
    }

    /// Ends a consumer; what it was sent before still comes. A channel that is gone has none.
    pub async fn cancel(&self, tag: &ShortString) {
        match &self.0 {
            Wire::Lapin { channel, .. } => {
                let _ = channel.basic_cancel(tag.clone(), BasicCancelOptions::default()).await;
            }
            Wire::Direct(channel) => {
                let cancel = basic::Cancel {
                    consumer_tag: tag.clone(),
                    nowait: false,
                };
                let cancel = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
                let _ = channel.call("cancel a consumer", cancel).await;
            }
        }
    }

    /// Acknowledges a delivery, or all up to it.
    ///
    /// # Errors
    /// [`Ended`], here and below: the loss itself is noticed by whoever listens to the connection.
    pub async fn ack(&self, tag: u64, reach: Reach) -> Result<(), Ended> {
        let multiple = reach == Reach::UpTo;
        match &self.0 {
            Wire::Lapin { channel, .. } => channel
                .basic_ack(tag, BasicAckOptions { multiple })
                .await
                .map_err(|_| Ended),
            Wire::Direct(channel) => channel.settle(direct::Verdict::Ack { multiple }, tag),
        }
    }

    /// Refuses a delivery by basic.nack.
    ///
    /// # Errors
    /// As above.
    pub async fn nack(&self, tag: u64, requeue: Requeue) -> Result<(), Ended> {
        let requeue = requeue == Requeue::Yes;
        let options = BasicNackOptions {
            multiple: false,
            requeue,
        };
        match &self.0 {
            Wire::Lapin { channel, .. } => channel.basic_nack(tag, options).await.map_err(|_| Ended),
            Wire::Direct(channel) => channel.settle(direct::Verdict::Nack { requeue }, tag),
        }
    }

    /// Refuses a delivery by basic.reject.
    ///
    /// # Errors
    /// As above.
    pub async fn reject(&self, tag: u64, requeue: Requeue) -> Result<(), Ended> {
        let requeue = requeue == Requeue::Yes;
        match &self.0 {
            Wire::Lapin { channel, .. } => channel
                .basic_reject(tag, BasicRejectOptions { requeue })
                .await
                .map_err(|_| Ended),
            Wire::Direct(channel) => channel.settle(direct::Verdict::Reject { requeue }, tag),
        }
    }

    /// Closes it; what it holds goes back to its queue.
    ///
    /// # Errors
    /// As above.
    pub async fn close(&self, why: &str) -> Result<(), Ended> {
        match &self.0 {
            Wire::Lapin { channel, .. } => channel.close(200, why.into()).await.map_err(|_| Ended),
            Wire::Direct(channel) => channel.close(why).await.map_err(|_| Ended),
        }
    }

    /// Ready messages of a queue that must be there; if it is not, the broker closes the channel.
    ///
    /// # Errors
    /// [`AmqpError::Method`] or [`AmqpError::NoAnswer`], here and below.
    pub async fn ready_in(&self, queue: &ShortString) -> Result<u64, AmqpError> {
        let doing = format!("look for the queue {queue}");
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = QueueDeclareOptions {
                    passive: true,
                    ..QueueDeclareOptions::default()
                };
                let asking = channel.queue_declare(queue.clone(), options, FieldTable::default());
                Ok(u64::from(answer(uri, &doing, asking).await?.message_count()))
            }
            Wire::Direct(channel) => {
                let reply = channel.call(&doing, declaring(queue, Look::Only)).await?;
                match reply {
                    AMQPClass::Queue(queue::AMQPMethod::DeclareOk(there)) => Ok(u64::from(there.message_count)),
                    other => Err(unexpected(&doing, &other)),
                }
            }
        }
    }

    /// Declares a queue.
    ///
    /// # Errors
    /// As above.
    pub async fn declare_queue(
        &self,
        queue: &ShortString,
        durable: bool,
        arguments: FieldTable,
    ) -> Result<(), AmqpError> {
        let doing = format!("declare the queue {queue}");
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = QueueDeclareOptions {
                    durable,
                    ..QueueDeclareOptions::default()
                };
                let asking = channel.queue_declare(queue.clone(), options, arguments);
                answer(uri, &doing, asking).await.map(drop)
            }
            Wire::Direct(channel) => {
                let declare = declaring(queue, Look::Make { durable, arguments });
                channel.call(&doing, declare).await.map(drop)
            }
        }
    }

    /// Declares an exchange.
    ///
    /// # Errors
    /// As above.
    pub async fn declare_exchange(
        &self,
        name: &ShortString,
        kind: ExchangeKind,
        durable: bool,
        arguments: FieldTable,
    ) -> Result<(), AmqpError> {
        let doing = format!("declare the exchange {name}");
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = ExchangeDeclareOptions {
                    durable,
                    ..ExchangeDeclareOptions::default()
                };
                answer(
                    uri,
                    &doing,
                    channel.exchange_declare(name.clone(), kind, options, arguments),
                )
                .await
            }
            Wire::Direct(channel) => {
                let declare = exchange::Declare {
                    exchange: name.clone(),
                    kind: kind_name(&kind).into(),
                    passive: false,
                    durable,
                    auto_delete: false,
                    internal: false,
                    nowait: false,
                    arguments,
                };
                let declare = AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare));
                channel.call(&doing, declare).await.map(drop)
            }
        }
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    /// As above.
    pub async fn bind_queue(
        &self,
        queue: &ShortString,
        exchange: &ShortString,
        routing_key: ShortString,
        arguments: FieldTable,
    ) -> Result<(), AmqpError> {
        let doing = format!("bind the queue {queue} to {exchange} by `{routing_key}`");
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = QueueBindOptions::default();
                let binding = channel.queue_bind(queue.clone(), exchange.clone(), routing_key, options, arguments);
                answer(uri, &doing, binding).await
            }
            Wire::Direct(channel) => {
                let bind = queue::Bind {
                    queue: queue.clone(),
                    exchange: exchange.clone(),
                    routing_key,
                    nowait: false,
                    arguments,
                };
                let bind = AMQPClass::Queue(queue::AMQPMethod::Bind(bind));
                channel.call(&doing, bind).await.map(drop)
            }
        }
    }

    /// Binds an exchange to another.
    ///
    /// # Errors
    /// As above.
    pub async fn bind_exchange(
        &self,
        destination: &ShortString,
        source: &ShortString,
        routing_key: ShortString,
        arguments: FieldTable,
    ) -> Result<(), AmqpError> {
        let doing = format!("bind {destination} to {source} by `{routing_key}`");
        match &self.0 {
            Wire::Lapin { channel, uri } => {
                let options = ExchangeBindOptions::default();
                let binding =
                    channel.exchange_bind(destination.clone(), source.clone(), routing_key, options, arguments);
                answer(uri, &doing, binding).await
            }
            Wire::Direct(channel) => {
                let bind = exchange::Bind {
                    destination: destination.clone(),
                    source: source.clone(),
                    routing_key,
                    nowait: false,
                    arguments,
                };
                let bind = AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind));
                channel.call(&doing, bind).await.map(drop)
            }
        }
    }
}

/// Whether a queue is to be made.
enum Look {
    Only,
    Make { durable: bool, arguments: FieldTable },
}

fn declaring(queue: &ShortString, look: Look) -> AMQPClass {
    let passive = matches!(look, Look::Only);
    let (durable, arguments) = match look {
        Look::Only => (false, FieldTable::default()),
        Look::Make { durable, arguments } => (durable, arguments),
    };
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: queue.clone(),
        passive,
        durable,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments,
    }))
}

fn unexpected(doing: &str, reply: &AMQPClass) -> AmqpError {
    AmqpError::Method {
        doing: doing.to_owned(),
        why: format!("the broker answered with another method: {reply:?}"),
    }
}

/// The deliveries of one consumer.
#[derive(Debug)]
pub struct Consumer(Stream);

#[derive(Debug)]
enum Stream {
    Lapin(lapin::Consumer),
    Direct {
        channel: direct::Channel,
        /// Taken from the channel, all that had come at once.
        ready: VecDeque<direct::Delivery>,
    },
}

impl Consumer {
    /// A delivery that has come with the last one, if there is one more; nobody waits.
    pub fn at_hand(&mut self) -> Option<Delivery> {
        match &mut self.0 {
            Stream::Lapin(_) => None,
            Stream::Direct { ready, .. } => Some(Delivery(Content::Direct(ready.pop_front()?))),
        }
    }

    /// The next delivery; absent when the broker has cancelled the consumer, or its channel or connection is gone.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        match &mut self.0 {
            Stream::Lapin(consumer) => {
                let delivery = consumer.next().await?.ok()?;
                Some(Delivery(Content::Lapin(Box::new(delivery))))
            }
            Stream::Direct { channel, ready } => {
                if ready.is_empty() {
                    channel.arrived(ready).await;
                }
                Some(Delivery(Content::Direct(ready.pop_front()?)))
            }
        }
    }
}

/// A message that a consumer was sent.
#[derive(Debug)]
pub struct Delivery(Content);

#[derive(Debug)]
enum Content {
    Lapin(Box<lapin::message::Delivery>),
    Direct(direct::Delivery),
}

impl Delivery {
    /// Its number on its channel.
    pub fn tag(&self) -> u64 {
        match &self.0 {
            Content::Lapin(delivery) => delivery.delivery_tag,
            Content::Direct(delivery) => delivery.tag,
        }
    }

    /// The broker's hint that it may have been delivered before.
    pub fn is_redelivered(&self) -> bool {
        match &self.0 {
            Content::Lapin(delivery) => delivery.redelivered,
            Content::Direct(delivery) => delivery.redelivered,
        }
    }

    /// The message's body.
    pub fn body(&self) -> &[u8] {
        match &self.0 {
            Content::Lapin(delivery) => &delivery.data,
            Content::Direct(delivery) => &delivery.body,
        }
    }

    /// The message's properties; the direct client reads them only here.
    pub fn properties(&self) -> Cow<'_, BasicProperties> {
        match &self.0 {
            Content::Lapin(delivery) => Cow::Borrowed(&delivery.properties),
            Content::Direct(delivery) => Cow::Owned(delivery.properties()),
        }
    }

    /// The exchange that it was published to.
    pub fn exchange(&self) -> &str {
        match &self.0 {
            Content::Lapin(delivery) => delivery.exchange.as_str(),
            Content::Direct(delivery) => delivery.address().0,
        }
    }

    /// The routing key that it was published with.
    pub fn routing_key(&self) -> &str {
        match &self.0 {
            Content::Lapin(delivery) => delivery.routing_key.as_str(),
            Content::Direct(delivery) => delivery.address().1,
        }
    }
}

/// The kind's name on the wire.
fn kind_name(kind: &ExchangeKind) -> &str {
    match kind {
        ExchangeKind::Custom(name) => name,
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Topic => "topic",
    }
}
