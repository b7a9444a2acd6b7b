//! Where a log keeps its hashes (C2SP `tlog-tiles`), and proofs out of them.
//!
//! A tile holds up to 256 hashes of one level; level 0 are the entries' hashes, and each hash of the
//! next level is that of a full tile below. Tiles are files, so any web server or folder is a log's.
//! Promises: what comes out of hostile tiles is hostile too; verify proofs against a checkpoint.

use super::merkle::{Hash, Nodes, node_hash};

/// Hashes in a full tile.
pub const WIDTH: u64 = 256;
/// Most bytes of an entry, as bundles of entries can hold it.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// A tile's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 to 7 (63 in theory): which level; entries are level 0.
    pub level: u8,
    /// Which tile of the level.
    pub index: u64,
    /// How many hashes: 1 to 256.
    pub width: u16,
}

/// A tile has another length than its place asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tile does not have the length that its place asks for")]
pub struct BadTile;

impl Tile {
    /// Returns the tile at a place in a log of a size, full or partial; nothing if it would be empty.
    #[must_use]
    pub fn of_log(level: u8, index: u64, size: u64) -> Option<Self> {
        let shift = u32::from(level).checked_mul(8)?;
        let hashes = size.checked_shr(shift)?; // complete ones at this level
        let left = hashes.checked_sub(index.checked_mul(WIDTH)?)?;
        let width = u16::try_from(left.min(WIDTH)).ok()?;
        (width > 0).then_some(Self { level, index, width })
    }

    /// Returns the tiles that a log of `new_size` has and one of `old_size` had not, lowest level
    /// first: what a log has to write before it signs a checkpoint of the new size.
    #[must_use]
    pub fn new_in(old_size: u64, new_size: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for level in 0..8_u8 {
            let shift = u32::from(level) * 8;
            let (old, new) = (old_size >> shift, new_size >> shift);
            if old == new {
                continue;
            }
            let mut index = old / WIDTH;
            while let Some(tile) = Self::of_log(level, index, new_size) {
                tiles.push(tile);
                index += 1;
            }
        }
        tiles
    }

    /// Returns whether all 256 hashes are there.
    #[must_use]
    pub fn is_full(self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// Returns the tile's length in bytes.
    #[must_use]
    pub fn bytes_len(self) -> usize {
        usize::from(self.width) * 32
    }

    /// Returns where it is, below the log's address: `tile/0/x001/234.p/7`.
    #[must_use]
    pub fn path(self) -> String {
        self.path_in(&self.level.to_string())
    }

    /// Returns where the entries of a tile of level 0 are: `tile/entries/x001/234.p/7`.
    #[must_use]
    pub fn entries_path(self) -> String {
        self.path_in("entries")
    }

    fn path_in(self, folder: &str) -> String {
        let mut index = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1000);
            rest /= 1000;
        }
        if self.is_full() {
            format!("tile/{folder}/{index}")
        } else {
            format!("tile/{folder}/{index}.p/{}", self.width)
        }
    }
}

/// Gives tiles.
pub trait TileSource {
    /// Why a tile could not be had.
    type Error: From<BadTile>;

    /// Returns the bytes of a tile: exactly [`Tile::bytes_len`] of them.
    ///
    /// # Errors
    ///
    /// It could not be had.
    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

/// The nodes of a log of some size, out of its tiles. Asks for a tile as often as it is needed: the
/// source may keep them.
#[derive(Clone, Debug)]
pub struct TileNodes<S> {
    /// Where tiles come from.
    pub source: S,
    /// How many entries the log has.
    pub size: u64,
}

impl<S: TileSource> Nodes for TileNodes<S> {
    type Error = S::Error;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, S::Error> {
        let (tile_level, rest) = (level / 8, level % 8);
        // 2^rest hashes of the tile's level make up the node.
        let count = 1_u64 << rest;
        let first = index.checked_mul(count).ok_or(BadTile)?;
        let tile = Tile::of_log(tile_level, first / WIDTH, self.size).ok_or(BadTile)?;
        let bytes = self.source.tile(tile)?;
        if bytes.len() != tile.bytes_len() {
            return Err(BadTile.into());
        }
        let (hashes, _) = bytes.as_chunks::<32>();
        let from = usize::try_from(first % WIDTH).map_err(|_| BadTile)?;
        let to = usize::try_from(first % WIDTH + count).map_err(|_| BadTile)?;
        let hashes = hashes.get(from..to).ok_or(BadTile)?;
        subtree(hashes).ok_or_else(|| BadTile.into())
    }
}

/// Hashes a complete subtree; the number of hashes is a power of two.
fn subtree(hashes: &[Hash]) -> Option<Hash> {
    let mut hashes = hashes.to_vec();
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks::<2>();
        hashes = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    hashes.first().copied()
}

/// Reads a bundle of entries: each is its length in two bytes, high byte first, and itself.
///
/// Returns nothing when the bundle is cut short.
#[must_use]
pub fn parse_entries(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        entries.push(entry);
        bytes = rest;
    }
    Some(entries)
}

/// Adds an entry to a bundle.
///
/// Returns nothing when the entry is longer than [`ENTRY_BYTES_MAX`].
#[must_use]
pub fn put_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    let len = u16::try_from(entry.len()).ok()?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}
