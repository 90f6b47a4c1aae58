//! One connection's side of the protocol, without its socket: bytes in, effects on the virtual host and output out.
//!
//! Synchronous on purpose: property tests, the fuzz target and the socket loop in `connection` all drive the same code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use amq_protocol::protocol::{AMQPClass, channel, connection, parse_class};
use bytes::{Buf, BytesMut};

use super::channel::{Channel, ChannelKey};
use super::content::{Content, Expectation};
use super::handshake::{Handshake, Step, Tuned};
use super::message::Draft;
use super::outbox::Outbox;
use super::refusal::{Refusal, Scope, short};
use super::shared::Shared;
use super::vhost::{ConnectionId, State, Vhost};
use crate::amqp::frame::{self, BadFrame, Frame};

/// Where a connection stands.
enum Phase {
    Handshake(Handshake),
    Running(Arc<Vhost>),
    /// The broker sent connection.close and waits for close-ok.
    Closing,
    Ended,
}

/// What the socket loop is to do after some input was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Read more.
    Read,
    /// Read nothing until the client has taken its output.
    Congested,
    /// Read nothing until the memory alarm is over.
    Blocked,
    /// The broker is closing the connection: give the client a moment to answer.
    Closing,
    /// Nothing more to do: write what is left and close the socket.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelPhase {
    Open,
    /// The broker sent channel.close; everything but close and close-ok is ignored.
    Closing,
}

/// What the connection itself keeps of a channel; only its own frames touch it.
pub(super) struct LocalChannel {
    pub(super) key: ChannelKey,
    pub(super) phase: ChannelPhase,
    pub(super) expectation: Expectation,
    pub(super) draft: Draft,
    /// The queue that an empty name stands for.
    pub(super) last_queue: Arc<str>,
}

/// One connection.
pub(super) struct Session {
    pub(super) id: ConnectionId,
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Arc<Outbox>,
    phase: Phase,
    pub(super) tuned: Tuned,
    pub(super) channels: Vec<Option<Box<LocalChannel>>>,
    open_channels: usize,
    told_to_block: bool,
}

/// The method that a frame carries, for error replies: class and method id, 0 where there is none.
fn method_of(frame: &Frame<'_>) -> (u16, u16) {
    match (frame.kind, frame.payload) {
        (frame::METHOD, [a, b, c, d, ..]) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
        _ => (0, 0),
    }
}

/// Decodes a method through the codec.
///
/// # Errors
/// 501 for a method that does not exist or whose arguments are cut short; 502 for a malformed table, or one nested too
/// deep.
pub(super) fn decode_method(payload: &[u8]) -> Result<AMQPClass, Refusal> {
    let malformed = || Refusal::frame_error("cannot decode the method or its arguments");
    let table = frame::table_of_method(payload).map_err(|()| malformed())?;
    if let Some(table) = table
        && frame::table_depth(table).is_none_or(|depth| depth > frame::TABLE_DEPTH_MAX)
    {
        return Err(Refusal::syntax_error(format!(
            "malformed field table, or one nested deeper than {}",
            frame::TABLE_DEPTH_MAX
        )));
    }
    match parse_class(payload) {
        Ok((_, class)) => Ok(class),
        Err(_) => Err(malformed()),
    }
}

/// basic.qos may limit the octets on their way too, which neither RabbitMQ nor this broker serves. The codec drops the
/// field, so it is looked at here.
fn refuse_prefetch_size(payload: &[u8]) -> Result<(), Refusal> {
    match payload {
        [0, 60, 0, 10, a, b, c, d, ..] if [*a, *b, *c, *d] != [0; 4] => {
            let size = u32::from_be_bytes([*a, *b, *c, *d]);
            Err(Refusal::not_implemented(format!("prefetch_size!=0 ({size})")))
        }
        _ => Ok(()),
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let outbox = Outbox::new(shared.options.output_limit, shared.gauge.clone());
        Self {
            id: ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            shared,
            outbox,
            phase: Phase::Handshake(Handshake::new()),
            tuned: Tuned::before_tune(),
            channels: Vec::new(),
            open_channels: 0,
            told_to_block: false,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// The client has taken its output: its consumers may have more.
    pub(super) fn resume_deliveries(&self) {
        if let Phase::Running(vhost) = &self.phase {
            let mut state = vhost.lock();
            for local in self.channels.iter().flatten() {
                state.unpark(local.key);
            }
            state.settle();
            state.flush();
        }
    }

    /// Processes as much of `input` as is complete and allowed, and takes it off.
    pub(super) fn process(&mut self, input: &mut BytesMut) -> Progress {
        while let Phase::Handshake(_) = self.phase {
            if let Some(progress) = self.shake_hands(input) {
                self.outbox.flush();
                return progress;
            }
        }
        let progress = match &self.phase {
            Phase::Handshake(_) => Progress::Read,
            Phase::Running(vhost) => {
                let vhost = vhost.clone();
                self.run(&vhost, input)
            }
            Phase::Closing => self.await_close_ok(input),
            Phase::Ended => Progress::Ended,
        };
        self.outbox.flush();
        progress
    }

    /// One step of the handshake. `Some`: return to the socket.
    fn shake_hands(&mut self, input: &mut BytesMut) -> Option<Progress> {
        let Phase::Handshake(handshake) = &mut self.phase else {
            return None;
        };
        match handshake.step(input, &self.shared, &self.outbox, &mut self.tuned) {
            Ok(Step::NeedInput) => Some(Progress::Read),
            Ok(Step::Again) => None,
            Ok(Step::Done(vhost)) => {
                self.phase = Phase::Running(vhost);
                None
            }
            Ok(Step::HangUp) => {
                self.phase = Phase::Ended;
                Some(Progress::Ended)
            }
            Err(refusal) => {
                self.fail(None, refusal);
                Some(Progress::Closing)
            }
        }
    }

    fn run(&mut self, vhost: &Arc<Vhost>, input: &mut BytesMut) -> Progress {
        let mut state = vhost.lock();
        let mut used = 0;
        let progress = loop {
            let frame = match frame::split(&input[used..], self.tuned.frame_max) {
                Ok(None) => break Progress::Read,
                Ok(Some((frame, length))) => {
                    used += length;
                    frame
                }
                Err(bad) => {
                    self.fail(Some(&mut state), refuse_frame(bad));
                    break Progress::Closing;
                }
            };
            if let Err(refusal) = self.on_frame(&mut state, frame) {
                let (class, method) = self.method_at_fault(&frame);
                self.refuse(&mut state, frame.channel, refusal.during(class, method));
            }
            state.settle();
            match self.phase {
                Phase::Running(_) => {}
                Phase::Closing => break Progress::Closing,
                _ => break Progress::Ended,
            }
            if self.outbox.is_congested() {
                break Progress::Congested;
            }
            if self.told_to_block {
                break Progress::Blocked;
            }
        };
        state.flush();
        input.advance(used);
        progress
    }

    /// The method that an error is about: the one in the frame, or the publish whose content is due.
    fn method_at_fault(&self, frame: &Frame<'_>) -> (u16, u16) {
        match self.channels.get(usize::from(frame.channel)).and_then(Option::as_ref) {
            Some(local) if !matches!(local.expectation, Expectation::Method) => (60, 40),
            _ => method_of(frame),
        }
    }

    fn on_frame(&mut self, state: &mut State, frame: Frame<'_>) -> Result<(), Refusal> {
        match (frame.kind, frame.channel) {
            (frame::HEARTBEAT, 0) => Ok(()),
            (frame::METHOD, 0) => self.on_connection_method(state, decode_method(frame.payload)?),
            (frame::METHOD | frame::HEADER | frame::BODY, number) if number != 0 => {
                self.on_channel_frame(state, number, frame)
            }
            (frame::HEADER | frame::BODY, _) => Err(Refusal::unexpected_frame("content frame on channel 0")),
            (frame::HEARTBEAT, _) => Err(Refusal::unexpected_frame("heartbeat outside channel 0")),
            (kind, _) => Err(Refusal::frame_error(format!("type {kind}: unknown_frame"))),
        }
    }

    fn on_channel_frame(&mut self, state: &mut State, number: u16, frame: Frame<'_>) -> Result<(), Refusal> {
        let Some(local) = self.channels.get_mut(usize::from(number)).and_then(Option::as_mut) else {
            return self.open_channel(state, number, &frame);
        };
        if local.phase == ChannelPhase::Closing {
            self.on_closing_channel(number, &frame);
            return Ok(());
        }
        match Content::accept(local, state, &self.shared, &self.tuned, frame)? {
            Content::Nothing => Ok(()),
            Content::Published => {
                self.note_publish();
                Ok(())
            }
            Content::Method => {
                refuse_prefetch_size(frame.payload)?;
                let class = decode_method(frame.payload)?;
                self.on_method(state, number, class)
            }
        }
    }

    fn open_channel(&mut self, state: &mut State, number: u16, frame: &Frame<'_>) -> Result<(), Refusal> {
        if frame.kind != frame::METHOD || method_of(frame) != (20, 10) {
            return Err(Refusal::channel_error("expected 'channel.open'"));
        }
        let most = self.tuned.channel_max;
        if most != 0 && self.open_channels >= usize::from(most) {
            return Err(Refusal::not_allowed(format!(
                "number of channels opened ({}) has reached the negotiated channel_max ({most})",
                self.open_channels
            )));
        }
        let mut channel = Channel::new(number, self.outbox.clone(), self.tuned.frame_max);
        channel.told_of_cancels = self.tuned.capabilities.consumer_cancel_notify;
        let index = usize::from(number);
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.channels[index] = Some(Box::new(LocalChannel {
            key: state.channels.insert(channel),
            phase: ChannelPhase::Open,
            expectation: Expectation::Method,
            draft: Draft::default(),
            last_queue: "".into(),
        }));
        self.open_channels += 1;
        self.send(
            number,
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})),
        );
        Ok(())
    }

    fn on_closing_channel(&mut self, number: u16, frame: &Frame<'_>) {
        const CLOSE: (u16, u16) = (20, 40);
        const CLOSE_OK: (u16, u16) = (20, 41);
        match method_of(frame) {
            CLOSE => self.send(
                number,
                AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})),
            ),
            CLOSE_OK => self.forget_channel(number),
            _ => {}
        }
    }

    /// Frees a channel number, once close-ok has gone either way.
    pub(super) fn forget_channel(&mut self, number: u16) {
        if let Some(slot) = self.channels.get_mut(usize::from(number))
            && slot.take().is_some()
        {
            self.open_channels -= 1;
        }
    }

    fn on_connection_method(&mut self, state: &mut State, class: AMQPClass) -> Result<(), Refusal> {
        use connection::AMQPMethod as Method;
        match class {
            AMQPClass::Connection(Method::Close(_)) => {
                self.leave(state);
                self.send(0, AMQPClass::Connection(Method::CloseOk(connection::CloseOk {})));
                self.phase = Phase::Ended;
                Ok(())
            }
            AMQPClass::Connection(Method::UpdateSecret(_)) => {
                self.send(
                    0,
                    AMQPClass::Connection(Method::UpdateSecretOk(connection::UpdateSecretOk {})),
                );
                Ok(())
            }
            _ => Err(Refusal::channel_error("unexpected method in connection state running")),
        }
    }

    /// After a publish: an alarm stops this connection, and it is told so if it understands.
    fn note_publish(&mut self) {
        if self.shared.gauge.is_raised() && !self.told_to_block {
            self.told_to_block = true;
            if self.tuned.capabilities.connection_blocked {
                let blocked = connection::Blocked {
                    reason: short("low on memory"),
                };
                self.send(0, AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)));
            }
        }
    }

    /// The alarm is over: tells the client, who may be read from again.
    pub(super) fn unblock(&mut self) {
        if std::mem::take(&mut self.told_to_block) && self.tuned.capabilities.connection_blocked {
            self.send(
                0,
                AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {})),
            );
            self.outbox.flush();
        }
    }

    pub(super) fn send(&self, channel: u16, class: AMQPClass) {
        self.outbox.append_method(channel, &class);
    }

    /// Answers a frame that is not served: closes the channel or the connection.
    fn refuse(&mut self, state: &mut State, number: u16, refusal: Refusal) {
        let local = self.channels.get_mut(usize::from(number)).and_then(Option::as_mut);
        match (refusal.scope(), local) {
            (Scope::Channel, Some(local)) => {
                local.phase = ChannelPhase::Closing;
                local.expectation = Expectation::Method;
                let key = local.key;
                state.send_confirms(key);
                state.close_channels(&[key]);
                let close = channel::Close {
                    reply_code: refusal.code,
                    reply_text: short(&refusal.text),
                    class_id: refusal.class,
                    method_id: refusal.method,
                };
                self.send(number, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
            }
            _ => self.fail(Some(state), refusal),
        }
    }

    /// Closes the connection with an error.
    fn fail(&mut self, state: Option<&mut State>, refusal: Refusal) {
        if let Some(state) = state {
            self.leave(state);
        }
        let close = connection::Close {
            reply_code: refusal.code,
            reply_text: short(&refusal.text),
            class_id: refusal.class,
            method_id: refusal.method,
        };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)));
        self.phase = Phase::Closing;
    }

    /// Closes the connection because the broker wants to: 320 with `reason`.
    pub(super) fn force_close(&mut self, reason: &str) {
        match &self.phase {
            Phase::Running(vhost) => {
                let vhost = vhost.clone();
                let mut state = vhost.lock();
                self.fail(Some(&mut state), Refusal::forced(reason));
                state.flush();
            }
            Phase::Handshake(_) => self.phase = Phase::Ended,
            Phase::Closing | Phase::Ended => {}
        }
        self.outbox.flush();
    }

    /// After connection.close nothing counts but close-ok, and a close that crossed ours.
    fn await_close_ok(&mut self, input: &mut BytesMut) -> Progress {
        while let Ok(Some((frame, length))) = frame::split(input, self.tuned.frame_max) {
            match (frame.channel, method_of(&frame)) {
                (0, (10, 51)) => {
                    self.phase = Phase::Ended;
                    return Progress::Ended;
                }
                (0, (10, 50)) => {
                    let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                    self.send(0, AMQPClass::Connection(ok));
                }
                _ => {}
            }
            input.advance(length);
        }
        if frame::split(input, self.tuned.frame_max).is_err() {
            // What is no frame cannot be told from close-ok any more; what comes next is dropped unread.
            input.clear();
        }
        Progress::Closing
    }

    /// Takes everything of this connection out of the virtual host.
    fn leave(&mut self, state: &mut State) {
        let channels: Vec<ChannelKey> = self.channels.drain(..).flatten().map(|local| local.key).collect();
        for channel in &channels {
            state.send_confirms(*channel);
        }
        state.close_channels(&channels);
        self.open_channels = 0;
        state.remove_exclusive_queues(self.id);
        state.settle();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Phase::Running(vhost) = &self.phase {
            let vhost = vhost.clone();
            let mut state = vhost.lock();
            self.leave(&mut state);
            state.flush();
        }
        self.outbox.end();
    }
}

fn refuse_frame(bad: BadFrame) -> Refusal {
    match bad {
        BadFrame::TooLarge { kind, size, max, .. } => Refusal::frame_error(format!(
            "type {kind}, first 16 octets unread: {{frame_too_large,{size},{}}}",
            max.saturating_sub(frame::OVERHEAD as u32)
        )),
        BadFrame::WrongEnd { kind, end, .. } => {
            Refusal::frame_error(format!("type {kind}: {{invalid_frame_end_marker,{end}}}"))
        }
    }
}
