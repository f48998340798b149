//! `greenlight serve` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use greenlight_stores::private::write_private;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::built;
use crate::local_aws::free_port;
use crate::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};

/// `greenlight serve`, ended with this value.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    url: String,
    log: JoinHandle<String>,
}

/// Writes the scene's secret document into `folder`, and gives its path.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn secrets(scene: &Scene, folder: &Path) -> PathBuf {
    let path = folder.join("secrets.json");
    write_private(&path, &scene.app.secret_document(NAC_TOKEN).to_string())
        .expect("the secret can be written");
    path
}

/// The command line with its environment, and the address that it will listen on. `before` are
/// words that start another program, such as a shell, which then starts it.
#[must_use]
pub fn serve_command(
    scene: &Scene,
    folder: &Path,
    before: &[&str],
    greenlight: &Path,
) -> (Command, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut words = before.iter().map(AsRef::as_ref).chain([greenlight.as_os_str()]);
    let mut command = Command::new(words.next().expect("there is the program itself"));
    command
        .args(words)
        .args(["serve", "--listen", &listen, "--data-dir"])
        .arg(folder.join("data"))
        .arg("--secrets")
        .arg(secrets(scene, folder))
        .args(["--feishu-base-url", &scene.feishu.url()])
        .env("NAC_URL", scene.nac.url())
        .env("APPROVAL_CODE", APPROVAL_CODE)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    (command, listen)
}

impl Serving {
    /// Starts it with its data in `folder`, and returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(scene: &Scene, folder: &Path) -> Self {
        Self::start_by(scene, folder, &[]).await
    }

    /// As [`Serving::start`], with more on its command line.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(scene: &Scene, folder: &Path, more: &[&str]) -> Self {
        let (mut command, listen) = serve_command(scene, folder, &[], &built("greenlight"));
        command.args(more);
        Self::run(command, &listen).await
    }

    /// As [`Serving::start`], by way of another program, see [`serve_command`].
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_by(scene: &Scene, folder: &Path, before: &[&str]) -> Self {
        let (command, listen) = serve_command(scene, folder, before, &built("greenlight"));
        Self::run(command, &listen).await
    }

    /// Starts what [`serve_command`] gave.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(mut command: Command, listen: &str) -> Self {
        let mut child = command.spawn().expect("the program is there");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        loop {
            let line = lines.next_line().await.expect("its log is text");
            if line.expect("it listens before it ends").contains("listening on") {
                break;
            }
        }
        let log = tokio::spawn(async move {
            let mut log = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self { child, url: format!("http://{listen}/api/event"), log }
    }

    /// The id of its process.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Where it takes events.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets a limit of the running process, as `prlimit` takes it.
    ///
    /// # Panics
    /// When it cannot be set.
    pub async fn set_limit(&self, limit: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, limit]).status().await;
        assert!(status.expect("there is `prlimit`").success());
    }

    /// Asks it to stop, and gives what it logged.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn stop(mut self) -> String {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").arg(&pid).status().await.expect("there is `kill`");
        assert!(status.success());
        assert!(self.child.wait().await.expect("it is ours").success(), "it ends well");
        self.log.await.expect("its log is read")
    }

    /// Kills it (SIGKILL), and gives what it logged.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn kill(mut self) -> String {
        self.child.kill().await.expect("it runs");
        self.log.await.expect("its log is read")
    }
}
