//! Reads one latency series of a trial back from `latency.hlog`, in classes that a heat map can show.
//!
//! Streams: only the lines of the wanted tag are decoded, and of each histogram only the classes are kept. A torn last line is
//! left out, like one of a log that is still being written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// Classes of a decade of nanoseconds; each is wider than the last by the same factor.
pub const CLASSES_PER_DECADE: f64 = 20.0;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LatencyLogError {
    /// The file system said no.
    #[error("cannot read the latency log {}: {source}\nhelp: a run folder holds it as latency.hlog", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no interval of a histogram.
    #[error("line {line} of {} is damaged: {why}\nhelp: only the last line may be torn; restore the file or delete the line", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// What was recorded in one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// Start, seconds since the log's base time.
    pub start_s: f64,
    /// End.
    pub end_s: f64,
    /// Values by class: class `c` holds those from 10^(c / [`CLASSES_PER_DECADE`]) ns to the next.
    pub counts: BTreeMap<i32, u64>,
}

/// The class of a value.
pub fn class(ns: u64) -> i32 {
    ((ns.max(1) as f64).log10() * CLASSES_PER_DECADE).floor() as i32
}

/// The intervals of `series` in `trial`, in the order of the log.
///
/// # Errors
/// [`LatencyLogError`] when the file cannot be read, or a line of that series before the last one is damaged.
pub fn read(path: &Path, trial: u32, series: &str) -> Result<Vec<Classes>, LatencyLogError> {
    let failed = |source| LatencyLogError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
    let tag = format!("Tag={trial}.{series},");
    let (mut found, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        if file.read_until(b'\n', &mut line).map_err(failed)? == 0 || line.pop() != Some(b'\n') {
            return Ok(found);
        }
        let Some(rest) = line.strip_prefix(tag.as_bytes()) else {
            continue;
        };
        found.push(interval(rest).map_err(|why| LatencyLogError::Line {
            path: path.to_owned(),
            line: number,
            why,
        })?);
    }
}

/// `<start>,<length>,<max>,<histogram>`.
fn interval(line: &[u8]) -> Result<Classes, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is no text".to_owned())?;
    let mut cells = line.trim_end().splitn(4, ',');
    let mut number = |name: &str| -> Result<f64, String> {
        let cell = cells.next().unwrap_or_default();
        cell.parse()
            .map_err(|_| format!("its {name} `{}` is no number", cell.escape_debug()))
    };
    let (start_s, length_s, _) = (number("start")?, number("length")?, number("greatest value")?);
    let encoded = STANDARD
        .decode(cells.next().unwrap_or_default())
        .map_err(|error| format!("its histogram is no base64: {error}"))?;
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut encoded.as_slice())
        .map_err(|error| format!("its histogram cannot be decoded: {error:?}"))?;
    let mut counts = BTreeMap::new();
    for step in histogram.iter_recorded() {
        *counts.entry(class(step.value_iterated_to())).or_insert(0) += step.count_since_last_iteration();
    }
    Ok(Classes {
        start_s,
        end_s: start_s + length_s,
        counts,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::measure::Recorder;
    use crate::results::hlog::{HlogWriter, Interval};

    fn log(path: &Path, values: &[(u32, &str, u64)]) {
        let writer = HlogWriter::start(path, SystemTime::now()).expect("a writable place");
        for (at, (trial, series, ns)) in values.iter().enumerate() {
            let mut recorder = Recorder::default();
            (0..3).for_each(|_| recorder.record(*ns));
            writer.append(Interval {
                trial: *trial,
                series: (*series).to_owned(),
                start: Duration::from_secs(at as u64),
                length: Duration::from_secs(1),
                histogram: recorder.histogram().clone(),
            });
        }
        writer.finish().expect("a writable place");
    }

    #[test]
    fn the_intervals_of_one_series_come_back_by_class() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("latency.hlog");
        log(
            &path,
            &[
                (1, "end_to_end", 5_000_000),
                (1, "end_to_end_from_send", 1_000_000),
                (11, "end_to_end", 1_000_000),
                (1, "end_to_end", 80_000_000),
            ],
        );
        let found = read(&path, 1, "end_to_end").expect("legal");
        let times: Vec<(f64, f64)> = found.iter().map(|one| (one.start_s, one.end_s)).collect();
        assert_eq!(times, [(0.0, 1.0), (3.0, 4.0)]);
        // 10^6.65 ns = 4.47 ms, 10^6.7 ns = 5.01 ms; 10^7.9 ns = 79.4 ms.
        assert_eq!(found[0].counts, BTreeMap::from([(133, 3)]));
        assert_eq!(found[1].counts, BTreeMap::from([(158, 3)]));
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_damaged_one_before_it_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("latency.hlog");
        log(&path, &[(1, "end_to_end", 5_000_000)]);
        let whole = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, format!("{whole}Tag=1.end_to_end,1.0,1.0,5.0,HISTF")).expect("written");
        assert_eq!(read(&path, 1, "end_to_end").expect("tolerated").len(), 1);
        std::fs::write(&path, format!("{whole}Tag=1.end_to_end,1.0,1.0,5.0,HISTF\n")).expect("written");
        let error = read(&path, 1, "end_to_end").expect_err("damaged").to_string();
        let line = whole.lines().count() + 1;
        assert!(error.contains(&format!("line {line} ")), "{error}");
        assert!(read(&folder.path().join("none"), 1, "end_to_end").is_err());
    }
}
