//! A password appears nowhere: not on a terminal, not in a file, in no spelling.

use std::path::{Path, PathBuf};

use base64::Engine;
use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};

use crate::results;
use crate::support::program::{Said, finish, orderstorm};

/// Between the characters that addresses must escape stand words that nothing else contains.
const PASSWORD: &str = "zebra@quagga%okapi/tapir";
const ENCODED: &str = "zebra%40quagga%25okapi%2Ftapir";

/// What must not be found: each word, so that a part of the password is found too, and the whole in base64.
fn needles() -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = ["zebra", "quagga", "okapi", "tapir"]
        .map(|word| word.as_bytes().to_vec())
        .into();
    for login in [
        format!("\0shop\0{PASSWORD}"),
        format!("shop:{PASSWORD}"),
        PASSWORD.to_owned(),
    ] {
        needles.push(
            base64::engine::general_purpose::STANDARD_NO_PAD
                .encode(login)
                .into_bytes(),
        );
    }
    needles
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("readable").path());
    entries
        .flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] })
        .collect()
}

fn assert_clean(what: &str, bytes: &[u8]) {
    for needle in needles() {
        let found = bytes
            .windows(needle.len())
            .any(|window| window.eq_ignore_ascii_case(&needle));
        assert!(!found, "{what} contains `{}`", String::from_utf8_lossy(&needle));
    }
}

fn assert_silent(said: &Said) {
    assert_clean("standard output", said.out.as_bytes());
    assert_clean("standard error", said.err.as_bytes());
}

fn shop() -> (EmbeddedBroker, String) {
    let options = EmbeddedOptions {
        users: vec![("shop".to_owned(), PASSWORD.to_owned())],
        ..EmbeddedOptions::default()
    };
    let broker = EmbeddedBroker::start(options).expect("starts");
    let uri = format!("amqp://shop:{ENCODED}@{}/%2f", broker.addr());
    (broker, uri)
}

const RUN: [&str; 6] = [
    "run",
    "quickstart",
    "--set",
    "load.warm_up=0s",
    "--set",
    "load.duration=200ms",
];

#[test]
fn the_password_of_a_run_is_found_in_no_output_and_in_no_file() {
    let (_broker, uri) = shop();
    for by in ["AMQP_URL", "ORDERSTORM_BROKER", "--broker"] {
        let dir = results();
        let mut command = orderstorm(&RUN);
        command.arg("--results").arg(dir.path());
        let said = match by {
            "--broker" => finish(command.args([by, &uri])),
            variable => finish(command.env(variable, &uri)),
        };
        assert!(matches!(said.code, Some(0 | 5)), "{said:#?}");
        assert_silent(&said);
        let files = files_under(dir.path());
        assert!(files.len() > 15, "{files:?}");
        for file in files {
            assert_clean(&file.display().to_string(), &std::fs::read(&file).expect("readable"));
        }
        assert!(
            said.out.contains("amqp://shop:***@127.0.0.1"),
            "the rest of the address is shown: {}",
            said.out
        );
    }
}

#[test]
fn the_password_of_a_run_that_cannot_be_made_is_not_shown_either() {
    let (_broker, uri) = shop();
    let (_, at) = uri.split_once('@').expect("an address");
    for (uri, code) in [
        (uri.replace("shop:", "clerk:"), 1),
        (uri.replace("/%2f", "/nowhere"), 1),
        (format!("amqp://shop:{ENCODED}@127.0.0.1:9/%2f"), 1),
        (format!("amqp://shop:{ENCODED}@192.0.2.1/%2f"), 2),
        // Not escaped, half escaped, and other spellings that are no address.
        (format!("amqp://shop:{PASSWORD}@{at}"), 2),
        (format!("amqp://shop:{ENCODED}%zz@{at}"), 2),
        (format!("amqp://shop:{ENCODED}@127.0.0.1:99999/%2f"), 2),
        (format!("amq://shop:{ENCODED}@{at}"), 2),
        (format!("shop:{ENCODED}@{at}"), 2),
        (format!("amqp://shop:{ENCODED}@{at}?heartbeat=often"), 2),
    ] {
        let dir = results();
        for by in ["AMQP_URL", "--broker"] {
            let mut command = orderstorm(&RUN);
            command.arg("--results").arg(dir.path());
            let said = match by {
                "--broker" => finish(command.args([by, &uri])),
                variable => finish(command.env(variable, &uri)),
            };
            assert_silent(&said);
            assert_eq!(said.code, Some(code), "{uri}: {said:#?}");
            assert_silent(&finish(orderstorm(&["doctor"]).env("AMQP_URL", &uri)));
        }
    }
}
