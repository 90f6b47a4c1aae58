//! `latency.hlog`: every series' histogram, an interval at a time, in the HdrHistogram log format (V2, deflated), which the
//! usual tools read. Values are nanoseconds; the log's interval maxima are milliseconds, as those tools expect.
//!
//! The tag of an interval is `<trial>.<series>`. Written by a thread of its own, so that compression is in nobody's way.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::rc::Rc;
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
    intervals: Sender<Entry>,
    began: SystemTime,
    thread: JoinHandle<io::Result<()>>,
}

impl HlogWriter {
    /// Begins a log at `path`; its times count from `began`.
    ///
    /// # Errors
    /// When the file or the thread cannot be had.
    pub fn start(path: &Path, began: SystemTime) -> io::Result<Self> {
        Self::spawn(File::create(path)?, Head::New, began)
    }

    /// Goes on with the log at `path`, of which only the intervals of the trials in `kept` stay. Begins it at `now` where
    /// there is none.
    ///
    /// # Errors
    /// As for [`HlogWriter::start`], and when the log cannot be cut.
    pub fn resume(path: &Path, kept: &[u32], now: SystemTime) -> io::Result<Self> {
        let mut began = None;
        let cut = super::tail::cut(path, |line| {
            let line = String::from_utf8_lossy(line);
            began = began.or_else(|| base_time(&line));
            line.starts_with('#') || trial_of(&line).is_some_and(|trial| kept.contains(&trial))
        });
        match (cut, began) {
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => Err(error),
            (Ok(length), Some(began)) if length > 0 => {
                Self::spawn(File::options().append(true).open(path)?, Head::There, began)
            }
            _ => Self::start(path, now),
        }
    }

    fn spawn(file: File, head: Head, began: SystemTime) -> io::Result<Self> {
        let (intervals, received) = channel();
        let thread = std::thread::Builder::new()
            .name("hlog".to_owned())
            .spawn(move || write(file, head, began, &received))?;
        Ok(HlogWriter {
            intervals,
            began,
            thread,
        })
    }

    /// The instant from which the log's times count.
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// Appends an interval. After a failure of the writer it is dropped; [`HlogWriter::finish`] says so.
    pub fn append(&self, interval: Interval) {
        let _ = self.intervals.send(Entry::Interval(Box::new(interval)));
    }

    /// Waits until everything that was appended is with the operating system, so that the death of this process takes none
    /// of it. A failure is [`HlogWriter::finish`]'s to tell.
    pub fn flush(&self) {
        let (done, wait) = channel();
        if self.intervals.send(Entry::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
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

/// What the writer's thread is told.
#[derive(Debug)]
enum Entry {
    Interval(Box<Interval>),
    /// Everything before this is to be with the operating system; the answer says that it is.
    Flush(Sender<()>),
}

/// Whether the log has its first lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    New,
    There,
}

/// `#[BaseTime: 1763719200.123 (seconds since epoch)]`.
fn base_time(line: &str) -> Option<SystemTime> {
    let seconds = line.strip_prefix("#[BaseTime: ")?.split(' ').next()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// `Tag=7.end_to_end,…`.
fn trial_of(line: &str) -> Option<u32> {
    line.strip_prefix("Tag=")?.split('.').next()?.parse().ok()
}

/// The log's file, which its writer holds while it is flushed from outside.
#[derive(Debug, Clone)]
struct Shared(Rc<RefCell<BufWriter<File>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

fn write(file: File, head: Head, began: SystemTime, entries: &Receiver<Entry>) -> io::Result<()> {
    let file = Shared(Rc::new(RefCell::new(BufWriter::new(file))));
    {
        let mut to = file.clone();
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(MAX_VALUE_DIVISOR);
        if head == Head::New {
            builder
                .add_comment("orderstorm: values in nanoseconds, tags are <trial>.<series>")
                .with_start_time(began)
                .with_base_time(began);
        }
        let mut log = builder.begin_log_with(&mut to, &mut serializer)?;
        for entry in entries {
            let Interval {
                trial,
                series,
                start,
                length,
                histogram,
            } = match entry {
                Entry::Interval(interval) => *interval,
                Entry::Flush(done) => {
                    file.clone().flush()?;
                    // Nobody may wait for the answer any more.
                    let _ = done.send(());
                    continue;
                }
            };
            let tag = format!("{trial}.{series}");
            log.write_histogram(&histogram, start, length, Tag::new(&tag))
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                })?;
        }
    }
    let mut file = file.0.borrow_mut();
    file.flush()?;
    file.get_ref().sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    /// Tags and greatest values of a log.
    fn intervals(path: &Path) -> Vec<(String, Duration, u64)> {
        let bytes = std::fs::read(path).expect("the log");
        IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.expect("a legal line") {
                LogEntry::Interval(interval) => {
                    use base64::Engine;
                    let encoded = base64::engine::general_purpose::STANDARD
                        .decode(interval.encoded_histogram())
                        .expect("base64");
                    let histogram: Histogram<u64> = Deserializer::new()
                        .deserialize(&mut encoded.as_slice())
                        .expect("a histogram");
                    let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
                    Some((tag, interval.start_timestamp(), histogram.max()))
                }
                _ => None,
            })
            .collect()
    }

    fn interval(trial: u32) -> Interval {
        let mut recorder = crate::measure::Recorder::default();
        recorder.record(5_000_000);
        Interval {
            trial,
            series: "end_to_end".to_owned(),
            start: Duration::from_secs(u64::from(trial)),
            length: Duration::from_secs(1),
            histogram: recorder.histogram().clone(),
        }
    }

    #[test]
    fn the_log_reads_back_with_tags_and_values() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("latency.hlog");
        let writer = HlogWriter::start(&path, SystemTime::now()).expect("a writable place");
        writer.append(interval(1));
        writer.finish().expect("a writable place");
        let found = intervals(&path);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "1.end_to_end");
        assert!(found[0].2.abs_diff(5_000_000) < 5_000);
    }

    #[test]
    fn what_was_flushed_is_in_the_file_while_the_log_goes_on() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("latency.hlog");
        let writer = HlogWriter::start(&path, SystemTime::now()).expect("a writable place");
        writer.append(interval(1));
        writer.flush();
        assert_eq!(intervals(&path).len(), 1);
        writer.finish().expect("a writable place");
    }

    #[test]
    fn a_resumed_log_keeps_its_origin_and_the_trials_that_were_finished() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("latency.hlog");
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_719_200_250);
        let writer = HlogWriter::start(&path, began).expect("a writable place");
        (1..=3).for_each(|trial| writer.append(interval(trial)));
        writer.finish().expect("a writable place");
        let mut torn = std::fs::read(&path).expect("the log");
        torn.extend(b"Tag=3.end_to_end,4.000,1.0");
        std::fs::write(&path, torn).expect("written");
        let writer = HlogWriter::resume(&path, &[1, 2], SystemTime::now()).expect("a writable place");
        let moved = writer
            .began()
            .duration_since(began)
            .unwrap_or_else(|error| error.duration());
        assert!(moved < Duration::from_millis(1), "{moved:?}");
        writer.append(interval(3));
        writer.finish().expect("a writable place");
        let found = intervals(&path);
        let tags: Vec<&str> = found.iter().map(|(tag, ..)| tag.as_str()).collect();
        assert_eq!(tags, ["1.end_to_end", "2.end_to_end", "3.end_to_end"]);
        assert_eq!(found[2].1, Duration::from_secs(3));
        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(text.matches("#[BaseTime").count(), 1);
        std::fs::write(&path, "#[Sta").expect("written");
        let writer = HlogWriter::resume(&path, &[], began).expect("a writable place");
        writer.append(interval(1));
        writer.finish().expect("a writable place");
        assert_eq!(intervals(&path).len(), 1, "a head that was torn is written again");
    }
}
