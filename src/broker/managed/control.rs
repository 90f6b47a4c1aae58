//! `rabbitmqctl` against a managed node, for what the management API cannot do: alarms, feature flags, Erlang terms.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{ManagedError, ManagedNode, POLL, programs};

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

    /// Evaluates an Erlang expression on the node and gives its value as Erlang writes it. Takes some 20 ms where `erl_call`
    /// is installed beside epmd, else as long as `rabbitmqctl`. Blocks, so that a heal can use it on its way out.
    ///
    /// # Errors
    /// [`ManagedError::Control`] when the node is gone, when the expression fails, or after a minute;
    /// [`ManagedError::ProgramNotFound`].
    pub fn evaluate(&self, expression: &str) -> Result<String, ManagedError> {
        let quick = programs::find_epmd(&self.server)
            .ok()
            .map(|epmd| epmd.with_file_name("erl_call"))
            .filter(|program| program.is_file());
        let said = quick.and_then(|program| self.erl_call(program, expression).ok());
        match said.as_deref().map(str::trim) {
            // What failed on the node fails again, and then says why.
            Some(said) => match said.strip_prefix("{ok,").and_then(|said| said.strip_suffix('}')) {
                Some(value) => Ok(value.trim().to_owned()),
                None => self.rabbitmqctl_eval(expression),
            },
            None => self.rabbitmqctl_eval(expression),
        }
    }

    /// The cookie comes from the node's own home, by its environment.
    fn erl_call(&self, program: PathBuf, expression: &str) -> Result<String, ManagedError> {
        let name = self.environment.iter().find(|(key, _)| *key == "RABBITMQ_NODENAME");
        let mut command = Command::new(program);
        command.arg("-e").arg("-sname");
        command.args(name.map(|(_, value)| value));
        command.stdin(Stdio::piped());
        self.run(command, "erl_call", Some(&format!("{expression}.")))
    }

    fn rabbitmqctl_eval(&self, expression: &str) -> Result<String, ManagedError> {
        let program = self.server.with_file_name("rabbitmqctl");
        if !program.is_file() {
            return Err(ManagedError::ProgramNotFound {
                program: "rabbitmqctl",
                tried: vec![program],
            });
        }
        let mut command = Command::new(program);
        command.args(["--quiet", "eval", &format!("{expression}.")]);
        command.stdin(Stdio::null());
        self.run(command, "eval", None).map(|said| said.trim().to_owned())
    }

    fn run(&self, mut command: Command, what: &str, input: Option<&str>) -> Result<String, ManagedError> {
        let failed = |why: String| ManagedError::Control {
            arguments: what.to_owned(),
            why: self.uri.mask_secrets(why.trim()),
        };
        let io = |error: std::io::Error| failed(error.to_string());
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(io)?;
        if let (Some(mut to), Some(text)) = (child.stdin.take(), input) {
            // A program that is gone says why by itself.
            let _ = to.write_all(text.as_bytes());
        }
        let started = Instant::now();
        let status = loop {
            match child.try_wait().map_err(io)? {
                Some(status) => break status,
                None if started.elapsed() > PATIENCE => {
                    let _ = (child.kill(), child.wait());
                    return Err(failed(format!("no end within {PATIENCE:?}")));
                }
                None => std::thread::sleep(POLL / 10),
            }
        };
        // An expression's value is short: it fits the pipe of a program that has ended.
        let (mut printed, mut errors) = (String::new(), String::new());
        let reading = child.stdout.take().map(|mut out| out.read_to_string(&mut printed));
        reading.transpose().map_err(io)?;
        let reading = child.stderr.take().map(|mut out| out.read_to_string(&mut errors));
        reading.transpose().map_err(io)?;
        if status.success() {
            Ok(printed)
        } else {
            Err(failed(format!("{status}: {printed}{errors}")))
        }
    }
}
