//! The verbs beside `run`.

use orderstorm::broker::managed::{ManagedNode, ManagedOptions};
use orderstorm::events::PipelineKind;
use orderstorm::workload::keys;
use serde_json::Value;

use crate::common::rabbitmq_or_skip;
use crate::support::program::{broker, finish, orderstorm, say};
use crate::{results, short_run, text, workload};

#[test]
fn list_names_every_shipped_workload_with_its_question() {
    let said = say(&["list"]);
    said.says(&["quickstart", "steady", "burst", "closed-loop"]);
    assert!(
        said.out.lines().all(|line| line.trim_end().ends_with('?')),
        "{}",
        said.out
    );
}

#[test]
fn check_prints_every_setting_with_its_default_and_its_origin() {
    let dir = results();
    let file = workload(&dir, "plan.toml", "# Is it?\nseed = 3\n");
    let said = say(&["check", text(&file), "--set", "stage.payment.prefetch=7"]);
    said.says(&[
        "plan: valid",
        "question: Is it?",
        "open loop, 1 trial",
        "about 3,000 orders, about 42,000 publishes",
        "seed = 3  # file",
        "stage.payment.prefetch = 7  # --set",
        "load.duration = \"30s\"\n",
        "name = \"plan\"\n",
    ]);
    for (path, key) in keys::concrete() {
        if let Some(default) = key.default
            && keys::is_of(&path, PipelineKind::Orders)
            && !["seed", "stage.payment.prefetch", "canary.every"].contains(&path.as_str())
        {
            let line = format!("    {path} = {}\n", key.kind.default_value(default));
            assert!(said.out.contains(&line), "{line} is missing in\n{}", said.out);
        }
    }
}

#[test]
fn check_reports_on_all_its_files() {
    let dir = results();
    let first = workload(&dir, "first.toml", "[load]\nrte = \"5/s\"\n");
    let good = workload(&dir, "good.toml", "seed = 3\n");
    let last = workload(&dir, "last.toml", "[load]\nduration = 5\n");
    let said = say(&["check", text(&first), text(&good), text(&last)]);
    said.fails(2, &["first.toml:2:1", "last.toml:2:12"]);
    assert!(said.out.contains("good: valid"), "{said:#?}");
    say(&["check", "quickstart", "steady", "burst", "closed-loop", "stall"]).says(&["steady: valid", "stall: valid"]);
}

#[test]
fn the_schema_knows_every_key() {
    let said = say(&["schema"]);
    let schema: Value = serde_json::from_str(&said.says(&[]).out).expect("JSON");
    for (path, _) in keys::concrete() {
        let pointer: String = path.split('.').map(|part| format!("/properties/{part}")).collect();
        let found = schema.pointer(&pointer).or_else(|| pointer_with_refs(&schema, &path));
        assert!(found.is_some(), "{path} is not in the schema");
    }
}

/// As a JSON pointer over `properties`, following `$ref`.
fn pointer_with_refs<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |here, part| {
        let here = match here.get("$ref").and_then(Value::as_str) {
            Some(reference) => schema.pointer(reference.strip_prefix('#')?)?,
            None => here,
        };
        here.get("properties")?.get(part)
    })
}

#[test]
fn doctor_shows_the_machine_and_what_a_run_would_use() {
    let said = say(&["doctor"]);
    said.says(&[
        "orderstorm ",
        "machine ",
        "open files ",
        "timer ",
        "listening ",
        "a run would use ",
    ]);
    let mut command = orderstorm(&["doctor"]);
    let said = finish(command.env("AMQP_URL", "amqp://shop:quagga@127.0.0.1:5673/%2f"));
    said.says(&["amqp://shop:***@127.0.0.1:5673", "auto: AMQP_URL is set"]);
    assert!(!said.out.contains("quagga"), "{}", said.out);
    say(&["doctor", "--broker", "embedded"]).says(&["a run would use the embedded broker, which is not RabbitMQ"]);
    say(&["doctor", "--broker", "nonsense"]).says(&["a run would fail: "]);
}

#[test]
fn report_makes_deleted_files_again_from_the_folder_alone() {
    let dir = results();
    let (_, folder) = short_run(&dir, &[]);
    let names = [
        "summary.csv",
        "stages.csv",
        "report.html",
        "charts/throughput.svg",
        "charts/backlog.png",
    ];
    let read = || names.map(|name| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")));
    let before = read();
    std::fs::remove_dir_all(folder.join("charts")).expect("the charts");
    for name in &names[..3] {
        std::fs::remove_file(folder.join(name)).expect("a file of the run");
    }
    say(&["report", text(&folder)]).says(&["Orders", "page:"]);
    assert!(read() == before, "what was made again differs");
    say(&["report", text(dir.path())]).fails(1, &["run.json", "help: name a run folder"]);
    std::fs::write(folder.join("run.json"), "{\"schema_version\": 99}").expect("writable");
    say(&["report", text(&folder)]).fails(1, &["layout version 99"]);
}

#[test]
fn several_runs_are_reported_side_by_side_from_their_folders_alone() {
    let (dir, other) = (results(), results());
    let (_, one) = short_run(&dir, &[]);
    let (_, two) = short_run(&other, &["--set", "load.rate=31/s", "--report", "tables"]);
    assert!(!two.join("report.html").exists(), "it was told to leave it out");
    let out = dir.path().join("both");
    let said = say(&["report", text(&one), text(&two), "--out", text(&out)]);
    said.says(&[
        "2 runs side by side",
        "1 quickstart",
        "2 quickstart",
        "both/report.html",
    ]);
    assert!(!said.out.contains("REGRESSION") && two.join("report.html").exists());
    let page = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(
        page.contains("load.rate") && page.contains("31/s"),
        "settings that differ are on the page"
    );
    assert!(out.join("charts/cells-goodput.svg").is_file() && out.join("cells.csv").is_file());
    say(&["report", text(&one), "--out", text(&out)]).fails(2, &["no effect with one run", "help: "]);
    // By name, as compare takes it.
    let by_name = ["report", "latest", text(&two), "--results", text(dir.path())];
    say(&by_name).says(&["side-by-side/report.html"]);
}

#[test]
fn cleanup_wants_the_brokers_address_and_the_runs_own_broker() {
    let dir = results();
    let (_, folder) = short_run(&dir, &[]);
    for word in ["managed", "embedded"] {
        let said = say(&["cleanup", text(&folder), "--broker", word]);
        said.fails(2, &["gone with its run", "--broker amqp://"]);
    }
    say(&["cleanup", text(dir.path()), "--broker", "amqp://127.0.0.1"]).fails(2, &["manifest.json"]);
    let (_broker, uri) = broker();
    let said = say(&["cleanup", text(&folder), "--broker", &uri]);
    said.fails(1, &["the run used amqp://guest:***@", "nothing was touched"]);
}

#[test]
fn the_first_line_says_which_broker_it_is_and_why() {
    let dir = results();
    let (said, _) = short_run(&dir, &[]);
    let first = said.out.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("broker: embedded broker, not RabbitMQ") && first.ends_with("(--broker)"),
        "{first}"
    );
    let (_broker, uri) = broker();
    let (dir, mut command) = (results(), orderstorm(&["run", "quickstart", "--set", "load.orders=2"]));
    command
        .args(["--set", "load.warm_up=0s", "--quiet", "--results"])
        .arg(dir.path());
    let said = finish(
        command
            .env("ORDERSTORM_BROKER", &uri)
            .env("AMQP_URL", "amqp://127.0.0.1:9"),
    );
    assert_eq!(
        said.code,
        Some(2),
        "the file's duration and an order count contradict: {said:#?}"
    );
    let mut command = orderstorm(&[
        "run",
        "quickstart",
        "--set",
        "load.duration=100ms",
        "--set",
        "load.warm_up=0s",
    ]);
    command.args(["--quiet", "--results"]).arg(dir.path());
    let said = finish(
        command
            .env("ORDERSTORM_BROKER", &uri)
            .env("AMQP_URL", "amqp://127.0.0.1:9"),
    );
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.ends_with("(auto: ORDERSTORM_BROKER is set)"), "{said:#?}");
}

/// Starts a run that keeps its queues, on the broker at `uri`; gives its folder.
fn kept(dir: &tempfile::TempDir, uri: &str, settings: &[&str]) -> std::path::PathBuf {
    let file = workload(dir, "kept.toml", "load = { orders = 30, rate = \"150/s\" }\n");
    let mut command = orderstorm(&[
        "run",
        text(&file),
        "--broker",
        uri,
        "--keep",
        "--quiet",
        "--report",
        "tables",
    ]);
    command.args(["--results", text(dir.path())]);
    settings.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let said = finish(&mut command);
    let line = said.out.lines().find_map(|line| line.strip_prefix("results: "));
    line.unwrap_or_else(|| panic!("{said:#?}")).into()
}

#[test]
fn dead_letters_are_listed_shown_and_replayed_and_only_those_of_a_run() {
    let (_broker, uri) = broker();
    dead_letters_at(&uri);
}

#[test]
fn dead_letters_on_rabbitmq_are_listed_shown_and_replayed_and_only_those_of_a_run() {
    let Some(server) = rabbitmq_or_skip() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = ManagedOptions {
        server: Some(server),
        management: false,
        prometheus: false,
        ..ManagedOptions::default()
    };
    let node = runtime.block_on(ManagedNode::start(options)).expect("a private node");
    dead_letters_at(&node.uri().expose_for_client());
}

fn dead_letters_at(uri: &str) {
    let dir = results();
    let settings = ["stage.payment.errors=100%", "retry.policy=republish", "retry.limit=1"];
    let run = kept(&dir, uri, &settings);
    let dlq = |verb: &[&str]| {
        let mut command = orderstorm(&["dlq"]);
        finish(command.args(verb).args(["--broker", uri]))
    };
    let run = text(&run);
    let prefix = {
        let listed = dlq(&["list", run]);
        listed.says(&["30 dead letters in 1 of 9 queues", "       30 retry_limit"]);
        let queue = listed.out.lines().next().expect("a queue");
        let queue = queue.strip_suffix(".payment.dead-letter: 30").expect("payment's");
        queue.to_owned()
    };
    let (source, dead) = (
        format!("{prefix}.payment.queue"),
        format!("{prefix}.payment.dead-letter"),
    );
    let listed: Value = serde_json::from_str(&dlq(&["list", run, "--format", "json"]).out).expect("JSON");
    let group = listed["queues"].as_array().and_then(|queues| {
        let payment = queues.iter().find(|queue| queue["queue"] == dead.as_str())?;
        payment["groups"].get(0).cloned()
    });
    let expected = serde_json::json!({ "reason": "retry_limit", "source": source, "messages": 30 });
    assert_eq!(group, Some(expected));

    dlq(&["show", run, "--limit", "2"]).says(&["2 of 30 dead letters", "retry_limit, 1 retry, inventory.reserved"]);
    let shown: Value = serde_json::from_str(&dlq(&["show", "--queue", &dead, "--format", "json"]).out).expect("JSON");
    let first = shown.pointer("/queues/0/letters/0").expect("a letter");
    assert_eq!(first["came_by"]["routing_key"], "inventory.reserved");
    assert_eq!(first["position"], 1);
    let again: Value = serde_json::from_str(&dlq(&["show", run, "--format", "json"]).out).expect("JSON");
    let payment = again["queues"]
        .as_array()
        .and_then(|queues| queues.iter().find(|queue| queue["messages"] == 30));
    assert_eq!(
        payment.and_then(|queue| queue.pointer("/letters/0")),
        Some(first),
        "it stayed where it was"
    );

    dlq(&["replay", run, "--limit", "10"]).says(&["10 would go", "nothing was touched"]);
    dlq(&["replay", run, "--reason", "expired", "--yes"]).says(&["no dead letter to replay"]);
    dlq(&["replay", run, "--limit", "10", "--yes"]).says(&["       10 went from", &source]);
    dlq(&["replay", run, "--to", "exchange", "--limit", "5", "--yes"])
        .says(&["        5 went", "by `inventory.reserved`"]);
    dlq(&["list", run]).says(&["15 dead letters in 1 of 9 queues"]);
    let waiting = dlq(&["show", "--queue", &source, "--any-queue", "--format", "json"]);
    let waiting: Value = serde_json::from_str(&waiting.out).expect("JSON");
    assert_eq!(waiting.pointer("/queues/0/messages"), Some(&15.into()));
    assert_eq!(
        waiting.pointer("/queues/0/letters/0/reason"),
        Some(&Value::Null),
        "it begins anew"
    );

    dlq(&["list", "--queue", &source]).fails(2, &["no dead-letter queue of an orderstorm run", "--any-queue"]);
    dlq(&["list"]).fails(2, &["name a run folder"]);
    say(&["cleanup", run, "--broker", uri]).says(&["objects of the run are off"]);
    dlq(&["list", run]).says(&["0 dead letters in 0 of 0 queues"]);
}

#[test]
fn queues_are_kept_only_where_somebody_can_look_at_them() {
    let dir = results();
    let file = workload(&dir, "short.toml", "load = { orders = 5, rate = \"50/s\" }\n");
    let keep = |more: &[&str]| finish(orderstorm(&["run", text(&file), "--keep", "--quiet"]).args(more));
    keep(&["--broker", "embedded"]).fails(2, &["--keep", "gone with its run"]);
    let (_broker, uri) = broker();
    keep(&["--broker", &uri, "--set", "trial.repeats=2"]).fails(2, &["--keep", "run one trial"]);
    say(&[
        "dlq",
        "list",
        "--queue",
        "orderstorm.a.dead-letter",
        "--broker",
        "embedded",
    ])
    .fails(2, &["gone with its run"]);
}
