//! Which RabbitMQ servers this machine has, without starting one.
//!
//! Asking a server would be wrong: even `rabbitmq-server --version` starts a broker. Versions are read from the names of
//! the directories that the server's libraries lie in.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::greeting::{ServerGreeting, greet};

/// Names a server, or a launcher, to prefer over all others.
pub const SERVER_VARIABLE: &str = "ORDERSTORM_RABBITMQ_SERVER";
const SERVER: &str = "rabbitmq-server";
/// Where packages put the script itself, as opposed to a wrapper of it.
const SYSTEM_DIRS: [&str; 2] = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"];
/// Where `scripts/rabbitmq-4.sh` suggests to put its servers, one directory each.
const PINNED_DIR: &str = "/var/lib/orderstorm";
/// File name of the wrapper that packages put on the search path.
const WRAPPER: &str = "rabbitmq-script-wrapper";
const WRAPPER_PATH: &str = "/usr/sbin/rabbitmq-server";

/// How a server was found; the order is that of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Named by [`SERVER_VARIABLE`].
    Environment,
    /// Installed by a package.
    System,
    /// On the search path.
    SearchPath,
    /// Set up beside the system's by `scripts/rabbitmq-4.sh`.
    Pinned,
}

/// A server that could be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstalledServer {
    /// The script, or a launcher that takes its place.
    pub path: PathBuf,
    /// Its version, such as `3.10.8`; absent when no directory tells.
    pub version: Option<String>,
    /// How it was found.
    pub origin: Origin,
}

/// Servers that exist, the preferred one first, each once. Starts nothing.
pub fn installed_servers() -> Vec<InstalledServer> {
    let named = std::env::var_os(SERVER_VARIABLE).map(PathBuf::from);
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = candidates(named, &search_path, Path::new(PINNED_DIR));
    let mut servers: Vec<InstalledServer> = Vec::new();
    for (path, origin) in candidates {
        if path.is_file() && !is_wrapper(&path) && !servers.iter().any(|known| same_file(&known.path, &path)) {
            servers.push(InstalledServer {
                version: version_of(&path),
                path,
                origin,
            });
        }
    }
    servers
}

/// Asks what listens at `address` for its AMQP greeting, without logging in. `None`: nothing, or no AMQP broker.
///
/// # Cancel safety
/// Dropping the future closes the socket; nothing else is held.
pub async fn listening_amqp(address: SocketAddr, timeout: Duration) -> Option<ServerGreeting> {
    greet(address, timeout).await.ok()
}

/// Whether `path` is the wrapper of a package. It changes user and directory, and starts a broker whatever it is asked.
pub(super) fn is_wrapper(path: &Path) -> bool {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let named_so = |path: &Path| path.file_name() == Some(OsStr::new(WRAPPER)) || path == Path::new(WRAPPER_PATH);
    named_so(path) || named_so(&resolved)
}

fn candidates(named: Option<PathBuf>, search_path: &OsStr, pinned: &Path) -> Vec<(PathBuf, Origin)> {
    let mut found: Vec<(PathBuf, Origin)> = named.into_iter().map(|path| (path, Origin::Environment)).collect();
    found.extend(
        SYSTEM_DIRS
            .iter()
            .map(|dir| (Path::new(dir).join(SERVER), Origin::System)),
    );
    let on_path = std::env::split_paths(search_path).filter(|dir| dir.is_absolute());
    found.extend(on_path.map(|dir| (dir.join(SERVER), Origin::SearchPath)));
    found.extend(
        entries(pinned)
            .into_iter()
            .map(|dir| (dir.join(SERVER), Origin::Pinned)),
    );
    found
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What lies in a directory, sorted; nothing when it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = dir
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// The version told by a directory `rabbitmq_server-VERSION` or `rabbit-VERSION` near the script: around it (archive),
/// beside it in `../lib` (package), in `../plugins` (archive), or in the launcher's own root.
pub(super) fn version_of(server: &Path) -> Option<String> {
    let server = server.canonicalize().ok()?;
    let bin = server.parent()?;
    let around = bin.parent()?;
    if let Some(version) = version_in_name(around) {
        return Some(version);
    }
    let beside = [
        around.join("lib"),
        around.join("plugins"),
        bin.join("root/usr/lib/rabbitmq/lib"),
    ];
    beside
        .iter()
        .flat_map(|dir| entries(dir))
        .find_map(|entry| version_in_name(&entry))
}

fn version_in_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let version = name
        .strip_prefix("rabbitmq_server-")
        .or_else(|| name.strip_prefix("rabbit-"))?;
    let version = version.strip_suffix(".ez").unwrap_or(version);
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an empty file with its directories.
    fn touch(path: &Path) -> PathBuf {
        std::fs::create_dir_all(path.parent().expect("in a directory")).expect("directories");
        std::fs::write(path, "").expect("a file");
        path.to_owned()
    }

    #[test]
    fn versions_are_read_from_directories_of_packages_archives_and_launchers() {
        let dir = tempfile::tempdir().expect("a directory");
        let cases = [
            (
                "package/bin/rabbitmq-server",
                "package/lib/rabbitmq_server-3.10.8/x",
                Some("3.10.8"),
            ),
            (
                "rabbitmq_server-4.1.0/sbin/rabbitmq-server",
                "rabbitmq_server-4.1.0/x",
                Some("4.1.0"),
            ),
            (
                "archive/sbin/rabbitmq-server",
                "archive/plugins/rabbit-3.13.2/x",
                Some("3.13.2"),
            ),
            (
                "pin/rabbitmq-server",
                "pin/root/usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/x",
                Some("4.0.5"),
            ),
            ("bare/bin/rabbitmq-server", "bare/lib/rabbit-common/x", None),
        ];
        for (server, library, version) in cases {
            let server = touch(&dir.path().join(server));
            touch(&dir.path().join(library));
            assert_eq!(version_of(&server).as_deref(), version, "{}", server.display());
        }
    }

    #[test]
    fn the_named_server_comes_first_and_pinned_ones_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let pinned = touch(&dir.path().join("pinned/rabbitmq-4/rabbitmq-server"));
        let found = candidates(
            Some("/named".into()),
            OsStr::new("/a:relative"),
            &dir.path().join("pinned"),
        );
        assert_eq!(found.first(), Some(&("/named".into(), Origin::Environment)));
        assert_eq!(found.last(), Some(&(pinned, Origin::Pinned)));
        assert!(found.contains(&("/a/rabbitmq-server".into(), Origin::SearchPath)));
        assert!(found.iter().all(|(path, _)| path.is_absolute()));
    }

    #[test]
    fn wrappers_are_known_by_what_they_link_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let wrapper = touch(&dir.path().join(WRAPPER));
        let link = dir.path().join(SERVER);
        std::os::unix::fs::symlink(&wrapper, &link).expect("a link");
        assert!(is_wrapper(&link) && is_wrapper(Path::new(WRAPPER_PATH)));
        assert!(!is_wrapper(&touch(&dir.path().join("bin/rabbitmq-server"))));
        assert!(installed_servers().iter().all(|server| !is_wrapper(&server.path)));
    }

    #[tokio::test]
    async fn nothing_is_heard_at_a_closed_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert_eq!(listening_amqp(address, Duration::from_secs(1)).await, None);
    }
}
