//! A second hand on a stage's database, for faults: it can lock it, and make its commits slow.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::postgres::{PostgresAddress, TableLock};
use crate::tally::Tally;

/// Longest wait for the transactions that are under way when a lock is asked for.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a SQLite file.
    File(PathBuf),
    /// In a schema of a PostgreSQL server.
    Schema(PostgresAddress, String),
}

/// How much longer each commit takes, nanoseconds.
#[derive(Debug, Default)]
pub struct Slowness(pub(super) Tally);

impl Slowness {
    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

/// The hand.
#[derive(Debug, Clone)]
pub struct Grip {
    pub(super) place: Place,
    pub(super) slowness: Arc<Slowness>,
}

impl Grip {
    /// Locks the database against every change; look-ups go on. Returns when the lock stands.
    ///
    /// # Errors
    /// Why it cannot be locked, in a sentence.
    ///
    /// # Cancel safety
    /// A lock that comes to stand although nobody waits is let go at once.
    pub async fn lock(&self) -> Result<Locked, String> {
        let ((stands, standing), (let_go, told), (gone, is_gone)) = (oneshot::channel(), channel(), oneshot::channel());
        let place = self.place.clone();
        std::thread::Builder::new()
            .name("database lock".to_owned())
            .spawn(move || {
                keep(&place, stands, &told);
                // Who waits for that may be gone.
                let _ = gone.send(());
            })
            .map_err(|error| error.to_string())?;
        let locked = Locked {
            _let_go: let_go,
            is_gone,
        };
        standing
            .await
            .map_err(|_| "the thread of the lock ended".to_owned())??;
        Ok(locked)
    }

    /// From now on each commit takes so much longer, until what is returned is dropped.
    pub fn slow_down(&self, by: Duration) -> Slowed {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.slowness.0.fetch_add(nanos, Ordering::AcqRel);
        Slowed {
            slowness: Arc::clone(&self.slowness),
            nanos,
        }
    }
}

/// A lock that stands. Dropping it lets go; that takes as long as a rollback, and this does not wait for it.
#[derive(Debug)]
pub struct Locked {
    _let_go: Sender<()>,
    is_gone: oneshot::Receiver<()>,
}

impl Locked {
    /// Lets go, and waits until the lock is gone.
    pub async fn release(self) {
        let Locked { _let_go, is_gone } = self;
        drop(_let_go);
        let _ = is_gone.await;
    }
}

/// Commits that are slow. Dropping it makes them as fast as before.
#[derive(Debug)]
pub struct Slowed {
    slowness: Arc<Slowness>,
    nanos: u64,
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.slowness.0.fetch_sub(self.nanos, Ordering::AcqRel);
    }
}

/// Holds the lock until told, or until nobody is left who could tell.
fn keep(place: &Place, stands: oneshot::Sender<Result<(), String>>, told: &Receiver<()>) {
    let held: Result<Box<dyn std::any::Any>, String> = match place {
        Place::File(path) => lock_file(path).map(|lock| Box::new(lock) as _),
        Place::Schema(address, schema) => TableLock::take(address, schema, LOCK_PATIENCE)
            .map(|lock| Box::new(lock) as _)
            .map_err(|error| error.to_string()),
    };
    match held {
        Ok(_lock) => {
            if stands.send(Ok(())).is_ok() {
                let _ = told.recv();
            }
        }
        Err(why) => {
            let _ = stands.send(Err(why));
        }
    }
}

/// Dropped, the connection rolls back.
fn lock_file(path: &Path) -> Result<rusqlite::Connection, String> {
    let lock = || -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open(path)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(connection)
    };
    lock().map_err(|error| format!("locking a stage's SQLite file: {error}"))
}
