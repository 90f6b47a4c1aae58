//! All recorders of a trial, written by many tasks and read once an interval.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::recorder::Recorder;
use super::series::Series;

/// The recorders of a trial. A value is recorded once, into the running interval; totals are sums of intervals.
#[derive(Debug)]
pub struct Board {
    running: Vec<Mutex<Option<Recorder>>>,
    totals: Mutex<Vec<Option<Recorder>>>,
}

impl Default for Board {
    fn default() -> Self {
        let empty = || (0..Series::COUNT).map(|_| None);
        Board {
            running: empty().map(Mutex::new).collect(),
            totals: Mutex::new(empty().collect()),
        }
    }
}

/// A recorder is whole after each call, so a panic elsewhere while one was locked has not torn it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Records `ns` under `series`.
    pub fn record(&self, series: Series, ns: u64) {
        lock(&self.running[series.index()]).get_or_insert_default().record(ns);
    }

    /// Ends the running interval: calls `each` with every series that recorded something in it, and adds it to the totals.
    pub fn end_interval(&self, mut each: impl FnMut(Series, &Recorder)) {
        let mut totals = lock(&self.totals);
        for series in Series::all() {
            let Some(interval) = lock(&self.running[series.index()]).take() else {
                continue;
            };
            each(series, &interval);
            match &mut totals[series.index()] {
                Some(total) => total.merge(&interval),
                empty => *empty = Some(interval),
            }
        }
    }

    /// The sum of all ended intervals of `series`; absent if nothing was recorded.
    pub fn total(&self, series: Series) -> Option<Recorder> {
        lock(&self.totals)[series.index()].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Stage;
    use crate::measure::StageSpan;

    #[test]
    fn totals_are_the_sum_of_the_intervals() {
        let board = Board::default();
        let series = Series::Stage(Stage::Payment, StageSpan::Service);
        let mut seen = Vec::new();
        for values in [&[1_000_000u64, 2_000_000][..], &[3_000_000][..]] {
            for value in values {
                board.record(series, *value);
            }
            board.end_interval(|series, recorder| seen.push((series, recorder.count())));
        }
        assert_eq!(seen, [(series, 2), (series, 1)]);
        assert_eq!(board.total(series).map(|total| total.count()), Some(3));
        assert!(board.total(Series::EndToEnd).is_none());
    }
}
