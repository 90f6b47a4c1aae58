//! Publishers at full speed on one connection: as much as the confirm window and the socket take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::open::{back, drain, hold};
use super::sender::Sender;
use super::{CHOKED_RETRY_NS, Hold};
use crate::clock::Nanos;
use crate::workload::model::Until;

/// Publishes after which others on this thread get their turn.
const TURN: u32 = 64;

/// Sends until the load ends, then waits for the answers. `numbers` are drawn by all connections; the window is shared out
/// among their `shares`, of which this is number `share`. An order is intended for the moment at which it is sent.
pub(super) async fn run(
    numbers: Arc<AtomicU64>,
    (shares, share): (u64, u64),
    began: Nanos,
    mut sender: Arc<Sender>,
    stop: CancellationToken,
) {
    let workload = Arc::clone(&sender.wiring().workload);
    let load = &workload.load;
    let window = load
        .confirm_window
        .map_or(u64::MAX, |window| (u64::from(window) / shares).max(1));
    let (end_at, orders) = match load.until {
        Until::Duration(duration) => (began + load.warm_up.as_nanos() + duration.as_nanos(), u64::MAX),
        Until::Orders(orders) => (Nanos::MAX, orders),
    };
    let (timer, clock) = (sender.wiring().timer.clone(), sender.wiring().timer.clock());
    timer.sleep_until(began).await;
    let mut flying = FuturesUnordered::new();
    while clock.now() < end_at && !stop.is_cancelled() {
        if sender.is_lost() {
            match back(&sender, share, &mut flying, end_at, &stop).await {
                Some(Ok(restored)) => sender = restored,
                Some(Err(_)) => break,
                None => {}
            }
            continue;
        }
        let held = hold(&sender, flying.len() as u64, window);
        if held.is_none() {
            for _ in 0..TURN.min(u32::try_from(window - flying.len() as u64).unwrap_or(TURN)) {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= orders {
                    break;
                }
                let now = clock.now();
                let mut flight = Box::pin(sender.send(number, now, now));
                // The first poll queues the message; the rest of its way is the broker's.
                if futures_util::poll!(&mut flight).is_pending() {
                    flying.push(flight);
                }
            }
            if numbers.load(Ordering::Relaxed) >= orders {
                break;
            }
            tokio::task::yield_now().await;
            drain(&mut flying);
            continue;
        }
        let since = clock.now();
        let wake = match held {
            Some(Hold::Socket) => since + CHOKED_RETRY_NS,
            _ => end_at,
        };
        // A window is filled again in halves: one wake-up and one write to the socket serve many publishes.
        let enough = match held {
            Some(Hold::Window) => window / 2,
            _ => u64::MAX,
        };
        // Made once: many answers come before any of these.
        let (alarm, unblocked, lost, stopped) = (
            timer.sleep_until(wake),
            sender.link().unblocked(),
            sender.lost(),
            stop.cancelled(),
        );
        tokio::pin!(alarm, unblocked, lost, stopped);
        loop {
            let on = tokio::select! {
                Some(_) = flying.next(), if !flying.is_empty() => {
                    drain(&mut flying);
                    flying.len() as u64 > enough
                }
                () = &mut alarm => false,
                () = &mut unblocked, if held == Some(Hold::Blocked) => false,
                () = &mut lost => false,
                () = &mut stopped => false,
            };
            if !on {
                break;
            }
        }
        if let Some(held) = held {
            sender.meter().hold(held, clock.now() - since);
        }
    }
    sender.meter().ended.fetch_max(clock.now(), Ordering::AcqRel);
    while flying.next().await.is_some() {}
}
