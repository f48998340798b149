//! `greenlight serve`, in this process and as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use greenlight_admin::audit::find_requests;
use greenlight_admin::operator::Operator;
use greenlight_core::ports::KeepSweeps;
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::tick::TICK_EVERY;
use greenlight_server::server::{Options, Server};
use greenlight_sources::test_request::Sent;
use greenlight_stores::private::write_private;
use greenlight_stores::sqlite::Database;
use greenlight_testkit::stub::secret_document;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::built;
use crate::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};

/// A running `greenlight serve`. It is killed on drop.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    url: String,
    log: JoinHandle<String>,
}

/// Writes the scene's secret document into `folder` and returns its path.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn secrets(scene: &Scene, folder: &Path) -> PathBuf {
    let path = folder.join("secrets.json");
    write_private(&path, &secret_document(&scene.app, NAC_TOKEN).to_string())
        .expect("the secret can be written");
    path
}

/// Starts a server in this process, with these flows, the secret document and its data in `folder`;
/// a folder `connectors` in it is read. The flows have no variables.
///
/// # Panics
/// When it does not start.
pub async fn serve_in(folder: &Path, flows: &str, secret: &Value) -> Server {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("flows.toml"), flows).expect("the flows can be written");
    write_private(&at("secrets.json"), &secret.to_string()).expect("the secret can be written");
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: at("data"),
        secrets: at("secrets.json"),
        flows: Some(at("flows.toml")),
        connectors: Some(at("connectors")).filter(|connectors| connectors.exists()),
        tick_every: TICK_EVERY,
    };
    Server::start_with(options, &|_| None).await.expect("it starts")
}

/// An operator whose acts are recorded in `database`.
#[must_use]
pub fn operator(database: &Database) -> Operator {
    Operator { who: "li@host.example.com".to_owned(), acts: Arc::new(database.clone()) }
}

/// Approves a form in the office system of `scene`, and returns when `server` has nothing left to
/// do.
///
/// # Panics
/// When the event is not accepted.
pub async fn approve_at(server: &Server, scene: &Scene, instance: &str, form: &Value) {
    scene.feishu.put_instance(instance, APPROVAL_CODE, "APPROVED", form);
    deliver(server, scene, &format!("e-{instance}"), instance).await;
}

/// Sends an event of an approved instance, and returns when `server` has nothing left to do.
///
/// # Panics
/// When the event is not accepted.
pub async fn deliver(server: &Server, scene: &Scene, event_id: &str, instance: &str) {
    deliver_status(server, scene, event_id, (instance, "APPROVED")).await;
}

/// Sends an event of an instance with its status, and returns when `server` has nothing left to do.
///
/// # Panics
/// When the event is not accepted.
pub async fn deliver_status(
    server: &Server,
    scene: &Scene,
    event_id: &str,
    (instance, status): (&str, &str),
) {
    let event = scene.event(event_id, instance, status);
    let url = format!("http://{}/api/event", server.address());
    assert_eq!(scene.send_to(&url, None, &event).await.status, 200);
    server.drained().await.expect("the queue can be read");
}

/// Class and reason of each dead letter of `server`.
///
/// # Panics
/// When the queue cannot be read.
pub async fn failures(server: &Server) -> Vec<(String, String)> {
    let found = server.database().dead_letters().await.expect("the queue can be read");
    let failures = found.into_iter().filter_map(|it| it.last_failure);
    failures.map(|failure| (failure.class, failure.cause.text)).collect()
}

/// Returns when an attempt for an instance has failed with this text in its cause.
///
/// # Panics
/// When the ledger cannot be read.
pub async fn wait_for_failure(server: &Server, instance: &str, cause: &str) {
    loop {
        let found = find_requests(server.database(), instance).await;
        let found = found.expect("the ledger can be read");
        let failures = found.into_iter().filter_map(|history| history.last_failure);
        if failures.into_iter().any(|failure| failure.cause.text.contains(cause)) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Returns the record of the sweeps over an approval definition when one has ended.
///
/// # Panics
/// When the ledger cannot be read.
pub async fn wait_for_sweep(database: &Database, key: &SweepKey) -> Sweep {
    loop {
        let read = database.change_sweep(key, |it: Sweep| (it, ()));
        let (record, ()) = read.await.expect("the ledger can be read");
        if record.listed_until.is_some() && record.lease.is_none() {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

/// Sends a request to a path of `server`; returns the status and the body of the answer.
///
/// # Panics
/// When no answer comes.
pub async fn send(server: &Server, path: &str, sent: &Sent) -> (u16, String) {
    let url = format!("http://{}{path}", server.address());
    let request = sent.to_request(&url).expect("the path is one of a URL");
    let request = reqwest::Request::try_from(request).expect("the request is one of HTTP");
    let answer = reqwest::Client::new().execute(request).await.expect("an answer comes");
    (answer.status().as_u16(), answer.text().await.expect("it is text"))
}

/// The command with its environment, which listens on a port that the system chooses. `before` is
/// the command line of a wrapper, such as a shell, that starts it.
#[must_use]
pub fn serve_command(scene: &Scene, folder: &Path, before: &[&str], greenlight: &Path) -> Command {
    let mut words = before.iter().map(AsRef::as_ref).chain([greenlight.as_os_str()]);
    let mut command = Command::new(words.next().expect("the command line has a program"));
    command
        .args(words)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"))
        .arg("--secrets")
        .arg(secrets(scene, folder))
        .env("FLOWS_FILE", scene.flows_file(folder))
        .env("NAC_URL", scene.nac.url())
        .env("APPROVAL_CODE", APPROVAL_CODE)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The URL of the webhook, in the line of the log that says where the server listens.
#[must_use]
pub fn webhook_url(line: &str) -> Option<String> {
    let (_, url) = line.split_once("listening on ")?;
    Some(url.split(['"', ' ']).next().unwrap_or(url).to_owned())
}

impl Serving {
    /// Starts it with the data folder in `folder`, and returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(scene: &Scene, folder: &Path) -> Self {
        Self::start_by(scene, folder, &[]).await
    }

    /// Like [`Serving::start`], with more arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(scene: &Scene, folder: &Path, more: &[&str]) -> Self {
        let mut command = serve_command(scene, folder, &[], &built("greenlight"));
        command.args(more);
        Self::run(command).await
    }

    /// Like [`Serving::start`], through a wrapper, see [`serve_command`].
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_by(scene: &Scene, folder: &Path, before: &[&str]) -> Self {
        Self::run(serve_command(scene, folder, before, &built("greenlight"))).await
    }

    /// Starts a command from [`serve_command`].
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut before = String::new();
        let url = loop {
            let line = lines.next_line().await.expect("its log is text");
            let line = line.unwrap_or_else(|| panic!("it ended before it listened:\n{before}"));
            if let Some(url) = webhook_url(&line) {
                break url;
            }
            before += &line;
            before.push('\n');
        };
        let log = tokio::spawn(async move {
            let mut log = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self { child, url, log }
    }

    /// The process id.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The URL of its webhook.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets a resource limit of the running process; `prlimit` has the format.
    ///
    /// # Panics
    /// When it cannot be set.
    pub async fn set_limit(&self, limit: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, limit]).status().await;
        assert!(status.expect("`prlimit` can be started").success());
    }

    /// Stops it with SIGTERM and returns its log.
    ///
    /// # Panics
    /// When it does not exit with status 0.
    pub async fn stop(mut self) -> String {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").arg(&pid).status().await.expect("`kill` can be started");
        assert!(status.success());
        assert!(self.child.wait().await.expect("it can be awaited").success(), "it exits with 0");
        self.log.await.expect("its log is read")
    }

    /// Kills it with SIGKILL and returns its log.
    ///
    /// # Panics
    /// When the process has ended already.
    pub async fn kill(mut self) -> String {
        self.child.kill().await.expect("it runs");
        self.log.await.expect("its log is read")
    }
}
