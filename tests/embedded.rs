//! The embedded broker through lapin: what every pipeline needs of it; and the contract of `amqp` over either client.

#[path = "embedded/clients.rs"]
mod clients;

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use orderstorm::broker::embedded::{BrokerRuntime, EmbeddedBroker, EmbeddedOptions};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn publish_confirm_consume_ack(broker: EmbeddedBroker) {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default())
        .await
        .expect("connects");
    let channel = connection.create_channel().await.expect("opens a channel");
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("selects confirms");
    channel
        .queue_declare("orders".into(), QueueDeclareOptions::default(), FieldTable::default())
        .await
        .expect("declares");
    let confirms = (0..100).map(|number: u32| {
        let channel = channel.clone();
        async move {
            let body = number.to_be_bytes();
            let properties = BasicProperties::default().with_message_id(number.to_string().into());
            let publish = channel.basic_publish(
                "".into(),
                "orders".into(),
                BasicPublishOptions::default(),
                &body,
                properties,
            );
            publish.await.expect("published").await.expect("answered")
        }
    });
    for confirm in futures_util::future::join_all(confirms).await {
        assert!(confirm.is_ack());
    }
    let mut consumer = channel
        .basic_consume(
            "orders".into(),
            "c".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("consumes");
    for number in 0..100_u32 {
        let delivery = timeout(PATIENCE, consumer.next())
            .await
            .expect("in time")
            .expect("not ended")
            .expect("delivery");
        assert_eq!(delivery.data, number.to_be_bytes());
        assert_eq!(
            delivery
                .properties
                .message_id()
                .as_ref()
                .map(|id| id.as_str().to_owned()),
            Some(number.to_string())
        );
        delivery.ack(BasicAckOptions::default()).await.expect("acks");
    }
    let drained = async {
        while broker
            .queue_depths()
            .iter()
            .any(|queue| queue.ready + queue.unacked > 0)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("drained");
    let counters = broker.counters();
    assert_eq!(
        (
            counters.published,
            counters.confirmed,
            counters.delivered,
            counters.acked
        ),
        (100, 100, 100, 100)
    );
    connection.close(200, "done".into()).await.expect("closes");
    timeout(PATIENCE, broker.stop()).await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lapin_publishes_confirms_consumes_and_acks_on_a_broker_with_its_own_thread() {
    publish_confirm_consume_ack(EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lapin_publishes_confirms_consumes_and_acks_on_a_broker_in_its_own_runtime() {
    let options = EmbeddedOptions {
        runtime: BrokerRuntime::Current,
        ..EmbeddedOptions::default()
    };
    publish_confirm_consume_ack(EmbeddedBroker::start(options).expect("starts")).await;
}
