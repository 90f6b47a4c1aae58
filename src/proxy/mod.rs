//! A TCP proxy on a free port of this machine, through which connections can be made slow, silent or dead while they are in use.
//!
//! It knows nothing of what is spoken through it: AMQP, PostgreSQL and TLS are bytes. Where nothing is inflicted it passes them on
//! as they come; where no network fault is asked for there shall be no proxy at all, for it costs a copy and a context switch.

mod door;
mod line;
mod toxic;

pub use toxic::{Direction, Toxic};

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::timer::Timer;
use line::Fate;
use toxic::Weather;

/// A running proxy. Dropping it closes its port and every connection through it.
#[derive(Debug)]
pub struct Proxy {
    control: Control,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `target` ("host:port"). The jitter of its delays is drawn from the sub-stream `name` of `seed`. To be
    /// called in a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says when no port of 127.0.0.1 can be had. A target that does not answer shows as connections that close.
    pub fn start(target: &str, (seed, name): (u64, &str), timer: &Timer) -> io::Result<Self> {
        let port = door::Port::reserve()?;
        let shared = Arc::new(Shared {
            address: port.address(),
            active: Mutex::default(),
            weather: watch::Sender::new(Weather::default()),
        });
        let listener = port.listen()?;
        let house = door::House {
            target: target.to_owned(),
            seed,
            name: name.to_owned(),
            timer: timer.clone(),
            shared: Arc::clone(&shared),
            links: Default::default(),
        };
        Ok(Proxy {
            control: Control(shared),
            serving: tokio::spawn(door::serve(Arc::new(house), port, listener)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.control.0.address
    }

    /// What makes its connections slow, silent or dead.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections are tasks of the task that serves.
        self.serving.abort();
    }
}

/// The hand on a proxy; all clones are the same hand.
#[derive(Debug, Clone)]
pub struct Control(Arc<Shared>);

impl Control {
    /// From now on, until it is healed, this is so. What is inflicted more than once adds up: delays are summed, the narrowest
    /// bandwidth counts.
    pub fn inflict(&self, toxic: Toxic) -> Inflicted {
        let mut active = self.0.lock();
        let number = active.next;
        active.next += 1;
        active.toxics.insert(number, toxic);
        self.0.change_weather(&active);
        match toxic {
            Toxic::Cut => active.meet(|_| Some(Fate::Cut)),
            Toxic::Reset => active.meet(|_| Some(Fate::Reset)),
            Toxic::HalfOpen(direction) => active.meet(|_| Some(Fate::Swallowed(direction))),
            Toxic::Delay { .. } | Toxic::Bandwidth(_) | Toxic::Stall => {}
        }
        drop(active);
        Inflicted {
            shared: Arc::clone(&self.0),
            number,
        }
    }

    /// Connections that are open through the proxy now.
    pub fn connections(&self) -> usize {
        self.0.lock().connections.len()
    }
}

/// What was inflicted, until it is healed or dropped.
#[derive(Debug)]
#[must_use = "dropping it heals"]
pub struct Inflicted {
    shared: Arc<Shared>,
    number: u64,
}

impl Inflicted {
    /// Ends it. A second call does nothing.
    pub fn heal(&self) {
        let mut active = self.shared.lock();
        let Some(toxic) = active.toxics.remove(&self.number) else {
            return;
        };
        self.shared.change_weather(&active);
        if let Toxic::HalfOpen(_) = toxic {
            // What was swallowed is gone: no such connection can go on.
            active.meet(|fate| matches!(fate, Fate::Swallowed(_)).then_some(Fate::Reset));
        }
    }
}

impl Drop for Inflicted {
    fn drop(&mut self) {
        self.heal();
    }
}

/// What the hands on a proxy and its connections share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    active: Mutex<Active>,
    weather: watch::Sender<Weather>,
}

#[derive(Debug, Default)]
struct Active {
    next: u64,
    toxics: BTreeMap<u64, Toxic>,
    connections: BTreeMap<u64, watch::Sender<Fate>>,
}

impl Active {
    /// Gives each connection the fate that `choose` names for the one that it has; the dead stay dead.
    fn meet(&mut self, choose: impl Fn(Fate) -> Option<Fate>) {
        for fate in self.connections.values() {
            let now = *fate.borrow();
            if let Some(next) = choose(now).filter(|_| !matches!(now, Fate::Cut | Fate::Reset)) {
                fate.send_replace(next);
            }
        }
    }
}

impl Shared {
    /// Each change of it is whole, so a panic elsewhere has not torn it.
    fn lock(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_weather(&self, active: &Active) {
        self.weather.send_replace(Weather::of(active.toxics.values()));
    }

    /// Takes note of a new connection, which ends with what is returned.
    fn enter(self: &Arc<Self>) -> Guest {
        let mut active = self.lock();
        let number = active.next;
        active.next += 1;
        let fate = if self.weather.borrow().resets {
            Fate::Reset
        } else {
            Fate::Passes
        };
        let (sender, fate) = watch::channel(fate);
        active.connections.insert(number, sender);
        Guest {
            shared: Arc::clone(self),
            number,
            fate,
        }
    }
}

/// A connection in the list of a proxy.
struct Guest {
    shared: Arc<Shared>,
    /// Names its jitter, too.
    number: u64,
    fate: watch::Receiver<Fate>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.shared.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
