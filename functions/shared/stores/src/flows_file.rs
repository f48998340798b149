//! The text of `flows.toml`: built in, or from a file.

use thiserror::Error;

/// The file that `FLOWS_FILE` names cannot be read.
#[derive(Debug, Error)]
#[error("FLOWS_FILE names {path}, which cannot be read: {cause}")]
pub struct BadFlowsFile {
    path: String,
    cause: std::io::Error,
}

/// The text of the file that the environment variable `FLOWS_FILE` names, else `built_in`.
///
/// # Errors
/// [`BadFlowsFile`] when there is a name and no such file.
pub fn flows_text(built_in: &str) -> Result<String, BadFlowsFile> {
    match std::env::var("FLOWS_FILE").ok().filter(|path| !path.is_empty()) {
        None => Ok(built_in.to_owned()),
        Some(path) => std::fs::read_to_string(&path).map_err(|cause| BadFlowsFile { path, cause }),
    }
}
