//! A run's folder: made under a temporary name, filled, completed, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The last file written: its presence says that the folder is whole.
const COMPLETE: &str = "complete";
/// Ending of a folder that is not whole yet.
const PARTIAL: &str = ".partial";

/// Why a folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}\nhelp: {help}", path.display())]
pub struct FolderError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
    help: &'static str,
}

impl FolderError {
    fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let help = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full: make room, or name another place with --results DIR"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "name a writable place with --results DIR"
            }
            _ => "name another place with --results DIR",
        };
        FolderError {
            doing,
            path: path.to_owned(),
            source,
            help,
        }
    }
}

/// A folder that is being filled. Dropped before [`RunFolder::finish`] it stays, under its temporary name, with what it holds.
#[derive(Debug)]
pub struct RunFolder {
    parent: PathBuf,
    id: String,
    path: PathBuf,
    /// Held as long as the folder is filled, so that nobody else goes on with it.
    _lock: File,
}

impl RunFolder {
    /// Makes `<parent>/<id>.partial`, and the parent where it is missing.
    ///
    /// # Errors
    /// [`FolderError`] when it cannot be made, or is there already: two runs in one folder would be neither.
    pub fn create(parent: &Path, id: &str) -> Result<Self, FolderError> {
        let path = parent.join(format!("{id}{PARTIAL}"));
        let lock = fs::create_dir_all(parent)
            .and_then(|()| fs::create_dir(&path))
            .and_then(|()| locked(&path))
            .map_err(|source| FolderError::new("make the result folder", &path, source))?;
        Ok(RunFolder {
            parent: parent.to_owned(),
            id: id.to_owned(),
            path,
            _lock: lock,
        })
    }

    /// Goes on with a folder that was left, whole or partial; it bears its temporary name again.
    ///
    /// # Errors
    /// [`FolderError`] when a run is filling it, or it cannot be renamed.
    pub fn reopen(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::new("go on with", path, source);
        let path = path.canonicalize().map_err(failed)?;
        let lock = locked(&path).map_err(failed)?;
        let no_name = || failed(io::Error::other("it has no name"));
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(no_name)?;
        let (id, parent) = (
            name.strip_suffix(PARTIAL).unwrap_or(name).to_owned(),
            path.parent().ok_or_else(no_name)?.to_owned(),
        );
        let partial = parent.join(format!("{id}{PARTIAL}"));
        if partial != path {
            match fs::remove_file(path.join(COMPLETE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => fs::rename(&path, &partial).map_err(failed)?,
            }
        }
        Ok(RunFolder {
            parent,
            id,
            path: partial,
            _lock: lock,
        })
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file as a whole or not at all.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let (path, temporary) = (self.path.join(name), self.path.join(format!(".{name}.tmp")));
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| FolderError::new("write", &path, source))
    }

    /// Marks the folder as whole and gives it its name; returns where it is.
    ///
    /// # Errors
    /// [`FolderError`]; the folder then stays under its temporary name.
    pub fn finish(self) -> Result<PathBuf, FolderError> {
        self.write(COMPLETE, b"")?;
        let named = self.parent.join(&self.id);
        fs::rename(&self.path, &named)
            .map_err(|source| FolderError::new("rename the result folder to", &named, source))?;
        // The rename lives in the parent's own blocks; a failure to sync them loses the name at a power cut, nothing else.
        let _ = File::open(&self.parent).and_then(|parent| parent.sync_all());
        Ok(named)
    }
}

/// Takes the folder's lock, which goes with this process.
fn locked(path: &Path) -> io::Result<File> {
    let folder = File::open(path)?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::other("another run is filling it")),
        // Not every file system has locks; it must do without.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(folder),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_bears_its_name_only_when_it_is_whole() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let folder = RunFolder::create(parent.path(), "steady-1").expect("a writable place");
        folder.write("run.json", b"{}").expect("a writable place");
        assert!(!parent.path().join("steady-1").exists());
        let path = folder.finish().expect("a writable place");
        assert!(path.join(COMPLETE).exists() && path.join("run.json").exists());
        assert_eq!(fs::read_dir(parent.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_folder_is_gone_on_with_by_one_run_at_a_time() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let folder = RunFolder::create(parent.path(), "steady-1").expect("a writable place");
        let partial = folder.path().to_owned();
        let error = RunFolder::reopen(&partial).expect_err("it is being filled");
        assert!(error.to_string().contains("another run is filling it"), "{error}");
        drop(folder);
        let again = RunFolder::reopen(&partial).expect("it was left");
        let whole = again.finish().expect("a writable place");
        let reopened = RunFolder::reopen(&whole).expect("it is whole, but somebody goes on");
        assert_eq!(reopened.path(), partial.canonicalize().expect("it is there again"));
        assert!(!reopened.path().join(COMPLETE).exists() && !whole.exists());
        assert_eq!(
            reopened.finish().expect("a writable place"),
            whole.canonicalize().expect("it is there")
        );
    }

    #[test]
    fn a_folder_that_is_there_already_is_somebody_elses() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let _first = RunFolder::create(parent.path(), "steady-1").expect("a writable place");
        assert!(RunFolder::create(parent.path(), "steady-1").is_err());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_in_the_error() {
        let parent = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = RunFolder::create(parent.path(), "x")
            .expect_err("a file is no directory")
            .to_string();
        assert!(error.contains("--results"), "{error}");
    }
}
