//! Listening, accepting, and the life of a broker from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::options::{BrokerRuntime, EmbeddedError, EmbeddedOptions};
use super::shared::Shared;
use super::stats::{Counters, QueueDepth};

/// A running in-process AMQP 0-9-1 broker. It is not RabbitMQ, and it keeps everything in memory.
///
/// Dropping it stops it without waiting for the sockets to close; [`EmbeddedBroker::stop`] waits.
#[derive(Debug)]
pub struct EmbeddedBroker {
    address: SocketAddr,
    handle: BrokerHandle,
    shutdown: CancellationToken,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    Thread(thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Access to a broker's inside: counts, virtual hosts, the memory alarm. Cheap to clone.
#[derive(Clone)]
pub struct BrokerHandle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for BrokerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerHandle")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl BrokerHandle {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Ready and unacked messages of every queue, at one instant per virtual host.
    pub fn queue_depths(&self) -> Vec<QueueDepth> {
        self.shared.depths()
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Bytes on the memory account: messages and unsent output.
    pub fn memory_used(&self) -> u64 {
        self.shared.gauge.used()
    }

    /// Makes a virtual host; one that exists stays as it is.
    pub fn create_vhost(&self, name: &str) {
        self.shared.create_vhost(name);
    }

    /// Changes the memory limit; publishers are blocked or let go at once.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.shared.gauge.set_limit(bytes);
    }

    /// Raises the memory alarm whatever is used (`true`), or gives it back to the account (`false`). Idempotent.
    pub fn force_memory_alarm(&self, raised: bool) {
        self.shared.gauge.force(raised);
    }

    /// Whether publishers are blocked now.
    pub fn is_memory_alarm_raised(&self) -> bool {
        self.shared.gauge.is_raised()
    }

    /// Closes every connection with 320 CONNECTION_FORCED and `reason`, as an operator would.
    pub fn close_connections(&self, reason: &str) {
        // Fails only where no connection is there to hear it.
        let _ = self.shared.force_close.send(reason.into());
    }
}

impl EmbeddedBroker {
    /// Starts a broker that listens when this returns.
    ///
    /// # Errors
    /// [`EmbeddedError`]: an option that cannot be served, an address that cannot be had, a thread that cannot start.
    pub fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        options.check()?;
        let listen = |source| EmbeddedError::Listen {
            address: options.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(options.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shutdown = CancellationToken::new();
        let runtime = options.runtime;
        let shared = Shared::new(options);
        let handle = BrokerHandle { shared: shared.clone() };
        let running = match runtime {
            BrokerRuntime::OwnThread => on_own_thread(listener, shared, shutdown.clone())?,
            BrokerRuntime::Current => on_current_runtime(listener, shared, shutdown.clone())?,
        };
        Ok(Self {
            address,
            handle,
            shutdown,
            running: Some(running),
        })
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `amqp://guest:guest@host:port/%2f` for the first user.
    pub fn uri(&self) -> String {
        let (user, password) = self
            .handle
            .shared
            .options
            .users
            .first()
            .map_or(("", ""), |(u, p)| (u, p));
        format!("amqp://{user}:{password}@{}/%2f", self.address)
    }

    /// Access to counts and controls that stays valid while the broker runs, and readable after.
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }

    /// Ready and unacked messages of every queue.
    pub fn queue_depths(&self) -> Vec<QueueDepth> {
        self.handle.queue_depths()
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        self.handle.counters()
    }

    /// Closes every connection without ceremony and the listening socket, and waits until they are closed.
    ///
    /// # Cancel safety
    /// Cancelled, the broker stops all the same; only the wait is lost.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        match self.running.take() {
            Some(Running::Task(task)) => _ = task.await,
            Some(Running::Thread(thread)) => {
                // Joining blocks, for as long as the last sockets need.
                _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            None => {}
        }
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn on_own_thread(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> Result<Running, EmbeddedError> {
    let failed = |source| EmbeddedError::Thread { source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    let thread = thread::Builder::new()
        .name("embedded-broker".to_owned())
        .spawn(move || {
            runtime.block_on(accept(listener, shared, shutdown));
            // Connections that did not end in time must not hold the thread.
            runtime.shutdown_timeout(Duration::from_secs(1));
        })
        .map_err(failed)?;
    Ok(Running::Thread(thread))
}

fn on_current_runtime(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> Result<Running, EmbeddedError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| EmbeddedError::NoRuntime)?;
    let listener = TcpListener::from_std(listener).map_err(|source| EmbeddedError::Thread { source })?;
    Ok(Running::Task(runtime.spawn(accept(listener, shared, shutdown))))
}

/// Serves AMQP clients on `listener` until `shutdown` is cancelled; the broker alone, on the caller's runtime.
///
/// `options.listen` and `options.runtime` are not looked at. `observe` gets the handle before the first client is
/// accepted.
///
/// # Errors
/// [`EmbeddedError::Option`] for options that cannot be served.
///
/// # Cancel safety
/// Cancelled, it drops the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    options: EmbeddedOptions,
    shutdown: CancellationToken,
    observe: impl FnOnce(BrokerHandle),
) -> Result<(), EmbeddedError> {
    options.check()?;
    let shared = Shared::new(options);
    observe(BrokerHandle { shared: shared.clone() });
    accept(listener, shared, shutdown).await;
    Ok(())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    /// The pause after a failed accept: out of file descriptors is not over in a microsecond.
    const PAUSE: Duration = Duration::from_millis(50);
    /// How long connections have to end after the shutdown.
    const LAST_WORDS: Duration = Duration::from_secs(2);
    let mut connections = JoinSet::new();
    let timers = shared.run_timers();
    tokio::pin!(timers);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = &mut timers => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn(&mut connections, stream, &shared, &shutdown),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left are aborted with the set.
    let _ = tokio::time::timeout(LAST_WORDS, all).await;
}

fn spawn(connections: &mut JoinSet<()>, stream: TcpStream, shared: &Arc<Shared>, shutdown: &CancellationToken) {
    connections.spawn(connection::serve(stream, shared.clone(), shutdown.clone()));
}
