//! The file that `--gen-json` leaves.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::SystemTime;

/// Writes a text to `metadata.json` in a folder of its own, named as clamscan names it, which only the user can enter.
///
/// # Errors
/// No such folder can be made, or the file cannot be written.
pub(super) fn write(below: &Path, name: &str, text: &str) -> io::Result<()> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = hf_sys::local_time(i64::try_from(since.as_secs()).unwrap_or(0));
    let stamp = format!(
        "{:04}{:02}{:02}_{:02}{:02}{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    );
    // Names of files may be as long as names of folders, and something has to fit behind.
    let name: String = name.chars().take(NAME_LEN_MAX).collect();
    for attempt in 0..ATTEMPTS_MAX {
        let seed = (since.as_nanos(), std::process::id(), attempt, text);
        let digest = digits_of(&seed);
        let folder = below.join(format!("{stamp}-{name}.{digest}"));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        return File::create_new(folder.join("metadata.json"))?.write_all(text.as_bytes());
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns ten digits that differ for what differs.
fn digits_of(seed: &impl std::hash::Hash) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let hash = RandomState::new().hash_one(seed);
    format!("{:010x}", hash & 0xff_ffff_ffff)
}

const NAME_LEN_MAX: usize = 50;
const ATTEMPTS_MAX: u32 = 16;
