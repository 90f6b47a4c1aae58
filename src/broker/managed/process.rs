//! Processes as `/proc` shows them; a signal reaches the very process that was seen, not a later one with its number.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process at the time of looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    /// Program name, cut at 15 bytes by the kernel.
    pub name: String,
    pub state: char,
    pub parent: i32,
    pub session: i32,
    /// Clock ticks from boot to its start: with the pid, its identity.
    pub started_ticks: u64,
}

impl Process {
    /// The process with this number, if there is one.
    pub fn find(pid: i32) -> Option<Self> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Every process that this user can see.
    pub fn all() -> Vec<Self> {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Self::find)
            .collect()
    }

    /// Whether it still runs or is stopped; a zombie is gone.
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.started_ticks == self.started_ticks && !now.is_zombie())
    }

    /// Ended, but not yet collected by its parent.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Sends `signal` if the process still lives; says whether it did.
    ///
    /// # Errors
    /// What the kernel answers, except that the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Reads a line of `/proc/PID/stat` (proc(5)). The name may hold blanks and brackets: what counts is the last bracket.
fn parse_stat(line: &str) -> Option<Process> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 41 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        let process = parse_stat(line).expect("a stat line");
        assert_eq!(
            (process.name.as_str(), process.state, process.parent),
            ("a) b (c", 'S', 7)
        );
        assert_eq!((process.session, process.started_ticks), (41, 98765));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_is_not() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let me = Process::find(pid).expect("own stat");
        assert!(me.is_alive() && Process::all().contains(&me));
        let namesake = Process {
            started_ticks: me.started_ticks + 1,
            ..me
        };
        assert!(!namesake.is_alive());
        assert!(!namesake.signal(Signal::SIGKILL).expect("nothing is sent"));
    }
}
