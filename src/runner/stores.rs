//! The database server of a run's stores, where a stage keeps its state on one: started or found before the first trial.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::pipeline::store::postgres::{PostgresAddress, PostgresError, PostgresServer, drop_schemas, schema_name};
use crate::pipeline::store::{StoreError, StoreGround};
use crate::plan::Plan;
use crate::results::record::DatabaseRecord;
use crate::workload::Workload;
use crate::workload::model::StoreKind;

/// What a run puts on a database server, written down before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schemas {
    /// The server, without its password.
    pub server: String,
    /// It is the run's own, and gone with it.
    pub managed: bool,
    /// The schemas, in the order of the trials.
    pub names: Vec<String>,
}

/// The server, if the plan needs one.
#[derive(Debug, Clone, Default)]
pub struct Stores(Option<Arc<PostgresServer>>);

impl Stores {
    /// Whether a stage of the plan keeps its state on a server.
    pub fn are_wanted(plan: &Plan) -> bool {
        plan.cells.iter().any(|cell| uses(&cell.workload))
    }

    /// Takes the server at `given`, else starts a throw-away cluster; nothing where the plan needs none.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// What is being started is ended as soon as it stands.
    pub async fn start(plan: &Plan, given: Option<PostgresAddress>, allow_remote: bool) -> Result<Self, PostgresError> {
        if !Self::are_wanted(plan) {
            return Ok(Stores(None));
        }
        let starting = tokio::task::spawn_blocking(move || PostgresServer::start(given, allow_remote));
        let server = starting
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        Ok(Stores(Some(Arc::new(server?))))
    }

    /// Where the server is; absent without one.
    pub fn address(&self) -> Option<&PostgresAddress> {
        self.0.as_ref().map(|server| server.address())
    }

    /// What the record says of it.
    pub fn record(&self) -> Option<DatabaseRecord> {
        self.0.as_ref().map(|server| DatabaseRecord {
            kind: if server.is_managed() { "managed" } else { "external" }.to_owned(),
            product: "PostgreSQL".to_owned(),
            version: server.version().to_owned(),
            address: server.address().to_string(),
            fsync: server.fsync(),
        })
    }

    /// Where the databases of a trial may be.
    pub fn ground(&self, workload: &Workload, run: &str, trial: u32, seed: u64) -> StoreGround {
        StoreGround {
            postgres: self.address().cloned(),
            detours: Vec::new(),
            run: run.to_owned(),
            trial,
            recovery: workload.recovery,
            seed,
        }
    }

    /// An empty list for the manifest; absent without a server.
    pub fn schemas(&self) -> Option<Schemas> {
        self.0.as_ref().map(|server| Schemas {
            server: server.address().to_string(),
            managed: server.is_managed(),
            names: Vec::new(),
        })
    }

    /// Drops schemas of the run.
    ///
    /// # Errors
    /// As [`drop_schemas`].
    pub async fn drop(&self, names: Vec<String>) -> Result<(), StoreError> {
        match &self.0 {
            Some(server) => dropped(server.address().clone(), names).await,
            None => Ok(()),
        }
    }

    /// Ends the run's own server.
    pub async fn stop(self) {
        // A panic in there has dropped, and thereby ended, the server.
        let _ = tokio::task::spawn_blocking(move || std::mem::drop(self)).await;
    }
}

impl Schemas {
    /// Drops all of them from the server at `address`; of the run's own server nothing is left.
    ///
    /// # Errors
    /// [`StoreError`]; also when `address` is another server.
    pub async fn clean_up(&self, address: PostgresAddress) -> Result<(), StoreError> {
        if self.managed {
            return Ok(());
        }
        let given = address.to_string();
        if given != self.server {
            return Err(StoreError::Failed {
                what: "dropping a run's schemas",
                why: format!(
                    "the run used {}, not {given}\nhelp: name the run's own server in ORDERSTORM_POSTGRES_URL; nothing was touched",
                    self.server
                ),
            });
        }
        dropped(address, self.names.clone()).await
    }
}

/// The schemas of a trial.
pub(super) fn schemas_of(workload: &Workload, run: &str, trial: u32) -> Vec<String> {
    let stages = workload.pipeline.stages().iter().copied();
    stages
        .filter(|stage| workload.stage(*stage).store == StoreKind::Postgres)
        .map(|stage| schema_name(run, trial, stage))
        .collect()
}

fn uses(workload: &Workload) -> bool {
    workload.stages.iter().any(|stage| stage.store == StoreKind::Postgres)
}

async fn dropped(address: PostgresAddress, names: Vec<String>) -> Result<(), StoreError> {
    let dropping = tokio::task::spawn_blocking(move || drop_schemas(&address, &names));
    dropping
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
