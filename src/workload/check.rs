//! Turns entries into a valid [`Workload`], or into everything that is wrong with them at once.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file::{self, Entry};
use super::keys::{self, Value};
use super::model::{
    AckMode, Arrival, BrokerPause, Canary, Dedupe, Defect, Drain, ExchangeType, Faults, Load, Orders, Publish, Sample,
    StageSettings, StatedPromises, Topology, TrialSettings, Until, Workload,
};
use super::problem::{Colour, Place, Problem, Source, render};
use crate::events::Stage;
use crate::units::Span;

/// Largest workload file, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Nearest known key: at least this similar (Jaro–Winkler) to be worth a hint.
const SIMILAR: f64 = 0.8;
/// The load's length when neither a time nor a number of orders is given; the table of keys says so in words.
const DURATION_DEFAULT: Span = Span::from_secs(30);

/// Why there is no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The file cannot be read.
    #[error("cannot read the workload {}: {source}\nhelp: `orderstorm list` names the shipped workloads", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any workload.
    #[error("the workload {} is larger than {max} bytes\nhelp: name a TOML workload file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, bytes.
        max: u64,
    },
    /// The file or the arguments say something wrong.
    #[error("{}", render(problems, sources, Colour::Plain))]
    Invalid {
        /// All mistakes, in the order of their places.
        problems: Vec<Problem>,
        /// The texts that they point into.
        sources: Vec<Source>,
    },
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// The workload file.
    File,
    /// `--set`.
    CommandLine,
}

/// One setting of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Dotted path.
    pub path: String,
    /// The value, as it would be written.
    pub value: String,
    /// Who says so.
    pub origin: Origin,
}

/// A workload that has passed.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The workload.
    pub workload: Workload,
    /// Every setting, defaults included, in the order of the key table.
    pub settings: Vec<Setting>,
    /// The file's text, word for word.
    pub text: String,
}

/// Reads and checks a workload file with `--set KEY=VALUE` overrides.
///
/// # Errors
/// [`WorkloadError::Invalid`] with every mistake found; the other variants when the file cannot be read.
pub fn load(path: &Path, overrides: &[String]) -> Result<Checked, WorkloadError> {
    let failed = |source| WorkloadError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .map_err(failed)?
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if read as u64 > FILE_MAX {
        return Err(WorkloadError::TooLarge {
            path: path.to_owned(),
            max: FILE_MAX,
        });
    }
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    check(&path.display().to_string(), &stem, text, overrides)
}

/// Checks a workload's text; `name` is shown in messages, `stem` names the workload if the text does not.
///
/// # Errors
/// [`WorkloadError::Invalid`] with every mistake found.
pub fn check(name: &str, stem: &str, text: String, overrides: &[String]) -> Result<Checked, WorkloadError> {
    let mut sources = vec![Source {
        name: name.to_owned(),
        text: text.clone(),
    }];
    sources.extend(overrides.iter().map(|argument| file::argument_source(argument)));
    let mut problems = Vec::new();
    let mut entries = file::entries_of_file(0, &text, &mut problems);
    for (i, argument) in overrides.iter().enumerate() {
        entries.extend(file::entry_of_argument(i + 1, argument, &mut problems));
    }
    let mut settings = Settings::resolve(&entries, &mut problems);
    settings.default_name(stem, &mut problems);
    settings.default_duration();
    let workload = Builder {
        settings: &settings,
        problems: &mut problems,
    }
    .workload(file::question(&text));
    if problems.is_empty() {
        Ok(Checked {
            workload,
            settings: settings.listed(),
            text,
        })
    } else {
        problems.sort_by_key(|problem| (problem.place.source, problem.place.span.start));
        problems.dedup();
        Err(WorkloadError::Invalid { problems, sources })
    }
}

/// A value and, if somebody wrote it, where.
#[derive(Debug, Clone)]
struct Found {
    value: Option<Value>,
    places: Option<(Place, Place)>,
}

/// Every key's value.
struct Settings {
    found: HashMap<String, Found>,
}

impl Settings {
    fn resolve(entries: &[Entry], problems: &mut Vec<Problem>) -> Self {
        let mut found: HashMap<String, Found> = keys::concrete()
            .map(|(path, key)| {
                let value = key.default.map(|written| key.kind.default_value(written));
                (path, Found { value, places: None })
            })
            .collect();
        for entry in entries {
            let Some(key) = keys::find(&entry.path) else {
                problems.push(unknown_key(entry));
                continue;
            };
            match key.kind.read(&entry.raw) {
                // Later entries win: `--set` over the file. TOML itself refuses a key given twice.
                Ok(value) => {
                    let places = Some((entry.key.clone(), entry.value.clone()));
                    found.insert(
                        entry.path.clone(),
                        Found {
                            value: Some(value),
                            places,
                        },
                    );
                }
                Err(message) => problems.push(Problem {
                    place: entry.value.clone(),
                    message: format!("`{}`: {message}", entry.path),
                    help: Some(key.doc.to_owned()),
                }),
            }
        }
        Settings { found }
    }

    /// A workload without a name bears its file's.
    fn default_name(&mut self, stem: &str, problems: &mut Vec<Problem>) {
        let Some(found) = self.found.get_mut("name") else {
            return;
        };
        if found.value.is_none() {
            if keys::is_name(stem) {
                found.value = Some(Value::Name(stem.to_owned()));
            } else {
                problems.push(Problem {
                    place: Place { source: 0, span: 0..0 },
                    message: format!("the file's name, `{stem}`, cannot name the workload"),
                    help: Some(
                        "add a line such as name = \"my-workload\" (letters, digits, `.`, `_`, `-`; at most 64)"
                            .to_owned(),
                    ),
                });
            }
        }
    }

    /// A load that nobody gave an end has one all the same, and the plan says which.
    fn default_duration(&mut self) {
        if self.written("load.orders").is_none()
            && let Some(duration) = self.found.get_mut("load.duration")
        {
            duration.value.get_or_insert(Value::Duration(DURATION_DEFAULT));
        }
    }

    fn value(&self, path: &str) -> Option<&Value> {
        self.found.get(path).and_then(|found| found.value.as_ref())
    }

    /// Where the key was written, if it was.
    fn written(&self, path: &str) -> Option<&(Place, Place)> {
        self.found.get(path).and_then(|found| found.places.as_ref())
    }

    fn listed(&self) -> Vec<Setting> {
        keys::concrete()
            .filter_map(|(path, _)| {
                let found = self.found.get(&path)?;
                let value = found.value.as_ref()?.to_string();
                let origin = match &found.places {
                    None => Origin::Default,
                    Some((key, _)) if key.source == 0 => Origin::File,
                    Some(_) => Origin::CommandLine,
                };
                Some(Setting { path, value, origin })
            })
            .collect()
    }
}

fn unknown_key(entry: &Entry) -> Problem {
    let nearest = keys::concrete()
        .map(|(path, _)| (strsim::jaro_winkler(&path, &entry.path), path))
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .filter(|(similarity, _)| *similarity >= SIMILAR);
    Problem {
        place: entry.key.clone(),
        message: format!("unknown key `{}`", entry.path),
        help: Some(match nearest {
            Some((_, path)) => format!("did you mean `{path}`?"),
            None => "`orderstorm schema` and docs/WORKLOADS.md list every key".to_owned(),
        }),
    }
}

/// Builds the model; typed getters, then checks of settings against each other.
struct Builder<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<Problem>,
}

/// A getter for one kind of value. The table gives each key a default or makes it optional, and the reader checked the
/// kind, so the fallback is met only where a mistake has been noted already.
macro_rules! getters {
    ($($name:ident: $variant:ident -> $type:ty),* $(,)?) => {$(
        fn $name(&self, path: &str) -> Option<$type> {
            match self.settings.value(path) {
                Some(Value::$variant(value)) => Some(value.clone().into()),
                _ => None,
            }
        }
    )*};
}

impl Builder<'_> {
    getters! {
        duration: Duration -> Span,
        rate: Rate -> crate::units::Rate,
        size: Size -> crate::units::Size,
        share: Share -> crate::units::Share,
        count: Count -> u64,
        limit: Limit -> Option<u64>,
        flag: Flag -> bool,
        choice: Choice -> &'static str,
        name: Name -> String,
        service_time: ServiceTime -> super::model::ServiceTime,
    }

    fn count_u32(&self, path: &str) -> u32 {
        self.count(path)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1)
    }

    /// A contradiction at `path`, if the user wrote that key.
    fn refuse_written(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        if let Some((_, value)) = self.settings.written(path) {
            let place = value.clone();
            self.problems.push(Problem {
                place,
                message: message.into(),
                help: Some(help.into()),
            });
        }
    }

    /// A contradiction between settings: pointed at the first of `paths` that the user wrote, which exists unless the
    /// defaults themselves contradict each other.
    fn refuse(&mut self, paths: &[&str], message: impl Into<String>, help: impl Into<String>) {
        let place = paths
            .iter()
            .find_map(|path| self.settings.written(path))
            .map_or(Place { source: 0, span: 0..0 }, |(_, value)| value.clone());
        self.problems.push(Problem {
            place,
            message: message.into(),
            help: Some(help.into()),
        });
    }

    fn workload(mut self, question: String) -> Workload {
        let load = self.load();
        let publish = self.publish();
        let topology = self.topology();
        let orders = self.orders();
        let stages: Vec<StageSettings> = Stage::ALL.into_iter().map(|stage| self.stage(stage)).collect();
        let faults = self.faults(&load);
        let canary = self.canary(&orders);
        let workload = Workload {
            name: self.name("name").unwrap_or_default(),
            question,
            seed: self.count("seed").unwrap_or_default(),
            load,
            orders,
            publish,
            topology,
            stages,
            promises: StatedPromises {
                nothing_lost: self.flag("promises.nothing_lost").unwrap_or_default(),
                nothing_twice: self.flag("promises.nothing_twice").unwrap_or_default(),
                prefetch_respected: self.flag("promises.prefetch_respected").unwrap_or_default(),
            },
            drain: Drain {
                deadline: self.duration("drain.deadline").unwrap_or_default(),
            },
            sample: Sample {
                interval: self.duration("sample.interval").unwrap_or_default(),
            },
            trial: TrialSettings {
                repeats: self.count_u32("trial.repeats"),
            },
            faults,
            canary,
        };
        self.check_promises(&workload);
        workload
    }

    fn load(&mut self) -> Load {
        let arrival = self.arrival();
        let until = match (
            self.settings.written("load.duration"),
            self.settings.written("load.orders"),
        ) {
            (Some(_), Some(_)) => {
                self.refuse(
                    &["load.orders"],
                    "both load.duration and load.orders are given",
                    "keep the one that shall end the load",
                );
                Until::Duration(Span::ZERO)
            }
            (_, None) => Until::Duration(self.duration("load.duration").unwrap_or(DURATION_DEFAULT)),
            (None, Some(_)) => Until::Orders(self.count("load.orders").unwrap_or(1)),
        };
        let confirm_window = self.limit("load.confirm_window").flatten();
        if confirm_window.is_some() && self.flag("publish.confirms") == Some(false) {
            self.refuse(
                &["load.confirm_window", "publish.confirms"],
                "a confirm window without publisher confirms never fills nor empties",
                "set publish.confirms = true, or leave load.confirm_window out",
            );
        }
        Load {
            arrival,
            until,
            warm_up: self.duration("load.warm_up").unwrap_or_default(),
            connections: self.count_u32("load.connections"),
            confirm_window: confirm_window.and_then(|window| u32::try_from(window).ok()),
        }
    }

    fn arrival(&mut self) -> Arrival {
        const SHAPED: [(&str, &[&str]); 6] = [
            ("load.rate", &["constant", "poisson", "burst"]),
            ("load.burst_rate", &["burst"]),
            ("load.burst_width", &["burst"]),
            ("load.burst_every", &["burst"]),
            ("load.users", &["closed"]),
            ("load.think_time", &["closed"]),
        ];
        let shape = self.choice("load.arrival").unwrap_or("constant");
        for (path, shapes) in SHAPED {
            if !shapes.contains(&shape) {
                self.refuse_written(
                    path,
                    format!("`{path}` has no effect with load.arrival = \"{shape}\""),
                    format!("leave it out, or choose load.arrival = \"{}\"", shapes[0]),
                );
            }
        }
        let rate = self.rate("load.rate").unwrap_or_default();
        if matches!(shape, "constant" | "poisson") && rate.per_second() <= 0.0 {
            self.refuse(
                &["load.rate"],
                "a rate of 0/s never sends an order",
                "write a rate above zero, such as \"100/s\"",
            );
        }
        match shape {
            "poisson" => Arrival::Poisson { rate },
            "burst" => self.burst(rate),
            "closed" => {
                if self.settings.written("load.users").is_none() {
                    self.refuse(
                        &["load.arrival"],
                        "a closed loop needs load.users",
                        "add load.users = 10",
                    );
                }
                Arrival::Closed {
                    users: self.count_u32("load.users"),
                    think_time: self.duration("load.think_time").unwrap_or_default(),
                }
            }
            _ => Arrival::Constant { rate },
        }
    }

    fn burst(&mut self, rate: crate::units::Rate) -> Arrival {
        for path in ["load.burst_rate", "load.burst_width", "load.burst_every"] {
            if self.settings.value(path).is_none() && self.settings.written(path).is_none() {
                self.refuse(
                    &["load.arrival"],
                    format!("a burst train needs {path}"),
                    "for example burst_rate = \"2000/s\", burst_width = \"500ms\", burst_every = \"10s\"",
                );
            }
        }
        let burst_rate = self.rate("load.burst_rate").unwrap_or_default();
        let width = self.duration("load.burst_width").unwrap_or(Span::from_millis(1));
        let every = self.duration("load.burst_every").unwrap_or(Span::from_millis(2));
        if width >= every {
            self.refuse(
                &["load.burst_width", "load.burst_every"],
                format!("a burst of {width} does not fit into its period of {every}"),
                "make load.burst_every longer than load.burst_width",
            );
        }
        if burst_rate.per_second() <= 0.0 && self.settings.written("load.burst_rate").is_some() {
            self.refuse(
                &["load.burst_rate"],
                "a burst of 0/s is no burst",
                "write a rate above zero, such as \"2000/s\"",
            );
        }
        Arrival::Burst {
            rate,
            burst_rate,
            width,
            every,
        }
    }

    fn orders(&mut self) -> Orders {
        let (items, lines_max) = (self.count_u32("orders.items"), self.count_u32("orders.lines_max"));
        if lines_max > items && self.settings.written("orders.lines_max").is_some() {
            self.refuse(
                &["orders.lines_max"],
                format!("an order cannot have {lines_max} lines of different items: there are {items} items"),
                "raise orders.items or lower orders.lines_max",
            );
        }
        Orders {
            items,
            stock_per_item: self.limit("orders.stock_per_item").flatten(),
            lines_max: lines_max.min(items),
            quantity_max: self.count_u32("orders.quantity_max"),
            payment_decline: self.share("orders.payment_decline").unwrap_or_default(),
            body_size: self.size("orders.body_size").unwrap_or_default(),
        }
    }

    fn publish(&mut self) -> Publish {
        let confirms = self.flag("publish.confirms").unwrap_or(true);
        if !confirms {
            self.refuse_written(
                "publish.confirm_timeout",
                "`publish.confirm_timeout` has no effect without publisher confirms",
                "leave it out, or set publish.confirms = true",
            );
        }
        Publish {
            confirms,
            mandatory: self.flag("publish.mandatory").unwrap_or(true),
            persistent: self.flag("publish.persistent").unwrap_or(true),
            confirm_timeout: self.duration("publish.confirm_timeout").unwrap_or_default(),
        }
    }

    fn topology(&mut self) -> Topology {
        Topology {
            order_exchange: match self.choice("topology.order_exchange") {
                Some("direct") => ExchangeType::Direct,
                Some("fanout") => ExchangeType::Fanout,
                _ => ExchangeType::Topic,
            },
            durable: self.flag("topology.durable").unwrap_or(true),
            dead_letter: self.flag("topology.dead_letter").unwrap_or(true),
        }
    }

    fn stage(&mut self, stage: Stage) -> StageSettings {
        let path = |key: &str| format!("stage.{stage}.{key}");
        let ack = if self.choice(&path("ack")) == Some("auto") {
            AckMode::Auto
        } else {
            AckMode::Manual
        };
        let prefetch = self.limit(&path("prefetch")).flatten();
        let batch = self.count(&path("ack_batch")).unwrap_or(1);
        let concurrency = self.count(&path("concurrency")).unwrap_or(1);
        if ack == AckMode::Auto {
            for key in ["prefetch", "ack_batch", "ack_flush"] {
                self.refuse_written(
                    &path(key),
                    format!(
                        "`{}` has no effect with automatic acknowledgement: the broker sends without waiting",
                        path(key)
                    ),
                    format!("leave it out, or set {} = \"manual\"", path("ack")),
                );
            }
        } else if let Some(limit) = prefetch {
            if batch > limit {
                self.refuse(
                    &[&path("ack_batch"), &path("prefetch")],
                    format!("a batch of {batch} acknowledgements never fills with a prefetch of {limit}: the broker would stop sending first"),
                    format!("set {} to at most {limit}, or raise {}", path("ack_batch"), path("prefetch")),
                );
            }
            if concurrency > limit {
                self.refuse(
                    &[&path("concurrency"), &path("prefetch")],
                    format!("{concurrency} jobs at once are never reached with a prefetch of {limit}"),
                    format!("raise {}, or lower {}", path("prefetch"), path("concurrency")),
                );
            }
        }
        if batch == 1 {
            self.refuse_written(
                &path("ack_flush"),
                format!(
                    "`{}` has no effect with an acknowledgement for each delivery",
                    path("ack_flush")
                ),
                format!("leave it out, or set {} above 1", path("ack_batch")),
            );
        }
        StageSettings {
            consumers: self.count_u32(&path("consumers")),
            prefetch: prefetch.and_then(|limit| u16::try_from(limit).ok()),
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
            service_time: self
                .service_time(&path("service_time"))
                .unwrap_or(super::model::ServiceTime::None),
            ack,
            ack_batch: u16::try_from(batch).unwrap_or(u16::MAX),
            ack_flush: self.duration(&path("ack_flush")).unwrap_or_default(),
            dedupe: if self.choice(&path("dedupe")) == Some("none") {
                Dedupe::None
            } else {
                Dedupe::Memory
            },
        }
    }

    fn faults(&mut self, load: &Load) -> Faults {
        let (at, lasts) = (
            self.duration("fault.broker_pause.at"),
            self.duration("fault.broker_pause.lasts"),
        );
        let pause = match (at, lasts) {
            (Some(at), Some(lasts)) => Some(BrokerPause { at, lasts }),
            (None, None) => None,
            _ => {
                self.refuse(
                    &["fault.broker_pause.at", "fault.broker_pause.lasts"],
                    "a pause of the broker needs both its start and its length",
                    "write [fault.broker_pause] with at = \"10s\" and lasts = \"5s\"",
                );
                None
            }
        };
        if let (Some(pause), Until::Duration(duration)) = (&pause, load.until) {
            let end = load.warm_up.0 + duration.0;
            if pause.at.0 + pause.lasts.0 > end {
                self.refuse(
                    &["fault.broker_pause.at", "fault.broker_pause.lasts"],
                    format!("the pause would end after the load does ({})", Span(end)),
                    "start it earlier, make it shorter, or make the load longer",
                );
            }
        }
        Faults { broker_pause: pause }
    }

    fn canary(&mut self, orders: &Orders) -> Option<Canary> {
        let Some(word) = self.choice("canary.defect") else {
            self.refuse_written(
                "canary.every",
                "`canary.every` has no effect without canary.defect",
                "add canary.defect, or leave it out",
            );
            return None;
        };
        let defect = Defect::NAMES.into_iter().find(|(name, _)| *name == word)?.1;
        if defect == Defect::Oversell && orders.stock_per_item.is_none() {
            self.refuse(
                &["canary.defect"],
                "an unlimited stock cannot be oversold",
                "set orders.stock_per_item",
            );
        }
        Some(Canary {
            defect,
            every: self.count("canary.every").unwrap_or(1),
        })
    }

    /// A stated promise that the settings cannot give.
    fn check_promises(&mut self, workload: &Workload) {
        if workload.promises.nothing_lost {
            for (path, given, why) in [
                (
                    "publish.confirms",
                    workload.publish.confirms,
                    "without confirms nobody knows what the broker took",
                ),
                (
                    "publish.mandatory",
                    workload.publish.mandatory,
                    "without mandatory an unroutable message is confirmed and gone",
                ),
                (
                    "publish.persistent",
                    workload.publish.persistent,
                    "transient messages are gone after a restart of the broker",
                ),
                (
                    "topology.durable",
                    workload.topology.durable,
                    "transient queues are gone after a restart of the broker",
                ),
            ] {
                if !given {
                    self.refuse(
                        &[path, "promises.nothing_lost"],
                        format!("`promises.nothing_lost` cannot be given: {why}"),
                        format!("set {path} = true"),
                    );
                }
            }
            for stage in Stage::ALL
                .into_iter()
                .filter(|stage| workload.stage(*stage).ack == AckMode::Auto)
            {
                let path = format!("stage.{stage}.ack");
                self.refuse(
                    &[&path, "promises.nothing_lost"],
                    "`promises.nothing_lost` cannot be given: with automatic acknowledgement what is in flight to a consumer is lost with it",
                    format!("set {path} = \"manual\""),
                );
            }
        }
        for stage in Stage::ALL {
            if workload.promises.nothing_twice && workload.stage(stage).dedupe == Dedupe::None {
                let path = format!("stage.{stage}.dedupe");
                self.refuse(
                    &[&path, "promises.nothing_twice"],
                    "`promises.nothing_twice` cannot be given: a stage that remembers nothing repeats its effect at each redelivery",
                    format!("set {path} = \"memory\""),
                );
            }
            let settings = workload.stage(stage);
            if workload.promises.prefetch_respected && (settings.prefetch.is_none() || settings.ack == AckMode::Auto) {
                let path = format!("stage.{stage}.prefetch");
                self.refuse(
                    &[&path, &format!("stage.{stage}.ack"), "promises.prefetch_respected"],
                    format!("`promises.prefetch_respected` cannot be given: the {stage} stage has no limit"),
                    format!("set {path} to a number"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Checked {
        check("w.toml", "w", text.to_owned(), &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(text: &str, overrides: &[&str]) -> (Vec<Problem>, String) {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        match check("w.toml", "w", text.to_owned(), &overrides) {
            Err(error @ WorkloadError::Invalid { .. }) => {
                let message = error.to_string();
                let WorkloadError::Invalid { problems, .. } = error else {
                    return (Vec::new(), message);
                };
                (problems, message)
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn an_empty_file_is_the_default_experiment() {
        let workload = checked("").workload;
        assert_eq!(workload.name, "w");
        assert_eq!(workload.load.until, Until::Duration(Span::from_secs(30)));
        assert_eq!(workload.stages.len(), Stage::ALL.len());
    }

    #[test]
    fn all_mistakes_are_shown_at_once_with_line_column_and_hint() {
        let (problems, message) = refused(
            "seed = 1\n[load]\nrte = \"5/s\"\nduration = 30\n[stage.payment]\nprefetch = 0\n",
            &["stage.audit.ack=maybe"],
        );
        assert_eq!(problems.len(), 4, "{message}");
        for part in [
            "w.toml:3:1",
            "did you mean `load.rate`?",
            "w.toml:4:12",
            "w.toml:6:12",
            "out of range",
            "--set:1:17",
            "\"manual\", \"auto\"",
        ] {
            assert!(message.contains(part), "{part} is missing in\n{message}");
        }
    }

    #[test]
    fn a_syntax_error_does_not_hide_the_other_mistakes() {
        let (problems, message) = refused("seed = = 3\n[load]\nrte = \"5/s\"\n", &[]);
        assert!(problems.len() >= 2, "{message}");
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_plan_says_who_spoke() {
        let overrides = [
            "load.rate=500/s".to_owned(),
            "stage.payment.service_time=5ms".to_owned(),
        ];
        let checked = check(
            "w.toml",
            "w",
            "[load]\nrate = \"5/s\"\nduration = \"3s\"".to_owned(),
            &overrides,
        )
        .expect("legal");
        assert_eq!(
            checked.workload.load.arrival,
            Arrival::Constant {
                rate: crate::units::Rate(500.0)
            }
        );
        let origin = |path: &str| {
            checked
                .settings
                .iter()
                .find(|setting| setting.path == path)
                .map(|setting| setting.origin)
        };
        assert_eq!(origin("load.rate"), Some(Origin::CommandLine));
        assert_eq!(origin("load.duration"), Some(Origin::File));
        assert_eq!(origin("seed"), Some(Origin::Default));
    }

    #[test]
    fn contradictions_are_refused() {
        for (text, says) in [
            (
                "load = { arrival = \"closed\", users = 3, rate = \"5/s\" }",
                "no effect with load.arrival = \"closed\"",
            ),
            ("load = { arrival = \"closed\" }", "needs load.users"),
            ("load = { arrival = \"burst\" }", "needs load.burst_rate"),
            (
                "load = { duration = \"1s\", orders = 3 }",
                "both load.duration and load.orders",
            ),
            ("[stage.audit]\nack_batch = 20\nprefetch = 10", "never fills"),
            ("[stage.audit]\nconcurrency = 20\nprefetch = 10", "never reached"),
            (
                "[stage.audit]\nack = \"auto\"\nprefetch = 10",
                "no effect with automatic",
            ),
            (
                "[stage.audit]\nack_flush = \"5ms\"",
                "no effect with an acknowledgement for each",
            ),
            (
                "[promises]\nprefetch_respected = true\n[stage.audit]\nprefetch = \"unlimited\"",
                "cannot be given",
            ),
            (
                "[promises]\nnothing_lost = true\n[publish]\nconfirms = false",
                "cannot be given",
            ),
            (
                "[promises]\nnothing_twice = true\n[stage.sms]\ndedupe = \"none\"",
                "cannot be given",
            ),
            ("[fault.broker_pause]\nat = \"1s\"", "needs both"),
            (
                "[fault.broker_pause]\nat = \"29s\"\nlasts = \"2s\"",
                "after the load does",
            ),
            ("[canary]\nevery = 3", "no effect without canary.defect"),
            ("[canary]\ndefect = \"oversell\"", "cannot be oversold"),
            (
                "[publish]\nconfirms = false\n[load]\nconfirm_window = 10",
                "never fills nor empties",
            ),
            ("[orders]\nlines_max = 20", "different items"),
            ("load = { rate = \"0/s\" }", "never sends"),
        ] {
            let (_, message) = refused(text, &[]);
            assert!(message.contains(says), "{says} is missing in\n{message}");
        }
    }

    #[test]
    fn what_the_plan_prints_is_a_workload_that_means_the_same() {
        let first = checked(
            "[load]\narrival = \"poisson\"\n[stage.payment]\nservice_time = { lognormal = { median = \"1ms\", p99 = \"9ms\" } }",
        );
        let text: String = first
            .settings
            .iter()
            // Written out, these two would be refused as having no effect.
            .filter(|setting| {
                setting.origin != Origin::Default
                    || !matches!(
                        setting.path.rsplit('.').next(),
                        Some("ack_flush" | "think_time" | "every")
                    )
            })
            .map(|setting| format!("{} = {}\n", setting.path, setting.value))
            .collect();
        assert_eq!(checked(&text).workload, first.workload);
    }
}
