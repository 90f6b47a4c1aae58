//! Exchanges: their declaration, deletion and bindings.

use std::collections::HashSet;
use std::sync::Arc;

use amq_protocol::types::{AMQPValue, FieldTable};

use super::arguments::{self, inequivalent};
use super::refusal::Refusal;
use super::routing::{Binding, Destination, Matcher};
use super::vhost::{ConnectionId, State};

/// The exchange types served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

impl ExchangeKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }

    fn parse(name: &str) -> Result<Self, Refusal> {
        [Self::Direct, Self::Fanout, Self::Topic, Self::Headers]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Refusal::command_invalid(format!("unknown exchange type '{name}'")))
    }
}

/// One exchange of a virtual host.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: Arc<str>,
    pub(super) kind: ExchangeKind,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    arguments: FieldTable,
    pub(super) alternate: Option<Arc<str>>,
    bindings: HashSet<Binding>,
    pub(super) matcher: Matcher,
}

/// The fields of exchange.declare.
#[derive(Debug)]
pub(super) struct ExchangeSpec<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    pub(super) arguments: &'a FieldTable,
}

/// Where a binding leads, by name.
#[derive(Debug, Clone, Copy)]
pub(super) enum BindTo<'a> {
    Queue(&'a str),
    Exchange(&'a str),
}

/// The fields of bind and unbind.
#[derive(Debug)]
pub(super) struct BindSpec<'a> {
    pub(super) source: &'a str,
    pub(super) destination: BindTo<'a>,
    pub(super) key: &'a str,
    pub(super) arguments: &'a FieldTable,
}

impl BindSpec<'_> {
    fn refuse_default(&self) -> Result<(), Refusal> {
        if let BindTo::Exchange(name) = self.destination {
            refuse_default(name)?;
        }
        refuse_default(self.source)
    }
}

/// Bytes on the metadata account per binding, beside its key.
const BINDING_BYTES: usize = 256;

/// Whether a deletion is to be refused while something still uses what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfUsed {
    Delete,
    Refuse,
}

impl Exchange {
    fn new(name: Arc<str>, kind: ExchangeKind, spec: &ExchangeSpec<'_>) -> Self {
        let alternate = match spec.arguments.inner().get("alternate-exchange") {
            Some(AMQPValue::LongString(name)) => Some(name.to_string().into()),
            _ => None,
        };
        Self {
            name,
            kind,
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            internal: spec.internal,
            arguments: spec.arguments.clone(),
            alternate,
            bindings: HashSet::new(),
            matcher: Matcher::new(kind),
        }
    }
}

/// The exchanges that every virtual host has from the start.
pub(super) fn predeclared() -> impl Iterator<Item = Exchange> {
    let arguments = FieldTable::default();
    [
        ("", ExchangeKind::Direct, false),
        ("amq.direct", ExchangeKind::Direct, false),
        ("amq.fanout", ExchangeKind::Fanout, false),
        ("amq.topic", ExchangeKind::Topic, false),
        ("amq.headers", ExchangeKind::Headers, false),
        ("amq.match", ExchangeKind::Headers, false),
        ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ]
    .into_iter()
    .map(move |(name, kind, internal)| {
        let spec = ExchangeSpec {
            name,
            kind: kind.name(),
            durable: true,
            auto_delete: false,
            internal,
            arguments: &arguments,
        };
        Exchange::new(name.into(), kind, &spec)
    })
}

fn refuse_default(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::access_refused(
            "operation not permitted on the default exchange",
        ));
    }
    Ok(())
}

impl State {
    /// exchange.declare with `passive`: only looks whether it is there.
    pub(super) fn check_exchange(&self, name: &str) -> Result<(), Refusal> {
        refuse_default(name)?;
        self.exchange(name).map(|_| ())
    }

    pub(super) fn exchange(&self, name: &str) -> Result<&Exchange, Refusal> {
        self.exchanges
            .get(name)
            .ok_or_else(|| Refusal::no_exchange(name, &self.vhost))
    }

    /// exchange.declare.
    ///
    /// # Errors
    /// 403 reserved name, 406 not equivalent to the one that exists, 503 unknown type.
    pub(super) fn declare_exchange(&mut self, spec: &ExchangeSpec<'_>) -> Result<(), Refusal> {
        let kind = ExchangeKind::parse(spec.kind)?;
        refuse_default(spec.name)?;
        if let Some(existing) = self.exchanges.get(spec.name) {
            return self.check_equivalent_exchange(existing, kind, spec);
        }
        if spec.name.starts_with("amq.") {
            return Err(Refusal::access_refused(format!(
                "exchange name '{}' contains reserved prefix 'amq.*'",
                spec.name
            )));
        }
        if let Some(value) = spec.arguments.inner().get("alternate-exchange")
            && !matches!(value, AMQPValue::LongString(_))
        {
            return Err(Refusal::precondition_failed(format!(
                "invalid arg 'alternate-exchange' for exchange '{}' in vhost '{}'",
                spec.name, self.vhost
            )));
        }
        self.charge_metadata(spec.name.len() + 512)?;
        let name: Arc<str> = spec.name.into();
        self.exchanges.insert(name.clone(), Exchange::new(name, kind, spec));
        Ok(())
    }

    fn check_equivalent_exchange(
        &self,
        existing: &Exchange,
        kind: ExchangeKind,
        spec: &ExchangeSpec<'_>,
    ) -> Result<(), Refusal> {
        let what = format!("exchange '{}' in vhost '{}'", spec.name, self.vhost);
        if existing.kind != kind {
            return Err(inequivalent("type", &what, kind.name(), existing.kind.name()));
        }
        for (name, given, current) in [
            ("durable", spec.durable, existing.durable),
            ("auto_delete", spec.auto_delete, existing.auto_delete),
            ("internal", spec.internal, existing.internal),
        ] {
            if given != current {
                return Err(inequivalent(name, &what, &given.to_string(), &current.to_string()));
            }
        }
        arguments::check_equivalent(&["alternate-exchange"], &what, spec.arguments, &existing.arguments)
    }

    /// exchange.delete; an exchange that does not exist is no error.
    pub(super) fn delete_exchange(&mut self, name: &str, if_used: IfUsed) -> Result<(), Refusal> {
        refuse_default(name)?;
        if name.starts_with("amq.") {
            return Err(Refusal::access_refused(format!(
                "deletion of system exchange '{name}' in vhost '{}' not allowed",
                self.vhost
            )));
        }
        let Some(exchange) = self.exchanges.get(name) else {
            return Ok(());
        };
        if if_used == IfUsed::Refuse && !exchange.bindings.is_empty() {
            return Err(Refusal::precondition_failed(format!(
                "exchange '{name}' in vhost '{}' in use",
                self.vhost
            )));
        }
        self.remove_exchange(name);
        Ok(())
    }

    fn remove_exchange(&mut self, name: &str) {
        let Some(exchange) = self.exchanges.remove(name) else {
            return;
        };
        self.release_metadata(name.len() + 512);
        for binding in &exchange.bindings {
            self.forget_source(&binding.destination, name);
        }
        let destination = Destination::Exchange(exchange.name.clone());
        let sources: Vec<Arc<str>> = self.exchanges.keys().cloned().collect();
        self.unbind_destination(&destination, sources);
    }

    /// queue.bind and exchange.bind. Binding twice is binding once.
    ///
    /// # Errors
    /// 403 default exchange, 404 source or destination missing (the source is named first, as in RabbitMQ), 405 queue
    /// of another connection, 406 arguments that a headers exchange does not take.
    pub(super) fn bind(&mut self, spec: &BindSpec<'_>, connection: ConnectionId) -> Result<(), Refusal> {
        spec.refuse_default()?;
        self.exchange(spec.source)?;
        let destination = self.destination(spec, connection)?;
        self.charge_metadata(spec.key.len() + BINDING_BYTES)?;
        let binding = Binding::new(destination, spec.key, spec.arguments);
        let Some(exchange) = self.exchanges.get_mut(spec.source) else {
            return Err(Refusal::no_exchange(spec.source, &self.vhost));
        };
        let added = if exchange.bindings.contains(&binding) {
            Ok(false)
        } else {
            exchange.matcher.add(&binding, spec.arguments).map(|()| true)
        };
        if !matches!(added, Ok(true)) {
            self.release_metadata(spec.key.len() + BINDING_BYTES);
            return added.map(|_| ());
        }
        let name = exchange.name.clone();
        if let Destination::Queue(queue) = binding.destination
            && let Some(queue) = self.queues.get_mut(queue)
        {
            *queue.sources.entry(name).or_insert(0) += 1;
        }
        exchange.bindings.insert(binding);
        Ok(())
    }

    /// queue.unbind and exchange.unbind; what does not exist is no error.
    ///
    /// # Errors
    /// 403 default exchange, 405 queue of another connection.
    pub(super) fn unbind(&mut self, spec: &BindSpec<'_>, connection: ConnectionId) -> Result<(), Refusal> {
        spec.refuse_default()?;
        if !self.exchanges.contains_key(spec.source) {
            return Ok(());
        }
        let (destination, refusal) = match self.destination(spec, connection) {
            Err(refusal) if refusal.code == 404 => return Ok(()),
            Err(refusal) => (self.any_destination(spec), Some(refusal)),
            Ok(destination) => (Some(destination), None),
        };
        let Some(destination) = destination else {
            return Ok(());
        };
        let binding = Binding::new(destination, spec.key, spec.arguments);
        let Some(exchange) = self.exchanges.get_mut(spec.source) else {
            return Ok(());
        };
        if let Some(refusal) = refusal
            && exchange.bindings.contains(&binding)
        {
            return Err(refusal);
        }
        if exchange.bindings.remove(&binding) {
            exchange.matcher.remove(&binding);
            self.release_metadata(spec.key.len() + BINDING_BYTES);
            self.forget_source(&binding.destination, spec.source);
            self.delete_exchange_if_unbound(spec.source);
        }
        Ok(())
    }

    /// The destination, also where it is a queue of another connection.
    fn any_destination(&self, spec: &BindSpec<'_>) -> Option<Destination> {
        match spec.destination {
            BindTo::Queue(name) => self.queue_names.get(name).copied().map(Destination::Queue),
            BindTo::Exchange(name) => self
                .exchanges
                .get(name)
                .map(|exchange| Destination::Exchange(exchange.name.clone())),
        }
    }

    fn destination(&self, spec: &BindSpec<'_>, connection: ConnectionId) -> Result<Destination, Refusal> {
        Ok(match spec.destination {
            BindTo::Queue(name) => Destination::Queue(self.queue_key(name, connection)?),
            BindTo::Exchange(name) => Destination::Exchange(self.exchange(name)?.name.clone()),
        })
    }

    /// Removes all bindings of the named exchanges that lead to `destination`.
    pub(super) fn unbind_destination(&mut self, destination: &Destination, sources: Vec<Arc<str>>) {
        for source in sources {
            let Some(exchange) = self.exchanges.get_mut(&source) else {
                continue;
            };
            let Exchange { bindings, matcher, .. } = exchange;
            let mut freed = 0;
            bindings.retain(|binding| {
                let keep = binding.destination != *destination;
                if !keep {
                    freed += binding.key.len() + BINDING_BYTES;
                    matcher.remove(binding);
                }
                keep
            });
            if freed > 0 {
                self.release_metadata(freed);
                self.delete_exchange_if_unbound(&source);
            }
        }
    }

    fn delete_exchange_if_unbound(&mut self, name: &str) {
        if self
            .exchanges
            .get(name)
            .is_some_and(|exchange| exchange.auto_delete && exchange.bindings.is_empty())
        {
            self.remove_exchange(name);
        }
    }

    fn forget_source(&mut self, destination: &Destination, source: &str) {
        let Destination::Queue(queue) = destination else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(*queue)
            && let Some(count) = queue.sources.get_mut(source)
        {
            *count -= 1;
            if *count == 0 {
                queue.sources.remove(source);
            }
        }
    }
}
