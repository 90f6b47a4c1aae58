//! Dead letters on a broker: counted, shown, and published back to where they came from.
//!
//! Looking takes a queue's messages without acknowledging them and gives them back by closing the channel: a classic queue
//! puts them where they were, and marks them as redelivered. Replaying acknowledges a dead letter only when its copy is
//! confirmed and routed. Whose queues these are is the caller's to decide ([`Site`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::Serialize;

use super::manifest::{CleanupError, Manifest};
use crate::amqp::uri::BrokerUri;
use crate::amqp::{AmqpError, Connector, Incidents, Link, Message, Outcome, Publisher};
use crate::clock::Clock;
use crate::units::Span;
use crate::wire::headers::{self, Death};
use crate::workload::model::Publish;

/// Longest wait for the next message of a queue that has one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the confirm of a replayed message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a message was published back from a dead-letter queue.
const REPLAYED: &str = "x-replayed";
/// What the names of orderstorm's objects begin with, and those of its dead-letter queues end with.
const OWN: (&str, &str) = ("orderstorm.", ".dead-letter");
/// Bytes of a body that are shown.
const EXCERPT: usize = 512;

/// Which queues may be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Those of orderstorm's runs.
    Own,
    /// Any that are named.
    Any,
}

/// Why dead letters could not be looked at or replayed.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The broker.
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    /// The run's list.
    #[error(transparent)]
    Manifest(#[from] CleanupError),
    /// A queue that no run of orderstorm made.
    #[error(
        "the queue {queue} is no dead-letter queue of an orderstorm run\nhelp: say --any-queue if it is yours to touch; nothing was touched"
    )]
    Foreign {
        /// Its name.
        queue: String,
    },
    /// Neither a run nor a queue is named.
    #[error("no dead-letter queue is named\nhelp: name a run folder, or queues with --queue")]
    Nothing,
}

impl DlqError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        !matches!(self, DlqError::Amqp(_))
    }
}

/// Where the dead letters are, and what may be touched there.
#[derive(Debug)]
pub struct Site {
    uri: BrokerUri,
    queues: Vec<String>,
    /// Queues that the run made; absent where no run is named.
    made: Option<Vec<String>>,
    touch: Touch,
}

impl Site {
    /// The dead-letter queues of `run`, or of them those in `named`; without a run those in `named`. `uri`: the broker.
    ///
    /// # Errors
    /// [`DlqError::Foreign`], [`DlqError::Nothing`], and [`CleanupError::OtherBroker`] when the run used another broker.
    pub fn new(uri: &BrokerUri, run: Option<&Manifest>, named: &[String], touch: Touch) -> Result<Self, DlqError> {
        let mut site = Site {
            uri: uri.clone(),
            queues: named.to_vec(),
            made: None,
            touch,
        };
        if let Some(run) = run {
            site.uri = uri.with_vhost(&run.vhost);
            if run.broker != site.uri.to_string() {
                return Err(CleanupError::OtherBroker {
                    manifest: run.broker.clone(),
                    given: site.uri.to_string(),
                }
                .into());
            }
            let made: Vec<String> = run.trials.iter().flat_map(|trial| trial.queues.clone()).collect();
            if named.is_empty() {
                site.queues = made.iter().filter(|queue| queue.ends_with(OWN.1)).cloned().collect();
            }
            site.made = Some(made);
        }
        if site.queues.is_empty() {
            return Err(DlqError::Nothing);
        }
        match site
            .queues
            .iter()
            .find(|queue| !site.may_touch(queue) || !site.is_dead_letter(queue))
        {
            Some(queue) => Err(DlqError::Foreign { queue: queue.clone() }),
            None => Ok(site),
        }
    }

    fn is_dead_letter(&self, queue: &str) -> bool {
        self.touch == Touch::Any || queue.ends_with(OWN.1)
    }

    fn may_touch(&self, queue: &str) -> bool {
        match (self.touch, &self.made) {
            (Touch::Any, _) => true,
            (Touch::Own, Some(made)) => made.iter().any(|own| own == queue),
            (Touch::Own, None) => queue.starts_with(OWN.0),
        }
    }

    async fn connect(&self) -> Result<(Connector, Link), AmqpError> {
        let connector = Connector::new(&self.uri, Arc::new(Incidents::new(Clock::start())));
        let link = connector.connect("dead letters").await?;
        Ok((connector, link))
    }

    /// How many messages a queue has; absent where there is no such queue. The question is asked on a connection of its own: no for an
    /// answer closes the channel, and while a client lets go of that it may lose the connection too.
    async fn messages_in(&self, queue: &str) -> Result<Option<u64>, AmqpError> {
        let (connector, link) = self.connect().await?;
        let channel = link.channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asking = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let answer = link.answer(&format!("look at the queue {queue}"), asking).await;
        connector.incidents().closing();
        let lost = link.is_lost();
        link.close().await;
        match answer {
            Ok(found) => Ok(Some(u64::from(found.message_count()))),
            Err(AmqpError::Method { why, .. }) if !lost || why.contains("NOT_FOUND") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Dead letters by queue, reason and source, of at most `limit` messages a queue.
    ///
    /// # Errors
    /// What the broker may say; a queue that is not there is left out.
    pub async fn list(&self, limit: u64) -> Result<Vec<QueueSummary>, DlqError> {
        let letters = self.show(limit).await?;
        let mut summaries = Vec::new();
        for Looked {
            queue,
            messages,
            letters,
        } in letters
        {
            let mut groups: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
            for letter in &letters {
                *groups
                    .entry((letter.reason.clone(), letter.source.clone()))
                    .or_default() += 1;
            }
            let groups = groups.into_iter().map(|((reason, source), messages)| Group {
                reason,
                source,
                messages,
            });
            summaries.push(QueueSummary {
                queue,
                messages,
                looked_at: letters.len() as u64,
                groups: groups.collect(),
            });
        }
        Ok(summaries)
    }

    /// The first `limit` dead letters of each queue, which stay where they are.
    ///
    /// # Errors
    /// As [`Site::list`].
    pub async fn show(&self, limit: u64) -> Result<Vec<Looked>, DlqError> {
        let (connector, link) = self.connect().await?;
        let mut all = Vec::new();
        for queue in &self.queues {
            let Some(messages) = self.messages_in(queue).await? else {
                continue;
            };
            let channel = link.channel().await?;
            let deliveries = taken(&link, &channel, queue, messages.min(limit)).await?;
            let letters = (1..)
                .zip(&deliveries)
                .map(|(position, delivery)| Letter::new(position, delivery));
            all.push(Looked {
                queue: queue.clone(),
                messages,
                letters: letters.collect(),
            });
            give_back(&link, channel).await;
        }
        connector.incidents().closing();
        link.close().await;
        Ok(all)
    }

    /// Publishes dead letters back, in the order of their queue, and says what became of each.
    ///
    /// # Errors
    /// As [`Site::list`]; what was confirmed by then is off its dead-letter queue.
    pub async fn replay(&self, request: &Replay) -> Result<Vec<Replayed>, DlqError> {
        let (connector, link) = self.connect().await?;
        let settings = Publish {
            confirms: true,
            mandatory: true,
            persistent: true,
            confirm_timeout: Span(CONFIRM_TIMEOUT),
            ttl: None,
        };
        let publisher = Publisher::on(&link, &settings, Arc::default()).await?;
        let (mut all, mut left) = (Vec::new(), request.limit);
        for queue in &self.queues {
            let Some(messages) = self.messages_in(queue).await? else {
                continue;
            };
            let channel = link.channel().await?;
            // Whatever dies again while this goes on comes after these.
            for (position, delivery) in (1..).zip(taken(&link, &channel, queue, messages).await?) {
                let letter = Letter::new(position, &delivery);
                let wanted = request.reason.is_none() || request.reason == letter.reason;
                if !wanted || left == 0 {
                    continue;
                }
                left -= 1;
                let fate = self
                    .replay_one(&publisher, &channel, &link, request, &letter, delivery)
                    .await?;
                all.push(Replayed {
                    queue: queue.clone(),
                    letter,
                    fate,
                });
            }
            give_back(&link, channel).await;
        }
        connector.incidents().closing();
        link.close().await;
        Ok(all)
    }

    async fn replay_one(
        &self,
        publisher: &Publisher,
        channel: &Channel,
        link: &Link,
        request: &Replay,
        letter: &Letter,
        delivery: Delivery,
    ) -> Result<Fate, DlqError> {
        let Some(way) = letter.way(request.to) else {
            return Ok(Fate::NoWay);
        };
        if way.exchange.is_empty() && !self.may_touch(&way.routing_key) {
            return Ok(Fate::Foreign(way));
        }
        if request.carry_out == CarryOut::No {
            return Ok(Fate::Would(way));
        }
        let times = delivery.properties.headers().as_ref();
        let times = times
            .and_then(|headers| headers.inner().get(REPLAYED))
            .map_or(1, |value| match value {
                AMQPValue::LongUInt(times) => times.saturating_add(1),
                _ => 1,
            });
        // It begins anew: with all its attempts, and no reason to be dead.
        let properties = headers::without(
            delivery.properties.clone(),
            &[
                headers::RETRIES,
                headers::REASON,
                headers::SOURCE,
                headers::SOURCE_EXCHANGE,
                headers::SOURCE_KEY,
            ],
        );
        let outcome = publisher
            .publish(Message {
                exchange: &ShortString::from(way.exchange.as_str()),
                routing_key: &ShortString::from(way.routing_key.as_str()),
                properties: headers::with(properties, REPLAYED, AMQPValue::LongUInt(times)),
                body: &delivery.data,
            })
            .await;
        if outcome != Outcome::Confirmed {
            return Ok(Fate::Refused(way, format!("{outcome:?}").to_lowercase()));
        }
        let acking = channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: false });
        link.answer("acknowledge a dead letter", acking).await?;
        Ok(Fate::Replayed(way))
    }
}

/// Takes the first `count` messages of a queue, unacknowledged.
async fn taken(link: &Link, channel: &Channel, queue: &str, count: u64) -> Result<Vec<Delivery>, AmqpError> {
    let mut messages = Vec::new();
    if count == 0 {
        return Ok(messages);
    }
    let consuming = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = link.answer(&format!("read the queue {queue}"), consuming).await?;
    while (messages.len() as u64) < count {
        match tokio::time::timeout(PATIENCE, consumer.next()).await {
            Ok(Some(Ok(delivery))) => messages.push(delivery),
            _ => break,
        }
    }
    Ok(messages)
}

/// Gives everything back that is not acknowledged.
async fn give_back(link: &Link, channel: Channel) {
    // A channel that is gone has given everything back.
    let _ = link
        .answer("close a channel", channel.close(200, "looked".into()))
        .await;
}

/// What is to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Only those that died for this reason; absent: all.
    pub reason: Option<String>,
    /// No more than so many, over all queues.
    pub limit: u64,
    /// Where to.
    pub to: Destination,
    /// Whether it is done, or only said.
    pub carry_out: CarryOut,
}

/// Where a dead letter is published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the queue in which it died, and no other.
    Queue,
    /// To the exchange and by the routing key that it had come by, and so to every queue that is bound there.
    Exchange,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarryOut {
    /// Done.
    Yes,
    /// Only said.
    No,
}

/// Dead letters of one queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueSummary {
    /// Which queue.
    pub queue: String,
    /// Messages in it.
    pub messages: u64,
    /// Of these, looked at.
    pub looked_at: u64,
    /// Those by reason and source.
    pub groups: Vec<Group>,
}

/// Dead letters of one reason and source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Why; absent where a message bears no history.
    pub reason: Option<String>,
    /// The queue in which they died.
    pub source: Option<String>,
    /// How many.
    pub messages: u64,
}

/// A queue with what lies in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Looked {
    /// Which queue.
    pub queue: String,
    /// Messages in it.
    pub messages: u64,
    /// The first of them.
    pub letters: Vec<Letter>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Letter {
    /// Its place in its queue, from 1.
    pub position: u64,
    /// Why it is dead; absent where it bears no history.
    pub reason: Option<String>,
    /// The queue in which it died.
    pub source: Option<String>,
    /// The exchange and routing key that it first came by; absent where it bears no history.
    pub came_by: Option<Way>,
    /// Retries before it was given up.
    pub retries: u32,
    /// Its property `message_id`.
    pub message_id: Option<String>,
    /// Its property `correlation_id`: the order.
    pub correlation_id: Option<String>,
    /// Its property `type`.
    pub kind: Option<String>,
    /// Its property `content_type`.
    pub content_type: Option<String>,
    /// The history that the broker wrote, the latest entry first.
    pub deaths: Vec<DeathRecord>,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// The beginning of its body, as text.
    pub body: String,
}

/// An entry of `x-death`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeathRecord {
    /// Where it died.
    pub queue: String,
    /// Of what.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The exchange that it had come through.
    pub exchange: String,
    /// The routing keys that it had come by.
    pub routing_keys: Vec<String>,
    /// When it first died there, seconds since 1970.
    pub time: Option<u64>,
}

/// Exchange and routing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Exchange; empty: the default one.
    pub exchange: String,
    /// Routing key; for the default exchange a queue's name.
    pub routing_key: String,
}

/// A dead letter and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The dead-letter queue.
    pub queue: String,
    /// The dead letter.
    pub letter: Letter,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It would go this way.
    Would(Way),
    /// It went this way, and is off the dead-letter queue.
    Replayed(Way),
    /// The broker did not take it; it stays.
    Refused(Way, String),
    /// It would go to a queue that no run of orderstorm made; it stays.
    Foreign(Way),
    /// It does not say where it came from; it stays.
    NoWay,
}

impl Letter {
    fn new(position: u64, delivery: &Delivery) -> Self {
        let properties = &delivery.properties;
        let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
        let deaths = headers::deaths(properties);
        let own = headers::text(properties, headers::SOURCE).map(str::to_owned);
        let came_by = headers::text(properties, headers::SOURCE_KEY).map(|key| Way {
            exchange: headers::text(properties, headers::SOURCE_EXCHANGE)
                .unwrap_or_default()
                .to_owned(),
            routing_key: key.to_owned(),
        });
        // The oldest entry of the history comes last.
        let first_died = deaths.last().and_then(|death| {
            Some(Way {
                exchange: death.exchange.clone(),
                routing_key: death.routing_keys.first()?.clone(),
            })
        });
        let excerpt = &delivery.data[..delivery.data.len().min(EXCERPT)];
        Letter {
            position,
            reason: headers::reason(properties),
            source: own.or_else(|| deaths.first().map(|death| death.queue.clone())),
            came_by: came_by.or(first_died),
            retries: headers::retries(properties),
            message_id: text(properties.message_id()),
            correlation_id: text(properties.correlation_id()),
            kind: text(properties.kind()),
            content_type: text(properties.content_type()),
            deaths: deaths.into_iter().map(DeathRecord::from).collect(),
            body_bytes: delivery.data.len() as u64,
            body: String::from_utf8_lossy(excerpt).into_owned(),
        }
    }

    /// Where it came from.
    fn way(&self, to: Destination) -> Option<Way> {
        match to {
            Destination::Queue => self.source.clone().map(|queue| Way {
                exchange: String::new(),
                routing_key: queue,
            }),
            Destination::Exchange => self.came_by.clone(),
        }
    }
}

impl From<Death> for DeathRecord {
    fn from(death: Death) -> Self {
        DeathRecord {
            queue: death.queue,
            reason: death.reason,
            count: death.count,
            exchange: death.exchange,
            routing_keys: death.routing_keys,
            time: death.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topology::Declared;

    fn uri() -> BrokerUri {
        "amqp://guest:guest@127.0.0.1:5672/%2f".parse().expect("an address")
    }

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(&uri(), false);
        manifest.trials.push(Declared {
            queues: vec![
                "orderstorm.a.1.payment.queue".to_owned(),
                "orderstorm.a.1.payment.dead-letter".to_owned(),
            ],
            exchanges: Vec::new(),
        });
        manifest
    }

    #[test]
    fn only_the_dead_letter_queues_of_a_run_are_touched_unless_somebody_says_otherwise() {
        let site = |run: Option<&Manifest>, named: &[&str], touch| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            Site::new(&uri(), run, &named, touch)
        };
        let run = manifest();
        let own = site(Some(&run), &[], Touch::Own).expect("the run's own");
        assert_eq!(own.queues, ["orderstorm.a.1.payment.dead-letter"]);
        assert!(own.may_touch("orderstorm.a.1.payment.queue") && !own.may_touch("orderstorm.b.1.payment.queue"));
        assert!(site(None, &["orderstorm.b.1.payment.dead-letter"], Touch::Own).is_ok());
        for (run, named) in [
            (None, "payments.dead"),
            (None, "orderstorm.a.1.payment.queue"),
            (Some(&run), "orderstorm.b.1.payment.dead-letter"),
        ] {
            let refused = site(run, &[named], Touch::Own);
            assert!(matches!(refused, Err(DlqError::Foreign { .. })), "{named}");
            assert!(site(run, &[named], Touch::Any).is_ok(), "{named}");
        }
        assert!(matches!(site(None, &[], Touch::Any), Err(DlqError::Nothing)));
        let elsewhere = Manifest {
            broker: "amqp://guest:***@127.0.0.2:5672/%2f".to_owned(),
            ..manifest()
        };
        assert!(matches!(
            site(Some(&elsewhere), &[], Touch::Own),
            Err(DlqError::Manifest(_))
        ));
    }
}
