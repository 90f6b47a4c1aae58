//! How a managed node shall be.

use std::path::PathBuf;
use std::time::Duration;

/// How much the node writes to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What RabbitMQ logs by default: connections among others, which costs under connection churn.
    Info,
    /// Alarms and worse.
    #[default]
    Warning,
    /// Errors alone.
    Error,
}

impl LogLevel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How a managed node shall be.
#[derive(Debug, Clone)]
pub struct ManagedOptions {
    /// The `rabbitmq-server` script, or a launcher that takes its place; found by itself when absent.
    pub server: Option<PathBuf>,
    /// Where the node's directory is made; the system's directory for temporary files when absent.
    pub state_parent: Option<PathBuf>,
    /// How much it logs.
    pub log_level: LogLevel,
    /// Memory in bytes above which the node blocks publishers; RabbitMQ's own share of the machine when absent.
    pub memory_high_watermark_bytes: Option<u64>,
    /// Start the management plugin (HTTP API).
    pub management: bool,
    /// Start the Prometheus plugin.
    pub prometheus: bool,
    /// How often channels and queues report their figures; at least 1 ms. 200 ms makes queue depths fresh at a cost.
    pub stats_interval: Duration,
    /// Time from the start of the server until it must be ready.
    pub boot_deadline: Duration,
    /// Further lines of `rabbitmq.conf`: key and value.
    pub settings: Vec<(String, String)>,
}

impl Default for ManagedOptions {
    fn default() -> Self {
        Self {
            server: None,
            state_parent: None,
            log_level: LogLevel::default(),
            memory_high_watermark_bytes: None,
            management: true,
            prometheus: true,
            stats_interval: Duration::from_secs(1),
            boot_deadline: Duration::from_secs(90),
            settings: Vec::new(),
        }
    }
}
