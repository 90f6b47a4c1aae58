//! What the embedded broker costs, measured on its own thread while raw clients load it over loopback sockets.
//!
//! `cargo test --release --test embedded_speed -- --ignored --nocapture --test-threads 1`
//!
//! Ignored by default: figures of a debug build or of a busy machine say nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, confirm, queue};
use amq_protocol::types::FieldTable;
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};

mod wire;

use wire::{Target, Wire, encode};

const BODY: usize = 256;

fn target(address: SocketAddr) -> Target {
    Target {
        address,
        user: "guest".to_owned(),
        password: "guest".to_owned(),
    }
}

/// CPU time of the broker's own thread, from the scheduler's account.
fn broker_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    for task in tasks.flatten() {
        let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == "embedded-broker" {
            let account = std::fs::read_to_string(task.path().join("schedstat")).expect("schedstat");
            let nanoseconds = account.split(' ').next().and_then(|field| field.parse().ok());
            return Duration::from_nanos(nanoseconds.expect("a number"));
        }
    }
    panic!("the broker's thread was not found");
}

/// A logged-in connection with channel 1 open.
fn opened(address: SocketAddr) -> Wire {
    let mut wire = Wire::open(&target(address)).expect("logs in");
    wire.open_channel(1).expect("opens");
    wire
}

fn declare(wire: &mut Wire, name: &str) {
    let declare = queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    wire.send(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
        .expect("sent");
    wire.must().expect("declared");
}

fn consume(wire: &mut Wire, name: &str, no_ack: bool) {
    let qos = basic::Qos {
        prefetch_count: 1000,
        global: false,
    };
    wire.send(1, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))
        .expect("sent");
    wire.must().expect("answered");
    let consume = basic::Consume {
        queue: name.into(),
        consumer_tag: "c".into(),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    wire.send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
        .expect("sent");
    wire.must().expect("answered");
}

fn publish_bytes(name: &str, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: name.into(),
        mandatory: false,
        immediate: false,
    };
    let header = AMQPContentHeader {
        class_id: 60,
        body_size: body.len() as u64,
        properties: BasicProperties::default().with_delivery_mode(2),
    };
    [
        encode(&AMQPFrame::Method(
            1,
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)),
        )),
        encode(&AMQPFrame::Header(1, header)),
        encode(&AMQPFrame::Body(1, body.to_vec())),
    ]
    .concat()
}

/// Calls `found` with the payload of each body frame in `input` and takes whole frames off.
fn each_body(input: &mut Vec<u8>, mut found: impl FnMut(&[u8])) {
    let mut at = 0;
    while let Some(head) = input[at..].first_chunk::<7>() {
        let total = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 8;
        if input.len() < at + total {
            break;
        }
        if head[0] == 3 {
            found(&input[at + 7..at + total - 1]);
        }
        at += total;
    }
    input.drain(..at);
}

fn ack_bytes(tag: u64, multiple: bool) -> Vec<u8> {
    let ack = basic::Ack {
        delivery_tag: tag,
        multiple,
    };
    encode(&AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack))))
}

/// Reads `count` deliveries and acknowledges them, singly or in blocks.
fn receive(mut stream: TcpStream, count: u64, every: u64, mut seen: impl FnMut(&[u8])) {
    let mut input = Vec::new();
    let mut chunk = vec![0; 65_536];
    let (mut received, mut acked) = (0, 0);
    while received < count {
        let read = stream.read(&mut chunk).expect("reads");
        assert!(read > 0, "the broker hung up");
        input.extend_from_slice(&chunk[..read]);
        each_body(&mut input, |body| {
            received += 1;
            seen(body);
        });
        let mut acks = Vec::new();
        while acked + every <= received || (received == count && acked < count) {
            acked = (acked + every).min(count);
            acks.extend(ack_bytes(acked, every > 1));
        }
        stream.write_all(&acks).expect("acks");
    }
}

/// Publishes `count` messages with at most `window` unconfirmed.
fn send(mut stream: TcpStream, count: u64, window: u64, message: &[u8]) {
    let mut input = Vec::new();
    let mut chunk = vec![0; 65_536];
    let (mut sent, mut confirmed) = (0, 0);
    while confirmed < count {
        let batch = (window - (sent - confirmed)).min(count - sent);
        if batch > 0 {
            stream.write_all(&message.repeat(batch as usize)).expect("publishes");
            sent += batch;
        }
        let read = stream.read(&mut chunk).expect("reads");
        assert!(read > 0, "the broker hung up");
        input.extend_from_slice(&chunk[..read]);
        // basic.ack: type, channel, size 13, 0 60 0 80, tag, bits, end.
        while input.len() >= 21 {
            confirmed = u64::from_be_bytes(input[11..19].try_into().expect("eight octets"));
            input.drain(..21);
        }
    }
}

fn flow(acks_every: u64, count: u64) -> (f64, f64) {
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let mut publisher = opened(broker.addr());
    declare(&mut publisher, "speed");
    publisher
        .send(
            1,
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
        )
        .expect("sent");
    publisher.must().expect("answered");
    let mut consumer = opened(broker.addr());
    consume(&mut consumer, "speed", false);
    let message = publish_bytes("speed", &[7; BODY]);
    let (publisher, consumer) = (publisher.stream, consumer.stream);
    let before = broker_cpu();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| receive(consumer, count, acks_every, |_| {}));
        scope.spawn(|| send(publisher, count, 1000, &message));
    });
    let elapsed = started.elapsed().as_secs_f64();
    // The last acks may still be on their way.
    while broker.counters().acked < count {
        std::thread::sleep(Duration::from_millis(1));
    }
    let cpu = broker_cpu() - before;
    // Its thread must be gone before the next one is looked for by name.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(broker.stop());
    (cpu.as_secs_f64() * 1e6 / count as f64, count as f64 / elapsed)
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn a_message_costs_the_broker_less_than_4_microseconds() {
    for (what, every) in [("each acked singly", 1), ("acked by the hundred", 100)] {
        flow(every, 50_000);
        let (cost, rate) = flow(every, 1_000_000);
        println!("256 B, confirmed and {what}: {cost:.2} µs of broker CPU per message, {rate:.0} messages/s");
        assert!(cost < 4.0, "{cost:.2} µs per message");
    }
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn at_5000_per_second_a_message_is_delivered_within_a_millisecond() {
    const RATE: u64 = 5000;
    const COUNT: u64 = 25_000;
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let mut publisher = opened(broker.addr());
    declare(&mut publisher, "latency");
    let mut consumer = opened(broker.addr());
    consume(&mut consumer, "latency", false);
    let (mut publisher, consumer) = (publisher.stream, consumer.stream);
    let origin = Instant::now();
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            receive(consumer, COUNT, 1, |body| {
                let sent = u64::from_be_bytes(body[..8].try_into().expect("eight octets"));
                latencies.push(origin.elapsed().as_nanos() as u64 - sent);
            });
        });
        for number in 0..COUNT {
            let due = Duration::from_nanos(number * 1_000_000_000 / RATE);
            std::thread::sleep(due.saturating_sub(origin.elapsed()));
            let mut body = vec![0; BODY];
            body[..8].copy_from_slice(&(origin.elapsed().as_nanos() as u64).to_be_bytes());
            publisher
                .write_all(&publish_bytes("latency", &body))
                .expect("publishes");
        }
    });
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "publish to delivery at {RATE}/s: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
        at(0.5),
        at(0.99),
        at(0.999),
        latencies[latencies.len() - 1] as f64 / 1000.0
    );
    assert!(at(0.99) < 1000.0, "p99 {:.0} µs", at(0.99));
}
