//! NTFS file systems.
//!
//! Yields: one child per file and per stream with data (`path`, `path:stream`), named by its path; files in use are
//! found by the table of files, not by folders.
//! Leaves out: the file system's own files, links, deleted files; encrypted streams and files packed by
//! Windows' "compact OS" (reported).
//! Limits: through `Sink`; 2^20 records; 64 levels of path; what overlaps costs at most a few times the image.
//! Hostile input: a record that is damaged does not hide the others; when the table's own record cannot be read, the
//! mirror is, and failing both the records that stand where the table begins.
//! Sources: [1] "NTFS Documentation" of the Linux-NTFS project (description of the structures); [2] Microsoft,
//! \[MS-XCA\] 2.5, LZNT1.

mod lznt1;
mod record;

use std::collections::BTreeMap;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Content, Extent, Files, gather, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use record::{Attribute, Place, Record};

pub(super) const FORMAT: Format = Format {
    name: "ntfs",
    types: &[FileType::Ntfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`NTFS    ` at offset 3",
        yields: "one child per file and stream: resident, in runs, sparse, compressed",
        leaves_out: "the system's own files, deleted files; encrypted ones and compact OS (reported)",
        limits: "2^20 records; 64 levels of path",
        sources: "Linux-NTFS documentation; MS-XCA 2.5",
    },
};

/// Ours: records of a table.
const RECORDS_MAX: u64 = 1 << 20;
/// Ours: bytes of paths of folders that are kept.
const FOLDERS_LEN_MAX: usize = 16 << 20;
/// Ours: levels of a path.
const DEPTH_MAX: usize = 64;
/// Records of the file system itself.
const OWN_RECORDS: u64 = 24;
const ROOT: u64 = 5;
const DATA: u32 = 0x80;
const LIST: u32 = 0x20;
const COMPRESSED: u16 = 0x0001;
const ENCRYPTED: u16 = 0x4000;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut boot = Reader::at(object, 11);
    let sector_len = u64::from(boot.u16_le()?);
    let per_cluster = match boot.u8()? {
        count @ 0..=128 => u64::from(count),
        power => 1u64 << u32::from(power.wrapping_neg()).min(20),
    };
    let cluster_len = sector_len.saturating_mul(per_cluster).clamp(256, 2 << 20);
    boot.seek(40);
    let sectors = boot.u64_le()?;
    if size(sectors.saturating_mul(sector_len)) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let (table, mirror) = (boot.u64_le()?, boot.u64_le()?);
    let record_len = match boot.u8()? {
        count @ 1..=127 => u64::from(count).saturating_mul(cluster_len),
        power => 1u64 << u32::from(power.wrapping_neg()).min(16),
    };
    let mut image = Image {
        files: Files::new(object, sink),
        cluster_len,
        record_len: record_len.clamp(512, 65_536),
        table: Vec::new(),
        folders: BTreeMap::new(),
        folders_len: 0,
    };
    image.find_table(table, mirror);
    Ok(image.walk()?)
}

struct Image<'a, 's> {
    files: Files<'a, 's>,
    cluster_len: u64,
    record_len: u64,
    /// The table of files: where each piece begins in it, and where it is.
    table: Vec<(u64, Extent)>,
    /// Paths of folders.
    folders: BTreeMap<u64, Vec<u8>>,
    folders_len: usize,
}

impl<'a> Image<'a, '_> {
    /// Finds where the table of files is, by its own record.
    fn find_table(&mut self, table: u64, mirror: u64) {
        let starts = [table, mirror].map(|cluster| cluster.saturating_mul(self.cluster_len));
        for start in starts {
            let raw = Reader::at(self.files.object, size(start)).take_up_to(size(self.record_len));
            let Some(raw) = record::repaired(raw) else { continue };
            let Some(record) = Record::read(&raw) else { continue };
            // With this alone, records of the table itself can be found.
            self.table = self.pieces(record.attributes(DATA));
            if self.table.is_empty() {
                continue;
            }
            let lists: Vec<Attribute<'_>> = record.attributes(LIST).collect();
            if !lists.is_empty()
                && let Ok(parts) = self.with_extensions(0, &record)
                && let Some(whole) = parts.into_iter().find(|part| part.name.is_empty())
            {
                self.table = pieces(whole.extents);
            }
            return;
        }
        self.files.defect(starts[0], "$MFT");
        let object_len = u64::try_from(self.files.object.len()).unwrap_or(u64::MAX);
        let [start, _] = starts;
        self.table = vec![(0, Extent::at(start, object_len.saturating_sub(start)))];
    }

    fn pieces<'r>(&self, attributes: impl Iterator<Item = Attribute<'r>>) -> Vec<(u64, Extent)> {
        let mut extents = Vec::new();
        for attribute in attributes.filter(|attribute| attribute.name.is_empty()) {
            if let Place::Runs { runs, .. } = attribute.place {
                extents.extend(record::extents(runs, self.cluster_len));
            }
        }
        pieces(extents)
    }

    /// Returns the bytes of a record.
    fn raw(&self, number: u64) -> Option<Vec<u8>> {
        let off = number.checked_mul(self.record_len)?;
        let idx = self.table.partition_point(|(start, _)| *start <= off).checked_sub(1)?;
        let (start, extent) = self.table.get(idx)?;
        let within = off.checked_sub(*start)?;
        if within >= extent.len {
            return None;
        }
        let at = extent.off?.checked_add(within)?;
        let raw = Reader::at(self.files.object, size(at)).take(size(self.record_len)).ok()?;
        record::repaired(raw)
    }

    fn count(&self) -> u64 {
        let end = self.table.last().map_or(0, |(start, extent)| start.saturating_add(extent.len));
        end.checked_div(self.record_len).unwrap_or(0)
    }

    fn walk(&mut self) -> Result<(), Stop> {
        let count = self.count();
        if count > RECORDS_MAX {
            self.files.tell_limit("records");
        }
        // Each takes its place in the image: there cannot be more.
        let place = size(self.record_len);
        let mut left = self.files.object.len().checked_div(place).unwrap_or(0);
        for number in 0..count.min(RECORDS_MAX) {
            if number.is_multiple_of(256) {
                self.files.sink.poll()?;
            }
            let Some(raw) = self.raw(number) else { continue };
            let Some(less) = left.checked_sub(1) else {
                self.files.tell_limit("records that overlap");
                break;
            };
            left = less;
            let Some(record) = Record::read(&raw) else { continue };
            if record.is_in_use && record.base == 0 {
                self.record(number, &record)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, number: u64, record: &Record<'_>) -> Result<(), Stop> {
        let streams = self.with_extensions(number, record)?;
        if streams.is_empty() {
            return Ok(());
        }
        let name = self.path(number, record);
        for stream in streams {
            if number < OWN_RECORDS && (stream.name.is_empty() || stream.name == b"$Bad") {
                continue;
            }
            let mut name = name.clone();
            if !stream.name.is_empty() {
                name.push(b':');
                name.extend_from_slice(&stream.name);
            }
            self.stream(&name, stream)?;
        }
        Ok(())
    }

    /// Returns the streams of a file, with the parts that are in other records.
    fn with_extensions(&mut self, number: u64, record: &Record<'_>) -> Result<Vec<Stream>, Stop> {
        let mut parts = Vec::new();
        self.collect(record, &mut parts);
        for list in record.attributes(LIST) {
            let bytes = match list.place {
                Place::Resident(value) => value.to_vec(),
                Place::Runs { runs, len, .. } => {
                    let extents = record::extents(runs, self.cluster_len);
                    let len = len.min(1 << 20);
                    if !self.files.may_read(len) {
                        continue;
                    }
                    gather(self.files.object, &extents, len, self.files.sink)?.bytes.into_owned()
                }
            };
            let mut seen = vec![number];
            for other in record::listed(&bytes, DATA) {
                if seen.contains(&other)
                    || seen.len() > 4096
                    || !self.files.may_read(self.record_len)
                {
                    continue;
                }
                seen.push(other);
                if let Some(raw) = self.raw(other)
                    && let Some(extension) = Record::read(&raw)
                    && extension.base == number
                {
                    self.collect(&extension, &mut parts);
                }
            }
        }
        parts.sort_by(|a: &Part, b: &Part| (&a.name, a.first).cmp(&(&b.name, b.first)));
        let mut streams: Vec<Stream> = Vec::new();
        for part in parts {
            match streams.last_mut() {
                Some(last) if last.name == part.name && part.first > 0 => {
                    last.extents.extend(part.stream.extents);
                }
                _ => streams.push(part.stream),
            }
        }
        Ok(streams)
    }

    fn collect(&self, record: &Record<'_>, parts: &mut Vec<Part>) {
        for attribute in record.attributes(DATA) {
            let name = attribute.name.clone();
            let flags = attribute.flags;
            let mut stream =
                Stream { name, flags, len: 0, unit: 0, extents: Vec::new(), resident: None };
            let mut first = 0;
            match attribute.place {
                Place::Resident(value) => {
                    stream.len = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    stream.resident = Some(value.to_vec());
                }
                Place::Runs { runs, len, first: at, unit } => {
                    stream.len = len;
                    stream.unit = unit;
                    stream.extents = record::extents(runs, self.cluster_len);
                    first = at;
                }
            }
            parts.push(Part { name: stream.name.clone(), first, stream });
        }
    }

    fn stream(&mut self, name: &[u8], stream: Stream) -> Result<(), Stop> {
        let packed = stream.extents.iter().filter(|extent| extent.off.is_some());
        let packed_len = packed.fold(0u64, |sum, extent| sum.saturating_add(extent.len));
        if !self.files.announce(name, packed_len, stream.len)? || stream.len == 0 {
            return Ok(());
        }
        if stream.flags & ENCRYPTED != 0 {
            self.files.sink.unscanned(name, Reason::Encrypted);
            return Ok(());
        }
        if name.ends_with(b":WofCompressedData") {
            self.files.sink.unscanned(name, Reason::UnknownMethod("compact OS".into()));
        }
        if let Some(data) = stream.resident {
            return self.files.child(name, &data);
        }
        if stream.flags & COMPRESSED != 0 && stream.unit > 0 && stream.unit < 16 {
            return self.compressed(name, &stream);
        }
        let mut extents = stream.extents;
        let sum = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
        if sum < stream.len && extents.is_empty() {
            extents.push(Extent::hole(stream.len));
        }
        self.files.data(name, &extents, stream.len)
    }

    /// Unpacks a stream that is compressed in units of clusters.
    fn compressed(&mut self, name: &[u8], stream: &Stream) -> Result<(), Stop> {
        let unit_len = self.cluster_len << stream.unit;
        let cap = self.files.sink.child_cap();
        let wanted = size(stream.len.min(cap));
        if self.files.has(&stream.extents, stream.len) {
            return Ok(());
        }
        let mut missing = (stream.len > cap).then(|| self.files.sink.cap_reason());
        let mut bytes = Vec::new();
        let mut any = false;
        let mut units = Units { extents: stream.extents.iter().copied(), rest: None };
        while bytes.len() < wanted {
            self.files.sink.poll()?;
            let parts = units.next(unit_len);
            let there: Vec<Extent> =
                parts.iter().copied().filter(|part| part.off.is_some()).collect();
            let had = there.iter().fold(0u64, |sum, part| sum.saturating_add(part.len));
            let end = bytes.len().saturating_add(size(unit_len)).min(wanted);
            if parts.is_empty() {
                missing = missing.or(Some(Reason::Truncated));
                break;
            }
            if had > 0 && !self.files.may_read(had / 4) {
                break;
            }
            let Content { bytes: data, missing: cut } =
                gather(self.files.object, &there, had, self.files.sink)?;
            missing = missing.or(cut);
            any |= !data.is_empty();
            if had >= unit_len {
                bytes.extend_from_slice(&data);
            } else if had > 0 && !lznt1::unpack(&data, &mut bytes, size(unit_len)) {
                missing = missing.or(Some(Reason::Damaged("LZNT1".into())));
            }
            bytes.resize(end, 0);
        }
        if let Some(reason) = missing {
            self.files.sink.unscanned(name, reason);
        }
        if any { self.files.child(name, &bytes) } else { Ok(()) }
    }

    /// Returns the path of a file.
    fn path(&mut self, number: u64, record: &Record<'_>) -> Vec<u8> {
        let Some((mut parent, name)) = record.name() else { return Vec::new() };
        let mut names = vec![name];
        let mut start = Vec::new();
        let mut chain = Vec::new();
        let mut last = number;
        while parent != ROOT && parent != last && names.len() < DEPTH_MAX {
            if let Some(known) = self.folders.get(&parent) {
                start = known.clone();
                break;
            }
            let Some(raw) = self.raw(parent) else { break };
            let Some((above, name)) = Record::read(&raw).and_then(|record| record.name()) else {
                break;
            };
            chain.push(parent);
            names.push(name);
            last = parent;
            parent = above;
        }
        let mut whole = start;
        for name in names.iter().rev() {
            whole = path(&whole, name);
            if let Some(folder) = chain.pop()
                && self.folders_len < FOLDERS_LEN_MAX
            {
                self.folders_len = self.folders_len.saturating_add(whole.len());
                self.folders.insert(folder, whole.clone());
            }
        }
        whole
    }
}

/// A stream of a file.
#[derive(Debug)]
struct Stream {
    name: Vec<u8>,
    flags: u16,
    len: u64,
    /// Power of two of the clusters that are compressed together.
    unit: u16,
    extents: Vec<Extent>,
    resident: Option<Vec<u8>>,
}

/// A part of a stream that one record tells of.
#[derive(Debug)]
struct Part {
    name: Vec<u8>,
    /// Its first cluster in the stream.
    first: u64,
    stream: Stream,
}

/// Cuts extents into units.
struct Units<I> {
    extents: I,
    rest: Option<Extent>,
}

impl<I: Iterator<Item = Extent>> Units<I> {
    /// Returns the pieces of the next unit; nothing behind the last.
    fn next(&mut self, unit_len: u64) -> Vec<Extent> {
        let mut parts = Vec::new();
        let mut left = unit_len;
        while left > 0 {
            let Some(extent) = self.rest.take().or_else(|| self.extents.next()) else { break };
            let len = extent.len.min(left);
            parts.push(Extent { off: extent.off, len });
            left = left.saturating_sub(len);
            if extent.len > len {
                let off = extent.off.map(|off| off.saturating_add(len));
                self.rest = Some(Extent { off, len: extent.len.saturating_sub(len) });
            }
        }
        parts
    }
}

fn pieces(extents: Vec<Extent>) -> Vec<(u64, Extent)> {
    let mut start = 0u64;
    let mut table = Vec::new();
    for extent in extents {
        table.push((start, extent));
        start = start.saturating_add(extent.len);
    }
    table
}
