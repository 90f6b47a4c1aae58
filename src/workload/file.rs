//! Reads a workload file and `--set` arguments into entries that know where they were written.
//!
//! Knows TOML and nothing of what the keys mean, except where a key ends and its value begins.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::problem::{Place, Problem, Source};

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
}

/// Entries of a TOML text; syntax errors go to `problems`, and what could be read is returned all the same.
pub fn entries_of_file(source: usize, text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            place: Place { source, span: error.span().unwrap_or(0..0) },
            message: error.message().to_owned(),
            help: Some("the file must be TOML: `key = value` lines under [table] headers; strings, durations and rates in quotes".to_owned()),
        });
    }
    let mut entries = Vec::new();
    flatten(source, "", document.get_ref(), &mut entries);
    entries.sort_by_key(|entry| entry.key.span.start);
    entries
}

/// Descends until a path is a key of the table in [`keys`] or the value is no table.
fn flatten(source: usize, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let path = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) if keys::find(&path).is_none() && !inner.is_empty() && is_section(&path) => {
                flatten(source, &path, inner, entries);
            }
            DeValue::Array(phases) if path == keys::PHASES && are_phases(phases) => {
                for (i, phase) in phases.iter().enumerate() {
                    if let DeValue::Table(inner) = phase.get_ref() {
                        flatten(source, &format!("{path}.{}", i + 1), inner, entries);
                    }
                }
            }
            // An empty section says nothing and does no harm.
            DeValue::Table(inner) if inner.is_empty() && is_section(&path) => {}
            other => entries.push(Entry {
                path,
                raw: Raw::from(other),
                key: Place {
                    source,
                    span: name.span(),
                },
                value: Place {
                    source,
                    span: value.span(),
                },
            }),
        }
    }
}

/// Whether each is a table that says something; else the whole is refused at its place.
fn are_phases(values: &[Spanned<DeValue<'_>>]) -> bool {
    let says_something =
        |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(inner) if !inner.is_empty());
    (1..=keys::PHASES_MAX).contains(&values.len()) && values.iter().all(says_something)
}

/// Whether some key's path continues from here.
fn is_section(path: &str) -> bool {
    keys::concrete().any(|(key, _)| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
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
    let span_of = |start: usize, part: &str| -> Range<usize> { start..start + part.len() };
    Some(Entry {
        path: path.trim().to_owned(),
        raw: Raw::from_argument(value.trim()),
        key: Place {
            source,
            span: span_of(0, path),
        },
        value: Place {
            source,
            span: span_of(path.len() + 1, value),
        },
    })
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
    fn an_argument_cannot_smuggle_in_a_second_key() {
        assert_eq!(Raw::from_argument("1\nseed = 2"), Raw::Text("1\nseed = 2".to_owned()));
    }
}
