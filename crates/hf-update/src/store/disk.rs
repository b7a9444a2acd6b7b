//! Writing so that it is on the disk, and reading for a digest.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Writes a file whole: its name is there only when its bytes are on the disk.
///
/// # Errors
/// The disk fails; the file that was there stays as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Puts the names in a folder on the disk.
///
/// # Errors
/// The disk fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Returns the BLAKE3 of a file, as hexadecimal. A reading that ends before the file does is an error.
pub(crate) fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut left = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block) {
            Ok(0) if left > 0 => return Err(ended_early()),
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(len) => {
                left = left.saturating_sub(len as u64);
                hasher.update(block.get(..len).unwrap_or_default());
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// The disk gave less than the file is long.
pub(crate) fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before its length")
}
