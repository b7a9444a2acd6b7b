//! File handles: names of files that are never given to another file of the same file system.
//!
//! Sources: name_to_handle_at(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A file handle: its type and up to 128 bytes, as the file system made them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHandle(Vec<u8>);

#[repr(C)]
struct Raw {
    handle_bytes: u32,
    handle_type: i32,
    handle: [u8; HANDLE_BYTES_MAX],
}

impl FileHandle {
    /// Returns the handle of an open file. No other process is asked for it.
    ///
    /// # Errors
    /// The file system has no handles.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let mut raw = Raw {
            handle_bytes: u32::try_from(HANDLE_BYTES_MAX).unwrap_or(0),
            handle_type: 0,
            handle: [0; HANDLE_BYTES_MAX],
        };
        let mut mount_id = 0i32;
        // SAFETY: `raw` has the room that it says; the path is empty and ends in NUL.
        let done = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                file.as_fd().as_raw_fd(),
                c"".as_ptr(),
                &raw mut raw,
                &raw mut mount_id,
                libc::AT_EMPTY_PATH,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        let len = usize::try_from(raw.handle_bytes).unwrap_or(0);
        let mut bytes = raw.handle_type.to_ne_bytes().to_vec();
        bytes.extend_from_slice(raw.handle.get(..len).unwrap_or_default());
        Ok(Self(bytes))
    }
}

/// Source: name_to_handle_at(2), `MAX_HANDLE_SZ`.
const HANDLE_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_name_files() {
        let temp = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = temp.path().join(name);
            std::fs::write(&path, name).unwrap();
            std::fs::File::open(path).unwrap()
        };
        let (one, other) = (open("one"), open("other"));
        let Ok(handle) = FileHandle::of(&one) else {
            eprintln!("skipped: this file system has no handles");
            return;
        };
        assert_ne!(handle, FileHandle::of(&other).unwrap());
        std::fs::rename(temp.path().join("one"), temp.path().join("two")).unwrap();
        let again = std::fs::File::open(temp.path().join("two")).unwrap();
        assert_eq!(handle, FileHandle::of(again).unwrap());
    }
}
