//! What addresses mean, and that no spelling of a sentinel password gets out of them.

use std::path::Path;

use super::*;

/// `@ % / :` and friends, raw, and as it must be spelled in an address.
const SENTINEL: &str = "S3nt@i%n/e:l?#";
const SPELLED: &str = "S3nt%40i%25n%2Fe%3Al%3F%23";

fn parse(text: &str) -> BrokerUri {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refuse(text: &str) -> UriError {
    match text.parse::<BrokerUri>() {
        Ok(uri) => panic!("{text} was read as {uri}"),
        Err(error) => error,
    }
}

#[test]
fn defaults_are_those_of_the_rabbitmq_clients() {
    let uri = parse("amqp://");
    assert_eq!(
        (uri.user(), uri.password().expose(), uri.host()),
        ("guest", "guest", "localhost")
    );
    assert_eq!((uri.port(), uri.vhost()), (5672, "/"));
    assert_eq!(parse("AMQPS://broker.example").port(), 5671);
}

#[test]
fn empty_path_is_the_default_vhost_and_a_lone_slash_the_empty_one() {
    let cases = [
        ("", "/"),
        ("/", ""),
        ("/%2f", "/"),
        ("/%2F", "/"),
        ("/orders", "orders"),
        ("/a%2fb%20c", "a/b c"),
    ];
    for (path, vhost) in cases {
        let uri = parse(&format!("amqp://h{path}"));
        assert_eq!(uri.vhost(), vhost, "{path}");
        assert_eq!(parse(&uri.expose_for_client()).vhost(), vhost, "{path}");
    }
}

#[test]
fn ipv6_hosts_lose_and_regain_their_brackets() {
    let uri = parse("amqp://u:p@[::1]:5673/v");
    assert_eq!((uri.host(), uri.port()), ("::1", 5673));
    assert_eq!(uri.to_string(), "amqp://u:***@[::1]:5673/v");
    assert_eq!(uri.to_client().authority.host, "::1");
    refuse("amqp://[::1");
    refuse("amqp://[nonsense]");
    refuse("amqp://::1");
}

#[test]
fn percent_escapes_are_decoded_in_every_part() {
    let uri = parse(&format!("amqp://us%40er:{SPELLED}@h/v%25"));
    assert_eq!(
        (uri.user(), uri.password().expose(), uri.vhost()),
        ("us@er", SENTINEL, "v%")
    );
    let client = uri.to_client();
    assert_eq!(
        (client.authority.userinfo.username.as_str(), client.vhost.as_str()),
        ("us@er", "v%")
    );
    assert_eq!(client.authority.userinfo.password, SENTINEL);
}

#[test]
fn the_client_string_reads_back_as_the_same_address_here_and_in_lapin() {
    let text =
        format!("amqps://u%20x:{SPELLED}@h:99/v%2F?heartbeat=7&frame_max=8192&channel_max=9&auth_mechanism=PLAIN");
    let uri = parse(&text);
    let again = parse(&uri.expose_for_client());
    assert_eq!(again.to_client(), uri.to_client());
    assert_eq!(uri.expose_for_client().parse::<AMQPUri>(), Ok(uri.to_client()));
}

#[test]
fn no_output_shows_the_password() {
    let uri = parse(&format!("amqp://user:{SPELLED}@host/orders?heartbeat=5"));
    let shown = "amqp://user:***@host:5672/orders?heartbeat=5";
    assert_eq!(uri.to_string(), shown);
    assert_eq!(format!("{uri:?}"), shown);
    assert_eq!(serde_json::to_string(&uri).expect("serializes"), format!("\"{shown}\""));
    assert!(uri.expose_for_client().contains(SPELLED));
}

#[test]
fn foreign_error_texts_lose_every_spelling_of_the_password() {
    let uri = parse("amqp://user:S3nt%40i%25n%2fe:l@host");
    for spelling in [
        "S3nt@i%n/e:l",
        "S3nt%40i%25n%2Fe%3Al",
        "S3nt%40i%25n%2fe:l",
        "S3nt%40i%25n%2fe%3al",
    ] {
        let masked = uri.mask_secrets(&format!("could not connect to amqp://user:{spelling}@host: timed out"));
        assert_eq!(masked, "could not connect to amqp://user:***@host: timed out");
    }
}

#[test]
fn a_badly_escaped_password_is_refused_and_never_echoed() {
    let texts = [
        "amqp://user:S3ntinel%@host/v",
        "amqp://user:S3ntinel%zz@host/v",
        "amqp://user:S3ntinel/x@host/v",
        "amqp://user:12/S3ntinel@host/v",
        "amqp://user:12?S3ntinel=1@host/v",
        "amqp://user:12#S3ntinel@host/v",
        "amqp://user:x@S3ntinel@host/v",
        "amqp://user:S3ntinel",
        "amqp://host?S3ntinel=x",
        "amqp://host?heartbeat=S3ntinel",
        "amqp://host?password=S3ntinel",
        "http://user:S3ntinel@host",
        "user:S3ntinel@host",
    ];
    for text in texts {
        let error = refuse(text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("S3ntinel"), "{shown}");
    }
}

#[test]
fn unknown_query_keys_are_refused_with_the_nearest_known_one() {
    assert_eq!(
        refuse("amqp://h?heart_beat=5"),
        UriError::UnknownKey {
            position: 1,
            nearest: Some("heartbeat")
        }
    );
    let second = refuse("amqp://h?heartbeat=5&frame_mx=8192");
    assert_eq!(
        second,
        UriError::UnknownKey {
            position: 2,
            nearest: Some("frame_max")
        }
    );
    assert!(second.to_string().contains("`frame_max`"), "{second}");
    let far = refuse("amqp://h?zzz=1");
    assert!(far.to_string().contains("connection_timeout"), "{far}");
}

#[test]
fn settings_that_would_do_nothing_are_refused() {
    for text in [
        "amqps://h?verify=verify_none",
        "amqps://h?server_name_indication=other",
        "amqp://h?cacertfile=/ca.pem",
        "amqps://h?certfile=/c.pem",
        "amqps://h?keyfile=/k.pem",
        "amqps://h?fail_if_no_peer_cert=true",
        "amqp://h?frame_max=100",
        "amqp://h?heartbeat=-1",
        "amqp://h?auth_mechanism=kerberos",
        "amqp://h?heartbeat=1&heartbeat=2",
        "amqp://h:0",
        "amqp://h:65536",
        "amqp://h/a/b",
        "amqp://h/v#x",
        "amqp://h h",
    ] {
        refuse(text);
    }
    let uri = parse(
        "amqps://h?cacertfile=%2Fca.pem&certfile=c.pem&keyfile=k.pem&verify=verify_peer&server_name_indication=h",
    );
    assert_eq!(uri.tls_files().ca_certificates.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(parse(&uri.expose_for_client()).tls_files(), uri.tls_files());
}

#[test]
fn vhost_and_settings_can_be_replaced() {
    let uri = parse("amqp://u:p@h/old?frame_max=131072");
    let changed = uri.with_vhost("orderstorm/x").with_param(ClientParam::FrameMax(8192));
    assert_eq!(changed.to_string(), "amqp://u:***@h:5672/orderstorm%2Fx?frame_max=8192");
    assert_eq!(
        uri.with_param(ClientParam::FrameMax(1)).to_client().query.frame_max,
        Some(FRAME_MAX_MIN)
    );
}

#[test]
fn loopback_is_recognised_by_address_not_by_name() {
    for local in [
        "amqp://127.0.0.1",
        "amqp://127.9.9.9",
        "amqp://[::1]",
        "amqp://[::ffff:127.0.0.1]",
        "amqp://localhost",
    ] {
        assert_eq!(parse(local).is_loopback(), Ok(true), "{local}");
    }
    for remote in ["amqp://192.0.2.1", "amqp://[2001:db8::1]", "amqp://0.0.0.0"] {
        assert_eq!(parse(remote).is_loopback(), Ok(false), "{remote}");
    }
}
