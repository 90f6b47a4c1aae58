//! Latency over time: median and 99th percentile of each interval, over a heat map of all orders.

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::{BLUE, INK, VERMILLION};
use super::{Chart, Figures, NO_DATA, over_time};
use crate::results::latency_log::CLASSES_PER_DECADE;

/// Most columns of the heat map.
const COLUMNS_MAX: usize = 150;
/// Shades from the palest to the strongest; a field's is by the logarithm of its share of its column.
const SHADES: [f64; 5] = [0.10, 0.22, 0.36, 0.52, 0.72];

/// A field of the heat map.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    from_s: f64,
    to_s: f64,
    class: i32,
    shade: usize,
}

/// The fields, a column for each interval (several, where there are many); neighbours of the same shade are one.
fn fields(figures: &Figures<'_>) -> Vec<Field> {
    let Some(began_s) = figures.trial.and_then(|trial| trial.log_began_s) else {
        return Vec::new();
    };
    let together = figures.latencies.len().div_ceil(COLUMNS_MAX).max(1);
    let mut fields: Vec<Field> = Vec::new();
    for column in figures.latencies.chunks(together) {
        let mut counts = std::collections::BTreeMap::new();
        for (class, count) in column.iter().flat_map(|interval| &interval.counts) {
            *counts.entry(*class).or_insert(0) += *count;
        }
        let most = counts.values().copied().max().unwrap_or(1);
        let (from_s, to_s) = (column[0].start_s - began_s, column[column.len() - 1].end_s - began_s);
        for (class, count) in counts {
            let shade = shade(count, most);
            let before = fields
                .iter_mut()
                .rev()
                .take(64)
                .find(|field| field.class == class && field.shade == shade && (field.to_s - from_s).abs() < 0.01);
            match before {
                Some(field) => field.to_s = to_s,
                None => fields.push(Field {
                    from_s,
                    to_s,
                    class,
                    shade,
                }),
            }
        }
    }
    fields
}

/// Each shade is for four times as many orders as the one before.
fn shade(count: u64, most: u64) -> usize {
    let fainter = ((most.max(1) as f64 / count.max(1) as f64).ln() / 4f64.ln()).round() as usize;
    (SHADES.len() - 1).saturating_sub(fainter)
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let lines = [
        ("end_to_end_ns_p99", "end-to-end p99", Stroke::solid(VERMILLION)),
        ("end_to_end_ns_p50", "end-to-end p50", Stroke::solid(INK)),
    ];
    let known: Vec<_> = lines
        .into_iter()
        .map(|(series, label, stroke)| (figures.series.points(series), label, stroke))
        .filter(|(points, ..)| !points.is_empty())
        .collect();
    let fields = fields(figures);
    let mut legend: Vec<Entry> = known
        .iter()
        .map(|(_, label, stroke)| Entry::new(*label, Mark::Line(*stroke)))
        .collect();
    if !fields.is_empty() {
        legend.push(Entry::new("few orders", Mark::Area(BLUE, SHADES[0])));
        legend.push(Entry::new("most orders", Mark::Area(BLUE, SHADES[SHADES.len() - 1])));
    }
    let top = head(canvas, figures, Chart::LatencyOverTime.title(), &legend)?;
    let ends =
        |field: &Field| [field.class, field.class + 1].map(|class| 10f64.powf(f64::from(class) / CLASSES_PER_DECADE));
    let lines = known.iter().flat_map(|(points, ..)| points).map(|point| point.value);
    let values = lines.chain(fields.iter().flat_map(ends));
    let (min, max) = values.fold((f64::MAX, 0.0), |(min, max), value| {
        (min.min(value), f64::max(max, value))
    });
    let is_empty = known.is_empty() && fields.is_empty();
    let y = if is_empty { (1e6, 1e9) } else { (min, max) };
    let y = Axis::log_nanos(y.0, y.1, "latency (logarithmic)");
    let plot = Plot::new(
        canvas,
        over_time::axis(figures),
        y,
        (top, canvas.height()),
        strips(figures),
    );
    if is_empty {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    for field in &fields {
        let class = |class: i32| f64::from(class) / CLASSES_PER_DECADE;
        let (left, bottom) = plot.at(field.from_s, class(field.class));
        let (right, top) = plot.at(field.to_s, class(field.class + 1));
        canvas.rect((left, top), (right, bottom), BLUE, SHADES[field.shade])?;
    }
    for (points, _, stroke) in &known {
        over_time::line(&plot, figures, points, *stroke, |ns| ns.max(1.0).log10())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::fixture;
    use crate::results::latency_log::Classes;
    use crate::results::series::SeriesTable;

    fn interval(start_s: f64, counts: &[(i32, u64)]) -> Classes {
        Classes {
            start_s,
            end_s: start_s + 1.0,
            counts: BTreeMap::from_iter(counts.iter().copied()),
        }
    }

    #[test]
    fn fields_stand_at_the_time_of_the_trial_and_neighbours_alike_are_one() {
        let mut record = fixture::pass();
        record.trials[0].log_began_s = Some(10.0);
        let intervals = [
            interval(12.0, &[(66, 100), (70, 1)]),
            interval(13.0, &[(66, 90)]),
            interval(20.0, &[(66, 90)]),
        ];
        let series = SeriesTable::default();
        let fields = fields(&Figures::new(&record, &series).with_latencies(&intervals));
        let found: Vec<(f64, f64, i32)> = fields
            .iter()
            .map(|field| (field.from_s, field.to_s, field.class))
            .collect();
        assert_eq!(found, [(2.0, 4.0, 66), (2.0, 3.0, 70), (10.0, 11.0, 66)]);
        assert!(fields[0].shade > fields[1].shade);
        record.trials[0].log_began_s = None;
        assert!(super::fields(&Figures::new(&record, &series).with_latencies(&intervals)).is_empty());
    }

    #[test]
    fn a_shade_stands_for_four_times_as_many_as_the_next() {
        assert_eq!([100, 25, 6, 1].map(|count| shade(count, 100)), [4, 3, 2, 1]);
        assert_eq!(shade(1, 1_000_000), 0);
    }
}
