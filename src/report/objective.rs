//! Objectives in words: met, missed by how much and in which cell, or why it cannot be told.

use super::human;
use crate::ledger::Verdict;
use crate::results::record::{CellRecord, ObjectiveRecord, RunRecord};
use crate::workload::objective::{Rule, Unit};

/// One objective over all cells that have it with the same bound and verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Met, missed, or not to be told.
    pub verdict: Verdict,
    /// `end_to_end_p99 <= 250ms`.
    pub objective: String,
    /// What was measured, and where.
    pub finding: String,
}

impl Line {
    /// `met`, `missed` or `cannot tell`.
    pub const fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Pass => "met",
            Verdict::Unknown => "cannot tell",
            Verdict::Fail => "missed",
        }
    }
}

/// Cells that are named one by one, per objective and verdict; the others are counted.
const NAMED_MAX: usize = 4;

/// One cell's word on an objective.
type Word<'a> = (&'a CellRecord, &'a ObjectiveRecord);

/// All objectives of a run, what was missed first.
pub fn lines(record: &RunRecord) -> Vec<Line> {
    let mut groups: Vec<(Verdict, String, Vec<Word<'_>>)> = Vec::new();
    for cell in &record.cells {
        for one in &cell.objectives {
            let name = name(one);
            match groups
                .iter_mut()
                .find(|(verdict, objective, _)| *verdict == one.verdict && *objective == name)
            {
                Some((.., cells)) => cells.push((cell, one)),
                None => groups.push((one.verdict, name, vec![(cell, one)])),
            }
        }
    }
    groups.sort_by_key(|(verdict, ..)| std::cmp::Reverse(*verdict));
    groups
        .into_iter()
        .map(|(verdict, objective, cells)| Line {
            verdict,
            objective,
            finding: finding(verdict, cells),
        })
        .collect()
}

/// The first miss, or else the first objective that cannot be told, in a sentence.
pub fn reason(record: &RunRecord, verdict: Verdict) -> Option<String> {
    let lines = lines(record);
    let mut of_verdict = lines.iter().filter(|line| line.verdict == verdict);
    let first = of_verdict.next()?;
    let more = match of_verdict.count() {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let what = match verdict {
        Verdict::Fail => "an objective was missed",
        Verdict::Unknown => "it cannot be told whether an objective was met",
        Verdict::Pass => "an objective was met",
    };
    Some(format!("{what}: {}: {}{more}", first.objective, first.finding))
}

/// `end_to_end_p99 <= 250ms`.
pub fn name(one: &ObjectiveRecord) -> String {
    format!("{} {}", one.figure.name(), one.bound)
}

/// What was measured in one cell.
pub fn measured(one: &ObjectiveRecord) -> String {
    let Some(value) = one.measured else {
        return one.unknown_because.clone().unwrap_or_else(|| human::ABSENT.to_owned());
    };
    let mut text = format!(
        "{}{}",
        if one.more_than { "more than " } else { "" },
        in_unit(one.unit, value)
    );
    if one.repeats > 1 {
        let rule = match one.rule {
            Rule::Median => "median",
            Rule::Worst => "worst",
        };
        text.push_str(&format!(" ({rule} of {} repeats)", one.repeats));
    }
    if let Some(beyond) = one.beyond {
        let share = if one.limit > 0.0 {
            format!(" ({})", human::share(beyond / one.limit))
        } else {
            String::new()
        };
        let more = if one.more_than { "more than " } else { "" };
        text.push_str(&format!(
            ", {more}{}{share} beyond the bound",
            in_unit(one.unit, beyond)
        ));
    }
    if let Some(why) = &one.unknown_because {
        text.push_str(&format!(", but {why}"));
    }
    text
}

fn finding(verdict: Verdict, mut cells: Vec<Word<'_>>) -> String {
    let closeness = |one: &ObjectiveRecord| one.beyond.or(one.measured).unwrap_or(f64::NEG_INFINITY);
    cells.sort_by(|(_, left), (_, right)| closeness(right).total_cmp(&closeness(left)));
    let only = cells.len() == 1 && cells[0].0.label.is_empty();
    let named = |(cell, one): &(&CellRecord, &ObjectiveRecord)| {
        if only {
            measured(one)
        } else {
            format!("`{}`: {}", cell.label, measured(one))
        }
    };
    // A cell that met it is no news; one stands for all.
    let most = if verdict == Verdict::Pass { 1 } else { NAMED_MAX };
    let mut parts: Vec<String> = cells.iter().take(most).map(named).collect();
    if cells.len() > most {
        parts.push(format!(
            "and {} more",
            human::plural((cells.len() - most) as u64, "cell")
        ));
    }
    parts.join("; ")
}

fn in_unit(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds => human::nanos(value * 1e9),
        Unit::PerSecond => human::rate(value),
        Unit::Bytes => human::bytes(value),
        Unit::Share => human::share(value),
        Unit::Count if value.fract() == 0.0 => human::count(value as u64),
        Unit::Count => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::workload::objective::Figure;

    fn objective(verdict: Verdict, measured: Option<f64>) -> ObjectiveRecord {
        ObjectiveRecord {
            figure: Figure::EndToEndP99,
            unit: Unit::Seconds,
            bound: "<= 250ms".to_owned(),
            limit: 0.25,
            measured,
            more_than: false,
            rule: Rule::Median,
            repeats: 3,
            verdict,
            beyond: measured.filter(|_| verdict == Verdict::Fail).map(|value| value - 0.25),
            unknown_because: (verdict == Verdict::Unknown).then(|| "450 samples do not carry it".to_owned()),
        }
    }

    #[test]
    fn a_miss_says_by_how_much_and_in_which_cells() {
        let mut record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        for (at, cell) in record.cells.iter_mut().enumerate() {
            cell.objectives = vec![match at {
                0 => objective(Verdict::Fail, Some(0.31)),
                1 => objective(Verdict::Fail, Some(1.25)),
                2 => objective(Verdict::Unknown, None),
                _ => objective(Verdict::Pass, Some(0.1 + at as f64 / 100.0)),
            }];
        }
        let lines = lines(&record);
        let words: Vec<&str> = lines.iter().map(Line::word).collect();
        assert_eq!(words, ["missed", "cannot tell", "met"]);
        let (first, second) = (record.cells[0].label.clone(), record.cells[1].label.clone());
        assert_eq!(
            lines[0].finding,
            format!(
                "`{second}`: 1.25 s (median of 3 repeats), 1.00 s (400 %) beyond the bound; \
                 `{first}`: 310 ms (median of 3 repeats), 60.0 ms (24.0 %) beyond the bound"
            )
        );
        assert!(
            lines[1].finding.ends_with("450 samples do not carry it"),
            "{}",
            lines[1].finding
        );
        assert!(
            lines[2].finding.contains("190 ms") && lines[2].finding.ends_with("and 6 cells more"),
            "{}",
            lines[2].finding
        );
        let reason = reason(&record, Verdict::Fail).expect("one was missed");
        assert!(
            reason.starts_with("an objective was missed: end_to_end_p99 <= 250ms: `"),
            "{reason}"
        );
    }

    #[test]
    fn counts_and_waits_that_were_given_up_are_worded_as_such() {
        let lost = ObjectiveRecord {
            figure: Figure::OrdersLost,
            unit: Unit::Count,
            bound: "== 0".to_owned(),
            limit: 0.0,
            measured: Some(3.0),
            rule: Rule::Worst,
            beyond: Some(3.0),
            ..objective(Verdict::Fail, None)
        };
        assert_eq!(measured(&lost), "3 (worst of 3 repeats), 3 beyond the bound");
        let drain = ObjectiveRecord {
            figure: Figure::DrainTime,
            more_than: true,
            repeats: 1,
            ..objective(Verdict::Fail, Some(60.0))
        };
        assert!(
            measured(&drain).starts_with("more than 60.0 s, more than 59.8 s"),
            "{}",
            measured(&drain)
        );
    }
}
