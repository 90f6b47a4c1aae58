//! `latency.hlog`: every series' histogram, an interval at a time, in the HdrHistogram log format (V2, deflated), which the
//! usual tools read. Values are nanoseconds; the log's interval maxima are milliseconds, as those tools expect.
//!
//! The tag of an interval is `<trial>.<series>`. Written by a thread of its own, so that compression is in nobody's way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

/// Nanoseconds in the unit of the log's maxima.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// One interval of one series.
#[derive(Debug)]
pub struct Interval {
    /// From 1.
    pub trial: u32,
    /// The series' name.
    pub series: String,
    /// Start, since the log began.
    pub start: Duration,
    /// Length.
    pub length: Duration,
    /// What was recorded.
    pub histogram: Histogram<u64>,
}

/// Writes the log.
#[derive(Debug)]
pub struct HlogWriter {
    intervals: Sender<Interval>,
    thread: JoinHandle<io::Result<()>>,
}

impl HlogWriter {
    /// Begins a log at `path`; its times count from `began`.
    ///
    /// # Errors
    /// When the file or the thread cannot be had.
    pub fn start(path: &Path, began: SystemTime) -> io::Result<Self> {
        let file = File::create(path)?;
        let (intervals, received) = channel();
        let thread = std::thread::Builder::new()
            .name("hlog".to_owned())
            .spawn(move || write(file, began, &received))?;
        Ok(HlogWriter { intervals, thread })
    }

    /// Appends an interval. After a failure of the writer it is dropped; [`HlogWriter::finish`] says so.
    pub fn append(&self, interval: Interval) {
        let _ = self.intervals.send(interval);
    }

    /// Ends the log.
    ///
    /// # Errors
    /// The first failure to write.
    pub fn finish(self) -> io::Result<()> {
        drop(self.intervals);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer of the latency log panicked")))
    }
}

fn write(file: File, began: SystemTime, intervals: &Receiver<Interval>) -> io::Result<()> {
    let mut to = BufWriter::new(file);
    {
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment("orderstorm: values in nanoseconds, tags are <trial>.<series>")
            .with_start_time(began)
            .with_base_time(began)
            .with_max_value_divisor(MAX_VALUE_DIVISOR);
        let mut log = builder.begin_log_with(&mut to, &mut serializer)?;
        for Interval {
            trial,
            series,
            start,
            length,
            histogram,
        } in intervals
        {
            let tag = format!("{trial}.{series}");
            log.write_histogram(&histogram, start, length, Tag::new(&tag))
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                })?;
        }
    }
    to.flush()?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back_with_tags_and_values() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("latency.hlog");
        let writer = HlogWriter::start(&path, SystemTime::now()).expect("a writable place");
        let mut recorder = crate::measure::Recorder::default();
        recorder.record(5_000_000);
        let second = Duration::from_secs(1);
        writer.append(Interval {
            trial: 1,
            series: "end_to_end".to_owned(),
            start: second,
            length: second,
            histogram: recorder.histogram().clone(),
        });
        writer.finish().expect("a writable place");
        let bytes = std::fs::read(&path).expect("the log");
        let intervals: Vec<(String, u64)> = IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.expect("a legal line") {
                LogEntry::Interval(interval) => {
                    use base64::Engine;
                    let encoded = base64::engine::general_purpose::STANDARD
                        .decode(interval.encoded_histogram())
                        .expect("base64");
                    let histogram: Histogram<u64> = Deserializer::new()
                        .deserialize(&mut encoded.as_slice())
                        .expect("a histogram");
                    Some((
                        interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default(),
                        histogram.max(),
                    ))
                }
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 1);
        assert_eq!(intervals[0].0, "1.end_to_end");
        assert!(intervals[0].1.abs_diff(5_000_000) < 5_000);
    }
}
