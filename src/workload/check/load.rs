//! The load: arrivals, their shapes, and when it ends.

use super::Builder;
use super::DURATION_DEFAULT;
use crate::units::Span;
use crate::workload::model::{Arrival, Load, Until};

impl Builder<'_> {
    pub(super) fn load(&mut self) -> Load {
        let arrival = self.arrival();
        let until = match (
            self.settings.written("load.duration"),
            self.settings.written("load.orders"),
        ) {
            (Some(_), Some(_)) => {
                self.refuse(
                    &["load.orders"],
                    "both load.duration and load.orders are given",
                    "keep the one that shall end the load",
                );
                Until::Duration(Span::ZERO)
            }
            (_, None) => Until::Duration(self.duration("load.duration").unwrap_or(DURATION_DEFAULT)),
            (None, Some(_)) => Until::Orders(self.count("load.orders").unwrap_or(1)),
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
            warm_up: self.duration("load.warm_up").unwrap_or_default(),
            connections: self.count_u32("load.connections"),
            confirm_window: confirm_window.and_then(|window| u32::try_from(window).ok()),
        }
    }

    fn arrival(&mut self) -> Arrival {
        const SHAPED: [(&str, &[&str]); 6] = [
            ("load.rate", &["constant", "poisson", "burst"]),
            ("load.burst_rate", &["burst"]),
            ("load.burst_width", &["burst"]),
            ("load.burst_every", &["burst"]),
            ("load.users", &["closed"]),
            ("load.think_time", &["closed"]),
        ];
        let shape = self.choice("load.arrival").unwrap_or("constant");
        for (path, shapes) in SHAPED {
            if !shapes.contains(&shape) {
                self.refuse_written(
                    path,
                    format!("`{path}` has no effect with load.arrival = \"{shape}\""),
                    format!("leave it out, or choose load.arrival = \"{}\"", shapes[0]),
                );
            }
        }
        let rate = self.rate("load.rate").unwrap_or_default();
        if matches!(shape, "constant" | "poisson") && rate.per_second() <= 0.0 {
            self.refuse(
                &["load.rate"],
                "a rate of 0/s never sends an order",
                "write a rate above zero, such as \"100/s\"",
            );
        }
        match shape {
            "poisson" => Arrival::Poisson { rate },
            "burst" => self.burst(rate),
            "closed" => {
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
            _ => Arrival::Constant { rate },
        }
    }

    fn burst(&mut self, rate: crate::units::Rate) -> Arrival {
        for path in ["load.burst_rate", "load.burst_width", "load.burst_every"] {
            if self.settings.value(path).is_none() && self.settings.written(path).is_none() {
                self.refuse(
                    &["load.arrival"],
                    format!("a burst train needs {path}"),
                    "for example burst_rate = \"2000/s\", burst_width = \"500ms\", burst_every = \"10s\"",
                );
            }
        }
        let burst_rate = self.rate("load.burst_rate").unwrap_or_default();
        let width = self.duration("load.burst_width").unwrap_or(Span::from_millis(1));
        let every = self.duration("load.burst_every").unwrap_or(Span::from_millis(2));
        if width >= every {
            self.refuse(
                &["load.burst_width", "load.burst_every"],
                format!("a burst of {width} does not fit into its period of {every}"),
                "make load.burst_every longer than load.burst_width",
            );
        }
        if burst_rate.per_second() <= 0.0 && self.settings.written("load.burst_rate").is_some() {
            self.refuse(
                &["load.burst_rate"],
                "a burst of 0/s is no burst",
                "write a rate above zero, such as \"2000/s\"",
            );
        }
        Arrival::Burst {
            rate,
            burst_rate,
            width,
            every,
        }
    }
}
