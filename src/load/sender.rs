//! Sends one order and takes note of its answer.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use lapin::BasicProperties;
use lapin::types::ShortString;

use super::LoadMeter;
use crate::amqp::{AmqpError, Backoff, Connection, Message, Outcome, Publisher, Refusal, RenewablePublisher, persist};
use crate::clock::Nanos;
use crate::events::{Event, PipelineKind};
use crate::ledger::PublishFate;
use crate::measure::Series;
use crate::orders::{Order, OrderNumber};
use crate::wire::Wiring;
use crate::wire::message::Kind;
use crate::workload::model::BadKind;

/// Frames that may wait in the client for room in the socket before the load holds back: beyond that the broker is not
/// taking what it is sent, and the schedule, which needs no memory, is the better place to wait.
const UNWRITTEN_MAX: u64 = 256;

/// Publishes orders on one connection, the one that is there at the moment.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    wiring: Wiring,
    line: Arc<RenewablePublisher>,
    link: Arc<Connection>,
    publisher: Publisher,
    /// For what leads nowhere, a channel of its own: the client library hands a return to whichever publish of the channel is
    /// confirmed next, which is the right one only where all come back.
    astray: Option<Arc<RenewablePublisher>>,
    meter: Arc<LoadMeter>,
    exchange: ShortString,
    routing_key: ShortString,
}

/// An order as it goes out.
struct Parcel {
    cents: u64,
    body: Vec<u8>,
    properties: BasicProperties,
}

/// An order whose answer has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) number: OrderNumber,
    pub(super) outcome: Outcome,
}

impl Sender {
    pub(super) fn new(
        wiring: Wiring,
        line: Arc<RenewablePublisher>,
        astray: Option<Arc<RenewablePublisher>>,
        meter: Arc<LoadMeter>,
    ) -> Self {
        let (exchange, routing_key) = wiring.topology.entrance();
        Sender {
            wiring,
            link: line.line().current(),
            publisher: line.current(),
            line,
            astray,
            meter,
            exchange,
            routing_key,
        }
    }

    pub(super) fn meter(&self) -> &LoadMeter {
        &self.meter
    }

    pub(super) fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// The publisher for a message beside the orders.
    pub(super) fn publisher_of(&self, kind: Option<BadKind>) -> Publisher {
        match (&self.astray, kind) {
            (Some(astray), Some(BadKind::Unroutable)) => astray.current(),
            _ => self.publisher.clone(),
        }
    }

    /// Opens the channel anew on which a message led nowhere and was lost with it; one attempt, at its next use another.
    pub(super) async fn renew_astray(&self) {
        if let Some(astray) = self.astray.as_ref().filter(|astray| astray.current().is_lost()) {
            let _ = astray.renewed().await;
        }
    }

    /// Its connection.
    pub(super) fn link(&self) -> &Connection {
        &self.link
    }

    /// Whether nothing more can be sent here: the connection is gone, or its channel is.
    pub(super) fn is_lost(&self) -> bool {
        self.link.is_lost() || self.publisher.is_lost()
    }

    /// Waits until its connection is gone.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let link = Arc::clone(&self.link);
        async move { link.lost().await }
    }

    /// This sender on a connection opened anew. What was unanswered on the old one stays unknown, and is not sent again.
    /// Whoever gives up ends the trial.
    pub(super) fn restored(&self, index: u64) -> impl Future<Output = Result<Arc<Sender>, AmqpError>> + Send + use<> {
        let sender = self.clone();
        async move {
            let wiring = &sender.wiring;
            let mut backoff = Backoff::new(wiring.workload.recovery, wiring.seed, "load", index);
            let line = Arc::clone(&sender.line);
            let restoring = persist(&mut backoff, wiring.timer.clock(), || line.renewed());
            match restoring.await {
                Ok(publisher) => Ok(Arc::new(Sender {
                    link: line.line().current(),
                    publisher,
                    ..sender
                })),
                Err(error) => {
                    line.line().give_up(&error);
                    Err(error)
                }
            }
        }
    }

    /// Whether the client has too much that the socket does not take.
    pub(super) fn is_choked(&self) -> bool {
        self.publisher.unwritten() >= UNWRITTEN_MAX
    }

    /// Stamps, books and publishes order `number`, intended at `intended` on the run's clock and held back by the broker until
    /// `released` (0: not at all). The stamp is taken here; the
    /// message is queued at the first poll of what is returned, which the caller owes at once.
    pub(super) fn send(
        self: &Arc<Self>,
        number: OrderNumber,
        intended: Nanos,
        released: Nanos,
    ) -> impl Future<Output = Answered> + Send + 'static {
        let Wiring {
            ledger,
            board,
            window,
            timer,
            ..
        } = &self.wiring;
        let contents = self.contents(number);
        let sent = timer.clock().now();
        let measured = window.contains(intended);
        if measured {
            board.record(Series::SendLag, sent.saturating_sub(intended));
            board.record(Series::DriverLag, sent.saturating_sub(intended.max(released)));
            self.meter.sent_measured.fetch_add(1, Ordering::Relaxed);
        }
        self.meter.sent.fetch_add(1, Ordering::Relaxed);
        self.meter.in_flight.fetch_add(1, Ordering::Relaxed);
        let Parcel {
            cents,
            body,
            properties,
        } = self.parcel(number, contents.as_ref(), intended, sent);
        ledger.placed(number, intended, sent, cents);
        let extras = self.extras(number, (&body, &properties), (intended, sent));
        let sender = Arc::clone(self);
        async move {
            let beside = join_all(extras.into_iter().map(|extra| sender.send_beside(extra)));
            let message = Message {
                exchange: &sender.exchange,
                routing_key: &sender.routing_key,
                properties,
                body: &body,
            };
            let publishing = async {
                let outcome = sender.publisher.publish(message).await;
                sender.answered(number, outcome, sent, measured);
                outcome
            };
            // Polled in this order, the order itself goes first.
            let (outcome, _) = join(publishing, beside).await;
            Answered { number, outcome }
        }
    }

    /// What is in an order; a job has no content.
    fn contents(&self, number: OrderNumber) -> Option<Order> {
        let Wiring { workload, seed, .. } = &self.wiring;
        match workload.pipeline {
            PipelineKind::Orders => Some(Order::draw(*seed, number, &workload.orders)),
            PipelineKind::WorkQueue => None,
        }
    }

    fn parcel(&self, number: OrderNumber, contents: Option<&Order>, intended: Nanos, sent: Nanos) -> Parcel {
        let encoder = &self.wiring.encoder;
        match contents {
            Some(order) => Parcel {
                cents: order.cents(),
                body: encoder.order_created(order, intended, sent),
                properties: self.wiring.properties(number, Event::OrderCreated, Kind::Event),
            },
            None => Parcel {
                cents: 0,
                body: encoder.job(number, intended, sent),
                properties: self.wiring.job_properties(number),
            },
        }
    }

    fn answered(&self, number: OrderNumber, outcome: Outcome, sent: Nanos, measured: bool) {
        self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
        let fate = match outcome {
            Outcome::Confirmed => PublishFate::Confirmed,
            Outcome::Refused(Refusal::Nack) => PublishFate::Nacked,
            Outcome::Refused(Refusal::Returned) => PublishFate::Returned,
            Outcome::Unknown(_) => PublishFate::Unknown,
        };
        self.wiring.ledger.answered(number, fate);
        if outcome == Outcome::Confirmed {
            let took = self.wiring.timer.clock().now().saturating_sub(sent);
            self.wiring.publishes.confirmed_after(took);
            if measured {
                self.wiring.board.record(Series::ConfirmLatency, took);
            }
        }
    }
}
