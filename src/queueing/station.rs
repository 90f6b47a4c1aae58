//! One queue before a number of servers: G/G/c by its first two moments.
//!
//! The mean wait is Allen and Cunneen's: Erlang C's M/M/c wait times half the sum of the squared coefficients of variation of
//! gaps and service times (A. O. Allen, "Probability, Statistics and Queueing Theory", 1990, section 5.3); for arrivals more even
//! than Poisson with the correction of Krämer and Langenbach-Belz (ITC 8, 1976), as in W. Whitt, "The Queueing Network Analyzer",
//! Bell System Technical Journal 62 (1983), equations 45 and 70. The tail takes the wait of those who wait for exponential, which is exact for
//! M/M/c and the heavy-traffic limit of the others (Kingman 1962).

use super::erlang::erlang_c;

/// A queue and its servers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    /// Servers, at least 1.
    pub servers: u32,
    /// Arrivals per second.
    pub arrival_per_s: f64,
    /// Squared coefficient of variation of the gaps between arrivals: 1 for Poisson, 0 for evenly spaced.
    pub arrival_scv: f64,
    /// Mean service time, seconds.
    pub service_s: f64,
    /// Squared coefficient of variation of the service times: 1 for exponential, 0 for fixed.
    pub service_scv: f64,
}

/// The wait before service starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// Its mean over all arrivals, seconds.
    pub mean_s: f64,
    /// The share of arrivals that wait at all.
    pub probability: f64,
}

impl Station {
    /// Offered work over servers; 1 and more: they cannot keep up.
    pub fn utilisation(&self) -> f64 {
        self.arrival_per_s * self.service_s / f64::from(self.servers.max(1))
    }

    /// The wait; absent where the servers cannot keep up.
    pub fn wait(&self) -> Option<Wait> {
        let (load, servers) = (self.utilisation(), f64::from(self.servers.max(1)));
        let probability = erlang_c(self.servers.max(1), load * servers)?;
        if load <= 0.0 {
            return Some(Wait {
                mean_s: 0.0,
                probability: 0.0,
            });
        }
        let markovian_s = probability * self.service_s / (servers * (1.0 - load));
        let mean_s = markovian_s * self.variability(load);
        Some(Wait { mean_s, probability })
    }

    /// Half the sum of the variations, corrected for arrivals more even than Poisson.
    fn variability(&self, load: f64) -> f64 {
        let sum = self.arrival_scv + self.service_scv;
        if sum <= 0.0 {
            return 0.0;
        }
        let even = (1.0 - self.arrival_scv).max(0.0);
        let correction = (-2.0 * (1.0 - load) * even * even / (3.0 * load * sum)).exp();
        sum / 2.0 * correction
    }

    /// Squared coefficient of variation of the gaps between departures (Whitt 1983, equation 39).
    pub fn departure_scv(&self) -> f64 {
        let load = self.utilisation().min(1.0);
        let work = load * load * (self.service_scv.max(0.2) - 1.0) / f64::from(self.servers.max(1)).sqrt();
        (1.0 + (1.0 - load * load) * (self.arrival_scv - 1.0) + work).max(0.0)
    }
}

impl Wait {
    /// The `q`-quantile (0 to 1) over all arrivals, seconds.
    pub fn quantile_s(&self, q: f64) -> f64 {
        if self.probability <= 1.0 - q || self.probability <= 0.0 {
            return 0.0;
        }
        self.mean_s / self.probability * (self.probability / (1.0 - q)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::{Gap, Work, simulate};
    use super::*;
    use proptest::prelude::*;

    fn station(servers: u32, load: f64, arrival_scv: f64, service_scv: f64) -> Station {
        Station {
            servers,
            arrival_per_s: load * f64::from(servers) / 0.01,
            arrival_scv,
            service_s: 0.01,
            service_scv,
        }
    }

    #[test]
    fn one_server_waits_as_the_textbook_says() {
        // M/M/1: ρS/(1−ρ); M/D/1: half of it (Pollaczek and Khinchine).
        let exponential = station(1, 0.8, 1.0, 1.0).wait().expect("it keeps up");
        assert!((exponential.mean_s - 0.04).abs() < 1e-12);
        let fixed = station(1, 0.8, 1.0, 0.0).wait().expect("it keeps up");
        assert!((fixed.mean_s - 0.02).abs() < 1e-12);
        // M/M/1: P(W > t) = ρ·exp(−(1−ρ)t/S).
        let p99 = 0.01 / 0.2 * (0.8f64 / 0.01).ln();
        assert!((exponential.quantile_s(0.99) - p99).abs() < 1e-12);
        assert_eq!(exponential.quantile_s(0.1), 0.0);
        // M/M/2 at ρ = 0.8: 2ρ²/(1+ρ) · S/(2(1−ρ)).
        let two = station(2, 0.8, 1.0, 1.0).wait().expect("it keeps up");
        assert!((two.mean_s - 1.28 / 1.8 * 0.01 / 0.4).abs() < 1e-12);
        assert_eq!(station(3, 1.0, 1.0, 1.0).wait(), None);
        assert_eq!(station(3, 0.9, 0.0, 0.0).wait().expect("it keeps up").mean_s, 0.0);
    }

    #[test]
    fn the_simulation_agrees_on_waits_and_tails() {
        for (servers, load, gap, work, tolerance) in [
            (1, 0.7, Gap::Poisson, Work::Exponential, 0.1),
            (4, 0.8, Gap::Poisson, Work::Exponential, 0.12),
            (4, 0.8, Gap::Poisson, Work::Fixed, 0.15),
            (1, 0.8, Gap::Even, Work::Exponential, 0.15),
        ] {
            let scv = |even: bool| if even { 0.0 } else { 1.0 };
            let station = station(servers, load, scv(gap == Gap::Even), scv(work == Work::Fixed));
            let predicted = station.wait().expect("it keeps up");
            let measured = simulate(servers, station.arrival_per_s, 0.01, gap, work, 100_000);
            let error = predicted.mean_s / measured.mean_s - 1.0;
            assert!(
                error.abs() < tolerance,
                "{servers} at {load}, {gap:?}, {work:?}: {error:+.3}"
            );
            let tail = predicted.quantile_s(0.99) / measured.p99_s - 1.0;
            assert!(
                tail.abs() < 2.0 * tolerance,
                "{servers} at {load}, {gap:?}, {work:?}: p99 {tail:+.3}"
            );
        }
    }

    proptest! {
        #[test]
        fn waits_grow_with_load_and_with_variation(servers in 1u32..40, load in 0.05f64..0.95, more in 0.001f64..0.04, scv in 0.0f64..4.0) {
            let at = |load, arrival, service| station(servers, load, arrival, service).wait().unwrap().mean_s;
            prop_assert!(at(load + more, 1.0, scv) >= at(load, 1.0, scv));
            prop_assert!(at(load, 1.0, scv + 0.1) >= at(load, 1.0, scv));
            prop_assert!(at(load, 1.5, scv) >= at(load, 0.5, scv));
            let wait = station(servers, load, 1.0, scv).wait().unwrap();
            prop_assert!(wait.quantile_s(0.99) >= wait.quantile_s(0.5));
        }

        #[test]
        fn a_poisson_stream_stays_one_through_exponential_servers(servers in 1u32..20, load in 0.05f64..0.95) {
            prop_assert!((station(servers, load, 1.0, 1.0).departure_scv() - 1.0).abs() < 1e-9);
        }
    }
}
