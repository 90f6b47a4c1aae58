//! However a driver ends while a fault lasts, nothing of it is left: no node, no watchdog, no file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use nix::sys::signal::Signal;
use orderstorm::amqp::uri::BrokerUri;

use crate::common::rabbitmq_or_skip;
use crate::support::drive::{manifest_in, start, start_managed};
use crate::support::program::{Running, orderstorm};
use crate::support::spy::Spy;
use crate::support::stand::Stand;
use crate::support::{PATIENCE, eventually};

/// Processes whose command line names this directory: name and state.
pub(super) fn processes_of(dir: &Path) -> Vec<(String, char)> {
    let named = dir.to_str().expect("UTF-8").as_bytes();
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        command.windows(named.len()).find(|window| *window == named)?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        Some((name.to_owned(), rest.chars().next()?))
    })
    .collect()
}

fn beams(dir: &Path) -> Vec<char> {
    let all = processes_of(dir).into_iter();
    all.filter(|(name, _)| name == "beam.smp")
        .map(|(_, state)| state)
        .collect()
}

/// A run on a node of its own whose files are in `scratch`, with a fault at the end of its first second.
fn faulty_run(server: &Path, scratch: &Path, results: &Path, fault: &[&str]) -> Command {
    let mut command = orderstorm(&["run", "quickstart", "--quiet", "--broker", "managed", "--results"]);
    command.arg(results).env("TMPDIR", scratch);
    command.env("ORDERSTORM_RABBITMQ_SERVER", server);
    for setting in [
        &["load.warm_up=0s", "load.duration=1m", "recovery.give_up_after=1m"],
        fault,
    ]
    .concat()
    {
        command.args(["--set", setting]);
    }
    command
}

/// The settings of a fault, the signal that stops the driver, and what the states of the broker's processes tell once it has struck.
type Case = (&'static [&'static str], Signal, fn(&[char]) -> bool);

const KILLED: [&str; 3] = [
    "faults.1.what=broker-kill",
    "faults.1.at=1s",
    "faults.1.restart_after=50s",
];
const PAUSED: [&str; 2] = ["fault.broker_pause.at=1s", "fault.broker_pause.lasts=50s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_is_stopped_while_its_broker_is_down_or_paused_leaves_nothing() {
    let Some(server) = rabbitmq_or_skip() else { return };
    let cases: [Case; 2] = [
        (&KILLED, Signal::SIGINT, |beams| beams.is_empty()),
        (&PAUSED, Signal::SIGTERM, |beams| beams.contains(&'T')),
    ];
    for (fault, signal, struck) in cases {
        let [scratch, results] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let mut command = faulty_run(&server, scratch.path(), results.path(), fault);
        let starting = tokio::task::spawn_blocking(move || Running::start(&mut command));
        eventually("the load", || manifest_in(results.path())).await;
        eventually("the fault", || struck(&beams(scratch.path())).then_some(())).await;
        let run = starting.await.expect("no panic");
        run.signal(signal);
        let said = run.said();
        assert_eq!(said.code, Some(130), "{signal}: {said:#?}");
        assert_eq!(processes_of(scratch.path()), [], "{signal}");
        let left: Vec<_> = std::fs::read_dir(scratch.path()).expect("a directory").collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
}

/// The directory of the node that listens on this port, started by this process.
fn node_at(port: u16) -> Option<PathBuf> {
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    let mut dirs = all.filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace();
        (fields.nth(1)?.parse() == Ok(std::process::id())).then_some(())?;
        let command = String::from_utf8(std::fs::read(entry.path().join("cmdline")).ok()?).ok()?;
        let dir = PathBuf::from(command.split('\0').find(|word| word.contains("/orderstorm-node-"))?);
        let configuration = std::fs::read_to_string(dir.join("rabbitmq.conf")).ok()?;
        configuration.contains(&format!("127.0.0.1:{port}")).then_some(dir)
    });
    dirs.next()
}

#[test]
fn a_driver_that_panics_while_its_broker_is_down_leaves_nothing() {
    let Some(server) = rabbitmq_or_skip() else { return };
    let (found, node) = mpsc::channel();
    let driver = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let run = start_managed(
                &server,
                &[
                    "load.rate=40/s",
                    "load.duration=1m",
                    "faults.1.what=broker-kill",
                    "faults.1.at=1s",
                    "faults.1.restart_after=50s",
                ],
            );
            let manifest = eventually("the load", || manifest_in(run.results())).await;
            let port = manifest.broker.parse::<BrokerUri>().expect("an address").port();
            let dir = eventually("the node", || node_at(port)).await;
            eventually("the fault", || beams(&dir).is_empty().then_some(())).await;
            found.send(dir).expect("the test waits");
            // Not `panic!`: nobody needs to read of it.
            std::panic::resume_unwind(Box::new("a defect of the driver"));
        });
    });
    let dir = node.recv_timeout(PATIENCE).expect("the fault strikes");
    assert!(driver.join().is_err(), "the driver panicked");
    assert_eq!(processes_of(&dir), []);
    assert!(!dir.exists(), "{} is left", dir.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_while_its_network_stands_still_drains_through_it() {
    let stand = Stand::start().await;
    let run = start(
        &stand,
        &[
            "load.rate=100/s",
            "load.duration=1m",
            "faults.1.what=network-stall",
            "faults.1.stage=order",
            "faults.1.after=5",
            "faults.1.lasts=50s",
        ],
    );
    let prefix = run.prefix().await;
    // The load goes on past the order at which the stage's network stands still.
    let spy = Spy::connect(stand.uri()).await;
    spy.copies(&prefix, "order.created").await.take(60).await;
    run.interrupt.0.cancel();
    let done = run.done().await;
    let trial = done.trial();
    let [event] = trial.fault_events.as_slice() else {
        panic!("{:?}", trial.fault_events);
    };
    assert!(event.healed_s.is_some_and(|healed| healed < 40.0), "{event:?}");
    assert!(trial.drain.drained && trial.ledger.fates.lost == 0, "{:?}", trial.drain);
    assert_eq!(done.record.outcome.exit_code, 130);
}
