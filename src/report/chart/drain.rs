//! How a backlog went down, beside what was predicted: of a stage that was held back, of a planned overload, else of the whole
//! pipeline after the load.

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, thousands};
use super::canvas::{Canvas, Drawn, Stroke};
use super::frame::{Entry, Mark, Plot, head};
use super::palette::{BLUE, GREY};
use super::stacked::total;
use super::{Chart, Figures, NO_DATA};
use crate::events::Stage;
use crate::results::record::TrialRecord;
use crate::results::series::Point;

/// Room behind the end of the drain, as a share of it.
const AIR: f64 = 0.08;
/// Instants at which the whole pipeline's backlog is added up.
const INSTANTS: usize = 240;

/// What went down, and how it should have.
struct Drain {
    label: String,
    /// Seconds of the trial: since when, and until when it is shown.
    from_s: f64,
    to_s: f64,
    /// When it was over, if it was.
    cleared_s: Option<f64>,
    stage: Option<Stage>,
    /// Messages at the begin and at the end, where they were counted.
    ends: [Option<f64>; 2],
    predicted: Option<Predicted>,
}

/// A straight line from the begin of the drain.
struct Predicted {
    label: &'static str,
    messages: f64,
    level: f64,
    time_s: f64,
}

/// The drain, with the line that a plan foretold in place of that by the settings.
fn shown(figures: &Figures<'_>) -> Option<Drain> {
    let trial = figures.trial?;
    let mut drain = drain(trial)?;
    let prediction = &figures.record.cell(trial).workload.prediction;
    if let (Some(messages), Some(time), false) = (
        prediction.backlog_max,
        prediction.drain_time,
        trial.overloads.is_empty(),
    ) {
        drain.to_s = drain.to_s.max(drain.from_s + time.as_secs_f64());
        drain.predicted = Some(Predicted {
            label: "foretold by the plan",
            messages: messages as f64,
            level: 0.0,
            time_s: time.as_secs_f64(),
        });
    }
    Some(drain)
}

fn drain(trial: &TrialRecord) -> Option<Drain> {
    held_back(trial)
        .or_else(|| overload(trial))
        .or_else(|| after_the_load(trial))
}

fn held_back(trial: &TrialRecord) -> Option<Drain> {
    let backlog = trial.backlog.as_ref()?;
    let from_s = backlog.returned_s?;
    let predicted = backlog.ideal_time_s.map(|time_s| Predicted {
        label: "ideal: by service rate and arrivals",
        messages: backlog.messages.unwrap_or(0) as f64,
        level: backlog.level_messages.unwrap_or(0) as f64,
        time_s,
    });
    let ideal_s = predicted.as_ref().map_or(0.0, |ideal| ideal.time_s);
    Some(Drain {
        label: format!("backlog of {}, from the return of its consumers", backlog.stage),
        from_s,
        cleared_s: backlog.drain_time_s.map(|time_s| from_s + time_s),
        to_s: from_s + backlog.drain_time_s.unwrap_or(f64::INFINITY).max(ideal_s),
        stage: Some(backlog.stage),
        ends: [
            backlog.messages,
            backlog.level_messages.filter(|_| backlog.drain_time_s.is_some()),
        ]
        .map(|messages| messages.map(|n| n as f64)),
        predicted,
    })
}

fn overload(trial: &TrialRecord) -> Option<Drain> {
    let size = |overload: &&crate::results::record::OverloadRecord| overload.backlog_orders_predicted;
    let overload = trial.overloads.iter().max_by(|a, b| size(a).total_cmp(&size(b)))?;
    let longest = overload.clear_time_s.unwrap_or(f64::INFINITY);
    Some(Drain {
        label: format!("backlog of {}, from the peak of its overload", overload.stage),
        from_s: overload.peak_s,
        cleared_s: overload.clear_time_s.map(|time_s| overload.peak_s + time_s),
        to_s: overload.peak_s + longest.max(overload.clear_time_predicted_s),
        stage: Some(overload.stage),
        ends: [None, None],
        predicted: Some(Predicted {
            label: "predicted: by capacity and arrivals",
            messages: overload.backlog_orders_predicted,
            level: 0.0,
            time_s: overload.clear_time_predicted_s,
        }),
    })
}

fn after_the_load(trial: &TrialRecord) -> Option<Drain> {
    let band = trial.phases.iter().find(|band| band.name == "drain")?;
    Some(Drain {
        label: "backlog of all stages, from the end of the load".to_owned(),
        from_s: band.start_s,
        cleared_s: None,
        to_s: band.end_s,
        stage: None,
        ends: [None, None],
        predicted: None,
    })
}

/// What still waited, by seconds since the drain began.
fn curve(figures: &Figures<'_>, drain: &Drain) -> Vec<(f64, f64)> {
    let inside = |time_s: f64| (drain.from_s..=drain.to_s * (1.0 + 1e-9)).contains(&time_s);
    let points: Vec<Point> = match drain.stage {
        Some(stage) => figures.series.points(&format!("backlog_messages.{stage}")),
        None => {
            let last = figures
                .series
                .names()
                .filter_map(|name| Some(figures.series.points(name).last()?.time_s));
            let to_s = drain.to_s.min(last.fold(drain.from_s, f64::max));
            let step = (to_s - drain.from_s) / INSTANTS as f64;
            let times: Vec<f64> = (0..=INSTANTS).map(|at| drain.from_s + step * at as f64).collect();
            let sums = total(figures.series, &times).unwrap_or_default();
            let pairs = times.into_iter().zip(sums);
            pairs.map(|(time_s, value)| Point { time_s, value }).collect()
        }
    };
    let until = drain.cleared_s.unwrap_or(f64::INFINITY) * (1.0 + 1e-9);
    let shown = points
        .iter()
        .filter(|point| inside(point.time_s) && point.time_s <= until);
    let mut curve: Vec<(f64, f64)> = shown.map(|point| (point.time_s - drain.from_s, point.value)).collect();
    if let ([Some(messages), _], false) = (drain.ends, curve.is_empty()) {
        curve.insert(0, (0.0, messages));
    }
    if let ([_, Some(messages)], Some(cleared_s), false) = (drain.ends, drain.cleared_s, curve.is_empty()) {
        curve.push((cleared_s - drain.from_s, messages));
    }
    curve
}

pub(super) fn draw<DB: DrawingBackend>(canvas: &Canvas<DB>, figures: &Figures<'_>) -> Drawn<DB> {
    let drain = shown(figures);
    let measured = drain.as_ref().map(|drain| curve(figures, drain)).unwrap_or_default();
    let predicted = drain.as_ref().and_then(|drain| drain.predicted.as_ref());
    let (solid, dashed) = (Stroke::solid(BLUE), Stroke::dashed(GREY));
    let mut legend = Vec::new();
    if let (Some(drain), false) = (&drain, measured.is_empty()) {
        legend.push(Entry::new(drain.label.clone(), Mark::Line(solid)));
        legend.extend(predicted.map(|line| Entry::new(line.label, Mark::Line(dashed))));
    }
    let top = head(canvas, figures, Chart::Drain.title(), &legend)?;
    let end = measured.last().map_or(0.0, |(time_s, _)| *time_s);
    let end = end.max(predicted.map_or(0.0, |line| line.time_s));
    let greatest = measured.iter().map(|(_, messages)| *messages);
    let greatest = greatest.chain(predicted.map(|line| line.messages)).fold(0.0, f64::max);
    let x = Axis {
        title: "time since the drain began",
        ..Axis::time(end * (1.0 + AIR))
    };
    let y = Axis::from_zero(greatest, "messages (ready + unacked)", thousands);
    let plot = Plot::new(canvas, x, y, (top, canvas.height()), Vec::new());
    if measured.is_empty() {
        return plot.sentence(NO_DATA);
    }
    if greatest == 0.0 {
        return plot.sentence("nothing waited any more when the drain began");
    }
    plot.axes()?;
    plot.area(&measured, 0.0, BLUE)?;
    plot.curve(&measured, solid)?;
    if let Some(line) = predicted {
        plot.curve(&[(0.0, line.messages), (line.time_s, line.level)], dashed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_stage_that_was_held_back_comes_before_an_overload_and_that_before_the_end_of_the_load() {
        let record = fixture::failed();
        let mut trial = record.trials[0].clone();
        let backlog = trial.backlog.clone().expect("held back");
        let first = drain(&trial).expect("a drain");
        assert_eq!(
            (first.stage, Some(first.from_s)),
            (Some(backlog.stage), backlog.returned_s)
        );
        trial.backlog = None;
        let second = drain(&trial).expect("a drain");
        assert_eq!(second.from_s, trial.overloads[0].peak_s);
        assert_eq!(second.predicted.expect("predicted").messages, 1_000.0);
        trial.overloads.clear();
        let last = drain(&trial).expect("a drain");
        assert_eq!((last.stage, last.from_s), (None, 65.0));
        trial.phases.clear();
        assert!(drain(&trial).is_none());
    }
}
