//! tx.select, commit, rollback: publishes and verdicts wait on the channel until they are committed.

use std::sync::Arc;

use super::acks::Verdict;
use super::channel::{ChannelKey, Unacked, UnackedSet};
use super::confirms::Answer;
use super::message::Message;
use super::publish::Mandatory;
use super::refusal::Refusal;
use super::vhost::State;

/// What a transactional channel has not committed.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) publishes: Vec<(Arc<Message>, Mandatory)>,
    pub(super) settled: Vec<(Unacked, Verdict)>,
}

impl Transaction {
    /// Gives uncommitted verdicts' deliveries back to the channel.
    pub(super) fn return_settled(self, unacked: &mut UnackedSet) {
        for (delivery, _) in self.settled {
            unacked.restore(delivery);
        }
    }
}

impl State {
    /// tx.select.
    ///
    /// # Errors
    /// 406 on a channel in confirm mode.
    pub(super) fn select_transaction(&mut self, key: ChannelKey) -> Result<(), Refusal> {
        if let Some(channel) = self.channels.get_mut(key) {
            if channel.confirms.is_some() {
                return Err(Refusal::precondition_failed("cannot switch from confirm to tx mode"));
            }
            channel.transaction.get_or_insert_default();
        }
        Ok(())
    }

    /// confirm.select.
    ///
    /// # Errors
    /// 406 on a transactional channel.
    pub(super) fn select_confirms(&mut self, key: ChannelKey) -> Result<(), Refusal> {
        if let Some(channel) = self.channels.get_mut(key) {
            if channel.transaction.is_some() {
                return Err(Refusal::precondition_failed("cannot switch from tx to confirm mode"));
            }
            channel.confirms.get_or_insert_default();
        }
        Ok(())
    }

    /// tx.commit: carries everything out, publishes first.
    ///
    /// # Errors
    /// 406 without tx.select, and where a queue refused a publish: all the rest is carried out then, as in RabbitMQ.
    pub(super) fn commit(&mut self, key: ChannelKey) -> Result<(), Refusal> {
        let transaction = self.take_transaction(key)?;
        let mut is_partial = false;
        for (message, mandatory) in transaction.publishes {
            is_partial |= self.publish_routed(key, message, mandatory) == Answer::Nack;
        }
        for (unacked, verdict) in transaction.settled {
            self.conclude(key, unacked, verdict);
        }
        self.unpark(key);
        if is_partial {
            return Err(Refusal::precondition_failed("partial tx completion"));
        }
        Ok(())
    }

    /// tx.rollback: forgets the publishes; deliveries are unsettled again.
    ///
    /// # Errors
    /// 406 without tx.select.
    pub(super) fn rollback(&mut self, key: ChannelKey) -> Result<(), Refusal> {
        let transaction = self.take_transaction(key)?;
        if let Some(channel) = self.channels.get_mut(key) {
            transaction.return_settled(&mut channel.unacked);
        }
        Ok(())
    }

    fn take_transaction(&mut self, key: ChannelKey) -> Result<Transaction, Refusal> {
        self.channels
            .get_mut(key)
            .and_then(|channel| channel.transaction.as_mut())
            .map(std::mem::take)
            .ok_or_else(|| Refusal::precondition_failed("channel is not transactional"))
    }
}
