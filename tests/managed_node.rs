//! The managed node on a real RabbitMQ: it works, takes faults, and leaves nothing behind however its driver ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use orderstorm::broker::greeting::greet;
use orderstorm::broker::managed::{ManagedError, ManagedNode, ManagedOptions};

mod common;

/// Nodes boot one at a time: two cores boot two of them no faster, but miss deadlines.
static BOOT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const QUEUE: &str = "orderstorm.test";
const STEP: Duration = Duration::from_secs(20);
const DRIVER_DIR: &str = "ORDERSTORM_TEST_DRIVER_DIR";

fn options(server: PathBuf, parent: &Path) -> ManagedOptions {
    ManagedOptions {
        server: Some(server),
        state_parent: Some(parent.to_owned()),
        ..ManagedOptions::default()
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(STEP, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {STEP:?}"))
}

async fn connect(node: &ManagedNode) -> Connection {
    let connecting = Connection::connect_uri(node.uri().to_client(), ConnectionProperties::default());
    in_time("connect", connecting)
        .await
        .expect("login with the node's own user")
}

async fn channel_with_queue(connection: &Connection) -> Channel {
    let channel = in_time("open a channel", connection.create_channel())
        .await
        .expect("a channel");
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    in_time(
        "declare",
        channel.queue_declare(QUEUE.into(), durable, FieldTable::default()),
    )
    .await
    .expect("a queue");
    in_time("confirms", channel.confirm_select(ConfirmSelectOptions::default()))
        .await
        .expect("confirm mode");
    channel
}

async fn publish_persistent(channel: &Channel, count: u32) {
    for n in 0..count {
        let payload = n.to_be_bytes();
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let publish = channel.basic_publish(
            "".into(),
            QUEUE.into(),
            BasicPublishOptions::default(),
            &payload,
            persistent,
        );
        let confirm = in_time("publish", publish).await.expect("written");
        assert!(in_time("confirm", confirm).await.expect("answered").is_ack());
    }
}

async fn consume_all(channel: &Channel, count: u32) {
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default());
    let mut consumer = in_time("consume", consumer).await.expect("a consumer");
    for n in 0..count {
        let delivery = in_time("delivery", consumer.next())
            .await
            .expect("no end")
            .expect("no error");
        assert_eq!(delivery.data, n.to_be_bytes());
    }
}

/// Processes whose environment or arguments name `dir`: everything a node starts does.
fn processes_naming(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().expect("a UTF-8 path").as_bytes();
    let names = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let read = |file| std::fs::read(process.path().join(file)).unwrap_or_default();
        let own = process.file_name().to_str() == Some(std::process::id().to_string().as_str());
        if !own && (names(&read("environ")) || names(&read("cmdline"))) {
            found.push(String::from_utf8_lossy(&read("stat")).chars().take(60).collect());
        }
    }
    found
}

/// Waits until nothing of the nodes below `parent` is left, neither process nor file.
fn assert_nothing_is_left(parent: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let processes = processes_naming(&parent.join("orderstorm-node-"));
        let files: Vec<_> = std::fs::read_dir(parent).expect("the parent stays").flatten().collect();
        if processes.is_empty() && files.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {processes:?} {files:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_stalls_dies_returns_with_its_messages_and_leaves_nothing() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let node = ManagedNode::start(options(server, parent.path()))
        .await
        .expect("a node");
    println!("{:?} as {:?}, pid {:?}", node.version(), node.uri(), node.pid());
    assert!(node.version().rabbitmq.starts_with(|c: char| c.is_ascii_digit()));
    assert!(node.version().erlang.is_some() && node.management_uri().is_some() && node.prometheus_port().is_some());
    assert!(node.uri().is_loopback().expect("an address"));

    let connection = connect(&node).await;
    let channel = channel_with_queue(&connection).await;
    publish_persistent(&channel, 20).await;
    consume_all(&channel, 20).await;
    let _ = in_time("close", connection.close(200, "done".into())).await;

    let address = format!("127.0.0.1:{}", node.uri().port()).parse().expect("an address");
    let patience = Duration::from_millis(300);
    node.pause().expect("runs");
    greet(address, patience)
        .await
        .expect_err("a paused broker does not answer");
    node.resume().expect("paused");
    node.resume().expect("resuming twice is harmless");
    greet(address, STEP).await.expect("a resumed broker answers");

    let connection = connect(&node).await;
    publish_persistent(&channel_with_queue(&connection).await, 50).await;
    let first_pid = node.pid().expect("runs");
    node.kill().await.expect("killed");
    node.kill().await.expect("killing twice is harmless");
    assert_eq!(node.pid(), None);
    assert!(matches!(node.pause(), Err(ManagedError::NotRunning { .. })));
    greet(address, patience)
        .await
        .expect_err("a dead broker does not answer");
    node.restart().await.expect("starts again");
    assert_ne!(node.pid().expect("runs"), first_pid);
    let connection = connect(&node).await;
    consume_all(&channel_with_queue(&connection).await, 50).await;

    let dir = node.state_dir().to_owned();
    assert!(
        !processes_naming(&dir).is_empty(),
        "the search for leftovers must be able to find some"
    );
    let started = Instant::now();
    node.stop().await.expect("stopped");
    println!("stopped in {:?}", started.elapsed());
    assert!(!dir.exists());
    assert_nothing_is_left(parent.path());
    drop(boot);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_keeps_messages_and_a_paused_node_can_be_dropped() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let lean = ManagedOptions {
        management: false,
        prometheus: false,
        ..options(server, parent.path())
    };
    let node = ManagedNode::start(lean).await.expect("a node");
    assert_eq!((node.management_uri(), node.prometheus_port()), (None, None));
    let connection = connect(&node).await;
    publish_persistent(&channel_with_queue(&connection).await, 5).await;
    node.pause().expect("runs");
    node.restart().await.expect("a paused node restarts too");
    let connection = connect(&node).await;
    let channel = channel_with_queue(&connection).await;
    let message = in_time("get", channel.basic_get(QUEUE.into(), BasicGetOptions::default()))
        .await
        .expect("answered");
    assert_eq!(message.expect("a message").message_count, 4);
    node.pause().expect("runs");
    drop(node);
    assert_nothing_is_left(parent.path());
    drop(boot);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_run_side_by_side_with_logins_of_their_own() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let start = || ManagedNode::start(options(server.clone(), parent.path()));
    let (first, second) = tokio::join!(start(), start());
    let (first, second) = (first.expect("first node"), second.expect("second node"));
    connect(&first).await;
    connect(&second).await;
    let password = first.uri().password().clone();
    let stranger =
        orderstorm::broker::uri::BrokerUri::from_parts("orderstorm", password, "127.0.0.1", second.uri().port(), "/");
    let refused = Connection::connect_uri(stranger.to_client(), ConnectionProperties::default());
    in_time("login", refused)
        .await
        .expect_err("the password of the other node");
    first.kill().await.expect("killed");
    connect(&second).await;
    drop((first, second));
    assert_nothing_is_left(parent.path());
    drop(boot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_dropped_or_fails_leaves_nothing() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let start = ManagedNode::start(options(server.clone(), parent.path()));
    tokio::time::timeout(Duration::from_millis(1500), start)
        .await
        .expect_err("no node boots that fast");
    assert_nothing_is_left(parent.path());

    let mut broken = options(server, parent.path());
    broken.settings.push(("no.such.setting".to_owned(), "1".to_owned()));
    let error = ManagedNode::start(broken).await.expect_err("an unknown setting");
    assert!(
        matches!(error, ManagedError::Ended { .. }) && error.to_string().contains("no.such.setting"),
        "{error}"
    );
    assert_nothing_is_left(parent.path());
    drop(boot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_leaves_nothing() {
    if common::rabbitmq_or_skip().is_none() {
        return;
    }
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let mut driver = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "driver_that_gets_killed", "--ignored", "--nocapture"])
        .env(DRIVER_DIR, parent.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver");
    let output = BufReader::new(driver.stdout.take().expect("piped"));
    let ready = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("driver is ready"));
    assert!(ready, "the driver ended early: {:?}", driver.wait());
    assert!(!processes_naming(&parent.path().join("orderstorm-node-")).is_empty());
    driver.kill().expect("SIGKILL");
    driver.wait().expect("ended");
    assert_nothing_is_left(parent.path());
    drop(boot);
}

/// Not a test: the process that `a_killed_driver_leaves_nothing` starts and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_killed_driver_leaves_nothing"]
async fn driver_that_gets_killed() {
    let Some(parent) = std::env::var_os(DRIVER_DIR).map(PathBuf::from) else {
        return;
    };
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let node = ManagedNode::start(options(server, &parent)).await.expect("a node");
    println!("driver is ready with {:?}", node.pid());
    std::future::pending::<()>().await;
}
