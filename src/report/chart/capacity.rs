//! Charts of a capacity search: what was achieved of what was offered, latency over load, capacity over a resource, the map of
//! both, and how busy each stage was.

use std::path::Path;

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::{Axis, nanos, thousands};
use super::canvas::{Anchor, Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head};
use super::palette::{ALARM, BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION, WHITE};
use super::picture::{self, Drawing};
use super::{ChartError, Figures, NO_DATA, Picture};
use crate::events::Stage;
use crate::queueing::{Usl, fit_usl};
use crate::report::capacity::{groups, resource};
use crate::report::human;
use crate::results::capacity::{CapacityRate, CapacityRecord, CapacitySetting, RateStatus};
use crate::results::record::RunRecord;
use crate::results::series::SeriesTable;
use crate::workload::objective::Figure;

const COLOURS: [RGBColor; 8] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BROWN, INK];
/// Settings that have a line of their own in a chart; the others are in the tables.
const LINES_MAX: usize = 8;
/// Settings with a chart of their stages' utilisation.
const STAGES_MAX: usize = 4;

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Achieved over offered, with the line on which they are the same.
    Achieved,
    /// p50 and p99 over offered load, with the objective.
    Latency,
    /// The interval over the varied resource.
    Resource,
    /// p99 over rate and resource, with the edge of what holds.
    Map,
    /// Utilisation by stage over offered load, of the setting at this position.
    Stages(usize),
}

/// A chart of a capacity search.
#[derive(Debug, Clone)]
pub struct CapacityChart<'a> {
    record: &'a RunRecord,
    capacity: &'a CapacityRecord,
    kind: Kind,
}

/// The charts of a search; none of another run.
pub fn charts(record: &RunRecord) -> Vec<CapacityChart<'_>> {
    let Some(capacity) = &record.capacity else {
        return Vec::new();
    };
    let mut kinds = vec![Kind::Achieved, Kind::Latency];
    if resource(capacity).is_some() {
        kinds.extend([Kind::Resource, Kind::Map]);
    }
    kinds.extend((0..capacity.settings.len().min(STAGES_MAX)).map(Kind::Stages));
    let chart = |kind| CapacityChart { record, capacity, kind };
    kinds.into_iter().map(chart).collect()
}

impl CapacityChart<'_> {
    fn name(&self) -> String {
        match self.kind {
            Kind::Achieved => "capacity-achieved".to_owned(),
            Kind::Latency => "capacity-latency".to_owned(),
            Kind::Resource => "capacity-resource".to_owned(),
            Kind::Map => "capacity-map".to_owned(),
            Kind::Stages(at) => format!("capacity-stages-{}", at + 1),
        }
    }

    fn title(&self) -> String {
        let of_resource = || {
            let at = resource(self.capacity).unwrap_or_default();
            let varied = self.capacity.settings[0].varied.get(at);
            varied.map_or(String::new(), |varied| human::plain(&varied.dimension))
        };
        match self.kind {
            Kind::Achieved => "Offered, achieved and finished".to_owned(),
            Kind::Latency => "Latency over offered load".to_owned(),
            Kind::Resource => format!("Capacity over {}", of_resource()),
            Kind::Map => format!("p99 over rate and {}", of_resource()),
            Kind::Stages(at) => match self.capacity.settings[at].label.as_str() {
                "" => "Utilisation by stage".to_owned(),
                label => format!("Utilisation by stage, {}", human::plain(label)),
            },
        }
    }

    fn explanation(&self) -> String {
        let text = match self.kind {
            Kind::Achieved => {
                "Orders finished per second (marks) and published per second (thin line) at each rate that was tried: a dot where it held, a \
                 red diamond where it did not, grey where it could not be told. On the grey line everything that was offered got \
                 through. The broken upright line is the knee of the p99."
            }
            Kind::Latency => {
                "Median (thin) and 99th percentile (thick) of the end-to-end latency at each rate that was tried, medians over its \
                 trials; a red diamond did not hold. The broken level line is the objective."
            }
            Kind::Resource => {
                "The bar reaches from the highest rate that held to the lowest that did not: the capacity lies inside. An open bar \
                 has no upper end. The broken line is the least capacity times the resource: linear scaling. The orange curve is the Universal \
                 Scalability Law through the middles."
            }
            Kind::Map => {
                "Each tile is a rate that was tried, the darker the longer its p99. The green line is the highest rate that held, the \
                 red one the lowest that did not, the broken one where the p99 crosses its objective."
            }
            Kind::Stages(_) => {
                "Busy share of the job slots of each stage's consumers. The stage that comes near to 100 % first is where more \
                 consumers help; if none does, they do not."
            }
        };
        text.to_owned()
    }

    /// The chart with its words, as a page shows it.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw it.
    pub fn picture(&self) -> Result<Picture, ChartError> {
        Ok(Picture {
            name: self.name(),
            title: self.title(),
            explanation: self.explanation(),
            svg: picture::svg(self)?,
            alike: false,
        })
    }

    /// Writes the chart as a PNG, 1,800 pixels wide. The name at `path` must end in `.png`.
    ///
    /// # Errors
    /// [`ChartError`] if plotters cannot draw or write it.
    pub fn write_png(&self, path: &Path) -> Result<(), ChartError> {
        picture::write_png(self, path)
    }

    /// The settings that have a line, with their colours.
    fn lines(&self) -> impl Iterator<Item = (&CapacitySetting, RGBColor)> {
        self.capacity.settings.iter().take(LINES_MAX).zip(COLOURS)
    }

    fn rate_axis(&self) -> Axis {
        let rates = self.capacity.settings.iter().flat_map(|setting| &setting.rates);
        let max = rates.map(|rate| rate.rate_per_s).fold(0.0, f64::max);
        Axis::from_zero(max, "offered load, orders per second", thousands)
    }

    fn legend(&self) -> Vec<Entry> {
        if let [_] = self.capacity.settings.as_slice() {
            return Vec::new();
        }
        let entry = |(setting, colour): (&CapacitySetting, RGBColor)| {
            Entry::new(human::shortened(&human::plain(&setting.label), 40), Mark::Dot(colour))
        };
        self.lines().map(entry).collect()
    }

    /// The limit that the end-to-end p99 was held to, nanoseconds.
    fn p99_limit(&self) -> Option<f64> {
        let objectives = &self.record.cells.first()?.workload.objectives;
        let p99 = objectives
            .iter()
            .find(|objective| objective.figure == Figure::EndToEndP99)?;
        Some(p99.bound.limit() * 1e9)
    }
}

/// A point of a rate, by what it said.
fn point<DB: DrawingBackend>(plot: &Plot<'_, DB>, at: (f64, f64), rate: &CapacityRate, colour: RGBColor) -> Drawn<DB> {
    let place = plot.at(at.0, at.1);
    match rate.status {
        RateStatus::Held => plot.canvas.dot(place, 4.0, colour),
        RateStatus::Failed => plot.canvas.diamond(place, 5.0, ALARM),
        RateStatus::Undecided | RateStatus::Invalid => plot.canvas.dot(place, 3.5, GREY),
    }
}

fn thin(colour: RGBColor) -> Stroke {
    Stroke {
        width: 1.0,
        ..Stroke::solid(colour)
    }
}

impl Drawing for CapacityChart<'_> {
    fn file_name(&self) -> String {
        self.name()
    }

    fn height(&self) -> f64 {
        match self.kind {
            Kind::Map => 440.0,
            _ => 400.0,
        }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        let series = SeriesTable::default();
        let figures = Figures {
            record: self.record,
            trial: None,
            series: &series,
            latencies: &[],
        };
        match self.kind {
            Kind::Achieved => self.achieved(canvas, &figures),
            Kind::Latency => self.latency(canvas, &figures),
            Kind::Resource => self.resource(canvas, &figures),
            Kind::Map => self.map(canvas, &figures),
            Kind::Stages(at) => self.stages(canvas, &figures, &self.capacity.settings[at]),
        }
    }
}

impl CapacityChart<'_> {
    fn achieved<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
        let top = head(canvas, figures, &self.title(), &self.legend())?;
        let x = self.rate_axis();
        let y = Axis {
            title: "achieved and finished, orders per second",
            ..x.clone()
        };
        let end = x.to;
        let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
        plot.axes()?;
        plot.curve(&[(0.0, 0.0), (end, end)], thin(GREY))?;
        let mut any = false;
        for (setting, colour) in self.lines() {
            let achieved = setting
                .rates
                .iter()
                .filter_map(|rate| Some((rate.rate_per_s, rate.achieved_rate_per_s?)));
            plot.curve(
                &achieved.collect::<Vec<_>>(),
                Stroke {
                    alpha: 0.6,
                    ..thin(colour)
                },
            )?;
            for rate in &setting.rates {
                if let Some(finished) = rate.goodput_per_s {
                    any = true;
                    point(&plot, (rate.rate_per_s, finished), rate, colour)?;
                }
            }
            if let Some(knee) = setting.knee_per_s {
                plot.curve(&[(knee, 0.0), (knee, end)], Stroke::dashed(colour))?;
            }
        }
        if any { Ok(()) } else { plot.sentence(NO_DATA) }
    }

    fn latency<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
        let limit = self.p99_limit();
        let mut legend = self.legend();
        legend.extend(limit.map(|limit| {
            Entry::new(
                format!("objective p99 {}", nanos(limit)),
                Mark::Line(Stroke::dashed(ALARM)),
            )
        }));
        let top = head(canvas, figures, &self.title(), &legend)?;
        let rates = self.capacity.settings.iter().flat_map(|setting| &setting.rates);
        let values = rates
            .flat_map(|rate| [rate.end_to_end_ns_p50, rate.end_to_end_ns_p99])
            .flatten();
        let (min, max) = values.chain(limit).fold((f64::MAX, 0.0), |(min, max), value| {
            (f64::min(min, value), f64::max(max, value))
        });
        let y = Axis::log_nanos(min.min(max), max, "end-to-end latency (logarithmic)");
        let x = self.rate_axis();
        let end = x.to;
        let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
        plot.axes()?;
        if max == 0.0 {
            return plot.sentence(NO_DATA);
        }
        if let Some(limit) = limit {
            plot.curve(&[(0.0, limit.log10()), (end, limit.log10())], Stroke::dashed(ALARM))?;
        }
        for (setting, colour) in self.lines() {
            let of = |which: fn(&CapacityRate) -> Option<f64>| -> Vec<(f64, f64)> {
                let rates = setting.rates.iter();
                rates
                    .filter_map(|rate| Some((rate.rate_per_s, which(rate)?.log10())))
                    .collect()
            };
            plot.curve(
                &of(|rate| rate.end_to_end_ns_p50),
                Stroke {
                    alpha: 0.6,
                    ..thin(colour)
                },
            )?;
            let thick = Stroke {
                width: 2.2,
                ..Stroke::solid(colour)
            };
            plot.curve(&of(|rate| rate.end_to_end_ns_p99), thick)?;
            for rate in &setting.rates {
                // Too few orders carry no p99: the median still says how the rate did.
                if let Some(shown) = rate.end_to_end_ns_p99.or(rate.end_to_end_ns_p50) {
                    point(&plot, (rate.rate_per_s, shown.log10()), rate, colour)?;
                }
            }
        }
        Ok(())
    }

    fn resource<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
        let groups = groups(self.capacity);
        let mut legend: Vec<Entry> = Vec::new();
        if groups.len() > 1 {
            let entry = |((others, _), colour): (&(String, Vec<&CapacitySetting>), RGBColor)| {
                Entry::new(human::shortened(&human::plain(others), 40), Mark::Dot(colour))
            };
            legend.extend(groups.iter().zip(COLOURS).map(entry));
        }
        let law = groups.first().and_then(|(_, settings)| self.law(settings));
        legend.extend(law.map(|law| {
            let doubt = if law.is_trusted() { "" } else { ", a sketch" };
            let points = human::plural(law.points as u64, "point");
            Entry::new(format!("USL on {points}{doubt}"), Mark::Line(Stroke::solid(ORANGE)))
        }));
        let top = head(canvas, figures, &self.title(), &legend)?;
        let numbers = numbers(self.capacity);
        let greatest = numbers.iter().copied().fold(0.0, f64::max);
        let edges = self
            .capacity
            .settings
            .iter()
            .flat_map(|setting| [setting.low_per_s, setting.high_per_s]);
        let max = edges.flatten().fold(0.0, f64::max);
        let plot = Plot::new(
            canvas,
            Axis::from_zero(greatest, "value of the resource", thousands),
            Axis::from_zero(max, "sustainable rate, orders per second", thousands),
            (top, canvas.height()),
            Vec::new(),
        );
        plot.axes()?;
        if let Some(law) = law {
            let steps = (0..=60).map(|step| 1.0 + (greatest - 1.0) * f64::from(step) / 60.0);
            let curve: Vec<(f64, f64)> = steps.map(|n| (n, law.capacity(n))).collect();
            plot.curve(&curve, Stroke::solid(ORANGE))?;
        }
        for ((_, settings), colour) in groups.iter().zip(COLOURS) {
            let at = |setting: &CapacitySetting| number(self.capacity, setting);
            if let Some((first, low)) = settings.first().and_then(|first| Some((at(first), first.low_per_s?))) {
                let linear = low / first;
                plot.curve(
                    &[(first, low), (greatest, (linear * greatest).min(plot.y.to))],
                    Stroke::dashed(GREY),
                )?;
            }
            let middles = settings.iter().filter_map(|setting| {
                let low = setting.low_per_s?;
                Some((at(setting), setting.high_per_s.map_or(low, |high| (low + high) / 2.0)))
            });
            plot.curve(
                &middles.collect::<Vec<_>>(),
                Stroke {
                    alpha: 0.6,
                    ..Stroke::solid(colour)
                },
            )?;
            for setting in settings {
                let (x, low) = (at(setting), setting.low_per_s.unwrap_or(0.0));
                let high = setting.high_per_s.unwrap_or(low);
                let (from, to) = (plot.at(x, low), plot.at(x, high));
                canvas.rect(
                    (from.0 - 4.0, to.1),
                    (from.0 + 4.0, from.1.max(to.1 + 2.0)),
                    colour,
                    0.85,
                )?;
                let text = if setting.high_per_s.is_some() {
                    human::rate((low + high) / 2.0)
                } else {
                    format!("≥ {}", human::rate(low))
                };
                canvas.text((to.0, to.1 - 10.0), &text, 11.0, INK, Anchor::Middle)?;
            }
        }
        Ok(())
    }

    /// The USL through the middles of the intervals, where the resource is consumers and there are enough of them.
    fn law(&self, settings: &[&CapacitySetting]) -> Option<Usl> {
        let at = resource(self.capacity)?;
        let middles = settings.iter().filter_map(|setting| {
            let (low, high) = (setting.low_per_s?, setting.high_per_s?);
            Some((number(self.capacity, setting), (low + high) / 2.0))
        });
        let is_concurrency = settings.first()?.varied[at].dimension.ends_with(".consumers");
        let seed = self.record.cells.first()?.workload.seed;
        is_concurrency.then(|| fit_usl(&middles.collect::<Vec<_>>(), seed).ok())?
    }

    fn map<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
        let limit = self.p99_limit();
        let mut legend = vec![
            Entry::new("highest that held", Mark::Line(Stroke::solid(GREEN))),
            Entry::new("lowest that did not", Mark::Line(Stroke::solid(ALARM))),
        ];
        legend.extend(
            limit.map(|limit| Entry::new(format!("p99 crosses {}", nanos(limit)), Mark::Line(Stroke::dashed(INK)))),
        );
        let top = head(canvas, figures, &self.title(), &legend)?;
        // Of several groups the first: a map has two dimensions.
        let settings = groups(self.capacity)
            .into_iter()
            .next()
            .map_or(Vec::new(), |(_, settings)| settings);
        let rates = || settings.iter().flat_map(|setting| &setting.rates);
        let max = rates().map(|rate| rate.rate_per_s).fold(0.0, f64::max);
        let labels = settings.iter().enumerate().map(|(at, setting)| super::axis::Tick {
            at: at as f64 + 0.5,
            label: human::plain(&setting.varied[resource(self.capacity).unwrap_or_default()].value),
        });
        let x = Axis {
            from: 0.0,
            to: settings.len().max(1) as f64,
            ticks: labels.collect(),
            title: "value of the resource",
        };
        let plot = Plot::new(
            canvas,
            x,
            Axis::from_zero(max * 1.1, "offered load, orders per second", thousands),
            (top, canvas.height()),
            Vec::new(),
        );
        plot.axes()?;
        let p99s = rates().filter_map(|rate| rate.end_to_end_ns_p99);
        let (least, most) = p99s.fold((f64::MAX, 0.0), |(min, max), value| {
            (f64::min(min, value), f64::max(max, value))
        });
        for (column, setting) in settings.iter().enumerate() {
            tiles(&plot, column, setting, (least, most))?;
        }
        for (column, setting) in settings.iter().enumerate() {
            let across = |y: f64| [(column as f64 + 0.06, y), (column as f64 + 0.94, y)];
            let thick = |colour| Stroke {
                width: 2.5,
                ..Stroke::solid(colour)
            };
            if let Some(low) = setting.low_per_s {
                plot.curve(&across(low), thick(GREEN))?;
            }
            if let Some(high) = setting.high_per_s {
                plot.curve(&across(high), thick(ALARM))?;
            }
            if let Some(crossing) = limit.and_then(|limit| crossing(setting, limit)) {
                plot.curve(&across(crossing), Stroke::dashed(INK))?;
            }
        }
        Ok(())
    }

    fn stages<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        figures: &Figures<'_>,
        setting: &CapacitySetting,
    ) -> Drawn<DB> {
        let of = |stage: Stage| -> Vec<(f64, f64)> {
            let share = |rate: &CapacityRate| {
                let one = rate.utilisations.iter().find(|one| one.stage == stage)?;
                Some((rate.rate_per_s, one.utilisation.min(1.0)))
            };
            setting.rates.iter().filter_map(share).collect()
        };
        let mut stages: Vec<(Stage, Vec<(f64, f64)>)> = Stage::ALL
            .into_iter()
            .map(|stage| (stage, of(stage)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        let greatest = |points: &[(f64, f64)]| points.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        // The busiest first: it has the strongest colour.
        stages.sort_by(|a, b| greatest(&b.1).total_cmp(&greatest(&a.1)));
        let colours = [VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BROWN, INK, GREY];
        let legend = stages.iter().zip(colours);
        let legend: Vec<Entry> = legend
            .map(|((stage, _), colour)| Entry::new(stage.to_string(), Mark::Line(Stroke::solid(colour))))
            .collect();
        let top = head(canvas, figures, &self.title(), &legend)?;
        let max = setting.rates.iter().map(|rate| rate.rate_per_s).fold(0.0, f64::max);
        let plot = Plot::new(
            canvas,
            Axis::from_zero(max, "offered load, orders per second", thousands),
            Axis::from_zero(1.0, "busy share of job slots", |share| {
                format!("{:.0} %", share * 100.0)
            }),
            (top, canvas.height()),
            Vec::new(),
        );
        plot.axes()?;
        if stages.is_empty() {
            return plot.sentence(NO_DATA);
        }
        for (edge, colour) in [(setting.low_per_s, GREEN), (setting.high_per_s, ALARM)] {
            if let Some(edge) = edge {
                plot.curve(&[(edge, 0.0), (edge, plot.y.to)], Stroke::dashed(colour))?;
            }
        }
        for ((_, points), colour) in stages.iter().zip(colours).rev() {
            plot.curve(points, Stroke::solid(colour))?;
            for (x, y) in points {
                canvas.dot(plot.at(*x, *y), 2.5, colour)?;
            }
        }
        Ok(())
    }
}

/// A setting's value of the resource.
fn number(capacity: &CapacityRecord, setting: &CapacitySetting) -> f64 {
    let at = resource(capacity).unwrap_or_default();
    setting.varied.get(at).and_then(|varied| varied.number).unwrap_or(0.0)
}

fn numbers(capacity: &CapacityRecord) -> Vec<f64> {
    capacity
        .settings
        .iter()
        .map(|setting| number(capacity, setting))
        .collect()
}

/// The tiles of a column: each reaches half-way to its neighbours.
fn tiles<DB: DrawingBackend>(
    plot: &Plot<'_, DB>,
    column: usize,
    setting: &CapacitySetting,
    (least, most): (f64, f64),
) -> Drawn<DB> {
    let rates = &setting.rates;
    for (at, rate) in rates.iter().enumerate() {
        let middle = |other: Option<&CapacityRate>| other.map(|other| (other.rate_per_s + rate.rate_per_s) / 2.0);
        let below = middle(at.checked_sub(1).map(|at| &rates[at]));
        let above = middle(rates.get(at + 1));
        let half = |edge: Option<f64>| edge.map(|edge| (edge - rate.rate_per_s).abs());
        let reach = half(below).or(half(above)).unwrap_or(plot.y.to / 40.0);
        let (from, to) = (
            below.unwrap_or((rate.rate_per_s - reach).max(0.0)),
            above.unwrap_or(rate.rate_per_s + reach.min(plot.y.to / 20.0)),
        );
        let (left, bottom) = plot.at(column as f64 + 0.06, from);
        let (right, top) = plot.at(column as f64 + 0.94, to);
        let (colour, alpha) = match rate.end_to_end_ns_p99 {
            Some(p99) => {
                let span = (most / least).ln().max(f64::MIN_POSITIVE);
                (BLUE, 0.08 + 0.85 * ((p99 / least).ln() / span).clamp(0.0, 1.0))
            }
            None => (GREY, 0.12),
        };
        plot.canvas.rect((left, top), (right, bottom), colour, alpha)?;
        plot.canvas.frame((left, top), (right, bottom), thin(WHITE))?;
        let tall = bottom - top >= 13.0;
        if let Some(p99) = rate.end_to_end_ns_p99.filter(|_| tall) {
            let ink = if alpha > 0.55 { WHITE } else { INK };
            let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
            plot.canvas
                .text(middle, &human::nanos(p99), 11.0, ink, Anchor::Middle)?;
        }
    }
    Ok(())
}

/// Where the p99 first crosses `limit`, between two rates that were tried; by the straight line in its logarithm.
fn crossing(setting: &CapacitySetting, limit: f64) -> Option<f64> {
    let points: Vec<(f64, f64)> = setting
        .rates
        .iter()
        .filter_map(|rate| Some((rate.rate_per_s, rate.end_to_end_ns_p99?)))
        .collect();
    let pair = points.windows(2).find(|pair| pair[0].1 <= limit && limit < pair[1].1)?;
    let part = (limit / pair[0].1).ln() / (pair[1].1 / pair[0].1).ln();
    Some(pair[0].0 + part * (pair[1].0 - pair[0].0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_chart_of_a_search_is_drawn_and_another_run_has_none() {
        let record = fixture::capacity();
        let charts = charts(&record);
        let names: Vec<String> = charts.iter().map(CapacityChart::name).collect();
        assert_eq!(
            names,
            [
                "capacity-achieved",
                "capacity-latency",
                "capacity-resource",
                "capacity-map",
                "capacity-stages-1",
                "capacity-stages-2",
                "capacity-stages-3"
            ]
        );
        for chart in &charts {
            let picture = chart.picture().expect("drawn");
            assert!(
                picture.svg.contains("</svg>") && !picture.svg.contains("NaN"),
                "{}",
                picture.name
            );
        }
        assert!(super::charts(&fixture::pass()).is_empty());
    }

    #[test]
    fn a_search_without_a_trial_has_charts_that_say_so() {
        let mut record = fixture::capacity();
        record.trials.clear();
        crate::results::capacity::judge(&mut record);
        for chart in charts(&record) {
            chart.picture().expect("drawn");
        }
    }

    #[test]
    fn the_objective_is_crossed_between_the_rates_beside_it() {
        let record = fixture::capacity();
        let setting = &record.capacity.as_ref().expect("a search").settings[0];
        let p99s: Vec<f64> = setting.rates.iter().filter_map(|rate| rate.end_to_end_ns_p99).collect();
        let limit = (p99s[0] * p99s[p99s.len() - 1]).sqrt();
        let found = crossing(setting, limit).expect("it is crossed");
        assert!(found > setting.rates[0].rate_per_s && found < setting.rates[p99s.len() - 1].rate_per_s);
        assert_eq!(crossing(setting, 1.0), None);
    }
}
