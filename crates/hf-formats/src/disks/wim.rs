//! Windows images (WIM), as Windows is installed from.
//!
//! Yields: one child per stored file, under its first name in the first image that has it; what is stored and
//! has no name under its digest. Compression: none, XPRESS, LZX.
//! Leaves out: LZMS and solid resources (ESD files), which are told; other parts of a split image.
//! Limits: through `Sink`; 2^20 entries of the table; directories of at most 64 MiB an image and 64 images.
//! Hostile input: a damaged chunk is told and the next is read; names are not needed to read files; trees in a
//! circle are read once.
//! Sources: Microsoft, "Windows Imaging File Format"; [MS-XCA]; the LZX description of the Cabinet SDK.

use std::collections::{BTreeMap, BTreeSet};

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use super::files::{path, utf16_le};
use crate::bounded::Ended;
use crate::codec::{Lzx, xpress};
use crate::reader::{Reader, aligned, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "wim",
    types: &[FileType::Wim],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`MSWIM` at the start",
        yields: "one child per stored file: stored, XPRESS, LZX",
        leaves_out: "LZMS and solid resources, other parts of split images (reported)",
        limits: "2^20 entries; directories up to 64 MiB an image",
        sources: "Windows Imaging File Format, [MS-XCA]",
    },
};

/// Ours: entries of the table, images, bytes of a directory.
const ENTRIES_MAX: usize = 1 << 20;
const IMAGES_MAX: usize = 64;
const DIRECTORY_LEN_MAX: u64 = 64 << 20;
const ENTRY_LEN: usize = 50;

/// Flags of a resource.
const METADATA: u8 = 0x02;
const PACKED: u8 = 0x04;
const SPANNED: u8 = 0x08;
const SOLID: u8 = 0x10;

/// Where something is.
#[derive(Debug, Clone, Copy)]
struct Resource {
    packed_len: u64,
    flags: u8,
    off: u64,
    len: u64,
}

impl Resource {
    fn read(raw: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(raw);
        let word = fields.u64_le().ok()?;
        let flags = u8::try_from(word >> 56).ok()?;
        let packed_len = word & 0x00ff_ffff_ffff_ffff;
        Some(Self { packed_len, flags, off: fields.u64_le().ok()?, len: fields.u64_le().ok()? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Xpress,
    Lzx,
    Lzms,
}

struct Image<'a, 's> {
    object: &'a [u8],
    sink: &'s mut dyn Sink,
    method: Option<Method>,
    chunk_len: u64,
    budget: u64,
    /// Bytes that may still be unpacked: resources may be named again and again.
    unpack_budget: u64,
    /// Names by digest.
    names: BTreeMap<[u8; 20], Vec<u8>>,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let flags = Reader::at(object, 16).u32_le()?;
    let chunk_len = Reader::at(object, 20).u32_le()?;
    let (part, parts) = (Reader::at(object, 40).u16_le()?, Reader::at(object, 42).u16_le()?);
    let table = object.get(48..72).and_then(Resource::read);
    let method = match flags {
        flags if flags & 0x4_0000 != 0 => Some(Method::Lzx),
        flags if flags & 0x8_0000 != 0 => Some(Method::Lzms),
        flags if flags & 0x22_0000 != 0 => Some(Method::Xpress),
        _ => None,
    };
    if parts > 1 {
        sink.defect(Defect::new(40, "one part of several"));
        if part != 1 || parts > 1 {
            sink.unscanned(b"", Reason::OtherVolume);
        }
    }
    let sound = chunk_len.is_power_of_two() && (4096..=1 << 26).contains(&chunk_len);
    let chunk_len = if sound { u64::from(chunk_len) } else { 32_768 };
    let budget =
        u64::try_from(object.len()).unwrap_or(u64::MAX).saturating_mul(4).saturating_add(1 << 20);
    let unpack_budget = budget.saturating_mul(32).saturating_add(256 << 20);
    let names = BTreeMap::new();
    let mut image = Image { object, sink, method, chunk_len, budget, unpack_budget, names };
    let table = table.map(|table| image.content(&table, DIRECTORY_LEN_MAX)).transpose()?;
    let entries = match &table {
        Some((bytes, ended)) => {
            if *ended != Ended::Whole || bytes.is_empty() {
                image.sink.unscanned(b"", Reason::Damaged("lookup table".into()));
            }
            bytes.as_slice()
        }
        None => &[],
    };
    let entries: Vec<_> =
        entries.chunks_exact(ENTRY_LEN).take(ENTRIES_MAX).filter_map(entry).collect();
    image.directories(&entries)?;
    Ok(image.files(&entries)?)
}

/// Returns a resource and its digest.
fn entry(raw: &[u8]) -> Option<(Resource, [u8; 20])> {
    Some((Resource::read(raw)?, raw.get(30..50)?.try_into().ok()?))
}

impl Image<'_, '_> {
    /// Returns the content of a resource as far as it can be read.
    fn content(&mut self, resource: &Resource, most: u64) -> Result<(Vec<u8>, Ended), Stop> {
        let rest = self.object.get(size(resource.off)..).unwrap_or_default();
        let packed = rest.get(..size(resource.packed_len)).unwrap_or(rest);
        let most = most.min(resource.len);
        let used = u64::try_from(packed.len()).unwrap_or(u64::MAX);
        let Some(left) = self.budget.checked_sub(used) else {
            return Ok((Vec::new(), Ended::Damaged("resources that overlap".to_owned())));
        };
        self.budget = left;
        if resource.flags & PACKED == 0 {
            let bytes = packed.get(..size(most)).unwrap_or(packed);
            let whole = bytes.len() == size(resource.len);
            let capped = bytes.len() == size(most);
            let ended = match (whole, capped) {
                (true, _) => Ended::Whole,
                (false, true) => Ended::Capped,
                _ => Ended::Truncated,
            };
            return Ok((bytes.to_vec(), ended));
        }
        self.chunks(packed, resource.len, most)
    }

    /// Unpacks a resource chunk by chunk.
    fn chunks(&mut self, packed: &[u8], len: u64, most: u64) -> Result<(Vec<u8>, Ended), Stop> {
        let count = len.div_ceil(self.chunk_len.max(1));
        let wide = len > u64::from(u32::MAX);
        let entry_len: u64 = if wide { 8 } else { 4 };
        let table_len = count.saturating_sub(1).saturating_mul(entry_len);
        let data = packed.get(size(table_len)..).unwrap_or_default();
        let mut table = Reader::new(packed);
        let mut out = Vec::new();
        let mut ended = Ended::Whole;
        let mut start = 0u64;
        for idx in 0..count {
            self.sink.poll()?;
            let next = if idx.saturating_add(1) == count {
                u64::try_from(data.len()).unwrap_or(u64::MAX)
            } else {
                let next = if wide { table.u64_le() } else { table.u32_le().map(u64::from) };
                match next {
                    Ok(next) => next,
                    Err(_) => return Ok((out, Ended::Truncated)),
                }
            };
            if next < start {
                return Ok((out, Ended::Damaged("chunk table".to_owned())));
            }
            let had = u64::try_from(out.len()).unwrap_or(u64::MAX);
            let want = self.chunk_len.min(len.saturating_sub(had));
            if had.saturating_add(want) > most {
                return Ok((out, Ended::Capped));
            }
            let Some(left) = self.unpack_budget.checked_sub(want) else {
                return Ok((out, Ended::Damaged("resources that overlap".to_owned())));
            };
            self.unpack_budget = left;
            let chunk = data.get(size(start)..size(next).min(data.len())).unwrap_or_default();
            if size(next) > data.len() {
                ended = Ended::Truncated;
            }
            if let Err(error) = self.chunk(chunk, size(want), &mut out) {
                ended = Ended::of_error(&error);
            }
            out.resize(size(had.saturating_add(want)), 0);
            start = next;
        }
        Ok((out, ended))
    }

    fn chunk(&self, chunk: &[u8], want: usize, out: &mut Vec<u8>) -> std::io::Result<()> {
        if chunk.len() == want {
            out.extend_from_slice(chunk);
            return Ok(());
        }
        match self.method {
            Some(Method::Xpress) => xpress(chunk, want, out),
            Some(Method::Lzx) => {
                let bits = self.chunk_len.max(1 << 15).next_power_of_two().trailing_zeros();
                let mut lzx = Lzx::wim(bits).ok_or_else(|| std::io::Error::other("lzx: window"))?;
                lzx.frame(chunk, want, out).map(|_| ())
            }
            _ => Err(std::io::Error::other("method of the image")),
        }
    }

    /// Reads the names of files.
    fn directories(&mut self, entries: &[(Resource, [u8; 20])]) -> Result<(), Stop> {
        let directories = entries.iter().filter(|(resource, _)| resource.flags & METADATA != 0);
        let directories: Vec<_> = directories.take(IMAGES_MAX).collect();
        for (idx, (resource, _)) in directories.iter().enumerate() {
            if resource.flags & SOLID != 0
                || self.method == Some(Method::Lzms) && resource.flags & PACKED != 0
            {
                continue;
            }
            let (bytes, ended) = self.content(resource, DIRECTORY_LEN_MAX)?;
            if ended != Ended::Whole {
                self.sink.defect(Defect::new(resource.off, "metadata resource"));
            }
            let folder = if directories.len() > 1 {
                format!("{}", idx.saturating_add(1)).into_bytes()
            } else {
                Vec::new()
            };
            self.directory(&bytes, folder)?;
        }
        Ok(())
    }

    fn directory(&mut self, bytes: &[u8], folder: Vec<u8>) -> Result<(), Stop> {
        let security_len = Reader::new(bytes).u32_le().unwrap_or(8).max(8);
        let root = aligned(size(security_len.into()), 8);
        let mut seen = BTreeSet::new();
        let mut todo = vec![(root, folder)];
        let mut budget = bytes.len().saturating_mul(2);
        while let Some((start, folder)) = todo.pop() {
            if !seen.insert(start) {
                continue;
            }
            self.sink.poll()?;
            let mut off = start;
            while let Some(found) = Dentry::read(bytes, off) {
                let Some(left) = budget.checked_sub(found.len) else { return Ok(()) };
                budget = left;
                off = off.saturating_add(found.len);
                let name =
                    if found.name.is_empty() { folder.clone() } else { path(&folder, &found.name) };
                if found.children != 0 {
                    todo.push((size(found.children), name.clone()));
                }
                for (digest, stream) in found.streams(bytes, &mut off) {
                    let name = if stream.is_empty() {
                        name.clone()
                    } else {
                        [&name, &b":"[..], &stream].concat()
                    };
                    self.names.entry(digest).or_insert(name);
                }
            }
        }
        Ok(())
    }

    fn files(&mut self, entries: &[(Resource, [u8; 20])]) -> Result<(), Stop> {
        let mut position = 0u32;
        let mut solid_told = false;
        for (resource, digest) in
            entries.iter().filter(|(resource, _)| resource.flags & METADATA == 0)
        {
            self.sink.poll()?;
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = self.names.get(digest).cloned().unwrap_or_else(|| hex.into_bytes());
            position = position.saturating_add(1);
            if resource.flags & SOLID != 0 {
                if !std::mem::replace(&mut solid_told, true) {
                    self.sink.unscanned(b"", Reason::UnknownMethod("solid resource".into()));
                }
                continue;
            }
            let (packed_len, unpacked_len) = (resource.packed_len, resource.len);
            self.sink.member(&Member {
                name: &name,
                packed_len,
                unpacked_len,
                position,
                ..Member::default()
            })?;
            if self.method == Some(Method::Lzms) && resource.flags & PACKED != 0 {
                self.sink.unscanned(&name, Reason::UnknownMethod("LZMS".into()));
                continue;
            }
            if resource.flags & SPANNED != 0 {
                self.sink.unscanned(&name, Reason::OtherVolume);
                continue;
            }
            self.file(&name, resource)?;
        }
        Ok(())
    }

    fn file(&mut self, name: &[u8], resource: &Resource) -> Result<(), Stop> {
        if resource.flags & PACKED == 0 {
            let rest = self.object.get(size(resource.off)..).unwrap_or_default();
            let data = rest.get(..size(resource.len)).unwrap_or(rest);
            if data.len() < size(resource.len) {
                self.sink.unscanned(name, Reason::Truncated);
            }
            if data.is_empty() {
                return Ok(());
            }
            return self.sink.child(Child { name, data, role: ChildRole::Member });
        }
        let cap = self.sink.child_cap();
        let (data, ended) = self.content(resource, cap)?;
        if let Some(reason) = ended.reason(self.sink) {
            self.sink.unscanned(name, reason);
        }
        if data.is_empty() {
            return Ok(());
        }
        self.sink.child(Child { name, data: &data, role: ChildRole::Member })
    }
}

/// An entry of a directory.
struct Dentry {
    len: usize,
    children: u64,
    digest: [u8; 20],
    streams: u16,
    name: Vec<u8>,
}

impl Dentry {
    fn read(bytes: &[u8], off: usize) -> Option<Self> {
        let raw = bytes.get(off..)?;
        let len = usize::try_from(Reader::new(raw).u64_le().ok()?).ok()?;
        // The end of a folder is an entry of eight bytes.
        if len < 102 {
            return None;
        }
        let name_len = usize::from(Reader::at(raw, 100).u16_le().ok()?).min(512);
        Some(Self {
            len: aligned(len, 8),
            children: Reader::at(raw, 16).u64_le().ok()?,
            digest: raw.get(64..84)?.try_into().ok()?,
            streams: Reader::at(raw, 96).u16_le().ok()?,
            name: utf16_le(raw.get(102..)?.get(..name_len)?),
        })
    }

    /// Returns the digests of what is under this name, and the names of streams; moves behind them.
    fn streams(&self, bytes: &[u8], off: &mut usize) -> Vec<([u8; 20], Vec<u8>)> {
        let mut streams = Vec::new();
        if self.digest != [0; 20] {
            streams.push((self.digest, Vec::new()));
        }
        for _ in 0..self.streams.min(1024) {
            let Some(raw) = bytes.get(*off..) else { break };
            let Ok(len) = Reader::new(raw).u64_le() else { break };
            let digest = raw.get(16..36).and_then(|raw| raw.try_into().ok());
            let name_len = Reader::at(raw, 36).u16_le().map_or(0, usize::from).min(512);
            let name =
                utf16_le(raw.get(38..).and_then(|raw| raw.get(..name_len)).unwrap_or_default());
            if let Some(digest) = digest.filter(|digest| *digest != [0; 20]) {
                streams.push((digest, name));
            }
            if len < 38 {
                break;
            }
            *off = off.saturating_add(aligned(size(len), 8));
        }
        streams
    }
}
