//! Passwords that no `{}`, `{:?}` or serializer can print, and their removal from texts that other programs wrote.

use std::fmt;

use serde::{Serialize, Serializer};

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// A password. `Debug`, `Display` and `Serialize` print [`MASK`]; the text is reached by [`Secret::expose`] alone, so
/// that a search for `expose` finds every place where a password leaves the program.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password given in plain text (not percent-encoded).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself. Only for the wire, for files with mode 0600, never for an output.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Value of an HTTP `Authorization` header (RFC 7617) for this password and `user`; as secret as itself.
    pub(crate) fn basic_authorization(&self, user: &str) -> String {
        format!("Basic {}", base64(format!("{user}:{}", self.0).as_bytes()))
    }

    /// `text` without this password in any of the shapes in which foreign programs echo it: raw, percent-encoded
    /// (either letter case, `+` for a space), percent-decoded once more, and escaped as in JSON or a Rust string.
    pub fn mask_in(&self, text: &str) -> String {
        mask_all(text, &self.shapes())
    }

    /// Every spelling under which the password may turn up; unsorted, may hold repeats.
    pub(super) fn shapes(&self) -> Vec<String> {
        let strict = percent_encode(&self.0);
        let lenient = percent_encode_where(&self.0, |byte| !b"!$&'()*+,;=:".contains(&byte) && !is_unreserved(byte));
        let mut shapes = vec![
            self.0.clone(),
            strict.replace("%20", "+"),
            self.0.escape_debug().to_string(),
        ];
        shapes.extend(serde_json::to_string(&self.0).map(|quoted| quoted.trim_matches('"').to_owned()));
        shapes.extend(percent_decode(&self.0));
        for encoded in [strict, lenient] {
            shapes.push(lowercase_escapes(&encoded));
            shapes.push(encoded);
        }
        shapes
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Replaces each of `shapes` by [`MASK`], the longest first: a short shape may be a part of a longer one, and would
/// leave the rest of it readable.
pub(super) fn mask_all(text: &str, shapes: &[String]) -> String {
    let mut shapes: Vec<&str> = shapes
        .iter()
        .map(String::as_str)
        .filter(|shape| !shape.is_empty())
        .collect();
    shapes.sort_by_key(|shape| std::cmp::Reverse(shape.len()));
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(shape) = shapes.iter().find(|shape| rest.starts_with(**shape)) {
            masked.push_str(MASK);
            rest = &rest[shape.len()..];
        } else {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    masked
}

/// `text` with everything but RFC 3986 "unreserved" characters as `%XX` of its UTF-8 bytes: fit for any part of a URI.
pub fn percent_encode(text: &str) -> String {
    percent_encode_where(text, |byte| !is_unreserved(byte))
}

/// The text behind `%XX` escapes, or `None` where an escape is broken or the bytes are not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn percent_encode_where(text: &str, needs_escape: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if needs_escape(byte) || !byte.is_ascii() {
            encoded.push_str(&format!("%{byte:02X}"));
        } else {
            encoded.push(char::from(byte));
        }
    }
    encoded
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            encoded.push(if place > group.len() {
                '='
            } else {
                char::from(ALPHABET[index])
            });
        }
    }
    encoded
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn lowercase_escapes(encoded: &str) -> String {
    let mut since_percent = usize::MAX;
    let lower = |c: char| {
        since_percent = if c == '%' { 0 } else { since_percent.saturating_add(1) };
        if (1..=2).contains(&since_percent) {
            c.to_ascii_lowercase()
        } else {
            c
        }
    };
    encoded.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTINEL: &str = "s%40e@n/t:i n\"el%";

    #[test]
    fn no_formatter_prints_a_secret() {
        let secret = Secret::new(SENTINEL);
        let json = serde_json::to_string(&secret).expect("a string serializes");
        assert_eq!(format!("{secret} {secret:?} {json}"), "*** *** \"***\"");
    }

    #[test]
    fn every_spelling_of_the_secret_is_masked() {
        let secret = Secret::new(SENTINEL);
        for shape in secret.shapes() {
            assert_eq!(
                secret.mask_in(&format!("login {shape}, refused")),
                "login ***, refused",
                "{shape}"
            );
        }
        let debugged = format!("{:?}", format!("a {SENTINEL} b"));
        assert_eq!(secret.mask_in(&debugged), "\"a *** b\"");
    }

    #[test]
    fn a_short_shape_does_not_uncover_the_rest_of_a_longer_one() {
        let shapes = ["abc".to_owned(), "abcdef".to_owned()];
        assert_eq!(mask_all("x abcdef abc y", &shapes), "x *** *** y");
    }

    #[test]
    fn an_empty_password_masks_nothing() {
        assert_eq!(Secret::new("").mask_in("text"), "text");
    }

    #[test]
    fn base64_agrees_with_the_examples_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        let login = Secret::new("secret").basic_authorization("martin");
        assert_eq!(login, "Basic bWFydGluOnNlY3JldA==");
    }

    #[test]
    fn percent_codec_round_trips_and_refuses_broken_escapes() {
        for text in ["", "plain", SENTINEL, "ünïcode/%"] {
            assert_eq!(percent_decode(&percent_encode(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(broken), None, "{broken}");
        }
    }
}
