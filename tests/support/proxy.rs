//! A wire between run and broker: it counts connections, knows what they call themselves, and delays the broker's answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orderstorm::amqp::uri::BrokerUri;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Enough of a connection's start to hold its client properties.
const HEAD_MAX: usize = 4096;

/// A running proxy; it ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    delay_ms: AtomicU64,
    heads: Mutex<Vec<Vec<u8>>>,
}

impl Proxy {
    /// A proxy in front of `broker`.
    pub async fn before(broker: &BrokerUri) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (target, shared) = ((broker.host().to_owned(), broker.port()), Arc::<Shared>::default());
        let common = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.expect("the broker listens");
                tokio::spawn(join(client, server, Arc::clone(&common)));
            }
        });
        Proxy { address, shared, task }
    }

    /// The broker's address by way of the proxy.
    pub fn uri(&self, broker: &BrokerUri) -> BrokerUri {
        let password = broker.password().clone();
        BrokerUri::from_parts(
            broker.user(),
            password,
            "127.0.0.1",
            self.address.port(),
            broker.vhost(),
        )
    }

    /// From now on every piece of what the broker says waits this long.
    pub fn delay(&self, by: Duration) {
        self.shared.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Connections so far whose client properties contain `name`.
    pub fn connections_named(&self, name: &str) -> usize {
        let heads = self.shared.heads.lock().expect("whole");
        let contains = |head: &&Vec<u8>| head.windows(name.len()).any(|window| window == name.as_bytes());
        heads.iter().filter(contains).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let slot = {
        let mut heads = shared.heads.lock().expect("whole");
        heads.push(Vec::new());
        heads.len() - 1
    };
    let noted = Arc::clone(&shared);
    let up = pass(from_client, to_server, move |bytes| {
        let mut heads = noted.heads.lock().expect("whole");
        let room = HEAD_MAX.saturating_sub(heads[slot].len());
        heads[slot].extend_from_slice(&bytes[..bytes.len().min(room)]);
        Duration::ZERO
    });
    let down = pass(from_server, to_client, move |_| {
        Duration::from_millis(shared.delay_ms.load(Ordering::Relaxed))
    });
    tokio::join!(up, down);
}

/// Passes bytes on until either side is gone, and tells the other side so.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut look: impl FnMut(&[u8]) -> Duration,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let wait = look(&buffer[..read]);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
