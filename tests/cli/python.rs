//! Python programs of others, for the tests in which somebody else reads what we write.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Python that has `package` (a name with its version), which it imports as `module`, in a virtual environment under `target`.
pub fn python_with(package: &str, module: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/python/{module}"));
    let python = folder.join("bin/python");
    let has_it = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !has_it(&python) {
        for command in [
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            Command::new(folder.join("bin/pip")).args(["-q", "install", package]),
        ] {
            let status = command.status().expect("python3 with venv is installed");
            assert!(status.success(), "{command:?} failed");
        }
    }
    python
}
