//! CPU share above, resident memory below, over time.

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Stroke, WIDTH};
use super::frame::{Entry, Mark, Plot, head, shades, strips};
use super::palette::{BLUE, GREEN, GREY, VERMILLION};
use super::{Chart, Figures, NO_DATA, over_time};

const DRIVER: Stroke = Stroke::solid(BLUE);
const BROKER: Stroke = Stroke::solid(VERMILLION);
/// What the embedded broker holds for its clients; it is within the driver's memory.
const MESSAGES: (&str, &str, Stroke) = (
    "broker_message_bytes",
    "messages in the embedded broker",
    Stroke::solid(GREEN),
);

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let max = |series: &[&str; 2]| {
        series
            .iter()
            .filter_map(|name| figures.series.max(name))
            .reduce(f64::max)
    };
    let cpu = ["driver_cpu_share", "broker_cpu_share"];
    let memory = ["driver_rss_bytes", "broker_rss_bytes"];
    let mut legend: Vec<Entry> = [("driver", DRIVER), ("broker", BROKER)]
        .into_iter()
        .enumerate()
        .filter(|(i, _)| figures.series.max(cpu[*i]).or(figures.series.max(memory[*i])).is_some())
        .map(|(_, (label, stroke))| Entry::new(label, Mark::Line(stroke)))
        .collect();
    if figures.series.max(MESSAGES.0).is_some() {
        legend.push(Entry::new(MESSAGES.1, Mark::Line(MESSAGES.2)));
    }
    let top = head(canvas, figures, Chart::Resources.title(), &legend)?;
    if max(&cpu).or(max(&memory)).is_none() {
        return canvas.text(
            (WIDTH / 2.0, canvas.height() / 2.0),
            NO_DATA,
            14.0,
            GREY,
            Anchor::Middle,
        );
    }
    let (above, below) = (strips(figures), shades(figures));
    // The names of the bands take room in the upper plot only.
    let middle = top + (canvas.height() - top) * if above.is_empty() { 0.5 } else { 0.54 };

    let share = Axis::from_zero(
        max(&cpu).unwrap_or(0.0).max(1.0),
        "CPU (100 % = all processors)",
        |share| format!("{:.0} %", share * 100.0),
    );
    let bytes = Axis::bytes(max(&memory).unwrap_or(0.0), "resident memory");
    for (axis, names, from, to, bands) in [
        (share, cpu, top, middle, above),
        (bytes, memory, middle, canvas.height(), below),
    ] {
        let plot = Plot::new(canvas, over_time::axis(figures), axis, (from, to), bands);
        if max(&names).is_none() {
            plot.sentence(NO_DATA)?;
            continue;
        }
        plot.axes()?;
        for (name, stroke) in names.into_iter().zip([DRIVER, BROKER]) {
            over_time::line(&plot, figures, &figures.series.points(name), stroke, |value| value)?;
        }
        if names == memory {
            over_time::line(
                &plot,
                figures,
                &figures.series.points(MESSAGES.0),
                MESSAGES.2,
                |value| value,
            )?;
        }
    }
    Ok(())
}
