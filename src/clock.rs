//! One monotonic origin per run; the sole caller of the system clocks.
//!
//! Instants are nanoseconds since the run's origin, on CLOCK_MONOTONIC, which all processes of one host share: a worker
//! process that is given the origin stamps on the same axis. The AMQP `timestamp` property (whole seconds, wall clock) is
//! never a latency clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the run's origin.
pub type Nanos = u64;

/// The run's clock; copy it freely.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin_ns: u64,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Clock {
            origin_ns: monotonic_ns(),
        }
    }

    /// A clock on an origin taken elsewhere on this host ([`Clock::origin`]).
    pub fn with_origin(origin_ns: u64) -> Self {
        Clock { origin_ns }
    }

    /// The origin, to hand to another process of this host; raw CLOCK_MONOTONIC nanoseconds.
    pub fn origin(self) -> u64 {
        self.origin_ns
    }

    /// Nanoseconds since the origin (about 30 ns to read).
    pub fn now(self) -> Nanos {
        monotonic_ns().saturating_sub(self.origin_ns)
    }

    /// How long from now until `instant`; zero when it has passed.
    pub fn until(self, instant: Nanos) -> Duration {
        Duration::from_nanos(instant.saturating_sub(self.now()))
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every supported system");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// How far other clocks are ahead of CLOCK_MONOTONIC; what changes between two looks is a jump.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offsets {
    /// Seconds that the machine has slept through since it booted; absent where the system does not tell.
    pub suspended_s: Option<f64>,
    /// Seconds of the wall clock.
    pub wall_s: f64,
}

/// A look at the clocks.
pub fn offsets() -> Offsets {
    let ahead_s = |other: u64, monotonic: u64| (i128::from(other) - i128::from(monotonic)) as f64 / 1e9;
    let nanos = |time: nix::sys::time::TimeSpec| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
    let suspended_s = boot.map(|boot| ahead_s(nanos(boot), monotonic_ns()).max(0.0));
    let wall = wall_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    Offsets {
        suspended_s,
        wall_s: ahead_s(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX), monotonic_ns()),
    }
}

/// Wall-clock time, for stamps that people read and for the AMQP `timestamp` property; never for a latency.
pub fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// Whole seconds since 1970, for the AMQP `timestamp` property.
pub fn unix_seconds() -> u64 {
    wall_time()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `2026-11-21T08:53:45Z`.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `20261121T085345Z`: [`rfc3339`] without the characters that file systems and shells dislike.
pub fn compact(time: SystemTime) -> String {
    rfc3339(time).chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_on_one_origin_agree() {
        let first = Clock::start();
        let second = Clock::with_origin(first.origin());
        let (before, between, after) = (first.now(), second.now(), first.now());
        assert!(before <= between && between <= after);
    }

    #[test]
    fn the_compact_stamp_is_a_legal_file_name() {
        assert_eq!(compact(UNIX_EPOCH), "19700101T000000Z");
    }
}
