//! The cells of a matrix: the table first, then what it says about the settings.

use super::lead::pill;
use super::sink::{Align, Sink};
use crate::report::figure::Figure;
use crate::report::human::{self, ABSENT};
use crate::report::insight::{self, Scaling};
use crate::report::sweep::{Cell, REPEATS_MIN, Sweep};

use Align::{Number, Text};

/// The figures of the table.
const FIGURES: [Figure; 23] = [
    Figure::Goodput,
    Figure::EndToEndP50,
    Figure::EndToEndP99,
    Figure::UrgentP50,
    Figure::NormalP50,
    Figure::DrainTime,
    Figure::Backlog,
    Figure::BacklogDrainTime,
    Figure::BacklogDrainRate,
    Figure::BacklogRatio,
    Figure::Unacked,
    Figure::DeliveryGini,
    Figure::OldestAge,
    Figure::Redelivered,
    Figure::Refused,
    Figure::Dropped,
    Figure::DeadLettered,
    Figure::DuplicateEffect,
    Figure::Retries,
    Figure::DriverCpu,
    Figure::DriverMemory,
    Figure::BrokerMemory,
    Figure::MessageMemory,
];

pub(super) fn section(page: &mut Sink, sweep: &Sweep<'_>) {
    page.raw("<h2>Cells</h2>\n");
    let figures = figures(sweep);
    let best: Vec<Option<usize>> = figures.iter().map(|figure| sweep.best(*figure)).collect();
    table(page, sweep, &figures, &best);
    let best = figures.iter().any(|figure| sweep.best(*figure).is_some());
    let marked = match (best, sweep.repeats()) {
        (true, _) => {
            "Marked “best”: better than every other cell, and not by chance (rank test, Holm's correction, 5 %)."
                .to_owned()
        }
        (false, repeats) if repeats < REPEATS_MIN => {
            format!("No cell is marked as the best: that takes {REPEATS_MIN} repeats or more (trial.repeats).")
        }
        (false, _) => "No cell is marked as the best: none is better than every other beyond chance.".to_owned(),
    };
    page.element(
        "<p class=\"soft\">Medians over the repeats, with least and greatest. ",
        &marked,
        "</p>\n",
    );
    recommendations(page, sweep);
    for scaling in insight::scalings(sweep) {
        self::scaling(page, sweep.throughput().title(), &scaling);
    }
}

/// The table alone, with no cell marked as the best.
pub(super) fn unmarked(page: &mut Sink, sweep: &Sweep<'_>) {
    let figures = figures(sweep);
    table(page, sweep, &figures, &vec![None; figures.len()]);
}

/// The figures that these cells have something to show of.
fn figures(sweep: &Sweep<'_>) -> Vec<Figure> {
    let shown = FIGURES.into_iter().filter(|figure| {
        let mut values = sweep.cells.iter().flat_map(|cell| cell.values(*figure));
        values.any(|value| value > 0.0 || !figure.is_exceptional())
    });
    shown.collect()
}

/// `best` is the cell that is marked, of each figure.
fn table(page: &mut Sink, sweep: &Sweep<'_>, figures: &[Figure], best: &[Option<usize>]) {
    let mut columns: Vec<(String, Align)> = sweep
        .dimensions
        .iter()
        .map(|dimension| {
            (
                dimension.name.clone(),
                if dimension.is_numeric() { Number } else { Text },
            )
        })
        .collect();
    columns.push(("Trials".to_owned(), Number));
    columns.push(("Verdict".to_owned(), Text));
    columns.extend(figures.iter().map(|figure| (figure.title().to_owned(), Number)));
    let columns: Vec<(&str, Align)> = columns.iter().map(|(name, align)| (name.as_str(), *align)).collect();
    page.table("Cells", &columns);
    let mut cells: Vec<(usize, &Cell<'_>)> = sweep.cells.iter().enumerate().collect();
    cells.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
    for (at, cell) in cells {
        page.raw("<tr>");
        for (dimension, place) in sweep.dimensions.iter().zip(&cell.place) {
            let value = &dimension.values[*place].label;
            if dimension.is_numeric() {
                page.element("<th scope=\"row\" class=\"number\">", value, "</th>");
            } else {
                page.row_name(value);
            }
        }
        page.number(&human::count(cell.trials.len() as u64));
        page.raw("<td>");
        pill(page, cell.verdict(), true);
        if cell.valid() < cell.trials.len() {
            page.raw(" <span class=\"pill bad\">invalid</span>");
        }
        page.raw("</td>");
        for (figure, best) in figures.iter().zip(best) {
            self::figure(page, cell, *figure, *best == Some(at));
        }
        page.raw("</tr>\n");
    }
    page.table_end();
}

fn figure(page: &mut Sink, cell: &Cell<'_>, figure: Figure, best: bool) {
    let Some(spread) = cell.spread(figure) else {
        page.number(ABSENT);
        return;
    };
    page.element("<td class=\"number\">", &figure.written(spread.median), "");
    if best {
        page.raw(" <span class=\"pill good\">best</span>");
    }
    if spread.n > 1 && spread.min < spread.max {
        let range = format!("{} – {}", figure.written(spread.min), figure.written(spread.max));
        page.element("<br><small class=\"soft\">", &range, "</small>");
    }
    let ended = cell.drained();
    if figure == Figure::DrainTime && ended < cell.trials.len() {
        let note = format!("{ended} of {} ended", cell.trials.len());
        page.element("<br><small class=\"bad\">", &note, "</small>");
    }
    page.raw("</td>");
}

fn recommendations(page: &mut Sink, sweep: &Sweep<'_>) {
    let found = insight::recommendations(sweep);
    if found.is_empty() {
        return;
    }
    let of = sweep.throughput_words();
    let title = format!("Smallest value within 5 % of the best {of}");
    page.element("<h3>", &title, "</h3>\n<ul class=\"notes\">");
    for one in found {
        page.raw(if one.doubt.is_none() {
            "<li class=\"good\">"
        } else {
            "<li class=\"doubt\">"
        });
        page.element("<strong><code>", &one.setting, "</code></strong>");
        if !one.others.is_empty() {
            page.text(&format!(" at {}", one.others));
        }
        page.text(&format!(": {}.", one.reason));
        if let Some(doubt) = &one.doubt {
            page.element(" <strong>But</strong> ", doubt, ".");
        }
        page.raw("</li>");
    }
    page.raw("</ul>\n");
}

fn scaling(page: &mut Sink, rate: &str, scaling: &Scaling) {
    let at = if scaling.others.is_empty() {
        String::new()
    } else {
        format!(" at {}", scaling.others)
    };
    let title = format!("Scaling over {}{at}", scaling.dimension);
    page.element("<h3>", &title, "</h3>\n");
    let columns = [
        (scaling.dimension.as_str(), Number),
        (rate, Number),
        ("Speed-up", Number),
        ("Efficiency", Number),
        ("", Text),
    ];
    page.table(&title, &columns);
    for step in &scaling.steps {
        page.element("<tr><th scope=\"row\" class=\"number\">", &step.label, "</th>");
        page.number(&human::rate(step.rate_per_s));
        page.number(&format!("{:.2}", step.speed_up));
        page.number(&human::share(step.efficiency));
        page.cell(if step.at_the_load {
            "all of the offered load: more could not show"
        } else {
            ""
        });
        page.raw("</tr>\n");
    }
    page.table_end();
}
