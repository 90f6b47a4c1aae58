//! For CI servers: a test case for each measure and each promise whose verdict differs. Worse fails, what cannot be told is
//! skipped, with the reason.

use std::fmt::Write as _;

use super::super::{Case, Comparison, Judgement};
use super::{about, changed, interval, p, power, value};
use crate::report::human;

pub(super) fn render(comparison: &Comparison) -> String {
    let judgements = || comparison.cases.iter().flat_map(judgements);
    let count = |wanted: Judgement| judgements().filter(|judgement| *judgement == wanted).count();
    let totals = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"",
        judgements().count(),
        count(Judgement::Worse),
        count(Judgement::CannotTell)
    );
    let name = escaped(&format!("orderstorm compare {}", comparison.new.workload));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {totals}>\n<testsuite name=\"{name}\" {totals}>\n"
    );
    for case in &comparison.cases {
        of_case(&mut out, comparison, case);
    }
    let mut about_all = vec![
        comparison.sentence(),
        format!("base: {}", about(&comparison.base)),
        format!("new: {}", about(&comparison.new)),
    ];
    about_all.extend(
        comparison
            .forced
            .iter()
            .map(|difference| format!("forced although they differ: {difference}")),
    );
    about_all.extend(comparison.notes.iter().cloned());
    let about_all: Vec<String> = about_all.iter().map(|line| escaped(line)).collect();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<system-out>{}</system-out>\n</testsuite>\n</testsuites>\n",
        about_all.join("\n")
    );
    out
}

fn judgements(case: &Case) -> impl Iterator<Item = Judgement> {
    let measures = case.measures.iter().map(|measured| measured.judgement);
    measures.chain(case.promises.iter().map(|promise| promise.judgement))
}

fn of_case(out: &mut String, comparison: &Comparison, case: &Case) {
    let class = match case.name.as_str() {
        "" => comparison.new.workload.clone(),
        name => format!("{}.{name}", comparison.new.workload),
    };
    let mut one = |name: &str, judgement: Judgement, text: String, why: String| {
        let inner = match judgement {
            Judgement::Worse => format!("<failure type=\"regression\" message=\"{}\"/>", escaped(&text)),
            Judgement::CannotTell => format!("<skipped message=\"{}\"/>", escaped(&format!("{text}: {why}"))),
            Judgement::Same | Judgement::Better => format!("<system-out>{}</system-out>", escaped(&text)),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<testcase classname=\"{}\" name=\"{}\">{inner}</testcase>",
            escaped(&class),
            escaped(name)
        );
    };
    for measured in &case.measures {
        let text = format!(
            "{}: {} → {}, change {} ({}), p {}",
            measured.judgement.word(),
            value(measured, measured.base_median),
            value(measured, measured.new_median),
            changed(measured),
            interval(measured),
            p(measured)
        );
        one(measured.measure, measured.judgement, text, power(measured));
    }
    for promise in &case.promises {
        let text = format!(
            "{}: {} → {}",
            promise.judgement.word(),
            promise.base.name(),
            promise.new.name()
        );
        one(
            &format!("{} {}", promise.kind, promise.promise),
            promise.judgement,
            text,
            String::new(),
        );
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in human::plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}
