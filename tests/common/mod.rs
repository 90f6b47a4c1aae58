//! What tests with a real RabbitMQ share: the rule of when they may be skipped.

use std::path::{Path, PathBuf};

const INSTALLED: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The server to test with: that of `ORDERSTORM_RABBITMQ_SERVER`, else the installed one. Without any it prints one
/// line and gives `None`, whereupon the test returns; with `ORDERSTORM_REQUIRE_RABBITMQ=1` it fails instead.
///
/// # Panics
/// When a server is required, or one is named, and it is not there.
pub fn rabbitmq_or_skip() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ORDERSTORM_RABBITMQ_SERVER").map(PathBuf::from) {
        assert!(
            named.is_file(),
            "ORDERSTORM_RABBITMQ_SERVER names {}, which is no file",
            named.display()
        );
        return Some(named);
    }
    let installed = Path::new(INSTALLED);
    if installed.is_file() {
        return Some(installed.to_owned());
    }
    let required = std::env::var("ORDERSTORM_REQUIRE_RABBITMQ").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "ORDERSTORM_REQUIRE_RABBITMQ=1, but {INSTALLED} is not there: apt-get install rabbitmq-server"
    );
    println!("skipped: no {INSTALLED} (apt-get install rabbitmq-server, or set ORDERSTORM_RABBITMQ_SERVER)");
    None
}
