//! What befalls the databases of stages: they are locked, slow, or cannot be reached.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::events::Stage;
use crate::fault::{Hold, Trouble};
use crate::pipeline::store::postgres::PostgresAddress;
use crate::pipeline::store::{Grip, Locked};
use crate::proxy::{Control, Proxy, Toxic};
use crate::timer::Timer;
use crate::workload::Workload;
use crate::workload::model::{DatabaseFault, FaultKind, StoreKind};

/// The proxies between stages and their PostgreSQL: none where no fault needs one.
#[derive(Debug, Default)]
pub struct Databases {
    proxies: Vec<(Stage, Proxy)>,
}

impl Databases {
    /// Starts a proxy for each stage whose way to its server a fault of the script is about.
    ///
    /// # Errors
    /// When no port is free, or the server has none.
    pub fn start(workload: &Workload, server: Option<&PostgresAddress>, seed: u64, timer: &Timer) -> io::Result<Self> {
        let mut proxies = Vec::new();
        for stage in workload.pipeline.stages().iter().copied() {
            let (true, Some(server)) = (is_touched(workload, stage), server) else {
                continue;
            };
            let target = server.target().ok_or_else(|| {
                io::Error::other(format!(
                    "{server} has no single host that a proxy could stand before\nhelp: name one host and its port in ORDERSTORM_POSTGRES_URL, or leave the fault out"
                ))
            })?;
            let name = format!("{stage}.store");
            proxies.push((stage, Proxy::start(&target.to_string(), (seed, &name), timer)?));
        }
        Ok(Databases { proxies })
    }

    /// By which way a stage reaches its server, where that is a detour.
    pub fn detours(&self) -> Vec<(Stage, SocketAddr)> {
        let proxies = self.proxies.iter();
        proxies.map(|(stage, proxy)| (*stage, proxy.address())).collect()
    }

    /// A fault of a stage's database, which `grip` is on.
    pub fn trouble(&self, fault: DatabaseFault, stage: Stage, grip: Grip) -> Arc<dyn Trouble> {
        let mut proxies = self.proxies.iter();
        let proxy = proxies.find(|(own, _)| *own == stage);
        Arc::new(DatabaseTrouble {
            fault,
            grip,
            way: proxy.map(|(_, proxy)| proxy.control().clone()),
        })
    }
}

/// Whether the stage's way to its server must lead through a proxy.
fn is_touched(workload: &Workload, stage: Stage) -> bool {
    let by_network = |what| {
        matches!(
            what,
            FaultKind::Database(DatabaseFault::Unreachable | DatabaseFault::Slow { .. }, _)
        )
    };
    let mut script = workload.faults.script.iter();
    workload.stage(stage).store == StoreKind::Postgres
        && script.any(|fault| fault.stage == Some(stage) && by_network(fault.what))
}

struct DatabaseTrouble {
    fault: DatabaseFault,
    grip: Grip,
    way: Option<Control>,
}

impl Trouble for DatabaseTrouble {
    fn begin(&self) -> BoxFuture<'_, Result<Hold, String>> {
        Box::pin(async {
            let inflict = |toxic| match &self.way {
                Some(way) => Ok(Box::new(way.inflict(toxic)) as Hold),
                None => Err("there is no proxy before the database".to_owned()),
            };
            match self.fault {
                DatabaseFault::Locked => Ok(Box::new(self.grip.lock().await?) as Hold),
                DatabaseFault::Unreachable => inflict(Toxic::Cut),
                DatabaseFault::Slow { delay } if self.way.is_some() => inflict(Toxic::Delay {
                    delay: delay.0,
                    jitter: Duration::ZERO,
                }),
                DatabaseFault::Slow { delay } => Ok(Box::new(self.grip.slow_down(delay.0)) as Hold),
            }
        })
    }

    fn heal(&self, hold: Hold) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match hold.downcast::<Locked>() {
                Ok(locked) => locked.release().await,
                Err(other) => drop(other),
            }
            Ok(())
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}
