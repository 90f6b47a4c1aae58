//! `load.*`: what arrives when, and on which connections.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::message::Delivery;
use serde_json::Value;

use crate::support::drive::{plan, run_alone, start, start_at};
use crate::support::proxy::Proxy;
use crate::support::spy::Spy;
use crate::support::stand::Stand;

/// Order number and intended instant of an `order.created`.
pub fn intended(delivery: &Delivery) -> (u64, u64) {
    let body: Value = serde_json::from_slice(&delivery.data).expect("JSON");
    let id = body["orderId"].as_str().expect("an order id");
    let number = id.rsplit('-').next().and_then(|digits| digits.parse().ok());
    (
        number.expect("a number at the end of the id"),
        body["intendedNs"].as_u64().expect("an instant"),
    )
}

/// Intended instants on the wire, by order number, of the first `count` orders that the spy meets.
pub async fn arrivals(settings: &[&str], count: usize) -> BTreeMap<u64, u64> {
    let stand = Stand::start().await;
    let running = start(&stand, settings);
    let spy = Spy::connect(stand.uri()).await;
    let mut copies = spy.copies(&running.prefix().await, "order.created").await;
    let found = copies.take(count).await.iter().map(intended).collect();
    running.done().await;
    found
}

/// Nanoseconds between neighbours, by the first one's number.
pub fn gaps(arrivals: &BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
    let gap = |(number, at): (&u64, &u64)| Some((*number, arrivals.get(&(number + 1))? - at));
    arrivals.iter().filter_map(gap).collect()
}

fn variation(gaps: &BTreeMap<u64, u64>) -> f64 {
    let mean = gaps.values().sum::<u64>() as f64 / gaps.len() as f64;
    let squares: f64 = gaps.values().map(|gap| (*gap as f64 - mean).powi(2)).sum();
    (squares / gaps.len() as f64).sqrt() / mean
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_and_duration_say_how_many_orders_are_published() {
    for (rate, duration, orders) in [("40/s", "1s", 40), ("120/s", "500ms", 60)] {
        let done = run_alone(&[&format!("load.rate={rate}"), &format!("load.duration={duration}")]).await;
        let counts = &done.trial().orders;
        assert_eq!(
            (counts.planned, counts.published + counts.unsent),
            (Some(orders), orders)
        );
        // The last order is due a moment before the end; a busy machine may be late for it.
        assert!(counts.unsent <= orders / 20, "{counts:?}");
        let offered = done.trial().rates.offered_load_per_s.expect("an open loop has one");
        let written: f64 = rate.trim_end_matches("/s").parse().expect("a number");
        assert!((offered - written).abs() < 0.05 * written, "{offered} for {rate}");
        assert_eq!(done.trial().ledger.fates.completed, counts.published);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_by_count_publishes_that_many_orders() {
    for orders in [7, 31] {
        let done = run_alone(&[&format!("load.orders={orders}"), "load.rate=200/s"]).await;
        assert_eq!(done.trial().orders.planned, Some(orders));
        assert_eq!(done.trial().orders.published, orders);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_warm_up_is_in_the_ledger_but_not_in_the_measures() {
    let done = run_alone(&["load.rate=100/s", "load.warm_up=500ms", "load.duration=500ms"]).await;
    let trial = done.trial();
    assert_eq!((trial.orders.published, trial.ledger.placed), (100, 100));
    assert!((48..=51).contains(&trial.orders.measured), "{}", trial.orders.measured);
    assert_eq!(done.latency("end_to_end").count, trial.orders.measured);
    let warm_up = trial.phases.iter().find(|phase| phase.name == "warm-up");
    assert!(
        warm_up.is_some_and(|phase| (phase.end_s - 0.5).abs() < 0.01),
        "{warm_up:?}"
    );
    let done = run_alone(&["load.rate=100/s", "load.duration=500ms"]).await;
    assert_eq!((done.trial().orders.published, done.trial().orders.measured), (50, 50));
    assert!(done.trial().phases.iter().all(|phase| phase.name != "warm-up"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poisson_gaps_scatter_and_constant_ones_do_not() {
    let common = ["load.rate=200/s", "load.orders=160"];
    for (arrival, scatter) in [("constant", 0.0..0.01), ("poisson", 0.6..1.5)] {
        let shape = format!("load.arrival={arrival}");
        let found = arrivals(&[&[shape.as_str()], &common[..]].concat(), 100).await;
        let variation = variation(&gaps(&found));
        assert!(scatter.contains(&variation), "{arrival}: {variation}");
    }
}

const BURSTS: [&str; 5] = [
    "load.arrival=burst",
    "load.rate=0/s",
    "load.burst_rate=200/s",
    "load.burst_width=200ms",
    "load.burst_every=500ms",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_a_burst_train_changes_its_arrivals() {
    for (change, orders) in [
        ("load.rate=0/s", 80..=81),
        ("load.rate=50/s", 105..=115),
        ("load.burst_rate=400/s", 160..=161),
        ("load.burst_width=100ms", 40..=41),
        ("load.burst_every=1s", 40..=41),
    ] {
        let settings = [&BURSTS[..], &["load.duration=1s", change]].concat();
        let done = run_alone(&settings).await;
        assert!(
            orders.contains(&done.trial().orders.published),
            "{change}: {:?}",
            done.trial().orders
        );
        assert_eq!(done.trial().orders.planned, Some(done.trial().orders.published));
    }
    let found = arrivals(&[&BURSTS[..], &["load.duration=1s"]].concat(), 70).await;
    let first = *found.values().next().expect("an arrival");
    let outside = found
        .values()
        .filter(|at| (*at - first) % 500_000_000 > 201_000_000)
        .count();
    assert_eq!(outside, 0, "orders between the bursts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_think_time_set_the_pace_of_a_closed_loop() {
    let published = async |users: u32, think: &str| {
        let (users, think) = (format!("load.users={users}"), format!("load.think_time={think}"));
        let done = run_alone(&["load.arrival=closed", &users, &think, "load.duration=1s"]).await;
        let trial = done.trial();
        assert_eq!((trial.orders.planned, trial.rates.offered_load_per_s), (None, None));
        assert_eq!(trial.ledger.fates.completed, trial.orders.published);
        trial.orders.published
    };
    let one = published(1, "50ms").await;
    assert!(
        (8..=20).contains(&one),
        "{one} orders of a user who thinks 50 ms after each"
    );
    let four = published(4, "50ms").await;
    assert!(
        four > 2 * one && four <= 80,
        "{four} orders of four users, {one} of one"
    );
    let slow = published(1, "300ms").await;
    assert!(
        (2..=4).contains(&slow),
        "{slow} orders of a user who thinks 300 ms after each"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_travel_on_as_many_connections_as_are_asked_for() {
    for connections in [1, 3] {
        let stand = Stand::start().await;
        let proxy = Proxy::before(stand.uri()).await;
        let setting = format!("load.connections={connections}");
        let done = start_at(
            &proxy.uri(stand.uri()),
            &[&setting, "load.orders=30", "load.rate=200/s"],
        )
        .done()
        .await;
        let seen: Vec<usize> = (0..4).map(|n| proxy.connections_named(&format!("load {n}"))).collect();
        let expected: Vec<usize> = (0..4).map(|n| usize::from(n < connections)).collect();
        assert_eq!(seen, expected);
        assert_eq!(done.trial().ledger.fates.completed, 30);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_window_holds_the_load_back_and_the_lag_shows_it() {
    let mut lags = Vec::new();
    for (window, published) in [("unlimited", 100..=100), ("1", 5..=60)] {
        let stand = Stand::start().await;
        let (proxy, spy) = (Proxy::before(stand.uri()).await, Spy::connect(stand.uri()).await);
        let setting = format!("load.confirm_window={window}");
        let settings = [setting.as_str(), "load.rate=200/s", "load.duration=500ms"];
        let running = start_at(&proxy.uri(stand.uri()), &settings);
        spy.trial_is_up(&running.prefix().await).await;
        proxy.delay(Duration::from_millis(20));
        let done = running.done().await;
        let orders = &done.trial().orders;
        assert!(published.contains(&orders.published), "window {window}: {orders:?}");
        assert_eq!(orders.published + orders.unsent, 100);
        lags.push(done.latency("send_lag").max_ns.expect("orders were sent"));
    }
    assert!(lags[1] > 2 * lags[0] && lags[1] > 100_000_000, "{lags:?}");
    assert!(plan(&["load.confirm_window=7"]).cells[0].workload.load.confirm_window == Some(7));
}
