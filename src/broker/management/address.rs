//! Addresses of the management API: where, and with which login, kept apart so that the login is never printed.

use std::fmt;

use super::ManagementError;
use crate::amqp::secret::{Secret, percent_decode};
use crate::amqp::uri::{BrokerUri, Scheme};

const HTTP_PORT: u16 = 15672;
const HTTPS_PORT: u16 = 15671;

/// Base address of a management API and its login. `Debug` and `Display` print the address alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ManagementUri {
    base: String,
    user: String,
    password: Secret,
}

impl ManagementUri {
    /// Reads `http(s)://host[:port][/prefix]`. A login in it (percent-encoded) takes the place of that of `broker`.
    ///
    /// # Errors
    /// [`ManagementError::BadAddress`], which does not repeat the text.
    pub fn parse(text: &str, broker: &BrokerUri) -> Result<Self, ManagementError> {
        let bad = |why| ManagementError::BadAddress { why };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or(bad("it does not start with http:// or https://"))?;
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(bad("it does not start with http:// or https://"));
        }
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.matches('@').count() > 1 || prefix.contains('@') {
            return Err(bad(
                "it has an `@` outside its place: write @ / ? # % of a login as %40 %2F %3F %23 %25",
            ));
        }
        let (login, host) = authority
            .split_once('@')
            .map_or((None, authority), |(login, host)| (Some(login), host));
        if host.is_empty() || text.contains(['?', '#']) || text.trim().contains(char::is_whitespace) {
            return Err(bad("its host is missing, or it has a query, a fragment or a blank"));
        }
        let (user, password) = match login {
            None => (broker.user().to_owned(), broker.password().clone()),
            Some(login) => {
                let (user, password) = login.split_once(':').ok_or(bad("its login has no password"))?;
                let decode = |text| percent_decode(text).ok_or(bad("its login has a broken %-escape"));
                (decode(user)?, Secret::new(decode(password)?))
            }
        };
        let base = format!(
            "{}://{host}{}",
            scheme.to_ascii_lowercase(),
            prefix.trim_end_matches('/')
        );
        Ok(Self { base, user, password })
    }

    /// The usual place: the broker's host, port 15672 (15671 with TLS), and its login.
    pub fn beside(broker: &BrokerUri) -> Self {
        let host = if broker.host().contains(':') {
            format!("[{}]", broker.host())
        } else {
            broker.host().to_owned()
        };
        let base = match broker.scheme() {
            Scheme::Amqp => format!("http://{host}:{HTTP_PORT}"),
            Scheme::Amqps => format!("https://{host}:{HTTPS_PORT}"),
        };
        Self::with_login_of(&base, broker)
    }

    /// A base that is known to be well-formed, with the login of a broker.
    pub(in crate::broker) fn with_login_of(base: &str, broker: &BrokerUri) -> Self {
        Self {
            base: base.to_owned(),
            user: broker.user().to_owned(),
            password: broker.password().clone(),
        }
    }

    /// Address without login and without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// User name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Password.
    pub fn password(&self) -> &Secret {
        &self.password
    }
}

impl fmt::Display for ManagementUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for ManagementUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> BrokerUri {
        "amqp://u:p@broker".parse().expect("an address")
    }

    #[test]
    fn a_login_in_the_address_is_taken_out_of_it() {
        let uri = ManagementUri::parse("HTTPS://a%40b:S3nt%2Finel@h:1/prefix/", &broker()).expect("an address");
        assert_eq!((uri.user(), uri.password().expose()), ("a@b", "S3nt/inel"));
        assert_eq!(format!("{uri} {uri:?}"), "https://h:1/prefix https://h:1/prefix");
    }

    #[test]
    fn without_a_login_that_of_the_broker_is_used() {
        let uri = ManagementUri::parse("http://h:15672", &broker()).expect("an address");
        assert_eq!(
            (uri.user(), uri.password().expose(), uri.base()),
            ("u", "p", "http://h:15672")
        );
        assert_eq!(ManagementUri::beside(&broker()).base(), "http://broker:15672");
        let secure = "amqps://u:p@[::1]".parse().expect("an address");
        assert_eq!(ManagementUri::beside(&secure).base(), "https://[::1]:15671");
    }

    #[test]
    fn a_bad_address_is_not_echoed() {
        for text in [
            "u:S3ntinel@h",
            "amqp://u:S3ntinel@h",
            "http://u:S3ntinel/x@h",
            "http://u:S3ntinel%@h",
            "http://S3ntinel@h",
            "http://u:S3ntinel@",
            "http://h/?x=S3ntinel",
        ] {
            let error = ManagementUri::parse(text, &broker()).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("S3ntinel"), "{error}");
        }
    }
}
