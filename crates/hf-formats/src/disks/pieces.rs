//! Files of file systems whose structures are looked for one by one, not followed: pieces of files by their place,
//! the newest of each.
//!
//! Promises: a file is handed over once, with what was found of it; holes are zeros; the bytes of all files together
//! are bounded as [`super::files::Files`] bounds them. A file whose name was not found has its number.

use std::collections::BTreeMap;

use hf_core::{Reason, Stop};

use super::files::{Files, path};
use crate::reader::size;

/// A piece of a file, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Counts up with each writing: of two pieces in one place the larger counts.
    pub(super) version: u64,
    /// The stored bytes.
    pub(super) stored: &'a [u8],
    /// Number of the method by which they are packed.
    pub(super) method: u8,
    /// Length when unpacked.
    pub(super) len: u64,
    /// Bytes to pass over at the start of what is unpacked.
    pub(super) skip: u64,
}

/// Unpacks a piece of this method and appends it.
pub(super) type Unpack = fn(&Piece<'_>, &mut Vec<u8>) -> Result<(), Reason>;

#[derive(Debug, Default)]
struct File<'a> {
    len: Option<(u64, u64)>,
    names: Vec<(u64, u64, Vec<u8>)>,
    parts: BTreeMap<u64, Piece<'a>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Pieces<'a> {
    files: BTreeMap<(u64, u64), File<'a>>,
    count: usize,
}

/// Ours: pieces and names of one image.
const COUNT_MAX: usize = 1 << 20;
/// Ours: levels of folders.
const DEPTH_MAX: usize = 256;

impl<'a> Pieces<'a> {
    /// Takes a piece of a file at an offset of it; `tree` and `number` name the file. False when there are too many.
    pub(super) fn add(&mut self, file: (u64, u64), off: u64, piece: Piece<'a>) -> bool {
        self.count = self.count.saturating_add(1);
        let parts = &mut self.files.entry(file).or_default().parts;
        if parts.get(&off).is_none_or(|had| had.version <= piece.version) {
            parts.insert(off, piece);
        }
        self.count < COUNT_MAX
    }

    /// Takes the length of a file.
    pub(super) fn length(&mut self, file: (u64, u64), version: u64, len: u64) {
        let had = &mut self.files.entry(file).or_default().len;
        if had.is_none_or(|(other, _)| other <= version) {
            *had = Some((version, len));
        }
    }

    /// Takes a name of a file in a folder of the same tree. False when there are too many.
    pub(super) fn name(
        &mut self,
        file: (u64, u64),
        version: u64,
        folder: u64,
        name: &[u8],
    ) -> bool {
        self.count = self.count.saturating_add(1);
        self.files.entry(file).or_default().names.push((version, folder, name.to_vec()));
        self.count < COUNT_MAX
    }

    /// Hands the files over.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn give(&self, files: &mut Files<'a, '_>, unpack: Unpack) -> Result<(), Stop> {
        if self.count >= COUNT_MAX {
            files.tell_limit("pieces of files");
        }
        for (id, file) in &self.files {
            if file.parts.is_empty() {
                continue;
            }
            files.sink.poll()?;
            let name = self.path_of(*id);
            let end = |(off, piece): (&u64, &Piece<'_>)| off.saturating_add(piece.len);
            let reach = file.parts.iter().map(end).max().unwrap_or(0);
            let len = file.len.map_or(reach, |(_, len)| len.min(reach));
            if len == 0 || !files.announce(&name, len, len)? {
                continue;
            }
            let (bytes, missing) = content(file, len, files, unpack)?;
            if let Some(reason) = missing {
                files.sink.unscanned(&name, reason);
            }
            let given = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / 16;
            if !bytes.is_empty() && files.may_give(given) {
                files.child(&name, &bytes)?;
            }
        }
        Ok(())
    }

    fn path_of(&self, id: (u64, u64)) -> Vec<u8> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = id.1;
        for _ in 0..DEPTH_MAX {
            let newest = self.files.get(&(id.0, at));
            let newest =
                newest.and_then(|file| file.names.iter().max_by_key(|(version, ..)| *version));
            let Some((_, folder, name)) = newest else { break };
            names.push(name);
            if *folder == at {
                break;
            }
            at = *folder;
        }
        if names.is_empty() {
            return format!("inode {}", id.1).into_bytes();
        }
        names.iter().rev().fold(Vec::new(), |whole, name| path(&whole, name))
    }
}

/// Joins the pieces of a file.
fn content(
    file: &File<'_>,
    len: u64,
    files: &mut Files<'_, '_>,
    unpack: Unpack,
) -> Result<(Vec<u8>, Option<Reason>), Stop> {
    let cap = files.sink.child_cap().min(len);
    let mut missing = (cap < len).then(|| files.sink.cap_reason());
    let mut bytes = Vec::new();
    for (off, piece) in &file.parts {
        files.sink.poll()?;
        if *off >= cap {
            break;
        }
        let mut part = Vec::new();
        if let Err(reason) = unpack(piece, &mut part) {
            missing.get_or_insert(reason);
        }
        let part = part.get(size(piece.skip)..).unwrap_or_default();
        let start = size(*off);
        let end = start.saturating_add(part.len()).min(size(cap));
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(place) = bytes.get_mut(start..end) {
            let used = part.get(..place.len()).unwrap_or_default();
            place.copy_from_slice(used);
        }
    }
    if bytes.len() < size(cap) {
        bytes.resize(size(cap), 0);
    }
    Ok((bytes, missing))
}
