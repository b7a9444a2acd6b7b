//! Gathering what a stranger sends, chunk by chunk, into a file that a worker can be given.
//!
//! What is short stays in memory (a memfd), what is long goes to a nameless file in the folder for
//! temporary files. While it comes in it is hashed for the verdict cache; it is never interpreted.
//! Promises: no more than the given number of bytes is taken; all intakes together keep no more in
//! memory than the service was given for it, then they go to disk at once; disk is written by
//! threads that may wait, never by those that serve others. The finished file cannot change any more
//! (a sealed memfd), or has no name by which anybody could reach it.
//! Sources: memfd_create(2), open(2) O_TMPFILE.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, Mode, OFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::scan::Object;

/// What intakes share.
#[derive(Debug)]
pub(crate) struct IntakeRoom {
    /// Room in memory, in blocks of [`BLOCK`].
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) folder: PathBuf,
    /// Key of the digests, other at each start, so that nobody can prepare collisions; none when
    /// verdicts are not kept.
    pub(crate) key: Option<[u8; 32]>,
}

impl IntakeRoom {
    pub(crate) fn new(memory_bytes: u64, folder: PathBuf, key: Option<[u8; 32]>) -> Self {
        let blocks = usize::try_from(memory_bytes / BLOCK).unwrap_or(usize::MAX);
        let memory = Arc::new(Semaphore::new(blocks.clamp(1, Semaphore::MAX_PERMITS)));
        Self { memory, folder, key }
    }
}

/// Something that is coming in.
#[derive(Debug)]
pub struct Intake {
    room: Arc<IntakeRoom>,
    bytes_max: u64,
    size: u64,
    hasher: Option<Box<blake3::Hasher>>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Nothing has come yet.
    Nowhere,
    Memory {
        file: File,
        permit: OwnedSemaphorePermit,
    },
    Disk(File),
    /// A write was given up in its middle.
    Broken,
}

/// Something could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// More came than was agreed on.
    #[error("more than {0} bytes")]
    TooLong(u64),
    /// The system has no memory, disk or descriptor left.
    #[error("cannot keep what was sent")]
    System(#[source] std::io::Error),
}

impl Intake {
    pub(crate) fn new(room: Arc<IntakeRoom>, bytes_max: u64) -> Self {
        let hasher = room.key.as_ref().map(|key| Box::new(blake3::Hasher::new_keyed(key)));
        Self { room, bytes_max, size: 0, hasher, place: Place::Nowhere }
    }

    /// Returns how many bytes have come.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Too many, or no room; the intake is then of no use any more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let size = self.size.saturating_add(len);
        if size > self.bytes_max {
            return Err(IntakeError::TooLong(self.bytes_max));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.make_room(size).await?;
        let result = match std::mem::replace(&mut self.place, Place::Broken) {
            Place::Memory { mut file, permit } => file.write_all(bytes).map(|()| {
                self.place = Place::Memory { file, permit };
            }),
            Place::Disk(file) => {
                let bytes = bytes.to_vec();
                blocking(move || (&file).write_all(&bytes).map(|()| file))
                    .await
                    .map(|file| self.place = Place::Disk(file))
            }
            Place::Nowhere | Place::Broken => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        result.map_err(IntakeError::System)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size = size;
        Ok(())
    }

    /// Sees to it that there is a file, and that it is on disk when `size` is too much for memory.
    async fn make_room(&mut self, size: u64) -> Result<(), IntakeError> {
        let blocks = u32::try_from(size.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        let fits = size <= EACH_IN_MEMORY;
        match &mut self.place {
            Place::Nowhere => {
                let permit = Arc::clone(&self.room.memory).try_acquire_many_owned(blocks).ok();
                self.place = match permit.filter(|_| fits) {
                    Some(permit) => Place::Memory { file: memory_file()?, permit },
                    None => Place::Disk(disk_file(self.room.folder.clone()).await?),
                };
            }
            Place::Memory { permit, .. } => {
                let held = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
                let more = blocks.saturating_sub(held);
                if more == 0 && fits {
                    return Ok(());
                }
                match Arc::clone(&self.room.memory).try_acquire_many_owned(more) {
                    Ok(more) if fits => permit.merge(more),
                    _ => self.spill().await?,
                }
            }
            Place::Disk(_) | Place::Broken => {}
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<(), IntakeError> {
        let Place::Memory { file, .. } = std::mem::replace(&mut self.place, Place::Broken) else {
            return Ok(());
        };
        let disk = disk_file(self.room.folder.clone()).await?;
        let copy = move || {
            use std::io::Seek as _;
            let mut from = file;
            from.rewind()?;
            std::io::copy(&mut from, &mut &disk)?;
            Ok(disk)
        };
        self.place = Place::Disk(blocking(copy).await.map_err(IntakeError::System)?);
        Ok(())
    }

    /// Returns the object.
    ///
    /// # Errors
    /// The system has no memory or descriptor left.
    pub fn finish(self, name: impl Into<Vec<u8>>) -> Result<Object, IntakeError> {
        let (file, memory) = match self.place {
            Place::Memory { file, permit } => {
                hf_sys::files::seal_memory(&file).map_err(IntakeError::System)?;
                (file, Some(permit))
            }
            Place::Disk(file) => (file, None),
            Place::Nowhere => (memory_file()?, None),
            Place::Broken => {
                return Err(IntakeError::System(std::io::ErrorKind::BrokenPipe.into()));
            }
        };
        let fixed = self.hasher.map(|hasher| *hasher.finalize().as_bytes());
        Ok(Object { file, name: name.into(), size: self.size, fixed, _memory: memory })
    }
}

fn memory_file() -> Result<File, IntakeError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("object", flags);
    file.map(File::from).map_err(|errno| IntakeError::System(errno.into()))
}

/// Makes a file without a name; in memory where the folder's file system has none.
async fn disk_file(folder: PathBuf) -> Result<File, IntakeError> {
    let make = move || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(&folder, flags, Mode::RUSR | Mode::WUSR)?))
    };
    blocking(make).await.map_err(IntakeError::System)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Ours: unit in which memory is given.
const BLOCK: u64 = 64 << 10;

/// Ours: what is longer goes to disk.
const EACH_IN_MEMORY: u64 = 16 << 20;
