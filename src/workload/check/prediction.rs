//! What a plan foretells.

use super::Builder;
use crate::workload::model::{Load, Prediction};

impl Builder<'_> {
    pub(super) fn prediction(&mut self, load: &Load) -> Prediction {
        if load.arrival.is_closed() {
            for key in ["sustainable_rate", "drain_time", "backlog_max"] {
                let path = format!("prediction.{key}");
                self.refuse_written(
                    &path,
                    format!("`{path}` is never measured in a closed loop: it plans no overload"),
                    "leave it out, or choose an open loop, such as load.arrival = \"poisson\"",
                );
            }
        }
        Prediction {
            sustainable_rate: self.rate("prediction.sustainable_rate"),
            drain_time: self.duration("prediction.drain_time"),
            backlog_max: self.count("prediction.backlog_max"),
            end_to_end_p99: self.duration("prediction.end_to_end_p99"),
        }
    }
}
