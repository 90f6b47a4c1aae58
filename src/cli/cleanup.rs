//! `orderstorm cleanup`: takes what a run left on a broker off it, by the run's own list.

use std::path::PathBuf;

use clap::Args;

use super::run::BrokerArgs;
use super::{Failure, Outcome, exit, print_line, runtime};
use crate::broker::{BrokerChoice, RunningBroker};
use crate::runner::{Manifest, clean_up};

/// Take what a run left on a broker off it: exactly what the run's manifest lists.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// The run's folder, whole or partial.
    run: PathBuf,
    #[command(flatten)]
    broker: BrokerArgs,
}

impl Cleanup {
    pub(super) fn execute(self) -> Outcome {
        let manifest = Manifest::read(&self.run).map_err(Failure::usage)?;
        let selection =
            BrokerChoice::select(&self.broker.broker, self.broker.rabbitmq_server.as_ref()).map_err(Failure::usage)?;
        let BrokerChoice::External(_) = selection.choice else {
            let why = anyhow::anyhow!(
                "a managed or embedded broker is gone with its run\nhelp: name the broker of the run with --broker amqp://…"
            );
            return Err(Failure::usage(why));
        };
        runtime()?.block_on(async {
            let broker = RunningBroker::start(&selection.choice, &self.broker.start_options()).await?;
            clean_up(&manifest, &broker).await?;
            let objects: usize = manifest
                .trials
                .iter()
                .map(|trial| trial.queues.len() + trial.exchanges.len())
                .sum();
            print_line(&format!("{objects} objects of the run are off {}", broker.info()));
            Ok(exit::PASS)
        })
    }
}
