//! One shape of the load, of the whole or of a phase: its keys are there, have an effect, and agree.

use super::super::Builder;
use crate::units::{Rate, Span};
use crate::workload::keys::RATE_MAX;
use crate::workload::model::{Jitter, Pattern, Replay, Shape};
use crate::workload::replay::{self, Trace};

/// Most steps of stairs.
const STEPS_MAX: f64 = 10_000.0;

/// Which shapes a key is for.
const SHAPED: [(&str, &[&str]); 14] = [
    (
        "rate",
        &["constant", "poisson", "ramp", "steps", "burst", "sine", "spike"],
    ),
    ("ramp_to", &["ramp"]),
    ("ramp_over", &["ramp"]),
    ("step_by", &["steps"]),
    ("step_every", &["steps"]),
    ("burst_rate", &["burst"]),
    ("burst_width", &["burst"]),
    ("burst_every", &["burst"]),
    ("sine_amplitude", &["sine"]),
    ("sine_period", &["sine"]),
    ("spike_rate", &["spike"]),
    ("spike_at", &["spike"]),
    ("spike_rise", &["spike"]),
    ("spike_hold", &["spike"]),
];

/// What a shape cannot do without, and an example of it.
const NEEDED: [(&str, &[&str], &str); 6] = [
    ("ramp", &["ramp_to"], "ramp_to = \"500/s\""),
    (
        "steps",
        &["step_by", "step_every"],
        "step_by = \"50/s\", step_every = \"10s\"",
    ),
    (
        "burst",
        &["burst_rate", "burst_width", "burst_every"],
        "burst_rate = \"2000/s\", burst_width = \"500ms\", burst_every = \"10s\"",
    ),
    ("sine", &["sine_amplitude"], "sine_amplitude = \"80/s\""),
    (
        "spike",
        &["spike_rate", "spike_at", "spike_hold"],
        "spike_rate = \"1000/s\", spike_at = \"10s\", spike_hold = \"5s\"",
    ),
    ("replay", &["replay"], "replay = \"arrivals.csv\""),
];

/// A shape under its section: `load` or `load.phases.1`.
struct Section<'b, 'a> {
    builder: &'b mut Builder<'a>,
    path: &'b str,
    /// Of the load or the phase, where that is known.
    length: Option<Span>,
}

impl<'a> Builder<'a> {
    /// The pattern whose keys stand in `section`.
    pub(super) fn pattern(&mut self, section: &str, length: Option<Span>) -> Pattern {
        Section {
            builder: self,
            path: section,
            length,
        }
        .pattern()
    }
}

impl Section<'_, '_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn rate(&self, name: &str) -> Rate {
        self.builder.rate(&self.key(name)).unwrap_or_default()
    }

    fn duration(&self, name: &str) -> Option<Span> {
        self.builder.duration(&self.key(name))
    }

    /// A length that was needed; where it is missing that has been said.
    fn span(&self, name: &str) -> Span {
        self.duration(name).unwrap_or(Span::from_millis(1))
    }

    fn refuse(&mut self, names: &[&str], message: impl Into<String>, help: impl Into<String>) {
        let paths: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.builder.refuse(&paths, message, help);
    }

    fn pattern(mut self) -> Pattern {
        let word = self.builder.choice(&self.key("arrival")).unwrap_or("constant");
        self.refuse_idle_keys(word);
        let complete = self.refuse_missing_keys(word);
        let shape = match word {
            _ if !complete => None,
            "ramp" => self.ramp(),
            "steps" => self.steps(),
            "burst" => self.burst(),
            "sine" => self.sine(),
            "spike" => self.spike(),
            "replay" => self.replay().map(Shape::Replay),
            "closed" => {
                let help = "users who wait make a load of their own: load.arrival = \"closed\" without phases";
                self.refuse(&["arrival"], "a closed loop cannot be a phase", help);
                None
            }
            _ => Some(Shape::Constant {
                rate: self.rate("rate"),
            }),
        };
        let jitter = self.jitter(word, shape.as_ref());
        // A shape that was refused goes nowhere; this one contradicts nothing that is checked later.
        let shape = shape.unwrap_or(Shape::Constant { rate: Rate(1.0) });
        Pattern { shape, jitter }
    }

    fn refuse_idle_keys(&mut self, word: &str) {
        let file: (&str, &[&str]) = ("replay", &["replay"]);
        for (name, shapes) in SHAPED.into_iter().chain([file]) {
            if !shapes.contains(&word) {
                let (path, arrival) = (self.key(name), self.key("arrival"));
                self.builder.refuse_written(
                    &path,
                    format!("`{path}` has no effect with {arrival} = \"{word}\""),
                    format!("leave it out, or choose {arrival} = \"{}\"", shapes[0]),
                );
            }
        }
    }

    /// Whether everything is there.
    fn refuse_missing_keys(&mut self, word: &str) -> bool {
        let Some((_, names, example)) = NEEDED.into_iter().find(|(shape, ..)| *shape == word) else {
            return true;
        };
        let mut complete = true;
        for name in names {
            let path = self.key(name);
            let settings = self.builder.settings;
            if settings.value(&path).is_none() {
                complete = false;
                // A value that could not be read has been refused at its own place.
                if settings.written(&path).is_none() {
                    let message = format!("load.arrival = \"{word}\" needs {path}");
                    self.refuse(&["arrival"], message, format!("for example {example}"));
                }
            }
        }
        complete
    }

    fn jitter(&mut self, word: &str, shape: Option<&Shape>) -> Jitter {
        let written = self.builder.choice(&self.key("jitter"));
        let instants = matches!(shape, Some(Shape::Replay(replay)) if matches!(*replay.trace, Trace::Instants(_)));
        if written.is_some() && (word == "poisson" || instants) {
            let (message, help) = if instants {
                let message = "each instant stands in the file: there is nothing to scatter";
                (message, "leave jitter out, or replay counts per interval")
            } else {
                let message = "arrival = \"poisson\" scatters already";
                (message, "leave jitter out, or choose arrival = \"constant\"")
            };
            self.refuse(&["jitter"], message, help);
        }
        if word == "poisson" || written == Some("poisson") {
            Jitter::Poisson
        } else {
            Jitter::None
        }
    }

    fn ramp(&mut self) -> Option<Shape> {
        let (from, to) = (self.rate("rate"), self.rate("ramp_to"));
        let Some(over) = self.duration("ramp_over").or(self.length) else {
            let message = "how long does the ramp take? A load by count has no length";
            self.refuse(&["arrival"], message, "add ramp_over = \"30s\"");
            return None;
        };
        if from == to {
            let message = format!("a ramp from {from} to {to} leads nowhere");
            self.refuse(
                &["ramp_to"],
                message,
                "make rate and ramp_to different, or choose arrival = \"constant\"",
            );
            return None;
        }
        if let Some(length) = self.length.filter(|length| over > *length) {
            let message = format!("a ramp of {over} does not come to its end within {length}");
            self.refuse(
                &["ramp_over"],
                message,
                "make it shorter, or leave it out for one that just fits",
            );
        }
        Some(Shape::Ramp { from, to, over })
    }

    fn steps(&mut self) -> Option<Shape> {
        let (from, by, every) = (self.rate("rate"), self.rate("step_by"), self.span("step_every"));
        if by.per_second() <= 0.0 {
            self.refuse(
                &["step_by"],
                "steps of 0/s lead nowhere",
                "write a rate above zero, such as \"50/s\"",
            );
            return None;
        }
        let steps = match self.length {
            Some(length) => (length.as_secs_f64() / every.as_secs_f64()).ceil(),
            // Of n steps the orders sum up to more than by·every·n·(n − 1)/2.
            None => {
                let orders = self.builder.count("load.orders").unwrap_or(1) as f64;
                ((2.0 * orders / (by.per_second() * every.as_secs_f64())).sqrt() + 1.0).ceil()
            }
        };
        if steps < 2.0 {
            let message = format!("a step of {every} is as long as the whole: there is no second");
            self.refuse(&["step_every"], message, "make step_every shorter");
        }
        let top = from.per_second() + by.per_second() * (steps - 1.0);
        if steps > STEPS_MAX || top > RATE_MAX {
            let message =
                format!("{steps} steps up to {top:.0}/s are too many: at most {STEPS_MAX} steps and {RATE_MAX}/s");
            self.refuse(&["step_by", "step_every"], message, "make the steps longer or lower");
            return None;
        }
        Some(Shape::Steps { from, by, every })
    }

    fn burst(&mut self) -> Option<Shape> {
        let (rate, burst_rate) = (self.rate("rate"), self.rate("burst_rate"));
        let (width, every) = (self.span("burst_width"), self.span("burst_every"));
        if width >= every {
            let message = format!("a burst of {width} does not fit into its period of {every}");
            self.refuse(
                &["burst_width", "burst_every"],
                message,
                "make burst_every longer than burst_width",
            );
            return None;
        }
        if burst_rate.per_second() <= 0.0 {
            let help = "write a rate above zero, such as \"2000/s\"";
            self.refuse(&["burst_rate"], "a burst of 0/s is no burst", help);
            return None;
        }
        Some(Shape::Burst {
            rate,
            burst_rate,
            width,
            every,
        })
    }

    fn sine(&mut self) -> Option<Shape> {
        let (mean, amplitude) = (self.rate("rate"), self.rate("sine_amplitude"));
        let Some(period) = self.duration("sine_period").or(self.length) else {
            let message = "how long is the wave? A load by count has no length";
            self.refuse(&["arrival"], message, "add sine_period = \"60s\"");
            return None;
        };
        let top = mean.per_second() + amplitude.per_second();
        let trouble = if amplitude.per_second() <= 0.0 {
            "an amplitude of 0/s is no wave".to_owned()
        } else if amplitude > mean {
            format!("an amplitude of {amplitude} around {mean} would fall below zero")
        } else if top > RATE_MAX {
            format!("the wave rises to {top}/s, above {RATE_MAX}/s")
        } else {
            return Some(Shape::Sine {
                mean,
                amplitude,
                period,
            });
        };
        self.refuse(
            &["sine_amplitude"],
            trouble,
            "choose an amplitude above zero and up to the mean",
        );
        None
    }

    fn spike(&mut self) -> Option<Shape> {
        let (base, peak) = (self.rate("rate"), self.rate("spike_rate"));
        let (at, hold) = (self.span("spike_at"), self.span("spike_hold"));
        let rise = self.duration("spike_rise").unwrap_or_default();
        if base == peak {
            let message = format!("a spike of {peak} on a base of {base} is none");
            self.refuse(&["spike_rate"], message, "make spike_rate higher than rate");
            return None;
        }
        let end = Span(at.0 + rise.0 + hold.0);
        if let Some(length) = self.length.filter(|length| end > *length) {
            let message = format!("the spike ends {end} after the start, which lasts {length}");
            let help = "start it earlier, make it shorter, or make the load longer";
            self.refuse(&["spike_hold", "spike_at"], message, help);
        }
        Some(Shape::Spike {
            base,
            peak,
            at,
            rise,
            hold,
        })
    }

    fn replay(&mut self) -> Option<Replay> {
        let file = self.builder.file(&self.key("replay"))?;
        match replay::read(self.builder.folder, &file) {
            Ok(replay) => Some(replay),
            Err((message, help)) => {
                self.refuse(&["replay"], message, help);
                None
            }
        }
    }
}
