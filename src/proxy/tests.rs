//! The proxy in front of an echo server, with plain TCP.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::clock::Clock;

/// What happens at all happens by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// What shall not happen is given this long.
const NEVER: Duration = Duration::from_millis(120);

/// An echo server, and a proxy in front of it.
struct Stand {
    proxy: Proxy,
    timer: Timer,
    _echo: JoinSet<()>,
}

impl Stand {
    async fn new() -> Stand {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let target = listener.local_addr().expect("bound").to_string();
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                answers.spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        let timer = Timer::start(Clock::start()).expect("a timer");
        let proxy = Proxy::start(&target, (1, "test"), &timer).expect("a port");
        Stand {
            proxy,
            timer,
            _echo: echo,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.expect("it listens")
    }

    fn inflict(&self, toxic: Toxic) -> Inflicted {
        self.proxy.control().inflict(toxic)
    }

    async fn until_connections(&self, count: usize) {
        let reached = async {
            while self.proxy.control().connections() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("in time");
    }
}

/// Sends a word and waits for its echo.
async fn echoed(socket: &mut TcpStream, word: &[u8]) {
    socket.write_all(word).await.expect("sent");
    answered(socket, word).await;
}

async fn answered(socket: &mut TcpStream, word: &[u8]) {
    let mut answer = vec![0; word.len()];
    let read = timeout(PATIENCE, socket.read_exact(&mut answer));
    read.await.expect("in time").expect("an answer");
    assert_eq!(answer, word);
}

/// How the connection ended: with an end of file, or with an error.
async fn end_of(socket: &mut TcpStream) -> Result<(), ErrorKind> {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("in time");
    read.map(|_| ()).map_err(|error| error.kind())
}

async fn nothing_comes(socket: &mut TcpStream) {
    let mut byte = [0];
    let read = timeout(NEVER, socket.read(&mut byte)).await;
    assert!(read.is_err(), "came: {read:?}");
}

#[tokio::test]
async fn what_is_sent_comes_back_and_so_does_the_end() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"an order").await;
    assert_eq!(stand.proxy.control().connections(), 1);
    socket.shutdown().await.expect("half closed");
    assert_eq!(end_of(&mut socket).await, Ok(()));
    stand.until_connections(0).await;
}

#[tokio::test]
async fn a_delay_counts_each_way_until_it_is_healed() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    let delay = stand.inflict(Toxic::Delay {
        delay: Duration::from_millis(60),
        jitter: Duration::from_millis(10),
    });
    let clock = stand.timer.clock();
    let start = clock.now();
    echoed(&mut socket, b"late").await;
    assert!(clock.now() - start >= 100_000_000);
    delay.heal();
    assert!(stand.proxy.control().0.weather.borrow().is_fair());
    echoed(&mut socket, b"and on time").await;
}

#[tokio::test]
async fn a_bandwidth_is_shared_by_all_connections() {
    let stand = Stand::new().await;
    let mut sockets = [stand.connect().await, stand.connect().await];
    let _narrow = stand.inflict(Toxic::Bandwidth(400_000));
    let clock = stand.timer.clock();
    let (start, word) = (clock.now(), vec![7; 60_000]);
    let [first, second] = &mut sockets;
    tokio::join!(echoed(first, &word), echoed(second, &word));
    // 120,000 bytes go by way of the narrower lane; the last piece need not have been paid for.
    let least = 120_000 * 1_000_000_000 / 400_000 * 9 / 10;
    assert!(clock.now() - start >= least, "{} ns", clock.now() - start);
}

#[tokio::test]
async fn a_stall_keeps_everything_and_closes_nothing() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let (stall, second) = (stand.inflict(Toxic::Stall), stand.inflict(Toxic::Stall));
    socket.write_all(b"meanwhile").await.expect("the kernel takes it");
    nothing_comes(&mut socket).await;
    stall.heal();
    stall.heal();
    nothing_comes(&mut socket).await;
    drop(second);
    answered(&mut socket, b"meanwhile").await;
}

#[tokio::test]
async fn a_cut_closes_what_is_connected_and_refuses_who_connects() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let cut = stand.inflict(Toxic::Cut);
    assert_eq!(end_of(&mut socket).await, Ok(()));
    let refused = async {
        loop {
            match TcpStream::connect(stand.proxy.address()).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("in time");
    cut.heal();
    let back = async {
        loop {
            match TcpStream::connect(stand.proxy.address()).await {
                Ok(socket) => return socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let mut again = timeout(PATIENCE, back).await.expect("in time");
    echoed(&mut again, b"after").await;
}

#[tokio::test]
async fn a_reset_is_no_orderly_end() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let reset = stand.inflict(Toxic::Reset);
    assert_eq!(end_of(&mut socket).await, Err(ErrorKind::ConnectionReset));
    let mut next = stand.connect().await;
    assert_eq!(end_of(&mut next).await, Err(ErrorKind::ConnectionReset));
    drop(reset);
    echoed(&mut stand.connect().await, b"after").await;
}

#[tokio::test]
async fn the_end_of_a_peer_that_is_gone_is_swallowed_and_new_connections_are_whole() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let gone = stand.inflict(Toxic::HalfOpen(Direction::Both));
    socket.write_all(b"to nobody").await.expect("the kernel takes it");
    socket.shutdown().await.expect("half closed");
    nothing_comes(&mut socket).await;
    echoed(&mut stand.connect().await, b"whole").await;
    gone.heal();
    assert_eq!(end_of(&mut socket).await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn one_direction_may_be_lost_alone() {
    let stand = Stand::new().await;
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let _gone = stand.inflict(Toxic::HalfOpen(Direction::FromTarget));
    socket.write_all(b"heard, not answered").await.expect("sent");
    nothing_comes(&mut socket).await;
}

#[tokio::test]
async fn a_dropped_proxy_leaves_no_connection_and_no_port() {
    let stand = Stand::new().await;
    let address = stand.proxy.address();
    let mut socket = stand.connect().await;
    echoed(&mut socket, b"before").await;
    let stall = stand.inflict(Toxic::Stall);
    drop(stand.proxy);
    assert_eq!(end_of(&mut socket).await, Ok(()));
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("in time");
    // Healed later than the proxy's end: nothing to heal.
    stall.heal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_weather_no_byte_is_lost_or_overtaken() {
    let stand = Stand::new().await;
    let (mut from, mut to) = stand.connect().await.into_split();
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        to.write_all(&sent).await.expect("sent");
        to.shutdown().await.expect("ended");
    });
    let control = stand.proxy.control().clone();
    let weather = tokio::spawn(async move {
        for turn in 1.. {
            let _now = control.inflict(match turn % 3 {
                0 => Toxic::Stall,
                1 => Toxic::Bandwidth(20_000_000),
                _ => Toxic::Delay {
                    delay: Duration::from_millis(5),
                    jitter: Duration::from_millis(5),
                },
            });
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let mut came = Vec::new();
    let reading = timeout(PATIENCE, from.read_to_end(&mut came)).await;
    reading.expect("in time").expect("no failure");
    weather.abort();
    sending.await.expect("no panic");
    assert!(came == bytes, "{} of {} bytes", came.len(), bytes.len());
}

/// The speed of the proxy on this machine: `cargo test --release --lib proxy -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, no check"]
async fn how_fast_it_passes_bytes() {
    const BYTES: usize = 512 * 1024 * 1024;
    let stand = Stand::new().await;
    let (mut from, mut to) = stand.connect().await.into_split();
    let start = stand.timer.clock().now();
    let sending = tokio::spawn(async move {
        let piece = vec![1; 64 * 1024];
        for _ in 0..BYTES / piece.len() {
            to.write_all(&piece).await.expect("sent");
        }
        to.shutdown().await.expect("ended");
    });
    let (mut buffer, mut came) = (vec![0; 64 * 1024], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        came += read;
    }
    sending.await.expect("no panic");
    let seconds = (stand.timer.clock().now() - start) as f64 / 1e9;
    println!(
        "{:.0} MB/s there and back, the echo included",
        came as f64 / 1e6 / seconds
    );
}
