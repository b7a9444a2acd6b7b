//! What freshclam remembers between runs: who we are to mirrors, and until when we leave them alone (`freshclam.dat`).
//!
//! The form is ClamAV's, so that either program continues where the other stopped: the magic, a version, an
//! identity of 36 letters, a time, an identifier of the last refusal. Source: the file that freshclam 1.4.6 writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::write_whole;

/// What is remembered.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
    /// Our identity to mirrors: random, and of no other use.
    pub uuid: String,
    /// Until when nobody is asked, in seconds since 1970; 0 for never.
    pub retry_after: u64,
    ray: [u8; RAY_LEN],
}

const MAGIC: &[u8] = b"FreshClamData";
const UUID_OFF: usize = 17;
const UUID_LEN: usize = 36;
const TIME_OFF: usize = 61;
const RAY_OFF: usize = 69;
const RAY_LEN: usize = 21;

/// Refused: a day. Source: documentation of freshclam.
const FORBIDDEN_SECONDS: u64 = 86_400;
/// Too many questions, and the server does not say for how long: four hours.
const LATER_SECONDS: u64 = 4 * 3600;
/// Longest time that a server may put us off; ours: nobody shall be put off for good.
const LATER_MAX: u64 = 7 * 86_400;

impl Memory {
    /// Reads what is in a folder, or begins anew.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("freshclam.dat");
        let bytes = fs::read(&path).unwrap_or_default();
        let field = |off: usize, len: usize| bytes.get(off..off.saturating_add(len));
        let uuid = field(UUID_OFF, UUID_LEN).and_then(|text| std::str::from_utf8(text).ok());
        let uuid = uuid.filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
        let good = bytes.starts_with(MAGIC) && field(MAGIC.len(), 4) == Some(&[1, 0, 0, 0]);
        let time = field(TIME_OFF, 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        match (good, uuid, time) {
            (true, Some(uuid), Some(time)) => {
                let ray = field(RAY_OFF, RAY_LEN).and_then(|bytes| bytes.try_into().ok());
                let retry_after = u64::from_le_bytes(time);
                Self { path, uuid: uuid.to_owned(), retry_after, ray: ray.unwrap_or_default() }
            }
            _ => Self { path, uuid: new_uuid(), retry_after: 0, ray: [0; RAY_LEN] },
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write(&self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(self.uuid.as_bytes());
        bytes.resize(TIME_OFF, 0);
        bytes.extend_from_slice(&self.retry_after.to_le_bytes());
        bytes.extend_from_slice(&self.ray);
        write_whole(&self.path, &bytes)
    }

    /// Returns until when nobody is asked, if that is still to come.
    #[must_use]
    pub fn cooling_down(&self, now: u64) -> Option<u64> {
        // A clock that was wrong once must not put us off for years.
        let until = self.retry_after.min(now.saturating_add(LATER_MAX));
        (until > now).then_some(until)
    }

    /// Remembers a refusal, and returns until when nobody is asked.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn refused(&mut self, status: u16, retry_after: Option<u64>, now: u64) -> io::Result<u64> {
        let seconds = match status {
            403 => FORBIDDEN_SECONDS,
            _ => retry_after.unwrap_or(LATER_SECONDS).min(LATER_MAX),
        };
        self.retry_after = now.saturating_add(seconds);
        self.write()?;
        Ok(self.retry_after)
    }
}

/// Returns a random identity (RFC 9562, version 4).
fn new_uuid() -> String {
    let mut random = random::<16>();
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let hex = hf_core::hex::to_hex(&random);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Returns random bytes of the system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    use std::io::Read as _;
    let mut bytes = [0; N];
    // Without it, which no system is, names are less random and nothing else.
    let _ = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::read(dir.path());
        assert_eq!((memory.uuid.len(), memory.cooling_down(5)), (36, None));
        memory.refused(429, Some(77), 1000).unwrap();
        let again = Memory::read(dir.path());
        assert_eq!(again.uuid, memory.uuid);
        assert_eq!(again.cooling_down(1001), Some(1077));
        assert_eq!(again.cooling_down(1077), None);
        assert_eq!(fs::metadata(dir.path().join("freshclam.dat")).unwrap().len(), 90);
        memory.refused(429, Some(u64::MAX), 1000).unwrap();
        assert_eq!(memory.retry_after, 1000 + LATER_MAX);
        fs::write(dir.path().join("freshclam.dat"), b"FreshClamData\x01\0\0\0x").unwrap();
        assert_ne!(Memory::read(dir.path()).uuid, memory.uuid);
    }
}
