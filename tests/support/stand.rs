//! The broker that a test runs against.

use std::sync::LazyLock;

use orderstorm::amqp::uri::BrokerUri;
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};
use tokio::runtime::Runtime;

/// Chooses the broker of all scenario tests: `embedded` (the default) or `managed`.
pub const VARIABLE: &str = "ORDERSTORM_TEST_BROKER";

/// Whether the tests run against RabbitMQ.
pub fn on_rabbitmq() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "embedded") => false,
        Ok("managed") => true,
        Ok(other) => panic!("{VARIABLE}={other}: expected embedded or managed"),
    }
}

/// A broker for one test: an embedded one of its own, or the node that all tests of this binary share.
#[derive(Debug)]
pub struct Stand {
    uri: BrokerUri,
    embedded: Option<EmbeddedBroker>,
}

/// The node lives as long as the test binary: its threads must outlive every single test, because a node goes down with the
/// thread that started it.
struct Shared {
    node: ManagedNode,
    _runtime: Runtime,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let (to, from) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let started = ManagedNode::start(ManagedOptions::default()).await;
        to.send(started).expect("the test waits for its node");
    });
    let started = from.recv().expect("an answer");
    let node = started.unwrap_or_else(|error| panic!("{VARIABLE}=managed: {error}"));
    Shared {
        node,
        _runtime: runtime,
    }
});

impl Stand {
    /// Starts the embedded broker, or takes the shared node.
    pub async fn start() -> Stand {
        if on_rabbitmq() {
            let uri = tokio::task::spawn_blocking(|| SHARED.node.uri().clone())
                .await
                .expect("the node starts");
            return Stand { uri, embedded: None };
        }
        let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("the embedded broker starts");
        let uri = broker.uri().parse().expect("the broker's own address is legal");
        Stand {
            uri,
            embedded: Some(broker),
        }
    }

    /// Where it is.
    pub fn uri(&self) -> &BrokerUri {
        &self.uri
    }

    /// The embedded broker, unless the tests run against RabbitMQ.
    pub fn embedded(&self) -> Option<&EmbeddedBroker> {
        self.embedded.as_ref()
    }
}
