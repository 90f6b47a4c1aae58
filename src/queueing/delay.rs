//! The time through several stations, as a distribution: delays that add up.
//!
//! Each delay is a constant and, with a probability, an exponential time on top: the wait of those who wait, or what varies of a
//! service time. Delays are taken for independent, as in Whitt's Queueing Network Analyzer (1983), section 6; their sum is made
//! on a grid, where adding an exponential time is one pass.

/// Points of the grid.
const POINTS: usize = 4_096;
/// How far the grid reaches beyond the mean, in deviations.
const DEVIATIONS: f64 = 14.0;

/// A part of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// What it takes at least, seconds.
    pub constant_s: f64,
    /// The chance that something comes on top, 0 to 1.
    pub probability: f64,
    /// Mean of what comes on top, seconds.
    pub exponential_s: f64,
}

impl Delay {
    /// Always the same.
    pub const fn constant(seconds: f64) -> Delay {
        Delay {
            constant_s: seconds,
            probability: 0.0,
            exponential_s: 0.0,
        }
    }

    /// A time with this mean (seconds) and squared coefficient of variation; both are kept.
    pub fn of_moments(mean_s: f64, scv: f64) -> Delay {
        let scv = scv.max(0.0);
        if scv <= 1.0 {
            let varying = mean_s * scv.sqrt();
            return Delay {
                constant_s: mean_s - varying,
                probability: 1.0,
                exponential_s: varying,
            };
        }
        let probability = 2.0 / (1.0 + scv);
        Delay {
            constant_s: 0.0,
            probability,
            exponential_s: mean_s / probability,
        }
    }

    /// Its mean, seconds.
    pub fn mean_s(&self) -> f64 {
        self.constant_s + self.probability * self.exponential_s
    }

    /// Its variance, seconds squared.
    pub fn variance(&self) -> f64 {
        self.exponential_s * self.exponential_s * self.probability * (2.0 - self.probability)
    }
}

impl From<super::Wait> for Delay {
    fn from(wait: super::Wait) -> Delay {
        if wait.probability <= 0.0 {
            return Delay::constant(wait.mean_s);
        }
        Delay {
            constant_s: 0.0,
            probability: wait.probability.min(1.0),
            exponential_s: wait.mean_s / wait.probability.min(1.0),
        }
    }
}

/// Delays one after the other, each with how often it is met: a part of an order's way that only some take has less than 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journey {
    parts: Vec<(Delay, f64)>,
}

impl Journey {
    /// Adds a delay that is met `times` times on the mean, at least 0.
    pub fn add(&mut self, delay: Delay, times: f64) {
        let mut left = times.max(0.0);
        while left > 1e-9 {
            self.parts.push((delay, left.min(1.0)));
            left -= 1.0;
        }
    }

    /// The mean, seconds.
    pub fn mean_s(&self) -> f64 {
        self.parts.iter().map(|(delay, share)| delay.mean_s() * share).sum()
    }

    /// The `q`-quantile (0 to 1), seconds.
    pub fn quantile_s(&self, q: f64) -> f64 {
        let always = self.parts.iter().filter(|(_, share)| *share >= 1.0);
        let constant_s: f64 = always.map(|(delay, _)| delay.constant_s).sum();
        let varying = |(delay, share): &(Delay, f64)| match *share {
            share if share >= 1.0 => (
                Delay {
                    constant_s: 0.0,
                    ..*delay
                },
                share,
            ),
            share => (*delay, share),
        };
        let parts: Vec<(Delay, f64)> = self.parts.iter().map(varying).collect();
        let mean_s: f64 = parts.iter().map(|(delay, share)| delay.mean_s() * share).sum();
        let spread = |(delay, share): &(Delay, f64)| {
            let square = delay.variance() + delay.mean_s() * delay.mean_s();
            share * square - (share * delay.mean_s()).powi(2)
        };
        let deviation_s = parts.iter().map(spread).sum::<f64>().max(0.0).sqrt();
        let reach_s = mean_s + DEVIATIONS * deviation_s;
        if reach_s <= 0.0 {
            return constant_s;
        }
        constant_s + quantile_on_grid(&parts, reach_s / POINTS as f64, q)
    }
}

fn quantile_on_grid(parts: &[(Delay, f64)], step_s: f64, q: f64) -> f64 {
    let mut chances = vec![0.0; POINTS];
    chances[0] = 1.0;
    for (delay, share) in parts {
        chances = with(&chances, delay, *share, step_s);
    }
    let mut sum = 0.0;
    for (at, chance) in chances.iter().enumerate() {
        sum += chance;
        if sum >= q {
            return at as f64 * step_s;
        }
    }
    POINTS as f64 * step_s
}

/// The distribution of the sum with one more delay, which only `share` of all meet.
fn with(chances: &[f64], delay: &Delay, share: f64, step_s: f64) -> Vec<f64> {
    let shift = ((delay.constant_s / step_s).round() as usize).min(POINTS);
    // A geometric time in whole steps has the mean stay/(1 − stay) steps.
    let stay = delay.exponential_s / (delay.exponential_s + step_s);
    let mut late = 0.0;
    let mut sum = vec![0.0; POINTS];
    for (at, out) in sum.iter_mut().enumerate() {
        let shifted = at.checked_sub(shift).map_or(0.0, |from| chances[from]);
        late = late * stay + shifted * (1.0 - stay);
        let met = delay.probability * late + (1.0 - delay.probability) * shifted;
        *out = share * met + (1.0 - share) * chances[at];
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exponential(mean_s: f64) -> Delay {
        Delay::of_moments(mean_s, 1.0)
    }

    #[test]
    fn quantiles_are_those_of_known_distributions() {
        let mut one = Journey::default();
        one.add(exponential(2.0), 1.0);
        assert!((one.quantile_s(0.99) / (2.0 * 100f64.ln()) - 1.0).abs() < 0.01);
        // Erlang of three phases of 1 s: 8.406 at 99 % (half of chi-squared's 16.812 with 6 degrees).
        let mut three = Journey::default();
        three.add(exponential(1.0), 3.0);
        assert!(
            (three.quantile_s(0.99) / 8.406 - 1.0).abs() < 0.01,
            "{}",
            three.quantile_s(0.99)
        );
        let mut fixed = Journey::default();
        fixed.add(Delay::constant(0.25), 4.0);
        assert!((fixed.quantile_s(0.5) - 1.0).abs() < 1e-9 && (fixed.mean_s() - 1.0).abs() < 1e-12);
        assert_eq!(Journey::default().quantile_s(0.99), 0.0);
    }

    #[test]
    fn what_few_take_is_in_the_tail_alone() {
        let mut journey = Journey::default();
        journey.add(Delay::constant(1.0), 1.0);
        journey.add(Delay::constant(5.0), 0.05);
        assert!((journey.quantile_s(0.5) - 1.0).abs() < 0.02);
        assert!(
            (journey.quantile_s(0.99) - 6.0).abs() < 0.05,
            "{}",
            journey.quantile_s(0.99)
        );
    }

    proptest! {
        #[test]
        fn moments_are_kept(mean in 0.001f64..10.0, scv in 0.0f64..9.0) {
            let delay = Delay::of_moments(mean, scv);
            prop_assert!((delay.mean_s() / mean - 1.0).abs() < 1e-9);
            prop_assert!((delay.variance() - scv * mean * mean).abs() < 1e-9 * mean * mean * (1.0 + scv));
        }

        #[test]
        fn quantiles_ascend_and_more_parts_take_longer(mean in 0.001f64..1.0, scv in 0.0f64..4.0, times in 0.1f64..4.0) {
            let mut journey = Journey::default();
            journey.add(Delay::of_moments(mean, scv), times);
            prop_assert!(journey.quantile_s(0.5) <= journey.quantile_s(0.9));
            let before = journey.quantile_s(0.99);
            journey.add(exponential(mean), 1.0);
            prop_assert!(journey.quantile_s(0.99) >= before * 0.99);
        }
    }
}
