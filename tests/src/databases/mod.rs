//! Real databases, Debian's. None of them runs as root.

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

/// The user of each, and the user's password.
pub const USER: (&str, &str) = ("greenlight", "p@ss/word");

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// Makes a folder that of `user`, whom a package has made.
async fn give_to(user: &str, folder: &Path) {
    if is_root() {
        let status = Command::new("chown").args(["-R", user]).arg(folder).status().await;
        assert!(status.is_ok_and(|status| status.success()), "there is a user `{user}`");
    }
}

/// `program`, run by `user`.
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

/// Returns when `probe` ends well.
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
    panic!("{} says that the server does not answer", probe.display());
}
