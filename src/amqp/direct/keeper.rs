//! What comes with time: heartbeats both ways, and the end of the patience for confirms. One task and one timer for a
//! connection, however much is published on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::line::Line;
use crate::amqp::frame;

/// Half heartbeats of silence after which the broker is taken for dead: two intervals.
const MOST_SILENT: u32 = 4;

/// Looks after a connection until it is gone.
pub(super) async fn run(line: Arc<Line>) {
    let beat = match line.tuned.heartbeat {
        0 => Duration::from_secs(3600),
        seconds => Duration::from_millis(u64::from(seconds) * 500),
    };
    let (mut beats, mut looks) = (every(beat), every(line.look_every()));
    let opened = first(&mut beats).await;
    let mut pulse = Pulse::default();
    loop {
        tokio::select! {
            now = looks.tick() => {
                line.set_now_ms(now.duration_since(opened).as_millis() as u64);
                expire(&line);
            }
            _ = beats.tick(), if line.tuned.heartbeat > 0 => pulse.beat(&line),
            () = line.look_changed.notified() => looks = every(line.look_every()),
            () = line.over().cancelled() => return,
        }
    }
}

/// Ticks that come late come once, so that a process that was stopped does not make up for them.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The first tick is at once.
async fn first(ticks: &mut tokio::time::Interval) -> Instant {
    ticks.tick().await
}

fn expire(line: &Line) {
    let (now_ms, look_ms) = (line.now_ms(), line.look_every().as_millis() as u64);
    for place in line.table().iter().flatten() {
        place.lane.expire(now_ms, look_ms);
    }
}

/// The heartbeats of one connection.
#[derive(Debug, Default)]
struct Pulse {
    heard: u64,
    silent_halves: u32,
    written: u64,
}

impl Pulse {
    fn beat(&mut self, line: &Line) {
        let heard = line.heard();
        let silent = heard == std::mem::replace(&mut self.heard, heard);
        self.silent_halves = if silent { self.silent_halves + 1 } else { 0 };
        if self.silent_halves > MOST_SILENT {
            line.fail(&format!(
                "the broker was silent for more than two heartbeats of {} s",
                line.tuned.heartbeat
            ));
            return;
        }
        let written = line.octets_written();
        if written == std::mem::replace(&mut self.written, written) {
            line.append(0, frame::write_heartbeat);
        }
    }
}
