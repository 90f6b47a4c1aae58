//! What a fault cost: how long the goodput was below its band, how long nothing ended, and what was delivered or done again.
//!
//! Pure: made from counts that were read at the cadence of the samples, which is also how fine the times are. docs/METHOD.md
//! says what the figures mean.

use crate::clock::Nanos;

/// The band of the goodput: so much below its former level is still in it. More where chance alone would leave that.
const BAND_SHARE: f64 = 0.1;
/// Length of the window in which the goodput is looked at.
const WINDOW_NS: Nanos = 1_000_000_000;
/// Longest look back for the former level.
const BEFORE_NS: Nanos = 10_000_000_000;

/// Counts at an instant of the run's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub at: Nanos,
    /// Orders that came to their end.
    pub ended: u64,
    /// Deliveries with the redelivered flag.
    pub redelivered: u64,
    /// Deliveries of what was processed already and had no second effect.
    pub suppressed: u64,
    /// Effects that happened again.
    pub repeated: u64,
}

/// A fault, on the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub start: Nanos,
    /// Absent if it was not healed.
    pub healed: Option<Nanos>,
}

/// What it cost, from its start to that of the next fault.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Impact {
    /// From the heal until the goodput was back in its band, seconds; absent where the load had no level to come back to, or
    /// the next fault or the end of the load came first.
    pub recovery_s: Option<f64>,
    /// Longest time in which no order ended, seconds.
    pub longest_gap_s: Option<f64>,
    pub redeliveries: u64,
    pub duplicates_delivered: u64,
    pub duplicates_in_effect: u64,
}

/// The trial's frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Since when the goodput has a level.
    pub from: Nanos,
    pub load_ended: Nanos,
    /// Whether the load asks the same all the time.
    pub even: bool,
}

/// What each fault cost; `faults` in the order of their starts.
pub fn impacts(counts: &[Counts], faults: &[Stretch], frame: Frame) -> Vec<Impact> {
    let level = faults.first().and_then(|first| level(counts, first.start, frame));
    let last = counts.last().map_or(0, |counts| counts.at);
    let mut impacts = Vec::with_capacity(faults.len());
    for (position, fault) in faults.iter().enumerate() {
        let until = faults.get(position + 1).map_or(last, |next| next.start);
        let (before, after) = (at(counts, fault.start), at(counts, until));
        impacts.push(Impact {
            recovery_s: fault
                .healed
                .zip(level)
                .and_then(|(healed, level)| recovery(counts, healed, until.min(frame.load_ended), level)),
            longest_gap_s: longest_gap(counts, fault.start, until, frame.load_ended),
            redeliveries: after.redelivered.saturating_sub(before.redelivered),
            duplicates_delivered: (after.suppressed + after.repeated)
                .saturating_sub(before.suppressed + before.repeated),
            duplicates_in_effect: after.repeated.saturating_sub(before.repeated),
        });
    }
    impacts
}

/// The last counts read by then.
fn at(counts: &[Counts], instant: Nanos) -> Counts {
    let position = counts.partition_point(|counts| counts.at <= instant);
    position
        .checked_sub(1)
        .map_or_else(Counts::default, |last| counts[last])
}

/// Orders per second before the first fault; absent for less than a window of it.
fn level(counts: &[Counts], start: Nanos, frame: Frame) -> Option<f64> {
    let from = frame.from.max(start.saturating_sub(BEFORE_NS));
    let (before, after) = (at(counts, from), at(counts, start));
    let length = after
        .at
        .checked_sub(before.at.max(from))
        .filter(|length| *length >= WINDOW_NS)?;
    (frame.even && before.at > 0).then(|| (after.ended - before.ended) as f64 / (length as f64 / 1e9))
}

fn recovery(counts: &[Counts], healed: Nanos, until: Nanos, level: f64) -> Option<f64> {
    // Two deviations of a Poisson count in the window, where that is more.
    let tolerance = (BAND_SHARE * level).max(2.0 * level.sqrt());
    let first = counts.partition_point(|counts| counts.at < healed);
    for (position, begin) in counts.iter().enumerate().skip(first) {
        let end = counts[position..].iter().find(|end| end.at >= begin.at + WINDOW_NS)?;
        if end.at > until {
            return None;
        }
        let goodput = (end.ended - begin.ended) as f64 / ((end.at - begin.at) as f64 / 1e9);
        if goodput >= level - tolerance {
            return Some((begin.at - healed) as f64 / 1e9);
        }
    }
    None
}

/// Between two ends of orders, or the start and the first of them; with no end any more, up to the end of the load at most.
fn longest_gap(counts: &[Counts], start: Nanos, until: Nanos, load_ended: Nanos) -> Option<f64> {
    let first = counts.partition_point(|counts| counts.at <= start).checked_sub(1)?;
    let (mut since, mut ended, mut longest) = (start, counts[first].ended, 0);
    for counts in counts[first..].iter().take_while(|counts| counts.at <= until) {
        if counts.ended > ended {
            longest = longest.max(counts.at.saturating_sub(since));
            (since, ended) = (counts.at, counts.ended);
        }
    }
    longest = longest.max(until.min(load_ended).saturating_sub(since));
    (until > start).then_some(longest as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    /// 100 orders per second, read four times a second over 30 s; none between 10 s and 12 s, the rest made up by 14 s.
    fn stalled() -> Vec<Counts> {
        let ended = |at: Nanos| match at {
            at if at < 10 * S => at / 10_000_000,
            at if at < 12 * S => 1_000,
            at if at < 14 * S => 1_000 + (at - 12 * S) / 5_000_000,
            at => at / 10_000_000,
        };
        (1..=120)
            .map(|tick| Counts {
                at: tick * S / 4,
                ended: ended(tick * S / 4),
                redelivered: if tick >= 48 { 7 } else { 0 },
                suppressed: if tick >= 48 { 3 } else { 0 },
                repeated: if tick >= 100 { 2 } else { 0 },
            })
            .collect()
    }

    fn frame() -> Frame {
        Frame {
            from: S,
            load_ended: 30 * S,
            even: true,
        }
    }

    #[test]
    fn a_stall_is_measured_from_its_heal_and_what_came_again_is_its_own() {
        let faults = [
            Stretch {
                start: 10 * S,
                healed: Some(11 * S),
            },
            Stretch {
                start: 20 * S,
                healed: Some(20 * S),
            },
        ];
        let found = impacts(&stalled(), &faults, frame());
        let first = Impact {
            recovery_s: Some(0.5),
            longest_gap_s: Some(2.25),
            redeliveries: 7,
            duplicates_delivered: 3,
            duplicates_in_effect: 0,
        };
        assert_eq!(found[0], first);
        assert_eq!(
            (
                found[1].recovery_s,
                found[1].duplicates_delivered,
                found[1].duplicates_in_effect
            ),
            (Some(0.0), 2, 2)
        );
    }

    #[test]
    fn a_gap_that_outlasts_the_load_counts_and_the_quiet_after_the_last_order_does_not() {
        let outage = [Stretch {
            start: 10 * S,
            healed: Some(12 * S),
        }];
        let short = Frame {
            load_ended: 11 * S,
            ..frame()
        };
        assert_eq!(impacts(&stalled(), &outage, short)[0].longest_gap_s, Some(2.25));
        let mut quiet = stalled();
        quiet.push(Counts {
            at: 60 * S,
            ..quiet[quiet.len() - 1]
        });
        assert_eq!(impacts(&quiet, &outage, frame())[0].longest_gap_s, Some(2.25));
    }

    #[test]
    fn what_has_no_level_or_no_end_has_no_recovery_time() {
        let healed = [Stretch {
            start: 10 * S,
            healed: Some(11 * S),
        }];
        let uneven = Frame { even: false, ..frame() };
        assert_eq!(impacts(&stalled(), &healed, uneven)[0].recovery_s, None);
        let late = Frame {
            from: 19 * S / 2,
            ..frame()
        };
        assert_eq!(impacts(&stalled(), &healed, late)[0].recovery_s, None);
        let never = [Stretch {
            start: 10 * S,
            healed: None,
        }];
        assert_eq!(impacts(&stalled(), &never, frame())[0].recovery_s, None);
        let overtaken = [
            healed[0],
            Stretch {
                start: 23 * S / 2,
                healed: None,
            },
        ];
        assert_eq!(impacts(&stalled(), &overtaken, frame())[0].recovery_s, None);
        assert_eq!(impacts(&[], &healed, frame())[0], Impact::default());
    }
}
