//! Go's benchmark format (<https://go.googlesource.com/proposal/+/master/design/14313-benchmark-format.md>), one line per trial
//! of both sides, so that benchstat does its own statistics: `benchstat -col side FILE`.

use std::fmt::Write as _;

use super::super::{Case, Comparison, Measured, Side};
use super::figure;
use crate::report::figure::Unit;
use crate::report::human;

pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let measures = comparison.cases.iter().flat_map(|case| &case.measures);
    let mut units: Vec<(String, &str)> = measures.map(|measured| (unit(measured), measured.better)).collect();
    units.sort_unstable();
    units.dedup();
    for (unit, better) in units {
        line(format!("Unit {unit} better={better}"));
    }
    for difference in &comparison.forced {
        line(format!("forced: {}", value(&difference.to_string())));
    }
    for (key, text) in common(&comparison.base, &comparison.new) {
        line(format!("{key}: {}", value(text)));
    }
    for (name, side) in [("base", &comparison.base), ("new", &comparison.new)] {
        // Readers pass over lines that are neither keys nor benchmarks.
        line(format!("# {}", value(&super::about(side))));
        line(format!("side: {name}"));
        for case in &comparison.cases {
            let trials = case
                .measures
                .iter()
                .map(|measured| of(measured, name).len())
                .max()
                .unwrap_or(0);
            for trial in 0..trials {
                line(benchmark(comparison, case, name, trial));
            }
        }
    }
    out
}

/// What both sides have in common. benchstat makes a table of its own for each value of a key, so nothing else may be one.
fn common<'a>(base: &'a Side, new: &'a Side) -> Vec<(&'static str, &'a str)> {
    let keys = [
        ("broker", &base.broker, &new.broker),
        ("cpu", &base.machine, &new.machine),
    ];
    let same = keys.into_iter().filter(|(_, base, new)| base == new);
    same.map(|(key, text, _)| (key, text.as_str())).collect()
}

fn of<'a>(measured: &'a Measured, side: &str) -> &'a [f64] {
    if side == "base" { &measured.base } else { &measured.new }
}

/// `BenchmarkStorm/prefetch_10 1 2.0e+06 ns/order …`: one iteration, which is one trial.
fn benchmark(comparison: &Comparison, case: &Case, side: &str, trial: usize) -> String {
    let mut line = format!("Benchmark{}", name(&comparison.new.workload, case));
    line.push_str(" 1");
    for measured in &case.measures {
        if let Some(value) = of(measured, side).get(trial) {
            // Writing to a String cannot fail.
            let _ = write!(line, " {value} {}", unit(measured));
        }
    }
    line
}

/// Starts with a capital letter and has no spaces, as the format demands.
fn name(workload: &str, case: &Case) -> String {
    let clean = |text: &str| -> String {
        let plain = human::plain(text).replace(", ", ",");
        plain.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect()
    };
    let workload = clean(workload);
    let mut letters = workload.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let whole = format!("{first}{}", letters.as_str());
    match case.name.as_str() {
        "" => whole,
        name => format!("{whole}/{}", clean(name)),
    }
}

/// benchstat knows `-ns` and `-bytes` at the end of a unit, and scales them.
fn unit(measured: &Measured) -> String {
    let name = measured.measure.replace('_', "-");
    match figure(measured).unit() {
        Unit::PerSecond => "orders/s".to_owned(),
        Unit::Nanos => format!("{name}-ns"),
        Unit::Seconds => format!("{name}-s"),
        Unit::Messages => format!("{name}-messages"),
        Unit::Share => format!("{name}-share"),
        Unit::Ratio => format!("{name}-ratio"),
        Unit::Bytes => format!("{name}-bytes"),
    }
}

/// One line, without what could begin another.
fn value(text: &str) -> String {
    human::plain(text).trim().to_owned()
}
