//! A real Kea DHCP server and a real DHCP client from Debian, in a network namespace of their own:
//! no other network sees them.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::databases::{Postgres, USER};

/// A network namespace with two ends of a cable. It is removed on drop.
#[derive(Debug)]
pub struct Network {
    name: String,
}

/// The server's end of the cable.
const SERVER: &str = "server";

/// The client's end of the cable.
const CLIENT: &str = "client";

impl Network {
    /// Makes the namespace; the client's end has this MAC address.
    ///
    /// # Panics
    /// With one line when network namespaces cannot be made here: that needs root.
    pub async fn make(mac: &str) -> Self {
        let name = format!("greenlight-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output().await;
        let refusal = match &made {
            Ok(made) => String::from_utf8_lossy(&made.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let is_made = made.is_ok_and(|made| made.status.success());
        assert!(is_made, "no network namespace can be made here: {refusal}");
        let network = Self { name };
        for words in [
            &["link", "set", "lo", "up"][..],
            &["link", "add", SERVER, "type", "veth", "peer", "name", CLIENT],
            &["addr", "add", "192.0.2.1/24", "dev", SERVER],
            &["link", "set", CLIENT, "address", mac],
            &["link", "set", SERVER, "up"],
            &["link", "set", CLIENT, "up"],
        ] {
            let command = Command::new("ip").args(["-n", &network.name]).args(words).status().await;
            assert!(command.is_ok_and(|status| status.success()), "ip {words:?}");
        }
        network
    }

    /// A command that runs in the namespace.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).kill_on_drop(true);
        command
    }

    /// The address that a DHCP client gets, which has none yet and does not use it.
    ///
    /// # Panics
    /// When the client gets none.
    pub async fn address(&self) -> String {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let leases = folder.path().join("leases");
        let client = self
            .command("dhclient")
            .args(["-1", "-sf", "/bin/true", "-lf"])
            .arg(&leases)
            .arg("-pf")
            .arg(folder.path().join("pid"))
            .args(["-d", CLIENT])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut client = client.expect("the DHCP client starts");
        let log = client.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(log).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(bound) = line.strip_prefix("bound to ") {
                client.kill().await.expect("the DHCP client can be stopped");
                return bound.split(' ').next().unwrap_or_default().to_owned();
            }
        }
        panic!("the DHCP client gets no address");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// A Kea server. It is stopped on drop.
#[derive(Debug)]
pub struct Kea {
    _process: Child,
    _folder: TempDir,
}

impl Kea {
    /// Creates Kea's own schema in the database.
    ///
    /// # Panics
    /// When `kea-admin` is not installed, or fails.
    pub async fn create_schema(postgres: &Postgres) {
        let port = postgres.port().to_string();
        let made = Command::new("kea-admin")
            .args(["db-init", "pgsql", "-u", USER.0, "-p", USER.1, "-n", "postgres"])
            .args(["-h", "127.0.0.1", "-P", &port])
            .output()
            .await;
        let made = made.expect("kea-admin is installed: `cargo verify servers` does it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts it in `network` for 192.0.2.0/24 with the id 1, with its reservations in `postgres`
    /// and a pool from 192.0.2.100; returns when it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(network: &Network, postgres: &Postgres) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let configuration = json!({"Dhcp4": {
            "interfaces-config": {"interfaces": [SERVER]},
            "lease-database": {"type": "memfile", "persist": false},
            // A socket in the file system: the namespace has a loopback of its own.
            "hosts-database": {"type": "postgresql", "name": "postgres",
                "host": postgres.socket_folder(), "port": postgres.port(), "user": USER.0,
                "password": USER.1},
            "subnet4": [{"id": 1, "subnet": "192.0.2.0/24",
                "pools": [{"pool": "192.0.2.100 - 192.0.2.110"}]}],
            "loggers": [{"name": "kea-dhcp4", "severity": "INFO",
                "output_options": [{"output": "stdout", "flush": true}]}],
        }});
        let file = folder.path().join("kea.json");
        std::fs::write(&file, configuration.to_string()).expect("a file can be written");
        let mut process = Self::spawn(network, folder.path(), &file);
        let log = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(log).lines();
        let mut said = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("DHCP4_STARTED") {
                // Its log is read on, so that it is never held up.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self { _process: process, _folder: folder };
            }
            said = said + &line + "\n";
        }
        panic!("Kea does not start:\n{said}");
    }

    fn spawn(network: &Network, folder: &Path, file: &Path) -> Child {
        let process = network
            .command("kea-dhcp4")
            .arg("-c")
            .arg(file)
            .env("KEA_PIDFILE_DIR", folder)
            .env("KEA_LOCKFILE_DIR", "none")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        process.expect("iproute2 is installed: `cargo verify servers` does it")
    }
}
