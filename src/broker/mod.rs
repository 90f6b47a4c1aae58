//! Where a run's broker comes from: a given URI, a private node, or the one in this process.

mod alarms;
pub mod discover;
pub mod embedded;
pub mod greeting;
pub mod managed;
pub mod management;
mod running;

pub use alarms::{BrokerAlarm, Resource};
pub use running::{BROKER_VARIABLES, BrokerChoice, BrokerError, BrokerInfo, RunningBroker, Selection, StartOptions};
