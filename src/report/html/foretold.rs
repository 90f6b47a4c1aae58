//! What a plan foretold of the workload, beside what a trial measured.

use super::sink::{Align, Sink};
use crate::report::human::ABSENT;
use crate::report::prediction;
use crate::results::prediction::Foretold;
use crate::results::record::{RunRecord, TrialRecord};

use Align::{Number, Text};

/// The section; nothing where nothing was foretold.
pub(super) fn section(page: &mut Sink, record: &RunRecord, trials: &[&TrialRecord]) {
    let with = trials.iter().map(|trial| (trial.trial, prediction::of(record, trial)));
    let with: Vec<(u32, Vec<Foretold>)> = with.filter(|(_, foretold)| !foretold.is_empty()).collect();
    if with.is_empty() {
        return;
    }
    page.raw("<h2>Foretold by the plan</h2>\n");
    let columns = [
        ("Trial", Number),
        ("Figure", Text),
        ("Foretold", Number),
        ("Measured", Number),
        ("Error", Number),
    ];
    page.table("Foretold by the plan", &columns);
    for (trial, foretold) in &with {
        for one in foretold {
            let of = |value| prediction::value(value, one.unit);
            page.raw("<tr>")
                .number(&trial.to_string())
                .cell(&prediction::title(one));
            page.number(&of(one.predicted))
                .number(&one.measured.map_or(ABSENT.to_owned(), of));
            page.number(&prediction::error(one.error())).raw("</tr>\n");
        }
    }
    page.table_end();
    page.raw("<p class=\"soft\">The error is that of the prediction: above zero where too much was foretold.</p>\n");
}
