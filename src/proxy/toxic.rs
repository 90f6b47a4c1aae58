//! What can be inflicted on the connections of a proxy, and what several of them come to together.

use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connects to the target.
    ToTarget,
    /// From the target to who connects.
    FromTarget,
    /// Either way.
    Both,
}

impl Direction {
    /// Whether what goes this way is meant too.
    pub(super) fn covers(self, way: Direction) -> bool {
        self == Direction::Both || self == way
    }
}

/// One thing that is wrong with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// Every byte comes later by `delay`, give or take up to `jitter`, each way; none overtakes another.
    Delay {
        /// The middle.
        delay: Duration,
        /// The greatest difference from it; what would come before it was sent comes at once.
        jitter: Duration,
    },
    /// All connections together pass at most so many bytes per second, each way; at least 1.
    Bandwidth(u64),
    /// Nothing passes and nothing closes; afterwards everything goes on where it stood.
    Stall,
    /// What is connected is closed, and who connects is refused.
    Cut,
    /// What is connected is reset (RST), and who connects is reset at once.
    Reset,
    /// What goes this way on what is connected vanishes, its end among it; new connections are whole. When it is healed, those
    /// that lost bytes are reset.
    HalfOpen(Direction),
}

/// What all that is inflicted comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weather {
    pub delay: Duration,
    pub jitter: Duration,
    /// Bytes per second.
    pub bandwidth: Option<u64>,
    pub stalled: bool,
    pub refuses: bool,
    pub resets: bool,
}

impl Weather {
    pub fn of<'a>(toxics: impl Iterator<Item = &'a Toxic>) -> Self {
        let mut weather = Weather::default();
        for toxic in toxics {
            match *toxic {
                Toxic::Delay { delay, jitter } => {
                    weather.delay = weather.delay.saturating_add(delay);
                    weather.jitter = weather.jitter.saturating_add(jitter);
                }
                Toxic::Bandwidth(rate) => {
                    weather.bandwidth = Some(weather.bandwidth.unwrap_or(u64::MAX).min(rate.max(1)));
                }
                Toxic::Stall => weather.stalled = true,
                Toxic::Cut => weather.refuses = true,
                Toxic::Reset => weather.resets = true,
                Toxic::HalfOpen(_) => {}
            }
        }
        weather
    }

    /// Whether bytes pass as they come.
    pub fn is_fair(&self) -> bool {
        self.delay.is_zero() && self.jitter.is_zero() && self.bandwidth.is_none() && !self.stalled
    }

    /// How much later a piece comes; `draw` is in [0, 1).
    pub fn lateness_ns(&self, draw: f64) -> u64 {
        let (delay, jitter) = (self.delay.as_nanos() as f64, self.jitter.as_nanos() as f64);
        (delay + jitter * (2.0 * draw - 1.0)).max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_toxic() -> impl Strategy<Value = Toxic> {
        let millis = |to: u64| (0..to).prop_map(Duration::from_millis);
        prop_oneof![
            (millis(5_000), millis(500)).prop_map(|(delay, jitter)| Toxic::Delay { delay, jitter }),
            (1u64..1_000_000).prop_map(Toxic::Bandwidth),
            Just(Toxic::Stall),
            Just(Toxic::Cut),
            Just(Toxic::Reset),
            Just(Toxic::HalfOpen(Direction::Both)),
        ]
    }

    proptest! {
        #[test]
        fn the_order_in_which_things_go_wrong_does_not_matter(toxics in prop::collection::vec(any_toxic(), 0..6)) {
            let forward = Weather::of(toxics.iter());
            prop_assert_eq!(forward, Weather::of(toxics.iter().rev()));
            let slows = |toxic: &&Toxic| matches!(toxic, Toxic::Bandwidth(_) | Toxic::Stall)
                || matches!(toxic, Toxic::Delay { delay, jitter } if !delay.is_zero() || !jitter.is_zero());
            prop_assert_eq!(forward.is_fair(), toxics.iter().filter(slows).count() == 0);
        }

        #[test]
        fn a_delay_stays_within_its_jitter(delay in 0u64..1_000, jitter in 0u64..1_000, draw in 0.0..1.0f64) {
            let weather = Weather {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                ..Weather::default()
            };
            let late = weather.lateness_ns(draw) / 1_000_000;
            prop_assert!(late >= delay.saturating_sub(jitter) && late <= delay + jitter);
        }
    }
}
