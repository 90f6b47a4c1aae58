//! Publishes on one channel.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, confirm};

use super::channel::Channel;
use super::confirms::print;
use super::lane::Lane;
use super::link::Link;
use crate::amqp::connector::AmqpError;
use crate::amqp::frame;
use crate::amqp::publish::{Message, Outcome, Uncertainty};
use crate::workload::model::Publish;

/// A channel for publishing.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    channel: Channel,
    confirms: bool,
    mandatory: bool,
    confirm_timeout: Duration,
}

/// A publish whose answer is awaited; whoever drops it does not wait any more.
struct Ticket<'a> {
    lane: &'a Lane,
    number: u64,
    fetched: bool,
}

impl Outlet {
    pub(crate) async fn open(link: &Link, settings: &Publish) -> Result<Self, AmqpError> {
        let channel = link.channel().await?;
        let confirm_timeout = settings.confirm_timeout.0;
        if settings.confirms {
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
            let select = AMQPClass::Confirm(select);
            channel.call("ask for publisher confirms", select).await?;
            channel.lane().line.look_for(confirm_timeout);
            channel.lane().expires_after(confirm_timeout);
        }
        Ok(Outlet {
            channel,
            confirms: settings.confirms,
            mandatory: settings.mandatory,
            confirm_timeout,
        })
    }

    /// Publishes of the connection that the socket has not taken.
    pub(crate) fn unwritten(&self) -> u64 {
        self.channel.lane().line.unwritten()
    }

    pub(crate) fn is_lost(&self) -> bool {
        !self.channel.is_open()
    }

    /// Publishes, and waits until the socket has the message.
    pub(crate) async fn write(&self, message: Message<'_>) {
        let lane = self.channel.lane();
        // Its answer will find nobody, but it has a number.
        let mut begun = std::pin::pin!(self.publish(message));
        if futures_util::poll!(&mut begun).is_ready() && !self.channel.is_open() {
            return;
        }
        let flushed = lane.line.flushed();
        // Whether it was written is as unknown as whether it arrived.
        let _ = tokio::time::timeout(self.confirm_timeout, flushed).await;
    }

    /// Publishes at the first poll, and awaits the outcome.
    ///
    /// # Cancel safety
    /// A dropped publish may have happened.
    pub(crate) async fn publish(&self, message: Message<'_>) -> Outcome {
        let (mut message, mut ticket) = (Some(message), None::<Ticket<'_>>);
        poll_fn(|context| match (message.take(), &mut ticket) {
            (Some(message), ticket) => match self.begin(&message, context) {
                Ok(begun) => {
                    *ticket = Some(begun);
                    Poll::Pending
                }
                Err(outcome) => Poll::Ready(outcome),
            },
            (None, Some(ticket)) => ticket.poll(context),
            (None, None) => Poll::Pending,
        })
        .await
    }

    /// Writes the message; an outcome where there is no answer to wait for.
    fn begin(&self, message: &Message<'_>, context: &Context<'_>) -> Result<Ticket<'_>, Outcome> {
        const LOST: Outcome = Outcome::Unknown(Uncertainty::ConnectionLost);
        let lane = self.channel.lane();
        let (exchange, key) = (
            message.exchange.as_str().as_bytes(),
            message.routing_key.as_str().as_bytes(),
        );
        let print = match self.mandatory && self.confirms {
            true => print(exchange, key, message.body),
            false => 0,
        };
        // Under the ring's lock, so that numbers are in the order of the frames.
        let mut ring = lane.confirms.lock();
        if ring.is_ended() {
            return Err(LOST);
        }
        let frame_max = lane.line.tuned.frame_max;
        let written = lane.line.append(1, |out| {
            frame::write_publish(out, lane.number, exchange, key, self.mandatory);
            frame::write_header(out, lane.number, &message.properties, message.body.len() as u64);
            frame::write_body(out, lane.number, message.body, frame_max);
        });
        match written {
            false => Err(LOST),
            true if !self.confirms => Err(Outcome::Unknown(Uncertainty::NotAsked)),
            true => {
                let number = ring.begin(context.waker(), print, lane.line.now_ms());
                Ok(Ticket {
                    lane,
                    number,
                    fetched: false,
                })
            }
        }
    }
}

impl Ticket<'_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Outcome> {
        let polled = self.lane.confirms.poll(self.number, context.waker());
        self.fetched |= polled.is_ready();
        polled
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.fetched {
            self.lane.confirms.abandon(self.number);
        }
    }
}
