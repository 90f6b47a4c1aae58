//! One connection through a proxy: two lanes, each of which reads, holds back what is late, and writes.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::Guest;
use super::door::House;
use super::toxic::{Direction, Weather};
use crate::clock::Nanos;
use crate::rng::{self, Stream};

/// Read at once.
const READ_MAX: usize = 64 * 1024;
/// Held back at most, per lane: more waits in the kernel, and at last with who sends.
const HELD_MAX: usize = 4 * 1024 * 1024;
/// Pieces per second of a lane with a bandwidth: the smaller, the smoother.
const PIECES_PER_S: u64 = 50;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It passes bytes, as the weather is.
    Passes,
    /// What goes this way vanishes.
    Swallowed(Direction),
    /// It is closed.
    Cut,
    /// It is reset.
    Reset,
}

/// Waits for the end that a connection's fate brings; says whether that is a reset.
pub(super) async fn ended(fate: &mut watch::Receiver<Fate>) -> bool {
    match fate.wait_for(|fate| matches!(fate, Fate::Cut | Fate::Reset)).await {
        Ok(fate) => *fate == Fate::Reset,
        // The proxy is gone.
        Err(_) => false,
    }
}

/// Until when the last piece takes the whole of a bandwidth that all connections share, each way.
#[derive(Debug, Default)]
pub(super) struct Links {
    to_target: AtomicU64,
    from_target: AtomicU64,
}

/// Passes bytes both ways until both ends have closed, one has failed, or fate ends it.
pub(super) async fn run(house: &House, guest: &Guest, client: &mut TcpStream, server: &mut TcpStream) {
    // A socket that is gone already shows as the end of a lane.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut fate = guest.fate.clone();
    let reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let lane = |way| Lane::new(house, guest, way);
        let both = async {
            tokio::try_join!(
                lane(Direction::ToTarget).pass(from_client, to_server),
                lane(Direction::FromTarget).pass(from_server, to_client),
            )
        };
        tokio::select! {
            _ = both => false,
            reset = ended(&mut fate) => reset,
        }
    };
    if reset {
        // One that is gone already needs no reset.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Bytes that are held back; none: the end of the lane.
struct Piece {
    due: Nanos,
    bytes: Vec<u8>,
    written: usize,
}

/// One way of a connection.
struct Lane<'a> {
    house: &'a House,
    way: Direction,
    link: &'a AtomicU64,
    weather: watch::Receiver<Weather>,
    fate: watch::Receiver<Fate>,
    jitter: Stream,
    held: VecDeque<Piece>,
    held_bytes: usize,
}

impl<'a> Lane<'a> {
    fn new(house: &'a House, guest: &Guest, way: Direction) -> Self {
        let (link, word) = match way {
            Direction::ToTarget => (&house.links.to_target, "to"),
            _ => (&house.links.from_target, "from"),
        };
        Lane {
            house,
            way,
            link,
            weather: house.shared.weather.subscribe(),
            fate: guest.fate.clone(),
            jitter: rng::stream(house.seed, &format!("proxy.{}.{word}", house.name), guest.number),
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Passes until the end has been passed on, or was swallowed.
    async fn pass(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = vec![0; READ_MAX];
        let (mut ended, mut weather, mut fate) = (false, self.weather.clone(), self.fate.clone());
        loop {
            let now = *weather.borrow_and_update();
            let swallowed = matches!(*fate.borrow_and_update(), Fate::Swallowed(way) if way.covers(self.way));
            if swallowed {
                self.held.clear();
                self.held_bytes = 0;
                if ended {
                    return Ok(());
                }
            }
            let reads = !ended && !now.stalled && self.held_bytes < HELD_MAX;
            tokio::select! {
                read = from.read(&mut buffer), if reads => {
                    let read = read?;
                    ended = read == 0;
                    if !swallowed && !ended && now.is_fair() && self.held.is_empty() {
                        to.write_all(&buffer[..read]).await?;
                    } else if !swallowed {
                        self.hold(&buffer[..read], &now);
                    }
                }
                written = self.send(&mut to, &now), if !self.held.is_empty() && !now.stalled => {
                    if self.written(written?) {
                        return to.shutdown().await;
                    }
                }
                _ = weather.changed() => {}
                _ = fate.changed() => {}
            }
        }
    }

    fn hold(&mut self, bytes: &[u8], weather: &Weather) {
        let draw = (self.jitter.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let due = self.house.timer.clock().now() + weather.lateness_ns(draw);
        self.held_bytes += bytes.len();
        self.held.push_back(Piece {
            due: due.max(self.held.back().map_or(0, |last| last.due)),
            bytes: bytes.to_vec(),
            written: 0,
        });
    }

    /// Writes some of the first piece when it is due; says how much. Nothing is lost if it is cancelled.
    async fn send(&self, to: &mut WriteHalf<'_>, weather: &Weather) -> io::Result<usize> {
        let Some(piece) = self.held.front() else {
            return Ok(0);
        };
        let timer = &self.house.timer;
        timer.sleep_until(piece.due).await;
        let rest = &piece.bytes[piece.written..];
        let Some(rate) = weather.bandwidth else {
            return if rest.is_empty() { Ok(0) } else { to.write(rest).await };
        };
        timer.sleep_until(self.link.load(Ordering::Acquire)).await;
        if rest.is_empty() {
            return Ok(0);
        }
        let most = (rate / PIECES_PER_S).clamp(1, READ_MAX as u64) as usize;
        let written = to.write(&rest[..rest.len().min(most)]).await?;
        let takes = written as u64 * 1_000_000_000 / rate;
        self.link.fetch_max(timer.clock().now(), Ordering::AcqRel);
        self.link.fetch_add(takes, Ordering::AcqRel);
        Ok(written)
    }

    /// Takes note of what was written of the first piece; says whether it was the end.
    fn written(&mut self, bytes: usize) -> bool {
        let Some(piece) = self.held.front_mut() else {
            return false;
        };
        let end = piece.bytes.is_empty();
        piece.written += bytes;
        self.held_bytes -= bytes;
        if piece.written == piece.bytes.len() {
            self.held.pop_front();
        }
        end
    }
}
