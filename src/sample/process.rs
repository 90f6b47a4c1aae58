//! CPU and memory of the driver and of a local broker.

use nix::sys::resource::{UsageWho, getrusage};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessSample {
    /// Processor time since the process started, seconds.
    pub cpu_s: f64,
    /// Resident set, bytes.
    pub rss_bytes: u64,
}

/// Looks at processes of this machine.
#[derive(Debug, Default)]
pub struct ProcessProbe {
    system: System,
}

impl ProcessProbe {
    /// One process; absent when it is gone.
    pub fn look(&mut self, pid: u32) -> Option<ProcessSample> {
        let pid = Pid::from_u32(pid);
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        let process = self.system.process(pid)?;
        Some(ProcessSample {
            cpu_s: process.accumulated_cpu_time() as f64 / 1e3,
            rss_bytes: process.memory(),
        })
    }

    /// The driver itself.
    pub fn driver(&mut self) -> Option<ProcessSample> {
        let sample = self.look(std::process::id())?;
        // The kernel's own account is finer than the hundredths of a second that the process table shows.
        Some(ProcessSample {
            cpu_s: driver_cpu_seconds().unwrap_or(sample.cpu_s),
            ..sample
        })
    }
}

/// Processor time of this process so far, seconds.
pub fn driver_cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_sees_itself_and_no_process_that_is_gone() {
        let mut probe = ProcessProbe::default();
        let sample = probe.driver().expect("this process exists");
        assert!(sample.rss_bytes > 100_000);
        assert!(probe.look(u32::MAX - 1).is_none());
    }
}
