//! Two programs, or one under two settings, whose trials take turns on one broker.
//!
//! Each trial is a run of the program itself, as a child, in a folder of its own: so any build that has `run` can be a side.
//! Decides nothing: [`crate::compare::ab`] does, from the folders.

mod build;
mod child;

use std::path::{Path, PathBuf};

pub use build::{BuildError, Builds};
pub use child::{ChildError, REPORT_VARIABLE};

use super::run::{Interrupt, broker_record, random_id};
use crate::broker::{BrokerChoice, BrokerError, BrokerInfo, RunningBroker, StartOptions};
use crate::clock;
use crate::plan::Plan;
use crate::results::ab::{self, AbRecord, PairRecord, SCHEMA_VERSION, SideRecord, Which};
use crate::results::{FolderError, RunFolder, RunRecord};
use crate::rng;
use crate::workload::model::Faults;
use child::{Child, Ended};

/// What to compare.
#[derive(Debug)]
pub struct AbRequest {
    /// The plan of the base: its name, seed and cells.
    pub plan: Plan,
    /// The workload as it was named.
    pub workload: PathBuf,
    /// The broker.
    pub choice: BrokerChoice,
    /// How to start it.
    pub start: StartOptions,
    /// Where result folders go.
    pub results: PathBuf,
    /// The command that repeats it, without secrets.
    pub command: String,
    /// The base.
    pub base: SideRecord,
    /// The new side.
    pub new: SideRecord,
    /// Pairs, 1 or more.
    pub pairs: u32,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum AbError {
    /// A fault takes a broker of the run's own.
    #[error(
        "{fault} cannot be part of an ab on this broker: both programs share it, and neither may stop it or set its limits\nhelp: leave the fault out, or make two runs with --broker managed and `orderstorm compare` them"
    )]
    Fault {
        /// The fault's section.
        fault: &'static str,
    },
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A side made no run.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The record cannot be written.
    #[error("cannot write what the ab was made of: {0}")]
    Json(#[from] serde_json::Error),
}

impl AbError {
    /// Whether the command line or the workload is at fault.
    pub fn is_usage(&self) -> bool {
        match self {
            AbError::Fault { .. } => true,
            AbError::Broker(error) => error.is_usage(),
            AbError::Child(error) => error.is_usage(),
            AbError::Folder(_) | AbError::Json(_) => false,
        }
    }
}

/// What an `ab` made.
#[derive(Debug)]
pub struct AbFinished {
    /// What it was made of.
    pub record: AbRecord,
    /// Its folder, still under its temporary name: what is made of the runs goes there too.
    pub folder: RunFolder,
    /// Why not every pair was measured; absent after all of them, or after Ctrl-C.
    pub failure: Option<AbError>,
}

/// What the caller is told while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// The broker that all trials share.
    Broker(&'a BrokerInfo),
    /// A trial has ended.
    Trial {
        /// From 1.
        pair: u32,
        /// Whose it was.
        which: Which,
        /// What it measured.
        run: &'a RunRecord,
    },
}

/// Runs the pairs. What was measured is kept whatever happens.
///
/// # Errors
/// [`AbError`] when not even the first pair was measured.
pub async fn ab(
    request: AbRequest,
    interrupt: &Interrupt,
    mut tell: impl FnMut(Told<'_>),
) -> Result<AbFinished, AbError> {
    if request.choice != BrokerChoice::Embedded {
        for cell in &request.plan.cells {
            check_faults(&cell.workload.faults)?;
            if cell.workload.broker.nodes > 1 {
                return Err(AbError::Fault {
                    fault: "a cluster (broker.nodes)",
                });
            }
        }
    }
    let started = clock::wall_time();
    let id = format!("ab-{}-{}-{}", request.plan.name, clock::compact(started), random_id());
    let folder = RunFolder::create(&request.results, &id)?;
    let mut record = AbRecord {
        schema_version: SCHEMA_VERSION,
        id,
        command: request.command.clone(),
        workload: request.plan.name.clone(),
        seed: request.plan.trials[0].seed,
        started: clock::rfc3339(started),
        finished: clock::rfc3339(started),
        broker: None,
        base: request.base.clone(),
        new: request.new.clone(),
        pairs_planned: request.pairs,
        pairs: Vec::new(),
        ended_because: None,
    };
    let failure = pairs(&request, &folder, &mut record, interrupt, &mut tell).await.err();
    if record.pairs.is_empty() {
        // Nothing was measured: what stands in the folder explains nothing that the error does not.
        let _ = std::fs::remove_dir_all(folder.path());
        return Err(failure.unwrap_or(ChildError::Interrupted.into()));
    }
    Ok(AbFinished {
        record,
        folder,
        failure,
    })
}

/// A broker that is shared must come out of each trial as it went in.
fn check_faults(faults: &Faults) -> Result<(), AbError> {
    let found = [
        (faults.broker_pause.is_some(), "fault.broker_pause"),
        (faults.memory_alarm.is_some(), "fault.memory_alarm"),
        (faults.disk_alarm.is_some(), "fault.disk_alarm"),
        (
            faults.of_broker().is_some(),
            "a fault that strikes the broker or a node of it",
        ),
    ];
    match found.into_iter().find(|(there, _)| *there) {
        Some((_, fault)) => Err(AbError::Fault { fault }),
        None => Ok(()),
    }
}

/// Fills `record` pair by pair.
async fn pairs(
    request: &AbRequest,
    folder: &RunFolder,
    record: &mut AbRecord,
    interrupt: &Interrupt,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), AbError> {
    // A file that is edited meanwhile must not become two experiments. One that replays a file beside it has to stay where it is.
    let workload = if request.plan.folder.is_some() {
        request.workload.clone()
    } else {
        let name = format!("{}.toml", request.plan.name);
        folder.write(&name, request.plan.text.as_bytes())?;
        folder.path().join(name)
    };
    let broker = match request.choice {
        BrokerChoice::Embedded => None,
        _ => Some(shared_broker(request, interrupt).await?),
    };
    if let Some(broker) = &broker {
        tell(Told::Broker(broker.info()));
        record.broker = Some(broker_record(broker.info()));
    }
    let child = Child {
        workload: &workload,
        named: &request.workload,
        broker: broker.as_ref(),
        start: &request.start,
    };
    let mut outcome = Ok(());
    for (pair, first) in (1..).zip(order(record.seed, request.pairs)) {
        let done = one_pair(record, &child, folder.path(), pair, first, interrupt, tell).await;
        match done {
            Ok(Some(done)) => record.pairs.push(done),
            Ok(None) => record.ended_because = Some("interrupted".to_owned()),
            Err(error) => {
                record.ended_because = Some(error.to_string());
                outcome = Err(error);
            }
        }
        // Whatever happens to this process now, the pairs so far are there.
        outcome = outcome.and(write(folder, record));
        if outcome.is_err() || record.ended_because.is_some() {
            break;
        }
    }
    let stopped = match broker {
        Some(broker) => broker.stop().await,
        None => Ok(()),
    };
    outcome.and(stopped.map_err(AbError::from))
}

async fn shared_broker(request: &AbRequest, interrupt: &Interrupt) -> Result<RunningBroker, AbError> {
    tokio::select! {
        broker = RunningBroker::start(&request.choice, &request.start) => Ok(broker?),
        () = interrupt.0.cancelled() => Err(ChildError::Interrupted.into()),
    }
}

/// The two runs of a pair; nothing if somebody stopped them.
async fn one_pair(
    record: &AbRecord,
    child: &Child<'_>,
    folder: &Path,
    pair: u32,
    first: Which,
    interrupt: &Interrupt,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<Option<PairRecord>, AbError> {
    // Workload files have no greater ones.
    let seed = record.seed.wrapping_add(u64::from(pair) - 1) & i64::MAX as u64;
    let mut folders = [(first, PathBuf::new()), (first.other(), PathBuf::new())];
    for (which, at) in &mut folders {
        let side = record.side(*which);
        match child.run(side, *which, seed, folder, interrupt).await? {
            Ended::Whole { folder, run } => {
                tell(Told::Trial {
                    pair,
                    which: *which,
                    run: &run,
                });
                *at = folder;
            }
            Ended::Interrupted => return Ok(None),
        }
    }
    let [(_, one), (_, other)] = folders;
    let (base, new) = match first {
        Which::Base => (one, other),
        Which::New => (other, one),
    };
    Ok(Some(PairRecord { pair, first, base, new }))
}

fn write(folder: &RunFolder, record: &mut AbRecord) -> Result<(), AbError> {
    record.finished = clock::rfc3339(clock::wall_time());
    Ok(folder.write(ab::FILE, &serde_json::to_vec_pretty(record)?)?)
}

/// Who goes first in each pair: of two pairs that follow one another, in one the base and in the other the new side. What drifts
/// steadily falls on both alike, and the seed draws which of the two it is, so that no rhythm of the machine's keeps step.
fn order(seed: u64, pairs: u32) -> Vec<Which> {
    let block = |pair: u32| rng::unit(seed, "order of sides", u64::from(pair / 2)) < 0.5;
    (0..pairs)
        .map(|pair| match block(pair) != (pair % 2 == 1) {
            true => Which::Base,
            false => Which::New,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_side_goes_first_in_one_of_two_pairs_and_the_seed_says_in_which(seed: u64, pairs in 1_u32..60) {
            let order = order(seed, pairs);
            prop_assert_eq!(order.len(), pairs as usize);
            for two in order.chunks_exact(2) {
                prop_assert_eq!(two[0], two[1].other());
            }
            prop_assert_eq!(&order, &super::order(seed, pairs));
        }
    }

    #[test]
    fn another_seed_draws_another_order() {
        let orders: Vec<_> = (0..8).map(|seed| order(seed, 20)).collect();
        assert!(orders.iter().any(|other| *other != orders[0]));
        let rhythm = (0..10).map(|block| orders[0][block * 2]).collect::<Vec<_>>();
        assert!(
            rhythm.contains(&Which::Base) && rhythm.contains(&Which::New),
            "{rhythm:?}"
        );
    }
}
