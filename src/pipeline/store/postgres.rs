//! A stage's database in a schema of its own on a PostgreSQL server.
//!
//! Each commit waits for the server's disk (`synchronous_commit = on`). Each step and each mark of a sent row bears the mark of
//! its transaction, so that one whose answer was lost can be done again: what stood already is then found as its own, not taken for
//! a repetition, and what did not is done now. A transaction that is still under way on the old connection is waited for by the
//! same means: its rows hold the keys.

mod address;
mod cluster;
mod link;
mod server;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

pub use address::PostgresAddress;
pub use cluster::Cluster;
pub use server::{PostgresServer, ServerKind};

use super::StoreMeter;
use super::database::{
    Changed, Database, OutboxRow, PastStep, Remembered, Step, StoreError, Transaction, emit_by_name, emit_name,
    foreign, status,
};
use crate::amqp::Backoff;
use crate::clock::Clock;
use crate::events::{Event, Stage};
use crate::orders::OrderNumber;
use link::{Link, Trouble};

#[cfg(test)]
mod tests;

/// The environment variable that names a server.
pub const URL_VARIABLE: &str = "ORDERSTORM_POSTGRES_URL";

/// Longest wait for another connection to let go of a lock.
const LOCK_PATIENCE: &str = "1s";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS state (
    number bigint PRIMARY KEY,
    status text NOT NULL,
    cents bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS step (
    number bigint NOT NULL,
    event text NOT NULL,
    emit text NOT NULL,
    published boolean NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (number, event)
);
CREATE TABLE IF NOT EXISTS outbox (
    id bigint PRIMARY KEY,
    number bigint NOT NULL,
    cause text NOT NULL,
    emit text NOT NULL,
    message bytea NOT NULL,
    sent bigint NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS unsent ON outbox (id) WHERE sent = 0;
CREATE SEQUENCE IF NOT EXISTS session;
";

/// Bits of a mark below the session's number: a session has fewer steps and transactions than that.
const MARK_BITS: u32 = 40;

/// Why there is no PostgreSQL to be had. No text repeats an address as it was given: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The address is none.
    #[error(
        "{URL_VARIABLE} is no address of a PostgreSQL server: {why}\nhelp: write postgres://user:password@127.0.0.1:5432/database, or leave the variable out for a throw-away cluster"
    )]
    Address {
        /// What is wrong.
        why: &'static str,
    },
    /// The address demands TLS.
    #[error(
        "{URL_VARIABLE} demands TLS, which the store does not speak\nhelp: write sslmode=disable for a server on this machine or on a network that you trust"
    )]
    Tls,
    /// The server is on another machine.
    #[error(
        "{address} is not on this machine\nhelp: say --allow-remote if a load test may run there; it makes and drops schemas of its own, and nothing else"
    )]
    Remote {
        /// Without its password.
        address: String,
    },
    /// The server does not answer.
    #[error("cannot use {address}: {why}\nhelp: is the server up, and the login in {URL_VARIABLE} right?")]
    Unreachable {
        /// Without its password.
        address: String,
        /// Why.
        why: String,
    },
    /// There is no PostgreSQL on this machine.
    #[error(
        "there is no PostgreSQL on this machine (looked for initdb and postgres in PATH and in {looked_in})\nhelp: apt-get install postgresql, or name a server in {URL_VARIABLE}=postgres://user:password@127.0.0.1:5432/database"
    )]
    NotInstalled {
        /// Where else.
        looked_in: String,
    },
    /// PostgreSQL refuses to run as root, and nobody else is there.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody\nhelp: run as another user, or name a server in {URL_VARIABLE}"
    )]
    NoUser,
    /// The cluster did not start.
    #[error(
        "the throw-away PostgreSQL cluster: {doing}: {why}\nhelp: is there room in TMPDIR, and may the user that PostgreSQL runs as reach it? Or name a server in {URL_VARIABLE}"
    )]
    Cluster {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        why: String,
    },
}

impl PostgresError {
    /// Whether the command line or the environment is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            PostgresError::Address { .. } | PostgresError::Tls | PostgresError::Remote { .. }
        )
    }
}

/// The schema of a stage: `orderstorm_<run>_<trial>_<stage>`.
pub fn schema_name(run: &str, trial: u32, stage: Stage) -> String {
    format!("{SCHEMA_PREFIX}{run}_{trial}_{stage}")
}

/// All schemas of this program begin like this; none that does not is ever touched.
const SCHEMA_PREFIX: &str = "orderstorm_";

/// Drops schemas with all that is in them. One that is gone is no error. Blocks; not for threads of a runtime.
///
/// # Errors
/// The first failure, after all were tried; a name that this program never gives is refused.
pub fn drop_schemas(address: &PostgresAddress, names: &[String]) -> Result<(), StoreError> {
    const WHAT: &str = "dropping a schema";
    if names.is_empty() {
        return Ok(());
    }
    if let Some(strange) = names.iter().find(|name| !name.starts_with(SCHEMA_PREFIX)) {
        return Err(StoreError::Failed {
            what: WHAT,
            why: format!("`{strange}` is no schema of a run; nothing was touched"),
        });
    }
    let plainly = |trouble| match trouble {
        Trouble::Lost(why) => StoreError::Unreachable { what: WHAT, why },
        Trouble::Refused(error) => error,
    };
    let link = Link::open(address).map_err(plainly)?;
    let mut first = None;
    for name in names {
        let dropped = link.batch(WHAT, &format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(name)));
        first = first.or(dropped.err());
    }
    first.map_or(Ok(()), |trouble| Err(plainly(trouble)))
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A schema's tables, locked against every change by a connection of its own. Dropping it lets go.
#[derive(Debug)]
pub struct TableLock {
    _link: Link,
}

impl TableLock {
    /// Takes the lock, and waits so long for transactions that are under way. Blocks; not for threads of a runtime, and
    /// neither is the drop of what is returned.
    ///
    /// # Errors
    /// When the server cannot be reached, or the lock not be had.
    pub fn take(address: &PostgresAddress, schema: &str, patience: Duration) -> Result<Self, StoreError> {
        const WHAT: &str = "locking a stage's tables";
        let link = Link::open(address).map_err(|trouble| plain(WHAT, trouble))?;
        let (schema, patience) = (quoted(schema), patience.as_millis());
        let locked = link.batch(
            WHAT,
            &format!(
                "BEGIN; SET LOCAL lock_timeout = {patience}; \
                 LOCK TABLE {schema}.step, {schema}.state, {schema}.outbox IN EXCLUSIVE MODE"
            ),
        );
        locked.map_err(|trouble| plain(WHAT, trouble))?;
        Ok(TableLock { _link: link })
    }
}

/// Says to all connections of a store that nobody waits for them any more.
#[derive(Debug, Default)]
pub struct Closing {
    closed: Mutex<bool>,
    told: Condvar,
}

impl Closing {
    /// Ends all pauses, and refuses more.
    pub fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits so long; says whether the store is still open then.
    fn pause(&self, pause: Duration) -> bool {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(closed, pause, |closed| !*closed);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What all connections of a stage's store share.
#[derive(Clone)]
pub struct Party {
    /// The server.
    pub address: PostgresAddress,
    /// The schema, which is the stage's alone.
    pub schema: String,
    /// What the store does is counted here.
    pub meter: Arc<StoreMeter>,
    /// The end of the store.
    pub closing: Arc<Closing>,
}

/// One connection to the schema, opened anew when it is lost.
pub struct Postgres {
    party: Party,
    link: Option<Link>,
    backoff: Backoff,
    clock: Clock,
    /// The next transaction's first mark.
    next_mark: i64,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("schema", &self.party.schema)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, and makes what is missing in the schema. Blocks; not for threads of a runtime.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let the schema be made.
    pub fn open(party: Party, backoff: Backoff) -> Result<Self, StoreError> {
        const WHAT: &str = "opening a stage's schema";
        let mut postgres = Postgres {
            party,
            link: None,
            backoff,
            clock: Clock::start(),
            next_mark: 0,
        };
        let mut link = postgres.connect().map_err(|trouble| plain(WHAT, trouble))?;
        let schema = quoted(&postgres.party.schema);
        let made = link
            .batch(WHAT, &format!("CREATE SCHEMA IF NOT EXISTS {schema}; {TABLES}"))
            .and_then(|()| link.rows(WHAT, "SELECT nextval('session')", &[]));
        let session: i64 = made.map_err(|trouble| plain(WHAT, trouble))?[0].get(0);
        postgres.next_mark = (session << MARK_BITS) + 1;
        postgres.link = Some(link);
        Ok(postgres)
    }

    fn connect(&self) -> Result<Link, Trouble> {
        let link = Link::open(&self.party.address)?;
        let schema = quoted(&self.party.schema);
        link.batch(
            "opening a stage's schema",
            &format!(
                "SET client_min_messages = warning; SET synchronous_commit = on; SET lock_timeout = '{LOCK_PATIENCE}'; \
                 SET search_path = {schema}"
            ),
        )?;
        Ok(link)
    }

    /// The connection; one that is lost is opened anew after a pause: one attempt.
    fn linked(&mut self, what: &'static str) -> Result<&mut Link, StoreError> {
        if self.link.is_none() {
            self.pause(what)?;
            match self.connect() {
                Ok(link) => {
                    self.backoff.reset();
                    self.link = Some(link);
                }
                Err(trouble) => return Err(plain(what, trouble)),
            }
        }
        self.link.as_mut().ok_or(StoreError::Closed)
    }

    /// The pause before the next attempt.
    ///
    /// # Errors
    /// When the time to come back is over, or the store is closed.
    fn pause(&mut self, what: &'static str) -> Result<(), StoreError> {
        let Some(pause) = self.backoff.next(self.clock.now()) else {
            let why = "it did not come back in recovery.give_up_after".to_owned();
            self.party.meter.give_up(&format!("the database: {why}"));
            return Err(StoreError::Unreachable { what, why });
        };
        match self.party.closing.pause(Duration::from_nanos(pause)) {
            true => Ok(()),
            false => Err(StoreError::Closed),
        }
    }

    /// What a failed call says to those who wait; a connection that is lost is dropped.
    fn failed(&mut self, what: &'static str, trouble: Trouble) -> StoreError {
        if matches!(trouble, Trouble::Lost(_)) && self.link.take().is_some() {
            self.party.meter.lost();
        }
        plain(what, trouble)
    }

    fn read<T>(
        &mut self,
        what: &'static str,
        ask: impl FnOnce(&mut Link) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        match ask(self.linked(what)?) {
            Ok(found) => Ok(found),
            Err(trouble) => Err(self.failed(what, trouble)),
        }
    }

    /// Marks for this many steps and their transaction.
    fn marks(&mut self, steps: usize) -> i64 {
        let first = self.next_mark;
        self.next_mark += steps as i64 + 1;
        first
    }
}

fn plain(what: &'static str, trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::Lost(why) => StoreError::Unreachable { what, why },
        Trouble::Refused(error) => error,
    }
}

impl Database for Postgres {
    fn look_up(&mut self, number: OrderNumber, event: Event) -> Result<Option<Remembered>, StoreError> {
        const WHAT: &str = "looking up a step";
        let (number, name) = (signed(number), event.name());
        let rows = self.read(WHAT, |link| {
            let query = "SELECT emit, published FROM step WHERE number = $1 AND event = $2";
            link.rows(WHAT, query, &[&number, &name])
        })?;
        let remembered = rows.first().map(|row| {
            let emit: &str = row.get(0);
            Ok(Remembered {
                emit: emit_by_name(emit).ok_or_else(|| foreign(WHAT, emit))?,
                published: row.get(1),
            })
        });
        remembered.transpose()
    }

    fn commit(&mut self, changes: &Transaction<'_>) -> Result<Changed, StoreError> {
        const WHAT: &str = "committing a transaction";
        let first_mark = self.marks(changes.steps.len());
        let mut in_doubt = false;
        loop {
            let error = match self.linked(WHAT) {
                Ok(link) => match transact(link, changes, first_mark) {
                    Ok(changed) => return Ok(changed),
                    Err(Broken { trouble, in_commit }) => {
                        in_doubt |= in_commit && matches!(trouble, Trouble::Lost(_));
                        self.failed(WHAT, trouble)
                    }
                },
                Err(error) => error,
            };
            if !in_doubt {
                return Err(error);
            }
            // Perhaps it stands. Who waits is told when that is known: it is done again, and finds its own marks.
            if self.link.is_some() {
                self.pause(WHAT)?;
            } else if error == StoreError::Closed || self.party.meter.gave_up().is_some() {
                return Err(error);
            }
        }
    }

    fn steps(&mut self) -> Result<Vec<PastStep>, StoreError> {
        const WHAT: &str = "reading all steps";
        let rows = self.read(WHAT, |link| {
            link.rows(WHAT, "SELECT number, event, emit FROM step", &[])
        })?;
        rows.iter()
            .map(|row| {
                let (event, emit): (&str, &str) = (row.get(1), row.get(2));
                Ok(PastStep {
                    number: row.get::<_, i64>(0).unsigned_abs(),
                    event: Event::by_name(event).ok_or_else(|| foreign(WHAT, event))?,
                    emit: emit_by_name(emit).ok_or_else(|| foreign(WHAT, emit))?,
                })
            })
            .collect()
    }

    fn unsent(&mut self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        const WHAT: &str = "reading the outbox";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.read(WHAT, |link| {
            let query = "SELECT id, number, cause, emit, message FROM outbox WHERE sent = 0 ORDER BY id LIMIT $1";
            link.rows(WHAT, query, &[&limit])
        })?;
        rows.iter()
            .map(|row| {
                let (cause, emit): (&str, &str) = (row.get(2), row.get(3));
                Ok(OutboxRow {
                    id: row.get(0),
                    number: row.get::<_, i64>(1).unsigned_abs(),
                    cause: Event::by_name(cause).ok_or_else(|| foreign(WHAT, cause))?,
                    emit: emit_by_name(emit).ok_or_else(|| foreign(WHAT, emit))?,
                    message: row.get(4),
                })
            })
            .collect()
    }

    fn unsent_count(&mut self) -> Result<u64, StoreError> {
        const WHAT: &str = "counting the outbox";
        let rows = self.read(WHAT, |link| {
            link.rows(WHAT, "SELECT count(*) FROM outbox WHERE sent = 0", &[])
        })?;
        Ok(rows[0].get::<_, i64>(0).unsigned_abs())
    }
}

/// How a transaction failed.
struct Broken {
    trouble: Trouble,
    /// It was to be committed: a lost connection leaves open whether it was.
    in_commit: bool,
}

fn transact(link: &mut Link, changes: &Transaction<'_>, first_mark: i64) -> Result<Changed, Broken> {
    const WHAT: &str = "committing a transaction";
    let before = |trouble| Broken {
        trouble,
        in_commit: false,
    };
    link.batch("beginning a transaction", "BEGIN").map_err(before)?;
    match write(link, changes, first_mark) {
        Ok(changed) => match link.batch(WHAT, "COMMIT") {
            Ok(()) => Ok(changed),
            Err(trouble) => Err(Broken {
                trouble,
                in_commit: true,
            }),
        },
        Err(trouble @ Trouble::Lost(_)) => Err(before(trouble)),
        Err(refused) => {
            // Without an answer the connection, and with it the transaction, is gone.
            let rolled_back = link.batch("rolling back a transaction", "ROLLBACK");
            Err(before(rolled_back.err().unwrap_or(refused)))
        }
    }
}

fn write(link: &mut Link, changes: &Transaction<'_>, first_mark: i64) -> Result<Changed, Trouble> {
    if !changes.published.is_empty() {
        let (numbers, events): (Vec<i64>, Vec<&str>) = changes
            .published
            .iter()
            .map(|(number, event)| (signed(*number), event.name()))
            .unzip();
        link.change(
            "noting what is published",
            "UPDATE step SET published = true FROM unnest($1::bigint[], $2::text[]) AS out (number, event)
             WHERE step.number = out.number AND step.event = out.event",
            &[&numbers, &events],
        )?;
    }
    let mut changed = Changed::default();
    if !changes.sent.is_empty() {
        let mark = first_mark + changes.steps.len() as i64;
        changed.sent = link.change(
            "marking rows as sent",
            "UPDATE outbox SET sent = $2 WHERE id = ANY($1) AND sent IN (0, $2)",
            &[&changes.sent, &mark],
        )?;
    }
    changed.new = write_steps(link, changes.steps, first_mark)?;
    Ok(changed)
}

/// Writes steps; says of each whether it is new, or the same transaction's from before its answer was lost.
fn write_steps(link: &mut Link, steps: &[Step], first_mark: i64) -> Result<Vec<bool>, Trouble> {
    const WHAT: &str = "writing a step";
    // Of the same step twice in a group the second is a repetition.
    let mut keys = HashSet::new();
    let fresh: Vec<(i64, &Step)> = (first_mark..)
        .zip(steps)
        .filter(|(_, step)| keys.insert((step.number, step.event)))
        .collect();
    if fresh.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = fresh.iter().map(|(_, step)| signed(step.number)).collect();
    let events: Vec<&str> = fresh.iter().map(|(_, step)| step.event.name()).collect();
    let emits: Vec<&str> = fresh.iter().map(|(_, step)| emit_name(step.emit)).collect();
    let published: Vec<bool> = fresh
        .iter()
        .map(|(_, step)| emit_name(step.emit).is_empty() || step.message.is_some())
        .collect();
    let marks: Vec<i64> = fresh.iter().map(|(mark, _)| *mark).collect();
    let ours = link.rows(
        WHAT,
        "INSERT INTO step (number, event, emit, published, mark)
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::bigint[])
         ON CONFLICT (number, event) DO UPDATE SET mark = excluded.mark WHERE step.mark = excluded.mark
         RETURNING mark",
        &[&numbers, &events, &emits, &published, &marks],
    )?;
    let ours: HashSet<i64> = ours.iter().map(|row| row.get(0)).collect();
    let new: Vec<(i64, &Step)> = fresh.into_iter().filter(|(mark, _)| ours.contains(mark)).collect();
    if !new.is_empty() {
        write_state(link, &new)?;
        write_outbox(link, &new)?;
    }
    Ok((first_mark..)
        .zip(steps)
        .map(|(mark, _)| ours.contains(&mark))
        .collect())
}

/// The last status of each order.
fn write_state(link: &mut Link, new: &[(i64, &Step)]) -> Result<(), Trouble> {
    let last: HashMap<OrderNumber, &Step> = new.iter().map(|(_, step)| (step.number, *step)).collect();
    let numbers: Vec<i64> = last.keys().map(|number| signed(*number)).collect();
    let statuses: Vec<&str> = last.values().map(|step| status(step)).collect();
    let cents: Vec<i64> = last.values().map(|step| signed(step.cents)).collect();
    link.change(
        "writing an order's status",
        "INSERT INTO state (number, status, cents) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
         ON CONFLICT (number) DO UPDATE SET status = excluded.status",
        &[&numbers, &statuses, &cents],
    )?;
    Ok(())
}

/// The messages that go out; their ids are the marks of their steps, which grow.
fn write_outbox(link: &mut Link, new: &[(i64, &Step)]) -> Result<(), Trouble> {
    let rows = || {
        new.iter()
            .filter_map(|(mark, step)| Some((mark, step, step.message.as_deref()?)))
    };
    let ids: Vec<i64> = rows().map(|(mark, ..)| *mark).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = rows().map(|(_, step, _)| signed(step.number)).collect();
    let causes: Vec<&str> = rows().map(|(_, step, _)| step.event.name()).collect();
    let emits: Vec<&str> = rows().map(|(_, step, _)| emit_name(step.emit)).collect();
    let messages: Vec<&[u8]> = rows().map(|(.., message)| message).collect();
    link.change(
        "writing the outbox",
        "INSERT INTO outbox (id, number, cause, emit, message)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[]) ON CONFLICT (id) DO NOTHING",
        &[&ids, &numbers, &causes, &emits, &messages],
    )?;
    Ok(())
}

/// Numbers of orders and sums in cents are far below the sign bit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
