//! The program as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::PATIENCE;

/// `orderstorm` with an environment that names no broker.
pub fn orderstorm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderstorm"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    for variable in [
        "ORDERSTORM_BROKER",
        "AMQP_URL",
        "ORDERSTORM_RABBITMQ_SERVER",
        "RABBITMQ_MANAGEMENT_URL",
        "ORDERSTORM_POSTGRES_URL",
    ] {
        command.env_remove(variable);
    }
    command
}

/// What a finished program said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; absent after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Asserts the exit code and that standard error contains each of `parts`.
    pub fn fails(&self, code: i32, parts: &[&str]) -> &Said {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is missing in\n{}", self.err);
        }
        self
    }

    /// Asserts exit code 0 and that standard output contains each of `parts`.
    pub fn says(&self, parts: &[&str]) -> &Said {
        assert_eq!(self.code, Some(0), "{self:#?}");
        for part in parts {
            assert!(self.out.contains(part), "`{part}` is missing in\n{}", self.out);
        }
        self
    }
}

/// Runs `orderstorm` to its end.
pub fn say(arguments: &[&str]) -> Said {
    finish(&mut orderstorm(arguments))
}

/// Runs a prepared command to its end.
pub fn finish(command: &mut Command) -> Said {
    command.output().expect("the program starts").into()
}

/// A program under way; it is killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    first_line: Option<String>,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a command and waits for its first line of output.
    pub fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut err = child.stderr.take().expect("piped");
        let err = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).expect("UTF-8");
            text
        });
        let mut first_line = String::new();
        out.read_line(&mut first_line).expect("UTF-8");
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).expect("UTF-8");
            text
        });
        Running {
            child,
            first_line: Some(first_line),
            out: Some(out),
            err: Some(err),
        }
    }

    /// The first line that it said.
    pub fn first_line(&self) -> &str {
        self.first_line.as_deref().unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, signal).expect("it runs, and it is our child");
    }

    /// Waits for its end, but not for ever.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end and gives everything that it said.
    pub fn said(mut self) -> Said {
        let status = self.wait();
        let text =
            |thread: Option<JoinHandle<String>>| thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
        Said {
            code: status.code(),
            out: self.first_line.take().unwrap_or_default() + &text(self.out.take()),
            err: text(self.err.take()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `orderstorm broker` on a free port, and its address.
pub fn broker() -> (Running, String) {
    let running = Running::start(&mut orderstorm(&["broker", "--listen", "127.0.0.1:0"]));
    let line = running.first_line().trim();
    let uri = line.split_whitespace().last().unwrap_or_default().to_owned();
    assert!(uri.starts_with("amqp://"), "no address in `{line}`");
    (running, uri)
}

/// The only folder in a directory; files beside it, such as the history of runs, do not count.
///
/// # Panics
/// When there is none, or more than one.
pub fn only_entry(dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut entries = paths.filter(|path| path.is_dir());
    let first = entries.next().expect("an entry");
    assert!(entries.next().is_none(), "more than one entry in {}", dir.display());
    first
}
