//! What the management API answers, as far as it is used. A figure the broker has not yet counted is absent, not zero.

use serde::{Deserialize, Deserializer, Serialize};

/// The broker as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Version of RabbitMQ.
    pub rabbitmq_version: String,
    /// Release of Erlang/OTP.
    pub erlang_version: String,
    /// Name of the node that answered.
    pub node: String,
    /// Name of the cluster.
    pub cluster_name: Option<String>,
    /// Feature flags that are on, sorted; absent when the login may not read them.
    #[serde(skip_deserializing)]
    pub enabled_features: Option<Vec<String>>,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Name, such as `rabbit@host`.
    pub name: String,
    /// Whether it is up. A node that is down has no figures.
    #[serde(default)]
    pub running: bool,
    /// Process of its Erlang machine.
    #[serde(default, deserialize_with = "number_in_text")]
    pub os_pid: Option<u32>,
    /// Memory in use, bytes.
    pub mem_used: Option<u64>,
    /// Memory above which publishers are blocked, bytes.
    pub mem_limit: Option<u64>,
    /// Whether they are blocked for memory.
    pub mem_alarm: Option<bool>,
    /// Free disk space, bytes. Absent where the node cannot tell.
    #[serde(default, deserialize_with = "number_or_word")]
    pub disk_free: Option<u64>,
    /// Free disk space below which publishers are blocked, bytes.
    #[serde(default, deserialize_with = "number_or_word")]
    pub disk_free_limit: Option<u64>,
    /// Whether they are blocked for disk space.
    pub disk_free_alarm: Option<bool>,
    /// File descriptors in use.
    #[serde(default, deserialize_with = "number_or_word")]
    pub fd_used: Option<u64>,
    /// Erlang processes in use.
    pub proc_used: Option<u64>,
}

/// Who the login is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// User name.
    pub name: String,
    /// Tags, such as `administrator` or `monitoring`.
    #[serde(deserialize_with = "tags")]
    pub tags: Vec<String>,
}

/// One queue. Figures lag by the statistics interval; see [`super::ManagementClient::queues`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Name.
    pub name: String,
    /// `classic`, `quorum` or `stream`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether it outlives a restart.
    #[serde(default)]
    pub durable: bool,
    /// Messages that wait for a consumer.
    pub messages_ready: Option<u64>,
    /// Messages delivered, but not yet acknowledged.
    pub messages_unacknowledged: Option<u64>,
    /// Sum of both.
    pub messages: Option<u64>,
    /// Consumers.
    pub consumers: Option<u64>,
    /// Node of its process; of a queue with several known a few seconds late.
    pub node: Option<String>,
    /// Node of its leader, where it is replicated; known at once.
    pub leader: Option<String>,
    /// `running`, `idle`, `flow`, `down` and others.
    pub state: Option<String>,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Name; empty for the default exchange.
    pub name: String,
    /// `direct`, `topic` and others.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it outlives a restart.
    #[serde(default)]
    pub durable: bool,
}

/// One client connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientConnection {
    /// Name, which [`super::ManagementClient::close_connection`] takes.
    pub name: String,
    /// User name.
    pub user: Option<String>,
    /// Virtual host.
    pub vhost: Option<String>,
    /// `running`, `blocked`, `flow` and others.
    pub state: Option<String>,
    /// Its own name, from the client's properties.
    pub user_provided_name: Option<String>,
}

/// A resource that ran short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Where.
    pub node: String,
    /// `memory` or `disk`.
    pub resource: String,
}

/// Whether publishers are blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum AlarmState {
    /// No alarm in the cluster.
    Clear,
    /// At least one.
    Raised(Vec<Alarm>),
}

/// Body of the failed health check.
#[derive(Debug, Deserialize)]
pub(super) struct FailedAlarmCheck {
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FeatureFlag {
    pub name: String,
    pub state: String,
}

/// RabbitMQ writes process numbers as text, `"undefined"` for those of a node that is down.
fn number_in_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
}

/// A number, or a word such as `"disk_free_monitoring_disabled"` for none.
fn number_or_word<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.as_u64())
}

/// A list, or before 3.9 one text with commas.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tags {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Tags::deserialize(from)? {
        Tags::List(list) => list,
        Tags::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_tags_are_read() {
        for text in [r#"{"name":"u","tags":["a","b"]}"#, r#"{"name":"u","tags":"a, b"}"#] {
            let me: WhoAmI = serde_json::from_str(text).expect("an answer");
            assert_eq!(me.tags, ["a", "b"]);
        }
    }

    #[test]
    fn figures_that_are_missing_or_words_are_absent() {
        let text = r#"{"name":"n","os_pid":"undefined","disk_free":"disk_free_monitoring_disabled"}"#;
        let node: Node = serde_json::from_str(text).expect("an answer");
        assert_eq!(
            (node.os_pid, node.disk_free, node.mem_used, node.running),
            (None, None, None, false)
        );
        let queue: Queue = serde_json::from_str(r#"{"name":"q"}"#).expect("an answer");
        assert_eq!(queue.messages_ready, None);
    }
}
