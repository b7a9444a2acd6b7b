//! Files that are whole or not there: written beside, synced, and moved into place.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Writes a file whole, makes its folders, and is durable when it returns.
///
/// # Errors
/// The disk refuses.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes a file whole by a function.
///
/// # Errors
/// The disk refuses, or the function fails.
pub(crate) fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut io::BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    let shown = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(shown)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let done = (|| {
        let mut file = File::create(&beside)?;
        let mut out = io::BufWriter::with_capacity(1 << 18, &mut file);
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done.with_context(shown)
}

/// Reads a file of at most `max` bytes; none when it is not there.
///
/// # Errors
/// It cannot be read, or is longer.
pub(crate) fn read_if_there(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err).with_context(|| format!("cannot open {}", path.display())),
    };
    let mut bytes = Vec::new();
    let read = file.take(max.saturating_add(1)).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= max, "{} has more than {max} bytes", path.display());
    Ok(Some(bytes))
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// It is not there, cannot be read, or is longer.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let found = read_if_there(path, max)?;
    found.with_context(|| format!("{} is not there", path.display()))
}

/// Holds a folder for one process as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock of a folder.
///
/// # Errors
/// Another process holds it.
pub(crate) fn lock(folder: &Path) -> Result<Lock> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path: PathBuf = folder.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let taken = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    taken.with_context(|| format!("{} is in use by another process", folder.display()))?;
    Ok(Lock { _file: file })
}
