//! Broker addresses (`amqp://`, `amqps://`) whose password never reaches an output.
//!
//! Grammar after the RabbitMQ URI specification and its query parameters; stricter where a lenient reading could take a
//! piece of a password for something printable. Errors therefore never quote the address, only say which part is wrong.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};
use std::str::FromStr;

use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use serde::{Serialize, Serializer};

pub use self::params::{AuthMechanism, TlsFiles};
use self::params::{KNOWN_KEYS, Params};
use super::secret::{MASK, Secret, mask_all, percent_decode, percent_encode};

mod params;

/// Smallest `frame_max` the AMQP 0-9-1 specification allows, in bytes.
pub const FRAME_MAX_MIN: u32 = 4096;

const DEFAULT_LOGIN: &str = "guest";
const DEFAULT_HOST: &str = "localhost";
/// Plain or encrypted transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `amqp://`, port 5672 unless given.
    Amqp,
    /// `amqps://`, port 5671 unless given.
    Amqps,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
        }
    }
}

/// Which part of an address an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Before the `:` of the login.
    User,
    /// After the `:` of the login.
    Password,
    /// Name or address of the broker.
    Host,
    /// Number after the host.
    Port,
    /// Path: the virtual host.
    Vhost,
    /// Value of a query parameter.
    Value(&'static str),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user name"),
            Self::Password => f.write_str("password"),
            Self::Host => f.write_str("host"),
            Self::Port => f.write_str("port"),
            Self::Vhost => f.write_str("vhost"),
            Self::Value(key) => write!(f, "value of the query parameter `{key}`"),
        }
    }
}

/// Why an address was refused. No variant carries text of the address, for it may hold the password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    /// Neither `amqp://` nor `amqps://`.
    #[error(
        "broker address (not shown, it may hold a password): does not start with amqp:// or amqps://; help: write amqp://user:password@host:5672/vhost"
    )]
    Scheme,
    /// An `@` where none can be: mostly an unescaped `/`, `?`, `#` or `@` in the password.
    #[error(
        "broker address (not shown, it may hold a password): `@` outside its place between login and host; help: write the characters @ / ? # % of a user name or password as %40 %2F %3F %23 %25"
    )]
    StrayAt,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error(
        "broker address (not shown, it may hold a password): the {part} has a broken %-escape; help: a literal `%` is written %25"
    )]
    Escape {
        /// Where.
        part: Part,
    },
    /// Anything else that is malformed.
    #[error("broker address (not shown, it may hold a password): the {part} {why}; help: {help}")]
    Part {
        /// Where.
        part: Part,
        /// What is wrong with it.
        why: &'static str,
        /// What to write instead.
        help: &'static str,
    },
    /// A query key that nobody knows.
    #[error("broker address (not shown, it may hold a password): query parameter {position} is not known; help: {}", nearest_help(.nearest))]
    UnknownKey {
        /// Place in the query, from 1.
        position: usize,
        /// The known key that looks like it.
        nearest: Option<&'static str>,
    },
    /// A query key that is known, but that the client would silently ignore.
    #[error("broker address: the query parameter `{key}` cannot be honoured: {why}")]
    RefusedKey {
        /// Its name.
        key: &'static str,
        /// Reason and remedy.
        why: &'static str,
    },
    /// The same key twice.
    #[error("broker address: the query parameter `{key}` is given twice; help: keep one")]
    RepeatedKey {
        /// Its name.
        key: &'static str,
    },
    /// The name server has no address for the host.
    #[error("looked up broker host `{host}`: {why}; help: check the spelling, or give an IP address")]
    Unresolvable {
        /// Host as given.
        host: String,
        /// Answer of the resolver.
        why: String,
    },
}

fn nearest_help(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None => format!("the known ones are {}", KNOWN_KEYS.join(", ")),
    }
}

/// A setting that [`BrokerUri::with_param`] can put in place of what the user gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientParam {
    /// Largest frame in bytes; 0 or at least [`FRAME_MAX_MIN`] (smaller values are raised to it).
    FrameMax(u32),
    /// Largest channel number; 0 leaves it to the broker.
    ChannelMax(u16),
    /// Seconds; 0 leaves it to the broker.
    HeartbeatSeconds(u16),
    /// Milliseconds.
    ConnectionTimeoutMs(u64),
}

/// A checked broker address. `Display`, `Debug` and `Serialize` print it with `***` for the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUri {
    scheme: Scheme,
    user: String,
    password: Secret,
    /// The password as it was spelled, which foreign texts may echo.
    password_as_given: Secret,
    host: String,
    port: u16,
    vhost: String,
    params: Params,
}

impl BrokerUri {
    /// A plain `amqp://` address from its parts, none of them percent-encoded.
    pub fn from_parts(user: &str, password: Secret, host: &str, port: u16, vhost: &str) -> Self {
        Self {
            scheme: Scheme::Amqp,
            user: user.to_owned(),
            password_as_given: password.clone(),
            password,
            host: host.to_owned(),
            port,
            vhost: vhost.to_owned(),
            params: Params::default(),
        }
    }

    /// Transport.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// User name, decoded.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Password, decoded.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// Host name or address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Virtual host, decoded. `/` when the address has no path; the empty name when its path is a lone `/`.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// `connection_timeout` in milliseconds. lapin's async connect ignores it: whoever connects must apply it.
    pub fn connection_timeout_ms(&self) -> Option<u64> {
        self.params.connection_timeout_ms
    }

    /// `heartbeat` in seconds; absent where it is left to the broker.
    pub fn heartbeat_seconds(&self) -> Option<u16> {
        self.params.heartbeat.filter(|seconds| *seconds > 0)
    }

    /// `channel_max`; absent where it is left to the broker.
    pub fn channel_max(&self) -> Option<u16> {
        self.params.channel_max.filter(|channels| *channels > 0)
    }

    /// `auth_mechanism`, as it was asked for.
    pub fn auth_mechanism(&self) -> Option<AuthMechanism> {
        self.params.auth_mechanism
    }

    /// Certificates and key; whoever connects must load them.
    pub fn tls_files(&self) -> &TlsFiles {
        &self.params.tls
    }

    /// The same broker and login, another virtual host (not percent-encoded).
    pub fn with_vhost(&self, vhost: &str) -> Self {
        Self {
            vhost: vhost.to_owned(),
            ..self.clone()
        }
    }

    /// The same address with one client setting replaced.
    pub fn with_param(&self, param: ClientParam) -> Self {
        let mut changed = self.clone();
        let params = &mut changed.params;
        match param {
            ClientParam::FrameMax(0) => params.frame_max = Some(0),
            ClientParam::FrameMax(bytes) => params.frame_max = Some(bytes.max(FRAME_MAX_MIN)),
            ClientParam::ChannelMax(channels) => params.channel_max = Some(channels),
            ClientParam::HeartbeatSeconds(seconds) => params.heartbeat = Some(seconds),
            ClientParam::ConnectionTimeoutMs(ms) => params.connection_timeout_ms = Some(ms),
        }
        changed
    }

    /// The address with its password, in canonical spelling: for clients that take a string, never for an output.
    ///
    /// lapin's own parser reads an IPv6 literal as `localhost`: give lapin [`BrokerUri::to_client`] instead.
    pub fn expose_for_client(&self) -> String {
        self.spell(&percent_encode(self.password.expose()))
    }

    /// The address in lapin's own form. Its `Debug` and `Display` print the password: hand it over, do not keep it.
    pub fn to_client(&self) -> AMQPUri {
        AMQPUri {
            scheme: match self.scheme {
                Scheme::Amqp => AMQPScheme::AMQP,
                Scheme::Amqps => AMQPScheme::AMQPS,
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.expose().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: self.params.to_client(),
        }
    }

    /// `text` (an error of a library, a broker's log) without the password in any spelling.
    pub fn mask_secrets(&self, text: &str) -> String {
        let mut shapes = self.password.shapes();
        shapes.extend(self.password_as_given.shapes());
        mask_all(text, &shapes)
    }

    /// Whether the host is this machine: every address of its name is in 127.0.0.0/8 or is `::1`. Blocks on the resolver.
    ///
    /// # Errors
    /// [`UriError::Unresolvable`] when the name has no address.
    pub fn is_loopback(&self) -> Result<bool, UriError> {
        let unresolvable = |why: String| UriError::Unresolvable {
            host: self.host.clone(),
            why,
        };
        let addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|e| unresolvable(e.to_string()))?;
        let addresses: Vec<IpAddr> = addresses.map(|address| address.ip().to_canonical()).collect();
        if addresses.is_empty() {
            return Err(unresolvable("the name has no address".to_owned()));
        }
        Ok(addresses.iter().all(IpAddr::is_loopback))
    }

    fn spell(&self, password: &str) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let user = percent_encode(&self.user);
        // The usual vhost is written as no path at all: easiest to read, and unlike `/` not the empty name.
        let vhost = if self.vhost == "/" {
            String::new()
        } else {
            format!("/{}", percent_encode(&self.vhost))
        };
        format!(
            "{}://{user}:{password}@{host}:{}{vhost}{}",
            self.scheme.name(),
            self.port,
            self.params.spell()
        )
    }
}

impl fmt::Display for BrokerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell(MASK))
    }
}

impl fmt::Debug for BrokerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BrokerUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for BrokerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = split_scheme(text)?;
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        if authority.matches('@').count() > 1 || tail.contains('@') {
            return Err(UriError::StrayAt);
        }
        if tail.contains('#') {
            return Err(bad(
                Part::Vhost,
                "is followed by a `#` fragment",
                "leave it out, or write `#` as %23",
            ));
        }
        let (login, address) = authority
            .split_once('@')
            .map_or((None, authority), |(l, a)| (Some(l), a));
        let (user, password, password_as_given) = parse_login(login)?;
        let (host, port) = parse_address(address, scheme)?;
        let (path, query) = tail.split_once('?').map_or((tail, ""), |(path, query)| (path, query));
        let params = Params::parse(query, scheme, &host)?;
        Ok(Self {
            scheme,
            user,
            password,
            password_as_given,
            host,
            port,
            vhost: parse_vhost(path)?,
            params,
        })
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UriError> {
    let (name, rest) = text.trim().split_once("://").ok_or(UriError::Scheme)?;
    let scheme = [Scheme::Amqp, Scheme::Amqps]
        .into_iter()
        .find(|s| name.eq_ignore_ascii_case(s.name()));
    Ok((scheme.ok_or(UriError::Scheme)?, rest))
}

/// User, password, and the password as spelled. What is missing is `guest`, as in other RabbitMQ clients.
fn parse_login(login: Option<&str>) -> Result<(String, Secret, Secret), UriError> {
    let (user, password) = match login {
        None => (DEFAULT_LOGIN, DEFAULT_LOGIN),
        Some(login) => login.split_once(':').unwrap_or((login, DEFAULT_LOGIN)),
    };
    Ok((
        decode(user, Part::User)?,
        Secret::new(decode(password, Part::Password)?),
        Secret::new(password),
    ))
}

fn parse_address(address: &str, scheme: Scheme) -> Result<(String, u16), UriError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed
                .split_once(']')
                .ok_or_else(|| bad(Part::Host, "has `[` without `]`", "write an IPv6 address as [::1]"))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(bad(Part::Host, "is not an IPv6 address", "write it as [::1]"));
            }
            (host, port)
        }
        None => {
            let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
            if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
                return Err(bad(
                    Part::Host,
                    "has a character that no host name has",
                    "write a name or an IP address",
                ));
            }
            (if host.is_empty() { DEFAULT_HOST } else { host }, port)
        }
    };
    Ok((host.to_owned(), parse_port(port, scheme)?))
}

fn parse_port(port: &str, scheme: Scheme) -> Result<u16, UriError> {
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(scheme.default_port()),
        None => Err(bad(
            Part::Host,
            "is followed by something else than `:port`",
            "write [address]:port",
        )),
        Some("") => Ok(scheme.default_port()),
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            let help = "write 1 to 65535; if this is a login, it must end in `@`, and an IPv6 address needs brackets";
            bad(Part::Port, "is not a port number", help)
        }),
    }
}

fn parse_vhost(path: &str) -> Result<String, UriError> {
    let Some(segment) = path.strip_prefix('/') else {
        return Ok("/".to_owned());
    };
    if segment.contains('/') {
        return Err(bad(
            Part::Vhost,
            "has more than one path segment",
            "write a `/` inside a vhost name as %2F",
        ));
    }
    let vhost = decode(segment, Part::Vhost)?;
    if vhost.len() > 255 {
        return Err(bad(
            Part::Vhost,
            "is longer than 255 bytes",
            "AMQP allows no longer name",
        ));
    }
    Ok(vhost)
}

fn decode(text: &str, part: Part) -> Result<String, UriError> {
    percent_decode(text).ok_or(UriError::Escape { part })
}

fn bad(part: Part, why: &'static str, help: &'static str) -> UriError {
    UriError::Part { part, why, help }
}

#[cfg(test)]
mod tests;
