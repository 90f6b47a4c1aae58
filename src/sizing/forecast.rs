//! The flow of orders through the stages as a fluid: who holds the backlog, and when it is gone.
//!
//! The stages of the chain stand in a row, in the order in which an order first reaches them; that it comes back to some of them is
//! not followed. Beside the chain stand notifications and audit, fed by what the chain lets through.

use serde::Serialize;

use crate::events::Stage;
use crate::queueing::{Passage, Segment, pass};

/// All stages, in the order in which an order's messages first reach them; those beside the chain at the end.
pub const fn flow_order() -> [Stage; Stage::ALL.len()] {
    [
        Stage::Inventory,
        Stage::Payment,
        Stage::Order,
        Stage::Shipping,
        Stage::Customer,
        Stage::Worker,
        Stage::Notification,
        Stage::Email,
        Stage::Sms,
        Stage::Audit,
    ]
}

/// A stage in the flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Server {
    /// Which.
    pub stage: Stage,
    /// Orders per second that it can take.
    pub capacity_per_s: f64,
    /// Messages that lie in its queue for each order that waits.
    pub messages_per_order: f64,
}

/// A load on its way through the stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// The backlog of each stage over time: corners of seconds and messages.
    pub backlogs: Vec<(Stage, Vec<(f64, f64)>)>,
    /// The same of all stages together.
    pub total: Vec<(f64, f64)>,
    #[serde(skip)]
    passages: Vec<(Stage, Passage)>,
}

impl Flow {
    /// Sends `load` (orders per second) through `servers`, which are in [`flow_order`].
    pub fn of(load: &[Segment], servers: &[Server]) -> Flow {
        let mut flow = load.to_vec();
        let mut passages = Vec::with_capacity(servers.len());
        for server in servers {
            let passage = pass(&flow, server.capacity_per_s);
            flow.clone_from(&passage.output);
            passages.push((server.stage, passage));
        }
        let messages = |server: &Server, passage: &Passage| {
            let corners = passage.backlog.iter();
            corners
                .map(|(at, orders)| (*at, orders * server.messages_per_order))
                .collect::<Vec<_>>()
        };
        let backlogs: Vec<(Stage, Vec<(f64, f64)>)> = servers
            .iter()
            .zip(&passages)
            .map(|(server, (stage, passage))| (*stage, messages(server, passage)))
            .collect();
        Flow {
            total: sum(backlogs.iter().map(|(_, corners)| corners.as_slice())),
            backlogs,
            passages,
        }
    }

    /// When most messages wait, and how many.
    pub fn peak(&self) -> (f64, f64) {
        highest(&self.total)
    }

    /// Most messages that wait before a stage.
    pub fn peak_of(&self, stage: Stage) -> f64 {
        let backlog = self.backlogs.iter().find(|(of, _)| *of == stage);
        backlog.map_or(0.0, |(_, corners)| highest(corners).1)
    }

    /// When nothing waits anywhere any more, from `since_s` on; absent if something always does.
    pub fn clear_s(&self, since_s: f64) -> Option<f64> {
        let mut clear = since_s;
        for (_, passage) in &self.passages {
            clear = clear.max(passage.clear_s(since_s)?);
        }
        Some(clear)
    }

    /// Orders that a stage works off between two instants.
    pub fn served_between(&self, stage: Stage, from_s: f64, to_s: f64) -> f64 {
        let passage = self.passages.iter().find(|(of, _)| *of == stage);
        passage.map_or(0.0, |(_, passage)| passage.served_between(from_s, to_s))
    }
}

fn highest(corners: &[(f64, f64)]) -> (f64, f64) {
    corners
        .iter()
        .copied()
        .fold((0.0, 0.0), |peak, corner| if corner.1 > peak.1 { corner } else { peak })
}

/// Piecewise straight curves, added up at all their corners.
fn sum<'a>(curves: impl Iterator<Item = &'a [(f64, f64)]> + Clone) -> Vec<(f64, f64)> {
    let mut times: Vec<f64> = curves.clone().flatten().map(|(at, _)| *at).collect();
    times.sort_unstable_by(f64::total_cmp);
    times.dedup();
    times
        .into_iter()
        .map(|at| (at, curves.clone().map(|curve| value_at(curve, at)).sum()))
        .collect()
}

/// A piecewise straight curve at an instant; behind its end it stays where it ended.
pub fn value_at(curve: &[(f64, f64)], at: f64) -> f64 {
    let after = curve.partition_point(|(time, _)| *time < at);
    match (
        after.checked_sub(1).and_then(|before| curve.get(before)),
        curve.get(after),
    ) {
        (Some((t0, v0)), Some((t1, v1))) if t1 > t0 => v0 + (v1 - v0) * (at - t0) / (t1 - t0),
        (_, Some((_, value))) | (Some((_, value)), None) => *value,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(stage: Stage, capacity_per_s: f64) -> Server {
        Server {
            stage,
            capacity_per_s,
            messages_per_order: 1.0,
        }
    }

    fn load() -> Vec<Segment> {
        [(10.0, 20.0), (10.0, 200.0), (60.0, 20.0)]
            .map(|(duration_s, rate_per_s)| Segment { duration_s, rate_per_s })
            .to_vec()
    }

    #[test]
    fn the_narrowest_stage_holds_the_backlog_and_what_is_behind_it_none() {
        let servers = [
            server(Stage::Inventory, 500.0),
            server(Stage::Payment, 100.0),
            server(Stage::Shipping, 150.0),
        ];
        let flow = Flow::of(&load(), &servers);
        assert_eq!(flow.peak(), (20.0, 1_000.0));
        assert_eq!(
            (flow.peak_of(Stage::Payment), flow.peak_of(Stage::Shipping)),
            (1_000.0, 0.0)
        );
        assert_eq!(flow.clear_s(20.0), Some(20.0 + 12.5));
        assert!((flow.served_between(Stage::Payment, 0.0, 80.0) - 3_400.0).abs() < 1e-6);
        assert_eq!(value_at(&flow.total, 15.0), 500.0);
    }

    #[test]
    fn two_narrow_stages_share_the_backlog_and_clear_like_the_narrower() {
        let flow = Flow::of(
            &load(),
            &[server(Stage::Payment, 120.0), server(Stage::Shipping, 100.0)],
        );
        assert_eq!(flow.peak_of(Stage::Payment), 800.0);
        assert!(flow.peak_of(Stage::Shipping) > 0.0);
        let clear = flow.clear_s(20.0).expect("it clears");
        assert!((clear - 32.5).abs() < 1e-6, "{clear}");
    }

    #[test]
    fn the_order_names_each_stage_once() {
        let mut stages = flow_order().to_vec();
        stages.sort_unstable();
        assert_eq!(stages, Stage::ALL);
    }
}
