//! The fault script: what is done to consumers, network and broker, when, and to how many.

use super::Builder;
use crate::events::{PipelineKind, Stage};
use crate::units::{Share, Span};
use crate::workload::keys::fault_path;
use crate::workload::model::{
    DatabaseFault, FaultKind, Load, NetworkFault, Pace, Placement, Point, ScriptedFault, StageSettings, StoreKind,
    Until, When, Whom,
};

/// Faults of a database begin like this.
const DATABASE: &str = "database-";
/// Faults of one node of a cluster.
const NODE: &str = "node-";

/// Ways to say when.
const TRIGGERS: [&str; 5] = ["at", "every", "random", "on", "after"];

impl Builder<'_> {
    pub(super) fn script(
        &mut self,
        pipeline: PipelineKind,
        load: &Load,
        stages: &[StageSettings],
    ) -> Vec<ScriptedFault> {
        let positions = 1..=self.settings.tables.faults;
        positions
            .filter_map(|position| self.scripted(position, pipeline, load, stages))
            .collect()
    }

    fn scripted(
        &mut self,
        position: usize,
        pipeline: PipelineKind,
        load: &Load,
        stages: &[StageSettings],
    ) -> Option<ScriptedFault> {
        let path = |key: &str| fault_path(position, key);
        let anywhere: Vec<String> = crate::workload::keys::FAULT_KEYS
            .iter()
            .map(|key| path(key.path))
            .collect();
        let anywhere: Vec<&str> = anywhere.iter().map(String::as_str).collect();
        let word = self.choice(&path("what"));
        let named = self.choice(&path("stage"));
        let stage = Stage::ALL.into_iter().find(|stage| Some(stage.name()) == named);
        let needs_stage = word.is_none_or(|word| !is_around(word) || word.starts_with(DATABASE));
        for (key, given, help) in [
            (
                "what",
                word.is_some(),
                "add what = \"connection-drop\", \"channel-close\", \"consumer-cancel\", \"hang\", \"panic\", \"sigkill\", \"sigstop\", \"network-…\", \"database-…\", \"broker-…\" or \"node-…\"",
            ),
            ("stage", stage.is_some() || !needs_stage, "add stage = \"…\""),
        ] {
            // A value that could not be read has been refused already.
            if !given && self.settings.written(&path(key)).is_none() {
                self.refuse(&anywhere, format!("fault {position} does not say its `{key}`"), help);
            }
        }
        let when = self.when(position, &anywhere, pipeline, load);
        if !word.is_some_and(|word| word.starts_with(NODE)) {
            self.refuse_written(
                &path("node"),
                format!(
                    "`{}` has an effect with node-kill, node-restart, node-pause and node-partition only",
                    path("node")
                ),
                "leave it out, or choose one of these",
            );
        }
        if let Some(word) = word.filter(|word| is_around(word)) {
            let what = if word.starts_with(DATABASE) {
                self.database(position, &anywhere, word, (pipeline, stage), stages)
            } else if word.starts_with(NODE) {
                self.node(position, &anywhere, word, (pipeline, stage))
            } else {
                self.around(position, &anywhere, word, pipeline, stage)
            };
            return Some(ScriptedFault {
                what: what?,
                stage,
                when: when?,
                whom: Whom::Count(1),
                restart_after: self.duration(&path("restart_after")).unwrap_or_default(),
                point: None,
            });
        }
        let what = self.fault_kind(position, &anywhere, word);
        self.refuse_of_network(position, &["delay", "jitter", "bandwidth"]);
        let (what, stage, when) = (what?, stage?, when?);
        let at = self.stage_of(pipeline, stage, &path("stage"))?;
        self.check_process(position, stage, &stages[at], what);
        let whom = self.whom(position, stage, &stages[at], what);
        let point = self.point(position, stage, what);
        Some(ScriptedFault {
            what,
            stage: Some(stage),
            when,
            whom,
            restart_after: self.duration(&path("restart_after")).unwrap_or_default(),
            point,
        })
    }

    /// Where `pipeline` has the stage that `path` names; refused if it has none.
    fn stage_of(&mut self, pipeline: PipelineKind, stage: Stage, path: &str) -> Option<usize> {
        let at = pipeline.position(stage);
        if at.is_none() {
            let known: Vec<&str> = pipeline.stages().iter().map(|stage| stage.name()).collect();
            self.refuse(
                &[path],
                format!("there is no {stage} stage in pipeline = \"{pipeline}\""),
                format!("its stages are {}", known.join(", ")),
            );
        }
        at
    }

    fn fault_kind(&mut self, position: usize, anywhere: &[&str], word: Option<&str>) -> Option<FaultKind> {
        let (lasts_path, restart_path) = (fault_path(position, "lasts"), fault_path(position, "restart_after"));
        let lasts = self.duration(&lasts_path);
        let kind = match word? {
            word @ ("hang" | "sigstop") => {
                self.refuse_written(
                    &restart_path,
                    format!("`{restart_path}` has no effect on a {word}: nobody leaves"),
                    format!("leave it out; {lasts_path} says how long it stands still"),
                );
                let Some(lasts) = lasts else {
                    self.refuse(
                        anywhere,
                        format!("fault {position} does not say how long its {word} lasts"),
                        "add lasts = \"5s\"",
                    );
                    return None;
                };
                return Some(match word {
                    "hang" => FaultKind::Hang(lasts),
                    _ => FaultKind::Sigstop(lasts),
                });
            }
            "sigkill" => FaultKind::Sigkill,
            "connection-drop" => FaultKind::ConnectionDrop,
            "channel-close" => FaultKind::ChannelClose,
            "consumer-cancel" => FaultKind::ConsumerCancel,
            _ => FaultKind::Panic,
        };
        self.refuse_written(
            &lasts_path,
            format!("`{lasts_path}` has an effect on a hang, a sigstop, the network, a database, a node-pause or a node-partition only"),
            "leave it out; restart_after says how long a consumer stays away",
        );
        Some(kind)
    }

    /// A fault of the network or the broker: nothing of it is about single consumers.
    fn around(
        &mut self,
        position: usize,
        anywhere: &[&str],
        word: &str,
        pipeline: PipelineKind,
        stage: Option<Stage>,
    ) -> Option<FaultKind> {
        let path = |key: &str| fault_path(position, key);
        self.refuse_of_consumers(position, word, (pipeline, stage));
        let of_broker = match word {
            "broker-restart" => Some(FaultKind::BrokerRestart),
            "broker-kill" => Some(FaultKind::BrokerKill),
            _ => None,
        };
        if let Some(kind) = of_broker {
            self.refuse_written(
                &path("stage"),
                format!(
                    "`{}` has no effect on a {word}: all stages have one broker",
                    path("stage")
                ),
                "leave it out",
            );
            self.refuse_written(
                &path("lasts"),
                format!("`{}` has no effect on a {word}", path("lasts")),
                "leave it out; restart_after says how long the broker stays down",
            );
            self.refuse_of_network(position, &["delay", "jitter", "bandwidth"]);
            return Some(kind);
        }
        self.refuse_written(
            &path("restart_after"),
            format!("`{}` has no effect on a {word}", path("restart_after")),
            "leave it out; lasts says how long the network is like this",
        );
        self.network(position, anywhere, word)
    }

    /// What is about the consumers of a stage, of which such a fault strikes none.
    pub(super) fn refuse_of_consumers(
        &mut self,
        position: usize,
        word: &str,
        (pipeline, stage): (PipelineKind, Option<Stage>),
    ) {
        let path = |key: &str| fault_path(position, key);
        for key in ["count", "share", "point"] {
            self.refuse_written(
                &path(key),
                format!(
                    "`{}` has no effect on a {word}: it strikes no single consumers",
                    path(key)
                ),
                "leave it out",
            );
        }
        if stage.is_none() {
            self.refuse_written(
                &path("after"),
                format!(
                    "`{}` counts the deliveries to a stage, and there is none",
                    path("after")
                ),
                "say when by at, every, random or on",
            );
        }
        if let Some(stage) = stage {
            // Where there is none, that is said; the rest is looked at all the same.
            let _ = self.stage_of(pipeline, stage, &path("stage"));
        }
    }

    fn network(&mut self, position: usize, anywhere: &[&str], word: &str) -> Option<FaultKind> {
        let path = |key: &str| fault_path(position, key);
        let (delay, jitter) = (self.duration(&path("delay")), self.duration(&path("jitter")));
        let (bandwidth, lasts) = (self.size(&path("bandwidth")), self.duration(&path("lasts")));
        let missing = |this: &mut Self, key: &str, help: &str| {
            if this.settings.written(&path(key)).is_none() {
                this.refuse(anywhere, format!("fault {position} does not say its `{key}`"), help);
            }
        };
        let others: &[&str] = match word {
            "network-delay" => &["bandwidth"],
            "network-bandwidth" => &["delay", "jitter"],
            _ => &["delay", "jitter", "bandwidth"],
        };
        self.refuse_of_network(position, others);
        if lasts.is_none() && word != "network-reset" {
            missing(self, "lasts", "add lasts = \"5s\"");
        }
        let fault = match word {
            "network-delay" => {
                if delay.is_none() {
                    missing(self, "delay", "add delay = \"50ms\"");
                }
                let (delay, jitter) = (delay?, jitter.unwrap_or_default());
                if jitter > delay {
                    self.refuse(
                        &[&path("jitter")],
                        format!("a jitter of {jitter} is more than the delay ({delay})"),
                        "nothing comes before it was sent: lower it, or raise the delay",
                    );
                }
                NetworkFault::Delay { delay, jitter }
            }
            "network-bandwidth" => {
                if bandwidth.is_none() {
                    missing(self, "bandwidth", "add bandwidth = \"64KiB\", which is per second");
                }
                let bandwidth = bandwidth?;
                if bandwidth.0 == 0 {
                    self.refuse(
                        &[&path("bandwidth")],
                        "nothing passes through a bandwidth of nothing",
                        "raise it, or write what = \"network-stall\"",
                    );
                }
                NetworkFault::Bandwidth(bandwidth)
            }
            "network-stall" => NetworkFault::Stall,
            "network-cut" => NetworkFault::Cut,
            "network-reset" => NetworkFault::Reset,
            _ => NetworkFault::HalfOpen,
        };
        let lasts = if fault == NetworkFault::Reset {
            lasts.or(Some(Span::ZERO))
        } else {
            lasts
        };
        Some(FaultKind::Network(fault, lasts?))
    }

    /// A fault of the stage's database.
    fn database(
        &mut self,
        position: usize,
        anywhere: &[&str],
        word: &str,
        (pipeline, stage): (PipelineKind, Option<Stage>),
        stages: &[StageSettings],
    ) -> Option<FaultKind> {
        let path = |key: &str| fault_path(position, key);
        for key in ["count", "share", "point", "restart_after"] {
            self.refuse_written(
                &path(key),
                format!("`{}` has no effect on a {word}: it strikes no consumers", path(key)),
                "leave it out; lasts says how long the database is like this",
            );
        }
        let slow = word == "database-slow";
        self.refuse_of_network(
            position,
            if slow {
                &["jitter", "bandwidth"]
            } else {
                &["delay", "jitter", "bandwidth"]
            },
        );
        let (lasts, delay) = (self.duration(&path("lasts")), self.duration(&path("delay")));
        for (key, missing, help) in [
            ("lasts", lasts.is_none(), "add lasts = \"5s\""),
            ("delay", slow && delay.is_none(), "add delay = \"50ms\""),
        ] {
            if missing && self.settings.written(&path(key)).is_none() {
                self.refuse(anywhere, format!("fault {position} does not say its `{key}`"), help);
            }
        }
        let stage = stage?;
        let at = self.stage_of(pipeline, stage, &path("stage"))?;
        let (store, store_path) = (stages[at].store, format!("stage.{stage}.store"));
        if !store.is_durable() {
            self.refuse(
                &[&path("what"), &path("stage"), &store_path],
                format!("the {stage} stage has no database that a {word} could strike"),
                format!(
                    "set {store_path} = \"postgres\"{}",
                    if word == "database-unreachable" {
                        ""
                    } else {
                        " or \"sqlite\""
                    }
                ),
            );
        } else if word == "database-unreachable" && store == StoreKind::Sqlite {
            self.refuse(
                &[&path("what"), &store_path],
                "a SQLite file is always within reach: there is no way to it that could be cut",
                format!("choose database-locked or database-slow, or set {store_path} = \"postgres\""),
            );
        }
        let fault = match word {
            "database-unreachable" => DatabaseFault::Unreachable,
            "database-slow" => DatabaseFault::Slow { delay: delay? },
            _ => DatabaseFault::Locked,
        };
        Some(FaultKind::Database(fault, lasts?))
    }

    /// Settings that only some other network fault has.
    pub(super) fn refuse_of_network(&mut self, position: usize, keys: &[&str]) {
        for key in keys {
            let whose = if *key == "bandwidth" {
                "network-bandwidth"
            } else if *key == "delay" {
                "network-delay or database-slow"
            } else {
                "network-delay"
            };
            self.refuse_written(
                &fault_path(position, key),
                format!("`{}` has an effect with {whose} only", fault_path(position, key)),
                "leave it out",
            );
        }
    }

    fn when(&mut self, position: usize, anywhere: &[&str], pipeline: PipelineKind, load: &Load) -> Option<When> {
        let path = |key: &str| fault_path(position, key);
        let given: Vec<&str> = TRIGGERS
            .into_iter()
            .filter(|key| self.settings.written(&path(key)).is_some())
            .collect();
        if given.len() != 1 {
            let places: Vec<String> = given.iter().skip(1).map(|key| path(key)).collect();
            let places: Vec<&str> = places
                .iter()
                .map(String::as_str)
                .chain(anywhere.iter().copied())
                .collect();
            let message = match given.as_slice() {
                [] => format!("fault {position} does not say when it happens"),
                [first, second, ..] => {
                    format!("fault {position} says twice when it happens, by `{first}` and by `{second}`")
                }
                [_] => return None,
            };
            self.refuse(&places, message, "give one of at, every, random, on and after");
            return None;
        }
        let repeated = matches!(given[0], "every" | "random");
        let (until, times) = (self.duration(&path("until")), self.count(&path("times")));
        if !repeated {
            for key in ["until", "times"] {
                self.refuse_written(
                    &path(key),
                    format!("`{}` has an effect with every or random only", path(key)),
                    "leave it out",
                );
            }
        }
        let end = match load.until {
            Until::Duration(duration) => Some(Span(load.warm_up.0 + duration.0)),
            Until::Orders(_) => None,
        };
        for key in ["at", "every", "until"] {
            if let (Some(when), Some(end)) = (self.duration(&path(key)), end)
                && when >= end
            {
                self.refuse(
                    &[&path(key)],
                    format!(
                        "`{}` comes after the load has ended ({end}), and with it the faults",
                        path(key)
                    ),
                    "choose an earlier time, or make the load longer",
                );
            }
        }
        let again = |pace| When::Repeated { pace, until, times };
        match given[0] {
            "at" => self.duration(&path("at")).map(When::At),
            "every" => self.duration(&path("every")).map(|every| again(Pace::Every(every))),
            "random" => {
                let rate = self.rate(&path("random"))?;
                if rate.per_second() <= 0.0 {
                    self.refuse(
                        &[&path("random")],
                        "a rate of nothing strikes nobody",
                        "raise it, or leave the fault out",
                    );
                }
                Some(again(Pace::Random(rate)))
            }
            "on" => {
                let condition = self.condition(&path("on"))?;
                if pipeline.position(condition.stage).is_none() {
                    self.refuse(
                        &[&path("on")],
                        format!("there is no {} stage in pipeline = \"{pipeline}\"", condition.stage),
                        "name a stage of this pipeline",
                    );
                }
                Some(When::On(condition))
            }
            _ => self.count(&path("after")).map(When::After),
        }
    }

    /// A signal needs a process to go to.
    fn check_process(&mut self, position: usize, stage: Stage, settings: &StageSettings, what: FaultKind) {
        if what.strikes_processes() && settings.placement != Placement::Process {
            let (path, placement) = (fault_path(position, "what"), format!("stage.{stage}.placement"));
            self.refuse(
                &[&path, &placement],
                format!(
                    "a {} strikes worker processes, and the {stage} stage runs in the driver",
                    what.name()
                ),
                format!("set {placement} = \"process\", or choose connection-drop"),
            );
        }
    }

    fn whom(&mut self, position: usize, stage: Stage, settings: &StageSettings, what: FaultKind) -> Whom {
        let (count_path, share_path) = (fault_path(position, "count"), fault_path(position, "share"));
        let (count, share) = (self.count(&count_path), self.share(&share_path));
        if count.is_some() && share.is_some() {
            self.refuse(
                &[&share_path],
                "whom a fault strikes is said twice, by `count` and by `share`",
                "leave one of them out",
            );
        }
        let (there, called, key) = match what.strikes_processes() {
            true => (settings.processes, "worker processes", "processes"),
            false => (settings.consumers, "consumers", "consumers"),
        };
        if let Some(count) = count.filter(|count| *count > u64::from(there)) {
            self.refuse(
                &[&count_path],
                format!("the {stage} stage has {there} {called}, not {count}"),
                format!("lower it, or raise stage.{stage}.{key}"),
            );
        }
        if share.is_some_and(|share| share.0 <= 0.0) {
            self.refuse(
                &[&share_path],
                "a share of nothing strikes nobody",
                "raise it, or leave the fault out",
            );
        }
        match (count, share) {
            (_, Some(Share(share))) => Whom::Share(Share(share)),
            (Some(count), None) => Whom::Count(u32::try_from(count).unwrap_or(u32::MAX)),
            (None, None) => Whom::Count(1),
        }
    }

    fn point(&mut self, position: usize, stage: Stage, what: FaultKind) -> Option<Point> {
        let path = fault_path(position, "point");
        let word = self.choice(&path);
        let point = Point::NAMES
            .into_iter()
            .find(|(name, _)| Some(*name) == word)
            .map(|(_, point)| point);
        if matches!(
            what,
            FaultKind::Hang(_) | FaultKind::ConsumerCancel | FaultKind::Sigstop(_)
        ) {
            self.refuse_written(
                &path,
                format!("`{path}` has no effect on a {}: it breaks no handler off", what.name()),
                "leave it out, or choose connection-drop, channel-close or panic",
            );
        } else if matches!(point, Some(Point::EffectToPublish | Point::PublishToConfirm)) && !stage.emits() {
            self.refuse(
                &[&path],
                format!("the {stage} stage publishes nothing, so nobody comes to that point"),
                "choose before-effect or confirm-to-ack, or another stage",
            );
        }
        match what {
            FaultKind::Panic => Some(point.unwrap_or(Point::BeforeEffect)),
            _ => point,
        }
    }
}

/// Whether this word is a fault of what is around the consumers: network, database, broker.
fn is_around(word: &str) -> bool {
    ["network-", "broker-", NODE, DATABASE]
        .iter()
        .any(|around| word.starts_with(around))
}
