//! Suites and clients written by others, against the embedded broker: starts it and runs `tests/foreign/run.sh`.
//!
//! `cargo test --test foreign -- --ignored --nocapture`. Ignored by default: it downloads packages and takes minutes; `.ci/run`
//! has it as a step of its own. `tests/foreign/run.sh HOST:PORT` alone does the same against any broker with guest/guest.

use std::path::Path;
use std::process::Command;

use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};

#[test]
#[ignore = "downloads packages by name and takes minutes"]
fn suites_and_clients_of_others_pass_on_the_embedded_broker() {
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/run.sh");
    let status = Command::new(&script)
        .arg(broker.addr().to_string())
        .status()
        .expect("the script starts");
    println!("{:?}", broker.counters());
    assert!(status.success(), "{} failed", script.display());
}
