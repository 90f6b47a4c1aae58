//! Reports of a run: each format in a file of its own, all of them from the same [`RunRecord`] and `series.csv`.
//!
//! Needs no broker: whatever stands in a run folder can be reported again at any time.

pub mod backlog;
pub mod beside;
pub mod capacity;
pub(crate) mod cell;
pub mod cells;
pub mod chart;
pub mod columns;
mod consumers;
pub mod failures;
pub mod faults;
pub mod figure;
#[cfg(test)]
pub(crate) mod fixture;
pub mod html;
pub mod human;
pub mod insight;
pub mod objective;
pub mod phases;
pub mod prediction;
pub mod promised;
pub mod sizing;
pub mod stages;
pub mod status;
pub mod summary;
pub mod sweep;
pub mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::results::capacity::CapacityRecord;
use crate::results::latency_log::{self, Classes, LatencyLogError};
use crate::results::record::RunRecord;
use crate::results::series::{SeriesError, SeriesTable};
use chart::capacity::CapacityChart;
use chart::cells::CellChart;
use chart::cells::course::{self, CourseChart};
use chart::{Chart, ChartError, Figures, Picture};
use sweep::Sweep;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system said no.
    #[error("cannot write the report file {}: {source}\nhelp: the run folder must exist and be writable", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table could not be made.
    #[error("cannot make the table {name}: {source}")]
    Table {
        /// Its file name.
        name: &'static str,
        /// Why.
        source: csv::Error,
    },
    /// The time series could not be read.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The latency log could not be read.
    #[error(transparent)]
    Latencies(#[from] LatencyLogError),
    /// A chart could not be drawn.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// How much of a report a run leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// Tables, charts and page.
    #[default]
    Full,
    /// Tables; `orderstorm report` makes the rest at any time.
    Tables,
}

/// Writes the tables (`summary.csv`, `cells.csv`, `stages.csv`, `consumers.csv`, `faults.csv`, `phases.csv`, `overloads.csv`, `prediction.csv`), `charts/*.svg`,
/// `charts/*.png` and `report.html` into a run folder that holds `series.csv`. Each file appears whole or not at all; a run folder without `series.csv` gets charts that say so.
///
/// # Errors
/// [`ReportError`], with the file; what was written before it stays.
pub fn write_all(folder: &Path, record: &RunRecord) -> Result<(), ReportError> {
    write_tables(folder, record)?;
    write_pictures(folder, record)
}

/// Writes the tables alone: what a run leaves that nobody will look at, but another program.
///
/// # Errors
/// As [`write_all`].
pub fn write_tables(folder: &Path, record: &RunRecord) -> Result<(), ReportError> {
    for (name, write) in TABLES {
        let mut table = Vec::new();
        write(record, &mut table).map_err(|source| ReportError::Table { name, source })?;
        write_whole(&folder.join(name), &table)?;
    }
    record
        .capacity
        .as_ref()
        .map_or(Ok(()), |capacity| write_capacity(folder, record, capacity))
}

/// The tables of a capacity search.
fn write_capacity(folder: &Path, record: &RunRecord, capacity: &CapacityRecord) -> Result<(), ReportError> {
    for (name, write) in CAPACITY_TABLES {
        let mut table = Vec::new();
        write(capacity, &mut table).map_err(|source| ReportError::Table { name, source })?;
        write_whole(&folder.join(name), &table)?;
    }
    let markdown = capacity::markdown(record, capacity);
    write_whole(&folder.join("capacity.md"), markdown.as_bytes())
}

/// Charts, and the page that shows them.
fn write_pictures(folder: &Path, record: &RunRecord) -> Result<(), ReportError> {
    let sweep = Sweep::of(record);
    let of_cells = match record.capacity {
        Some(_) => Vec::new(),
        None => course::trials(&sweep),
    };
    let series = read_series(folder, record, &of_cells)?;
    let latencies = read_latencies(folder, record)?;
    let none = SeriesTable::default();
    let shown = status::shown_trial(record).and_then(|trial| series.get(&trial.trial));
    let figures = Figures::new(record, shown.unwrap_or(&none)).with_latencies(&latencies);
    let charts = folder.join("charts");
    std::fs::create_dir_all(&charts).map_err(|source| ReportError::Write {
        path: charts.clone(),
        source,
    })?;
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let of_run = Chart::ALL.map(|chart| Job::OfRun(chart, &figures));
    jobs.extend(of_run);
    if record.capacity.is_some() {
        // Its cells are steps of the search: what they say together is in these.
        jobs.extend(chart::capacity::charts(record).into_iter().map(Job::Capacity));
    } else {
        jobs.extend(chart::cells::charts(&sweep).into_iter().map(Job::OfCells));
        jobs.extend(course::charts(&sweep, &series).into_iter().map(Job::Course));
    }
    let mut drawn = draw_all(&charts, &jobs)?;
    let of_cells = drawn.split_off(Chart::ALL.len());
    let page = html::page(&sweep, &drawn, &of_cells);
    write_whole(&folder.join("report.html"), page.as_bytes())
}

/// A table: its file's name, and what writes it.
type Table = (&'static str, fn(&RunRecord, &mut Vec<u8>) -> Result<(), csv::Error>);

const TABLES: [Table; 8] = [
    ("summary.csv", |record, to| summary::write(record, to)),
    ("cells.csv", |record, to| cells::write(record, to)),
    ("stages.csv", |record, to| stages::write(record, to)),
    ("consumers.csv", |record, to| consumers::write(record, to)),
    ("faults.csv", |record, to| faults::write(record, to)),
    ("phases.csv", |record, to| phases::write(record, to)),
    ("overloads.csv", |record, to| phases::write_overloads(record, to)),
    ("prediction.csv", |record, to| prediction::write(record, to)),
];

/// A table of a capacity search.
type CapacityTable = (
    &'static str,
    fn(&CapacityRecord, &mut Vec<u8>) -> Result<(), csv::Error>,
);

const CAPACITY_TABLES: [CapacityTable; 3] = [
    ("capacity.csv", |capacity, to| capacity::write(capacity, to)),
    ("capacity-rates.csv", |capacity, to| capacity::write_rates(capacity, to)),
    ("demand.csv", |capacity, to| capacity::write_demand(capacity, to)),
];

/// A chart to be drawn.
enum Job<'a> {
    OfRun(Chart, &'a Figures<'a>),
    OfCells(CellChart<'a>),
    Course(CourseChart<'a>),
    Capacity(CapacityChart<'a>),
}

impl Job<'_> {
    fn draw(&self, charts: &Path) -> Result<Picture, ReportError> {
        let picture = match self {
            Job::OfRun(chart, figures) => chart.picture(figures),
            Job::OfCells(chart) => chart.picture(),
            Job::Course(chart) => chart.picture(),
            Job::Capacity(chart) => chart.picture(),
        }?;
        write_picture(charts, &picture, |path| match self {
            Job::OfRun(chart, figures) => chart.write_png(figures, path),
            Job::OfCells(chart) => chart.write_png(path),
            Job::Course(chart) => chart.write_png(path),
            Job::Capacity(chart) => chart.write_png(path),
        })?;
        Ok(picture)
    }
}

/// Draws all charts, as many at once as there are processors; the pictures are in the order of the jobs.
fn draw_all(charts: &Path, jobs: &[Job<'_>]) -> Result<Vec<Picture>, ReportError> {
    let next = AtomicUsize::new(0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut drawn = Vec::new();
        while let Some(job) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(at).map(|job| (at, job))
        } {
            drawn.push((job.0, job.1.draw(charts)));
        }
        drawn
    };
    let mut drawn: Vec<(usize, Result<Picture, ReportError>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors.min(jobs.len()).max(1))
            .map(|_| scope.spawn(work))
            .collect();
        let drawn = workers.into_iter().flat_map(|worker| match worker.join() {
            Ok(drawn) => drawn,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        drawn.collect()
    });
    drawn.sort_by_key(|(at, _)| *at);
    drawn.into_iter().map(|(_, picture)| picture).collect()
}

/// Writes the SVG of a picture, and its PNG as `draw` makes it.
fn write_picture(
    charts: &Path,
    picture: &Picture,
    draw: impl FnOnce(&Path) -> Result<(), ChartError>,
) -> Result<(), ReportError> {
    let name = &picture.name;
    write_whole(&charts.join(format!("{name}.svg")), picture.svg.as_bytes())?;
    // The extension tells plotters the format, so the temporary name keeps it.
    let temporary = charts.join(format!(".{name}.part.png"));
    draw(&temporary)?;
    publish(&temporary, &charts.join(format!("{name}.png")))
}

/// The time series of the trial that charts show, and of those in `also`.
fn read_series(folder: &Path, record: &RunRecord, also: &[u32]) -> Result<BTreeMap<u32, SeriesTable>, SeriesError> {
    let path = folder.join("series.csv");
    let mut trials = also.to_vec();
    trials.extend(status::shown_trial(record).map(|trial| trial.trial));
    if trials.is_empty() || !path.exists() {
        return Ok(BTreeMap::new());
    }
    SeriesTable::read_all(&path, &trials)
}

/// The end-to-end latencies of the trial that charts show.
fn read_latencies(folder: &Path, record: &RunRecord) -> Result<Vec<Classes>, LatencyLogError> {
    let path = folder.join("latency.hlog");
    match status::shown_trial(record) {
        Some(trial) if path.exists() => latency_log::read(&path, trial.trial, "end_to_end"),
        _ => Ok(Vec::new()),
    }
}

/// Writes under a temporary name beside `path`, syncs and renames, so that nobody ever sees half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let temporary = {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        PathBuf::from(name)
    };
    let written = File::create(&temporary).and_then(|mut file| file.write_all(bytes));
    if let Err(source) = written {
        // The error to report is the first one; a temporary file that cannot be removed does no harm.
        let _ = std::fs::remove_file(&temporary);
        return Err(ReportError::Write {
            path: path.to_owned(),
            source,
        });
    }
    publish(&temporary, path)
}

/// Gives a finished file its name.
fn publish(temporary: &Path, path: &Path) -> Result<(), ReportError> {
    let renamed = File::open(temporary)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(temporary, path));
    renamed.map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::series::SeriesWriter;

    #[test]
    fn every_file_of_the_report_is_there_and_nothing_temporary_is_left() {
        let record = fixture::pass();
        let folder = fixture::folder(&record);
        write_all(folder.path(), &record).expect("written");
        write_all(folder.path(), &record).expect("written again over itself");
        let names = |path: &Path| {
            let entries = std::fs::read_dir(path)
                .expect("a folder")
                .map(|entry| entry.expect("readable").file_name());
            let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(
            names(folder.path()),
            [
                "cells.csv",
                "charts",
                "consumers.csv",
                "faults.csv",
                "overloads.csv",
                "phases.csv",
                "prediction.csv",
                "report.html",
                "run.json",
                "series.csv",
                "stages.csv",
                "summary.csv"
            ]
        );
        let mut charts: Vec<String> = Chart::ALL
            .iter()
            .flat_map(|chart| ["png", "svg"].map(|kind| format!("{}.{kind}", chart.name())))
            .collect();
        charts.sort();
        assert_eq!(names(&folder.path().join("charts")), charts);
        for (name, _) in TABLES {
            let bytes = std::fs::read(folder.path().join(name)).expect("readable");
            assert!(bytes.len() > 50, "{name}");
        }
        let png = std::fs::read(folder.path().join("charts/backlog.png")).expect("readable");
        assert!(png.starts_with(b"\x89PNG"));
    }

    /// A run whose every text of a file or of the broker begins with `start`.
    fn beginning_with(start: &str) -> RunRecord {
        let text = || format!("{start}1+cmd()");
        let words = [text(), format!("{start}2")];
        let values: Vec<(&str, Option<f64>)> = words.iter().map(|word| (word.as_str(), None)).collect();
        let mut record = fixture::matrix(&[(&text(), &values)], 2);
        for field in [
            &mut record.name,
            &mut record.id,
            &mut record.question,
            &mut record.command,
        ] {
            *field = text();
        }
        let broker = &mut record.broker;
        (broker.product, broker.version, broker.kind) = (text(), text(), text());
        for cell in &mut record.cells {
            cell.label = text();
            cell.settings[0].origin = "command line".to_owned();
            (cell.settings[0].path, cell.settings[0].value) = (text(), text());
        }
        let mut model = fixture::failed().trials.remove(0);
        model.aborted = Some(text());
        for phase in &mut model.load_phases {
            phase.band.name = text();
        }
        model.faults[0].name = text();
        for stage in &mut model.stages {
            stage.dropped_as = Some(text());
        }
        for trial in &mut record.trials {
            let (number, cell, repeat) = (trial.trial, trial.cell, trial.repeat);
            *trial = model.clone();
            (trial.trial, trial.cell, trial.repeat) = (number, cell, repeat);
        }
        record
    }

    #[test]
    fn no_cell_of_any_table_is_a_formula_to_a_spreadsheet() {
        for start in ["=", "+", "-", "@", "\t", "\r", "\n"] {
            let record = beginning_with(start);
            for (name, write) in TABLES {
                let mut bytes = Vec::new();
                write(&record, &mut bytes).expect("written");
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .from_reader(bytes.as_slice());
                let mut disarmed = 0;
                for row in reader.records() {
                    for cell in row.expect("the same number of cells in each row").iter() {
                        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
                        assert!(!formula || cell.parse::<f64>().is_ok(), "{name}: {cell:?}");
                        disarmed += usize::from(cell.starts_with('\''));
                    }
                }
                let has_texts_of_others =
                    !["consumers.csv", "overloads.csv", "faults.csv", "prediction.csv"].contains(&name);
                assert!(disarmed > 0 || !has_texts_of_others, "{name} has none of the texts");
            }
        }
    }

    /// The keys of all objects in `value`, but not those of workloads, nor the names by which examples are filed.
    fn keys(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    found.insert(key.clone());
                    match (key.as_str(), value) {
                        ("workload", _) => {}
                        ("examples", serde_json::Value::Object(lists)) => {
                            lists.values().for_each(|list| keys(list, found))
                        }
                        (_, value) => keys(value, found),
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_of_a_record_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RUN_JSON.md");
        let mut found = std::collections::BTreeSet::new();
        let records = [
            fixture::failed(),
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 1),
            fixture::capacity(),
        ];
        for record in records {
            keys(&serde_json::to_value(&record).expect("a record is JSON"), &mut found);
        }
        assert!(found.len() > 150, "{} keys", found.len());
        let missing: Vec<&String> = found
            .iter()
            .filter(|key| !manual.contains(&format!("| `{key}` |")))
            .collect();
        assert!(missing.is_empty(), "missing in docs/RUN_JSON.md: {missing:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write_all(Path::new("/nonexistent/run"), &fixture::no_data()).expect_err("no folder");
        assert!(error.to_string().contains("/nonexistent/run/summary.csv"), "{error}");
    }

    /// Greatest resident set of this process so far, bytes.
    fn rss_bytes_max() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .expect("the greatest");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("KiB");
        kib * 1_024
    }

    /// A record of 100 trials, and a `series.csv` with ten minutes of each, four samples a second.
    fn long_run(folder: &Path) -> RunRecord {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 10);
        let mut writer = SeriesWriter::create(&folder.join("series.csv")).expect("created");
        let names: Vec<String> = fixture::series_names();
        for trial in &record.trials {
            for sample in 0..2_400_u32 {
                for (at, name) in names.iter().enumerate() {
                    let value = f64::from(sample % 97) * 1.5 + at as f64;
                    writer
                        .append(trial.trial, f64::from(sample) / 4.0, name, value)
                        .expect("written");
                }
            }
        }
        writer.flush().expect("written");
        write_log(&record, &folder.join("latency.hlog"));
        record
    }

    /// The latency log of the same ten minutes: an interval a second of each series, all alike.
    fn write_log(record: &RunRecord, path: &Path) {
        let one = path.with_extension("one");
        let mut recorder = crate::measure::Recorder::default();
        (1..2_000).for_each(|n| recorder.record(n * 50_000));
        let log = crate::results::hlog::HlogWriter::start(&one, std::time::SystemTime::now()).expect("created");
        log.append(crate::results::hlog::Interval {
            trial: 1,
            series: "x".to_owned(),
            start: std::time::Duration::ZERO,
            length: std::time::Duration::from_secs(1),
            histogram: recorder.histogram().clone(),
        });
        log.finish().expect("written");
        let text = std::fs::read_to_string(&one).expect("text");
        let interval = text
            .lines()
            .rfind(|line| line.starts_with("Tag="))
            .expect("an interval");
        let rest = interval
            .splitn(3, ',')
            .nth(2)
            .expect("length, greatest value and histogram");
        let mut log = io::BufWriter::new(File::create(path).expect("created"));
        for trial in &record.trials {
            for second in 0..600 {
                for series in &trial.latencies {
                    writeln!(log, "Tag={}.{},{second}.000,{rest}", trial.trial, series.series).expect("written");
                }
            }
        }
        log.flush().expect("written");
    }

    #[test]
    #[ignore = "writes hundreds of megabytes and measures: cargo test --release --lib report_of_a_hundred -- --ignored --nocapture"]
    fn the_report_of_a_hundred_trials_of_ten_minutes_takes_three_seconds_and_300_mb_at_most() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = long_run(folder.path());
        let bytes = std::fs::metadata(folder.path().join("series.csv"))
            .expect("written")
            .len();
        let began = std::time::Instant::now();
        write_all(folder.path(), &record).expect("written");
        let (took, memory) = (began.elapsed(), rss_bytes_max());
        println!(
            "{} MB of series: {:.2} s, {} MB resident at most",
            bytes / 1_000_000,
            took.as_secs_f64(),
            memory / 1_000_000
        );
        assert!(memory < 300_000_000, "{memory} bytes");
        assert!(took.as_secs_f64() < 3.0 || cfg!(debug_assertions), "{took:?}");
    }

    #[test]
    #[ignore = "writes reports to look at into target/report-samples"]
    fn samples_to_look_at() {
        let numbers = |values: &'static [&'static str]| -> Vec<(&'static str, Option<f64>)> {
            values.iter().map(|value| (*value, value.parse().ok())).collect()
        };
        let two = [(
            "stage.payment.prefetch",
            [("1", Some(1.0)), ("10", Some(10.0))].as_slice(),
        )];
        let (few, batches) = (numbers(&["1", "10", "unlimited"]), numbers(&["1", "100"]));
        let consumers = numbers(&["1", "2", "4", "8", "16"]);
        let three = [
            ("stage.payment.prefetch", few.as_slice()),
            ("stage.payment.consumers", &consumers[..2]),
            ("stage.payment.ack_batch", batches.as_slice()),
        ];
        let prefetches = numbers(&["1", "2", "5", "10", "30", "100", "1000", "unlimited"]);
        let forty = [
            ("stage.payment.prefetch", prefetches.as_slice()),
            ("stage.payment.consumers", consumers.as_slice()),
        ];
        let strategies: Vec<(&str, Option<f64>)> = [
            "unbounded",
            "drop-head",
            "reject-publish",
            "reject-publish-dlx",
            "window-100",
        ]
        .map(|name| (name, None))
        .to_vec();
        let words = [("strategy", strategies.as_slice())];
        let names: Vec<String> = (1..=40).map(|n| format!("variant-{n}-with-a-long-name")).collect();
        let names: Vec<(&str, Option<f64>)> = names.iter().map(|name| (name.as_str(), None)).collect();
        let many_words = [("variants", names.as_slice())];
        let samples = [
            ("pass", fixture::pass()),
            ("failed", fixture::failed()),
            ("embedded", fixture::embedded()),
            ("three", fixture::three_trials()),
            ("none", fixture::no_data()),
            ("hostile", fixture::hostile()),
            ("cells-2", fixture::matrix(&two, 8)),
            ("cells-10", fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 5)),
            ("cells-12", fixture::matrix(&three, 4)),
            ("cells-40", fixture::matrix(&forty, 3)),
            ("cells-words", fixture::matrix(&words, 5)),
            ("cells-40-words", fixture::matrix(&many_words, 2)),
            ("capacity", fixture::capacity()),
        ];
        for (name, record) in samples {
            let folder = Path::new("target/report-samples").join(name);
            std::fs::create_dir_all(&folder).expect("created");
            fixture::write_series(&record, &folder.join("series.csv"));
            write_all(&folder, &record).expect("written");
            std::fs::write(
                folder.join("end-of-run.txt"),
                text::end_of_run(&record, text::Style::Plain),
            )
            .expect("written");
        }
    }
}
