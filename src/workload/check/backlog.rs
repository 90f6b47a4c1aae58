//! Stages that are held back: by count, or for a time.

use super::Builder;
use crate::events::{PipelineKind, Stage};
use crate::units::Span;
use crate::workload::model::{Backlog, BacklogArrivals, Load, StageOutage, Until};
use crate::workload::pattern::{Arrival, Jitter, Pattern, Shape};

impl Builder<'_> {
    pub(super) fn backlog(&mut self, pipeline: PipelineKind, load: &Load) -> Option<Backlog> {
        const KEYS: [&str; 2] = ["backlog.stage", "backlog.messages"];
        let stage = self.stage_named("backlog.stage", pipeline);
        let messages = self.count("backlog.messages");
        let (stage, messages) = match (stage, messages) {
            (Some(stage), Some(messages)) => (stage, messages),
            (None, None) if self.choice("backlog.stage").is_none() => {
                self.refuse_written(
                    "backlog.arrivals",
                    "`backlog.arrivals` has no effect without a backlog",
                    "add backlog.stage and backlog.messages, or leave it out",
                );
                return None;
            }
            // A stage of another pipeline has been refused already.
            (None, Some(_)) if self.choice("backlog.stage").is_some() => return None,
            _ => {
                self.refuse(
                    &KEYS,
                    "a backlog needs both its stage and its messages",
                    "write [backlog] with stage = \"payment\" and messages = 5000",
                );
                return None;
            }
        };
        if load.arrival.is_closed() {
            self.refuse(
                &KEYS,
                "a backlog is measured under an open loop: users would wait for the stage that is held back, and publishers at full speed know no rate",
                "choose an open loop, such as load.arrival = \"constant\"",
            );
        }
        if let Some(arrivals) =
            arrivals_at_most(load).filter(|arrivals| *arrivals < messages && stage_sees_one_each(stage))
        {
            self.refuse(
                &["backlog.messages"],
                format!("a backlog of {messages} messages never stands: the load has {arrivals} orders"),
                "lower backlog.messages, or lengthen the load",
            );
        }
        let arrivals = if self.choice("backlog.arrivals") == Some("stop") {
            BacklogArrivals::Stop
        } else {
            BacklogArrivals::Continue
        };
        Some(Backlog {
            stage,
            messages,
            arrivals,
        })
    }

    pub(super) fn stage_outage(&mut self, pipeline: PipelineKind, load: &Load) -> Option<StageOutage> {
        const KEYS: [&str; 3] = [
            "fault.stage_outage.stage",
            "fault.stage_outage.at",
            "fault.stage_outage.lasts",
        ];
        let stage = self.stage_named(KEYS[0], pipeline);
        let (at, lasts) = (self.duration(KEYS[1]), self.duration(KEYS[2]));
        let outage = match (stage, at, lasts) {
            (Some(stage), Some(at), Some(lasts)) => StageOutage { stage, at, lasts },
            (None, None, None) => return None,
            _ if stage.is_none() && self.choice(KEYS[0]).is_some() => return None,
            _ => {
                self.refuse(
                    &KEYS,
                    "an outage of a stage needs its stage, its start and its length",
                    "write [fault.stage_outage] with stage = \"inventory\", at = \"5s\" and lasts = \"10s\"",
                );
                return None;
            }
        };
        if let Until::Duration(duration) = load.until {
            let end = Span(load.warm_up.0 + duration.0);
            if outage.at >= end {
                self.refuse(
                    &[KEYS[1]],
                    format!("the outage would begin when the load is over ({end})"),
                    "start it earlier, or make the load longer",
                );
            }
        }
        if self.settings.written("backlog.stage").is_some() {
            self.refuse(
                &KEYS,
                "an outage and a backlog in one trial: their drains could not be told apart",
                "keep one of [fault.stage_outage] and [backlog]",
            );
        }
        Some(outage)
    }

    /// The stage that the key names, if this pipeline has it.
    fn stage_named(&mut self, path: &str, pipeline: PipelineKind) -> Option<Stage> {
        let name = self.choice(path)?;
        let stage = pipeline.stages().iter().copied().find(|stage| stage.name() == name);
        if stage.is_none() {
            let stages: Vec<&str> = pipeline.stages().iter().map(|stage| stage.name()).collect();
            self.refuse(
                &[path],
                format!("pipeline = \"{pipeline}\" has no stage `{name}`"),
                format!("its stages are {}", stages.join(", ")),
            );
        }
        stage
    }
}

/// Orders of the whole load, where they are known beforehand.
fn arrivals_at_most(load: &Load) -> Option<u64> {
    match load.until {
        Until::Orders(orders) => Some(orders),
        Until::Duration(duration) => {
            let all_s = (load.warm_up.0 + duration.0).as_secs_f64();
            match &load.arrival {
                Arrival::Open(Pattern {
                    shape: Shape::Constant { rate },
                    jitter: Jitter::None,
                }) => Some((rate.per_second() * all_s).ceil() as u64),
                _ => None,
            }
        }
    }
}

/// Whether the stage's queue has at most one message of an order.
fn stage_sees_one_each(stage: Stage) -> bool {
    stage.consumes().len() == 1
}
