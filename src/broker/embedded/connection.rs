//! The socket side of a connection: one task that reads and one that writes, heartbeats, and every way it can end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::outbox::{Outbox, Stream};
use super::session::{Progress, Session};
use super::shared::Shared;
use crate::amqp::frame;

/// How much is read at once. Larger reads make larger batches under the lock: more throughput, longer waits.
const READ_CHUNK: usize = 64 << 10;
/// How long a client may take to answer connection.close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Buffers larger than this are given back to the system once they are empty.
const KEEP_BUFFER: usize = 256 << 10;

/// Serves one client until it leaves, fails, or `shutdown` is cancelled.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, shutdown: CancellationToken) {
    // Deliveries must not wait for the client's ack of the last segment. On failure they are late, not lost.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let session = Session::new(shared.clone());
    // The writer outlives the session by the flush of its last output.
    let gone = CancellationToken::new();
    let writing = Writer {
        outbox: session.outbox.clone(),
        socket: writer,
        send_timeout: shared.options.send_timeout,
        gone: gone.clone(),
    };
    let force_close = shared.force_close.subscribe();
    let reading = Reader {
        socket: reader,
        session,
        shared,
        gone,
        shutdown,
        force_close,
    };
    let writer = tokio::spawn(writing.run());
    reading.run().await;
    let _ = writer.await;
}

struct Reader {
    socket: OwnedReadHalf,
    session: Session,
    shared: Arc<Shared>,
    /// Cancelled when the writer has lost the client.
    gone: CancellationToken,
    shutdown: CancellationToken,
    force_close: broadcast::Receiver<Arc<str>>,
}

/// Why the reader stopped waiting.
enum Event {
    Input,
    Ended,
    /// The client has taken its output.
    Eased,
    /// The memory alarm is over.
    AlarmOver,
    ForceClose(Arc<str>),
    Tick,
}

impl Reader {
    async fn run(mut self) {
        let mut input = BytesMut::with_capacity(4096);
        let mut deadline = Some(Instant::now() + self.shared.options.handshake_timeout);
        let mut heartbeat = Heartbeat::off();
        let mut progress = Progress::Read;
        loop {
            let event = self.wait(&mut input, progress, deadline, &mut heartbeat).await;
            match event {
                Event::Ended => return,
                Event::ForceClose(reason) => self.session.force_close(&reason),
                Event::Tick => {
                    if heartbeat.beat(&self.session.outbox, progress) {
                        return;
                    }
                    continue;
                }
                Event::Input => heartbeat.heard(),
                Event::AlarmOver => self.session.unblock(),
                Event::Eased => {
                    self.session.resume_deliveries();
                    if progress != Progress::Congested {
                        continue;
                    }
                }
            }
            let was_running = self.session.is_running();
            progress = self.session.process(&mut input);
            if !was_running && self.session.is_running() {
                deadline = None;
                heartbeat = Heartbeat::every(self.session.tuned.heartbeat);
            }
            match progress {
                Progress::Ended => return,
                Progress::Closing => deadline = deadline.or(Some(Instant::now() + CLOSE_TIMEOUT)),
                Progress::Congested => self.session.outbox.flush(),
                Progress::Read | Progress::Blocked => {}
            }
            if input.is_empty() && input.capacity() > KEEP_BUFFER {
                input = BytesMut::with_capacity(4096);
            }
        }
    }

    async fn wait(
        &mut self,
        input: &mut BytesMut,
        progress: Progress,
        deadline: Option<Instant>,
        heartbeat: &mut Heartbeat,
    ) -> Event {
        let outbox = self.session.outbox.clone();
        let reads = matches!(progress, Progress::Read | Progress::Closing);
        if reads {
            input.reserve(READ_CHUNK.min(4096.max(input.capacity() * 2)));
        }
        tokio::select! {
            read = self.socket.read_buf(input), if reads => match read {
                Ok(0) | Err(_) => Event::Ended,
                Ok(_) => Event::Input,
            },
            () = outbox.eased() => Event::Eased,
            () = alarm_over(&self.shared), if progress == Progress::Blocked => Event::AlarmOver,
            () = heartbeat.tick() => Event::Tick,
            () = sleep_until(deadline) => Event::Ended,
            () = self.gone.cancelled() => Event::Ended,
            () = self.shutdown.cancelled() => Event::Ended,
            reason = self.force_close.recv() => match reason {
                Ok(reason) => Event::ForceClose(reason),
                Err(_) => Event::Ended,
            },
        }
    }
}

async fn alarm_over(shared: &Shared) {
    // Fails only when the gauge has gone, and with it everything else.
    let _ = shared.gauge.watch().wait_for(|raised| !raised).await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Both directions of the heartbeat: a frame twice per interval, and an ear for two intervals of silence.
struct Heartbeat {
    half: Option<tokio::time::Interval>,
    silent_halves: u32,
}

impl Heartbeat {
    fn off() -> Self {
        Self {
            half: None,
            silent_halves: 0,
        }
    }

    fn every(seconds: u16) -> Self {
        if seconds == 0 {
            return Self::off();
        }
        let mut half = interval(Duration::from_millis(u64::from(seconds) * 500));
        half.set_missed_tick_behavior(MissedTickBehavior::Delay);
        half.reset();
        Self {
            half: Some(half),
            silent_halves: 0,
        }
    }

    async fn tick(&mut self) {
        match &mut self.half {
            Some(half) => _ = half.tick().await,
            None => std::future::pending().await,
        }
    }

    fn heard(&mut self) {
        self.silent_halves = 0;
    }

    /// Sends a beat; true when the client has been silent for too long. While the broker itself does not read, its
    /// client cannot be heard and is given the benefit.
    fn beat(&mut self, outbox: &Outbox, progress: Progress) -> bool {
        /// Two intervals.
        const MOST_SILENT: u32 = 4;
        if outbox.is_idle() {
            outbox.append(frame::write_heartbeat);
            outbox.flush();
        }
        if progress == Progress::Read {
            self.silent_halves += 1;
        }
        self.silent_halves > MOST_SILENT
    }
}

struct Writer {
    outbox: Arc<Outbox>,
    socket: OwnedWriteHalf,
    send_timeout: Duration,
    gone: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let result = self.write_until_end().await;
        self.gone.cancel();
        if result.is_ok() {
            // The client sees the end of the stream after the last frame.
            let _ = self.socket.shutdown().await;
        }
    }

    async fn write_until_end(&mut self) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let stream = self.outbox.take(&mut buffer);
            if buffer.is_empty() {
                if stream == Stream::Ended {
                    return Ok(());
                }
                self.outbox.filled().await;
                continue;
            }
            self.write_all(&buffer).await?;
            buffer.clear();
            if buffer.capacity() > KEEP_BUFFER {
                buffer = Vec::new();
            }
        }
    }

    /// Writes everything; fails when the client takes nothing for the whole send timeout.
    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Nearly always there is room, and then no timer is needed.
            let written = match self.socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match timeout(self.send_timeout, self.socket.writable()).await {
                        Ok(result) => result?,
                        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                    }
                    continue;
                }
                result => result?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
            self.outbox.written(written);
        }
        Ok(())
    }
}
