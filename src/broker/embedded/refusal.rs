//! Protocol errors as the broker raises them: a reply code, its text in RabbitMQ's wording, and what it closes.

use amq_protocol::types::ShortString;

/// What a [`Refusal`] closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Channel,
    Connection,
}

/// A method, frame or content that the broker will not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
    /// Class and method of the frame that caused it; 0 where there is none.
    pub(super) class: u16,
    pub(super) method: u16,
}

impl Refusal {
    fn new(code: u16, name: &str, detail: impl AsRef<str>) -> Self {
        Self {
            code,
            text: format!("{name} - {}", detail.as_ref()),
            class: 0,
            method: 0,
        }
    }

    /// Soft errors (specification section 1.1) close the channel, all others the connection.
    pub(super) fn scope(&self) -> Scope {
        match self.code {
            311..=313 | 403..=406 => Scope::Channel,
            _ => Scope::Connection,
        }
    }

    /// Names the method at fault, as the close method reports it, unless something closer did already.
    pub(super) fn during(mut self, class: u16, method: u16) -> Self {
        if self.class == 0 {
            (self.class, self.method) = (class, method);
        }
        self
    }

    pub(super) fn forced(detail: impl AsRef<str>) -> Self {
        Self::new(320, "CONNECTION_FORCED", detail)
    }
    pub(super) fn access_refused(detail: impl AsRef<str>) -> Self {
        Self::new(403, "ACCESS_REFUSED", detail)
    }
    pub(super) fn not_found(detail: impl AsRef<str>) -> Self {
        Self::new(404, "NOT_FOUND", detail)
    }
    pub(super) fn resource_locked(detail: impl AsRef<str>) -> Self {
        Self::new(405, "RESOURCE_LOCKED", detail)
    }
    pub(super) fn precondition_failed(detail: impl AsRef<str>) -> Self {
        Self::new(406, "PRECONDITION_FAILED", detail)
    }
    pub(super) fn frame_error(detail: impl AsRef<str>) -> Self {
        Self::new(501, "FRAME_ERROR", detail)
    }
    pub(super) fn syntax_error(detail: impl AsRef<str>) -> Self {
        Self::new(502, "SYNTAX_ERROR", detail)
    }
    pub(super) fn command_invalid(detail: impl AsRef<str>) -> Self {
        Self::new(503, "COMMAND_INVALID", detail)
    }
    pub(super) fn channel_error(detail: impl AsRef<str>) -> Self {
        Self::new(504, "CHANNEL_ERROR", detail)
    }
    pub(super) fn unexpected_frame(detail: impl AsRef<str>) -> Self {
        Self::new(505, "UNEXPECTED_FRAME", detail)
    }
    pub(super) fn resource_error(detail: impl AsRef<str>) -> Self {
        Self::new(506, "RESOURCE_ERROR", detail)
    }
    pub(super) fn not_allowed(detail: impl AsRef<str>) -> Self {
        Self::new(530, "NOT_ALLOWED", detail)
    }
    pub(super) fn not_implemented(detail: impl AsRef<str>) -> Self {
        Self::new(540, "NOT_IMPLEMENTED", detail)
    }

    pub(super) fn no_queue(name: &str, vhost: &str) -> Self {
        Self::not_found(format!("no queue '{name}' in vhost '{vhost}'"))
    }
    pub(super) fn no_exchange(name: &str, vhost: &str) -> Self {
        Self::not_found(format!("no exchange '{name}' in vhost '{vhost}'"))
    }
    pub(super) fn unknown_delivery_tag(tag: u64) -> Self {
        Self::precondition_failed(format!("unknown delivery tag {tag}"))
    }
}

/// `text` as a short string, cut at the last character that fits into its 255 octets.
pub(super) fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reply_text_is_cut_between_characters() {
        let text = "é".repeat(200);
        assert_eq!(short(&text).as_str().len(), 254);
        assert_eq!(short("short").as_str(), "short");
    }

    #[test]
    fn soft_codes_close_the_channel_and_hard_codes_the_connection() {
        assert_eq!(Refusal::no_queue("q", "/").scope(), Scope::Channel);
        assert_eq!(Refusal::not_allowed("x").scope(), Scope::Connection);
        assert_eq!(Refusal::not_implemented("x").scope(), Scope::Connection);
    }
}
