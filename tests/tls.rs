//! `amqps://` against a real RabbitMQ: certificates are verified, by the issuer that the address names.
#![cfg(feature = "tls")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use orderstorm::amqp::uri::BrokerUri;
use orderstorm::amqp::{Connector, Incidents};
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};
use orderstorm::clock::Clock;
use orderstorm::proxy::Proxy;
use orderstorm::timer::Timer;

/// A certificate for `localhost` by an issuer of its own; PEM files in `folder`.
fn write_certificates(folder: &Path) {
    let mut issuer = rcgen::CertificateParams::new(Vec::new()).expect("legal parameters");
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer_key = rcgen::KeyPair::generate().expect("a key");
    let issuer_certificate = issuer.self_signed(&issuer_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(issuer, issuer_key);
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("legal names");
    let server_key = rcgen::KeyPair::generate().expect("a key");
    let server_certificate = server.signed_by(&server_key, &issuer).expect("a certificate");
    for (name, text) in [
        ("ca.pem", issuer_certificate.pem()),
        ("cert.pem", server_certificate.pem()),
        ("key.pem", server_key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).expect("a writable directory");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

async fn connect(uri: &str) -> Result<(), String> {
    let uri: BrokerUri = uri.parse().map_err(|error| format!("{error}"))?;
    let connector = Connector::new(&uri, Arc::new(Incidents::new(Clock::start())));
    open(&connector).await
}

async fn open(connector: &Connector) -> Result<(), String> {
    let link = connector.connect("tls test").await.map_err(|error| error.to_string())?;
    link.channel().await.map_err(|error| error.to_string())?;
    link.close().await;
    Ok(())
}

/// A faulty network's proxy has a name and port of its own; the certificate is checked against the broker's all the same.
async fn connect_by_way_of_a_proxy(uri: &str, port: u16) -> Result<(), String> {
    let uri: BrokerUri = uri.parse().map_err(|error| format!("{error}"))?;
    let clock = Clock::start();
    let timer = Timer::start(clock).map_err(|error| error.to_string())?;
    let proxy = Proxy::start(&format!("127.0.0.1:{port}"), (1, "tls"), &timer).map_err(|error| error.to_string())?;
    let connector = Connector::new(&uri, Arc::new(Incidents::new(clock))).over(vec![proxy.address()], 0);
    open(&connector).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_is_verified_against_the_issuer_that_the_address_names() {
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    write_certificates(folder.path());
    let (file, port) = (|name: &str| folder.path().join(name).display().to_string(), free_port());
    let settings = [
        ("listeners.ssl.default", format!("127.0.0.1:{port}")),
        ("ssl_options.cacertfile", file("ca.pem")),
        ("ssl_options.certfile", file("cert.pem")),
        ("ssl_options.keyfile", file("key.pem")),
        ("ssl_options.verify", "verify_none".to_owned()),
    ];
    let settings = settings
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let node = ManagedNode::start(ManagedOptions {
        server: Some(server),
        settings,
        ..ManagedOptions::default()
    })
    .await
    .expect("a node");
    let login = format!("{}:{}", node.uri().user(), node.uri().password().expose());
    let ca = file("ca.pem");
    connect(&format!("amqps://{login}@localhost:{port}/%2f?cacertfile={ca}"))
        .await
        .expect("a trusted connection");
    connect_by_way_of_a_proxy(&format!("amqps://{login}@localhost:{port}/%2f?cacertfile={ca}"), port)
        .await
        .expect("the broker's name, by way of the proxy");
    let unknown_issuer = connect(&format!("amqps://{login}@localhost:{port}/%2f"))
        .await
        .expect_err("nobody vouches for it");
    assert!(unknown_issuer.contains("cacertfile"), "{unknown_issuer}");
    assert!(
        !unknown_issuer.contains(node.uri().password().expose()),
        "the password is in the error"
    );
    let no_file = connect(&format!("amqps://{login}@localhost:{port}/%2f?cacertfile=/nowhere.pem"))
        .await
        .expect_err("no such file");
    assert!(no_file.contains("/nowhere.pem"), "{no_file}");
    node.stop().await.expect("a clean stop");
}
