//! How the client reads answers and failures, against a server that answers one canned response.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

const SENTINEL: &str = "S3nt@i%n/e:l";

fn client(base: &str) -> ManagementClient {
    let broker = "amqp://u%2Fx:S3nt%40i%25n%2Fe%3Al@h".parse().expect("an address");
    ManagementClient::new(ManagementUri::parse(base, &broker).expect("an address"))
}

/// A server for one request; gives the head of the request it got.
fn serve(status: &str, body: &str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = stream.read(&mut chunk).expect("a request");
            request.extend_from_slice(&chunk[..count]);
        }
        stream.write_all(answer.as_bytes()).expect("an answer");
        String::from_utf8_lossy(&request).into_owned()
    });
    (base, server)
}

#[tokio::test]
async fn names_are_percent_encoded_and_the_login_is_a_header() {
    let (base, server) = serve("204 No Content", "");
    client(&base).grant_own_user("a/b %").await.expect("accepted");
    let request = server.join().expect("served");
    assert!(
        request.starts_with("PUT /api/permissions/a%2Fb%20%25/u%2Fx HTTP/1.1"),
        "{request}"
    );
    assert!(request.to_lowercase().contains("authorization: basic "), "{request}");
    assert!(!request.contains(SENTINEL));
}

#[tokio::test]
async fn failures_are_told_apart_and_show_no_password() {
    let cases = [
        ("401 Unauthorized", "{}"),
        ("403 Forbidden", "{}"),
        ("404 Not Found", "{}"),
        ("500 Internal Server Error", "login u:S3nt@i%n/e:l failed"),
        ("200 OK", "<html>S3nt%40i%25n%2Fe%3Al</html>"),
        ("302 Found", ""),
    ];
    let mut kinds = Vec::new();
    for (status, body) in cases {
        let (base, server) = serve(status, body);
        let error = client(&base).nodes().await.expect_err(status);
        server.join().expect("served");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("S3nt"), "{shown}");
        kinds.push(match error {
            ManagementError::Unauthorised { status, .. } => format!("unauthorised {status}"),
            ManagementError::NotFound { path, .. } => path,
            ManagementError::BadAnswer { .. } => "bad answer".to_owned(),
            other => panic!("{other}"),
        });
    }
    let expected = [
        "unauthorised 401",
        "unauthorised 403",
        "/api/nodes",
        "bad answer",
        "bad answer",
        "bad answer",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let error = client(&base).whoami().await.expect_err("closed");
    assert!(matches!(error, ManagementError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_raised_alarm_is_an_answer_not_a_failure() {
    let body = r#"{"status":"failed","reason":"alarms","alarms":[{"node":"n@h","resource":"memory"}]}"#;
    let (base, server) = serve("503 Service Unavailable", body);
    let state = client(&base).alarms().await.expect("an answer");
    server.join().expect("served");
    assert_eq!(
        state,
        AlarmState::Raised(vec![Alarm {
            node: "n@h".into(),
            resource: "memory".into()
        }])
    );
}

#[tokio::test]
async fn counters_come_from_the_prometheus_plugin_without_a_login() {
    let (base, server) = serve(
        "200 OK",
        "rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 7\n",
    );
    let totals = client("http://127.0.0.1:9")
        .with_prometheus(&base)
        .message_totals()
        .await
        .expect("an answer");
    let request = server.join().expect("served");
    assert_eq!(totals.and_then(|totals| totals.received), Some(7));
    assert!(
        request.starts_with("GET /metrics ") && !request.to_lowercase().contains("authorization"),
        "{request}"
    );
    assert_eq!(
        client("http://127.0.0.1:9").message_totals().await.expect("no call"),
        None
    );
}
