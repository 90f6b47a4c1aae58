//! For a pull request or the summary of a CI step.

use std::fmt::Write as _;

use super::super::{Comparison, Judgement};
use super::{about, changed, interval, p, power, value};
use crate::report::human;

pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = format!(
        "### {}: {}\n\n",
        escaped(&comparison.new.workload),
        escaped(&comparison.sentence())
    );
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    for difference in &comparison.forced {
        line(format!(
            "> **Forced although they differ:** {}\n",
            escaped(&difference.to_string())
        ));
    }
    line(format!("- base: {}", escaped(&about(&comparison.base))));
    line(format!("- new: {}", escaped(&about(&comparison.new))));
    for note in &comparison.notes {
        line(format!("- {}", escaped(note)));
    }
    for case in &comparison.cases {
        if !case.name.is_empty() {
            line(format!("\n**{}**", escaped(&case.name)));
        }
        line("\n| measure | base | new | change | 95 % interval | p | verdict |".to_owned());
        line("|---|--:|--:|--:|---|--:|---|".to_owned());
        for measured in &case.measures {
            let word = measured.judgement.word();
            let verdict = match measured.judgement {
                Judgement::Worse | Judgement::Better => format!("**{word}**"),
                Judgement::Same => word.to_owned(),
                Judgement::CannotTell => format!("{word}: {}", escaped(&power(measured))),
            };
            line(format!(
                "| {} | {} | {} | {} | {} | {} | {verdict} |",
                measured.measure,
                value(measured, measured.base_median),
                value(measured, measured.new_median),
                changed(measured),
                interval(measured),
                p(measured)
            ));
        }
        for promise in &case.promises {
            line(format!(
                "| {} {} | {} | {} | | | | **{}** |",
                promise.kind,
                escaped(&promise.promise),
                promise.base.name(),
                promise.new.name(),
                promise.judgement.word()
            ));
        }
    }
    out
}

/// Text of others cannot become markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in human::plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}
