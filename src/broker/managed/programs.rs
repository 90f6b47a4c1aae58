//! Which `rabbitmq-server` and which `epmd` a managed node runs.

use std::path::{Path, PathBuf};

use super::ManagedError;

/// Where distributions put the script itself, as opposed to a wrapper of it.
const SERVER_PLACES: [&str; 3] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
];
/// Debian's and Fedora's wrapper. It changes user and directory, and starts a broker whatever it is asked.
const WRAPPER: &str = "/usr/sbin/rabbitmq-server";

/// The given server, else the one of `ORDERSTORM_RABBITMQ_SERVER`, else an installed one.
///
/// # Errors
/// [`ManagedError::ProgramNotFound`], [`ManagedError::Wrapper`].
pub(super) fn find_server(given: Option<&Path>) -> Result<PathBuf, ManagedError> {
    let named = given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("ORDERSTORM_RABBITMQ_SERVER").map(PathBuf::from));
    let tried = match named {
        Some(path) => vec![path],
        None => SERVER_PLACES.iter().map(PathBuf::from).collect(),
    };
    let Some(path) = tried.iter().find(|path| path.is_file()) else {
        return Err(ManagedError::ProgramNotFound {
            program: "rabbitmq-server",
            tried,
        });
    };
    if path == Path::new(WRAPPER) {
        return Err(ManagedError::Wrapper { path: path.clone() });
    }
    std::path::absolute(path).map_err(ManagedError::io("made the server's path absolute", path))
}

/// The epmd beside the server (a launcher brings its own), else the one on the search path, else Erlang's own place.
///
/// # Errors
/// [`ManagedError::ProgramNotFound`].
pub(super) fn find_epmd(server: &Path) -> Result<PathBuf, ManagedError> {
    let beside = server.parent().map(|dir| dir.join("epmd"));
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&search_path).map(|dir| dir.join("epmd"));
    let fixed = ["/usr/bin/epmd", "/usr/local/bin/epmd", "/usr/lib/erlang/bin/epmd"].map(PathBuf::from);
    let tried: Vec<PathBuf> = beside
        .into_iter()
        .chain(on_path)
        .chain(fixed)
        .filter(|p| p.is_absolute())
        .collect();
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(ManagedError::ProgramNotFound {
            program: "epmd (part of Erlang)",
            tried,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_is_named_in_the_error() {
        let error = find_server(Some(Path::new("/nowhere/rabbitmq-server"))).expect_err("not there");
        assert!(error.to_string().contains("/nowhere/rabbitmq-server"), "{error}");
    }

    #[test]
    fn the_distribution_wrapper_is_refused() {
        if Path::new(WRAPPER).exists() {
            assert!(matches!(
                find_server(Some(Path::new(WRAPPER))),
                Err(ManagedError::Wrapper { .. })
            ));
        }
    }

    #[test]
    fn the_epmd_of_a_launcher_comes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("epmd"), "").expect("a file");
        let found = find_epmd(&dir.path().join("rabbitmq-server")).expect("beside");
        assert_eq!(found, dir.path().join("epmd"));
    }
}
