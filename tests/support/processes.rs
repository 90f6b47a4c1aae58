//! Worker processes as the kernel shows them.

use std::path::PathBuf;

/// Worker processes that `driver` is the parent of.
pub fn workers_of(driver: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_worker = |pid: &u32| {
        let words = std::fs::read(file(*pid, "cmdline")).unwrap_or_default();
        words == b"orderstorm\0worker\0" && fields(*pid).is_some_and(|fields| fields[1] == driver.to_string())
    };
    pids.filter(is_worker).collect()
}

/// Whether the process is stopped (SIGSTOP).
pub fn is_stopped(pid: u32) -> bool {
    fields(pid).is_some_and(|fields| fields[0] == "T")
}

/// Whether the process runs or is stopped; one that waits for its parent to notice its end has ended.
pub fn is_alive(pid: u32) -> bool {
    fields(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

fn file(pid: u32, name: &str) -> PathBuf {
    format!("/proc/{pid}/{name}").into()
}

/// State, parent and what follows in `/proc/PID/stat` (proc(5)).
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(file(pid, "stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}
