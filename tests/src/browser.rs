//! A real browser: headless Chromium, driven over the WebDriver protocol (W3C).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::local_aws::free_port;
use crate::workspace;

/// How long to wait for an expected text on a page.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The JSON key of an element reference in the WebDriver protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. It is closed on drop.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: String,
    driver: Child,
}

impl Browser {
    /// Starts the browser; `language` is sent as `Accept-Language`.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start(language: &str) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`chromedriver` is installed: `cargo verify page` does it");
        // A cold start from disk is slow.
        let client = Client::builder().timeout(TIMEOUT).build();
        let client = client.expect("an HTTP client can be built");
        let url = format!("http://127.0.0.1:{port}");
        let ready = async {
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            while !try_call(&client, Method::GET, &format!("{url}/status"), &json!({}))
                .await
                .is_some_and(|answer| answer["ready"] == true)
            {
                pause.tick().await;
            }
        };
        tokio::time::timeout(TIMEOUT, ready).await.expect("the driver becomes ready");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"],
                "prefs": {"intl.accept_languages": language},
            },
        }}});
        let session = call(&client, Method::POST, &format!("{url}/session"), &capabilities).await;
        let id = session["sessionId"].as_str().expect("a session has an id");
        Self { client, session: format!("{url}/session/{id}"), driver }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        call(&self.client, method, &format!("{}{path}", self.session), body).await
    }

    /// Opens `url`.
    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", &json!({"url": url})).await;
    }

    /// Returns the visible text of the page.
    pub async fn text(&self) -> String {
        let script =
            json!({"script": "return document.body ? document.body.innerText : \"\"", "args": []});
        let text = self.ask(Method::POST, "/execute/sync", &script).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Reloads `url` until its page shows `wanted`, and returns the text.
    ///
    /// # Panics
    /// When it never does.
    pub async fn open_until(&self, url: &str, wanted: &str) -> String {
        self.look_until(Some(url), wanted).await
    }

    /// Waits until the page shows `wanted`, for example after a click, and returns the text.
    ///
    /// # Panics
    /// When it never does.
    pub async fn wait_for(&self, wanted: &str) -> String {
        self.look_until(None, wanted).await
    }

    async fn look_until(&self, anew: Option<&str>, wanted: &str) -> String {
        let shown = async {
            let mut pause = tokio::time::interval(Duration::from_millis(200));
            loop {
                if let Some(url) = anew {
                    self.open(url).await;
                }
                let text = self.text().await;
                if text.contains(wanted) {
                    return text;
                }
                pause.tick().await;
            }
        };
        if let Ok(text) = tokio::time::timeout(TIMEOUT, shown).await {
            return text;
        }
        panic!("timeout: the page does not show {wanted:?}:\n{}", self.text().await)
    }

    /// Clicks the first element that matches the CSS selector.
    ///
    /// # Panics
    /// When no element matches.
    pub async fn click(&self, selector: &str) {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.ask(Method::POST, "/element", &by).await;
        let element = found[ELEMENT].as_str().expect("an element has a name");
        self.ask(Method::POST, &format!("/element/{element}/click"), &json!({})).await;
    }

    /// Presses keys one after the other; the focused element receives them.
    pub async fn press(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
        });
        let strokes: Vec<_> = strokes.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask(Method::POST, "/actions", &actions).await;
    }

    /// Emulates the colour scheme that the user prefers, light or dark.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command =
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.ask(Method::POST, "/goog/cdp/execute", &command).await;
    }

    /// Saves a screenshot of the page with the other test artefacts.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn keep_picture(&self, name: &str) -> PathBuf {
        let picture = self.ask(Method::GET, "/screenshot", &json!({})).await;
        let picture = STANDARD.decode(picture.as_str().unwrap_or_default()).expect("it is base64");
        let folder = workspace().join("target/test-artefacts");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, picture).expect("a screenshot can be written");
        println!("picture: target/test-artefacts/{name}.png");
        path
    }

    /// Ends the session and the browser.
    pub async fn close(mut self) {
        self.ask(Method::DELETE, "", &json!({})).await;
        let _ = self.driver.kill().await;
    }
}

/// The driver stops the browser on SIGTERM, but not on SIGKILL.
impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(pid) = self.driver.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

async fn try_call(client: &Client, method: Method, url: &str, body: &Value) -> Option<Value> {
    let body = if method == Method::POST { body.to_string() } else { String::new() };
    let request = client.request(method, url).header("content-type", "application/json");
    let answer = request.body(body).send().await.ok()?.bytes().await.ok()?;
    let mut answer: Value = serde_json::from_slice(&answer).ok()?;
    Some(answer["value"].take())
}

async fn call(client: &Client, method: Method, url: &str, body: &Value) -> Value {
    let answer = try_call(client, method, url, body).await;
    let answer = answer.unwrap_or_else(|| panic!("the driver does not answer {url} {body}"));
    assert!(answer.get("error").is_none(), "{url}: {answer}");
    answer
}
