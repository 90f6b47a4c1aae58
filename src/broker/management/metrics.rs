//! The broker's own message counters, from the text of its Prometheus plugin. Unlike the management API's they are live.

use serde::Serialize;

/// Messages since the node's start, AMQP 0-9-1 clients only, all queue types together. Absent: not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MessageTotals {
    /// Received from publishers.
    pub received: Option<u64>,
    /// Of these, on channels in confirm mode.
    pub received_confirm: Option<u64>,
    /// Confirmed to publishers.
    pub confirmed: Option<u64>,
    /// Routed to at least one queue; counted once per queue.
    pub routed: Option<u64>,
    /// Dropped for want of a queue.
    pub unroutable_dropped: Option<u64>,
    /// Returned to the publisher for want of a queue.
    pub unroutable_returned: Option<u64>,
    /// Delivered to consumers, with and without acknowledgement.
    pub delivered: Option<u64>,
    /// Of these, delivered before.
    pub redelivered: Option<u64>,
    /// Acknowledged by consumers.
    pub acknowledged: Option<u64>,
    /// Dropped by queues without a dead-letter exchange: beyond a limit of length or deliveries, or expired. Of all
    /// protocols; since RabbitMQ 3.10.
    pub dropped_by_queues: Option<u64>,
}

impl MessageTotals {
    /// Sums the counters of `text`, in Prometheus' exposition format.
    pub(super) fn read(text: &str) -> Self {
        let total = |name: &str| {
            sum(
                text,
                &format!("rabbitmq_global_messages_{name}_total"),
                "protocol=\"amqp091\"",
            )
        };
        Self {
            received: total("received"),
            received_confirm: total("received_confirm"),
            confirmed: total("confirmed"),
            routed: total("routed"),
            unroutable_dropped: total("unroutable_dropped"),
            unroutable_returned: total("unroutable_returned"),
            delivered: total("delivered"),
            redelivered: total("redelivered"),
            acknowledged: total("acknowledged"),
            dropped_by_queues: ["maxlen", "expired", "delivery_limit"]
                .into_iter()
                .filter_map(|reason| {
                    let metric = format!("rabbitmq_global_messages_dead_lettered_{reason}_total");
                    sum(text, &metric, "dead_letter_strategy=\"disabled\"")
                })
                .reduce(|sum, more| sum + more),
        }
    }
}

impl MessageTotals {
    /// The totals of two nodes together; absent where either does not tell.
    pub(super) fn plus(self, other: Self) -> Self {
        let both = |this: Option<u64>, other: Option<u64>| this.zip(other).map(|(this, other)| this + other);
        Self {
            received: both(self.received, other.received),
            received_confirm: both(self.received_confirm, other.received_confirm),
            confirmed: both(self.confirmed, other.confirmed),
            routed: both(self.routed, other.routed),
            unroutable_dropped: both(self.unroutable_dropped, other.unroutable_dropped),
            unroutable_returned: both(self.unroutable_returned, other.unroutable_returned),
            delivered: both(self.delivered, other.delivered),
            redelivered: both(self.redelivered, other.redelivered),
            acknowledged: both(self.acknowledged, other.acknowledged),
            dropped_by_queues: both(self.dropped_by_queues, other.dropped_by_queues),
        }
    }
}

/// Sum over the label sets of `metric` that have `label`, or `None` if there is none.
fn sum(text: &str, metric: &str, label: &str) -> Option<u64> {
    let samples = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once('}')?;
        if !labels.contains(label) {
            return None;
        }
        // Prometheus allows any float; these are counters, and exact below 2^53.
        let value: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
        (value >= 0.0).then_some(value as u64)
    });
    samples.reduce(|sum, sample| sum + sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_of_our_protocol_are_summed_and_others_left_out() {
        let text = r#"# TYPE rabbitmq_global_messages_delivered_total counter
rabbitmq_global_messages_delivered_total{protocol="amqp091",queue_type="rabbit_classic_queue"} 5
rabbitmq_global_messages_delivered_total{protocol="amqp091",queue_type="rabbit_quorum_queue"} 7
rabbitmq_global_messages_delivered_total{protocol="mqtt310",queue_type="rabbit_classic_queue"} 100
rabbitmq_global_messages_received_total{protocol="amqp091"} 0
rabbitmq_global_messages_received_confirm_total{protocol="amqp091"} 3
rabbitmq_global_messages_dead_lettered_maxlen_total{queue_type="rabbit_classic_queue",dead_letter_strategy="at_most_once"} 90
rabbitmq_global_messages_dead_lettered_maxlen_total{queue_type="rabbit_classic_queue",dead_letter_strategy="disabled"} 4
rabbitmq_global_messages_dead_lettered_expired_total{queue_type="rabbit_quorum_queue",dead_letter_strategy="disabled"} 2
"#;
        let totals = MessageTotals::read(text);
        assert_eq!(
            (totals.delivered, totals.received, totals.received_confirm),
            (Some(12), Some(0), Some(3))
        );
        assert_eq!((totals.acknowledged, totals.dropped_by_queues), (None, Some(6)));
        assert_eq!(MessageTotals::read("").dropped_by_queues, None);
    }
}
