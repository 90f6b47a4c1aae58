//! `orderstorm dlq`: dead letters on a broker, listed, shown and replayed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::run::BrokerArgs;
use super::{Failure, Outcome, exit, print_line, runtime};
use crate::broker::{BrokerChoice, RunningBroker};
use crate::report::human;
use crate::runner::Manifest;
use crate::runner::dlq::{
    CarryOut, Destination, DlqError, Fate, Letter, Looked, QueueSummary, Replay, Replayed, Site, Touch, Way,
};

/// Look at dead letters, and publish them back to where they came from.
#[derive(Debug, Args)]
pub struct Dlq {
    #[command(subcommand)]
    verb: DlqVerb,
}

#[derive(Debug, Subcommand)]
enum DlqVerb {
    /// Count dead letters by queue, reason and source.
    List {
        #[command(flatten)]
        site: SiteArgs,
        /// Most messages that are looked at in a queue.
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        limit: u64,
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Show dead letters with their history, properties and the beginning of their bodies; they stay in their queues.
    Show {
        #[command(flatten)]
        site: SiteArgs,
        /// Most messages that are shown of a queue.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Publish dead letters back, each off its dead-letter queue once its copy is confirmed. Says what it would do, and does
    /// it with --yes.
    Replay {
        #[command(flatten)]
        site: SiteArgs,
        /// Most messages that are replayed, over all queues.
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        limit: u64,
        /// Only those that died for this reason, such as retry_limit.
        #[arg(long, value_name = "REASON")]
        reason: Option<String>,
        /// Where to: the queue in which a message died, or the exchange and routing key that it first came by.
        #[arg(long, value_enum, default_value = "queue")]
        to: To,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

/// Whose dead letters.
#[derive(Debug, Args)]
struct SiteArgs {
    /// The folder of a run that was told to --keep its queues.
    run: Option<PathBuf>,
    /// A dead-letter queue; may be given often. Without, all of the run.
    #[arg(long = "queue", value_name = "NAME")]
    queues: Vec<String>,
    /// Touch queues that no run of orderstorm made; they must be named.
    #[arg(long)]
    any_queue: bool,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// The queue in which it died.
    Queue,
    /// The exchange and routing key that it came by.
    Exchange,
}

impl Dlq {
    pub(super) fn execute(self) -> Outcome {
        match self.verb {
            DlqVerb::List { site, limit, format } => runtime()?.block_on(async {
                let summaries = site.open().await?.list(limit).await.map_err(failure)?;
                match format {
                    Format::Json => print_line(&serde_json::to_string_pretty(&json!({ "queues": summaries }))?),
                    Format::Text => list(&summaries),
                }
                Ok(exit::PASS)
            }),
            DlqVerb::Show { site, limit, format } => runtime()?.block_on(async {
                let looked = site.open().await?.show(limit).await.map_err(failure)?;
                match format {
                    Format::Json => print_line(&serde_json::to_string_pretty(&json!({ "queues": looked }))?),
                    Format::Text => looked.iter().filter(|looked| looked.messages > 0).for_each(show),
                }
                Ok(exit::PASS)
            }),
            DlqVerb::Replay {
                site,
                limit,
                reason,
                to,
                yes,
            } => runtime()?.block_on(async {
                let request = Replay {
                    reason,
                    limit,
                    to: match to {
                        To::Queue => Destination::Queue,
                        To::Exchange => Destination::Exchange,
                    },
                    carry_out: if yes { CarryOut::Yes } else { CarryOut::No },
                };
                let replayed = site.open().await?.replay(&request).await.map_err(failure)?;
                Ok(told(&replayed, request.carry_out))
            }),
        }
    }
}

impl SiteArgs {
    /// Finds the broker, and what may be touched there.
    async fn open(&self) -> Result<Site, Failure> {
        let manifest = match &self.run {
            Some(run) => Some(Manifest::read(run).map_err(Failure::usage)?),
            None => None,
        };
        let selection =
            BrokerChoice::select(&self.broker.broker, self.broker.rabbitmq_server.as_ref()).map_err(Failure::usage)?;
        let BrokerChoice::External(_) = selection.choice else {
            return Err(Failure::usage(anyhow::anyhow!(
                "a managed or embedded broker is gone with its run, and its dead letters with it\nhelp: name a broker that stays, with --broker amqp://…"
            )));
        };
        let broker = RunningBroker::start(&selection.choice, &self.broker.start_options()).await?;
        let touch = if self.any_queue { Touch::Any } else { Touch::Own };
        Site::new(broker.uri(), manifest.as_ref(), &self.queues, touch).map_err(failure)
    }
}

fn failure(error: DlqError) -> Failure {
    if error.is_usage() {
        Failure::usage(error)
    } else {
        Failure::from(error)
    }
}

fn word(text: Option<&String>) -> String {
    text.map_or_else(|| "?".to_owned(), |text| human::plain(text))
}

fn list(summaries: &[QueueSummary]) {
    let letters: u64 = summaries.iter().map(|summary| summary.messages).sum();
    let holding: Vec<&QueueSummary> = summaries.iter().filter(|summary| summary.messages > 0).collect();
    for summary in &holding {
        print_line(&format!(
            "{}: {}",
            human::plain(&summary.queue),
            human::count(summary.messages)
        ));
        for group in &summary.groups {
            print_line(&format!(
                "  {:>9} {:<18} from {}",
                human::count(group.messages),
                word(group.reason.as_ref()),
                word(group.source.as_ref())
            ));
        }
        if summary.looked_at < summary.messages {
            let rest = human::count(summary.messages - summary.looked_at);
            print_line(&format!("  {rest} were not looked at (--limit)"));
        }
    }
    print_line(&format!(
        "{} in {} of {}",
        human::plural(letters, "dead letter"),
        holding.len(),
        human::plural(summaries.len() as u64, "queue")
    ));
}

fn show(looked: &Looked) {
    print_line(&format!(
        "{}: {} of {}",
        human::plain(&looked.queue),
        human::count(looked.letters.len() as u64),
        human::plural(looked.messages, "dead letter")
    ));
    looked.letters.iter().for_each(show_one);
}

fn show_one(letter: &Letter) {
    print_line(&format!(
        "  {}. {}, {}, {} of {}, {}",
        letter.position,
        word(letter.reason.as_ref()),
        retries(letter.retries),
        word(letter.kind.as_ref()),
        word(letter.correlation_id.as_ref()),
        human::bytes(letter.body_bytes as f64),
    ));
    for death in &letter.deaths {
        let keys: Vec<String> = death.routing_keys.iter().map(|key| human::plain(key)).collect();
        print_line(&format!(
            "     x-death: {} in {}, {}, through `{}` by `{}`",
            human::plain(&death.reason),
            human::plain(&death.queue),
            human::plural(death.count, "time"),
            human::plain(&death.exchange),
            keys.join("`, `")
        ));
    }
    if letter.deaths.is_empty() {
        print_line(&format!("     no x-death; taken from {}", word(letter.source.as_ref())));
    }
    print_line(&format!("     {}", human::shortened(&human::plain(&letter.body), 90)));
}

fn retries(count: u32) -> String {
    match count {
        1 => "1 retry".to_owned(),
        count => format!("{count} retries"),
    }
}

/// Says what became of the dead letters, by queue and fate; a refused one makes the exit code.
fn told(replayed: &[Replayed], carry_out: CarryOut) -> u8 {
    let mut groups: Vec<(String, u64)> = Vec::new();
    for one in replayed {
        let says = sentence(one);
        match groups.iter_mut().find(|(known, _)| *known == says) {
            Some((_, count)) => *count += 1,
            None => groups.push((says, 1)),
        }
    }
    for (says, count) in &groups {
        print_line(&format!("{:>9} {says}", human::count(*count)));
    }
    if replayed.is_empty() {
        print_line("no dead letter to replay");
    }
    let stay = replayed
        .iter()
        .filter(|one| !matches!(one.fate, Fate::Would(_) | Fate::Replayed(_)))
        .count();
    if carry_out == CarryOut::No && replayed.len() > stay {
        print_line("nothing was touched: --yes does it");
    }
    if stay > 0 { exit::COULD_NOT_RUN } else { exit::PASS }
}

fn sentence(one: &Replayed) -> String {
    let from = human::plain(&one.queue);
    let to = |way: &Way| match way.exchange.as_str() {
        "" => format!("to the queue {}", human::plain(&way.routing_key)),
        exchange => format!("to {} by `{}`", human::plain(exchange), human::plain(&way.routing_key)),
    };
    match &one.fate {
        Fate::Would(way) => format!("would go from {from} {}", to(way)),
        Fate::Replayed(way) => format!("went from {from} {}", to(way)),
        Fate::Refused(way, why) => format!("stay in {from}: the broker did not take them {} ({why})", to(way)),
        Fate::Foreign(way) => {
            format!(
                "stay in {from}: no run of orderstorm made what they would go {} (--any-queue)",
                to(way)
            )
        }
        Fate::NoWay => format!("stay in {from}: they do not say where they came from"),
    }
}
