//! Queues: declaration, equivalence, deletion, purge. What happens to the messages in them is in `delivery`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use amq_protocol::types::FieldTable;

use super::arena::Key;
use super::arguments::{self, COMPARED, QueueKind, QueueOptions, inequivalent};
use super::consumer::ConsumerKey;
use super::exchange::IfUsed;
use super::ready::Ready;
use super::refusal::Refusal;
use super::routing::Destination;
use super::vhost::{ConnectionId, State};

pub(super) type QueueKey = Key<Queue>;

/// One queue of a virtual host.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    /// The connection that an exclusive queue belongs to and dies with.
    pub(super) owner: Option<ConnectionId>,
    pub(super) arguments: FieldTable,
    pub(super) options: QueueOptions,
    pub(super) ready: Ready,
    pub(super) unacked: usize,
    pub(super) next_position: u64,
    /// All consumers in the order in which they came.
    pub(super) consumers: Vec<ConsumerKey>,
    /// Those who may get the next delivery, by priority (highest first), each in turn.
    pub(super) turns: Vec<(i32, VecDeque<ConsumerKey>)>,
    /// The one who gets everything, on a single-active-consumer queue.
    pub(super) active: Option<ConsumerKey>,
    /// An exclusive consumer keeps all others away.
    pub(super) taken: bool,
    /// Exchanges with bindings to this queue, and how many.
    pub(super) sources: HashMap<Arc<str>, usize>,
    /// When a timer for the head's expiry is set.
    pub(super) expiry_timer: Option<Instant>,
    /// A message with a time to live overtook others by its priority. As in RabbitMQ, which does not take that for a new
    /// head, its time is not looked at until the queue is next fetched from, or given something back.
    pub(super) overtaken: bool,
    /// Last declare, get or consumer, for `x-expires`.
    pub(super) used_at: Instant,
}

/// The fields of queue.declare, without `passive`.
#[derive(Debug)]
pub(super) struct QueueSpec<'a> {
    pub(super) name: &'a str,
    pub(super) durable: bool,
    pub(super) exclusive: bool,
    pub(super) auto_delete: bool,
    pub(super) arguments: &'a FieldTable,
}

impl QueueSpec<'_> {
    /// An exclusive queue dies with its connection, so it is never durable.
    fn is_durable(&self) -> bool {
        self.durable && !self.exclusive
    }
}

/// Ready messages and consumers, as queue.declare-ok reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueReport {
    pub(super) name: Arc<str>,
    pub(super) messages: u32,
    pub(super) consumers: u32,
}

/// Bytes on the metadata account per queue, beside its name.
const QUEUE_BYTES: usize = 1024;

impl State {
    /// The key of a queue that `connection` may use.
    ///
    /// # Errors
    /// 404 where there is none, 405 where it is exclusive to another connection.
    pub(super) fn queue_key(&self, name: &str, connection: ConnectionId) -> Result<QueueKey, Refusal> {
        let key = *self
            .queue_names
            .get(name)
            .ok_or_else(|| Refusal::no_queue(name, &self.vhost))?;
        match self.queues.get(key).and_then(|queue| queue.owner) {
            Some(owner) if owner != connection => Err(self.locked(name)),
            _ => Ok(key),
        }
    }

    fn locked(&self, name: &str) -> Refusal {
        Refusal::resource_locked(format!(
            "cannot obtain exclusive access to locked queue '{name}' in vhost '{}'. It could be originally declared on \
             another connection or the exclusive property value does not match that of the original declaration.",
            self.vhost
        ))
    }

    /// queue.declare with `passive`.
    pub(super) fn check_queue(&mut self, name: &str, connection: ConnectionId) -> Result<QueueReport, Refusal> {
        let key = self.queue_key(name, connection)?;
        self.touch_queue(key);
        self.expire_head(key);
        self.report(key, name)
    }

    /// queue.declare; an empty name gets a generated one.
    ///
    /// # Errors
    /// 403 reserved name, 405 exclusive elsewhere, 406 not equivalent or bad arguments, 540 for a stream.
    pub(super) fn declare_queue(
        &mut self,
        spec: &QueueSpec<'_>,
        connection: ConnectionId,
    ) -> Result<QueueReport, Refusal> {
        if !spec.name.is_empty() && self.queue_names.contains_key(spec.name) {
            let key = self.queue_key(spec.name, connection)?;
            self.check_equivalent_queue(key, spec)?;
            self.touch_queue(key);
            self.expire_head(key);
            return self.report(key, spec.name);
        }
        if spec.name.starts_with("amq.") {
            return Err(Refusal::access_refused(format!(
                "queue name '{}' contains reserved prefix 'amq.*'",
                spec.name
            )));
        }
        let generated;
        let name = if spec.name.is_empty() {
            generated = super::names::generated("amq.gen-");
            &generated
        } else {
            spec.name
        };
        let options = QueueOptions::parse(spec.arguments, name, &self.vhost)?;
        self.check_kind(spec, name, options.kind)?;
        self.charge_metadata(name.len() + QUEUE_BYTES)?;
        let key = self.insert_queue(name, spec, options, connection);
        self.arm_unused_timer(key);
        self.report(key, name)
    }

    fn insert_queue(
        &mut self,
        name: &str,
        spec: &QueueSpec<'_>,
        options: QueueOptions,
        connection: ConnectionId,
    ) -> QueueKey {
        let name: Arc<str> = name.into();
        let key = self.queues.insert(Queue {
            name: name.clone(),
            durable: spec.is_durable(),
            auto_delete: spec.auto_delete,
            owner: spec.exclusive.then_some(connection),
            arguments: spec.arguments.clone(),
            ready: Ready::new(options.max_priority.unwrap_or(0)),
            options,
            unacked: 0,
            next_position: 0,
            consumers: Vec::new(),
            turns: Vec::new(),
            active: None,
            taken: false,
            sources: HashMap::new(),
            expiry_timer: None,
            overtaken: false,
            used_at: Instant::now(),
        });
        self.queue_names.insert(name, key);
        if spec.exclusive {
            self.exclusive.entry(connection).or_default().push(key);
        }
        key
    }

    /// Refuses what RabbitMQ refuses of a quorum queue.
    fn check_kind(&self, spec: &QueueSpec<'_>, name: &str, kind: QueueKind) -> Result<(), Refusal> {
        if kind == QueueKind::Classic {
            return Ok(());
        }
        if spec.name.is_empty() {
            return Err(Refusal::precondition_failed(
                "Cannot declare a server-named queue for type rabbit_quorum_queue",
            ));
        }
        let faults = [
            (!spec.durable, "non-durable"),
            (spec.exclusive, "exclusive-owner"),
            (spec.auto_delete, "auto-delete"),
        ];
        match faults.into_iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, property)) => Err(Refusal::precondition_failed(format!(
                "invalid property '{property}' for queue '{name}' in vhost '{}'",
                self.vhost
            ))),
        }
    }

    fn check_equivalent_queue(&self, key: QueueKey, spec: &QueueSpec<'_>) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(key) else {
            return Err(Refusal::no_queue(spec.name, &self.vhost));
        };
        if spec.exclusive != queue.owner.is_some() {
            return Err(self.locked(spec.name));
        }
        let what = format!("queue '{}' in vhost '{}'", spec.name, self.vhost);
        for (name, given, current) in [
            ("durable", spec.is_durable(), queue.durable),
            ("auto_delete", spec.auto_delete, queue.auto_delete),
        ] {
            if given != current {
                return Err(inequivalent(name, &what, &given.to_string(), &current.to_string()));
            }
        }
        arguments::check_equivalent(COMPARED, &what, spec.arguments, &queue.arguments)
    }

    fn report(&self, key: QueueKey, name: &str) -> Result<QueueReport, Refusal> {
        let queue = self
            .queues
            .get(key)
            .ok_or_else(|| Refusal::no_queue(name, &self.vhost))?;
        Ok(QueueReport {
            name: queue.name.clone(),
            messages: u32::try_from(queue.ready.len()).unwrap_or(u32::MAX),
            consumers: queue.consumers.len() as u32,
        })
    }

    /// queue.purge; returns how many ready messages went.
    pub(super) fn purge_queue(&mut self, name: &str, connection: ConnectionId) -> Result<u32, Refusal> {
        let key = self.queue_key(name, connection)?;
        self.expire_head(key);
        let purged = self.queues.get_mut(key).map_or(0, |queue| queue.ready.clear());
        self.counts.purged += purged as u64;
        Ok(purged as u32)
    }

    /// queue.delete; returns how many ready messages went with it. A queue that does not exist is no error.
    pub(super) fn delete_queue(
        &mut self,
        name: &str,
        connection: ConnectionId,
        if_used: IfUsed,
        if_filled: IfUsed,
    ) -> Result<u32, Refusal> {
        if !self.queue_names.contains_key(name) {
            return Ok(0);
        }
        let key = self.queue_key(name, connection)?;
        self.expire_head(key);
        if let Some(queue) = self.queues.get(key) {
            if if_used == IfUsed::Refuse && !queue.consumers.is_empty() {
                return Err(Refusal::precondition_failed(format!(
                    "queue '{name}' in vhost '{}' in use",
                    self.vhost
                )));
            }
            if if_filled == IfUsed::Refuse && queue.ready.len() > 0 {
                return Err(Refusal::precondition_failed(format!(
                    "queue '{name}' in vhost '{}' not empty",
                    self.vhost
                )));
            }
        }
        Ok(self.remove_queue(key) as u32)
    }

    /// Takes a queue away with everything that refers to it. Its consumers are told; unacked messages are forgotten.
    pub(super) fn remove_queue(&mut self, key: QueueKey) -> usize {
        let Some(mut queue) = self.queues.remove(key) else {
            return 0;
        };
        self.queue_names.remove(&queue.name);
        self.release_metadata(queue.name.len() + QUEUE_BYTES);
        if let Some(owner) = queue.owner
            && let Some(owned) = self.exclusive.get_mut(&owner)
        {
            owned.retain(|other| *other != key);
        }
        for consumer in std::mem::take(&mut queue.consumers) {
            self.cancel_by_broker(consumer);
        }
        self.unbind_destination(&Destination::Queue(key), queue.sources.into_keys().collect());
        let dropped = queue.ready.len();
        self.counts.purged += dropped as u64;
        dropped
    }

    /// Deletes the exclusive queues of a connection that has gone.
    pub(super) fn remove_exclusive_queues(&mut self, connection: ConnectionId) {
        for key in self.exclusive.remove(&connection).unwrap_or_default() {
            self.remove_queue(key);
        }
    }
}
