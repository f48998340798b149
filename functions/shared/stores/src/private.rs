//! Files and folders that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use greenlight_core::explain::Explain;
use thiserror::Error;

/// A file with secrets or personal data is readable for other users of the machine.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("not_private")]
#[error(
    "{path} can be read by other users of this machine: correct it with `chmod {mode} {quoted}`"
)]
pub struct NotPrivate {
    path: String,
    quoted: String,
    mode: &'static str,
}

/// Rejects a file or folder with any permission for its group or for others.
///
/// # Errors
/// [`NotPrivate`] with the command that corrects it.
pub fn check_private(path: &Path) -> io::Result<Result<(), NotPrivate>> {
    Ok(check(path, &fs::metadata(path)?))
}

fn check(path: &Path, metadata: &fs::Metadata) -> Result<(), NotPrivate> {
    if is_private(metadata) {
        return Ok(());
    }
    let name = path.display().to_string();
    let quoted = format!("'{}'", name.replace('\'', r"'\''"));
    let is_plain =
        |name: &str| name.bytes().all(|it| it.is_ascii_alphanumeric() || b"/._-".contains(&it));
    let quoted = if is_plain(&name) { name.clone() } else { quoted };
    let mode = if metadata.is_dir() { "700" } else { "600" };
    Err(NotPrivate { path: name, quoted, mode })
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let of_others = metadata.permissions().mode() & 0o077;
    of_others == 0
}

/// Other systems have no such mode.
#[cfg(not(unix))]
fn is_private(_: &fs::Metadata) -> bool {
    true
}

/// Creates a folder and its parents, accessible for their owner only. An existing folder is not
/// changed.
///
/// # Errors
/// Those of the file system.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Reads a file, unless its group or others have any permission.
///
/// # Errors
/// Those of the file system, and [`NotPrivate`] with the command that corrects it.
pub fn read_private(path: &Path) -> io::Result<Result<String, NotPrivate>> {
    let mut file = File::open(path)?;
    // Of the opened file, because the path may point to another one by now.
    if let Err(error) = check(path, &file.metadata()?) {
        return Ok(Err(error));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Ok(text))
}

/// Writes a file atomically, accessible for its owner only: a reader gets the old or the new
/// content, also after a crash. A link is followed; anything but a regular file, such as a device,
/// is left unchanged.
///
/// # Errors
/// Those of the file system. The old file is then unchanged, unless only the synchronisation of the
/// folder failed: the new file is in place, but a power failure may lose it.
pub fn write_private(path: &Path, content: &str) -> io::Result<()> {
    // A link to a file that does not exist yet cannot be resolved further.
    let of_link = || Some(path.parent()?.join(fs::read_link(path).ok()?));
    let path = fs::canonicalize(path).ok().or_else(of_link).unwrap_or_else(|| path.to_owned());
    if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    create_private_folder(folder)?;
    let random = getrandom::u64().map_err(io::Error::other)?;
    let beside = folder.join(format!(".greenlight.{random:016x}"));
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The new name must survive a power failure, too.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
