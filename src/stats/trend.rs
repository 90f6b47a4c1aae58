//! The slope of a noisy series, which a third of wild points cannot turn.
//!
//! Theil (1950); its interval by Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).

use super::bootstrap::Interval;
use super::normal;
use super::sample::{quantile_of_sorted, sorted};

/// Points above which a series is thinned to every k-th, since the slopes of all pairs are looked at.
const POINTS_MAX: usize = 1_500;

/// A slope, in units of y per unit of x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The median of the slopes between all pairs of points.
    pub value: f64,
    /// Its 95 % interval, for points that are independent of each other; absent under 4 points.
    pub interval: Option<Interval>,
}

/// The slope of `points` (x, y); absent without two different x.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Slope> {
    let points: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .step_by(points.len().div_ceil(POINTS_MAX).max(1))
        .collect();
    let n = points.len();
    let mut slopes = Vec::with_capacity(n * n.saturating_sub(1) / 2);
    for (i, (x0, y0)) in points.iter().enumerate() {
        let later = points[i + 1..].iter().filter(|(x1, _)| x1 != x0);
        slopes.extend(later.map(|(x1, y1)| (y1 - y0) / (x1 - x0)));
    }
    let slopes = sorted(&slopes);
    Some(Slope {
        value: quantile_of_sorted(&slopes, 0.5)?,
        interval: interval(&slopes, n),
    })
}

/// The order statistics of the slopes at a distance that Kendall's statistic has by chance.
fn interval(slopes: &[f64], n: usize) -> Option<Interval> {
    if n < 4 {
        return None;
    }
    let points = n as f64;
    let variance = points * (points - 1.0) * (2.0 * points + 5.0) / 18.0;
    let distance = normal::quantile(0.975) * variance.sqrt();
    let pairs = slopes.len() as f64;
    let low = ((pairs - distance) / 2.0 - 1.0).round().max(0.0) as usize;
    let high = ((pairs + distance) / 2.0).round() as usize;
    Some(Interval {
        low: *slopes.get(low)?,
        high: *slopes.get(high.min(slopes.len() - 1))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sens_own_example_has_his_slope_and_interval() {
        // Sen (1968), section 6, and Hollander and Wolfe: slope 4; the interval as scipy.stats.theilslopes(y, x, 0.95) gives it.
        let x = [1.0, 2.0, 3.0, 4.0, 10.0, 12.0, 18.0];
        let y = [9.0, 15.0, 19.0, 20.0, 45.0, 55.0, 78.0];
        let points: Vec<(f64, f64)> = x.into_iter().zip(y).collect();
        let slope = theil_sen(&points).expect("a slope");
        assert!((slope.value - 4.0).abs() < 1e-12);
        let interval = slope.interval.expect("7 points");
        assert!(
            (interval.low - 26.0 / 7.0).abs() < 1e-9 && (interval.high - 4.375).abs() < 1e-9,
            "{interval:?}"
        );
    }

    #[test]
    fn a_line_with_wild_points_keeps_its_slope() {
        let points: Vec<(f64, f64)> = (0..100)
            .map(|i| (f64::from(i), if i % 5 == 0 { 1e6 } else { 3.0 * f64::from(i) }))
            .collect();
        assert!((theil_sen(&points).expect("a slope").value - 3.0).abs() < 0.2);
        assert_eq!(theil_sen(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(theil_sen(&[]), None);
    }

    proptest! {
        #[test]
        fn a_straight_line_has_its_slope(slope in -100.0..100.0_f64, n in 4..40_usize) {
            let points: Vec<(f64, f64)> = (0..n).map(|i| (i as f64, slope * i as f64)).collect();
            let found = theil_sen(&points).unwrap();
            prop_assert!((found.value - slope).abs() < 1e-9);
            let interval = found.interval.unwrap();
            prop_assert!(interval.low <= found.value + 1e-9 && interval.high >= found.value - 1e-9);
        }
    }
}
