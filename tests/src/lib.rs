//! What the end-to-end suite stands on: the tools, a local AWS, a deployed stack, a scene with a
//! simulated Feishu and a stub of a NAC.

pub mod lambda;
pub mod local_aws;
pub mod scene;
pub mod stack;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program of the pinned tools.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn tool(set: &str, program: &str) -> PathBuf {
    let path = workspace().join(".tools").join(set).join("bin").join(program);
    assert!(path.exists(), "`{program}` is not installed: run `cargo verify tools` first");
    path
}

/// The `greenlight` command, as `cargo build --package greenlight` leaves it.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn greenlight() -> PathBuf {
    let profile = std::env::current_exe().unwrap_or_default();
    let path = profile.ancestors().nth(2).unwrap_or(Path::new("")).join("greenlight");
    assert!(path.exists(), "run `cargo build --package greenlight` first");
    path
}
