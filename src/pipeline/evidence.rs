//! What a database says of steps that nobody told of: their process was killed between the commit and the word.
//!
//! A durable store has each step once, in the transaction of its effect, so that a step found there stands, whoever committed
//! it. It is told when its message comes again, when its row of the outbox is about to be published, and at the end for the
//! rest; the ledger books the first of these words and of the commit's own, and only that.

use std::sync::Arc;

use super::consumer::StageContext;
use super::order::{Context, Emit, Inventory, service};
use super::store::{PastStep, StoreError, StoreSite, past_steps};
use crate::clock::Nanos;
use crate::events::Stage;
use crate::ledger::{Ledger, StepKey, Testimony};
use crate::orders::{Order, OrderNumber};
use crate::wire::Wiring;
use crate::wire::message::{Envelope, decode};

impl StageContext {
    /// A message came again: if the store has its step, the step stands. Only where a process can have died untold.
    pub(super) async fn recall(&self, message: &Envelope) {
        let (true, Some(store)) = (self.wiring.ledger.is_elsewhere(), self.store.durable()) else {
            return;
        };
        // A store that does not answer now is asked at the end.
        if let Ok(Some(emit)) = store.remembered(message.number, message.event).await {
            self.tell_found(message, emit);
        }
    }

    /// Tells of the steps whose messages a former process left in the outbox: they are about to be published.
    pub(super) async fn settle_leftovers(&self) -> Result<(), StoreError> {
        let (true, Some(store)) = (self.wiring.ledger.is_elsewhere(), self.store.durable()) else {
            return Ok(());
        };
        for row in store.next_unsent(Vec::new(), usize::MAX).await? {
            if let Ok(message) = decode(self.wiring.encoder.ids(), &row.message) {
                let cause = Envelope {
                    event: row.cause,
                    ..message
                };
                self.tell_found(&cause, row.emit);
            }
        }
        Ok(())
    }

    fn tell_found(&self, message: &Envelope, emit: Emit) {
        self.wiring.ledger.together(self.step(message), Testimony::Found, || {
            self.service.tell(message, emit);
            self.has_effect(message, emit);
        });
    }
}

/// Books, in the ledger itself, the steps of these stages' databases that nobody told of; nobody works on them any more.
pub(super) async fn settle(wiring: &Wiring, (stages, ledger): (Vec<Stage>, Arc<Ledger>), site: &StoreSite) {
    let context = Context {
        seed: wiring.seed,
        workload: Arc::clone(&wiring.workload),
        ledger: Arc::clone(&ledger),
    };
    let inventory = Arc::new(Inventory::new(context.clone()));
    let at = wiring.timer.clock().now();
    for stage in stages {
        let settings = wiring.workload.stage(stage);
        let steps = match past_steps(stage, settings, site).await {
            Ok(steps) => steps,
            Err(error) => {
                wiring.connector.incidents().end(format!(
                    "the {stage} stage's database cannot be read at the end: {error}"
                ));
                continue;
            }
        };
        let service = service(stage, &context, &inventory);
        for PastStep { number, event, emit } in steps {
            let step = StepKey { number, stage, event };
            if ledger.has_effect(step) {
                continue;
            }
            service.tell(&bare(wiring, step, at), emit);
            if let Emit::Event(event) = emit {
                ledger.attempted(number, event);
            }
            if stage.is_end(event) {
                // When it ended nobody knows: it is counted, and not measured.
                ledger.ended_by(number, stage, event, at, 0);
            } else {
                ledger.effect(number, stage, event);
            }
        }
    }
}

/// The message of a step as far as the step tells.
fn bare(wiring: &Wiring, step: StepKey, at: Nanos) -> Envelope {
    let order = drawn(wiring, step.number);
    Envelope {
        number: step.number,
        event: step.event,
        intended: at,
        published: at,
        cents: order.cents(),
        lines: order.lines,
    }
}

fn drawn(wiring: &Wiring, number: OrderNumber) -> Order {
    Order::draw(wiring.seed, number, &wiring.workload.orders)
}
