//! For trackers of benchmarks, which keep the history themselves: the new side's medians.
//!
//! github-action-benchmark, `customSmallerIsBetter`: an array of name, unit, value, range and extra. One file has one
//! direction, so rates are given as time per order. bencher.dev, Bencher Metric Format: benchmark → measure → value with bounds.

use serde_json::{Map, Value, json};

use super::super::{Case, Comparison, Measured};
use crate::report::figure::Unit;
use crate::stats;

pub(super) fn github(comparison: &Comparison) -> anyhow::Result<String> {
    let mut all = Vec::new();
    for case in &comparison.cases {
        for measured in case.measures.iter().filter(|measured| !measured.new.is_empty()) {
            let (unit, values) = smaller_is_better(measured);
            let Some(median) = stats::median(&values) else { continue };
            let (min, max) = range(&values);
            let measure = if unit == "ns/order" {
                "time_per_order"
            } else {
                measured.measure
            };
            all.push(json!({
                "name": name(comparison, case, measure),
                "unit": unit,
                "value": median,
                "range": format!("{min} … {max}"),
                "extra": extra(comparison, measured),
            }));
        }
    }
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

pub(super) fn bencher(comparison: &Comparison) -> anyhow::Result<String> {
    let mut all = Map::new();
    for case in &comparison.cases {
        let mut measures = Map::new();
        for measured in &case.measures {
            let Some(median) = measured.new_median else { continue };
            let (min, max) = range(&measured.new);
            let metric = json!({ "value": median, "lower_value": min, "upper_value": max });
            measures.insert(measured.figure.replace('_', "-"), metric);
        }
        all.insert(name(comparison, case, ""), Value::Object(measures));
    }
    Ok(serde_json::to_string_pretty(&Value::Object(all))? + "\n")
}

/// `prefetch-sweep/prefetch 10/goodput`; a forced comparison bears that in its name, where nobody can overlook it.
fn name(comparison: &Comparison, case: &Case, measure: &str) -> String {
    let embedded = comparison.new.broker.contains(crate::report::status::EMBEDDED);
    let marks = [
        (embedded, " (embedded broker, not RabbitMQ)"),
        (!comparison.forced.is_empty(), " (forced: the runs differ)"),
    ];
    let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
    let parts = [comparison.new.workload.as_str(), &case.name, measure];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    crate::report::human::plain(&format!("{}{marks}", parts.join("/")))
}

fn smaller_is_better(measured: &Measured) -> (&'static str, Vec<f64>) {
    let values = measured.new.clone();
    match super::figure(measured).unit() {
        Unit::PerSecond => (
            "ns/order",
            values
                .iter()
                .filter(|rate| **rate > 0.0)
                .map(|rate| 1e9 / rate)
                .collect(),
        ),
        Unit::Nanos => ("ns", values),
        Unit::Seconds => ("s", values),
        Unit::Messages => ("messages", values),
        Unit::Share => ("share", values),
        Unit::Ratio => ("ratio", values),
        Unit::Bytes => ("bytes", values),
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| {
        (min.min(*value), max.max(*value))
    })
}

fn extra(comparison: &Comparison, measured: &Measured) -> String {
    let mut parts = vec![
        format!("{} against {}", measured.judgement.word(), comparison.base.run),
        format!("change {} ({})", super::changed(measured), super::interval(measured)),
        format!("{} trials", measured.new.len()),
        comparison.new.broker.clone(),
    ];
    parts.extend(
        comparison
            .forced
            .iter()
            .map(|difference| format!("forced although they differ: {difference}")),
    );
    crate::report::human::plain(&parts.join("\n").replace('\n', "; "))
}
