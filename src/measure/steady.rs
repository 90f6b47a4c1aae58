//! Did a series reach a steady state, and where does it begin?
//!
//! MSER-5 (White, Cobb and Spratt, WSC 2000): of all cuts at the start, the one whose rest has the narrowest confidence
//! interval of its mean, on means of five values.

/// Values per batch, where there are enough of them.
const BATCH: usize = 5;
/// Batches that a rest must have: of fewer any two neighbours would do (White 1997 leaves out five, too).
const REST_MIN: usize = 5;
/// Values from which on batches of [`BATCH`] leave enough batches to choose from.
const BATCHED_FROM: usize = 60;
/// Fewest values that can be judged.
const VALUES_MIN: usize = 20;
/// Beyond a cut past the half, how far the means before and after it must be apart to call the series unsteady: by itself
/// the rule would call one steady series in ten so.
const APART: f64 = 0.2;

/// What the rule says of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steady {
    /// Values at the start that should be cut off.
    pub cut: usize,
    /// Whether there is a steady state: the cut lies in the first half, or what lies before it does not differ.
    pub reached: bool,
}

/// Judges values taken at equal distances; absent with fewer than 20.
pub fn steady(values: &[f64]) -> Option<Steady> {
    if values.len() < VALUES_MIN {
        return None;
    }
    let size = if values.len() < BATCHED_FROM { 1 } else { BATCH };
    let batches: Vec<f64> = values.chunks_exact(size).map(mean).collect();
    let candidates = 0..=batches.len() - REST_MIN;
    let best = candidates.min_by(|a, b| width(&batches[*a..]).total_cmp(&width(&batches[*b..])))?;
    let (before, after) = batches.split_at(best);
    let apart = (mean(before) - mean(after)).abs() > APART * mean(after).abs();
    Some(Steady {
        cut: best * size,
        reached: best * 2 <= batches.len() || !apart,
    })
}

/// The statistic: the squared standard error of the mean, but for a factor.
fn width(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (values.len() as f64).powi(2)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    fn noise(seed: u64, n: u64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| 10.0 + rng::unit(seed, "noise", i))
    }

    #[test]
    fn a_warm_up_is_cut_off_where_it_ends() {
        for n in [30, 120] {
            let warm = n / 4;
            let values: Vec<f64> = noise(1, n)
                .enumerate()
                .map(|(i, value)| value + 20.0 * (1.0 - i as f64 / warm as f64).max(0.0))
                .collect();
            let found = steady(&values).expect("long enough");
            let (least, most) = (warm as usize * 2 / 3, warm as usize + 10);
            assert!(found.reached && (least..=most).contains(&found.cut), "{n}: {found:?}");
        }
    }

    #[test]
    fn what_grows_to_the_end_never_was_steady() {
        for n in [20, 30, 60, 180] {
            let values: Vec<f64> = noise(2, n).enumerate().map(|(i, value)| value + i as f64).collect();
            let found = steady(&values).expect("long enough");
            assert!(!found.reached && found.cut * 2 > values.len(), "{n}: {found:?}");
        }
    }

    #[test]
    fn steady_noise_passes_and_a_short_series_is_not_judged() {
        for seed in 0..200 {
            for n in [20, 30, 60, 120] {
                let values: Vec<f64> = noise(seed, n).collect();
                assert!(
                    steady(&values).is_some_and(|found| found.reached),
                    "seed {seed}, {n} values"
                );
            }
        }
        assert_eq!(steady(&[1.0; 19]), None);
        assert!(steady(&[3.0; 40]).is_some_and(|found| found.reached && found.cut == 0));
    }
}
