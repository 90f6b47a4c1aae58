//! The methods of an open channel that are no hot path: decoded by the codec, carried out on the virtual host.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm, exchange, queue, tx};
use amq_protocol::types::AMQPValue;

use super::channel::ChannelKey;
use super::consumer::{Acks, ConsumerSpec};
use super::content::reply_name;
use super::exchange::{BindSpec, BindTo, ExchangeSpec, IfUsed};
use super::headers::integer;
use super::names;
use super::publish::DIRECT_REPLY;
use super::queue::QueueSpec;
use super::refusal::{Refusal, short};
use super::session::Session;
use super::vhost::State;

/// A channel's coordinates, passed along while one of its methods is carried out.
#[derive(Debug, Clone, Copy)]
struct At {
    number: u16,
    key: ChannelKey,
}

fn if_used(refuse: bool) -> IfUsed {
    if refuse { IfUsed::Refuse } else { IfUsed::Delete }
}

impl Session {
    /// Carries out one method on an open channel.
    ///
    /// # Errors
    /// The refusal that is to close the channel or the connection.
    pub(super) fn on_method(&mut self, state: &mut State, number: u16, class: AMQPClass) -> Result<(), Refusal> {
        let Some(local) = self.channels.get(usize::from(number)).and_then(Option::as_ref) else {
            return Ok(());
        };
        let at = At { number, key: local.key };
        // Replies come after the confirms of the publishes before them.
        state.send_confirms(at.key);
        match class {
            AMQPClass::Channel(method) => self.on_channel_method(state, at, method),
            AMQPClass::Exchange(method) => self.on_exchange_method(state, at, method),
            AMQPClass::Queue(method) => self.on_queue_method(state, at, method),
            AMQPClass::Basic(method) => self.on_basic_method(state, at, method),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                state.select_confirms(at.key)?;
                self.reply(
                    at,
                    select.nowait,
                    AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {})),
                );
                Ok(())
            }
            AMQPClass::Tx(method) => self.on_tx_method(state, at, method),
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                self.reply(
                    at,
                    false,
                    AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {})),
                );
                Ok(())
            }
            _ => Err(Refusal::command_invalid("unimplemented method")),
        }
    }

    fn reply(&self, at: At, nowait: bool, class: AMQPClass) {
        if !nowait {
            self.send(at.number, class);
        }
    }

    fn on_channel_method(&mut self, state: &mut State, at: At, method: channel::AMQPMethod) -> Result<(), Refusal> {
        use channel::AMQPMethod as Method;
        match method {
            Method::Open(_) => Err(Refusal::channel_error("second 'channel.open' seen")),
            Method::Flow(channel::Flow { active: true }) => {
                self.reply(
                    at,
                    false,
                    AMQPClass::Channel(Method::FlowOk(channel::FlowOk { active: true })),
                );
                Ok(())
            }
            Method::Flow(_) => Err(Refusal::not_implemented("active=false")),
            Method::Close(_) => {
                state.close_channels(&[at.key]);
                self.forget_channel(at.number);
                self.reply(at, false, AMQPClass::Channel(Method::CloseOk(channel::CloseOk {})));
                Ok(())
            }
            // A close-ok for a close that this broker did not send.
            _ => Err(Refusal::command_invalid("unimplemented method")),
        }
    }

    fn on_exchange_method(&mut self, state: &mut State, at: At, method: exchange::AMQPMethod) -> Result<(), Refusal> {
        use exchange::AMQPMethod as Method;
        let (nowait, answer) = match method {
            Method::Declare(declare) => {
                if declare.passive {
                    state.check_exchange(declare.exchange.as_str())?;
                } else {
                    state.declare_exchange(&ExchangeSpec {
                        name: declare.exchange.as_str(),
                        kind: declare.kind.as_str(),
                        durable: declare.durable,
                        auto_delete: declare.auto_delete,
                        internal: declare.internal,
                        arguments: &declare.arguments,
                    })?;
                }
                (declare.nowait, Method::DeclareOk(exchange::DeclareOk {}))
            }
            Method::Delete(delete) => {
                state.delete_exchange(delete.exchange.as_str(), if_used(delete.if_unused))?;
                (delete.nowait, Method::DeleteOk(exchange::DeleteOk {}))
            }
            Method::Bind(bind) => {
                let route = BindSpec {
                    source: bind.source.as_str(),
                    destination: BindTo::Exchange(bind.destination.as_str()),
                    key: bind.routing_key.as_str(),
                    arguments: &bind.arguments,
                };
                state.bind(&route, self.id)?;
                (bind.nowait, Method::BindOk(exchange::BindOk {}))
            }
            Method::Unbind(unbind) => {
                let route = BindSpec {
                    source: unbind.source.as_str(),
                    destination: BindTo::Exchange(unbind.destination.as_str()),
                    key: unbind.routing_key.as_str(),
                    arguments: &unbind.arguments,
                };
                state.unbind(&route, self.id)?;
                (unbind.nowait, Method::UnbindOk(exchange::UnbindOk {}))
            }
            _ => return Err(Refusal::command_invalid("unimplemented method")),
        };
        self.reply(at, nowait, AMQPClass::Exchange(answer));
        Ok(())
    }

    /// The queue that a name stands for: an empty one means the last that this channel declared.
    fn named_queue(&self, at: At, name: &str) -> Result<Arc<str>, Refusal> {
        if !name.is_empty() {
            return Ok(name.into());
        }
        match self.channels.get(usize::from(at.number)).and_then(Option::as_ref) {
            Some(local) if !local.last_queue.is_empty() => Ok(local.last_queue.clone()),
            _ => Err(Refusal::not_found("no previously declared queue")),
        }
    }

    fn on_queue_method(&mut self, state: &mut State, at: At, method: queue::AMQPMethod) -> Result<(), Refusal> {
        use queue::AMQPMethod as Method;
        let (nowait, answer) = match method {
            Method::Declare(declare) => return self.declare_queue(state, at, &declare),
            Method::Bind(bind) => {
                let name = self.named_queue(at, bind.queue.as_str())?;
                let route = BindSpec {
                    source: bind.exchange.as_str(),
                    destination: BindTo::Queue(&name),
                    key: binding_key(bind.queue.as_str(), bind.routing_key.as_str(), &name),
                    arguments: &bind.arguments,
                };
                state.bind(&route, self.id)?;
                (bind.nowait, Method::BindOk(queue::BindOk {}))
            }
            Method::Unbind(unbind) => {
                let name = self.named_queue(at, unbind.queue.as_str())?;
                let route = BindSpec {
                    source: unbind.exchange.as_str(),
                    destination: BindTo::Queue(&name),
                    key: binding_key(unbind.queue.as_str(), unbind.routing_key.as_str(), &name),
                    arguments: &unbind.arguments,
                };
                state.unbind(&route, self.id)?;
                (false, Method::UnbindOk(queue::UnbindOk {}))
            }
            Method::Purge(purge) => {
                let name = self.named_queue(at, purge.queue.as_str())?;
                let message_count = state.purge_queue(&name, self.id)?;
                (purge.nowait, Method::PurgeOk(queue::PurgeOk { message_count }))
            }
            Method::Delete(delete) => {
                let name = self.named_queue(at, delete.queue.as_str())?;
                let (unused, empty) = (if_used(delete.if_unused), if_used(delete.if_empty));
                let message_count = state.delete_queue(&name, self.id, unused, empty)?;
                (delete.nowait, Method::DeleteOk(queue::DeleteOk { message_count }))
            }
            _ => return Err(Refusal::command_invalid("unimplemented method")),
        };
        self.reply(at, nowait, AMQPClass::Queue(answer));
        Ok(())
    }

    fn declare_queue(&mut self, state: &mut State, at: At, declare: &queue::Declare) -> Result<(), Refusal> {
        let report = if declare.passive {
            let name = self.named_queue(at, declare.queue.as_str())?;
            if &*name == DIRECT_REPLY || state.reply_to.contains_key(&*name) {
                super::queue::QueueReport {
                    name: name.clone(),
                    messages: 0,
                    consumers: 1,
                }
            } else {
                state.check_queue(&name, self.id)?
            }
        } else {
            let spec = QueueSpec {
                name: declare.queue.as_str(),
                durable: declare.durable,
                exclusive: declare.exclusive,
                auto_delete: declare.auto_delete,
                arguments: &declare.arguments,
            };
            state.declare_queue(&spec, self.id)?
        };
        if let Some(local) = self.channels.get_mut(usize::from(at.number)).and_then(Option::as_mut) {
            local.last_queue = report.name.clone();
        }
        let ok = queue::DeclareOk {
            queue: short(&report.name),
            message_count: report.messages,
            consumer_count: report.consumers,
        };
        self.reply(at, declare.nowait, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)));
        Ok(())
    }

    fn on_basic_method(&mut self, state: &mut State, at: At, method: basic::AMQPMethod) -> Result<(), Refusal> {
        use basic::AMQPMethod as Method;
        match method {
            Method::Qos(qos) => {
                state.set_prefetch(at.key, qos.prefetch_count, qos.global);
                self.reply(at, false, AMQPClass::Basic(Method::QosOk(basic::QosOk {})));
                Ok(())
            }
            Method::Consume(consume) => self.consume(state, at, &consume),
            Method::Cancel(cancel) => {
                self.cancel(state, at, cancel.consumer_tag.as_str());
                let ok = basic::CancelOk {
                    consumer_tag: cancel.consumer_tag,
                };
                self.reply(at, cancel.nowait, AMQPClass::Basic(Method::CancelOk(ok)));
                Ok(())
            }
            // The client's answer to a cancel that it was told of.
            Method::CancelOk(_) => Ok(()),
            Method::Get(get) => {
                let name = self.named_queue(at, get.queue.as_str())?;
                let key = state.queue_key(&name, self.id)?;
                let acks = if get.no_ack { Acks::None } else { Acks::Manual };
                if !state.get(at.key, key, acks) {
                    self.reply(at, false, AMQPClass::Basic(Method::GetEmpty(basic::GetEmpty {})));
                }
                Ok(())
            }
            Method::Recover(recover) => {
                self.recover(state, at, recover.requeue)?;
                self.reply(at, false, AMQPClass::Basic(Method::RecoverOk(basic::RecoverOk {})));
                Ok(())
            }
            Method::RecoverAsync(recover) => self.recover(state, at, recover.requeue),
            _ => Err(Refusal::command_invalid("unimplemented method")),
        }
    }

    fn recover(&self, state: &mut State, at: At, requeue: bool) -> Result<(), Refusal> {
        if !requeue {
            return Err(Refusal::not_implemented("requeue=false"));
        }
        state.recover(at.key);
        Ok(())
    }

    fn consume(&mut self, state: &mut State, at: At, consume: &basic::Consume) -> Result<(), Refusal> {
        let name = self.named_queue(at, consume.queue.as_str())?;
        let tag: Arc<str> = match consume.consumer_tag.as_str() {
            "" => names::generated("amq.ctag-").into(),
            tag => tag.into(),
        };
        let taken = state.channels.get(at.key).is_some_and(|channel| {
            channel.consumers.contains_key(&tag) || channel.replies.as_ref().is_some_and(|(_, other)| *other == tag)
        });
        if taken {
            return Err(Refusal::not_allowed(format!("attempt to reuse consumer tag '{tag}'")));
        }
        let ok = AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk {
            consumer_tag: short(&tag),
        }));
        if &*name == DIRECT_REPLY {
            consume_replies(state, at.key, tag, consume.no_ack)?;
        } else {
            let spec = ConsumerSpec {
                queue: state.queue_key(&name, self.id)?,
                tag,
                acks: if consume.no_ack { Acks::None } else { Acks::Manual },
                exclusive: consume.exclusive,
                priority: consumer_priority(&consume.arguments.inner().get("x-priority").cloned())?,
            };
            state.add_consumer(at.key, spec)?;
        }
        self.reply(at, consume.nowait, ok);
        Ok(())
    }

    fn cancel(&self, state: &mut State, at: At, tag: &str) {
        if state.cancel_consumer(at.key, tag) {
            return;
        }
        let replies = state.channels.get_mut(at.key).map(|channel| &mut channel.replies);
        if let Some(replies) = replies
            && let Some((name, _)) = replies.take_if(|(_, other)| &**other == tag)
        {
            state.reply_to.remove(&name);
        }
    }

    fn on_tx_method(&mut self, state: &mut State, at: At, method: tx::AMQPMethod) -> Result<(), Refusal> {
        use tx::AMQPMethod as Method;
        let answer = match method {
            Method::Select(_) => {
                state.select_transaction(at.key)?;
                Method::SelectOk(tx::SelectOk {})
            }
            Method::Commit(_) => {
                state.commit(at.key)?;
                Method::CommitOk(tx::CommitOk {})
            }
            Method::Rollback(_) => {
                state.rollback(at.key)?;
                Method::RollbackOk(tx::RollbackOk {})
            }
            _ => return Err(Refusal::command_invalid("unimplemented method")),
        };
        self.reply(at, false, AMQPClass::Tx(answer));
        Ok(())
    }
}

/// With queue and key both empty, the key is the name of the queue that the channel declared last.
fn binding_key<'a>(queue: &str, key: &'a str, last_queue: &'a str) -> &'a str {
    if queue.is_empty() && key.is_empty() {
        last_queue
    } else {
        key
    }
}

fn consumer_priority(value: &Option<AMQPValue>) -> Result<i32, Refusal> {
    match value {
        None => Ok(0),
        Some(value) => integer(value)
            .and_then(|priority| i32::try_from(priority).ok())
            .ok_or_else(|| Refusal::precondition_failed("invalid arg 'x-priority': expected an integer of 32 bits")),
    }
}

/// basic.consume on the direct reply-to pseudo queue.
fn consume_replies(state: &mut State, key: ChannelKey, tag: Arc<str>, no_ack: bool) -> Result<(), Refusal> {
    if !no_ack {
        return Err(Refusal::precondition_failed("reply consumer cannot acknowledge"));
    }
    let Some(channel) = state.channels.get_mut(key) else {
        return Ok(());
    };
    if channel.replies.is_some() {
        return Err(Refusal::precondition_failed("reply consumer already set"));
    }
    let name: Arc<str> = reply_name().into();
    channel.replies = Some((name.clone(), tag));
    state.reply_to.insert(name, key);
    Ok(())
}
