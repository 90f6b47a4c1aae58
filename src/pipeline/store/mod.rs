//! Where a stage keeps its state and what it has done: nowhere, in memory, or in a database.
//!
//! One call, [`Store::commit`], holds the effect of a step, the key by which a repetition is known, and, with an outbox, the
//! message that is to go out: all of it or nothing. What waits for the effect to stand (books, ledger) is handed in, and
//! is done after the commit and before anybody can see its consequences.

mod database;
mod durable;
mod grip;
mod memory;
mod meter;
pub mod postgres;
mod scratch;
mod sqlite;

#[cfg(test)]
mod suite;

pub use database::{OutboxRow, PastStep, Step, StoreError};
pub use durable::DurableStore;
pub use grip::{Grip, Locked, Slowed};
pub use memory::MemoryStore;
pub use meter::StoreMeter;
pub use scratch::{Scratch, remove_all as remove_all_files};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grip::Place;
use postgres::{Closing, Party, Postgres, PostgresAddress, schema_name};
use sqlite::Sqlite;

use crate::amqp::Backoff;
use crate::events::{Event, Stage};
use crate::ledger::Ledger;
use crate::orders::OrderNumber;
use crate::workload::model::{Publishing, Recovery, StageSettings, StoreKind};

use super::order::Emit;

/// What is known of a step when its message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Never seen.
    Fresh,
    /// The effect stands, but its event may not have gone out: emit it again, and have no second effect.
    Applied(Emit),
    /// Done.
    Done,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The effect stands.
    Stands,
    /// Another delivery of the same message was faster: nothing has changed.
    Repetition,
}

/// How a stage's transactions are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitRule {
    /// Most steps of one transaction, from 1.
    pub batch: usize,
    /// Longest that a step waits for others.
    pub flush: Duration,
    /// How what follows from a step reaches the broker.
    pub publish: Publishing,
}

/// Where the databases of a trial may be.
#[derive(Debug, Clone, Default)]
pub struct StoreGround {
    /// A PostgreSQL server; only where a stage keeps its state there.
    pub postgres: Option<PostgresAddress>,
    /// Stages that reach the server by another way, such as a proxy.
    pub detours: Vec<(Stage, SocketAddr)>,
    /// The run, which its schemas are named after.
    pub run: String,
    /// The trial, likewise.
    pub trial: u32,
    /// How a lost connection comes back.
    pub recovery: Recovery,
    /// What the pauses before that are drawn from.
    pub seed: u64,
}

/// Where the databases of a trial are.
#[derive(Debug)]
pub struct StoreSite {
    folder: Option<Folder>,
    ground: StoreGround,
}

#[derive(Debug)]
enum Folder {
    Own(Scratch),
    /// Of the driver that this process works for.
    Another(PathBuf),
}

impl StoreSite {
    /// Makes what the stages of a trial need: a folder, where one of them writes files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(stages: &[StageSettings], ground: StoreGround) -> Result<Self, StoreError> {
        let files = stages.iter().any(|settings| settings.store == StoreKind::Sqlite);
        let own = files.then(Scratch::new).transpose()?;
        Ok(StoreSite {
            folder: own.map(Folder::Own),
            ground,
        })
    }

    /// That of another process, as its [`StoreSite::path`] and [`StoreSite::ground`] say.
    pub fn of_another(path: Option<PathBuf>, ground: StoreGround) -> Self {
        StoreSite {
            folder: path.map(Folder::Another),
            ground,
        }
    }

    /// The folder of the files, if there are any.
    pub fn path(&self) -> Option<&Path> {
        match &self.folder {
            Some(Folder::Own(scratch)) => Some(scratch.path()),
            Some(Folder::Another(path)) => Some(path),
            None => None,
        }
    }

    /// Where its databases may be.
    pub fn ground(&self) -> &StoreGround {
        &self.ground
    }

    /// Where a stage's database is; absent for a stage without one.
    fn place(&self, stage: Stage, kind: StoreKind) -> Option<Place> {
        match (kind, self.path(), &self.ground.postgres) {
            (StoreKind::Sqlite, Some(folder), _) => Some(Place::File(folder.join(format!("{stage}.sqlite")))),
            // A lock is no matter of the way to the server.
            (StoreKind::Postgres, _, Some(address)) => {
                let schema = schema_name(&self.ground.run, self.ground.trial, stage);
                Some(Place::Schema(address.clone(), schema))
            }
            _ => None,
        }
    }

    /// A second hand on the database of a stage that works in other processes; absent for a stage without one.
    pub(in crate::pipeline) fn grip(&self, stage: Stage, kind: StoreKind, meter: &StoreMeter) -> Option<Grip> {
        let slowness = Arc::clone(meter.slowness());
        self.place(stage, kind).map(|place| Grip { place, slowness })
    }

    /// A stage's database; absent where there is no place for one of that kind.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn database(
        &self,
        stage: Stage,
        kind: StoreKind,
        rule: CommitRule,
        meter: &Arc<StoreMeter>,
    ) -> Result<Option<DurableStore>, StoreError> {
        let Some(place) = self.place(stage, kind) else {
            return Ok(None);
        };
        let store = match &place {
            Place::File(path) => {
                let [writer, reader] = [Sqlite::open(path)?, Sqlite::open(path)?];
                DurableStore::start(stage, Box::new(writer), Box::new(reader), rule, Arc::clone(meter))?
            }
            Place::Schema(address, schema) => {
                let mut detours = self.ground.detours.iter();
                let detour = detours.find(|(own, _)| *own == stage);
                let party = Party {
                    address: detour.map_or_else(|| address.clone(), |(_, way)| address.by_way_of(*way)),
                    schema: schema.clone(),
                    meter: Arc::clone(meter),
                    closing: Arc::new(Closing::default()),
                };
                off_the_runtime(|| {
                    let [writer, reader] = [0, 1].map(|index| {
                        let name = format!("{stage}.store");
                        let backoff = Backoff::new(self.ground.recovery, self.ground.seed, &name, index);
                        Postgres::open(party.clone(), backoff)
                    });
                    let store =
                        DurableStore::start(stage, Box::new(writer?), Box::new(reader?), rule, Arc::clone(meter))?;
                    Ok(store.closed_by(Arc::clone(&party.closing)))
                })?
            }
        };
        Ok(Some(store.located_at(place)))
    }
}

/// All steps that a stage's database has; none for a stage without one.
///
/// # Errors
/// When it does not answer.
pub(in crate::pipeline) async fn past_steps(
    stage: Stage,
    settings: &StageSettings,
    site: &StoreSite,
) -> Result<Vec<PastStep>, StoreError> {
    if !settings.store.is_durable() {
        return Ok(Vec::new());
    }
    match Store::open(stage, settings, site, &Arc::default())? {
        Store::Durable(store) => store.steps().await,
        Store::None | Store::Memory(_) => Ok(Vec::new()),
    }
}

/// Does something that must not be done on a thread of a runtime, and waits for it: it takes as long as a few commits.
fn off_the_runtime<T: Send>(work: impl FnOnce() -> Result<T, StoreError> + Send) -> Result<T, StoreError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work);
        let thread = thread.map_err(|error| StoreError::Failed {
            what: "starting a thread for a store",
            why: error.to_string(),
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A stage's memory, by the setting `stage.*.store`.
#[derive(Debug)]
pub enum Store {
    /// None: every delivery is fresh.
    None,
    /// In this process, lost with it.
    Memory(MemoryStore),
    /// In a database.
    Durable(DurableStore),
}

impl Store {
    /// The store of a stage, empty.
    ///
    /// # Errors
    /// When its database cannot be opened.
    pub fn open(
        stage: Stage,
        settings: &StageSettings,
        site: &StoreSite,
        meter: &Arc<StoreMeter>,
    ) -> Result<Self, StoreError> {
        let rule = CommitRule {
            batch: settings.commit_batch as usize,
            flush: settings.commit_flush.0,
            publish: settings.publish,
        };
        match settings.store {
            StoreKind::None => Ok(Store::None),
            StoreKind::Memory => Ok(Store::Memory(MemoryStore::new(settings.publish))),
            kind @ (StoreKind::Sqlite | StoreKind::Postgres) => {
                let database = site.database(stage, kind, rule, meter)?;
                let missing = || StoreError::Missing(format!("no place for a store of the kind {}", kind.name()));
                database.map(Store::Durable).ok_or_else(missing)
            }
        }
    }

    /// What is known of the step (`number`, `event`).
    ///
    /// # Errors
    /// When the database does not answer.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn lookup(&self, number: OrderNumber, event: Event, ledger: &Ledger) -> Result<Known, StoreError> {
        match self {
            Store::None => Ok(Known::Fresh),
            Store::Memory(store) => Ok(store.lookup(number, event, ledger)),
            Store::Durable(store) => store.lookup(number, event).await,
        }
    }

    /// Commits a step; `stands` is called once it is committed, and before its outbox row can be read.
    ///
    /// # Errors
    /// Nothing of the step stands.
    ///
    /// # Cancel safety
    /// The step may be committed, and `stands` called, although nobody waits any more.
    pub async fn commit(
        &self,
        step: Step,
        ledger: &Ledger,
        stands: impl FnOnce() + Send + 'static,
    ) -> Result<Committed, StoreError> {
        match self {
            Store::None => stands(),
            Store::Memory(store) => {
                if !store.applied(step.number, step.event, step.emit, ledger) {
                    return Ok(Committed::Repetition);
                }
                stands();
            }
            Store::Durable(store) => return store.commit(step, Box::new(stands)).await,
        }
        Ok(Committed::Stands)
    }

    /// What the step emitted is out.
    pub fn done(&self, number: OrderNumber, event: Event) {
        match self {
            Store::None => {}
            Store::Memory(store) => store.done(number, event),
            Store::Durable(store) => store.done(number, event),
        }
    }

    /// The database, if there is one.
    pub fn durable(&self) -> Option<&DurableStore> {
        match self {
            Store::Durable(store) => Some(store),
            Store::None | Store::Memory(_) => None,
        }
    }
}
