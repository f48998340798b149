//! A real MariaDB server from Debian, on a free loopback port.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Child;

use super::{USER, as_user, give_to, until_ready};
use crate::local_aws::free_port;

/// A MariaDB server. It is stopped on drop.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    _process: Child,
    _folder: TempDir,
}

impl MariaDb {
    /// Starts the server with an empty database, and returns when it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let data = format!("--datadir={}", folder.path().join("data").display());
        let socket = format!("--socket={}", folder.path().join("socket").display());
        let setup = folder.path().join("setup.sql");
        let (user, password) = USER;
        let statements = format!(
            "CREATE DATABASE radius CHARACTER SET utf8mb4;\nCREATE DATABASE latin CHARACTER SET latin1;\nCREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO '{user}'@'127.0.0.1';\n"
        );
        fs::write(&setup, statements).expect("a file can be written");
        give_to("mysql", folder.path()).await;
        let made = as_user("mysql", Path::new("/usr/bin/mariadb-install-db"))
            .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        assert!(made.is_ok_and(|status| status.success()), "a database can be made");
        let port = free_port();
        let process = as_user("mysql", Path::new("/usr/sbin/mariadbd"))
            .args(["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1"])
            .args([&data, &socket, &format!("--port={port}")])
            .arg(format!("--init-file={}", setup.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("MariaDB starts");
        let (user, password) = (format!("--user={user}"), format!("--password={password}"));
        let ping = [
            "--no-defaults",
            &user,
            &password,
            "--host=127.0.0.1",
            &format!("--port={port}"),
            "--silent",
            "ping",
        ];
        until_ready(Path::new("/usr/bin/mariadb-admin"), &ping).await;
        Self { port, _process: process, _folder: folder }
    }

    /// The URL, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://127.0.0.1:{}/radius", self.port)
    }
}
