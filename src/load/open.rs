//! The open loop on one connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::pace::wake_at;
use super::sender::{Answered, Sender};
use super::{CHOKED_RETRY_NS, Hold};
use crate::amqp::AmqpError;
use crate::arrival::Schedule;
use crate::clock::Nanos;

/// A connection's part of the schedule: each `shares`-th order.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) schedule: Schedule,
    pub(super) began: Nanos,
    pub(super) shares: u64,
    pub(super) share: u64,
}

/// Sends this connection's share until the schedule ends, then waits for the answers. An order that is due when the load
/// ends and was held back until then is counted as unsent.
pub(super) async fn run(share: Share, mut sender: Arc<Sender>, stop: CancellationToken) {
    let Share {
        mut schedule,
        began,
        shares,
        share,
    } = share;
    let workload = Arc::clone(&sender.wiring().workload);
    let load = &workload.load;
    // A count-based load has no end by time: after the last intended instant it has as long as the drain has.
    let grace = sender.wiring().workload.drain.deadline.as_nanos();
    let window = load
        .confirm_window
        .map_or(u64::MAX, |window| (u64::from(window) / shares).max(1));
    let end_at = schedule.end().map(|end| began + end);
    let (timer, clock) = (sender.wiring().timer.clone(), sender.wiring().timer.clock());
    let mut mine = std::iter::from_fn(|| schedule.by_ref().find(|(number, _)| number % shares == share));
    let mut next = mine.next();
    let (mut last_wake, mut released) = (0, 0);
    let mut flying = FuturesUnordered::new();
    // Kept from turn to turn, as most turns wait for the same instant.
    let mut alarm = timer.sleep_until(0);
    while let Some((number, offset)) = next {
        let intended = began + offset;
        let hold = hold(&sender, flying.len() as u64, window);
        let now = clock.now();
        let latest = end_at.unwrap_or_else(|| intended.saturating_add(grace));
        if now >= latest || stop.is_cancelled() {
            break;
        }
        if sender.is_lost() {
            match back(&sender, share, &mut flying, latest, &stop).await {
                Some(Ok(restored)) => sender = restored,
                Some(Err(_)) => break,
                None => {}
            }
            if clock.now() > intended {
                released = clock.now();
                sender.meter().hold(Hold::Socket, released - now.max(intended));
            }
            continue;
        }
        if hold.is_none() && now >= intended {
            let mut flight = Box::pin(sender.send(number, intended, released));
            // The first poll queues the message; the rest of its way is the broker's.
            if futures_util::poll!(&mut flight).is_pending() {
                flying.push(flight);
            }
            sender.meter().sent_at(offset);
            next = mine.next();
            last_wake = now;
            continue;
        }
        let wake = match hold {
            None => wake_at(intended, last_wake),
            Some(Hold::Socket) => now + CHOKED_RETRY_NS,
            // The window and the block end by an event; the load's own end must not be missed for it.
            Some(Hold::Blocked | Hold::Window) => latest,
        };
        if alarm.deadline() != wake {
            alarm = timer.sleep_until(wake);
        }
        tokio::select! {
            Some(_) = flying.next(), if !flying.is_empty() => drain(&mut flying),
            () = &mut alarm => {}
            () = sender.link().unblocked(), if hold == Some(Hold::Blocked) => {}
            () = sender.lost() => {}
            () = stop.cancelled() => {}
        }
        if let Some(hold) = hold
            && clock.now() > intended
        {
            released = clock.now();
            sender.meter().hold(hold, released - now.max(intended));
        }
    }
    count_unsent(next, mine, &sender, began, end_at.unwrap_or(Nanos::MAX), &stop);
    // The time after the last arrival belongs to the load.
    tokio::select! {
        () = timer.sleep_until(end_at.unwrap_or_default()) => {}
        () = stop.cancelled() => {}
    }
    sender.meter().ended.fetch_max(clock.now(), Ordering::AcqRel);
    while flying.next().await.is_some() {}
}

/// Takes the answers that have come by now; each has been booked by its own flight.
pub(super) fn drain(flying: &mut FuturesUnordered<impl Future>) {
    while let Some(Some(_)) = flying.next().now_or_never() {}
}

/// Gets a sender back whose connection is lost, while the answers to what is in flight come in; absent if the load ended first.
pub(super) async fn back(
    sender: &Sender,
    share: u64,
    flying: &mut FuturesUnordered<impl Future<Output = Answered> + Unpin>,
    latest: Nanos,
    stop: &CancellationToken,
) -> Option<Result<Arc<Sender>, AmqpError>> {
    let restoring = sender.restored(share);
    tokio::pin!(restoring);
    loop {
        tokio::select! {
            restored = &mut restoring => return Some(restored),
            Some(_) = flying.next(), if !flying.is_empty() => {}
            () = sender.wiring().timer.sleep_until(latest) => return None,
            () = stop.cancelled() => return None,
        }
    }
}

/// What keeps a due order from being sent now.
pub(super) fn hold(sender: &Sender, in_flight: u64, window: u64) -> Option<Hold> {
    if sender.link().is_blocked() {
        Some(Hold::Blocked)
    } else if in_flight >= window {
        Some(Hold::Window)
    } else if sender.is_choked() {
        Some(Hold::Socket)
    } else {
        None
    }
}

/// What was due by now, or by the load's end, and did not go out.
fn count_unsent(
    next: Option<(u64, Nanos)>,
    rest: impl Iterator<Item = (u64, Nanos)>,
    sender: &Sender,
    began: Nanos,
    end: Nanos,
    stop: &CancellationToken,
) {
    let due = if stop.is_cancelled() {
        sender.wiring().timer.clock().now().min(end)
    } else {
        end
    };
    let unsent = next
        .into_iter()
        .chain(rest)
        .take_while(|(_, offset)| began.saturating_add(*offset) < due)
        .count();
    sender.meter().unsent.fetch_add(unsent as u64, Ordering::Relaxed);
}
