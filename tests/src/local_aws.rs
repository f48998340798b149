//! A local AWS on a free port of loopback.

use std::net::TcpListener;
use std::process::Stdio;

use aws_types::SdkConfig;
use greenlight_stores::aws::{AwsEnvironment, Sdk, TimeoutConfig};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{log_file, tool};

/// A local AWS, ended with this value.
#[derive(Debug)]
pub struct LocalAws {
    port: u16,
    _process: Child,
}

/// What everything that speaks to it has in its environment.
pub const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

impl LocalAws {
    /// Starts it and returns when it is ready. IAM policies are enforced.
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
            // The functions are given this one.
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
            let line = line.expect("the local AWS says that it is running before it ends");
            if line.contains("Running on http") {
                break;
            }
        }
        let log = log_file(&format!("local-aws-{port}"));
        tokio::spawn(async move {
            // It shows what the functions printed, too.
            let mut text = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                text.push_str(&line);
                text.push('\n');
                let _ = std::fs::write(&log, &text);
            }
        });
        Self { port, _process: process }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The configuration of a client of its administrator.
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

/// A port that was free a moment ago.
///
/// # Panics
/// When loopback has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}
