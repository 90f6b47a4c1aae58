//! Client of the RabbitMQ management HTTP API, and of the Prometheus plugin beside it.
//!
//! Each call is one short blocking request on tokio's threads for such work; a call in a measured path would be a
//! mistake. The password goes into a header only: no address, error or log holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::{Method, Request, StatusCode};

pub use self::address::ManagementUri;
pub use self::answers::{Alarm, AlarmState, ClientConnection, Exchange, Node, Overview, Queue, WhoAmI};
use self::answers::{FailedAlarmCheck, FeatureFlag};
pub use self::metrics::MessageTotals;
use crate::amqp::secret::percent_encode;

mod address;
mod answers;
mod metrics;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a whole call. Listing thousands of queues takes a busy broker seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where another node can be asked instead: one that stands still must not hold up everything.
const CLUSTER_CALL_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const QUOTE_CHARS_MAX: usize = 300;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The address cannot be read.
    #[error("management address (not shown, it may hold a password): {why}; help: write http://host:15672")]
    BadAddress {
        /// What is wrong.
        why: &'static str,
    },
    /// No connection, or no answer in time.
    #[error(
        "{action} at {base}: {why}; help: is the management plugin enabled (rabbitmq-plugins enable rabbitmq_management), and this its port?"
    )]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// Where.
        base: String,
        /// Why it failed.
        why: String,
    },
    /// The login is wrong, or its user lacks the tag or permission.
    #[error("{action} at {base}: refused to user `{user}` (HTTP {status}); help: check the password, and give the user the tag {}", if *.status == 401 { "management, or administrator for changes" } else { "administrator" })]
    Unauthorised {
        /// What was tried.
        action: &'static str,
        /// Where.
        base: String,
        /// As whom.
        user: String,
        /// 401 or 403.
        status: u16,
    },
    /// The object does not exist.
    #[error("{action} at {base}: there is no {path}; help: check the name and its virtual host")]
    NotFound {
        /// What was tried.
        action: &'static str,
        /// Where.
        base: String,
        /// The object's path.
        path: String,
    },
    /// An answer that makes no sense here.
    #[error("{action} at {base}: {why}; help: is this the management API of RabbitMQ 3.8 or later?")]
    BadAnswer {
        /// What was tried.
        action: &'static str,
        /// Where.
        base: String,
        /// What is odd about it.
        why: String,
    },
    /// The call was cut short by the end of the runtime.
    #[error("{action}: the program is ending")]
    Interrupted {
        /// What was tried.
        action: &'static str,
    },
}

/// Client of one broker. Clones share their connections.
#[derive(Clone)]
pub struct ManagementClient {
    agent: ureq::Agent,
    uri: ManagementUri,
    prometheus_base: Option<String>,
    /// Other nodes of the cluster that may be asked instead: their API, and their Prometheus plugin.
    others: Vec<(String, Option<String>)>,
    /// Which node answered last: 0 for the address itself.
    answering: Arc<AtomicUsize>,
}

impl std::fmt::Debug for ManagementClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagementClient")
            .field("uri", &self.uri)
            .field("prometheus", &self.prometheus_base)
            .finish()
    }
}

impl ManagementClient {
    /// A client; connects at the first call.
    pub fn new(uri: ManagementUri) -> Self {
        Self {
            agent: agent(CALL_TIMEOUT),
            uri,
            prometheus_base: None,
            others: Vec::new(),
            answering: Arc::default(),
        }
    }

    /// The same client, which asks these nodes of the cluster (API, Prometheus plugin) where the one before does not answer.
    #[must_use]
    pub(super) fn or_at(self, others: Vec<(String, Option<String>)>) -> Self {
        if others.is_empty() {
            return self;
        }
        Self {
            agent: agent(CLUSTER_CALL_TIMEOUT),
            others,
            ..self
        }
    }

    /// The same client, which also knows the Prometheus plugin, such as `http://host:15692`.
    #[must_use]
    pub fn with_prometheus(mut self, base: &str) -> Self {
        self.prometheus_base = Some(base.trim_end_matches('/').to_owned());
        self
    }

    /// Address, without the login.
    pub fn base(&self) -> &str {
        self.uri.base()
    }

    /// Versions, names, feature flags.
    ///
    /// # Errors
    /// Any [`ManagementError`], as for every call of this client.
    ///
    /// # Cancel safety
    /// As for every call of this client: the request goes on unseen for at most 10 s.
    pub async fn overview(&self) -> Result<Overview, ManagementError> {
        let call = Call::get("read the overview", "/api/overview");
        let mut overview: Overview = self.read(call).await?;
        let flags: Result<Vec<FeatureFlag>, _> = self.read(Call::get("read feature flags", "/api/feature-flags")).await;
        overview.enabled_features = match flags {
            Ok(flags) => {
                let on = flags
                    .into_iter()
                    .filter(|flag| flag.state == "enabled")
                    .map(|flag| flag.name);
                let mut on: Vec<String> = on.collect();
                on.sort_unstable();
                Some(on)
            }
            // For administrators alone, and unknown before 3.8.
            Err(ManagementError::Unauthorised { .. } | ManagementError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(overview)
    }

    /// Nodes of the cluster.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`].
    pub async fn nodes(&self) -> Result<Vec<Node>, ManagementError> {
        self.read(Call::get("list the nodes", "/api/nodes")).await
    }

    /// Name and tags of the login.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`].
    pub async fn whoami(&self) -> Result<WhoAmI, ManagementError> {
        self.read(Call::get("asked for the own user", "/api/whoami")).await
    }

    /// Makes a virtual host, in which nobody has a permission yet; one that is there is left as it is.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`].
    pub async fn create_vhost(&self, vhost: &str) -> Result<(), ManagementError> {
        self.write(Call::put("create a vhost", &vhost_path(vhost), json!({})))
            .await
    }

    /// Deletes a virtual host with everything in it.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`]; [`ManagementError::NotFound`] when it does not exist.
    pub async fn delete_vhost(&self, vhost: &str) -> Result<(), ManagementError> {
        self.write(Call::delete("delete a vhost", &vhost_path(vhost))).await
    }

    /// Gives the own user every permission in a virtual host.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`].
    pub async fn grant_own_user(&self, vhost: &str) -> Result<(), ManagementError> {
        let path = format!(
            "/api/permissions/{}/{}",
            percent_encode(vhost),
            percent_encode(self.uri.user())
        );
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.write(Call::put("set permissions", &path, all)).await
    }

    /// Queues of a virtual host. Their figures lag by about 5 s on a broker as installed, 1 s on a managed node.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`]; [`ManagementError::NotFound`] when the vhost does not exist.
    pub async fn queues(&self, vhost: &str) -> Result<Vec<Queue>, ManagementError> {
        self.read(Call::get(
            "list the queues",
            &format!("/api/queues/{}", percent_encode(vhost)),
        ))
        .await
    }

    /// Exchanges of a virtual host, the predeclared ones too.
    ///
    /// # Errors
    /// See [`ManagementClient::queues`].
    pub async fn exchanges(&self, vhost: &str) -> Result<Vec<Exchange>, ManagementError> {
        self.read(Call::get(
            "list the exchanges",
            &format!("/api/exchanges/{}", percent_encode(vhost)),
        ))
        .await
    }

    /// Client connections of a virtual host. A new one is listed after about 5 s.
    ///
    /// # Errors
    /// See [`ManagementClient::queues`].
    pub async fn connections(&self, vhost: &str) -> Result<Vec<ClientConnection>, ManagementError> {
        let path = format!("/api/vhosts/{}/connections", percent_encode(vhost));
        self.read(Call::get("list the connections", &path)).await
    }

    /// Has the broker close a client's connection (reply code 320).
    ///
    /// # Errors
    /// See [`ManagementClient::overview`]; [`ManagementError::NotFound`] when it is closed already.
    pub async fn close_connection(&self, name: &str) -> Result<(), ManagementError> {
        let path = format!("/api/connections/{}", percent_encode(name));
        self.write(Call::delete("close a connection", &path)).await
    }

    /// Whether an alarm blocks publishers. Current at once, unlike other figures.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`].
    pub async fn alarms(&self) -> Result<AlarmState, ManagementError> {
        let call = Call::get("checked for alarms", "/api/health/checks/alarms");
        let action = call.action;
        let answer = self.send(call).await?;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return self.accepted(answer).map(|_| AlarmState::Clear);
        }
        let failed: FailedAlarmCheck = self.decode(action, &answer.body)?;
        Ok(AlarmState::Raised(failed.alarms))
    }

    /// The broker's live message counters, of all nodes together; `None` when the Prometheus plugin is not known to this client.
    ///
    /// # Errors
    /// See [`ManagementClient::overview`]; a node that does not answer makes the sum unknown.
    pub async fn message_totals(&self) -> Result<Option<MessageTotals>, ManagementError> {
        let others = self.others.iter().map(|(_, prometheus)| prometheus.clone());
        let bases: Option<Vec<String>> = std::iter::once(self.prometheus_base.clone()).chain(others).collect();
        let Some(bases) = bases else {
            return Ok(None);
        };
        let mut totals: Option<MessageTotals> = None;
        for base in bases {
            let answer = self
                .send(Call {
                    base: Some(base),
                    ..Call::get("read the message counters", "/metrics")
                })
                .await?;
            let text = self.accepted(answer)?;
            let node = MessageTotals::read(&String::from_utf8_lossy(&text));
            totals = Some(totals.map_or(node, |sum| sum.plus(node)));
        }
        Ok(totals)
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ManagementError> {
        let action = call.action;
        let body = self.accepted(self.send(call).await?)?;
        self.decode(action, &body)
    }

    async fn write(&self, call: Call) -> Result<(), ManagementError> {
        self.accepted(self.send(call).await?).map(|_| ())
    }

    async fn send(&self, call: Call) -> Result<Answer, ManagementError> {
        let (client, action) = (self.clone(), call.action);
        let sent = tokio::task::spawn_blocking(move || client.send_blocking(call));
        sent.await.unwrap_or(Err(ManagementError::Interrupted { action }))
    }

    /// Asks the node that answered last, and where that does not answer the next.
    fn send_blocking(&self, call: Call) -> Result<Answer, ManagementError> {
        if let Some(base) = &call.base {
            return self.ask(base, &call);
        }
        let nodes = 1 + self.others.len();
        let last = self.answering.load(Ordering::Relaxed);
        let mut failed = None;
        for node in (0..nodes).map(|step| (last + step) % nodes) {
            let other = node.checked_sub(1).and_then(|at| self.others.get(at));
            match self.ask(other.map_or(self.base(), |(base, _)| base), &call) {
                Err(error @ ManagementError::Unreachable { .. }) => failed = Some(error),
                answered => {
                    self.answering.store(node, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(failed.expect("there is at least one node, and each has failed"))
    }

    fn ask(&self, base: &str, call: &Call) -> Result<Answer, ManagementError> {
        let unreachable = |error: ureq::Error| ManagementError::Unreachable {
            action: call.action,
            base: base.to_owned(),
            why: self.uri.password().mask_in(&error.to_string()),
        };
        let mut request = Request::builder()
            .method(&call.method)
            .uri(format!("{base}{}", call.path));
        if call.base.is_none() {
            // The Prometheus plugin asks for no login, and gets none.
            request = request.header(
                "authorization",
                self.uri.password().basic_authorization(self.uri.user()),
            );
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(body);
        let request = request.map_err(|error| unreachable(ureq::Error::Http(error)))?;
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(unreachable)?;
        Ok(Answer {
            action: call.action,
            base: base.to_owned(),
            path: call.path.clone(),
            status,
            body,
        })
    }

    fn accepted(&self, answer: Answer) -> Result<Vec<u8>, ManagementError> {
        let Answer {
            action,
            base,
            path,
            status,
            body,
        } = answer;
        match status.as_u16() {
            200..=299 => Ok(body),
            status @ (401 | 403) => Err(ManagementError::Unauthorised {
                action,
                base,
                user: self.uri.user().to_owned(),
                status,
            }),
            404 => Err(ManagementError::NotFound { action, base, path }),
            status => {
                let why = format!("HTTP {status}: {}", self.quote(&body));
                Err(ManagementError::BadAnswer { action, base, why })
            }
        }
    }

    fn decode<T: DeserializeOwned>(&self, action: &'static str, body: &[u8]) -> Result<T, ManagementError> {
        serde_json::from_slice(body).map_err(|error| ManagementError::BadAnswer {
            action,
            base: self.base().to_owned(),
            why: format!("{error} in the answer {}", self.quote(body)),
        })
    }

    /// The beginning of a foreign text, on one line and without the password.
    fn quote(&self, body: &[u8]) -> String {
        let text: String = String::from_utf8_lossy(body).chars().take(QUOTE_CHARS_MAX).collect();
        self.uri.password().mask_in(&text).escape_debug().to_string()
    }
}

fn agent(call_timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(call_timeout))
        // A login goes to the broker named, not to a proxy of the environment nor where a redirect points.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into()
}

fn vhost_path(vhost: &str) -> String {
    format!("/api/vhosts/{}", percent_encode(vhost))
}

struct Call {
    action: &'static str,
    /// Absent: the management API's.
    base: Option<String>,
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Call {
    fn get(action: &'static str, path: &str) -> Self {
        Self {
            action,
            base: None,
            method: Method::GET,
            path: path.to_owned(),
            body: None,
        }
    }

    fn put(action: &'static str, path: &str, body: Value) -> Self {
        Self {
            method: Method::PUT,
            body: Some(body),
            ..Self::get(action, path)
        }
    }

    fn delete(action: &'static str, path: &str) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(action, path)
        }
    }
}

struct Answer {
    action: &'static str,
    base: String,
    path: String,
    status: StatusCode,
    body: Vec<u8>,
}

#[cfg(test)]
mod tests;
