//! What becomes of a transaction whose connection breaks, and of those who wait for the database.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::events::Event;
use crate::ledger::Ledger;
use crate::pipeline::order::Emit;
use crate::pipeline::store::suite::Site;
use crate::pipeline::store::{CommitRule, Committed, Known, Step, Store, StoreError};
use crate::workload::model::Publishing;

/// What a thief does with the next COMMIT that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theft {
    /// It never arrives.
    Request,
    /// It arrives, and its answer does not.
    Answer,
}

/// A wire to the server that can be cut, and on which one COMMIT, or its answer, can be stolen: then the connection ends.
#[derive(Clone)]
struct Wire {
    address: SocketAddr,
    armed: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(target: SocketAddr, theft: Theft) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let wire = Wire {
            address: listener.local_addr().expect("an address"),
            armed: Arc::default(),
            cut: Arc::default(),
            clients: Arc::default(),
        };
        let serving = wire.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.cut.load(Ordering::Acquire) {
                    continue;
                }
                let server = TcpStream::connect(target).expect("the server");
                let mut clients = serving.clients.lock().expect("no panic");
                clients.push(client.try_clone().expect("a handle"));
                let armed = Arc::clone(&serving.armed);
                std::thread::spawn(move || pass_on(&client, &server, theft, &armed));
            }
        });
        wire
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        for client in self.clients.lock().expect("no panic").drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

/// A site behind a wire, if there is a server.
fn wired(theft: Theft) -> Option<(Site, Wire)> {
    let mut wire = None;
    let site = Site::postgres_by(|address| {
        let laid = Wire::to(address.target().expect("a host"), theft);
        let address = address.by_way_of(laid.address);
        wire = Some(laid);
        address
    });
    site.zip(wire)
}

fn pass_on(mut client: &TcpStream, mut server: &TcpStream, theft: Theft, armed: &AtomicBool) {
    let (answers, mut asks) = (
        server.try_clone().expect("a handle"),
        client.try_clone().expect("a handle"),
    );
    let stolen = Arc::new(AtomicBool::new(false));
    let holds_back = Arc::clone(&stolen);
    let back = std::thread::spawn(move || {
        let (mut answers, mut buffer) = (answers, [0; 8192]);
        while let Ok(n @ 1..) = answers.read(&mut buffer) {
            if holds_back.load(Ordering::Acquire) {
                break;
            }
            if asks.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = asks.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let commits = buffer[..n].windows(7).any(|window| window == b"COMMIT\0");
        if commits && armed.swap(false, Ordering::AcqRel) {
            stolen.store(true, Ordering::Release);
            if theft == Theft::Request {
                break;
            }
        }
        if server.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
}

fn rule(publish: Publishing) -> CommitRule {
    CommitRule {
        batch: 3,
        flush: Duration::from_millis(20),
        publish,
    }
}

fn step(number: u64) -> Step {
    Step {
        number,
        event: Event::OrderCreated,
        emit: Emit::Event(Event::InventoryReserved),
        cents: 100,
        message: Some(format!("message {number}").into_bytes()),
    }
}

/// Commits these orders' steps together.
async fn group(store: &Store, ledger: &Ledger, numbers: &[u64]) -> Vec<Result<Committed, StoreError>> {
    let commits = numbers.iter().map(|number| store.commit(step(*number), ledger, || {}));
    futures_util::future::join_all(commits).await
}

fn ledger() -> Ledger {
    let ledger = Ledger::new(1, None);
    (0..9).for_each(|number| ledger.placed(number, 0, 0, 100));
    ledger
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_stands_once_and_one_that_never_arrived_is_made_again() {
    for theft in [Theft::Answer, Theft::Request] {
        let Some((site, wire)) = wired(theft) else { return };
        let armed = &wire.armed;
        let (store, meter) = site.open_with(rule(Publishing::Outbox), |writer| writer);
        let ledger = ledger();
        assert_eq!(group(&store, &ledger, &[2]).await, [Ok(Committed::Stands)]);
        armed.store(true, Ordering::Release);
        let answers = group(&store, &ledger, &[1, 2, 3]).await;
        let expected = [Committed::Stands, Committed::Repetition, Committed::Stands].map(Ok);
        assert_eq!(answers, expected, "{theft:?}");
        assert!(!armed.load(Ordering::Acquire), "{theft:?}: nothing was stolen");
        assert_eq!(
            (meter.connections_lost(), meter.steps(), meter.unsent()),
            (1, 3, 3),
            "{theft:?}"
        );
        let database = store.durable().expect("a database");
        let rows = database.next_unsent(Vec::new(), 9).await.expect("rows");
        let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, [2, 1, 3], "{theft:?}: each message once");
        // Marks, too, are made once although they are made twice.
        armed.store(true, Ordering::Release);
        let sent = rows.iter().map(|row| row.id).collect();
        assert_eq!(database.next_unsent(sent, 9).await, Ok(vec![]), "{theft:?}");
        assert_eq!((meter.connections_lost(), meter.unsent()), (2, 0), "{theft:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_cannot_be_reached_nothing_stands_and_afterwards_everything_can() {
    let Some((site, wire)) = wired(Theft::Answer) else {
        return;
    };
    let (store, meter) = site.open_with(rule(Publishing::Republish), |writer| writer);
    let ledger = ledger();
    wire.cut();
    let failed = |error: &StoreError| matches!(error, StoreError::Unreachable { .. });
    for answer in group(&store, &ledger, &[1, 2]).await {
        assert!(answer.as_ref().is_err_and(failed), "{answer:?}");
    }
    let looked = store.lookup(1, Event::OrderCreated, &ledger).await;
    assert!(looked.as_ref().is_err_and(failed), "{looked:?}");
    assert_eq!((meter.steps(), meter.connections_lost()), (0, 2), "writer and reader");
    wire.mend();
    let back = async {
        while store.lookup(1, Event::OrderCreated, &ledger).await != Ok(Known::Fresh) {}
        while group(&store, &ledger, &[1, 2]).await != [Ok(Committed::Stands), Ok(Committed::Stands)] {}
    };
    tokio::time::timeout(Duration::from_secs(20), back)
        .await
        .expect("it is back");
    assert_eq!((meter.steps(), meter.gave_up()), (2, None));
    // A store that is closed while its server is away waits for nobody.
    wire.cut();
    let lost = group(&store, &ledger, &[3]).await;
    assert!(lost[0].is_err(), "{lost:?}");
    let clock = Clock::start();
    tokio::task::spawn_blocking(move || drop(store))
        .await
        .expect("no panic");
    assert!(clock.now() < 15_000_000_000, "{} ns", clock.now());
}
