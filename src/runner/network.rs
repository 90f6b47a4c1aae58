//! The proxies between clients and broker, where a fault of the network asks for them, and what is inflicted on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::amqp::Connector;
use crate::amqp::uri::BrokerUri;
use crate::events::Stage;
use crate::fault::{Hold, Trouble};
use crate::proxy::{Control, Direction, Inflicted, Proxy, Toxic};
use crate::timer::Timer;
use crate::wire::Peer;
use crate::workload::Workload;
use crate::workload::model::{FaultKind, NetworkFault};

/// The proxies of a trial: none where no fault needs one.
#[derive(Debug, Default)]
pub struct Network {
    /// For each peer one in front of each node.
    proxies: Vec<(Peer, Vec<Proxy>)>,
}

impl Network {
    /// Starts a proxy, in front of each node, for each whose connections a fault of the script is about. The jitter comes from
    /// `seed`. `nodes`: those of a cluster; none where the broker's address is all there is.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(
        workload: &Workload,
        (broker, nodes): (&BrokerUri, &[SocketAddr]),
        seed: u64,
        timer: &Timer,
    ) -> io::Result<Self> {
        let targets: Vec<String> = match broker.host() {
            _ if !nodes.is_empty() => nodes.iter().map(SocketAddr::to_string).collect(),
            ipv6 if ipv6.contains(':') => vec![format!("[{ipv6}]:{}", broker.port())],
            host => vec![format!("{host}:{}", broker.port())],
        };
        let start = |peer| {
            let name = match peer {
                Peer::Load => "load",
                Peer::Stage(stage) => Stage::name(stage),
            };
            let named = targets.iter().enumerate().map(|(node, target)| match node {
                0 => (name.to_owned(), target),
                _ => (format!("{name}.{node}"), target),
            });
            let started = named.map(|(name, target)| Proxy::start(target, (seed, &name), timer));
            Ok((peer, started.collect::<io::Result<Vec<Proxy>>>()?))
        };
        let proxies = touched(workload).into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Network { proxies })
    }

    /// How everybody who has a proxy connects.
    pub fn detours(&self, connector: &Connector) -> Vec<(Peer, Connector)> {
        let detours = self.proxies.iter();
        detours
            .map(|(peer, proxies)| {
                let addresses = proxies.iter().map(Proxy::address).collect();
                (*peer, connector.over(addresses, 0))
            })
            .collect()
    }

    /// A fault of the connections of `stage`, or of everybody.
    pub fn trouble(&self, fault: NetworkFault, stage: Option<Stage>) -> Arc<dyn Trouble> {
        let concerned = self
            .proxies
            .iter()
            .filter(|(peer, _)| stage.is_none_or(|stage| *peer == Peer::Stage(stage)));
        Arc::new(NetworkTrouble {
            controls: concerned
                .flat_map(|(_, proxies)| proxies)
                .map(|proxy| proxy.control().clone())
                .collect(),
            toxic: toxic(fault),
        })
    }
}

/// Whose connections the script's faults of the network are about.
fn touched(workload: &Workload) -> Vec<Peer> {
    let stages = workload.pipeline.stages().iter().copied();
    let all = std::iter::once(Peer::Load).chain(stages.map(Peer::Stage));
    let script = &workload.faults.script;
    let about = |peer: Peer| {
        let mut faults = script
            .iter()
            .filter(|fault| matches!(fault.what, FaultKind::Network(..)));
        faults.any(|fault| fault.stage.is_none_or(|stage| peer == Peer::Stage(stage)))
    };
    all.filter(|peer| about(*peer)).collect()
}

fn toxic(fault: NetworkFault) -> Toxic {
    match fault {
        NetworkFault::Delay { delay, jitter } => Toxic::Delay {
            delay: delay.0,
            jitter: jitter.0,
        },
        NetworkFault::Bandwidth(size) => Toxic::Bandwidth(size.0),
        NetworkFault::Stall => Toxic::Stall,
        NetworkFault::Cut => Toxic::Cut,
        NetworkFault::Reset => Toxic::Reset,
        NetworkFault::HalfOpen => Toxic::HalfOpen(Direction::Both),
    }
}

struct NetworkTrouble {
    controls: Vec<Control>,
    toxic: Toxic,
}

impl Trouble for NetworkTrouble {
    fn begin(&self) -> BoxFuture<'_, Result<Hold, String>> {
        let inflicted: Vec<Inflicted> = self
            .controls
            .iter()
            .map(|control| control.inflict(self.toxic))
            .collect();
        Box::pin(async move { Ok(Box::new(inflicted) as Hold) })
    }

    fn heal(&self, hold: Hold) -> BoxFuture<'_, Result<(), String>> {
        drop(hold);
        Box::pin(async { Ok(()) })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::check::check;

    fn touched_by(settings: &[&str]) -> Vec<Peer> {
        let overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let checked = check("w.toml", "w", String::new(), &overrides).unwrap_or_else(|error| panic!("{error}"));
        touched(&checked.cells[0].workload)
    }

    #[test]
    fn only_those_have_a_proxy_whose_network_is_at_fault() {
        assert_eq!(touched_by(&[]), []);
        let other = ["faults.1.what=panic", "faults.1.stage=payment", "faults.1.at=1s"];
        assert_eq!(touched_by(&other), []);
        let stall = ["faults.1.what=network-stall", "faults.1.at=1s", "faults.1.lasts=1s"];
        assert_eq!(
            touched_by(&[&stall[..], &["faults.1.stage=payment"]].concat()),
            [Peer::Stage(Stage::Payment)]
        );
        let everybody = touched_by(&stall);
        assert!(everybody.contains(&Peer::Load) && everybody.contains(&Peer::Stage(Stage::Audit)));
    }
}
