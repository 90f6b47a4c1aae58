//! Going on with a run that was left before its last trial.
//!
//! Reads what stands in the folder and decides whether it may be gone on with; touches nothing.

use std::path::{Path, PathBuf};

use super::manifest::{CleanupError, Manifest};
use super::provenance;
use super::run::tool;
use crate::broker::BrokerInfo;
use crate::plan::Plan;
use crate::results::RunRecord;
use crate::results::record::{self, METHOD_VERSION, RecordError, TrialRecord};

/// A run that was left.
#[derive(Debug)]
pub struct Resume {
    /// Its folder.
    pub folder: PathBuf,
    /// What it measured.
    pub record: RunRecord,
    /// Its workload file's text.
    pub text: String,
    /// What its last session put on the broker.
    pub manifest: Option<Manifest>,
}

/// Why a run cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// No record.
    #[error("cannot go on with {}: {source}\nhelp: a run that was ended before its broker was found has nothing to go on with; start it anew", folder.display())]
    Record {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// No workload, or no manifest that can be read.
    #[error("cannot go on with {}: {why}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// Nothing to do.
    #[error("{} is whole: all {trials} trials have run\nhelp: `orderstorm report` makes its tables, charts and page again", folder.display())]
    Whole {
        /// The folder.
        folder: PathBuf,
        /// Its trials.
        trials: u32,
    },
    /// Trials of the two sessions could not be compared.
    #[error("cannot go on with {}: {what} is not what it was: then {then}, now {now}\nhelp: {help}", folder.display())]
    Differs {
        /// The folder.
        folder: PathBuf,
        /// What.
        what: &'static str,
        /// In the record.
        then: String,
        /// Here.
        now: String,
        /// What to do.
        help: &'static str,
    },
}

impl Resume {
    /// Reads a run folder, partial or whole.
    ///
    /// # Errors
    /// [`ResumeError`] when it cannot be read, or every trial has run.
    pub fn read(folder: &Path) -> Result<Self, ResumeError> {
        let record = record::read(folder).map_err(|source| ResumeError::Record {
            folder: folder.to_owned(),
            source,
        })?;
        let failed = |why: String| ResumeError::Folder {
            folder: folder.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(folder.join("workload.toml"))
            .map_err(|error| failed(format!("its workload.toml cannot be read: {error}")))?;
        let manifest = match Manifest::read(folder) {
            Ok(manifest) => Some(manifest),
            Err(CleanupError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error.to_string())),
        };
        let resume = Resume {
            folder: folder.to_owned(),
            record,
            text,
            manifest,
        };
        let trials = resume.record.progress.trials_planned;
        if resume.finished().count() as u32 == trials {
            let folder = folder.to_owned();
            return Err(ResumeError::Whole { folder, trials });
        }
        Ok(resume)
    }

    /// The trials whose figures stay. One that was cut short is run again.
    pub fn finished(&self) -> impl Iterator<Item = &TrialRecord> {
        self.record
            .trials
            .iter()
            .filter(|trial| !trial.interrupted && trial.aborted.is_none())
    }

    /// Whether `plan` is the plan of the run, by this program on this machine.
    ///
    /// # Errors
    /// [`ResumeError::Differs`].
    pub fn fits_plan(&self, plan: &Plan) -> Result<(), ResumeError> {
        let record = &self.record;
        let tool = tool(plan);
        let words = |tool: &record::Tool| format!("{} ({} build, {})", tool.version, tool.build, tool.client);
        let again = "start the run anew, or go on with the program that began it";
        self.same("the program", words(&record.tool), words(&tool), again)?;
        let method = |version: u32| version.to_string();
        self.same(
            "the version of the method",
            method(record.method_version),
            method(METHOD_VERSION),
            again,
        )?;
        let machine = provenance::machine();
        let words = |machine: &record::Machine| format!("{}, {} cores", machine.cpu, machine.cores);
        let here = "trials of two machines cannot be compared; start the run anew";
        self.same("the machine", words(&record.machine), words(&machine), here)?;
        let help = "give the workload and the --set of the run, or only --resume FOLDER";
        if self.text != plan.text {
            return Err(self.differs("the workload's text", "that of workload.toml", "another", help));
        }
        let overrides = |words: &[String]| {
            if words.is_empty() {
                "none".to_owned()
            } else {
                words.join(", ")
            }
        };
        self.same(
            "--set",
            overrides(&record.progress.overrides),
            overrides(&plan.overrides),
            help,
        )?;
        let trials = |n: usize| n.to_string();
        let help = "the program reads the workload otherwise than the one that began the run; start the run anew";
        // A search plans its next trial when the one before has answered.
        if record.capacity.is_none() {
            self.same(
                "the number of trials",
                trials(record.progress.trials_planned as usize),
                trials(plan.trials.len()),
                help,
            )?;
        }
        self.same(
            "the number of cells",
            trials(record.cells.len()),
            trials(plan.cells.len()),
            help,
        )?;
        for (then, now) in record.cells.iter().zip(&plan.cells) {
            self.same(
                "what load.replay names",
                then.workload.load.arrival.fingerprints(),
                now.workload.load.arrival.fingerprints(),
                "the file has changed since the run began; bring it back, or start the run anew",
            )?;
            let values = |path: &str, value: &str| format!("{path} = {value}");
            let then: Vec<String> = then
                .settings
                .iter()
                .map(|setting| values(&setting.path, &setting.value))
                .collect();
            let now: Vec<String> = now
                .settings
                .iter()
                .map(|setting| values(&setting.path, &setting.value))
                .collect();
            let differing = then.iter().zip(&now).find(|(then, now)| then != now);
            if let Some((then, now)) = differing {
                return Err(self.differs("a setting", then, now, help));
            }
            self.same("the number of settings", trials(then.len()), trials(now.len()), help)?;
        }
        for trial in &record.trials {
            let planned = plan.trials.get(trial.trial as usize - 1);
            let words = |cell: usize, seed: u64| format!("cell {cell} with seed {seed}");
            let now = planned.map_or("nothing".to_owned(), |planned| words(planned.cell, planned.seed));
            self.same("the order of trials", words(trial.cell as usize, trial.seed), now, help)?;
        }
        Ok(())
    }

    /// Whether `broker` is the kind of broker that the run began with.
    ///
    /// # Errors
    /// [`ResumeError::Differs`].
    pub fn fits_broker(&self, broker: &BrokerInfo) -> Result<(), ResumeError> {
        let help = "name the run's own broker with --broker; nothing was touched";
        let then = &self.record.broker;
        self.same("the kind of broker", then.kind.clone(), broker.kind.to_owned(), help)?;
        let words = |product: &str, version: &str| format!("{product} {version}");
        self.same(
            "the broker",
            words(&then.product, &then.version),
            words(&broker.product, &broker.version),
            help,
        )?;
        // A node of the run's own has another address each time.
        if then.kind == "external" {
            self.same(
                "the broker's address",
                then.address.clone(),
                broker.address.clone(),
                help,
            )?;
        }
        Ok(())
    }

    fn same(&self, what: &'static str, then: String, now: String, help: &'static str) -> Result<(), ResumeError> {
        if then == now {
            Ok(())
        } else {
            Err(self.differs(what, &then, &now, help))
        }
    }

    fn differs(&self, what: &'static str, then: &str, now: &str, help: &'static str) -> ResumeError {
        ResumeError::Differs {
            folder: self.folder.clone(),
            what,
            then: then.to_owned(),
            now: now.to_owned(),
            help,
        }
    }
}
