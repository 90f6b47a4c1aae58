//! The result folder: every file that it promises, and what stands in them.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use orderstorm::results::record;

use crate::support::drive::series_of;
use crate::{results, short_run, text};

/// Columns that `summary.csv` has at least.
const COLUMNS: &str = "trial, orders_planned, orders_published, orders_unsent, orders_confirmed, orders_completed, \
    orders_cancelled, orders_dead_lettered, orders_lost, orders_duplicate_effect, orders_oversold, offered_load_per_s, \
    achieved_rate_per_s, goodput_per_s, messages_published, messages_delivered, messages_redelivered, \
    end_to_end_ns_p50, end_to_end_ns_p90, end_to_end_ns_p99, end_to_end_ns_p999, end_to_end_ns_max, \
    end_to_end_from_send_ns_p99, send_lag_ns_p99, confirm_latency_ns_p99, drain_time_s, backlog_messages_max, \
    driver_cpu_s, driver_rss_bytes_max, broker_cpu_s, valid, verdict";

fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    reader.deserialize().map(|row| row.expect("legal CSV")).collect()
}

#[test]
fn a_run_leaves_every_file_that_it_promises_and_nothing_temporary() {
    let dir = results();
    let (said, folder) = short_run(&dir, &["--set", "trial.repeats=2"]);
    let name = folder.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    assert!(
        said.out.contains(&format!("results: {}", folder.display())),
        "{}",
        said.out
    );
    // quickstart-20260101T000000Z-ab12
    let parts: Vec<&str> = name.rsplitn(3, '-').collect();
    assert_eq!(
        (parts[2], parts[1].len(), parts[1].ends_with('Z')),
        ("quickstart", 16, true),
        "{name}"
    );
    for file in [
        "run.json",
        "workload.toml",
        "summary.csv",
        "stages.csv",
        "series.csv",
        "latency.hlog",
        "report.html",
    ] {
        let bytes = std::fs::metadata(folder.join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"))
            .len();
        assert!(bytes > 100, "{file} has {bytes} bytes");
    }
    let found: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        found
            .iter()
            .all(|name| !name.starts_with('.') && !name.ends_with(".tmp")),
        "{found:?}"
    );
    charts_are_pictures(&folder);
    the_page_stands_alone(&std::fs::read_to_string(folder.join("report.html")).expect("the page"));
}

fn charts_are_pictures(folder: &Path) {
    for chart in [
        "throughput",
        "latency-percentiles",
        "latency-over-time",
        "stage-latency",
        "backlog",
        "resources",
    ] {
        let read = |ending: &str| {
            let path = folder.join(format!("charts/{chart}.{ending}"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let (svg, png) = (read("svg"), read("png"));
        assert!(
            svg.len() > 1_000 && String::from_utf8_lossy(&svg).contains("<svg"),
            "{chart}.svg"
        );
        assert!(
            png.len() > 2_000 && png.starts_with(b"\x89PNG\r\n\x1a\n"),
            "{chart}.png"
        );
        assert!(png.ends_with(b"IEND\xaeB`\x82"), "{chart}.png is torn");
    }
}

fn the_page_stands_alone(page: &str) {
    let outside = page
        .replace("http://www.w3.org/2000/svg", "")
        .replace("http://www.w3.org/1999/xlink", "");
    for forbidden in [
        "http://",
        "https://",
        "<script src",
        "<link",
        "@import",
        "url(//",
        "src=\"/",
        "<iframe",
    ] {
        assert!(!outside.contains(forbidden), "the page contains {forbidden}");
    }
    assert!(
        page.contains("default-src 'none'"),
        "the page forbids itself the network"
    );
    assert!(page.contains("<svg"), "the charts are in the page");
}

#[test]
fn record_and_tables_tell_the_same_story() {
    let dir = results();
    let (said, folder) = short_run(&dir, &["--set", "trial.repeats=2", "--set", "load.rate=60/s"]);
    let record = record::read(&folder).expect("run.json");
    assert_eq!(Some(i32::from(record.outcome.exit_code)), said.code);
    assert_eq!(
        Some(record.id.as_str()),
        folder.file_name().and_then(|name| name.to_str())
    );
    assert_eq!(
        (record.name.as_str(), record.cells[0].workload.seed),
        ("quickstart", 42)
    );
    assert_eq!(
        (record.broker.kind.as_str(), record.tool.build.as_str()),
        ("embedded", "debug")
    );
    assert!(
        record
            .command
            .contains("run quickstart --broker embedded --set load.warm_up=0s"),
        "{}",
        record.command
    );
    let rate = record.cells[0]
        .settings
        .iter()
        .find(|setting| setting.path == "load.rate")
        .expect("every setting");
    assert_eq!(
        (rate.value.as_str(), rate.origin.as_str()),
        ("\"60/s\"", "command line")
    );
    assert!(record.machine.cores > 0 && record.machine.memory_bytes > 0);
    let summary = rows(&folder.join("summary.csv"));
    assert_eq!((summary.len(), record.trials.len()), (2, 2));
    for (row, trial) in summary.iter().zip(&record.trials) {
        for column in COLUMNS.split(',').map(str::trim) {
            assert!(row.contains_key(column), "summary.csv has no column {column}");
        }
        let figure = |column: &str| {
            row[column]
                .parse::<f64>()
                .unwrap_or_else(|_| panic!("{column}: {}", row[column]))
        };
        assert_eq!(figure("orders_published"), 30.0);
        assert_eq!(figure("orders_completed") as u64, trial.ledger.fates.completed);
        assert_eq!(figure("messages_delivered") as u64, trial.messages.delivered);
        assert_eq!(
            (row["valid"].as_str(), row["verdict"].as_str()),
            (
                if trial.validity.valid { "true" } else { "false" },
                trial.verdict.name(),
            )
        );
        assert_eq!(
            row["end_to_end_ns_p99"], "",
            "30 orders carry no 99th percentile, and that is not zero"
        );
        assert!(figure("end_to_end_ns_max") > 0.0);
    }
    let stages = rows(&folder.join("stages.csv"));
    assert_eq!(stages.len(), 2 * record.trials[0].stages.len());
    let workload = std::fs::read_to_string(folder.join("workload.toml")).expect("workload.toml");
    assert!(
        workload.contains("quickstart") || workload.contains("[load]"),
        "the file word for word"
    );
}

#[test]
fn the_series_hold_what_the_charts_show() {
    let dir = results();
    let (_, folder) = short_run(&dir, &["--set", "load.duration=1500ms"]);
    let header = std::fs::read_to_string(folder.join("series.csv")).expect("series.csv");
    assert_eq!(header.lines().next(), Some("trial,time_s,series,value"));
    for series in [
        "offered_load_per_s",
        "achieved_rate_per_s",
        "goodput_per_s",
        "backlog_messages.payment.ready",
        "backlog_messages.payment.unacked",
        "dead_letters_messages",
        "in_flight_messages",
        "open_orders",
        "driver_cpu_share",
        "driver_rss_bytes",
    ] {
        let points = series_of(&folder, series);
        assert!(points.len() >= 2, "{series}: {points:?}");
        assert!(
            points.windows(2).all(|pair| pair[0].0 <= pair[1].0),
            "{series} goes back in time"
        );
    }
}

#[test]
fn the_latency_log_adds_up_to_the_record() {
    let dir = results();
    let (_, folder) = short_run(&dir, &[]);
    let record = record::read(&folder).expect("run.json");
    let bytes = std::fs::read(folder.join("latency.hlog")).expect("latency.hlog");
    let mut counts: HashMap<String, u64> = HashMap::new();
    for entry in IntervalLogIterator::new(&bytes) {
        if let LogEntry::Interval(interval) = entry.expect("a legal line") {
            let engine = base64::engine::general_purpose::STANDARD;
            let encoded = engine.decode(interval.encoded_histogram()).expect("base64");
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &encoded[..]).expect("a histogram");
            let tag = interval.tag().expect("every interval is tagged").as_str().to_owned();
            *counts.entry(tag).or_default() += histogram.len();
        }
    }
    for summary in &record.trials[0].latencies {
        let inside = summary.count - summary.below_range - summary.above_range;
        let logged = counts
            .get(&format!("1.{}", summary.series))
            .copied()
            .unwrap_or_default();
        assert_eq!(logged, inside, "{}", summary.series);
    }
}

/// Reads the log with another implementation of the format: the `hdrhistogram` package of PyPI.
const READER: &str = "
import sys
from hdrh.log import HistogramLogReader
from hdrh.histogram import HdrHistogram
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3600000000000, 3))
total = 0
while True:
    histogram = reader.get_next_interval_histogram()
    if histogram is None:
        break
    if histogram.get_tag() == '1.end_to_end':
        total += histogram.get_total_count()
print(total)
";

#[test]
fn another_implementation_reads_the_latency_log() {
    let there = Command::new("python3").args(["-c", "import hdrh.log"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("skipped: python3 has no module hdrh (pip install hdrhistogram)");
        return;
    }
    let dir = results();
    let (_, folder) = short_run(&dir, &[]);
    let record = record::read(&folder).expect("run.json");
    let log = folder.join("latency.hlog");
    let output = Command::new("python3")
        .args(["-c", READER, text(&log)])
        .output()
        .expect("python3");
    let (count, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(count.trim(), record.trials[0].orders.measured.to_string(), "{err}");
}

#[test]
fn a_broken_promise_shows_its_orders_and_exits_with_three() {
    let dir = results();
    let mut command = crate::support::program::orderstorm(&crate::SHORT);
    command
        .arg(dir.path())
        .args(["--set", "canary.defect=skip-audit", "--set", "canary.every=2"]);
    let said = crate::support::program::finish(&mut command);
    assert_eq!(said.code, Some(3), "{said:#?}");
    assert!(
        said.out.contains("FAIL") && said.out.contains("all_audited"),
        "{}",
        said.out
    );
    let folder = crate::support::program::only_entry(dir.path());
    let record = record::read(&folder).expect("run.json");
    let trails = &record.trials[0].ledger.examples["not_audited"];
    assert_eq!(trails.len(), 10);
    assert!(
        trails
            .iter()
            .all(|trail| trail.missing.iter().any(|step| step.starts_with("audit: "))),
        "{trails:?}"
    );
    let page = std::fs::read_to_string(folder.join("report.html")).expect("the page");
    assert!(
        page.contains("all_audited") || page.contains("audit"),
        "the page names the promise"
    );
}
