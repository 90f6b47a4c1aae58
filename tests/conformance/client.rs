//! A client for scenarios: every call says what it expects and panics with what came instead.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};

use super::wire::{Event, Target, Wire};

const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing must come, to be believed that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

pub struct Client {
    pub wire: Wire,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub tag: u64,
    pub consumer: String,
    pub redelivered: bool,
    pub exchange: String,
    pub key: String,
    pub left: u32,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name).cloned()
    }

    /// The deaths in `x-death` as (queue, reason, count).
    pub fn deaths(&self) -> Vec<(String, String, i64)> {
        let Some(AMQPValue::FieldArray(deaths)) = self.header("x-death") else {
            return Vec::new();
        };
        let death = |value: &AMQPValue| {
            let AMQPValue::FieldTable(death) = value else {
                panic!("a death is a table, not {value:?}");
            };
            let text = |name: &str| match death.inner().get(name) {
                Some(AMQPValue::LongString(text)) => text.to_string(),
                other => panic!("{name} is {other:?}"),
            };
            let count = match death.inner().get("count") {
                Some(AMQPValue::LongLongInt(count)) => *count,
                other => panic!("count is {other:?}"),
            };
            (text("queue"), text("reason"), count)
        };
        deaths.as_slice().iter().map(death).collect()
    }
}

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.as_bytes().to_vec().into())
}

pub fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// What a queue is declared with, beside its name and arguments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kind {
    pub passive: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
}

pub const EXCLUSIVE: Kind = Kind {
    passive: false,
    durable: false,
    exclusive: true,
    auto_delete: false,
};
pub const PASSIVE: Kind = Kind {
    passive: true,
    durable: false,
    exclusive: false,
    auto_delete: false,
};

impl Client {
    pub fn open(target: &Target) -> Self {
        let mut wire = Wire::open(target).expect("logs in");
        wire.open_channel(1).expect("opens a channel");
        Self { wire }
    }

    pub fn event(&mut self) -> Event {
        self.wire
            .next(PATIENCE)
            .expect("a working socket")
            .expect("an event in time")
    }

    pub fn silence(&mut self) {
        let event = self.wire.next(SILENCE).expect("a working socket");
        assert_eq!(event, None, "nothing was to come");
    }

    pub fn send(&mut self, channel: u16, class: AMQPClass) {
        self.wire.send(channel, class).expect("sent");
    }

    fn answer(&mut self, channel: u16) -> AMQPClass {
        match self.event() {
            Event::Method(number, class) if number == channel => class,
            other => panic!("an answer on channel {channel} was to come, not {other:?}"),
        }
    }

    /// The code with which the broker closes the channel.
    pub fn closed(&mut self, number: u16) -> u16 {
        match self.answer(number) {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                self.send(
                    number,
                    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})),
                );
                self.wire.open_channel(number).expect("opens again");
                close.reply_code
            }
            other => panic!("the channel was to be closed, not {other:?}"),
        }
    }

    pub fn send_declare(&mut self, name: &str, kind: Kind, arguments: &[(&str, AMQPValue)]) {
        let declare = queue::Declare {
            queue: name.into(),
            passive: kind.passive,
            durable: kind.durable,
            exclusive: kind.exclusive,
            auto_delete: kind.auto_delete,
            nowait: false,
            arguments: table(arguments),
        };
        self.send(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    }

    /// Declares; returns name, ready messages, consumers.
    pub fn declare(&mut self, name: &str, kind: Kind, arguments: &[(&str, AMQPValue)]) -> (String, u32, u32) {
        self.send_declare(name, kind, arguments);
        match self.answer(1) {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => {
                (ok.queue.as_str().to_owned(), ok.message_count, ok.consumer_count)
            }
            other => panic!("declare-ok was to come, not {other:?}"),
        }
    }

    /// An exclusive queue, which is gone when the scenario is over.
    pub fn queue(&mut self, name: &str, arguments: &[(&str, AMQPValue)]) {
        self.declare(name, EXCLUSIVE, arguments);
    }

    pub fn depth(&mut self, name: &str) -> u32 {
        self.declare(name, PASSIVE, &[]).1
    }

    /// Waits until the queue holds `wanted` ready messages. RabbitMQ answers about a queue before it has taken in what
    /// was published just before.
    pub fn await_depth(&mut self, name: &str, wanted: u32) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let depth = self.depth(name);
            if depth == wanted {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{name} holds {depth}, not {wanted}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until there is no such queue.
    pub fn await_gone(&mut self, name: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            self.send_declare(name, PASSIVE, &[]);
            match self.event() {
                Event::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))) => {}
                Event::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                    assert!(matches!(close.reply_code, 404 | 405), "{close:?}");
                    self.send(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
                    self.wire.open_channel(1).expect("opens again");
                    if close.reply_code == 404 {
                        return;
                    }
                }
                other => panic!("unexpected {other:?}"),
            }
            assert!(std::time::Instant::now() < deadline, "{name} is still there");
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    pub fn exchange(&mut self, name: &str, kind: &str, arguments: &[(&str, AMQPValue)]) {
        let declare = exchange::Declare {
            exchange: name.into(),
            kind: kind.into(),
            passive: false,
            durable: false,
            // Goes with its last binding, hence with the exclusive queues of the scenario.
            auto_delete: true,
            internal: false,
            nowait: false,
            arguments: table(arguments),
        };
        self.send(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)));
        let answer = self.answer(1);
        assert!(
            matches!(answer, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_))),
            "{answer:?}"
        );
    }

    pub fn bind(&mut self, queue: &str, exchange: &str, key: &str, arguments: &[(&str, AMQPValue)]) {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            nowait: false,
            arguments: table(arguments),
        };
        self.send(1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
        let answer = self.answer(1);
        assert!(
            matches!(answer, AMQPClass::Queue(queue::AMQPMethod::BindOk(_))),
            "{answer:?}"
        );
    }

    pub fn bind_exchange(&mut self, destination: &str, source: &str, key: &str) {
        let bind = exchange::Bind {
            destination: destination.into(),
            source: source.into(),
            routing_key: key.into(),
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.send(1, AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind)));
        let answer = self.answer(1);
        assert!(
            matches!(answer, AMQPClass::Exchange(exchange::AMQPMethod::BindOk(_))),
            "{answer:?}"
        );
    }

    pub fn send_delete(&mut self, name: &str) {
        let delete = queue::Delete {
            queue: name.into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        self.send(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
    }

    pub fn delete(&mut self, name: &str) -> u32 {
        self.send_delete(name);
        match self.answer(1) {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(ok)) => ok.message_count,
            other => panic!("delete-ok was to come, not {other:?}"),
        }
    }

    pub fn publish_with(
        &mut self,
        exchange: &str,
        key: &str,
        body: &[u8],
        mandatory: bool,
        properties: BasicProperties,
    ) {
        let publish = basic::Publish {
            exchange: exchange.into(),
            routing_key: key.into(),
            mandatory,
            immediate: false,
        };
        self.wire.publish(1, publish, properties, body).expect("published");
    }

    pub fn publish(&mut self, exchange: &str, key: &str, body: &str) {
        self.publish_with(exchange, key, body.as_bytes(), false, BasicProperties::default());
    }

    pub fn confirm(&mut self) {
        self.send(
            1,
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
        );
        let answer = self.answer(1);
        assert!(
            matches!(answer, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))),
            "{answer:?}"
        );
    }

    /// Waits for the answers to publishes `first..=last`: true for an ack. Nothing else may come meanwhile.
    pub fn answers(&mut self, first: u64, last: u64) -> Vec<bool> {
        let mut answers = vec![None; (last - first + 1) as usize];
        let mut next = first;
        while answers.contains(&None) {
            let (tag, multiple, ack) = match self.answer(1) {
                AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => (ack.delivery_tag, ack.multiple, true),
                AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => (nack.delivery_tag, nack.multiple, false),
                other => panic!("a confirm was to come, not {other:?}"),
            };
            for number in if multiple { next..=tag } else { tag..=tag } {
                answers[(number - first) as usize].get_or_insert(ack);
            }
            while next <= last && answers[(next - first) as usize].is_some() {
                next += 1;
            }
        }
        answers.into_iter().flatten().collect()
    }

    pub fn get(&mut self, name: &str) -> Option<Got> {
        let get = basic::Get {
            queue: name.into(),
            no_ack: false,
        };
        self.send(1, AMQPClass::Basic(basic::AMQPMethod::Get(get)));
        match self.event() {
            Event::Method(1, AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_))) => None,
            event => Some(got(event)),
        }
    }

    /// Gets until a message is there: what one queue sends to another takes a moment.
    pub fn get_soon(&mut self, name: &str) -> Got {
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            if let Some(got) = self.get(name) {
                return got;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nothing came to {name}");
    }

    pub fn consume_with(
        &mut self,
        channel: u16,
        queue: &str,
        tag: &str,
        exclusive: bool,
        arguments: &[(&str, AMQPValue)],
    ) {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: tag.into(),
            no_local: false,
            no_ack: false,
            exclusive,
            nowait: false,
            arguments: table(arguments),
        };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    }

    pub fn consume(&mut self, channel: u16, queue: &str, tag: &str) {
        self.consume_with(channel, queue, tag, false, &[]);
        let answer = self.answer(channel);
        assert!(
            matches!(answer, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_))),
            "{answer:?}"
        );
    }

    pub fn cancel(&mut self, channel: u16, tag: &str) {
        let cancel = basic::Cancel {
            consumer_tag: tag.into(),
            nowait: false,
        };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        let answer = self.answer(channel);
        assert!(
            matches!(answer, AMQPClass::Basic(basic::AMQPMethod::CancelOk(_))),
            "{answer:?}"
        );
    }

    pub fn qos(&mut self, channel: u16, count: u16, global: bool) {
        let qos = basic::Qos {
            prefetch_count: count,
            global,
        };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
        let answer = self.answer(channel);
        assert!(
            matches!(answer, AMQPClass::Basic(basic::AMQPMethod::QosOk(_))),
            "{answer:?}"
        );
    }

    pub fn delivery(&mut self) -> Got {
        got(self.event())
    }

    pub fn ack(&mut self, channel: u16, tag: u64, multiple: bool) {
        let ack = basic::Ack {
            delivery_tag: tag,
            multiple,
        };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    }

    pub fn nack(&mut self, channel: u16, tag: u64, multiple: bool, requeue: bool) {
        let nack = basic::Nack {
            delivery_tag: tag,
            multiple,
            requeue,
        };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
    }
}

pub fn got(event: Event) -> Got {
    let Event::Content(_, method, properties, body) = event else {
        panic!("a message was to come, not {event:?}");
    };
    let (tag, consumer, redelivered, exchange, key, left) = match method {
        basic::AMQPMethod::Deliver(it) => (
            it.delivery_tag,
            it.consumer_tag.to_string(),
            it.redelivered,
            it.exchange,
            it.routing_key,
            0,
        ),
        basic::AMQPMethod::GetOk(it) => (
            it.delivery_tag,
            String::new(),
            it.redelivered,
            it.exchange,
            it.routing_key,
            it.message_count,
        ),
        basic::AMQPMethod::Return(it) => (0, String::new(), false, it.exchange, it.routing_key, 0),
        other => panic!("unexpected {other:?}"),
    };
    Got {
        tag,
        consumer,
        redelivered,
        exchange: exchange.to_string(),
        key: key.to_string(),
        left,
        properties,
        body,
    }
}
