//! What faults did in a trial: their events with what each cost, and the connections that were lost.

use std::sync::Arc;

use super::super::strikes::RanFault;
use super::super::{Fixed, Ran};
use crate::clock::Nanos;
use crate::pipeline::{AckLog, Returned};
use crate::results::record::{Band, FaultRecord, LostConnection};
use crate::runner::impact::{Frame, Impact, Stretch, impacts};
use crate::workload::model::{Arrival, Pattern, Shape};

impl Fixed<'_> {
    /// The script's faults, and which of them (from 1) struck nobody; absent without a script, and for a trial cut short.
    pub(super) fn faults_struck(&self, ran: &Ran) -> Option<(u32, Vec<u32>)> {
        let planned = self.stand.workload.faults.script.len() as u32;
        if planned == 0 || ran.aborted.is_some() || ran.interrupted {
            return None;
        }
        let struck = |position: &u32| ran.faults.iter().any(|fault| fault.position == Some(*position));
        Some((planned, (1..=planned).filter(|position| !struck(position)).collect()))
    }

    /// The time of each event; one that was not healed lasts to the end.
    pub(super) fn fault_bands(&self, ran: &Ran) -> Vec<Band> {
        let faults = ran.faults.iter();
        faults
            .map(|fault| {
                self.band(
                    &fault.band,
                    ran.began,
                    fault.start,
                    fault.healed.unwrap_or(ran.drain_ended),
                )
            })
            .collect()
    }

    pub(super) fn fault_events(&self, ran: &Ran) -> Vec<FaultRecord> {
        let stretches: Vec<Stretch> = ran
            .faults
            .iter()
            .map(|fault| Stretch {
                start: fault.start,
                healed: fault.healed,
            })
            .collect();
        let even = match &self.stand.workload.load.arrival {
            Arrival::Open(Pattern { shape, .. }) => matches!(shape, Shape::Constant { .. }),
            Arrival::Phases(_) => false,
            Arrival::Closed { .. } | Arrival::Saturate => true,
        };
        let frame = Frame {
            from: ran.warm_until,
            load_ended: ran.load_ended,
            even,
        };
        let seconds = |at| self.band("", ran.began, at, at).start_s;
        let impacts = impacts(&ran.course.counts, &stretches, frame);
        let mut returned = returned(&ran.acks).into_iter();
        let events = ran.faults.iter().zip(impacts);
        events
            .map(|(fault, impact)| {
                // The broker goes down once for each such event, in their order.
                let returned = took_down(fault).then(|| returned.next().unwrap_or_default());
                let longest = |time: fn(&Returned) -> Option<Nanos>| Some(time(returned.as_ref()?)? as f64 / 1e9);
                let Impact {
                    recovery_s,
                    longest_gap_s,
                    redeliveries,
                    duplicates_delivered,
                    duplicates_in_effect,
                } = impact;
                FaultRecord {
                    fault: fault.position,
                    what: fault.what.clone(),
                    stage: fault.stage,
                    point: fault.point.clone(),
                    consumers: fault.consumers,
                    node: fault.node,
                    start_s: seconds(fault.start),
                    healed_s: fault.healed.map(seconds),
                    recovery_s,
                    longest_gap_s,
                    redeliveries,
                    duplicates_delivered,
                    duplicates_in_effect,
                    acked_returned: returned.map(|returned| returned.messages),
                    duplicate_exposure_s: longest(|returned| returned.exposure),
                    acked_to_return_s: longest(|returned| returned.until_return),
                }
            })
            .collect()
    }

    pub(super) fn lost_connections(&self, ran: &Ran) -> Vec<LostConnection> {
        let seconds = |at| self.band("", ran.began, at, at).start_s;
        let absences = self.wiring.connector.incidents().absences().into_iter();
        absences
            .map(|absence| LostConnection {
                connection: absence.connection,
                lost_s: seconds(absence.start),
                back_s: absence.end.map(seconds),
            })
            .collect()
    }
}

/// What came back to all stages after each end of the broker.
fn returned(logs: &[Arc<AckLog>]) -> Vec<Returned> {
    let of_stages = logs.iter().map(|log| log.returned());
    let both = |sums: Vec<Returned>, more: Vec<Returned>| {
        let pairs = sums.into_iter().zip(more);
        pairs.map(|(sum, more)| sum.merged(more)).collect()
    };
    of_stages.reduce(both).unwrap_or_default()
}

/// Whether the broker, or a node of it, went down.
fn took_down(fault: &RanFault) -> bool {
    let broker = fault.what.starts_with("broker-") || fault.what.starts_with("node-");
    broker && fault.what != "node-pause" && fault.position.is_some()
}
