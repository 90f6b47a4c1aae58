//! What the embedded broker costs and how fast it is, measured while raw clients load it over loopback sockets.
//!
//! `cargo test --release --test embedded_speed -- --ignored --nocapture --test-threads 1`
//!
//! Ignored by default: figures of a debug build or of a busy machine say nothing.

use std::net::SocketAddr;
use std::time::Duration;

use orderstorm::broker::embedded::{EmbeddedBroker, EmbeddedOptions};
use orderstorm::broker::managed::{ManagedNode, ManagedOptions};

#[path = "embedded_speed/clients.rs"]
mod clients;
mod common;
#[path = "embedded_speed/relay.rs"]
mod relay;
#[path = "embedded_speed/scheduler.rs"]
mod scheduler;
mod wire;

use clients::{Durability, Flow, for_latency, paced};
use relay::Relay;
use scheduler::Account;
use wire::Target;

/// Name of the broker's thread.
const BROKER: &str = "embedded-broker";

fn start() -> (EmbeddedBroker, Target) {
    let broker = EmbeddedBroker::start(EmbeddedOptions::default()).expect("starts");
    let target = Target {
        address: broker.addr(),
        user: "guest".to_owned(),
        password: "guest".to_owned(),
    };
    (broker, target)
}

/// Stops it and waits until its thread is gone: the next one is looked for by the same name.
fn stop(broker: EmbeddedBroker) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(broker.stop());
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// CPU of the broker per message in µs, and messages per second.
fn cost(acks_every: u64, count: u64) -> (f64, f64) {
    let (broker, target) = start();
    let flow = Flow::open(&target, "speed", Durability::Transient);
    let before = scheduler::account(BROKER);
    let rate = flow.run(acks_every, count);
    // The last acks may still be on their way.
    while broker.counters().acked < count {
        std::thread::sleep(Duration::from_millis(1));
    }
    let used = scheduler::account(BROKER) - before;
    drop(flow);
    stop(broker);
    (used.ran.as_secs_f64() * 1e6 / count as f64, rate)
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn a_message_costs_the_broker_less_than_4_microseconds() {
    for (what, every) in [("each acked singly", 1), ("acked by the hundred", 100)] {
        cost(every, 50_000);
        let (cpu, rate) = cost(every, 1_000_000);
        println!("256 B, confirmed and {what}: {cpu:.2} µs of broker CPU per message, {rate:.0} messages/s");
        assert!(cpu < 4.0, "{cpu:.2} µs per message");
    }
}

/// Times from publish to delivery over one path, round by round.
struct Latencies {
    what: &'static str,
    /// Of each round, sorted, in nanoseconds.
    rounds: Vec<Vec<u64>>,
    account: Account,
}

impl Latencies {
    fn of(what: &'static str) -> Self {
        Self {
            what,
            rounds: Vec::new(),
            account: Account::default(),
        }
    }

    fn add(&mut self, mut round: Vec<u64>, account: Account) {
        round.sort_unstable();
        self.rounds.push(round);
        self.account.ran += account.ran;
        self.account.waited += account.waited;
        self.account.slices += account.slices;
    }

    /// The p99 of each round, µs.
    fn p99s(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| at(round, 0.99))
    }

    fn print(&self) {
        let mut all: Vec<u64> = self.rounds.iter().flatten().copied().collect();
        all.sort_unstable();
        println!(
            "{}: all rounds together p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs; p99 of a round: median \
             {:.0} µs, from {:.0} to {:.0} µs",
            self.what,
            at(&all, 0.5),
            at(&all, 0.99),
            at(&all, 0.999),
            at(&all, 1.0),
            median(self.p99s()),
            self.p99s().fold(f64::INFINITY, f64::min),
            self.p99s().fold(0.0, f64::max),
        );
        println!(
            "{}: its thread ran {:.0} ms in {} slices and waited {:.0} ms for a processor, {:.1} µs each time",
            self.what,
            self.account.ran.as_secs_f64() * 1e3,
            self.account.slices,
            self.account.waited.as_secs_f64() * 1e3,
            self.account.waited.as_secs_f64() * 1e6 / self.account.slices as f64,
        );
    }
}

/// The quantile `share` of sorted nanoseconds, in µs.
fn at(sorted: &[u64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)] as f64 / 1000.0
}

/// A p99 under a millisecond asks something of the machine too: three threads have to wake in a row. So a thread that only
/// copies bytes is measured in turn with the broker, by the same clients. Where even that one needs half of it, the
/// figure is the machine's, and the broker must stay within twice of it.
#[test]
#[ignore = "a measurement: run it alone, in release"]
fn at_5000_per_second_a_message_is_delivered_within_a_millisecond() {
    const RATE: u64 = 5000;
    const COUNT: u64 = 7500;
    const ROUNDS: usize = 10;
    let (broker, target) = start();
    let relay = Relay::start();
    let mut through_broker = Latencies::of("the broker");
    let mut through_relay = Latencies::of("a bare relay");
    let (stolen, runnable) = (scheduler::stolen(), scheduler::runnable());
    for round in 0..ROUNDS {
        let mut broker_round = || {
            // Delivery tags count from 1 on a new channel.
            let queue = format!("latency.{round}");
            let (publisher, consumer) = for_latency(&target, &queue);
            let before = scheduler::account(BROKER);
            let times = paced(&publisher, &consumer, &queue, RATE, COUNT);
            through_broker.add(times, scheduler::account(BROKER) - before);
        };
        let mut relay_round = || {
            let before = scheduler::account(relay::THREAD);
            let times = paced(&relay.publisher, &relay.consumer, "latency", RATE, COUNT);
            through_relay.add(times, scheduler::account(relay::THREAD) - before);
        };
        // ABBA, so that a drift of the machine favours neither.
        if round % 2 == 0 {
            broker_round();
            relay_round();
        } else {
            relay_round();
            broker_round();
        }
    }
    relay.stop();
    stop(broker);
    println!("publish to delivery at {RATE}/s, {ROUNDS} interleaved rounds of {COUNT} messages");
    through_broker.print();
    through_relay.print();
    let (ours, bare) = (median(through_broker.p99s()), median(through_relay.p99s()));
    println!(
        "the broker's p99 is {:.2} times the relay's; stolen by the hypervisor meanwhile: {:?}; threads that ran or \
         wanted to at the start: {runnable}, now {}",
        ours / bare,
        scheduler::stolen() - stolen,
        scheduler::runnable(),
    );
    assert!(
        ours < f64::max(1000.0, 2.0 * bare),
        "p99 {ours:.0} µs, where a thread that only copies bytes has {bare:.0} µs"
    );
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn a_plain_flow_is_at_least_three_times_faster_than_on_rabbitmq() {
    const ROUNDS: usize = 5;
    let Some(server) = common::rabbitmq_or_skip() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = ManagedOptions {
        server: Some(server),
        management: false,
        prometheus: false,
        ..ManagedOptions::default()
    };
    let node = runtime.block_on(ManagedNode::start(options)).expect("a private node");
    let uri = node.uri();
    let rabbitmq = Target {
        address: SocketAddr::new(uri.host().parse().expect("an address"), uri.port()),
        user: uri.user().to_owned(),
        password: uri.password().expose().to_owned(),
    };
    let (broker, embedded) = start();
    for durability in [Durability::Transient, Durability::Durable] {
        let measure = |target: &Target, name: &str, count| {
            let flow = Flow::open(target, name, durability);
            let rate = flow.run(100, count);
            flow.close();
            rate
        };
        // Each round about a second on either; the first, which warms up, does not count.
        let rounds: Vec<(f64, f64)> = (0..=ROUNDS)
            .map(|round| {
                let name = format!("flow.{durability:?}.{round}");
                let theirs = || measure(&rabbitmq, &name, 50_000);
                let ours = || measure(&embedded, &name, 500_000);
                if round % 2 == 0 {
                    let ours = ours();
                    (ours, theirs())
                } else {
                    let theirs = theirs();
                    (ours(), theirs)
                }
            })
            .skip(1)
            .collect();
        let ours = median(rounds.iter().map(|round| round.0));
        let theirs = median(rounds.iter().map(|round| round.1));
        let ratios = || rounds.iter().map(|(ours, theirs)| ours / theirs);
        println!(
            "{durability:?} 256 B, confirmed, acked by the hundred, {ROUNDS} interleaved rounds: embedded {ours:.0}, \
             RabbitMQ {theirs:.0} messages/s; ratio of a round: median {:.1}, least {:.1}",
            median(ratios()),
            ratios().fold(f64::INFINITY, f64::min),
        );
        assert!(median(ratios()) >= 3.0, "only {:.1} times faster", median(ratios()));
    }
    stop(broker);
    runtime.block_on(node.stop()).expect("the node stops");
}
