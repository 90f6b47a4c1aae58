//! What the scenario tests share: a broker to run against, runs inside this process, runs as child processes, a look at the
//! broker from beside the run, and a wire that can be slowed down.
//!
//! The broker is a parameter: the embedded one by default, a managed RabbitMQ node with `ORDERSTORM_TEST_BROKER=managed`.

// Each test binary compiles this module for itself and uses its own part of it.
#![allow(dead_code)]

pub mod drive;
pub mod postgres;
pub mod processes;
pub mod program;
pub mod proxy;
pub mod spy;
pub mod stand;

use std::time::Duration;

/// Longest wait for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `look` gives something.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Awaits `work`, but not for ever.
///
/// # Panics
/// When it does not end within [`PATIENCE`].
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}
