//! Processor time of the whole machine.

use nix::unistd::{SysconfVar, sysconf};

/// Seconds of processor time that the machine has spent on anything since it booted, stolen time among it; from
/// `/proc/stat`, absent where there is none.
pub fn busy_seconds() -> Option<f64> {
    busy_ticks(&std::fs::read_to_string("/proc/stat").ok()?)
        .zip(sysconf(SysconfVar::CLK_TCK).ok()?)
        .map(|(ticks, each)| ticks / each as f64)
}

/// The first line's fields: user nice system idle iowait irq softirq steal; guest time is within user.
fn busy_ticks(stat: &str) -> Option<f64> {
    const IDLE: [usize; 2] = [3, 4];
    let fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu")?
        .split_whitespace()
        .take(8)
        .enumerate();
    fields
        .filter(|(i, _)| !IDLE.contains(i))
        .map(|(_, ticks)| ticks.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy_and_guest_time_is_not_counted_twice() {
        assert_eq!(busy_ticks("cpu  10 1 5 1000 200 2 3 4 9 9\ncpu0 1 1 1 1\n"), Some(25.0));
        assert_eq!(busy_ticks("nothing of the kind"), None);
    }
}
