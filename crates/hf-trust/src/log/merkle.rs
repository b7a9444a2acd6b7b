//! Merkle trees of logs (RFC 6962 §2.1): hashes, proofs, and their verification.
//!
//! Promises: verification takes at most 64 steps; a proof that is longer or shorter than it has to be
//! is refused. Making proofs asks for complete nodes only, so that it works from [`super::tile`]s.

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// Most hashes in a proof.
pub const PROOF_LEN_MAX: usize = 63;

/// A Merkle proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The entry's index is not below the tree's size, or the old size is above the new one.
    #[error("the proof is for another size or index")]
    Range,
    /// Too many or too few hashes.
    #[error("the proof has the wrong length")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Returns the root of a tree without entries.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// Returns the hash of an entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut digest = Sha256::new();
    digest.update([0]);
    digest.update(entry);
    digest.finalize().into()
}

/// Returns the hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut digest = Sha256::new();
    digest.update([1]);
    digest.update(left);
    digest.update(right);
    digest.finalize().into()
}

/// Verifies that an entry is in a tree (RFC 9162 §2.1.3.2).
///
/// # Errors
///
/// See [`MerkleError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Range);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(MerkleError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(MerkleError::Length);
    }
    if hash == *root { Ok(()) } else { Err(MerkleError::Root) }
}

/// Verifies that a tree only grew (RFC 9162 §2.1.4.2). From an empty tree, and between trees of one
/// size, the proof is empty.
///
/// # Errors
///
/// See [`MerkleError`].
pub fn verify_consistency(
    old: (u64, &Hash),
    new: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), MerkleError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(MerkleError::Range);
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(MerkleError::Length);
        }
        let same = old_size == 0 || old_root == new_root;
        return if same { Ok(()) } else { Err(MerkleError::Root) };
    }
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(MerkleError::Length)?
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(MerkleError::Length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(MerkleError::Length);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(MerkleError::Root) }
}

/// Gives hashes of complete subtrees.
pub trait Nodes {
    /// Why a hash could not be had.
    type Error;

    /// Returns the hash of entries `index << level` to `(index + 1) << level`.
    ///
    /// # Errors
    ///
    /// It could not be had.
    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Computes the root of the first `size` entries.
///
/// # Errors
///
/// A node could not be had.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range_hash(nodes, 0, size) }
}

/// Makes the proof that the entry at an index is in the tree of a size.
///
/// # Errors
///
/// A node could not be had. An index out of range gives an empty proof, which verifies nowhere.
pub fn prove_inclusion<N: Nodes>(
    nodes: &mut N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if index >= size {
        return Ok(proof);
    }
    // From the root down; the proof is written from the leaf up.
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range_hash(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range_hash(nodes, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Makes the proof that the tree of the new size contains that of the old one.
///
/// # Errors
///
/// A node could not be had. Sizes out of order give an empty proof, which verifies nowhere.
pub fn prove_consistency<N: Nodes>(
    nodes: &mut N,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if old_size == 0 || old_size >= new_size {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new_size);
    while high != old_size {
        let middle = low + split(high - low);
        if old_size <= middle {
            proof.push(range_hash(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range_hash(nodes, low, middle)?);
            low = middle;
        }
    }
    // The old root itself is known to who verifies; a part of it is not.
    if low > 0 {
        proof.push(range_hash(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below a number above 1.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Hashes entries `low` to `high`, where `low` is a multiple of the power of two that spans them.
fn range_hash<N: Nodes>(nodes: &mut N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let count = high - low;
    if count.is_power_of_two() {
        let level = u8::try_from(count.ilog2()).unwrap_or(u8::MAX);
        return nodes.node(level, low >> level);
    }
    // At most 64 deep: the right part is less than half.
    let middle = low + split(count);
    let left = range_hash(nodes, low, middle)?;
    let right = range_hash(nodes, middle, high)?;
    Ok(node_hash(&left, &right))
}
