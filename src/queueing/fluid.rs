//! The fluid model: work comes at piecewise constant rates and goes at a fixed capacity; what is too much piles up.
//!
//! In closed form: a burst of T seconds leaves B = (λ − μ)·T, which a later rate λ' clears in B/(μ − λ') seconds (G. F. Newell,
//! "Applications of Queueing Theory", 1982, chapter 2). Behind a server flows what it lets through, so that stages stand in a
//! row. What scatters, scatters around it.

/// A stretch of a constant rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Its length, seconds.
    pub duration_s: f64,
    /// Arrivals per second.
    pub rate_per_s: f64,
}

/// What a server makes of its arrivals.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// What it lets through, over the same time and until it is empty.
    pub output: Vec<Segment>,
    /// The corners of the backlog over time, seconds and arrivals; straight between them.
    pub backlog: Vec<(f64, f64)>,
}

impl Passage {
    /// When the backlog is highest, and how high; the first of equals.
    pub fn peak(&self) -> (f64, f64) {
        let start = (0.0, 0.0);
        self.backlog
            .iter()
            .copied()
            .fold(start, |peak, corner| if corner.1 > peak.1 { corner } else { peak })
    }

    /// When nothing waits any more, from `since_s` on; absent if something always does.
    pub fn clear_s(&self, since_s: f64) -> Option<f64> {
        let empty = self
            .backlog
            .iter()
            .find(|(at, waiting)| *at >= since_s - 1e-9 && *waiting <= 1e-9);
        empty.map(|(at, _)| at.max(since_s))
    }

    /// Work let through between two instants, in arrivals.
    pub fn served_between(&self, from_s: f64, to_s: f64) -> f64 {
        let (mut at, mut sum) = (0.0, 0.0);
        for segment in &self.output {
            let end = at + segment.duration_s;
            let inside = (end.min(to_s) - at.max(from_s)).max(0.0);
            sum += inside * segment.rate_per_s;
            at = end;
        }
        sum
    }
}

/// Sends `input` through a server of `capacity_per_s` (above 0), which starts empty and goes on until it is empty again.
pub fn pass(input: &[Segment], capacity_per_s: f64) -> Passage {
    let mut passage = Passage {
        output: Vec::new(),
        backlog: vec![(0.0, 0.0)],
    };
    let (mut at, mut waiting) = (0.0, 0.0_f64);
    let mut stretch = |duration_s: f64, out_per_s: f64, at: &mut f64, waiting: f64| {
        if duration_s > 0.0 {
            *at += duration_s;
            passage.output.push(Segment {
                duration_s,
                rate_per_s: out_per_s,
            });
            passage.backlog.push((*at, waiting));
        }
    };
    for segment in input {
        let growth = segment.rate_per_s - capacity_per_s;
        let mut left_s = segment.duration_s;
        if waiting > 0.0 && growth < 0.0 {
            let clearing_s = (waiting / -growth).min(left_s);
            waiting = if clearing_s < left_s {
                0.0
            } else {
                (waiting + growth * clearing_s).max(0.0)
            };
            stretch(clearing_s, capacity_per_s, &mut at, waiting);
            left_s -= clearing_s;
        }
        if growth > 0.0 || waiting > 0.0 {
            waiting += growth.max(0.0) * left_s;
            stretch(left_s, capacity_per_s, &mut at, waiting);
        } else {
            stretch(left_s, segment.rate_per_s, &mut at, 0.0);
        }
    }
    if waiting > 0.0 {
        stretch(waiting / capacity_per_s, capacity_per_s, &mut at, 0.0);
    }
    passage
}

/// The least capacity that, after `burst_s` seconds of `burst_per_s`, is clear again in `drain_s` seconds while `rate_per_s`
/// keeps coming: (λ_burst·T + λ·D)/(T + D), and never less than the rate itself.
pub fn capacity_to_drain(rate_per_s: f64, burst_per_s: f64, burst_s: f64, drain_s: f64) -> f64 {
    let whole_s = burst_s + drain_s;
    if whole_s <= 0.0 {
        return rate_per_s.max(burst_per_s);
    }
    ((burst_per_s * burst_s + rate_per_s * drain_s) / whole_s).max(rate_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments(pairs: &[(f64, f64)]) -> Vec<Segment> {
        let segment = |(duration_s, rate_per_s): &(f64, f64)| Segment {
            duration_s: *duration_s,
            rate_per_s: *rate_per_s,
        };
        pairs.iter().map(segment).collect()
    }

    #[test]
    fn a_burst_leaves_its_excess_and_clears_at_the_spare_rate() {
        let passage = pass(&segments(&[(5.0, 20.0), (10.0, 1_000.0), (200.0, 20.0)]), 100.0);
        assert_eq!(passage.peak(), (15.0, 9_000.0));
        assert_eq!(passage.clear_s(15.0), Some(15.0 + 112.5));
        assert!((passage.served_between(0.0, 215.0) - (100.0 + 10_000.0 + 4_000.0)).abs() < 1e-6);
        assert!((passage.served_between(5.0, 15.0) - 1_000.0).abs() < 1e-6);
    }

    #[test]
    fn what_the_end_leaves_is_worked_off_at_full_speed_and_the_next_stage_sees_no_more_than_that() {
        let first = pass(&segments(&[(10.0, 1_000.0)]), 100.0);
        assert_eq!(first.clear_s(10.0), Some(100.0));
        let second = pass(&first.output, 80.0);
        assert!((second.peak().1 - 2_000.0).abs() < 1e-6);
        assert_eq!(pass(&first.output, 120.0).peak().1, 0.0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_made(parts in prop::collection::vec((0.01f64..50.0, 0.0f64..500.0), 1..12), capacity in 1.0f64..400.0) {
            let input = segments(&parts);
            let passage = pass(&input, capacity);
            let sum = |segments: &[Segment]| segments.iter().map(|s| s.duration_s * s.rate_per_s).sum::<f64>();
            prop_assert!((sum(&passage.output) - sum(&input)).abs() < 1e-6 * (1.0 + sum(&input)));
            prop_assert!(passage.output.iter().all(|s| s.rate_per_s <= capacity + 1e-9 && s.duration_s > 0.0));
            prop_assert!(passage.backlog.iter().all(|(_, waiting)| *waiting >= 0.0));
            prop_assert!(passage.backlog.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            prop_assert!(passage.backlog.last().unwrap().1.abs() < 1e-6);
        }

        #[test]
        fn the_capacity_asked_for_drains_in_the_time_asked_for(rate in 1.0f64..400.0, more in 1.0f64..3_000.0, burst_s in 0.1f64..300.0, drain_s in 0.1f64..600.0) {
            let capacity = capacity_to_drain(rate, rate + more, burst_s, drain_s);
            let passage = pass(&segments(&[(burst_s, rate + more), (drain_s * 4.0, rate)]), capacity);
            let clear = passage.clear_s(burst_s).unwrap() - burst_s;
            prop_assert!((clear / drain_s - 1.0).abs() < 1e-6, "{} instead of {}", clear, drain_s);
        }

        #[test]
        fn a_row_of_servers_is_as_slow_as_its_slowest(burst in 100.0f64..2_000.0, capacities in prop::collection::vec(50.0f64..90.0, 1..5)) {
            let input = segments(&[(5.0, burst)]);
            let mut flow = input.clone();
            let mut end: f64 = 0.0;
            for capacity in &capacities {
                let passage = pass(&flow, *capacity);
                end = passage.backlog.last().unwrap().0;
                flow = passage.output;
            }
            let least = capacities.iter().copied().fold(f64::MAX, f64::min);
            let alone = pass(&input, least).backlog.last().unwrap().0;
            prop_assert!((end / alone - 1.0).abs() < 1e-6);
        }
    }
}
