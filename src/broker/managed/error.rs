//! What can go wrong with a managed node.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a managed node could not be started or steered.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// No such program on this machine.
    #[error("looked for {program}: found none in {}; help: apt-get install rabbitmq-server, or name one with --rabbitmq-server PATH or ORDERSTORM_RABBITMQ_SERVER", list(.tried))]
    ProgramNotFound {
        /// Its name.
        program: &'static str,
        /// Places looked at.
        tried: Vec<PathBuf>,
    },
    /// The given path would do harm.
    #[error("managed node: {} is Debian's wrapper, which changes user and directory; help: give /usr/lib/rabbitmq/bin/rabbitmq-server", .path.display())]
    Wrapper {
        /// As given.
        path: PathBuf,
    },
    /// RabbitMQ 3.10 cannot watch the disk under such a path.
    #[error("managed node: the directory {} has a blank in its path; help: choose another state directory, or set TMPDIR", .path.display())]
    BlankInPath {
        /// As given.
        path: PathBuf,
    },
    /// `rabbitmqctl` failed.
    #[error(
        "managed node: rabbitmqctl {arguments}: {why}; help: is the broker up, and the command one of its version?"
    )]
    Control {
        /// What it was asked.
        arguments: String,
        /// What it said.
        why: String,
    },
    /// Directory, files, ports or processes of the node.
    #[error("managed node: {doing}: {source}; help: is {} writable, with room left?", .at.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        at: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// epmd, or the server, ended before it was ready.
    #[error("managed node: {program} ended before it was ready; help: see the end of its log:\n{log_tail}")]
    Ended {
        /// Which.
        program: &'static str,
        /// Last lines, without secrets.
        log_tail: String,
    },
    /// Not ready in time.
    #[error(
        "managed node: {waiting_for} not ready within {after:?}; help: a longer boot deadline on a slow machine, or see the end of its log:\n{log_tail}"
    )]
    Deadline {
        /// What was missing.
        waiting_for: &'static str,
        /// Time given.
        after: Duration,
        /// Last lines, without secrets.
        log_tail: String,
    },
    /// Another program took a port between our choice and the node's listening.
    #[error(
        "managed node: {program} found a port taken; help: start it again, other ports are chosen then; its log says:\n{log_tail}"
    )]
    PortTaken {
        /// Which.
        program: &'static str,
        /// Last lines, without secrets.
        log_tail: String,
    },
    /// The broker is not there to be paused or resumed.
    #[error("managed node: {action}: the broker does not run; help: restart it first")]
    NotRunning {
        /// What was tried.
        action: &'static str,
    },
    /// The broker did not go away.
    #[error(
        "managed node: the broker (pid {pid}) still lives {after:?} after SIGKILL; help: look for processes stuck in the kernel (state D)"
    )]
    Unkillable {
        /// Its process.
        pid: i32,
        /// Time waited.
        after: Duration,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

impl ManagedError {
    pub(super) fn io(doing: &'static str, at: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            at: at.to_owned(),
            source,
        }
    }
}
