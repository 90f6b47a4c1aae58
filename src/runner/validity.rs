//! The one rule that says whether a trial's figures count: was the driver the bottleneck, and do its sums agree?
//!
//! docs/METHOD.md gives the rule in words. What the broker does to the driver (blocks it, fills its window, does not drain its
//! socket) is a result, not a defect of the trial.

use super::balance;
use crate::results::record::{Checks, Validity};

/// Send lag that the driver itself may cause, whatever the latencies: nanoseconds.
const DRIVER_LAG_NS: u64 = 2_000_000;
/// … and as a share of the reported end-to-end time at the same quantile.
const DRIVER_LAG_SHARE: f64 = 0.1;
/// Share of the planned load that may stay unsent beyond the share of the time in which the broker held the load back.
const UNSENT_SHARE: f64 = 0.01;
/// Share of the processors that the driver may use.
const DRIVER_CPU_SHARE: f64 = 0.8;
/// Share of the end-to-end time that the steps may leave unexplained.
const RESIDUAL_SHARE: f64 = 0.01;
/// How far from 1 the ratio of Little's law may be.
const LITTLE_SHARE: f64 = 0.02;
/// … of the sampled backlog, before it is worth a warning.
const LITTLE_BACKLOG_SHARE: f64 = 0.1;
/// … before the figures stop counting: samples and times can no longer be of the same messages.
const LITTLE_BACKLOG_MOST: f64 = 0.25;
/// Share of the machine that others may use before it is worth a warning.
const FOREIGN_CPU_SHARE: f64 = 0.1;
/// … that a hypervisor may take, or a control group's limit may cost.
const STOLEN_SHARE: f64 = 0.02;
/// Lateness of a 1 ms sleeper beside the load that is worth a warning, nanoseconds.
const HICCUP_NS: u64 = 1_000_000;
/// Sleep of the machine that stops the figures from counting, seconds.
const SUSPENDED_S: f64 = 0.001;
/// Step of the wall clock that is worth a warning, seconds.
const CLOCK_STEP_S: f64 = 0.1;

/// What the rule looks at.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The quantile of the next two: 0.99, or less where there are too few orders for that.
    pub lag_quantile: f64,
    /// The driver's own lag at that quantile, nanoseconds; absent with fewer than 100 orders.
    pub driver_lag: Option<u64>,
    /// End-to-end time at that quantile, nanoseconds.
    pub end_to_end: Option<u64>,
    /// Arrivals planned for the measured part.
    pub offered: Option<u64>,
    /// Of these, sent.
    pub sent: u64,
    /// The driver's share of the processors over the load.
    pub driver_cpu_share: Option<f64>,
    /// Share of the end-to-end time that the steps do not account for.
    pub residual_share: Option<f64>,
    /// Redeliveries: a repeated step is counted twice in the sum.
    pub redeliveries: u64,
    /// Orders that came to their end.
    pub ended: u64,
    /// The load was cut short.
    pub interrupted: bool,
    /// Values outside the histograms' range, above.
    pub above_range: u64,
    /// Broker and driver share the machine.
    pub co_located: bool,
    /// The broker is the embedded one: its processor time is within the driver's.
    pub broker_in_driver: bool,
    /// The pipeline ran empty.
    pub drained: bool,
    /// A backlog that never stood: messages asked for, and messages when the load was over.
    pub backlog_short: Option<(u64, u64)>,
    /// What was measured beside the load.
    pub checks: Checks,
}

/// What there is to say.
#[derive(Debug, Default)]
struct Findings {
    reasons: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn reason(&mut self, says: impl Into<String>) {
        self.reasons.push(says.into());
    }

    fn warn(&mut self, says: impl Into<String>) {
        self.warnings.push(says.into());
    }
}

/// Judges a trial.
pub fn judge(evidence: &Evidence) -> Validity {
    let mut findings = Findings::default();
    lag(evidence, &mut findings);
    unsent(evidence, &mut findings);
    driver(evidence, &mut findings);
    sums(evidence, &mut findings);
    machine(&evidence.checks, &mut findings);
    circumstances(evidence, &mut findings);
    let Findings { reasons, warnings } = findings;
    Validity {
        valid: reasons.is_empty(),
        reasons,
        warnings,
        checks: evidence.checks.clone(),
    }
}

/// The driver must keep to its own schedule.
fn lag(evidence: &Evidence, findings: &mut Findings) {
    let allowed = evidence
        .end_to_end
        .map_or(0.0, |end_to_end| end_to_end as f64 * DRIVER_LAG_SHARE)
        .max(DRIVER_LAG_NS as f64);
    let Some(lag) = evidence.driver_lag.filter(|lag| *lag as f64 > allowed) else {
        return;
    };
    let timers = evidence.checks.hiccup_ns_p99.map_or(String::new(), |late| {
        format!(
            "; a 1 ms sleeper beside it woke {:.2} ms late at p99",
            late as f64 / 1e6
        )
    });
    findings.reason(format!(
        "the driver fell behind its own schedule: its send lag is {:.1} ms at p{:.0}, allowed {:.1} ms{timers}",
        lag as f64 / 1e6,
        evidence.lag_quantile * 100.0,
        allowed / 1e6
    ));
}

/// What was planned must be sent, unless it was the broker that held it back.
fn unsent(evidence: &Evidence, findings: &mut Findings) {
    let checks = &evidence.checks;
    let causes = [
        ("a blocked connection", checks.blocked_share),
        ("a full confirm window", checks.window_full_share),
        ("a full socket", checks.socket_full_share),
    ];
    let causes = causes.map(|(name, share)| (name, share.unwrap_or(0.0)));
    let held: f64 = causes.iter().map(|(_, share)| share).sum();
    // Moments are no news: a window that fills and empties is how a window works, and at full speed it is what sets the pace.
    let news = if evidence.offered.is_some() { 3 } else { 1 };
    let worth = causes[..news].iter().filter(|(_, share)| *share >= 0.001);
    let parts: Vec<String> = worth
        .map(|(name, share)| format!("{name} {:.1} %", share * 100.0))
        .collect();
    if !parts.is_empty() {
        findings.warn(format!(
            "the broker held the load back: {} of the time",
            parts.join(", ")
        ));
    }
    let Some(offered) = evidence.offered.filter(|offered| *offered > 0 && !evidence.interrupted) else {
        return;
    };
    let missing = 1.0 - evidence.sent as f64 / offered as f64;
    if missing <= UNSENT_SHARE {
        return;
    }
    let says = format!(
        "{} of {offered} planned orders were sent ({:.1} %)",
        evidence.sent,
        (1.0 - missing) * 100.0
    );
    if missing - held <= UNSENT_SHARE {
        findings.warn(format!("{says}: the broker pushed back"));
    } else {
        findings.reason(format!(
            "{says}, while the broker held the load back {:.1} % of the time: the driver could not",
            held * 100.0
        ));
    }
}

/// The driver must not measure itself.
fn driver(evidence: &Evidence, findings: &mut Findings) {
    let Some(share) = evidence.driver_cpu_share.filter(|share| *share > DRIVER_CPU_SHARE) else {
        return;
    };
    let (used, allowed) = (share * 100.0, DRIVER_CPU_SHARE * 100.0);
    if evidence.broker_in_driver {
        findings.warn(format!(
            "driver and embedded broker used {used:.0} % of the processors: this is the driver's own ceiling"
        ));
    } else {
        findings.reason(format!(
            "the driver used {used:.0} % of the processors (at most {allowed:.0} %): it measured itself"
        ));
    }
}

/// Figures that were taken apart from each other must agree.
fn sums(evidence: &Evidence, findings: &mut Findings) {
    let checks = &evidence.checks;
    if let Some(share) = evidence.residual_share.filter(|share| *share > RESIDUAL_SHARE) {
        let says = format!(
            "{:.1} % of the end-to-end time is not accounted for by the steps (at most {:.0} %)",
            share * 100.0,
            RESIDUAL_SHARE * 100.0
        );
        if evidence.redeliveries == 0 {
            findings.reason(says)
        } else {
            findings.warn(format!("{says}; redelivered steps count twice"))
        }
    }
    if let Some((asked, found)) = evidence.backlog_short {
        findings.reason(format!(
            "the backlog never stood: {found} of {asked} messages waited when the load was over"
        ));
    }
    let off = |ratio: Option<f64>, share: f64| ratio.filter(|ratio| (ratio - 1.0).abs() > share);
    if let Some(ratio) = off(checks.littles_law_ratio, LITTLE_SHARE) {
        findings.reason(format!(
            "Little's law fails: the mean of the orders under way is {ratio:.3} times goodput × mean time (within {:.0} %)",
            LITTLE_SHARE * 100.0
        ));
    }
    if let Some(ratio) = off(checks.littles_law_backlog_ratio, LITTLE_BACKLOG_SHARE) {
        let most = (ratio - 1.0).abs() > LITTLE_BACKLOG_MOST;
        let within = if most {
            LITTLE_BACKLOG_MOST
        } else {
            LITTLE_BACKLOG_SHARE
        };
        let says = format!(
            "Little's law: the mean of the sampled backlog is {ratio:.2} times what the times at the stages make of it (within {:.0} %)",
            within * 100.0
        );
        if most {
            findings.reason(says);
        } else {
            findings.warn(says);
        }
    }
    flow(checks, findings);
    if let (Some(false), Some(from_s)) = (checks.steady, checks.steady_from_s) {
        findings.warn(format!(
            "no steady state: latency was still changing after {from_s:.0} s of measuring (MSER-5); its quantiles say as much about the run's length as about the pipeline"
        ));
    }
    if evidence.ended == 0 {
        findings.reason("no order came to its end");
    }
}

/// What comes in goes out, or piles up.
fn flow(checks: &Checks, findings: &mut Findings) {
    let (Some(ratio), Some(allowed)) = (checks.flow_balance_ratio, checks.flow_balance_allowed) else {
        return;
    };
    if balance::is_broken(ratio, allowed) {
        let stage = checks
            .flow_balance_stage
            .map_or(String::new(), |stage| format!(" at {stage}"));
        findings.reason(format!(
            "the flow is out of balance{stage}: {ratio:.3} times what came in went out or piled up (within {:.0} %)",
            allowed * 100.0
        ));
    }
}

/// What the machine did to everybody on it.
fn machine(checks: &Checks, findings: &mut Findings) {
    if let Some(slept_s) = checks.suspended_s.filter(|slept_s| *slept_s > SUSPENDED_S) {
        findings.reason(format!("the machine slept for {slept_s:.1} s during the load"));
    }
    if let Some(step_s) = checks.wall_clock_step_s.filter(|step_s| step_s.abs() > CLOCK_STEP_S) {
        findings.warn(format!(
            "the wall clock was set by {step_s:+.1} s; latencies are on another clock, time stamps for people are not"
        ));
    }
    if let (Some(p99), Some(max)) = (
        checks.hiccup_ns_p99.filter(|p99| *p99 > HICCUP_NS),
        checks.hiccup_ns_max,
    ) {
        findings.warn(format!(
            "noisy host: a 1 ms sleeper woke {:.1} ms late at p99, {:.0} ms at worst",
            p99 as f64 / 1e6,
            max as f64 / 1e6
        ));
    }
    for (share, least, says) in [
        (checks.foreign_share, FOREIGN_CPU_SHARE, "others used"),
        (checks.stolen_share, STOLEN_SHARE, "the hypervisor gave to others"),
    ] {
        if let Some(share) = share.filter(|share| *share > least) {
            findings.warn(format!("noisy host: {says} {:.0} % of the processors", share * 100.0));
        }
    }
    if let Some(share) = checks.throttled_share.filter(|share| *share > STOLEN_SHARE) {
        findings.warn(format!(
            "noisy host: the control group's limit stopped processes for {:.0} % of the time",
            share * 100.0
        ));
    }
}

/// What does not touch the figures but must be known with them.
fn circumstances(evidence: &Evidence, findings: &mut Findings) {
    if evidence.interrupted {
        findings.warn("the load was cut short; the figures cover what was measured until then");
    }
    if evidence.above_range > 0 {
        findings.warn(format!(
            "{} latencies above the histograms' range of 1 h",
            evidence.above_range
        ));
    }
    if evidence.co_located {
        findings.warn("co-located: broker and driver share this machine; compare results of the same machine only");
    }
    if !evidence.drained && !evidence.interrupted {
        findings.warn("the pipeline did not run empty by the drain's deadline: the drain time is longer than that");
    }
    if cfg!(debug_assertions) {
        findings.warn("debug build: use cargo run --release for figures");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Evidence {
        Evidence {
            lag_quantile: 0.99,
            driver_lag: Some(200_000),
            end_to_end: Some(30_000_000),
            offered: Some(1_000),
            sent: 1_000,
            driver_cpu_share: Some(0.2),
            residual_share: Some(0.001),
            ended: 1_000,
            drained: true,
            checks: Checks {
                hiccup_ns_p99: Some(150_000),
                hiccup_ns_max: Some(4_000_000),
                blocked_share: Some(0.0),
                window_full_share: Some(0.0005),
                socket_full_share: Some(0.0),
                stolen_share: Some(0.001),
                throttled_share: Some(0.0),
                foreign_share: Some(0.05),
                suspended_s: Some(0.0),
                wall_clock_step_s: Some(-0.0003),
                steady_from_s: Some(2.0),
                steady: Some(true),
                littles_law_ratio: Some(1.004),
                littles_law_backlog_ratio: Some(0.95),
                flow_balance_ratio: Some(1.002),
                flow_balance_allowed: Some(0.06),
                flow_balance_stage: Some(crate::events::Stage::Payment),
            },
            ..Evidence::default()
        }
    }

    /// The sound trial with some of its checks changed.
    fn with(change: impl FnOnce(&mut Checks)) -> Evidence {
        let mut evidence = sound();
        change(&mut evidence.checks);
        evidence
    }

    fn says(found: &[String], part: &str) -> bool {
        found.iter().any(|text| text.contains(part))
    }

    #[test]
    fn a_sound_trial_is_valid_and_there_is_nothing_to_say() {
        let validity = judge(&sound());
        assert!(validity.valid);
        let besides = validity.warnings.iter().filter(|text| !text.contains("debug build"));
        assert_eq!(besides.count(), 0, "{:?}", validity.warnings);
        assert_eq!(validity.checks, sound().checks);
    }

    #[test]
    fn a_driver_that_was_the_bottleneck_invalidates_its_trial() {
        for (evidence, part) in [
            (
                Evidence {
                    driver_lag: Some(5_000_000),
                    ..sound()
                },
                "5.0 ms at p99, allowed 3.0 ms; a 1 ms sleeper beside it woke 0.15 ms late",
            ),
            (Evidence { sent: 900, ..sound() }, "900 of 1000"),
            (
                Evidence {
                    driver_cpu_share: Some(0.9),
                    ..sound()
                },
                "measured itself",
            ),
            (
                Evidence {
                    residual_share: Some(0.05),
                    ..sound()
                },
                "not accounted for",
            ),
            (Evidence { ended: 0, ..sound() }, "no order"),
            (
                Evidence {
                    backlog_short: Some((5_000, 3_210)),
                    ..sound()
                },
                "3210 of 5000 messages waited",
            ),
            (
                with(|checks| checks.littles_law_ratio = Some(1.03)),
                "Little's law fails",
            ),
            (
                with(|checks| checks.littles_law_ratio = Some(0.9)),
                "Little's law fails",
            ),
            (with(|checks| checks.suspended_s = Some(3.0)), "slept for 3.0 s"),
            (
                with(|checks| checks.littles_law_backlog_ratio = Some(1.4)),
                "is 1.40 times what the times at the stages make of it",
            ),
            (
                with(|checks| checks.flow_balance_ratio = Some(0.8)),
                "out of balance at payment: 0.800 times",
            ),
        ] {
            let validity = judge(&evidence);
            assert!(!validity.valid && says(&validity.reasons, part), "{part}: {validity:?}");
        }
    }

    #[test]
    fn a_broker_that_pushes_back_is_a_result_and_no_defect() {
        let pushed_back = |sent, share| Evidence {
            sent,
            ..with(|checks| checks.window_full_share = Some(share))
        };
        let validity = judge(&pushed_back(500, 0.6));
        assert!(validity.valid, "{validity:?}");
        assert!(says(&validity.warnings, "a full confirm window 60.0 % of the time"));
        assert!(says(&validity.warnings, "the broker pushed back"));
        // Held for a tenth of the time, a load that could would have sent nine tenths.
        let validity = judge(&pushed_back(500, 0.1));
        assert!(
            !validity.valid && says(&validity.reasons, "the driver could not"),
            "{validity:?}"
        );
    }

    #[test]
    fn what_the_machine_did_is_a_warning_with_its_figures() {
        for (evidence, part) in [
            (
                with(|checks| checks.hiccup_ns_p99 = Some(2_500_000)),
                "1 ms sleeper woke 2.5 ms late at p99, 4 ms at worst",
            ),
            (with(|checks| checks.foreign_share = Some(0.3)), "others used 30 %"),
            (
                with(|checks| checks.stolen_share = Some(0.05)),
                "hypervisor gave to others 5 %",
            ),
            (
                with(|checks| checks.throttled_share = Some(0.2)),
                "limit stopped processes for 20 %",
            ),
            (with(|checks| checks.wall_clock_step_s = Some(-2.0)), "set by -2.0 s"),
            (
                with(|checks| {
                    checks.steady = Some(false);
                    checks.steady_from_s = Some(25.0);
                }),
                "no steady state",
            ),
            (
                with(|checks| checks.littles_law_backlog_ratio = Some(1.2)),
                "sampled backlog is 1.20 times",
            ),
            (
                Evidence {
                    above_range: 3,
                    ..sound()
                },
                "3 latencies above",
            ),
        ] {
            let validity = judge(&evidence);
            assert!(validity.valid && says(&validity.warnings, part), "{part}: {validity:?}");
        }
    }

    #[test]
    fn what_could_not_be_measured_is_not_held_against_anybody() {
        let blind = Evidence {
            driver_lag: None,
            end_to_end: None,
            driver_cpu_share: None,
            residual_share: None,
            checks: Checks::default(),
            ..sound()
        };
        assert!(judge(&blind).valid);
    }

    #[test]
    fn the_embedded_broker_s_share_of_the_processors_is_not_held_against_the_driver() {
        let busy = Evidence {
            driver_cpu_share: Some(0.95),
            broker_in_driver: true,
            ..sound()
        };
        assert!(judge(&busy).valid && says(&judge(&busy).warnings, "ceiling"));
    }

    #[test]
    fn a_long_latency_allows_a_longer_lag() {
        assert!(
            judge(&Evidence {
                driver_lag: Some(5_000_000),
                end_to_end: Some(80_000_000),
                ..sound()
            })
            .valid
        );
    }
}
