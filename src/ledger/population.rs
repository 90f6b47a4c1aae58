//! How many orders were under way, on average: the left side of Little's law, from sums of instants alone.

use crate::clock::Nanos;

/// Orders that were sent and that came to their end, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    begun: u64,
    ended: u64,
    begun_at_sum: u128,
    ended_at_sum: u128,
}

impl Population {
    pub(super) fn begin(&mut self, at: Nanos) {
        self.begun += 1;
        self.begun_at_sum += u128::from(at);
    }

    pub(super) fn end(&mut self, at: Nanos) {
        self.ended += 1;
        self.ended_at_sum += u128::from(at);
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Population {
            begun: self.begun + other.begun,
            ended: self.ended + other.ended,
            begun_at_sum: self.begun_at_sum + other.begun_at_sum,
            ended_at_sum: self.ended_at_sum + other.ended_at_sum,
        }
    }

    /// Orders under way now.
    pub fn under_way(&self) -> u64 {
        self.begun.saturating_sub(self.ended)
    }

    /// Orders that came to their end.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Order-nanoseconds lived until `now`: each that ended for its time, each other one until now.
    fn lived_until(&self, now: Nanos) -> i128 {
        i128::from(self.under_way()) * i128::from(now) + self.ended_at_sum as i128 - self.begun_at_sum as i128
    }

    /// Mean number of orders under way from the earlier look, at `from`, to this one, at `to`; absent if no time passed.
    pub fn mean_since(&self, earlier: &Population, from: Nanos, to: Nanos) -> Option<f64> {
        let length = to.checked_sub(from).filter(|length| *length > 0)?;
        Some((self.lived_until(to) - earlier.lived_until(from)) as f64 / length as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_integral_of_what_was_under_way() {
        let mut population = Population::default();
        population.begin(0);
        let early = population;
        population.begin(20);
        population.end(50);
        population.begin(90);
        // From 10 to 110: one order until 20, two until 50, one until 90, two until 110.
        assert_eq!(
            population.mean_since(&early, 10, 110),
            Some((10.0 + 60.0 + 40.0 + 40.0) / 100.0)
        );
        assert_eq!(population.under_way(), 2);
        assert_eq!(population.mean_since(&early, 10, 10), None);
    }
}
