//! The text of `flows.toml`: built in, or from a file.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The flows file cannot be read.
#[derive(Debug, Error)]
#[error("the flows file {path} cannot be read: {cause}")]
pub struct BadFlowsFile {
    path: PathBuf,
    cause: std::io::Error,
}

/// The text of the file at `path` (which the environment variable `FLOWS_FILE` names), else `built_in`.
///
/// # Errors
/// [`BadFlowsFile`] when there is a path and no such file.
pub fn flows_text(path: Option<&Path>, built_in: &str) -> Result<String, BadFlowsFile> {
    match path.filter(|path| !path.as_os_str().is_empty()) {
        None => Ok(built_in.to_owned()),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|cause| BadFlowsFile { path: path.to_owned(), cause }),
    }
}
