//! Comparisons for the tests of formats and verdicts.

use super::*;
use crate::report::fixture as run;
use crate::rng;

/// A run of `repeats` trials, its goodput and latency multiplied by the factors, with a noise of 1 %.
pub fn record(id: &str, repeats: u32, goodput: f64, latency: f64) -> RunRecord {
    let mut record = run::pass();
    record.id = id.to_owned();
    let model = record.trials.remove(0);
    for repeat in 1..=repeats {
        let noise = |name: &str| 0.995 + 0.01 * rng::unit(u64::from(repeat), &format!("{id}{name}"), 1);
        let mut trial = TrialRecord {
            trial: repeat,
            repeat,
            seed: u64::from(repeat),
            ..model.clone()
        };
        trial.rates.goodput_per_s = Some(400.0 * goodput * noise("goodput"));
        for summary in trial
            .latencies
            .iter_mut()
            .filter(|summary| summary.series == "end_to_end")
        {
            for quantile in [&mut summary.p50, &mut summary.p99].into_iter().flatten() {
                quantile.ns = (quantile.ns as f64 * latency * noise("latency")) as u64;
            }
        }
        trial.drain.time_s = Some(4.0 * noise("drain"));
        trial.resources.driver_cpu_s = Some(38.0 * noise("cpu"));
        record.trials.push(trial);
    }
    record
}

/// Ten pairs: the new run has a fifth less goodput and half as much latency again.
pub fn regression() -> Comparison {
    let (base, new) = (record("storm-base", 10, 1.0, 1.0), record("storm-new", 10, 0.8, 1.5));
    runs(&base, &new, &Thresholds::default(), Strictness::Refuse).expect("comparable")
}

/// Three pairs on another version of the broker.
pub fn forced() -> Comparison {
    let (base, mut new) = (record("storm-base", 3, 1.0, 1.0), record("storm-new", 3, 1.0, 1.0));
    new.broker.version = "4.0.5 <&\",".to_owned();
    runs(&base, &new, &Thresholds::default(), Strictness::Force).expect("forced")
}
