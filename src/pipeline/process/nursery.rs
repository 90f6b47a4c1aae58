//! Starts processes that die with this one, however it dies.
//!
//! The kernel sends the parent-death signal at the death of the *thread* that started the child, and threads of an async
//! runtime come and go. So all of them are started by one thread, which lives as long as the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use nix::sys::signal::Signal;
use nix::unistd::getppid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Birth = Box<dyn FnOnce() + Send>;

fn nursery() -> io::Result<&'static Sender<Birth>> {
    static NURSERY: OnceLock<Sender<Birth>> = OnceLock::new();
    if let Some(nursery) = NURSERY.get() {
        return Ok(nursery);
    }
    let (births, waiting) = channel::<Birth>();
    let thread = std::thread::Builder::new().name("nursery".to_owned());
    thread.spawn(move || waiting.into_iter().for_each(|birth| birth()))?;
    // Of two at once the second's thread ends with its channel.
    Ok(NURSERY.get_or_init(|| births))
}

/// Starts `program worker` in a process group of its own: Ctrl-C on the terminal is the driver's to answer. It writes to
/// `told`.
///
/// # Errors
/// When the program cannot be started.
pub(super) async fn start(program: &Path, told: OwnedFd) -> io::Result<Child> {
    let (runtime, program) = (Handle::current(), program.to_owned());
    let (answer, answered) = oneshot::channel();
    let birth: Birth = Box::new(move || {
        let _entered = runtime.enter();
        // Nobody waits any more: then the child is dropped, and killed with it.
        let _ = answer.send(command(&program, told).spawn());
    });
    nursery()?.send(birth).map_err(|_| io::ErrorKind::BrokenPipe)?;
    answered.await.map_err(|_| io::ErrorKind::BrokenPipe)?
}

fn command(program: &Path, told: OwnedFd) -> Command {
    let mut command = Command::new(program);
    command
        .arg0("orderstorm")
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(told));
    command.process_group(0).kill_on_drop(true);
    let parent = nix::unistd::getpid();
    // SAFETY: runs in the forked child before exec; plain system calls that neither allocate nor lock.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the signal was asked for.
            if getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
    command
}
