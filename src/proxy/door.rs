//! The port of a proxy: it stays the proxy's while nobody listens on it, and each connection that comes is joined to the target.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::line::{self, Links};
use super::{Guest, Shared};
use crate::timer::Timer;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Pause after the kernel would not give a connection or the port (too many open files).
const AGAIN: Duration = Duration::from_millis(10);

/// A port of 127.0.0.1 that is kept for as long as this value lives, listened on or not: who connects meanwhile is refused, and
/// the kernel gives the number to nobody else.
#[derive(Debug)]
pub(super) struct Port {
    /// Bound, and never listening.
    _held: TcpSocket,
    address: SocketAddr,
}

impl Port {
    pub fn reserve() -> io::Result<Self> {
        let held = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = held.local_addr()?;
        Ok(Port { _held: held, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn listen(&self) -> io::Result<TcpListener> {
        socket(self.address)?.listen(BACKLOG)
    }
}

/// A socket that shares its port with others of ours.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What all connections of a proxy have in common.
#[derive(Debug)]
pub(super) struct House {
    pub target: String,
    pub seed: u64,
    pub name: String,
    pub timer: Timer,
    pub shared: Arc<Shared>,
    pub links: Links,
}

/// Accepts until it is aborted; the connections end with it.
pub(super) async fn serve(house: Arc<House>, port: Port, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut weather = house.shared.weather.subscribe();
    let mut listener = Some(listener);
    loop {
        let refuses = weather.borrow_and_update().refuses;
        if refuses {
            listener = None;
        } else if listener.is_none() {
            listener = port.listen().ok();
        }
        tokio::select! {
            accepted = accept(listener.as_ref()), if !refuses => match accepted {
                Some(client) => {
                    let (house, guest) = (Arc::clone(&house), house.shared.enter());
                    connections.spawn(join(house, guest, client));
                }
                None => tokio::time::sleep(AGAIN).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = weather.changed() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    Some(listener?.accept().await.ok()?.0)
}

/// One connection from its beginning to its end.
async fn join(house: Arc<House>, guest: Guest, mut client: TcpStream) {
    let mut fate = guest.fate.clone();
    let server = tokio::select! {
        server = TcpStream::connect(&house.target) => server.ok(),
        reset = line::ended(&mut fate) => {
            if reset {
                // One that is gone already needs no reset.
                let _ = client.set_zero_linger();
            }
            None
        }
    };
    if let Some(mut server) = server {
        line::run(&house, &guest, &mut client, &mut server).await;
    }
}
