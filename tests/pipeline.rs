//! The whole pipeline on a real RabbitMQ: what the README promises, and what only a real broker can show.
//!
//! Tests whose name starts with `core_` run on RabbitMQ 4.x too (`ORDERSTORM_RABBITMQ_SERVER`).

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use orderstorm::amqp::uri::BrokerUri;
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};
use orderstorm::broker::{BrokerAlarm, BrokerChoice, Resource, RunningBroker, StartOptions};
use orderstorm::ledger::Verdict;
use orderstorm::plan::Plan;
use orderstorm::results::record::TrialRecord;
use orderstorm::runner::{self, Finished, Interrupt, Manifest, Phase, RunError, RunRequest, Snapshot};
use orderstorm::workload::check::check;
use tokio::sync::watch;

/// Longest wait for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node of the test's own; `None`: there is no RabbitMQ here, and none is required.
async fn node() -> Option<ManagedNode> {
    let server = common::rabbitmq_or_skip()?;
    Some(
        ManagedNode::start(ManagedOptions {
            server: Some(server),
            ..ManagedOptions::default()
        })
        .await
        .expect("a node"),
    )
}

fn external(uri: &BrokerUri) -> BrokerChoice {
    BrokerChoice::External(Box::new(uri.clone()))
}

/// A run in the making.
struct Running {
    results: tempfile::TempDir,
    screen: watch::Sender<Snapshot>,
    interrupt: Interrupt,
}

impl Running {
    fn new() -> Self {
        let results = tempfile::tempdir().expect("a temporary directory");
        Running {
            results,
            screen: watch::channel(Snapshot::default()).0,
            interrupt: Interrupt::default(),
        }
    }

    async fn run(&self, text: &str, choice: BrokerChoice, start: StartOptions) -> Result<Finished, RunError> {
        let plan =
            Plan::new(check("test.toml", "test", text.to_owned(), &[]).unwrap_or_else(|error| panic!("{error}")));
        let request = RunRequest {
            plan,
            choice,
            start,
            results: self.results.path().to_owned(),
            program: env!("CARGO_BIN_EXE_orderstorm").into(),
            command: "test".to_owned(),
            ceiling: None,
            report: orderstorm::report::Extent::Full,
            at_end: orderstorm::runner::AtEnd::Delete,
            postgres: None,
            search: None,
        };
        runner::run(request, &self.screen, &self.interrupt, |_| ()).await
    }

    /// Waits until the run has come to `phase`.
    async fn reaches(&self, phase: Phase) {
        let mut snapshots = self.screen.subscribe();
        let reached = snapshots.wait_for(|snapshot| snapshot.phase == phase);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the phase comes")
            .expect("the run goes on");
    }

    /// The manifest of the run that is going on.
    fn manifest(&self) -> Manifest {
        Manifest::read(&only_entry(self.results.path())).expect("a manifest, written before anything is declared")
    }
}

fn only_entry(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).expect("a directory");
    entries.next().expect("an entry").expect("a readable entry").path()
}

async fn run_on(running: &Running, node: &ManagedNode, text: &str) -> Finished {
    let start = StartOptions {
        management: node.management_uri().map(str::to_owned),
        ..StartOptions::default()
    };
    running
        .run(text, external(node.uri()), start)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn channel(uri: &BrokerUri) -> (Connection, Channel) {
    let connection = Connection::connect_uri(uri.to_client(), ConnectionProperties::default())
        .await
        .expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

fn broken(trial: &TrialRecord) -> Vec<&str> {
    let given = trial
        .promises
        .iter()
        .filter(|promise| promise.not_given_because.is_none());
    given
        .filter(|promise| promise.verdict != Verdict::Pass)
        .map(|promise| promise.name.as_str())
        .collect()
}

/// Everything passes, and each order has exactly one fate.
fn assert_sound(finished: &Finished) {
    for trial in &finished.record.trials {
        assert_eq!(broken(trial), Vec::<&str>::new(), "{:?}", trial.promises);
        assert_eq!(trial.aborted, None);
        assert_eq!(trial.ledger.fates.total(), trial.orders.published);
        assert!(trial.drain.drained);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn core_a_steady_run_accounts_for_every_order_and_agrees_with_the_broker() {
    let Some(node) = node().await else { return };
    let client = node.management_client().expect("a management plugin");
    let before = client
        .message_totals()
        .await
        .expect("totals")
        .expect("a prometheus plugin");
    let running = Running::new();
    let finished = run_on(
        &running,
        &node,
        r#"
        load = { rate = "60/s", arrival = "poisson", duration = "6s", warm_up = "1s" }
        orders = { payment_decline = "10%", stock_per_item = 60 }
        "#,
    )
    .await;
    assert_sound(&finished);
    let trial = &finished.record.trials[0];
    let fates = &trial.ledger.fates;
    assert!(
        fates.completed > 0 && fates.cancelled_out_of_stock > 0 && fates.cancelled_payment_declined > 0,
        "{fates:?}"
    );
    let counted = |of: fn(&orderstorm::broker::management::MessageTotals) -> Option<u64>| {
        let (client, before) = (client.clone(), of(&before).unwrap_or_default());
        async move {
            client
                .message_totals()
                .await
                .ok()
                .flatten()
                .and_then(|totals| of(&totals))
                .map(|now| now - before)
        }
    };
    // The counters are live, but their exporter may lag for a moment.
    let agree = async {
        loop {
            let (received, confirmed) =
                join(counted(|totals| totals.received), counted(|totals| totals.confirmed)).await;
            let delivered = counted(|totals| totals.delivered).await;
            let theirs = (received, confirmed, delivered);
            let ours = (
                Some(trial.messages.published),
                Some(trial.messages.confirmed),
                Some(trial.messages.delivered),
            );
            if theirs == ours {
                return;
            }
            eprintln!("broker {theirs:?}, driver {ours:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), agree)
        .await
        .expect("the broker's counters agree with the driver's");
    let summary = std::fs::read_to_string(finished.folder.join("summary.csv")).expect("summary.csv");
    let mut rows = csv::Reader::from_reader(summary.as_bytes());
    let headers = rows.headers().expect("a header").clone();
    let row = rows.records().next().expect("a trial").expect("a legal row");
    let cell = |name: &str| row[headers.iter().position(|header| header == name).expect("a column")].to_owned();
    assert_eq!(cell("messages_published"), trial.messages.published.to_string());
    assert_eq!(cell("messages_delivered"), trial.messages.delivered.to_string());
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn core_malformed_messages_end_as_dead_letters_and_the_run_goes_on() {
    let Some(node) = node().await else { return };
    let running = Running::new();
    let run = running.run(
        r#"load = { rate = "40/s", duration = "6s" }"#,
        external(node.uri()),
        StartOptions::default(),
    );
    let poison = async {
        running.reaches(Phase::Measure).await;
        let manifest = running.manifest();
        let queue = manifest.trials[0]
            .queues
            .iter()
            .find(|queue| queue.ends_with("inventory.queue"))
            .expect("a queue");
        let (_connection, channel) = channel(&node.uri().with_vhost(&manifest.vhost)).await;
        for i in 0..100 {
            let body = format!("{{\"schema\":1,\"type\":\"order.created\",\"orderId\":\"{i}\"");
            let properties = BasicProperties::default().with_delivery_mode(2);
            channel
                .basic_publish(
                    "".into(),
                    queue.as_str().into(),
                    BasicPublishOptions::default(),
                    body.as_bytes(),
                    properties,
                )
                .await
                .expect("a publish");
        }
    };
    let (finished, ()) = join(run, poison).await;
    let finished = finished.unwrap_or_else(|error| panic!("{error}"));
    assert_sound(&finished);
    let trial = &finished.record.trials[0];
    assert_eq!(trial.messages.malformed, 100);
    assert_eq!(trial.ledger.foreign_dead_letters, 100);
    let [(queue, reason, count)] = trial.ledger.dead_letters.as_slice() else {
        panic!("{:?}", trial.ledger.dead_letters)
    };
    assert!(queue.ends_with("inventory.dead-letter"));
    assert_eq!((reason.as_deref(), *count), (Some("rejected"), 100));
    assert_eq!(trial.ledger.fates.completed, trial.orders.published);
    node.stop().await.expect("a clean stop");
}

/// Tene's Ctrl-Z: the quantiles of a run in which the broker stood still for S of T seconds are known beforehand. Whoever
/// measures from the send, or waits for answers before sending, sees next to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn core_a_stalled_broker_shows_in_the_quantiles_as_predicted() {
    const STALL_S: f64 = 6.0;
    const TOTAL_S: f64 = 24.0;
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let text = r#"
        load = { rate = "10/s", duration = "24s" }
        fault.broker_pause = { at = "8s", lasts = "6s" }
        promises = { nothing_lost = true, nothing_twice = true }
    "#;
    let start = StartOptions {
        server: Some(server),
        ..StartOptions::default()
    };
    let finished = Running::new()
        .run(text, BrokerChoice::Managed, start)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_sound(&finished);
    let trial = &finished.record.trials[0];
    let [pause] = trial.faults.as_slice() else {
        panic!("one fault: {:?}", trial.faults)
    };
    let stall_s = pause.end_s - pause.start_s;
    assert!((stall_s - STALL_S).abs() < 0.1, "{stall_s}");
    let series = trial
        .latencies
        .iter()
        .find(|summary| summary.series == "end_to_end")
        .expect("finished orders");
    let share = STALL_S / TOTAL_S;
    // Just above 1 − f lie the orders that came when the stall was nearly over and then waited for those before them: the
    // formula leaves out the broker's catching up.
    let beyond = series.spectrum.iter().filter(|(q, _)| *q > 1.0 - 0.8 * share);
    // Catching up takes its time, and more of it where others keep the machine busy (another test's node may be starting beside
    // this one); nothing is ever ahead of the formula.
    let warnings = &trial.validity.warnings;
    let noisy = warnings.iter().any(|warning| warning.starts_with("noisy host"));
    let late = if noisy { 0.15 } else { 0.1 };
    let mut checked = 0;
    for (q, ns) in beyond {
        let (predicted_s, measured_s) = (stall_s * (q - (1.0 - share)) / share, *ns as f64 / 1e9);
        assert!(
            ((predicted_s - 0.05 * stall_s)..=(predicted_s + late * stall_s)).contains(&measured_s),
            "q {q}: {measured_s} s measured, {predicted_s} s predicted, {:?}",
            trial.validity.warnings
        );
        checked += 1;
    }
    assert!(checked >= 3, "{:?}", series.spectrum);
    let max_s = series.max_ns.expect("finished orders") as f64 / 1e9;
    assert!((0.95 * stall_s..=(1.0 + late) * stall_s).contains(&max_s), "{max_s}");
}

#[tokio::test(flavor = "multi_thread")]
async fn core_a_blocked_connection_delays_sends_and_not_the_schedule() {
    let Some(node) = node().await else { return };
    let running = Running::new();
    let run = running.run(
        r#"load = { rate = "50/s", duration = "10s" }"#,
        external(node.uri()),
        StartOptions::default(),
    );
    let alarm = async {
        running.reaches(Phase::Measure).await;
        node.control(&["set_vm_memory_high_watermark", "absolute", "1"])
            .await
            .expect("an alarm");
        let mut snapshots = running.screen.subscribe();
        let blocked = snapshots.wait_for(|snapshot| snapshot.blocked);
        tokio::time::timeout(PATIENCE, blocked)
            .await
            .expect("the block is seen")
            .expect("the run goes on");
        node.control(&["set_vm_memory_high_watermark", "0.4"])
            .await
            .expect("the end of the alarm");
    };
    let (finished, ()) = join(run, alarm).await;
    let finished = finished.unwrap_or_else(|error| panic!("{error}"));
    let trial = &finished.record.trials[0];
    assert_eq!(broken(trial), Vec::<&str>::new());
    let blocked_s = trial
        .blocked
        .iter()
        .map(|band| band.end_s - band.start_s)
        .fold(0.0, f64::max);
    assert!(blocked_s > 0.3, "{:?}", trial.blocked);
    let max = |name: &str| {
        trial
            .latencies
            .iter()
            .find(|summary| summary.series == name)
            .and_then(|summary| summary.max_ns)
    };
    let lag_s = max("send_lag").expect("orders were sent") as f64 / 1e9;
    assert!(
        lag_s > 0.5 * blocked_s,
        "blocked for {blocked_s} s, but the send lag is at most {lag_s} s"
    );
    assert!(max("end_to_end") >= max("send_lag"));
    assert_eq!(
        trial.orders.published + trial.orders.unsent,
        trial.orders.planned.expect("an open loop")
    );
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_in_the_middle_ends_the_run_and_keeps_what_was_measured() {
    let Some(node) = node().await else { return };
    let running = Running::new();
    let run = running.run(
        r#"load = { rate = "50/s", duration = "60s" }"#,
        external(node.uri()),
        StartOptions::default(),
    );
    let kill = async {
        let mut snapshots = running.screen.subscribe();
        let some = snapshots.wait_for(|snapshot| snapshot.finished > 50);
        tokio::time::timeout(PATIENCE, some)
            .await
            .expect("orders finish")
            .expect("the run goes on");
        node.kill().await.expect("a kill");
    };
    let (finished, ()) = join(run, kill).await;
    let finished = finished.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(finished.record.outcome.exit_code, 1, "{:?}", finished.record.outcome);
    assert!(
        finished.record.outcome.reason.contains("lost"),
        "{:?}",
        finished.record.outcome
    );
    let trial = &finished.record.trials[0];
    assert!(trial.orders.measured > 0 && trial.ledger.fates.total() == trial.orders.published);
    assert!(trial.ledger.fates.lost == 0 || trial.verdict != Verdict::Pass);
    assert!(finished.folder.join("complete").exists() && finished.folder.join("report.html").exists());
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_anybody_else_is_touched_and_nothing_of_ours_is_left() {
    let Some(node) = node().await else { return };
    let (_connection, channel) = channel(node.uri()).await;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare("theirs".into(), durable, FieldTable::default())
        .await
        .expect("a queue");
    let publishing = channel.basic_publish(
        "".into(),
        "theirs".into(),
        BasicPublishOptions::default(),
        b"x",
        BasicProperties::default(),
    );
    publishing.await.expect("a publish");
    let client = node.management_client().expect("a management plugin");
    for management in [None, node.management_uri().map(str::to_owned)] {
        let start = StartOptions {
            management,
            ..StartOptions::default()
        };
        let own_vhost = start.management.is_some();
        let running = Running::new();
        let run = running.run(r#"load = { rate = "20/s", orders = 20 }"#, external(node.uri()), start);
        let look = async {
            running.reaches(Phase::Drain).await;
            running.manifest()
        };
        let (finished, manifest) = join(run, look).await;
        let finished = finished.unwrap_or_else(|error| panic!("{error}"));
        assert_sound(&finished);
        assert_eq!((manifest.own_vhost, manifest.vhost == "/"), (own_vhost, !own_vhost));
        let queues = client.queues("/").await.expect("queues");
        assert_eq!(
            queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(),
            ["theirs"]
        );
        let exchanges = client.exchanges("/").await.expect("exchanges");
        assert!(
            exchanges
                .iter()
                .all(|exchange| !exchange.name.starts_with("orderstorm")),
            "{exchanges:?}"
        );
        assert!(
            !own_vhost || client.queues(&manifest.vhost).await.is_err(),
            "the run's own vhost is still there"
        );
    }
    let theirs = channel
        .queue_declare("theirs".into(), durable, FieldTable::default())
        .await
        .expect("the same queue");
    assert_eq!(theirs.message_count(), 1);
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_order_exchange_carries_the_pipeline() {
    let Some(node) = node().await else { return };
    for kind in ["direct", "fanout", "topic"] {
        let text = format!("load = {{ rate = \"20/s\", orders = 30 }}\ntopology.order_exchange = \"{kind}\"");
        let finished = run_on(&Running::new(), &node, &text).await;
        assert_sound(&finished);
        let messages = &finished.record.trials[0].messages;
        assert_eq!(messages.not_for_stage > 0, kind == "fanout", "{kind}: {messages:?}");
    }
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_do_is_said_with_its_remedy() {
    let Some(node) = node().await else { return };
    node.control(&["add_user", "nobody", "secret"]).await.expect("a user");
    let as_nobody = |vhost: &str, password: &str| {
        let password = orderstorm::amqp::secret::Secret::new(password);
        BrokerUri::from_parts("nobody", password, "127.0.0.1", node.uri().port(), vhost)
    };
    let refusal = |uri: BrokerUri| async move {
        let start = StartOptions::default();
        let error = Running::new()
            .run("load = { orders = 5 }", external(&uri), start)
            .await
            .expect_err("a refusal");
        error.to_string()
    };
    let wrong_password = refusal(as_nobody("/", "wrong")).await;
    assert!(
        wrong_password.contains("user name or the password is wrong"),
        "{wrong_password}"
    );
    let no_permission = refusal(as_nobody("/", "secret")).await;
    assert!(no_permission.contains("no permission"), "{no_permission}");
    let no_vhost = refusal(node.uri().with_vhost("nowhere")).await;
    assert!(no_vhost.contains("the vhost does not exist"), "{no_vhost}");
    node.control(&["set_permissions", "-p", "/", "nobody", "", ".*", ".*"])
        .await
        .expect("a permission");
    let no_configure = refusal(as_nobody("/", "secret")).await;
    assert!(
        no_configure.contains("declare the exchange") && no_configure.to_lowercase().contains("access"),
        "{no_configure}"
    );
    node.stop().await.expect("a clean stop");
}

/// A full or vanished disk costs the files, not the figures.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_saved_is_still_handed_over() {
    let running = Running::new();
    let text = r#"load = { rate = "50/s", duration = "2s" }"#;
    let run = running.run(text, BrokerChoice::Embedded, StartOptions::default());
    let vanish = async {
        running.reaches(Phase::Measure).await;
        std::fs::remove_dir_all(only_entry(running.results.path())).expect("a folder of ours");
    };
    let (result, ()) = join(run, vanish).await;
    let Err(RunError::Unsaved { record, .. }) = result else {
        panic!("saved into a folder that is gone")
    };
    assert_eq!(record.trials[0].ledger.fates.completed, 100);
}

/// Payment is slower than orders come; these say what its queue does about it.
fn overloaded(settings: &str) -> String {
    format!(
        "load = {{ rate = \"200/s\", orders = 120 }}\n\
         stage.payment.service_time = \"15ms\"\n\
         stage.payment.prefetch = 1\n{settings}"
    )
}

async fn managed(text: &str) -> Option<Finished> {
    let start = StartOptions {
        server: Some(common::rabbitmq_or_skip()?),
        ..StartOptions::default()
    };
    let run = Running::new();
    let finished = run.run(text, BrokerChoice::Managed, start).await;
    Some(finished.unwrap_or_else(|error| panic!("{error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn core_what_a_full_queue_drops_is_counted_by_the_broker_too_and_nothing_else_is_missing() {
    let text = overloaded("topology.dead_letter = false\nstage.payment.max_length = 10");
    let Some(finished) = managed(&text).await else { return };
    let trial = &finished.record.trials[0];
    let fates = &trial.ledger.fates;
    assert!(fates.dropped > 10 && fates.lost == 0, "{fates:?}");
    assert_eq!(fates.completed + fates.dropped, trial.orders.published);
    assert_eq!(trial.ledger.dropped_by_broker, Some(fates.dropped));
    assert_eq!(broken(trial), Vec::<&str>::new(), "{:?}", trial.promises);
    let text = format!("{text}\ncanary = {{ defect = \"lose-delivery\", every = 10 }}");
    let Some(finished) = managed(&text).await else { return };
    let trial = &finished.record.trials[0];
    assert!(
        trial.ledger.fates.lost > 0 && trial.ledger.fates.dropped > 0,
        "{:?}",
        trial.ledger.fates
    );
    assert_eq!(broken(trial), ["losses_explained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn core_each_setting_of_a_queue_is_honoured_by_rabbitmq() {
    let Some(node) = node().await else { return };
    let run = async |settings: &str| {
        let finished = run_on(&Running::new(), &node, &overloaded(settings)).await;
        assert_sound(&finished);
        finished.record.trials[0].clone()
    };
    let dead = |trial: &TrialRecord, stage: &str, reason: &str| {
        let letters = trial.ledger.dead_letters.iter().filter(|(queue, why, _)| {
            queue.ends_with(&format!("{stage}.dead-letter")) && why.as_deref() == Some(reason)
        });
        letters.map(|(_, _, count)| count).sum::<u64>()
    };
    let refused = |trial: &TrialRecord| trial.stages.iter().map(|stage| stage.refused).sum::<u64>();

    let trial = run("stage.payment.max_length = 10").await;
    assert!(
        dead(&trial, "payment", "maxlen") > 10,
        "{:?}",
        trial.ledger.dead_letters
    );
    assert_eq!(dead(&trial, "payment", "maxlen"), trial.ledger.fates.dead_lettered);

    let trial = run("stage.payment.max_length_bytes = \"3KiB\"\nstage.payment.overflow = \"reject-publish\"").await;
    assert!(refused(&trial) > 0 && trial.ledger.dead_letters.is_empty());
    assert_eq!(trial.ledger.fates.completed, 120);

    let trial = run("stage.payment.max_length = 10\nstage.payment.overflow = \"reject-publish-dlx\"").await;
    assert!(refused(&trial) > 0);
    assert_eq!(dead(&trial, "payment", "maxlen"), refused(&trial));

    for ttl in ["stage.payment.message_ttl = \"150ms\"", "publish.ttl = \"150ms\""] {
        let trial = run(ttl).await;
        assert!(
            dead(&trial, "payment", "expired") > 10,
            "{ttl}: {:?}",
            trial.ledger.dead_letters
        );
        let respected = trial.promises.iter().find(|promise| promise.name == "ttl_respected");
        assert!(
            respected.is_some_and(|promise| promise.verdict == Verdict::Pass),
            "{respected:?}"
        );
    }

    let trial = run("orders.urgent = \"20%\"\nstage.payment.max_priority = 5").await;
    let mean = |name: &str| {
        let series = trial.latencies.iter().find(|summary| summary.series == name);
        series
            .and_then(|summary| summary.mean_ns)
            .expect("orders of each class")
    };
    let (urgent, normal) = (mean("end_to_end_urgent"), mean("end_to_end_normal"));
    assert!(urgent < 0.6 * normal, "urgent {urgent} ns, normal {normal} ns");

    let trial = run(
        "stage.payment.queue_type = \"quorum\"\nstage.payment.max_length = 1000\n\
         stage.payment.consumers = 3\nstage.payment.single_active_consumer = true\n\
         stage.inventory = { queue_type = \"quorum\", delivery_limit = 5, message_ttl = \"30s\" }\n\
         topology = { order_exchange = \"headers\", alternate_exchange = true }",
    )
    .await;
    assert_eq!(trial.ledger.fates.completed, 120, "{:?}", trial.ledger.fates);
    node.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn core_alarms_block_publishers_of_a_managed_node_and_end() {
    let text = r#"
        load = { rate = "40/s", duration = "10s" }
        fault.memory_alarm = { at = "2s", lasts = "1s" }
        fault.disk_alarm = { at = "6s", lasts = "1s" }
    "#;
    let Some(finished) = managed(text).await else { return };
    let trial = &finished.record.trials[0];
    let names: Vec<&str> = trial.faults.iter().map(|band| band.name.as_str()).collect();
    assert_eq!(names, ["memory alarm", "disk alarm"]);
    for reason in ["memory", "disk"] {
        let load = trial
            .blocked_connections
            .iter()
            .find(|one| one.connection.starts_with("load") && one.reason.contains(reason));
        assert!(
            load.is_some_and(|load| load.time_s > 0.5),
            "{reason}: {:?}",
            trial.blocked_connections
        );
    }
    assert!(
        trial
            .blocked_connections
            .iter()
            .all(|one| !one.connection.contains("consumers"))
    );
    assert_sound(&finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn core_an_alarm_puts_the_limit_back_as_it_was_however_often_it_is_told() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let start = StartOptions {
        server: Some(server),
        ..StartOptions::default()
    };
    let broker = Arc::new(
        RunningBroker::start(&BrokerChoice::Managed, &start)
            .await
            .expect("a node"),
    );
    let asked = Arc::clone(&broker);
    let steps = move || {
        let node = asked.node().expect("managed");
        for (resource, limit) in [
            (Resource::Memory, "vm_memory_monitor:get_vm_memory_high_watermark()"),
            (Resource::Disk, "rabbit_disk_monitor:get_disk_free_limit()"),
        ] {
            let limit = || node.evaluate(limit).expect("a limit");
            let (before, alarm) = (limit(), BrokerAlarm::new(Arc::clone(&asked), resource));
            alarm.clear().expect("nothing to clear is no error");
            for _ in 0..2 {
                alarm.raise().expect("raised");
                assert_ne!(limit(), before, "{resource:?}");
            }
            for _ in 0..2 {
                alarm.clear().expect("cleared");
                assert_eq!(limit(), before, "{resource:?}");
            }
        }
    };
    tokio::task::spawn_blocking(steps).await.expect("no panic");
    Arc::into_inner(broker)
        .expect("the last")
        .stop()
        .await
        .expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_alarm_is_healed_and_the_pipeline_runs_empty() {
    let running = Running::new();
    let text = r#"
        load = { rate = "100/s", duration = "60s" }
        fault.memory_alarm = { at = "1s", lasts = "50s" }
    "#;
    let run = running.run(text, BrokerChoice::Embedded, StartOptions::default());
    let interrupt = async {
        let mut snapshots = running.screen.subscribe();
        let blocked = snapshots.wait_for(|snapshot| snapshot.blocked);
        tokio::time::timeout(PATIENCE, blocked)
            .await
            .expect("the block is seen")
            .expect("the run goes on");
        running.interrupt.0.cancel();
    };
    let (finished, ()) = join(run, interrupt).await;
    let finished = finished.unwrap_or_else(|error| panic!("{error}"));
    let trial = &finished.record.trials[0];
    assert_eq!(finished.record.outcome.exit_code, 130);
    assert!(
        matches!(trial.faults.as_slice(), [alarm] if alarm.end_s < 20.0),
        "{:?}",
        trial.faults
    );
    assert!(trial.drain.drained, "publishers could go on");
    assert_eq!(trial.ledger.fates.completed, trial.orders.published);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_refused_where_the_run_may_not_raise_it_before_anything_is_touched() {
    let nobody: BrokerUri = "amqp://127.0.0.1:9".parse().expect("an address");
    for (fault, choice) in [
        ("memory_alarm", external(&nobody)),
        ("disk_alarm", external(&nobody)),
        ("disk_alarm", BrokerChoice::Embedded),
    ] {
        let running = Running::new();
        let text = format!("fault.{fault} = {{ at = \"1s\", lasts = \"1s\" }}");
        let refused = running
            .run(&text, choice, StartOptions::default())
            .await
            .expect_err("refused");
        assert!(refused.is_usage() && refused.to_string().contains(fault), "{refused}");
        let left = std::fs::read_dir(running.results.path()).expect("a directory").count();
        assert_eq!(left, 0, "no folder was made");
    }
}
