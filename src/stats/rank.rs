//! The rank-sum test of two samples that are not paired.
//!
//! Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other", Annals of
//! Mathematical Statistics 18 (1947). Exact where the samples are small, with ties too: the number of ways to each sum of
//! (doubled) mid-ranks is counted. Above, the normal approximation with corrections for ties and continuity.

use super::Test;
use super::normal;

/// Values of both samples together up to which the distribution is counted out.
const EXACT_MAX: usize = 40;

/// Tests whether values of `a` and of `b` lie around the same; absent if one is empty.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<Test> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let ranks = doubled_ranks(a, b);
    let observed: usize = ranks[..a.len()].iter().sum();
    if ranks.len() <= EXACT_MAX {
        Some(exact(&ranks, a.len(), observed))
    } else {
        Some(approximate(&ranks, a.len(), observed))
    }
}

/// Twice the mid-rank of each value of `a`, then of `b`, among all: whole numbers, ties or not.
fn doubled_ranks(a: &[f64], b: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let rank = |value: &f64| {
        let below = all.iter().filter(|other| *other < value).count();
        let equal = all.iter().filter(|other| *other == value).count();
        2 * below + equal + 1
    };
    all.iter().map(rank).collect()
}

fn exact(ranks: &[usize], n: usize, observed: usize) -> Test {
    let total: usize = ranks.iter().sum();
    // ways[k][s]: choices of k values whose doubled ranks add up to s.
    let mut ways = vec![vec![0.0_f64; total + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for k in (1..=n).rev() {
            for sum in (*rank..=total).rev() {
                ways[k][sum] += ways[k - 1][sum - rank];
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    // n values have the mean doubled rank N + 1 each.
    let expected = n * (ranks.len() + 1);
    let beyond = |distance: usize| -> f64 {
        let far = |sum: &usize| sum.abs_diff(expected) >= distance;
        (0..=total).filter(far).map(|sum| ways[n][sum]).sum::<f64>() / all
    };
    let reachable = (0..=total).filter(|sum| ways[n][*sum] > 0.0);
    let farthest = reachable.map(|sum| sum.abs_diff(expected)).max().unwrap_or(0);
    Test {
        p: beyond(observed.abs_diff(expected)),
        least: beyond(farthest),
    }
}

fn approximate(ranks: &[usize], n: usize, observed: usize) -> Test {
    let (n, all) = (n as f64, ranks.len() as f64);
    let m = all - n;
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64)
        .sum();
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return Test { p: 1.0, least: 1.0 };
    }
    let p = |distance: f64| (2.0 * normal::beyond(((distance - 0.5).max(0.0)) / variance.sqrt())).min(1.0);
    Test {
        p: p((observed as f64 / 2.0 - n * (all + 1.0) / 2.0).abs()),
        least: p(n * m / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exact_values_are_those_of_scipy() {
        // scipy.stats.mannwhitneyu(a, b, method='exact').pvalue
        let a = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let b = [1.15, 0.88, 0.90, 0.74, 1.21];
        let test = mann_whitney(&a, &b).expect("values");
        // Hollander and Wolfe's permeability constants, R's wilcox.test: p = 0.2544 two-sided.
        assert!((test.p - 0.254_412_254_412_254_4).abs() < 1e-12, "{}", test.p);
        let apart = mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).expect("values");
        assert!((apart.p - 0.1).abs() < 1e-12 && apart.p == apart.least);
    }

    #[test]
    fn ties_are_counted_out_too() {
        // All 10 ways to choose 2 of {1, 2, 2, 2, 5}: 6 lie as far out as {1, 2} (scipy.stats.permutation_test).
        let test = mann_whitney(&[1.0, 2.0], &[2.0, 2.0, 5.0]).expect("values");
        assert!((test.p - 0.6).abs() < 1e-12, "{}", test.p);
        assert_eq!(mann_whitney(&[3.0; 4], &[3.0; 4]).map(|test| test.p), Some(1.0));
    }

    #[test]
    fn large_samples_are_approximated_as_scipy_does() {
        // scipy.stats.mannwhitneyu(a, b, method='asymptotic').pvalue
        let a: Vec<f64> = (0..25).map(|i| f64::from(i * 7 % 25)).collect();
        let b: Vec<f64> = (0..25).map(|i| f64::from(i * 11 % 25) + 4.5).collect();
        let test = mann_whitney(&a, &b).expect("values");
        assert!((test.p - 0.047_805_795_330_980_6).abs() < 1e-9, "{}", test.p);
    }

    proptest! {
        #[test]
        fn the_order_of_the_samples_does_not_matter(
            a in prop::collection::vec(0..20_i32, 1..8), b in prop::collection::vec(0..20_i32, 1..8)
        ) {
            let of = |values: &[i32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let (one, other) = (mann_whitney(&of(&a), &of(&b)).unwrap(), mann_whitney(&of(&b), &of(&a)).unwrap());
            prop_assert!((one.p - other.p).abs() < 1e-9);
            prop_assert!(one.p > 0.0 && one.p <= 1.0 + 1e-12 && one.least <= one.p + 1e-12);
        }
    }
}
