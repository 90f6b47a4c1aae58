//! What every store must do, one scenario each, on all kinds of stores.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, LazyLock, Mutex};
use std::time::Duration;

use super::database::{Database, OutboxRow, PastStep, Step, StoreError, Transaction};
use super::grip::{Grip, Place};
use super::postgres::{Party, Postgres, PostgresAddress, PostgresError, PostgresServer, drop_schemas, schema_name};
use super::sqlite::Sqlite;
use super::{CommitRule, Committed, DurableStore, Known, MemoryStore, Scratch, Store, StoreMeter, off_the_runtime};
use crate::amqp::Backoff;
use crate::clock::Clock;
use crate::events::{Event, Stage};
use crate::ledger::Ledger;
use crate::pipeline::order::Emit;
use crate::workload::model::{Publishing, Recovery};

const RESERVED: Emit = Emit::Event(Event::InventoryReserved);

/// A server that all scenarios of this process share; it ends with the process. Absent where there is none to be had.
static SERVER: LazyLock<Option<PostgresServer>> = LazyLock::new(|| {
    let given = PostgresAddress::from_environment().expect("an address");
    match PostgresServer::start(given, false) {
        Ok(server) => Some(server),
        Err(PostgresError::NotInstalled { .. }) if std::env::var_os("ORDERSTORM_REQUIRE_POSTGRES").is_none() => {
            eprintln!(
                "SKIPPED on PostgreSQL: it is not installed (ORDERSTORM_REQUIRE_POSTGRES=1 makes that a failure)"
            );
            None
        }
        Err(error) => panic!("{error}"),
    }
});

/// A database that can be opened again and again.
pub(super) struct Site {
    kind: Kind,
    _owner: Owner,
}

enum Kind {
    Sqlite(PathBuf),
    Postgres(Party),
}

/// Removes what the site is on.
enum Owner {
    Folder { _scratch: Scratch },
    Schema(String),
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let (Owner::Schema(name), Some(server)) = (self, SERVER.as_ref()) {
            let dropped = off_the_runtime(|| drop_schemas(server.address(), std::slice::from_ref(name)));
            dropped.expect("the schema is dropped");
        }
    }
}

impl Site {
    fn sqlite() -> Site {
        let scratch = Scratch::new().expect("a folder");
        Site {
            kind: Kind::Sqlite(scratch.path().join("test.sqlite")),
            _owner: Owner::Folder { _scratch: scratch },
        }
    }

    /// A schema of its own on the server by `way`, if there is a server.
    pub(super) fn postgres_by(way: impl FnOnce(&PostgresAddress) -> PostgresAddress + Send) -> Option<Site> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let address = off_the_runtime(|| Ok(SERVER.as_ref().map(|server| way(server.address()))));
        let run = format!("{:x}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let party = Party {
            address: address.expect("an answer")?,
            schema: schema_name(&run, 1, Stage::Inventory),
            meter: Arc::default(),
            closing: Arc::default(),
        };
        Some(Site {
            _owner: Owner::Schema(party.schema.clone()),
            kind: Kind::Postgres(party),
        })
    }

    fn all() -> Vec<Site> {
        let postgres = Site::postgres_by(PostgresAddress::clone);
        std::iter::once(Site::sqlite()).chain(postgres).collect()
    }

    /// Not for threads of a runtime.
    fn connect(&self, meter: &Arc<StoreMeter>) -> Box<dyn Database> {
        match &self.kind {
            Kind::Sqlite(path) => Box::new(Sqlite::open(path).expect("it opens")),
            Kind::Postgres(party) => {
                let party = Party {
                    meter: Arc::clone(meter),
                    ..party.clone()
                };
                Box::new(Postgres::open(party, backoff()).expect("it opens"))
            }
        }
    }

    fn grip(&self) -> Grip {
        let place = match &self.kind {
            Kind::Sqlite(path) => Place::File(path.clone()),
            Kind::Postgres(party) => Place::Schema(party.address.clone(), party.schema.clone()),
        };
        Grip {
            place,
            slowness: Arc::default(),
        }
    }

    fn open(&self, rule: CommitRule) -> (Store, Arc<StoreMeter>) {
        self.open_with(rule, |writer| writer)
    }

    /// A store whose writer is made of a connection by `with`.
    pub(super) fn open_with(
        &self,
        rule: CommitRule,
        with: impl FnOnce(Box<dyn Database>) -> Box<dyn Database> + Send,
    ) -> (Store, Arc<StoreMeter>) {
        let meter = Arc::default();
        let store = off_the_runtime(|| {
            let writer = with(self.connect(&meter));
            let reader = self.connect(&meter);
            DurableStore::start(Stage::Inventory, writer, reader, rule, Arc::clone(&meter))
        });
        (Store::Durable(store.expect("it starts")), meter)
    }
}

fn backoff() -> Backoff {
    Backoff::new(Recovery::default(), 1, "suite", 0)
}

fn rule(publish: Publishing) -> CommitRule {
    CommitRule {
        batch: 1,
        flush: Duration::ZERO,
        publish,
    }
}

fn step(number: u64, event: Event, emit: Emit) -> Step {
    Step {
        number,
        event,
        emit,
        cents: 100,
        message: None,
    }
}

fn with_row(number: u64) -> Step {
    Step {
        message: Some(format!("message {number}").into_bytes()),
        ..step(number, Event::OrderCreated, RESERVED)
    }
}

/// A ledger in which these orders are open.
fn ledger(orders: u64) -> Ledger {
    let ledger = Ledger::new(1, None);
    (0..orders).for_each(|number| ledger.placed(number, 0, 0, 100));
    ledger
}

/// Every store that remembers, with the way its events go out.
fn stores(sites: &[Site], publish: Publishing) -> Vec<Store> {
    let memory = Store::Memory(MemoryStore::new(publish));
    let durable = sites.iter().map(|site| site.open(rule(publish)).0);
    std::iter::once(memory).chain(durable).collect()
}

#[tokio::test]
async fn a_step_is_fresh_then_applied_then_done() {
    let sites = Site::all();
    for store in stores(&sites, Publishing::Republish) {
        let ledger = ledger(9);
        let look = async |number, event| store.lookup(number, event, &ledger).await.expect("an answer");
        assert_eq!(look(7, Event::OrderCreated).await, Known::Fresh);
        let stood = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&stood);
        let committed = store.commit(step(7, Event::OrderCreated, RESERVED), &ledger, move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(committed.await, Ok(Committed::Stands));
        assert_eq!(stood.load(Ordering::Relaxed), 1);
        assert_eq!(look(7, Event::OrderCreated).await, Known::Applied(RESERVED));
        store.done(7, Event::OrderCreated);
        assert_eq!(look(7, Event::OrderCreated).await, Known::Done);
        assert_eq!(look(7, Event::PaymentSuccess).await, Known::Fresh);
        assert_eq!(look(8, Event::OrderCreated).await, Known::Fresh);
    }
}

#[tokio::test]
async fn a_dual_write_takes_a_redelivery_for_done_and_an_outbox_too() {
    let sites = Site::all();
    for store in stores(&sites, Publishing::DualWrite) {
        let ledger = ledger(1);
        let committed = store.commit(step(0, Event::OrderCreated, RESERVED), &ledger, || {});
        assert_eq!(committed.await, Ok(Committed::Stands));
        assert_eq!(store.lookup(0, Event::OrderCreated, &ledger).await, Ok(Known::Done));
    }
}

#[tokio::test]
async fn of_two_commits_of_the_same_step_one_stands() {
    let sites = Site::all();
    for store in stores(&sites, Publishing::Republish) {
        let ledger = ledger(1);
        let stood = Arc::new(AtomicU64::new(0));
        let commit = || {
            let counter = Arc::clone(&stood);
            store.commit(step(0, Event::OrderCreated, RESERVED), &ledger, move || {
                counter.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (one, other) = tokio::join!(commit(), commit());
        let mut answers = [one.expect("an answer"), other.expect("an answer")];
        answers.sort_by_key(|answer| *answer == Committed::Repetition);
        assert_eq!(answers, [Committed::Stands, Committed::Repetition]);
        assert_eq!(stood.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_database_remembers_over_a_restart() {
    for site in Site::all() {
        let ledger = ledger(3);
        let (store, _) = site.open(rule(Publishing::Republish));
        for (number, emit) in [(0, RESERVED), (1, Emit::Notification), (2, Emit::Nothing)] {
            let committed = store.commit(step(number, Event::OrderCreated, emit), &ledger, || {});
            assert_eq!(committed.await, Ok(Committed::Stands));
        }
        store.done(0, Event::OrderCreated);
        drop(store);
        let (store, _) = site.open(rule(Publishing::Republish));
        for (number, known) in [
            (0, Known::Done),
            (1, Known::Applied(Emit::Notification)),
            (2, Known::Done),
        ] {
            assert_eq!(store.lookup(number, Event::OrderCreated, &ledger).await, Ok(known));
        }
        let again = store.commit(step(1, Event::OrderCreated, RESERVED), &ledger, || {
            panic!("it stood before")
        });
        assert_eq!(again.await, Ok(Committed::Repetition));
    }
}

#[tokio::test]
async fn a_group_is_one_transaction() {
    for site in Site::all() {
        let ledger = ledger(8);
        let (store, meter) = site.open(CommitRule {
            batch: 8,
            flush: Duration::from_secs(60),
            publish: Publishing::Republish,
        });
        let commits = (0..8).map(|number| store.commit(step(number, Event::OrderCreated, RESERVED), &ledger, || {}));
        for committed in futures_util::future::join_all(commits).await {
            assert_eq!(committed, Ok(Committed::Stands));
        }
        assert_eq!((meter.commits(), meter.steps()), (1, 8));
    }
}

#[tokio::test]
async fn a_group_that_does_not_fill_is_committed_after_its_flush() {
    for site in Site::all() {
        let (store, meter) = site.open(CommitRule {
            batch: 8,
            flush: Duration::from_millis(5),
            publish: Publishing::Republish,
        });
        let ledger = ledger(1);
        let committed = store.commit(step(0, Event::OrderCreated, RESERVED), &ledger, || {});
        assert_eq!(committed.await, Ok(Committed::Stands));
        assert_eq!((meter.commits(), meter.steps()), (1, 1));
    }
}

#[tokio::test]
async fn the_outbox_keeps_the_order_of_commits_and_its_rows_until_they_are_sent() {
    for site in Site::all() {
        let ledger = ledger(5);
        let (store, meter) = site.open(rule(Publishing::Outbox));
        for number in [3, 0, 4, 1] {
            let committed = store.commit(with_row(number), &ledger, || {});
            assert_eq!(committed.await, Ok(Committed::Stands));
        }
        let numbers = |rows: &[OutboxRow]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
        let database = store.durable().expect("a database");
        let rows = database.next_unsent(Vec::new(), 3).await.expect("rows");
        assert_eq!(numbers(&rows), [3, 0, 4]);
        assert_eq!((rows[0].cause, rows[0].emit), (Event::OrderCreated, RESERVED));
        assert_eq!(rows[0].message, b"message 3");
        let sent = vec![rows[0].id, rows[2].id];
        assert_eq!(
            numbers(&database.next_unsent(sent.clone(), 9).await.expect("rows")),
            [0, 1]
        );
        assert_eq!((meter.unsent(), meter.unsent_max()), (2, 4));
        let again = database.next_unsent(sent, 9).await.expect("marks may be made again");
        assert_eq!((numbers(&again), meter.unsent()), (vec![0, 1], 2));
        drop(store);
        let (store, meter) = site.open(rule(Publishing::Outbox));
        let rows = store.durable().expect("a database").next_unsent(Vec::new(), 9).await;
        assert_eq!(numbers(&rows.expect("rows")), [0, 1], "a restart forgets none");
        assert_eq!(meter.unsent(), 2);
        assert_eq!(store.lookup(0, Event::OrderCreated, &ledger).await, Ok(Known::Done));
    }
}

#[test]
fn a_transaction_changes_everything_or_nothing() {
    for site in Site::all() {
        let mut database = site.connect(&Arc::default());
        let steps = [with_row(1), with_row(2), with_row(1)];
        let transaction = Transaction {
            steps: &steps,
            ..Transaction::default()
        };
        let changed = database.commit(&transaction).expect("it commits");
        assert_eq!(
            changed.new,
            [true, true, false],
            "a repetition in the same group is one too"
        );
        assert_eq!(database.unsent_count(), Ok(2));
    }
}

#[test]
fn a_database_lists_each_step_that_stands_once() {
    for site in Site::all() {
        let mut database = site.connect(&Arc::default());
        let steps = [step(3, Event::OrderCreated, RESERVED), with_row(4), with_row(4)];
        let transaction = Transaction {
            steps: &steps,
            ..Transaction::default()
        };
        database.commit(&transaction).expect("committed");
        let mut found = site
            .connect(&Arc::default())
            .steps()
            .expect("another connection sees them");
        found.sort_by_key(|step| step.number);
        let past = |number| PastStep {
            number,
            event: Event::OrderCreated,
            emit: RESERVED,
        };
        assert_eq!(found, [past(3), past(4)]);
    }
}

#[test]
fn of_several_processes_that_open_a_new_file_at_once_all_get_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, at_once) = (folder.path().join("stage.sqlite"), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    at_once.wait();
                    if let Err(error) = Sqlite::open(&path) {
                        panic!("{error}");
                    }
                });
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_on_one_database_each_step_is_committed_by_one() {
    for site in Site::all() {
        let ledger = ledger(30);
        let stood = Arc::new(AtomicU64::new(0));
        let stores = [0; 2].map(|_| site.open(rule(Publishing::Republish)).0);
        let commits = stores
            .iter()
            .flat_map(|store| (0..30).map(move |number| (store, number)));
        let commits = commits.map(|(store, number)| {
            let counter = Arc::clone(&stood);
            store.commit(step(number, Event::OrderCreated, RESERVED), &ledger, move || {
                counter.fetch_add(1, Ordering::Relaxed);
            })
        });
        let answers = futures_util::future::join_all(commits).await;
        let stands = answers.iter().filter(|answer| **answer == Ok(Committed::Stands));
        assert_eq!((stands.count(), stood.load(Ordering::Relaxed)), (30, 30), "{answers:?}");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
}

/// A database whose commits fail as often as it says.
struct Failing {
    inner: Box<dyn Database>,
    failures: Arc<Mutex<u32>>,
}

impl Database for Failing {
    fn look_up(&mut self, number: u64, event: Event) -> Result<Option<super::database::Remembered>, StoreError> {
        self.inner.look_up(number, event)
    }

    fn commit(&mut self, transaction: &Transaction<'_>) -> Result<super::database::Changed, StoreError> {
        let mut failures = self.failures.lock().expect("no panic");
        match failures.checked_sub(1) {
            Some(left) => {
                *failures = left;
                Err(StoreError::Full { what: "a test" })
            }
            None => self.inner.commit(transaction),
        }
    }

    fn steps(&mut self) -> Result<Vec<PastStep>, StoreError> {
        self.inner.steps()
    }

    fn unsent(&mut self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.unsent(limit)
    }

    fn unsent_count(&mut self) -> Result<u64, StoreError> {
        self.inner.unsent_count()
    }
}

#[tokio::test]
async fn of_a_group_that_fails_nothing_stands_and_it_can_be_tried_again() {
    for site in Site::all() {
        let ledger = ledger(3);
        let failures = Arc::new(Mutex::new(1));
        let rule = CommitRule {
            batch: 3,
            flush: Duration::from_secs(60),
            publish: Publishing::Outbox,
        };
        let (store, meter) = site.open_with(rule, |inner| Box::new(Failing { inner, failures }));
        let stood = Arc::new(AtomicU64::new(0));
        let group = || {
            let commits = (0..3).map(|number| {
                let counter = Arc::clone(&stood);
                store.commit(with_row(number), &ledger, move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                })
            });
            futures_util::future::join_all(commits)
        };
        for failed in group().await {
            assert_eq!(failed, Err(StoreError::Full { what: "a test" }));
        }
        assert_eq!(
            (stood.load(Ordering::Relaxed), meter.unsent(), meter.steps()),
            (0, 0, 0)
        );
        assert_eq!(store.lookup(0, Event::OrderCreated, &ledger).await, Ok(Known::Fresh));
        for committed in group().await {
            assert_eq!(committed, Ok(Committed::Stands));
        }
        assert_eq!(
            (stood.load(Ordering::Relaxed), meter.unsent(), meter.steps()),
            (3, 3, 3)
        );
    }
}

#[tokio::test]
async fn a_database_that_another_holds_is_an_error_that_says_so_and_can_be_looked_into() {
    for site in Site::all() {
        let (store, meter) = site.open(rule(Publishing::Republish));
        let (ledger, grip) = (ledger(2), site.grip());
        let commit = async |number| {
            let committed = store.commit(step(number, Event::OrderCreated, RESERVED), &ledger, || {});
            committed.await
        };
        for number in 0..2 {
            let lock = grip.lock().await.expect("a lock");
            let error = commit(number).await.expect_err("it is held");
            assert!(
                matches!(error, StoreError::Locked { .. }) && error.to_string().contains("help:"),
                "{error}"
            );
            let known = store.lookup(number, Event::OrderCreated, &ledger).await;
            assert_eq!(known, Ok(Known::Fresh));
            match number {
                0 => lock.release().await,
                // On every way out.
                _ => drop(lock),
            }
            while commit(number).await != Ok(Committed::Stands) {}
        }
        assert_eq!((meter.steps(), meter.connections_lost()), (2, 0));
    }
}

#[tokio::test]
async fn commits_are_slow_while_they_are_slowed_down() {
    let site = Site::sqlite();
    let (store, ledger) = (site.open(rule(Publishing::Republish)).0, ledger(2));
    let grip = store.durable().expect("a database").grip();
    assert!(grip.is_none(), "nobody has said where it is");
    let store = match store {
        Store::Durable(store) => store.located_at(site.grip().place),
        _ => unreachable!("it is a database"),
    };
    let grip = store.grip().expect("a place");
    let store = Store::Durable(store);
    let took = async |number| {
        let clock = Clock::start();
        let committed = store.commit(step(number, Event::OrderCreated, RESERVED), &ledger, || {});
        assert_eq!(committed.await, Ok(Committed::Stands));
        Duration::from_nanos(clock.now())
    };
    let slowed = grip.slow_down(Duration::from_millis(700));
    assert!(took(0).await >= Duration::from_millis(700));
    drop(slowed);
    assert!(took(1).await < Duration::from_millis(700));
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_nothing_stands() {
    let scratch = Scratch::new().expect("a folder");
    let path = scratch.path().join("full.sqlite");
    let mut ours = Sqlite::open(&path).expect("it opens");
    ours.limit_pages(8).expect("a limit");
    let message = Some(vec![b'x'; 64 << 10]);
    let steps = [Step { message, ..with_row(0) }];
    let refused = ours.commit(&Transaction {
        steps: &steps,
        ..Transaction::default()
    });
    let error = refused.expect_err("it is full");
    assert!(
        matches!(error, StoreError::Full { .. }) && error.to_string().contains("TMPDIR"),
        "{error}"
    );
    assert_eq!(
        (ours.look_up(0, Event::OrderCreated), ours.unsent_count()),
        (Ok(None), Ok(0))
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Sqlite::open(std::path::Path::new("/nowhere/at/all.sqlite")).expect_err("no folder");
    assert!(error.to_string().contains("/nowhere/at/all.sqlite"), "{error}");
}
