//! A stage's database in a SQLite file: write-ahead log, and each commit on the disk before it counts.
//!
//! `synchronous = FULL` makes SQLite wait for the disk at each commit, as PostgreSQL does by default. What that costs is the
//! disk's to say; a file system in memory makes it free, and its figures those of no real disk.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::database::{
    Changed, Database, OutboxRow, PastStep, Remembered, Step, StoreError, Transaction, emit_by_name, emit_name,
    foreign, status,
};
use crate::events::Event;
use crate::orders::OrderNumber;

/// Longest wait for another connection to let go.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to open a file that another is opening.
const OPEN_AGAIN: Duration = Duration::from_millis(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS state (
    number INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    cents INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS step (
    number INTEGER NOT NULL,
    event TEXT NOT NULL,
    emit TEXT NOT NULL,
    published INTEGER NOT NULL,
    PRIMARY KEY (number, event)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    cause TEXT NOT NULL,
    emit TEXT NOT NULL,
    message BLOB NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS unsent ON outbox (id) WHERE sent = 0;
";

/// A row of the outbox as it is read: id, number, cause, emit, message.
type RawRow = (i64, i64, String, String, Vec<u8>);

/// One connection to the file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, and makes what is missing in it.
    ///
    /// # Errors
    /// When it cannot be opened or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let attempts = PATIENCE.as_millis() / OPEN_AGAIN.as_millis();
        for _ in 1..attempts {
            match Sqlite::attempt(path) {
                // The change to a write-ahead log waits for nobody: of two processes that open a new file, one is turned away.
                Err(StoreError::Locked { .. }) => std::thread::sleep(OPEN_AGAIN),
                opened => return opened,
            }
        }
        Sqlite::attempt(path)
    }

    fn attempt(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| match explain("opening a stage's SQLite file")(error) {
            StoreError::Failed { what, why } => StoreError::Failed {
                what,
                why: format!("{}: {why}", path.display()),
            },
            other => other,
        };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::Failed {
                what: "opening a stage's SQLite file",
                why: format!(
                    "{}: no write-ahead log on this file system (journal mode {mode})\nhelp: set TMPDIR to a folder on a local disk",
                    path.display()
                ),
            });
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        Ok(Sqlite { connection })
    }

    /// Makes the file full at so many pages.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    }
}

impl Database for Sqlite {
    fn look_up(&mut self, number: OrderNumber, event: Event) -> Result<Option<Remembered>, StoreError> {
        const WHAT: &str = "looking up a step";
        let found: Option<(String, bool)> = self
            .connection
            .prepare_cached("SELECT emit, published FROM step WHERE number = ?1 AND event = ?2")
            .and_then(|mut query| {
                query
                    .query_row(params![signed(number), event.name()], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()
            })
            .map_err(explain(WHAT))?;
        let remembered = found.map(|(emit, published)| {
            let emit = emit_by_name(&emit).ok_or_else(|| foreign(WHAT, &emit))?;
            Ok(Remembered { emit, published })
        });
        remembered.transpose()
    }

    fn commit(&mut self, changes: &Transaction<'_>) -> Result<Changed, StoreError> {
        // Dropped without a commit it is rolled back.
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(explain("beginning a transaction"))?;
        let changed = write(&transaction, changes).map_err(explain("writing a step"))?;
        transaction.commit().map_err(explain("committing a transaction"))?;
        Ok(changed)
    }

    fn steps(&mut self) -> Result<Vec<PastStep>, StoreError> {
        const WHAT: &str = "reading all steps";
        let read = || -> rusqlite::Result<Vec<(i64, String, String)>> {
            let mut query = self.connection.prepare("SELECT number, event, emit FROM step")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        };
        let rows = read().map_err(explain(WHAT))?.into_iter();
        rows.map(|(number, event, emit)| {
            Ok(PastStep {
                number: number.unsigned_abs(),
                event: Event::by_name(&event).ok_or_else(|| foreign(WHAT, &event))?,
                emit: emit_by_name(&emit).ok_or_else(|| foreign(WHAT, &emit))?,
            })
        })
        .collect()
    }

    fn unsent(&mut self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        const WHAT: &str = "reading the outbox";
        let read = || -> rusqlite::Result<Vec<RawRow>> {
            let mut query = self.connection.prepare_cached(
                "SELECT id, number, cause, emit, message FROM outbox WHERE sent = 0 ORDER BY id LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = query.query_map([limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            rows.collect()
        };
        let rows = read().map_err(explain(WHAT))?.into_iter();
        rows.map(|(id, number, cause, emit, message)| {
            Ok(OutboxRow {
                id,
                number: number.unsigned_abs(),
                cause: Event::by_name(&cause).ok_or_else(|| foreign(WHAT, &cause))?,
                emit: emit_by_name(&emit).ok_or_else(|| foreign(WHAT, &emit))?,
                message,
            })
        })
        .collect()
    }

    fn unsent_count(&mut self) -> Result<u64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT COUNT(*) FROM outbox WHERE sent = 0", [], |row| {
                row.get::<_, i64>(0)
            });
        count.map(i64::unsigned_abs).map_err(explain("counting the outbox"))
    }
}

fn write(to: &Connection, changes: &Transaction<'_>) -> rusqlite::Result<Changed> {
    for (number, event) in changes.published {
        to.prepare_cached("UPDATE step SET published = 1 WHERE number = ?1 AND event = ?2")?
            .execute(params![signed(*number), event.name()])?;
    }
    let mut changed = Changed::default();
    for id in changes.sent {
        let rows = to
            .prepare_cached("UPDATE outbox SET sent = 1 WHERE id = ?1 AND sent = 0")?
            .execute([id])?;
        changed.sent += rows as u64;
    }
    for step in changes.steps {
        changed.new.push(write_step(to, step)?);
    }
    Ok(changed)
}

/// Writes a step; says whether it was new.
fn write_step(to: &Connection, step: &Step) -> rusqlite::Result<bool> {
    let (number, event, emit) = (signed(step.number), step.event.name(), emit_name(step.emit));
    let published = emit.is_empty() || step.message.is_some();
    let new = to
        .prepare_cached(
            "INSERT INTO step (number, event, emit, published) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![number, event, emit, published])?;
    if new == 0 {
        return Ok(false);
    }
    to.prepare_cached(
        "INSERT INTO state (number, status, cents) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO UPDATE SET status = excluded.status",
    )?
    .execute(params![number, status(step), signed(step.cents)])?;
    if let Some(message) = &step.message {
        to.prepare_cached("INSERT INTO outbox (number, cause, emit, message) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![number, event, emit, message])?;
    }
    Ok(true)
}

/// Numbers of orders and sums in cents are far below the sign bit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn explain(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { what },
        Some(ErrorCode::DiskFull) => StoreError::Full { what },
        _ => StoreError::Failed {
            what,
            why: error.to_string(),
        },
    }
}
