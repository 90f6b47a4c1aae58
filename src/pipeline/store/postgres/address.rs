//! The address of a PostgreSQL server: read, judged and shown; its password is never shown.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::{PostgresError, URL_VARIABLE};
use crate::amqp::secret::{Secret, percent_encode};

/// Longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const DEFAULT_PORT: u16 = 5432;

/// Where a server is, and who logs in to which database. Neither `Display` nor `Debug` shows the password.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Arc<Config>,
}

impl PostgresAddress {
    /// Reads `postgres://user:password@host:port/database?…` or `host=… user=…`.
    ///
    /// # Errors
    /// [`PostgresError::Address`], which repeats nothing of the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, PostgresError> {
        let refused = |why| PostgresError::Address { why };
        let mut config: Config = text.parse().map_err(|_| refused("it cannot be read"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refused("it names no host"));
        }
        if config.get_user().is_none() {
            return Err(refused("it names no user"));
        }
        if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
            return Err(PostgresError::Tls);
        }
        config.connect_timeout(CONNECT_PATIENCE);
        Ok(PostgresAddress {
            config: Arc::new(config),
        })
    }

    /// The address in `ORDERSTORM_POSTGRES_URL`, if there is one.
    ///
    /// # Errors
    /// As [`PostgresAddress::parse`].
    pub fn from_environment() -> Result<Option<Self>, PostgresError> {
        let text = std::env::var(URL_VARIABLE).ok().filter(|text| !text.is_empty());
        text.as_deref().map(Self::parse).transpose()
    }

    /// A server on 127.0.0.1.
    pub(super) fn local(port: u16, user: &str, password: &Secret, database: &str) -> Self {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user)
            .password(password.expose())
            .dbname(database)
            .connect_timeout(CONNECT_PATIENCE);
        PostgresAddress {
            config: Arc::new(config),
        }
    }

    /// The same server and login by another way, such as a proxy.
    pub fn by_way_of(&self, there: SocketAddr) -> Self {
        let mut config = Config::new();
        config
            .host(there.ip().to_string())
            .port(there.port())
            .connect_timeout(CONNECT_PATIENCE);
        if let Some(user) = self.config.get_user() {
            config.user(user);
        }
        if let Some(password) = self.config.get_password() {
            config.password(password);
        }
        if let Some(database) = self.config.get_dbname() {
            config.dbname(database);
        }
        if let Some(options) = self.config.get_options() {
            config.options(options);
        }
        PostgresAddress {
            config: Arc::new(config),
        }
    }

    /// The whole address, password and all: for another process, never for an output.
    pub fn exposed(&self) -> Secret {
        let mut login = String::new();
        if let Some(user) = self.config.get_user() {
            login.push_str(&percent_encode(user));
        }
        if let Some(password) = self.config.get_password() {
            login.push_str(&format!(":{}", percent_encode(&String::from_utf8_lossy(password))));
        }
        let hosts: Vec<String> = self
            .places()
            .iter()
            .filter_map(|(host, port)| host.as_ref().map(|host| bracketed(host, *port)))
            .collect();
        let database = self.config.get_dbname().map(percent_encode).unwrap_or_default();
        Secret::new(format!("postgresql://{login}@{}/{database}", hosts.join(",")))
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Host names and ports, in the order in which they are tried. A socket in the file system has none.
    fn places(&self) -> Vec<(Option<String>, u16)> {
        let (addresses, ports) = (self.config.get_hostaddrs(), self.config.get_ports());
        let names: Vec<Option<String>> = if addresses.is_empty() {
            let name = |host: &Host| match host {
                Host::Tcp(name) => Some(name.clone()),
                Host::Unix(_) => None,
            };
            self.config.get_hosts().iter().map(name).collect()
        } else {
            addresses.iter().map(|address| Some(address.to_string())).collect()
        };
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
        names
            .into_iter()
            .enumerate()
            .map(|(at, name)| (name, port(at)))
            .collect()
    }

    /// Whether it can be nowhere but on this machine. Asks the resolver, and may block.
    pub fn is_local(&self) -> bool {
        self.places().iter().all(|(host, port)| match host {
            None => true,
            Some(host) => (host.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback())),
        })
    }

    /// Where a proxy would pass it on to; absent for a socket in the file system, and for several hosts.
    pub fn target(&self) -> Option<SocketAddr> {
        let places = self.places();
        let [(Some(host), port)] = places.as_slice() else {
            return None;
        };
        (host.as_str(), *port).to_socket_addrs().ok()?.next()
    }
}

/// `host:port`, with the brackets of an IPv6 address.
fn bracketed(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (at, (host, port)) in self.places().iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(
                f,
                "{comma}{}",
                bracketed(host.as_deref().unwrap_or("local-socket"), *port)
            )?;
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PostgresAddress {
        PostgresAddress::parse(text).expect("an address")
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = |text| format!("{0} {0:?}", parse(text));
        let url = shown("postgres://shop:s3cr%65t@db.example:6543/orders?application_name=x");
        assert_eq!(
            url,
            "postgresql://shop@db.example:6543/orders PostgresAddress(postgresql://shop@db.example:6543/orders)"
        );
        assert!(!shown("host=127.0.0.1 user=shop password=s3cret").contains("s3cret"));
        let whole = parse("postgres://shop:s3cr%65t%40@[::1]/orders").exposed();
        assert_eq!(whole.expose(), "postgresql://shop:s3cret%40@[::1]:5432/orders");
        assert!(parse(whole.expose()).is_local());
        let proxied = parse("postgres://shop:s3cret@db.example/orders").by_way_of(([127, 0, 0, 1], 7).into());
        assert_eq!(proxied.to_string(), "postgresql://shop@127.0.0.1:7/orders");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for bad in [
            "s3cret",
            "postgres://shop:s3cret@host:port/",
            "password=s3cret user=shop",
            "postgres://127.0.0.1/s3cret",
            "host=127.0.0.1 user=u s3cret=1",
        ] {
            let error = PostgresAddress::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("help:") && !error.contains("s3cret"), "{bad}: {error}");
        }
        let error = PostgresAddress::parse("postgres://shop@127.0.0.1/?sslmode=require").expect_err("no TLS here");
        assert!(matches!(error, PostgresError::Tls), "{error}");
    }

    #[test]
    fn only_this_machine_is_local() {
        for (text, local) in [
            ("postgres://u@127.0.0.1/", true),
            ("postgres://u@[::1]:5433/", true),
            ("postgres://u@localhost/", true),
            ("host=/var/run/postgresql user=u", true),
            ("host=db.example hostaddr=127.0.0.1 user=u", true),
            ("host=localhost hostaddr=192.0.2.1 user=u", false),
            ("postgres://u@192.0.2.1/", false),
            ("postgres://u@127.0.0.1,192.0.2.1/", false),
        ] {
            assert_eq!(parse(text).is_local(), local, "{text}");
        }
    }
}
