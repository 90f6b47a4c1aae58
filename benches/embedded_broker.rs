//! The embedded broker without sockets: what the protocol and the queues cost per message.
//!
//! The figures over sockets are those of `tests/embedded_speed.rs`.

use std::hint::black_box;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue};
use amq_protocol::types::FieldTable;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orderstorm::broker::embedded::{EmbeddedOptions, Probe, ProbeBroker, ProbeState};

/// Messages per batch, which stands for what one read of a busy socket brings.
const BATCH: u64 = 100;

fn encode(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new()))
        .expect("writing to a Vec")
        .into_inner()
        .0
}

fn method(number: u16, class: AMQPClass) -> Vec<u8> {
    encode(&AMQPFrame::Method(number, class))
}

fn logged_in(broker: &ProbeBroker) -> Probe {
    let start_ok = connection::StartOk {
        client_properties: FieldTable::default(),
        mechanism: "PLAIN".into(),
        response: "\0guest\0guest".into(),
        locale: "en_US".into(),
    };
    let tune_ok = connection::TuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 0,
    };
    let open = connection::Open {
        virtual_host: "/".into(),
    };
    let mut probe = broker.connect();
    let state = probe.feed(
        &[
            b"AMQP\x00\x00\x09\x01".to_vec(),
            method(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))),
            method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))),
            method(0, AMQPClass::Connection(connection::AMQPMethod::Open(open))),
            method(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))),
        ]
        .concat(),
    );
    assert_eq!(state, ProbeState::Reading);
    probe.take_output();
    probe
}

fn send(probe: &mut Probe, class: AMQPClass) {
    assert_eq!(probe.feed(&method(1, class)), ProbeState::Reading);
    probe.take_output();
}

fn declare(probe: &mut Probe, name: &str) {
    let declare = queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    send(probe, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
}

fn consume(probe: &mut Probe, name: &str) {
    let consume = basic::Consume {
        queue: name.into(),
        consumer_tag: name.into(),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    send(probe, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
}

fn bind_topics(probe: &mut Probe, queues: &[String]) {
    let topic = exchange::Declare {
        exchange: "t".into(),
        kind: "topic".into(),
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    send(probe, AMQPClass::Exchange(exchange::AMQPMethod::Declare(topic)));
    for name in queues {
        let bind = queue::Bind {
            queue: name.as_str().into(),
            exchange: "t".into(),
            routing_key: "order.*.paid".into(),
            nowait: false,
            arguments: FieldTable::default(),
        };
        send(probe, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
    }
}

fn publishes(exchange: &str, key: &str, size: usize) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: exchange.into(),
        routing_key: key.into(),
        mandatory: false,
        immediate: false,
    };
    let header = AMQPContentHeader {
        class_id: 60,
        body_size: size as u64,
        properties: BasicProperties::default().with_delivery_mode(2),
    };
    let one = [
        method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))),
        encode(&AMQPFrame::Header(1, header)),
        encode(&AMQPFrame::Body(1, vec![7; size])),
    ]
    .concat();
    one.repeat(BATCH as usize)
}

/// One batch through the broker: published, routed, delivered, confirmed, acknowledged.
fn round(publisher: &mut Probe, consumer: &mut Probe, batch: &[u8]) {
    publisher.feed(batch);
    black_box(consumer.take_output());
    black_box(publisher.take_output());
    let ack = basic::Ack {
        delivery_tag: 0,
        multiple: true,
    };
    consumer.feed(&method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack))));
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedded_broker");
    group.throughput(Throughput::Elements(BATCH));
    for (name, size, queues) in [
        ("direct_256_B", 256, 1),
        ("direct_4_KiB", 4096, 1),
        ("topic_to_10_queues_256_B", 256, 10),
    ] {
        let broker = ProbeBroker::new(EmbeddedOptions {
            output_limit: 64 << 20,
            ..EmbeddedOptions::default()
        });
        let (mut publisher, mut consumer) = (logged_in(&broker), logged_in(&broker));
        send(
            &mut publisher,
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
        );
        let queues: Vec<String> = (0..queues).map(|number| format!("queue-{number}")).collect();
        for queue in &queues {
            declare(&mut publisher, queue);
            consume(&mut consumer, queue);
        }
        bind_topics(&mut publisher, &queues);
        let batch = if queues.len() == 1 {
            publishes("", &queues[0], size)
        } else {
            publishes("t", "order.42.paid", size)
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| round(&mut publisher, &mut consumer, &batch))
        });
        let counters = broker.handle().counters();
        assert_eq!(counters.delivered, counters.acked);
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
