//! Memory and disk alarms on a broker of the run's own: limits are lowered, and put back as they were.

use std::sync::{Mutex, PoisonError};

use super::RunningBroker;
use super::managed::ManagedNode;

/// What a node can run short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Disk space.
    Disk,
}

impl Resource {
    /// Sets a limit that no node keeps, and says which limit there was.
    fn raise(self) -> &'static str {
        match self {
            Resource::Memory => {
                "begin Was = vm_memory_monitor:get_vm_memory_high_watermark(), \
                 vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1}), Was end"
            }
            // 2^60 bytes.
            Resource::Disk => {
                "begin Was = rabbit_disk_monitor:get_disk_free_limit(), \
                 rabbit_disk_monitor:set_disk_free_limit(1152921504606846976), Was end"
            }
        }
    }

    fn restore(self, was: &str) -> String {
        match self {
            Resource::Memory => format!("vm_memory_monitor:set_vm_memory_high_watermark({was})"),
            Resource::Disk => format!("rabbit_disk_monitor:set_disk_free_limit({was})"),
        }
    }
}

/// One alarm of a run's own broker. Raising and clearing block for some 20 ms, or for seconds where `rabbitmqctl` must do it.
#[derive(Debug)]
pub struct BrokerAlarm {
    broker: std::sync::Arc<RunningBroker>,
    resource: Resource,
    /// The limit that stood before, as Erlang writes it; held while one of the two is under way.
    before: Mutex<Option<String>>,
}

impl BrokerAlarm {
    /// The alarm for `resource`; nothing is touched yet.
    pub fn new(broker: std::sync::Arc<RunningBroker>, resource: Resource) -> Self {
        BrokerAlarm {
            broker,
            resource,
            before: Mutex::default(),
        }
    }

    fn node(&self) -> Result<&ManagedNode, String> {
        let node = self.broker.node();
        node.ok_or_else(|| "only a broker of the run's own can be told to raise an alarm".to_owned())
    }

    /// Raises the alarm; raised already, it stays so.
    ///
    /// # Errors
    /// Why it could not be raised, in a sentence.
    pub fn raise(&self) -> Result<(), String> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_some() {
            return Ok(());
        }
        if let (Some(embedded), Resource::Memory) = (self.broker.embedded(), self.resource) {
            embedded.handle().force_memory_alarm(true);
            *before = Some(String::new());
            return Ok(());
        }
        let was = self.node()?.evaluate(self.resource.raise());
        *before = Some(was.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Puts the limit back. Idempotent: without an alarm it does nothing.
    ///
    /// # Errors
    /// Why it could not be put back, in a sentence.
    pub fn clear(&self) -> Result<(), String> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(was) = before.as_deref() else {
            return Ok(());
        };
        match self.broker.embedded() {
            Some(embedded) => embedded.handle().force_memory_alarm(false),
            None => {
                let restoring = self.node()?.evaluate(&self.resource.restore(was));
                restoring.map_err(|error| error.to_string())?;
            }
        }
        *before = None;
        Ok(())
    }
}
