//! Service times: how long the work on a message takes.

use rand::Rng;
use rand_distr::{Distribution, Exp, LogNormal};

use crate::clock::Nanos;
use crate::rng::Stream;
use crate::workload::model::{ServiceTime, lognormal_sigma};

/// No service time is longer than an hour, whatever the tail of its distribution says.
const MAX_NS: f64 = 3.6e12;

/// Draws the next service time, nanoseconds.
pub fn draw(time: ServiceTime, stream: &mut Stream) -> Nanos {
    let seconds = match time {
        ServiceTime::None => 0.0,
        ServiceTime::Fixed(span) => return span.as_nanos(),
        ServiceTime::Uniform(low, high) => {
            let share = (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            low.as_secs_f64() + (high.as_secs_f64() - low.as_secs_f64()) * share
        }
        // The parameters were checked; a mean of zero has no exponential, and no work either.
        ServiceTime::Exponential(mean) => {
            Exp::new(1.0 / mean.as_secs_f64()).map_or(0.0, |exponential| exponential.sample(stream))
        }
        ServiceTime::Lognormal(median, p99) => LogNormal::new(median.as_secs_f64().ln(), lognormal_sigma(median, p99))
            .map_or(0.0, |lognormal| lognormal.sample(stream)),
    };
    (seconds * 1e9).clamp(0.0, MAX_NS) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use crate::units::Span;

    fn sorted_draws(time: ServiceTime) -> Vec<f64> {
        let mut stream = rng::stream(3, "service", 0);
        let mut draws: Vec<f64> = (0..20_000).map(|_| draw(time, &mut stream) as f64 / 1e6).collect();
        draws.sort_by(f64::total_cmp);
        draws
    }

    #[test]
    fn each_distribution_has_the_mean_that_its_settings_say() {
        let ms = Span::from_millis;
        for time in [
            ServiceTime::None,
            ServiceTime::Fixed(ms(5)),
            ServiceTime::Uniform(ms(2), ms(8)),
            ServiceTime::Exponential(ms(5)),
            ServiceTime::Lognormal(ms(5), ms(20)),
        ] {
            let draws = sorted_draws(time);
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!(
                (mean - time.mean_secs() * 1e3).abs() <= 0.03 * mean,
                "{time:?}: {mean} ms"
            );
        }
    }

    #[test]
    fn a_lognormal_time_has_the_median_and_the_p99_that_were_asked_for() {
        let draws = sorted_draws(ServiceTime::Lognormal(Span::from_millis(5), Span::from_millis(50)));
        let at = |q: f64| draws[(draws.len() as f64 * q) as usize];
        assert!((at(0.5) - 5.0).abs() < 0.3, "{}", at(0.5));
        assert!((at(0.99) - 50.0).abs() < 7.0, "{}", at(0.99));
    }
}
