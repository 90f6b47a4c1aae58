//! From an exchange and a routing key to queues: bindings and how each exchange type matches them.

use std::collections::HashMap;
use std::sync::Arc;

use amq_protocol::frame::WriteContext;
use amq_protocol::types::FieldTable;
use amq_protocol::types::generation::gen_field_table;

use super::exchange::{Exchange, ExchangeKind};
use super::headers::HeaderRule;
use super::queue::QueueKey;
use super::refusal::Refusal;
use super::topic::TopicTrie;
use super::vhost::State;

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Destination {
    Queue(QueueKey),
    Exchange(Arc<str>),
}

/// What makes a binding the same binding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Binding {
    pub(super) destination: Destination,
    pub(super) key: Box<str>,
    /// The arguments in wire form; tables are ordered by key, so equal tables are equal bytes.
    arguments: Box<[u8]>,
}

impl Binding {
    pub(super) fn new(destination: Destination, key: &str, arguments: &FieldTable) -> Self {
        let arguments = match gen_field_table(arguments)(WriteContext::from(Vec::new())) {
            Ok(context) => context.into_inner().0.into_boxed_slice(),
            // Writing a decoded table to a Vec cannot fail; see `frame::write_method`.
            Err(error) => unreachable!("a field table that was decoded could not be encoded: {error:?}"),
        };
        Self {
            destination,
            key: key.into(),
            arguments,
        }
    }
}

/// Destinations with the number of bindings that lead to each.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<(Destination, u32)>);

impl Targets {
    pub(super) fn add(&mut self, destination: &Destination) {
        match self.0.iter_mut().find(|(known, _)| known == destination) {
            Some((_, count)) => *count += 1,
            None => self.0.push((destination.clone(), 1)),
        }
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        if let Some(at) = self.0.iter().position(|(known, _)| known == destination) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn each(&self, found: &mut impl FnMut(&Destination)) {
        for (destination, _) in &self.0 {
            found(destination);
        }
    }
}

/// The bindings of one exchange, arranged for its way of matching.
#[derive(Debug)]
pub(super) enum Matcher {
    Direct(HashMap<Box<str>, Targets>),
    Fanout(Targets),
    Topic(TopicTrie),
    Headers(Vec<(Binding, HeaderRule)>),
}

impl Matcher {
    pub(super) fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::new()),
            ExchangeKind::Fanout => Self::Fanout(Targets::default()),
            ExchangeKind::Topic => Self::Topic(TopicTrie::default()),
            ExchangeKind::Headers => Self::Headers(Vec::new()),
        }
    }

    /// Adds a binding that is not there yet.
    pub(super) fn add(&mut self, binding: &Binding, arguments: &FieldTable) -> Result<(), Refusal> {
        match self {
            Self::Direct(keys) => keys.entry(binding.key.clone()).or_default().add(&binding.destination),
            Self::Fanout(targets) => targets.add(&binding.destination),
            Self::Topic(trie) => trie.add(&binding.key, &binding.destination),
            Self::Headers(rules) => rules.push((binding.clone(), HeaderRule::new(arguments)?)),
        }
        Ok(())
    }

    /// Removes a binding that is there.
    pub(super) fn remove(&mut self, binding: &Binding) {
        match self {
            Self::Direct(keys) => {
                if let Some(targets) = keys.get_mut(&binding.key) {
                    targets.remove(&binding.destination);
                    if targets.is_empty() {
                        keys.remove(&binding.key);
                    }
                }
            }
            Self::Fanout(targets) => targets.remove(&binding.destination),
            Self::Topic(trie) => trie.remove(&binding.key, &binding.destination),
            Self::Headers(rules) => rules.retain(|(known, _)| known != binding),
        }
    }

    fn each_match(&self, key: &str, headers: &mut LazyHeaders<'_>, found: &mut impl FnMut(&Destination)) {
        match self {
            Self::Direct(keys) => {
                if let Some(targets) = keys.get(key) {
                    targets.each(found);
                }
            }
            Self::Fanout(targets) => targets.each(found),
            Self::Topic(trie) => trie.matches(key, found),
            Self::Headers(rules) => {
                for (binding, rule) in rules {
                    if rule.accepts(headers.get()) {
                        found(&binding.destination);
                    }
                }
            }
        }
    }
}

/// The header table of a message, decoded only when a headers exchange asks for it.
pub(super) struct LazyHeaders<'a> {
    decode: &'a dyn Fn() -> FieldTable,
    decoded: Option<FieldTable>,
}

impl<'a> LazyHeaders<'a> {
    pub(super) fn new(decode: &'a dyn Fn() -> FieldTable) -> Self {
        Self { decode, decoded: None }
    }

    fn get(&mut self) -> &FieldTable {
        self.decoded.get_or_insert_with(self.decode)
    }
}

impl State {
    /// Adds to `queues` each queue that one of the keys reaches from `exchange`, once. An alternate exchange is tried where
    /// none of them matches.
    pub(super) fn route(
        &self,
        exchange: &Exchange,
        keys: &[&str],
        headers: &mut LazyHeaders<'_>,
        queues: &mut Vec<QueueKey>,
    ) {
        let mut onward = Vec::new();
        self.route_one(exchange, keys, headers, queues, &mut onward);
        if onward.is_empty() {
            return;
        }
        let mut visited: Vec<Arc<str>> = vec![exchange.name.clone()];
        while let Some(name) = onward.pop() {
            // The default exchange has no bindings to go on from: as an alternate it leads nowhere, as in RabbitMQ.
            if name.is_empty() || visited.contains(&name) {
                continue;
            }
            if let Some(next) = self.exchanges.get(&name) {
                self.route_one(next, keys, headers, queues, &mut onward);
            }
            visited.push(name);
        }
    }

    fn route_one(
        &self,
        exchange: &Exchange,
        keys: &[&str],
        headers: &mut LazyHeaders<'_>,
        queues: &mut Vec<QueueKey>,
        onward: &mut Vec<Arc<str>>,
    ) {
        let mut hits = 0;
        let mut add = |queue: &QueueKey| {
            if !queues.contains(queue) {
                queues.push(*queue);
            }
        };
        for key in keys {
            if exchange.name.is_empty() {
                if let Some(queue) = self.queue_names.get(*key) {
                    add(queue);
                    hits += 1;
                }
                continue;
            }
            exchange.matcher.each_match(key, headers, &mut |destination| {
                hits += 1;
                match destination {
                    Destination::Queue(queue) => add(queue),
                    Destination::Exchange(name) => onward.push(name.clone()),
                }
            });
        }
        if hits == 0
            && let Some(alternate) = &exchange.alternate
        {
            onward.push(alternate.clone());
        }
    }
}
