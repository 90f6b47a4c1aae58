//! `latency.hlog` read back by an implementation of HdrHistogram that is not ours: the Python port from PyPI.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use orderstorm::measure::Summary;
use orderstorm::results::record;
use serde_json::Value;

use crate::python::python_with;
use crate::{results, short_run};

const PACKAGE: &str = "hdrhistogram==0.10.3";
/// Our histograms count from 1 µs on, so their finest step is half of that, and 3 digits mean a thousandth.
const STEP_NS: f64 = 1_024.0;

/// What the Python port finds in a log: for each tag its count, greatest value, and values at `ranks`.
fn read(log: &Path, ranks: &BTreeMap<String, Vec<u64>>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/hlog.py");
    let mut child = Command::new(python_with(PACKAGE, "hdrh"))
        .arg(script)
        .arg(log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let input = serde_json::to_vec(ranks).expect("ranks are JSON");
    child.stdin.take().expect("piped").write_all(&input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the Python port cannot read {}", log.display());
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// The quantiles that `summary` has, each with its rank among the values of the log, which lacks those under 1 µs.
fn ranks(summary: &Summary) -> Vec<(u64, u64)> {
    let quantiles = [
        (0.5, summary.p50),
        (0.9, summary.p90),
        (0.99, summary.p99),
        (0.999, summary.p999),
    ];
    let known = quantiles
        .into_iter()
        .filter_map(|(q, quantile)| Some((q, quantile?.ns)));
    let ranked = known.map(|(q, ns)| {
        let rank = (summary.count as f64 * q).ceil() as u64;
        (rank.saturating_sub(summary.below_range), ns)
    });
    ranked.filter(|(rank, _)| *rank > 0).collect()
}

#[test]
#[ignore = "downloads a package from PyPI"]
fn another_implementation_reads_the_same_counts_and_quantiles_from_the_log() {
    let dir = results();
    let (_, folder) = short_run(
        &dir,
        &[
            "--set",
            "load.rate=600/s",
            "--set",
            "load.duration=3s",
            "--set",
            "trial.repeats=2",
        ],
    );
    let record = record::read(&folder).expect("a record");
    let summaries: BTreeMap<String, &Summary> = record
        .trials
        .iter()
        .flat_map(|trial| {
            let of_trial = trial.latencies.iter();
            of_trial.map(|summary| (format!("{}.{}", trial.trial, summary.series), summary))
        })
        .filter(|(_, summary)| summary.count > summary.below_range + summary.above_range)
        .collect();
    let wanted = summaries
        .iter()
        .map(|(tag, summary)| (tag.clone(), ranks(summary).iter().map(|(rank, _)| *rank).collect()));
    let found = read(&folder.join("latency.hlog"), &wanted.collect());
    let tags: Vec<&String> = found.as_object().expect("an object").keys().collect();
    assert_eq!(tags, summaries.keys().collect::<Vec<_>>());
    let mut compared = 0;
    for (tag, summary) in summaries {
        let in_range = summary.count - summary.below_range - summary.above_range;
        assert_eq!(found[&tag]["count"], in_range, "{tag}");
        let pairs = ranks(summary)
            .into_iter()
            .zip(found[&tag]["at"].as_array().expect("a list"));
        let pairs = pairs.map(|((_, ours), theirs)| (ours, theirs));
        for (ours, theirs) in pairs.chain(summary.max_ns.map(|max| (max, &found[&tag]["max"]))) {
            let theirs = theirs.as_f64().expect("a number");
            let apart = (ours as f64 - theirs).abs();
            assert!(
                apart <= STEP_NS + theirs / 1_000.0,
                "{tag}: {ours} ns here, {theirs} ns there"
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} figures");
}
