//! Faults: what is done to the broker, the network or a stage in the middle of a trial, one file each. Every fault heals, on every way out.

mod broker_pause;
mod disk_alarm;
mod episode;
mod memory_alarm;
mod script;
mod stage_outage;
mod stretch;

pub use broker_pause::{Pausable, run_pause};
pub use disk_alarm::{DiskAlarm, run_disk_alarm};
pub use episode::{Course as EpisodeCourse, Hold, Trouble, begin as begin_episode};
pub use memory_alarm::{MemoryAlarm, run_memory_alarm};
pub use script::{FaultEvent, Happened, Span as ScriptSpan, Strikable, Struck, run_scripted};
pub use stage_outage::{Switchable, run_outage};
