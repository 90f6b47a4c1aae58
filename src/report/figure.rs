//! The figures that trials are compared by: how each is read from a trial, written, and which way is better.

use super::human;
use crate::measure::{Quantile, Series, Summary};
use crate::results::record::TrialRecord;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// A figure of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Orders that came to their end, per second.
    Goodput,
    /// Orders published, per second.
    AchievedRate,
    /// Median of the end-to-end latency.
    EndToEndP50,
    /// Its 99th percentile.
    EndToEndP99,
    /// Its 99.9th percentile.
    EndToEndP999,
    /// Median of the end-to-end latency of urgent orders.
    UrgentP50,
    /// … of those beside them.
    NormalP50,
    /// From the end of the load until Drained.
    DrainTime,
    /// Largest backlog.
    Backlog,
    /// From the return of a stage's consumers until its backlog was cleared.
    BacklogDrainTime,
    /// Messages that the stage finished per second meanwhile.
    BacklogDrainRate,
    /// The time that the backlog took over its ideal.
    BacklogRatio,
    /// Deliveries that the consumers of a stage held at once: the greatest.
    Unacked,
    /// Gini coefficient of deliveries between the consumers of a stage: the greatest.
    DeliveryGini,
    /// How old the oldest message became before it was delivered.
    OldestAge,
    /// Share of deliveries with the redelivered flag.
    Redelivered,
    /// Share of the orders that the broker refused.
    Refused,
    /// Share of the orders that a queue dropped.
    Dropped,
    /// Share of the orders that ended as dead letters.
    DeadLettered,
    /// Share of the orders with an effect that happened again.
    DuplicateEffect,
    /// Messages that were tried again after a handler failed, per order.
    Retries,
    /// Time during which the broker blocked a connection.
    Blocked,
    /// The driver's processor time per order.
    DriverCpu,
    /// The driver's greatest resident set.
    DriverMemory,
    /// The broker's processor time per order.
    BrokerCpu,
    /// The broker's greatest resident set.
    BrokerMemory,
    /// What the embedded broker held for its clients at most.
    MessageMemory,
}

/// What a figure is a quantity of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Per second.
    PerSecond,
    /// Nanoseconds.
    Nanos,
    /// Seconds.
    Seconds,
    /// Messages.
    Messages,
    /// A share of 1.
    Share,
    /// A ratio.
    Ratio,
    /// Bytes.
    Bytes,
}

impl Figure {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Figure; 27] = [
        Figure::Goodput,
        Figure::AchievedRate,
        Figure::EndToEndP50,
        Figure::EndToEndP99,
        Figure::EndToEndP999,
        Figure::UrgentP50,
        Figure::NormalP50,
        Figure::DrainTime,
        Figure::Backlog,
        Figure::BacklogDrainTime,
        Figure::BacklogDrainRate,
        Figure::BacklogRatio,
        Figure::Unacked,
        Figure::DeliveryGini,
        Figure::OldestAge,
        Figure::Redelivered,
        Figure::Refused,
        Figure::Dropped,
        Figure::DeadLettered,
        Figure::DuplicateEffect,
        Figure::Retries,
        Figure::Blocked,
        Figure::DriverCpu,
        Figure::DriverMemory,
        Figure::BrokerCpu,
        Figure::BrokerMemory,
        Figure::MessageMemory,
    ];

    /// Its name in tables that programs read.
    pub const fn name(self) -> &'static str {
        match self {
            Figure::Goodput => "goodput_per_s",
            Figure::AchievedRate => "achieved_rate_per_s",
            Figure::EndToEndP50 => "end_to_end_ns_p50",
            Figure::EndToEndP99 => "end_to_end_ns_p99",
            Figure::EndToEndP999 => "end_to_end_ns_p999",
            Figure::UrgentP50 => "end_to_end_urgent_ns_p50",
            Figure::NormalP50 => "end_to_end_normal_ns_p50",
            Figure::DrainTime => "drain_time_s",
            Figure::Backlog => "backlog_messages_max",
            Figure::BacklogDrainTime => "backlog_drain_time_s",
            Figure::BacklogDrainRate => "backlog_drain_rate_per_s",
            Figure::BacklogRatio => "backlog_ratio_to_ideal",
            Figure::Unacked => "unacked_messages_max",
            Figure::DeliveryGini => "delivery_gini",
            Figure::OldestAge => "delivery_age_ns_max",
            Figure::Redelivered => "redelivered_share",
            Figure::Refused => "orders_nacked_share",
            Figure::Dropped => "orders_dropped_share",
            Figure::DeadLettered => "orders_dead_lettered_share",
            Figure::DuplicateEffect => "orders_duplicate_effect_share",
            Figure::Retries => "retries_per_order",
            Figure::Blocked => "blocked_s",
            Figure::DriverCpu => "driver_cpu_ns_per_order",
            Figure::DriverMemory => "driver_rss_bytes_max",
            Figure::BrokerCpu => "broker_cpu_ns_per_order",
            Figure::BrokerMemory => "broker_rss_bytes_max",
            Figure::MessageMemory => "broker_message_bytes_max",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Figure::Goodput => "Goodput",
            Figure::AchievedRate => "Achieved rate",
            Figure::EndToEndP50 => "End-to-end p50",
            Figure::EndToEndP99 => "End-to-end p99",
            Figure::EndToEndP999 => "End-to-end p99.9",
            Figure::UrgentP50 => "Urgent orders p50",
            Figure::NormalP50 => "Other orders p50",
            Figure::DrainTime => "Drain time",
            Figure::Backlog => "Largest backlog",
            Figure::BacklogDrainTime => "Backlog cleared in",
            Figure::BacklogDrainRate => "Backlog cleared at",
            Figure::BacklogRatio => "Backlog time over ideal",
            Figure::Unacked => "Held unacked",
            Figure::DeliveryGini => "Gini of deliveries",
            Figure::OldestAge => "Oldest in a queue",
            Figure::Redelivered => "Redelivered",
            Figure::Refused => "Orders refused",
            Figure::Dropped => "Orders dropped",
            Figure::DeadLettered => "Orders dead-lettered",
            Figure::DuplicateEffect => "Orders twice in effect",
            Figure::Retries => "Retries per order",
            Figure::Blocked => "Time blocked",
            Figure::DriverCpu => "Driver CPU per order",
            Figure::DriverMemory => "Driver memory",
            Figure::BrokerCpu => "Broker CPU per order",
            Figure::BrokerMemory => "Broker memory",
            Figure::MessageMemory => "Messages in memory",
        }
    }

    /// Whether it is worth a look only where it is not zero.
    pub const fn is_exceptional(self) -> bool {
        matches!(
            self,
            Figure::Redelivered
                | Figure::Refused
                | Figure::Dropped
                | Figure::DeadLettered
                | Figure::DuplicateEffect
                | Figure::Retries
                | Figure::Blocked
        )
    }

    /// What it is a quantity of.
    pub const fn unit(self) -> Unit {
        match self {
            Figure::Goodput | Figure::AchievedRate | Figure::BacklogDrainRate => Unit::PerSecond,
            Figure::EndToEndP50
            | Figure::EndToEndP99
            | Figure::EndToEndP999
            | Figure::UrgentP50
            | Figure::NormalP50
            | Figure::OldestAge
            | Figure::DriverCpu
            | Figure::BrokerCpu => Unit::Nanos,
            Figure::DrainTime | Figure::BacklogDrainTime | Figure::Blocked => Unit::Seconds,
            Figure::Backlog | Figure::Unacked => Unit::Messages,
            Figure::BacklogRatio | Figure::DeliveryGini | Figure::Retries => Unit::Ratio,
            Figure::Redelivered
            | Figure::Refused
            | Figure::Dropped
            | Figure::DeadLettered
            | Figure::DuplicateEffect => Unit::Share,
            Figure::DriverMemory | Figure::BrokerMemory | Figure::MessageMemory => Unit::Bytes,
        }
    }

    /// Whether it says how well a cell did; the others describe how it did it.
    pub const fn is_outcome(self) -> bool {
        !matches!(self, Figure::Unacked | Figure::DeliveryGini)
    }

    /// Which way is better.
    pub const fn better(self) -> Better {
        match self {
            Figure::Goodput | Figure::AchievedRate | Figure::BacklogDrainRate => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// What `trial` has; absent where it was not measured, too few samples carry it, or the drain did not end.
    pub fn of(self, trial: &TrialRecord) -> Option<f64> {
        let (used, fates) = (&trial.resources, &trial.ledger.fates);
        let of_orders = |n: u64| share(n as f64, trial.orders.published);
        let value = match self {
            Figure::Goodput => trial.rates.goodput_per_s,
            Figure::AchievedRate => trial.rates.achieved_rate_per_s,
            Figure::EndToEndP50 => quantile(trial, Series::EndToEnd, |summary| summary.p50),
            Figure::EndToEndP99 => quantile(trial, Series::EndToEnd, |summary| summary.p99),
            Figure::EndToEndP999 => quantile(trial, Series::EndToEnd, |summary| summary.p999),
            Figure::UrgentP50 => quantile(trial, Series::EndToEndUrgent, |summary| summary.p50),
            Figure::NormalP50 => quantile(trial, Series::EndToEndNormal, |summary| summary.p50),
            Figure::DrainTime => trial.drain.time_s.filter(|_| trial.drain.drained),
            Figure::Backlog => trial.backlog_messages_max.map(|n| n as f64),
            Figure::BacklogDrainTime => trial.backlog.as_ref().and_then(|backlog| backlog.drain_time_s),
            Figure::BacklogDrainRate => trial.backlog.as_ref().and_then(|backlog| backlog.drain_rate_per_s),
            Figure::BacklogRatio => trial.backlog.as_ref().and_then(|backlog| backlog.ratio_to_ideal),
            Figure::Unacked => trial
                .stages
                .iter()
                .map(|stage| stage.unacked_messages_max as f64)
                .reduce(f64::max),
            Figure::DeliveryGini => trial
                .stages
                .iter()
                .filter_map(|stage| stage.delivery_gini)
                .reduce(f64::max),
            Figure::OldestAge => trial
                .stages
                .iter()
                .filter_map(|stage| stage.delivery_age_ns_max)
                .max()
                .map(|ns| ns as f64),
            Figure::Refused => of_orders(fates.nacked),
            Figure::Dropped => of_orders(fates.dropped),
            Figure::DeadLettered => of_orders(fates.dead_lettered),
            Figure::DuplicateEffect => of_orders(trial.ledger.duplicate_effect),
            Figure::Retries => {
                let retries = trial.stages.iter().filter_map(|stage| stage.retry.as_ref());
                let retries = retries.map(|retry| retry.retries).reduce(|sum, more| sum + more);
                retries.and_then(of_orders)
            }
            Figure::Blocked => Some(trial.blocked_s),
            Figure::Redelivered => share(trial.messages.redelivered as f64, trial.messages.delivered),
            Figure::DriverCpu => used.driver_cpu_s.and_then(|s| share(s * 1e9, trial.orders.published)),
            Figure::DriverMemory => used.driver_rss_bytes_max.map(|n| n as f64),
            Figure::BrokerCpu => used.broker_cpu_s.and_then(|s| share(s * 1e9, trial.orders.published)),
            Figure::BrokerMemory => used.broker_rss_bytes_max.map(|n| n as f64),
            Figure::MessageMemory => used.broker_message_bytes_max.map(|n| n as f64),
        };
        value.filter(|value| value.is_finite())
    }

    /// A value of it, for people.
    pub fn written(self, value: f64) -> String {
        match self.unit() {
            Unit::PerSecond => human::rate(value),
            Unit::Nanos => human::nanos(value),
            Unit::Seconds => human::seconds(value),
            Unit::Messages => human::count(value.max(0.0).round() as u64),
            Unit::Share => human::share(value),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Bytes => human::bytes(value),
        }
    }
}

fn share(part: f64, of: u64) -> Option<f64> {
    (of > 0).then(|| part / of as f64)
}

fn quantile(trial: &TrialRecord, series: Series, which: fn(&Summary) -> Option<Quantile>) -> Option<f64> {
    let name = series.to_string();
    let summary = trial.latencies.iter().find(|summary| summary.series == name)?;
    which(summary).map(|quantile| quantile.ns as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn figures_are_those_of_the_trial_and_absent_where_nothing_was_measured() {
        let record = fixture::pass();
        let trial = &record.trials[0];
        assert_eq!(Figure::Goodput.of(trial), trial.rates.goodput_per_s);
        assert_eq!(
            Figure::DriverCpu.of(trial).map(f64::round),
            Some((38.2e9_f64 / 32_500.0).round())
        );
        assert_eq!(Figure::Redelivered.of(trial), Some(0.0));
        let record = fixture::no_data();
        for figure in [
            Figure::Goodput,
            Figure::EndToEndP99,
            Figure::DrainTime,
            Figure::BrokerCpu,
        ] {
            assert_eq!(figure.of(&record.trials[0]), None, "{}", figure.name());
        }
    }

    #[test]
    fn a_drain_that_did_not_end_has_no_time() {
        assert_eq!(Figure::DrainTime.of(&fixture::failed().trials[0]), None);
    }

    #[test]
    fn values_are_written_in_their_unit() {
        assert_eq!(Figure::EndToEndP99.written(12_345_678.0), "12.3 ms");
        assert_eq!(Figure::Redelivered.written(0.0123), "1.2 %");
        assert_eq!(Figure::Backlog.written(1_234.0), "1,234");
    }
}
