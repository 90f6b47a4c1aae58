//! The percentile bootstrap: how far an estimate moves when the sample is drawn again from itself.
//!
//! Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. It is too narrow for small samples (of
//! six values 88 %, of ten 92 % instead of 95 %: `coverage_by_sample_size`), which is why no verdict rests on it alone.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::sample::{quantile_of_sorted, sorted};
use crate::rng;

/// Resamples of an interval.
pub const RESAMPLES: usize = 10_000;
/// Work that an interval may take, in values times values times resamples: above, fewer resamples are drawn, never under 1,000.
const WORK: usize = 40_000_000;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Whether all of it lies above `bound`.
    pub fn is_above(&self, bound: f64) -> bool {
        self.low > bound
    }

    /// Whether all of it lies below `bound`.
    pub fn is_below(&self, bound: f64) -> bool {
        self.high < bound
    }

    /// Whether all of it lies between −`bound` and `bound`.
    pub fn is_within(&self, bound: f64) -> bool {
        self.low > -bound && self.high < bound
    }
}

/// The 95 % interval of `estimate` over `samples`, which are resampled each for itself (one sample: trials, or the differences
/// of pairs; two: trials of two sides that are not paired). Absent if a sample is empty or the estimate is.
///
/// The same seed and name give the same interval.
pub fn interval(
    samples: &[&[f64]],
    seed: u64,
    name: &str,
    estimate: impl Fn(&[Vec<f64>]) -> Option<f64>,
) -> Option<Interval> {
    if samples.iter().any(|sample| sample.is_empty()) {
        return None;
    }
    let mut stream = rng::stream(seed, name, 0);
    let values: usize = samples.iter().map(|sample| sample.len()).sum();
    let resamples = (WORK / (values * values)).clamp(1_000, RESAMPLES);
    let mut drawn: Vec<Vec<f64>> = samples.iter().map(|sample| sample.to_vec()).collect();
    let mut estimates = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        for (into, from) in drawn.iter_mut().zip(samples) {
            for value in into.iter_mut() {
                // Multiply and shift instead of a modulus: no bias worth the name for samples under a million.
                *value = from[((u64::from(stream.next_u32()) * from.len() as u64) >> 32) as usize];
            }
        }
        estimates.extend(estimate(&drawn));
    }
    let estimates = sorted(&estimates);
    Some(Interval {
        low: quantile_of_sorted(&estimates, 0.025)?,
        high: quantile_of_sorted(&estimates, 0.975)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{hodges_lehmann, mean, median};
    use super::*;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    #[test]
    fn an_interval_of_a_known_sample_is_that_of_scipy() {
        // scipy.stats.bootstrap((x,), np.mean, method='percentile', n_resamples=200000): 2.75 to 6.25.
        let x = [1.0, 2.0, 3.0, 3.0, 4.0, 6.0, 7.0, 9.0];
        let found = interval(&[&x], 1, "test", |drawn| mean(&drawn[0])).expect("values");
        assert!(
            (found.low - 2.75).abs() < 0.13 && (found.high - 6.25).abs() < 0.13,
            "{found:?}"
        );
    }

    #[test]
    fn it_covers_the_truth_nearly_as_often_as_it_says() {
        let normal = Normal::new(0.0, 1.0).expect("legal");
        let covered = (0..100)
            .filter(|run| {
                let mut stream = rng::stream(7, "coverage", *run);
                let values: Vec<f64> = (0..12).map(|_| normal.sample(&mut stream)).collect();
                let found = interval(&[&values], *run, "test", |drawn| hodges_lehmann(&drawn[0])).expect("values");
                !found.is_above(0.0) && !found.is_below(0.0)
            })
            .count();
        assert!((84..=99).contains(&covered), "{covered} of 100");
    }

    /// `cargo test --release --lib -- --ignored --nocapture coverage_by_sample_size`: the figures in docs/METHOD.md.
    #[test]
    #[ignore = "half a minute in a release build; prints figures"]
    fn coverage_by_sample_size() {
        let runs = 2_000;
        let normal = Normal::new(0.0, 1.0).expect("legal");
        let heavy = rand_distr::StudentT::new(3.0).expect("legal");
        for n in [6, 8, 10, 15, 20] {
            let covered = |name: &str, draw: &dyn Fn(&mut rng::Stream) -> f64| {
                let of = (0..runs).filter(|run| {
                    let mut stream = rng::stream(11, name, *run);
                    let values: Vec<f64> = (0..n).map(|_| draw(&mut stream)).collect();
                    let found = interval(&[&values], *run, "test", |drawn| hodges_lehmann(&drawn[0])).expect("values");
                    !found.is_above(0.0) && !found.is_below(0.0)
                });
                100.0 * of.count() as f64 / runs as f64
            };
            let (one, other) = (
                covered("normal", &|stream| normal.sample(stream)),
                covered("heavy", &|stream| heavy.sample(stream)),
            );
            println!("n = {n}: normal {one:.1} %, Student's t of 3 degrees {other:.1} %");
            assert!(one > 80.0 && other > 80.0 && one <= 97.0);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_nothing_gives_none() {
        let x: Vec<f64> = (0..12).map(|i| f64::from(i).powi(2) / 7.0).collect();
        let of = |seed| interval(&[&x], seed, "test", |drawn| mean(&drawn[0]));
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        assert_eq!(interval(&[&x, &[]], 1, "test", |drawn| mean(&drawn[0])), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn it_lies_within_the_sample(values in prop::collection::vec(-1e3..1e3_f64, 1..10)) {
            let found = interval(&[&values], 5, "test", |drawn| median(&drawn[0])).unwrap();
            let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
            prop_assert!(min <= found.low && found.low <= found.high && found.high <= max);
        }
    }
}
