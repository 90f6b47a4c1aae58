//! The cells of a matrix as a table for the terminal.

use super::figure::Figure;
use super::human::{self, ABSENT};
use super::sweep::{Cell, REPEATS_MIN, Sweep};
use crate::ledger::Verdict;

/// Most characters of the first column.
const NAME_MAX: usize = 28;
/// Characters of a figure.
const FIGURE: usize = 9;
/// The figures shown, with their headings.
const FIGURES: [(Figure, &str); 5] = [
    (Figure::Goodput, "goodput"),
    (Figure::EndToEndP50, "p50"),
    (Figure::EndToEndP99, "p99"),
    (Figure::DrainTime, "drain"),
    (Figure::Backlog, "backlog"),
];

/// What no sound run has, with its headings; shown where a cell has some.
const EXCEPTIONS: [(Figure, &str); 5] = [
    (Figure::Refused, "refused"),
    (Figure::Dropped, "dropped"),
    (Figure::DeadLettered, "dead-lettered"),
    (Figure::Redelivered, "redelivered"),
    (Figure::Blocked, "blocked"),
];
/// Characters of such a figure.
const EXCEPTION: usize = 13;

/// A row with what it says about its cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line.
    pub line: String,
    /// The cell's verdict; absent for lines about no cell.
    pub verdict: Option<Verdict>,
}

/// The table: a header, a row for each cell in the order of the dimensions' axes, and what the marks mean.
pub fn table(sweep: &Sweep<'_>) -> Vec<Row> {
    let names: Vec<&str> = sweep
        .dimensions
        .iter()
        .map(|dimension| dimension.short_name())
        .collect();
    let mut cells: Vec<(usize, &Cell<'_>)> = sweep.cells.iter().enumerate().collect();
    cells.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
    let title = human::plain(&names.join(", "));
    let longest = cells
        .iter()
        .map(|(_, cell)| name(sweep, cell).chars().count())
        .chain([title.chars().count()])
        .max();
    let width = longest.unwrap_or(0).min(NAME_MAX);
    let best = FIGURES.map(|(figure, _)| sweep.best(figure));
    let headings: Vec<String> = FIGURES
        .iter()
        .map(|(_, heading)| format!("{heading:>FIGURE$} "))
        .collect();
    let about = |line: String| Row { line, verdict: None };
    let mut rows = vec![about(format!(
        "  {:<width$} {:>3} {} {:>4}  verdict",
        shortened(&title, width),
        "n",
        headings.concat(),
        "±"
    ))];
    for (at, cell) in cells {
        rows.push(Row {
            line: row(sweep, cell, width, best.map(|best| best == Some(at))),
            verdict: Some(cell.verdict()),
        });
    }
    rows.push(about(
        "  medians over the repeats; ±: half the range of the goodput; backlog in messages".to_owned(),
    ));
    rows.push(about(if best.iter().any(Option::is_some) {
        "  *: better than every other cell, and not by chance (rank test, Holm, 5 %)".to_owned()
    } else if sweep.repeats() < REPEATS_MIN {
        format!("  no cell is marked as the best: that takes {REPEATS_MIN} repeats or more (trial.repeats)")
    } else {
        "  no cell is marked as the best: none is better than every other beyond chance".to_owned()
    }));
    rows
}

/// What orders met instead of their end, cell by cell: shares of the orders (of the deliveries, if redelivered) and the time for
/// which the broker blocked a connection. Empty where no cell has any.
pub fn exceptions(sweep: &Sweep<'_>) -> Vec<Row> {
    let met = |figure: Figure| {
        let mut values = sweep.cells.iter().flat_map(|cell| cell.values(figure));
        values.any(|value| value > 0.0)
    };
    let shown: Vec<(Figure, &str)> = EXCEPTIONS.into_iter().filter(|(figure, _)| met(*figure)).collect();
    if shown.is_empty() {
        return Vec::new();
    }
    let mut cells: Vec<&Cell<'_>> = sweep.cells.iter().collect();
    cells.sort_by(|a, b| a.place.cmp(&b.place));
    let longest = cells.iter().map(|cell| name(sweep, cell).chars().count()).max();
    let width = longest.unwrap_or(0).min(NAME_MAX);
    let headings: String = shown
        .iter()
        .map(|(_, heading)| format!(" {heading:>EXCEPTION$}"))
        .collect();
    let mut rows = vec![Row {
        line: format!("  {:<width$}{headings}", ""),
        verdict: None,
    }];
    for cell in cells {
        let figures = shown.iter().map(|(figure, _)| {
            let value = cell.spread(*figure);
            let value = value.map_or(ABSENT.to_owned(), |spread| figure.written(spread.median));
            format!(" {value:>EXCEPTION$}")
        });
        let figures: String = figures.collect();
        rows.push(Row {
            line: format!("  {:<width$}{figures}", shortened(&name(sweep, cell), width)),
            verdict: Some(cell.verdict()),
        });
    }
    rows
}

/// The values of all dimensions.
fn name(sweep: &Sweep<'_>, cell: &Cell<'_>) -> String {
    let values = sweep
        .dimensions
        .iter()
        .zip(&cell.place)
        .map(|(dimension, at)| dimension.values[*at].label.as_str());
    human::plain(&values.collect::<Vec<_>>().join(", "))
}

/// Cut in the middle: begin and end of a combination tell it from its neighbours.
fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let end = most / 2;
    let start = most - end - 1;
    text.chars()
        .take(start)
        .chain(['…'])
        .chain(text.chars().skip(length - end))
        .collect()
}

fn row(sweep: &Sweep<'_>, cell: &Cell<'_>, width: usize, best: [bool; 5]) -> String {
    let figures = FIGURES.iter().zip(best).map(|((figure, _), best)| {
        let value = cell
            .spread(*figure)
            .map_or(ABSENT.to_owned(), |spread| figure.written(spread.median));
        // Of a drain that some repeats did not end, the median of the others would flatter.
        let censored = *figure == Figure::DrainTime && cell.drained() < cell.trials.len();
        let deadline = cell.trials.iter().map(|trial| trial.drain.deadline_s).reduce(f64::max);
        let value = match deadline {
            Some(deadline_s) if censored => format!("> {}", human::seconds(deadline_s)),
            _ => value,
        };
        format!(
            "{:>FIGURE$}{}",
            human::shortened(&value.replace(" min ", "m"), FIGURE),
            if best { "*" } else { " " }
        )
    });
    let figures: String = figures.collect();
    let spread = cell
        .spread(Figure::Goodput)
        .filter(|spread| spread.n > 1 && spread.median > 0.0);
    let spread = spread.map_or(String::new(), |spread| {
        format!("{:.0}%", (spread.max - spread.min) / 2.0 / spread.median * 100.0)
    });
    let verdict = match cell.verdict() {
        Verdict::Fail => "fail",
        _ if cell.valid() < cell.trials.len() => "invalid",
        verdict => verdict.name(),
    };
    let name = shortened(&name(sweep, cell), width);
    format!(
        "  {name:<width$} {:>3} {figures} {spread:>4}  {}",
        cell.trials.len(),
        verdict
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn lines(record: &crate::results::record::RunRecord) -> Vec<String> {
        table(&Sweep::of(record)).into_iter().map(|row| row.line).collect()
    }

    #[test]
    fn cells_stand_in_the_order_of_their_values_and_fit_a_hundred_columns() {
        let words = [(
            "a-long-list-of-variants-with-a-name",
            [
                ("drop-head with a length limit", None),
                ("reject-publish and a dead-letter exchange", None),
            ]
            .as_slice(),
        )];
        for dimensions in [fixture::PREFETCH_BY_CONSUMERS.as_slice(), words.as_slice()] {
            for repeats in [0, 1, 3] {
                let lines = lines(&fixture::matrix(dimensions, repeats));
                assert!(lines.iter().all(|line| line.chars().count() <= 100), "{lines:#?}");
            }
        }
        let lines = lines(&fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3));
        let starts: Vec<&str> = lines[1..11].iter().map(|line| line[2..19].trim()).collect();
        assert_eq!(starts[..5], ["1, 1", "1, 4", "10, 1", "10, 4", "100, 1"]);
        assert_eq!(starts[9], "unlimited, 4");
        assert!(
            lines[0].contains("prefetch, consume") && lines[12].contains("takes 6 repeats"),
            "{lines:#?}"
        );
    }

    #[test]
    fn the_best_is_marked_when_it_is_and_only_then() {
        let two = [(
            "stage.payment.prefetch",
            [("1", Some(1.0)), ("10", Some(10.0))].as_slice(),
        )];
        let told = lines(&fixture::matrix(&two, 8));
        assert!(told[2].contains("/s*"), "{told:#?}");
        assert!(!told[1].contains('*') && told[4].contains("not by chance"));
        let noise = lines(&fixture::matrix(&[("x", &[("a", None), ("b", None)])], 8));
        assert!(!noise[1].contains("/s*") && !noise[2].contains("/s*"), "{noise:#?}");
    }

    #[test]
    fn what_was_refused_or_dropped_is_a_table_of_its_own_where_there_is_any() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 1);
        for trial in &mut record.trials {
            (trial.messages.redelivered, trial.orders.published) = (0, 1_000);
        }
        assert_eq!(exceptions(&Sweep::of(&record)), []);
        record.trials[0].ledger.fates.dropped = 250;
        record.trials[0].blocked_s = 1.5;
        let rows = exceptions(&Sweep::of(&record));
        assert!(
            rows.len() == 11 && rows.iter().all(|row| row.line.chars().count() <= 100),
            "{rows:#?}"
        );
        assert!(
            rows[0].line.contains("dropped") && rows[0].line.contains("blocked"),
            "{rows:#?}"
        );
        assert!(!rows[0].line.contains("refused"), "{rows:#?}");
        let first = rows
            .iter()
            .find(|row| row.line.contains("25.0 %"))
            .expect("a quarter was dropped");
        assert!(first.line.contains("1.50 s"), "{first:?}");
    }

    #[test]
    fn a_long_name_keeps_its_begin_and_its_end() {
        assert_eq!(shortened("abcdefghij", 6), "abc…hij".replace("c…", "…"));
        assert_eq!(shortened("abc", 6), "abc");
    }
}
