//! Starts consumers of a stage, in whatever process: their connections, their seats, and the relay of an outbox.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::acked::AckLog;
use super::consumer::{Ended, Seat, StageContext};
use super::meter::StageMeter;
use super::order::Service;
use super::process::Teller;
use super::relay::Relay;
use super::retry::Attempts;
use super::running::StartError;
use super::store::Store;
use super::strike::Strike;
use super::switch::StageSwitch;
use crate::amqp::{AmqpError, Renewable, RenewablePublisher};
use crate::events::Stage;
use crate::orders::OrderNumber;
use crate::units::Span;
use crate::wire::{Peer, Wiring};
use crate::workload::model::{Publishing, StageConnection};

/// The consumers of a stage that run in one process.
pub(super) struct Staff {
    pub stage: Stage,
    pub wiring: Wiring,
    pub service: Arc<dyn Service>,
    pub store: Store,
    pub meter: Arc<StageMeter>,
    pub switch: Arc<StageSwitch>,
    /// Which of them.
    pub seats: Range<u32>,
    /// What their connections are called beside the stage.
    pub whose: String,
    /// Whether they consume at once.
    pub open: bool,
    /// Where ends of orders go, for a closed loop.
    pub finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    /// Whom they tell; absent in the driver.
    pub teller: Option<Arc<Teller>>,
    /// What it acknowledged lately, where a fault takes the broker down.
    pub acks: Option<Arc<AckLog>>,
}

/// Consumers that were started.
#[derive(Debug)]
pub(super) struct Staffed {
    pub stage: Arc<StageContext>,
    /// By which faults strike them, in their order.
    pub strikes: Vec<mpsc::UnboundedSender<Strike>>,
    pub lines: Vec<Arc<Renewable>>,
}

type Pair = (Arc<Renewable>, Option<Arc<Renewable>>);

impl Staff {
    /// One connection to consume and, where the stage emits, one to publish, for all of them or for each: a broker that blocks
    /// publishers must not stop the acknowledgements.
    pub(super) async fn start(
        self,
        consumers: &mut JoinSet<Ended>,
        stop: &CancellationToken,
    ) -> Result<Staffed, StartError> {
        let (workload, wiring) = (Arc::clone(&self.wiring.workload), self.wiring);
        let settings = workload.stage(self.stage).clone();
        let shared = Arc::new(StageContext {
            stage: self.stage,
            service: self.service,
            store: self.store,
            meter: self.meter,
            settings,
            switch: self.switch,
            time_to_live: workload.time_to_live(self.stage).map(Span::as_nanos),
            wiring: wiring.clone(),
            finished: self.finished,
            teller: self.teller,
            acks: self.acks,
            attempts: Attempts::default(),
        });
        let mut staffed = Staffed {
            stage: Arc::clone(&shared),
            strikes: Vec::new(),
            lines: Vec::new(),
        };
        shared.settle_leftovers().await?;
        let mut lines = staffed.connect(&self.whose, &wiring).await?;
        for index in self.seats.clone() {
            if index > self.seats.start && shared.settings.connection == StageConnection::Own {
                lines = staffed.connect(&format!("{} {index}", self.whose), &wiring).await?;
            }
            let (consuming, publishing) = &lines;
            let publisher = match publishing {
                Some(line) => {
                    Some(RenewablePublisher::open(line, &workload.publish, Arc::clone(&wiring.publishes)).await?)
                }
                None => None,
            };
            let (strike, strikes) = mpsc::unbounded_channel();
            staffed.strikes.push(strike);
            let seat = Seat::new(Arc::clone(&shared), index, Arc::clone(consuming), publisher, strikes);
            let taken = if self.open { Some(seat.take().await?) } else { None };
            consumers.spawn(seat.occupy(taken, stop.clone()));
        }
        if let (Publishing::Outbox, Some(line)) = (shared.settings.publish, &lines.1) {
            let publisher = RenewablePublisher::open(line, &workload.publish, Arc::clone(&wiring.publishes)).await?;
            consumers.spawn(Relay::new(Arc::clone(&shared), publisher).run(stop.clone()));
        }
        Ok(staffed)
    }
}

impl Staffed {
    /// A pair of connections; the second only where the stage publishes.
    async fn connect(&mut self, whose: &str, wiring: &Wiring) -> Result<Pair, AmqpError> {
        let stage = self.stage.stage;
        let connector = wiring.connector_of(Peer::Stage(stage));
        let consuming = Renewable::connect(connector, &format!("{stage} consumers{whose}")).await?;
        self.lines.push(Arc::clone(&consuming));
        // A failed delivery's message may have to be published again.
        if !stage.emits() && !wiring.workload.may_fail(stage) {
            return Ok((consuming, None));
        }
        let publishing = Renewable::connect(connector, &format!("{stage} publishers{whose}")).await?;
        self.lines.push(Arc::clone(&publishing));
        Ok((consuming, Some(publishing)))
    }
}
