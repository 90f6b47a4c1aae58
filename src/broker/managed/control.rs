//! `rabbitmqctl` against a managed node, for what the management API cannot do: alarms, feature flags, Erlang terms.

use std::process::Stdio;
use std::time::Duration;

use super::{ManagedError, ManagedNode};

/// One call boots a whole Erlang machine: 1 to 3 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl ManagedNode {
    /// Runs `rabbitmqctl` with these arguments against this node and gives what it prints. Takes 1 to 3 s: nothing for
    /// loops. Arguments are seen by every user of the machine: no passwords.
    ///
    /// # Errors
    /// [`ManagedError::Control`] when it fails or takes longer than a minute; [`ManagedError::ProgramNotFound`].
    ///
    /// # Cancel safety
    /// Dropping the future kills `rabbitmqctl`; what it asked for may have been done.
    pub async fn control(&self, arguments: &[&str]) -> Result<String, ManagedError> {
        let program = self.server.with_file_name("rabbitmqctl");
        if !program.is_file() {
            return Err(ManagedError::ProgramNotFound {
                program: "rabbitmqctl",
                tried: vec![program],
            });
        }
        let failed = |why: String| ManagedError::Control {
            arguments: arguments.join(" "),
            why: self.uri.mask_secrets(why.trim()),
        };
        let mut command = tokio::process::Command::new(program);
        command
            .arg("--quiet")
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| failed(format!("no end within {PATIENCE:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(printed)
        } else {
            Err(failed(format!(
                "{}: {printed}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )))
        }
    }
}
