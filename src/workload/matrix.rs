//! What a workload varies: lists and variants are dimensions, their cross product less what is excluded are the cells.
//!
//! Knows settings as they were written, and of keys only what a single value of one may be. Whether a cell makes sense as a
//! workload is [`super::check`]'s to say.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::file::{self, Document, Entry, Raw, Table, Tables};
use super::keys::{self, Key, Value};
use super::problem::{Place, Problem};

/// Trials that a run may have at most.
pub const TRIALS_MAX: u64 = 1_000;
/// Combinations that are looked at, before exclusions.
const COMBINATIONS_MAX: u64 = 100_000;
/// A value longer than this is shown in a cell's label by its number.
const LABEL_VALUE_MAX: usize = 28;
/// Between the parts of a label.
const LABEL_SEPARATOR: &str = " · ";
/// Prefix of the paths that stand for a choice among variants.
const VARIANTS: &str = "variants.";
/// Settings of the whole run; every cell has the same.
const OF_THE_RUN: [(&str, &str); 4] = [
    ("name", "a run has one name"),
    (
        "seed",
        "every cell gets the same seeds, so that cells can be compared in pairs; trial.repeats runs further ones",
    ),
    ("trial.", "it is the run's, not a cell's"),
    ("compare.", "all cells are judged by the same thresholds"),
];

/// A cell's place on one dimension of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Varied {
    /// The dotted path of the varied key, or the name of a list of variants.
    pub dimension: String,
    /// The value without quotes, or the variant's name.
    pub value: String,
    /// The value as a number in base units, where it is a quantity.
    pub number: Option<f64>,
}

/// One combination of what is varied.
#[derive(Debug, Clone)]
pub struct Combination {
    /// What is varied, in short; empty if nothing is.
    pub label: String,
    /// Its place on each dimension.
    pub varied: Vec<Varied>,
    /// Every setting that somebody wrote, the command line's last.
    pub entries: Vec<Entry>,
}

/// The cells of a workload, and the settings that they share.
#[derive(Debug)]
pub struct Matrix {
    base: Vec<Entry>,
    dimensions: Vec<Dimension>,
    /// Lists of variants that have come down to one: path and name.
    settled: Vec<(String, String)>,
    excludes: Vec<Exclude>,
}

/// One thing that is varied.
#[derive(Debug)]
struct Dimension {
    name: String,
    key: Place,
    kind: Varying,
    choices: Vec<Choice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Varying {
    /// A key whose value is a list.
    Key,
    /// Named sets of settings.
    Variants,
}

/// One of the values of a dimension.
#[derive(Debug)]
struct Choice {
    value: String,
    number: Option<f64>,
    entries: Vec<Entry>,
}

/// A combination that is left out: each named setting has one of these values.
#[derive(Debug)]
struct Exclude {
    place: Place,
    /// Key or `variants.NAME`, and the values as they are shown.
    conditions: Vec<(String, Vec<String>)>,
}

impl Matrix {
    /// What the texts vary. Mistakes go to `problems`; what is mistaken is left out, so that the rest can be checked too.
    pub fn read(document: Document, arguments: Vec<Entry>, problems: &mut Vec<Problem>) -> Self {
        let (picks, arguments): (Vec<Entry>, Vec<Entry>) = arguments
            .into_iter()
            .partition(|entry| entry.path.starts_with(VARIANTS));
        let touched: HashSet<String> = arguments.iter().chain(&picks).map(|entry| entry.path.clone()).collect();
        // Later entries win: `--set` over the file. TOML itself refuses a key given twice.
        let mut written: Vec<Entry> = document.entries;
        let order: HashMap<String, usize> = written
            .iter()
            .map(|entry| (entry.path.clone(), entry.key.span.start))
            .collect();
        for argument in arguments {
            written.retain(|entry| entry.path != argument.path);
            written.push(argument);
        }
        let mut matrix = Matrix {
            base: Vec::new(),
            dimensions: Vec::new(),
            settled: Vec::new(),
            excludes: Vec::new(),
        };
        for entry in written {
            match keys::find(&entry.path) {
                Some(key) if is_dimension(key, &entry) => matrix.add_list(key, &entry, problems),
                _ => matrix.base.push(entry),
            }
        }
        for tables in document.variants {
            matrix.add_variants(tables, problems);
        }
        matrix.check_overlaps(problems);
        for pick in &picks {
            matrix.pick(pick, problems);
        }
        matrix.settle_single_choices();
        // A list on the command line takes the place of the file's.
        matrix
            .dimensions
            .sort_by_key(|dimension| match order.get(&dimension.name) {
                Some(start) => (0, *start),
                None => (dimension.key.source, dimension.key.span.start),
            });
        for table in document.excludes {
            matrix.add_exclude(table, &touched, problems);
        }
        matrix
    }

    /// The settings that every cell shares.
    pub fn base(&self) -> &[Entry] {
        &self.base
    }

    /// All cells, the last dimension's choices changing fastest. Without dimensions there is one, which varies nothing.
    /// A matrix that is too large for `repeats` repeats is a problem, and has none.
    pub fn cells(&self, repeats: u64, problems: &mut Vec<Problem>) -> Vec<Combination> {
        let sizes: Vec<u64> = self
            .dimensions
            .iter()
            .map(|dimension| dimension.choices.len() as u64)
            .collect();
        let all = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
        let Some(all) = all.filter(|all| *all <= COMBINATIONS_MAX) else {
            problems.push(self.too_large(None, repeats));
            return Vec::new();
        };
        let kept: Vec<Vec<usize>> = (0..all)
            .map(|number| digits(number, &sizes))
            .filter(|choices| !self.excludes.iter().any(|exclude| self.excluded(exclude, choices)))
            .collect();
        if kept.is_empty() {
            problems.push(Problem {
                place: self
                    .excludes
                    .first()
                    .map_or(Place { source: 0, span: 0..0 }, |exclude| exclude.place.clone()),
                message: "every combination is excluded".to_owned(),
                help: Some("leave at least one cell to run".to_owned()),
            });
        } else if kept.len() as u64 * repeats > TRIALS_MAX {
            problems.push(self.too_large(Some(kept.len() as u64), repeats));
            return Vec::new();
        }
        // What exclusions have brought down to one value is not varied any more.
        let varies = |at: usize| kept.iter().any(|choices| choices[at] != kept[0][at]);
        let varying: Vec<bool> = (0..sizes.len()).map(varies).collect();
        kept.iter().map(|choices| self.combination(choices, &varying)).collect()
    }

    fn combination(&self, choices: &[usize], varying: &[bool]) -> Combination {
        let picked = || {
            self.dimensions
                .iter()
                .zip(choices)
                .map(|(dimension, at)| (dimension, *at))
        };
        let shown = || {
            picked()
                .zip(varying)
                .filter(|(_, varies)| **varies)
                .map(|(picked, _)| picked)
        };
        let labels: Vec<String> = shown().map(|(dimension, at)| self.label(dimension, at)).collect();
        // A variant outranks the file's base, and is outranked by the command line.
        let (file, command_line): (Vec<&Entry>, Vec<&Entry>) =
            self.base.iter().partition(|entry| entry.key.source == 0);
        let of_choices = picked().flat_map(|(dimension, at)| &dimension.choices[at].entries);
        Combination {
            label: labels.join(LABEL_SEPARATOR),
            varied: shown()
                .map(|(dimension, at)| Varied {
                    dimension: dimension.name.clone(),
                    value: dimension.choices[at].value.clone(),
                    number: dimension.choices[at].number,
                })
                .collect(),
            entries: file
                .into_iter()
                .chain(of_choices)
                .chain(command_line)
                .cloned()
                .collect(),
        }
    }

    fn label(&self, dimension: &Dimension, at: usize) -> String {
        let choice = &dimension.choices[at];
        let value = if choice.value.chars().count() > LABEL_VALUE_MAX {
            format!("#{}", at + 1)
        } else {
            choice.value.clone()
        };
        match dimension.kind {
            Varying::Variants => value,
            Varying::Key => format!("{} {value}", self.short_name(&dimension.name)),
        }
    }

    /// The shortest ending of a key's path that no other varied key has.
    fn short_name<'a>(&self, path: &'a str) -> &'a str {
        let others = || {
            let keys = self
                .dimensions
                .iter()
                .filter(|dimension| dimension.kind == Varying::Key);
            keys.map(|dimension| dimension.name.as_str())
                .filter(|name| *name != path)
        };
        let ends_in = |name: &str, ending: &str| {
            name.strip_suffix(ending)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        path.rmatch_indices('.')
            .map(|(dot, _)| &path[dot + 1..])
            .find(|ending| !others().any(|other| ends_in(other, ending)))
            .unwrap_or(path)
    }

    fn add_list(&mut self, key: &Key, entry: &Entry, problems: &mut Vec<Problem>) {
        let Raw::List(items) = &entry.raw else { return };
        let refused = |message: String, help: &str| Problem {
            place: entry.value.clone(),
            message,
            help: Some(help.to_owned()),
        };
        let path = &entry.path;
        if let Some(why) = takes_no_list(path) {
            problems.push(refused(format!("`{path}` cannot be varied: {why}"), "write one value"));
            return;
        }
        if items.is_empty() {
            problems.push(refused(
                format!("`{path}`: an empty list has no value to run with"),
                "write the values to compare, such as [1, 10, 100], or one value without brackets",
            ));
            return;
        }
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut choices = Vec::new();
        for (at, raw) in items.iter().enumerate() {
            let place = entry.items.get(at).unwrap_or(&entry.value).clone();
            let problem = |message: String, help: &str| Problem {
                place: place.clone(),
                message,
                help: Some(help.to_owned()),
            };
            let value = match (raw, key.kind.read(raw)) {
                (Raw::List(_), Err(_)) if !key.kind.is_list() => {
                    problems.push(problem(
                        format!("`{path}`: a list within a list"),
                        "each list is one dimension; write its values side by side, such as [1, 10, 100]",
                    ));
                    continue;
                }
                (_, Err(message)) => {
                    problems.push(problem(format!("`{path}`: {message}"), key.doc));
                    continue;
                }
                (_, Ok(value)) => value,
            };
            if let Some(first) = seen.insert(value.to_string(), at) {
                problems.push(problem(
                    format!(
                        "`{path}`: {value} stands in the list already, at position {}",
                        first + 1
                    ),
                    "each value is run once per repeat; for further trials raise trial.repeats",
                ));
                continue;
            }
            choices.push(Choice {
                value: shown(&value),
                number: value.number(),
                entries: vec![Entry {
                    raw: raw.clone(),
                    value: place.clone(),
                    items: Vec::new(),
                    ..entry.clone()
                }],
            });
        }
        self.add(path.clone(), entry.key.clone(), Varying::Key, choices);
    }

    fn add_variants(&mut self, tables: Tables, problems: &mut Vec<Problem>) {
        let Tables { name, key, tables } = tables;
        if !keys::is_name(&name) || keys::find(&name).is_some() {
            problems.push(Problem {
                place: key,
                message: format!("`{name}` cannot name a list of variants"),
                help: Some("choose a word of letters, digits, `_`, `-` that is no key, such as strategy".to_owned()),
            });
            return;
        }
        let mut choices: Vec<Choice> = Vec::new();
        for table in tables {
            let Some((value, entries)) = variant(&name, table, &choices, problems) else {
                continue;
            };
            choices.push(Choice {
                value,
                number: None,
                entries,
            });
        }
        self.add(name, key, Varying::Variants, choices);
    }

    fn add(&mut self, name: String, key: Place, kind: Varying, choices: Vec<Choice>) {
        // Without a choice a mistake has been noted.
        if !choices.is_empty() {
            self.dimensions.push(Dimension {
                name,
                key,
                kind,
                choices,
            });
        }
    }

    /// What stands for a dimension in an exclusion or in `--set variants.NAME=…`.
    fn position(&self, path: &str) -> Option<usize> {
        self.dimensions.iter().position(|dimension| match dimension.kind {
            Varying::Key => dimension.name == path,
            Varying::Variants => path.strip_prefix(VARIANTS) == Some(&dimension.name),
        })
    }

    /// Keeps the variants that `--set variants.NAME=…` asks for.
    fn pick(&mut self, pick: &Entry, problems: &mut Vec<Problem>) {
        let Some(at) = self.position(&pick.path) else {
            problems.push(self.unknown_variants(pick));
            return;
        };
        let wanted: Vec<(&Raw, &Place)> = match &pick.raw {
            Raw::List(items) => items.iter().zip(&pick.items).collect(),
            raw => vec![(raw, &pick.value)],
        };
        let choices = &mut self.dimensions[at].choices;
        let mut picked = HashSet::new();
        for (raw, place) in wanted {
            match raw {
                Raw::Text(name) if choices.iter().any(|choice| choice.value == *name) => {
                    picked.insert(name.clone());
                }
                raw => {
                    let names: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
                    problems.push(Problem {
                        place: place.clone(),
                        message: format!("`{}` has no such variant: found {raw}", pick.path),
                        help: Some(format!("its variants are {}", names.join(", "))),
                    });
                }
            }
        }
        choices.retain(|choice| picked.is_empty() || picked.contains(&choice.value));
    }

    fn unknown_variants(&self, pick: &Entry) -> Problem {
        let names = self
            .dimensions
            .iter()
            .filter(|dimension| dimension.kind == Varying::Variants);
        let names: Vec<String> = names
            .map(|dimension| format!("`{VARIANTS}{}`", dimension.name))
            .collect();
        Problem {
            place: pick.key.clone(),
            message: format!("there is no list `{}`", pick.path),
            help: Some(if names.is_empty() {
                "the workload has no variants".to_owned()
            } else {
                format!("the workload has {}", names.join(", "))
            }),
        }
    }

    /// A key that two dimensions set, or that is set where every variant sets it again.
    fn check_overlaps(&mut self, problems: &mut Vec<Problem>) {
        let mut owners: BTreeMap<&str, &Dimension> = BTreeMap::new();
        for dimension in &self.dimensions {
            let paths: BTreeMap<&str, &Place> = dimension
                .choices
                .iter()
                .flat_map(|choice| &choice.entries)
                .map(|entry| (entry.path.as_str(), &entry.key))
                .collect();
            for (path, place) in paths {
                let Some(other) = owners.insert(path, dimension) else {
                    continue;
                };
                let by = |dimension: &Dimension| match dimension.kind {
                    Varying::Key => "a list of its own".to_owned(),
                    Varying::Variants => format!("the variants `{}`", dimension.name),
                };
                problems.push(Problem {
                    place: place.clone(),
                    message: format!("`{path}` is varied twice: by {} and by {}", by(other), by(dimension)),
                    help: Some("keep it in one of the two".to_owned()),
                });
            }
        }
        for dimension in self
            .dimensions
            .iter()
            .filter(|dimension| dimension.kind == Varying::Variants)
        {
            for entry in self.base.iter().filter(|entry| entry.key.source == 0) {
                let sets = |choice: &Choice| choice.entries.iter().any(|set| set.path == entry.path);
                if dimension.choices.iter().all(sets) {
                    problems.push(Problem {
                        place: entry.value.clone(),
                        message: format!(
                            "`{}` has no effect: each of the variants `{}` sets it",
                            entry.path, dimension.name
                        ),
                        help: Some("leave it out here, or in the variants that shall have this value".to_owned()),
                    });
                }
            }
        }
    }

    /// A list of one value varies nothing.
    fn settle_single_choices(&mut self) {
        let (single, several): (Vec<Dimension>, Vec<Dimension>) = std::mem::take(&mut self.dimensions)
            .into_iter()
            .partition(|dimension| dimension.choices.len() == 1);
        self.dimensions = several;
        for dimension in &single {
            if dimension.kind == Varying::Variants {
                let path = format!("{VARIANTS}{}", dimension.name);
                self.settled.push((path, dimension.choices[0].value.clone()));
            }
        }
        let choices = single.into_iter().flat_map(|dimension| dimension.choices);
        for entry in choices.flat_map(|choice| choice.entries) {
            match self.base.iter().position(|base| base.path == entry.path) {
                // `--set` outranks a variant.
                Some(at) if self.base[at].key.source > entry.key.source => {}
                Some(at) => self.base[at] = entry,
                None => self.base.push(entry),
            }
        }
    }

    fn add_exclude(&mut self, table: Table, touched: &HashSet<String>, problems: &mut Vec<Problem>) {
        if table.entries.is_empty() {
            problems.push(Problem {
                place: table.place,
                message: "an exclusion without a condition would leave out everything".to_owned(),
                help: Some("name the settings and values of the combinations to leave out".to_owned()),
            });
            return;
        }
        // What the command line narrows may leave an exclusion without work; that is no mistake of the file.
        let narrowed = table.entries.iter().any(|entry| touched.contains(&entry.path));
        let mut conditions = Vec::new();
        for entry in &table.entries {
            let values = self.condition(entry, narrowed, problems);
            conditions.extend(values.map(|values| (entry.path.clone(), values)));
        }
        if conditions.len() == table.entries.len() {
            self.excludes.push(Exclude {
                place: table.place,
                conditions,
            });
        }
    }

    /// The values of one condition, as they are shown; `None` after a mistake.
    fn condition(&self, entry: &Entry, narrowed: bool, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
        let problem = |place: &Place, message: String, help: String| Problem {
            place: place.clone(),
            message,
            help: Some(help),
        };
        let position = self.position(&entry.path);
        let key = keys::find(&entry.path);
        if position.is_none() && !(narrowed && (key.is_some() || entry.path.starts_with(VARIANTS))) {
            problems.push(problem(
                &entry.key,
                format!("`{}` is not varied, so nothing can be excluded by it", entry.path),
                "name a key whose value is a list, or variants.NAME".to_owned(),
            ));
            return None;
        }
        let several = key.map_or(matches!(entry.raw, Raw::List(_)), |key| is_dimension(key, entry));
        let raws: Vec<(&Raw, &Place)> = match &entry.raw {
            Raw::List(items) if several => items.iter().zip(&entry.items).collect(),
            raw => vec![(raw, &entry.value)],
        };
        let mut values = Vec::new();
        for (raw, place) in raws {
            let value = match (key, raw) {
                (Some(key), raw) => key.kind.read(raw).map(|value| shown(&value)),
                (None, Raw::Text(name)) => Ok(name.clone()),
                (None, raw) => Err(format!("expected the name of a variant, found {raw}")),
            };
            let value = match value {
                Ok(value) => value,
                Err(message) => {
                    problems.push(problem(
                        place,
                        format!("`{}`: {message}", entry.path),
                        "write a value of the list".to_owned(),
                    ));
                    return None;
                }
            };
            let known = position.map(|at| &self.dimensions[at].choices);
            if let Some(choices) =
                known.filter(|choices| !narrowed && !choices.iter().any(|choice| choice.value == value))
            {
                let values: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
                problems.push(problem(
                    place,
                    format!("`{}` never is {value}, so nothing is excluded", entry.path),
                    format!("its values are {}", values.join(", ")),
                ));
                return None;
            }
            values.push(value);
        }
        Some(values)
    }

    fn excluded(&self, exclude: &Exclude, choices: &[usize]) -> bool {
        exclude
            .conditions
            .iter()
            .all(|(path, values)| match self.position(path) {
                Some(at) => values.contains(&self.dimensions[at].choices[choices[at]].value),
                None => self.fixed_value(path).is_some_and(|value| values.contains(&value)),
            })
    }

    /// The value to which the command line has brought a dimension down, as it is shown.
    fn fixed_value(&self, path: &str) -> Option<String> {
        if let Some((_, name)) = self.settled.iter().find(|(settled, _)| settled == path) {
            return Some(name.clone());
        }
        let entry = self.base.iter().find(|entry| entry.path == path)?;
        let value = keys::find(path)?.kind.read(&entry.raw).ok()?;
        Some(shown(&value))
    }

    fn too_large(&self, cells: Option<u64>, repeats: u64) -> Problem {
        let sizes: Vec<String> = self
            .dimensions
            .iter()
            .map(|dimension| {
                format!(
                    "{} values of {}",
                    dimension.choices.len(),
                    self.short_name(&dimension.name)
                )
            })
            .collect();
        let largest = self.dimensions.iter().max_by_key(|dimension| dimension.choices.len());
        let cells = cells.map_or("more cells than can be counted here".to_owned(), |cells| {
            format!("{cells} cells")
        });
        Problem {
            place: largest.map_or(Place { source: 0, span: 0..0 }, |dimension| dimension.key.clone()),
            message: format!(
                "the matrix is too large: {cells} ({}), {repeats} times each; a run has at most {TRIALS_MAX} trials",
                sizes.join(" × ")
            ),
            help: Some(
                "shorten a list, leave combinations out with [[matrix.exclude]], or lower trial.repeats".to_owned(),
            ),
        }
    }
}

/// Why this key cannot have a list, if it cannot.
pub(super) fn takes_no_list(path: &str) -> Option<&'static str> {
    let objective = path.starts_with("objectives.");
    let foretold = path.starts_with("prediction.") || path.ends_with(".predicted_utilisation");
    of_the_run(path)
        .or(foretold.then_some("it changes nothing that is measured; variants may have predictions of their own"))
        .or(objective.then_some("it changes nothing that is measured; variants may have objectives of their own"))
}

/// Why this key is the same for the whole run, if it is.
pub(super) fn of_the_run(path: &str) -> Option<&'static str> {
    OF_THE_RUN
        .iter()
        .find(|(name, _)| path == *name || name.ends_with('.') && path.starts_with(name))
        .map(|(_, why)| *why)
}

/// Whether the value is a list of values rather than a value that is written as a list.
fn is_dimension(key: &Key, entry: &Entry) -> bool {
    match &entry.raw {
        Raw::List(items) if key.kind.is_list() => {
            !items.is_empty() && items.iter().all(|item| matches!(item, Raw::List(_)))
        }
        Raw::List(_) => true,
        _ => false,
    }
}

/// A value without its quotes.
fn shown(value: &Value) -> String {
    value.to_string().trim_matches('"').to_owned()
}

/// Name and settings of one variant.
fn variant(of: &str, table: Table, before: &[Choice], problems: &mut Vec<Problem>) -> Option<(String, Vec<Entry>)> {
    let (named, entries): (Vec<Entry>, Vec<Entry>) = table.entries.into_iter().partition(|entry| entry.path == "name");
    let problem = |place: &Place, message: String, help: &str| Problem {
        place: place.clone(),
        message,
        help: Some(help.to_owned()),
    };
    let name = match named.first().map(|entry| (entry, &entry.raw)) {
        Some((_, Raw::Text(name))) if keys::is_name(name) => name.clone(),
        Some((entry, raw)) => {
            problems.push(problem(
                &entry.value,
                format!("expected the variant's name, found {raw}"),
                "a name has letters, digits, `.`, `_`, `-`; at most 64",
            ));
            return None;
        }
        None => {
            problems.push(problem(
                &table.place,
                format!("a variant of `{of}` has no name"),
                "add name = \"…\": it stands for the variant in results and charts",
            ));
            return None;
        }
    };
    if before.iter().any(|choice| choice.value == name) {
        problems.push(problem(
            &named[0].value,
            format!("there are two variants `{name}` of `{of}`"),
            "give each variant a name of its own",
        ));
        return None;
    }
    for entry in &entries {
        let Some(key) = keys::find(&entry.path) else { continue };
        if let Some(why) = of_the_run(&entry.path) {
            problems.push(problem(
                &entry.key,
                format!("`{}` cannot be varied: {why}", entry.path),
                "set it outside of the variants",
            ));
            return None;
        }
        if is_dimension(key, entry) {
            problems.push(problem(
                &entry.value,
                format!("`{}`: a list within a variant", entry.path),
                "a variant sets each key to one value; a list outside of the variants is a dimension of its own",
            ));
            return None;
        }
    }
    Some((name, entries))
}

/// The digits of `number` in a system whose places have these sizes, the last changing fastest.
fn digits(number: u64, sizes: &[u64]) -> Vec<usize> {
    let mut rest = number;
    let mut digits: Vec<usize> = sizes
        .iter()
        .rev()
        .map(|size| {
            let digit = rest % size;
            rest /= size;
            digit as usize
        })
        .collect();
    digits.reverse();
    digits
}

/// The entries of the command line.
pub fn arguments(overrides: &[String], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let entries = overrides.iter().enumerate();
    entries
        .filter_map(|(i, argument)| file::entry_of_argument(i + 1, argument, problems))
        .collect()
}

#[cfg(test)]
mod tests;
