//! Where a stage keeps its state and what it has done: nowhere, in memory, or in a database.
//!
//! One call, [`Store::commit`], holds the effect of a step, the key by which a repetition is known, and, with an outbox, the
//! message that is to go out: all of it or nothing. What waits for the effect to stand (books, ledger) is handed in, and
//! is done after the commit and before anybody can see its consequences.

mod database;
mod durable;
mod memory;
mod meter;
mod scratch;
mod sqlite;

#[cfg(test)]
mod suite;

pub use database::{OutboxRow, PastStep, Step, StoreError};
pub use durable::DurableStore;
pub use memory::MemoryStore;
pub use meter::StoreMeter;
pub use scratch::{Scratch, remove_all as remove_all_files};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use database::Database as _;
use sqlite::Sqlite;

use crate::events::{Event, Stage};
use crate::ledger::Ledger;
use crate::orders::OrderNumber;
use crate::workload::model::{Publishing, StageSettings, StoreKind};

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

/// Where the databases of a trial are.
#[derive(Debug)]
pub struct StoreSite {
    folder: Option<Folder>,
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
    pub fn prepare(stages: &[StageSettings]) -> Result<Self, StoreError> {
        let files = stages.iter().any(|settings| settings.store == StoreKind::Sqlite);
        let own = files.then(Scratch::new).transpose()?;
        Ok(StoreSite {
            folder: own.map(Folder::Own),
        })
    }

    /// That of another process, as its [`StoreSite::path`] says.
    pub fn of_another(path: Option<PathBuf>) -> Self {
        StoreSite {
            folder: path.map(Folder::Another),
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
}

/// The file of a stage in the folder of its trial.
fn file_of(stage: Stage, folder: &Path) -> PathBuf {
    folder.join(format!("{stage}.sqlite"))
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
    let (StoreKind::Sqlite, Some(folder)) = (settings.store, site.path()) else {
        return Ok(Vec::new());
    };
    let file = file_of(stage, folder);
    let reading = tokio::task::spawn_blocking(move || Sqlite::open(&file)?.steps());
    reading.await.map_err(|_| StoreError::Closed)?
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
        match (settings.store, site.path()) {
            (StoreKind::None, _) => Ok(Store::None),
            (StoreKind::Memory, _) => Ok(Store::Memory(MemoryStore::new(settings.publish))),
            (StoreKind::Sqlite, Some(folder)) => {
                let path = file_of(stage, folder);
                let [writer, reader] = [Sqlite::open(&path)?, Sqlite::open(&path)?];
                DurableStore::start(stage, Box::new(writer), Box::new(reader), rule, Arc::clone(meter))
                    .map(Store::Durable)
            }
            (kind, _) => Err(StoreError::Missing(format!(
                "no place for a store of the kind {}",
                kind.name()
            ))),
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
