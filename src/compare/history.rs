//! `history.jsonl`: a line for each run, and where its figures changed their level.
//!
//! A line has the medians of each cell; the runs themselves may be deleted. Only runs like the newest (machine, broker, build,
//! method and settings) make one history.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::comparable;
use crate::ledger::Verdict;
use crate::report::figure::Figure;
use crate::report::sweep::{LEVEL, Sweep};
use crate::results::record::RunRecord;
use crate::stats::{self, Change};

/// The file, in the folder of all runs.
pub const FILE: &str = "history.jsonl";
/// Version of a line's layout; lines of another one are passed over and counted.
pub const SCHEMA_VERSION: u32 = 1;
/// The smallest change of level that is reported, as a share of the level before.
const LEAST_CHANGE: f64 = 0.03;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run's id.
    pub run: String,
    /// The workload's name.
    pub workload: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Full hash of the commit.
    pub commit: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// There were uncommitted changes.
    pub dirty: bool,
    /// What a run must share with another to make one history: machine, broker, build, method, settings.
    pub like: String,
    /// The worst verdict.
    pub verdict: Verdict,
    /// The cells, in the order of the run.
    pub cells: Vec<CellEntry>,
}

/// A cell of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellEntry {
    /// Its label; empty if nothing is varied.
    pub label: String,
    /// Its trials.
    pub trials: usize,
    /// The median of each figure, by its name; absent ones are missing.
    pub figures: BTreeMap<String, f64>,
}

impl Entry {
    /// The line of `record`.
    pub fn of(record: &RunRecord) -> Entry {
        let sweep = Sweep::of(record);
        let cells = sweep.cells.iter().map(|cell| {
            let median = |figure: Figure| Some((figure.name().to_owned(), stats::median(&cell.values(figure))?));
            CellEntry {
                label: cell.record.label.clone(),
                trials: cell.trials.len(),
                figures: Figure::ALL.into_iter().filter_map(median).collect(),
            }
        });
        Entry {
            schema_version: SCHEMA_VERSION,
            run: record.id.clone(),
            workload: record.name.clone(),
            started: record.started.clone(),
            commit: record.commit.as_ref().map(|commit| commit.hash.clone()),
            branch: record.commit.as_ref().and_then(|commit| commit.branch.clone()),
            dirty: record.commit.as_ref().is_some_and(|commit| commit.dirty),
            like: comparable::likeness(record),
            verdict: record.outcome.verdict,
            cells: cells.collect(),
        }
    }
}

/// Why the history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read` or `append to`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no entry.
    #[error("line {line} of {} is no entry: {source}\nhelp: delete the line; every other one stands for itself", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Appends the line of `record` to the history in `results`.
///
/// # Errors
/// [`HistoryError::Io`].
pub fn append(results: &Path, record: &RunRecord) -> Result<(), HistoryError> {
    let path = results.join(FILE);
    let failed = |source| HistoryError::Io {
        doing: "append to",
        path: path.clone(),
        source,
    };
    let mut line = serde_json::to_string(&Entry::of(record)).map_err(|error| failed(error.into()))?;
    line.push('\n');
    // One write in append mode, so that runs that end together do not mix their lines.
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(failed)
}

/// All entries of `results`, the oldest first; a torn last line and lines of another layout are passed over.
///
/// # Errors
/// [`HistoryError`]; a damaged line before the last one is named.
pub fn read(results: &Path) -> Result<Vec<Entry>, HistoryError> {
    let path = results.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| HistoryError::Io {
        doing: "read",
        path: path.clone(),
        source,
    })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut entries = Vec::new();
    for (at, line) in whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let failed = |source| HistoryError::Line {
            path: path.clone(),
            line: at + 1,
            source,
        };
        let value: serde_json::Value = serde_json::from_str(line).map_err(failed)?;
        if value.get("schema_version").and_then(serde_json::Value::as_u64) == Some(u64::from(SCHEMA_VERSION)) {
            entries.push(serde_json::from_value::<Entry>(value).map_err(failed)?);
        }
    }
    entries.sort_by(|a, b| (&a.started, &a.run).cmp(&(&b.started, &b.run)));
    Ok(entries)
}

/// How a figure of a cell went over the runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend<'a> {
    /// The runs with their values, the oldest first.
    pub points: Vec<(&'a Entry, f64)>,
    /// Where the level changed; places in `points`.
    pub changes: Vec<Change>,
    /// Runs of the workload that are not like the newest.
    pub left_out: usize,
}

/// The runs of `workload`, and of them those like the newest.
pub fn like_newest<'a>(entries: &'a [Entry], workload: &str) -> (Vec<&'a Entry>, usize) {
    let of: Vec<&Entry> = entries.iter().filter(|entry| entry.workload == workload).collect();
    let like: Vec<&Entry> = of
        .iter()
        .copied()
        .filter(|entry| of.last().is_some_and(|newest| newest.like == entry.like))
        .collect();
    let left_out = of.len() - like.len();
    (like, left_out)
}

/// The trend of `figure` in the cell with this label.
pub fn trend<'a>(entries: &'a [Entry], workload: &str, cell: &str, figure: Figure) -> Trend<'a> {
    let (like, left_out) = like_newest(entries, workload);
    let value = |entry: &'a Entry| {
        let cell = entry.cells.iter().find(|known| known.label == cell)?;
        Some((entry, *cell.figures.get(figure.name())?))
    };
    let points: Vec<(&Entry, f64)> = like.into_iter().filter_map(value).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    Trend {
        changes: stats::changes(&values, LEVEL, LEAST_CHANGE),
        points,
        left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture::record;

    fn entry(n: usize, goodput: f64) -> Entry {
        let mut record = record(&format!("storm-{n:03}"), 3, goodput, 1.0);
        record.started = format!("2026-01-01T00:{n:02}:00Z");
        Entry::of(&record)
    }

    #[test]
    fn a_run_is_a_line_that_is_read_back_and_a_torn_one_is_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let record = record("storm-1", 3, 1.0, 1.0);
        append(dir.path(), &record).expect("written");
        append(dir.path(), &record).expect("appended");
        let mut text = std::fs::read_to_string(dir.path().join(FILE)).expect("there");
        text.push_str("{\"schema_version\":1,\"run\":\"to");
        std::fs::write(dir.path().join(FILE), &text).expect("written");
        assert_eq!(
            read(dir.path()).expect("legal"),
            [Entry::of(&record), Entry::of(&record)]
        );
        std::fs::write(dir.path().join(FILE), format!("damaged\n{text}")).expect("written");
        let error = read(dir.path()).expect_err("damaged").to_string();
        assert!(error.contains("line 1 of") && error.contains("help: "), "{error}");
        assert!(read(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn a_change_of_level_is_found_at_the_run_that_made_it() {
        let entries: Vec<Entry> = (0..20).map(|n| entry(n, if n < 11 { 1.0 } else { 0.85 })).collect();
        let trend = trend(&entries, "storm", "", Figure::Goodput);
        assert_eq!((trend.points.len(), trend.left_out), (20, 0));
        assert_eq!(trend.changes.iter().map(|change| change.at).collect::<Vec<_>>(), [11]);
    }

    #[test]
    fn only_runs_like_the_newest_make_a_history() {
        let mut entries: Vec<Entry> = (0..4).map(|n| entry(n, 1.0)).collect();
        entries[1].like = "another machine".to_owned();
        entries[2].workload = "burst".to_owned();
        let found = trend(&entries, "storm", "", Figure::Goodput);
        assert_eq!((found.points.len(), found.left_out), (2, 1));
        assert!(trend(&entries, "nothing", "", Figure::Goodput).points.is_empty());
    }

    #[test]
    fn another_setting_machine_or_broker_is_not_alike_and_another_seed_is() {
        let base = record("a", 1, 1.0, 1.0);
        let like = |change: &dyn Fn(&mut RunRecord)| {
            let mut other = base.clone();
            change(&mut other);
            Entry::of(&other).like == Entry::of(&base).like
        };
        let set = |record: &mut RunRecord, path: &str| {
            let settings = &mut record.cells[0].settings;
            let setting = settings.iter_mut().find(|setting| setting.path == path);
            setting.expect("a setting").value = "7".to_owned();
        };
        assert!(like(&|_| ()) && like(&|record| set(record, "seed")) && like(&|record| record.id.push('x')));
        assert!(!like(&|record| set(record, "load.rate")) && !like(&|record| record.machine.cores = 9));
        assert!(
            !like(&|record| record.broker.version.push('x')) && !like(&|record| record.tool.build = "debug".to_owned())
        );
    }
}
