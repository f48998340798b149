//! The secret document in a file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::SecretError;
use thiserror::Error;

use crate::private::{read_private, write_private};

/// The secret document in a file; read again when it may have changed.
#[derive(Clone, Debug)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Creates a store for the secret in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes another document atomically, readable for the file's owner only.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] with the reason.
    pub fn put(&self, document: &str) -> Result<(), SecretError> {
        write_private(&self.0, document).map_err(|error| self.unavailable(&error))
    }

    fn unavailable(&self, error: &std::io::Error) -> SecretError {
        let path = self.0.display().to_string();
        match error.kind() {
            ErrorKind::NotFound => SecretError::Absent(path),
            _ => SecretError::Unavailable(FileError { path, cause: error.explain() }.explain()),
        }
    }
}

/// A file that cannot be read or written.
#[derive(Debug, Error, Explain)]
#[explain("file")]
#[error("{path}: {cause}")]
struct FileError {
    path: String,
    cause: Explanation,
}

impl FetchSecret for SecretFile {
    /// Rejects a file that other users of the machine can read.
    async fn fetch(&self) -> Result<String, SecretError> {
        let text = read_private(&self.0).map_err(|error| self.unavailable(&error))?;
        text.map_err(|error| SecretError::NotPrivate(error.explain()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use futures_util::FutureExt;

    use super::*;

    fn mode(path: &Path) -> Option<u32> {
        Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
    }

    /// Never waits.
    fn fetched(file: &SecretFile) -> Result<String, SecretError> {
        let waits = || Err(SecretError::Absent("it waits".to_owned()));
        file.fetch().now_or_never().unwrap_or_else(waits)
    }

    #[test]
    fn put_writes_for_the_owner_alone_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        // A name like that of the temporary file of an earlier version.
        let long = "n".repeat(250);
        for name in ["secrets.json", "secrets.new", &long] {
            let file = SecretFile::new(folder.path().join("made/for/it").join(name));
            file.put("old").unwrap();
            file.put("new").unwrap();
            assert_eq!((fetched(&file).unwrap().as_str(), mode(file.path())), ("new", Some(0o600)));
        }
        let made = folder.path().join("made/for/it");
        assert_eq!((fs::read_dir(&made).unwrap().count(), mode(&made)), (3, Some(0o700)));
    }

    #[test]
    fn put_keeps_the_old_document_when_it_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("secrets.json");
        fs::create_dir(&taken).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for other in [&taken, &socket] {
            let error = SecretFile::new(other).put("new").unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn put_follows_a_link_to_the_file_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        SecretFile::new(&link).put("old").unwrap();
        assert_eq!(fetched(&SecretFile::new(&real)).unwrap(), "old");
        SecretFile::new(&link).put("new").unwrap();
        assert_eq!(fetched(&SecretFile::new(&real)).unwrap(), "new");
        assert!(link.is_symlink());
    }

    #[test]
    fn fetch_refuses_what_others_may_read_with_the_command_that_corrects_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = SecretFile::new(folder.path().join("the secret's.json"));
        file.put("{}").unwrap();
        for bits in [0o604, 0o640, 0o660] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(bits)).unwrap();
            let Err(SecretError::NotPrivate(text)) = fetched(&file) else { panic!("{bits:o}") };
            let command = text.text.split('`').nth(1).unwrap();
            let status = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(status.success() && fetched(&file).is_ok(), "{command}");
        }
        let absent = SecretFile::new(folder.path().join("absent.json"));
        assert!(matches!(fetched(&absent), Err(SecretError::Absent(_))));
    }
}
