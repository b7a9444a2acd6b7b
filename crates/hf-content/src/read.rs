//! Reads databases: all at once for their digests, or one ahead of the compiler.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::SystemTime;

use crate::ContentError;
use crate::compile::Bytes;
use crate::sources::{Group, Source};
use crate::stamp::Stamp;

/// How a source was when it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) digest: [u8; 32],
    /// None when it changed so lately that another change could leave the same stamp.
    pub(crate) stamp: Option<Stamp>,
}

/// Reads every source for its digest, several at a time.
pub(crate) fn digests(group: &Group) -> Result<Vec<Seen>, ContentError> {
    let sources = &group.sources;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((idx, source)) = {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            sources.get(idx).map(|source| (idx, source))
        } {
            let seen = seen(&source.path).map_err(|err| ContentError::read(&source.path, err));
            done.push((idx, seen));
        }
        done
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = cores.min(sources.len()).min(READERS_MAX).saturating_sub(1);
    let mut all = std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut all = work();
        for helper in helpers {
            // A panic in a helper is a panic here: it could not have read its share.
            all.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_by_key(|(idx, _)| *idx);
    all.into_iter().map(|(_, seen)| seen).collect()
}

fn seen(path: &Path) -> io::Result<Seen> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(len) => {
                hasher.update(block.get(..len).unwrap_or_default());
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    let stamp = Stamp::settled(&file.metadata()?, SystemTime::now());
    Ok(Seen { digest: *hasher.finalize().as_bytes(), stamp })
}

/// Databases in the order of their group.
pub(crate) type Databases<'a> = Box<dyn Iterator<Item = Result<Bytes, ContentError>> + 'a>;

/// Hands the databases of a group to `compile` in their order; the next is read meanwhile, if the
/// system has a thread for it.
pub(crate) fn read_ahead<R>(group: &Group, compile: impl FnOnce(Databases<'_>) -> R) -> R {
    std::thread::scope(|scope| {
        let (sender, databases) = mpsc::sync_channel(0);
        let work = move || {
            for source in &group.sources {
                // The compiler has given up.
                if sender.send(read(source)).is_err() {
                    break;
                }
            }
        };
        match std::thread::Builder::new().spawn_scoped(scope, work) {
            Ok(_) => compile(Box::new(databases.into_iter())),
            Err(_) => compile(Box::new(group.sources.iter().map(read))),
        }
    })
}

fn read(source: &Source) -> Result<Bytes, ContentError> {
    std::fs::read(&source.path)
        .map(|bytes| Bytes::new(&source.path, &source.name, bytes))
        .map_err(|err| ContentError::read(&source.path, err))
}

const BLOCK: usize = 1 << 18;
/// Ours: the digests are faster than most disks.
const READERS_MAX: usize = 4;
