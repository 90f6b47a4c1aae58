//! The load: what arrives, in phases or as one, and when it ends.

mod shape;

use super::{Builder, DURATION_DEFAULT};
use crate::units::Span;
use crate::workload::keys::{self, PHASES, SHAPE_KEYS};
use crate::workload::model::{Arrival, Jitter, Load, LoadPhase, Pattern, Replay, Shape, Until};
use crate::workload::replay::Trace;

/// Longest load, all phases together.
const LENGTH_MAX: Span = Span::from_secs(24 * 3600);

impl Builder<'_> {
    pub(super) fn load(&mut self) -> Load {
        let warm_up = self.duration("load.warm_up").unwrap_or_default();
        let (arrival, until) = if self.settings.tables.phases > 0 {
            self.load_in_phases(warm_up)
        } else {
            self.load_as_one(warm_up)
        };
        let confirm_window = self.limit("load.confirm_window").flatten();
        if confirm_window.is_some() && self.flag("publish.confirms") == Some(false) {
            self.refuse(
                &["load.confirm_window", "publish.confirms"],
                "a confirm window without publisher confirms never fills nor empties",
                "set publish.confirms = true, or leave load.confirm_window out",
            );
        }
        Load {
            arrival,
            until,
            warm_up,
            connections: self.count_u32("load.connections"),
            confirm_window: confirm_window.and_then(|window| u32::try_from(window).ok()),
        }
    }

    fn load_as_one(&mut self, warm_up: Span) -> (Arrival, Until) {
        let until = self.until();
        let length = match until {
            Some(Until::Duration(duration)) => Some(Span(warm_up.0 + duration.0)),
            _ => None,
        };
        let paced_by_answers = match self.choice("load.arrival") {
            Some("closed") => Some(self.closed()),
            Some("saturate") => Some(self.saturate()),
            _ => None,
        };
        if let Some(arrival) = paced_by_answers {
            return (arrival, until.unwrap_or(Until::Duration(DURATION_DEFAULT)));
        }
        for path in ["load.users", "load.think_time"] {
            self.refuse_written(
                path,
                format!("`{path}` has no effect in an open loop"),
                "leave it out, or choose load.arrival = \"closed\"",
            );
        }
        let pattern = self.pattern("load", length);
        if let Some(Until::Orders(orders)) = until {
            self.check_reach(&pattern, orders);
        }
        if pattern.shape
            == (Shape::Constant {
                rate: Default::default(),
            })
        {
            self.refuse(
                &["load.rate"],
                "a rate of 0/s never sends an order",
                "write a rate above zero, such as \"100/s\"",
            );
        }
        let until = match (until, &pattern.shape) {
            (Some(until), _) => until,
            (None, Shape::Replay(replay)) => self.end_of_replay(replay, warm_up),
            (None, _) => Until::Duration(DURATION_DEFAULT),
        };
        (Arrival::Open(pattern), until)
    }

    /// The end that is written, or the default; absent where the file that is replayed has one of its own.
    fn until(&mut self) -> Option<Until> {
        let orders = self.settings.written("load.orders").and(self.count("load.orders"));
        let duration = self.duration("load.duration");
        match (duration, orders) {
            (Some(_), Some(_)) => {
                self.refuse(
                    &["load.orders"],
                    "both load.duration and load.orders are given",
                    "keep the one that shall end the load",
                );
                None
            }
            (duration, orders) => orders.map(Until::Orders).or(duration.map(Until::Duration)),
        }
    }

    /// Instants are worked off to the last; counts fill their last interval.
    fn end_of_replay(&mut self, replay: &Replay, warm_up: Span) -> Until {
        if warm_up >= replay.length && warm_up > Span::ZERO {
            self.refuse(
                &["load.warm_up"],
                format!(
                    "the warm-up of {warm_up} is as long as the arrivals of `{}`",
                    replay.file
                ),
                "make it shorter: nothing is left to measure",
            );
        }
        match *replay.trace {
            Trace::Instants(_) => Until::Orders(replay.orders),
            Trace::Counts(_) => Until::Duration(Span(replay.length.0.saturating_sub(warm_up.0))),
        }
    }

    /// A load by count must come to its count.
    fn check_reach(&mut self, pattern: &Pattern, orders: u64) {
        let Some(most) = pattern.shape.orders_max() else { return };
        if orders as f64 > most + 1e-6 {
            self.refuse(
                &["load.orders"],
                format!("the shape brings {most:.0} orders and then none"),
                "ask for fewer, or give load.duration instead",
            );
        } else if pattern.jitter == Jitter::Poisson {
            self.refuse(
                &["load.orders"],
                "a scattered shape that ends does not bring an exact number of orders",
                "give load.duration instead, or leave load.jitter out",
            );
        }
    }

    /// Refuses the keys of shapes, which `arrival` has none of.
    fn shapeless(&mut self, arrival: &str, help: &str) {
        for name in SHAPE_KEYS.into_iter().filter(|name| *name != "arrival") {
            let path = format!("load.{name}");
            self.refuse_written(
                &path,
                format!("`{path}` has no effect with load.arrival = \"{arrival}\""),
                help,
            );
        }
    }

    fn saturate(&mut self) -> Arrival {
        self.shapeless("saturate", "leave it out: the broker's answers decide the rate");
        for path in ["load.users", "load.think_time"] {
            self.refuse_written(
                path,
                format!("`{path}` has no effect with load.arrival = \"saturate\", whose publishers wait for no order"),
                "leave it out; load.confirm_window says how many publishes may be on their way",
            );
        }
        Arrival::Saturate
    }

    fn closed(&mut self) -> Arrival {
        self.shapeless("closed", "leave it out: in a closed loop the pipeline decides the rate");
        if self.settings.written("load.users").is_none() {
            self.refuse(
                &["load.arrival"],
                "a closed loop needs load.users",
                "add load.users = 10",
            );
        }
        Arrival::Closed {
            users: self.count_u32("load.users"),
            think_time: self.duration("load.think_time").unwrap_or_default(),
        }
    }

    fn load_in_phases(&mut self, warm_up: Span) -> (Arrival, Until) {
        let others = ["duration", "orders", "users", "think_time"];
        for name in SHAPE_KEYS.into_iter().chain(others) {
            let path = format!("load.{name}");
            self.refuse_written(
                &path,
                format!("`{path}` has no effect beside load.phases"),
                "leave it out: each phase has its own shape, and their lengths end the load",
            );
        }
        let phases: Vec<LoadPhase> = (1..=self.settings.tables.phases)
            .map(|position| self.phase(position))
            .collect();
        let length = phases
            .iter()
            .fold(Span::ZERO, |sum, phase| Span(sum.0.saturating_add(phase.duration.0)));
        let place = keys::phase_path(1, "duration");
        if length > LENGTH_MAX {
            self.refuse(
                &[place.as_str()],
                format!("the phases take {length} together, longer than {LENGTH_MAX}"),
                "make them shorter",
            );
        }
        let pauses = |phase: &LoadPhase| {
            phase.pattern.shape
                == (Shape::Constant {
                    rate: Default::default(),
                })
        };
        if phases.iter().all(pauses) {
            self.refuse(
                &[keys::phase_path(1, "rate").as_str(), place.as_str()],
                "phases of 0/s never send an order",
                "give one of them a rate above zero",
            );
        }
        if warm_up >= length {
            self.refuse(
                &["load.warm_up"],
                format!("the warm-up of {warm_up} is as long as all phases together"),
                "make it shorter: it is the first part of the phases",
            );
        }
        let measured = Span(length.0.saturating_sub(warm_up.0));
        (Arrival::Phases(phases), Until::Duration(measured))
    }

    fn phase(&mut self, position: usize) -> LoadPhase {
        let section = format!("{PHASES}.{position}");
        let path = |key: &str| keys::phase_path(position, key);
        let written = self.duration(&path("duration"));
        let pattern = self.pattern(&section, written);
        let own = match &pattern.shape {
            Shape::Replay(replay) => Some(replay.length),
            _ => None,
        };
        let duration = written.or(own).filter(|duration| *duration > Span::ZERO);
        if duration.is_none() && self.settings.written(&path("duration")).is_none() {
            let places: Vec<String> = keys::phase_keys().map(|(key, _)| path(key)).collect();
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            self.refuse(
                &places,
                format!("phase {position} of the load has no length"),
                "add a line such as duration = \"10s\"",
            );
        }
        LoadPhase {
            name: self
                .name(&path("name"))
                .unwrap_or_else(|| self.choice(&path("arrival")).unwrap_or_default().to_owned()),
            duration: duration.unwrap_or(Span::from_millis(1)),
            pattern,
        }
    }
}
