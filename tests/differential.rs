//! Differential testing: random scripts run in lockstep on RabbitMQ and on the embedded broker must show the same.
//!
//! `ORDERSTORM_DIFFERENTIAL_SCRIPTS` sets how many (default 1,000), `ORDERSTORM_DIFFERENTIAL_SEED` the first seed,
//! `ORDERSTORM_DIFFERENTIAL_URI` (`user:password@address:port`) a running RabbitMQ to use instead of a private node.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};

mod common;
#[path = "differential/script.rs"]
mod script;
#[path = "differential/side.rs"]
mod side;
mod wire;

use script::{Place, Script, Step};
use side::{Seen, Side};
use wire::Target;

/// Longer than the short times to live in scripts.
const LONGER_THAN_LIVES: Duration = Duration::from_millis(110);
/// How often both are looked at again before they count as different.
const LOOKS: u32 = 3;

/// Pairs of brokers that scripts run on at the same time.
const LANES: usize = 8;

/// The first step after which the two brokers disagree.
struct Mismatch {
    at: usize,
    rabbitmq: Seen,
    embedded: Seen,
}

/// What `expected` and `found` do not have in common, line by line.
fn differences(mismatch: &Mismatch) -> String {
    let mut out = String::new();
    let keys: BTreeSet<_> = mismatch.rabbitmq.keys().chain(mismatch.embedded.keys()).collect();
    for key in keys {
        let (left, right) = (mismatch.rabbitmq.get(key), mismatch.embedded.get(key));
        if left != right {
            out += &format!("  {key}\n    rabbitmq: {left:#?}\n    embedded: {right:#?}\n");
        }
    }
    out
}

/// How a script went.
enum Outcome {
    Same,
    /// It ended early, at a step in which RabbitMQ's own chance shows.
    Chance,
    Differs(Mismatch),
}

/// Whose deliveries are bounded together, as far as a script has got.
#[derive(Default)]
struct Sharing {
    /// Channels with a global prefetch, now or before.
    limited: BTreeSet<Place>,
    /// Consumers without acks, under their names in [`Seen`]: they wait for room like the others, and take none.
    without_acks: BTreeSet<String>,
}

impl Sharing {
    fn note(&mut self, place: Place, step: &Step) {
        match step {
            Step::Qos {
                global: true,
                count: 1..,
            } => _ = self.limited.insert(place),
            Step::Consume { tag, no_ack: true, .. } => {
                let key = format!("{}:{} consumer {tag}", place.connection, place.channel);
                self.without_acks.insert(key);
            }
            _ => {}
        }
    }
}

/// Differences that RabbitMQ shows against itself, run by run. The script ends there: what follows would build on them.
fn is_chance(left: &Seen, right: &Seen, sharing: &Sharing, step: &Step) -> bool {
    // Two queues delivered to one channel, and either may be first.
    if without_tags(left) == without_tags(right)
        || sharing
            .limited
            .iter()
            .any(|place| is_other_share(left, right, *place, &sharing.without_acks, step))
    {
        return true;
    }
    // An error ended a connection. Its channels do not end at the same moment, so what one gives back may still be
    // delivered to another, and be lost there if that one takes without acks; and it reaches others in another order.
    let ended = |seen: &Seen, connection: &str| {
        seen.get(&format!("{connection}:0"))
            .is_some_and(|lines| lines.iter().any(|line| line.starts_with("connection closed")))
    };
    ["0", "1"].iter().any(|connection| {
        let rest = |seen: &Seen| -> Seen {
            without_tags(seen)
                .iter()
                .filter(|(key, _)| *key != "queues" && !(key.starts_with(connection) && key.contains(" consumer ")))
                .map(|(key, lines)| {
                    let mut lines = lines.clone();
                    if key.contains(" consumer ") {
                        lines.sort();
                    }
                    (key.clone(), lines)
                })
                .collect()
        };
        ended(left, connection) && ended(right, connection) && rest(left) == rest(right)
    })
}

/// Whether the two differ only in how the consumers of one channel, which take from several queues at once, share its
/// limit, and in what that leaves to others. RabbitMQ tells the queues of room in an order that it draws by lot: a consumer
/// without acks is served if its queue is told while there is room, and after a step that gives messages back, a queue may
/// hear of the room before it has them, and deliver a later one.
///
/// What must agree all the same: everything that is no delivery; how many deliveries the channel was given against its
/// limit; deliveries and ready messages together; and to each consumer of the channel the beginning of what it was given,
/// unless messages came back.
fn is_other_share(left: &Seen, right: &Seen, place: Place, without_acks: &BTreeSet<String>, step: &Step) -> bool {
    let gives_back = matches!(
        step,
        Step::Recover { .. } | Step::Nack { requeue: true, .. } | Step::Reject { requeue: true, .. }
    );
    let (left, right) = (without_tags(left), without_tags(right));
    let prefix = format!("{}:{} consumer ", place.connection, place.channel);
    let of_place = |key: &&String| key.starts_with(&prefix);
    let others = |seen: &Seen| -> Seen {
        let no_delivery = |key: &str| !key.contains(" consumer ") && key != "queues";
        let others = seen.iter().filter(|(key, _)| no_delivery(key));
        others.map(|(key, lines)| (key.clone(), lines.clone())).collect()
    };
    let bounded = |seen: &Seen| -> usize {
        let keys = seen.keys().filter(of_place).filter(|key| !without_acks.contains(*key));
        keys.map(|key| seen[key].len()).sum()
    };
    let in_all = |seen: &Seen| -> usize {
        let deliveries: usize = seen
            .iter()
            .filter(|(key, _)| key.contains(" consumer "))
            .map(|(_, lines)| lines.len())
            .sum();
        deliveries + ready(seen)
    };
    let consumers: BTreeSet<&String> = left.keys().chain(right.keys()).filter(of_place).collect();
    let begins_alike = |key: &String| {
        let nothing = Vec::new();
        let (left, right) = (left.get(key).unwrap_or(&nothing), right.get(key).unwrap_or(&nothing));
        left.iter().zip(right).all(|(one, other)| one == other)
    };
    consumers.len() > 1
        && others(&left) == others(&right)
        && bounded(&left) == bounded(&right)
        && in_all(&left) == in_all(&right)
        && (gives_back || consumers.into_iter().all(begins_alike))
}

/// Ready messages of all queues.
fn ready(seen: &Seen) -> usize {
    let count = |line: &String| -> Option<usize> {
        let (_, rest) = line.split_once(": ")?;
        rest.split_once(" ready")?.0.parse().ok()
    };
    seen.get("queues").into_iter().flatten().filter_map(count).sum()
}

/// The same without the delivery tags.
fn without_tags(seen: &Seen) -> Seen {
    let strip = |line: &String| match line.strip_prefix("deliver ").and_then(|rest| rest.split_once(' ')) {
        Some((_tag, rest)) => rest.to_owned(),
        None => line.clone(),
    };
    seen.iter()
        .map(|(key, lines)| (key.clone(), lines.iter().map(strip).collect()))
        .collect()
}

/// Runs a script on both.
fn run(rabbitmq: &mut Side, embedded: &mut Side, script: &Script) -> io::Result<Outcome> {
    let result = run_steps(rabbitmq, embedded, script);
    rabbitmq.clean()?;
    embedded.clean()?;
    result
}

fn run_steps(rabbitmq: &mut Side, embedded: &mut Side, script: &Script) -> io::Result<Outcome> {
    let mut number = 1;
    let mut sharing = Sharing::default();
    for side in [&mut *rabbitmq, &mut *embedded] {
        side.rounds = if script.bursts { 1 } else { 3 };
    }
    for (at, (place, step)) in script.steps.iter().enumerate() {
        let tag = match step {
            Step::Ack { pick, .. } | Step::Nack { pick, .. } | Step::Reject { pick, .. } => {
                rabbitmq.pick(*place, *pick)
            }
            _ => None,
        };
        let failed = |side: &str, error: io::Error| io::Error::other(format!("{side}: {place:?} {step:?}: {error}"));
        let mut left = rabbitmq
            .apply(*place, step, tag, number)
            .map_err(|error| failed("rabbitmq", error))?;
        let mut right = embedded
            .apply(*place, step, tag, number)
            .map_err(|error| failed("embedded", error))?;
        // A broker that a busy machine has slowed down is not done yet, or past a time to live that the other has before it.
        for _ in 0..LOOKS {
            if left == right {
                break;
            }
            std::thread::sleep(LONGER_THAN_LIVES);
            left = rabbitmq.look_again(left)?;
            right = embedded.look_again(right)?;
        }
        sharing.note(*place, step);
        if left != right && is_chance(&left, &right, &sharing, step) {
            return Ok(Outcome::Chance);
        }
        if left != right {
            return Ok(Outcome::Differs(Mismatch {
                at,
                rabbitmq: left,
                embedded: right,
            }));
        }
        if let Step::Publish { count, .. } = step {
            number += u64::from(*count);
        }
        if script.timed {
            // So that both sides are past them.
            std::thread::sleep(LONGER_THAN_LIVES);
        }
    }
    Ok(Outcome::Same)
}

/// Leaves out steps for as long as the rest still disagrees.
fn shrink(rabbitmq: &mut Side, embedded: &mut Side, script: &Script, at: usize) -> io::Result<(Script, Mismatch)> {
    let mut best = Script {
        steps: script.steps[..=at].to_vec(),
        ..script.clone()
    };
    let Outcome::Differs(mut mismatch) = run(rabbitmq, embedded, &best)? else {
        return Err(io::Error::other("the mismatch did not come again"));
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut size = best.steps.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < best.steps.len() && Instant::now() < deadline {
            let mut shorter = best.clone();
            shorter.steps.drain(start..(start + size).min(best.steps.len()));
            match run(rabbitmq, embedded, &shorter)? {
                Outcome::Differs(found) => {
                    shorter.steps.truncate(found.at + 1);
                    best = shorter;
                    mismatch = found;
                }
                Outcome::Same | Outcome::Chance => start += size,
            }
        }
        size /= 2;
    }
    Ok((best, mismatch))
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn given_target() -> Option<Target> {
    let text = std::env::var("ORDERSTORM_DIFFERENTIAL_URI").ok()?;
    let (login, address) = text.rsplit_once('@').expect("user:password@address:port");
    let (user, password) = login.split_once(':').expect("user:password@address:port");
    Some(Target {
        address: address.parse().expect("an address with a port"),
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// A virtual host of RabbitMQ and an embedded broker that scripts run on side by side.
struct Pair {
    broker: EmbeddedBroker,
    rabbitmq: Side,
    embedded: Side,
}

impl Pair {
    fn start(target: Target, vhost: &str) -> Self {
        let broker = EmbeddedBroker::start(EmbeddedOptions {
            // A consumer that is behind with its reading is passed over: by octets here, by messages on RabbitMQ. Neither shall.
            output_limit: 64 << 20,
            ..EmbeddedOptions::default()
        })
        .expect("starts");
        let own = Target {
            address: broker.addr(),
            user: "guest".to_owned(),
            password: "guest".to_owned(),
        };
        Pair {
            broker,
            rabbitmq: Side::new("rabbitmq", target, vhost),
            embedded: Side::new("embedded", own, "/"),
        }
    }

    /// Runs the scripts of `seeds`.
    fn compare(&mut self, seeds: impl Iterator<Item = u64>) -> Tally {
        /// Enough to see a pattern; each costs a minute of shrinking at worst.
        const MOST_FAILURES: usize = 8;
        let (rabbitmq, embedded) = (&mut self.rabbitmq, &mut self.embedded);
        rabbitmq.clean().expect("a clean RabbitMQ");
        embedded.clean().expect("a clean broker");
        let mut tally = Tally::default();
        for seed in seeds {
            let script = Script::from_seed(seed);
            tally.steps += script.steps.len();
            match run(rabbitmq, embedded, &script) {
                Ok(Outcome::Same) => {}
                Ok(Outcome::Chance) => tally.by_chance += 1,
                Ok(Outcome::Differs(mismatch)) => {
                    tally
                        .failures
                        .push(report(rabbitmq, embedded, seed, &script, &mismatch));
                }
                Err(error) => tally.failures.push(format!("seed {seed}: {error}\n")),
            }
            if tally.failures.len() >= MOST_FAILURES {
                break;
            }
        }
        tally
    }
}

/// What came of many scripts.
#[derive(Default)]
struct Tally {
    steps: usize,
    by_chance: u64,
    failures: Vec<String>,
}

/// The broker of another, or a private node with a virtual host for each pair: a script waits more than it works.
async fn pairs() -> Option<(Option<ManagedNode>, Vec<Pair>)> {
    if let Some(target) = given_target() {
        return Some((None, vec![Pair::start(target, "/")]));
    }
    let options = ManagedOptions {
        server: Some(common::rabbitmq_or_skip()?),
        management: false,
        prometheus: false,
        ..ManagedOptions::default()
    };
    let node = ManagedNode::start(options).await.expect("a private node");
    let uri = node.uri();
    let user = uri.user();
    let mut pairs = Vec::new();
    for lane in 0..LANES {
        let vhost = format!("lane-{lane}");
        let made = node.evaluate(&format!(
            "rabbit_vhost:add(<<\"{vhost}\">>, <<\"{user}\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{vhost}\">>, \
             <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"{user}\">>)"
        ));
        made.expect("a virtual host");
        let target = Target {
            address: SocketAddr::new(uri.host().parse().expect("an address"), uri.port()),
            user: user.to_owned(),
            password: uri.password().expose().to_owned(),
        };
        pairs.push(Pair::start(target, &vhost));
    }
    Some((Some(node), pairs))
}

#[test]
fn random_scripts_show_the_same_on_rabbitmq_and_on_the_embedded_broker() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Some((node, mut pairs)) = runtime.block_on(pairs()) else {
        return;
    };
    let count = number("ORDERSTORM_DIFFERENTIAL_SCRIPTS", 1000);
    let first = number("ORDERSTORM_DIFFERENTIAL_SEED", 1);
    let (started, step) = (Instant::now(), pairs.len());
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (first..)
            .zip(&mut pairs)
            .map(|(own, pair)| scope.spawn(move || pair.compare((own..first + count).step_by(step))))
            .collect();
        let finished = lanes.into_iter().map(|lane| lane.join().expect("a lane"));
        finished.collect()
    });
    let steps: usize = tallies.iter().map(|tally| tally.steps).sum();
    let by_chance: u64 = tallies.iter().map(|tally| tally.by_chance).sum();
    let failures: Vec<&str> = tallies
        .iter()
        .flat_map(|tally| tally.failures.iter().map(String::as_str))
        .collect();
    println!(
        "{count} scripts from seed {first}, {steps} steps, {} differ, {by_chance} ended early at RabbitMQ's own chance, {:?}",
        failures.len(),
        started.elapsed()
    );
    for pair in pairs {
        // How much of the broker the scripts reached: mostly refused steps would prove little.
        println!("{:?}", pair.broker.counters());
        runtime.block_on(pair.broker.stop());
    }
    if let Some(node) = node {
        runtime.block_on(node.stop()).expect("the node stops");
    }
    assert!(
        failures.is_empty(),
        "{} scripts differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn report(rabbitmq: &mut Side, embedded: &mut Side, seed: u64, script: &Script, mismatch: &Mismatch) -> String {
    let (script, mismatch) = match shrink(rabbitmq, embedded, script, mismatch.at) {
        Ok(shrunk) => shrunk,
        Err(error) => {
            return format!(
                "seed {seed}, unshrunk ({error}), step {:?}\n{}",
                script.steps[mismatch.at],
                differences(mismatch)
            );
        }
    };
    let mut out = format!("seed {seed}, shrunk to {} steps:\n", script.steps.len());
    for (place, step) in &script.steps {
        out += &format!("  {}:{} {step:?}\n", place.connection, place.channel);
    }
    out + &differences(&mismatch)
}
