//! A managed broker that goes down, in order or by a kill, and is started again on its data.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::broker::RunningBroker;
use crate::broker::managed::ManagedCluster;
use crate::clock::Clock;
use crate::fault::{Hold, Trouble};
use crate::pipeline::AckLog;

/// How a broker goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// As for maintenance (SIGTERM).
    InOrder,
    /// As its process dies (SIGKILL).
    Killed,
}

/// The fault.
#[derive(Debug)]
pub struct NodeDown {
    pub broker: Arc<RunningBroker>,
    pub how: Down,
    /// The stages' logs of what they acknowledged: they are told when the broker is gone.
    pub acks: Vec<Arc<AckLog>>,
    pub clock: Clock,
    /// The user wants to leave: the broker need not come back first.
    pub interrupt: CancellationToken,
}

impl Trouble for NodeDown {
    fn begin(&self) -> BoxFuture<'_, Result<Hold, String>> {
        Box::pin(async {
            let cluster = self.broker.cluster().ok_or("only a managed broker can go down")?;
            let told = self.clock.now();
            let down = match self.how {
                Down::InOrder => cluster.shut_down().await,
                Down::Killed => cluster.kill().await,
            };
            for log in &self.acks {
                log.broker_is_gone(told);
            }
            down.map_err(|error| error.to_string())?;
            Ok(Box::new(()) as Hold)
        })
    }

    fn heal(&self, _hold: Hold) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let cluster = self.broker.cluster().ok_or("only a managed broker comes back")?;
            tokio::select! {
                back = cluster.restart() => back.map_err(|error| error.to_string()),
                // It goes with the run.
                () = self.interrupt.cancelled() => Ok(()),
            }
        })
    }

    /// More than an orderly stop and a boot may take together.
    fn patience(&self) -> Duration {
        Duration::from_secs(150)
    }

    fn is_back(&self) -> bool {
        let cluster = self.broker.cluster();
        cluster.is_some_and(ManagedCluster::runs)
    }
}
