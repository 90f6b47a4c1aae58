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
    for (shape, scatter) in [
        ("load.arrival=constant", 0.0..0.01),
        ("load.arrival=poisson", 0.6..1.5),
        ("load.jitter=poisson", 0.6..1.5),
    ] {
        let found = arrivals(&[&[shape], &common[..]].concat(), 100).await;
        let variation = variation(&gaps(&found));
        assert!(scatter.contains(&variation), "{shape}: {variation}");
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

/// Runs each of the `changes` to `common`, and looks for the number of orders that it must bring.
async fn assert_orders(common: &[&str], changes: &[(&[&str], u64)]) {
    for (change, orders) in changes {
        let done = run_alone(&[common, change].concat()).await;
        let counts = &done.trial().orders;
        assert_eq!(counts.planned, Some(*orders), "{change:?}");
        assert_eq!(counts.published + counts.unsent, *orders, "{change:?}: {counts:?}");
        assert!(counts.unsent <= orders / 10, "{change:?}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_a_ramp_changes_its_arrivals() {
    let ramp = ["load.arrival=ramp", "load.rate=0/s", "load.duration=800ms"];
    assert_orders(
        &ramp,
        &[
            (&["load.ramp_to=100/s"], 40),
            (&["load.ramp_to=200/s"], 80),
            (&["load.ramp_to=100/s", "load.ramp_over=400ms"], 60),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_stairs_changes_their_arrivals() {
    let stairs = ["load.arrival=steps", "load.rate=20/s", "load.duration=1s"];
    assert_orders(
        &stairs,
        &[
            (&["load.step_by=40/s", "load.step_every=250ms"], 80),
            (&["load.step_by=80/s", "load.step_every=250ms"], 140),
            (&["load.step_by=40/s", "load.step_every=500ms"], 40),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_a_spike_changes_its_arrivals() {
    let spike = [
        "load.arrival=spike",
        "load.rate=20/s",
        "load.spike_rate=200/s",
        "load.duration=1s",
    ];
    assert_orders(
        &spike,
        &[
            (&["load.spike_at=300ms", "load.spike_hold=200ms"], 56),
            (&["load.spike_at=300ms", "load.spike_hold=400ms"], 92),
            (
                &["load.spike_at=300ms", "load.spike_hold=200ms", "load.spike_rate=400/s"],
                96,
            ),
            (
                &["load.spike_at=300ms", "load.spike_hold=200ms", "load.spike_rise=200ms"],
                74,
            ),
        ],
    )
    .await;
    // 4 or 12 orders come before the spike, and the next ones 5 ms apart.
    for (at, before) in [("200ms", 4), ("600ms", 12)] {
        let at = format!("load.spike_at={at}");
        let found = arrivals(&[&spike[..], &[at.as_str(), "load.spike_hold=200ms"]].concat(), 50).await;
        let first_dense = gaps(&found).into_iter().find(|(_, gap)| *gap < 20_000_000);
        let first_dense = first_dense.map(|(number, _)| number);
        assert!(
            first_dense.is_some_and(|number: u64| number.abs_diff(before) <= 1),
            "{at}: {first_dense:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amplitude_and_period_say_where_the_orders_of_a_wave_are() {
    let wave = ["load.arrival=sine", "load.rate=100/s", "load.duration=1s"];
    let middle = async |change: &[&str]| {
        let found = arrivals(&[&wave[..], change].concat(), 100).await;
        let first = found.values().next().copied().unwrap_or_default();
        // The first order comes as the load begins, within one distance between orders.
        let noon = (first + 250_000_000)..(first + 750_000_000);
        found.values().filter(|at| noon.contains(at)).count()
    };
    // Half of the orders and 1/π of the amplitude over the mean more.
    let (high, low) = (
        middle(&["load.sine_amplitude=100/s"]).await,
        middle(&["load.sine_amplitude=20/s"]).await,
    );
    assert!((74..=90).contains(&high), "{high} of 100 orders at noon");
    assert!((50..=62).contains(&low), "{low} of 100 orders at noon");
    // Two waves in the same time have a night in the middle.
    let twice = middle(&["load.sine_amplitude=100/s", "load.sine_period=500ms"]).await;
    assert!((40..=60).contains(&twice), "{twice} of 100 orders around midnight");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_file_says_what_arrives_when() {
    let folder = tempfile::tempdir().expect("a folder");
    let (instants, counts) = (folder.path().join("instants.csv"), folder.path().join("counts.csv"));
    std::fs::write(&instants, "time_s\n0.1\n0.1\n0.35\n0.36\n0.9\n").expect("written");
    std::fs::write(&counts, "start_s,orders\n0,30\n0.5,5\n").expect("written");
    let replay = |file: &std::path::Path| format!("load.replay={}", file.display());
    let (instants, counts) = (replay(&instants), replay(&counts));
    let found = arrivals(&["load.arrival=replay", &instants], 5).await;
    let gaps: Vec<u64> = gaps(&found).into_values().collect();
    assert_eq!(gaps, [0, 250_000_000, 10_000_000, 540_000_000]);
    assert_orders(&["load.arrival=replay"], &[(&[&counts], 35), (&[&instants], 5)]).await;
    let fingerprint = |file: &str| {
        let plan = plan(&["load.arrival=replay", file]);
        serde_json::to_value(&*plan.cells[0].workload).expect("JSON")["load"].to_string()
    };
    let recorded = fingerprint(&counts);
    assert!(
        recorded.contains("fnv1a64:") && !recorded.contains("0.35"),
        "{recorded}"
    );
    assert_ne!(
        recorded.split("fnv1a64:").nth(1),
        fingerprint(&instants).split("fnv1a64:").nth(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phases_follow_one_another_and_each_has_its_figures() {
    let done = run_alone(&[
        "load.phases.1.duration=400ms",
        "load.phases.1.rate=50/s",
        "load.phases.2.duration=200ms",
        "load.phases.2.rate=0/s",
        "load.phases.2.name=pause",
        "load.phases.3.duration=400ms",
        "load.phases.3.arrival=ramp",
        "load.phases.3.rate=50/s",
        "load.phases.3.ramp_to=150/s",
        "load.warm_up=200ms",
    ])
    .await;
    let trial = done.trial();
    let phases: Vec<_> = trial
        .load_phases
        .iter()
        .map(|phase| (phase.band.name.as_str(), phase.orders_offered))
        .collect();
    assert_eq!(phases, [("constant", 20), ("pause", 0), ("ramp", 40)]);
    let sent: u64 = trial.load_phases.iter().map(|phase| phase.orders_sent).sum();
    assert_eq!((trial.orders.planned, sent), (Some(60), trial.orders.published));
    assert_eq!(trial.load_phases[1].orders_sent, 0);
    assert!((trial.load_phases[2].band.start_s - 0.6).abs() < 1e-6);
    // The warm-up is a part of the first phase, not a time before it.
    assert!((45..=50).contains(&trial.orders.measured), "{:?}", trial.orders);
}

/// The driver stands still for most of its load: each of its threads is kept busy by somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_stands_still_is_found_out_and_its_figures_do_not_count() {
    let stand = Stand::start().await;
    let running = start(&stand, &["load.rate=200/s", "load.duration=2s"]);
    let spy = Spy::connect(stand.uri()).await;
    let mut copies = spy.copies(&running.prefix().await, "order.created").await;
    copies.take(20).await;
    let both = std::sync::Arc::new(std::sync::Barrier::new(2));
    for _ in 0..2 {
        let both = std::sync::Arc::clone(&both);
        tokio::spawn(async move {
            both.wait();
            std::thread::sleep(Duration::from_millis(900));
        });
    }
    let done = running.done().await;
    let validity = &done.trial().validity;
    assert!(!validity.valid, "{validity:?}");
    let found = validity
        .reasons
        .iter()
        .any(|reason| reason.contains("fell behind its own schedule"));
    assert!(found, "{validity:?}");
    assert_eq!(done.record.outcome.exit_code, 5, "{:?}", done.record.outcome);
    let text = orderstorm::report::text::end_of_run(&done.record, orderstorm::report::text::Style::Plain);
    assert!(text.starts_with("INVALID: the driver fell behind"), "{text}");
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
async fn publishers_at_full_speed_send_one_window_for_each_way_to_the_broker_and_back() {
    let published = async |window: u64, connections: u32| {
        let stand = Stand::start().await;
        let proxy = Proxy::before(stand.uri()).await;
        proxy.delay(Duration::from_millis(20));
        let (window, connections) = (
            format!("load.confirm_window={window}"),
            format!("load.connections={connections}"),
        );
        let load = ["load.arrival=saturate", "load.duration=500ms", &window, &connections];
        let running = start_at(&proxy.uri(stand.uri()), &load);
        let done = running.done().await;
        let trial = done.trial();
        assert_eq!((trial.orders.planned, trial.rates.offered_load_per_s), (None, None));
        assert_eq!(trial.ledger.fates.completed, trial.orders.published);
        let held = trial.validity.checks.window_full_share;
        assert!(held.is_some_and(|share| share > 0.0), "{held:?}");
        trial.orders.published
    };
    // At most 25 times 20 ms in half a second, and the first window.
    let narrow = published(8, 1).await;
    assert!((8..=8 * 26).contains(&narrow), "{narrow} with a window of 8");
    let wide = published(64, 2).await;
    assert!(
        wide > 2 * narrow && wide <= 64 * 26,
        "{wide} with a window of 64 over two connections, {narrow} with one of 8"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saturating_load_by_count_publishes_that_many_orders() {
    let done = run_alone(&["load.arrival=saturate", "load.orders=150", "load.connections=3"]).await;
    assert_eq!(done.trial().orders.published, 150);
    assert_eq!(done.trial().ledger.fates.completed, 150);
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
    for (window, published) in [("unlimited", 80..=100), ("1", 5..=60)] {
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
        let full = done.trial().validity.checks.window_full_share;
        match window {
            "1" => assert!(full.is_some_and(|share| share > 0.5), "{full:?}"),
            _ => assert_eq!(full, None),
        }
    }
    assert!(lags[1] > 2 * lags[0] && lags[1] > 100_000_000, "{lags:?}");
    assert!(plan(&["load.confirm_window=7"]).cells[0].workload.load.confirm_window == Some(7));
}
