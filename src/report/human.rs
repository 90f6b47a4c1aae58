//! Numbers as people read them, and foreign text that can harm no terminal and no chart.

/// What stands where a value is absent.
pub const ABSENT: &str = "n/a";

/// Three significant digits, without an exponent and without trailing zeros of a whole number.
fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Nanoseconds in the unit that suits them: `850 ns`, `12.3 µs`, `4.56 ms`, `1.25 s`, `3 min 20 s`.
pub fn nanos(ns: f64) -> String {
    match ns {
        ns if ns < 999.5 => format!("{ns:.0} ns"),
        ns if ns < 999.5e3 => format!("{} µs", three_digits(ns / 1e3)),
        ns if ns < 999.5e6 => format!("{} ms", three_digits(ns / 1e6)),
        ns => seconds(ns / 1e9),
    }
}

/// Seconds: `0.25 s`, `12.3 s`, `3 min 20 s`, `2 h 5 min`.
pub fn seconds(s: f64) -> String {
    if s.abs() < 119.5 {
        return format!("{} s", three_digits(s));
    }
    let whole = s.abs().round() as u64;
    let sign = if s < 0.0 { "−" } else { "" };
    if whole < 7_200 {
        format!("{sign}{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{sign}{} h {} min", whole / 3_600, whole % 3_600 / 60)
    }
}

/// A count with its thousands apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate per second: `498.2/s`, `12,345/s`.
pub fn rate(per_s: f64) -> String {
    if per_s.abs() >= 1_000.0 {
        format!("{}/s", count(per_s.round().abs() as u64))
    } else {
        format!("{}/s", (per_s * 10.0).round() / 10.0)
    }
}

/// Bytes: `512 B`, `62.3 MiB`.
pub fn bytes(n: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n;
    let mut unit = 0;
    while value.abs() >= 1_023.5 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let digits = if unit == 0 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    };
    format!("{digits} {}", UNITS[unit])
}

/// A share as a percentage: `12.3 %`.
pub fn share(part: f64) -> String {
    let percent = part * 100.0;
    if percent.abs() >= 99.95 || percent == 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// `"1 order"`, `"2 orders"`.
pub fn plural(n: u64, one: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(n))
}

/// Text of others without what steers a terminal or turns the direction of reading; line breaks become spaces.
pub fn plain(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if c.is_control() => None,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => None,
            '\u{fffe}' | '\u{ffff}' => None,
            c => Some(c),
        })
        .collect()
}

/// At most `most` characters of `text`, the last of them an ellipsis if something was cut off.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_come_in_the_unit_that_suits_them() {
        for (ns, text) in [
            (850.0, "850 ns"),
            (1_000.0, "1.00 µs"),
            (12_345.0, "12.3 µs"),
            (999_600.0, "1.00 ms"),
            (45_600_000.0, "45.6 ms"),
            (999_800_000.0, "1.00 s"),
            (200e9, "3 min 20 s"),
            (7_500e9, "2 h 5 min"),
        ] {
            assert_eq!(nanos(ns), text);
        }
    }

    #[test]
    fn counts_rates_bytes_and_shares_are_legible() {
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!(
            [rate(498.24), rate(500.0), rate(12_345.4)],
            ["498.2/s", "500/s", "12,345/s"]
        );
        assert_eq!([bytes(512.0), bytes(65_327_334.0)], ["512 B", "62.3 MiB"]);
        assert_eq!([share(0.1234), share(0.0), share(1.0)], ["12.3 %", "0 %", "100 %"]);
        assert_eq!(
            [plural(1, "order"), plural(2_000, "order")],
            ["1 order", "2,000 orders"]
        );
    }

    #[test]
    fn plain_text_steers_no_terminal_and_no_direction() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\r\nc\u{202e}d\u{9b}"), "a[31mb cd");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }
}
