//! `plan.csv`: every figure of a plan (RFC 4180), in base units. Each column is described in docs/PLANNING.md.

use crate::report::cell::Cell;
use crate::sizing::{Plan, Row};

type Column = (&'static str, fn(&Row) -> Cell);
const COLUMNS: &[Column] = &[
    ("about", |r| r.about.as_str().into()),
    ("figure", |r| r.name.into()),
    ("value", |r| r.value.into()),
    ("low", |r| r.low.into()),
    ("high", |r| r.high.into()),
    ("unit", |r| r.unit.name().into()),
    ("origin", |r| r.origin.word().into()),
    ("note", |r| r.note.as_str().into()),
];

/// The names of the columns, in their order.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

pub(super) fn render(plan: &Plan) -> Result<String, csv::Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(columns())?;
    for row in &plan.rows {
        csv.write_record(COLUMNS.iter().map(|(_, cell)| cell(row).written()))?;
    }
    let bytes = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
