//! One suite of scenarios, run on every broker kind with the same expectations: the embedded broker and a private
//! RabbitMQ node. `ORDERSTORM_CONFORMANCE_ONLY=words` runs those whose names contain the words.

use std::net::SocketAddr;
use std::panic::catch_unwind;

use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};

#[path = "conformance/client.rs"]
mod client;
mod common;
#[path = "conformance/scenarios.rs"]
mod scenarios;
mod wire;

use wire::Target;

fn run_all(kind: &str, target: &Target) -> Vec<String> {
    let only = std::env::var("ORDERSTORM_CONFORMANCE_ONLY").unwrap_or_default();
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, scenario) in scenarios::ALL.iter().filter(|(name, _)| name.contains(&only)) {
        let target = target.clone();
        match catch_unwind(move || scenario(&target)) {
            Ok(()) => passed += 1,
            Err(panic) => {
                let why = panic.downcast_ref::<String>().cloned();
                let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                failures.push(format!("{name}: {}", why.unwrap_or_default()));
            }
        }
    }
    println!("{kind}: {passed} scenarios hold, {} do not", failures.len());
    failures
}

#[test]
fn the_embedded_broker_conforms() {
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let target = Target {
        address: broker.addr(),
        user: "guest".to_owned(),
        password: "guest".to_owned(),
    };
    let failures = run_all("embedded broker", &target);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn rabbitmq_conforms() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = ManagedOptions {
        server: Some(server),
        management: false,
        prometheus: false,
        ..ManagedOptions::default()
    };
    let node = runtime.block_on(ManagedNode::start(options)).expect("a private node");
    let uri = node.uri();
    let target = Target {
        address: SocketAddr::new(uri.host().parse().expect("an address"), uri.port()),
        user: uri.user().to_owned(),
        password: uri.password().expose().to_owned(),
    };
    let failures = run_all("RabbitMQ", &target);
    runtime.block_on(node.stop()).expect("stops");
    assert!(failures.is_empty(), "{failures:#?}");
}
