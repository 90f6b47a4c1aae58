//! What the broker counts, for samplers in the same process.

/// Totals since the broker started, over all virtual hosts. They are exact and live: every count is taken under the
/// lock under which its event happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages that clients published to an exchange that exists.
    pub published: u64,
    /// Publishes answered with a positive confirm.
    pub confirmed: u64,
    /// Publishes answered with a negative confirm.
    pub refused: u64,
    /// Mandatory messages sent back because no queue was reached.
    pub returned: u64,
    /// Messages that no queue took, mandatory or not.
    pub unroutable: u64,
    /// Messages sent to consumers or given to `basic.get`, first times and again.
    pub delivered: u64,
    /// Those of `delivered` with the redelivered flag.
    pub redelivered: u64,
    /// Deliveries acknowledged, by the client or by no-ack consumption.
    pub acked: u64,
    /// Deliveries that came back to their queue: rejected with requeue, recovered, or their channel ended.
    pub requeued: u64,
    /// Messages that left a queue other than by an ack or a purge: rejected, expired, over a limit.
    pub discarded: u64,
    /// Those of `discarded` whose queue has a dead-letter exchange.
    pub dead_lettered: u64,
    /// Those of `discarded` without one that were over a limit of length or deliveries, or expired.
    pub dropped: u64,
    /// Messages that went with a purge or a deleted queue.
    pub purged: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.confirmed += other.confirmed;
        self.refused += other.refused;
        self.returned += other.returned;
        self.unroutable += other.unroutable;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.acked += other.acked;
        self.requeued += other.requeued;
        self.discarded += other.discarded;
        self.dead_lettered += other.dead_lettered;
        self.dropped += other.dropped;
        self.purged += other.purged;
    }
}

/// How many messages one queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// The virtual host.
    pub vhost: String,
    /// The queue's name.
    pub queue: String,
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Messages delivered and not yet acknowledged.
    pub unacked: u64,
    /// Consumers.
    pub consumers: u64,
}
