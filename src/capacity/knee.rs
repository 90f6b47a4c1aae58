//! The knee of a curve that rises ever more steeply, such as latency over offered load.
//!
//! Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack", ICDCS Workshops 2011, offline and without smoothing,
//! for a convex rising curve, with sensitivity S = 1.

/// Points under which nobody should speak of a knee.
pub const POINTS_MIN: usize = 10;
/// How flat the curve must become beyond the candidate, in mean distances of points: the paper's S.
const SENSITIVITY: f64 = 1.0;

/// What there is to say about a curve's knee.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Knee {
    /// It is at this x, with this y.
    At(f64, f64),
    /// The curve bends nowhere in its range.
    None,
    /// Too few points, of different x.
    TooFew(usize),
}

/// The knee of `points` (x, y), which must be finite and in the order of x, each x once.
pub fn knee(points: &[(f64, f64)]) -> Knee {
    if points.len() < POINTS_MIN {
        return Knee::TooFew(points.len());
    }
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let low = points.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    if last <= first || high <= low {
        return Knee::None;
    }
    // How far the curve hangs below the straight line of the unit square.
    let hangs: Vec<f64> = points
        .iter()
        .map(|(x, y)| (x - first) / (last - first) - (y - low) / (high - low))
        .collect();
    let allowance = SENSITIVITY / (points.len() - 1) as f64;
    let mut found: Option<usize> = None;
    for at in 1..hangs.len() - 1 {
        let is_peak = hangs[at] > hangs[at - 1] && hangs[at] >= hangs[at + 1];
        let falls = || {
            let until_next = hangs[at + 1..].iter().take_while(|later| **later <= hangs[at]);
            until_next.copied().fold(f64::INFINITY, f64::min) < hangs[at] - allowance
        };
        if is_peak && hangs[at] > allowance && falls() && found.is_none_or(|best| hangs[at] > hangs[best]) {
            found = Some(at);
        }
    }
    found.map_or(Knee::None, |at| Knee::At(points[at].0, points[at].1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Waiting in an M/M/1 queue of rate 1.
    fn queue(load: f64) -> f64 {
        1.0 / (1.0 - load)
    }

    #[test]
    fn the_knee_of_a_queue_lies_where_its_curve_turns_up() {
        let points: Vec<(f64, f64)> = (1..=19).map(|n| f64::from(n) * 0.05).map(|x| (x, queue(x))).collect();
        let Knee::At(x, _) = knee(&points) else {
            panic!("no knee in {points:?}")
        };
        assert!((0.7..=0.9).contains(&x), "{x}");
    }

    #[test]
    fn the_paper_s_own_example_has_its_knee() {
        // Figure 2 of the paper, y = −1/x + 5 for x = 0.1 … 1, is concave; turned by half a circle it is convex, and its knee at
        // 0.22 comes to lie at 1.1 − 0.22.
        let xs = (0..10).map(|n| 0.1 + 0.1 * f64::from(n));
        let points: Vec<(f64, f64)> = xs.map(|x| (x, 1.0 / (1.1 - x))).collect();
        let Knee::At(x, _) = knee(&points) else { panic!() };
        assert!((0.75..=0.95).contains(&x), "{x}");
    }

    #[test]
    fn few_points_and_flat_curves_have_none() {
        let flat: Vec<(f64, f64)> = (0..12).map(|n| (f64::from(n), 5.0)).collect();
        assert_eq!(knee(&flat), Knee::None);
        assert_eq!(knee(&flat[..9]), Knee::TooFew(9));
        assert_eq!(knee(&[]), Knee::TooFew(0));
    }

    proptest! {
        #[test]
        fn a_straight_line_has_no_knee(slope in 0.01..100.0_f64, n in 10..40_usize) {
            let points: Vec<(f64, f64)> = (0..n).map(|i| (i as f64, slope * i as f64)).collect();
            prop_assert_eq!(knee(&points), Knee::None);
        }

        #[test]
        fn a_hockey_stick_has_its_knee_at_the_bend_whatever_the_units(bend in 3..16_usize, x_unit in 0.001..1000.0_f64, y_unit in 0.001..1000.0_f64) {
            let y = |i: usize| 1.0 + if i > bend { (i - bend) as f64 * 50.0 } else { 0.0 };
            let points: Vec<(f64, f64)> = (0..20).map(|i| (i as f64 * x_unit, y(i) * y_unit)).collect();
            let Knee::At(x, _) = knee(&points) else { return Err(TestCaseError::fail("no knee")) };
            prop_assert!((x - bend as f64 * x_unit).abs() < 1e-9 * x_unit.max(1.0) * 20.0);
        }
    }
}
