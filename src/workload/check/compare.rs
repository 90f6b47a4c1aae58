//! The changes that matter when runs are compared.

use super::Builder;
use crate::units::Share;
use crate::workload::model::Compare;

impl Builder<'_> {
    pub(super) fn compare(&mut self) -> Compare {
        let otherwise = Compare::default();
        Compare {
            goodput: self.threshold("compare.goodput", otherwise.goodput),
            end_to_end_p50: self.threshold("compare.end_to_end_p50", otherwise.end_to_end_p50),
            end_to_end_p99: self.threshold("compare.end_to_end_p99", otherwise.end_to_end_p99),
            drain_time: self.threshold("compare.drain_time", otherwise.drain_time),
            driver_cpu: self.threshold("compare.driver_cpu", otherwise.driver_cpu),
            redelivered: self.threshold("compare.redelivered", otherwise.redelivered),
        }
    }

    fn threshold(&mut self, path: &str, otherwise: Share) -> Share {
        let share = self.share(path).unwrap_or(otherwise);
        if share.0 > 0.0 && share.0 < 1.0 {
            return share;
        }
        self.refuse_written(
            path,
            format!("no change is smaller than none or greater than all: {share} is no threshold"),
            "write a share above 0% and under 100%, such as \"5%\"",
        );
        otherwise
    }
}
