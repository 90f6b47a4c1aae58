//! Axes: a range with round ticks, labelled as people read them. Logarithmic axes are linear in the logarithm.

use crate::report::human;

/// A tick: where, and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: String,
}

/// An axis in its own coordinate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub from: f64,
    pub to: f64,
    pub ticks: Vec<Tick>,
    pub title: &'static str,
}

impl Axis {
    /// From 0 to somewhat above `max`, in steps of 1, 2, 2.5 or 5 times a power of ten.
    pub(super) fn from_zero(max: f64, title: &'static str, label: impl Fn(f64) -> String) -> Axis {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|step| step * 10f64.powf((max / 5.0).log10().floor()))
            .into_iter()
            .find(|step| max / step <= 5.0)
            .unwrap_or(max);
        Axis::stepped(max, step, title, label)
    }

    /// Bytes from 0, in steps of 1, 2 or 5 times 1, 10 or 100 of a binary unit.
    pub(super) fn bytes(max: f64, title: &'static str) -> Axis {
        let max = max.max(1.0);
        let units = (0..5).map(|power| 1_024f64.powi(power));
        let steps = units.flat_map(|unit| [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0].map(|n| n * unit));
        let step = steps.into_iter().find(|step| max / step <= 5.0).unwrap_or(max);
        Axis::stepped(max, step, title, |n| {
            let text = human::bytes(n);
            text.replacen(".00 ", " ", 1).replacen(".0 ", " ", 1)
        })
    }

    fn stepped(max: f64, step: f64, title: &'static str, label: impl Fn(f64) -> String) -> Axis {
        let steps = (max / step).ceil().clamp(1.0, 20.0) as u32;
        let ticks = (0..=steps).map(|i| f64::from(i) * step);
        let ticks: Vec<Tick> = ticks.map(|at| Tick { at, label: label(at) }).collect();
        // A little air, so that a line at the greatest value is seen.
        Axis {
            from: 0.0,
            to: (f64::from(steps) * step).max(max * 1.04),
            ticks,
            title,
        }
    }

    /// Seconds since the load began.
    pub(super) fn time(end_s: f64) -> Axis {
        let end_s = if end_s > 0.0 { end_s } else { 1.0 };
        const STEPS: [f64; 22] = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
            7_200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
        ];
        let step = STEPS
            .into_iter()
            .find(|step| end_s / step <= 10.0)
            .unwrap_or(end_s / 5.0);
        let count = (end_s / step).floor().min(20.0) as u32;
        let ticks = (0..=count).map(|i| f64::from(i) * step);
        let ticks = ticks
            .map(|at| Tick {
                at,
                label: clock(at, step),
            })
            .collect();
        Axis {
            from: 0.0,
            to: end_s,
            ticks,
            title: "time since the load began",
        }
    }

    /// Logarithm of nanoseconds, from `min` to `max` nanoseconds.
    pub(super) fn log_nanos(min: f64, max: f64, title: &'static str) -> Axis {
        let min = min.max(1.0);
        let max = max.max(min * 2.0);
        let (from, to) = ((min * 0.85).log10(), (max * 1.2).log10());
        let digits: &[f64] = match to - from {
            span if span < 1.6 => &[1.0, 2.0, 5.0],
            span if span < 4.1 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let decades = from.floor() as i32..=to.ceil() as i32;
        let values = decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
        let ticks = values.filter(|ns| (from..=to).contains(&ns.log10()));
        let ticks = ticks
            .map(|ns| Tick {
                at: ns.log10(),
                label: round_nanos(ns),
            })
            .collect();
        Axis { from, to, ticks, title }
    }

    /// Logarithm of a positive quantity, with ticks at 1, 2 and 5 (fewer over many decades) times powers of ten.
    pub(super) fn log(min: f64, max: f64, title: &'static str, label: impl Fn(f64) -> String) -> Axis {
        let min = min.max(1e-9);
        let max = max.max(min * 2.0);
        let (from, to) = ((min * 0.8).log10(), (max * 1.25).log10());
        let digits: &[f64] = match to - from {
            span if span < 1.6 => &[1.0, 2.0, 5.0],
            span if span < 3.1 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let decades = from.floor() as i32..=to.ceil() as i32;
        let values = decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
        let ticks = values.filter(|value| (from..=to).contains(&value.log10()));
        let ticks = ticks
            .map(|value| Tick {
                at: value.log10(),
                label: label(value),
            })
            .collect();
        Axis { from, to, ticks, title }
    }

    /// Quantiles as −log10(1 − q), up to `to`.
    pub(super) fn percentiles(to: f64) -> Axis {
        let to = to.clamp(2.0, 6.0);
        let known = [
            (0.0, "0 %"),
            (0.5f64, "50 %"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9999, "99.99 %"),
            (0.99999, "99.999 %"),
        ];
        let ticks = known.map(|(q, label)| Tick {
            at: nines(q),
            label: label.to_owned(),
        });
        let ticks = ticks.into_iter().filter(|tick| tick.at <= to + 1e-9).collect();
        Axis {
            from: 0.0,
            to,
            ticks,
            title: "percentile",
        }
    }
}

/// A quantile's place on the percentile axis.
pub(super) fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// A round duration without digits behind the point: `1 ms`, `30 s`.
fn round_nanos(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 0.999e3 => (ns, "ns"),
        ns if ns < 0.999e6 => (ns / 1e3, "µs"),
        ns if ns < 0.999e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{value:.0} {unit}")
}

/// A time as `5 s`, `2:30` (minutes) or `3 h`, by the size of the step.
fn clock(at: f64, step: f64) -> String {
    let whole = at.round() as u64;
    match step {
        step if step < 1.0 => format!("{at:.1} s"),
        step if step < 30.0 => format!("{whole} s"),
        step if step < 3_600.0 && whole < 3_600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3_600, whole % 3_600 / 60),
    }
}

/// A count on an axis: `800`, `1.5k`, `20k`.
pub(super) fn thousands(n: f64) -> String {
    let scaled = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match n {
        n if n >= 1e6 => scaled(n / 1e6, "M"),
        n if n >= 1e4 => scaled(n / 1e3, "k"),
        n => scaled(n, ""),
    }
}

/// Nanoseconds on an axis: `200 ms`, `2.5 s`, `1000 s`.
pub(super) fn nanos(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 0.999e3 => (ns, "ns"),
        ns if ns < 0.999e6 => (ns / 1e3, "µs"),
        ns if ns < 0.999e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{} {unit}", thousands(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            labels(&Axis::from_zero(540.0, "", thousands)),
            ["0", "200", "400", "600"]
        );
        assert_eq!(
            labels(&Axis::from_zero(52_000.0, "", thousands)),
            ["0", "20k", "40k", "60k"]
        );
        assert_eq!(labels(&Axis::from_zero(0.0, "", thousands)).len(), 6);
        assert_eq!(
            labels(&Axis::bytes(200.0 * 1_048_576.0, "")),
            ["0 B", "50 MiB", "100 MiB", "150 MiB", "200 MiB"]
        );
        assert_eq!(
            labels(&Axis::time(69.0)),
            ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"][..7]
        );
        assert_eq!(labels(&Axis::time(400.0)).last(), Some(&"6:00 min"));
        assert_eq!(labels(&Axis::time(9_000.0)).last(), Some(&"2:30 h"));
    }

    #[test]
    fn latency_ticks_follow_the_span() {
        assert_eq!(labels(&Axis::log_nanos(1e6, 5e6, "")), ["1 ms", "2 ms", "5 ms"]);
        assert_eq!(labels(&Axis::log_nanos(1e3, 1e9, "")).len(), 7);
        assert_eq!(labels(&Axis::log_nanos(1e6, 1e6, "")), ["1 ms", "2 ms"]);
    }

    #[test]
    fn percentiles_end_where_the_samples_end() {
        assert_eq!(
            labels(&Axis::percentiles(3.2)),
            ["0 %", "50 %", "90 %", "99 %", "99.9 %"]
        );
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }
}
