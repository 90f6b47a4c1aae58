//! A private, throw-away PostgreSQL cluster started from the programs that are installed on this machine.
//!
//! Owns everything it starts: a directory of its own, a port on 127.0.0.1, a user with a random password. A small shell is the
//! parent of the server; it ends it and removes the directory when this process ends in whatever way, SIGKILL included.
//! `fsync` is on: what a commit costs on this disk is what is to be measured.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};

use super::link::{Link, Trouble};
use super::{PostgresAddress, PostgresError};
use crate::amqp::secret::Secret;

const WATCHDOG: &str = include_str!("watchdog.sh");
const USER: &str = "orderstorm";
const DATABASE: &str = "postgres";
/// Where Debian puts the programs of each version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// Users that the server can run as where this process is root's.
const USERS: [&str; 2] = ["postgres", "nobody"];
const START_PATIENCE: Duration = Duration::from_secs(60);
const END_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Another program may take a port between our choice and the server's listening.
const PORTS: usize = 4;

/// A running cluster. Dropping it ends the server and removes its directory; this blocks for about 0.1 s.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    watchdog: Child,
    orders: Option<ChildStdin>,
    address: PostgresAddress,
    ended: bool,
}

impl Cluster {
    /// Starts one; takes two to three seconds. Blocks; not for threads of a runtime.
    ///
    /// # Errors
    /// [`PostgresError`], with the end of the server's log where that tells why; nothing is left behind.
    pub fn start() -> Result<Self, PostgresError> {
        let programs = Self::installed().ok_or_else(|| PostgresError::NotInstalled {
            looked_in: format!("{INSTALLED}/*/bin"),
        })?;
        let password = Secret::new(random_hex::<16>()?);
        let dir = std::path::absolute(std::env::temp_dir())
            .map_err(failed("made the path of TMPDIR absolute"))?
            .join(format!("orderstorm-postgres-{}", random_hex::<6>()?));
        let (mut cluster, mut answers) = Self::watched(&dir, &programs)?;
        if answer(&mut answers)? != "made" {
            return Err(PostgresError::Cluster {
                doing: "made its directory",
                why: format!("{} cannot be made by the user that PostgreSQL runs as", dir.display()),
            });
        }
        cluster.order(&format!("make {}", password.expose()))?;
        if answer(&mut answers)? != "done" {
            return Err(PostgresError::Cluster {
                doing: "ran initdb",
                why: tail(&dir.join("initdb.log")),
            });
        }
        for attempt in 1..=PORTS {
            let port = free_port().map_err(failed("looked for a free port"))?;
            cluster.order(&format!("serve {port}"))?;
            cluster.address = PostgresAddress::local(port, USER, &password, DATABASE);
            match cluster.ready() {
                Ok(()) => break,
                Err(why) if attempt < PORTS && why.contains("could not bind") => {}
                Err(why) => {
                    return Err(PostgresError::Cluster {
                        doing: "waited for the server",
                        why,
                    });
                }
            }
        }
        Ok(cluster)
    }

    /// The folder of the programs that [`Cluster::start`] takes; absent where there are none.
    pub fn installed() -> Option<PathBuf> {
        find_programs(&std::env::var_os("PATH").unwrap_or_default(), Path::new(INSTALLED))
    }

    /// Starts the shell, as a user that the server accepts.
    fn watched(dir: &Path, programs: &Path) -> Result<(Self, BufReader<ChildStdout>), PostgresError> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "orderstorm-postgres"])
            .arg(dir)
            .arg(programs);
        command
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C")])
            .current_dir("/")
            // Ctrl-C is for the driver, which ends the server when it is done with it.
            .process_group(0);
        if nix::unistd::geteuid().is_root() {
            let user = USERS.iter().find_map(|name| User::from_name(name).ok().flatten());
            let user = user.ok_or(PostgresError::NoUser)?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut watchdog = command.spawn().map_err(failed("started a shell"))?;
        let (orders, answers) = (watchdog.stdin.take(), watchdog.stdout.take());
        // Owned before anything is awaited, so that no way out of here leaves the shell behind.
        let cluster = Cluster {
            dir: dir.to_owned(),
            watchdog,
            orders,
            address: PostgresAddress::local(1, USER, &Secret::new(""), DATABASE),
            ended: false,
        };
        let answers = answers.ok_or_else(|| failed("started a shell")(io::ErrorKind::BrokenPipe.into()))?;
        Ok((cluster, BufReader::new(answers)))
    }

    /// Where it is, with the login.
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn order(&mut self, order: &str) -> Result<(), PostgresError> {
        let orders = self.orders.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into());
        orders
            .and_then(|orders| writeln!(orders, "{order}"))
            .map_err(failed("told the shell what to start"))
    }

    /// Waits until the server lets its user in.
    ///
    /// # Errors
    /// The end of its log.
    fn ready(&self) -> Result<(), String> {
        let (log, deadline) = (self.dir.join("server.log"), Instant::now() + START_PATIENCE);
        loop {
            match Link::open(&self.address) {
                Ok(_) => return Ok(()),
                Err(Trouble::Refused(error)) => return Err(error.to_string()),
                Err(Trouble::Lost(_)) => {}
            }
            let said = tail(&log);
            if said.contains("FATAL:") && !said.contains("is starting up") || Instant::now() >= deadline {
                return Err(said);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends the server and removes the directory. A second call does nothing.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        drop(self.orders.take());
        let deadline = Instant::now() + END_PATIENCE;
        while matches!(self.watchdog.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                // The server's processes end with their parent.
                if let Ok(group) = i32::try_from(self.watchdog.id()) {
                    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
                }
                let _ = self.watchdog.wait();
                break;
            }
            std::thread::sleep(POLL / 4);
        }
        // Somebody may have killed the shell before it could do its work; nobody is left to tell.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> PostgresError {
    move |error| PostgresError::Cluster {
        doing,
        why: error.to_string(),
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> Result<String, PostgresError> {
    let mut line = String::new();
    answers.read_line(&mut line).map_err(failed("waited for the shell"))?;
    Ok(line.trim_end().to_owned())
}

/// The folder of the programs: that of `PATH`, else the newest version under `installed`.
fn find_programs(path: &OsStr, installed: &Path) -> Option<PathBuf> {
    let there = |folder: &Path| {
        ["initdb", "postgres"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    if let Some(folder) = std::env::split_paths(path).find(|folder| folder.is_absolute() && there(folder)) {
        return Some(folder);
    }
    let versions = std::fs::read_dir(installed).ok()?.flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| there(folder))
        .collect();
    versions.sort();
    versions.pop().map(|(_, folder)| folder)
}

/// A port of 127.0.0.1 that nobody has at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn random_hex<const N: usize>() -> Result<String, PostgresError> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(failed("drew a random password"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The last lines of a log; it never holds the password, which goes through a file that `initdb` reads.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        for name in ["initdb", "postgres"] {
            std::fs::write(folder.join(name), "").expect("a file");
        }
    }

    #[test]
    fn the_programs_of_the_path_come_first_and_then_the_newest_version() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        assert_eq!(find_programs(at("empty").as_os_str(), &at("lib")), None);
        for version in ["9", "15", "current"] {
            programs(&at("lib").join(version).join("bin"));
        }
        std::fs::create_dir_all(at("lib/16/bin")).expect("a version without its server");
        let newest = find_programs(at("empty").as_os_str(), &at("lib"));
        assert_eq!(newest, Some(at("lib/15/bin")));
        programs(&at("bin"));
        let path = std::env::join_paths([at("empty"), at("bin")]).expect("a path");
        assert_eq!(find_programs(&path, &at("lib")), Some(at("bin")));
    }
}
