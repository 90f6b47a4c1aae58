//! A capacity search in words and tables: the interval of each setting, where it broke, and the least resource for each load.
//!
//! Everything from the run's record; docs/CAPACITY.md says what each figure means.

mod demand;

use std::fmt::Write as _;
use std::io::Write;

use super::cell::Cell;
use super::human::{self, ABSENT};
use crate::results::capacity::{CapacityEnding, CapacityRate, CapacityRecord, CapacitySetting};
use crate::results::record::RunRecord;

pub use demand::{Demand, demands};
pub(in crate::report) use demand::{groups, resource};

/// What a setting's search came to, in a few words: `188/s to 196/s`.
pub fn interval(setting: &CapacitySetting) -> String {
    let rate = |value: Option<f64>| value.map_or(ABSENT.to_owned(), human::rate);
    let (low, high) = (setting.low_per_s, setting.high_per_s);
    match (low, high, setting.driver_per_s) {
        (Some(low), Some(high), _) => format!("{} to {}", human::rate(low), human::rate(high)),
        (Some(low), None, Some(driver)) => {
            format!(
                "at least {}; the driver gave out at {}",
                human::rate(low),
                human::rate(driver)
            )
        }
        (Some(low), None, None) => format!("at least {}", human::rate(low)),
        (None, Some(high), _) => format!("below {}", human::rate(high)),
        (None, None, _) => rate(None),
    }
}

/// What the interval rests on, in a sentence.
pub fn ending(setting: &CapacitySetting, capacity: &CapacityRecord) -> String {
    let asked = human::share(capacity.resolution);
    match setting.ending {
        CapacityEnding::Found => {
            let width = setting.width().map_or(ABSENT.to_owned(), human::share);
            format!(
                "found: {width} wide, {} of each edge agreed",
                human::plural(u64::from(capacity.repeats), "trial")
            )
        }
        CapacityEnding::AtLeast => "the highest rate of interest holds".to_owned(),
        CapacityEnding::NotMet => "the lowest rate of interest does not hold".to_owned(),
        CapacityEnding::Driver => "above it only the driver was measured".to_owned(),
        CapacityEnding::Wide => format!("rates inside could not be decided: wider than {asked}, or not agreed on"),
        CapacityEnding::Unfinished => {
            let open = match (setting.low_confirmed, setting.high_confirmed) {
                (true, true) => "",
                _ => ", edges not agreed on yet",
            };
            format!("unfinished: the budget was used up, or it was stopped{open}")
        }
    }
}

/// The exit code of a search, and its reason in a sentence.
pub fn outcome(record: &RunRecord, capacity: &CapacityRecord) -> (u8, String) {
    let of = |endings: &[CapacityEnding]| {
        capacity
            .settings
            .iter()
            .find(|setting| endings.contains(&setting.ending))
    };
    let named = |setting: &CapacitySetting| match setting.label.as_str() {
        "" => String::new(),
        label => format!("{label}: "),
    };
    let said = |setting: &CapacitySetting| {
        format!(
            "{}{} ({})",
            named(setting),
            interval(setting),
            ending(setting, capacity)
        )
    };
    if let Some(setting) = of(&[CapacityEnding::NotMet]) {
        let why = setting
            .breaks
            .as_ref()
            .map_or(String::new(), |breaks| format!(": {}", breaks.finding));
        return (
            4,
            format!(
                "the lowest rate of interest does not hold: {}{}{why}",
                named(setting),
                interval(setting)
            ),
        );
    }
    let open = [CapacityEnding::Unfinished, CapacityEnding::Wide, CapacityEnding::Driver];
    if let Some(setting) = of(&open) {
        let more = match setting.ending {
            CapacityEnding::Unfinished => "; --resume with a larger --budget goes on",
            _ => "",
        };
        let doubt = setting
            .rates
            .iter()
            .find(|rate| rate.undecided > 0)
            .and_then(|rate| rate.because.clone());
        let doubt = doubt.map_or(String::new(), |doubt| format!("; {doubt}"));
        return (5, format!("inconclusive: {}{more}{doubt}", said(setting)));
    }
    let found: Vec<String> = capacity
        .settings
        .iter()
        .map(|setting| format!("{}{}", named(setting), interval(setting)))
        .collect();
    let trials = human::plural(record.trials.len() as u64, "trial");
    (0, format!("capacity {} ({trials})", found.join(", ")))
}

/// Lines for a terminal: a table of the settings, and what is to be said about each.
pub fn lines(record: &RunRecord, capacity: &CapacityRecord) -> Vec<String> {
    let mut rows = vec![["setting", "capacity", "width", "trials", "found"].map(str::to_owned)];
    for setting in &capacity.settings {
        rows.push([
            shown(&setting.label).to_owned(),
            interval(setting),
            setting.width().map_or(ABSENT.to_owned(), human::share),
            human::count(trials(setting)),
            setting.ending.name().to_owned(),
        ]);
    }
    let mut lines = aligned(&rows);
    for setting in &capacity.settings {
        let at = if setting.label.is_empty() {
            String::new()
        } else {
            format!("{}: ", setting.label)
        };
        lines.extend(
            setting
                .breaks
                .iter()
                .map(|breaks| format!("  {at}breaks first: {}", breaks.finding)),
        );
        lines.push(format!("  {at}knee of the p99: {}", knee(setting)));
    }
    for demand in demands(capacity) {
        lines.push(String::new());
        lines.push(format!("  {}", demand.title()));
        let mut rows = vec![[
            "load".to_owned(),
            "least that holds".to_owned(),
            "least that may hold".to_owned(),
        ]];
        rows.extend(demand.rows.iter().map(|row| {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none that was tried".to_owned());
            [human::rate(row.load_per_s), value(&row.certain), value(&row.possible)]
        }));
        lines.extend(aligned(&rows));
    }
    if let Some((is_s, should_s)) = capacity.short_trials(record) {
        lines.push(format!(
            "  note: trials measured {} or less; a rate that is to hold for long should be judged on {} (--set load.duration=…)",
            human::seconds(is_s),
            human::seconds(should_s)
        ));
    }
    lines
}

/// The knee in words.
pub fn knee(setting: &CapacitySetting) -> String {
    match (setting.knee_per_s, &setting.knee_absent_because) {
        (Some(rate), _) => format!("{} (Kneedle, S = 1)", human::rate(rate)),
        (None, Some(why)) => format!("{ABSENT}: {why}"),
        (None, None) => ABSENT.to_owned(),
    }
}

fn shown(label: &str) -> &str {
    if label.is_empty() { "as it is" } else { label }
}

/// Trials of a setting.
fn trials(setting: &CapacitySetting) -> u64 {
    let of = |rate: &CapacityRate| rate.held + rate.failed + rate.undecided + rate.invalid;
    setting.rates.iter().map(|rate| u64::from(of(rate))).sum()
}

/// Columns as wide as their widest cell.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(
                line,
                "{}{}  ",
                human::plain(cell),
                " ".repeat(width - cell.chars().count())
            );
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The same as Markdown, for a ticket or a wiki.
pub fn markdown(record: &RunRecord, capacity: &CapacityRecord) -> String {
    let mut out = format!(
        "# Capacity of {}\n\n{}.\n\n",
        escaped(&record.name),
        escaped(&record.outcome.reason)
    );
    let objectives = match capacity.objectives.as_slice() {
        [] => "a backlog that does not grow".to_owned(),
        some => format!("a backlog that does not grow, {}", some.join(", ")),
    };
    let _ = writeln!(
        out,
        "A rate holds with {}. {} {}.\n",
        escaped(&objectives),
        escaped(&record.broker.product),
        escaped(&record.broker.version)
    );
    let _ = writeln!(
        out,
        "| setting | capacity | width | trials | found | breaks first | knee of the p99 |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|");
    for setting in &capacity.settings {
        let breaks = setting.breaks.as_ref().map_or(ABSENT, |breaks| breaks.finding.as_str());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            escaped(shown(&setting.label)),
            interval(setting),
            setting.width().map_or(ABSENT.to_owned(), human::share),
            trials(setting),
            setting.ending.name(),
            escaped(breaks),
            escaped(&knee(setting))
        );
    }
    for demand in demands(capacity) {
        let _ = writeln!(
            out,
            "\n## {}\n\n| load | least that holds | least that may hold |\n|---|---|---|",
            escaped(&demand.title())
        );
        for row in &demand.rows {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none that was tried".to_owned());
            let _ = writeln!(
                out,
                "| {} | {} | {} |",
                human::rate(row.load_per_s),
                escaped(&value(&row.certain)),
                escaped(&value(&row.possible))
            );
        }
    }
    out
}

/// Text of others in a table of Markdown.
fn escaped(text: &str) -> String {
    human::plain(text).replace('|', "\\|").replace('<', "&lt;")
}

/// The columns of `capacity.csv` behind those of the varied settings.
pub const COLUMNS: [&str; 15] = [
    "low_per_s",
    "high_per_s",
    "driver_per_s",
    "width_share",
    "low_confirmed",
    "high_confirmed",
    "ending",
    "trials",
    "rates",
    "breaks_at_per_s",
    "breaks",
    "breaks_stage",
    "finding",
    "knee_per_s",
    "knee_absent_because",
];

/// Writes `capacity.csv`: a row for each setting.
///
/// # Errors
/// What `to` returns.
pub fn write(capacity: &CapacityRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(head(capacity, &COLUMNS))?;
    for setting in &capacity.settings {
        let breaks = setting.breaks.as_ref();
        let what = breaks.and_then(|breaks| serde_json::to_value(breaks.what).ok());
        let row: [Cell; COLUMNS.len()] = [
            setting.low_per_s.into(),
            setting.high_per_s.into(),
            setting.driver_per_s.into(),
            setting.width().into(),
            setting.low_confirmed.into(),
            setting.high_confirmed.into(),
            setting.ending.name().into(),
            trials(setting).into(),
            (setting.rates.len() as u64).into(),
            breaks.map(|breaks| breaks.rate_per_s).into(),
            what.as_ref().and_then(|what| what.as_str()).into(),
            breaks
                .and_then(|breaks| breaks.stage)
                .map(|stage| stage.to_string())
                .as_deref()
                .into(),
            breaks.map(|breaks| breaks.finding.as_str()).into(),
            setting.knee_per_s.into(),
            setting.knee_absent_because.as_deref().into(),
        ];
        csv.write_record(values(setting).chain(row.iter().map(Cell::written)))?;
    }
    csv.flush()?;
    Ok(())
}

/// The columns of `capacity-rates.csv` behind those of the varied settings.
pub const RATE_COLUMNS: [&str; 14] = [
    "rate_per_s",
    "status",
    "held",
    "failed",
    "undecided",
    "invalid",
    "achieved_rate_per_s",
    "goodput_per_s",
    "end_to_end_ns_p50",
    "end_to_end_ns_p99",
    "utilisation_max",
    "broker_cpu_share",
    "driver_cpu_share",
    "because",
];

/// Writes `capacity-rates.csv`: a row for each rate of each setting.
///
/// # Errors
/// What `to` returns.
pub fn write_rates(capacity: &CapacityRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(head(capacity, &RATE_COLUMNS))?;
    for setting in &capacity.settings {
        for rate in &setting.rates {
            let busiest = rate.utilisations.iter().map(|one| one.utilisation).reduce(f64::max);
            let row: [Cell; RATE_COLUMNS.len()] = [
                rate.rate_per_s.into(),
                rate.status.name().into(),
                rate.held.into(),
                rate.failed.into(),
                rate.undecided.into(),
                rate.invalid.into(),
                rate.achieved_rate_per_s.into(),
                rate.goodput_per_s.into(),
                rate.end_to_end_ns_p50.into(),
                rate.end_to_end_ns_p99.into(),
                busiest.into(),
                rate.broker_cpu_share.into(),
                rate.driver_cpu_share.into(),
                rate.because.as_deref().into(),
            ];
            csv.write_record(values(setting).chain(row.iter().map(Cell::written)))?;
        }
    }
    csv.flush()?;
    Ok(())
}

/// The columns of `demand.csv`.
pub const DEMAND_COLUMNS: [&str; 5] = [
    "resource",
    "others",
    "load_per_s",
    "least_that_holds",
    "least_that_may_hold",
];

/// Writes `demand.csv`: for each load the least resource that holds; no row where no resource was varied.
///
/// # Errors
/// What `to` returns.
pub fn write_demand(capacity: &CapacityRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(DEMAND_COLUMNS)?;
    for demand in demands(capacity) {
        for row in &demand.rows {
            let cells: [Cell; DEMAND_COLUMNS.len()] = [
                demand.resource.as_str().into(),
                demand.others.as_str().into(),
                row.load_per_s.into(),
                row.certain.as_deref().into(),
                row.possible.as_deref().into(),
            ];
            csv.write_record(cells.iter().map(Cell::written))?;
        }
    }
    csv.flush()?;
    Ok(())
}

fn head(capacity: &CapacityRecord, columns: &[&str]) -> Vec<String> {
    let first = capacity.settings.first();
    let varied = first.into_iter().flat_map(|setting| &setting.varied);
    let varied = varied.map(|varied| Cell::from(varied.dimension.as_str()).written());
    varied
        .chain(columns.iter().map(|column| (*column).to_owned()))
        .collect()
}

fn values(setting: &CapacitySetting) -> impl Iterator<Item = String> {
    setting
        .varied
        .iter()
        .map(|varied| Cell::from(varied.value.as_str()).written())
}

#[cfg(test)]
mod tests;
