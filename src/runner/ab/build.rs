//! From what the command line names to a program: one that is there, or one that is built of a commit.
//!
//! A commit is checked out as a git worktree of its own in the cache, built there, and the worktree removed: neither the user's
//! working tree nor its `target` is touched. The program stays in the cache under the commit's hash.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};

use tokio::process::Command;

use crate::results::ab::SideRecord;
use crate::runner::Interrupt;

/// The program's name in `target/release`, and in the cache.
const PROGRAM: &str = "orderstorm";

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Neither a file nor a commit.
    #[error(
        "`{given}` is neither a program nor a commit of the git repository here\nhelp: name the path of an orderstorm program, or a branch, tag or hash"
    )]
    Unknown {
        /// What was given.
        given: String,
    },
    /// The cache cannot be used.
    #[error("cannot {doing} {}: {source}\nhelp: name another place with --cache DIR", path.display())]
    Cache {
        /// What.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// git said no.
    #[error(
        "git could not check {hash} out: {said}\nhelp: `git worktree prune` forgets what an earlier attempt has left"
    )]
    Checkout {
        /// The commit.
        hash: String,
        /// What it said.
        said: String,
    },
    /// cargo cannot be started.
    #[error("cannot start cargo to build {hash}: {source}\nhelp: install Rust, or give a program instead of a commit")]
    Cargo {
        /// The commit.
        hash: String,
        /// Why.
        source: std::io::Error,
    },
    /// It does not build.
    #[error(
        "{hash} does not build (cargo's words are above)\nhelp: the same by hand: git worktree add --detach DIR {hash} && cd DIR && cargo build --release --locked"
    )]
    Build {
        /// The commit.
        hash: String,
    },
    /// Somebody stopped it.
    #[error("interrupted while {hash} was being built")]
    Interrupted {
        /// The commit.
        hash: String,
    },
}

impl BuildError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, BuildError::Unknown { .. })
    }
}

/// Where programs come from.
#[derive(Debug)]
pub struct Builds {
    /// Programs that were built, by hash, and what cargo keeps between builds.
    pub cache: PathBuf,
}

impl Builds {
    /// `orderstorm/builds` in the user's cache folder, else in the temporary one.
    pub fn default_cache() -> PathBuf {
        let of = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let cache = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
        cache.unwrap_or_else(std::env::temp_dir).join("orderstorm/builds")
    }

    /// The program that `given` means, with what is set for its side. `tell` is called before a build, which takes minutes.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn side(
        &self,
        given: &str,
        set: Vec<String>,
        interrupt: &Interrupt,
        tell: impl FnOnce(&str),
    ) -> Result<SideRecord, BuildError> {
        let side = |program: PathBuf, commit: Option<String>| SideRecord {
            given: given.to_owned(),
            program,
            commit,
            set,
        };
        let path = Path::new(given);
        if path.is_file() {
            // A name without a slash would be looked for in PATH.
            let program = path.canonicalize().map_err(|source| BuildError::Cache {
                doing: "use the program",
                path: path.to_owned(),
                source,
            })?;
            return Ok(side(program, None));
        }
        let hash = commit(given).ok_or_else(|| BuildError::Unknown {
            given: given.to_owned(),
        })?;
        let program = self.cache.join(&hash).join(PROGRAM);
        if !program.is_file() {
            self.build(&hash, &program, interrupt, tell).await?;
        }
        Ok(side(program, Some(hash)))
    }

    async fn build(
        &self,
        hash: &str,
        program: &Path,
        interrupt: &Interrupt,
        tell: impl FnOnce(&str),
    ) -> Result<(), BuildError> {
        let failed = |doing| {
            move |source| BuildError::Cache {
                doing,
                path: program.to_owned(),
                source,
            }
        };
        std::fs::create_dir_all(program.parent().unwrap_or(&self.cache)).map_err(failed("make a place for"))?;
        // One build at a time: cargo's own folder is shared by all of them.
        let lock = File::create(self.cache.join("lock")).map_err(failed("lock the place of"))?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
        let _held = lock
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(failed("lock the place of"))?;
        if program.is_file() {
            return Ok(());
        }
        tell(hash);
        let source = Worktree::add(&self.cache.join(format!("{hash}.source")), hash)?;
        let target = self.cache.join("target");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--release", "--locked", "--bin", PROGRAM])
            .current_dir(&source.path)
            .env("CARGO_TARGET_DIR", &target)
            // Standard output is for results.
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let status = tokio::select! {
            status = cargo.status() => status.map_err(|source| BuildError::Cargo { hash: hash.to_owned(), source })?,
            () = interrupt.0.cancelled() => return Err(BuildError::Interrupted { hash: hash.to_owned() }),
        };
        if !status.success() {
            return Err(BuildError::Build { hash: hash.to_owned() });
        }
        // Under another name first: half a program must never be taken for a whole one.
        let half = program.with_extension("part");
        std::fs::copy(target.join("release").join(PROGRAM), &half)
            .and_then(|_| std::fs::rename(&half, program))
            .map_err(failed("put the program to"))
    }
}

/// The full hash that a name means in the repository of the working directory.
fn commit(name: &str) -> Option<String> {
    let output = Blocking::new("git")
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{name}^{{commit}}"))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !hash.is_empty()).then_some(hash)
}

/// A checked-out commit; it is removed with this value.
struct Worktree {
    path: PathBuf,
}

impl Worktree {
    fn add(path: &Path, hash: &str) -> Result<Worktree, BuildError> {
        let worktree = Worktree { path: path.to_owned() };
        // What a build that was killed has left.
        worktree.remove();
        let output = git(&["worktree", "add", "--detach", "--force"])
            .arg(path)
            .arg(hash)
            .output();
        let said = match output {
            Ok(output) if output.status.success() => return Ok(worktree),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(BuildError::Checkout {
            hash: hash.to_owned(),
            said,
        })
    }

    fn remove(&self) {
        // There may be none; what remains after both is only in the cache, and in the way of nobody.
        let _ = git(&["worktree", "remove", "--force"]).arg(&self.path).output();
        let _ = std::fs::remove_dir_all(&self.path);
        let _ = git(&["worktree", "prune"]).output();
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

fn git(arguments: &[&str]) -> Blocking {
    let mut command = Blocking::new("git");
    command.args(arguments).stdin(Stdio::null());
    command
}
