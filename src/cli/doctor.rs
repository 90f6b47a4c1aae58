//! `orderstorm doctor`: what is on this machine, and what a run would use.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use nix::sys::resource::{Resource, getrlimit};

use super::run::BrokerArgs;
use super::{Outcome, exit, print_line, runtime};
use crate::broker::discover::{installed_servers, listening_amqp};
use crate::broker::{BROKER_VARIABLES, BrokerChoice};
use crate::clock::Clock;
use crate::pipeline::store::postgres::{Cluster, PostgresAddress};
use crate::report::human;
use crate::runner::{commit, machine};
use crate::timer::Timer;

/// The AMQP port.
const AMQP_PORT: u16 = 5672;
/// Sleeps that the timer's accuracy is taken from.
const SLEEPS: usize = 200;
const SLEEP_NS: u64 = 1_000_000;

/// Show what is on this machine: brokers, versions, limits, clock, and what a run would use.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    broker: BrokerArgs,
}

impl Doctor {
    pub(super) fn execute(self) -> Outcome {
        let machine = machine();
        print_line(&format!(
            "orderstorm {} ({} build)",
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { "debug" } else { "release" }
        ));
        print_line(&format!(
            "machine     {}, {} cores, {}",
            machine.cpu,
            machine.cores,
            human::bytes(machine.memory_bytes as f64)
        ));
        print_line(&format!(
            "system      {}, kernel {}",
            machine.os,
            machine.kernel.as_deref().unwrap_or("unknown")
        ));
        if let Some(commit) = commit() {
            let state = if commit.dirty { ", uncommitted changes" } else { "" };
            print_line(&format!("commit      {}{state}", commit.hash));
        }
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) => print_line(&format!("open files  {soft} (hard limit {hard}); a run takes about 40")),
            Err(error) => print_line(&format!("open files  unknown: {error}")),
        }
        runtime()?.block_on(async {
            print_line(&format!("timer       {}", timer_accuracy().await?));
            self.brokers().await;
            stores();
            Ok(exit::PASS)
        })
    }

    async fn brokers(&self) {
        let servers = installed_servers();
        if servers.is_empty() {
            print_line(
                "rabbitmq    no rabbitmq-server is installed (Debian: apt-get install rabbitmq-server; or scripts/rabbitmq-4.sh)",
            );
        }
        for server in servers {
            print_line(&format!(
                "rabbitmq    {} {}",
                server.version.as_deref().unwrap_or("version unknown"),
                server.path.display()
            ));
        }
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, AMQP_PORT));
        match listening_amqp(local, Duration::from_secs(1)).await {
            Some(greeting) => print_line(&format!(
                "listening   {} {} at {local}",
                greeting.product, greeting.version
            )),
            None => print_line(&format!("listening   no AMQP broker at {local}")),
        }
        for name in BROKER_VARIABLES {
            let state = if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
                "set"
            } else {
                "not set"
            };
            print_line(&format!("{name:<20} {state}"));
        }
        match BrokerChoice::select(&self.broker.broker, self.broker.rabbitmq_server.as_ref()) {
            Ok(selection) => {
                let what = match selection.choice {
                    BrokerChoice::External(uri) => uri.to_string(),
                    BrokerChoice::Managed => "a managed RabbitMQ node".to_owned(),
                    BrokerChoice::Embedded => "the embedded broker, which is not RabbitMQ".to_owned(),
                };
                print_line(&format!("a run would use {what} ({})", selection.because));
            }
            Err(error) => print_line(&format!("a run would fail: {error}")),
        }
    }
}

/// What a store on PostgreSQL would be kept on.
fn stores() {
    match Cluster::installed() {
        Some(programs) => print_line(&format!("postgresql  {}", programs.display())),
        None => print_line("postgresql  not installed (Debian: apt-get install postgresql)"),
    }
    let would = match PostgresAddress::from_environment() {
        Ok(Some(address)) => address.to_string(),
        Ok(None) => "a throw-away cluster".to_owned(),
        Err(error) => format!("none: {error}"),
    };
    print_line(&format!("a store on PostgreSQL would use {would}"));
}

/// How late sleeps end: the floor under every send lag on this machine.
async fn timer_accuracy() -> std::io::Result<String> {
    let clock = Clock::start();
    let timer = Timer::start(clock)?;
    let mut late = Vec::with_capacity(SLEEPS);
    for _ in 0..SLEEPS {
        let deadline = clock.now() + SLEEP_NS;
        timer.sleep_until(deadline).await;
        late.push(clock.now() - deadline);
    }
    late.sort_unstable();
    let at = |share: f64| human::nanos(late[((late.len() - 1) as f64 * share) as usize] as f64);
    Ok(format!(
        "sleeps of 1 ms end late by {} (median), {} (99th percentile)",
        at(0.5),
        at(0.99)
    ))
}
