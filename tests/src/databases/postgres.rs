//! A real PostgreSQL server from Debian, on a free loopback port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{USER, as_user, give_to, until_ready};
use crate::local_aws::free_port;

/// A PostgreSQL server. It is stopped on drop.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _process: Child,
    folder: TempDir,
}

impl Postgres {
    /// Starts the server with an empty database, and returns when it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, USER.1).expect("a file can be written");
        fs::create_dir(&data).expect("a folder can be made");
        give_to("postgres", folder.path()).await;
        let made = as_user("postgres", &bin("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password)
            .args(["--username", USER.0, "--auth=scram-sha-256", "--no-sync"])
            .stdout(Stdio::null())
            .status()
            .await;
        assert!(made.is_ok_and(|status| status.success()), "a database can be made");
        let port = free_port();
        let process = as_user("postgres", &bin("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("PostgreSQL starts");
        until_ready(&bin("pg_isready"), &["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).await;
        Self { port, _process: process, folder }
    }

    /// Its port on loopback, which is also part of its socket's name.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The rows of a query, with their columns separated by `|`.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        let output = Command::new(bin("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER.0, "-At"])
            .args(["-c", sql, "postgres"])
            .env("PGPASSWORD", USER.1)
            .output()
            .await
            .expect("psql is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// The URL, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}/postgres", self.port)
    }
}

fn bin(program: &str) -> PathBuf {
    Path::new("/usr/lib/postgresql/15/bin").join(program)
}
