//! Finds a run by what people call it: its folder, `latest`, `baseline`, the begin of its id, or a commit.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Characters that a commit is given by at least, so that no id is taken for one.
const COMMIT_MIN: usize = 7;
/// Runs that an error names.
const SHOWN_MAX: usize = 5;

/// Why no run was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("no run is called `{name}` in {}\nhelp: name a run folder, `latest`, `latest~1` (the one before), `baseline`, the begin of a run's id or of a commit; {}", results.display(), if known.is_empty() { "there is no run there yet".to_owned() } else { format!("the newest are {}", known.join(", ")) })]
    None {
        /// What was asked for.
        name: String,
        /// Where.
        results: PathBuf,
        /// The newest runs there.
        known: Vec<String>,
    },
    /// There are several.
    #[error("`{name}` is the begin of several runs: {}\nhelp: write more of it", found.join(", "))]
    Several {
        /// What was asked for.
        name: String,
        /// Which.
        found: Vec<String>,
    },
}

/// What a run is found by.
#[derive(Debug, Deserialize)]
struct Head {
    id: String,
    started: String,
    commit: Option<Hash>,
}

#[derive(Debug, Deserialize)]
struct Hash {
    hash: String,
}

/// The folder of the run that `name` means, among those in `results`.
///
/// # Errors
/// [`FindError`] when there is none, or the begin of an id is that of several.
pub fn run(name: &str, results: &Path) -> Result<PathBuf, FindError> {
    if Path::new(name).join("run.json").is_file() {
        return Ok(PathBuf::from(name));
    }
    if name == "baseline"
        && let Some(baseline) = baseline(results)
    {
        return Ok(baseline);
    }
    let runs = newest_first(results);
    let back = match name.strip_prefix("latest") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix('~').and_then(|n| n.parse::<usize>().ok()),
        None => None,
    };
    if let Some((folder, _)) = back.and_then(|back| runs.get(back)) {
        return Ok(folder.clone());
    }
    let with_id: Vec<_> = runs
        .iter()
        .filter(|(_, head)| head.id.starts_with(name) && !name.is_empty())
        .collect();
    match with_id.as_slice() {
        [(folder, _)] => return Ok(folder.clone()),
        [] => {}
        several => {
            return Err(FindError::Several {
                name: name.to_owned(),
                found: several
                    .iter()
                    .take(SHOWN_MAX)
                    .map(|(_, head)| head.id.clone())
                    .collect(),
            });
        }
    }
    let is_commit = name.len() >= COMMIT_MIN && name.chars().all(|c| c.is_ascii_hexdigit());
    let of_commit = |head: &Head| {
        head.commit
            .as_ref()
            .is_some_and(|commit| commit.hash.starts_with(&name.to_lowercase()))
    };
    let found = runs.iter().find(|(_, head)| is_commit && of_commit(head));
    found.map(|(folder, _)| folder.clone()).ok_or_else(|| FindError::None {
        name: name.to_owned(),
        results: results.to_owned(),
        known: runs.iter().take(SHOWN_MAX).map(|(_, head)| head.id.clone()).collect(),
    })
}

/// `results/baseline` itself, or the only run in it.
fn baseline(results: &Path) -> Option<PathBuf> {
    let folder = results.join("baseline");
    if folder.join("run.json").is_file() {
        return Some(folder);
    }
    match newest_first(&folder).as_slice() {
        [(only, _)] => Some(only.clone()),
        _ => None,
    }
}

/// The whole runs of a folder, the newest first; what is no run is passed over.
fn newest_first(results: &Path) -> Vec<(PathBuf, Head)> {
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("complete").is_file());
    let mut runs: Vec<(PathBuf, Head)> = folders
        .filter_map(|folder| {
            let bytes = std::fs::read(folder.join("run.json")).ok()?;
            Some((folder, serde_json::from_slice(&bytes).ok()?))
        })
        .collect();
    // RFC 3339 in UTC sorts as text; runs of one second by their ids, so that the order is always the same.
    runs.sort_by(|(_, a), (_, b)| (&b.started, &b.id).cmp(&(&a.started, &a.id)));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(results: &Path, id: &str, started: &str, commit: &str) {
        let folder = results.join(id);
        std::fs::create_dir_all(&folder).expect("made");
        let text =
            format!(r#"{{"id":"{id}","started":"{started}","commit":{{"hash":"{commit}","branch":null}},"more":1}}"#);
        std::fs::write(folder.join("run.json"), text).expect("written");
        std::fs::write(folder.join("complete"), "").expect("written");
    }

    fn results() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        add(
            dir.path(),
            "steady-20260101T000000Z-aaaa",
            "2026-01-01T00:00:00Z",
            "0123456789abcdef",
        );
        add(
            dir.path(),
            "steady-20260102T000000Z-bbbb",
            "2026-01-02T00:00:00Z",
            "0123456789abcdef",
        );
        add(
            dir.path(),
            "burst-20260103T000000Z-cccc",
            "2026-01-03T00:00:00Z",
            "fedcba9876543210",
        );
        std::fs::create_dir(dir.path().join("torn.partial")).expect("made");
        dir
    }

    #[test]
    fn runs_are_found_by_each_of_their_names() {
        let dir = results();
        let find = |name: &str| {
            let folder = run(name, dir.path()).unwrap_or_else(|error| panic!("{error}"));
            folder.file_name().expect("named").to_string_lossy().into_owned()
        };
        assert!(find("latest").starts_with("burst") && find("latest~2").ends_with("aaaa"));
        assert!(find("burst").ends_with("cccc") && find("steady-20260102").ends_with("bbbb"));
        assert!(find("0123456").ends_with("bbbb"), "the newest of a commit");
        assert!(find("FEDCBA98").ends_with("cccc"));
        let path = dir.path().join("burst-20260103T000000Z-cccc");
        assert_eq!(run(path.to_str().expect("UTF-8"), Path::new("/nowhere")), Ok(path));
    }

    #[test]
    fn the_baseline_is_a_run_or_the_only_run_in_its_folder() {
        let dir = results();
        assert!(run("baseline", dir.path()).is_err());
        add(
            &dir.path().join("baseline"),
            "steady-20250101T000000Z-dddd",
            "2025-01-01T00:00:00Z",
            "00",
        );
        assert!(
            run("baseline", dir.path())
                .expect("there")
                .ends_with("baseline/steady-20250101T000000Z-dddd")
        );
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_said() {
        let dir = results();
        let error = run("steady", dir.path()).expect_err("two").to_string();
        assert!(
            error.contains("several runs") && error.contains("aaaa") && error.contains("bbbb"),
            "{error}"
        );
        for name in ["nothing", "latest~9", "latest~x", "fedcba", "", "/nowhere"] {
            let error = run(name, dir.path()).expect_err("none").to_string();
            assert!(error.contains("the newest are burst-"), "{error}");
        }
        let error = run("latest", Path::new("/nowhere")).expect_err("none").to_string();
        assert!(error.contains("no run there yet"), "{error}");
    }
}
