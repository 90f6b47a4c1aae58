//! Query parameters of a broker address: each known key is kept or clearly refused, none is silently ignored.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use lapin::uri::{AMQPQueryString, SASLMechanism};

use super::super::secret::percent_encode;
use super::{FRAME_MAX_MIN, Part, Scheme, UriError, bad, decode};

pub(super) const KNOWN_KEYS: [&str; 10] = [
    "heartbeat",
    "connection_timeout",
    "channel_max",
    "frame_max",
    "auth_mechanism",
    "cacertfile",
    "certfile",
    "keyfile",
    "verify",
    "server_name_indication",
];
/// Keys of the RabbitMQ specification (or of other clients) that this client cannot honour.
const REFUSED_KEYS: [(&str, &str); 4] = [
    (
        "password",
        "an encrypted private key is not supported; decrypt the key file first",
    ),
    (
        "fail_if_no_peer_cert",
        "it only has a meaning for servers; leave it out",
    ),
    (
        "depth",
        "the length of certificate chains is not configurable; leave it out",
    ),
    ("idle_timeout", "it belongs to AMQP 1.0; use heartbeat (seconds)"),
];

/// SASL mechanism asked for by `auth_mechanism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMechanism {
    /// User name and password.
    Plain,
    /// User name and password in AMQP's own encoding.
    AmqPlain,
    /// The client certificate is the login.
    External,
    /// No login at all (RabbitMQ 4).
    Anonymous,
}

impl AuthMechanism {
    const ALL: [Self; 4] = [Self::Plain, Self::AmqPlain, Self::External, Self::Anonymous];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AmqPlain => "amqplain",
            Self::External => "external",
            Self::Anonymous => "anonymous",
        }
    }

    fn to_client(self) -> SASLMechanism {
        match self {
            Self::Plain => SASLMechanism::Plain,
            Self::AmqPlain => SASLMechanism::AMQPlain,
            Self::External => SASLMechanism::External,
            Self::Anonymous => SASLMechanism::Anonymous,
        }
    }
}

/// Files named by the address for an encrypted connection; all PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `cacertfile`: certificates to trust beside the system's.
    pub ca_certificates: Option<PathBuf>,
    /// `certfile`: the client's own certificate; only together with `private_key`.
    pub certificate: Option<PathBuf>,
    /// `keyfile`: its private key.
    pub private_key: Option<PathBuf>,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) heartbeat: Option<u16>,
    pub(super) connection_timeout_ms: Option<u64>,
    pub(super) channel_max: Option<u16>,
    pub(super) frame_max: Option<u32>,
    pub(super) auth_mechanism: Option<AuthMechanism>,
    pub(super) tls: TlsFiles,
    verify_peer: bool,
    server_name: Option<String>,
}

impl Params {
    pub(super) fn parse(query: &str, scheme: Scheme, host: &str) -> Result<Self, UriError> {
        let mut params = Self::default();
        let mut seen = Vec::new();
        for (index, pair) in query.split('&').enumerate().filter(|(_, pair)| !pair.is_empty()) {
            let (raw_key, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = known_key(raw_key, index + 1)?;
            if seen.contains(&key) {
                return Err(UriError::RepeatedKey { key });
            }
            seen.push(key);
            params.set(key, &decode(raw_value, Part::Value(key))?, host)?;
        }
        params.check_tls(&seen, scheme)?;
        Ok(params)
    }

    fn set(&mut self, key: &'static str, value: &str, host: &str) -> Result<(), UriError> {
        match key {
            "heartbeat" => self.heartbeat = Some(number(key, value, "write seconds, 0 to 65535")?),
            "connection_timeout" => {
                self.connection_timeout_ms = Some(number(key, value, "write milliseconds, for example 5000")?);
            }
            "channel_max" => self.channel_max = Some(number(key, value, "write 0 to 65535")?),
            "frame_max" => self.frame_max = Some(frame_max(value)?),
            "auth_mechanism" => self.auth_mechanism = Some(auth_mechanism(value)?),
            "cacertfile" => self.tls.ca_certificates = Some(file(key, value)?),
            "certfile" => self.tls.certificate = Some(file(key, value)?),
            "keyfile" => self.tls.private_key = Some(file(key, value)?),
            "verify" if value == "verify_peer" => self.verify_peer = true,
            "verify" => {
                let why =
                    "certificates are always verified; help: write verify_peer, and name the issuer in cacertfile";
                return Err(UriError::RefusedKey { key, why });
            }
            _ if value.eq_ignore_ascii_case(host) => self.server_name = Some(value.to_owned()),
            _ => {
                let why = "the certificate is always checked against the host; help: connect by the name in it";
                return Err(UriError::RefusedKey { key, why });
            }
        }
        Ok(())
    }

    fn check_tls(&self, seen: &[&'static str], scheme: Scheme) -> Result<(), UriError> {
        let tls_keys = ["cacertfile", "certfile", "keyfile", "verify", "server_name_indication"];
        if scheme == Scheme::Amqp
            && let Some(key) = seen.iter().copied().find(|key| tls_keys.contains(key))
        {
            let why = "amqp:// is not encrypted; help: write amqps://, or leave the parameter out";
            return Err(UriError::RefusedKey { key, why });
        }
        match (&self.tls.certificate, &self.tls.private_key) {
            (Some(_), None) => Err(bad(Part::Value("certfile"), "has no key to it", "give keyfile as well")),
            (None, Some(_)) => Err(bad(
                Part::Value("keyfile"),
                "has no certificate to it",
                "give certfile as well",
            )),
            _ => Ok(()),
        }
    }

    /// Those that lapin takes within its own form of the address.
    pub(super) fn to_client(&self) -> AMQPQueryString {
        AMQPQueryString {
            frame_max: self.frame_max,
            channel_max: self.channel_max,
            heartbeat: self.heartbeat,
            connection_timeout: self.connection_timeout_ms,
            auth_mechanism: self.auth_mechanism.map(AuthMechanism::to_client),
        }
    }

    /// `?key=value&…`, or nothing.
    pub(super) fn spell(&self) -> String {
        let path = |path: &Option<PathBuf>| path.as_deref().map(Path::to_string_lossy).map(|p| percent_encode(&p));
        let pairs = [
            ("heartbeat", self.heartbeat.map(|n| n.to_string())),
            ("connection_timeout", self.connection_timeout_ms.map(|n| n.to_string())),
            ("channel_max", self.channel_max.map(|n| n.to_string())),
            ("frame_max", self.frame_max.map(|n| n.to_string())),
            ("auth_mechanism", self.auth_mechanism.map(|m| m.name().to_owned())),
            ("cacertfile", path(&self.tls.ca_certificates)),
            ("certfile", path(&self.tls.certificate)),
            ("keyfile", path(&self.tls.private_key)),
            ("verify", self.verify_peer.then(|| "verify_peer".to_owned())),
            (
                "server_name_indication",
                self.server_name.as_deref().map(percent_encode),
            ),
        ];
        let given: Vec<String> = pairs
            .into_iter()
            .filter_map(|(k, v)| v.map(|v| format!("{k}={v}")))
            .collect();
        if given.is_empty() {
            String::new()
        } else {
            format!("?{}", given.join("&"))
        }
    }
}

/// The table's own spelling of a key, so that no text of the address gets into an error.
fn known_key(key: &str, position: usize) -> Result<&'static str, UriError> {
    if let Some((key, why)) = REFUSED_KEYS.into_iter().find(|(refused, _)| *refused == key) {
        return Err(UriError::RefusedKey { key, why });
    }
    KNOWN_KEYS.into_iter().find(|known| *known == key).ok_or_else(|| {
        let nearest = KNOWN_KEYS
            .into_iter()
            .map(|known| (edit_distance(known, key), known))
            .min();
        let nearest = nearest
            .filter(|(distance, known)| *distance <= known.len() / 2)
            .map(|(_, known)| known);
        UriError::UnknownKey { position, nearest }
    })
}

fn number<T: FromStr>(key: &'static str, value: &str, help: &'static str) -> Result<T, UriError> {
    value
        .parse()
        .map_err(|_| bad(Part::Value(key), "is not a whole number in range", help))
}

fn frame_max(value: &str) -> Result<u32, UriError> {
    let help = "write bytes: 0 (no limit) or 4096 and more";
    let bytes = number("frame_max", value, help)?;
    if (1..FRAME_MAX_MIN).contains(&bytes) {
        return Err(bad(
            Part::Value("frame_max"),
            "is below the 4096 bytes that AMQP demands",
            help,
        ));
    }
    Ok(bytes)
}

fn auth_mechanism(value: &str) -> Result<AuthMechanism, UriError> {
    AuthMechanism::ALL
        .into_iter()
        .find(|mechanism| value.eq_ignore_ascii_case(mechanism.name()))
        .ok_or_else(|| {
            let help = "write plain, amqplain, external or anonymous";
            bad(Part::Value("auth_mechanism"), "is not a known mechanism", help)
        })
}

fn file(key: &'static str, value: &str) -> Result<PathBuf, UriError> {
    if value.is_empty() {
        return Err(bad(Part::Value(key), "is empty", "write the path of a PEM file"));
    }
    Ok(PathBuf::from(value))
}

/// Levenshtein distance in bytes; the strings are query keys, so a few dozen bytes at most matter.
fn edit_distance(a: &str, b: &str) -> usize {
    let b = &b.as_bytes()[..b.len().min(64)];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.as_bytes().iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
