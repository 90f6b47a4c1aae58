//! Several runs beside each other: the same tables and charts as the cells of one run have, and no verdict on any difference.
//!
//! The runs become the cells of a record that exists for this alone, with the run as what is varied. Whether a difference means
//! anything is not asked here: the runs may differ in machine, broker and load. `compare` asks, and refuses where it must.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::text::{Style, wrap};
use super::{ReportError, Sweep, cells, chart, columns, html, human, status, write_picture, write_whole};
use crate::ledger::Verdict;
use crate::results::record::{BrokerRecord, CellRecord, RunRecord, VariedRecord};

/// Width of the text.
const COLUMNS: usize = 100;
/// What is varied.
const DIMENSION: &str = "run";

/// Runs beside each other.
#[derive(Debug, Clone)]
pub struct Beside {
    /// All cells of all runs.
    record: RunRecord,
    /// The runs.
    runs: Vec<Named>,
}

/// A run with what it is called beside the others.
#[derive(Debug, Clone)]
pub struct Named {
    /// `2 steady`; with the broker where the runs have different ones.
    pub label: String,
    /// Its id.
    pub id: String,
    /// How it came out, in a word.
    pub status: &'static str,
    /// When it began.
    pub started: String,
    /// Product, version and kind; the embedded one says that it is not RabbitMQ.
    pub broker: String,
    /// Processors and system.
    pub machine: String,
    /// Short hash, where there is one.
    pub commit: String,
    /// Open or closed loop.
    pub loop_kind: &'static str,
    /// `release` or `debug`.
    pub build: String,
}

/// A setting that not all cells share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Its path.
    pub path: String,
    /// Its value in each cell; absent where the cell has no such setting.
    pub values: Vec<Option<String>>,
}

impl Beside {
    /// Sets runs beside each other; nothing of none.
    pub fn of(runs: &[RunRecord]) -> Option<Beside> {
        let first = runs.first()?;
        let named: Vec<Named> = (1..)
            .zip(runs)
            .map(|(n, run)| named(n, run, brokers(runs).len() > 1))
            .collect();
        let mut record = first.clone();
        (record.cells, record.trials) = (Vec::new(), Vec::new());
        for (run, name) in runs.iter().zip(&named) {
            let from = record.cells.len() as u32;
            record
                .cells
                .extend(run.cells.iter().map(|cell| beside(cell, &name.label)));
            record.trials.extend(run.trials.iter().cloned().map(|mut trial| {
                trial.cell += from;
                trial
            }));
        }
        record.id = named.iter().map(|run| run.id.as_str()).collect::<Vec<_>>().join(", ");
        record.name = human::plural(runs.len() as u64, "run");
        record.broker = broker(runs);
        if runs.iter().any(status::is_debug_build) {
            "debug".clone_into(&mut record.tool.build);
        }
        Some(Beside { record, runs: named })
    }

    /// The runs.
    pub fn runs(&self) -> &[Named] {
        &self.runs
    }

    /// The cells of all runs, as those of one.
    pub fn sweep(&self) -> Sweep<'_> {
        Sweep::of(&self.record)
    }

    /// What the reader must know before any two figures are looked at.
    pub fn notes(&self) -> Vec<String> {
        let several = |of: fn(&Named) -> &str| self.runs.iter().map(of).collect::<BTreeSet<_>>().len() > 1;
        let mut notes = vec![
            "measured at different times: nothing here says whether a difference is more than chance; `orderstorm compare` does".to_owned(),
        ];
        for (differ, what) in [
            (several(|run| &run.broker), "different brokers"),
            (several(|run| &run.machine), "different machines"),
            (several(|run| run.loop_kind), "open and closed loop"),
            (several(|run| &run.build), "debug and release builds"),
        ] {
            if differ {
                notes.push(format!(
                    "{what}: such figures cannot be set against each other, only looked at"
                ));
            }
        }
        if self.runs.iter().any(|run| run.broker.contains(status::EMBEDDED)) {
            notes.push(format!("{}: its figures say nothing about RabbitMQ", status::EMBEDDED));
        }
        notes
    }

    /// Settings that not all cells share, but for the seed.
    pub fn differing(&self) -> Vec<Differing> {
        let cells = &self.record.cells;
        let settings = cells.iter().flat_map(|cell| &cell.settings);
        let mut paths: Vec<&str> = Vec::new();
        for setting in settings.filter(|setting| setting.path != "seed") {
            if !paths.contains(&setting.path.as_str()) {
                paths.push(&setting.path);
            }
        }
        let value = |cell: &CellRecord, path: &str| {
            let setting = cell.settings.iter().find(|setting| setting.path == path);
            setting.map(|setting| setting.value.clone())
        };
        let all = paths.into_iter().map(|path| Differing {
            path: path.to_owned(),
            values: cells.iter().map(|cell| value(cell, path)).collect(),
        });
        all.filter(|setting| setting.values.iter().any(|value| *value != setting.values[0]))
            .collect()
    }

    /// What the cells are called, in the order of [`Differing::values`].
    pub fn cell_labels(&self) -> impl Iterator<Item = &str> {
        self.record.cells.iter().map(|cell| cell.label.as_str())
    }

    /// For a terminal: at most 100 columns.
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        let mut line = |text: &str, bad: bool| {
            // Writing to a String cannot fail.
            let _ = match (style, bad) {
                (Style::Ansi, true) => writeln!(out, "\u{1b}[31m{text}\u{1b}[0m"),
                _ => writeln!(out, "{text}"),
            };
        };
        line(
            &format!("{} side by side", human::plural(self.runs.len() as u64, "run")),
            false,
        );
        for note in self.notes() {
            for text in wrap(&human::plain(&format!("note: {note}")), COLUMNS) {
                line(&text, false);
            }
        }
        for row in columns::unmarked(&self.sweep()) {
            line(&row.line, row.verdict == Some(Verdict::Fail));
        }
        for run in &self.runs {
            let about = format!(
                "{}: {}, {}, {}, {}, {}{}",
                run.label,
                run.id,
                run.status,
                run.broker,
                run.machine,
                run.loop_kind,
                if run.commit.is_empty() {
                    String::new()
                } else {
                    format!(", commit {}", run.commit)
                }
            );
            for (at, text) in wrap(&human::plain(&about), COLUMNS - 6).iter().enumerate() {
                line(&format!("{}{text}", if at == 0 { "  " } else { "      " }), false);
            }
        }
        out.trim_end().to_owned()
    }

    /// Writes `report.html`, `cells.csv` and the charts into `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// [`ReportError`], with the file; what was written before it stays.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let charts = folder.join("charts");
        std::fs::create_dir_all(&charts).map_err(|source| ReportError::Write {
            path: charts.clone(),
            source,
        })?;
        let mut table = Vec::new();
        cells::write(&self.record, &mut table).map_err(|source| ReportError::Table {
            name: "cells.csv",
            source,
        })?;
        write_whole(&folder.join("cells.csv"), &table)?;
        let sweep = self.sweep();
        let mut drawn = Vec::new();
        for chart in chart::cells::charts(&sweep) {
            let picture = chart.picture()?;
            write_picture(&charts, &picture, |path| chart.write_png(path))?;
            drawn.push(picture);
        }
        write_whole(&folder.join("report.html"), html::beside::page(self, &drawn).as_bytes())
    }
}

/// A cell of a run, called by both.
fn beside(cell: &CellRecord, run: &str) -> CellRecord {
    let label = match cell.label.as_str() {
        "" => run.to_owned(),
        label => format!("{run}: {label}"),
    };
    CellRecord {
        varied: vec![VariedRecord {
            dimension: DIMENSION.to_owned(),
            value: label.clone(),
            number: None,
        }],
        label,
        ..cell.clone()
    }
}

fn named(n: usize, run: &RunRecord, with_broker: bool) -> Named {
    let label = match with_broker {
        true => format!("{n} {} ({})", run.name, short(&run.broker)),
        false => format!("{n} {}", run.name),
    };
    let embedded = status::is_embedded(run);
    Named {
        label,
        id: run.id.clone(),
        status: status::Status::of(run).word(),
        started: run.started.clone(),
        broker: format!(
            "{} {} ({}{})",
            run.broker.product,
            run.broker.version,
            if embedded { status::EMBEDDED } else { &run.broker.kind },
            run.broker.cluster()
        ),
        machine: format!("{} × {}, {}", run.machine.cores, run.machine.cpu, run.machine.os),
        commit: run
            .commit
            .as_ref()
            .map_or(String::new(), |commit| commit.hash.chars().take(12).collect()),
        loop_kind: run.loop_kind(),
        build: run.tool.build.clone(),
    }
}

/// `embedded`, or `RabbitMQ 3.10.8`.
fn short(broker: &BrokerRecord) -> String {
    match broker.kind.as_str() {
        "embedded" => "embedded".to_owned(),
        _ => format!("{} {}{}", broker.product, broker.version, broker.cluster()),
    }
}

fn brokers(runs: &[RunRecord]) -> BTreeSet<String> {
    runs.iter().map(|run| short(&run.broker)).collect()
}

/// The broker that all have, or that they have several.
fn broker(runs: &[RunRecord]) -> BrokerRecord {
    let first = &runs[0].broker;
    let names = brokers(runs);
    let co_located = runs.iter().any(|run| run.broker.co_located);
    if names.len() == 1 {
        return BrokerRecord {
            co_located,
            ..first.clone()
        };
    }
    BrokerRecord {
        kind: "several".to_owned(),
        product: names.into_iter().collect::<Vec<_>>().join(", "),
        version: String::new(),
        platform: None,
        address: String::new(),
        co_located,
        nodes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn three() -> Vec<RunRecord> {
        let mut slower = fixture::three_trials();
        slower.id = "storm-slower".to_owned();
        let setting = slower.cells[0]
            .settings
            .iter_mut()
            .find(|setting| setting.path == "load.rate");
        "\"77/s\"".clone_into(&mut setting.expect("a setting").value);
        vec![fixture::pass(), slower, fixture::embedded()]
    }

    #[test]
    fn each_run_has_a_row_a_label_and_its_broker() {
        let runs = three();
        let beside = Beside::of(&runs).expect("runs");
        let text = beside.text(Style::Plain);
        for part in [
            "3 runs side by side",
            "1 storm (RabbitMQ 3.10.8)",
            "(embedded)",
            "storm-slower",
            "different brokers",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        // Beside each other, not against each other.
        for word in ["best", "worse", "better", "*"] {
            assert!(!text.contains(word), "`{word}` in\n{text}");
        }
        let sweep = beside.sweep();
        assert_eq!(sweep.cells.len(), 3);
        let trials: Vec<usize> = sweep.cells.iter().map(|cell| cell.trials.len()).collect();
        assert_eq!(trials, runs.iter().map(|run| run.trials.len()).collect::<Vec<_>>());
    }

    #[test]
    fn runs_of_one_broker_need_no_label_of_it_and_a_matrix_brings_all_its_cells() {
        let runs = [
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 2),
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS[..1], 1),
        ];
        let beside = Beside::of(&runs).expect("runs");
        assert_eq!(beside.sweep().cells.len(), runs[0].cells.len() + runs[1].cells.len());
        assert!(beside.cell_labels().all(|label| label.contains(": ")));
        assert!(!beside.runs()[0].label.contains('('));
        assert!(!beside.notes().iter().any(|note| note.contains("different brokers")));
    }

    #[test]
    fn settings_that_differ_are_listed_with_each_value_and_the_others_are_not() {
        let beside = Beside::of(&three()).expect("runs");
        let differing = beside.differing();
        let rate = differing
            .iter()
            .find(|setting| setting.path == "load.rate")
            .expect("it differs");
        assert_eq!(rate.values[1].as_deref(), Some("\"77/s\""));
        assert!(
            differing
                .iter()
                .all(|setting| setting.values.len() == 3 && setting.path != "seed")
        );
        let same = [fixture::pass(), fixture::pass()];
        assert!(Beside::of(&same).expect("runs").differing().is_empty());
    }

    #[test]
    fn everything_is_written_and_hostile_names_stay_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("beside");
        let beside = Beside::of(&[fixture::pass(), fixture::hostile()]).expect("runs");
        beside.write(&to).expect("written");
        beside.write(&to).expect("written again over itself");
        let page = std::fs::read_to_string(to.join("report.html")).expect("a page");
        assert!(page.contains("side by side") && page.contains("<svg role=\"img\"") && !page.contains("<script"));
        let csv = std::fs::read_to_string(to.join("cells.csv")).expect("a table");
        assert!(csv.starts_with("run,cell,trials,"), "{csv}");
        let goodput = std::fs::read(to.join("charts/cells-goodput.png")).expect("a chart");
        assert!(goodput.starts_with(b"\x89PNG"));
        assert!(Beside::of(&[]).is_none());
    }
}
