//! The contract of `amqp` on the embedded broker, over either client.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::types::{FieldTable, ShortString};
use orderstorm::amqp::{
    Acks, Connection, Connector, Incidents, Message, Outcome, Publisher, Reach, Refusal, Renewable, Requeue,
    Uncertainty,
};
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::clock::Clock;
use orderstorm::units::Span;
use orderstorm::workload::model::{Client, Publish};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const CLIENTS: [Client; 2] = [Client::Lapin, Client::Direct];

/// A broker with a connection.
struct Stand {
    broker: EmbeddedBroker,
    incidents: Arc<Incidents>,
    line: Arc<Renewable>,
}

impl Stand {
    async fn start(client: Client) -> Stand {
        let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
        let incidents = Arc::new(Incidents::new(Clock::start()));
        let uri = broker.uri().parse().expect("an address");
        let connector = Connector::new(&uri, Arc::clone(&incidents)).with_client(client);
        let line = Renewable::connect(&connector, "contract").await.expect("connects");
        Stand {
            broker,
            incidents,
            line,
        }
    }

    fn connection(&self) -> Arc<Connection> {
        self.line.current()
    }

    async fn publisher(&self, mandatory: bool) -> Publisher {
        let settings = Publish {
            confirms: true,
            mandatory,
            persistent: false,
            confirm_timeout: Span::from_secs(10),
            ttl: None,
        };
        Publisher::open(&self.connection(), &settings, Arc::default())
            .await
            .expect("opens")
    }

    async fn queue(&self, name: &str) -> ShortString {
        let channel = self.connection().channel().await.expect("opens");
        let name = ShortString::from(name);
        channel
            .declare_queue(&name, false, FieldTable::default())
            .await
            .expect("declares");
        name
    }
}

async fn publish(publisher: &Publisher, queue: &ShortString, body: &[u8]) -> Outcome {
    let message = Message {
        exchange: &"".into(),
        routing_key: queue,
        properties: BasicProperties::default().with_message_id("m".into()),
        body,
    };
    publisher.publish(message).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_settled_in_each_way_and_what_is_held_goes_back_with_the_channel() {
    for client in CLIENTS {
        let stand = Stand::start(client).await;
        let (queue, publisher) = (stand.queue("q").await, stand.publisher(true).await);
        let bodies = [b"0", b"1", b"2", b"3", b"4", b"5"];
        let published = join_all(bodies.map(|body| publish(&publisher, &queue, body))).await;
        assert_eq!(published, [Outcome::Confirmed; 6]);
        let channel = stand.connection().channel().await.expect("opens");
        channel.set_prefetch(6).await.expect("set");
        let mut consumer = channel
            .consume(&queue, &"c".into(), Acks::Manual)
            .await
            .expect("consumes");
        for (tag, body) in (1..).zip(bodies) {
            let delivery = timeout(PATIENCE, consumer.next()).await.expect("in time").expect("one");
            assert_eq!(
                (delivery.tag(), delivery.body(), delivery.is_redelivered()),
                (tag, &body[..], false)
            );
            assert_eq!((delivery.exchange(), delivery.routing_key()), ("", "q"));
            let id = delivery
                .properties()
                .message_id()
                .as_ref()
                .map(|id| id.as_str().to_owned());
            assert_eq!(id.as_deref(), Some("m"));
        }
        channel.ack(2, Reach::UpTo).await.expect("acked");
        channel.nack(3, Requeue::No).await.expect("dropped");
        channel.reject(4, Requeue::No).await.expect("dropped");
        channel.nack(5, Requeue::Yes).await.expect("given back");
        let again = timeout(PATIENCE, consumer.next()).await.expect("in time").expect("one");
        assert_eq!(
            (again.tag(), again.body(), again.is_redelivered()),
            (7, &b"4"[..], true)
        );
        channel.ack(7, Reach::One).await.expect("acked");
        channel.close("enough").await.expect("closed");
        assert!(channel.ack(6, Reach::One).await.is_err(), "{client:?}");
        assert!(timeout(PATIENCE, consumer.next()).await.expect("in time").is_none());
        let channel = stand.connection().channel().await.expect("opens");
        assert_eq!(
            channel.ready_in(&queue).await.expect("there"),
            1,
            "{client:?}: what it held is back"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_there_closes_the_channel_that_asked_and_no_other() {
    for client in CLIENTS {
        let stand = Stand::start(client).await;
        let (asks, other) = (stand.connection().channel().await, stand.connection().channel().await);
        let (asks, other) = (asks.expect("opens"), other.expect("opens"));
        let why = asks
            .ready_in(&"nowhere".into())
            .await
            .expect_err("not there")
            .to_string();
        assert!(
            why.contains("look for the queue nowhere") && why.contains("NOT_FOUND"),
            "{why}"
        );
        assert!(!asks.is_open() && other.is_open() && !stand.connection().is_lost());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_direct_client_tells_each_return_to_its_own_publish() {
    let stand = Stand::start(Client::Direct).await;
    let (queue, publisher) = (stand.queue("q").await, stand.publisher(true).await);
    let nowhere = ShortString::from("nowhere");
    let bodies: Vec<Vec<u8>> = (0..300u32).map(|n| n.to_be_bytes().repeat(1 + n as usize)).collect();
    let way = |at: usize| if at % 3 == 1 { &nowhere } else { &queue };
    let outcomes = bodies
        .iter()
        .enumerate()
        .map(|(at, body)| publish(&publisher, way(at), body));
    for (at, outcome) in join_all(outcomes).await.into_iter().enumerate() {
        let expected = match at % 3 {
            1 => Outcome::Refused(Refusal::Returned),
            _ => Outcome::Confirmed,
        };
        assert_eq!(outcome, expected, "publish {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_answers_everything_and_its_successor_works() {
    for client in CLIENTS {
        let stand = Stand::start(client).await;
        let (queue, publisher) = (stand.queue("q").await, stand.publisher(false).await);
        let channel = stand.connection().channel().await.expect("opens");
        let mut consumer = channel
            .consume(&queue, &"c".into(), Acks::Auto)
            .await
            .expect("consumes");
        stand.connection().cut();
        timeout(PATIENCE, stand.connection().lost()).await.expect("noticed");
        let outcome = timeout(PATIENCE, publish(&publisher, &queue, b"x"))
            .await
            .expect("in time");
        assert_eq!(outcome, Outcome::Unknown(Uncertainty::ConnectionLost));
        assert!(publisher.is_lost());
        assert!(timeout(PATIENCE, consumer.next()).await.expect("in time").is_none());
        timeout(PATIENCE, stand.line.link())
            .await
            .expect("in time")
            .expect("reconnects");
        let absences = stand.incidents.absences();
        assert!(
            absences.len() == 1 && absences[0].end.is_some(),
            "{client:?}: {absences:?}"
        );
        assert_eq!(
            publish(&stand.publisher(false).await, &queue, b"y").await,
            Outcome::Confirmed
        );
        stand.line.close().await;
        assert_eq!(stand.incidents.absences().len(), 1, "a close of our own is no incident");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_fails_is_explained_by_either_client() {
    for client in CLIENTS {
        let stand = Stand::start(client).await;
        for (address, says) in [
            (
                stand.broker.uri().replace("guest:guest", "guest:wrong"),
                "the user name or the password is wrong",
            ),
            (
                format!(
                    "{}/nowhere",
                    stand.broker.uri().trim_end_matches("/%2f").trim_end_matches('/')
                ),
                "the vhost does not exist",
            ),
            ("amqp://127.0.0.1:9".to_owned(), "is a broker listening there?"),
        ] {
            let uri = address.parse().expect("an address");
            let connector = Connector::new(&uri, Arc::clone(&stand.incidents)).with_client(client);
            let why = Renewable::connect(&connector, "stranger")
                .await
                .expect_err("refused")
                .to_string();
            assert!(
                why.contains(says) && !why.contains("wrong@"),
                "{client:?} {address}: {why}"
            );
        }
    }
}
