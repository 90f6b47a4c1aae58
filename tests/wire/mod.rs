//! A small synchronous AMQP 0-9-1 client on the level of frames, for what a client library hides or forbids.
//!
//! It sends whatever it is told to, in any order, and hands out everything that comes back. Heartbeats are dropped.

// Each test binary includes this module and uses its own part of it.
#![allow(dead_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use amq_protocol::frame::parsing::parse_frame;
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, connection};
use amq_protocol::types::{AMQPValue, FieldTable};

/// Where a broker under test listens, and who may log in.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
}

/// Something that came from the broker.
#[derive(Debug, Clone, PartialEq)]
// One or two exist at a time; boxes would clutter every match.
#[allow(clippy::large_enum_variant)]
pub enum Event {
    Method(u16, AMQPClass),
    /// deliver, get-ok or return with its content.
    Content(u16, basic::AMQPMethod, BasicProperties, Vec<u8>),
    /// The broker closed the socket.
    Gone,
}

/// One connection.
pub struct Wire {
    pub stream: TcpStream,
    input: Vec<u8>,
    partial: Vec<Partial>,
    pub frame_max: usize,
    pub channel_max: u16,
}

struct Partial {
    channel: u16,
    method: basic::AMQPMethod,
    properties: Option<BasicProperties>,
    missing: u64,
    body: Vec<u8>,
}

pub fn encode(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new()))
        .expect("writing to a Vec")
        .into_inner()
        .0
}

impl Wire {
    /// Connects the socket and nothing more.
    pub fn raw(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            partial: Vec::new(),
            frame_max: 131_072,
            channel_max: 2047,
        })
    }

    /// Logs in with all capabilities and no heartbeat, on virtual host `/`.
    pub fn open(target: &Target) -> io::Result<Self> {
        Self::open_in(target, "/")
    }

    /// The same, on virtual host `vhost`.
    pub fn open_in(target: &Target, vhost: &str) -> io::Result<Self> {
        let mut wire = Self::raw(target.address)?;
        wire.start(target, vhost)?;
        wire.expect(|class| matches!(class, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_))))?;
        Ok(wire)
    }

    /// The handshake up to connection.open, whose answer is left to be read.
    pub fn start(&mut self, target: &Target, vhost: &str) -> io::Result<()> {
        self.send_bytes(b"AMQP\x00\x00\x09\x01")?;
        self.expect(|class| matches!(class, AMQPClass::Connection(connection::AMQPMethod::Start(_))))?;
        self.send(0, start_ok(target))?;
        let tune = self.expect(|class| matches!(class, AMQPClass::Connection(connection::AMQPMethod::Tune(_))))?;
        if let AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) = tune {
            self.tune(&tune, vhost)?;
        }
        Ok(())
    }

    fn tune(&mut self, tune: &connection::Tune, vhost: &str) -> io::Result<()> {
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: tune.frame_max.min(131_072),
            heartbeat: 0,
        };
        self.frame_max = tune_ok.frame_max as usize;
        self.channel_max = tune_ok.channel_max;
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)))?;
        let open = connection::Open {
            virtual_host: vhost.into(),
        };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)))
    }

    pub fn open_channel(&mut self, number: u16) -> io::Result<()> {
        self.send(number, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))?;
        self.expect(|class| matches!(class, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))))?;
        Ok(())
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send(&mut self, channel: u16, class: AMQPClass) -> io::Result<()> {
        self.send_bytes(&encode(&AMQPFrame::Method(channel, class)))
    }

    /// A publish with its content, cut into frames as frame_max demands.
    pub fn publish(
        &mut self,
        channel: u16,
        publish: basic::Publish,
        properties: BasicProperties,
        body: &[u8],
    ) -> io::Result<()> {
        let mut out = encode(&AMQPFrame::Method(
            channel,
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)),
        ));
        let header = AMQPContentHeader {
            class_id: 60,
            body_size: body.len() as u64,
            properties,
        };
        out.extend(encode(&AMQPFrame::Header(channel, header)));
        for part in body.chunks(self.frame_max - 8) {
            out.extend(encode(&AMQPFrame::Body(channel, part.to_vec())));
        }
        self.send_bytes(&out)
    }

    /// The next event; `None` when nothing came within `patience`.
    pub fn next(&mut self, patience: Duration) -> io::Result<Option<Event>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.take_frame()? {
                match self.assemble(frame) {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_micros(100))))?;
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Some(Event::Gone)),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Some(Event::Gone)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next event, which must come.
    pub fn must(&mut self) -> io::Result<Event> {
        self.next(Duration::from_secs(20))?
            .ok_or_else(|| io::Error::other("nothing came within 20 s"))
    }

    /// Reads on until a method fulfils `wanted`; fails on anything else.
    pub fn expect(&mut self, wanted: impl Fn(&AMQPClass) -> bool) -> io::Result<AMQPClass> {
        match self.must()? {
            Event::Method(_, class) if wanted(&class) => Ok(class),
            other => Err(io::Error::other(format!("unexpected {other:?}"))),
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<AMQPFrame>> {
        if self.input.starts_with(b"AMQP") {
            return Err(io::Error::other("the broker answered with a protocol header"));
        }
        let Some(head) = self.input.first_chunk::<7>() else {
            return Ok(None);
        };
        let total = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 8;
        if self.input.len() < total {
            return Ok(None);
        }
        let (_, frame) =
            parse_frame(&self.input[..total]).map_err(|error| io::Error::other(format!("bad frame: {error:?}")))?;
        if matches!(frame, AMQPFrame::Body(..)) && total > self.frame_max {
            return Err(io::Error::other(format!(
                "a frame of {total} bytes is beyond frame_max"
            )));
        }
        self.input.drain(..total);
        Ok(Some(frame))
    }

    fn assemble(&mut self, frame: AMQPFrame) -> Option<Event> {
        match frame {
            AMQPFrame::Method(channel, AMQPClass::Basic(method))
                if matches!(
                    method,
                    basic::AMQPMethod::Deliver(_) | basic::AMQPMethod::GetOk(_) | basic::AMQPMethod::Return(_)
                ) =>
            {
                self.partial.push(Partial {
                    channel,
                    method,
                    properties: None,
                    missing: 0,
                    body: Vec::new(),
                });
                None
            }
            AMQPFrame::Method(channel, class) => Some(Event::Method(channel, class)),
            AMQPFrame::Header(channel, header) => {
                let partial = self.partial.iter_mut().find(|partial| partial.channel == channel)?;
                partial.missing = header.body_size;
                partial.properties = Some(header.properties);
                self.finished(channel)
            }
            AMQPFrame::Body(channel, part) => {
                let partial = self.partial.iter_mut().find(|partial| partial.channel == channel)?;
                partial.missing -= part.len() as u64;
                partial.body.extend(part);
                self.finished(channel)
            }
            _ => None,
        }
    }

    fn finished(&mut self, channel: u16) -> Option<Event> {
        let at = self
            .partial
            .iter()
            .position(|partial| partial.channel == channel && partial.missing == 0)?;
        let partial = self.partial.remove(at);
        Some(Event::Content(
            channel,
            partial.method,
            partial.properties.unwrap_or_default(),
            partial.body,
        ))
    }
}

pub fn start_ok(target: &Target) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for name in [
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
        "publisher_confirms",
        "basic.nack",
    ] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
        client_properties: properties,
        mechanism: "PLAIN".into(),
        response: format!("\0{}\0{}", target.user, target.password).into(),
        locale: "en_US".into(),
    }))
}
