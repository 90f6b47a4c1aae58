//! The broker of a run: chosen, started where it must be, known by product and version, and stopped.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::alarms::Resource;
use super::discover::{installed_servers, listening_amqp};
use super::embedded::{self, EmbeddedBroker, EmbeddedError, EmbeddedOptions};
use super::greeting::ServerGreeting;
use super::managed::{ManagedCluster, ManagedError, ManagedNode, ManagedOptions};
use super::management::{ManagementClient, ManagementError, ManagementUri, Overview};
use crate::amqp::uri::{BrokerUri, Scheme, UriError};

/// Variables that name a broker, the first set one wins.
pub const BROKER_VARIABLES: [&str; 2] = ["ORDERSTORM_BROKER", "AMQP_URL"];
/// Longest wait for a greeting.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// A broker without management API shall not cost a run more than this.
const MANAGEMENT_PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Which broker a run shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerChoice {
    /// One that runs already.
    External(Box<BrokerUri>),
    /// A private RabbitMQ node.
    Managed,
    /// The one in this process.
    Embedded,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The text names no broker.
    #[error("--broker: {source}")]
    Uri {
        /// Why.
        source: UriError,
    },
    /// The broker is on another machine.
    #[error("{uri} is not on this machine\nhelp: loading a remote broker takes the explicit flag --allow-remote")]
    Remote {
        /// The address, masked.
        uri: String,
    },
    /// The address of the management API is none.
    #[error("--management: {source}")]
    Management {
        /// Why.
        source: ManagementError,
    },
    /// The management API belongs to another broker.
    #[error(
        "the management API at {management} is not that of {uri}: they belong to different clusters\nhelp: give --management the address of this broker's own, or leave it out"
    )]
    OtherManagement {
        /// The API's address.
        management: String,
        /// The broker's address, masked.
        uri: String,
    },
    /// Nothing answers.
    #[error(
        "no AMQP broker answers at {uri}\nhelp: check host and port; `orderstorm doctor` shows what this machine has, `--broker managed` starts a private RabbitMQ, `--broker embedded` needs none"
    )]
    Silent {
        /// The address, masked.
        uri: String,
    },
    /// The private node did not start.
    #[error(transparent)]
    Managed(#[from] ManagedError),
    /// The embedded broker did not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

impl BrokerError {
    /// Whether the command line is at fault, not the broker.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            BrokerError::Uri { .. }
                | BrokerError::Management { .. }
                | BrokerError::OtherManagement { .. }
                | BrokerError::Remote { .. }
        )
    }
}

/// A choice and why it was made.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The choice.
    pub choice: BrokerChoice,
    /// In words, without secrets.
    pub because: String,
}

impl BrokerChoice {
    /// Reads `auto`, `managed`, `embedded` or an AMQP URI. `auto` takes the first of: the environment, a private node if a
    /// server is installed, the embedded broker.
    ///
    /// # Errors
    /// [`BrokerError::Uri`] when the text is neither a word nor an address.
    pub fn select(text: &str, server: Option<&PathBuf>) -> Result<Selection, BrokerError> {
        if text != "auto" {
            return Ok(Selection {
                choice: Self::named(text)?,
                because: "--broker".to_owned(),
            });
        }
        let variable = BROKER_VARIABLES.into_iter().find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .map(|value| (name, value))
        });
        if let Some((name, value)) = variable {
            return Ok(Selection {
                choice: Self::named(&value)?,
                because: format!("auto: {name} is set"),
            });
        }
        let installed = server
            .cloned()
            .or_else(|| installed_servers().into_iter().next().map(|server| server.path));
        Ok(match installed {
            Some(path) => Selection {
                choice: BrokerChoice::Managed,
                because: format!("auto: {} is installed", path.display()),
            },
            None => Selection {
                choice: BrokerChoice::Embedded,
                because: "auto: no RabbitMQ is installed".to_owned(),
            },
        })
    }

    fn named(text: &str) -> Result<Self, BrokerError> {
        Ok(match text {
            "managed" => BrokerChoice::Managed,
            "embedded" => BrokerChoice::Embedded,
            uri => BrokerChoice::External(Box::new(uri.parse().map_err(|source| BrokerError::Uri { source })?)),
        })
    }

    /// Whether a run on this broker can stop and continue the broker's process.
    pub fn can_pause(&self) -> bool {
        *self == BrokerChoice::Managed
    }

    /// Whether a run on this broker can stop, kill and start it.
    pub fn can_restart(&self) -> bool {
        *self == BrokerChoice::Managed
    }

    /// Whether this broker has what it confirmed after a restart, as far as the choice alone tells;
    /// [`BrokerInfo::survives_restart`] knows once it runs.
    pub fn survives_restart(&self) -> bool {
        *self != BrokerChoice::Embedded
    }

    /// Whether a run on this broker can raise and clear this alarm.
    pub fn can_alarm(&self, resource: Resource) -> bool {
        match self {
            BrokerChoice::External(_) => false,
            BrokerChoice::Managed => true,
            BrokerChoice::Embedded => resource == Resource::Memory,
        }
    }
}

/// What a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `external`, `managed` or `embedded`.
    pub kind: &'static str,
    /// Product.
    pub product: String,
    /// Version.
    pub version: String,
    /// Platform.
    pub platform: Option<String>,
    /// Address, masked.
    pub address: String,
    /// It runs on this machine.
    pub co_located: bool,
    /// Nodes that the run may steer and connect to; absent where it knows one address only.
    pub nodes: Option<u32>,
}

impl BrokerInfo {
    /// Whether it has what it confirmed after a restart; an embedded broker that is served alone has not either.
    pub fn survives_restart(&self) -> bool {
        self.kind != "embedded" && self.product != embedded::PRODUCT
    }
}

impl fmt::Display for BrokerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == "embedded" {
            return write!(
                f,
                "embedded broker, not RabbitMQ ({} {}) at {}",
                self.product, self.version, self.address
            );
        }
        let nodes = match self.nodes {
            Some(nodes) if nodes > 1 => format!(", {nodes} nodes"),
            _ => String::new(),
        };
        write!(
            f,
            "{} {} ({}{nodes}) at {}",
            self.product, self.version, self.kind, self.address
        )
    }
}

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// The `rabbitmq-server` of a managed node; found by itself when absent.
    pub server: Option<PathBuf>,
    /// Address of the management API of an external broker; the usual place when absent.
    pub management: Option<String>,
    /// A broker on another machine may be loaded.
    pub allow_remote: bool,
    /// Nodes of a managed broker; 0 as 1: no cluster.
    pub nodes: u32,
}

/// A broker that a run may use.
#[derive(Debug)]
pub struct RunningBroker {
    uri: BrokerUri,
    info: BrokerInfo,
    management: Option<ManagementClient>,
    /// Of an external broker.
    pid: Option<u32>,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    External,
    Managed(ManagedCluster),
    Embedded(EmbeddedBroker),
}

impl RunningBroker {
    /// Starts or finds the broker.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping the future stops what was started.
    pub async fn start(choice: &BrokerChoice, options: &StartOptions) -> Result<Self, BrokerError> {
        match choice {
            BrokerChoice::External(uri) => Self::external(uri, options).await,
            BrokerChoice::Managed => {
                let managed = ManagedOptions {
                    server: options.server.clone(),
                    ..ManagedOptions::default()
                };
                let cluster = ManagedCluster::start(managed, options.nodes).await?;
                let node = cluster.first();
                let version = node.version();
                let info = BrokerInfo {
                    kind: "managed",
                    product: "RabbitMQ".to_owned(),
                    version: version.rabbitmq.clone(),
                    platform: version.erlang.as_ref().map(|erlang| format!("Erlang/OTP {erlang}")),
                    address: node.uri().to_string(),
                    co_located: true,
                    nodes: Some(cluster.nodes().len() as u32),
                };
                Ok(RunningBroker {
                    uri: node.uri().clone(),
                    info,
                    management: cluster.management_client(),
                    pid: None,
                    engine: Engine::Managed(cluster),
                })
            }
            BrokerChoice::Embedded => {
                let broker = EmbeddedBroker::start(EmbeddedOptions::default())?;
                let uri = broker
                    .uri()
                    .parse::<BrokerUri>()
                    .map_err(|source| BrokerError::Uri { source })?;
                let info = BrokerInfo {
                    kind: "embedded",
                    product: "orderstorm".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    platform: None,
                    address: uri.to_string(),
                    co_located: true,
                    nodes: None,
                };
                Ok(RunningBroker {
                    uri,
                    info,
                    management: None,
                    pid: None,
                    engine: Engine::Embedded(broker),
                })
            }
        }
    }

    async fn external(uri: &BrokerUri, options: &StartOptions) -> Result<Self, BrokerError> {
        let asked = uri.clone();
        let co_located = tokio::task::spawn_blocking(move || asked.is_loopback())
            .await
            .unwrap_or(Ok(false))
            .map_err(|source| BrokerError::Uri { source })?;
        if !co_located && !options.allow_remote {
            return Err(BrokerError::Remote { uri: uri.to_string() });
        }
        let management = Self::management_of(uri, options).await?;
        let greeting = match uri.scheme() {
            Scheme::Amqp => greet(uri).await,
            // The greeting comes after the TLS handshake, which is lapin's; the management API knows as much.
            Scheme::Amqps => None,
        };
        let management = Self::of_this_broker(management, greeting.as_ref(), uri, options)?;
        let (product, version, platform) = match (&greeting, &management) {
            (Some(greeting), _) => (
                greeting.product.clone(),
                greeting.version.clone(),
                greeting.platform.clone(),
            ),
            (None, Some((_, overview))) => (
                "RabbitMQ".to_owned(),
                overview.rabbitmq_version.clone(),
                Some(format!("Erlang/OTP {}", overview.erlang_version)),
            ),
            (None, None) if uri.scheme() == Scheme::Amqps => ("AMQP broker".to_owned(), "unknown".to_owned(), None),
            (None, None) => return Err(BrokerError::Silent { uri: uri.to_string() }),
        };
        let management = management.map(|(client, _)| client);
        let pid = match &management {
            Some(client) if co_located => client
                .nodes()
                .await
                .ok()
                .and_then(|nodes| nodes.first().and_then(|node| node.os_pid)),
            _ => None,
        };
        let info = BrokerInfo {
            kind: "external",
            product,
            version,
            platform,
            address: uri.to_string(),
            co_located,
            nodes: None,
        };
        Ok(RunningBroker {
            uri: uri.clone(),
            info,
            management,
            pid,
            engine: Engine::External,
        })
    }

    /// The management API: where the user says, or at the usual place if somebody answers there.
    async fn management_of(
        uri: &BrokerUri,
        options: &StartOptions,
    ) -> Result<Option<(ManagementClient, Overview)>, BrokerError> {
        let address = match &options.management {
            Some(text) => ManagementUri::parse(text, uri).map_err(|source| BrokerError::Management { source })?,
            None => ManagementUri::beside(uri),
        };
        let client = ManagementClient::new(address);
        let overview = tokio::time::timeout(MANAGEMENT_PROBE_TIMEOUT, client.overview()).await;
        Ok(overview.ok().and_then(Result::ok).map(|overview| (client, overview)))
    }

    /// Of a management API what belongs to the broker that greeted: several brokers on a machine have one usual place for it
    /// between them, and a virtual host made on the wrong one would be of no use to anybody.
    fn of_this_broker(
        management: Option<(ManagementClient, Overview)>,
        greeting: Option<&ServerGreeting>,
        uri: &BrokerUri,
        options: &StartOptions,
    ) -> Result<Option<(ManagementClient, Overview)>, BrokerError> {
        let (Some((client, overview)), Some(greeting)) = (&management, greeting) else {
            return Ok(management);
        };
        match &options.management {
            _ if overview.cluster_name == greeting.cluster_name => Ok(management),
            None => Ok(None),
            Some(_) => Err(BrokerError::OtherManagement {
                management: client.base().to_owned(),
                uri: uri.to_string(),
            }),
        }
    }

    /// Where to connect.
    pub fn uri(&self) -> &BrokerUri {
        &self.uri
    }

    /// What it is.
    pub fn info(&self) -> &BrokerInfo {
        &self.info
    }

    /// Its management API, where one answers.
    pub fn management(&self) -> Option<&ManagementClient> {
        self.management.as_ref()
    }

    /// Its processes on this machine, where they are known and not our own.
    pub fn pids(&self) -> Vec<u32> {
        match &self.engine {
            // Others after each restart, and none of a node that is down.
            Engine::Managed(cluster) => cluster.nodes().iter().filter_map(ManagedNode::pid).collect(),
            Engine::External | Engine::Embedded(_) => self.pid.into_iter().collect(),
        }
    }

    /// The nodes of a cluster, for clients to choose from; none where the broker's address is all there is.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match &self.engine {
            Engine::Managed(cluster) if cluster.nodes().len() > 1 => cluster.addresses(),
            _ => Vec::new(),
        }
    }

    /// The private cluster, of one node or more, if it is one.
    pub fn cluster(&self) -> Option<&ManagedCluster> {
        match &self.engine {
            Engine::Managed(cluster) => Some(cluster),
            _ => None,
        }
    }

    /// The first node of the private cluster, if it is one.
    pub fn node(&self) -> Option<&ManagedNode> {
        self.cluster().map(ManagedCluster::first)
    }

    /// The embedded broker, if it is it.
    pub fn embedded(&self) -> Option<&EmbeddedBroker> {
        match &self.engine {
            Engine::Embedded(broker) => Some(broker),
            _ => None,
        }
    }

    /// Stops what was started; an external broker goes on.
    ///
    /// # Errors
    /// [`BrokerError::Managed`] when the node's processes or files could not be removed.
    pub async fn stop(self) -> Result<(), BrokerError> {
        match self.engine {
            Engine::External => Ok(()),
            Engine::Managed(cluster) => Ok(cluster.stop().await?),
            Engine::Embedded(broker) => {
                broker.stop().await;
                Ok(())
            }
        }
    }
}

async fn greet(uri: &BrokerUri) -> Option<ServerGreeting> {
    let (host, port) = (uri.host().to_owned(), uri.port());
    let addresses = tokio::task::spawn_blocking(move || {
        (host.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<SocketAddr>>)
    })
    .await;
    for address in addresses.ok()?.ok()? {
        if let Some(greeting) = listening_amqp(address, GREETING_TIMEOUT).await {
            return Some(greeting);
        }
    }
    None
}
