//! The managed node on a real RabbitMQ: it works, takes faults, and leaves nothing behind however its driver ends.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use orderstorm::broker::greeting::greet;
use orderstorm::broker::managed::{ManagedError, ManagedNode, ManagedOptions};
use orderstorm::broker::management::{AlarmState, ManagementError};

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

/// Processes whose environment or arguments name `dir`, as everything that a node starts does: number and arguments.
fn processes_naming(dir: &Path) -> Vec<(i32, String)> {
    let needle = dir.to_str().expect("a UTF-8 path").as_bytes();
    let names = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |file| std::fs::read(process.path().join(file)).unwrap_or_default();
        let arguments = read("cmdline");
        if pid != own_pid() && (names(&read("environ")) || names(&arguments)) {
            found.push((pid, String::from_utf8_lossy(&arguments).replace('\0', " ")));
        }
    }
    found
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a pid")
}

/// Local addresses, as the kernel writes them, of the TCP sockets on which the processes listen.
fn listening(processes: &[(i32, String)]) -> Vec<String> {
    let sockets: Vec<String> = processes
        .iter()
        .flat_map(|(pid, _)| {
            std::fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
                .flatten()
        })
        .filter_map(|fd| {
            std::fs::read_link(fd.path())
                .ok()?
                .to_str()?
                .strip_prefix("socket:[")
                .map(str::to_owned)
        })
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let rows = tables
        .iter()
        .flat_map(|table| table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()));
    let ours = rows.filter(|row| row[3] == "0A" && sockets.iter().any(|socket| socket.trim_end_matches(']') == row[9]));
    ours.map(|row| row[1].to_owned()).collect()
}

fn assert_is_private(node: &ManagedNode) {
    let processes = processes_naming(node.state_dir());
    let addresses = listening(&processes);
    // 127.0.0.1, and ::1 which epmd always adds.
    let loopback = ["0100007F:", "00000000000000000000000001000000:"];
    let is_loopback = |address: &&String| loopback.iter().any(|prefix| address.starts_with(prefix));
    assert_eq!(
        addresses.iter().filter(is_loopback).count(),
        addresses.len(),
        "{addresses:?}"
    );
    assert!(
        addresses.len() >= 5,
        "epmd, distribution, AMQP, management, Prometheus: {addresses:?}"
    );
    let password = node.uri().password().expose();
    assert!(
        processes.iter().all(|(_, arguments)| !arguments.contains(password)),
        "the password is an argument"
    );
    for file in ["", "rabbitmq.conf", ".erlang.cookie", "server.log"] {
        let mode = std::fs::metadata(node.state_dir().join(file))
            .expect(file)
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file:?} is open to others: {mode:o}");
    }
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

    assert_is_private(&node);

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
        orderstorm::amqp::uri::BrokerUri::from_parts("orderstorm", password, "127.0.0.1", second.uri().port(), "/");
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
async fn the_management_api_of_a_node_tells_what_its_clients_did() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let node = ManagedNode::start(options(server, parent.path()))
        .await
        .expect("a node");
    let api = node.management_client().expect("with the plugin");

    let overview = api.overview().await.expect("an overview");
    println!("{overview:?}");
    assert_eq!(overview.rabbitmq_version, node.version().rabbitmq);
    assert!(
        overview
            .enabled_features
            .expect("for an administrator")
            .contains(&"quorum_queue".to_owned())
    );
    let node_figures = async {
        loop {
            let nodes = api.nodes().await.expect("nodes");
            if nodes.iter().all(|node| node.os_pid.is_some()) {
                return nodes;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let nodes = in_time("figures of the node, which come after its first report", node_figures).await;
    assert_eq!(
        (nodes.len(), nodes[0].os_pid, nodes[0].mem_alarm),
        (1, node.pid(), Some(false))
    );
    assert!(nodes[0].mem_used > Some(0) && nodes[0].disk_free > Some(0), "{nodes:?}");
    assert!(
        api.whoami()
            .await
            .expect("a user")
            .tags
            .contains(&"administrator".to_owned())
    );
    assert_eq!(api.alarms().await.expect("a check"), AlarmState::Clear);

    node.control(&["set_vm_memory_high_watermark", "absolute", "1"])
        .await
        .expect("set");
    assert!(
        matches!(api.alarms().await.expect("a check"), AlarmState::Raised(alarms) if alarms[0].resource == "memory")
    );
    node.control(&["set_vm_memory_high_watermark", "0.6"])
        .await
        .expect("set back");
    assert_eq!(api.alarms().await.expect("a check"), AlarmState::Clear);
    let refused = node.control(&["no_such_command"]).await.expect_err("unknown");
    assert!(matches!(refused, ManagedError::Control { .. }), "{refused}");

    let vhost = "orderstorm/a %";
    api.create_vhost(vhost).await.expect("made");
    api.create_vhost(vhost).await.expect("making it twice is harmless");
    api.grant_own_user(vhost).await.expect("granted");
    let connecting = Connection::connect_uri(
        node.uri().with_vhost(vhost).to_client(),
        ConnectionProperties::default(),
    );
    let connection = in_time("connect", connecting).await.expect("permitted");
    let channel = channel_with_queue(&connection).await;
    publish_persistent(&channel, 3).await;
    let get = channel.basic_get(QUEUE.into(), BasicGetOptions::default());
    let unacked = in_time("get", get).await.expect("answered").expect("a message");

    let written = Instant::now();
    loop {
        let queues = api.queues(vhost).await.expect("queues");
        let figures = queues
            .first()
            .map(|queue| (queue.messages_ready, queue.messages_unacknowledged, queue.messages));
        if figures == Some((Some(2), Some(1), Some(3))) {
            break;
        }
        assert!(written.elapsed() < STEP, "figures stay {figures:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("queue figures after {:?}", written.elapsed());
    let totals = api.message_totals().await.expect("metrics").expect("with the plugin");
    assert_eq!(
        (totals.received, totals.confirmed, totals.acknowledged),
        (Some(3), Some(3), Some(0))
    );
    assert!(
        api.exchanges(vhost)
            .await
            .expect("exchanges")
            .iter()
            .any(|exchange| exchange.name == "amq.topic")
    );
    drop(unacked);

    api.delete_vhost(vhost).await.expect("deleted");
    let gone = api.delete_vhost(vhost).await.expect_err("not there any more");
    assert!(matches!(gone, ManagementError::NotFound { .. }), "{gone}");
    let gone = api.queues(vhost).await.expect_err("not there any more");
    assert!(matches!(gone, ManagementError::NotFound { .. }), "{gone}");
    node.stop().await.expect("stopped");
    let gone = api.overview().await.expect_err("stopped");
    assert!(matches!(gone, ManagementError::Unreachable { .. }), "{gone}");
    drop(boot);
}

/// Starts this program again as the driver of a node, in a process group of its own like a job of a shell.
fn spawn_driver(parent: &Path) -> Child {
    Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "driver_that_gets_killed", "--ignored", "--nocapture"])
        .env(DRIVER_DIR, parent)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver")
}

fn wait_until_ready(driver: &mut Child) {
    let output = BufReader::new(driver.stdout.take().expect("piped"));
    let ready = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("driver is ready"));
    assert!(ready, "the driver ended early: {:?}", driver.wait());
}

/// What Ctrl-C in a terminal does: SIGINT to every process of the job.
fn interrupt_group(driver: &Child) {
    let group = Pid::from_raw(i32::try_from(driver.id()).expect("a pid"));
    killpg(group, Signal::SIGINT).expect("SIGINT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_killed_or_interrupted_leaves_nothing() {
    if common::rabbitmq_or_skip().is_none() {
        return;
    }
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    for end in ["killed", "interrupted", "killed while the node boots"] {
        let mut driver = spawn_driver(parent.path());
        if end == "killed while the node boots" {
            let started = Instant::now();
            while !processes_naming(&parent.path().join("orderstorm-node-"))
                .iter()
                .any(|(_, a)| a.contains("beam.smp"))
            {
                assert!(started.elapsed() < STEP, "no Erlang machine was started");
                std::thread::sleep(Duration::from_millis(5));
            }
        } else {
            wait_until_ready(&mut driver);
        }
        assert!(!processes_naming(&parent.path().join("orderstorm-node-")).is_empty());
        if end == "interrupted" {
            interrupt_group(&driver)
        } else {
            driver.kill().expect("SIGKILL")
        }
        driver.wait().expect("ended");
        assert_nothing_is_left(parent.path());
    }
    drop(boot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_watchdog_was_killed_is_still_cleaned_up() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let boot = BOOT.lock().await;
    let node = ManagedNode::start(options(server, parent.path()))
        .await
        .expect("a node");
    let processes = processes_naming(node.state_dir());
    let (watchdog, _) = processes
        .iter()
        .find(|(_, arguments)| arguments.contains("orderstorm-watchdog"))
        .expect("one");
    kill(Pid::from_raw(*watchdog), Signal::SIGKILL).expect("SIGKILL");
    assert!(node.restart().await.is_err(), "nobody is there to start it");
    node.stop().await.expect("stopped");
    assert_nothing_is_left(parent.path());
    drop(boot);
}

/// Not a test: the process that `a_driver_that_is_killed_or_interrupted_leaves_nothing` starts and ends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_driver_that_is_killed_or_interrupted_leaves_nothing"]
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
