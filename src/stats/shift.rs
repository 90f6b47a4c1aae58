//! The Hodges–Lehmann estimates of a shift: as robust as a median, and nearly as precise as a mean.
//!
//! Hodges and Lehmann, "Estimates of location based on rank tests", Annals of Mathematical Statistics 34 (1963).

/// Of one sample (the differences of pairs): the median of the means of all pairs of values, each with itself too.
pub fn hodges_lehmann(values: &[f64]) -> Option<f64> {
    let mut means = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (i, a) in values.iter().enumerate() {
        means.extend(values[i..].iter().map(|b| (a + b) / 2.0));
    }
    middle(&mut means)
}

/// Between two samples: the median of all differences, `to` − `from`.
pub fn hodges_lehmann_between(from: &[f64], to: &[f64]) -> Option<f64> {
    let mut differences: Vec<f64> = to.iter().flat_map(|b| from.iter().map(move |a| b - a)).collect();
    middle(&mut differences)
}

/// The median, by selection: this is the inner loop of the bootstrap.
fn middle(values: &mut [f64]) -> Option<f64> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, at, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let at = *at;
    let below = if even {
        below.iter().copied().reduce(f64::max)
    } else {
        None
    };
    Some(below.map_or(at, |below| (below + at) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[expect(clippy::approx_constant, reason = "3.14 is a measured value here")]
    fn known_values() {
        // By hand: the means of {1, 2, 6} are 1, 1.5, 3.5, 2, 4, 6.
        assert_eq!(hodges_lehmann(&[1.0, 6.0, 2.0]), Some(2.75));
        // R's wilcox.test(depression, conf.int = TRUE) on Hollander and Wolfe's data (first − second visit): 0.46.
        let first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
        assert!((hodges_lehmann(&differences).expect("values") - 0.46).abs() < 1e-9);
        // By hand: {3, 9} − {1, 2} = 2, 1, 8, 7.
        assert_eq!(hodges_lehmann_between(&[1.0, 2.0], &[3.0, 9.0]), Some(4.5));
        assert_eq!((hodges_lehmann(&[]), hodges_lehmann_between(&[], &[1.0])), (None, None));
    }

    proptest! {
        #[test]
        fn a_shift_of_everything_is_found_exactly(values in prop::collection::vec(-1e3..1e3_f64, 1..20), by in -1e3..1e3_f64) {
            let moved: Vec<f64> = values.iter().map(|value| value + by).collect();
            prop_assert!((hodges_lehmann(&moved).unwrap() - hodges_lehmann(&values).unwrap() - by).abs() < 1e-6);
            prop_assert!((hodges_lehmann_between(&values, &moved).unwrap() + hodges_lehmann_between(&moved, &values).unwrap()).abs() < 1e-6);
        }
    }
}
