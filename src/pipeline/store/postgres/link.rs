//! One connection to PostgreSQL as blocking calls, each with an end in time.
//!
//! The runtime of a link is its own and runs only while a call waits. So a link lives on a thread of its own: on a thread of
//! another runtime its calls, and its end, would panic.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::PostgresAddress;
use crate::pipeline::store::StoreError;

/// Longest wait for one answer; beyond it the connection counts as lost.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is gone, or does not answer.
    Lost(String),
    /// The server refused; the connection stands.
    Refused(StoreError),
}

/// The connection, with the statements that it has prepared.
pub(super) struct Link {
    // Dropped before the runtime that its socket belongs to.
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    runtime: Runtime,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// [`Trouble::Refused`] for a login that is refused; what may pass is [`Trouble::Lost`].
    pub(super) fn open(address: &PostgresAddress) -> Result<Self, Trouble> {
        const WHAT: &str = "connecting to PostgreSQL";
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::Lost(error.to_string()))?;
        let connecting = address.config().connect(NoTls);
        let connected = runtime.block_on(async { tokio::time::timeout(ANSWER_PATIENCE, connecting).await });
        let (client, connection) = connected
            .map_err(|_| silent())?
            .map_err(|error| explain(WHAT, &error))?;
        // Its end is seen by the call that it fails.
        runtime.spawn(async move {
            let _ = connection.await;
        });
        Ok(Link {
            client,
            prepared: HashMap::new(),
            runtime,
        })
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn batch(&self, what: &'static str, sql: &str) -> Result<(), Trouble> {
        self.answer(what, self.client.batch_execute(sql))
    }

    /// Runs a statement that returns rows; it is prepared once.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn rows(
        &mut self,
        what: &'static str,
        sql: &'static str,
        with: Params<'_>,
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(what, sql)?;
        self.answer(what, self.client.query(&statement, with))
    }

    /// Runs a statement that changes rows, and says how many; it is prepared once.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn change(&mut self, what: &'static str, sql: &'static str, with: Params<'_>) -> Result<u64, Trouble> {
        let statement = self.prepare(what, sql)?;
        self.answer(what, self.client.execute(&statement, with))
    }

    fn prepare(&mut self, what: &'static str, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.answer(what, self.client.prepare(sql))?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    fn answer<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(ANSWER_PATIENCE, call).await });
        answered.map_err(|_| silent())?.map_err(|error| explain(what, &error))
    }
}

fn silent() -> Trouble {
    Trouble::Lost(format!("no answer for {} s", ANSWER_PATIENCE.as_secs()))
}

fn explain(what: &'static str, error: &tokio_postgres::Error) -> Trouble {
    let Some(said) = error.as_db_error() else {
        return Trouble::Lost(with_cause(error));
    };
    let code = said.code();
    let refused = |error| Trouble::Refused(error);
    match code {
        &SqlState::LOCK_NOT_AVAILABLE => refused(StoreError::Locked { what }),
        &SqlState::DISK_FULL => refused(StoreError::Full { what }),
        // Classes of SQLSTATE: 08 connection, 57P operator intervention (shutdown, crash, start-up), 53300 no slot left.
        code if code.code().starts_with("08") || code.code().starts_with("57P") || code.code() == "53300" => {
            Trouble::Lost(said.message().to_owned())
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => refused(StoreError::Failed {
            what,
            why: format!(
                "{}\nhelp: let the user make a schema (GRANT CREATE ON DATABASE … TO …), or name another in {}",
                said.message(),
                super::URL_VARIABLE
            ),
        }),
        _ => refused(StoreError::Failed {
            what,
            why: said.message().to_owned(),
        }),
    }
}

/// An error with what caused it: `error connecting to server` alone says nothing.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
