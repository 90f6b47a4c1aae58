//! One broker under a script: carries out steps, waits until their effects are in, and tells what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};

use super::script::{Argument, EXCHANGES, MISSING, Place, QUEUES, Step};
use super::wire::{Event, Target, Wire, encode};

/// The channel that looks at the queues between the steps.
const CONTROL: u16 = 100;
const PATIENCE: Duration = Duration::from_secs(8);

/// What one step brought about, in an order that does not depend on timing.
pub type Seen = BTreeMap<String, Vec<String>>;

#[derive(Debug, Default)]
struct ChannelState {
    confirming: bool,
    published: u64,
    answered: u64,
    /// Tags that the client may settle.
    outstanding: Vec<u64>,
    no_ack: BTreeSet<String>,
    no_ack_get: bool,
}

struct Link {
    wire: Wire,
    open: BTreeMap<u16, ChannelState>,
    control: bool,
    /// The last step ended this connection on purpose.
    leaving: bool,
}

/// A broker with the script's connections to it.
pub struct Side {
    pub name: &'static str,
    target: Target,
    vhost: String,
    links: Vec<Link>,
    queues: BTreeSet<String>,
    seen: Seen,
    waiting_flows: BTreeMap<Place, ()>,
    /// How many hops a message can make in one step.
    pub rounds: usize,
}

fn table(arguments: &[Argument]) -> FieldTable {
    let mut table = FieldTable::default();
    for argument in arguments {
        match argument {
            Argument::Number(name, value) => {
                let value = i32::try_from(*value).map_or(AMQPValue::LongLongInt(*value), AMQPValue::LongInt);
                table.insert((*name).into(), value)
            }
            Argument::Text(name, value) => {
                table.insert((*name).into(), AMQPValue::LongString(value.as_bytes().to_vec().into()))
            }
            Argument::Flag(name, value) => table.insert((*name).into(), AMQPValue::Boolean(*value)),
        };
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.as_bytes().to_vec().into())
}

/// The properties without what no two brokers agree on: the time of a death.
fn describe(properties: &BasicProperties) -> String {
    fn spell(value: &AMQPValue) -> String {
        match value {
            AMQPValue::FieldTable(inner) => {
                let fields: Vec<String> = inner
                    .into_iter()
                    .filter(|(name, _)| name.as_str() != "time")
                    .map(|(name, field)| format!("{name}={}", spell(field)))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }
            AMQPValue::FieldArray(items) => {
                let items: Vec<String> = items.as_slice().iter().map(spell).collect();
                format!("[{}]", items.join(","))
            }
            AMQPValue::LongString(text) => text.to_string(),
            other => format!("{other:?}"),
        }
    }
    let headers = properties
        .headers()
        .as_ref()
        .map(|headers| spell(&AMQPValue::FieldTable(headers.clone())));
    format!(
        "headers={headers:?} priority={:?} expiration={:?} id={:?}",
        properties.priority(),
        properties.expiration().as_ref().map(|text| text.as_str().to_owned()),
        properties.message_id().as_ref().map(|text| text.as_str().to_owned()),
    )
}

impl Side {
    pub fn new(name: &'static str, target: Target, vhost: &str) -> Self {
        Self {
            name,
            target,
            vhost: vhost.to_owned(),
            links: Vec::new(),
            queues: BTreeSet::new(),
            seen: Seen::new(),
            waiting_flows: BTreeMap::new(),
            rounds: 3,
        }
    }

    fn link(&mut self, at: usize) -> io::Result<&mut Link> {
        while self.links.len() <= at {
            let link = self.connect()?;
            self.links.push(link);
        }
        Ok(&mut self.links[at])
    }

    fn connect(&self) -> io::Result<Link> {
        Ok(Link {
            wire: Wire::open_in(&self.target, &self.vhost)?,
            open: BTreeMap::new(),
            control: false,
            leaving: false,
        })
    }

    fn note(&mut self, place: Place, line: String) {
        let key = format!("{}:{}", place.connection, place.channel);
        // Whichever it is, the two sides' virtual hosts are the same to a script.
        let line = line.replace(&format!("vhost '{}'", self.vhost), "vhost '/'");
        self.seen.entry(key).or_default().push(line);
    }

    /// The tag that `pick` chooses, if anything is outstanding.
    pub fn pick(&self, place: Place, pick: u32) -> Option<u64> {
        let outstanding = &self.links.get(place.connection)?.open.get(&place.channel)?.outstanding;
        (!outstanding.is_empty()).then(|| outstanding[pick as usize % outstanding.len()])
    }

    /// Carries out one step and returns all that it brought about. `tag` is what the step's pick came to, `number` the
    /// first message number of its publishes.
    pub fn apply(&mut self, place: Place, step: &Step, tag: Option<u64>, number: u64) -> io::Result<Seen> {
        self.seen.clear();
        self.ensure_open(place)?;
        self.perform(place, step, tag, number)?;
        self.quiesce()?;
        Ok(std::mem::take(&mut self.seen))
    }

    /// What was seen, and what has come since: a look at work that was still under way.
    pub fn look_again(&mut self, seen: Seen) -> io::Result<Seen> {
        self.seen = seen;
        self.quiesce()?;
        Ok(std::mem::take(&mut self.seen))
    }

    fn ensure_open(&mut self, place: Place) -> io::Result<()> {
        if self.link(place.connection)?.open.contains_key(&place.channel) {
            return Ok(());
        }
        self.call(place, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))?;
        let open_ok = Event::Method(
            place.channel,
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})),
        );
        loop {
            match self.links[place.connection].wire.must()? {
                event if event == open_ok => break,
                event => _ = self.handle(place.connection, event)?,
            }
        }
        self.state(place);
        Ok(())
    }

    fn call(&mut self, place: Place, class: AMQPClass) -> io::Result<()> {
        // A broker that closes at once may be faster than our next bytes; what it said is read later.
        let _ = self.links[place.connection].wire.send(place.channel, class);
        Ok(())
    }

    fn settle(&mut self, place: Place, tag: u64, multiple: bool) {
        if let Some(state) = self.links[place.connection].open.get_mut(&place.channel) {
            state.outstanding.retain(|other| {
                if multiple {
                    *other > tag && tag != 0
                } else {
                    *other != tag
                }
            });
        }
    }

    fn perform(&mut self, place: Place, step: &Step, tag: Option<u64>, number: u64) -> io::Result<()> {
        let class = match step {
            Step::DeclareQueue {
                name,
                passive,
                durable,
                exclusive,
                auto_delete,
                arguments,
            } => {
                self.queues.insert(name.clone());
                AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
                    queue: name.as_str().into(),
                    passive: *passive,
                    durable: *durable,
                    exclusive: *exclusive,
                    auto_delete: *auto_delete,
                    nowait: false,
                    arguments: table(arguments),
                }))
            }
            Step::DeleteQueue {
                name,
                if_unused,
                if_empty,
            } => AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
                queue: name.as_str().into(),
                if_unused: *if_unused,
                if_empty: *if_empty,
                nowait: false,
            })),
            Step::Purge { name } => AMQPClass::Queue(queue::AMQPMethod::Purge(queue::Purge {
                queue: name.as_str().into(),
                nowait: false,
            })),
            Step::DeclareExchange {
                name,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                alternate,
            } => {
                let alternate: Vec<Argument> = alternate
                    .iter()
                    .map(|name| Argument::Text("alternate-exchange", name.clone()))
                    .collect();
                AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
                    exchange: name.as_str().into(),
                    kind: kind.as_str().into(),
                    passive: *passive,
                    durable: *durable,
                    auto_delete: *auto_delete,
                    internal: *internal,
                    nowait: false,
                    arguments: table(&alternate),
                }))
            }
            Step::DeleteExchange { name, if_unused } => {
                AMQPClass::Exchange(exchange::AMQPMethod::Delete(exchange::Delete {
                    exchange: name.as_str().into(),
                    if_unused: *if_unused,
                    nowait: false,
                }))
            }
            Step::BindQueue {
                queue,
                exchange,
                key,
                arguments,
            } => AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
                queue: queue.as_str().into(),
                exchange: exchange.as_str().into(),
                routing_key: key.as_str().into(),
                nowait: false,
                arguments: table(arguments),
            })),
            Step::UnbindQueue {
                queue,
                exchange,
                key,
                arguments,
            } => AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
                queue: queue.as_str().into(),
                exchange: exchange.as_str().into(),
                routing_key: key.as_str().into(),
                arguments: table(arguments),
            })),
            Step::BindExchange {
                destination,
                source,
                key,
            } => AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
                destination: destination.as_str().into(),
                source: source.as_str().into(),
                routing_key: key.as_str().into(),
                nowait: false,
                arguments: FieldTable::default(),
            })),
            Step::UnbindExchange {
                destination,
                source,
                key,
            } => AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
                destination: destination.as_str().into(),
                source: source.as_str().into(),
                routing_key: key.as_str().into(),
                nowait: false,
                arguments: FieldTable::default(),
            })),
            Step::Publish { .. } => return self.publish(place, step, number),
            Step::Get { queue, no_ack } => {
                self.state(place).no_ack_get = *no_ack;
                AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get {
                    queue: queue.as_str().into(),
                    no_ack: *no_ack,
                }))
            }
            Step::Consume {
                queue,
                tag,
                no_ack,
                exclusive,
                priority,
            } => {
                if *no_ack {
                    self.state(place).no_ack.insert(tag.clone());
                } else {
                    self.state(place).no_ack.remove(tag);
                }
                let arguments: Vec<Argument> = priority
                    .iter()
                    .map(|priority| Argument::Number("x-priority", *priority))
                    .collect();
                AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
                    queue: queue.as_str().into(),
                    consumer_tag: tag.as_str().into(),
                    no_local: false,
                    no_ack: *no_ack,
                    exclusive: *exclusive,
                    nowait: false,
                    arguments: table(&arguments),
                }))
            }
            Step::Cancel { tag } => AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
                consumer_tag: tag.as_str().into(),
                nowait: false,
            })),
            Step::Qos { count, global } => AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos {
                prefetch_count: *count,
                global: *global,
            })),
            Step::Ack { multiple, .. } => {
                let Some(delivery_tag) = tag else { return Ok(()) };
                self.settle(place, delivery_tag, *multiple);
                AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack {
                    delivery_tag,
                    multiple: *multiple,
                }))
            }
            Step::Nack { multiple, requeue, .. } => {
                let Some(delivery_tag) = tag else { return Ok(()) };
                self.settle(place, delivery_tag, *multiple);
                AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack {
                    delivery_tag,
                    multiple: *multiple,
                    requeue: *requeue,
                }))
            }
            Step::Reject { requeue, .. } => {
                let Some(delivery_tag) = tag else { return Ok(()) };
                self.settle(place, delivery_tag, false);
                AMQPClass::Basic(basic::AMQPMethod::Reject(basic::Reject {
                    delivery_tag,
                    requeue: *requeue,
                }))
            }
            Step::AckUnknown { tag, multiple } => {
                self.settle(place, *tag, *multiple);
                AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack {
                    delivery_tag: *tag,
                    multiple: *multiple,
                }))
            }
            Step::Recover { requeue } => {
                if *requeue {
                    self.settle(place, 0, true);
                }
                AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: *requeue }))
            }
            Step::ConfirmSelect => AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })),
            Step::TxSelect => AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})),
            Step::TxCommit => {
                self.call(place, AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})))?;
                return self.await_answer(place);
            }
            Step::TxRollback => AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})),
            Step::FlowOff => AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: false })),
            Step::CloseChannel => return self.close_channel(place),
            Step::OpenTwice => AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})),
            Step::CloseConnection => {
                self.links[place.connection].leaving = true;
                let close = connection::Close {
                    reply_code: 200,
                    reply_text: "bye".into(),
                    class_id: 0,
                    method_id: 0,
                };
                let _ = self.links[place.connection]
                    .wire
                    .send(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)));
                return self.await_gone(place.connection);
            }
            Step::Abort => return self.reconnect(place.connection),
            Step::StrayHeader => {
                let header = AMQPContentHeader {
                    class_id: 60,
                    body_size: 0,
                    properties: BasicProperties::default(),
                };
                let bytes = encode(&AMQPFrame::Header(place.channel, header));
                let _ = self.links[place.connection].wire.send_bytes(&bytes);
                return self.await_gone(place.connection);
            }
            Step::HeaderMissing => {
                let publish = basic::Publish {
                    exchange: "".into(),
                    routing_key: QUEUES[0].into(),
                    mandatory: false,
                    immediate: false,
                };
                self.call(place, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)))?;
                let qos = basic::Qos {
                    prefetch_count: 0,
                    global: false,
                };
                self.call(place, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))?;
                return self.await_gone(place.connection);
            }
            Step::QosOctets => {
                let number = place.channel.to_be_bytes();
                let bytes = [
                    1, number[0], number[1], 0, 0, 0, 11, 0, 60, 0, 10, 0, 0, 0, 9, 0, 1, 0, 0xCE,
                ];
                let _ = self.links[place.connection].wire.send_bytes(&bytes);
                return self.await_gone(place.connection);
            }
        };
        self.call(place, class)
    }

    /// Reads until the channel was answered, or closed. RabbitMQ refuses what follows a tx.commit before its answer, if it
    /// comes early enough.
    fn await_answer(&mut self, place: Place) -> io::Result<()> {
        let key = format!("{}:{}", place.connection, place.channel);
        while !self.seen.contains_key(&key) {
            let Some(event) = self.links[place.connection].wire.next(PATIENCE)? else {
                return Err(io::Error::other(format!("{}: no answer on {place:?}", self.name)));
            };
            if self.handle(place.connection, event)? {
                break;
            }
        }
        Ok(())
    }

    /// Nothing may follow a close before its answer.
    fn close_channel(&mut self, place: Place) -> io::Result<()> {
        let close = channel::Close {
            reply_code: 200,
            reply_text: "bye".into(),
            class_id: 0,
            method_id: 0,
        };
        self.call(place, AMQPClass::Channel(channel::AMQPMethod::Close(close)))?;
        self.waiting_flows.insert(place, ());
        self.read_until(|side| side.waiting_flows.is_empty())
    }

    fn state(&mut self, place: Place) -> &mut ChannelState {
        self.links[place.connection].open.entry(place.channel).or_default()
    }

    fn publish(&mut self, place: Place, step: &Step, number: u64) -> io::Result<()> {
        let Step::Publish {
            exchange,
            key,
            mandatory,
            immediate,
            expiration,
            priority,
            header,
            copies,
            size,
            count,
        } = step
        else {
            return Ok(());
        };
        for offset in 0..u64::from(*count) {
            let mut properties = BasicProperties::default().with_message_id((number + offset).to_string().into());
            if let Some(expiration) = expiration {
                properties = properties.with_expiration(expiration.as_str().into());
            }
            if let Some(priority) = priority {
                properties = properties.with_priority(*priority);
            }
            let mut headers = FieldTable::default();
            if let Some(header) = header {
                headers.insert("h".into(), text(header));
            }
            if *copies {
                let both = [text(QUEUES[1]), text("a")].to_vec();
                headers.insert("CC".into(), AMQPValue::FieldArray(FieldArray::from(both)));
                let hidden = [text(QUEUES[2])].to_vec();
                headers.insert("BCC".into(), AMQPValue::FieldArray(FieldArray::from(hidden)));
            }
            if header.is_some() || *copies {
                properties = properties.with_headers(headers);
            }
            let publish = basic::Publish {
                exchange: exchange.as_str().into(),
                routing_key: key.as_str().into(),
                mandatory: *mandatory,
                immediate: *immediate,
            };
            let body = vec![b'0' + (number + offset) as u8 % 10; *size];
            let link = &mut self.links[place.connection];
            if link.wire.publish(place.channel, publish, properties, &body).is_err() {
                break;
            }
            self.state(place).published += 1;
        }
        if *immediate {
            return self.await_gone(place.connection);
        }
        Ok(())
    }

    /// Reads a connection until it is closed either way, and opens it anew.
    fn await_gone(&mut self, connection: usize) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.links[connection].wire.next(Duration::from_millis(500))? {
                Some(Event::Gone) => return self.reconnect(connection),
                Some(event) => {
                    if self.handle(connection, event)? {
                        return Ok(());
                    }
                }
                // Not every such step ends the connection: a channel error is fine too.
                None => return Ok(()),
            }
        }
        Err(io::Error::other("the connection did not end"))
    }

    fn reconnect(&mut self, connection: usize) -> io::Result<()> {
        let link = self.connect()?;
        self.links[connection] = link;
        self.waiting_flows.retain(|place, ()| place.connection != connection);
        // Exclusive queues of the old connection go a moment after it; the quiescence that follows asks until they do.
        std::thread::sleep(Duration::from_millis(30));
        Ok(())
    }

    /// Notes an event; true when it ended the connection, which is open again then.
    fn handle(&mut self, connection: usize, event: Event) -> io::Result<bool> {
        match event {
            Event::Gone => {
                if !self.links[connection].leaving {
                    self.note(Place { connection, channel: 0 }, "socket closed".to_owned());
                }
                self.reconnect(connection)?;
                return Ok(true);
            }
            Event::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => {
                let line = format!(
                    "connection closed {} {} ({},{})",
                    close.reply_code, close.reply_text, close.class_id, close.method_id
                );
                self.note(Place { connection, channel: 0 }, line);
                let ok = AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
                let _ = self.links[connection].wire.send(0, ok);
                self.reconnect(connection)?;
                return Ok(true);
            }
            Event::Method(0, AMQPClass::Connection(connection::AMQPMethod::CloseOk(_))) => {
                self.note(Place { connection, channel: 0 }, "connection close-ok".to_owned());
                self.reconnect(connection)?;
                return Ok(true);
            }
            Event::Method(0, class) => self.note(Place { connection, channel: 0 }, format!("{class:?}")),
            Event::Method(number, class) => self.handle_method(
                Place {
                    connection,
                    channel: number,
                },
                class,
            )?,
            Event::Content(number, method, properties, body) => {
                self.handle_content(
                    Place {
                        connection,
                        channel: number,
                    },
                    method,
                    &properties,
                    &body,
                );
            }
        }
        Ok(false)
    }

    fn handle_method(&mut self, place: Place, class: AMQPClass) -> io::Result<()> {
        match class {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                if place.channel != CONTROL {
                    let line = format!(
                        "channel closed {} {} ({},{})",
                        close.reply_code, close.reply_text, close.class_id, close.method_id
                    );
                    self.note(place, line);
                }
                self.call(
                    place,
                    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})),
                )?;
                self.closed(place);
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                self.note(place, "close-ok".to_owned());
                self.closed(place);
            }
            AMQPClass::Channel(channel::AMQPMethod::FlowOk(_)) => {
                self.waiting_flows.remove(&place);
            }
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                self.confirmed(place, ack.delivery_tag, ack.multiple, '+');
            }
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                self.confirmed(place, nack.delivery_tag, nack.multiple, '-');
            }
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_)) => {
                let state = self.state(place);
                if !state.confirming {
                    state.confirming = true;
                    state.published = 0;
                    state.answered = 0;
                }
                self.note(place, "confirm.select-ok".to_owned());
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                // In which order several consumers of a queue hear of its end is nobody's promise.
                let lines = self
                    .seen
                    .entry(format!("{}:{} cancels", place.connection, place.channel))
                    .or_default();
                lines.push(cancel.consumer_tag.as_str().to_owned());
                lines.sort();
            }
            other => self.note(place, format!("{other:?}")),
        }
        Ok(())
    }

    fn closed(&mut self, place: Place) {
        let link = &mut self.links[place.connection];
        link.open.remove(&place.channel);
        if place.channel == CONTROL {
            link.control = false;
        }
        self.waiting_flows.remove(&place);
    }

    fn confirmed(&mut self, place: Place, tag: u64, multiple: bool, sign: char) {
        let state = self.state(place);
        let first = if multiple { state.answered + 1 } else { tag };
        // Out-of-order single answers only ever concern one publish, so counting stays right.
        state.answered = if multiple { tag } else { state.answered + 1 };
        let key = format!("{}:{} confirms", place.connection, place.channel);
        let lines = self.seen.entry(key).or_default();
        lines.extend((first..=tag).map(|number| format!("{sign}{number:05}")));
        lines.sort();
        lines.dedup();
    }

    fn handle_content(&mut self, place: Place, method: basic::AMQPMethod, properties: &BasicProperties, body: &[u8]) {
        let content = format!("{} bytes of {:?}, {}", body.len(), body.first(), describe(properties));
        let at = format!("{}:{}", place.connection, place.channel);
        match method {
            basic::AMQPMethod::Deliver(deliver) => {
                let tag = deliver.consumer_tag.as_str().to_owned();
                let state = self.state(place);
                if !state.no_ack.contains(&tag) {
                    state.outstanding.push(deliver.delivery_tag);
                }
                let line = format!(
                    "deliver {} redelivered={} from '{}' '{}': {content}",
                    deliver.delivery_tag, deliver.redelivered, deliver.exchange, deliver.routing_key
                );
                self.seen.entry(format!("{at} consumer {tag}")).or_default().push(line);
            }
            basic::AMQPMethod::GetOk(get) => {
                let state = self.state(place);
                if !state.no_ack_get {
                    state.outstanding.push(get.delivery_tag);
                }
                let line = format!(
                    "get-ok {} redelivered={} from '{}' '{}' left {}: {content}",
                    get.delivery_tag, get.redelivered, get.exchange, get.routing_key, get.message_count
                );
                self.note(place, line);
            }
            basic::AMQPMethod::Return(back) => {
                let line = format!(
                    "return {} {} from '{}' '{}': {content}",
                    back.reply_code, back.reply_text, back.exchange, back.routing_key
                );
                let lines = self.seen.entry(format!("{at} returns")).or_default();
                lines.push(line);
                lines.sort();
            }
            other => self.note(place, format!("{other:?}")),
        }
    }

    /// Waits until everything that the step caused has arrived.
    ///
    /// A message passes from channel to queue to channel, and over a dead-letter exchange to further queues. A passive
    /// declare comes back behind whatever its queue had to do, a channel.flow behind whatever its channel had to send:
    /// some rounds of both flush a chain of as many hops.
    fn quiesce(&mut self) -> io::Result<()> {
        self.flush_channels()?;
        for _ in 0..self.rounds {
            self.flush_queues()?;
            self.flush_channels()?;
        }
        self.await_confirms()?;
        let depths = self.flush_queues()?;
        self.seen.insert("queues".to_owned(), depths);
        Ok(())
    }

    fn flush_channels(&mut self) -> io::Result<()> {
        let places: Vec<Place> = self
            .links
            .iter()
            .enumerate()
            .flat_map(|(connection, link)| {
                link.open
                    .keys()
                    .filter(|channel| **channel != CONTROL)
                    .map(move |channel| Place {
                        connection,
                        channel: *channel,
                    })
            })
            .collect();
        for place in places {
            self.waiting_flows.insert(place, ());
            self.call(
                place,
                AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: true })),
            )?;
        }
        self.read_until(|side| side.waiting_flows.is_empty())
    }

    fn read_until(&mut self, done: impl Fn(&Self) -> bool) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "{}: no answer to {:?}",
                    self.name, self.waiting_flows
                )));
            }
            for connection in 0..self.links.len() {
                let mine = self.waiting_flows.keys().any(|place| place.connection == connection);
                let patience = if mine {
                    Duration::from_millis(200)
                } else {
                    Duration::ZERO
                };
                if let Some(event) = self.links[connection].wire.next(patience)? {
                    self.handle(connection, event)?;
                }
            }
        }
        Ok(())
    }

    fn await_confirms(&mut self) -> io::Result<()> {
        let owed = |side: &Self| {
            side.links
                .iter()
                .flat_map(|link| link.open.values())
                .any(|state| state.confirming && state.answered < state.published)
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while owed(self) && Instant::now() < deadline {
            for connection in 0..self.links.len() {
                if let Some(event) = self.links[connection].wire.next(Duration::from_millis(2))? {
                    self.handle(connection, event)?;
                }
            }
        }
        Ok(())
    }

    /// Asks every queue for its depth, which also waits for what it had to do.
    fn flush_queues(&mut self) -> io::Result<Vec<String>> {
        let mut depths = BTreeMap::new();
        for connection in 0..self.links.len() {
            for name in self.queues.clone() {
                if !depths.contains_key(&name)
                    && let Some(line) = self.ask(connection, &name)?
                {
                    depths.insert(name, line);
                }
            }
        }
        self.queues.retain(|name| depths.contains_key(name));
        Ok(depths.into_values().collect())
    }

    fn ask(&mut self, connection: usize, name: &str) -> io::Result<Option<String>> {
        let place = Place {
            connection,
            channel: CONTROL,
        };
        if !self.links[connection].control {
            self.links[connection].open.remove(&CONTROL);
            self.call(place, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))?;
            self.links[connection].control = true;
        }
        let declare = queue::Declare {
            queue: name.into(),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.call(place, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))?;
        loop {
            let Some(event) = self.links[connection].wire.next(PATIENCE)? else {
                return Err(io::Error::other(format!("{}: no answer about queue {name}", self.name)));
            };
            match event {
                Event::Method(CONTROL, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => {
                    return Ok(Some(format!(
                        "{name}: {} ready, {} consumers",
                        ok.message_count, ok.consumer_count
                    )));
                }
                Event::Method(CONTROL, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))) => {}
                Event::Method(CONTROL, class @ AMQPClass::Channel(channel::AMQPMethod::Close(_))) => {
                    self.handle_method(place, class)?;
                    return Ok(None);
                }
                other => {
                    if self.handle(connection, other)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Removes everything that scripts can have made.
    pub fn clean(&mut self) -> io::Result<()> {
        self.links.clear();
        self.waiting_flows.clear();
        self.queues.clear();
        self.seen.clear();
        std::thread::sleep(Duration::from_millis(5));
        let mut wire = Wire::open_in(&self.target, &self.vhost)?;
        wire.open_channel(1)?;
        for name in QUEUES.into_iter().chain([MISSING]) {
            let delete = queue::Delete {
                queue: name.into(),
                if_unused: false,
                if_empty: false,
                nowait: false,
            };
            for _ in 0..50 {
                wire.send(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete.clone())))?;
                match wire.must()? {
                    Event::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_))) => break,
                    // Still locked by a connection that is on its way out.
                    Event::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(_))) => {
                        wire.send(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})))?;
                        std::thread::sleep(Duration::from_millis(20));
                        wire.open_channel(1)?;
                    }
                    other => return Err(io::Error::other(format!("unexpected {other:?}"))),
                }
            }
        }
        for name in EXCHANGES.into_iter().chain([MISSING]) {
            let delete = exchange::Delete {
                exchange: name.into(),
                if_unused: false,
                nowait: false,
            };
            wire.send(1, AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)))?;
            wire.expect(|class| matches!(class, AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_))))?;
        }
        let close = connection::Close {
            reply_code: 200,
            reply_text: "bye".into(),
            class_id: 0,
            method_id: 0,
        };
        wire.send(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)))?;
        Ok(())
    }
}
