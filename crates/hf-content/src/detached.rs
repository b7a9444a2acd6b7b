//! Detached signatures beside containers, and the certificates in which they may end.
//!
//! Promises: for `x.cvd` of version 7 the signature is `x-7.cvd.sign` in the same folder, as ClamAV has it;
//! a signature that is there and cannot be read is an error, not a reason to do without.
//! Leaves out: verifying (`hf_sig::cvd`), and certificates' dates: content that was good stays good.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::ContentError;
use crate::sources::container_version;

/// Returns the detached signature of a container; none when there is no file of its name.
///
/// # Errors
/// It is there and cannot be read.
pub fn signature_beside(container: &Path) -> Result<Option<Vec<u8>>, ContentError> {
    let Some(path) = signature_path(container) else { return Ok(None) };
    match read_file(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ContentError::read(&path, error)),
    }
}

/// Reads at most [`SIGNATURE_MAX`] bytes of a file; what would never end, or never begin, is refused.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(SIGNATURE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the certificates in a folder: the content of each `*.pem` and `*.crt`, by name.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn certificates(folder: &Path) -> Result<Vec<Vec<u8>>, ContentError> {
    let entries = fs::read_dir(folder).map_err(|error| ContentError::read(folder, error))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "pem" || end == "crt"))
        .collect();
    paths.sort();
    paths.truncate(CERTIFICATES_MAX);
    paths.iter().map(|path| read_file(path).map_err(|err| ContentError::read(path, err))).collect()
}

/// Returns where the signature of a container would be.
fn signature_path(container: &Path) -> Option<PathBuf> {
    let name = container.file_name()?.to_str()?;
    let suffix = ["cvd", "cld"].into_iter().find(|end| name.ends_with(&format!(".{end}")))?;
    let stem = name.split(['-', '.']).next()?;
    let version = container_version(container)?;
    Some(container.with_file_name(format!("{stem}-{version}.{suffix}.sign")))
}

/// One byte more than the verifier takes; ours.
const SIGNATURE_MAX: u64 = (1 << 20) + 1;
/// Ours: a folder of certificates has a handful.
const CERTIFICATES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_no_certificates_and_no_signatures() {
        let dir = tempfile::tempdir().unwrap();
        let line = "ClamAV-VDB:22 Feb 2023 16-33 -0500:7:1:90:X:X:tester:1677101592";
        fs::write(dir.path().join("x.cvd"), format!("{line:<512}")).unwrap();
        assert!(signature_beside(&dir.path().join("x.cvd")).unwrap().is_none());
        for name in ["a.pem", "x-7.cvd.sign"] {
            std::os::unix::fs::symlink("/dev/zero", dir.path().join(name)).unwrap();
        }
        assert!(signature_beside(&dir.path().join("x.cvd")).is_err());
        assert!(certificates(dir.path()).is_err());
    }
}
