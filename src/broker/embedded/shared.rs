//! What all connections of one broker share.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{Notify, broadcast};

use super::memory::Gauge;
use super::options::EmbeddedOptions;
use super::stats::{Counters, QueueDepth};
use super::vhost::Vhost;

/// One broker, without its sockets.
pub(super) struct Shared {
    pub(super) options: EmbeddedOptions,
    pub(super) gauge: Arc<Gauge>,
    vhosts: RwLock<HashMap<String, Arc<Vhost>>>,
    /// Wakes the timer task when an earlier deadline has come.
    pub(super) timer: Arc<Notify>,
    /// Tells all connections to close with 320 and this reason.
    pub(super) force_close: broadcast::Sender<Arc<str>>,
}

impl Shared {
    pub(super) fn new(options: EmbeddedOptions) -> Arc<Self> {
        let gauge = Gauge::new(options.memory_limit);
        let shared = Self {
            gauge,
            vhosts: RwLock::new(HashMap::new()),
            timer: Arc::new(Notify::new()),
            force_close: broadcast::Sender::new(4),
            options,
        };
        for name in shared.options.vhosts.clone() {
            shared.create_vhost(&name);
        }
        Arc::new(shared)
    }

    pub(super) fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Makes a virtual host; one that exists stays as it is.
    pub(super) fn create_vhost(&self, name: &str) {
        self.vhosts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_owned())
            .or_insert_with(|| Vhost::new(name, &self.gauge, self.timer.clone()));
    }

    fn all_vhosts(&self) -> Vec<Arc<Vhost>> {
        self.vhosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(super) fn depths(&self) -> Vec<QueueDepth> {
        self.all_vhosts()
            .iter()
            .flat_map(|vhost| vhost.lock().depths().collect::<Vec<_>>())
            .collect()
    }

    pub(super) fn counters(&self) -> Counters {
        let mut total = Counters::default();
        for vhost in self.all_vhosts() {
            total += vhost.lock().counts;
        }
        total
    }

    /// Expires what is due everywhere, for as long as it is polled.
    pub(super) async fn run_timers(&self) {
        loop {
            let now = Instant::now();
            let next = self
                .all_vhosts()
                .iter()
                .filter_map(|vhost| vhost.lock().run_timers(now))
                .min();
            match next {
                None => self.timer.notified().await,
                Some(at) => {
                    let sleep = tokio::time::sleep_until(at.into());
                    tokio::select! {
                        () = sleep => {}
                        () = self.timer.notified() => {}
                    }
                }
            }
        }
    }
}
