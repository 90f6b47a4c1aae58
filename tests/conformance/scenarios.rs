//! The scenarios: each must hold on every broker kind, with the same expectations.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, connection};
use amq_protocol::types::AMQPValue;

use super::client::{Client, EXCLUSIVE, Kind, PASSIVE, got, table, text};
use super::wire::{Event, Target, Wire};

pub type Scenario = (&'static str, fn(&Target));

pub const ALL: &[Scenario] = &[
    ("a_wrong_password_is_refused_with_403", wrong_password),
    ("an_unknown_vhost_is_refused_with_530", unknown_vhost),
    ("a_message_larger_than_a_frame_arrives_whole", large_message),
    ("an_empty_message_arrives_with_its_properties", empty_message),
    ("rejected_messages_go_back_to_their_place_and_say_so", original_place),
    ("what_a_dead_channel_held_is_delivered_again_in_order", dead_channel),
    ("prefetch_bounds_a_consumer_and_an_ack_lets_the_next_through", prefetch),
    ("a_global_prefetch_bounds_all_consumers_of_the_channel", global_prefetch),
    ("consumers_with_room_take_turns", round_robin),
    ("a_consumer_of_higher_priority_goes_first", consumer_priority),
    (
        "one_active_consumer_gets_everything_and_the_next_takes_over",
        single_active,
    ),
    ("an_exclusive_consumer_keeps_others_away", exclusive_consumer),
    (
        "an_exclusive_queue_is_locked_to_its_connection_and_dies_with_it",
        exclusive_queue,
    ),
    ("a_consumer_is_told_that_its_queue_is_gone", cancel_notification),
    ("an_auto_delete_queue_goes_with_its_last_consumer", auto_delete),
    (
        "mandatory_messages_come_back_before_they_are_confirmed",
        returned_before_confirm,
    ),
    ("a_full_queue_refuses_a_publish_with_a_nack", reject_publish),
    ("a_full_queue_drops_its_oldest_message_by_default", drop_head),
    ("a_limit_in_bytes_counts_bodies", max_length_bytes),
    ("messages_expire_at_the_head_and_carry_their_story", message_ttl),
    ("the_shorter_of_both_times_to_live_counts", shorter_ttl),
    ("an_expired_message_loses_its_expiration", expiration_removed),
    ("dying_again_in_the_same_way_counts_up", death_count),
    ("a_cycle_of_expiries_ends", expiry_cycle),
    ("an_unused_queue_expires", queue_expiry),
    ("higher_priorities_are_delivered_first", priorities),
    (
        "a_message_that_overtakes_by_priority_expires_only_when_the_queue_is_next_used",
        overtaking_expiry,
    ),
    ("topic_patterns_match_by_words", topics),
    ("headers_match_all_or_any", headers),
    (
        "exchanges_bound_to_exchanges_pass_messages_on_once",
        exchange_to_exchange,
    ),
    (
        "what_an_exchange_cannot_route_goes_to_its_alternate",
        alternate_exchange,
    ),
    (
        "a_message_that_one_of_its_keys_routes_does_not_go_to_the_alternate",
        alternate_and_copies,
    ),
    ("a_reply_comes_straight_to_the_channel_that_asked", direct_reply),
    ("a_quorum_queue_drops_a_message_at_its_delivery_limit", delivery_limit),
    ("a_quorum_queue_is_durable_or_refused", quorum_durable),
    (
        "a_quorum_queue_refuses_a_global_prefetch_with_540",
        quorum_global_prefetch,
    ),
    ("declaring_differently_is_refused_with_406", inequivalent),
    ("an_unknown_tag_closes_the_channel_with_406", unknown_tag),
    (
        "publishing_to_a_missing_exchange_closes_the_channel_with_404",
        missing_exchange,
    ),
    ("a_reused_consumer_tag_closes_the_connection_with_530", reused_tag),
    ("immediate_closes_the_connection_with_540", immediate),
    ("a_transaction_shows_nothing_before_its_commit", transaction),
    (
        "a_commit_of_which_a_queue_refuses_a_part_closes_the_channel_with_406",
        partial_commit,
    ),
    (
        "messages_gotten_before_a_global_prefetch_take_their_share_of_it",
        gotten_before_limit,
    ),
];

fn long(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

fn plain() -> BasicProperties {
    BasicProperties::default()
}

fn close_code(wire: &mut Wire) -> u16 {
    match wire.must().expect("an event") {
        Event::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => close.reply_code,
        other => panic!("the connection was to be closed, not {other:?}"),
    }
}

fn wrong_password(target: &Target) {
    let wrong = Target {
        password: "wrong".to_owned(),
        ..target.clone()
    };
    let mut wire = Wire::raw(target.address).expect("connects");
    let error = wire.start(&wrong, "/").expect_err("login");
    assert!(error.to_string().contains("reply_code: 403"), "{error}");
}

fn unknown_vhost(target: &Target) {
    let mut wire = Wire::raw(target.address).expect("connects");
    wire.start(target, "nowhere").expect("until open");
    assert_eq!(close_code(&mut wire), 530);
}

fn large_message(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.large", &[]);
    for size in [131_063, 131_064, 131_065, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|at: u32| at as u8).collect();
        client.publish_with("", "c.large", &body, false, plain());
        assert!(client.get_soon("c.large").body == body, "{size} bytes");
    }
}

fn empty_message(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.empty", &[]);
    let properties = plain()
        .with_message_id("m".into())
        .with_timestamp(7)
        .with_type("t".into());
    client.publish_with("", "c.empty", b"", false, properties.clone());
    let message = client.get_soon("c.empty");
    assert_eq!((message.body, message.properties), (Vec::new(), properties));
}

fn fill(client: &mut Client, queue: &str, bodies: &[&str]) {
    for body in bodies {
        client.publish("", queue, body);
    }
}

fn original_place(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.place", &[]);
    fill(&mut client, "c.place", &["1", "2", "3", "4"]);
    let taken: Vec<_> = (0..3).map(|_| client.get_soon("c.place")).collect();
    assert!(taken.iter().all(|message| !message.redelivered));
    client.nack(1, taken[1].tag, false, true);
    client.nack(1, taken[2].tag, false, true);
    client.nack(1, taken[0].tag, false, true);
    let again: Vec<_> = (0..4)
        .map(|_| client.get_soon("c.place"))
        .map(|m| (m.text(), m.redelivered))
        .collect();
    let expected = [("1", true), ("2", true), ("3", true), ("4", false)].map(|(body, flag)| (body.to_owned(), flag));
    assert_eq!(again, expected);
}

fn dead_channel(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.dead", &[]);
    fill(&mut client, "c.dead", &["1", "2", "3"]);
    client.wire.open_channel(2).expect("opens");
    client.consume(2, "c.dead", "doomed");
    for _ in 0..3 {
        client.delivery();
    }
    client.ack(2, 99, false);
    assert_eq!(client.closed(2), 406);
    client.consume(2, "c.dead", "heir");
    let again: Vec<_> = (0..3)
        .map(|_| client.delivery())
        .map(|m| (m.text(), m.redelivered))
        .collect();
    assert_eq!(again, ["1", "2", "3"].map(|body| (body.to_owned(), true)));
}

fn prefetch(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.prefetch", &[]);
    fill(&mut client, "c.prefetch", &["1", "2", "3", "4"]);
    client.qos(1, 2, false);
    client.consume(1, "c.prefetch", "t");
    assert_eq!(
        (client.delivery().text(), client.delivery().text()),
        ("1".into(), "2".into())
    );
    client.silence();
    client.ack(1, 1, false);
    assert_eq!(client.delivery().text(), "3");
    client.silence();
    client.ack(1, 3, true);
    assert_eq!(client.delivery().text(), "4");
}

fn global_prefetch(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.global.a", &[]);
    client.queue("c.global.b", &[]);
    client.qos(1, 1, true);
    client.consume(1, "c.global.a", "a");
    client.consume(1, "c.global.b", "b");
    client.publish("", "c.global.a", "1");
    assert_eq!(client.delivery().text(), "1");
    client.publish("", "c.global.b", "2");
    client.silence();
    client.ack(1, 1, false);
    assert_eq!(client.delivery().text(), "2");
}

fn round_robin(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.turns", &[]);
    for tag in ["a", "b", "c"] {
        client.consume(1, "c.turns", tag);
    }
    let mut turns = Vec::new();
    for body in ["1", "2", "3", "4", "5", "6"] {
        client.publish("", "c.turns", body);
        turns.push(client.delivery().consumer);
    }
    assert_eq!(turns, ["a", "b", "c", "a", "b", "c"]);
}

fn consumer_priority(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.first", &[]);
    client.consume(1, "c.first", "low");
    client.qos(1, 1, false);
    client.consume_with(1, "c.first", "high", false, &[("x-priority", long(10))]);
    client.event();
    client.publish("", "c.first", "1");
    assert_eq!(client.delivery().consumer, "high");
    client.publish("", "c.first", "2");
    assert_eq!(client.delivery().consumer, "low");
}

fn single_active(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.sac", &[("x-single-active-consumer", AMQPValue::Boolean(true))]);
    client.consume(1, "c.sac", "first");
    client.consume(1, "c.sac", "second");
    for body in ["1", "2"] {
        client.publish("", "c.sac", body);
        assert_eq!(client.delivery().consumer, "first");
    }
    client.cancel(1, "first");
    client.publish("", "c.sac", "3");
    assert_eq!(client.delivery().consumer, "second");
}

fn exclusive_consumer(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.alone", &[]);
    client.wire.open_channel(2).expect("opens");
    client.consume_with(1, "c.alone", "only", true, &[]);
    client.event();
    client.consume_with(2, "c.alone", "other", false, &[]);
    assert_eq!(client.closed(2), 403);
    client.cancel(1, "only");
    client.consume(2, "c.alone", "other");
}

fn exclusive_queue(target: &Target) {
    let mut owner = Client::open(target);
    let mut other = Client::open(target);
    owner.queue("c.mine", &[]);
    other.send_declare("c.mine", PASSIVE, &[]);
    assert_eq!(other.closed(1), 405);
    drop(owner);
    other.await_gone("c.mine");
}

fn cancel_notification(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.gone", &[]);
    client.wire.open_channel(2).expect("opens");
    client.consume(2, "c.gone", "t");
    client.send_delete("c.gone");
    // The notification and the answer are on two channels: either may come first.
    let events = [client.event(), client.event()];
    let told = events.iter().any(|event| {
        matches!(event, Event::Method(2, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))
            if cancel.consumer_tag.as_str() == "t")
    });
    assert!(told, "{events:?}");
}

fn auto_delete(target: &Target) {
    let mut client = Client::open(target);
    client.declare(
        "c.auto",
        Kind {
            auto_delete: true,
            ..EXCLUSIVE
        },
        &[],
    );
    client.consume(1, "c.auto", "t");
    client.cancel(1, "t");
    client.await_gone("c.auto");
}

fn returned_before_confirm(target: &Target) {
    let mut client = Client::open(target);
    client.confirm();
    client.publish_with("", "c.nowhere", b"back", true, plain());
    let message = got(client.event());
    assert_eq!((message.text(), message.key.as_str()), ("back".to_owned(), "c.nowhere"));
    assert_eq!(client.answers(1, 1), [true]);
}

fn reject_publish(target: &Target) {
    let mut client = Client::open(target);
    client.queue(
        "c.full",
        &[("x-max-length", long(2)), ("x-overflow", text("reject-publish"))],
    );
    client.confirm();
    fill(&mut client, "c.full", &["1", "2", "3"]);
    assert_eq!(client.answers(1, 3), [true, true, false]);
    client.await_depth("c.full", 2);
}

fn drop_head(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.dropped", &[]);
    let arguments = [
        ("x-max-length", long(2)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.dropped")),
    ];
    client.queue("c.short", &arguments);
    fill(&mut client, "c.short", &["1", "2", "3"]);
    let dropped = client.get_soon("c.dropped");
    assert_eq!(dropped.text(), "1");
    assert_eq!(dropped.deaths(), [("c.short".to_owned(), "maxlen".to_owned(), 1)]);
    assert_eq!(client.get_soon("c.short").text(), "2");
}

fn max_length_bytes(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.bytes", &[("x-max-length-bytes", long(10))]);
    client.confirm();
    fill(&mut client, "c.bytes", &["12345", "67890", "x"]);
    client.answers(1, 3);
    client.await_depth("c.bytes", 2);
    assert_eq!(client.get_soon("c.bytes").text(), "67890");
}

fn message_ttl(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.expired", &[]);
    let arguments = [
        ("x-message-ttl", long(50)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.expired")),
    ];
    client.queue("c.ttl", &arguments);
    fill(&mut client, "c.ttl", &["1", "2"]);
    let first = client.get_soon("c.expired");
    assert_eq!(first.text(), "1");
    assert_eq!(first.deaths(), [("c.ttl".to_owned(), "expired".to_owned(), 1)]);
    assert_eq!(first.header("x-first-death-queue"), Some(text("c.ttl")));
    assert_eq!(first.header("x-first-death-reason"), Some(text("expired")));
    assert_eq!(first.header("x-first-death-exchange"), Some(text("")));
    assert_eq!(client.get_soon("c.expired").text(), "2");
    client.await_depth("c.ttl", 0);
}

fn shorter_ttl(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.shorter", &[("x-message-ttl", long(3_600_000))]);
    client.publish_with("", "c.shorter", b"1", false, plain().with_expiration("30".into()));
    client.publish_with("", "c.shorter", b"2", false, plain().with_expiration("7200000".into()));
    // Long after the first message's time and long before the second's.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.get_soon("c.shorter").text(), "2");
}

fn expiration_removed(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.freed", &[]);
    let arguments = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.freed")),
    ];
    client.queue("c.mortal", &arguments);
    client.publish_with("", "c.mortal", b"1", false, plain().with_expiration("20".into()));
    let message = client.get_soon("c.freed");
    assert_eq!(message.properties.expiration(), &None);
    let Some(AMQPValue::FieldArray(deaths)) = message.header("x-death") else {
        panic!("no x-death in {message:?}");
    };
    let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else {
        panic!("no table in {deaths:?}");
    };
    assert_eq!(death.inner().get("original-expiration"), Some(&text("20")));
}

fn death_count(target: &Target) {
    let mut client = Client::open(target);
    let back = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.retry")),
    ];
    client.queue("c.work", &back);
    let retry = [
        ("x-message-ttl", long(20)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.work")),
    ];
    client.queue("c.retry", &retry);
    client.publish("", "c.work", "1");
    for round in 0..3 {
        let message = client.get_soon("c.work");
        let expected = match round {
            0 => vec![],
            n => vec![
                ("c.retry".to_owned(), "expired".to_owned(), n),
                ("c.work".to_owned(), "rejected".to_owned(), n),
            ],
        };
        assert_eq!(message.deaths(), expected);
        client.nack(1, message.tag, false, false);
    }
}

fn expiry_cycle(target: &Target) {
    let mut client = Client::open(target);
    let arguments = |to: &str| {
        [
            ("x-message-ttl", long(20)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(to)),
        ]
    };
    client.queue("c.ring.a", &arguments("c.ring.b"));
    client.queue("c.ring.b", &arguments("c.ring.a"));
    client.publish("", "c.ring.a", "1");
    std::thread::sleep(Duration::from_millis(200));
    client.await_depth("c.ring.a", 0);
    client.await_depth("c.ring.b", 0);
}

fn queue_expiry(target: &Target) {
    let mut client = Client::open(target);
    client.declare("c.unused", Kind::default(), &[("x-expires", long(100))]);
    // Asking counts as use, so there must be more than the expiry between two questions.
    client.await_gone("c.unused");
}

fn priorities(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.priority", &[("x-max-priority", long(5))]);
    for (body, priority) in [("low", 0), ("high", 9), ("middle", 3), ("high too", 5)] {
        client.publish_with(
            "",
            "c.priority",
            body.as_bytes(),
            false,
            plain().with_priority(priority),
        );
    }
    let order: Vec<_> = (0..4).map(|_| client.get_soon("c.priority").text()).collect();
    assert_eq!(order, ["high", "high too", "middle", "low"]);
}

/// RabbitMQ looks for expired messages only where the head can have changed, and does not count a message of higher
/// priority as a new head.
fn overtaking_expiry(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.overtaking", &[("x-max-priority", long(1))]);
    client.publish("", "c.overtaking", "slow");
    for _ in 0..2 {
        let urgent = plain().with_priority(1).with_expiration("0".into());
        client.publish_with("", "c.overtaking", b"urgent", false, urgent);
    }
    client.await_depth("c.overtaking", 3);
    assert_eq!(client.get_soon("c.overtaking").text(), "urgent", "late, but delivered");
    client.await_depth("c.overtaking", 1);
    assert_eq!(client.get_soon("c.overtaking").text(), "slow");
}

fn topics(target: &Target) {
    let mut client = Client::open(target);
    client.exchange("c.topics", "topic", &[]);
    for (queue, pattern) in [("c.t.star", "order.*.paid"), ("c.t.hash", "order.#"), ("c.t.all", "#")] {
        client.queue(queue, &[]);
        client.bind(queue, "c.topics", pattern, &[]);
    }
    for key in ["order.1.paid", "order", "order.1.2.paid", "other", ""] {
        client.publish("c.topics", key, key);
    }
    let mut keys = |queue: &str| {
        let mut keys = Vec::new();
        while let Some(message) = client.get(queue) {
            keys.push(message.key);
        }
        keys
    };
    assert_eq!(keys("c.t.star"), ["order.1.paid"]);
    assert_eq!(keys("c.t.hash"), ["order.1.paid", "order", "order.1.2.paid"]);
    assert_eq!(
        keys("c.t.all"),
        ["order.1.paid", "order", "order.1.2.paid", "other", ""]
    );
}

fn headers(target: &Target) {
    let mut client = Client::open(target);
    client.exchange("c.headers", "headers", &[]);
    for (queue, demand) in [("c.h.all", "all"), ("c.h.any", "any")] {
        client.queue(queue, &[]);
        client.bind(
            queue,
            "c.headers",
            "",
            &[("x-match", text(demand)), ("a", text("1")), ("b", long(2))],
        );
    }
    let with = |entries: &[(&str, AMQPValue)]| plain().with_headers(super::client::table(entries));
    client.publish_with(
        "c.headers",
        "",
        b"both",
        false,
        with(&[("a", text("1")), ("b", long(2))]),
    );
    client.publish_with("c.headers", "", b"one", false, with(&[("a", text("1"))]));
    client.publish_with("c.headers", "", b"none", false, plain());
    client.await_depth("c.h.all", 1);
    client.await_depth("c.h.any", 2);
}

fn exchange_to_exchange(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.e2e", &[]);
    client.exchange("c.e2e.in", "fanout", &[]);
    client.exchange("c.e2e.out", "topic", &[]);
    client.bind("c.e2e", "c.e2e.out", "a.*", &[]);
    client.bind_exchange("c.e2e.out", "c.e2e.in", "");
    client.bind("c.e2e", "c.e2e.in", "", &[]);
    client.publish("c.e2e.in", "a.b", "1");
    client.await_depth("c.e2e", 1);
}

fn alternate_exchange(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.spill", &[]);
    client.queue("c.matched", &[]);
    client.exchange("c.alternate", "fanout", &[]);
    client.bind("c.spill", "c.alternate", "", &[]);
    client.exchange("c.main", "direct", &[("alternate-exchange", text("c.alternate"))]);
    client.bind("c.matched", "c.main", "yes", &[]);
    client.publish("c.main", "yes", "1");
    client.publish("c.main", "no", "2");
    assert_eq!(client.get_soon("c.matched").text(), "1");
    let spilled = client.get_soon("c.spill");
    assert_eq!((spilled.text().as_str(), spilled.exchange.as_str()), ("2", "c.main"));
    client.await_depth("c.matched", 0);
}

fn alternate_and_copies(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.cc.spill", &[]);
    client.queue("c.cc.matched", &[]);
    client.exchange("c.cc.alternate", "fanout", &[]);
    client.bind("c.cc.spill", "c.cc.alternate", "", &[]);
    client.exchange("c.cc.main", "direct", &[("alternate-exchange", text("c.cc.alternate"))]);
    client.bind("c.cc.matched", "c.cc.main", "yes", &[]);
    let copies = AMQPValue::FieldArray(vec![text("yes"), text("no")].into());
    for (body, key) in [(b"1", "no"), (b"2", "yes")] {
        let properties = plain().with_headers(table(&[("CC", copies.clone())]));
        client.publish_with("c.cc.main", key, body, false, properties);
    }
    assert_eq!(client.get_soon("c.cc.matched").text(), "1");
    assert_eq!(client.get_soon("c.cc.matched").text(), "2");
    client.await_depth("c.cc.spill", 0);
}

fn direct_reply(target: &Target) {
    let mut asker = Client::open(target);
    let mut server = Client::open(target);
    server.queue("c.rpc", &[]);
    let consume = basic::Consume {
        queue: "amq.rabbitmq.reply-to".into(),
        consumer_tag: "replies".into(),
        no_local: false,
        no_ack: true,
        exclusive: false,
        nowait: false,
        arguments: super::client::table(&[]),
    };
    asker.send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    asker.event();
    asker.publish_with(
        "",
        "c.rpc",
        b"question",
        false,
        plain().with_reply_to("amq.rabbitmq.reply-to".into()),
    );
    let question = server.get_soon("c.rpc");
    let reply_to = question.properties.reply_to().clone().expect("a reply-to").to_string();
    assert_ne!(reply_to, "amq.rabbitmq.reply-to");
    server.publish("", &reply_to, "answer");
    let answer = asker.delivery();
    assert_eq!(
        (answer.text().as_str(), answer.consumer.as_str()),
        ("answer", "replies")
    );
}

fn quorum(arguments: &[(&'static str, AMQPValue)]) -> Vec<(&'static str, AMQPValue)> {
    [&[("x-queue-type", text("quorum"))], arguments].concat()
}

fn delivery_limit(target: &Target) {
    let mut client = Client::open(target);
    let durable = Kind {
        durable: true,
        ..Kind::default()
    };
    client.delete("c.limited");
    client.queue("c.poison", &[]);
    let arguments = quorum(&[
        ("x-delivery-limit", long(2)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("c.poison")),
    ]);
    client.declare("c.limited", durable, &arguments);
    client.publish("", "c.limited", "1");
    client.consume(1, "c.limited", "t");
    for returns in 0..3 {
        let message = client.delivery();
        assert_eq!(message.redelivered, returns > 0);
        let counted = (returns > 0).then_some(AMQPValue::LongLongInt(returns));
        assert_eq!(message.header("x-delivery-count"), counted);
        client.nack(1, message.tag, false, true);
    }
    let dead = client.get_soon("c.poison");
    assert_eq!(
        dead.deaths(),
        [("c.limited".to_owned(), "delivery_limit".to_owned(), 1)]
    );
    client.cancel(1, "t");
    client.delete("c.limited");
}

fn quorum_durable(target: &Target) {
    let mut client = Client::open(target);
    client.send_declare("c.transient", Kind::default(), &quorum(&[]));
    assert_eq!(client.closed(1), 406);
    client.send_declare(
        "c.exclusive",
        Kind {
            durable: true,
            ..EXCLUSIVE
        },
        &quorum(&[]),
    );
    assert_eq!(client.closed(1), 406);
    client.send_declare(
        "c.prior",
        Kind {
            durable: true,
            ..Kind::default()
        },
        &quorum(&[("x-max-priority", long(3))]),
    );
    assert_eq!(client.closed(1), 406);
}

fn quorum_global_prefetch(target: &Target) {
    let mut client = Client::open(target);
    let durable = Kind {
        durable: true,
        ..Kind::default()
    };
    client.declare("c.quorum.global", durable, &quorum(&[]));
    client.qos(1, 5, true);
    client.consume_with(1, "c.quorum.global", "t", false, &[]);
    assert_eq!(close_code(&mut client.wire), 540);
    Client::open(target).delete("c.quorum.global");
}

fn inequivalent(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.same", &[("x-max-length", long(5))]);
    client.queue("c.same", &[("x-max-length", AMQPValue::LongLongInt(5))]);
    client.send_declare("c.same", EXCLUSIVE, &[("x-max-length", long(6))]);
    assert_eq!(client.closed(1), 406);
}

fn unknown_tag(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.tags", &[]);
    fill(&mut client, "c.tags", &["1"]);
    let tag = client.get_soon("c.tags").tag;
    client.ack(1, tag, false);
    client.ack(1, tag, false);
    assert_eq!(client.closed(1), 406);
}

fn missing_exchange(target: &Target) {
    let mut client = Client::open(target);
    client.publish("c.no.exchange", "k", "1");
    assert_eq!(client.closed(1), 404);
}

fn reused_tag(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.reused", &[]);
    client.consume(1, "c.reused", "t");
    client.consume_with(1, "c.reused", "t", false, &[]);
    assert_eq!(close_code(&mut client.wire), 530);
}

fn immediate(target: &Target) {
    let mut client = Client::open(target);
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: "q".into(),
        mandatory: false,
        immediate: true,
    };
    client.wire.publish(1, publish, plain(), b"").expect("sent");
    assert_eq!(close_code(&mut client.wire), 540);
}

fn transaction(target: &Target) {
    use amq_protocol::protocol::tx;
    let mut client = Client::open(target);
    client.queue("c.tx", &[]);
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
    client.event();
    client.publish("", "c.tx", "forgotten");
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})));
    client.event();
    client.publish("", "c.tx", "kept");
    client.await_depth("c.tx", 0);
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})));
    client.event();
    assert_eq!(client.get_soon("c.tx").text(), "kept");
}

fn partial_commit(target: &Target) {
    use amq_protocol::protocol::tx;
    let mut client = Client::open(target);
    let limits = [("x-max-length", long(1)), ("x-overflow", text("reject-publish"))];
    client.queue("c.tx.full", &limits);
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
    client.event();
    fill(&mut client, "c.tx.full", &["taken", "refused"]);
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})));
    assert_eq!(client.closed(1), 406);
    assert_eq!(client.get_soon("c.tx.full").text(), "taken", "the rest is carried out");
}

/// They keep it even once they are settled, until the limit is lifted.
fn gotten_before_limit(target: &Target) {
    let mut client = Client::open(target);
    client.queue("c.gotten", &[]);
    fill(&mut client, "c.gotten", &["gotten", "waits"]);
    let gotten = client.get_soon("c.gotten");
    client.qos(1, 1, true);
    client.consume(1, "c.gotten", "a");
    client.silence();
    client.ack(1, gotten.tag, false);
    client.silence();
    client.qos(1, 0, true);
    assert_eq!(client.delivery().text(), "waits");
}
