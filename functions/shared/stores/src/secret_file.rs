//! The secret document in a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
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

impl SecretFile {
    /// Writes another document, for its owner's eyes only; there is the old one or the new one, and no half.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] says why the file cannot be written.
    pub fn put(&self, document: &str) -> Result<(), SecretError> {
        let unavailable = |error: std::io::Error| {
            SecretError::Unavailable(format!("{}: {error}", self.0.display()))
        };
        let beside = self.0.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside).map_err(unavailable)?;
        file.write_all(document.as_bytes()).and_then(|()| file.sync_all()).map_err(unavailable)?;
        std::fs::rename(&beside, &self.0).map_err(unavailable)
    }
}

impl FetchSecret for SecretFile {
    async fn fetch(&self) -> Result<String, SecretError> {
        std::fs::read_to_string(&self.0).map_err(|error| {
            let text = format!("{}: {error}", self.0.display());
            match error.kind() {
                ErrorKind::NotFound => SecretError::Absent(text),
                _ => SecretError::Unavailable(text),
            }
        })
    }
}
