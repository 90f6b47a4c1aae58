//! The closed loop: users who wait for their order, think, and place the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sender::{Answered, Sender};
use crate::amqp::{Outcome, Uncertainty};
use crate::clock::Nanos;
use crate::orders::OrderNumber;
use crate::workload::model::{Load, Until};

/// The users of a trial.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) users: u32,
    pub(super) think_ns: Nanos,
    pub(super) until: Load,
    pub(super) began: Nanos,
}

/// Lets the users run until the load ends. A user's order is intended for the moment at which the user has thought; one that
/// the broker refused, or whose fate nobody knows, sends its user back to thinking.
pub(super) async fn run(
    users: Users,
    mut senders: Vec<Arc<Sender>>,
    finished: Option<mpsc::UnboundedReceiver<OrderNumber>>,
    stop: CancellationToken,
) {
    let Some(mut finished) = finished else { return };
    let (end_at, orders_max) = match users.until.until {
        Until::Duration(duration) => (
            users.began + users.until.warm_up.as_nanos() + duration.as_nanos(),
            u64::MAX,
        ),
        Until::Orders(orders) => (Nanos::MAX, orders),
    };
    let timer = senders[0].wiring().timer.clone();
    let clock = timer.clock();
    // Users start spread over one think time, not all at once.
    let spread = |user: u32| users.began + users.think_ns * u64::from(user) / u64::from(users.users);
    let mut ready: BinaryHeap<Reverse<(Nanos, u32)>> =
        (0..users.users).map(|user| Reverse((spread(user), user))).collect();
    let mut waiting: HashMap<OrderNumber, u32> = HashMap::new();
    let mut flying = FuturesUnordered::new();
    // Senders whose connection is lost, and the attempts to get it back.
    let (mut away, mut restorations) = (HashSet::new(), FuturesUnordered::new());
    let (mut number, mut held_until) = (0, 0);
    while number < orders_max && clock.now() < end_at && !stop.is_cancelled() {
        let now = clock.now();
        for (index, sender) in senders.iter().enumerate().filter(|(_, sender)| sender.is_lost()) {
            if away.insert(index) {
                let restoring = sender.restored(index as u64);
                restorations.push(async move { (index, restoring.await) });
            }
        }
        let turn = (number % senders.len() as u64) as usize;
        let mut in_turn = senders.iter().cycle().skip(turn).take(senders.len());
        let free = in_turn.find(|sender| !sender.is_lost() && !sender.link().is_blocked() && !sender.is_choked());
        if let (Some(Reverse((at, user))), Some(sender)) = (ready.peek().copied(), free)
            && at <= now
        {
            ready.pop();
            let mut flight = Box::pin(sender.send(number, at, held_until));
            if futures_util::poll!(&mut flight).is_pending() {
                flying.push(flight);
            }
            waiting.insert(number, user);
            number += 1;
            continue;
        }
        // With every connection blocked there is nothing to wait for but the broker; look again soon.
        let wake = match (ready.peek(), free) {
            (Some(Reverse((at, _))), Some(_)) => *at,
            (Some(_), None) => {
                held_until = now + 1_000_000;
                held_until
            }
            (None, _) => end_at,
        };
        let mut back = |number: OrderNumber| {
            if let Some(user) = waiting.remove(&number) {
                ready.push(Reverse((clock.now() + users.think_ns, user)));
            }
        };
        tokio::select! {
            Some(Answered { number, outcome }) = flying.next(), if !flying.is_empty() => {
                let lives = matches!(outcome, Outcome::Confirmed | Outcome::Unknown(Uncertainty::NotAsked));
                if !lives {
                    back(number);
                }
            }
            Some((index, restored)) = restorations.next(), if !restorations.is_empty() => {
                away.remove(&index);
                match restored {
                    Ok(sender) => senders[index] = sender,
                    // It was given up, and the trial ends.
                    Err(_) => break,
                }
            }
            Some(number) = finished.recv() => back(number),
            () = timer.sleep_until(wake.min(end_at)) => {}
            () = stop.cancelled() => {}
        }
    }
    senders[0].meter().ended.fetch_max(clock.now(), Ordering::AcqRel);
    while flying.next().await.is_some() {}
}
