//! The secret document in a file.

use std::path::PathBuf;

use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::SecretError;

/// The secret document in a file; it is read again when it may have changed.
#[derive(Clone, Debug)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The secret in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl FetchSecret for SecretFile {
    async fn fetch(&self) -> Result<String, SecretError> {
        std::fs::read_to_string(&self.0)
            .map_err(|error| SecretError::Unavailable(format!("{}: {error}", self.0.display())))
    }
}
