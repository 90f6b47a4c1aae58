//! `series.csv`: how a trial went over time, one row per trial, time, series and value.
//!
//! The long format takes any series without a change of columns, and a missing value is a missing row. The writer appends
//! while the trial runs, so a reader must live with a file that ends in the middle of a line. The reader streams: its memory
//! follows the number of series, not the length of the run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use super::thin::Point;
use super::thin::Thinned;

/// The columns of `series.csv`.
pub const COLUMNS: [&str; 4] = ["trial", "time_s", "series", "value"];
/// Different series that a table keeps; a file with more was not written by the sampler.
const SERIES_MAX: usize = 512;
/// Prefix of the series that are summed over ready and unacked.
const BACKLOG: &str = "backlog_messages.";

/// Why a `series.csv` could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The file system said no.
    #[error("cannot read the time series {}: {source}\nhelp: a run folder holds it as series.csv", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first line is not the header.
    #[error("{} is no series.csv: its first line is `{found}` instead of `trial,time_s,series,value`\nhelp: another program or version wrote it", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The first line.
        found: String,
    },
    /// A line in the middle of the file is damaged.
    #[error("line {line} of {} is damaged: {why}\nhelp: only the last line may be torn; restore the file or delete the line", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Rows could not be written.
    #[error("cannot write the time series: {source}\nhelp: look at the free space of the results folder")]
    Write {
        /// Why.
        source: io::Error,
    },
}

/// Appends rows to a `series.csv`.
#[derive(Debug)]
pub struct SeriesWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl SeriesWriter<BufWriter<File>> {
    /// Starts a file at `path`; an existing one is overwritten.
    ///
    /// # Errors
    /// [`SeriesError::Write`] when the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, SeriesError> {
        let file = File::create(path).map_err(|source| SeriesError::Write { source })?;
        Self::new(BufWriter::new(file))
    }
}

impl SeriesWriter<BufWriter<File>> {
    /// Goes on with the file at `path`, of which only the rows of the trials in `kept` stay; begins it where there is none.
    ///
    /// # Errors
    /// [`SeriesError::Write`] when the file cannot be cut or written.
    pub fn resume(path: &Path, kept: &[u32]) -> Result<Self, SeriesError> {
        let write = |source| SeriesError::Write { source };
        let mut header = true;
        let length = match super::tail::cut(path, |line| {
            let mut cells = line.split(|byte| *byte == b',');
            if std::mem::take(&mut header) {
                return cells.eq(COLUMNS.iter().map(|name| name.as_bytes()));
            }
            let trial = cells.next().and_then(|cell| std::str::from_utf8(cell).ok());
            trial
                .and_then(|cell| cell.parse().ok())
                .is_some_and(|trial| kept.contains(&trial))
        }) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(write(error)),
        };
        if length == 0 {
            return Self::create(path);
        }
        let file = File::options().append(true).open(path).map_err(write)?;
        Ok(SeriesWriter {
            csv: csv::Writer::from_writer(BufWriter::new(file)),
        })
    }
}

impl<W: Write> SeriesWriter<W> {
    /// Starts with the header.
    ///
    /// # Errors
    /// [`SeriesError::Write`] when the header cannot be written.
    pub fn new(to: W) -> Result<Self, SeriesError> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(COLUMNS).map_err(write_error)?;
        Ok(SeriesWriter { csv })
    }

    /// Appends one row; `time_s` is seconds since the load of `trial` began. A value that is no finite number is absent, and
    /// so has no row.
    ///
    /// # Errors
    /// [`SeriesError::Write`] when the row cannot be written.
    pub fn append(&mut self, trial: u32, time_s: f64, series: &str, value: f64) -> Result<(), SeriesError> {
        if !value.is_finite() || !time_s.is_finite() {
            return Ok(());
        }
        self.csv
            .write_record([
                trial.to_string().as_str(),
                &format!("{time_s:.3}"),
                series,
                &value.to_string(),
            ])
            .map_err(write_error)
    }

    /// Hands everything to the operating system; call it after each sample, so that a crash tears one line at most.
    ///
    /// # Errors
    /// [`SeriesError::Write`] when it cannot be written.
    pub fn flush(&mut self) -> Result<(), SeriesError> {
        self.csv.flush().map_err(|source| SeriesError::Write { source })
    }
}

fn write_error(error: csv::Error) -> SeriesError {
    SeriesError::Write { source: error.into() }
}

/// The time series of one trial, thinned to what a chart can show: of each stretch of time the least and the greatest value.
#[derive(Debug, Clone, Default)]
pub struct SeriesTable {
    series: BTreeMap<String, Thinned>,
    dropped_series: bool,
}

impl SeriesTable {
    /// Reads the rows of `trial`.
    ///
    /// Beside the series of the file the table holds `backlog_messages.<stage>`: ready plus unacked of the same instant (the
    /// one of the two that is known, where the other is missing).
    ///
    /// # Errors
    /// [`SeriesError`] when the file cannot be read, is no `series.csv`, or has a damaged line before its last one.
    pub fn read(path: &Path, trial: u32) -> Result<SeriesTable, SeriesError> {
        let mut tables = SeriesTable::read_all(path, &[trial])?;
        Ok(tables.remove(&trial).unwrap_or_default())
    }

    /// Reads the rows of each of `trials` in one pass, as [`SeriesTable::read`] does; a trial without rows has an empty table.
    ///
    /// # Errors
    /// As for [`SeriesTable::read`]; of the rows of other trials only the number of the trial is looked at.
    pub fn read_all(path: &Path, trials: &[u32]) -> Result<BTreeMap<u32, SeriesTable>, SeriesError> {
        let failed = |source| SeriesError::Open {
            path: path.to_owned(),
            source,
        };
        let mut from = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
        let mut tables: BTreeMap<u32, (SeriesTable, BacklogSums)> =
            trials.iter().map(|trial| (*trial, Default::default())).collect();
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            number += 1;
            if from.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            let whole = line.pop_if(|last| *last == b'\n').is_some();
            line.pop_if(|last| *last == b'\r');
            if number == 1 {
                check_header(&line, path)?;
                continue;
            }
            // What is torn may look whole: a row counts only with its line break.
            if !whole {
                break;
            }
            let damaged = |why| SeriesError::Row {
                path: path.to_owned(),
                line: number,
                why,
            };
            let (trial, rest) = trial_of(&line).map_err(damaged)?;
            if let Some((table, sums)) = tables.get_mut(&trial) {
                let row = Row::parse(rest).map_err(damaged)?;
                table.add(row.series, row.point);
                sums.add(table, row.series, row.point);
            }
        }
        let finished = tables.into_iter().map(|(trial, (mut table, sums))| {
            sums.finish(&mut table);
            (trial, table)
        });
        Ok(finished.collect())
    }

    fn add(&mut self, series: &str, point: Point) {
        if !point.value.is_finite() || !point.time_s.is_finite() {
            return;
        }
        if let Some(thinned) = self.series.get_mut(series) {
            return thinned.add(point);
        }
        if self.series.len() == SERIES_MAX {
            self.dropped_series = true;
            return;
        }
        self.series.entry(series.to_owned()).or_default().add(point);
    }

    /// The points of `series` in the order of time; empty when it has none.
    pub fn points(&self, series: &str) -> Vec<Point> {
        self.series.get(series).map(Thinned::points).unwrap_or_default()
    }

    /// The greatest value of `series`; thinning keeps it.
    pub fn max(&self, series: &str) -> Option<f64> {
        self.points(series).iter().map(|point| point.value).reduce(f64::max)
    }

    /// The names of all series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// Whether the file held more different series than a table keeps.
    pub fn is_incomplete(&self) -> bool {
        self.dropped_series
    }
}

fn check_header(line: &[u8], path: &Path) -> Result<(), SeriesError> {
    if line
        .split(|byte| *byte == b',')
        .eq(COLUMNS.iter().map(|name| name.as_bytes()))
    {
        return Ok(());
    }
    let found: String = String::from_utf8_lossy(line).escape_debug().take(120).collect();
    Err(SeriesError::Header {
        path: path.to_owned(),
        found,
    })
}

/// The number of a row's trial, and the rest of the row. No name of a series has a comma or a quote in it, so rows need no
/// unquoting.
fn trial_of(line: &[u8]) -> Result<(u32, &[u8]), String> {
    let end = line.iter().position(|byte| *byte == b',').unwrap_or(line.len());
    let text = std::str::from_utf8(&line[..end]).unwrap_or("\u{fffd}");
    let trial = text
        .parse()
        .map_err(|_| format!("its trial `{}` is no whole number", text.escape_debug()))?;
    Ok((trial, line.get(end + 1..).unwrap_or_default()))
}

/// A row, parsed.
struct Row<'a> {
    series: &'a str,
    point: Point,
}

impl<'a> Row<'a> {
    /// The row behind the number of its trial.
    fn parse(rest: &'a [u8]) -> Result<Row<'a>, String> {
        let rest = std::str::from_utf8(rest).map_err(|_| "it is no text".to_owned())?;
        let mut cells = rest.split(',');
        let (Some(time), Some(series), Some(value), None) = (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            let cells = 1 + rest.split(',').count();
            return Err(format!("it has {cells} cells instead of {}", COLUMNS.len()));
        };
        let number = |text: &str, name: &str| -> Result<f64, String> {
            text.parse()
                .map_err(|_| format!("its {name} `{}` is no number", text.escape_debug()))
        };
        Ok(Row {
            series,
            point: Point {
                time_s: number(time, "time_s")?,
                value: number(value, "value")?,
            },
        })
    }
}

/// Adds ready and unacked of a stage while they pass by; both are written for the same instant.
#[derive(Debug, Default)]
struct BacklogSums {
    pending: BTreeMap<String, Point>,
}

impl BacklogSums {
    fn add(&mut self, table: &mut SeriesTable, series: &str, point: Point) {
        let stage = series
            .strip_prefix(BACKLOG)
            .and_then(|rest| rest.strip_suffix(".ready").or_else(|| rest.strip_suffix(".unacked")));
        let Some(stage) = stage else { return };
        let room = self.pending.len() < SERIES_MAX;
        match self.pending.get_mut(stage) {
            Some(sum) if sum.time_s == point.time_s => sum.value += point.value,
            Some(sum) => {
                let whole = std::mem::replace(sum, point);
                table.add(&format!("{BACKLOG}{stage}"), whole);
            }
            None if room => {
                self.pending.insert(stage.to_owned(), point);
            }
            None => {}
        }
    }

    fn finish(self, table: &mut SeriesTable) {
        for (stage, sum) in self.pending {
            table.add(&format!("{BACKLOG}{stage}"), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<SeriesTable, SeriesError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("series.csv");
        std::fs::write(&path, text).expect("written");
        SeriesTable::read(&path, 1)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("series.csv");
        let mut writer = SeriesWriter::create(&path).expect("created");
        for (time_s, value) in [(0.0, 498.5), (0.5, f64::NAN), (1.0, 500.0)] {
            writer.append(1, time_s, "goodput_per_s", value).expect("written");
            writer.append(2, time_s, "goodput_per_s", 1.0).expect("written");
        }
        writer.flush().expect("flushed");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("trial,time_s,series,value\n1,0.000,goodput_per_s,498.5\n2,"));
        let table = SeriesTable::read(&path, 1).expect("legal");
        let expected = [(0.0, 498.5), (1.0, 500.0)].map(|(time_s, value)| Point { time_s, value });
        assert_eq!(table.points("goodput_per_s"), expected);
        assert_eq!(table.points("unheard_of"), []);
    }

    #[test]
    fn a_resumed_file_keeps_the_trials_that_were_finished_and_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("series.csv");
        let whole = "trial,time_s,series,value\n1,0.000,a,5\n2,0.000,a,6\n";
        for (before, after) in [
            (format!("{whole}3,0.000,a,7\n3,1.0"), format!("{whole}3,0.000,a,9\n")),
            (format!("{whole}3"), format!("{whole}3,0.000,a,9\n")),
            (whole.to_owned(), format!("{whole}3,0.000,a,9\n")),
            (
                "trial,ti".to_owned(),
                "trial,time_s,series,value\n3,0.000,a,9\n".to_owned(),
            ),
        ] {
            std::fs::write(&path, &before).expect("written");
            let mut writer = SeriesWriter::resume(&path, &[1, 2]).expect("cut");
            writer.append(3, 0.0, "a", 9.0).expect("written");
            writer.flush().expect("flushed");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), after, "{before}");
        }
    }

    #[test]
    fn a_torn_last_line_is_left_out_even_if_it_looks_whole() {
        for torn in ["1,2.000,a,12", "1,2.000", "1,2.0", "1,2.000,\"a", "x"] {
            let table = table(&format!("trial,time_s,series,value\n1,1.000,a,5\n{torn}")).expect("tolerated");
            assert_eq!(
                table.points("a"),
                [Point {
                    time_s: 1.0,
                    value: 5.0
                }],
                "{torn}"
            );
        }
        assert!(table("").expect("an empty file has no rows").names().next().is_none());
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let error =
            table("trial,time_s,series,value\n1,1.000,a,5\n1,2.000,a,many\n1,3.000,a,6\n").expect_err("damaged");
        assert!(error.to_string().contains("line 3"), "{error}");
        assert!(error.to_string().contains("`many` is no number"), "{error}");
        let error = table("time,value\n1,2\n").expect_err("no header");
        assert!(error.to_string().contains("time,value"), "{error}");
    }

    #[test]
    fn ready_and_unacked_of_an_instant_add_up_to_the_backlog() {
        let table = table(
            "trial,time_s,series,value\n\
             1,0.000,backlog_messages.payment.ready,7\n1,0.000,backlog_messages.payment.unacked,3\n\
             1,1.000,backlog_messages.payment.ready,1\n",
        )
        .expect("legal");
        let backlog: Vec<f64> = table
            .points("backlog_messages.payment")
            .iter()
            .map(|p| p.value)
            .collect();
        assert_eq!(backlog, [10.0, 1.0]);
    }
}
