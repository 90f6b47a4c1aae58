//! The part of a node's log that tells why it did not boot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const LINES: usize = 25;
const BYTES: u64 = 256 * 1024;
/// Where Erlang's own reports begin. They are long, and repeat what RabbitMQ has said before in fewer words.
const REPORT_STARTS: [&str; 2] = ["] <0.", "Kernel pid terminated"];
const REPORT_WORDS: [&str; 3] = ["  crasher:", "  supervisor: ", "Kernel pid terminated"];

/// Length of the log now: where the next boot's part begins. 0 without a log.
pub(super) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// The log from byte `start` on, at most its last 256 KiB; an explanation in its place when it cannot be read.
pub(super) fn read_from(path: &Path, start: u64) -> String {
    read(path, start).unwrap_or_else(|error| format!("({}: {error})", path.display()))
}

fn read(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(BYTES))))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines, blank ones left out.
pub(super) fn tail(log: &str) -> String {
    last_lines(log.lines())
}

/// The last lines before Erlang's crash reports begin: there RabbitMQ says what is wrong.
pub(super) fn cause(log: &str) -> String {
    let is_report = |line: &str| {
        REPORT_STARTS.iter().any(|start| line.contains(start)) && REPORT_WORDS.iter().any(|word| line.contains(word))
    };
    let before = last_lines(log.lines().take_while(|line| !is_report(line)));
    if before.is_empty() { tail(log) } else { before }
}

fn last_lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Whether the node found one of its ports taken.
pub(super) fn tells_of_taken_port(log: &str) -> bool {
    let log = log.to_lowercase();
    log.contains("eaddrinuse") || log.contains("address already in use") || log.contains("port is already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_stands_before_the_crash_reports() {
        let mut log = "12:00 [error] <0.132.0>   - unknown variable: x\n\nBOOT FAILED\n".to_owned();
        log.push_str("12:01 [error] <0.130.0>   crasher:\n");
        log.push_str(&"12:01 [error] <0.130.0>     noise\n".repeat(100));
        assert_eq!(
            cause(&log),
            "12:00 [error] <0.132.0>   - unknown variable: x\nBOOT FAILED"
        );
        assert_eq!(tail(&log).lines().count(), LINES);
    }

    #[test]
    fn a_log_of_reports_alone_is_shown_by_its_end() {
        let log = "12:01 [error] <0.130.0>   crasher:\n12:01 [error] <0.130.0>     why\n";
        assert!(cause(log).ends_with("why"));
    }

    #[test]
    fn a_log_that_is_missing_says_so() {
        assert!(read_from(Path::new("/nowhere/server.log"), 0).contains("/nowhere/server.log"));
        assert_eq!(length(Path::new("/nowhere/server.log")), 0);
    }
}
