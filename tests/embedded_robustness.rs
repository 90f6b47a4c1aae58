//! The embedded broker under clients that are broken or hostile: it closes that connection, keeps the others, and
//! stays within its memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use amq_protocol::frame::parsing::parse_frame;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue, tx};
use amq_protocol::types::FieldTable;
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions, Probe, ProbeBroker, ProbeState};
use proptest::prelude::*;

#[path = "embedded_robustness/check.rs"]
mod check;
mod wire;

use wire::{Event, Target, Wire, encode};

const PATIENCE: Duration = Duration::from_secs(20);

fn guest(broker: &EmbeddedBroker) -> Target {
    Target {
        address: broker.addr(),
        user: "guest".to_owned(),
        password: "guest".to_owned(),
    }
}

fn frames(mut bytes: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("the broker writes whole, well-formed frames");
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn method(channel: u16, class: AMQPClass) -> Vec<u8> {
    encode(&AMQPFrame::Method(channel, class))
}

/// The bytes of a client that logs in and opens channels 1 and 2.
fn hello() -> Vec<u8> {
    let target = Target {
        address: "127.0.0.1:0".parse().expect("an address"),
        user: "guest".to_owned(),
        password: "guest".to_owned(),
    };
    let tune_ok = connection::TuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 0,
    };
    let open = connection::Open {
        virtual_host: "/".into(),
    };
    [
        b"AMQP\x00\x00\x09\x01".to_vec(),
        method(0, wire::start_ok(&target)),
        method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))),
        method(0, AMQPClass::Connection(connection::AMQPMethod::Open(open))),
        method(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))),
        method(2, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))),
    ]
    .concat()
}

fn logged_in(broker: &ProbeBroker) -> Probe {
    let mut probe = broker.connect();
    assert_eq!(probe.feed(&hello()), ProbeState::Reading);
    assert_eq!(
        frames(&probe.take_output()).len(),
        5,
        "start, tune, open-ok, two channel.open-ok"
    );
    probe
}

fn declare(name: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }))
}

fn publish(key: &str, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: key.into(),
        mandatory: false,
        immediate: false,
    };
    let header = AMQPContentHeader {
        class_id: 60,
        body_size: body.len() as u64,
        properties: BasicProperties::default(),
    };
    let mut out = method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
    out.extend(encode(&AMQPFrame::Header(1, header)));
    for part in body.chunks(131_064) {
        out.extend(encode(&AMQPFrame::Body(1, part.to_vec())));
    }
    out
}

/// A bystander's whole life: declare, publish, get, delete.
fn bystander_is_served(broker: &ProbeBroker) {
    let mut probe = logged_in(broker);
    let get = basic::Get {
        queue: "bystander".into(),
        no_ack: true,
    };
    let delete = queue::Delete {
        queue: "bystander".into(),
        if_unused: false,
        if_empty: false,
        nowait: false,
    };
    let input = [
        method(1, declare("bystander")),
        publish("bystander", b"hello"),
        method(1, AMQPClass::Basic(basic::AMQPMethod::Get(get))),
        method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete))),
    ]
    .concat();
    assert_eq!(probe.feed(&input), ProbeState::Reading);
    let answers = frames(&probe.take_output());
    assert!(answers.contains(&AMQPFrame::Body(1, b"hello".to_vec())), "{answers:?}");
}

/// The reply code of the connection.close among frames.
fn close_code(frames: &[AMQPFrame]) -> Option<u16> {
    frames.iter().find_map(|frame| match frame {
        AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => Some(close.reply_code),
        _ => None,
    })
}

fn deep_table(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..depth {
        let mut outer = vec![1, b'k', b'F'];
        outer.extend((table.len() as u32).to_be_bytes());
        outer.append(&mut table);
        table = outer;
    }
    table
}

#[test]
fn each_kind_of_broken_input_closes_the_connection_with_its_code() {
    let mut bomb = vec![0, 50, 0, 10, 0, 0, 1, b'q', 0];
    let table = deep_table(5_000);
    bomb.extend((table.len() as u32).to_be_bytes());
    bomb.extend(table);
    let mut bombed = vec![1, 0, 1];
    bombed.extend((bomb.len() as u32).to_be_bytes());
    bombed.extend(bomb);
    bombed.push(0xCE);
    let cases: [(&str, Vec<u8>, u16); 9] = [
        ("a frame beyond frame_max", vec![1, 0, 1, 0, 2, 0, 0], 501),
        ("a wrong frame end", vec![1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 40, 0], 501),
        ("an unknown frame type", vec![7, 0, 1, 0, 0, 0, 0, 0xCE], 501),
        ("an unknown method", vec![1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 99, 0xCE], 501),
        (
            "a method cut short",
            vec![1, 0, 1, 0, 0, 0, 5, 0, 60, 0, 10, 0, 0xCE],
            501,
        ),
        ("a table nested 5,000 deep", bombed, 502),
        ("a body without a publish", vec![3, 0, 1, 0, 0, 0, 1, b'x', 0xCE], 505),
        (
            "a method on a channel that is not open",
            vec![1, 0, 9, 0, 0, 0, 4, 0, 90, 0, 10, 0xCE],
            504,
        ),
        ("content on channel 0", vec![3, 0, 0, 0, 0, 0, 1, b'x', 0xCE], 505),
    ];
    for (what, bytes, code) in cases {
        let broker = ProbeBroker::new(EmbeddedOptions::default());
        let mut probe = logged_in(&broker);
        assert_eq!(probe.feed(&bytes), ProbeState::Closing, "{what}");
        assert_eq!(close_code(&frames(&probe.take_output())), Some(code), "{what}");
        bystander_is_served(&broker);
    }
}

#[test]
fn a_body_longer_than_announced_is_refused() {
    let broker = ProbeBroker::new(EmbeddedOptions::default());
    let mut probe = logged_in(&broker);
    let mut bytes = publish("q", b"12345");
    // The body size in the content header: 8 octets before the property flags, the frame end and the body frame.
    let body_frame = 5 + 8;
    let at = bytes.len() - body_frame - 1 - 2 - 1;
    assert_eq!(bytes[at], 5);
    bytes[at] = 3;
    assert_eq!(probe.feed(&bytes), ProbeState::Closing);
    assert_eq!(close_code(&frames(&probe.take_output())), Some(501));
}

#[test]
fn a_message_beyond_the_size_limit_closes_the_channel_before_its_body_comes() {
    let options = EmbeddedOptions {
        max_message_size: 1000,
        ..EmbeddedOptions::default()
    };
    let broker = ProbeBroker::new(options);
    let mut probe = logged_in(&broker);
    assert_eq!(probe.feed(&publish("q", &[0; 1001])), ProbeState::Reading);
    let answers = frames(&probe.take_output());
    assert!(
        matches!(&answers[..], [AMQPFrame::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))]
            if close.reply_code == 406),
        "{answers:?}"
    );
    bystander_is_served(&broker);
}

#[test]
fn whatever_a_client_leaves_behind_its_memory_comes_back() {
    let broker = ProbeBroker::new(EmbeddedOptions::default());
    let mut probe = logged_in(&broker);
    probe.feed(&method(1, declare("q")));
    for _ in 0..100 {
        probe.feed(&publish("q", &[1; 10_000]));
    }
    // An unfinished message and unread output are on the account too.
    let unfinished = publish("q", &[2; 200_000]);
    probe.feed(&unfinished[..150_000]);
    assert!(broker.handle().memory_used() > 1_000_000);
    drop(probe);
    let mut probe = logged_in(&broker);
    let purge = queue::Purge {
        queue: "q".into(),
        nowait: true,
    };
    probe.feed(&method(1, AMQPClass::Queue(queue::AMQPMethod::Purge(purge))));
    probe.take_output();
    assert_eq!(broker.handle().memory_used(), 0);
}

#[test]
fn declarations_without_end_are_refused_and_not_served_until_memory_is_gone() {
    let options = EmbeddedOptions {
        memory_limit: 1 << 20,
        ..EmbeddedOptions::default()
    };
    let broker = ProbeBroker::new(options);
    let mut probe = logged_in(&broker);
    let mut state = ProbeState::Reading;
    for number in 0..100_000 {
        state = probe.feed(&method(1, declare(&format!("queue-{number}"))));
        if state != ProbeState::Reading {
            break;
        }
        probe.take_output();
    }
    assert_eq!(state, ProbeState::Closing);
    assert_eq!(close_code(&frames(&probe.take_output())), Some(506));
}

/// What fuzzing has kept: inputs that reach every part that it has found, and those that once broke something.
fn corpus() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/embedded_bytes");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the corpus is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("readable"))
        .collect()
}

#[test]
fn the_fuzz_corpus_harms_nobody() {
    let corpus = corpus();
    assert!(corpus.len() > 20, "{} inputs", corpus.len());
    for input in corpus {
        check::check(&input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_harm_nobody(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check::check(&bytes);
    }

    #[test]
    fn damaged_inputs_of_the_corpus_harm_nobody(
        input in prop::sample::select(corpus()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = input;
        for (at, value, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => _ = bytes.remove(at),
            }
        }
        check::check(&bytes);
    }

    #[test]
    fn random_methods_in_any_order_are_answered_with_well_formed_frames(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let broker = ProbeBroker::new(EmbeddedOptions::default());
        let mut probe = logged_in(&broker);
        let mut ended = false;
        for step in steps {
            let state = probe.feed(&step);
            let answers = frames(&probe.take_output());
            prop_assert_eq!(state == ProbeState::Closing, ended || close_code(&answers).is_some());
            ended = state != ProbeState::Reading;
            if ended {
                break;
            }
        }
        drop(probe);
        bystander_is_served(&broker);
    }
}

/// Any method a client can send, mostly with names that exist, on a channel that may be open.
fn any_step() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["q", "r", "", "amq.topic", "x"]);
    let queue_name = prop::sample::select(vec!["q", "r", "s", ""]);
    let class = prop_oneof![
        4 => queue_name.clone().prop_map(declare),
        1 => (queue_name.clone(), any::<bool>()).prop_map(|(name, flag)| {
            AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
                queue: name.into(), if_unused: flag, if_empty: !flag, nowait: flag,
            }))
        }),
        3 => (queue_name.clone(), name.clone()).prop_map(|(queue, exchange)| {
            AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
                queue: queue.into(), exchange: exchange.into(), routing_key: "#".into(), nowait: false,
                arguments: FieldTable::default(),
            }))
        }),
        2 => (name, any::<bool>()).prop_map(|(name, flag)| {
            AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
                exchange: name.into(), kind: "topic".into(), passive: false, durable: flag, auto_delete: !flag,
                internal: false, nowait: flag, arguments: FieldTable::default(),
            }))
        }),
        4 => (queue_name.clone(), prop::sample::select(vec!["", "a", "b"]), any::<bool>()).prop_map(
            |(name, tag, flag)| AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
                queue: name.into(), consumer_tag: tag.into(), no_local: false, no_ack: flag, exclusive: false,
                nowait: !flag, arguments: FieldTable::default(),
            }))
        ),
        3 => (queue_name, any::<bool>()).prop_map(|(name, no_ack)| {
            AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get { queue: name.into(), no_ack }))
        }),
        5 => (0..6_u64, any::<bool>()).prop_map(|(tag, multiple)| {
            AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }))
        }),
        4 => (0..6_u64, any::<bool>(), any::<bool>()).prop_map(|(tag, multiple, requeue)| {
            AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack { delivery_tag: tag, multiple, requeue }))
        }),
        2 => (0..4_u16, any::<bool>()).prop_map(|(count, global)| {
            AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos { prefetch_count: count, global }))
        }),
        1 => Just(AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }))),
        1 => Just(AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {}))),
        1 => Just(AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {}))),
        1 => Just(AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {}))),
        1 => Just(AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))),
        1 => Just(AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))),
    ];
    let method_frame = (1..4_u16, class).prop_map(|(number, class)| method(number, class));
    let content = prop_oneof![Just("q"), Just("r"), Just("nowhere")].prop_map(|key| publish(key, b"body"));
    prop_oneof![3 => method_frame, 2 => content]
}

#[test]
fn a_client_that_never_reads_gets_a_bounded_amount_and_harms_nobody() {
    let options = EmbeddedOptions {
        send_timeout: Duration::from_secs(2),
        ..EmbeddedOptions::default()
    };
    let broker = EmbeddedBroker::start(options).expect("starts");
    let mut publisher = Wire::open(&guest(&broker)).expect("logs in");
    publisher.open_channel(1).expect("opens");
    publisher.send(1, declare("slow")).expect("sent");
    publisher.must().expect("declared");
    let mut sleeper = Wire::open(&guest(&broker)).expect("logs in");
    sleeper.open_channel(1).expect("opens");
    let consume = basic::Consume {
        queue: "slow".into(),
        consumer_tag: "sleeper".into(),
        no_local: false,
        no_ack: true,
        exclusive: false,
        nowait: true,
        arguments: FieldTable::default(),
    };
    sleeper
        .send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
        .expect("sent");
    let body = vec![7; 100_000];
    for _ in 0..400 {
        publisher
            .publish(
                1,
                basic::Publish {
                    exchange: "".into(),
                    routing_key: "slow".into(),
                    mandatory: false,
                    immediate: false,
                },
                BasicProperties::default(),
                &body,
            )
            .expect("published");
    }
    // 40 MB were published; what the kernel's buffers and the broker's 1 MiB do not hold stays in the queue.
    wait_until("the queue holds the rest", || {
        broker.queue_depths().iter().any(|queue| queue.ready > 200)
    });
    wait_until("the sleeper is given up", || {
        broker.queue_depths().iter().all(|queue| queue.consumers == 0)
    });
    let get = basic::Get {
        queue: "slow".into(),
        no_ack: true,
    };
    publisher
        .send(1, AMQPClass::Basic(basic::AMQPMethod::Get(get)))
        .expect("sent");
    assert!(matches!(
        publisher.must().expect("served"),
        Event::Content(1, basic::AMQPMethod::GetOk(_), _, _)
    ));
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_publisher_without_limit_is_blocked_and_let_go_when_memory_is_free_again() {
    const LIMIT: u64 = 8 << 20;
    let options = EmbeddedOptions {
        memory_limit: LIMIT,
        ..EmbeddedOptions::default()
    };
    let broker = EmbeddedBroker::start(options).expect("starts");
    let mut control = Wire::open(&guest(&broker)).expect("logs in");
    control.open_channel(1).expect("opens");
    control.send(1, declare("flood")).expect("sent");
    control.must().expect("declared");
    let target = guest(&broker);
    let flood = std::thread::spawn(move || {
        let mut wire = Wire::open(&target).expect("logs in");
        wire.open_channel(1).expect("opens");
        let body = vec![1; 50_000];
        for _ in 0..600 {
            let publish = basic::Publish {
                exchange: "".into(),
                routing_key: "flood".into(),
                mandatory: false,
                immediate: false,
            };
            wire.publish(1, publish, BasicProperties::default(), &body)
                .expect("published in the end");
        }
        let mut told = Vec::new();
        while told.len() < 2 {
            match wire.must().expect("told") {
                Event::Method(0, AMQPClass::Connection(method)) => told.push(method.clone()),
                other => panic!("unexpected {other:?}"),
            }
        }
        // Not closed before all was received: a socket closed with unread input takes unsent output with it.
        (wire, told)
    });
    wait_until("the alarm", || broker.handle().is_memory_alarm_raised());
    // The other connection goes on, and what it takes away makes room.
    let mut highest = 0;
    let mut received = 0;
    let deadline = Instant::now() + PATIENCE;
    while received < 600 {
        assert!(
            Instant::now() < deadline,
            "{received} of 600 received, {} bytes held",
            broker.handle().memory_used()
        );
        highest = highest.max(broker.handle().memory_used());
        let get = basic::Get {
            queue: "flood".into(),
            no_ack: true,
        };
        control
            .send(1, AMQPClass::Basic(basic::AMQPMethod::Get(get)))
            .expect("sent");
        if let Event::Content(..) = control.must().expect("served") {
            received += 1;
        }
    }
    let (_open, told) = flood.join().expect("the publisher got through");
    assert!(matches!(told[0], connection::AMQPMethod::Blocked(_)), "{told:?}");
    assert!(matches!(told[1], connection::AMQPMethod::Unblocked(_)), "{told:?}");
    // One read batch and one message may pass beyond the limit.
    assert!(highest < LIMIT + (2 << 20), "{highest} bytes with a limit of {LIMIT}");
}

#[test]
fn a_client_of_another_protocol_is_shown_the_right_header_and_hung_up_on() {
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let mut stream = TcpStream::connect(broker.addr()).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    // A reset instead of an end is fine too: there was input that nobody read.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"AMQP\x00\x00\x09\x01");
}

#[test]
fn a_client_that_says_nothing_is_hung_up_on_after_the_handshake_timeout() {
    let options = EmbeddedOptions {
        handshake_timeout: Duration::from_millis(200),
        ..EmbeddedOptions::default()
    };
    let broker = EmbeddedBroker::start(options).expect("starts");
    let mut stream = TcpStream::connect(broker.addr()).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("ends");
    assert!(answer.is_empty());
}

#[test]
fn a_silent_client_is_given_up_after_two_heartbeats_and_hears_ours() {
    let options = EmbeddedOptions {
        heartbeat: 1,
        ..EmbeddedOptions::default()
    };
    let broker = EmbeddedBroker::start(options).expect("starts");
    let mut stream = TcpStream::connect(broker.addr()).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let target = guest(&broker);
    let tune_ok = connection::TuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 1,
    };
    let open = connection::Open {
        virtual_host: "/".into(),
    };
    let input = [
        b"AMQP\x00\x00\x09\x01".to_vec(),
        method(0, wire::start_ok(&target)),
        method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))),
        method(0, AMQPClass::Connection(connection::AMQPMethod::Open(open))),
    ]
    .concat();
    stream.write_all(&input).expect("sent");
    let started = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("ends");
    assert!(
        (2.0..6.0).contains(&started.elapsed().as_secs_f64()),
        "{:?}",
        started.elapsed()
    );
    let beats = frames(&answer)
        .iter()
        .filter(|frame| **frame == AMQPFrame::Heartbeat)
        .count();
    assert!(beats >= 2, "{beats} heartbeats");
}
