//! Several tests at once: one of twenty is "significant" by chance alone, so the level is shared.

use super::Test;

/// Adjusts p-values: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
/// (1979). The results stand in the order of the input, never under it, never over 1.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max(p[at] * (p.len() - rank) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

/// Which of `tests` could reach `level` at all. The others can neither be right nor wrong, and need no share of the level:
/// Tarone, "A modified Bonferroni method for discrete data", Biometrics 46 (1990).
pub fn within_reach(tests: &[Test], level: f64) -> Vec<bool> {
    tests.iter().map(|test| test.least < level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_adjustment_is_that_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") = 0.03 0.06 0.06 0.02
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!((holm(&[]), holm(&[0.7, 0.6])), (vec![], vec![1.0, 1.0]));
    }

    #[test]
    fn tests_that_cannot_decide_are_found() {
        let tests = [0.0625, 0.03125].map(|least| Test { p: 0.5, least });
        assert_eq!(within_reach(&tests, 0.05), [false, true]);
    }

    proptest! {
        #[test]
        fn it_keeps_the_order_and_only_raises(p in prop::collection::vec(0.0..1.0_f64, 1..12)) {
            let adjusted = holm(&p);
            for (i, a) in p.iter().enumerate() {
                prop_assert!(adjusted[i] >= *a && adjusted[i] <= 1.0);
                for (j, b) in p.iter().enumerate() {
                    prop_assert!(a >= b || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
