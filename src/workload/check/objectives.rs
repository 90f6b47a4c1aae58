//! Objectives, and those that could never be told.

use super::Builder;
use crate::workload::model::Workload;
use crate::workload::objective::{Comparison, Figure, Objective};

impl Builder<'_> {
    pub(super) fn objectives(&self) -> Vec<Objective> {
        let stated = Figure::ALL.into_iter().filter_map(|(name, figure, _)| {
            let bound = self.bound(&format!("objectives.{name}"))?;
            Some(Objective { figure, bound })
        });
        stated.collect()
    }

    /// An objective whose figure this workload does not have.
    pub(super) fn check_objectives(&mut self, workload: &Workload) {
        for objective in &workload.objectives {
            let path = format!("objectives.{}", objective.figure.name());
            let at_most = matches!(objective.bound.comparison, Comparison::AtMost | Comparison::Below);
            match objective.figure {
                Figure::AchievedShare if workload.load.arrival.is_closed() => self.refuse_written(
                    &path,
                    "a closed loop has no planned rate of which a share could be achieved",
                    "hold objectives.goodput to a bound instead",
                ),
                Figure::OrdersOversold if workload.orders.stock_per_item.is_none() => self.refuse_written(
                    &path,
                    "an unlimited stock is never oversold",
                    "set orders.stock_per_item, or leave the objective out",
                ),
                Figure::DrainTime if at_most && objective.bound.limit() > workload.drain.deadline.as_secs_f64() => self
                    .refuse_written(
                        &path,
                        format!(
                            "a drain is given up after {} (drain.deadline), before the objective could be missed",
                            workload.drain.deadline
                        ),
                        "raise drain.deadline, or tighten the objective",
                    ),
                _ => {}
            }
        }
    }
}
