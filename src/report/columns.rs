//! The cells of a matrix as a table for the terminal.

use super::figure::Figure;
use super::human::{self, ABSENT};
use super::sweep::{Cell, REPEATS_MIN, Sweep};
use crate::ledger::Verdict;

/// Characters of a line.
const LINE: usize = 100;
/// Characters of a line beside the first column and the figures: indentation, trials, spread and verdict.
const FIXED: usize = 22;
/// Characters of a figure, without the mark behind it.
const FIGURE: usize = 9;
/// Most figures.
const FIGURES_MAX: usize = 6;

/// The figures shown, with their headings: rate, latencies and backlog, and what befell orders where something did.
fn figures(sweep: &Sweep<'_>) -> Vec<(Figure, &'static str)> {
    let cleared = sweep.throughput() == Figure::BacklogDrainRate;
    let mut figures = vec![
        if cleared {
            (Figure::BacklogDrainRate, "cleared")
        } else {
            (Figure::Goodput, "goodput")
        },
        (Figure::EndToEndP50, "p50"),
        (Figure::EndToEndP99, "p99"),
        if cleared {
            (Figure::BacklogDrainTime, "in")
        } else {
            (Figure::DrainTime, "drain")
        },
        (Figure::Backlog, "backlog"),
    ];
    if cleared {
        figures.push((Figure::BacklogRatio, "/ ideal"));
    }
    let happened = |figure: Figure| {
        let mut values = sweep.cells.iter().flat_map(|cell| cell.values(figure));
        values.any(|value| value > 0.0)
    };
    if happened(Figure::UrgentP50) {
        figures.splice(
            1..3,
            [
                (Figure::UrgentP50, "urgent"),
                (Figure::NormalP50, "others"),
                (Figure::EndToEndP99, "p99"),
            ],
        );
    }
    let befell = [
        (Figure::Refused, "refused"),
        (Figure::Dropped, "dropped"),
        (Figure::DeadLettered, "dead"),
        (Figure::DuplicateEffect, "twice"),
        (Figure::Retries, "retries"),
    ];
    figures.extend(befell.into_iter().filter(|(figure, _)| happened(*figure)));
    for spare in [
        Figure::EndToEndP50,
        Figure::DrainTime,
        Figure::BacklogRatio,
        Figure::NormalP50,
        Figure::Backlog,
        Figure::Retries,
    ] {
        if figures.len() > FIGURES_MAX {
            figures.retain(|(figure, _)| *figure != spare);
        }
    }
    figures
}

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
    let figures = figures(sweep);
    let best: Vec<Option<usize>> = figures.iter().map(|(figure, _)| sweep.best(*figure)).collect();
    let mut rows = lines(sweep, &figures, &best);
    let line = if best.iter().any(Option::is_some) {
        "  *: better than every other cell, and not by chance (rank test, Holm, 5 %)".to_owned()
    } else if sweep.repeats() < REPEATS_MIN {
        format!("  no cell is marked as the best: that takes {REPEATS_MIN} repeats or more (trial.repeats)")
    } else {
        "  no cell is marked as the best: none is better than every other beyond chance".to_owned()
    };
    rows.push(Row { line, verdict: None });
    rows
}

/// The same for cells that nobody may judge against each other: no mark, and no word on marks.
pub fn unmarked(sweep: &Sweep<'_>) -> Vec<Row> {
    let figures = figures(sweep);
    lines(sweep, &figures, &vec![None; figures.len()])
}

/// All but what the marks mean. `best` is the cell that is marked, of each figure.
fn lines(sweep: &Sweep<'_>, figures: &[(Figure, &str)], best: &[Option<usize>]) -> Vec<Row> {
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
    let width = longest.unwrap_or(0).min(LINE - FIXED - figures.len() * (FIGURE + 1));
    let headings: Vec<String> = figures
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
            line: row(
                sweep,
                cell,
                width,
                figures,
                &best.iter().map(|best| *best == Some(at)).collect::<Vec<_>>(),
            ),
            verdict: Some(cell.verdict()),
        });
    }
    rows.push(about("  medians over the repeats; backlog in messages".to_owned()));
    rows.push(about(format!(
        "  ±: half the range of the {}",
        sweep.throughput_words()
    )));
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

fn row(sweep: &Sweep<'_>, cell: &Cell<'_>, width: usize, figures: &[(Figure, &str)], best: &[bool]) -> String {
    let figures = figures.iter().zip(best).map(|((figure, _), best)| {
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
            if *best { "*" } else { " " }
        )
    });
    let figures: String = figures.collect();
    let spread = cell
        .spread(sweep.throughput())
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
            lines[0].contains("prefetch, consume") && lines[13].contains("takes 6 repeats"),
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
        assert!(!told[1].contains('*') && told[5].contains("not by chance"));
        let noise = lines(&fixture::matrix(&[("x", &[("a", None), ("b", None)])], 8));
        assert!(!noise[1].contains("/s*") && !noise[2].contains("/s*"), "{noise:#?}");
    }

    #[test]
    fn what_befell_orders_has_a_column_and_every_line_still_fits() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        assert!(!lines(&record)[0].contains("refused"));
        for trial in &mut record.trials {
            let share = trial.orders.published / 4;
            trial.ledger.fates.nacked = share;
            trial.ledger.fates.dropped = share;
            trial.ledger.fates.dead_lettered = share;
        }
        let lines = lines(&record);
        for heading in ["goodput", "p99", "backlog", "refused", "dropped", "dead"] {
            assert!(lines[0].contains(heading), "{}", lines[0]);
        }
        assert_eq!(lines[1].matches("25.0 %").count(), 3, "{}", lines[1]);
        assert!(lines.iter().all(|line| line.chars().count() <= LINE), "{lines:#?}");
    }

    #[test]
    fn urgent_orders_stand_beside_the_others() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        for trial in &mut record.trials {
            for series in ["end_to_end_urgent", "end_to_end_normal"] {
                let mut summary = trial.latencies[0].clone();
                summary.series = series.to_owned();
                trial.latencies.push(summary);
            }
        }
        let lines = lines(&record);
        assert!(lines[0].contains("urgent    others       p99"), "{}", lines[0]);
        assert!(lines.iter().all(|line| line.chars().count() <= LINE), "{lines:#?}");
    }

    #[test]
    fn cells_with_a_backlog_are_judged_by_how_fast_it_was_cleared() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        for trial in &mut record.trials {
            trial.backlog = Some(fixture::backlog());
        }
        let sweep = Sweep::of(&record);
        assert_eq!(sweep.throughput(), Figure::BacklogDrainRate);
        let lines = lines(&record);
        assert!(
            lines[0].contains("cleared") && lines[0].contains("/ ideal"),
            "{}",
            lines[0]
        );
        assert!(!lines[0].contains("goodput"), "{}", lines[0]);
        assert!(lines.iter().all(|line| line.chars().count() <= LINE), "{lines:#?}");
    }

    #[test]
    fn a_long_name_keeps_its_begin_and_its_end() {
        assert_eq!(shortened("abcdefghij", 6), "abc…hij".replace("c…", "…"));
        assert_eq!(shortened("abc", 6), "abc");
    }
}
