//! Files, ports and environment of a managed node: everything RabbitMQ would otherwise take from the machine.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::ManagedOptions;
use crate::amqp::secret::Secret;

/// Below the range from which Linux takes the ports of outgoing connections (32768 and up): a node that is down for a
/// restart does not lose its port to a client's connection.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES: usize = 1000;

/// What a node listens on, all on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    pub epmd: u16,
    pub distribution: u16,
    pub amqp: u16,
    pub management: Option<u16>,
    pub prometheus: Option<u16>,
}

impl Ports {
    /// Ports that are free now. Another program can still be faster: the caller tries again then.
    ///
    /// # Errors
    /// When no free port turns up.
    pub fn choose(options: &ManagedOptions) -> io::Result<Self> {
        // All are held until all are known, lest the same one be chosen twice.
        let mut held = Vec::new();
        let mut next = || -> io::Result<u16> {
            let listener = free_port()?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        };
        Ok(Self {
            epmd: next()?,
            distribution: next()?,
            amqp: next()?,
            management: options.management.then(&mut next).transpose()?,
            prometheus: options.prometheus.then(&mut next).transpose()?,
        })
    }
}

fn free_port() -> io::Result<TcpListener> {
    let width = PORTS.end - PORTS.start;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        let [high, low] = random_bytes()?;
        match TcpListener::bind((
            Ipv4Addr::LOCALHOST,
            PORTS.start + u16::from_be_bytes([high, low]) % width,
        )) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Random bytes of the kernel. Names and passwords must differ between runs of one seed: the run's own streams are unfit.
fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// `N` random bytes in hexadecimal.
pub(super) fn random_hex<const N: usize>() -> io::Result<String> {
    Ok(random_bytes::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Who a node is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub node_name: String,
    pub user: String,
    pub password: Secret,
    pub cookie: Secret,
}

impl Identity {
    /// A name and secrets that no other node has.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn random() -> io::Result<Self> {
        Ok(Self {
            node_name: Self::random_name()?,
            user: "orderstorm".to_owned(),
            password: Secret::new(random_hex::<16>()?),
            cookie: Secret::new(random_hex::<16>()?),
        })
    }

    fn random_name() -> io::Result<String> {
        Ok(format!("orderstorm-{}@localhost", random_hex::<4>()?))
    }

    /// Another node of the same cluster: a name of its own, the same secrets.
    ///
    /// # Errors
    /// As [`Identity::random`].
    pub fn sibling(&self) -> io::Result<Self> {
        Ok(Self {
            node_name: Self::random_name()?,
            ..self.clone()
        })
    }
}

/// Writes configuration, plugin list and Erlang cookie, all mode 0600 or less.
///
/// # Errors
/// What the file system answers.
pub(super) fn write_files(dir: &Path, ports: &Ports, id: &Identity, options: &ManagedOptions) -> io::Result<()> {
    write_private(&dir.join("rabbitmq.conf"), 0o600, &rabbitmq_conf(ports, id, options))?;
    write_private(&dir.join("advanced.config"), 0o600, &advanced_config(options))?;
    write_private(&dir.join("enabled_plugins"), 0o600, &enabled_plugins(options))?;
    write_private(&dir.join(".erlang.cookie"), 0o400, id.cookie.expose())
}

fn write_private(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?
        .write_all(text.as_bytes())
}

fn rabbitmq_conf(ports: &Ports, id: &Identity, options: &ManagedOptions) -> String {
    let mut lines = vec![
        format!("listeners.tcp.default = 127.0.0.1:{}", ports.amqp),
        // A first user of our own takes the place of guest.
        format!("default_user = {}", id.user),
        format!("default_pass = {}", id.password.expose()),
        "default_user_tags.administrator = true".to_owned(),
        "log.file = false".to_owned(),
        "log.console = true".to_owned(),
        // 4.3 colours even what goes to a file.
        "log.console.use_colors = off".to_owned(),
        format!("log.console.level = {}", options.log_level.name()),
    ];
    if let Some(bytes) = options.memory_high_watermark_bytes {
        lines.push(format!("vm_memory_high_watermark.absolute = {bytes}"));
    }
    for (plugin, port) in [("management", ports.management), ("prometheus", ports.prometheus)] {
        if let Some(port) = port {
            lines.push(format!("{plugin}.tcp.ip = 127.0.0.1"));
            lines.push(format!("{plugin}.tcp.port = {port}"));
        }
    }
    lines.extend(options.settings.iter().map(|(key, value)| format!("{key} = {value}")));
    lines.join("\n") + "\n"
}

/// `/api/queues` shows figures at the pace of the shortest retention policy, whatever the interval: hence one second.
fn advanced_config(options: &ManagedOptions) -> String {
    let interval = options.stats_interval.as_millis().max(1);
    let management = if options.management {
        ",\n {rabbitmq_management, [{sample_retention_policies,
   [{global, [{60, 1}]}, {basic, [{60, 1}]}, {detailed, [{10, 1}]}]}]}"
    } else {
        ""
    };
    format!("[{{rabbit, [{{collect_statistics_interval, {interval}}}]}}{management}].\n")
}

fn enabled_plugins(options: &ManagedOptions) -> String {
    let wanted = [
        (options.management, "rabbitmq_management"),
        (options.prometheus, "rabbitmq_prometheus"),
    ];
    let names: Vec<&str> = wanted.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    format!("[{}].\n", names.join(","))
}

/// The whole environment of epmd and server.
pub(super) fn environment(dir: &Path, ports: &Ports, id: &Identity) -> Vec<(&'static str, OsString)> {
    let inside = |name: &str| dir.join(name).into_os_string();
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into());
    vec![
        ("PATH", path),
        ("LANG", "C.UTF-8".into()),
        ("HOME", dir.as_os_str().to_owned()),
        ("TMPDIR", dir.as_os_str().to_owned()),
        ("ERL_EPMD_PORT", ports.epmd.to_string().into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        // No crash dumps: writing one takes seconds, and the directory goes anyway.
        ("ERL_CRASH_DUMP_SECONDS", "0".into()),
        ("RABBITMQ_NODENAME", id.node_name.clone().into()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
        ("RABBITMQ_MNESIA_BASE", inside("data")),
        ("RABBITMQ_LOG_BASE", inside("log")),
        ("RABBITMQ_PID_FILE", inside("node.pid")),
        ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", inside("advanced.config")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", inside("generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}".into(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ports_differ_and_lie_below_the_outgoing_range() {
        let ports = Ports::choose(&ManagedOptions::default()).expect("free ports");
        let management = ports.management.expect("on by default");
        let prometheus = ports.prometheus.expect("on by default");
        let mut all = vec![ports.epmd, ports.distribution, ports.amqp, management, prometheus];
        assert!(all.iter().all(|port| PORTS.contains(port)), "{all:?}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn plugins_that_are_off_get_neither_port_nor_setting() {
        let options = ManagedOptions {
            management: false,
            prometheus: false,
            ..ManagedOptions::default()
        };
        let ports = Ports::choose(&options).expect("free ports");
        assert_eq!((ports.management, ports.prometheus), (None, None));
        assert_eq!(enabled_plugins(&options), "[].\n");
        let id = Identity::random().expect("random bytes");
        let conf = rabbitmq_conf(&ports, &id, &options);
        assert!(
            !conf.contains("management.tcp") && !conf.contains("prometheus.tcp"),
            "{conf}"
        );
        assert!(!advanced_config(&options).contains("management"));
    }

    #[test]
    fn the_environment_carries_no_secret() {
        let options = ManagedOptions::default();
        let id = Identity::random().expect("random bytes");
        let ports = Ports::choose(&options).expect("free ports");
        for (_, value) in environment(Path::new("/nowhere"), &ports, &id) {
            let value = value.to_string_lossy();
            assert!(!value.contains(id.password.expose()) && !value.contains(id.cookie.expose()));
        }
    }
}
