//! What is measured, by the names of docs/GLOSSARY.md.

use std::fmt;

use crate::events::Stage;

/// A part of a delivery's time at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageSpan {
    /// Published by the stage before → delivered to the consumer.
    QueueWait,
    /// Delivered → work starts: the wait inside the consumer, behind other deliveries of its prefetch.
    BufferWait,
    /// Work starts → it is done; without a durable store its effect stands then.
    Service,
    /// Work done → its effect stands: the transaction of a durable store, and the wait for it.
    Commit,
    /// Effect stands → everything emitted is confirmed. With an outbox: its row is handed to the transaction → the relay's
    /// publish is confirmed, which is the outbox lag.
    Emit,
}

impl StageSpan {
    /// All spans, in the order in which a delivery passes through them.
    pub const ALL: [StageSpan; 5] = [
        StageSpan::QueueWait,
        StageSpan::BufferWait,
        StageSpan::Service,
        StageSpan::Commit,
        StageSpan::Emit,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            StageSpan::QueueWait => "queue_wait",
            StageSpan::BufferWait => "buffer_wait",
            StageSpan::Service => "service_time",
            StageSpan::Commit => "commit",
            StageSpan::Emit => "emit",
        }
    }
}

/// One latency series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    /// Order finished − intended: what a customer waits, with no coordinated omission.
    EndToEnd,
    /// Order finished − sent: the uncorrected figure that most tools show.
    EndToEndFromSend,
    /// As [`Series::EndToEnd`], of urgent orders; only where the workload has any.
    EndToEndUrgent,
    /// As [`Series::EndToEnd`], of the others; only where the workload has urgent ones.
    EndToEndNormal,
    /// Sent − intended.
    SendLag,
    /// The part of the send lag that is the driver's own: sent − the later of intended and released by the broker (no full
    /// window, blocked connection or full socket any more).
    DriverLag,
    /// Confirmed − sent, of orders.
    ConfirmLatency,
    /// A part of the time at a stage.
    Stage(Stage, StageSpan),
}

impl Series {
    /// How many there are.
    pub const COUNT: usize = 7 + Stage::ALL.len() * StageSpan::ALL.len();

    /// All series, each at its [`Series::index`].
    pub fn all() -> impl Iterator<Item = Series> {
        let stages = Stage::ALL
            .into_iter()
            .flat_map(|stage| StageSpan::ALL.into_iter().map(move |span| Series::Stage(stage, span)));
        [
            Series::EndToEnd,
            Series::EndToEndFromSend,
            Series::EndToEndUrgent,
            Series::EndToEndNormal,
            Series::SendLag,
            Series::DriverLag,
            Series::ConfirmLatency,
        ]
        .into_iter()
        .chain(stages)
    }

    /// Position in [`Series::all`].
    pub const fn index(self) -> usize {
        match self {
            Series::EndToEnd => 0,
            Series::EndToEndFromSend => 1,
            Series::EndToEndUrgent => 2,
            Series::EndToEndNormal => 3,
            Series::SendLag => 4,
            Series::DriverLag => 5,
            Series::ConfirmLatency => 6,
            Series::Stage(stage, span) => 7 + stage.index() * StageSpan::ALL.len() + span as usize,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Series::EndToEnd => f.write_str("end_to_end"),
            Series::EndToEndFromSend => f.write_str("end_to_end_from_send"),
            Series::EndToEndUrgent => f.write_str("end_to_end_urgent"),
            Series::EndToEndNormal => f.write_str("end_to_end_normal"),
            Series::SendLag => f.write_str("send_lag"),
            Series::DriverLag => f.write_str("driver_lag"),
            Series::ConfirmLatency => f.write_str("confirm_latency"),
            Series::Stage(stage, span) => write!(f, "{stage}.{}", span.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_stands_at_its_own_index() {
        let positions: Vec<usize> = Series::all().map(Series::index).collect();
        assert_eq!(positions, (0..Series::COUNT).collect::<Vec<_>>());
    }
}
