//! Processor time of the whole machine.

use nix::unistd::{SysconfVar, sysconf};

/// Seconds of processor time that the machine has spent on anything since it booted, stolen time among it; from
/// `/proc/stat`, absent where there is none.
pub fn busy_seconds() -> Option<f64> {
    busy_ticks(&std::fs::read_to_string("/proc/stat").ok()?)
        .zip(sysconf(SysconfVar::CLK_TCK).ok()?)
        .map(|(ticks, each)| ticks / each as f64)
}

/// Seconds of processor time that a hypervisor gave to other machines since this one booted; absent where nobody tells.
pub fn stolen_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let each = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(stolen_ticks(&stat)? / each as f64)
}

fn stolen_ticks(stat: &str) -> Option<f64> {
    const STEAL: usize = 7;
    let mut fields = stat.lines().next()?.strip_prefix("cpu")?.split_whitespace();
    fields.nth(STEAL)?.parse().ok()
}

/// Seconds for which this process's control group was not let run, since it was made; absent outside such groups.
pub fn throttled_seconds() -> Option<f64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // Inside a container the group's own path is often not there; its root is the container's.
    let folders = [format!("/sys/fs/cgroup{group}"), "/sys/fs/cgroup".to_owned()];
    let stat = folders
        .iter()
        .find_map(|folder| std::fs::read_to_string(format!("{folder}/cpu.stat")).ok())?;
    throttled_us(&stat).map(|us| us / 1e6)
}

fn throttled_us(stat: &str) -> Option<f64> {
    let mut lines = stat.lines();
    lines.find_map(|line| line.strip_prefix("throttled_usec ")?.trim().parse().ok())
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

    #[test]
    fn stolen_and_throttled_time_are_read_where_they_stand() {
        assert_eq!(
            stolen_ticks("cpu  10 1 5 1000 200 2 3 4 9 9\ncpu0 1 1 1 1\n"),
            Some(4.0)
        );
        assert_eq!(stolen_ticks("cpu 1 2 3\n"), None);
        assert_eq!(
            throttled_us("usage_usec 5\nnr_throttled 1\nthrottled_usec 250000\n"),
            Some(250_000.0)
        );
        assert_eq!(throttled_us("usage_usec 5\n"), None);
    }
}
