//! Turns entries into a valid [`Workload`], or into everything that is wrong with them at once. One file per section of a
//! workload below this one.

mod backlog;
mod cluster;
mod compare;
mod faults;
mod load;
mod messages;
mod objectives;
mod prediction;
mod promises;
mod publish;
mod queue;
mod recovery;
mod retry;
mod script;
mod stage;
mod store;
mod topology;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file::{self, Entry};
use super::keys::{self, Key, Value};
use super::matrix::{self, Combination, Matrix, Varied};
use super::model::{Client, Drain, Driver, Sample, StageSettings, StatedPromises, TrialSettings, Workload};
use super::problem::{Colour, Place, Problem, Source, render};
use crate::events::PipelineKind;
use crate::units::Span;

/// Largest workload file, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Nearest known key: at least this similar (Jaro–Winkler) to be worth a hint.
const SIMILAR: f64 = 0.8;
/// The load's length when neither a time nor a number of orders is given; the table of keys says so in words.
const DURATION_DEFAULT: Span = Span::from_secs(30);
/// The pause between trials when none is given; the table of keys says so in words.
const COOL_DOWN_DEFAULT: Span = Span::from_secs(1);

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

/// A workload file that has passed.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The combinations of what it varies, at least one.
    pub cells: Vec<CheckedCell>,
    /// The file's text, word for word.
    pub text: String,
    /// The `--set` arguments, word for word.
    pub overrides: Vec<String>,
    /// The absolute folder that replayed files are named from; absent if none is replayed.
    pub folder: Option<PathBuf>,
}

/// One combination of what a workload varies, a workload of its own.
#[derive(Debug, Clone)]
pub struct CheckedCell {
    /// The varied settings in short; empty if nothing is varied.
    pub label: String,
    /// Its place on each dimension.
    pub varied: Vec<Varied>,
    /// The workload.
    pub workload: Workload,
    /// Every setting, defaults included, in the order of the key table.
    pub settings: Vec<Setting>,
}

impl Checked {
    /// The first cell, the only one if nothing is varied.
    pub fn into_first(self) -> CheckedCell {
        let mut cells = self.cells.into_iter();
        cells.next().expect("what has passed has at least one cell")
    }
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
    let folder = path.parent().unwrap_or(Path::new(""));
    check_beside(folder, &path.display().to_string(), &stem, text, overrides)
}

/// Checks a workload's text; `name` is shown in messages, `stem` names the workload if the text does not.
///
/// # Errors
/// [`WorkloadError::Invalid`] with every mistake found.
pub fn check(name: &str, stem: &str, text: String, overrides: &[String]) -> Result<Checked, WorkloadError> {
    check_beside(Path::new(""), name, stem, text, overrides)
}

/// [`check`] with the folder that files are named from.
///
/// # Errors
/// As [`check`].
pub fn check_beside(
    folder: &Path,
    name: &str,
    stem: &str,
    text: String,
    overrides: &[String],
) -> Result<Checked, WorkloadError> {
    let mut sources = vec![Source {
        name: name.to_owned(),
        text: text.clone(),
    }];
    sources.extend(overrides.iter().map(|argument| file::argument_source(argument)));
    let mut problems = Vec::new();
    let document = file::read_document(0, &text, &mut problems);
    let arguments = matrix::arguments(overrides, &mut problems);
    let matrix = Matrix::read(document, arguments, &mut problems);
    let mut checker = Checker {
        folder,
        stem,
        question: file::question(&text),
        defaults: Settings::defaults(),
        trials: 1,
        problems,
        in_cells: InCells::default(),
    };
    let repeats = checker.repeats(&matrix);
    let combinations = matrix.cells(repeats, &mut checker.problems);
    checker.trials = repeats * combinations.len() as u64;
    let cells: Vec<CheckedCell> = combinations.into_iter().map(|cell| checker.cell(cell)).collect();
    checker.refuse_twins(&cells);
    checker.refuse_several_brokers(&cells);
    let mut problems = checker.problems;
    problems.extend(checker.in_cells.merged(&cells));
    if problems.is_empty() {
        let replays = cells.iter().any(|cell| cell.workload.load.arrival.replays());
        Ok(Checked {
            cells,
            text,
            overrides: overrides.to_owned(),
            folder: replays.then(|| std::path::absolute(folder).unwrap_or(folder.to_owned())),
        })
    } else {
        problems.sort_by_key(|problem| (problem.place.source, problem.place.span.start));
        let mut seen: Vec<Problem> = Vec::new();
        problems.retain(|problem| {
            let new = !seen.contains(problem);
            if new {
                seen.push(problem.clone());
            }
            new
        });
        Err(WorkloadError::Invalid { problems, sources })
    }
}

/// Checks one cell after the other.
struct Checker<'a> {
    /// The folder that files are named from.
    folder: &'a Path,
    stem: &'a str,
    question: String,
    defaults: Settings,
    /// Of all cells.
    trials: u64,
    /// Mistakes in single settings, which are mistakes in every cell.
    problems: Vec<Problem>,
    in_cells: InCells,
}

impl Checker<'_> {
    /// Repeats of each cell; a mistake in them is found again with the cells.
    fn repeats(&self, matrix: &Matrix) -> u64 {
        let mut settings = self.defaults.clone();
        settings.apply(matrix.base(), &mut Vec::new());
        match settings.value("trial.repeats") {
            Some(Value::Count(repeats)) => *repeats,
            _ => 1,
        }
    }

    fn cell(&mut self, cell: Combination) -> CheckedCell {
        let mut settings = self.defaults.clone();
        settings.apply(&cell.entries, &mut self.problems);
        settings.default_name(self.stem, &mut self.problems);
        settings.default_duration();
        settings.default_cool_down(self.trials);
        let mut problems = Vec::new();
        // Whoever asks for one repeat of a file that has several has no use for its pause, and need not be told.
        let narrowed = settings.origin("trial.repeats") == Origin::CommandLine
            && settings.origin("trial.cool_down") == Origin::File;
        if let (1, Some((_, place)), false) = (self.trials, settings.written("trial.cool_down"), narrowed) {
            problems.push(Problem {
                place: place.clone(),
                message: "`trial.cool_down` has no effect with one trial".to_owned(),
                help: Some("leave it out, raise trial.repeats, or vary a setting".to_owned()),
            });
        }
        let workload = Builder {
            folder: self.folder,
            settings: &settings,
            problems: &mut problems,
        }
        .workload(self.question.clone());
        self.in_cells.add(problems);
        CheckedCell {
            label: cell.label,
            varied: cell.varied,
            workload,
            settings: settings.listed(),
        }
    }

    /// Two cells of the same settings would be one cell run twice.
    fn refuse_twins(&mut self, cells: &[CheckedCell]) {
        let mut seen: HashMap<Vec<&str>, &CheckedCell> = HashMap::new();
        for cell in cells {
            let values: Vec<&str> = cell.settings.iter().map(|setting| setting.value.as_str()).collect();
            if let Some(twin) = seen.insert(values, cell) {
                self.problems.push(Problem {
                    place: Place { source: 0, span: 0..0 },
                    message: format!("the cells `{}` and `{}` have the same settings", twin.label, cell.label),
                    help: Some(
                        "let each variant set something of its own; --set outranks what a variant sets".to_owned(),
                    ),
                });
                return;
            }
        }
    }
}

impl Checker<'_> {
    /// All trials of a run have one broker.
    fn refuse_several_brokers(&mut self, cells: &[CheckedCell]) {
        let mut nodes = cells.iter().map(|cell| cell.workload.broker.nodes);
        let first = nodes.next();
        if let Some(other) = nodes.find(|nodes| Some(*nodes) != first) {
            self.problems.push(Problem {
                place: Place { source: 0, span: 0..0 },
                message: format!(
                    "`broker.nodes` is {} in one cell and {other} in another, and all trials of a run have one broker",
                    first.unwrap_or(1)
                ),
                help: Some("set it for the whole file, and compare two runs".to_owned()),
            });
        }
    }
}

/// Contradictions, by the cells in which they are met.
#[derive(Default)]
struct InCells {
    cells: usize,
    met: Vec<(Problem, Vec<usize>)>,
}

impl InCells {
    fn add(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            match self.met.iter_mut().find(|(known, _)| *known == problem) {
                Some((_, cells)) if cells.last() == Some(&self.cells) => {}
                Some((_, cells)) => cells.push(self.cells),
                None => self.met.push((problem, vec![self.cells])),
            }
        }
        self.cells += 1;
    }

    /// Each contradiction once. One that only some cells have says which.
    fn merged(self, cells: &[CheckedCell]) -> Vec<Problem> {
        let all = self.cells;
        let merged = self.met.into_iter().map(|(mut problem, met)| {
            let label = &cells[met[0]].label;
            match met.len() {
                n if n == all => {}
                1 => problem.message.push_str(&format!(", in the cell `{label}`")),
                n => problem
                    .message
                    .push_str(&format!(", in {n} of {all} cells, the first of them `{label}`")),
            }
            problem
        });
        merged.collect()
    }
}

/// A value and, if somebody wrote it, where.
#[derive(Debug, Clone)]
struct Found {
    value: Option<Value>,
    places: Option<(Place, Place)>,
}

impl Found {
    fn default_of(key: &Key) -> Self {
        Found {
            value: key.default.map(|written| key.kind.default_value(written)),
            places: None,
        }
    }
}

/// Every key's value.
#[derive(Debug, Clone)]
struct Settings {
    found: HashMap<String, Found>,
    /// Its arrays of tables.
    tables: keys::Tables,
}

impl Settings {
    fn defaults() -> Self {
        let found = keys::concrete()
            .map(|(path, key)| (path, Found::default_of(key)))
            .collect();
        Settings {
            found,
            tables: keys::Tables::default(),
        }
    }

    /// Later entries win.
    fn apply(&mut self, entries: &[Entry], problems: &mut Vec<Problem>) {
        self.tables = keys::tables_in(entries.iter().map(|entry| entry.path.as_str()));
        for (path, key) in keys::concrete_with_tables(self.tables) {
            self.found.entry(path).or_insert_with(|| Found::default_of(key));
        }
        for entry in entries {
            let Some(key) = keys::find(&entry.path) else {
                problems.push(unknown_key(entry, self.tables));
                continue;
            };
            match key.kind.read(&entry.raw) {
                Ok(value) => {
                    let places = Some((entry.key.clone(), entry.value.clone()));
                    self.found.insert(
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
        let brings_its_own = self.tables.phases > 0 || self.value("load.arrival") == Some(&Value::Choice("replay"));
        if self.written("load.orders").is_none()
            && !brings_its_own
            && let Some(duration) = self.found.get_mut("load.duration")
        {
            duration.value.get_or_insert(Value::Duration(DURATION_DEFAULT));
        }
    }

    /// Several trials have a pause between them.
    fn default_cool_down(&mut self, trials: u64) {
        if trials > 1
            && let Some(pause) = self.found.get_mut("trial.cool_down")
        {
            pause.value.get_or_insert(Value::Duration(COOL_DOWN_DEFAULT));
        }
    }

    /// The pipeline that runs; the default's while another is misspelt.
    fn pipeline(&self) -> PipelineKind {
        let word = match self.value("pipeline") {
            Some(Value::Choice(word)) => *word,
            _ => return PipelineKind::default(),
        };
        let named = PipelineKind::NAMES.into_iter().find(|(name, _)| *name == word);
        named.map_or_else(PipelineKind::default, |(_, pipeline)| pipeline)
    }

    fn value(&self, path: &str) -> Option<&Value> {
        self.found.get(path).and_then(|found| found.value.as_ref())
    }

    /// Where the key was written, if it was.
    fn written(&self, path: &str) -> Option<&(Place, Place)> {
        self.found.get(path).and_then(|found| found.places.as_ref())
    }

    fn origin(&self, path: &str) -> Origin {
        match self.written(path) {
            None => Origin::Default,
            Some((key, _)) if key.source == 0 => Origin::File,
            Some(_) => Origin::CommandLine,
        }
    }

    fn listed(&self) -> Vec<Setting> {
        let pipeline = self.pipeline();
        // With phases the load as a whole has no shape.
        let speaks = |path: &str| self.tables.phases == 0 || self.written(path).is_some() || !keys::is_shape(path);
        keys::concrete_with_tables(self.tables)
            .filter(|(path, _)| keys::is_of(path, pipeline) && speaks(path))
            .filter_map(|(path, _)| {
                let found = self.found.get(&path)?;
                let value = found.value.as_ref()?.to_string();
                let origin = self.origin(&path);
                Some(Setting { path, value, origin })
            })
            .collect()
    }
}

fn unknown_key(entry: &Entry, tables: keys::Tables) -> Problem {
    let nearest = keys::concrete_with_tables(tables)
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
    /// The folder that files are named from.
    folder: &'a Path,
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
        file: File -> String,
        service_time: ServiceTime -> super::model::ServiceTime,
        bound: Bound -> super::objective::Bound,
        condition: Condition -> super::model::Condition,
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

    /// Keys of what does not exist in this pipeline.
    fn check_pipeline(&mut self, pipeline: PipelineKind) {
        let foreign = keys::concrete().filter(|(path, _)| !keys::is_of(path, pipeline));
        for (path, _) in foreign {
            let stages: Vec<&str> = pipeline.stages().iter().map(|stage| stage.name()).collect();
            let help = if path.starts_with("stage.") {
                format!("leave it out: the stages of this pipeline are {}", stages.join(", "))
            } else {
                "leave it out, or choose pipeline = \"orders\"".to_owned()
            };
            self.refuse_written(
                &path,
                format!("`{path}` has no effect with pipeline = \"{pipeline}\""),
                help,
            );
        }
    }

    fn workload(mut self, question: String) -> Workload {
        let pipeline = self.settings.pipeline();
        self.check_pipeline(pipeline);
        let broker = self.broker();
        let load = self.load();
        let publish = self.publish();
        let topology = self.topology();
        let orders = self.orders();
        let stages: Vec<StageSettings> = pipeline.stages().iter().map(|stage| self.stage(*stage)).collect();
        let backlog = self.backlog(pipeline, &load);
        let faults = self.faults(pipeline, &load, &stages);
        let recovery = self.recovery();
        let retry = self.retry(pipeline, &publish, &topology, &stages);
        let messages = self.messages(&orders, &publish);
        let prediction = self.prediction(&load);
        let canary = self.canary(pipeline, &orders, &stages, &faults, &retry);
        let workload = Workload {
            name: self.name("name").unwrap_or_default(),
            question,
            seed: self.count("seed").unwrap_or_default(),
            pipeline,
            broker,
            load,
            orders,
            publish,
            topology,
            stages,
            promises: StatedPromises {
                nothing_lost: self.flag("promises.nothing_lost").unwrap_or_default(),
                nothing_twice: self.flag("promises.nothing_twice").unwrap_or_default(),
                prefetch_respected: self.flag("promises.prefetch_respected").unwrap_or_default(),
                survives_broker_restart: self.flag("promises.survives_broker_restart").unwrap_or_default(),
            },
            objectives: self.objectives(),
            compare: self.compare(),
            prediction,
            recovery,
            drain: Drain {
                deadline: self.duration("drain.deadline").unwrap_or_default(),
            },
            sample: Sample {
                interval: self.duration("sample.interval").unwrap_or_default(),
            },
            driver: Driver { client: self.client() },
            trial: TrialSettings {
                repeats: self.count_u32("trial.repeats"),
                cool_down: self.duration("trial.cool_down").unwrap_or_default(),
            },
            retry,
            messages,
            backlog,
            faults,
            canary,
        };
        self.check_promises(&workload);
        self.check_objectives(&workload);
        self.check_closed_loop(&workload);
        self.check_closed_loop_errors(&workload);
        workload
    }

    fn client(&self) -> Client {
        let word = self.choice("driver.client");
        let named = Client::NAMES.into_iter().find(|(name, _)| Some(*name) == word);
        named.map_or(Client::Lapin, |(_, client)| client)
    }
}

#[cfg(test)]
mod tests;
