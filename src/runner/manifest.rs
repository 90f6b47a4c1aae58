//! What a run declares, written down before it is declared: the only list that anything is ever deleted from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stores::Schemas;
use crate::amqp::uri::BrokerUri;
use crate::amqp::{AmqpError, Connector, Incidents};
use crate::broker::management::ManagementError;
use crate::broker::{BrokerError, RunningBroker};
use crate::clock::Clock;
use crate::pipeline::store::StoreError;
use crate::wire::topology::Declared;

/// File name in the run folder.
pub const FILE: &str = "manifest.json";

/// The objects of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The broker, with masked credentials.
    pub broker: String,
    /// The virtual host that the objects are in.
    pub vhost: String,
    /// The run made that virtual host itself, and deletes it whole.
    pub own_vhost: bool,
    /// Objects, by trial.
    pub trials: Vec<Declared>,
    /// Schemas on a database server; absent where no stage keeps its state on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<Schemas>,
}

/// Why a clean-up failed.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// There is no manifest to go by.
    #[error("cannot read the manifest {}: {source}\nhelp: name a run folder, such as results/steady-20260101T000000Z-ab12", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not one.
    #[error("{} is no manifest: {why}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The manifest names another broker.
    #[error("the run used {manifest}, not {given}\nhelp: name the run's own broker with --broker; nothing was touched")]
    OtherBroker {
        /// The manifest's.
        manifest: String,
        /// The one given.
        given: String,
    },
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A deletion failed.
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    /// A schema could not be dropped, or its server not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The virtual host could not be deleted.
    #[error(transparent)]
    Management(#[from] ManagementError),
}

impl Manifest {
    /// Nothing declared yet, in the virtual host of `uri`.
    pub fn new(uri: &BrokerUri, own_vhost: bool) -> Self {
        Manifest {
            broker: uri.to_string(),
            vhost: uri.vhost().to_owned(),
            own_vhost,
            trials: Vec::new(),
            schemas: None,
        }
    }

    /// Reads a run folder's manifest.
    ///
    /// # Errors
    /// [`CleanupError::Read`] or [`CleanupError::Parse`].
    pub fn read(folder: &Path) -> Result<Self, CleanupError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| CleanupError::Read {
            path: path.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|error| CleanupError::Parse {
            path,
            why: error.to_string(),
        })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest holds nothing but strings and flags, which JSON can write")
    }
}

/// Takes everything that `manifest` lists on the broker off it. What is gone already is no error.
///
/// # Errors
/// [`CleanupError`]; a later call may go on.
pub async fn clean_up(manifest: &Manifest, broker: &RunningBroker) -> Result<(), CleanupError> {
    let here = broker.uri().with_vhost(&manifest.vhost);
    if manifest.broker != here.to_string() {
        return Err(CleanupError::OtherBroker {
            manifest: manifest.broker.clone(),
            given: here.to_string(),
        });
    }
    if let (true, Some(management)) = (manifest.own_vhost, broker.management()) {
        return match management.delete_vhost(&manifest.vhost).await {
            Err(ManagementError::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    let connector = Connector::new(&here, Arc::new(Incidents::new(Clock::start()))).over(broker.addresses(), 0);
    let link = connector.connect("clean-up").await?;
    let mut first_error = None;
    for declared in &manifest.trials {
        first_error = first_error.or(declared.delete(&link).await.err());
    }
    connector.incidents().closing();
    link.close().await;
    first_error.map_or(Ok(()), |error| Err(error.into()))
}
