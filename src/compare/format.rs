//! A comparison in the formats that people and programs read; one file each.

mod benchmarks;
mod csv;
mod gobench;
mod junit;
mod markdown;
mod text;

use super::{Comparison, Measured};
use crate::report::figure::{Figure, Unit};
use crate::report::human::{self, ABSENT};
use crate::report::text::Style;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For a pull request or a step summary.
    Markdown,
    /// Everything.
    Json,
    /// One row per measure.
    Csv,
    /// For CI servers: one test case per measure.
    Junit,
    /// For benchmark-action/github-action-benchmark: `customSmallerIsBetter`.
    GithubBenchmark,
    /// For bencher.dev: Bencher Metric Format.
    Bencher,
    /// For benchstat: Go's benchmark format, one line per trial.
    Gobench,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 8] = [
        Format::Text,
        Format::Markdown,
        Format::Json,
        Format::Csv,
        Format::Junit,
        Format::GithubBenchmark,
        Format::Bencher,
        Format::Gobench,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Markdown => "markdown",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Junit => "junit",
            Format::GithubBenchmark => "github-benchmark",
            Format::Bencher => "bencher",
            Format::Gobench => "gobench",
        }
    }

    /// The comparison in this format; it ends in a line break.
    ///
    /// # Errors
    /// When it cannot be serialised, which takes a fault of the program.
    pub fn render(self, comparison: &Comparison, style: Style) -> anyhow::Result<String> {
        Ok(match self {
            Format::Text => text::render(comparison, style),
            Format::Markdown => markdown::render(comparison),
            Format::Json => serde_json::to_string_pretty(comparison)? + "\n",
            Format::Csv => csv::render(comparison)?,
            Format::Junit => junit::render(comparison),
            Format::GithubBenchmark => benchmarks::github(comparison)?,
            Format::Bencher => benchmarks::bencher(comparison)?,
            Format::Gobench => gobench::render(comparison),
        })
    }
}

fn figure(measured: &Measured) -> Figure {
    let named = Figure::ALL.into_iter().find(|figure| figure.name() == measured.figure);
    // Every measure reads one of them; the first stands for what cannot happen.
    named.unwrap_or(Figure::ALL[0])
}

/// A value of the measure.
fn value(measured: &Measured, value: Option<f64>) -> String {
    value.map_or(ABSENT.to_owned(), |value| match figure(measured).unit() {
        // A thousandth matters here.
        Unit::Share => format!("{:.2} %", value * 100.0),
        _ => figure(measured).written(value),
    })
}

/// A change: `+4.2 %`, or for shares `+0.10 pp` (percentage points).
fn change(measured: &Measured, change: f64) -> String {
    let percent = change * 100.0;
    match measured.scale {
        "difference" => format!("{percent:+.2} pp"),
        _ if percent.abs() >= 999.5 => format!("×{:.1}", 1.0 + change),
        _ => format!("{percent:+.1} %"),
    }
}

fn changed(measured: &Measured) -> String {
    measured
        .change
        .map_or(ABSENT.to_owned(), |effect| change(measured, effect))
}

/// `-11.2 … -8.0 %`.
fn interval(measured: &Measured) -> String {
    let Some(interval) = measured.interval else {
        return ABSENT.to_owned();
    };
    let (low, high) = (change(measured, interval.low), change(measured, interval.high));
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    match (unit(&low), unit(&high)) {
        (Some(a), Some(b)) if a == b => format!("{} … {high}", low.split(' ').next().unwrap_or_default()),
        _ => format!("{low} … {high}"),
    }
}

/// p after correction, as far as digits mean something.
fn p(measured: &Measured) -> String {
    match measured.p_adjusted {
        None => ABSENT.to_owned(),
        Some(p) if p < 0.001 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

/// What could have been seen, and what it takes to see what matters; for measures that cannot be told.
fn power(measured: &Measured) -> String {
    let mut parts: Vec<String> = measured.why.iter().cloned().collect();
    if let Some(detectable) = measured.detectable {
        parts.push(format!(
            "{} trials find a change of {}",
            measured.trials(),
            magnitude(measured, detectable)
        ));
    }
    let what = if measured.pairs.is_some() {
        "pairs"
    } else {
        "trials a side"
    };
    match measured.trials_needed {
        Some(needed) if needed > measured.trials() => {
            parts.push(format!(
                "{} takes {} {what}",
                magnitude(measured, measured.threshold),
                human::count(needed as u64)
            ));
        }
        None if measured.detectable.is_some() => {
            parts.push(format!(
                "{} cannot be found in this noise",
                magnitude(measured, measured.threshold)
            ));
        }
        _ => {}
    }
    parts.join("; ")
}

/// A change without its direction.
fn magnitude(measured: &Measured, size: f64) -> String {
    change(measured, size).trim_start_matches('+').to_owned()
}

/// One line about a side.
fn about(side: &super::Side) -> String {
    let commit = side
        .commit
        .as_ref()
        .map_or(String::new(), |commit| format!(", commit {commit}"));
    human::plain(&format!(
        "{} ({} trials, {}{commit})",
        side.run, side.trials, side.broker
    ))
}

#[cfg(test)]
mod tests;
