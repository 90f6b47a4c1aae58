//! The overloads that a load plans for its narrowest stage, and what became of them.

use super::depth::Depths;
use crate::arrival::{Overload, Schedule, overloads};
use crate::clock::Nanos;
use crate::events::{Event, Stage};
use crate::results::record::OverloadRecord;
use crate::workload::Workload;
use crate::workload::model::Faults;

/// Events of orders that come to another end than completion.
const ASIDE: [Event; 4] = [
    Event::InventoryOutOfStock,
    Event::PaymentFailed,
    Event::InventoryReleased,
    Event::OrderCancelled,
];

/// Follows the backlog of the narrowest stage through the planned overloads.
#[derive(Debug, Default)]
pub struct OverloadWatch {
    narrowest: Option<Narrowest>,
    /// Stages whose work takes time, each with the messages that it works on at once.
    at_work: Vec<(Stage, u64)>,
    watched: Vec<Watched>,
}

/// The stage with the least capacity.
#[derive(Debug, Clone, Copy)]
struct Narrowest {
    stage: Stage,
    /// Orders per second.
    capacity: f64,
    /// Messages that it works on at once: with no more than these, nothing waits.
    slots: u64,
}

#[derive(Debug)]
struct Watched {
    planned: Overload,
    backlog_max: Option<u64>,
    cleared_s: Option<f64>,
    /// The first and the last look at which more waited than the stage works on at once.
    full: Option<(Finished, Finished)>,
}

/// How many messages the stage had finished, and when.
#[derive(Debug, Clone, Copy)]
struct Finished {
    at_s: f64,
    messages: u64,
}

impl Watched {
    /// Messages finished per second while the stage had more than it can work on.
    fn finished_per_s(&self) -> Option<f64> {
        let (first, last) = self.full?;
        let length_s = last.at_s - first.at_s;
        (length_s > 0.0).then(|| last.messages.saturating_sub(first.messages) as f64 / length_s)
    }
}

impl OverloadWatch {
    /// What `schedule` plans for the stages of `workload`; nothing in a closed loop, or where no stage has a service time.
    pub fn new(workload: &Workload, schedule: Option<&Schedule>) -> Self {
        // A stage that is stopped in between has another tale to tell.
        let disturbed = workload.backlog.is_some() || workload.faults != Faults::default();
        let narrowest =
            narrowest(workload).filter(|narrowest| !disturbed && keeps_everything(workload, narrowest.stage));
        let (Some(schedule), Some(stage)) = (schedule, narrowest) else {
            return OverloadWatch::default();
        };
        let planned = overloads(schedule, stage.capacity).into_iter();
        OverloadWatch {
            narrowest,
            at_work: at_work(workload),
            watched: planned
                .map(|planned| Watched {
                    planned,
                    backlog_max: None,
                    cleared_s: None,
                    full: None,
                })
                .collect(),
        }
    }

    /// A look at the queues of a load that began at `began`; `delivered` says how many messages a stage got so far.
    pub fn look(&mut self, depths: &Depths, delivered: impl Fn(Stage) -> u64, began: Nanos) {
        let Some(narrowest) = self.narrowest else { return };
        let Some(backlog) = depths.backlog(narrowest.stage) else {
            return;
        };
        let at_s = (depths.answered as f64 - began as f64) / 1e9;
        let finished = Finished {
            at_s,
            messages: delivered(narrowest.stage).saturating_sub(depths.held(narrowest.stage)),
        };
        let nothing_waits = self.nothing_waits(depths);
        let starts: Vec<f64> = self.watched.iter().map(|watched| watched.planned.begins_s).collect();
        for (i, watched) in self.watched.iter_mut().enumerate() {
            let next_s = starts.get(i + 1).copied().unwrap_or(f64::INFINITY);
            if !(watched.planned.begins_s..next_s).contains(&at_s) || watched.cleared_s.is_some() {
                continue;
            }
            watched.backlog_max = watched.backlog_max.max(Some(backlog));
            if backlog > narrowest.slots {
                let (first, _) = watched.full.unwrap_or((finished, finished));
                watched.full = Some((first, finished));
            }
            if at_s >= watched.planned.peak_s && nothing_waits {
                watched.cleared_s = Some(at_s);
            }
        }
    }

    /// Whether the queues of the stages that take time hold no more than these work on: what leaves the narrowest may wait at the next.
    fn nothing_waits(&self, depths: &Depths) -> bool {
        let held: Option<u64> = self.at_work.iter().map(|(stage, _)| depths.backlog(*stage)).sum();
        held.is_some_and(|held| held <= self.at_work.iter().map(|(_, slots)| slots).sum())
    }

    /// What was planned and what was seen.
    pub fn records(&self) -> Vec<OverloadRecord> {
        let Some(narrowest) = self.narrowest else {
            return Vec::new();
        };
        let record = |watched: &Watched| {
            let Overload {
                begins_s,
                peak_s,
                backlog,
                clear_s,
            } = watched.planned;
            OverloadRecord {
                stage: narrowest.stage,
                capacity_per_s: narrowest.capacity,
                begins_s,
                peak_s,
                backlog_orders_predicted: backlog,
                backlog_messages_max: watched.backlog_max,
                clear_time_predicted_s: clear_s - peak_s,
                clear_time_s: watched.cleared_s.map(|cleared_s| cleared_s - peak_s),
                finished_per_s: watched.finished_per_s(),
            }
        };
        self.watched.iter().map(record).collect()
    }
}

/// Whether everything waits that comes: a queue that drops, refuses or lets messages expire has no backlog that could be foretold.
fn keeps_everything(workload: &Workload, stage: Stage) -> bool {
    !workload.stage(stage).queue.is_bounded() && workload.time_to_live(stage).is_none()
}

/// Orders per second that the narrowest stage can take, by its service time; absent if no stage has one.
pub(super) fn capacity(workload: &Workload) -> Option<f64> {
    narrowest(workload).map(|narrowest| narrowest.capacity)
}

/// Stages whose work takes time, with the messages that each works on at once.
fn at_work(workload: &Workload) -> Vec<(Stage, u64)> {
    let stages = workload
        .pipeline
        .stages()
        .iter()
        .map(|stage| (*stage, workload.stage(*stage)));
    stages
        .filter(|(_, settings)| settings.service_rate().is_some())
        .map(|(stage, settings)| (stage, u64::from(settings.consumers) * u64::from(settings.concurrency)))
        .collect()
}

/// The stage that completes the fewest orders per second, by its service time alone; absent if none has one.
fn narrowest(workload: &Workload) -> Option<Narrowest> {
    let of = |stage: Stage| {
        let settings = workload.stage(stage);
        let messages = stage.consumes().iter().filter(|event| !ASIDE.contains(event)).count();
        Some(Narrowest {
            stage,
            capacity: settings.service_rate()? / messages as f64,
            slots: u64::from(settings.consumers) * u64::from(settings.concurrency),
        })
    };
    let stages = workload.pipeline.stages().iter();
    stages
        .filter_map(|stage| of(*stage))
        .min_by(|left, right| left.capacity.total_cmp(&right.capacity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::check::check;

    fn workload(text: &str) -> Workload {
        let checked = check("w.toml", "w", text.to_owned(), &[]).expect("a legal workload");
        checked.into_first().workload
    }

    #[test]
    fn the_narrowest_stage_is_found_by_its_messages_per_order() {
        // Shipping works twice on each order, payment once.
        let text =
            "stage.payment = { service_time = \"30ms\" }\nstage.shipping = { consumers = 2, service_time = \"40ms\" }";
        let found = narrowest(&workload(text)).expect("two stages have service times");
        assert_eq!((found.stage, found.slots), (Stage::Shipping, 2));
        assert!((found.capacity - 25.0).abs() < 1e-9);
        assert!(keeps_everything(&workload(text), Stage::Shipping));
        for forgets in ["max_length = 10", "message_ttl = \"1s\""] {
            let text = format!("stage.shipping = {{ {forgets} }}");
            assert!(!keeps_everything(&workload(&text), Stage::Shipping), "{forgets}");
        }
        assert!(narrowest(&workload("")).is_none());
    }

    #[test]
    fn the_time_to_clear_is_taken_from_the_peak_to_the_first_empty_look() {
        let text = "stage.payment = { consumers = 4, service_time = \"40ms\" }\nload = { arrival = \"spike\", rate = \"20/s\", spike_rate = \"400/s\", spike_at = \"1s\", spike_hold = \"2s\" }";
        let workload = workload(text);
        let schedule = Schedule::new(&workload.load, 1);
        let mut watch = OverloadWatch::new(&workload, schedule.as_ref());
        let stages = workload.pipeline.stages().len();
        assert_eq!(watch.at_work, [(Stage::Payment, 4)]);
        for (at_s, ready) in [(0.5, 0), (2.0, 300), (3.0, 600), (9.0, 80), (11.0, 0), (12.0, 0)] {
            let depths = Depths {
                answered: ((at_s + 7.0) * 1e9) as Nanos,
                pipeline: workload.pipeline,
                ready: vec![Some(ready); stages],
                unacked: vec![4; stages],
                ..Depths::default()
            };
            // A hundred messages a second, of which four are at work.
            watch.look(&depths, |_| (at_s * 100.0) as u64, 7_000_000_000);
        }
        let records = watch.records();
        let [record] = &records[..] else { panic!("{records:?}") };
        // (400 − 100)·2 orders, and 600 / (100 − 20) seconds.
        assert!((record.backlog_orders_predicted - 600.0).abs() < 5.0, "{record:?}");
        assert!((record.clear_time_predicted_s - 7.5).abs() < 0.1, "{record:?}");
        assert_eq!(record.backlog_messages_max, Some(604));
        assert!(
            record.finished_per_s.is_some_and(|rate| (rate - 100.0).abs() < 1.0),
            "{record:?}"
        );
        assert!(
            record.clear_time_s.is_some_and(|s| (s - 8.0).abs() < 0.05),
            "{record:?}"
        );
    }
}
