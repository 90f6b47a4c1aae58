//! The backlog over a trial's measured part, kept in bounded memory, for its slope.

use crate::stats::{Slope, theil_sen};

/// Points that are kept; with more, neighbours are averaged in pairs.
const POINTS_MAX: usize = 1_024;

/// Samples at a steady cadence, however many.
#[derive(Debug, Clone, Default)]
pub struct Points {
    points: Vec<(f64, f64)>,
    /// Samples that each point stands for.
    each: u32,
    /// Sums of the samples that do not make a point yet.
    open: (f64, f64, u32),
}

impl Points {
    /// Adds a sample: seconds, messages.
    pub fn add(&mut self, time_s: f64, messages: f64) {
        self.each = self.each.max(1);
        let (times, values, n) = &mut self.open;
        *times += time_s;
        *values += messages;
        *n += 1;
        if *n == self.each {
            let n = f64::from(*n);
            self.points.push((*times / n, *values / n));
            self.open = (0.0, 0.0, 0);
        }
        if self.points.len() == POINTS_MAX {
            let halved = self.points.chunks(2).map(|pair| {
                let n = pair.len() as f64;
                let (x, y) = pair
                    .iter()
                    .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
                (x / n, y / n)
            });
            self.points = halved.collect();
            self.each *= 2;
        }
    }

    /// Growth from `start_s` to `end_s`, messages per second; absent with fewer than 4 points there.
    pub fn slope(&self, start_s: f64, end_s: f64) -> Option<Slope> {
        let within: Vec<(f64, f64)> = self
            .points
            .iter()
            .copied()
            .filter(|(time_s, _)| (start_s..=end_s).contains(time_s))
            .collect();
        (within.len() >= 4).then(|| theil_sen(&within))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_points_have_no_slope() {
        let mut points = Points::default();
        (0..3).for_each(|at| points.add(f64::from(at), 5.0));
        assert_eq!(points.slope(0.0, 10.0), None);
        points.add(3.0, 5.0);
        assert_eq!(points.slope(0.0, 10.0).map(|slope| slope.value), Some(0.0));
        assert_eq!(points.slope(1.0, 10.0), None, "the warm-up is left out");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_straight_line_has_its_slope_however_long(per_s in -50.0_f64..50.0, samples in 4_u32..6_000) {
            let mut points = Points::default();
            for at in 0..samples {
                let time_s = f64::from(at) * 0.25;
                points.add(time_s, 100.0 + per_s * time_s);
            }
            prop_assert!(points.points.len() < POINTS_MAX);
            let slope = points.slope(0.0, f64::MAX).expect("enough points").value;
            prop_assert!((slope - per_s).abs() < 1e-6 * per_s.abs().max(1.0), "{slope} for {per_s}");
        }
    }
}
