//! Collects hash signatures and writes their tables.

use std::io::{self, BufWriter, Seek, Write};

use hf_core::signature::HashOf;
use hf_pack::{PackWriter, SectionId, WritePackError};

use super::names::NamesBuilder;
use super::{
    ANY_KINDS, ANY_SIZE, Column, FILES, OFS, ORIGINS, bucket, column, gate_kinds, gate_sizes,
    of_index,
};

/// Collects hash signatures: 24 to 40 bytes a row and about eight for its name.
#[derive(Debug, Default)]
pub struct HashTablesBuilder {
    md5: [Vec<Row<16>>; OFS as usize],
    sha1: [Vec<Row<20>>; OFS as usize],
    sha256: [Vec<Row<32>>; OFS as usize],
    names: NamesBuilder,
    origins: Vec<Run>,
    files: Vec<String>,
    next_line: u32,
    full: bool,
}

/// A row; its order is the order of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row<const N: usize> {
    digest: [u8; N],
    size: u32,
    ordinal: u32,
}

/// Signatures from consecutive lines of one file.
#[derive(Debug, Clone, Copy)]
struct Run {
    ordinal: u32,
    file: u32,
    line: u32,
}

impl HashTablesBuilder {
    /// Returns a builder without signatures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of signatures.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.names.count())
    }

    /// True when there is no signature.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a signature. The digest has 16, 20 or 32 bytes (another length is left out), the size
    /// is below `u32::MAX` and none for any size.
    #[expect(clippy::too_many_arguments, reason = "a row of a database, taken apart")]
    pub fn push(
        &mut self,
        of: HashOf,
        digest: &[u8],
        size: Option<u32>,
        name: &str,
        file: &str,
        line: u32,
        pua: bool,
    ) {
        let (at, ordinal) = (of_index(of) as usize, self.names.count());
        let size = size.unwrap_or(ANY_SIZE);
        if let Ok(digest) = digest.try_into() {
            self.md5[at].push(Row { digest, size, ordinal });
        } else if let Ok(digest) = digest.try_into() {
            self.sha256[at].push(Row { digest, size, ordinal });
        } else if let Ok(digest) = digest.try_into() {
            self.sha1[at].push(Row { digest, size, ordinal });
        } else {
            return;
        }
        self.full |= !self.names.push(name);
        self.note_origin(ordinal, file, line, pua);
    }

    fn note_origin(&mut self, ordinal: u32, file: &str, line: u32, pua: bool) {
        let last = self.origins.last().map(|run| run.file);
        let same_file = |id: u32| self.files.get((id & !PUA) as usize).is_some_and(|f| f == file);
        let id = match last.filter(|id| same_file(*id)) {
            Some(id) => id & !PUA,
            None => self.file_id(file),
        };
        let id = if pua { id | PUA } else { id };
        if last != Some(id) || self.next_line != line {
            self.origins.push(Run { ordinal, file: id, line });
        }
        self.next_line = line.saturating_add(1);
    }

    fn file_id(&mut self, file: &str) -> u32 {
        let found = self.files.iter().position(|known| known == file);
        let id = found.unwrap_or_else(|| {
            self.files.push(file.to_owned());
            self.files.len() - 1
        });
        u32::try_from(id).unwrap_or(u32::MAX) & !PUA
    }

    /// Sorts the tables and writes all sections.
    ///
    /// # Errors
    /// The pack cannot be written, or there are more signatures than a table can number.
    pub fn write<W: Write + Seek>(self, pack: &mut PackWriter<W>) -> Result<(), WritePackError> {
        if self.full {
            return Err(WritePackError::TooMany);
        }
        if self.is_empty() {
            return Ok(());
        }
        write_files(pack, &self.files)?;
        write_u32s(pack, ORIGINS, self.origins.iter().flat_map(|r| [r.ordinal, r.file, r.line]))?;
        self.names.write(pack)?;
        drop((self.names, self.origins));
        let mut any_kinds = [0u8; OFS as usize];
        let tables = self.md5.into_iter().zip(self.sha1).zip(self.sha256);
        for (of, ((md5, sha1), sha256)) in (0..).zip(tables) {
            let mut gate = Gate::default();
            write_table(pack, of, 0, md5, &mut gate)?;
            write_table(pack, of, 1, sha1, &mut gate)?;
            write_table(pack, of, 2, sha256, &mut gate)?;
            any_kinds[of as usize] = gate.write(pack, of)?;
        }
        pack.write_section(ANY_KINDS, &any_kinds)
    }
}

fn write_table<const N: usize, W: Write + Seek>(
    pack: &mut PackWriter<W>,
    of: u32,
    kind: u32,
    mut rows: Vec<Row<N>>,
    gate: &mut Gate,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable();
    gate.add(kind, rows.iter().map(|row| row.size));
    let bits = directory_bits(rows.len());
    let mut row = 0;
    let starts = (0..=(1u32 << bits)).map(|wanted| {
        while rows.get(row).is_some_and(|found| bucket(&found.digest, bits) < wanted) {
            row += 1;
        }
        row as u32
    });
    write_u32s(pack, column(of, kind, Column::Directory), starts)?;
    let mut out = BufWriter::with_capacity(BUFFER, pack.section(digests(of, kind), 64));
    rows.iter().try_for_each(|row| out.write_all(&row.digest))?;
    out.flush()?;
    drop(out);
    write_u32s(pack, column(of, kind, Column::Sizes), rows.iter().map(|row| row.size))?;
    write_u32s(pack, column(of, kind, Column::Ordinals), rows.iter().map(|row| row.ordinal))
}

fn digests(of: u32, kind: u32) -> SectionId {
    column(of, kind, Column::Digests)
}

/// Some eight rows to a bucket.
fn directory_bits(rows: usize) -> u32 {
    (rows / 8).max(1).ilog2().min(24)
}

/// Sizes of one [`HashOf`], with the kinds of digest that occur with each.
#[derive(Debug, Default)]
struct Gate {
    sizes: Vec<(u32, u8)>,
    any: u8,
}

impl Gate {
    fn add(&mut self, kind: u32, sizes: impl Iterator<Item = u32>) {
        let mut sizes: Vec<u32> = sizes.collect();
        sizes.sort_unstable();
        sizes.dedup();
        let kind = 1 << kind;
        if sizes.pop_if(|last| *last == ANY_SIZE).is_some() {
            self.any |= kind;
        }
        self.sizes.extend(sizes.into_iter().map(|size| (size, kind)));
    }

    /// Writes the sizes and returns the kinds for any size.
    fn write<W: Write + Seek>(mut self, pack: &mut PackWriter<W>, of: u32) -> io::Result<u8> {
        self.sizes.sort_unstable();
        self.sizes.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 |= if same { next.1 } else { 0 };
            same
        });
        if !self.sizes.is_empty() {
            write_u32s(pack, gate_sizes(of), self.sizes.iter().map(|(size, _)| *size))?;
            let kinds: Vec<u8> = self.sizes.iter().map(|(_, kinds)| *kinds).collect();
            pack.section(gate_kinds(of), 1).write_all(&kinds)?;
        }
        Ok(self.any)
    }
}

fn write_files<W: Write + Seek>(pack: &mut PackWriter<W>, files: &[String]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for file in files {
        let file = file.as_bytes().get(..file.len().min(FILE_NAME_MAX)).unwrap_or_default();
        bytes.extend_from_slice(&(file.len() as u16).to_le_bytes());
        bytes.extend_from_slice(file);
    }
    pack.section(FILES, 1).write_all(&bytes)
}

fn write_u32s<W: Write + Seek>(
    pack: &mut PackWriter<W>,
    id: SectionId,
    values: impl Iterator<Item = u32>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, pack.section(id, 64));
    for value in values {
        out.write_all(&value.to_le_bytes())?;
    }
    out.flush()
}

/// In the file's number: from a database of potentially unwanted applications.
pub(super) const PUA: u32 = 1 << 31;
const FILE_NAME_MAX: usize = u16::MAX as usize;
const BUFFER: usize = 1 << 16;
