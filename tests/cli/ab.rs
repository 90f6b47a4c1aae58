//! Two builds, or one under two settings, on the embedded broker; and what stands between a commit and its program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use orderstorm::results::{ab, record};
use tempfile::TempDir;

use crate::support::program::{Said, finish, only_entry, orderstorm};
use crate::{results, text, workload};

/// A quarter of a second of jobs of 20 ms.
const JOBS: &str = "# Are jobs done as fast as before?\npipeline = \"work-queue\"\n[load]\narrival = \"closed\"\nusers = 16\norders = 100\n\
    warm_up = \"0s\"\n[stage.worker]\nconsumers = 8\nprefetch = 2\nservice_time = \"20ms\"\n[trial]\nrepeats = 4\ncool_down = \"2s\"\n";
/// A regression that no busy machine hides: a promise is broken.
const UNSAFE: &str = "canary.defect=work-twice";

fn ab_command(results: &TempDir, file: &Path, more: &[&str]) -> Command {
    let mut arguments = vec!["ab", text(file), "--results", text(results.path())];
    if !more.contains(&"--broker") {
        arguments.extend(["--broker", "embedded"]);
    }
    arguments.extend(more);
    let mut command = orderstorm(&arguments);
    command.env_remove("GITHUB_STEP_SUMMARY");
    command
}

fn compare(results: &TempDir, file: &Path, more: &[&str]) -> Said {
    finish(&mut ab_command(results, file, more))
}

#[test]
fn a_setting_that_repeats_work_is_a_regression_and_both_sides_runs_are_kept() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let said = compare(
        &results,
        &file,
        &["--pairs", "8", "--new-set", UNSAFE, "--set", "seed=7"],
    );
    assert_eq!(said.code, Some(4), "{said:#?}");
    for part in [
        "REGRESSION: worse in ",
        "promise nothing_twice: pass → fail",
        "took turns",
        "embedded broker of its own program",
        "new is this program with seed=7, canary.defect=work-twice",
        "setting canary.defect",
    ] {
        assert!(
            said.out.replace('\n', " ").contains(part),
            "`{part}` is missing in {}",
            said.out
        );
    }
    assert!(said.err.contains("pair 8 of 8: "), "{}", said.err);
    let folder = only_entry(results.path());
    let made = ab::read(&folder).expect("a record");
    assert_eq!((made.pairs.len(), made.seed, made.ended_because.clone()), (8, 7, None));
    for (n, pair) in (7..).zip(&made.pairs) {
        let (base, new) = (folder.join(&pair.base), folder.join(&pair.new));
        let (base, new) = (record::read(&base).expect("a run"), record::read(&new).expect("a run"));
        assert_eq!((base.trials.len(), base.trials[0].seed, new.trials[0].seed), (1, n, n));
        let first = if pair.first == ab::Which::Base {
            (&base, &new)
        } else {
            (&new, &base)
        };
        assert!(first.0.trials[0].started <= first.1.trials[0].started);
    }
    // What was said is there, and can be judged anew by other bounds.
    let kept = std::fs::read_to_string(folder.join("comparison.txt")).expect("kept");
    assert_eq!(kept, said.out);
    assert!(folder.join("comparison.md").is_file() && folder.join("comparison.json").is_file());
    let again = |more: &[&str]| {
        let mut arguments = vec!["ab", "--from", text(&folder)];
        arguments.extend(more);
        finish(orderstorm(&arguments).env_remove("GITHUB_STEP_SUMMARY"))
    };
    assert_eq!(again(&[]).out, kept);
    let strict = ["--threshold", "goodput=0.3%", "--format", "json"];
    assert!(again(&strict).out.contains("\"threshold\": 0.003"));
    assert!(again(&["--format", "csv"]).out.starts_with("base_run,"));
}

#[test]
fn few_pairs_cannot_tell_and_strict_says_so() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let said = compare(&results, &file, &["--pairs", "2", "--quiet", "--strict"]);
    assert_eq!(said.code, Some(5), "{said:#?}");
    assert!(
        said.out.starts_with("CANNOT TELL") && said.out.contains("A/A"),
        "{}",
        said.out
    );
    assert!(!said.err.contains("pair 1"), "{}", said.err);
}

#[test]
fn what_cannot_be_a_side_is_refused_before_anything_runs() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let none = |more: &[&str], code: i32, parts: &[&str]| {
        compare(&results, &file, more).fails(code, parts);
        assert_eq!(std::fs::read_dir(results.path()).expect("a folder").count(), 0);
    };
    none(
        &["--base", "no-such-thing"],
        2,
        &["neither a program nor a commit", "help: "],
    );
    none(&["--new-set", "load.users=0"], 2, &["load.users"]);
    none(&["--pairs", "0"], 2, &["--pairs"]);
    none(&["--threshold", "speed=5%"], 2, &["no measure `speed`"]);
    none(
        &["--base", "/bin/false"],
        1,
        &[
            "the base program made no run",
            "by hand: /",
            "false run ",
            "jobs.toml --quiet",
        ],
    );
    let plain = workload(&dir, "plain", "no program");
    none(&["--new", text(&plain)], 1, &["cannot start the new program", "help: "]);
}

#[test]
fn ctrl_c_keeps_the_pairs_that_were_measured() {
    let (dir, results) = (results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    let mut command = ab_command(&results, &file, &["--pairs", "500"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its progress goes to standard error; the folder says when two pairs are there.
    let mut child = command.spawn().expect("the program starts");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    let folder: PathBuf = loop {
        assert!(std::time::Instant::now() < deadline, "no pair was measured");
        let partial = std::fs::read_dir(results.path()).into_iter().flatten().flatten().next();
        let two = |entry: &std::fs::DirEntry| ab::read(&entry.path()).is_ok_and(|made| made.pairs.len() >= 2);
        if let Some(entry) = partial.filter(two) {
            break entry.path();
        }
        assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("it is there");
    let said = Said::from(child.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(130), "{said:#?}");
    assert!(
        said.out.contains("of 500 pairs were measured: interrupted"),
        "{}",
        said.out
    );
    let whole = folder.with_extension("");
    let made = ab::read(&whole).expect("kept under its name");
    assert!(made.pairs.len() >= 2 && made.ended_because.as_deref() == Some("interrupted"));
}

/// A repository whose program is the real one, behind a few words of its own, so that it builds in a second.
fn repository(dir: &Path, versions: &[&str]) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(arguments);
        let output = command.current_dir(dir).output().expect("git");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("written");
    git(&["init", "--quiet", "--initial-branch=main"]);
    write(
        "Cargo.toml",
        "[package]\nname = \"orderstorm\"\nversion = \"0.0.1\"\nedition = \"2021\"\n[workspace]\n",
    );
    write(
        "Cargo.lock",
        "version = 3\n\n[[package]]\nname = \"orderstorm\"\nversion = \"0.0.1\"\n",
    );
    std::fs::create_dir(dir.join("src")).expect("made");
    for (at, more) in versions.iter().enumerate() {
        let main = format!(
            "use std::os::unix::process::CommandExt;\nfn main() {{\n    let error = std::process::Command::new({:?})\n        \
             .args(std::env::args().skip(1)).args([{more}] as [&str; {}]).exec();\n    panic!(\"{{error}}\");\n}}\n",
            env!("CARGO_BIN_EXE_orderstorm"),
            more.split(',').filter(|word| !word.is_empty()).count()
        );
        write("src/main.rs", &main);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "version"]);
        git(&["tag", &format!("v{at}")]);
    }
}

#[test]
fn commits_are_built_beside_the_working_tree_and_built_once() {
    let (dir, results, repo, cache) = (results(), results(), results(), results());
    let file = workload(&dir, "jobs.toml", JOBS);
    repository(
        repo.path(),
        &["", "\"--set\", \"canary.defect=work-twice\"", "\"--nonsense\""],
    );
    let between = |base: &str, new: &str, pairs: &str| {
        let more = [
            "--base",
            base,
            "--new",
            new,
            "--pairs",
            pairs,
            "--cache",
            text(cache.path()),
        ];
        finish(ab_command(&results, &file, &more).current_dir(repo.path()))
    };
    let said = between("v0", "v1", "8");
    assert_eq!(said.code, Some(4), "{said:#?}");
    assert!(
        said.out.contains("REGRESSION") && said.err.contains("building "),
        "{said:#?}"
    );
    let hash = Command::new("git")
        .args(["rev-parse", "v1"])
        .current_dir(repo.path())
        .output()
        .expect("git")
        .stdout;
    let hash = String::from_utf8(hash).expect("UTF-8").trim().to_owned();
    assert!(
        said.out
            .replace('\n', " ")
            .contains(&format!("new is v1 (commit {hash})")),
        "{}",
        said.out
    );
    assert!(cache.path().join(&hash).join("orderstorm").is_file());
    // Nothing is left in the repository or of the checkout.
    let trees = Command::new("git")
        .args(["worktree", "list"])
        .current_dir(repo.path())
        .output()
        .expect("git")
        .stdout;
    assert_eq!(String::from_utf8_lossy(&trees).lines().count(), 1);
    assert!(!repo.path().join("target").exists() && !cache.path().join(format!("{hash}.source")).exists());
    // The second time nothing is built; a side that cannot run says in its own words why.
    let broken = between("v1", "v2", "2");
    broken.fails(2, &["the new program made no run", "--nonsense"]);
    assert!(!broken.err.contains(&format!("building {hash}")), "{}", broken.err);
    let stays = cache.path().join("target").exists();
    assert!(stays, "cargo's own folder is kept for the next build");
}
