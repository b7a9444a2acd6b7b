//! tar archives: version 7, ustar, GNU and pax.
//!
//! Yields: one child per entry with data, whatever its type flag says; names from GNU long names and
//! pax records where given. Sparse files are handed over as their stored blocks, without the holes.
//! Layers of container images (`docker save`, OCI layouts) are named by their image, place and digest; files
//! that a later layer hides are children of their own layer as all others, and the hiding is a fact.
//! Leaves out: entries without data; device numbers and extended attributes.
//! Limits: all through `Sink`; a name is at most 64 KiB.
//! Hostile input: a header counts when its checksum fits, or its magic, or any size can be read from it;
//! zero blocks do not end the archive when more headers follow; a block that is no header is passed
//! over with a defect; a cut entry is handed over as far as it is. Where a pax record and the header
//! disagree on the size, both readings are handed over.
//! Sources: POSIX.1-2017 pax; tar(5) of FreeBSD; GNU tar manual, "Basic Tar Format".

mod oci;

use std::collections::BTreeMap;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "tar",
    types: &[FileType::PosixTar, FileType::OldTar],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x100 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`ustar` at offset 257, or a fitting checksum in the first block",
        yields: "one child per entry with data",
        leaves_out: "entries without data; holes of sparse files",
        limits: "a name up to 64 KiB",
        sources: "POSIX pax, tar(5), GNU tar manual",
    },
};

const BLOCK_LEN: usize = 512;
const NAME_LEN_MAX: usize = 64 * 1024;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let labels = oci::Labels::of(&manifests(object, sink)?);
    for image in &labels.images {
        sink.fact("oci.image", image);
    }
    let labels = labels.by_name;
    Archive { reader: Reader::new(object), sink, position: 0, lost: false, labels }.run()?;
    Ok(())
}

struct Archive<'a, 's> {
    reader: Reader<'a>,
    sink: &'s mut dyn Sink,
    position: u32,
    /// The last block was no header.
    lost: bool,
    /// What to call the layers of a container image, by the names of their members.
    labels: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Ours: bytes of a member that may be a manifest, and members.
const MANIFEST_LEN_MAX: u64 = 4 << 20;
const MANIFESTS_MAX: usize = 1 << 16;

/// Returns the members that may be manifests of a container image; none of an archive that is no image.
fn manifests<'a>(object: &'a [u8], sink: &mut dyn Sink) -> Result<oci::Members<'a>, Stop> {
    let mut members = oci::Members::new();
    let mut reader = Reader::new(object);
    while reader.left() >= BLOCK_LEN && members.len() < MANIFESTS_MAX {
        sink.poll()?;
        let Some(header) = Header::read(reader.take_up_to(BLOCK_LEN)) else { continue };
        let data = reader.take_up_to(size(header.data_len));
        reader.take_up_to(data.len().wrapping_neg() % BLOCK_LEN);
        let manifest = header.name.ends_with(b".json") || header.name.starts_with(b"blobs/");
        let name = header.name.strip_prefix(b"./").unwrap_or(header.name);
        if manifest && header.data_len <= MANIFEST_LEN_MAX && data.first() == Some(&b'{')
            || name == b"manifest.json"
        {
            members.insert(name, data);
        }
    }
    Ok(members)
}

/// What headers in front of an entry say of it.
#[derive(Default)]
struct Ahead<'a> {
    name: Option<&'a [u8]>,
    data_len: Option<u64>,
}

impl<'a> Archive<'a, '_> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut ahead = Ahead::default();
        while self.reader.left() > 0 {
            self.sink.poll()?;
            let off = self.reader.off();
            let block = self.reader.take_up_to(BLOCK_LEN);
            if block.iter().all(|byte| *byte == 0) {
                self.lost = false;
                continue;
            }
            let Some(header) = Header::read(block) else {
                self.not_a_header(off, block.len());
                continue;
            };
            self.lost = false;
            match header.kind {
                b'L' => ahead.name = Some(self.name(header.data_len)),
                b'K' => {
                    self.name(header.data_len);
                }
                b'x' | b'X' | b'g' => {
                    let records = self.data(header.data_len);
                    if header.kind != b'g' {
                        pax(records, &mut ahead);
                    }
                }
                _ => self.entry(&header, &std::mem::take(&mut ahead))?,
            }
        }
        Ok(())
    }

    fn not_a_header(&mut self, off: usize, len: usize) {
        if !std::mem::replace(&mut self.lost, true) {
            let at = u64::try_from(off).unwrap_or(u64::MAX);
            self.sink.defect(Defect::new(at, "chksum"));
            let reason =
                if len < BLOCK_LEN { Reason::Truncated } else { Reason::Damaged("chksum".into()) };
            self.sink.unscanned(b"", reason);
        }
    }

    /// Takes data and the padding behind it.
    fn data(&mut self, len: u64) -> &'a [u8] {
        let data = self.reader.take_up_to(size(len));
        let padding = data.len().checked_next_multiple_of(BLOCK_LEN).unwrap_or(data.len());
        self.reader.take_up_to(padding.saturating_sub(data.len()));
        data
    }

    fn name(&mut self, len: u64) -> &'a [u8] {
        let data = self.data(len);
        until_nul(data.get(..data.len().min(NAME_LEN_MAX)).unwrap_or_default())
    }

    fn entry(&mut self, header: &Header<'a>, ahead: &Ahead<'a>) -> Result<(), Stop> {
        let joined;
        let name = match ahead.name {
            Some(name) => name,
            None if header.prefix.is_empty() => header.name,
            None => {
                joined = [header.prefix, header.name].join(&b'/');
                &joined
            }
        };
        let len = ahead.data_len.unwrap_or(header.data_len);
        self.position = self.position.saturating_add(1);
        self.sink.member(&Member {
            name,
            packed_len: len,
            unpacked_len: len,
            position: self.position,
            ..Member::default()
        })?;
        if header.data_len != len && header.holds_data() {
            let mut other = self.reader;
            let data = other.take_up_to(size(header.data_len));
            self.child(name, data)?;
        }
        // Links have the size of their target and no data, but old archives do have it: what follows decides.
        if !header.holds_data() && self.header_follows() {
            return Ok(());
        }
        let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if base.starts_with(b".wh.") {
            // A layer of a container image that hides a file of a layer below, which is scanned all the same.
            self.sink.fact("oci.whiteout", &String::from_utf8_lossy(name));
        }
        let label = self.labels.get(name.strip_prefix(b"./").unwrap_or(name)).cloned();
        let name = label.as_deref().unwrap_or(name);
        self.sparse_map(header);
        let data = self.data(len);
        if data.len() < size(len) {
            self.sink.unscanned(name, Reason::Truncated);
        }
        self.child(name, data)
    }

    fn child(&mut self, name: &[u8], data: &[u8]) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        self.sink.child(Child { name, data, role: ChildRole::Member })
    }

    fn header_follows(&self) -> bool {
        let block = self.reader.rest().get(..BLOCK_LEN);
        block.is_none_or(|block| {
            block.iter().all(|byte| *byte == 0)
                || Header::read(block).is_some_and(|next| next.checked)
        })
    }

    /// Passes over the further blocks of an old GNU sparse map.
    fn sparse_map(&mut self, header: &Header<'a>) {
        let mut more = header.kind == b'S' && header.sparse_more;
        while more {
            let block = self.reader.take_up_to(BLOCK_LEN);
            more = block.get(504).is_some_and(|flag| *flag != 0);
        }
    }
}

struct Header<'a> {
    name: &'a [u8],
    prefix: &'a [u8],
    data_len: u64,
    kind: u8,
    checked: bool,
    sparse_more: bool,
}

impl<'a> Header<'a> {
    /// Reads a block; none when nothing speaks for its being a header.
    fn read(block: &'a [u8]) -> Option<Self> {
        if block.len() < BLOCK_LEN {
            return None;
        }
        let checked = sums(block)?.contains(&octal(block.get(148..156)?)?);
        let magic = block.get(257..262)? == b"ustar";
        if !checked && !magic {
            return None;
        }
        let gnu = block.get(257..265)? == b"ustar  \0";
        let prefix = if magic && !gnu { until_nul(block.get(345..500)?) } else { b"" };
        Some(Self {
            name: until_nul(block.get(..100)?),
            prefix,
            data_len: number(block.get(124..136)?).unwrap_or(0),
            kind: *block.get(156)?,
            checked,
            sparse_more: gnu && *block.get(482)? != 0,
        })
    }

    /// False for the types that are links, devices, folders and queues.
    fn holds_data(&self) -> bool {
        !matches!(self.kind, b'1'..=b'6')
    }
}

/// Returns the checksum of a header, with bytes taken as unsigned and as signed.
fn sums(block: &[u8]) -> Option<[i64; 2]> {
    let without_field = |idx: usize, byte: u8| if (148..156).contains(&idx) { b' ' } else { byte };
    let bytes = || block.get(..BLOCK_LEN).unwrap_or_default().iter().copied().enumerate();
    let unsigned = bytes().map(|(idx, byte)| i64::from(without_field(idx, byte))).sum();
    let signed = bytes().map(|(idx, byte)| i64::from(without_field(idx, byte).cast_signed())).sum();
    Some([unsigned, signed])
}

/// Returns an octal number; no digits are zero.
fn octal(field: &[u8]) -> Option<i64> {
    let text = until_nul(field).trim_ascii();
    if text.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()
}

/// Returns a size: octal, or big-endian binary behind a set high bit.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let start = u64::from(first & 0x7f);
            rest.iter().try_fold(start, |value, byte| {
                value.checked_mul(256)?.checked_add(u64::from(*byte))
            })
        }
        _ => u64::try_from(octal(field)?).ok(),
    }
}

/// Reads `length key=value\n` records.
fn pax<'a>(records: &'a [u8], ahead: &mut Ahead<'a>) {
    let mut rest = records;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let digits = rest.get(..space).and_then(|digits| std::str::from_utf8(digits).ok());
        let len = digits.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
        let Some(record) = rest.get(space.saturating_add(1)..len) else { return };
        rest = rest.get(len..).unwrap_or_default();
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = record.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let text = || std::str::from_utf8(value).ok();
        match key {
            b"path" | b"GNU.sparse.name" => {
                ahead.name = Some(value.get(..value.len().min(NAME_LEN_MAX)).unwrap_or_default());
            }
            b"size" => ahead.data_len = text().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
