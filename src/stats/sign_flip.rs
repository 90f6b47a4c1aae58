//! The paired permutation test: were the signs of the differences between pairs a matter of chance?
//!
//! Fisher, "The Design of Experiments" (1935), section 21, on the sum of the differences. Exact up to 20 pairs; above, 100,000
//! random flips, the observed one among them (Phipson and Smyth, "Permutation p-values should never be zero", 2010).

use rand::Rng;

use super::Test;
use crate::rng;

/// Pairs up to which all flips are gone through.
const EXACT_MAX: usize = 20;
const FLIPS: u32 = 100_000;

/// Tests whether differences (or log ratios) of pairs lie around 0. A difference of 0 says nothing either way.
pub fn sign_flip(differences: &[f64], seed: u64) -> Option<Test> {
    if differences.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).filter(|d| *d > 0.0).collect();
    let n = sizes.len();
    if n == 0 {
        return Some(Test { p: 1.0, least: 1.0 });
    }
    let observed = differences.iter().sum::<f64>().abs();
    // Sums in another order differ in their last digits, and equal ones must count.
    let reached = |sum: f64| sum.abs() >= observed - 1e-9 * sizes.iter().sum::<f64>();
    if n <= EXACT_MAX {
        let flips = 1_u32 << n;
        let extreme = exact_sums(&sizes).filter(|sum| reached(*sum)).count();
        return Some(Test {
            p: extreme as f64 / f64::from(flips),
            least: 2.0 / f64::from(flips),
        });
    }
    let mut stream = rng::stream(seed, "sign-flip", 0);
    let extreme = (0..FLIPS).filter(|_| reached(random_sum(&sizes, &mut stream))).count();
    Some(Test {
        p: (extreme + 1) as f64 / f64::from(FLIPS + 1),
        least: 1.0 / f64::from(FLIPS + 1),
    })
}

/// The sums under all choices of signs.
fn exact_sums(sizes: &[f64]) -> impl Iterator<Item = f64> {
    (0..1_u32 << sizes.len()).map(move |signs| {
        let signed = sizes
            .iter()
            .enumerate()
            .map(|(i, size)| if signs >> i & 1 == 1 { *size } else { -size });
        signed.sum()
    })
}

fn random_sum(sizes: &[f64], stream: &mut rng::Stream) -> f64 {
    let mut sum = 0.0;
    for chunk in sizes.chunks(64) {
        let signs = stream.next_u64();
        for (i, size) in chunk.iter().enumerate() {
            sum += if signs >> i & 1 == 1 { *size } else { -size };
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn darwins_maize_has_the_p_that_fisher_found() {
        // Fisher's own example: 15 pairs of plants, 1,726 of 32,768 sums as far out, p = 0.05267.
        let differences = [
            49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0,
        ];
        let test = sign_flip(&differences, 1).expect("values");
        assert!((test.p - 1_726.0 / 32_768.0).abs() < 1e-12, "{}", test.p);
        assert!((test.least - 2.0 / 32_768.0).abs() < 1e-12);
    }

    #[test]
    fn five_pairs_cannot_reach_the_level_and_six_can() {
        let p = |n: usize| sign_flip(&vec![1.0; n], 1).expect("values").p;
        assert!(p(5) > 0.05 && p(6) < 0.05);
        assert!((p(6) - 0.03125).abs() < 1e-12);
    }

    #[test]
    fn many_pairs_are_flipped_at_random_and_nearly_as_well() {
        let differences: Vec<f64> = (0..24).map(|i| f64::from(i * 37 % 24) - 8.0).collect();
        // scipy.stats.permutation_test((d,), np.mean, permutation_type='samples', n_resamples=10**6): p = 0.0263
        let test = sign_flip(&differences, 1).expect("values");
        assert!((test.p - 0.0263).abs() < 0.003, "{}", test.p);
        assert!(sign_flip(&vec![1.0; 30], 1).expect("values").p < 1e-4);
    }

    #[test]
    fn pairs_without_a_difference_say_nothing() {
        assert_eq!(sign_flip(&[0.0; 12], 1), Some(Test { p: 1.0, least: 1.0 }));
        assert_eq!(sign_flip(&[], 1), None);
    }

    proptest! {
        #[test]
        fn the_side_does_not_matter_and_p_is_a_probability(d in prop::collection::vec(-1e3..1e3_f64, 1..10)) {
            let (one, other) = (sign_flip(&d, 1).unwrap(), sign_flip(&d.iter().map(|d| -d).collect::<Vec<_>>(), 1).unwrap());
            prop_assert_eq!(one, other);
            prop_assert!(one.p >= one.least && one.p <= 1.0);
        }
    }
}
