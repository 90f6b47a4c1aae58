//! The command line: exit codes, messages, and what a run leaves on disk.

mod common;
mod support;

#[path = "cli/ab.rs"]
mod ab;
#[path = "cli/capacity.rs"]
mod capacity;
#[path = "cli/ci.rs"]
mod ci;
#[path = "cli/compare.rs"]
mod compare;
#[path = "cli/folder.rs"]
mod folder;
#[path = "cli/hlog.rs"]
mod hlog;
#[path = "cli/matrix.rs"]
mod matrix;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/postgres.rs"]
mod postgres;
#[path = "cli/python.rs"]
mod python;
#[path = "cli/schema.rs"]
mod schema;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/verbs.rs"]
mod verbs;

use std::path::{Path, PathBuf};

use support::program::{Said, only_entry, orderstorm};
use tempfile::TempDir;

/// Half a second of load on the embedded broker: every part of a run, and no more.
const SHORT: [&str; 9] = [
    "run",
    "quickstart",
    "--broker",
    "embedded",
    "--set",
    "load.warm_up=0s",
    "--set",
    "load.duration=500ms",
    "--results",
];

/// A short run with more arguments; its output and its folder.
fn short_run(results: &TempDir, more: &[&str]) -> (Said, PathBuf) {
    let mut command = orderstorm(&SHORT);
    command.arg(results.path()).args(more);
    let said = support::program::finish(&mut command);
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    let folder = only_entry(results.path());
    (said, folder)
}

fn results() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Writes a workload into `dir`; its path.
fn workload(dir: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).expect("a writable place");
    path
}
