//! A real PostgreSQL, Debian's, on a free port of loopback.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::local_aws::free_port;

/// A PostgreSQL server, ended with this value.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _process: Child,
    _folder: TempDir,
}

/// Its user, and the user's password.
pub const USER: (&str, &str) = ("greenlight", "p@ss/word");

impl Postgres {
    /// Starts it with an empty database, and returns when it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, USER.1).expect("a file can be written");
        fs::create_dir(&data).expect("a folder can be made");
        if is_root() {
            let folder = folder.path().display().to_string();
            let owned = run("chown", ["-R", "postgres", &folder]).await;
            assert!(owned, "there is a user for PostgreSQL");
        }
        let made = program("initdb")
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
        let process = program("postgres")
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
        let is_ready = async || {
            run(
                &bin("pg_isready").display().to_string(),
                ["-q", "-h", "127.0.0.1", "-p", &port.to_string()],
            )
            .await
        };
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..600 {
            if is_ready().await {
                return Self { port, _process: process, _folder: folder };
            }
            pause.tick().await;
        }
        panic!("PostgreSQL does not answer");
    }

    /// Where it is, without who we are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}/postgres", self.port)
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

fn bin(program: &str) -> PathBuf {
    let path = Path::new("/usr/lib/postgresql/15/bin").join(program);
    assert!(path.exists(), "PostgreSQL is not installed: `cargo verify sql` does it");
    path
}

/// PostgreSQL does not run as root.
fn program(program: &str) -> Command {
    if !is_root() {
        return Command::new(bin(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(bin(program));
    command
}

async fn run<const N: usize>(program: &str, arguments: [&str; N]) -> bool {
    Command::new(program).args(arguments).status().await.is_ok_and(|status| status.success())
}
