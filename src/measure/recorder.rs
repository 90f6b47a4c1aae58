//! One latency series: an HDR histogram of nanoseconds with the values outside its range counted beside it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Least value that the histogram tells apart, nanoseconds.
pub const LOWEST_NS: u64 = 1_000;
/// Greatest value that the histogram takes, nanoseconds (one hour).
pub const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;
/// A quantile needs this many samples beyond it to be printed at all.
const SAMPLES_BEYOND_MIN: f64 = 10.0;
/// With fewer samples beyond it than this a quantile is marked as rough.
const SAMPLES_BEYOND_ROUGH: f64 = 100.0;
/// Half-width of a 95 % interval in standard deviations.
const Z_95: f64 = 1.96;

/// A latency recorder; 3 significant digits from 1 µs to 1 h.
#[derive(Debug, Clone)]
pub struct Recorder {
    histogram: Histogram<u64>,
    below: u64,
    above: u64,
    max_ns: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        // Small at first; it grows to the greatest value that it meets.
        let mut histogram =
            Histogram::new_with_bounds(LOWEST_NS, 2_000_000, DIGITS).expect("the bounds are legal constants");
        histogram.auto(true);
        Recorder {
            histogram,
            below: 0,
            above: 0,
            max_ns: 0,
        }
    }
}

impl Recorder {
    /// Records one value, nanoseconds. Values outside the range are counted apart, never moved to its edge.
    pub fn record(&mut self, ns: u64) {
        self.max_ns = self.max_ns.max(ns);
        if ns < LOWEST_NS {
            self.below += 1;
        } else if ns > HIGHEST_NS || self.histogram.record(ns).is_err() {
            self.above += 1;
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Recorder) {
        // An addition fails only if the histogram may not grow, and this one may.
        if self.histogram.add(&other.histogram).is_err() {
            self.above += other.histogram.len();
        }
        self.below += other.below;
        self.above += other.above;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Forgets everything but the memory it took.
    pub fn reset(&mut self) {
        self.histogram.reset();
        (self.below, self.above, self.max_ns) = (0, 0, 0);
    }

    /// Values recorded, those outside the range among them.
    pub fn count(&self) -> u64 {
        self.below + self.histogram.len() + self.above
    }

    /// The histogram alone, for the HdrHistogram log; [`Recorder::outside`] counts what it lacks.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// Values below and above the histogram's range.
    pub fn outside(&self) -> (u64, u64) {
        (self.below, self.above)
    }

    /// The greatest value, exact; absent when nothing was recorded.
    pub fn max(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max_ns)
    }

    /// The value at `rank` (from 1): below the range it is [`LOWEST_NS`], an upper bound; above it there is none.
    fn at_rank(&self, rank: u64) -> Option<u64> {
        if rank <= self.below {
            return Some(LOWEST_NS);
        }
        let rank = rank - self.below;
        let inside = self.histogram.len();
        if rank > inside {
            return None;
        }
        // Mid-rank, so that rounding of the quotient cannot slip to a neighbour.
        Some(self.histogram.value_at_quantile((rank as f64 - 0.5) / inside as f64))
    }

    /// The q-quantile, if enough samples lie beyond it to say anything.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        let count = self.count() as f64;
        let beyond = count * (1.0 - q);
        // A hair of tolerance: 1 − 0.999 is not exactly a thousandth.
        if beyond + 1e-6 < SAMPLES_BEYOND_MIN {
            return None;
        }
        let rank = |position: f64| (position.ceil().max(1.0) as u64).min(self.count());
        let ns = self.at_rank(rank(count * q))?;
        let spread = Z_95 * (count * q * (1.0 - q)).sqrt();
        Some(Quantile {
            ns,
            rough: beyond + 1e-6 < SAMPLES_BEYOND_ROUGH,
            low_ns: self.at_rank(rank(count * q - spread))?,
            high_ns: self.at_rank(rank(count * q + spread)),
        })
    }

    /// Everything that a report needs of this series.
    pub fn summary(&self, series: String) -> Summary {
        let spectrum_points = [
            0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99999,
        ];
        Summary {
            series,
            count: self.count(),
            below_range: self.below,
            above_range: self.above,
            mean_ns: (!self.histogram.is_empty()).then(|| self.histogram.mean()),
            sd_ns: (self.histogram.len() > 1).then(|| self.histogram.stdev()),
            max_ns: self.max(),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            spectrum: self.spectrum(&spectrum_points),
        }
    }

    /// Pairs of quantile and nanoseconds, as far as the samples carry.
    fn spectrum(&self, quantiles: &[f64]) -> Vec<(f64, u64)> {
        let count = self.count() as f64;
        let carried = quantiles.iter().filter(|q| count * (1.0 - **q) >= 1.0);
        carried
            .filter_map(|q| self.at_rank(((count * q).ceil() as u64).max(1)).map(|ns| (*q, ns)))
            .collect()
    }
}

/// A quantile with its 95 % order-statistic interval, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantile {
    /// The value.
    pub ns: u64,
    /// Fewer than 100 samples lie beyond it.
    pub rough: bool,
    /// Lower end of the interval.
    pub low_ns: u64,
    /// Upper end; absent when it lies above the range of the histogram.
    pub high_ns: Option<u64>,
}

/// A finished series. Quantiles that too few samples carry are absent, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The series' name, such as `end_to_end` or `payment.queue_wait`.
    pub series: String,
    /// Values recorded, those out of range among them.
    pub count: u64,
    /// Values under 1 µs.
    pub below_range: u64,
    /// Values over 1 h.
    pub above_range: u64,
    /// Mean of the values in range.
    pub mean_ns: Option<f64>,
    /// Standard deviation of the values in range; absent under two of them, and in records of older versions.
    #[serde(default)]
    pub sd_ns: Option<f64>,
    /// Greatest value, exact.
    pub max_ns: Option<u64>,
    /// Median.
    pub p50: Option<Quantile>,
    /// 90th percentile.
    pub p90: Option<Quantile>,
    /// 99th percentile.
    pub p99: Option<Quantile>,
    /// 99.9th percentile.
    pub p999: Option<Quantile>,
    /// The percentile curve: (quantile, nanoseconds), as far as at least one sample lies beyond.
    pub spectrum: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorder(values: &[u64]) -> Recorder {
        let mut recorder = Recorder::default();
        for value in values {
            recorder.record(*value);
        }
        recorder
    }

    #[test]
    fn values_out_of_range_are_counted_and_not_moved_to_the_edge() {
        let recorder = recorder(&[10, 5_000, HIGHEST_NS + 1]);
        assert_eq!(recorder.outside(), (1, 1));
        assert_eq!(recorder.histogram().len(), 1);
        assert_eq!(recorder.count(), 3);
        assert_eq!(recorder.max(), Some(HIGHEST_NS + 1));
    }

    #[test]
    fn a_quantile_that_too_few_samples_carry_is_absent() {
        let values: Vec<u64> = (1..=999).map(|i| i * 1_000_000).collect();
        assert!(recorder(&values).quantile(0.99).is_none());
        let values: Vec<u64> = (1..=1_000).map(|i| i * 1_000_000).collect();
        let p99 = recorder(&values).quantile(0.99).expect("ten samples lie beyond");
        assert!(p99.rough && p99.low_ns <= p99.ns && p99.high_ns.is_some_and(|high| p99.ns <= high));
        assert!(Recorder::default().summary("x".to_owned()).max_ns.is_none());
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_values_in_range() {
        let summary = recorder(&[10, 2_000_000, 4_000_000, 4_000_000, 6_000_000]).summary("x".to_owned());
        let near = |found: Option<f64>, expected: f64| found.is_some_and(|ns| (ns / expected - 1.0).abs() < 0.002);
        assert!(
            near(summary.mean_ns, 4e6) && near(summary.sd_ns, 2f64.sqrt() * 1e6),
            "{summary:?}"
        );
        assert_eq!(recorder(&[5_000]).summary("x".to_owned()).sd_ns, None);
    }

    #[test]
    fn values_below_the_range_count_toward_the_rank() {
        let mut values = vec![1; 90];
        values.extend([5_000_000; 110]);
        assert_eq!(recorder(&values).quantile(0.4).map(|q| q.ns), Some(LOWEST_NS));
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_a_sorted_list_to_three_digits(mut values in prop::collection::vec(LOWEST_NS..HIGHEST_NS, 100..400), q in 0.1f64..0.9) {
            let found = recorder(&values).quantile(q).expect("enough samples").ns;
            values.sort_unstable();
            let exact = values[((values.len() as f64 * q).ceil() as usize).max(1) - 1];
            let error = (found as f64 - exact as f64).abs() / exact as f64;
            prop_assert!(error <= 0.001 || found.abs_diff(exact) <= LOWEST_NS, "{} against {}", found, exact);
        }

        #[test]
        fn merging_is_addition(left in prop::collection::vec(0u64..HIGHEST_NS * 2, 0..200), right in prop::collection::vec(0u64..HIGHEST_NS * 2, 0..200)) {
            let mut merged = recorder(&left);
            merged.merge(&recorder(&right));
            let whole: Vec<u64> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(merged.summary("s".to_owned()), recorder(&whole).summary("s".to_owned()));
        }
    }
}
