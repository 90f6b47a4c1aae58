//! A PostgreSQL server for tests, and a look at it from beside the run.

use std::sync::LazyLock;

use orderstorm::pipeline::store::postgres::{Cluster, PostgresAddress, PostgresError};
use tokio_postgres::{Client, NoTls};

/// Set by CI: a missing PostgreSQL is a failure.
const REQUIRED: &str = "ORDERSTORM_REQUIRE_POSTGRES";

/// The server that all tests of this binary share; it ends with the process.
static SERVER: LazyLock<Option<Cluster>> = LazyLock::new(|| match Cluster::start() {
    Ok(cluster) => Some(cluster),
    Err(PostgresError::NotInstalled { .. }) if std::env::var_os(REQUIRED).is_none() => None,
    Err(error) => panic!("{error}"),
});

/// Whether there is a PostgreSQL on this machine; says so where there is none.
///
/// # Panics
/// When there is none and CI requires one.
pub fn is_installed() -> bool {
    let installed = Cluster::installed().is_some();
    assert!(
        installed || std::env::var_os(REQUIRED).is_none(),
        "PostgreSQL is not installed, and {REQUIRED} is set"
    );
    if !installed {
        eprintln!("SKIPPED: PostgreSQL is not installed ({REQUIRED}=1 makes that a failure)");
    }
    installed
}

/// The shared server's address; absent where there is none.
pub async fn server() -> Option<PostgresAddress> {
    let looking = tokio::task::spawn_blocking(|| {
        is_installed()
            .then(|| SERVER.as_ref().map(|cluster| cluster.address().clone()))
            .flatten()
    });
    looking.await.expect("no panic")
}

/// A connection of the test's own.
pub async fn client(address: &PostgresAddress) -> Client {
    let (client, connection) = tokio_postgres::connect(address.exposed().expose(), NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
}

/// The schemas of runs, on the whole server.
pub async fn schemas(client: &Client) -> Vec<String> {
    let query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'orderstorm%' ORDER BY 1";
    let rows = client.query(query, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get(0)).collect()
}
