//! Messages waiting over time, stage upon stage; stages that hold next to nothing are one layer together.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::{Axis, thousands};
use super::canvas::{Canvas, Drawn, Place};
use super::frame::{Entry, Mark, Plot, head, strips};
use super::palette::GREY;
use super::stage_percentiles::colour;
use super::{Chart, Figures, NO_DATA, over_time};
use crate::events::Stage;
use crate::results::series::SeriesTable;

/// Instants at which the layers are added.
const INSTANTS: usize = 360;
/// Share of the greatest sum under which a stage has no layer of its own.
const LAYER_MIN: f64 = 0.02;

/// A layer: whose, and how many messages at each instant.
struct Layer {
    name: String,
    colour: RGBColor,
    messages: Vec<f64>,
}

/// The backlog of all stages together at each of `times`; absent without any.
pub(super) fn total(series: &SeriesTable, times: &[f64]) -> Option<Vec<f64>> {
    let all = Stage::ALL
        .into_iter()
        .map(|stage| series.points(&format!("backlog_messages.{stage}")))
        .filter(|points| !points.is_empty());
    all.map(|points| over_time::resampled(&points, times)).reduce(added)
}

fn added(mut sum: Vec<f64>, more: Vec<f64>) -> Vec<f64> {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sum
}

fn layers(figures: &Figures<'_>, times: &[f64]) -> Vec<Layer> {
    let Some(total) = total(figures.series, times) else {
        return Vec::new();
    };
    let least = LAYER_MIN * total.iter().copied().fold(0.0, f64::max);
    let (mut layers, mut others): (Vec<Layer>, Option<Vec<f64>>) = (Vec::new(), None);
    for stage in Stage::ALL {
        let points = figures.series.points(&format!("backlog_messages.{stage}"));
        if points.is_empty() {
            continue;
        }
        let messages = over_time::resampled(&points, times);
        if messages.iter().copied().fold(0.0, f64::max) < least {
            others = Some(match others {
                Some(sum) => added(sum, messages),
                None => messages,
            });
            continue;
        }
        layers.push(Layer {
            name: stage.name().to_owned(),
            colour: colour(stage),
            messages,
        });
    }
    layers.extend(others.map(|messages| Layer {
        name: "other stages".to_owned(),
        colour: GREY,
        messages,
    }));
    layers
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let x = over_time::axis(figures);
    let times: Vec<f64> = (0..=INSTANTS)
        .map(|at| x.from + (x.to - x.from) * at as f64 / INSTANTS as f64)
        .collect();
    let layers = layers(figures, &times);
    let legend: Vec<Entry> = layers
        .iter()
        .map(|layer| Entry::new(layer.name.clone(), Mark::Area(layer.colour, 0.85)))
        .collect();
    let top = head(canvas, figures, Chart::BacklogStacked.title(), &legend)?;
    let edges = edges(&layers);
    let greatest = edges.last().map_or(0.0, |sum| sum.iter().copied().fold(0.0, f64::max));
    let y = Axis::from_zero(greatest, "messages (ready + unacked)", thousands);
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), strips(figures));
    if layers.is_empty() {
        return plot.sentence(NO_DATA);
    }
    plot.axes()?;
    for (at, layer) in layers.iter().enumerate() {
        let place = |(time, value): (&f64, &f64)| -> Place { plot.at(*time, *value) };
        let upper = times.iter().zip(&edges[at + 1]).map(place);
        let lower = times.iter().zip(&edges[at]).map(place).rev();
        let outline: Vec<Place> = upper.chain(lower).collect();
        canvas.polygon(&outline, layer.colour, 0.85)?;
    }
    Ok(())
}

/// The edges between layers, from the floor to the sum.
fn edges(layers: &[Layer]) -> Vec<Vec<f64>> {
    let length = layers.first().map_or(0, |layer| layer.messages.len());
    let mut edges = vec![vec![0.0; length]];
    for layer in layers {
        let below = edges[edges.len() - 1].clone();
        edges.push(added(below, layer.messages.clone()));
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_stands_on_the_sum_of_those_below() {
        let layer = |messages: &[f64]| Layer {
            name: String::new(),
            colour: GREY,
            messages: messages.to_vec(),
        };
        let edges = edges(&[layer(&[1.0, 2.0]), layer(&[0.0, 5.0])]);
        assert_eq!(edges, [vec![0.0, 0.0], vec![1.0, 2.0], vec![1.0, 7.0]]);
    }
}
