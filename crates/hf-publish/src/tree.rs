//! A log as files: entries, tiles of hashes, and the proofs that come out of them (C2SP `tlog-tiles`).
//!
//! Promises: what a signed checkpoint covers is on the disk before anybody sees the checkpoint.
//! Limits: all leaf hashes are in memory, 32 bytes an entry.
//! Sources: C2SP `tlog-tiles`, `tlog-proof`; RFC 6962 §2.1.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hf_trust::log::Hash;
use hf_trust::log::merkle::{empty_root, leaf_hash, node_hash};
use hf_trust::log::tile::parse_entries;

use crate::files;

/// Entries and hashes of a tile.
const TILE: usize = 256;
/// `tlog-tiles`: an entry's length is 16 bits.
const ENTRY_LEN_MAX: usize = u16::MAX as usize;

/// A log in a folder.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: PathBuf,
    leaves: Vec<Hash>,
    /// Entries of the last, unfilled bundle.
    tail: Vec<Vec<u8>>,
}

/// Returns the root over some leaves.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}

impl Tree {
    /// Opens the first `size` entries of a log; what lies behind them is of an interrupted run.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub(crate) fn open(dir: &Path, size: u64) -> Result<Self> {
        let mut tree = Self { dir: dir.to_owned(), leaves: Vec::new(), tail: Vec::new() };
        let size = usize::try_from(size)?;
        let (full, rest) = (size / TILE, size % TILE);
        for tile in 0..full {
            let path = dir.join(tile_path("0", tile, None));
            let hashes = files::read(&path, (TILE * 32) as u64)?;
            ensure!(hashes.len() == TILE * 32, "{} is damaged", path.display());
            tree.leaves.extend_from_slice(hashes.as_chunks::<32>().0);
        }
        if rest > 0 {
            let path = dir.join(tile_path("entries", full, Some(rest)));
            let bundle = files::read(&path, (TILE * (2 + ENTRY_LEN_MAX)) as u64)?;
            tree.tail = entries_of(&bundle).with_context(|| format!("{}", path.display()))?;
            ensure!(tree.tail.len() == rest, "{} is damaged", path.display());
            tree.leaves.extend(tree.tail.iter().map(|entry| leaf_hash(entry)));
        }
        Ok(tree)
    }

    /// Returns the number of entries.
    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Returns the root.
    pub(crate) fn root(&self) -> Hash {
        root(&self.leaves)
    }

    /// Returns the place of an entry.
    pub(crate) fn find(&self, entry: &[u8]) -> Option<u64> {
        let wanted = leaf_hash(entry);
        self.leaves.iter().position(|leaf| *leaf == wanted).map(|at| at as u64)
    }

    /// Adds an entry; it is on the disk after [`Tree::flush`].
    ///
    /// # Errors
    /// It is too long.
    pub(crate) fn push(&mut self, entry: &[u8]) -> Result<u64> {
        ensure!(entry.len() <= ENTRY_LEN_MAX, "an entry of {} bytes is too long", entry.len());
        self.leaves.push(leaf_hash(entry));
        self.tail.push(entry.to_vec());
        if self.tail.len() == TILE {
            let tile = self.leaves.len() / TILE - 1;
            let path = self.dir.join(tile_path("entries", tile, None));
            files::write(&path, &bundle(&self.tail))?;
            self.tail.clear();
        }
        Ok(self.leaves.len() as u64 - 1)
    }

    /// Writes the entries and hashes that a checkpoint of this size needs.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn flush(&self) -> Result<()> {
        let size = self.leaves.len();
        if !self.tail.is_empty() {
            let path = tile_path("entries", size / TILE, Some(size % TILE));
            files::write(&self.dir.join(path), &bundle(&self.tail))?;
        }
        let mut hashes = self.leaves.clone();
        for level in 0..64 {
            for (tile, part) in hashes.chunks(TILE).enumerate() {
                let width = (part.len() < TILE).then_some(part.len());
                let path = self.dir.join(tile_path(&level.to_string(), tile, width));
                if !path.exists() || width.is_some() {
                    files::write(&path, &part.concat())?;
                }
            }
            hashes = hashes.chunks_exact(TILE).map(root).collect();
            if hashes.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the proof that the entry at `idx` is in the tree, from the leaf's sibling up.
    pub(crate) fn inclusion(&self, idx: u64) -> Vec<Hash> {
        let mut proof = Vec::new();
        inclusion(&self.leaves, usize::try_from(idx).unwrap_or(usize::MAX), &mut proof);
        proof
    }

    /// Returns the proof that the tree is one of `size` entries grown longer.
    pub(crate) fn consistency(&self, size: u64) -> Vec<Hash> {
        let mut proof = Vec::new();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if (1..self.leaves.len()).contains(&size) {
            consistency(&self.leaves, size, true, &mut proof);
        }
        proof
    }
}

/// RFC 6962 §2.1.1, PATH(m, D[n]).
fn inclusion(leaves: &[Hash], idx: usize, proof: &mut Vec<Hash>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if idx < left.len() {
        inclusion(left, idx, proof);
        proof.push(root(right));
    } else {
        inclusion(right, idx - left.len(), proof);
        proof.push(root(left));
    }
}

/// RFC 6962 §2.1.2, SUBPROOF(m, D[n], b).
fn consistency(leaves: &[Hash], size: usize, whole: bool, proof: &mut Vec<Hash>) {
    if size == leaves.len() {
        if !whole {
            proof.push(root(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if size <= left.len() {
        consistency(left, size, whole, proof);
        proof.push(root(right));
    } else {
        consistency(right, size - left.len(), false, proof);
        proof.push(root(left));
    }
}

/// Returns the path of a tile; `width` of one that is not full.
fn tile_path(level: &str, idx: usize, width: Option<usize>) -> String {
    let mut parts = vec![format!("{:03}", idx % 1000)];
    let mut rest = idx / 1000;
    while rest > 0 {
        parts.insert(0, format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    let mut path = format!("tile/{level}/{}", parts.join("/"));
    if let Some(width) = width {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let len = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}

fn entries_of(bundle: &[u8]) -> Result<Vec<Vec<u8>>> {
    let entries = parse_entries(bundle).context("an entry ends early")?;
    Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use hf_trust::log::merkle;

    use super::*;

    #[test]
    fn trees_reopen_and_their_proofs_verify() {
        let temp = tempfile::tempdir().unwrap();
        let mut tree = Tree::open(temp.path(), 0).unwrap();
        let mut roots = vec![tree.root()];
        for at in 0..600u64 {
            assert_eq!(tree.push(format!("entry {at}").as_bytes()).unwrap(), at);
            roots.push(tree.root());
            if [0, 1, 100, 255, 256, 300, 511, 599].contains(&at) {
                tree.flush().unwrap();
                let again = Tree::open(temp.path(), at + 1).unwrap();
                assert_eq!((again.root(), again.size()), (tree.root(), at + 1));
                assert_eq!(again.find(b"entry 0"), Some(0));
            }
        }
        for idx in [0, 1, 255, 256, 599] {
            let leaf = leaf_hash(format!("entry {idx}").as_bytes());
            let proof = tree.inclusion(idx);
            merkle::verify_inclusion(&leaf, idx, 600, &tree.root(), &proof).unwrap();
        }
        for size in [1u64, 2, 3, 255, 256, 257, 599] {
            let old = roots[usize::try_from(size).unwrap()];
            let proof = tree.consistency(size);
            merkle::verify_consistency((size, &old), (600, &tree.root()), &proof).unwrap();
        }
        assert!(temp.path().join("tile/1/000.p/2").exists());
        assert!(Tree::open(temp.path(), 601).is_err());
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path("0", 1_234_067, None), "tile/0/x001/x234/067");
        assert_eq!(tile_path("entries", 5, Some(7)), "tile/entries/005.p/7");
    }
}
