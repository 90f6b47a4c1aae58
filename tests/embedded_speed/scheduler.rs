//! What the kernel's scheduler says about a thread of this process, and the hypervisor about the machine.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// A thread's account, from `/proc/self/task/*/schedstat`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    /// Time on a processor.
    pub ran: Duration,
    /// Time on a run queue: wanted to run and did not.
    pub waited: Duration,
    /// How often it was put on a processor.
    pub slices: u64,
}

impl Sub for Account {
    type Output = Account;

    fn sub(self, earlier: Account) -> Account {
        Account {
            ran: self.ran - earlier.ran,
            waited: self.waited - earlier.waited,
            slices: self.slices - earlier.slices,
        }
    }
}

/// The account of the thread with this name.
///
/// # Panics
/// When there is none, or more than one.
pub fn account(name: &str) -> Account {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs");
    let mut found = Vec::new();
    for task in tasks.flatten() {
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            let line = fs::read_to_string(task.path().join("schedstat")).expect("schedstat");
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            let [ran, waited, slices] = numbers[..] else {
                panic!("schedstat of {name}: {line}");
            };
            found.push(Account {
                ran: Duration::from_nanos(ran),
                waited: Duration::from_nanos(waited),
                slices,
            });
        }
    }
    let [account] = found[..] else {
        panic!("{} threads are called {name}", found.len());
    };
    account
}

/// Processor time that the machine wanted and the hypervisor gave to others, since boot, over all processors.
pub fn stolen() -> Duration {
    let stat = fs::read_to_string("/proc/stat").expect("procfs");
    let ticks: u64 = stat
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(8))
        .and_then(|field| field.parse().ok())
        .expect("/proc/stat has a steal column");
    // USER_HZ is 100 on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

/// How many threads of the machine run or want to, now.
pub fn runnable() -> u64 {
    let loadavg = fs::read_to_string("/proc/loadavg").expect("procfs");
    let (running, _) = loadavg
        .split_whitespace()
        .nth(3)
        .and_then(|field| field.split_once('/'))
        .expect("running/total");
    running.parse().expect("a number")
}
