//! Figures of one sample.

/// A sorted copy.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The mean.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample (divided by n − 1); absent under two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// The median; of an even number of values the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The `q`-quantile (0 to 1), linear between the values: definition 7 of Hyndman and Fan, "Sample quantiles in statistical
/// packages", The American Statistician 50 (1996); the default of R and NumPy.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_of_sorted(&sorted(values), q)
}

pub(super) fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * (at - at.floor()))
}

/// The median of the distances to the median, unscaled: multiply by 1.4826 to estimate a normal distribution's deviation
/// (Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974).
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&distances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([7, 1, 3, 10], …)
        let values = [7.0, 1.0, 3.0, 10.0];
        for (q, expected) in [(0.0, 1.0), (0.1, 1.6), (0.25, 2.5), (0.5, 5.0), (0.9, 9.1), (1.0, 10.0)] {
            let found = quantile(&values, q).expect("values");
            assert!((found - expected).abs() < 1e-12, "{q}: {found}");
        }
    }

    #[test]
    fn figures_of_a_known_sample() {
        // Wikipedia's example of the MAD.
        let values = [1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0];
        assert_eq!((median(&values), mad(&values)), (Some(2.0), Some(1.0)));
        // numpy.std([2, 4, 4, 4, 5, 5, 7, 9], ddof = 1)
        let deviation = sd(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("values");
        assert!((deviation - 2.138_089_935_299_395).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!((median(&[]), mad(&[]), mean(&[]), sd(&[1.0])), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn a_median_moves_and_stretches_with_its_sample(values in prop::collection::vec(-1e6..1e6_f64, 1..30), by in -1e3..1e3_f64) {
            let moved: Vec<f64> = values.iter().map(|value| value * 2.0 + by).collect();
            let (before, after) = (median(&values).unwrap(), median(&moved).unwrap());
            prop_assert!((after - (before * 2.0 + by)).abs() < 1e-6);
            let (below, above) = (values.iter().filter(|v| **v < before).count(), values.iter().filter(|v| **v > before).count());
            prop_assert!(below <= values.len() / 2 && above <= values.len() / 2);
        }
    }
}
