//! A headless Chromium, led over its debugging pipe (Chrome DevTools Protocol): JSON messages that end in a zero byte.
//!
//! The pipe is file descriptors 3 and 4; a shell turns its own standard input and output into them.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Longest wait for an answer or for a page; generous, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --disable-dev-shm-usage --disable-breakpad --remote-debugging-pipe";

/// Which of its two colour schemes a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Light,
    Dark,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Of the window, CSS pixels.
    pub width: u32,
    pub scheme: Scheme,
}

/// A browser with one tab; it ends with this value.
pub(super) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// What came while an answer was waited for.
    events: VecDeque<Value>,
    session: Option<String>,
    sent: u64,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts `chromium`, with a profile of its own.
    ///
    /// # Errors
    /// A sentence, if there is none.
    pub(super) fn start() -> Result<Chromium, String> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&search).any(|folder| folder.join("chromium").is_file()) {
            return Err("there is no chromium in the PATH".to_owned());
        }
        let profile = tempfile::tempdir().map_err(|error| format!("there is no place for a profile: {error}"))?;
        let script =
            format!("exec chromium {FLAGS} --user-data-dir=\"$0\" about:blank 3<&0 4>&1 </dev/null >/dev/null");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(profile.path())
            .env("HOME", profile.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("sh does not start: {error}"))?;
        let to = child.stdin.take().expect("piped");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (messages, from) = channel();
        std::thread::spawn(move || {
            for message in out.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    break;
                };
                if messages.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Chromium {
            child,
            to,
            from,
            events: VecDeque::new(),
            session: None,
            sent: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Ok(browser)
    }

    /// Opens the page at `path` and gives what is wrong with it: what the browser says, and the strings that the expression
    /// `check` gives.
    pub(super) fn look(&mut self, path: &Path, view: View, check: &str) -> Vec<String> {
        let metrics = json!({ "width": view.width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = match view.scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
        // Away from the page before, so that what it said late is not taken for this page's.
        self.open("about:blank");
        self.events.clear();
        let page = format!("file://{}", path.display());
        let mut seen = self.open(&page);
        let arguments = json!({ "expression": check, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", arguments);
        match answer["result"]["value"].as_array() {
            Some(found) => seen.extend(found.iter().filter_map(Value::as_str).map(str::to_owned)),
            None => seen.push(format!("the check itself failed: {answer}")),
        }
        seen.extend(
            std::mem::take(&mut self.events)
                .iter()
                .filter_map(|event| complaint(event, &page)),
        );
        seen
    }

    /// Goes to `url` and waits until it is loaded; gives what the browser complained of.
    fn open(&mut self, url: &str) -> Vec<String> {
        self.call("Page.navigate", json!({ "url": url }));
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.receive(deadline, "the page to be loaded"),
            };
            seen.extend(complaint(&event, url));
            if event["method"] == "Page.loadEventFired" {
                return seen;
            }
        }
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to
            .write_all(&bytes)
            .unwrap_or_else(|error| panic!("{method}: the browser is gone: {error}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answer = self.receive(deadline, method);
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.events.push_back(answer);
        }
    }

    fn receive(&self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        self.from
            .recv_timeout(left)
            .unwrap_or_else(|error| panic!("chromium did not answer ({what}): {error}"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser and its helpers, all in the group that was made for them.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// What an event says is wrong with the page at `page`.
fn complaint(event: &Value, page: &str) -> Option<String> {
    let about = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => {
            let details = &about["exceptionDetails"];
            let text = details["exception"]["description"]
                .as_str()
                .or(details["text"].as_str());
            Some(format!("exception: {}", text.unwrap_or_default()))
        }
        "Runtime.consoleAPICalled" if ["error", "warning", "assert"].contains(&about["type"].as_str()?) => {
            let said = about["args"].as_array()?.iter().map(|one| one["value"].to_string());
            Some(format!(
                "console: {}",
                said.collect::<Vec<_>>().join(" ").replace('"', "")
            ))
        }
        "Log.entryAdded" if ["error", "warning"].contains(&about["entry"]["level"].as_str()?) => {
            Some(format!("log: {}", about["entry"]["text"].as_str()?))
        }
        "Network.requestWillBeSent" => {
            let url = about["request"]["url"].as_str()?;
            (url != page && !url.starts_with("data:")).then(|| format!("outside request: {url}"))
        }
        _ => None,
    }
}
