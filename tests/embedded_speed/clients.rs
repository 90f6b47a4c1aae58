//! Raw clients for the measurements: one publisher, one consumer, each a blocking thread on a socket of its own, so that
//! next to nothing of what is measured is theirs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, confirm, queue};
use amq_protocol::types::FieldTable;

use crate::wire::{Target, Wire, encode};

/// Octets of every message body.
const BODY: usize = 256;

/// Whether messages and their queue are to outlive the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Transient,
    Durable,
}

/// A logged-in connection with channel 1 open.
fn opened(target: &Target) -> Wire {
    let mut wire = Wire::open(target).expect("logs in");
    wire.open_channel(1).expect("opens");
    wire
}

fn declare(wire: &mut Wire, name: &str, durability: Durability) {
    let declare = queue::Declare {
        queue: name.into(),
        passive: false,
        durable: durability == Durability::Durable,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    wire.send(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
        .expect("sent");
    wire.must().expect("declared");
}

fn consume(wire: &mut Wire, name: &str) {
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
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    wire.send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
        .expect("sent");
    wire.must().expect("answered");
}

fn publish_bytes(name: &str, durability: Durability, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: name.into(),
        mandatory: false,
        immediate: false,
    };
    let header = AMQPContentHeader {
        class_id: 60,
        body_size: body.len() as u64,
        properties: BasicProperties::default().with_delivery_mode(match durability {
            Durability::Transient => 1,
            Durability::Durable => 2,
        }),
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
fn receive(mut stream: &TcpStream, count: u64, every: u64, mut seen: impl FnMut(&[u8])) {
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
fn send(mut stream: &TcpStream, count: u64, window: u64, message: &[u8]) {
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

/// A publisher in confirm mode and a consumer on one queue.
pub struct Flow {
    publisher: Wire,
    consumer: Wire,
    queue: String,
    durability: Durability,
}

impl Flow {
    pub fn open(target: &Target, queue: &str, durability: Durability) -> Self {
        let mut publisher = opened(target);
        declare(&mut publisher, queue, durability);
        let select = confirm::Select { nowait: false };
        publisher
            .send(1, AMQPClass::Confirm(confirm::AMQPMethod::Select(select)))
            .expect("sent");
        publisher.must().expect("answered");
        let mut consumer = opened(target);
        consume(&mut consumer, queue);
        Self {
            publisher,
            consumer,
            queue: queue.to_owned(),
            durability,
        }
    }

    /// Messages per second, each confirmed, delivered and acknowledged, with at most 1,000 unconfirmed and 1,000 unacked;
    /// an ack stands for `acks_every` deliveries.
    pub fn run(&self, acks_every: u64, count: u64) -> f64 {
        const WINDOW: u64 = 1000;
        let message = publish_bytes(&self.queue, self.durability, &[7; BODY]);
        let (publisher, consumer) = (&self.publisher.stream, &self.consumer.stream);
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| receive(consumer, count, acks_every, |_| {}));
            scope.spawn(|| send(publisher, count, WINDOW, &message));
        });
        count as f64 / started.elapsed().as_secs_f64()
    }

    /// Deletes the queue.
    pub fn close(mut self) {
        let delete = queue::Delete {
            queue: self.queue.as_str().into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        self.publisher
            .send(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))
            .expect("sent");
        self.publisher.must().expect("deleted");
    }
}

/// The sockets of a publisher without confirms and a consumer, ready for [`paced`].
pub fn for_latency(target: &Target, queue: &str) -> (TcpStream, TcpStream) {
    let mut publisher = opened(target);
    declare(&mut publisher, queue, Durability::Transient);
    let mut consumer = opened(target);
    consume(&mut consumer, queue);
    (publisher.stream, consumer.stream)
}

/// Sends `count` messages at `rate` per second, each acknowledged on its own, and gives the time from the write of each to
/// the read of its delivery, in nanoseconds.
pub fn paced(mut publisher: &TcpStream, consumer: &TcpStream, queue: &str, rate: u64, count: u64) -> Vec<u64> {
    let origin = Instant::now();
    let mut latencies = Vec::with_capacity(count as usize);
    thread::scope(|scope| {
        scope.spawn(|| {
            receive(consumer, count, 1, |body| {
                let sent = u64::from_be_bytes(body[..8].try_into().expect("eight octets"));
                latencies.push(origin.elapsed().as_nanos() as u64 - sent);
            });
        });
        for number in 0..count {
            let due = Duration::from_nanos(number * 1_000_000_000 / rate);
            thread::sleep(due.saturating_sub(origin.elapsed()));
            let mut body = vec![0; BODY];
            body[..8].copy_from_slice(&(origin.elapsed().as_nanos() as u64).to_be_bytes());
            publisher
                .write_all(&publish_bytes(queue, Durability::Transient, &body))
                .expect("publishes");
        }
    });
    latencies
}
