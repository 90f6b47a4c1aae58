//! Stores on PostgreSQL: on a server of the user's, on a throw-away cluster, and what is left of either.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orderstorm::results::record::{self, RunRecord};
use orderstorm::runner::Manifest;
use tempfile::TempDir;

use crate::support::drive::manifest_in;
use crate::support::eventually;
use crate::support::postgres::{client, is_installed, schemas, server};
use crate::support::program::{Running, finish, only_entry, orderstorm};
use crate::{SHORT, results};

const URL: &str = "ORDERSTORM_POSTGRES_URL";
/// Between the characters that addresses must escape stand words that nothing else contains.
const PASSWORD: &str = "zebra@quagga%okapi/tapir";
const WORDS: [&str; 4] = ["zebra", "quagga", "okapi", "tapir"];

/// Payment's state on PostgreSQL, its events through the outbox.
const STORE: [&str; 4] = [
    "--set",
    "stage.payment.store=postgres",
    "--set",
    "stage.payment.publish=outbox",
];

fn short(results: &TempDir) -> Command {
    let mut command = orderstorm(&SHORT);
    command.arg(results.path()).args(STORE);
    command
}

fn read(folder: &Path) -> RunRecord {
    record::read(folder).expect("a record")
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] })
        .collect()
}

fn assert_silent(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for word in WORDS {
        assert!(!text.contains(word), "{what} contains `{word}`");
    }
}

/// A folder for temporary files that the user which PostgreSQL runs as can reach.
fn open_folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = results();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).expect("its own folder");
    folder
}

/// The process of the cluster in `tmp`, once it runs.
async fn postmaster(tmp: &Path) -> (PathBuf, Pid) {
    eventually("the cluster's process", || {
        let dir = std::fs::read_dir(tmp).ok()?.flatten().next()?.path();
        let pid = std::fs::read_to_string(dir.join("data/postmaster.pid")).ok()?;
        Some((dir, Pid::from_raw(pid.lines().next()?.parse().ok()?)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_server_is_left_as_it_was_and_its_password_is_found_nowhere() {
    let Some(address) = server().await else { return };
    let admin = client(&address).await;
    let made = format!(
        "CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE postgres TO shop;
         CREATE SCHEMA orderstorm_other AUTHORIZATION shop; CREATE TABLE orderstorm_other.kept (n int);
         INSERT INTO orderstorm_other.kept VALUES (7)"
    );
    admin.batch_execute(&made).await.expect("a role and a schema");
    let at = address.target().expect("a host");
    let url = format!("postgres://shop:zebra%40quagga%25okapi%2Ftapir@{at}/postgres");
    let dir = results();
    let said = finish(short(&dir).env(URL, &url));
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    let folder = only_entry(dir.path());
    let record = read(&folder);
    let database = record.database.as_ref().expect("a database");
    assert_eq!(
        (database.kind.as_str(), database.address.as_str()),
        ("external", format!("postgresql://shop@{at}/postgres").as_str())
    );
    assert!(said.out.contains("PostgreSQL 1") && database.fsync, "{}", said.out);
    let listed = Manifest::read(&folder).expect("a manifest").schemas.expect("schemas");
    assert_eq!((listed.names.len(), listed.managed), (1, false));
    assert!(listed.names[0].ends_with("_1_payment"), "{listed:?}");
    assert_silent("standard output", said.out.as_bytes());
    assert_silent("standard error", said.err.as_bytes());
    for file in files_under(dir.path()) {
        assert_silent(&file.display().to_string(), &std::fs::read(&file).expect("readable"));
    }
    let stranger = ["orderstorm_other".to_owned()];
    assert_eq!(
        schemas(&admin)
            .await
            .iter()
            .filter(|name| listed.names.contains(name))
            .count(),
        0
    );
    let kept = admin.query_one("SELECT n FROM orderstorm_other.kept", &[]).await;
    assert_eq!(kept.expect("the row of another").get::<_, i32>(0), 7);
    // A manifest that names what no run of ours makes is refused.
    let refused = Manifest {
        schemas: Some(orderstorm::runner::Schemas {
            names: vec!["public".to_owned()],
            ..listed
        }),
        ..Manifest::read(&folder).expect("a manifest")
    };
    std::fs::write(folder.join("manifest.json"), refused.to_bytes()).expect("written");
    let said = finish(orderstorm(&["cleanup", folder.to_str().expect("UTF-8")]).env(URL, &url));
    said.fails(1, &["`public` is no schema of a run"]);
    assert!(schemas(&admin).await.contains(&stranger[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_run_left_on_a_given_server_is_cleaned_up_by_its_list() {
    let Some(address) = server().await else { return };
    let (admin, dir) = (client(&address).await, results());
    let url = address.exposed();
    let long = ["--set", "load.duration=1m"];
    let run = Running::start(short(&dir).args(long).env(URL, url.expose()));
    let manifest = eventually("the run's manifest", || manifest_in(dir.path())).await;
    let name = manifest.schemas.expect("schemas").names[0].clone();
    while !schemas(&admin).await.contains(&name) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    run.signal(Signal::SIGKILL);
    run.said();
    let folder = only_entry(dir.path());
    let cleanup = || orderstorm(&["cleanup", folder.to_str().expect("UTF-8"), "--broker", "embedded"]);
    finish(&mut cleanup()).fails(2, &["the run kept state on postgresql://", URL]);
    for _ in 0..2 {
        finish(cleanup().env(URL, url.expose())).says(&["1 schemas of the run are off"]);
        assert!(!schemas(&admin).await.contains(&name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throw_away_cluster_goes_with_its_run_even_if_that_is_killed() {
    if !is_installed() {
        return;
    }
    let (dir, tmp) = (results(), open_folder());
    let said = finish(short(&dir).env("TMPDIR", tmp.path()));
    assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
    let record = read(&only_entry(dir.path()));
    assert_eq!(record.database.expect("a database").kind, "managed");
    assert_eq!(files_under(tmp.path()), Vec::<PathBuf>::new());

    let dir = results();
    let run = Running::start(
        short(&dir)
            .args(["--set", "load.duration=1m"])
            .env("TMPDIR", tmp.path()),
    );
    let (cluster, server) = postmaster(tmp.path()).await;
    assert!(kill(server, None).is_ok());
    run.signal(Signal::SIGKILL);
    run.said();
    eventually("the end of the cluster", || {
        (!cluster.exists() && kill(server, None).is_err()).then_some(())
    })
    .await;
}

#[test]
fn a_server_that_cannot_be_used_is_refused_with_what_to_do() {
    for (url, code, parts) in [
        (
            "postgres://shop:zebra@127.0.0.1/?sslmode=require",
            2,
            ["demands TLS", "sslmode=disable"],
        ),
        (
            "postgres://shop:zebra@192.0.2.1/shop",
            2,
            ["postgresql://shop@192.0.2.1:5432/shop", "--allow-remote"],
        ),
        ("zebra", 2, [URL, "postgres://user:password@"]),
        (
            "postgres://shop:zebra@127.0.0.1:9/shop",
            1,
            ["postgresql://shop@127.0.0.1:9/shop", "is the server up"],
        ),
    ] {
        let dir = results();
        let said = finish(short(&dir).env(URL, url));
        said.fails(code, &parts);
        assert_silent(url, said.err.as_bytes());
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0, "{url}");
        assert_silent("doctor", finish(orderstorm(&["doctor"]).env(URL, url)).out.as_bytes());
    }
}
