//! Reads a file of arrivals: instants, or counts per interval.
//!
//! Text to data, with the line number of every mistake; the shape of the file is said by its header:
//!
//! - `time_s`: one instant per line, seconds since the start, never going back;
//! - `start_s,orders`: an interval that begins there, and the orders in it, evenly spaced; it ends where the next begins,
//!   and the last is as long as the one before it.

use std::io::Read;
use std::path::Path;

use super::pattern::Replay;
use crate::clock::Nanos;
use crate::rng::fingerprint;
use crate::units::Span;

/// Largest file, bytes.
const FILE_MAX: u64 = 32 << 20;
/// Most lines after the header.
const ROWS_MAX: usize = 1_000_000;
/// Latest instant, seconds: a load is at most a day long.
const TIME_MAX_S: f64 = 86_400.0;
/// Most orders per second over an interval, as of any rate.
const RATE_MAX: f64 = 1e6;

/// What stands in a file of arrivals.
#[derive(Debug, Clone, PartialEq)]
pub enum Trace {
    /// Nanoseconds since the start, in order.
    Instants(Vec<Nanos>),
    /// Intervals without gaps between them, in order.
    Counts(Vec<Interval>),
}

impl Default for Trace {
    /// No arrivals.
    fn default() -> Self {
        Trace::Instants(Vec::new())
    }
}

/// Orders of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Seconds since the start.
    pub start_s: f64,
    /// Seconds, above zero.
    pub length_s: f64,
    /// Orders in it.
    pub orders: u64,
}

/// Reads `file`, named relative to `folder`.
///
/// # Errors
/// What is wrong, with the line, and a help.
pub fn read(folder: &Path, file: &str) -> Result<Replay, (String, String)> {
    const FORMATS: &str = "the first line is `time_s` (then one instant per line, in seconds since the start) or `start_s,orders` (then the start of each interval and the orders in it)";
    let path = folder.join(file);
    let cannot = |why: String| (format!("cannot read `{}`: {why}", path.display()), FORMATS.to_owned());
    let mut text = String::new();
    let opened = std::fs::File::open(&path).map_err(|error| {
        let help = "name a CSV file, relative to the workload file's folder";
        (format!("cannot read `{}`: {error}", path.display()), help.to_owned())
    })?;
    let read = opened
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| cannot(error.to_string()))?;
    if read as u64 > FILE_MAX {
        return Err(cannot(format!("it is larger than {FILE_MAX} bytes")));
    }
    let trace = parse(&text).map_err(|why| (format!("`{}`, {why}", path.display()), FORMATS.to_owned()))?;
    let (orders, length) = match &trace {
        Trace::Instants(instants) => (instants.len() as u64, instants.last().copied().unwrap_or_default()),
        Trace::Counts(intervals) => {
            let end_s = intervals.last().map_or(0.0, |last| last.start_s + last.length_s);
            let orders = intervals.iter().map(|interval| interval.orders).sum();
            (orders, (end_s * 1e9).round() as Nanos)
        }
    };
    Ok(Replay {
        file: file.to_owned(),
        fingerprint: fingerprint(&text),
        orders,
        length: Span::from_nanos(length),
        trace: trace.into(),
    })
}

/// Parses a file's text; a mistake bears its line.
fn parse(text: &str) -> Result<Trace, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let header = lines.next().map_or("", |(_, line)| line);
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let trace = match names.as_slice() {
        ["time_s"] => instants(rows)?,
        ["start_s", "orders"] => intervals(rows)?,
        _ => return Err(format!("line 1: `{}` is no header of arrivals", shortened(header))),
    };
    let empty = match &trace {
        Trace::Instants(instants) => instants.is_empty(),
        Trace::Counts(intervals) => intervals.iter().all(|interval| interval.orders == 0),
    };
    if empty {
        return Err("no order arrives in it".to_owned());
    }
    Ok(trace)
}

fn instants<'a>(rows: impl Iterator<Item = (usize, &'a str)>) -> Result<Trace, String> {
    let mut instants = Vec::new();
    for (line, text) in rows {
        let at = (seconds(line, text)? * 1e9).round() as Nanos;
        match instants.last() {
            Some(before) if *before > at => {
                return Err(format!("line {line}: {text} s goes back behind the line before"));
            }
            _ if instants.len() >= ROWS_MAX => return Err(too_long(line)),
            _ => instants.push(at),
        }
    }
    Ok(Trace::Instants(instants))
}

fn intervals<'a>(rows: impl Iterator<Item = (usize, &'a str)>) -> Result<Trace, String> {
    let mut read: Vec<(usize, f64, u64)> = Vec::new();
    for (line, text) in rows {
        let (start, orders) = text
            .split_once(',')
            .ok_or_else(|| format!("line {line}: `{}` is not `start_s,orders`", shortened(text)))?;
        let start_s = seconds(line, start.trim())?;
        let orders = orders.trim();
        let orders = orders
            .parse()
            .map_err(|_| format!("line {line}: `{}` is no whole number of orders", shortened(orders)))?;
        match read.last() {
            Some((_, before_s, _)) if *before_s >= start_s => {
                return Err(format!("line {line}: {start_s} s does not come after the line before"));
            }
            _ if read.len() >= ROWS_MAX => return Err(too_long(line)),
            _ => read.push((line, start_s, orders)),
        }
    }
    let [.., (_, before_s, _), (last_line, last_s, _)] = read.as_slice() else {
        return Err("fewer than two intervals: how long is the last?".to_owned());
    };
    let end_s = last_s + (last_s - before_s);
    if end_s > TIME_MAX_S {
        return Err(format!("line {last_line}: the last interval ends after a day"));
    }
    let ends = read.iter().skip(1).map(|(_, start_s, _)| *start_s).chain([end_s]);
    let mut intervals = Vec::with_capacity(read.len());
    // Nothing arrives before the first row.
    if read[0].1 > 0.0 {
        intervals.push(Interval {
            start_s: 0.0,
            length_s: read[0].1,
            orders: 0,
        });
    }
    for ((line, start_s, orders), end_s) in read.iter().copied().zip(ends) {
        let length_s = end_s - start_s;
        if orders as f64 / length_s > RATE_MAX {
            return Err(format!(
                "line {line}: {orders} orders in {length_s} s are more than {RATE_MAX} per second"
            ));
        }
        intervals.push(Interval {
            start_s,
            length_s,
            orders,
        });
    }
    Ok(Trace::Counts(intervals))
}

fn seconds(line: usize, text: &str) -> Result<f64, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("line {line}: `{}` is no number of seconds", shortened(text)))?;
    if (0.0..=TIME_MAX_S).contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "line {line}: {number} is not within a day, 0 to {TIME_MAX_S} s; subtract the start if these are times of day"
        ))
    }
}

fn too_long(line: usize) -> String {
    format!("line {line}: more than {ROWS_MAX} lines")
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_counts_are_told_apart_by_their_header() {
        assert_eq!(
            parse("time_s\n0\n0.25\n# a pause\n\n1.5\n").expect("legal"),
            Trace::Instants(vec![0, 250_000_000, 1_500_000_000])
        );
        let interval = |start_s, length_s, orders| Interval {
            start_s,
            length_s,
            orders,
        };
        assert_eq!(
            parse("start_s, orders\r\n1,5\r\n2,0\r\n4,9\r\n").expect("legal"),
            Trace::Counts(vec![
                interval(0.0, 1.0, 0),
                interval(1.0, 1.0, 5),
                interval(2.0, 2.0, 0),
                interval(4.0, 2.0, 9)
            ])
        );
    }

    #[test]
    fn every_mistake_names_its_line() {
        for (text, says) in [
            ("", "line 1: `` is no header"),
            ("seconds\n1\n", "line 1: `seconds` is no header"),
            ("time_s\n", "no order arrives"),
            ("time_s\n1\n0.5\n", "line 3: 0.5 s goes back"),
            ("time_s\n1\nsoon\n", "line 3: `soon` is no number"),
            ("time_s\n1700000000\n", "line 2: 1700000000 is not within a day"),
            ("time_s\n-1\n", "line 2: -1 is not within a day"),
            ("time_s\nNaN\n", "line 2: NaN is not within a day"),
            ("start_s,orders\n0,1\n", "fewer than two intervals"),
            ("start_s,orders\n0,1\n0,2\n", "line 3: 0 s does not come after"),
            ("start_s,orders\n0,1\n1,2.5\n", "line 3: `2.5` is no whole number"),
            ("start_s,orders\n0,1\n1\n", "line 3: `1` is not `start_s,orders`"),
            (
                "start_s,orders\n0,1\n1,2000000\n",
                "line 3: 2000000 orders in 1 s are more",
            ),
            ("start_s,orders\n0,0\n1,0\n", "no order arrives"),
            (
                "start_s,orders\n0,1\n80000,1\n",
                "line 3: the last interval ends after a day",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{says} is missing in {error}");
        }
    }
}
