//! What the charts over time share: how long time is, and where a line breaks because nothing was recorded.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::Figures;
use super::axis::Axis;
use super::canvas::{Drawn, Stroke};
use super::frame::Plot;
use crate::results::series::Point;

/// The time axis: from the begin of the load to the last sample or the end of the drain.
pub(super) fn axis(figures: &Figures<'_>) -> Axis {
    let bands = figures.trial.into_iter().flat_map(|trial| &trial.phases);
    let phases = bands.filter(|band| band.name != "verify").map(|band| band.end_s);
    let samples = figures
        .series
        .names()
        .filter_map(|name| figures.series.points(name).last().map(|point| point.time_s));
    Axis::time(phases.chain(samples).filter(|end| end.is_finite()).fold(0.0, f64::max))
}

/// Draws `points`, with gaps where no value was recorded for several intervals.
pub(super) fn line<DB: DrawingBackend>(
    plot: &Plot<'_, DB>,
    figures: &Figures<'_>,
    points: &[Point],
    stroke: Stroke,
    to_axis: impl Fn(f64) -> f64,
) -> Drawn<DB> {
    let interval_s = figures.interval_s();
    for part in parts(points, interval_s) {
        let coordinates: Vec<(f64, f64)> = part.iter().map(|point| (point.time_s, to_axis(point.value))).collect();
        plot.curve(&coordinates, stroke)?;
    }
    Ok(())
}

/// Fills from a floor, which is given in the axis's coordinate, up to `points`; with the same gaps as [`line`].
pub(super) fn area<DB: DrawingBackend>(
    plot: &Plot<'_, DB>,
    figures: &Figures<'_>,
    points: &[Point],
    colour: RGBColor,
    (floor, to_axis): (f64, &dyn Fn(f64) -> f64),
) -> Drawn<DB> {
    let interval_s = figures.interval_s();
    for part in parts(points, interval_s) {
        let coordinates: Vec<(f64, f64)> = part.iter().map(|point| (point.time_s, to_axis(point.value))).collect();
        plot.area(&coordinates, floor, colour)?;
    }
    Ok(())
}

/// The values at `times`, on straight lines between points; before the first and after the last point theirs.
pub(super) fn resampled(points: &[Point], times: &[f64]) -> Vec<f64> {
    let mut next = 0;
    let value = |time: f64| -> f64 {
        while next < points.len() && points[next].time_s < time {
            next += 1;
        }
        match (next.checked_sub(1).map(|at| points[at]), points.get(next)) {
            (Some(before), Some(after)) if after.time_s > before.time_s => {
                let part = (time - before.time_s) / (after.time_s - before.time_s);
                before.value + part * (after.value - before.value)
            }
            (_, Some(after)) => after.value,
            (Some(before), None) => before.value,
            (None, None) => 0.0,
        }
    };
    times.iter().copied().map(value).collect()
}

/// Of each of `stretches` of time the least and the greatest value, in the order of time.
pub(super) fn reduced(points: &[Point], stretches: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let width = (last.time_s - first.time_s) / stretches as f64;
    if points.len() <= stretches * 2 || width <= 0.0 || !width.is_finite() {
        return points.to_vec();
    }
    let stretch = |point: &Point| ((point.time_s - first.time_s) / width) as usize;
    let mut reduced = Vec::with_capacity(stretches * 2 + 2);
    for part in points.chunk_by(|a, b| stretch(a) == stretch(b)) {
        let (mut least, mut greatest) = (part[0], part[0]);
        for point in part {
            if point.value < least.value {
                least = *point;
            }
            if point.value > greatest.value {
                greatest = *point;
            }
        }
        let (earlier, later) = if least.time_s <= greatest.time_s {
            (least, greatest)
        } else {
            (greatest, least)
        };
        reduced.push(earlier);
        if later != earlier {
            reduced.push(later);
        }
    }
    reduced
}

/// Splits where the distance is far above both the sampling interval and what thinning leaves between points.
fn parts(points: &[Point], interval_s: f64) -> Vec<&[Point]> {
    let mut distances: Vec<f64> = points.windows(2).map(|pair| pair[1].time_s - pair[0].time_s).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let usual = distances.get(distances.len() * 9 / 10).copied().unwrap_or(0.0);
    let gap = (interval_s * 3.5).max(usual * 3.0);
    let seen = points
        .iter()
        .position(|point| point.time_s >= 0.0)
        .unwrap_or(points.len());
    points[seen..].chunk_by(|a, b| b.time_s - a.time_s <= gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_points_there_are_straight_lines() {
        let points = [(1.0, 10.0), (3.0, 20.0)].map(|(time_s, value)| Point { time_s, value });
        assert_eq!(
            resampled(&points, &[0.0, 1.0, 2.0, 3.0, 9.0]),
            [10.0, 10.0, 15.0, 20.0, 20.0]
        );
        assert_eq!(resampled(&[], &[1.0]), [0.0]);
    }

    #[test]
    fn a_reduced_line_keeps_its_peaks() {
        let points: Vec<Point> = (0..10_000)
            .map(|at| Point {
                time_s: f64::from(at),
                value: if at == 4_321 { 99.0 } else { f64::from(at % 7) },
            })
            .collect();
        let reduced = reduced(&points, 50);
        assert!(reduced.len() <= 102, "{} points", reduced.len());
        assert!(reduced.iter().any(|point| point.value == 99.0));
        assert!(reduced.windows(2).all(|pair| pair[0].time_s <= pair[1].time_s));
        assert!(super::reduced(&[], 50).is_empty());
    }

    #[test]
    fn a_line_breaks_where_nothing_was_recorded() {
        let times = [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 20.0, 21.0];
        let points = times.map(|time_s| Point { time_s, value: 1.0 });
        let parts = parts(&points, 1.0);
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [10, 2]);
        assert!(super::parts(&[], 1.0).is_empty());
    }
}
