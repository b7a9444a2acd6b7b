//! Getting at an object's bytes through its descriptor.
//!
//! Small objects are copied into one buffer that all share, so their bytes stand still. Large ones
//! are mapped: if such a file becomes shorter while it is read, the kernel sends SIGBUS, the worker
//! dies, and that is this object's error.
//! The descriptor's offset belongs to the parent too; it is neither used nor moved.

use std::fs::File;
use std::ops::Deref;

use hf_sys::Map;
use rustix::fs::FileType;

/// Memory that one object after the other is read into.
#[derive(Debug, Default)]
pub(super) struct ObjectBuffer {
    bytes: Vec<u8>,
}

/// The bytes of one object.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Copied(&'a [u8]),
    Mapped(Map),
}

impl Deref for Object<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl ObjectBuffer {
    /// Returns the object's bytes, or why there are none.
    pub(super) fn read(&mut self, file: File) -> Result<Object<'_>, String> {
        let told = |error: rustix::io::Errno| format!("cannot read: {error}");
        let stat = rustix::fs::fstat(&file).map_err(told)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("not a regular file".to_owned());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > COPY_LEN_MAX as u64 {
            let map = Map::first(&file, size).map_err(|error| format!("cannot map: {error}"))?;
            return Ok(Object::Mapped(map));
        }
        self.copy(&file, size).map_err(told)?;
        if size == 0 && self.bytes.len() >= COPY_LEN_MAX {
            return Err("has far more content than it says".to_owned());
        }
        Ok(Object::Copied(&self.bytes))
    }

    /// Reads as much as the file says that it has. A file that says 0 is read to its end, because
    /// those of `/proc` do so and have content.
    fn copy(&mut self, file: &File, size: u64) -> Result<(), rustix::io::Errno> {
        let said = usize::try_from(size).unwrap_or(COPY_LEN_MAX);
        let wanted = if size == 0 { COPY_LEN_MAX } else { said };
        self.bytes.clear();
        loop {
            let left = wanted.saturating_sub(self.bytes.len());
            if left == 0 {
                return Ok(());
            }
            let step = if size == 0 { left.min(UNKNOWN_STEP) } else { left };
            self.bytes.reserve_exact(step);
            let off = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
            let room = rustix::buffer::spare_capacity(&mut self.bytes);
            match rustix::io::pread(file, room, off) {
                Ok(0) => return Ok(()),
                Ok(_) => self.bytes.truncate(wanted),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Ours: up to here copying costs less than mapping, and the bytes stand still.
const COPY_LEN_MAX: usize = 16 << 20;

/// Ours: how much is asked for when the file does not say what it has.
const UNKNOWN_STEP: usize = 64 << 10;
