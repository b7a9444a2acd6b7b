//! A blob from what is at hand: the same file, a patch, chunks of an older one, or all chunks.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hf_channel::chunks::{self, Index};
use hf_channel::{Blob, Digest, Hasher, Manifest, Stored, layout, patch};
use hf_sys::Map;

use super::early;
use super::mirror::{Mirror, MirrorError};
use crate::fetch::Fetcher;

/// Where a blob may come from.
#[derive(Debug)]
pub struct At<'a> {
    /// Mirrors, in order.
    pub mirrors: &'a [Mirror],
    /// For the network.
    pub fetcher: &'a Fetcher,
    /// Folder with files of the release before.
    pub current: Option<&'a Path>,
    /// The manifest of that release.
    pub before: Option<&'a Manifest>,
    /// Folder for what is being downloaded; it stays from one attempt to the next.
    pub parts: &'a Path,
}

/// How a blob was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It was there.
    Here,
    /// By a patch of so many bytes.
    Patch(u64),
    /// From chunks, of which so many bytes were fetched.
    Chunks(u64),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("was here already"),
            Self::Patch(bytes) => write!(f, "patched with {bytes} bytes"),
            Self::Chunks(bytes) => write!(f, "fetched, {bytes} bytes"),
        }
    }
}

/// A blob could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// No mirror has what is needed.
    #[error("{0}")]
    Mirror(#[from] MirrorError),
    /// What came is not what the manifest says.
    #[error("{0}")]
    Damaged(String),
    /// A file of ours.
    #[error("{}: {}", .0.display(), .1)]
    Disk(PathBuf, io::Error),
}

/// Puts a blob together in a new file, and is done when every byte is verified and on the disk.
///
/// # Errors
/// It cannot be had, or the disk fails.
pub fn assemble(at: &At<'_>, blob: &Blob, to: &Path) -> Result<Way, AssembleError> {
    let old = older(at, blob);
    if let Some(old) = &old {
        if old.digest == blob.sha256
            && let Ok(true) = copied(&old.path, blob, to)
        {
            return Ok(Way::Here);
        }
        let patch = blob.patches.iter().find(|patch| patch.from == old.digest);
        if let Some(patch) = patch.filter(|patch| patch.size < blob.data.size) {
            let stored = Stored { sha256: patch.sha256, size: patch.size };
            // Any trouble with a patch ends in the chunks: it costs bytes, not safety.
            if let Ok(bytes) = object(at, &stored)
                && patched(&bytes, old, blob, to).is_ok()
            {
                return Ok(Way::Patch(patch.size));
            }
        }
    }
    let index = object(at, &blob.index)?;
    let fetched = from_chunks(at, blob, &index, old.as_ref(), to)?;
    Ok(Way::Chunks(fetched.saturating_add(index.len() as u64)))
}

/// A file of the release before.
struct Old {
    path: PathBuf,
    digest: Digest,
}

fn older(at: &At<'_>, blob: &Blob) -> Option<Old> {
    let known = at.before?.blobs().find(|known| known.name == blob.name)?;
    let path = at.current?.join(&blob.name);
    path.is_file().then_some(Old { path, digest: known.sha256 })
}

/// Links or copies a file that should be the blob already.
fn copied(from: &Path, blob: &Blob, to: &Path) -> io::Result<bool> {
    let (digest, len) = Digest::of_reader(File::open(from)?)?;
    if digest != blob.sha256 || len != blob.size {
        return Ok(false);
    }
    let _ = fs::remove_file(to);
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(true)
}

fn patched(patch: &[u8], old: &Old, blob: &Blob, to: &Path) -> Result<(), AssembleError> {
    let disk = |err| AssembleError::Disk(to.to_owned(), err);
    let map = map(&old.path).map_err(|err| AssembleError::Disk(old.path.clone(), err))?;
    let file = File::create(to).map_err(disk)?;
    let wanted = (&blob.sha256, blob.size);
    let apply = |out: &mut dyn io::Write| {
        patch::apply(patch, &map, &old.digest, wanted, out)
            .map_err(|err| AssembleError::Damaged(err.to_string()))
    };
    early::fill(&file, blob.size, apply, disk)?;
    finish(&file, to).map_err(disk)
}

/// Files of sets never change; what does after all is caught by the digest of what comes out.
fn map(path: &Path) -> io::Result<Map> {
    Map::of(&File::open(path)?)
}

/// Makes a new file read-only, as files of sets are, and durable.
fn finish(file: &File, path: &Path) -> io::Result<()> {
    let mut rights = file.metadata()?.permissions();
    rights.set_readonly(true);
    fs::set_permissions(path, rights)?;
    file.sync_all()
}

/// Gets an object, from whichever mirror has it whole.
fn object(at: &At<'_>, stored: &Stored) -> Result<Vec<u8>, AssembleError> {
    let path = layout::object(&stored.sha256);
    each_mirror(at, |mirror| {
        let bytes = mirror.read(at.fetcher, &path, stored.size)?;
        match Digest::of(&bytes) == stored.sha256 {
            true => Ok(bytes),
            false => Err(AssembleError::Damaged(format!("{mirror}: {path} has another digest"))),
        }
    })
}

fn each_mirror<T>(
    at: &At<'_>,
    mut ask: impl FnMut(&Mirror) -> Result<T, AssembleError>,
) -> Result<T, AssembleError> {
    let mut last = None;
    for mirror in at.mirrors {
        match ask(mirror) {
            Ok(found) => return Ok(found),
            Err(err @ AssembleError::Disk(..)) => return Err(err),
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| AssembleError::Damaged("there is no mirror".to_owned())))
}

/// Puts a blob together from chunks; returns how many bytes were fetched.
fn from_chunks(
    at: &At<'_>,
    blob: &Blob,
    index: &[u8],
    old: Option<&Old>,
    to: &Path,
) -> Result<u64, AssembleError> {
    let damaged = |why: String| AssembleError::Damaged(format!("{}: {why}", blob.name));
    let index = Index::parse(index).map_err(|err| damaged(err.to_string()))?;
    if index.blob_len() != blob.size || index.data_len() != blob.data.size {
        return Err(damaged("its chunks are of another file".to_owned()));
    }
    let old_map = old.and_then(|old| map(&old.path).ok());
    let old_bytes: &[u8] = old_map.as_deref().unwrap_or_default();
    let known: HashMap<Digest, std::ops::Range<usize>> =
        chunks::digests(old_bytes).into_iter().collect();
    let missing: u64 = index
        .chunks
        .iter()
        .filter(|chunk| !known.contains_key(&chunk.digest))
        .map(|chunk| u64::from(chunk.stored_len))
        .sum();
    // One whole file can be continued when it breaks off; parts are for when they spare half of it.
    let mut source = if missing > blob.data.size / 2 {
        Data::Whole(whole(at, blob)?)
    } else {
        Data::Parts { start: 0, bytes: Vec::new() }
    };
    let disk = |err| AssembleError::Disk(to.to_owned(), err);
    let file = File::create(to).map_err(disk)?;
    let mut out = io::BufWriter::with_capacity(1 << 18, &file);
    let mut hasher = Hasher::default();
    let mut fetched = 0u64;
    for (nth, chunk) in index.chunks.iter().enumerate() {
        let here = known.get(&chunk.digest).and_then(|range| old_bytes.get(range.clone()));
        let bytes = match here {
            Some(bytes) => bytes.to_vec(),
            None => {
                let stored = source.get(at, blob, &index, nth, &known, &mut fetched)?;
                chunks::read(chunk, &stored).map_err(|err| damaged(err.to_string()))?
            }
        };
        hasher.write_all(&bytes).and_then(|()| out.write_all(&bytes)).map_err(disk)?;
    }
    out.flush().map_err(disk)?;
    drop(out);
    if hasher.digest() != blob.sha256 {
        return Err(damaged("it has another digest".to_owned()));
    }
    finish(&file, to).map_err(disk)?;
    if let Data::Whole(path) = source {
        let _ = fs::remove_file(path);
        fetched = blob.data.size;
    }
    Ok(fetched)
}

/// Gets the data of a blob as a file.
fn whole(at: &At<'_>, blob: &Blob) -> Result<PathBuf, AssembleError> {
    let path = layout::object(&blob.data.sha256);
    let to = at.parts.join(blob.data.sha256.to_string());
    if is_whole(&to, &blob.data) {
        return Ok(to);
    }
    each_mirror(at, |mirror| {
        mirror.download(at.fetcher, &path, &to, blob.data.size)?;
        match is_whole(&to, &blob.data) {
            true => Ok(()),
            false => {
                let _ = fs::remove_file(&to);
                Err(AssembleError::Damaged(format!("{mirror}: {path} has another digest")))
            }
        }
    })?;
    Ok(to)
}

fn is_whole(path: &Path, stored: &Stored) -> bool {
    let found = File::open(path).and_then(Digest::of_reader);
    found.is_ok_and(|(digest, len)| digest == stored.sha256 && len == stored.size)
}

/// Where stored chunks come from.
enum Data {
    Whole(PathBuf),
    /// The last part that was fetched.
    Parts {
        start: u64,
        bytes: Vec<u8>,
    },
}

impl Data {
    /// Returns the stored bytes of a chunk; parts are fetched with the missing chunks behind them.
    fn get(
        &mut self,
        at: &At<'_>,
        blob: &Blob,
        index: &Index,
        nth: usize,
        known: &HashMap<Digest, std::ops::Range<usize>>,
        fetched: &mut u64,
    ) -> Result<Vec<u8>, AssembleError> {
        let Some(chunk) = index.chunks.get(nth) else { return Ok(Vec::new()) };
        let (from, len) = (chunk.stored_off, u64::from(chunk.stored_len));
        match self {
            Self::Whole(path) => {
                use std::os::unix::fs::FileExt as _;
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
                File::open(&*path)
                    .and_then(|file| file.read_exact_at(&mut bytes, from))
                    .map_err(|err| AssembleError::Disk(path.clone(), err))?;
                Ok(bytes)
            }
            Self::Parts { start, bytes } => {
                let inside = |start: u64, bytes: &[u8]| {
                    let off = usize::try_from(from.checked_sub(start)?).ok()?;
                    let end = off.checked_add(usize::try_from(len).ok()?)?;
                    Some(bytes.get(off..end)?.to_vec())
                };
                if let Some(found) = inside(*start, bytes) {
                    return Ok(found);
                }
                let mut end = from.saturating_add(len);
                for next in index.chunks.iter().skip(nth + 1) {
                    let next_end = next.stored_off.saturating_add(u64::from(next.stored_len));
                    if known.contains_key(&next.digest) || next_end - from > PART_LEN_MAX {
                        break;
                    }
                    end = next_end;
                }
                let path = layout::object(&blob.data.sha256);
                let part = each_mirror(at, |mirror| {
                    Ok(mirror.range(at.fetcher, &path, from, end - from)?)
                })?;
                *fetched = fetched.saturating_add(part.len() as u64);
                (*start, *bytes) = (from, part);
                inside(from, bytes)
                    .ok_or_else(|| AssembleError::Damaged("a part is too short".to_owned()))
            }
        }
    }
}

/// Ours: most bytes that are asked for at once.
const PART_LEN_MAX: u64 = 4 << 20;
