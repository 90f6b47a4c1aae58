//! The PostgreSQL server of a run: a given one, or a throw-away cluster.

use std::fmt;

use super::link::{Link, Trouble};
use super::{Cluster, PostgresAddress, PostgresError};

/// Whose server it is.
#[derive(Debug)]
pub enum ServerKind {
    /// A user's.
    External,
    /// The run's own.
    Managed(Cluster),
}

/// A server that answers.
#[derive(Debug)]
pub struct PostgresServer {
    kind: ServerKind,
    address: PostgresAddress,
    version: String,
    fsync: bool,
}

impl PostgresServer {
    /// Takes the server at `given`, else starts a cluster. Blocks; not for threads of a runtime.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing is left running.
    pub fn start(given: Option<PostgresAddress>, allow_remote: bool) -> Result<Self, PostgresError> {
        let (kind, address) = match given {
            Some(address) => (ServerKind::External, address),
            None => {
                let cluster = Cluster::start()?;
                let address = cluster.address().clone();
                (ServerKind::Managed(cluster), address)
            }
        };
        if !allow_remote && !address.is_local() {
            return Err(PostgresError::Remote {
                address: address.to_string(),
            });
        }
        let (version, fsync) = ask(&address)?;
        Ok(PostgresServer {
            kind,
            address,
            version,
            fsync,
        })
    }

    /// Where it is, with the login.
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// Whether the run started it.
    pub fn is_managed(&self) -> bool {
        matches!(self.kind, ServerKind::Managed(_))
    }

    /// As the server says, such as `15.14`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a commit waits for the disk.
    pub fn fsync(&self) -> bool {
        self.fsync
    }
}

impl fmt::Display for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_managed() {
            "managed, thrown away at the end"
        } else {
            "external"
        };
        let disk = if self.fsync {
            ""
        } else {
            ", fsync off: commits do not wait for the disk"
        };
        write!(f, "PostgreSQL {} ({whose}{disk}), {}", self.version, self.address)
    }
}

/// Version and `fsync`.
fn ask(address: &PostgresAddress) -> Result<(String, bool), PostgresError> {
    const WHAT: &str = "asking the server for its version";
    let query = "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('fsync')::boolean";
    let answered = Link::open(address).and_then(|mut link| link.rows(WHAT, query, &[]));
    let rows = answered.map_err(|trouble| PostgresError::Unreachable {
        address: address.to_string(),
        why: match trouble {
            Trouble::Lost(why) => why,
            Trouble::Refused(error) => error.to_string(),
        },
    })?;
    Ok((rows[0].get(0), rows[0].get(1)))
}
