//! Reads a workload file and `--set` arguments into entries that know where they were written.
//!
//! Knows TOML and nothing of what the keys mean, except where a key ends and its value begins.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys;
use super::problem::{Place, Problem, Source};

/// Lists inside lists that an argument may hold; no key takes as many.
const LISTS_DEEP: u32 = 4;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// true or false.
    Flag(bool),
    /// An array.
    List(Vec<Raw>),
    /// A table that is a value (a distribution), in the order of its keys.
    Table(Vec<(String, Raw)>),
    /// A TOML date or time.
    Date(String),
}

impl Raw {
    /// The value of `--set key=VALUE`: TOML where it is TOML, else a plain string, so that nobody must quote for the shell
    /// and for TOML at once.
    pub fn from_argument(written: &str) -> Raw {
        Raw::within(written, 0)
    }

    /// As above, inside this many lists.
    fn within(written: &str, depth: u32) -> Raw {
        if let Some(items) = list_items(written).filter(|_| depth < LISTS_DEEP) {
            return Raw::List(
                items
                    .into_iter()
                    .map(|(_, item)| Raw::within(item, depth + 1))
                    .collect(),
            );
        }
        let document = format!("value = {written}\n");
        match DeTable::parse(&document) {
            Ok(table) => match table.get_ref().iter().next() {
                Some((_, value)) if table.get_ref().len() == 1 => Raw::from(value.get_ref()),
                _ => Raw::Text(written.to_owned()),
            },
            Err(_) => Raw::Text(written.to_owned()),
        }
    }
}

impl From<&DeValue<'_>> for Raw {
    fn from(value: &DeValue<'_>) -> Raw {
        match value {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => {
                let text = number.as_str();
                i64::from_str_radix(text, number.radix()).map_or_else(|_| Raw::Text(text.to_owned()), Raw::Integer)
            }
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| Raw::Text(number.as_str().to_owned()), Raw::Float),
            DeValue::Boolean(flag) => Raw::Flag(*flag),
            DeValue::Datetime(date) => Raw::Date(date.to_string()),
            DeValue::Array(values) => Raw::List(values.iter().map(|value| Raw::from(value.get_ref())).collect()),
            DeValue::Table(table) => {
                let mut entries: Vec<_> = table
                    .iter()
                    .map(|(name, value)| (name.span(), name.get_ref().to_string(), Raw::from(value.get_ref())))
                    .collect();
                entries.sort_by_key(|(span, ..)| span.start);
                Raw::Table(entries.into_iter().map(|(_, name, value)| (name, value)).collect())
            }
        }
    }
}

/// What was found, in an error message.
impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(text) => write!(f, "the string \"{text}\""),
            Raw::Integer(number) => write!(f, "the whole number {number}"),
            Raw::Float(number) => write!(f, "the number {number}"),
            Raw::Flag(flag) => write!(f, "{flag}"),
            Raw::List(_) => f.write_str("a list"),
            Raw::Table(_) => f.write_str("a table"),
            Raw::Date(date) => write!(f, "the date {date}"),
        }
    }
}

/// One setting, as it was written.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Dotted path, such as `stage.payment.prefetch`.
    pub path: String,
    /// The value.
    pub raw: Raw,
    /// Where the key stands.
    pub key: Place,
    /// Where the value stands.
    pub value: Place,
    /// Where each element stands, if the value is a list.
    pub items: Vec<Place>,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct Document {
    /// Its settings, in the order of their places.
    pub entries: Vec<Entry>,
    /// `[[variants.NAME]]`, by name.
    pub variants: Vec<Tables>,
    /// `[[matrix.exclude]]`.
    pub excludes: Vec<Table>,
}

/// An array of tables under a name.
#[derive(Debug)]
pub struct Tables {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub key: Place,
    /// The tables, in their order.
    pub tables: Vec<Table>,
}

/// One table of such an array.
#[derive(Debug)]
pub struct Table {
    /// Where it stands.
    pub place: Place,
    /// What it sets.
    pub entries: Vec<Entry>,
}

/// The table of a file under which named sets of settings stand.
const VARIANTS: &str = "variants";
/// The table of a file that says which combinations are left out.
const MATRIX: &str = "matrix";
/// Its only key.
const EXCLUDE: &str = "exclude";

/// What a TOML text says; syntax errors go to `problems`, and what could be read is returned all the same.
pub fn read_document(source: usize, text: &str, problems: &mut Vec<Problem>) -> Document {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            place: Place { source, span: error.span().unwrap_or(0..0) },
            message: error.message().to_owned(),
            help: Some("the file must be TOML: `key = value` lines under [table] headers; strings, durations and rates in quotes".to_owned()),
        });
    }
    let mut document = Document::default();
    for (name, value) in table.get_ref() {
        let key = Place {
            source,
            span: name.span(),
        };
        match (name.get_ref().as_ref(), value.get_ref()) {
            (VARIANTS, DeValue::Table(blocks)) => {
                for (name, value) in blocks {
                    let key = Place {
                        source,
                        span: name.span(),
                    };
                    let path = format!("{VARIANTS}.{}", name.get_ref());
                    document
                        .variants
                        .extend(tables_of(&path, &key, value.get_ref(), problems).map(|tables| Tables {
                            name: name.get_ref().to_string(),
                            key,
                            tables,
                        }));
                }
            }
            (MATRIX, DeValue::Table(inner)) => {
                for (name, value) in inner {
                    let key = Place {
                        source,
                        span: name.span(),
                    };
                    let path = format!("{MATRIX}.{}", name.get_ref());
                    if name.get_ref() == EXCLUDE {
                        document
                            .excludes
                            .extend(tables_of(&path, &key, value.get_ref(), problems).into_iter().flatten());
                    } else {
                        problems.push(Problem {
                            place: key,
                            message: format!("unknown key `{path}`"),
                            help: Some(format!("did you mean `[[{MATRIX}.{EXCLUDE}]]`?")),
                        });
                    }
                }
            }
            (VARIANTS | MATRIX, _) => {
                tables_of(name.get_ref(), &key, value.get_ref(), problems);
            }
            _ => flatten_one(source, "", name, value, &mut document.entries),
        }
    }
    document.entries.sort_by_key(|entry| entry.key.span.start);
    document.variants.sort_by_key(|tables| tables.key.span.start);
    document
}

/// The tables of an array of tables; anything else goes to `problems`.
fn tables_of(path: &str, key: &Place, value: &DeValue<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Table>> {
    let mut tables = Vec::new();
    let items = match value {
        DeValue::Array(items) if !items.is_empty() => items.iter(),
        _ => [].iter(),
    };
    for item in items {
        let DeValue::Table(inner) = item.get_ref() else {
            tables.clear();
            break;
        };
        let mut entries = Vec::new();
        flatten(key.source, "", inner, &mut entries);
        entries.sort_by_key(|entry| entry.key.span.start);
        tables.push(Table {
            place: Place {
                source: key.source,
                span: item.span(),
            },
            entries,
        });
    }
    if tables.is_empty() {
        problems.push(Problem {
            place: key.clone(),
            message: format!("`{path}` must be an array of tables"),
            help: Some(if path.starts_with(MATRIX) {
                "write [[matrix.exclude]], and below it the values of the combinations to leave out".to_owned()
            } else {
                "write [[variants.strategy]] for each variant, and below it name = \"…\" and what it sets".to_owned()
            }),
        });
        return None;
    }
    Some(tables)
}

/// Descends until a path is a key of the table in [`keys`] or the value is no table.
fn flatten(source: usize, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        flatten_one(source, prefix, name, value, entries);
    }
}

fn flatten_one(
    source: usize,
    prefix: &str,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    entries: &mut Vec<Entry>,
) {
    let path = if prefix.is_empty() {
        name.get_ref().to_string()
    } else {
        format!("{prefix}.{}", name.get_ref())
    };
    let at = |span: Range<usize>| Place { source, span };
    match value.get_ref() {
        DeValue::Table(inner) if keys::find(&path).is_none() && !inner.is_empty() && is_section(&path) => {
            flatten(source, &path, inner, entries);
        }
        DeValue::Array(tables) if are_tables(&path, tables) => {
            for (i, table) in tables.iter().enumerate() {
                if let DeValue::Table(inner) = table.get_ref() {
                    flatten(source, &format!("{path}.{}", i + 1), inner, entries);
                }
            }
        }
        // An empty section says nothing and does no harm.
        DeValue::Table(inner) if inner.is_empty() && is_section(&path) => {}
        other => entries.push(Entry {
            path,
            raw: Raw::from(other),
            key: at(name.span()),
            value: at(value.span()),
            items: match other {
                DeValue::Array(items) => items.iter().map(|item| at(item.span())).collect(),
                _ => Vec::new(),
            },
        }),
    }
}

/// Whether an array of tables stands at `path` and each of these is one that says something; else the whole is refused at its
/// place.
fn are_tables(path: &str, values: &[Spanned<DeValue<'_>>]) -> bool {
    let says_something =
        |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(inner) if !inner.is_empty());
    keys::most_tables(path).is_some_and(|most| (1..=most).contains(&values.len())) && values.iter().all(says_something)
}

/// Whether some key's path continues from here; conditions of the matrix may name variants.
fn is_section(path: &str) -> bool {
    path == VARIANTS
        || keys::concrete().any(|(key, _)| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The entry of one `--set KEY=VALUE`.
pub fn entry_of_argument(source: usize, argument: &str, problems: &mut Vec<Problem>) -> Option<Entry> {
    let whole = Place {
        source,
        span: 0..argument.len(),
    };
    let Some((path, value)) = argument.split_once('=') else {
        problems.push(Problem {
            place: whole,
            message: "--set takes KEY=VALUE".to_owned(),
            help: Some("for example: --set load.rate=500/s".to_owned()),
        });
        return None;
    };
    let at = |start: usize, part: &str| Place {
        source,
        span: start..start + part.len(),
    };
    let begins = argument.len() - value.trim_start().len();
    let items = list_items(value.trim()).unwrap_or_default();
    Some(Entry {
        path: path.trim().to_owned(),
        raw: Raw::from_argument(value.trim()),
        key: at(0, path),
        value: at(path.len() + 1, value),
        items: items
            .into_iter()
            .map(|(start, item)| at(begins + start, item))
            .collect(),
    })
}

/// The elements of `[a, b]` and where each begins, without its spaces: bare words need no quotes here either. `None` if
/// `written` is no list.
fn list_items(written: &str) -> Option<Vec<(usize, &str)>> {
    let inner = written.strip_prefix('[')?.strip_suffix(']')?;
    let (mut items, mut begins, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) => depth = depth.checked_sub(1)?,
            (',', None) if depth == 0 => {
                let part = &inner[begins..at];
                let item = part.trim();
                // A comma after the last element is TOML's custom too.
                if !item.is_empty() || at < inner.len() {
                    items.push((1 + begins + (part.len() - part.trim_start().len()), item));
                }
                begins = at + 1;
            }
            _ => {}
        }
    }
    (depth == 0 && quote.is_none()).then_some(items)
}

/// The question that a file answers: the comment at its top, without the `#:schema` line of editors.
pub fn question(text: &str) -> String {
    let comment = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty() || line.starts_with("#:"));
    let lines: Vec<&str> = comment
        .map_while(|line| line.strip_prefix('#'))
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim)
        .collect();
    lines.join(" ")
}

/// A `--set` argument as a source of its own, so that a mistake in it is shown like one in a file.
pub fn argument_source(argument: &str) -> Source {
    Source {
        name: "--set".to_owned(),
        text: argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_first_comment() {
        assert_eq!(
            question("#:schema ./schema.json\n# How fast\n# is it?\n\n# other\nseed = 1\n"),
            "How fast is it?"
        );
        assert_eq!(question("seed = 1\n# no question\n"), "");
    }

    #[test]
    fn arguments_need_no_quotes() {
        assert_eq!(Raw::from_argument("500/s"), Raw::Text("500/s".to_owned()));
        assert_eq!(Raw::from_argument("20"), Raw::Integer(20));
        assert_eq!(Raw::from_argument("true"), Raw::Flag(true));
        assert_eq!(Raw::from_argument("\"5ms\""), Raw::Text("5ms".to_owned()));
        assert_eq!(
            Raw::from_argument("{ exponential = \"5ms\" }"),
            Raw::Table(vec![("exponential".to_owned(), Raw::Text("5ms".to_owned()))])
        );
    }

    #[test]
    fn a_list_in_an_argument_needs_no_quotes_either_and_each_element_has_its_place() {
        let argument = "stage.audit.prefetch= [1, unlimited ,\"a, b\", [2, 3], ]";
        let mut problems = Vec::new();
        let entry = entry_of_argument(1, argument, &mut problems).expect("legal");
        assert_eq!(
            entry.raw,
            Raw::List(vec![
                Raw::Integer(1),
                Raw::Text("unlimited".to_owned()),
                Raw::Text("a, b".to_owned()),
                Raw::List(vec![Raw::Integer(2), Raw::Integer(3)]),
            ])
        );
        let shown: Vec<&str> = entry.items.iter().map(|place| &argument[place.span.clone()]).collect();
        assert_eq!(shown, ["1", "unlimited", "\"a, b\"", "[2, 3]"]);
        assert_eq!(Raw::from_argument("[]"), Raw::List(vec![]));
    }

    #[test]
    fn variants_and_exclusions_are_tables_of_settings_and_no_settings_themselves() {
        let text = "seed = 1\n[[variants.size]]\nname = \"small\"\nload.rate = \"5/s\"\n[variants.size.stage.audit]\nprefetch = 2\n\
                    [[matrix.exclude]]\nvariants.size = \"small\"\nseed = [1, 2]\n";
        let mut problems = Vec::new();
        let document = read_document(0, text, &mut problems);
        assert_eq!(problems, []);
        let paths = |entries: &[Entry]| -> Vec<String> { entries.iter().map(|entry| entry.path.clone()).collect() };
        assert_eq!(paths(&document.entries), ["seed"]);
        assert_eq!(document.variants[0].name, "size");
        assert_eq!(
            paths(&document.variants[0].tables[0].entries),
            ["name", "load.rate", "stage.audit.prefetch"]
        );
        assert_eq!(paths(&document.excludes[0].entries), ["variants.size", "seed"]);
        assert_eq!(document.excludes[0].entries[1].items.len(), 2);
    }

    #[test]
    fn an_argument_cannot_smuggle_in_a_second_key() {
        assert_eq!(Raw::from_argument("1\nseed = 2"), Raw::Text("1\nseed = 2".to_owned()));
    }
}
