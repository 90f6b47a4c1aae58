//! The JSON Schema, applied by a validator that is not ours: the Python package jsonschema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::python::python_with;
use crate::support::program::say;
use crate::{results, text, workload};

const PACKAGE: &str = "jsonschema==4.26.0";

/// How many complaints the validator has about each file.
fn complaints(schema: &Path, files: &[PathBuf]) -> BTreeMap<PathBuf, u64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/schema.py");
    let output = Command::new(python_with(PACKAGE, "jsonschema"))
        .arg(script)
        .arg(schema)
        .args(files)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[test]
#[ignore = "downloads a package from PyPI"]
fn another_validator_accepts_every_shipped_workload_and_refuses_mistakes() {
    let dir = results();
    let schema = dir.path().join("schema.json");
    std::fs::write(&schema, &say(&["schema"]).says(&[]).out).expect("written");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    let entries = std::fs::read_dir(folder).expect("the workloads");
    let shipped: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(shipped.len() >= 20, "{shipped:?}");
    let found = complaints(&schema, &shipped);
    assert!(
        found.len() == shipped.len() && found.values().all(|n| *n == 0),
        "{found:?}"
    );
    let mistakes = [
        "[load]\nrte = \"5/s\"\n",
        "[load]\nrate = 5\n",
        "[stage.payment]\nprefetch = -1\n",
        "[stage.payment]\nstore = \"disk\"\n",
        "[[faults]]\nstage = \"payment\"\n",
    ];
    let files: Vec<PathBuf> = mistakes
        .iter()
        .enumerate()
        .map(|(at, mistake)| workload(&dir, &format!("{at}.toml"), mistake))
        .collect();
    for file in &files {
        say(&["check", text(file)]).fails(2, &[]);
    }
    let found = complaints(&schema, &files);
    assert!(
        found.len() == mistakes.len() && found.values().all(|n| *n > 0),
        "{found:?}"
    );
}
