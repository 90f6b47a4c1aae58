//! The session of a node: a small shell that is the parent of epmd and server, and that cleans up when this process
//! ends in whatever way, SIGKILL included.
//!
//! The shell notices through the pipe that is its standard input. PDEATHSIG would not do: it fires at the death of the
//! *thread* that started the child, and worker threads of an async runtime come and go.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process::Process;

const WATCHDOG: &str = include_str!("watchdog.sh");
/// The shell needs about 50 ms; after this time its work is done from here.
const WATCHDOG_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What the shell can be told to start.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Epmd,
    Server,
}

/// Programs and place of a session.
#[derive(Debug)]
pub(super) struct SessionPlan {
    pub dir: PathBuf,
    pub epmd: PathBuf,
    pub epmd_port: u16,
    pub server: PathBuf,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(&'static str, OsString)>,
}

/// A running session. Dropping it ends every process in it and removes its directory.
#[derive(Debug)]
pub(super) struct Session {
    dir: PathBuf,
    /// Not collected before the session is empty: until then the kernel gives its number, which is that of the
    /// session, to nobody else.
    watchdog: Child,
    orders: Option<ChildStdin>,
    ended: bool,
}

impl Session {
    /// Starts the shell, which makes the directory (mode 0700).
    ///
    /// # Errors
    /// When there is no `/bin/sh`, or the directory cannot be made.
    pub fn open(plan: &SessionPlan) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "orderstorm-watchdog"]);
        command
            .arg(&plan.dir)
            .arg(&plan.epmd)
            .arg(plan.epmd_port.to_string())
            .arg(&plan.server);
        command
            .env_clear()
            .envs(plan.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // SAFETY: runs in the forked child before exec; both calls are plain system calls that neither allocate nor lock.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                #[cfg(target_os = "linux")]
                nix::sys::prctl::set_child_subreaper(true)?;
                Ok(())
            });
        }
        let mut watchdog = command.spawn()?;
        let orders = watchdog.stdin.take();
        let answer = watchdog.stdout.take();
        // Owned before the answer is awaited, so that no way out of here leaves the shell behind.
        let session = Self {
            dir: plan.dir.clone(),
            watchdog,
            orders,
            ended: false,
        };
        let mut line = String::new();
        if let Some(answer) = answer {
            BufReader::new(answer).read_line(&mut line)?;
        }
        if line.trim_end() == "made" {
            Ok(session)
        } else {
            Err(io::Error::other(line.trim_end().to_owned()))
        }
    }

    /// Has the shell start something.
    ///
    /// # Errors
    /// When the shell is gone.
    pub fn order(&mut self, order: Order) -> io::Result<()> {
        let line: &[u8] = match order {
            Order::Epmd => b"epmd\n",
            Order::Server => b"server\n",
        };
        self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(line)
    }

    /// Living processes of the session, the shell itself not counted.
    pub fn members(&self) -> Vec<Process> {
        let shell = i32::try_from(self.watchdog.id()).unwrap_or(-1);
        let ours = |p: &Process| p.pid != shell && (p.session == shell || p.parent == shell) && !p.is_zombie();
        Process::all().into_iter().filter(ours).collect()
    }

    /// Ends every process of the session and removes its directory. A second call does nothing.
    ///
    /// # Errors
    /// When the directory could not be removed.
    pub fn end(&mut self) -> io::Result<()> {
        if self.ended {
            // The number of the session may belong to others by now.
            return Ok(());
        }
        drop(self.orders.take());
        if !self.watchdog_ended_within(WATCHDOG_PATIENCE) {
            self.kill_members();
            self.watchdog.kill()?;
        }
        // The shell may have been killed by someone before it could do its work.
        self.kill_members();
        self.watchdog.wait()?;
        self.ended = true;
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn watchdog_ended_within(&self, patience: Duration) -> bool {
        let shell = i32::try_from(self.watchdog.id()).unwrap_or(-1);
        let deadline = Instant::now() + patience;
        while Process::find(shell).is_some_and(|shell| !shell.is_zombie()) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    fn kill_members(&self) {
        let deadline = Instant::now() + WATCHDOG_PATIENCE;
        loop {
            let members = self.members();
            if members.is_empty() || Instant::now() >= deadline {
                return;
            }
            for member in members {
                // It may have ended meanwhile; what still lives is seen in the next round.
                let _ = member.signal(Signal::SIGKILL);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to tell; `end` has done what could be done.
        let _ = self.end();
    }
}
