//! What faults cost: `faults.csv`, one row per event (RFC 4180, each column is described in docs/RESULTS.md), and the sum over
//! the events of each fault, which the terminal and the page show.

use std::collections::BTreeSet;
use std::io::Write;

use super::cell::Cell;
use super::human::{self, ABSENT};
use crate::results::record::{FaultRecord, RunRecord, TrialRecord};

/// What a row is about.
type Row<'a> = (&'a TrialRecord, &'a FaultRecord);
/// A column: its name, and where its cell comes from.
type Column = (&'static str, fn(&Row<'_>) -> Cell);
const COLUMNS: &[Column] = &[
    ("trial", |(trial, _)| trial.trial.into()),
    ("cell", |(trial, _)| trial.cell.into()),
    ("fault", |(_, event)| event.fault.map_or(Cell::Absent, Cell::from)),
    ("what", |(_, event)| event.what.as_str().into()),
    ("stage", |(_, event)| {
        event.stage.map_or(Cell::Absent, |stage| stage.name().into())
    }),
    ("point", |(_, event)| {
        event.point.as_deref().map_or(Cell::Absent, Cell::from)
    }),
    ("consumers", |(_, event)| {
        event.consumers.map_or(Cell::Absent, Cell::from)
    }),
    ("node", |(_, event)| event.node.map_or(Cell::Absent, Cell::from)),
    ("start_s", |(_, event)| event.start_s.into()),
    ("healed_s", |(_, event)| event.healed_s.into()),
    ("recovery_time_s", |(_, event)| event.recovery_s.into()),
    ("longest_gap_s", |(_, event)| event.longest_gap_s.into()),
    ("redeliveries", |(_, event)| event.redeliveries.into()),
    ("duplicates_delivered", |(_, event)| event.duplicates_delivered.into()),
    ("duplicates_in_effect", |(_, event)| event.duplicates_in_effect.into()),
    ("acked_returned", |(_, event)| {
        event.acked_returned.map_or(Cell::Absent, Cell::from)
    }),
    ("duplicate_exposure_s", |(_, event)| event.duplicate_exposure_s.into()),
    ("acked_to_return_s", |(_, event)| event.acked_to_return_s.into()),
];

/// Writes the header and a row for each event of each trial.
///
/// # Errors
/// What `to` returns.
pub fn write(record: &RunRecord, to: impl Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(COLUMNS.iter().map(|(name, _)| *name))?;
    for trial in &record.trials {
        for event in &trial.fault_events {
            csv.write_record(COLUMNS.iter().map(|(_, cell)| cell(&(trial, event)).written()))?;
        }
    }
    csv.flush()?;
    Ok(())
}

/// All events of one fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Summed {
    /// What was done, to whom, and where in the handler.
    pub name: String,
    /// How often.
    pub events: u64,
    /// Consumers struck, over all events; absent for the broker.
    pub consumers: Option<u64>,
    /// Nodes struck, from 1, each once; none where it was none of several.
    pub nodes: BTreeSet<u32>,
    /// Events that were healed.
    pub healed: u64,
    /// Longest time from start to heal, seconds; absent if none was healed.
    pub away_s_max: Option<f64>,
    /// Recovery times, seconds, ascending; of the events that have one.
    pub recovery_s: Vec<f64>,
    /// Longest time in which no order ended.
    pub longest_gap_s: Option<f64>,
    /// Redeliveries, duplicates delivered, duplicates in effect.
    pub again: [u64; 3],
    /// Acknowledged messages that came back after the broker had gone down; absent for other faults.
    pub acked_returned: Option<u64>,
    /// Longest duplicate exposure, and longest time from an acknowledgement to the return, seconds; absent if none came back.
    pub exposure_s: Option<f64>,
    pub return_s: Option<f64>,
}

impl Summed {
    /// Median and greatest recovery time; absent where no event has one.
    pub fn recovery(&self) -> Option<(f64, f64)> {
        let last = *self.recovery_s.last()?;
        Some((self.recovery_s[(self.recovery_s.len() - 1) / 2], last))
    }

    /// The duplicate exposure in words; absent for faults that leave the broker up.
    pub fn exposure_words(&self) -> Option<String> {
        Some(match (self.acked_returned?, self.exposure_s, self.return_s) {
            (messages @ 1.., Some(exposure), Some(back)) => format!(
                "{} came back: duplicate exposure {} before the broker went down, {} from acknowledgement to return at most",
                human::plural(messages, "acknowledged message"),
                human::seconds(exposure),
                human::seconds(back)
            ),
            _ => "no acknowledged message came back".to_owned(),
        })
    }

    /// Median and greatest recovery time in words; of fewer events than there were, that is said.
    pub fn recovery_words(&self) -> String {
        let Some((median, max)) = self.recovery() else {
            return ABSENT.to_owned();
        };
        let known = self.recovery_s.len() as u64;
        let of = if known < self.events {
            format!(" ({known} of {} events)", self.events)
        } else {
            String::new()
        };
        if known == 1 {
            format!("{}{of}", human::seconds(median))
        } else {
            format!("median {}, longest {}{of}", human::seconds(median), human::seconds(max))
        }
    }
}

/// The events of a trial by fault, in the order in which each first struck.
pub fn summed(trial: &TrialRecord) -> Vec<Summed> {
    let mut sums: Vec<((Option<u32>, &str), Summed)> = Vec::new();
    for event in &trial.fault_events {
        let key = (event.fault, event.what.as_str());
        let at = sums.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            sums.push((key, empty(event)));
            sums.len() - 1
        });
        add(&mut sums[at].1, event);
    }
    sums.into_iter().map(|(_, summed)| summed).collect()
}

fn empty(event: &FaultRecord) -> Summed {
    let stage = event.stage.map_or(String::new(), |stage| format!(" at {stage}"));
    let point = event.point.as_ref().map_or(String::new(), |point| format!(", {point}"));
    Summed {
        name: format!("{}{stage}{point}", event.what),
        events: 0,
        consumers: None,
        nodes: BTreeSet::new(),
        healed: 0,
        away_s_max: None,
        recovery_s: Vec::new(),
        longest_gap_s: None,
        again: [0; 3],
        acked_returned: None,
        exposure_s: None,
        return_s: None,
    }
}

fn add(sum: &mut Summed, event: &FaultRecord) {
    let longest = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    sum.events += 1;
    if let Some(consumers) = event.consumers {
        *sum.consumers.get_or_insert(0) += u64::from(consumers);
    }
    sum.nodes.extend(event.node);
    sum.healed += u64::from(event.healed_s.is_some());
    sum.away_s_max = longest(sum.away_s_max, event.healed_s.map(|healed| healed - event.start_s));
    sum.longest_gap_s = longest(sum.longest_gap_s, event.longest_gap_s);
    if let Some(returned) = event.acked_returned {
        *sum.acked_returned.get_or_insert(0) += returned;
    }
    sum.exposure_s = longest(sum.exposure_s, event.duplicate_exposure_s);
    sum.return_s = longest(sum.return_s, event.acked_to_return_s);
    let at = |recovery: f64| move |known: &f64| *known <= recovery;
    if let Some(recovery) = event.recovery_s {
        sum.recovery_s
            .insert(sum.recovery_s.partition_point(at(recovery)), recovery);
    }
    for (sum, more) in sum.again.iter_mut().zip([
        event.redeliveries,
        event.duplicates_delivered,
        event.duplicates_in_effect,
    ]) {
        *sum += more;
    }
}

/// What all events of a fault cost, in a sentence.
pub fn sentence(sum: &Summed) -> String {
    let consumers = sum.consumers.map_or(String::new(), |consumers| {
        format!(", {} struck", human::plural(consumers, "consumer"))
    });
    let away = sum.away_s_max.map_or(String::new(), |away| {
        format!(", away for at most {}", human::seconds(away))
    });
    let unhealed = match sum.events - sum.healed {
        0 => String::new(),
        n => format!(", {} not healed by the end", human::plural(n, "event")),
    };
    let gap = sum.longest_gap_s.map_or(ABSENT.to_owned(), human::seconds);
    let [redeliveries, delivered, in_effect] = sum.again;
    let returned = sum.exposure_words().map_or(String::new(), |words| format!("; {words}"));
    let nodes: Vec<String> = sum.nodes.iter().map(u32::to_string).collect();
    let nodes = match nodes.len() {
        0 => String::new(),
        1 => format!(", node {}", nodes[0]),
        _ => format!(", nodes {}", nodes.join(", ")),
    };
    format!(
        "{}: {}{consumers}{nodes}{away}{unhealed}; recovery time {}; no order ended for {gap} at most; {}, duplicates delivered {}, in effect {}{returned}",
        sum.name,
        human::plural(sum.events, "event"),
        sum.recovery_words(),
        match redeliveries {
            1 => "1 redelivery".to_owned(),
            n => format!("{} redeliveries", human::count(n)),
        },
        human::count(delivered),
        human::count(in_effect)
    )
}

/// The connections that were lost, in a sentence; absent if none was.
pub fn lost_connections(trial: &TrialRecord) -> Option<String> {
    let lost = &trial.lost_connections;
    if lost.is_empty() {
        return None;
    }
    let back = lost.iter().filter_map(|one| Some(one.back_s? - one.lost_s));
    let (known, longest) = back.fold((0, None), |(known, longest): (u64, Option<f64>), away| {
        (known + 1, Some(longest.map_or(away, |longest| longest.max(away))))
    });
    let longest = longest.map_or(String::new(), |away| {
        format!(", after {} at most", human::seconds(away))
    });
    Some(format!(
        "{} lost, {} opened anew{longest}",
        human::plural(lost.len() as u64, "connection"),
        human::count(known)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Stage;
    use crate::report::fixture;

    fn event(start_s: f64, healed_s: Option<f64>, recovery_s: Option<f64>) -> FaultRecord {
        FaultRecord {
            fault: Some(1),
            what: "connection-drop".to_owned(),
            stage: Some(Stage::Payment),
            point: None,
            consumers: Some(2),
            node: None,
            start_s,
            healed_s,
            recovery_s,
            longest_gap_s: Some(0.4),
            redeliveries: 10,
            duplicates_delivered: 3,
            duplicates_in_effect: 0,
            acked_returned: None,
            duplicate_exposure_s: None,
            acked_to_return_s: None,
        }
    }

    #[test]
    fn the_events_of_a_fault_are_summed_and_those_without_a_recovery_time_are_not_counted_as_zero() {
        let mut trial = fixture::pass().trials[0].clone();
        let broker = FaultRecord {
            fault: None,
            what: "broker-pause".to_owned(),
            stage: None,
            consumers: None,
            ..event(20.0, Some(21.0), None)
        };
        trial.fault_events = vec![event(1.0, Some(1.5), Some(2.0)), event(5.0, None, None), broker];
        let sums = summed(&trial);
        assert_eq!(
            sentence(&sums[0]),
            "connection-drop at payment: 2 events, 4 consumers struck, away for at most 0.50 s, 1 event not healed by the \
             end; recovery time 2.00 s (1 of 2 events); no order ended for 0.40 s at most; 20 redeliveries, duplicates \
             delivered 6, in effect 0"
        );
        assert!(sentence(&sums[1]).starts_with("broker-pause: 1 event, away for at most 1.00 s; recovery time n/a;"));
    }

    #[test]
    fn acknowledged_messages_that_came_back_are_summed_and_their_longest_times_kept() {
        let mut trial = fixture::pass().trials[0].clone();
        let kill = |returned, exposure_s| FaultRecord {
            what: "broker-kill".to_owned(),
            stage: None,
            consumers: None,
            acked_returned: Some(returned),
            duplicate_exposure_s: exposure_s,
            acked_to_return_s: exposure_s.map(|seconds: f64| seconds + 6.0),
            ..event(1.0, Some(7.0), None)
        };
        trial.fault_events = vec![kill(3, Some(0.5)), kill(0, None), kill(4, Some(0.25))];
        let says = sentence(&summed(&trial)[0]);
        assert!(
            says.ends_with("7 acknowledged messages came back: duplicate exposure 0.50 s before the broker went down, 6.50 s from acknowledgement to return at most"),
            "{says}"
        );
        trial.fault_events = vec![kill(0, None)];
        let says = sentence(&summed(&trial)[0]);
        assert!(says.ends_with("; no acknowledged message came back"), "{says}");
    }

    #[test]
    fn each_event_is_a_row_and_what_is_absent_is_empty() {
        let mut record = fixture::pass();
        record.trials[0].fault_events = vec![event(1.0, None, None)];
        let mut bytes = Vec::new();
        write(&record, &mut bytes).expect("written");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let row = text.lines().nth(1).expect("a row");
        assert_eq!(row, "1,0,1,connection-drop,payment,,2,,1,,,0.4,10,3,0,,,");
    }

    #[test]
    fn every_column_is_described_in_the_manual() {
        let manual = include_str!("../../docs/RESULTS.md");
        for (column, _) in COLUMNS {
            assert!(
                manual.contains(&format!("| `{column}` |")),
                "{column} is missing in docs/RESULTS.md"
            );
        }
    }
}
