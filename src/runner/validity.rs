//! The one rule that says whether a trial's figures count: was the driver the bottleneck, and do its sums agree?
//!
//! docs/METHOD.md gives the rule in words. What the broker does to the driver (blocks it, fills its window, does not drain its
//! socket) is a result, not a defect of the trial.

use crate::results::record::Validity;

/// Send lag that the driver itself may cause, whatever the latencies: nanoseconds.
const DRIVER_LAG_NS: u64 = 2_000_000;
/// … and as a share of the reported end-to-end p99.
const DRIVER_LAG_SHARE: f64 = 0.1;
/// Share of the planned load that must go out while the broker does not push back.
const ACHIEVED_SHARE: f64 = 0.99;
/// Share of the processors that the driver may use.
const DRIVER_CPU_SHARE: f64 = 0.8;
/// Share of the end-to-end time that the steps may leave unexplained.
const RESIDUAL_SHARE: f64 = 0.01;
/// Share of the machine that others may use before it is worth a warning.
const FOREIGN_CPU_SHARE: f64 = 0.1;

/// What the rule looks at.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// 99th percentile of the driver's own lag, nanoseconds; absent with too few orders.
    pub driver_lag_p99: Option<u64>,
    /// End-to-end p99, nanoseconds.
    pub end_to_end_p99: Option<u64>,
    /// Arrivals planned for the measured part.
    pub offered: Option<u64>,
    /// Of these, sent.
    pub sent: u64,
    /// Seconds that due orders were held back by the broker.
    pub held_s: f64,
    /// The driver's share of the processors over the load.
    pub driver_cpu_share: Option<f64>,
    /// Share of the processors that neither driver nor broker used but somebody did.
    pub foreign_cpu_share: Option<f64>,
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
}

/// Judges a trial.
pub fn judge(evidence: &Evidence) -> Validity {
    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    lag(evidence, &mut reasons, &mut warnings);
    if let Some(share) = evidence.driver_cpu_share.filter(|share| *share > DRIVER_CPU_SHARE) {
        let (used, allowed) = (share * 100.0, DRIVER_CPU_SHARE * 100.0);
        if evidence.broker_in_driver {
            warnings.push(format!(
                "driver and embedded broker used {used:.0} % of the processors: this is the driver's own ceiling"
            ));
        } else {
            reasons.push(format!(
                "the driver used {used:.0} % of the processors (at most {allowed:.0} %): it measured itself"
            ));
        }
    }
    if let Some(share) = evidence.residual_share.filter(|share| *share > RESIDUAL_SHARE) {
        let says = format!(
            "{:.1} % of the end-to-end time is not accounted for by the steps (at most {:.0} %)",
            share * 100.0,
            RESIDUAL_SHARE * 100.0
        );
        if evidence.redeliveries == 0 {
            reasons.push(says)
        } else {
            warnings.push(format!("{says}; redelivered steps count twice"))
        }
    }
    if let Some((asked, found)) = evidence.backlog_short {
        reasons.push(format!(
            "the backlog never stood: {found} of {asked} messages waited when the load was over"
        ));
    }
    if evidence.ended == 0 {
        reasons.push("no order came to its end".to_owned());
    }
    if evidence.interrupted {
        warnings.push("the load was cut short; the figures cover what was measured until then".to_owned());
    }
    if let Some(share) = evidence.foreign_cpu_share.filter(|share| *share > FOREIGN_CPU_SHARE) {
        warnings.push(format!(
            "noisy host: others used {:.0} % of the processors",
            share * 100.0
        ));
    }
    if evidence.above_range > 0 {
        warnings.push(format!(
            "{} latencies above the histograms' range of 1 h",
            evidence.above_range
        ));
    }
    if evidence.co_located {
        warnings.push(
            "co-located: broker and driver share this machine; compare results of the same machine only".to_owned(),
        );
    }
    if !evidence.drained && !evidence.interrupted {
        warnings.push(
            "the pipeline did not run empty by the drain's deadline: the drain time is longer than that".to_owned(),
        );
    }
    if cfg!(debug_assertions) {
        warnings.push("debug build: use cargo run --release for figures".to_owned());
    }
    Validity {
        valid: reasons.is_empty(),
        reasons,
        warnings,
    }
}

fn lag(evidence: &Evidence, reasons: &mut Vec<String>, warnings: &mut Vec<String>) {
    let allowed = evidence
        .end_to_end_p99
        .map_or(0.0, |p99| p99 as f64 * DRIVER_LAG_SHARE)
        .max(DRIVER_LAG_NS as f64);
    if let Some(p99) = evidence.driver_lag_p99.filter(|p99| *p99 as f64 > allowed) {
        reasons.push(format!(
            "the driver fell behind its own schedule: its send lag p99 is {:.1} ms, allowed {:.1} ms",
            p99 as f64 / 1e6,
            allowed / 1e6
        ));
    }
    if evidence.held_s > 0.0 {
        warnings.push(format!(
            "the broker held the load back for {:.1} s (blocked connection, full window or full socket)",
            evidence.held_s
        ));
    }
    if let Some(offered) = evidence.offered.filter(|offered| *offered > 0 && !evidence.interrupted) {
        let share = evidence.sent as f64 / offered as f64;
        if share < ACHIEVED_SHARE {
            let says = format!(
                "{} of {offered} planned orders were sent ({:.1} %)",
                evidence.sent,
                share * 100.0
            );
            if evidence.held_s > 0.0 {
                warnings.push(says)
            } else {
                reasons.push(says)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Evidence {
        Evidence {
            driver_lag_p99: Some(200_000),
            end_to_end_p99: Some(30_000_000),
            offered: Some(1_000),
            sent: 1_000,
            driver_cpu_share: Some(0.2),
            residual_share: Some(0.001),
            ended: 1_000,
            drained: true,
            ..Evidence::default()
        }
    }

    #[test]
    fn a_sound_trial_is_valid() {
        assert!(judge(&sound()).valid);
    }

    #[test]
    fn a_driver_that_was_the_bottleneck_invalidates_its_trial() {
        for (evidence, says) in [
            (
                Evidence {
                    driver_lag_p99: Some(5_000_000),
                    ..sound()
                },
                "fell behind",
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
        ] {
            let validity = judge(&evidence);
            assert!(
                !validity.valid && validity.reasons.iter().any(|reason| reason.contains(says)),
                "{says}: {validity:?}"
            );
        }
    }

    #[test]
    fn a_broker_that_pushes_back_is_a_result_and_no_defect() {
        let validity = judge(&Evidence {
            sent: 500,
            held_s: 12.0,
            ..sound()
        });
        assert!(
            validity.valid
                && validity
                    .warnings
                    .iter()
                    .any(|warning| warning.contains("held the load back"))
        );
    }

    #[test]
    fn the_embedded_broker_s_share_of_the_processors_is_not_held_against_the_driver() {
        let busy = Evidence {
            driver_cpu_share: Some(0.95),
            broker_in_driver: true,
            ..sound()
        };
        assert!(judge(&busy).valid && judge(&busy).warnings.iter().any(|warning| warning.contains("ceiling")));
    }

    #[test]
    fn a_long_latency_allows_a_longer_lag() {
        assert!(
            judge(&Evidence {
                driver_lag_p99: Some(5_000_000),
                end_to_end_p99: Some(80_000_000),
                ..sound()
            })
            .valid
        );
    }
}
