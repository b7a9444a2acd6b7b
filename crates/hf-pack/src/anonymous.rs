//! Files without a name, for packs that live only as long as the process.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, SealFlags};

/// Returns an empty file in memory; it can be handed to other processes by descriptor.
///
/// # Errors
/// The kernel refuses.
pub fn anonymous_file(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(rustix::fs::memfd_create(name, flags)?.into())
}

/// Makes a file from [`anonymous_file`] immutable for ever, for everybody.
///
/// # Errors
/// It is not such a file, or is mapped writable.
pub fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}
