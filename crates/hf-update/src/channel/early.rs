//! A large file goes to the disk while it is still being written.
//!
//! Whoever waits for the disk at the end of 430 MB waits for a second; a thread that says `fdatasync` now
//! and then while the rest is being computed leaves little of it.
//! Promises: an error of the disk is an error, whoever has met it: the kernel tells it only once.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Ours: after so many bytes the disk is told to go on.
const STEP: u64 = 24 << 20;

/// Writes a file of about `size` bytes; what is small is simply written.
///
/// # Errors
/// Those of the function, or the disk's.
pub(super) fn fill<E>(
    file: &File,
    size: u64,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    disk: impl Fn(io::Error) -> E,
) -> Result<(), E> {
    if size < 2 * STEP {
        return write(&mut &*file);
    }
    let (told, steps) = sync_channel(1);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(move || follow(file, &steps));
        let done = write(&mut Told { file, told, since: 0 });
        let synced = syncing.join().unwrap_or_else(|_| Err(io::Error::other("a thread died")));
        done.and(synced.map_err(disk))
    })
}

fn follow(file: &File, steps: &Receiver<()>) -> io::Result<()> {
    steps.iter().try_for_each(|()| file.sync_data())
}

/// Writes, and tells the other thread now and then.
struct Told<'a> {
    file: &'a File,
    told: SyncSender<()>,
    since: u64,
}

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.since = self.since.saturating_add(len as u64);
        if self.since >= STEP {
            self.since = 0;
            // When the other one is still busy, it is told at the next step.
            let _ = self.told.try_send(());
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there() {
        for size in [10usize, 60 << 20] {
            let mut file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..size).map(|at| (at / 7) as u8).collect();
            fill(
                &file,
                size as u64,
                |out| bytes.chunks(1 << 20).try_for_each(|b| out.write_all(b)),
                |err| err,
            )
            .unwrap();
            use std::io::{Read as _, Seek as _};
            let mut read = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{size}");
        }
    }

    #[test]
    fn a_disk_that_fails_is_told() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let write = |out: &mut dyn Write| out.write_all(b"x");
        assert!(fill(&file, 10, write, |err| err).is_err());
        // Nothing can be put on a disk behind this one: fdatasync says so.
        let file = File::options().write(true).open("/dev/null").unwrap();
        let write = |out: &mut dyn Write| (0..8).try_for_each(|_| out.write_all(&vec![0; 8 << 20]));
        assert!(fill(&file, 64 << 20, write, |err| err).is_err());
    }
}
