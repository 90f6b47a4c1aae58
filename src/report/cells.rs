//! `cells.csv`: one row per cell of the matrix (RFC 4180). Each column is described in docs/RESULTS.md.

use std::io::Write;

use super::cell::Cell as Written;
use super::figure::Figure;
use super::sweep::{Cell, Spread, Sweep};
use crate::results::record::RunRecord;

/// What stands in each row before the figures.
const HEAD: [&str; 6] = [
    "cell",
    "trials",
    "trials_valid",
    "trials_drained",
    "orders_lost",
    "verdict",
];
/// The columns of each figure, after its name.
const PARTS: [&str; 5] = ["median", "min", "max", "low", "high"];

/// The names of all columns that every run has, in their order; the dimensions come first, by their keys.
pub fn columns() -> impl Iterator<Item = String> {
    let figures = Figure::ALL
        .into_iter()
        .flat_map(|figure| PARTS.map(|part| format!("{}_{part}", figure.name())));
    HEAD.into_iter().map(str::to_owned).chain(figures)
}

/// Writes the header and a row for each cell.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let sweep = Sweep::of(record);
    let mut csv = csv::Writer::from_writer(to);
    let dimensions = sweep
        .dimensions
        .iter()
        .map(|dimension| Written::from(dimension.name.as_str()).written());
    csv.write_record(dimensions.chain(columns()))?;
    for cell in &sweep.cells {
        csv.write_record(row(&sweep, cell).iter().map(Written::written))?;
    }
    csv.flush()?;
    Ok(())
}

fn row(sweep: &Sweep<'_>, cell: &Cell<'_>) -> Vec<Written> {
    let places = sweep.dimensions.iter().zip(&cell.place);
    let mut row: Vec<Written> = places
        .map(|(dimension, at)| dimension.values[*at].label.as_str().into())
        .collect();
    let lost: u64 = cell.trials.iter().map(|trial| trial.ledger.fates.lost).sum();
    row.extend([
        Written::from(cell.record.label.as_str()),
        (cell.trials.len() as u64).into(),
        (cell.valid() as u64).into(),
        (cell.drained() as u64).into(),
        lost.into(),
        cell.verdict().name().into(),
    ]);
    for figure in Figure::ALL {
        let spread = |part: fn(&Spread) -> f64| Written::from(cell.spread(figure).as_ref().map(part));
        let interval = cell.interval(figure);
        row.extend([
            spread(|spread| spread.median),
            spread(|spread| spread.min),
            spread(|spread| spread.max),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
        ]);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use std::collections::HashMap;

    fn rows(record: &RunRecord) -> Vec<HashMap<String, String>> {
        let mut bytes = Vec::new();
        write(record, &mut bytes).expect("written");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        reader.deserialize().map(|row| row.expect("legal CSV")).collect()
    }

    #[test]
    fn each_cell_is_a_row_with_its_settings_and_the_spread_over_its_repeats() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 6);
        let rows = rows(&record);
        assert_eq!(rows.len(), 10);
        let row = &rows[3];
        assert_eq!(
            (
                row["stage.payment.prefetch"].as_str(),
                row["stage.payment.consumers"].as_str()
            ),
            ("100", "4")
        );
        assert_eq!((row["trials"].as_str(), row["verdict"].as_str()), ("6", "pass"));
        let of = |part: &str| row[&format!("goodput_per_s_{part}")].parse::<f64>().expect("a number");
        assert!(
            of("min") <= of("low")
                && of("low") <= of("median")
                && of("median") <= of("high")
                && of("high") <= of("max")
        );
        let mut goodput: Vec<f64> = record
            .trials_of(3)
            .filter_map(|trial| trial.rates.goodput_per_s)
            .collect();
        goodput.sort_by(f64::total_cmp);
        assert!((of("min"), of("max")) == (goodput[0], goodput[5]));
    }

    #[test]
    fn what_is_absent_is_an_empty_cell() {
        let rows = rows(&fixture::no_data());
        assert_eq!((rows.len(), rows[0]["goodput_per_s_median"].as_str()), (1, ""));
        let few = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        assert_eq!(
            super::tests::rows(&few)[0]["goodput_per_s_low"],
            "",
            "three repeats have no interval"
        );
    }

    #[test]
    fn every_column_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RESULTS.md");
        let described = |column: &str| manual.contains(&format!("| `{column}` |"));
        for column in HEAD {
            assert!(described(column), "{column} is missing in docs/RESULTS.md");
        }
        for figure in Figure::ALL {
            assert!(
                described(&format!("{}_*", figure.name())),
                "{} is missing in docs/RESULTS.md",
                figure.name()
            );
        }
    }
}
