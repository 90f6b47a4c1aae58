//! A plan as Markdown.

use super::{answer, asked, errors, figure, interval, rests_on};
use crate::report::human;
use crate::results::record::RunRecord;
use crate::sizing::Plan;

pub(super) fn render(plan: &Plan, record: &RunRecord) -> String {
    let mut lines = vec![
        "# Capacity plan".to_owned(),
        String::new(),
        format!("**Asked:** {}  ", cell(&asked(plan))),
        format!("**Answer:** {}  ", cell(&answer(plan))),
        format!("**Fitted to:** {}", cell(&rests_on(plan, record))),
    ];
    for (word, texts) in [("Impossible", &plan.impossible), ("Warning", &plan.warnings)] {
        for text in texts {
            lines.extend([String::new(), format!("> **{word}:** {}", cell(text))]);
        }
    }
    lines.extend(
        [
            "",
            "| about | figure | value | interval | origin | note |",
            "|---|---|---:|---|---|---|",
        ]
        .map(str::to_owned),
    );
    for row in &plan.rows {
        let cells = [
            row.about.as_str(),
            row.name,
            &figure(row),
            &interval(row),
            row.origin.word(),
            &row.note,
        ];
        lines.push(format!("| {} |", cells.map(cell).join(" | ")));
    }
    lines.extend(
        [
            "",
            "Error of the model on cells that it was not fitted to:",
            "",
            "| measure | median | worst | figures |",
            "|---|---:|---:|---:|",
        ]
        .map(str::to_owned),
    );
    for (measure, errors) in errors(plan) {
        let of = |pick: fn(&crate::sizing::Errors) -> f64| {
            errors
                .as_ref()
                .map_or(human::ABSENT.to_owned(), |errors| human::share(pick(errors)))
        };
        let figures = errors.as_ref().map_or(0, |errors| errors.figures);
        lines.push(format!(
            "| {} | {} | {} | {figures} |",
            measure.name(),
            of(|errors| errors.median),
            of(|errors| errors.worst)
        ));
    }
    lines.join("\n") + "\n"
}

/// Text that stays within its cell.
fn cell(text: &str) -> String {
    human::plain(text)
        .replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}
