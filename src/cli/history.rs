//! `orderstorm history`: how a workload's figures went over its runs, and where they changed.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, exit, print_line};
use crate::compare::history::{self, Trend};
use crate::report::figure::{Better, Figure};
use crate::report::human;

/// Width of the drawn range, characters.
const DRAWN: usize = 34;

/// Show how a figure of a workload went over its runs, with the changes of its level.
#[derive(Debug, Args)]
pub struct History {
    /// The workload's name.
    workload: String,
    /// Which figure: a column of cells.csv without its ending.
    #[arg(long, value_name = "FIGURE", default_value = "goodput_per_s")]
    measure: String,
    /// Of a matrix only the cell with this label.
    #[arg(long, value_name = "LABEL")]
    cell: Option<String>,
    /// Print the values as CSV (time, commit and each figure), as tools for change points read it.
    #[arg(long)]
    csv: bool,
    /// Folder of the runs.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

impl History {
    pub(super) fn execute(self) -> Outcome {
        let figure = Figure::ALL
            .into_iter()
            .find(|figure| figure.name() == self.measure)
            .ok_or_else(|| {
                let known: Vec<&str> = Figure::ALL.iter().map(|figure| figure.name()).collect();
                Failure::usage(anyhow::anyhow!(
                    "there is no figure `{}`\nhelp: the figures are {}",
                    self.measure,
                    known.join(", ")
                ))
            })?;
        let entries = history::read(&self.results).map_err(Failure::usage)?;
        let (runs, _) = history::like_newest(&entries, &self.workload);
        let labels: Vec<&str> = runs
            .last()
            .map(|newest| newest.cells.iter().map(|cell| cell.label.as_str()).collect())
            .unwrap_or_default();
        let asked: Vec<&str> = match &self.cell {
            Some(cell) => labels.into_iter().filter(|label| label == cell).collect(),
            None => labels,
        };
        if asked.is_empty() {
            let mut known: Vec<&str> = entries.iter().map(|entry| entry.workload.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Failure::usage(anyhow::anyhow!(
                "the history in {} has no run of `{}`{}\nhelp: it has runs of {}",
                self.results.display(),
                self.workload,
                self.cell
                    .as_ref()
                    .map_or(String::new(), |cell| format!(" with a cell `{cell}`")),
                known.join(", ")
            )));
        }
        for label in asked {
            if self.csv {
                print_line(&csv(&entries, &self.workload, label)?);
                continue;
            }
            let trend = history::trend(&entries, &self.workload, label, figure);
            print_line(&shown(&self.workload, label, figure, &trend));
        }
        Ok(exit::PASS)
    }
}

/// A line per run, its value as a place between the least and the greatest, and a line where the level changes.
fn shown(workload: &str, label: &str, figure: Figure, trend: &Trend<'_>) -> String {
    let at = if label.is_empty() {
        String::new()
    } else {
        format!(" at {label}")
    };
    let mut lines = vec![human::plain(&format!(
        "{} of {workload}{at}: {}, {} in level{}",
        figure.title(),
        human::plural(trend.points.len() as u64, "run"),
        human::plural(trend.changes.len() as u64, "change"),
        match trend.left_out {
            0 => String::new(),
            n => format!("; {n} more on another machine, broker or build, or with other settings, are left out"),
        }
    ))];
    let values = || trend.points.iter().map(|(_, value)| *value);
    let (min, max) = values().fold((f64::MAX, f64::MIN), |(min, max), value| {
        (min.min(value), max.max(value))
    });
    for (at, (entry, value)) in trend.points.iter().enumerate() {
        if let Some(change) = trend.changes.iter().find(|change| change.at == at) {
            let share = change.after / change.before - 1.0;
            let better = (share > 0.0) == (figure.better() == Better::Higher);
            lines.push(format!(
                "  ── {}: {} → {} ({:+.1} %, p {:.4})",
                if better { "better" } else { "worse" },
                figure.written(change.before),
                figure.written(change.after),
                share * 100.0,
                change.p
            ));
        }
        let part = if max > min { (value - min) / (max - min) } else { 0.5 };
        let place = (part * (DRAWN - 1) as f64).round() as usize;
        let drawn: String = (0..DRAWN).map(|i| if i == place { '●' } else { '·' }).collect();
        let commit = entry
            .commit
            .as_deref()
            .map_or("no commit", |hash| hash.get(..10).unwrap_or(hash));
        let dirty = if entry.dirty { "+" } else { " " };
        lines.push(human::plain(&format!(
            "  {:<20} {commit:<10}{dirty} {drawn} {:>11}",
            entry.started.get(..19).unwrap_or(&entry.started),
            figure.written(*value)
        )));
    }
    lines.join("\n")
}

/// The layout of Apache Otava: time, attributes, then a column per metric.
fn csv(entries: &[history::Entry], workload: &str, label: &str) -> Result<String, Failure> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let figures = Figure::ALL.iter().map(|figure| figure.name());
    csv.write_record(["time", "commit", "branch", "run"].into_iter().chain(figures))?;
    let (runs, _) = history::like_newest(entries, workload);
    for entry in runs {
        let Some(cell) = entry.cells.iter().find(|cell| cell.label == label) else {
            continue;
        };
        let text = |text: &Option<String>| crate::report::cell::Cell::from(text.as_deref()).written();
        let mut row = vec![
            entry.started.clone(),
            text(&entry.commit),
            text(&entry.branch),
            entry.run.clone(),
        ];
        row.extend(Figure::ALL.iter().map(|figure| {
            let value = cell.figures.get(figure.name()).copied();
            crate::report::cell::Cell::from(value).written()
        }));
        csv.write_record(row)?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture::record;
    use crate::compare::history::Entry;

    #[test]
    fn the_change_stands_before_the_run_that_made_it() {
        let entries: Vec<Entry> = (0..16)
            .map(|n| {
                let mut record = record(&format!("storm-{n:03}"), 3, if n < 8 { 1.0 } else { 0.8 }, 1.0);
                record.started = format!("2026-01-01T00:{n:02}:00Z");
                Entry::of(&record)
            })
            .collect();
        let trend = history::trend(&entries, "storm", "", Figure::Goodput);
        let text = shown("storm", "", Figure::Goodput, &trend);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Goodput of storm: 16 runs, 1 change in level");
        assert!(
            lines[9].starts_with("  ── worse: ") && lines[10].contains("2026-01-01T00:08:00"),
            "{text}"
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
        let csv = csv(&entries, "storm", "").expect("text");
        assert!(
            csv.starts_with("time,commit,branch,run,goodput_per_s,") && csv.lines().count() == 17,
            "{csv}"
        );
    }
}
