//! Support for the end-to-end suite: tools, a local AWS, a deployed stack, a scene with a simulated
//! Feishu and a stub of a NAC.

pub mod browser;
pub mod databases;
pub mod fate;
pub mod faults;
pub mod fleet;
pub mod kea;
pub mod lambda;
pub mod load;
pub mod local_aws;
pub mod oracle;
pub mod process;
pub mod resources;
pub mod scene;
pub mod serving;
pub mod stack;
pub mod stub_aws;
mod stub_table;

use std::path::{Path, PathBuf};

/// The root folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The path of a program of the pinned tools.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn tool(set: &str, program: &str) -> PathBuf {
    let path = workspace().join(".tools").join(set).join("bin").join(program);
    assert!(path.exists(), "`{program}` is not installed: run `cargo verify tools` first");
    path
}

/// The log file of a process that a test starts, kept to diagnose failures.
///
/// # Panics
/// When the folder cannot be made.
#[must_use]
pub fn log_file(name: &str) -> PathBuf {
    let folder = workspace().join("target/test-logs");
    std::fs::create_dir_all(&folder).expect("a folder for logs can be made");
    folder.join(format!("{name}.log"))
}

/// The path of a program of this workspace, which `cargo build` puts beside the test.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn built(program: &str) -> PathBuf {
    let profile = std::env::current_exe().unwrap_or_default();
    let mut folders = profile.ancestors().skip(1).take(2);
    let path = folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()));
    path.unwrap_or_else(|| panic!("run `cargo build --package {program}` first"))
}
