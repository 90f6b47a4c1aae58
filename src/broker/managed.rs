//! A private, throw-away RabbitMQ node started from the server installed on this machine.
//!
//! Owns everything it starts: its own epmd, a directory of its own, ports on 127.0.0.1, a user with a random password.
//! Nothing of it outlives the [`ManagedNode`] or this process, however that ends. Never touches another broker.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Serialize;

pub use self::cluster::ManagedCluster;
pub use self::error::ManagedError;
pub use self::options::{LogLevel, ManagedOptions};

use self::config::{Identity, Ports};
use self::process::Process;
use self::session::{Order, Session, SessionPlan};
use super::greeting::{ServerGreeting, greet};
use super::management::{ManagementClient, ManagementUri};
use crate::amqp::uri::BrokerUri;

mod cluster;
mod config;
mod control;
mod error;
mod log;
mod options;
mod process;
mod programs;
mod session;

/// Program name of the Erlang machine.
const BEAM: &str = "beam.smp";
const SERVER_LOG: &str = "server.log";
const EPMD_LOG: &str = "epmd.log";
const START_ATTEMPTS: usize = 4;
const POLL: Duration = Duration::from_millis(50);
const GREETING_PATIENCE: Duration = Duration::from_secs(1);
const EPMD_PATIENCE: Duration = Duration::from_secs(10);
/// A kill takes milliseconds; the kernel may need longer to give back a large heap.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// An orderly stop with the management plugin takes 6 to 8 s.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(30);

/// Versions of what runs, as the node itself says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeVersion {
    /// RabbitMQ, such as `3.10.8`.
    pub rabbitmq: String,
    /// Erlang/OTP, such as `25.2.3`; absent when the node does not say.
    pub erlang: Option<String>,
}

impl NodeVersion {
    fn of(greeting: ServerGreeting) -> Self {
        let erlang = greeting
            .platform
            .map(|platform| platform.trim_start_matches("Erlang/OTP ").to_owned());
        Self {
            rabbitmq: greeting.version,
            erlang,
        }
    }
}

/// A running private node. All methods take `&self`: a fault may steer it while others publish.
///
/// Dropping it kills every process it started and removes its directory; this blocks for about 0.1 s.
#[derive(Debug)]
pub struct ManagedNode {
    name: String,
    session: Mutex<Session>,
    state_dir: PathBuf,
    ports: Ports,
    server: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    uri: BrokerUri,
    management_uri: Option<String>,
    version: NodeVersion,
    boot_deadline: Duration,
    /// The Erlang machine of the last boot; it need not live any more.
    beam: Mutex<Option<Process>>,
    /// Held while the broker goes down or comes up: such steps must not overlap.
    transition: tokio::sync::Mutex<()>,
}

impl ManagedNode {
    /// Starts a node and returns when it greets AMQP clients (and serves HTTP, where asked for).
    ///
    /// # Errors
    /// [`ManagedError`], with the end of the node's log where that tells why.
    ///
    /// # Cancel safety
    /// Dropping the future ends all it has started and removes the directory.
    pub async fn start(options: ManagedOptions) -> Result<Self, ManagedError> {
        let server = programs::find_server(options.server.as_deref())?;
        let epmd = programs::find_epmd(&server)?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&options, &server, &epmd).await {
                Err(ManagedError::PortTaken { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_once(options: &ManagedOptions, server: &Path, epmd: &Path) -> Result<Self, ManagedError> {
        let at = std::env::temp_dir();
        let id = Identity::random().map_err(ManagedError::io("drew random names", &at))?;
        let ports = Ports::choose(options).map_err(ManagedError::io("looked for free ports", &at))?;
        let mut node = Self::prepare(options, (server, epmd), id, ports)?;
        node.start_epmd().await?;
        node.version = NodeVersion::of(node.boot().await?);
        Ok(node)
    }

    /// A node with its directory and its session, in which nothing runs yet.
    fn prepare(
        options: &ManagedOptions,
        (server, epmd): (&Path, &Path),
        id: Identity,
        ports: Ports,
    ) -> Result<Self, ManagedError> {
        let parent = options.state_parent.clone().unwrap_or_else(std::env::temp_dir);
        let failed = |doing| ManagedError::io(doing, &parent);
        // RabbitMQ and the shell run with `/` as directory, so the path must not depend on ours.
        let parent = std::path::absolute(&parent).map_err(failed("made the path absolute"))?;
        if parent.to_string_lossy().contains(char::is_whitespace) {
            return Err(ManagedError::BlankInPath { path: parent });
        }
        let token = config::random_hex::<6>().map_err(failed("drew random names"))?;
        let state_dir = parent.join(format!("orderstorm-node-{token}"));
        let environment = config::environment(&state_dir, &ports, &id);
        let plan = SessionPlan {
            environment: environment.clone(),
            dir: state_dir.clone(),
            epmd: epmd.to_owned(),
            epmd_port: ports.epmd,
            server: server.to_owned(),
        };
        let session = Session::open(&plan).map_err(failed("made the node's directory"))?;
        config::write_files(&state_dir, &ports, &id, options).map_err(failed("wrote the node's configuration"))?;
        Ok(Self {
            name: id.node_name,
            session: Mutex::new(session),
            uri: BrokerUri::from_parts(&id.user, id.password, "127.0.0.1", ports.amqp, "/"),
            management_uri: ports.management.map(|port| format!("http://127.0.0.1:{port}")),
            state_dir,
            ports,
            server: server.to_owned(),
            environment,
            version: NodeVersion {
                rabbitmq: String::new(),
                erlang: None,
            },
            boot_deadline: options.boot_deadline,
            beam: Mutex::new(None),
            transition: tokio::sync::Mutex::new(()),
        })
    }

    /// Its name among Erlang nodes, as the management API calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it takes AMQP connections.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.amqp))
    }

    /// AMQP address with the login; the vhost is `/`.
    pub fn uri(&self) -> &BrokerUri {
        &self.uri
    }

    /// Base address of the management API, `http://127.0.0.1:port`, without the login: that is the one of
    /// [`ManagedNode::uri`]. Absent without the plugin.
    pub fn management_uri(&self) -> Option<&str> {
        self.management_uri.as_deref()
    }

    /// A client of its management API and of its message counters. Absent without the management plugin.
    pub fn management_client(&self) -> Option<ManagementClient> {
        let client = ManagementClient::new(ManagementUri::with_login_of(self.management_uri()?, &self.uri));
        Some(match self.ports.prometheus {
            Some(port) => client.with_prometheus(&format!("http://127.0.0.1:{port}")),
            None => client,
        })
    }

    /// Port of `/metrics` on 127.0.0.1. Absent without the plugin.
    pub fn prometheus_port(&self) -> Option<u16> {
        self.ports.prometheus
    }

    /// Versions that run.
    pub fn version(&self) -> &NodeVersion {
        &self.version
    }

    /// Process of the Erlang machine. Absent while the broker is down.
    pub fn pid(&self) -> Option<u32> {
        self.living_beam().and_then(|beam| u32::try_from(beam.pid).ok())
    }

    /// The node's directory: data, configuration, `server.log`.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The last lines of the node's log, without secrets.
    pub fn log_tail(&self) -> String {
        self.shown(log::tail(&log::read_from(&self.state_dir.join(SERVER_LOG), 0)))
    }

    /// Stops the broker's process in its tracks (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`ManagedError::NotRunning`] while the broker is down.
    pub fn pause(&self) -> Result<(), ManagedError> {
        self.signal(Signal::SIGSTOP, "paused (SIGSTOP)")
    }

    /// Lets a paused broker run on (SIGCONT). Harmless when it was not paused.
    ///
    /// # Errors
    /// [`ManagedError::NotRunning`] while the broker is down.
    pub fn resume(&self) -> Result<(), ManagedError> {
        self.signal(Signal::SIGCONT, "resumed (SIGCONT)")
    }

    /// Kills the broker (SIGKILL) as a power cut of its process would, and returns when it is gone. Its data stay.
    /// Harmless when it is down already.
    ///
    /// # Errors
    /// [`ManagedError::Unkillable`] when it does not go.
    ///
    /// # Cancel safety
    /// Once polled, the signal is sent; dropping the future only stops the waiting.
    pub async fn kill(&self) -> Result<(), ManagedError> {
        let _turn = self.transition.lock().await;
        self.kill_now().await
    }

    /// Ends the broker in order (SIGTERM), as for maintenance; kills it when it takes longer than 30 s. Its data stay.
    ///
    /// # Errors
    /// As [`ManagedNode::kill`].
    ///
    /// # Cancel safety
    /// Once polled, the signal is sent; dropping the future only stops the waiting.
    pub async fn shut_down(&self) -> Result<(), ManagedError> {
        let _turn = self.transition.lock().await;
        self.shut_down_now().await
    }

    /// Starts the broker again on the same data and ports; one that still runs is shut down in order first.
    /// Returns when it is ready, as [`ManagedNode::start`] does.
    ///
    /// # Errors
    /// As [`ManagedNode::start`]; the node can be restarted again afterwards.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the broker down, or booting; another restart mends both.
    pub async fn restart(&self) -> Result<(), ManagedError> {
        let _turn = self.transition.lock().await;
        self.shut_down_now().await?;
        self.boot().await.map(|_| ())
    }

    /// Kills everything and removes the directory. The same as dropping, but off the async threads, and with an answer.
    ///
    /// # Errors
    /// [`ManagedError::Io`] when the directory could not be removed.
    ///
    /// # Cancel safety
    /// The work goes on when the future is dropped.
    pub async fn stop(self) -> Result<(), ManagedError> {
        let ended = tokio::task::spawn_blocking(move || {
            let state_dir = self.state_dir.clone();
            self.session()
                .end()
                .map_err(ManagedError::io("removed the node's directory", &state_dir))
        });
        // A panic in there has dropped, and thereby ended, the node.
        ended.await.unwrap_or(Ok(()))
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        // A session has no state that a panic could leave half changed.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living_beam(&self) -> Option<Process> {
        let beam = self.beam.lock().unwrap_or_else(PoisonError::into_inner);
        beam.clone().filter(Process::is_alive)
    }

    fn signal(&self, signal: Signal, action: &'static str) -> Result<(), ManagedError> {
        let sent = match self.living_beam() {
            Some(beam) => beam
                .signal(signal)
                .map_err(ManagedError::io("sent a signal", &self.state_dir))?,
            None => false,
        };
        if sent {
            Ok(())
        } else {
            Err(ManagedError::NotRunning { action })
        }
    }

    async fn kill_now(&self) -> Result<(), ManagedError> {
        self.end_beams(Signal::SIGKILL, KILL_PATIENCE)
            .await
            .map_err(|pid| ManagedError::Unkillable {
                pid,
                after: KILL_PATIENCE,
            })
    }

    async fn shut_down_now(&self) -> Result<(), ManagedError> {
        if self.living_beam().is_some() {
            // A stopped process would keep the request until it runs again.
            let _ = self.resume();
            if self.end_beams(Signal::SIGTERM, TERMINATE_PATIENCE).await.is_ok() {
                return Ok(());
            }
        }
        self.kill_now().await
    }

    /// Signals every Erlang machine of the session, those of a boot under way too, and waits until they and the server
    /// script are gone. `Err` is the process that stayed.
    async fn end_beams(&self, signal: Signal, patience: Duration) -> Result<(), i32> {
        let deadline = Instant::now() + patience;
        let mut signalled: Vec<(i32, u64)> = Vec::new();
        loop {
            let beams = self.beams();
            if beams.is_empty() && self.exit_mark().exists() {
                return Ok(());
            }
            for beam in &beams {
                let identity = (beam.pid, beam.started_ticks);
                if !signalled.contains(&identity) {
                    // Should it be gone already, the next round will see that.
                    let _ = beam.signal(signal);
                    signalled.push(identity);
                }
            }
            if Instant::now() >= deadline {
                return Err(beams.first().map_or(0, |beam| beam.pid));
            }
            tokio::time::sleep(POLL / 10).await;
        }
    }

    /// Living Erlang machines of this node; during a boot there are several, one after the other.
    fn beams(&self) -> Vec<Process> {
        self.session()
            .members()
            .into_iter()
            .filter(|member| member.name == BEAM)
            .collect()
    }

    /// The file that the shell writes when the server script has ended.
    fn exit_mark(&self) -> PathBuf {
        self.state_dir.join("exited")
    }

    async fn start_epmd(&self) -> Result<(), ManagedError> {
        self.order(Order::Epmd)?;
        let deadline = Instant::now() + EPMD_PATIENCE;
        // Without an epmd that answers, Erlang would start one of its own, which outlives the node.
        while !accepts(self.ports.epmd).await {
            let log = log::read_from(&self.state_dir.join(EPMD_LOG), 0);
            if log::tells_of_taken_port(&log) {
                return Err(ManagedError::PortTaken {
                    program: "epmd",
                    log_tail: self.shown(log::tail(&log)),
                });
            }
            if Instant::now() >= deadline {
                let log_tail = self.shown(log::tail(&log));
                return Err(ManagedError::Deadline {
                    waiting_for: "epmd",
                    after: EPMD_PATIENCE,
                    log_tail,
                });
            }
            tokio::time::sleep(POLL / 5).await;
        }
        Ok(())
    }

    /// Starts the server and waits until it is ready.
    async fn boot(&self) -> Result<ServerGreeting, ManagedError> {
        match std::fs::remove_file(self.exit_mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ManagedError::io("cleared the mark of the last end", &self.state_dir)(
                    error,
                ));
            }
            _ => {}
        }
        let log_start = log::length(&self.state_dir.join(SERVER_LOG));
        self.order(Order::Server)?;
        let wait = BootWait {
            deadline: Instant::now() + self.boot_deadline,
            log_start,
        };
        let greeting = loop {
            match greet(self.address(), GREETING_PATIENCE).await {
                Ok(greeting) => break greeting,
                Err(_) => self.boot_goes_on(&wait, "AMQP listener").await?,
            }
        };
        if let Some(api) = self.management_client() {
            // A port that accepts is not enough: for a moment 4.3 answers 500.
            while api.overview().await.is_err() {
                self.boot_goes_on(&wait, "management API").await?;
            }
        }
        while let Some(port) = self.ports.prometheus
            && !accepts(port).await
        {
            self.boot_goes_on(&wait, "Prometheus plugin").await?;
        }
        *self.beam.lock().unwrap_or_else(PoisonError::into_inner) = self.find_beam();
        Ok(greeting)
    }

    /// One pause of a loop that waits for the boot. A failed boot ends with status 0, so any end is a failure.
    async fn boot_goes_on(&self, wait: &BootWait, what: &'static str) -> Result<(), ManagedError> {
        let log = || log::read_from(&self.state_dir.join(SERVER_LOG), wait.log_start);
        if self.exit_mark().exists() {
            let (program, log) = ("rabbitmq-server", log());
            let log_tail = self.shown(log::cause(&log));
            return Err(match log::tells_of_taken_port(&log) {
                true => ManagedError::PortTaken { program, log_tail },
                false => ManagedError::Ended { program, log_tail },
            });
        }
        if Instant::now() >= wait.deadline {
            let (after, log_tail) = (self.boot_deadline, self.shown(log::tail(&log())));
            return Err(ManagedError::Deadline {
                waiting_for: what,
                after,
                log_tail,
            });
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    /// The node's Erlang machine: the one that wrote the pid file, if that is in our session; else the oldest there.
    fn find_beam(&self) -> Option<Process> {
        let written = std::fs::read_to_string(self.state_dir.join("node.pid")).ok();
        let written: Option<i32> = written.and_then(|text| text.trim().parse().ok());
        let beams = self.beams();
        let writer = beams.iter().find(|beam| Some(beam.pid) == written);
        writer
            .or_else(|| beams.iter().min_by_key(|beam| beam.started_ticks))
            .cloned()
    }

    fn order(&self, order: Order) -> Result<(), ManagedError> {
        self.session()
            .order(order)
            .map_err(ManagedError::io("told the node's shell to start it", &self.state_dir))
    }

    fn shown(&self, log: String) -> String {
        self.uri.mask_secrets(&log)
    }
}

/// Bounds of one boot: its end in time, its beginning in the log.
struct BootWait {
    deadline: Instant,
    log_start: u64,
}

async fn accepts(port: u16) -> bool {
    let attempt = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    matches!(tokio::time::timeout(GREETING_PATIENCE, attempt).await, Ok(Ok(_)))
}
