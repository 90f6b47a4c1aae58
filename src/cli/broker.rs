//! `orderstorm broker`: serves the embedded broker alone.

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Outcome, exit, print_line, runtime};
use crate::broker::embedded::{EmbeddedBroker, EmbeddedOptions};

/// Serve the embedded AMQP 0-9-1 broker (not RabbitMQ, in memory only) until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on; it must be on this machine unless --allow-remote is given.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5672")]
    listen: SocketAddr,
    /// Allow an address that other machines reach; everybody there can log in as guest.
    #[arg(long)]
    allow_remote: bool,
}

impl Serve {
    pub(super) fn execute(self) -> Outcome {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            let why = anyhow::anyhow!(
                "{} can be reached from other machines, and guest/guest opens it\nhelp: use 127.0.0.1, or say --allow-remote",
                self.listen
            );
            return Err(Failure::usage(why));
        }
        runtime()?.block_on(async {
            // Before the address is told: who reads it may end us at once.
            let (mut ctrl_c, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let broker = EmbeddedBroker::start(EmbeddedOptions {
                listen: self.listen,
                ..EmbeddedOptions::default()
            })?;
            print_line(&format!(
                "embedded broker, not RabbitMQ: amqp://guest:guest@{}/%2f",
                broker.addr()
            ));
            tokio::select! {
                _ = ctrl_c.recv() => {}
                _ = term.recv() => {}
            }
            broker.stop().await;
            Ok(exit::PASS)
        })
    }
}
