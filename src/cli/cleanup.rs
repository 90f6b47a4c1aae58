//! `orderstorm cleanup`: takes what a run left on a broker and on a database server off them, by the run's own list.

use std::path::PathBuf;

use clap::Args;

use super::run::BrokerArgs;
use super::{Failure, Outcome, exit, print_line, runtime};
use crate::broker::{BrokerChoice, RunningBroker};
use crate::pipeline::store::postgres::{PostgresAddress, URL_VARIABLE};
use crate::runner::{Manifest, clean_up};

/// Take what a run left on a broker, and on the PostgreSQL server of ORDERSTORM_POSTGRES_URL, off them: exactly what the
/// run's manifest lists.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// The run's folder, whole or partial.
    run: PathBuf,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Drops the run's schemas; says whether there was a server of the user's to drop them on.
fn clean_up_schemas(manifest: &Manifest) -> Result<bool, Failure> {
    let Some(schemas) = manifest.schemas.as_ref().filter(|schemas| !schemas.managed) else {
        return Ok(false);
    };
    let Some(address) = PostgresAddress::from_environment().map_err(Failure::usage)? else {
        let why = anyhow::anyhow!(
            "the run kept state on {}\nhelp: name that server, with its password, in {URL_VARIABLE}",
            schemas.server
        );
        return Err(Failure::usage(why));
    };
    runtime()?.block_on(schemas.clean_up(address))?;
    print_line(&format!(
        "{} schemas of the run are off {}",
        schemas.names.len(),
        schemas.server
    ));
    Ok(true)
}

impl Cleanup {
    pub(super) fn execute(self) -> Outcome {
        let manifest = Manifest::read(&self.run).map_err(Failure::usage)?;
        let selection =
            BrokerChoice::select(&self.broker.broker, self.broker.rabbitmq_server.as_ref()).map_err(Failure::usage)?;
        let dropped = clean_up_schemas(&manifest)?;
        let BrokerChoice::External(_) = selection.choice else {
            if dropped {
                print_line(
                    "nothing was taken off a broker: if the run used one of yours, name it with --broker amqp://…",
                );
                return Ok(exit::PASS);
            }
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
