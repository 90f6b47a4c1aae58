//! For a terminal: at most 100 columns.

use std::fmt::Write as _;

use super::super::{Comparison, Judgement, Measured, Side};
use super::{about, changed, interval, p, power, value};
use crate::report::human;
use crate::report::text::{Style, wrap};

const COLUMNS: usize = 100;

pub(super) fn render(comparison: &Comparison, style: Style) -> String {
    let mut out = String::new();
    let mut line = |text: &str, judgement: Option<Judgement>| {
        let toned = judgement.map_or(text.to_owned(), |judgement| toned(text, judgement, style));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{toned}");
    };
    for text in wrap(&human::plain(&comparison.sentence()), COLUMNS) {
        line(&text, Some(comparison.judgement));
    }
    for difference in &comparison.forced {
        for text in wrap(&format!("FORCED although they differ: {difference}"), COLUMNS) {
            line(&text, Some(Judgement::Worse));
        }
    }
    for (name, side) in sides(comparison) {
        for (at, text) in wrap(&about(side), COLUMNS - 6).iter().enumerate() {
            line(&format!("{}{text}", if at == 0 { name } else { "      " }), None);
        }
    }
    for note in &comparison.notes {
        for text in wrap(&human::plain(&format!("note: {note}")), COLUMNS) {
            line(&text, None);
        }
    }
    for case in &comparison.cases {
        line("", None);
        let name = human::shortened(&human::plain(&case.name), 40);
        line(
            &format!(
                "{:<20} {:>11} {:>11} {:>10}  {:<22} {:>6}  verdict",
                human::shortened(&name, 20),
                "base",
                "new",
                "change",
                "95 % interval",
                "p"
            ),
            None,
        );
        for measured in &case.measures {
            line(&row(measured), Some(measured.judgement));
            if measured.judgement == Judgement::CannotTell {
                for text in wrap(&power(measured), COLUMNS - 6) {
                    line(&format!("      {text}"), None);
                }
            }
        }
        for promise in &case.promises {
            let text = format!(
                "  {} {}: {} → {}",
                promise.kind,
                human::plain(&promise.promise),
                promise.base.name(),
                promise.new.name()
            );
            line(&text, Some(promise.judgement));
        }
    }
    out
}

/// Both runs; one line for cells of the same run.
fn sides(comparison: &Comparison) -> Vec<(&'static str, &Side)> {
    if comparison.base == comparison.new {
        return vec![("run:  ", &comparison.new)];
    }
    vec![("base: ", &comparison.base), ("new:  ", &comparison.new)]
}

fn row(measured: &Measured) -> String {
    format!(
        "  {:<18} {:>11} {:>11} {:>10}  {:<22} {:>6}  {}",
        measured.measure,
        value(measured, measured.base_median),
        value(measured, measured.new_median),
        changed(measured),
        interval(measured),
        p(measured),
        measured.judgement.word()
    )
}

/// Colour for what is known alone: no arrow and no colour on noise.
fn toned(text: &str, judgement: Judgement, style: Style) -> String {
    let code = match (style, judgement) {
        (Style::Ansi, Judgement::Worse) => "31",
        (Style::Ansi, Judgement::Better) => "32",
        _ => return text.to_owned(),
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
