//! Looks hashes up in a pack.

use std::sync::Arc;

use hf_core::signature::HashOf;
use hf_pack::{LeArray, Pack};

use super::builder::PUA;
use super::{
    ANY_KINDS, ANY_SIZE, Column, DigestSet, FILES, HITS_MAX, ORIGINS, bucket, column, gate_kinds,
    gate_sizes, kind_of, names, of_index,
};

/// The hash signatures of one pack.
#[derive(Debug, Clone)]
pub struct HashTables {
    pack: Arc<Pack>,
}

/// A hash signature that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashHit {
    /// Its name, without `.UNOFFICIAL`.
    pub name: String,
    /// Base name of the database.
    pub file: String,
    /// Line in it, from 1.
    pub line: u32,
    /// From a database of potentially unwanted applications.
    pub pua: bool,
    /// It fits any size.
    pub any_size: bool,
}

impl HashTables {
    /// Looks at a pack. Nothing is read yet.
    #[must_use]
    pub fn open(pack: &Arc<Pack>) -> Self {
        Self { pack: Arc::clone(pack) }
    }

    /// Returns which digests could fit a signature when what is hashed has this size.
    #[must_use]
    pub fn needs(&self, of: HashOf, size: u64) -> DigestSet {
        let of = of_index(of);
        let any = self.pack.section(ANY_KINDS).get(of as usize).copied().unwrap_or(0);
        let sized = u32::try_from(size).ok().and_then(|size| {
            let sizes = LeArray::<u32>::new(self.pack.section(gate_sizes(of)));
            let at = sizes.lower_bound(size);
            sizes.get(at).filter(|found| *found == size)?;
            self.pack.section(gate_kinds(of)).get(at).copied()
        });
        DigestSet::from_bits(any | sized.unwrap_or(0))
    }

    /// Returns the signatures for this digest and size: those that name the size first, then those
    /// for any size, each in the order in which they were read.
    #[must_use]
    pub fn find(&self, of: HashOf, digest: &[u8], size: u64) -> Vec<HashHit> {
        self.rows(of, digest, size).unwrap_or_default()
    }

    fn rows(&self, of: HashOf, digest: &[u8], size: u64) -> Option<Vec<HashHit>> {
        let (of, kind) = (of_index(of), kind_of(digest)?);
        let section = |wanted| self.pack.section(column(of, kind, wanted));
        let directory = LeArray::<u32>::new(section(Column::Directory));
        let bits = directory.len().checked_sub(1)?.checked_ilog2()?;
        let at = bucket(digest, bits) as usize;
        let mut low = directory.get(at)? as usize;
        let end = directory.get(at.checked_add(1)?)? as usize;
        let digests = section(Column::Digests).chunks_exact(digest.len());
        // `nth` of a chunk iterator is one multiplication, not a walk.
        let row = |idx: usize| digests.clone().nth(idx);
        let mut high = end;
        while low < high {
            let mid = low.midpoint(high);
            if row(mid)? < digest { low = mid + 1 } else { high = mid }
        }
        let same = (low..end).take_while(|idx| row(*idx) == Some(digest)).take(HITS_MAX);
        let sizes = LeArray::<u32>::new(section(Column::Sizes));
        let ordinals = LeArray::<u32>::new(section(Column::Ordinals));
        let mut hits = Vec::new();
        for idx in same {
            let any_size = sizes.get(idx)? == ANY_SIZE;
            if any_size || u64::from(sizes.get(idx)?) == size {
                hits.push(self.hit(ordinals.get(idx)?, any_size));
            }
        }
        Some(hits)
    }

    fn hit(&self, ordinal: u32, any_size: bool) -> HashHit {
        let (file, line) = self.origin(ordinal).unwrap_or((0, 0));
        HashHit {
            name: names::read(&self.pack, ordinal),
            file: self.file_name(file & !PUA),
            line,
            pua: file & PUA != 0,
            any_size,
        }
    }

    /// Returns the file's number and the line.
    fn origin(&self, ordinal: u32) -> Option<(u32, u32)> {
        let runs = self.pack.section(ORIGINS).as_chunks::<12>().0;
        let read = |run: &[u8; 12]| {
            let fields = LeArray::<u32>::new(run);
            Some((fields.get(0)?, fields.get(1)?, fields.get(2)?))
        };
        let after =
            runs.partition_point(|run| read(run).is_some_and(|(first, ..)| first <= ordinal));
        let (first, file, line) = read(runs.get(after.checked_sub(1)?)?)?;
        Some((file, line.saturating_add(ordinal.checked_sub(first)?)))
    }

    fn file_name(&self, file: u32) -> String {
        let mut rest = self.pack.section(FILES);
        for _ in 0..file {
            let Some((_, next)) = first_file(rest) else { break };
            rest = next;
        }
        let name = first_file(rest).map_or(&[][..], |(name, _)| name);
        String::from_utf8_lossy(name).into_owned()
    }
}

fn first_file(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}
