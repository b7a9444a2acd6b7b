//! Writes a pack front to back: sections as they come, the table behind them, the header last.

use std::io::{self, Seek, SeekFrom, Write};

use crate::layout::{Entry, HEADER_LEN, Header, MAX_ALIGN, MAX_SECTIONS};
use crate::{FORMAT_VERSION, PackMeta, SectionId};

/// A pack could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WritePackError {
    /// The file could not be written.
    #[error("cannot write pack")]
    Io(#[from] io::Error),
    /// Two sections have the same id.
    #[error("section {0} is there twice")]
    Duplicate(SectionId),
    /// More than [`MAX_SECTIONS`].
    #[error("too many sections")]
    TooMany,
    /// The meta data cannot be encoded or has another format version.
    #[error("bad meta data")]
    Meta,
}

/// Writes one pack. Until [`PackWriter::finish`] returns, the file has no valid header.
#[derive(Debug)]
pub struct PackWriter<W: Write + Seek> {
    out: W,
    buffer: Vec<u8>,
    off: u64,
    entries: Vec<Entry>,
    failed: Option<io::ErrorKind>,
}

impl<W: Write + Seek> PackWriter<W> {
    /// Starts a pack at the beginning of an empty file.
    #[must_use]
    pub fn new(out: W) -> Self {
        let mut buffer = Vec::with_capacity(BUFFER_LEN + 4096);
        buffer.resize(HEADER_LEN, 0);
        Self { out, buffer, off: HEADER_LEN as u64, entries: Vec::new(), failed: None }
    }

    /// Starts a section; it ends when the returned writer is dropped. `align` is rounded up to a
    /// power of two, at most [`MAX_ALIGN`].
    #[must_use]
    pub fn section(&mut self, id: SectionId, align: u32) -> SectionWriter<'_, W> {
        let align = align.clamp(1, MAX_ALIGN).next_power_of_two();
        let padding = self.off.next_multiple_of(u64::from(align)) - self.off;
        let zeros = [0; MAX_ALIGN as usize];
        let padding = usize::try_from(padding).ok().and_then(|len| zeros.get(..len));
        // An error is kept and told at the next write and by `finish`.
        let _ = self.put(padding.unwrap_or_default());
        let off = self.off;
        SectionWriter { pack: self, id, align, off, hasher: blake3::Hasher::new() }
    }

    /// Writes a whole section, aligned to 16 bytes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_section(&mut self, id: SectionId, bytes: &[u8]) -> Result<(), WritePackError> {
        self.section(id, 16).write_all(bytes)?;
        Ok(())
    }

    /// Writes meta data, table and header, and returns the file.
    ///
    /// # Errors
    /// A write failed now or before, or the sections make no valid pack.
    pub fn finish(mut self, meta: &PackMeta) -> Result<W, WritePackError> {
        if meta.format_version != FORMAT_VERSION {
            return Err(WritePackError::Meta);
        }
        let meta = postcard::to_stdvec(meta).map_err(|_| WritePackError::Meta)?;
        self.write_section(SectionId::META, &meta)?;
        self.entries.sort_by_key(|entry| entry.id);
        let twice = self.entries.windows(2).find(|pair| pair[0].id == pair[1].id);
        if let Some(pair) = twice {
            return Err(WritePackError::Duplicate(pair[0].id));
        }
        if self.entries.len() > MAX_SECTIONS {
            return Err(WritePackError::TooMany);
        }
        let table: Vec<u8> = self.entries.iter().flat_map(Entry::encode).collect();
        let header = Header {
            section_count: u32::try_from(self.entries.len())
                .map_err(|_| WritePackError::TooMany)?,
            table_off: self.off,
            file_len: self.off + table.len() as u64,
        };
        self.put(&table)?;
        self.flush_buffer()?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.encode(&table))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        self.off += bytes.len() as u64;
        if bytes.len() >= BUFFER_LEN {
            self.flush_buffer()?;
            return self.out.write_all(bytes).inspect_err(|err| self.failed = Some(err.kind()));
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_LEN { self.flush_buffer() } else { Ok(()) }
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let done = self.out.write_all(&self.buffer);
        self.buffer.clear();
        done.inspect_err(|err| self.failed = Some(err.kind()))
    }
}

/// Writes one section; it ends with this value.
#[derive(Debug)]
pub struct SectionWriter<'a, W: Write + Seek> {
    pack: &'a mut PackWriter<W>,
    id: SectionId,
    align: u32,
    off: u64,
    hasher: blake3::Hasher,
}

impl<W: Write + Seek> SectionWriter<'_, W> {
    /// Returns how many bytes the section has so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.pack.off - self.off
    }
}

impl<W: Write + Seek> Write for SectionWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.pack.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Seek> Drop for SectionWriter<'_, W> {
    fn drop(&mut self) {
        let digest = *self.hasher.finalize().as_bytes();
        let (id, align, off, len) = (self.id, self.align, self.off, self.written());
        self.pack.entries.push(Entry { id, align, off, len, digest });
    }
}

/// Ours: large enough that a system call costs nothing beside hashing.
const BUFFER_LEN: usize = 1 << 16;
