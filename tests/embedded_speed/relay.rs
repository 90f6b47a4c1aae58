//! The control of the latency measurement: a thread that does nothing but copy bytes from one socket to another. What it
//! needs on a machine, any broker needs there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// Name of the copying thread.
pub const THREAD: &str = "bare-relay";

/// A running relay; it ends when its clients hang up.
pub struct Relay {
    pub publisher: TcpStream,
    pub consumer: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
        let address = listener.local_addr().expect("has an address");
        let connect = || {
            let near = TcpStream::connect(address).expect("connects");
            let (far, _) = listener.accept().expect("accepts");
            for stream in [&near, &far] {
                stream.set_nodelay(true).expect("no delay");
            }
            (near, far)
        };
        let (publisher, source) = connect();
        let (consumer, sink) = connect();
        let acks = sink.try_clone().expect("a second handle");
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let threads = vec![
            named(THREAD).spawn(move || copy(source, sink)).expect("a thread"),
            named("relay-acks").spawn(move || discard(acks)).expect("a thread"),
        ];
        Self {
            publisher,
            consumer,
            threads,
        }
    }

    pub fn stop(self) {
        drop((self.publisher, self.consumer));
        for thread in self.threads {
            thread.join().expect("ended");
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

fn discard(mut from: TcpStream) {
    let mut chunk = vec![0; 65_536];
    while let Ok(1..) = from.read(&mut chunk) {}
}
