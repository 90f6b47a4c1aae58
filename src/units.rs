//! Durations, rates, sizes and shares as people write them, with checked arithmetic.
//!
//! Each type parses what it prints. Parsing accepts no bare numbers where a unit decides the meaning.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the quantity that was asked for; the message ends in a form that works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("`{0}` is not a duration: write a number and a unit, such as 250ms, 5s, 2m or 1h")]
    Duration(String),
    /// Not a rate.
    #[error("`{0}` is not a rate: write a number and a unit, such as 200/s, 30/min or 3600/h")]
    Rate(String),
    /// Not a size.
    #[error("`{0}` is not a size: write a number and a unit, such as 256B, 4KiB or 1MiB")]
    Size(String),
    /// Not a share.
    #[error("`{0}` is not a share: write a percentage from 0% to 100%, such as 2.5%")]
    Share(String),
}

/// A span of time that prints as it is written (`250ms`, `1m 30s`); nanosecond resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(Duration::ZERO);

    /// Whole nanoseconds, saturating at `u64::MAX` (584 years).
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// From whole nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Span(Duration::from_nanos(nanos))
    }

    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(Duration::from_millis(millis))
    }

    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    /// Seconds, with a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Duration(text.to_owned());
        let trimmed = text.trim();
        if let Ok(duration) = humantime::parse_duration(trimmed) {
            return Ok(Span(duration));
        }
        // Decimals ("1.5s"), which the library leaves out.
        let (number, unit) = split_number(trimmed).ok_or_else(wrong)?;
        let seconds_each = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(number * seconds_each)
            .map(Span)
            .map_err(|_| wrong())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Events per second; finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Rate(pub f64);

impl Rate {
    /// Events per second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Rate(text.to_owned());
        let (number, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let number: f64 = number.trim().replace('_', "").parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3600.0,
            _ => return Err(wrong()),
        };
        if number.is_finite() && number >= 0.0 {
            Ok(Rate(number / seconds))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

/// The units of [`Size`], largest first, so that printing finds the largest that divides it.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.to_owned());
        let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
        let each = match unit {
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            binary => SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == binary)
                .map(|(_, each)| *each)
                .ok_or_else(wrong)?,
        };
        let bytes = number * each as f64;
        if bytes >= 0.0 && bytes <= (1u64 << 53) as f64 && bytes.fract() == 0.0 {
            Ok(Size(bytes as u64))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, each) = SIZE_UNITS
            .iter()
            .find(|(_, each)| self.0 >= *each && self.0.is_multiple_of(*each))
            .unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / each)
    }
}

/// A share of a whole, 0 to 1, written as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Share(text.to_owned());
        let percent: f64 = text
            .trim()
            .strip_suffix('%')
            .ok_or_else(wrong)?
            .trim()
            .parse()
            .map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) {
            Ok(Share(percent / 100.0))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two roundings hide the binary fraction: 0.07 prints as 7%, not 7.000000000000001%.
        write!(f, "{}%", (self.0 * 1e10).round() / 1e8)
    }
}

/// Splits `12.5ms` into its number and its unit; `_` may group digits.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))?;
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim()))
}

/// Serde as the printed text, for each type here.
macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Span, Rate, Size, Share);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_accept_what_people_write() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1m 30s", 90_000_000_000),
            ("5us", 5_000),
        ] {
            assert_eq!(text.parse::<Span>().map(Span::as_nanos), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        assert!("250".parse::<Span>().is_err());
        assert!("200".parse::<Rate>().is_err());
        assert!("256".parse::<Size>().is_err());
        assert!("0.5".parse::<Share>().is_err());
    }

    #[test]
    fn out_of_range_quantities_are_refused() {
        for text in ["-1/s", "nan/s", "inf/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert!("101%".parse::<Share>().is_err());
        assert!("99999999999GiB".parse::<Size>().is_err());
        assert!("0.3B".parse::<Size>().is_err());
    }

    #[test]
    fn rates_by_the_minute_are_rates_by_the_second() {
        assert_eq!("30/min".parse(), Ok(Rate(0.5)));
        assert_eq!("10_000/s".parse(), Ok(Rate(10_000.0)));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(nanos in 0u64..u64::MAX / 4, rate in 0.0f64..1e6, bytes in 0u64..1 << 50, permille in 0u32..=1000) {
            prop_assert_eq!(Span::from_nanos(nanos).to_string().parse(), Ok(Span::from_nanos(nanos)));
            prop_assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let share = Share(f64::from(permille) / 1000.0);
            let back: Share = share.to_string().parse().expect("a printed share parses");
            prop_assert!((back.0 - share.0).abs() < 1e-12);
        }
    }
}
