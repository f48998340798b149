//! A local AWS on a free loopback port.

use std::net::TcpListener;
use std::process::Stdio;

use aws_types::SdkConfig;
use greenlight_stores::aws::{AwsEnvironment, Sdk, TimeoutConfig};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{log_file, tool};

/// A local AWS. It is stopped on drop.
#[derive(Debug)]
pub struct LocalAws {
    port: u16,
    _process: Child,
}

/// The environment variables of all its clients.
pub const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

impl LocalAws {
    /// Starts the local AWS and returns when it is ready. IAM policies are enforced.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let port = free_port();
        let mut process = Command::new(tool("local-aws", "ministack"))
            .envs(CREDENTIALS)
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("AUTH", "true")
            // The endpoint that deployed functions use.
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the local AWS starts");
        let stderr = process.stderr.take().expect("its log is piped");
        let mut lines = BufReader::new(stderr).lines();
        loop {
            let line = lines.next_line().await.expect("its log is text");
            let line = line.expect("the local AWS reports that it runs before it ends");
            if line.contains("Running on http") {
                break;
            }
        }
        let log = log_file(&format!("local-aws-{port}"));
        tokio::spawn(async move {
            // The log contains the output of the functions, too.
            let mut text = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                text.push_str(&line);
                text.push('\n');
                let _ = std::fs::write(&log, &text);
            }
        });
        Self { port, _process: process }
    }

    /// The URL of the local AWS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The configuration of a client with administrator rights.
    #[must_use]
    pub fn config(&self) -> SdkConfig {
        let timeouts = TimeoutConfig {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(30),
            operation: Duration::from_mins(1),
            max_attempts: 2,
        };
        Sdk::new(AwsEnvironment::new("us-east-1", "test", "test", Some(&self.url())))
            .config(timeouts)
    }
}

/// Returns a loopback port that was free when it was looked for.
///
/// # Panics
/// When loopback has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}
