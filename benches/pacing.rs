//! How late orders leave: the load's schedule, timer and pacing, without a broker.
//!
//! `cargo bench --bench pacing` prints lateness (sent − intended) and processor time for three rates, each against the
//! runtime's own timer, in turn, and ends with an error if the load's pacing misses its target of 200 µs at p99 and 10,000
//! orders per second. `cargo bench --bench pacing -- --test` is a quick look that demands nothing.

use std::process::ExitCode;
use std::time::Duration;

use orderstorm::arrival::Schedule;
use orderstorm::clock::{Clock, Nanos};
use orderstorm::load::pace::wake_at;
use orderstorm::measure::Recorder;
use orderstorm::sample::driver_cpu_seconds;
use orderstorm::timer::Timer;
use orderstorm::units::{Rate, Span};
use orderstorm::workload::model::{Arrival, Load, Until};

const RATES: [f64; 3] = [1_000.0, 10_000.0, 50_000.0];
const TARGET_RATE: f64 = 10_000.0;
const TARGET_P99_NS: u64 = 200_000;
const ROUNDS: u32 = 3;

/// What sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleeper {
    /// The load's.
    Timer,
    /// The runtime's, for comparison.
    Runtime,
}

/// Lateness and processor seconds of all rounds.
#[derive(Debug, Default)]
struct Found {
    lateness: Recorder,
    cpu_s: f64,
    elapsed_s: f64,
}

async fn pace(sleeper: Sleeper, rate: f64, length: Duration, timer: &Timer, found: &mut Found) {
    let load = Load {
        arrival: Arrival::poisson(Rate(rate)),
        until: Until::Duration(Span(length)),
        warm_up: Span::ZERO,
        connections: 1,
        confirm_window: None,
    };
    let clock = timer.clock();
    let (began, cpu_began) = (clock.now() + 10_000_000, driver_cpu_seconds());
    let mut last_wake: Nanos = 0;
    for (_, offset) in Schedule::new(&load, 42).expect("an open loop") {
        let intended = began + offset;
        if clock.now() < intended {
            let wake = wake_at(intended, last_wake);
            match sleeper {
                Sleeper::Timer => timer.sleep_until(wake).await,
                Sleeper::Runtime => tokio::time::sleep(clock.until(wake)).await,
            }
        }
        last_wake = clock.now();
        found.lateness.record(last_wake.saturating_sub(intended));
    }
    let cpu = driver_cpu_seconds()
        .zip(cpu_began)
        .map(|(after, before)| after - before);
    found.cpu_s += cpu.unwrap_or_default();
    found.elapsed_s += (clock.now() - began) as f64 / 1e9;
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--test");
    let (length, rounds) = if quick {
        (Duration::from_millis(100), 1)
    } else {
        (Duration::from_secs(5), ROUNDS)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let timer = {
        let _inside = runtime.enter();
        Timer::start(Clock::start()).expect("a timer")
    };
    println!(
        "{:>9} {:<8} {:>9} {:>9} {:>9} {:>10} {:>12}",
        "orders/s", "sleeper", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "CPU of a core"
    );
    let mut missed = false;
    for rate in RATES {
        let mut all = [(Sleeper::Timer, Found::default()), (Sleeper::Runtime, Found::default())];
        for _ in 0..rounds {
            for (sleeper, found) in &mut all {
                // On a worker of the runtime, as the load runs: the main thread is slower to wake.
                let timer = timer.clone();
                let (sleeper, mut round) = (*sleeper, std::mem::take(found));
                *found = runtime
                    .block_on(runtime.spawn(async move {
                        pace(sleeper, rate, length, &timer, &mut round).await;
                        round
                    }))
                    .expect("pacing does not panic");
            }
        }
        for (sleeper, found) in all {
            let micros = |q: f64| {
                let quantile = found.lateness.quantile(q);
                quantile.map_or("n/a".to_owned(), |quantile| format!("{:.0}", quantile.ns as f64 / 1e3))
            };
            println!(
                "{rate:>9} {:<8} {:>9} {:>9} {:>9} {:>10.0} {:>11.1} %",
                format!("{sleeper:?}").to_lowercase(),
                micros(0.5),
                micros(0.99),
                micros(0.999),
                found.lateness.max().unwrap_or_default() as f64 / 1e3,
                found.cpu_s / found.elapsed_s * 100.0
            );
            let p99 = found.lateness.quantile(0.99).map(|quantile| quantile.ns);
            missed |= sleeper == Sleeper::Timer && rate == TARGET_RATE && p99.is_none_or(|p99| p99 > TARGET_P99_NS);
        }
    }
    if missed && !quick {
        eprintln!(
            "the load's pacing missed {} µs at p99 and {TARGET_RATE} orders/s",
            TARGET_P99_NS / 1_000
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
