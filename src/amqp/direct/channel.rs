//! A channel as its users hold it.

use std::collections::VecDeque;
use std::sync::Arc;

use amq_protocol::protocol::AMQPClass;

use super::delivery::Delivery;
use super::lane::{Lane, closing};
use crate::amqp::connector::AmqpError;
use crate::amqp::frame;

/// An open channel. It closes when the last of its clones goes.
#[derive(Debug, Clone)]
pub(crate) struct Channel(Arc<Owned>);

#[derive(Debug)]
struct Owned(Arc<Lane>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What a consumer says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack { multiple: bool },
    Nack { requeue: bool },
    Reject { requeue: bool },
}

impl Channel {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Channel(Arc::new(Owned(lane)))
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.0.0
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lane().is_open()
    }

    /// Sends a method and awaits its answer; `doing` says what is tried, on what.
    pub(crate) async fn call(&self, doing: &str, method: AMQPClass) -> Result<AMQPClass, AmqpError> {
        self.lane().line.answer(doing, self.lane().call(&method)).await
    }

    /// Settles a delivery. It is written with whatever else is appended before the writer gets its turn.
    pub(crate) fn settle(&self, verdict: Verdict, tag: u64) -> Result<(), crate::amqp::Ended> {
        let lane = self.lane();
        if !lane.is_open() {
            return Err(crate::amqp::Ended);
        }
        let (method, bits) = match verdict {
            Verdict::Ack { multiple } => (frame::BASIC_ACK, u8::from(multiple)),
            Verdict::Nack { requeue } => (frame::BASIC_NACK, u8::from(requeue) << 1),
            Verdict::Reject { requeue } => (frame::BASIC_REJECT, u8::from(requeue)),
        };
        let appended = lane
            .line
            .append(0, |out| frame::write_tagged(out, lane.number, method, tag, bits));
        if appended { Ok(()) } else { Err(crate::amqp::Ended) }
    }

    /// Closes the channel and awaits the broker's word.
    pub(crate) async fn close(&self, why: &str) -> Result<(), AmqpError> {
        self.call("close a channel", closing(why)).await.map(drop)
    }

    /// Swaps what has arrived into `ready`; it stays empty where nothing more will come.
    pub(crate) async fn arrived(&self, ready: &mut VecDeque<Delivery>) {
        self.lane().inbox.arrived(ready).await;
    }
}
