//! Read-only maps of files.
//!
//! Promises: the map is private and cannot be written through.
//! Leaves out: protection from somebody who changes or cuts the file meanwhile. Reading behind a
//! new end raises SIGBUS, which kills the process: map files of strangers only in a process whose
//! death is expected, and other files only when sealed or replaced by renaming.
//! Sources: mmap(2).

use std::fs::File;
use std::io;
use std::ops::Deref;

/// The bytes of a file, mapped read-only.
#[derive(Debug)]
pub struct Map {
    inner: Option<memmap2::Mmap>,
}

impl Map {
    /// Maps the whole of a file as it is now; an empty file gives an empty slice.
    ///
    /// # Errors
    /// The file cannot be asked for its size or cannot be mapped.
    pub fn of(file: &File) -> io::Result<Self> {
        Self::first(file, file.metadata()?.len())
    }

    /// Maps the first `len` bytes of a file. The caller knows that the file has them.
    ///
    /// # Errors
    /// The length does not fit the address space, or the kernel refuses.
    pub fn first(file: &File, len: u64) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { inner: None });
        }
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut options = memmap2::MmapOptions::new();
        options.len(len);
        // SAFETY: the map is private and read-only. A change of the file from outside may change
        // the bytes, which no reader here may rely on, or raise SIGBUS, which the header announces.
        let map = unsafe { options.map_copy_read_only(file) }?;
        Ok(Self { inner: Some(map) })
    }

    /// Tells the kernel that the bytes will be read from front to back.
    pub fn advise_sequential(&self) {
        if let Some(map) = &self.inner {
            // An advice that is not taken changes nothing.
            let _ = map.advise(memmap2::Advice::Sequential);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.inner.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed_memory;

    #[test]
    fn maps_what_is_there() {
        for bytes in [&b""[..], b"x", &[7; 10_000]] {
            let file = sealed_memory("test", bytes).unwrap();
            let map = Map::of(&file).unwrap();
            map.advise_sequential();
            assert_eq!(&*map, bytes);
        }
        let file = sealed_memory("test", b"0123456789").unwrap();
        assert_eq!(&*Map::first(&file, 4).unwrap(), b"0123");
    }
}
