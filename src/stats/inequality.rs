//! How unevenly something is shared out.

/// The Gini coefficient of `shares` (none negative): 0 when all are equal, (n − 1)/n when one has everything. Gini (1912), by
/// the sorted formula. Absent for an empty sample, a negative share, or nothing to share.
pub fn gini(shares: &[f64]) -> Option<f64> {
    let sorted = super::sample::sorted(shares);
    let total: f64 = sorted.iter().sum();
    if sorted.first().is_none_or(|least| *least < 0.0) || total <= 0.0 {
        return None;
    }
    let n = sorted.len() as f64;
    let weighted: f64 = (1..).zip(&sorted).map(|(rank, share)| f64::from(rank) * share).sum();
    Some((2.0 * weighted / (n * total) - (n + 1.0) / n).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_shares() {
        let close = |shares: &[f64], expected: f64| (gini(shares).expect("shares") - expected).abs() < 1e-12;
        assert!(close(&[5.0; 4], 0.0) && close(&[0.0, 0.0, 0.0, 8.0], 0.75) && close(&[1.0, 2.0, 3.0, 4.0], 0.25));
        assert_eq!((gini(&[]), gini(&[0.0, 0.0]), gini(&[-1.0, 2.0])), (None, None, None));
    }

    proptest! {
        #[test]
        fn it_is_the_mean_difference_over_twice_the_mean(shares in prop::collection::vec(0.1..1e3_f64, 1..20)) {
            let n = shares.len() as f64;
            let differences: f64 = shares.iter().flat_map(|a| shares.iter().map(move |b| (a - b).abs())).sum();
            let expected = differences / (2.0 * n * shares.iter().sum::<f64>());
            prop_assert!((gini(&shares).unwrap() - expected).abs() < 1e-9);
        }
    }
}
