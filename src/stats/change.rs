//! Where a series of results changed its level.
//!
//! Divisive, as in Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate data",
//! JASA 109 (2014), but with the rank-sum test instead of their permutations, which makes it deterministic and lets it be
//! done by hand: the split with the least p is tried first, kept if it stands after correction for all splits that were
//! looked at, and both halves are looked at in turn.

use super::{mann_whitney, median};

/// Points that must lie on each side of a change: a level of fewer is noise.
const LEVEL_MIN: usize = 5;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first point of the new level.
    pub at: usize,
    /// p, corrected for the splits of its stretch.
    pub p: f64,
    /// Median of the stretch before.
    pub before: f64,
    /// Median of the stretch after.
    pub after: f64,
}

/// The changes of level in `values`, in their order, with p under `level` and at least `least_change` (a share of the level
/// before, such as 0.03) in size. At least 5 points lie on each side of one.
pub fn changes(values: &[f64], level: f64, least_change: f64) -> Vec<Change> {
    let mut splits = Vec::new();
    divide(values, 0, level, &mut splits);
    splits.sort_unstable_by_key(|(at, _)| *at);
    let ends = |i: usize| {
        let start = if i == 0 { 0 } else { splits[i - 1].0 };
        let end = splits.get(i + 1).map_or(values.len(), |(at, _)| *at);
        (start, end)
    };
    let found = splits.iter().enumerate().filter_map(|(i, (at, p))| {
        let (start, end) = ends(i);
        let (before, after) = (median(&values[start..*at])?, median(&values[*at..end])?);
        let great = (after - before).abs() >= least_change * before.abs();
        great.then_some(Change {
            at: *at,
            p: *p,
            before,
            after,
        })
    });
    found.collect()
}

fn divide(values: &[f64], offset: usize, level: f64, into: &mut Vec<(usize, f64)>) {
    if values.len() < 2 * LEVEL_MIN {
        return;
    }
    let places = LEVEL_MIN..=values.len() - LEVEL_MIN;
    let tried = places.clone().count() as f64;
    let tests = places.filter_map(|at| Some((at, mann_whitney(&values[..at], &values[at..])?.p)));
    let Some((at, p)) = tests.min_by(|(_, a), (_, b)| a.total_cmp(b)) else {
        return;
    };
    let p = (p * tried).min(1.0);
    if p < level {
        into.push((offset + at, p));
        divide(&values[..at], offset, level, into);
        divide(&values[at..], offset + at, level, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    fn noisy(levels: &[(usize, f64)], seed: u64) -> Vec<f64> {
        let levels = levels.iter().flat_map(|(n, level)| std::iter::repeat_n(*level, *n));
        levels
            .enumerate()
            .map(|(i, level)| level * (0.98 + 0.04 * rng::unit(seed, "noise", i as u64)))
            .collect()
    }

    #[test]
    fn a_step_is_found_where_it_is_and_a_second_one_too() {
        let found = changes(&noisy(&[(15, 100.0), (12, 110.0), (14, 90.0)], 1), 0.05, 0.03);
        assert_eq!(
            found.iter().map(|change| change.at).collect::<Vec<_>>(),
            [15, 27],
            "{found:?}"
        );
        assert!((found[0].after / found[0].before - 1.1).abs() < 0.02 && found[1].after < found[1].before);
    }

    #[test]
    fn noise_has_few_changes_and_small_ones_are_left_out() {
        let alarms = (0..60).filter(|seed| !changes(&noisy(&[(40, 100.0)], *seed), 0.05, 0.0).is_empty());
        assert!(alarms.count() <= 6);
        assert!(changes(&noisy(&[(20, 100.0), (20, 102.5)], 3), 0.05, 0.03).is_empty());
        assert!(changes(&[1.0; 9], 0.05, 0.0).is_empty() && changes(&[1.0; 40], 0.05, 0.0).is_empty());
    }
}
