//! Real database servers from Debian. None of them runs as root.

mod mariadb;
mod postgres;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

pub use mariadb::MariaDb;
pub use postgres::Postgres;

/// User name and password of each server.
pub const USER: (&str, &str) = ("greenlight", "p@ss/word");

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// Changes the owner of a folder to `user`, a system user that a package created.
async fn give_to(user: &str, folder: &Path) {
    if is_root() {
        let status = Command::new("chown").args(["-R", user]).arg(folder).status().await;
        assert!(status.is_ok_and(|status| status.success()), "the user `{user}` exists");
    }
}

/// A command that runs `program` as `user`.
fn as_user(user: &str, program: &Path) -> Command {
    assert!(program.exists(), "{} is not installed: `cargo verify sql` does it", program.display());
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
    command.args([OsStr::new("--init-groups"), OsStr::new("--"), program.as_os_str()]);
    command
}

/// Returns when `probe` succeeds.
async fn until_ready(probe: &Path, arguments: &[&str]) {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..600 {
        pause.tick().await;
        let mut probe = Command::new(probe);
        let status =
            probe.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if status.is_ok_and(|status| status.success()) {
            return;
        }
    }
    panic!("timeout: {} reports that the server does not answer", probe.display());
}
