//! A fresh step: what the service decides is committed, and once it stands the books and the ledger follow.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::consumer::StageContext;
use super::order::{Emit, Reaction};
use super::store::{Committed, Known, Step};
use crate::clock::Nanos;
use crate::events::Stage;
use crate::ledger::{Finished, StepKey, Testimony};
use crate::measure::{Series, StageSpan};
use crate::orders::OrderNumber;
use crate::wire::Wiring;
use crate::wire::message::Envelope;
use crate::workload::model::{Defect, Publishing};

/// What is left to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CarriedOut {
    /// The effect stands, and this is to be published.
    Publish(Emit),
    /// The effect stands, and the consumer has nothing to publish.
    Complete,
    /// There was no effect, and there shall be none.
    Nothing,
    /// A planted defect: there was no effect, and the message is rejected.
    Rejected,
    /// The step is to be tried again: the store failed, and nothing stands; or another delivery of the message was faster,
    /// and nobody knows whether its event went out.
    Again,
}

/// A step on its way into the store. One that is dropped before it stands has not happened.
struct Pending {
    stage: Arc<StageContext>,
    message: Envelope,
    reaction: Reaction,
    emit: Emit,
    /// When its message for the outbox was written, if there is one.
    handed_over: Option<Nanos>,
    stood: bool,
}

impl Pending {
    fn stands(mut self) {
        self.stood = true;
        let Pending {
            stage, message, emit, ..
        } = &self;
        let tell = || {
            if let Some(at) = self.handed_over
                && stage.stage.is_critical(message.event)
            {
                let nanos = at.saturating_sub(message.published);
                stage.wiring.ledger.accounted(message.number, nanos);
            }
            stage.service.stands(message, *emit);
            let times = 1 + u32::from(self.reaction == Reaction::EffectTwice);
            for _ in 0..times {
                stage.has_effect(message, *emit);
            }
        };
        let step = stage.step(message);
        stage.wiring.ledger.together(step, Testimony::Committed, tell);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.stood {
            self.stage.service.undone(&self.message, self.reaction);
        }
    }
}

impl StageContext {
    /// Handles a message that is fresh, and commits what follows.
    ///
    /// # Cancel safety
    /// The step may come to stand although nobody waits; its repetition is then known as one.
    pub(super) async fn carry_out(self: &Arc<Self>, message: &Envelope) -> CarriedOut {
        let reaction = self.service.handle(message);
        let emit = match reaction {
            Reaction::Swallowed => return CarriedOut::Nothing,
            Reaction::Rejected => return CarriedOut::Rejected,
            Reaction::Effect(emit) => emit,
            Reaction::EffectWithoutEvent | Reaction::EffectTwice => Emit::Nothing,
        };
        let now = self.wiring.timer.clock().now();
        let row = match self.settings.publish {
            Publishing::Outbox if !self.forgets(message) => self.outgoing(message, emit, now),
            Publishing::Outbox | Publishing::Republish | Publishing::DualWrite => None,
        };
        let pending = Pending {
            stage: Arc::clone(self),
            message: message.clone(),
            reaction,
            emit,
            handed_over: row.is_some().then_some(now),
            stood: false,
        };
        if self.forgets(message) {
            pending.stands();
            return CarriedOut::Publish(emit);
        }
        let (in_outbox, step) = (
            row.is_some(),
            Step {
                number: message.number,
                event: message.event,
                emit,
                cents: message.cents,
                message: row,
            },
        );
        let committed = self.store.commit(step, &self.wiring.ledger, move || pending.stands());
        match committed.await {
            Ok(Committed::Stands) if in_outbox => CarriedOut::Complete,
            Ok(Committed::Stands) if reaction == Reaction::EffectWithoutEvent => CarriedOut::Nothing,
            Ok(Committed::Stands) => CarriedOut::Publish(emit),
            Ok(Committed::Repetition) => self.repeated(message).await,
            Err(_) => {
                self.meter.store().failed();
                CarriedOut::Again
            }
        }
    }

    /// A planted defect: the effect is had and not remembered.
    fn forgets(&self, message: &Envelope) -> bool {
        let canary = self.wiring.workload.canary.as_ref();
        self.stage == Stage::Payment
            && canary.is_some_and(|canary| canary.strikes(Defect::ForgetEffect, message.number))
    }

    /// Another delivery of the message was faster. What it is to publish may yet fail, so that this one is not done before.
    async fn repeated(&self, message: &Envelope) -> CarriedOut {
        let ledger = &self.wiring.ledger;
        let known = self.store.lookup(message.number, message.event, ledger);
        if known.await == Ok(Known::Done) {
            ledger.suppressed(message.number, self.stage);
            CarriedOut::Nothing
        } else {
            CarriedOut::Again
        }
    }

    /// The step that a message calls for.
    pub(super) fn step(&self, message: &Envelope) -> StepKey {
        StepKey {
            number: message.number,
            stage: self.stage,
            event: message.event,
        }
    }

    pub(super) fn has_effect(&self, message: &Envelope, emit: Emit) {
        let ledger = &self.wiring.ledger;
        if let Emit::Event(event) = emit {
            // Before the effect, or an order of which nothing else is due would be closed in between.
            ledger.attempted(message.number, event);
        }
        if self.stage.is_end(message.event) {
            let at = self.wiring.timer.clock().now();
            let last_step = at.saturating_sub(message.published);
            let finished = ledger.ended_by(message.number, self.stage, message.event, at, last_step);
            self.finished(message, at, finished);
        } else {
            ledger.effect(message.number, self.stage, message.event);
        }
    }

    /// Measures an order that has just come to its end, if it has.
    pub(super) fn finished(&self, message: &Envelope, at: Nanos, order: Option<Finished>) {
        note_end(&self.wiring, self.finished.as_ref(), message.number, at, order);
    }

    pub(super) fn span(&self, message: &Envelope, span: StageSpan, nanos: Nanos) {
        if let Some(teller) = &self.teller {
            teller.span(self.stage, span, message.intended, nanos);
        } else if self.wiring.window.contains(message.intended) {
            self.wiring.board.record(Series::Stage(self.stage, span), nanos);
        }
    }

    /// Work that began at `started`.
    pub(super) fn busy(&self, started: Nanos, nanos: Nanos) {
        if let Some(teller) = &self.teller {
            teller.busy(self.stage, started, nanos);
        } else if self.wiring.window.contains(started) {
            self.meter.worked(nanos);
        }
    }
}

/// Measures an order that has come to its end at `at`, if it has, and tells a closed loop of it.
pub(super) fn note_end(
    wiring: &Wiring,
    finished: Option<&mpsc::UnboundedSender<OrderNumber>>,
    number: OrderNumber,
    at: Nanos,
    order: Option<Finished>,
) {
    let Some(order) = order else { return };
    let Wiring { board, window, .. } = wiring;
    if window.contains(order.intended) {
        board.record(Series::EndToEnd, at.saturating_sub(order.intended));
        board.record(Series::EndToEndFromSend, at.saturating_sub(order.sent));
        if wiring.workload.orders.urgent.0 > 0.0 {
            let class = if wiring.is_urgent(number) {
                Series::EndToEndUrgent
            } else {
                Series::EndToEndNormal
            };
            board.record(class, at.saturating_sub(order.intended));
        }
    }
    if let Some(finished) = finished {
        // The load may have ended; then nobody waits for the order.
        let _ = finished.send(number);
    }
}
