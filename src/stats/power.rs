//! Looking ahead: what could this many trials have shown, and how many would show what matters?
//!
//! The usual formula of the t-test (Cohen, "Statistical Power Analysis", 1988, chapter 2), two-sided at 5 % with 80 % power:
//! effect = (t of 97.5 % + t of 80 %) × deviation × √(1/n), for two samples × √(2/n). The tests used here are nearly as strong.

use super::normal::student_quantile;

const LEVEL: f64 = 0.05;
const POWER: f64 = 0.8;
/// More trials than this are not advised but called hopeless.
const REPEATS_MAX: usize = 10_000;

/// How the trials of two sides belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Design {
    /// In pairs; the deviation is that of the differences.
    Paired,
    /// Not at all; the deviation is that within a side.
    Unpaired,
}

/// The least effect that `n` trials a side find four times of five when values deviate by `sd`; absent under two trials.
pub fn detectable(design: Design, n: usize, sd: f64) -> Option<f64> {
    if n < 2 {
        return None;
    }
    let (freedom, factor) = match design {
        Design::Paired => (n - 1, 1.0),
        Design::Unpaired => (2 * n - 2, 2.0),
    };
    let t = |p| student_quantile(p, freedom as f64);
    Some((t(1.0 - LEVEL / 2.0) + t(POWER)) * sd * (factor / n as f64).sqrt())
}

/// Trials a side that find an effect of `effect` four times of five, but no fewer than `floor`; absent beyond 10,000.
pub fn repeats_needed(design: Design, sd: f64, effect: f64, floor: usize) -> Option<usize> {
    let enough = |n: usize| detectable(design, n, sd).is_some_and(|found| found <= effect);
    if !enough(REPEATS_MAX) {
        return None;
    }
    let (mut low, mut high) = (1, REPEATS_MAX);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high.max(floor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_designs() {
        // By the noncentral t distribution (scipy.stats.nct): 0.9960 for 10 pairs, 1.3249 for 10 trials a side.
        let paired = detectable(Design::Paired, 10, 1.0).expect("enough");
        assert!((paired / 0.996 - 1.0).abs() < 0.02, "{paired}");
        let unpaired = detectable(Design::Unpaired, 10, 1.0).expect("enough");
        assert!((unpaired / 1.325 - 1.0).abs() < 0.02, "{unpaired}");
        // Cohen's table: a medium effect of 0.5 takes 64 a group.
        let needed = repeats_needed(Design::Unpaired, 1.0, 0.5, 6).expect("some");
        assert!((63..=64).contains(&needed), "{needed}");
        assert_eq!(repeats_needed(Design::Paired, 1e-6, 0.05, 6), Some(6));
        assert_eq!(repeats_needed(Design::Paired, 1.0, 1e-6, 6), None);
        assert_eq!(detectable(Design::Paired, 1, 1.0), None);
    }

    proptest! {
        #[test]
        fn as_many_as_needed_do_it_and_one_less_does_not(sd in 0.01..1.0_f64, effect in 0.02..1.0_f64) {
            if let Some(n) = repeats_needed(Design::Paired, sd, effect, 2) {
                prop_assert!(detectable(Design::Paired, n, sd).unwrap() <= effect);
                prop_assert!(n == 2 || detectable(Design::Paired, n - 1, sd).unwrap() > effect);
            }
        }
    }
}
