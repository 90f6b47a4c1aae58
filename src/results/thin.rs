//! Thins a series as it passes by: of each stretch of time the least and the greatest value, so that no peak is lost and hours
//! of samples take no more memory than a chart can show.

use std::collections::BTreeMap;

/// Buckets that a series keeps: about one for each unit that a chart is wide.
const BUCKETS_MAX: usize = 768;
/// Width of a bucket at first, seconds; it doubles as the series grows longer.
const BUCKET_S: f64 = 0.001;

/// One value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Seconds since the load began.
    pub time_s: f64,
    /// The value, in the unit that the series' name ends in.
    pub value: f64,
}

/// The least and the greatest value of a stretch of time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    min: Point,
    max: Point,
}

impl Bucket {
    fn merge(&mut self, other: Bucket) {
        if other.min.value < self.min.value {
            self.min = other.min;
        }
        if other.max.value > self.max.value {
            self.max = other.max;
        }
    }
}

/// One series in at most [`BUCKETS_MAX`] buckets.
#[derive(Debug, Clone)]
pub(super) struct Thinned {
    width_s: f64,
    buckets: BTreeMap<i64, Bucket>,
}

impl Default for Thinned {
    fn default() -> Self {
        Thinned {
            width_s: BUCKET_S,
            buckets: BTreeMap::new(),
        }
    }
}

impl Thinned {
    /// Takes a point; points may come in any order.
    pub(super) fn add(&mut self, point: Point) {
        self.put(Bucket { min: point, max: point });
        while self.buckets.len() > BUCKETS_MAX {
            self.width_s *= 2.0;
            for bucket in std::mem::take(&mut self.buckets).into_values() {
                self.put(bucket);
            }
        }
    }

    fn put(&mut self, bucket: Bucket) {
        // The earlier of the two, so that a bucket stays in the stretch that it came from.
        let start = bucket.min.time_s.min(bucket.max.time_s);
        let key = (start / self.width_s).floor() as i64;
        self.buckets
            .entry(key)
            .and_modify(|known| known.merge(bucket))
            .or_insert(bucket);
    }

    /// What is kept, in the order of time.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.buckets.len() * 2);
        for bucket in self.buckets.values() {
            let (min, max) = (bucket.min, bucket.max);
            if min.time_s <= max.time_s {
                points.push(min);
            }
            if min.time_s != max.time_s {
                points.push(max);
            }
            if min.time_s > max.time_s {
                points.push(min);
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_data_stay_small_and_keep_their_peaks() {
        let mut thinned = Thinned::default();
        for i in 0..1_000_000_u32 {
            let value = match i {
                345_678 => 9_999.0,
                800_001 => -5.0,
                _ => f64::from(i % 100),
            };
            thinned.add(Point {
                time_s: f64::from(i) * 0.05,
                value,
            });
        }
        assert!(thinned.buckets.len() <= BUCKETS_MAX && thinned.buckets.len() > BUCKETS_MAX / 4);
        let points = thinned.points();
        assert!(points.windows(2).all(|pair| pair[0].time_s <= pair[1].time_s));
        let values = || points.iter().map(|point| point.value);
        assert_eq!(values().fold(f64::MIN, f64::max), 9_999.0);
        assert_eq!(values().fold(f64::MAX, f64::min), -5.0);
    }

    #[test]
    fn absurd_times_neither_hang_nor_grow_the_table() {
        let mut thinned = Thinned::default();
        for i in 0..5_000 {
            let time_s = if i % 2 == 0 { f64::from(i) * 1e-3 } else { 1e300 };
            thinned.add(Point {
                time_s,
                value: f64::from(i),
            });
        }
        assert!(thinned.buckets.len() <= BUCKETS_MAX);
    }
}
