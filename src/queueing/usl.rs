//! The Universal Scalability Law: throughput over concurrency with contention and coherency.
//!
//! X(n) = λn / (1 + α(n − 1) + βn(n − 1)): N. J. Gunther, "Guerrilla Capacity Planning" (2007), chapter 4. Fitted as n/X = a + b(n − 1) + cn(n − 1),
//! which is linear in a = 1/λ, b = α/λ, c = β/λ, by least squares of the relative residuals; coefficients that come out negative
//! mean nothing and are held at zero. Intervals are a bootstrap of the residuals (Davison and Hinkley, "Bootstrap Methods and Their Application", 1997, section 6.2.3).

use serde::{Deserialize, Serialize};

use crate::stats::{self, Interval};

/// Distinct concurrencies below which a fit is only a sketch (docs/METHOD.md).
pub const POINTS_FOR_TRUST: usize = 6;
/// How far beyond the greatest measured concurrency a fit says anything, as a factor.
pub const REACH: f64 = 1.5;
/// Distinct concurrencies that a fit takes.
const POINTS_MIN: usize = 3;

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UslError {
    /// Three unknowns take three places.
    #[error(
        "the USL needs capacities at {POINTS_MIN} different concurrencies or more, there are {found}\nhelp: measure at more values, such as stage.payment.consumers = [1, 2, 4, 8]"
    )]
    TooFew {
        /// Different concurrencies.
        found: usize,
    },
    /// Something that is no capacity.
    #[error("a capacity of {capacity} at concurrency {n} is none: both must be above zero")]
    Illegal {
        /// Concurrency.
        n: f64,
        /// Capacity.
        capacity: f64,
    },
}

/// A fitted law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// λ: capacity of one, per second.
    pub of_one: f64,
    /// α: contention, the share that goes one after the other; 0 and more.
    pub contention: f64,
    /// β: coherency, the cost of each pair; 0 and more.
    pub coherency: f64,
    /// Intervals of the three, where there are more points than unknowns.
    pub intervals: Option<UslIntervals>,
    /// Different concurrencies that it rests on.
    pub points: usize,
    /// The greatest of them.
    pub measured_to: f64,
    /// Mean relative distance of the points from the curve.
    pub residual: f64,
}

/// 95 % intervals of a law's coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UslIntervals {
    /// Of λ.
    pub of_one: Interval,
    /// Of α.
    pub contention: Interval,
    /// Of β.
    pub coherency: Interval,
}

impl Usl {
    /// Capacity at concurrency `n`, at least 1.
    pub fn capacity(&self, n: f64) -> f64 {
        self.of_one * n / (1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0))
    }

    /// The concurrency with the greatest capacity; absent where more is always more.
    pub fn peak(&self) -> Option<f64> {
        (self.coherency > 0.0).then(|| ((1.0 - self.contention).max(0.0) / self.coherency).sqrt().max(1.0))
    }

    /// Whether `n` lies farther out than the fit says anything about.
    pub fn is_beyond_reach(&self, n: f64) -> bool {
        n > self.measured_to * REACH
    }

    /// Whether it is more than a sketch.
    pub fn is_trusted(&self) -> bool {
        self.points >= POINTS_FOR_TRUST
    }
}

/// Fits the law to points of (concurrency, capacity per second); several points of one concurrency are repeats.
///
/// # Errors
/// [`UslError`] where the points cannot carry three unknowns, or are none.
pub fn fit(points: &[(f64, f64)], seed: u64) -> Result<Usl, UslError> {
    let law = law(points)?;
    let residuals: Vec<f64> = points
        .iter()
        .map(|(n, capacity)| law.capacity(*n) / capacity - 1.0)
        .collect();
    let sizes: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
    Ok(Usl {
        intervals: intervals(&law, points, &residuals, seed),
        residual: stats::mean(&sizes).unwrap_or_default(),
        ..law
    })
}

/// The coefficients alone.
fn law(points: &[(f64, f64)]) -> Result<Usl, UslError> {
    if let Some((n, capacity)) = points
        .iter()
        .find(|(n, capacity)| !(*n > 0.0 && *capacity > 0.0 && capacity.is_finite()))
    {
        return Err(UslError::Illegal {
            n: *n,
            capacity: *capacity,
        });
    }
    let mut distinct: Vec<f64> = points.iter().map(|(n, _)| *n).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    if distinct.len() < POINTS_MIN {
        return Err(UslError::TooFew { found: distinct.len() });
    }
    let costs: Vec<(f64, f64)> = points.iter().map(|(n, capacity)| (*n, n / capacity)).collect();
    let [a, b, c] = coefficients(&costs);
    Ok(Usl {
        of_one: 1.0 / a,
        contention: b / a,
        coherency: c / a,
        intervals: None,
        points: distinct.len(),
        measured_to: distinct.last().copied().unwrap_or_default(),
        residual: 0.0,
    })
}

fn intervals(law: &Usl, points: &[(f64, f64)], residuals: &[f64], seed: u64) -> Option<UslIntervals> {
    if points.len() <= POINTS_MIN {
        return None;
    }
    // Three unknowns take some of the scatter away with them.
    let widen = (points.len() as f64 / (points.len() - POINTS_MIN) as f64).sqrt();
    let again = |drawn: &[f64]| -> [f64; 3] {
        let cost = |((n, _), residual): (&(f64, f64), &f64)| (*n, n / law.capacity(*n) * (1.0 + widen * residual));
        coefficients(&points.iter().zip(drawn).map(cost).collect::<Vec<_>>())
    };
    let of = |name: &str, pick: fn([f64; 3]) -> f64| {
        stats::interval(&[residuals], seed, name, |drawn| Some(pick(again(&drawn[0]))))
    };
    Some(UslIntervals {
        of_one: of("usl.of_one", |[a, _, _]| 1.0 / a)?,
        contention: of("usl.contention", |[a, b, _]| b / a)?,
        coherency: of("usl.coherency", |[a, _, c]| c / a)?,
    })
}

/// Least squares of the relative residuals of n/X = a + b(n − 1) + cn(n − 1), none of them negative.
fn coefficients(costs: &[(f64, f64)]) -> [f64; 3] {
    const SETS: [[bool; 3]; 4] = [
        [true, true, true],
        [true, true, false],
        [true, false, true],
        [true, false, false],
    ];
    let error = |found: &[f64; 3]| -> f64 {
        let of = |(n, cost): &(f64, f64)| {
            (terms(*n).iter().zip(found).map(|(t, f)| t * f).sum::<f64>() / cost - 1.0).powi(2)
        };
        costs.iter().map(of).sum()
    };
    let legal = SETS
        .iter()
        .filter_map(|used| solve(costs, *used))
        .filter(|[a, b, c]| *a > 0.0 && *b >= 0.0 && *c >= 0.0);
    let best = legal.min_by(|x, y| error(x).total_cmp(&error(y)));
    // One unknown of positive points is always found; the mean cost stands in where rounding denies it.
    best.unwrap_or_else(|| {
        [
            costs.iter().map(|(_, cost)| cost).sum::<f64>() / costs.len() as f64,
            0.0,
            0.0,
        ]
    })
}

fn terms(n: f64) -> [f64; 3] {
    [1.0, n - 1.0, n * (n - 1.0)]
}

/// The least squares in the unknowns used; absent where the points do not tell them apart.
fn solve(costs: &[(f64, f64)], used: [bool; 3]) -> Option<[f64; 3]> {
    let mut matrix = [[0.0_f64; 4]; 3];
    for (n, cost) in costs {
        let row = terms(*n).map(|term| term / cost);
        for i in 0..3 {
            for j in 0..3 {
                matrix[i][j] += row[i] * row[j];
            }
            matrix[i][3] += row[i];
        }
    }
    for (i, used) in used.into_iter().enumerate() {
        if !used {
            for row in &mut matrix {
                row[i] = 0.0;
            }
            matrix[i] = [0.0; 4];
            matrix[i][i] = 1.0;
        }
    }
    eliminate(matrix)
}

/// Gauss with pivots.
fn eliminate(mut matrix: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot = (column..3).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        let lead = matrix[column];
        if lead[column].abs() < 1e-12 {
            return None;
        }
        for (at, row) in matrix.iter_mut().enumerate() {
            if at != column {
                let factor = row[column] / lead[column];
                row.iter_mut().zip(lead).for_each(|(cell, from)| *cell -= factor * from);
            }
        }
    }
    Some([0, 1, 2].map(|i| matrix[i][3] / matrix[i][i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAW: Usl = Usl {
        of_one: 100.0,
        contention: 0.05,
        coherency: 0.001,
        intervals: None,
        points: 0,
        measured_to: 0.0,
        residual: 0.0,
    };

    fn points(law: &Usl, of: &[f64]) -> Vec<(f64, f64)> {
        of.iter().map(|n| (*n, law.capacity(*n))).collect()
    }

    #[test]
    fn a_law_is_found_again_from_its_own_points() {
        let found = fit(&points(&LAW, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), 1).expect("enough points");
        assert!((found.of_one - 100.0).abs() < 1e-6 && (found.contention - 0.05).abs() < 1e-9);
        assert!((found.coherency - 0.001).abs() < 1e-9 && found.residual < 1e-9 && found.is_trusted());
        assert!((found.peak().expect("a peak") - (0.95f64 / 0.001).sqrt()).abs() < 1e-3);
        assert!(found.is_beyond_reach(49.0) && !found.is_beyond_reach(48.0));
    }

    #[test]
    fn scatter_leaves_the_truth_within_the_intervals() {
        let scatter = [1.03, 0.98, 1.01, 0.97, 1.02, 0.99, 1.0, 1.01];
        let mut measured = points(&LAW, &[1.0, 2.0, 3.0, 4.0, 8.0, 12.0, 16.0, 32.0]);
        measured.iter_mut().zip(scatter).for_each(|(point, by)| point.1 *= by);
        let found = fit(&measured, 1).expect("enough points");
        let intervals = found.intervals.expect("more points than unknowns");
        for (name, interval, truth) in [
            ("of one", intervals.of_one, 100.0),
            ("contention", intervals.contention, 0.05),
            ("coherency", intervals.coherency, 0.001),
        ] {
            assert!(interval.low <= truth && truth <= interval.high, "{name}: {interval:?}");
        }
        assert_eq!(found, fit(&measured, 1).expect("the same again"));
    }

    #[test]
    fn what_scales_better_than_straight_gets_no_negative_cost() {
        let found = fit(&[(1.0, 100.0), (2.0, 210.0), (4.0, 430.0)], 1).expect("enough points");
        assert_eq!((found.contention, found.coherency, found.peak()), (0.0, 0.0, None));
        assert_eq!(found.intervals, None);
    }

    #[test]
    fn too_few_places_and_capacities_that_are_none_are_refused() {
        let twice = [(1.0, 100.0), (1.0, 101.0), (2.0, 190.0)];
        assert_eq!(fit(&twice, 1), Err(UslError::TooFew { found: 2 }));
        assert!(matches!(
            fit(&[(1.0, 0.0), (2.0, 1.0), (3.0, 1.0)], 1),
            Err(UslError::Illegal { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_law_is_found_again(of_one in 1.0f64..1e4, contention in 0.0f64..0.3, coherency in 0.0f64..0.01) {
            let law = Usl { of_one, contention, coherency, ..LAW };
            let found = super::law(&points(&law, &[1.0, 2.0, 3.0, 6.0, 12.0])).unwrap();
            for n in [1.0, 5.0, 12.0, 18.0] {
                prop_assert!((found.capacity(n) / law.capacity(n) - 1.0).abs() < 1e-3);
            }
        }
    }
}
