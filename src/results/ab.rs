//! `ab.json`: what an `ab` was made of, schema-versioned. Its runs lie beside it, each in a folder of its own.
//!
//! Holds no figures: those are in the runs, from which the comparison can be made again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{BrokerRecord, RecordError, read_version};

/// The file.
pub const FILE: &str = "ab.json";
/// Version of this layout; a reader refuses what it does not know.
pub const SCHEMA_VERSION: u32 = 1;

/// Two programs, or one under two settings, whose trials took turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AbRecord {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The folder's name: `ab-<workload>-<UTC time>-<short id>`.
    pub id: String,
    /// The command that repeats it, without secrets.
    pub command: String,
    /// Name of the experiment.
    pub workload: String,
    /// Seed of the first pair; each further one has the next. It draws the order of the two inside each pair, too.
    pub seed: u64,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub finished: String,
    /// The broker that all trials shared; absent for the embedded one, of which each program has its own.
    pub broker: Option<BrokerRecord>,
    /// The one that is compared with.
    pub base: SideRecord,
    /// The one that is judged.
    pub new: SideRecord,
    /// Pairs that were asked for.
    pub pairs_planned: u32,
    /// The pairs that were measured whole, in the order of running.
    pub pairs: Vec<PairRecord>,
    /// Why pairs are missing; absent if none is.
    pub ended_because: Option<String>,
}

/// A side of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRecord {
    /// As it was named on the command line.
    pub given: String,
    /// The program that ran.
    pub program: PathBuf,
    /// Full hash of the commit that it was built of; absent if a program was given.
    pub commit: Option<String>,
    /// What was set for both sides, and then for this one alone.
    pub set: Vec<String>,
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The one that is compared with.
    Base,
    /// The one that is judged.
    New,
}

impl Which {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Which::Base => "base",
            Which::New => "new",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Which {
        match self {
            Which::Base => Which::New,
            Which::New => Which::Base,
        }
    }
}

/// A pair of runs with one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRecord {
    /// From 1.
    pub pair: u32,
    /// Which side ran first.
    pub first: Which,
    /// Folder of the base's run, from the folder of the file.
    pub base: PathBuf,
    /// Folder of the new side's.
    pub new: PathBuf,
}

impl AbRecord {
    /// A side.
    pub fn side(&self, which: Which) -> &SideRecord {
        match which {
            Which::Base => &self.base,
            Which::New => &self.new,
        }
    }

    /// Whether both sides are the same program with the same settings.
    pub fn is_control(&self) -> bool {
        (&self.base.program, &self.base.set) == (&self.new.program, &self.new.set)
    }
}

/// Reads the record of an `ab` folder.
///
/// # Errors
/// [`RecordError`]; another layout version is refused before its fields are looked at.
pub fn read(folder: &Path) -> Result<AbRecord, RecordError> {
    read_version(folder.join(FILE), SCHEMA_VERSION)
}
