//! Bad input and brokers that will not have us: a clear message, the right exit code, and nothing touched.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::program::{Said, broker, finish, orderstorm, say};
use crate::{results, text, workload};

/// A run of a tiny load at an address.
fn run_at(uri: &str, results: &tempfile::TempDir) -> Said {
    let mut command = orderstorm(&["run", "quickstart", "--set", "load.duration=100ms", "--results"]);
    finish(command.arg(results.path().join("made")).env("AMQP_URL", uri))
}

/// An address at which nobody listens.
fn silent_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn all_mistakes_are_shown_at_once_with_their_places_and_nothing_is_touched() {
    let dir = results();
    let file = workload(
        &dir,
        "bad.toml",
        "seed = -1\n[load]\nrte = \"5/s\"\nduration = \"30\"\nusers = 3\n[stage.payment]\nprefetch = 0\n[stage.audit]\nack = \"maybe\"\n[nonsense]\nx = 1\n",
    );
    let made = dir.path().join("made");
    let port = silent_port();
    let said = say(&[
        "run",
        text(&file),
        "--broker",
        &format!("amqp://127.0.0.1:{port}"),
        "--results",
        text(&made),
        "--set",
        "orders.items=0",
    ]);
    let at = |line: &str| format!("{}:{line}", file.display());
    let parts = [
        at("1:8"),
        at("3:1"),
        at("4:12"),
        at("5:9"),
        at("7:12"),
        at("9:7"),
        at("10:2"),
        "--set:1:14".to_owned(),
    ];
    said.fails(2, &parts.each_ref().map(String::as_str));
    said.fails(
        2,
        &[
            "did you mean `load.rate`?",
            "rte = \"5/s\"",
            "out of range",
            "has no effect in an open loop",
            "\"manual\", \"auto\"",
            "8 mistakes; nothing was touched",
        ],
    );
    assert!(!made.exists() && said.out.is_empty(), "{said:#?}");
}

#[test]
fn contradictions_are_mistakes_too() {
    for (settings, says) in [
        (
            &["load.arrival=closed", "load.users=2", "load.rate=5/s"][..],
            "no effect",
        ),
        (&["stage.sms.ack_batch=20", "stage.sms.prefetch=10"], "never fills"),
        (
            &["promises.prefetch_respected=true", "stage.sms.prefetch=unlimited"],
            "cannot be given",
        ),
        (
            &["promises.nothing_lost=true", "publish.confirms=false"],
            "cannot be given",
        ),
        (
            &["load.orders=3", "load.duration=1s"],
            "both load.duration and load.orders",
        ),
    ] {
        let dir = results();
        let file = workload(&dir, "w.toml", "seed = 1\n");
        let mut command = orderstorm(&["run", text(&file), "--broker", "embedded"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let said = finish(command.arg("--results").arg(dir.path().join("made")));
        said.fails(2, &[says, "--set:1:"]);
        assert!(!dir.path().join("made").exists());
    }
}

#[test]
fn a_missing_or_unreadable_workload_is_named() {
    let dir = results();
    say(&["run", "no/such.toml", "--broker", "embedded"]).fails(2, &["no/such.toml", "help: `orderstorm list`"]);
    say(&["check", text(dir.path())]).fails(2, &["cannot read the workload"]);
    let large = workload(&dir, "large.toml", &"# much\n".repeat(200_000));
    say(&["check", text(&large)]).fails(2, &["large.toml", "larger than"]);
    let nameless = workload(&dir, "the best one!.toml", "seed = 1\n");
    say(&["check", text(&nameless)]).fails(2, &["cannot name the workload", "name = "]);
    let torn = workload(&dir, "torn.toml", "seed = = 3\n");
    say(&["check", text(&torn)]).fails(2, &["torn.toml:1:"]);
}

#[test]
fn a_mistake_in_a_setting_on_the_command_line_is_pointed_at() {
    for (setting, says) in [
        ("load.rate", &["--set takes KEY=VALUE", "help: for example"][..]),
        ("load.rat=5/s", &["unknown key `load.rat`", "did you mean `load.rate`?"]),
        ("load.rate=5", &["--set:1:11"]),
        ("load.rate=2000000/s", &["out of range", "up to 1000000/s"]),
        ("stage.paymnet.prefetch=5", &["did you mean `stage.payment.prefetch`?"]),
        (
            "stage.payment.service_time={ normal = \"5ms\" }",
            &["expected", "exponential"],
        ),
        ("=5", &["unknown key"]),
    ] {
        let said = say(&["check", "quickstart", "--set", setting]);
        said.fails(2, says).fails(2, &["1 mistake; nothing was touched"]);
    }
}

#[test]
fn a_word_that_is_no_broker_is_refused_with_those_that_are() {
    for word in ["rabbit", "embeded", "http://127.0.0.1", "127.0.0.1:5672"] {
        let dir = results();
        let made = dir.path().join("made");
        let said = say(&["run", "quickstart", "--broker", word, "--results", text(&made)]);
        said.fails(2, &["--broker", "amqp://"]);
        assert!(!made.exists(), "{said:#?}");
    }
}

#[test]
fn a_remote_broker_is_refused_before_any_connection() {
    let (dir, began) = (results(), Instant::now());
    let said = run_at("amqp://shop:quagga@192.0.2.1:5672/%2f", &dir);
    said.fails(2, &["192.0.2.1", "--allow-remote"]);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "it tried to connect: {:?}",
        began.elapsed()
    );
    assert!(!said.err.contains("quagga"), "{said:#?}");
    say(&["broker", "--listen", "0.0.0.0:0"]).fails(2, &["guest", "--allow-remote"]);
}

#[test]
fn a_port_at_which_nobody_listens_is_said_to_be_silent() {
    let dir = results();
    let said = run_at(&format!("amqp://127.0.0.1:{}", silent_port()), &dir);
    said.fails(
        1,
        &[
            "no AMQP broker answers at amqp://",
            "help:",
            "orderstorm doctor",
            "--broker managed",
        ],
    );
    let left = std::fs::read_dir(dir.path().join("made")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a folder without a result is left");
}

#[test]
fn a_listener_that_speaks_no_amqp_is_no_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    run_at(&format!("amqp://127.0.0.1:{port}"), &results()).fails(1, &["no AMQP broker answers"]);
}

#[test]
fn wrong_credentials_and_a_missing_vhost_are_told_apart() {
    let (_broker, uri) = broker();
    let wrong = uri.replace("guest:guest", "guest:quagga");
    let said = run_at(&wrong, &results());
    said.fails(
        1,
        &[
            "cannot connect to amqp://guest:***@",
            "help: the user name or the password is wrong",
        ],
    );
    assert!(
        !said.err.contains("quagga") && !said.out.contains("quagga"),
        "{said:#?}"
    );
    let elsewhere = uri.replace("%2f", "nowhere");
    run_at(&elsewhere, &results()).fails(1, &["nowhere", "help: the vhost does not exist"]);
}

#[test]
fn results_that_cannot_be_written_end_the_run_before_the_broker_is_started() {
    let dir = results();
    let file = workload(&dir, "a-file", "no directory\n");
    let said = say(&["run", "quickstart", "--broker", "embedded", "--results", text(&file)]);
    said.fails(1, &["cannot make the result folder", "a-file", "--results DIR"]);
    assert!(!said.out.contains("broker:"), "{said:#?}");
}

#[test]
fn a_fault_that_the_broker_cannot_have_is_refused_before_anything_is_made() {
    let dir = results();
    let made = dir.path().join("made");
    let said = say(&["run", "stall", "--broker", "embedded", "--results", text(&made)]);
    said.fails(2, &["fault.broker_pause", "--broker managed"]);
    let said = say(&["run", "broker-kill", "--broker", "embedded"]);
    said.fails(
        2,
        &["fault 1 of the script (broker-kill)", "help: use --broker managed"],
    );
    let cluster = ["run", "quickstart", "--broker", "embedded", "--set", "broker.nodes=3"];
    say(&cluster).fails(2, &["broker.nodes = 3", "help: use --broker managed"]);
    assert!(!made.exists());
}

#[test]
fn a_promise_over_a_restart_is_refused_on_a_broker_that_only_has_memory() {
    let (_broker, uri) = broker();
    let dir = results();
    let made = dir.path().join("made");
    let promise = [
        "run",
        "quickstart",
        "--set",
        "promises.survives_broker_restart=true",
        "--results",
        text(&made),
    ];
    let says = [
        "promises.survives_broker_restart",
        "in memory",
        "help: use --broker managed",
    ];
    let said = say(&[&promise[..], &["--broker", "embedded"]].concat());
    said.fails(2, &says);
    // However it is chosen, and also where it is served alone.
    for place in ["embedded", &uri] {
        let said = finish(orderstorm(&promise).env("ORDERSTORM_BROKER", place));
        said.fails(2, &says);
        let left: Vec<_> = std::fs::read_dir(&made).into_iter().flatten().collect();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
}

#[test]
fn a_wrong_management_address_is_refused_instead_of_ignored() {
    let (_broker, uri) = broker();
    let dir = results();
    let mut command = orderstorm(&["run", "quickstart", "--broker", &uri, "--management", "not an address"]);
    finish(command.arg("--results").arg(dir.path())).fails(2, &["--management"]);
}

/// A management API of a cluster that is not the broker's; what it is asked, line by line.
fn somebody_elses_management() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (asked, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The whole request, or the close would cut the answer off.
            let lines = std::io::BufRead::lines(std::io::BufReader::new(&stream)).map_while(Result::ok);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let line = request.into_iter().next().unwrap_or_default();
            let body = if line.contains("/api/overview") {
                r#"{"rabbitmq_version":"3.10.8","erlang_version":"25","node":"rabbit@a","cluster_name":"rabbit@a"}"#
            } else {
                "[]"
            };
            let _ = asked.send(line);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
            let answer = format!("{head} {}\r\n\r\n{body}", body.len());
            let _ = std::io::Write::write_all(&mut &stream, answer.as_bytes());
        }
    });
    (port, requests)
}

#[test]
fn the_management_api_of_another_broker_is_not_used() {
    let ((_broker, uri), (port, requests)) = (broker(), somebody_elses_management());
    let (dir, address) = (results(), format!("http://127.0.0.1:{port}"));
    let mut command = orderstorm(&["run", "quickstart", "--broker", &uri, "--management", &address]);
    let said = finish(command.arg("--results").arg(dir.path()));
    said.fails(2, &[&address, "different clusters", "--management"]);
    let asked: Vec<String> = requests.try_iter().collect();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| line.starts_with("GET ")),
        "{asked:?}"
    );
}

#[test]
fn an_unknown_verb_or_flag_is_a_usage_error() {
    say(&["rnu"]).fails(2, &["unrecognized subcommand 'rnu'"]);
    say(&["run", "quickstart", "--brokr", "embedded"]).fails(2, &["--broker"]);
    say(&[]).fails(2, &["Usage"]);
}
