//! The workflow of docs/CI.md: what it calls is there, and does what the document says.

use std::path::Path;
use std::process::Command;

use crate::results;
use crate::support::program::{Said, finish};

const WORKFLOW: &str = include_str!("../../.github/workflows/performance.yml");

/// The commands of the workflow's steps.
fn commands() -> Vec<&'static str> {
    let steps = WORKFLOW.lines().filter_map(|line| line.trim().strip_prefix("- run: "));
    steps
        .map(|command| command.split(" #").next().unwrap_or_default().trim())
        .collect()
}

/// Runs a step of the workflow here: the branch is a commit there, a program here, and the broker the embedded one.
fn here(command: &str, out: &Path, new_arguments: &[(&str, &str)]) -> Said {
    let program = env!("CARGO_BIN_EXE_orderstorm");
    let command = command
        .replace("origin/${{ github.base_ref }}", program)
        .replace(" HEAD", &format!(" '{program}'"));
    assert!(!command.contains("${{"), "{command}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for variable in ["ORDERSTORM_BROKER", "AMQP_URL", "BASELINE", "WORKLOAD"] {
        shell.env_remove(variable);
    }
    shell
        .env("ORDERSTORM", program)
        .env("BROKER", "embedded")
        .env("PAIRS", "2");
    shell
        .env("RESULTS", out)
        .env("GITHUB_STEP_SUMMARY", out.join("summary.md"));
    shell.envs(new_arguments.iter().copied());
    finish(&mut shell)
}

#[test]
fn the_steps_of_the_workflow_run_here_and_leave_a_summary_and_a_page() {
    let measuring: Vec<&str> = commands()
        .into_iter()
        .filter(|command| command.contains("scripts/"))
        .collect();
    let [step] = measuring.as_slice() else {
        panic!("one step measures: {measuring:?}");
    };
    let out = results();
    let said = here(step, out.path(), &[]);
    // A busy machine may make the single run inconclusive; a regression of a program against itself is out of the question.
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    let summary = std::fs::read_to_string(out.path().join("summary.md")).expect("a summary");
    assert!(
        summary.contains("### gate: ") && summary.contains("| goodput |"),
        "{summary}"
    );
    let folders: Vec<_> = std::fs::read_dir(out.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let has = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
    assert!(has("report.html") && has("comparison.md"), "{folders:?}");
    assert!(
        WORKFLOW.contains("path: target/performance"),
        "what is uploaded is what the script makes"
    );
}

#[test]
fn a_side_that_does_not_run_fails_the_job_and_the_page_is_made_all_the_same() {
    let out = results();
    let program = env!("CARGO_BIN_EXE_orderstorm");
    let said = here(
        &format!("scripts/performance.sh '{program}' no-such-commit"),
        out.path(),
        &[("PAIRS", "1")],
    );
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("neither a program nor a commit"), "{said:#?}");
    let page = std::fs::read_dir(out.path())
        .expect("a folder")
        .flatten()
        .any(|entry| entry.path().join("report.html").is_file());
    assert!(page);
}
