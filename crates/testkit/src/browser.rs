//! A real browser: Chromium without a window, told what to do by WebDriver.
//!
//! The protocol (<https://www.w3.org/TR/webdriver2/>) is JSON over HTTP; the dozen commands that
//! the tests need are less than a client library with its dependencies.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::Process;
use crate::client::plain;
use crate::folder::Folder;

/// A guard against hanging on a machine that is busy; no expectation.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether pages may run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    /// As browsers come.
    On,
    /// Switched off by the person, for all sites.
    Off,
}

/// Keys that are no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next control.
    Tab,
    /// Sends a form, follows a link.
    Enter,
}

impl Key {
    const fn code(self) -> char {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e007}',
        }
    }
}

/// A browser with a profile of its own. When this is dropped, also by a failed assertion, or the
/// test process ends, it goes with all that it kept.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    // Before `folder`: what runs ends before the sweep.
    _driver: Process,
    _folder: Folder,
}

impl Browser {
    /// Starts one. All names under `.example` lead to this machine; `*.localhost` does by itself.
    ///
    /// # Panics
    /// When there is none to start.
    pub async fn start(scripts: Scripts) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(program(&["chromedriver"]));
        // A free port of its choice, which it tells.
        command.arg("--port=0").env("HOME", folder.path());
        let mut driver = Process::spawn(command, folder.path(), "chromedriver");
        let port = port_of(&mut driver);
        let http = plain(reqwest::Client::builder())
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        let mut browser = Self {
            http,
            session: format!("http://127.0.0.1:{port}/session"),
            _driver: driver,
            _folder: folder,
        };
        let profile = browser._folder.path().join("profile");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-features=HttpsUpgrades".to_owned(),
            "--host-resolver-rules=MAP *.example 127.0.0.1".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        if rustix::process::getuid().is_root() {
            // Its sandbox needs a user who is not root.
            arguments.push("--no-sandbox".to_owned());
        }
        let setting = match scripts {
            Scripts::On => 1,
            Scripts::Off => 2,
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "performance": "ALL" },
            "goog:chromeOptions": {
                "binary": program(&["chromium", "chromium-browser", "google-chrome"]),
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": setting },
            },
        } } });
        let made = browser.post("", wanted).await;
        let id = made["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Opens an address, as typed in.
    pub async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Goes one page back.
    pub async fn back(&self) {
        self.post("/back", json!({})).await;
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// What the address bar shows.
    pub async fn url(&self) -> String {
        text(self.get("/url").await)
    }

    /// What the window is called.
    pub async fn title(&self) -> String {
        text(self.get("/title").await)
    }

    /// All that a person reads on the page.
    pub async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// What a person reads in the first element of a selector.
    pub async fn text_of(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        text(self.get(&format!("/element/{element}/text")).await)
    }

    /// The page as the server sent it, roughly.
    pub async fn source(&self) -> String {
        text(self.get("/source").await)
    }

    /// Waits until the address bar shows this.
    ///
    /// # Panics
    /// When it does not.
    pub async fn arrive(&self, url: &str) {
        self.wait(&format!("the address {url}"), "location.href", url)
            .await;
    }

    /// Waits until there is an element of a selector.
    ///
    /// # Panics
    /// When none comes.
    pub async fn wait_for(&self, selector: &str) {
        let there = format!("document.querySelector({}) !== null", json!(selector));
        self.wait(selector, &there, true).await;
    }

    /// Waits until the page's heading is this.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn read_heading(&self, heading: &str) {
        let heading_now = "document.querySelector('h1')?.innerText";
        self.wait(&format!("the heading `{heading}`"), heading_now, heading)
            .await;
    }

    async fn wait(&self, what: &str, expression: &str, expected: impl Into<Value>) {
        let until = Instant::now() + PATIENCE;
        let (expected, script) = (expected.into(), format!("return {expression}"));
        let body = json!({ "script": script, "args": [] });
        loop {
            // Between two pages there is nothing to ask.
            let now = self
                .ask(Method::POST, "/execute/sync", Some(body.clone()))
                .await;
            if now.as_ref() == Ok(&expected) {
                return;
            }
            if Instant::now() > until {
                panic!("{what} does not come, but {now:?}: {}", self.text().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses a key and lets it go.
    pub async fn press(&self, key: Key) {
        self.strike(key.code()).await;
    }

    /// Types a text, key by key, wherever the focus is.
    pub async fn type_text(&self, text: &str) {
        for key in text.chars() {
            self.strike(key).await;
        }
    }

    /// Presses Tab until the control of this name has the focus.
    ///
    /// # Panics
    /// When it never has.
    pub async fn tab_to(&self, name: &str) {
        let mut seen = Vec::new();
        for _ in 0..20 {
            self.press(Key::Tab).await;
            let focused = self.focused().await;
            if focused == name {
                return;
            }
            seen.push(focused);
        }
        panic!("Tab leads to {seen:?} and not to `{name}`");
    }

    /// The name of the control that has the focus, as a screen reader says it.
    pub async fn focused(&self) -> String {
        let element = id_of(&self.get("/element/active").await);
        text(self.get(&format!("/element/{element}/computedlabel")).await)
    }

    /// Runs a script in the page, be it that the page itself may not.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.post("/execute/sync", body).await
    }

    /// Runs a script in the page and waits until it calls its last argument.
    pub async fn run_async(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.post("/execute/async", body).await
    }

    /// Sends a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", body).await
    }

    /// What the browser sent and got since it was asked last, as DevTools tells it: one object with
    /// `method` and `params` per event.
    pub async fn traffic(&self) -> Vec<Value> {
        let log = self.post("/se/log", json!({ "type": "performance" })).await;
        let entries = log.as_array().expect("a list").iter();
        let events = entries.map(|entry| {
            let event = entry["message"].as_str().expect("a message");
            let mut event: Value = serde_json::from_str(event).expect("JSON");
            event["message"].take()
        });
        events
            .filter(|event| {
                let method = event["method"].as_str().unwrap_or_default();
                method.starts_with("Network.")
            })
            .collect()
    }

    async fn find(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        id_of(&self.post("/element", body).await)
    }

    async fn strike(&self, key: char) {
        let key = key.to_string();
        let strokes = [
            json!({ "type": "keyDown", "value": key }),
            json!({ "type": "keyUp", "value": key }),
        ];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", json!({ "actions": [keyboard] }))
            .await;
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.ask(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer of chromedriver");
        let done = answer.status().is_success();
        let mut answer: Value = answer.json().await.expect("JSON of chromedriver");
        let mut value = answer["value"].take();
        if done {
            Ok(value)
        } else {
            Err(value["message"].take())
        }
    }
}

/// The first of some programs that is installed.
fn program(names: &[&str]) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = names.iter().find_map(|name| {
        std::env::split_paths(&folders)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    });
    found.unwrap_or_else(|| {
        panic!(
            "{} is not installed: run .ci/install-browser.sh, or install chromium and chromium-driver",
            names[0]
        )
    })
}

/// The port that chromedriver chose.
fn port_of(driver: &mut Process) -> u16 {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = driver.output();
        let line = said.lines().find(|line| line.contains("successfully"));
        let port = line.and_then(|line| line.trim_end_matches('.').rsplit(' ').next());
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            return port;
        }
        let ended = driver.ended();
        assert!(
            ended.is_none() && Instant::now() < until,
            "chromedriver does not start ({ended:?}): {said}{}",
            driver.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The id of an element, which comes under a name of the protocol.
fn id_of(element: &Value) -> String {
    let id = element
        .as_object()
        .and_then(|object| object.values().next());
    text(id.cloned().unwrap_or_default())
}

fn text(value: Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
