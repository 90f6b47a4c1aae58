//! A plan for a terminal: at most 100 columns.

use super::{answer, asked, errors, figure, interval, rests_on};
use crate::report::human;
use crate::report::text::wrap;
use crate::results::record::RunRecord;
use crate::sizing::{Plan, Row};

const COLUMNS: usize = 100;

pub(super) fn render(plan: &Plan, record: &RunRecord) -> String {
    let mut out = String::new();
    let mut said = |first: &str, text: &str| {
        let indent = " ".repeat(first.chars().count());
        for (at, line) in wrap(&human::plain(text), COLUMNS - indent.len()).iter().enumerate() {
            out.push_str(&format!("{}{line}\n", if at == 0 { first } else { &indent }));
        }
    };
    said("Asked:   ", &asked(plan));
    said("Answer:  ", &answer(plan));
    for why in &plan.impossible {
        said("         ", why);
    }
    said("Fitted:  ", &rests_on(plan, record));
    for warning in &plan.warnings {
        said("warning: ", warning);
    }
    let mut about = "";
    for row in &plan.rows {
        if row.about != about {
            out.push_str(&format!("\n{}\n", row.about));
            about = &row.about;
        }
        out.push_str(&line(row));
    }
    out.push_str("\nError of the model on cells that it was not fitted to\n");
    for (measure, errors) in errors(plan) {
        let says = match errors {
            Some(errors) => format!(
                "median {}, worst {} ({})",
                human::share(errors.median),
                human::share(errors.worst),
                human::plural(errors.figures as u64, "figure")
            ),
            None => "nothing to compare".to_owned(),
        };
        out.push_str(&format!("  {:<26}{says}\n", measure.name()));
    }
    out.trim_end().to_owned()
}

fn line(row: &Row) -> String {
    let start = format!(
        "  {:<26}{:>14}  {:<25} {:<9}",
        row.name,
        figure(row),
        interval(row),
        row.origin.word()
    );
    let room = COLUMNS.saturating_sub(start.chars().count() + 1);
    if row.note.is_empty() {
        return format!("{}\n", start.trim_end());
    }
    if row.note.chars().count() <= room {
        return format!("{start} {}\n", row.note);
    }
    let mut text = format!("{}\n", start.trim_end());
    for note in wrap(&human::plain(&row.note), COLUMNS - 28) {
        text.push_str(&format!("{}{note}\n", " ".repeat(28)));
    }
    text
}
