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

/// The method of all of them by which a piece is stored as it is.
const PLAIN: u8 = 0;

/// Unpacks a piece of another method than [`PLAIN`] and appends it.
pub(super) type Unpack = fn(&Piece<'_>, &mut Vec<u8>) -> Result<(), Reason>;

#[derive(Debug, Default)]
struct File<'a> {
    /// Version, length.
    len: Option<(u64, u64)>,
    /// Version, folder, name.
    name: Option<(u64, u64, &'a [u8])>,
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
/// Bytes of a name: none of these file systems has longer ones.
const NAME_LEN_MAX: usize = 255;
/// Ours: bytes behind the end that a file has by its newest length, from which on they are handed over. Fewer fill
/// up a block.
const BEHIND_MIN: u64 = 128 << 10;

impl<'a> Pieces<'a> {
    /// Takes a piece of a file at an offset of it; `tree` and `number` name the file. False when there are too many.
    pub(super) fn add(&mut self, file: (u64, u64), off: u64, piece: Piece<'a>) -> bool {
        if !self.has_room() {
            return false;
        }
        let parts = &mut self.files.entry(file).or_default().parts;
        if parts.get(&off).is_none_or(|had| had.version <= piece.version) {
            parts.insert(off, piece);
        }
        true
    }

    fn has_room(&mut self) -> bool {
        self.count = self.count.saturating_add(1);
        self.count <= COUNT_MAX
    }

    /// Takes the length of a file. False when there are too many.
    pub(super) fn length(&mut self, file: (u64, u64), version: u64, len: u64) -> bool {
        if !self.has_room() {
            return false;
        }
        let had = &mut self.files.entry(file).or_default().len;
        if had.is_none_or(|(other, _)| other <= version) {
            *had = Some((version, len));
        }
        true
    }

    /// Takes a name of a file in a folder of the same tree. False when there are too many.
    pub(super) fn name(
        &mut self,
        file: (u64, u64),
        version: u64,
        folder: u64,
        name: &'a [u8],
    ) -> bool {
        if !self.has_room() {
            return false;
        }
        let name = name.get(..NAME_LEN_MAX).unwrap_or(name);
        let had = &mut self.files.entry(file).or_default().name;
        if had.is_none_or(|(other, ..)| other <= version) {
            *had = Some((version, folder, name));
        }
        true
    }

    /// Hands the files over.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn give(&self, files: &mut Files<'a, '_>, unpack: Unpack) -> Result<(), Stop> {
        if self.count > COUNT_MAX {
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
            let told = file.len.map_or(reach, |(_, len)| len.min(reach));
            // A newer length than that in use would else hide what lies behind it.
            let has_more = reach.saturating_sub(told) >= BEHIND_MIN;
            let len = if has_more { reach } else { told };
            if len == 0 || !files.announce(&name, told, told)? {
                continue;
            }
            let (bytes, missing) = content(file, len, files, unpack)?;
            if let Some(reason) = missing {
                files.sink.unscanned(&name, reason);
            }
            let given = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / 16;
            if bytes.is_empty() || !files.may_give(given) {
                continue;
            }
            let (own, behind) = bytes.split_at(size(told).min(bytes.len()));
            if !own.is_empty() {
                files.child(&name, own)?;
            }
            if !behind.is_empty() {
                files.child(&path(&name, b"[behind the end]"), behind)?;
            }
        }
        Ok(())
    }

    fn path_of(&self, id: (u64, u64)) -> Vec<u8> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = id.1;
        for _ in 0..DEPTH_MAX {
            let newest = self.files.get(&(id.0, at)).and_then(|file| file.name);
            let Some((_, folder, name)) = newest else { break };
            names.push(name);
            if folder == at {
                break;
            }
            at = folder;
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
        let mut unpacked = Vec::new();
        let part = if piece.method == PLAIN {
            piece.stored.get(..size(piece.len)).unwrap_or(piece.stored)
        } else {
            if let Err(reason) = unpack(piece, &mut unpacked) {
                missing.get_or_insert(reason);
            }
            unpacked.as_slice()
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    fn given(pieces: &Pieces<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut recorder = Recorder::default();
        let unpack: Unpack = |_, _| Err(Reason::Damaged("packed".into()));
        pieces.give(&mut Files::new(&[0; 64], &mut recorder), unpack).expect("no limit");
        recorder
            .events
            .into_iter()
            .filter_map(|event| match event {
                Event::Child(name, data, _) => Some((name, data)),
                _ => None,
            })
            .collect()
    }

    fn piece(version: u64, stored: &[u8], len: u64) -> Piece<'_> {
        Piece { version, stored, method: PLAIN, len, skip: 0 }
    }

    #[test]
    fn the_newest_counts_and_hides_nothing() {
        let mut pieces = Pieces::default();
        let far = BEHIND_MIN + 4;
        assert!(pieces.add((0, 7), 0, piece(1, b"old!", 4)));
        assert!(pieces.add((0, 7), 0, piece(2, b"new!padding", 4)));
        assert!(pieces.add((0, 7), far, piece(1, b"behind", 6)));
        assert!(pieces.length((0, 7), 1, far + 6));
        assert!(pieces.length((0, 7), 2, 4));
        for (version, name) in [(1, "first"), (3, "last"), (2, "between")] {
            assert!(pieces.name((0, 7), version, 1, name.as_bytes()));
        }
        let given = given(&pieces);
        assert_eq!(given[0], (b"last".to_vec(), b"new!".to_vec()));
        assert_eq!(given[1].0, b"last/[behind the end]");
        assert!(given[1].1.ends_with(b"\0behind"), "{}", given[1].1.len());
    }

    #[test]
    fn a_newer_length_of_zero_hides_no_large_file() {
        let data = vec![b'x'; size(BEHIND_MIN)];
        let mut pieces = Pieces::default();
        assert!(pieces.add((0, 7), 0, piece(1, &data, BEHIND_MIN)));
        assert!(pieces.length((0, 7), 9, 0));
        assert_eq!(given(&pieces), [(b"inode 7/[behind the end]".to_vec(), data.clone())]);
    }
}
