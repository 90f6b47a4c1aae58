//! The normal distribution, and Student's, where the planning of sample sizes needs them.

/// The part of a normal distribution beyond `z` deviations on one side.
///
/// Hart's algorithm in West, "Better approximations to cumulative normal functions", Wilmott (2005); some 15 digits.
pub(super) fn beyond(z: f64) -> f64 {
    let x = z.abs();
    let tail = if x > 37.0 {
        0.0
    } else if x < 7.071_067_811_865_475 {
        let above = [
            0.035_262_496_599_891_1,
            0.700_383_064_443_688,
            6.373_962_203_531_65,
            33.912_866_078_383,
            112.079_291_497_871,
            221.213_596_169_931,
            220.206_867_912_376,
        ];
        let below = [
            0.088_388_347_648_318_4,
            1.755_667_163_182_64,
            16.064_177_579_207,
            86.780_732_202_946_1,
            296.564_248_779_674,
            637.333_633_378_831,
            793.826_512_519_948,
            440.413_735_824_752,
        ];
        let horner = |terms: &[f64]| terms.iter().fold(0.0, |sum, term| sum * x + term);
        (-x * x / 2.0).exp() * horner(&above) / horner(&below)
    } else {
        let fraction = x + 1.0 / (x + 2.0 / (x + 3.0 / (x + 4.0 / (x + 0.65))));
        (-x * x / 2.0).exp() / fraction / 2.506_628_274_631
    };
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// The value that a share `p` (0 to 1) of a normal distribution lies below, by bisection.
pub(super) fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-38.0, 38.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if 1.0 - beyond(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Student's quantile for `freedom` degrees (at least 1), by its series in the normal quantile: Abramowitz and Stegun, 26.7.5;
/// 1 and 2 degrees in closed form. Good to a percent from 3 degrees on.
pub(super) fn student_quantile(p: f64, freedom: f64) -> f64 {
    if freedom < 1.5 {
        return (std::f64::consts::PI * (p - 0.5)).tan();
    }
    if freedom < 2.5 {
        return (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
    }
    let z = quantile(p);
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
        (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1_482.0 * z.powi(5) - 1_920.0 * z.powi(3) - 945.0 * z) / 92_160.0,
    ];
    let powers = (1..).map(|power| freedom.powi(power));
    z + terms.iter().zip(powers).map(|(term, power)| term / power).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_quantiles_are_those_of_scipy() {
        // scipy.stats.norm.sf
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (-1.96, 0.975_002_104_851_779_5),
            (4.0, 3.167_124_183_311_986e-5),
            (8.0, 6.220_960_574_271_785e-16),
        ] {
            assert!((beyond(z) / expected - 1.0).abs() < 1e-7, "{z}: {}", beyond(z));
        }
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-9);
        assert!((quantile(0.2) + 0.841_621_233_572_914).abs() < 1e-9);
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, p, expected) in [
            (1.0, 0.975, 12.706),
            (2.0, 0.975, 4.303),
            (3.0, 0.975, 3.182),
            (5.0, 0.975, 2.571),
            (9.0, 0.975, 2.262),
            (18.0, 0.975, 2.101),
            (9.0, 0.8, 0.883),
        ] {
            let found = student_quantile(p, freedom);
            assert!((found / expected - 1.0).abs() < 0.01, "{freedom}: {found}");
        }
    }
}
