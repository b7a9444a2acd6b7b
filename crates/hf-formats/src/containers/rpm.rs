//! rpm packages.
//!
//! Yields: the scripts in the header; the payload as it is packed, which is a cpio archive inside a stream.
//! Leaves out: signatures, dependencies, changelogs; payloads with files above 4 GiB, which have no names
//! or sizes of their own (`07070X`, reported by the readers of what they hold as unknown data).
//! Limits: none of its own.
//! Hostile input: a header whose lengths lie does not hide the payload, which is then found by its magic.
//! Sources: Linux Standard Base Core 5.0, ch. 22 "Package file format".

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink};
use memchr::{memchr, memmem};

use crate::reader::{Reader, aligned, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "rpm",
    types: &[FileType::Rpm],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`ed ab ee db` at the start",
        yields: "the scripts of the header; the packed payload",
        leaves_out: "signatures and the other tags",
        limits: "none of its own",
        sources: "Linux Standard Base Core 5.0, Package file format",
    },
};

const LEAD_LEN: usize = 96;
const HEADER_MAGIC: &[u8] = &[0x8e, 0xad, 0xe8];
const PAYLOADS: [&[u8]; 7] = [
    &[0x1f, 0x8b, 0x08],
    b"\xfd7zXZ\0",
    &[0x28, 0xb5, 0x2f, 0xfd],
    b"BZh",
    b"070701",
    b"07070X",
    &[0x5d, 0, 0],
];
/// Programs to run, and triggers.
const SCRIPTS: [(u32, &str); 9] = [
    (1023, "prein"),
    (1024, "postin"),
    (1025, "preun"),
    (1026, "postun"),
    (1065, "trigger"),
    (1079, "verify"),
    (1151, "pretrans"),
    (1152, "posttrans"),
    (5066, "filetrigger"),
];

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut name = object.get(10..76).unwrap_or_default();
    name = name.get(..memchr(0, name).unwrap_or(name.len())).unwrap_or_default();
    let signatures = Header::read(object, LEAD_LEN);
    let main_off = signatures.as_ref().map(|header| aligned(header.end, 8));
    let main = main_off.and_then(|off| Header::read(object, off));
    let mut position = 0u32;
    if let Some(main) = &main {
        for (tag, script) in main.strings(&SCRIPTS) {
            position = position.saturating_add(1);
            let len = u64::try_from(script.len()).unwrap_or(u64::MAX);
            sink.member(&Member {
                name: tag.as_bytes(),
                packed_len: len,
                unpacked_len: len,
                position,
                ..Member::default()
            })?;
            sink.child(Child { name: tag.as_bytes(), data: script, role: ChildRole::Member })?;
        }
    }
    let is_payload = |off: &usize| {
        let rest = object.get(*off..).unwrap_or_default();
        PAYLOADS.iter().any(|magic| rest.starts_with(magic))
    };
    let told = main.map(|header| header.end);
    let off = told.filter(is_payload).or_else(|| {
        sink.defect(Defect::new(96, "header"));
        let rest = object.get(LEAD_LEN..).unwrap_or_default();
        let found = PAYLOADS.iter().filter_map(|magic| memmem::find(rest, magic)).min();
        found.map(|at| at.saturating_add(LEAD_LEN)).or(told)
    });
    let data = off.and_then(|off| object.get(off..)).unwrap_or_default();
    if data.is_empty() {
        sink.unscanned(name, Reason::Truncated);
        return Ok(());
    }
    let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
    position = position.saturating_add(1);
    let member = Member { name, packed_len: len, unpacked_len: len, position, ..Member::default() };
    sink.member(&member)?;
    Ok(sink.child(Child { name, data, role: ChildRole::Member })?)
}

/// A header structure: an index of tags and a store of their values.
struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
    end: usize,
}

impl<'a> Header<'a> {
    fn read(object: &'a [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        if reader.take(3).ok()? != HEADER_MAGIC {
            return None;
        }
        reader.skip(5).ok()?;
        let (count, len) = (reader.u32_be().ok()?, reader.u32_be().ok()?);
        let index = reader.take(size(u64::from(count)).checked_mul(16)?).ok()?;
        let store = reader.take(size(u64::from(len))).ok()?;
        Some(Self { index, store, end: reader.off() })
    }

    /// Returns the strings of these tags.
    fn strings<'t>(&self, tags: &'t [(u32, &'t str)]) -> Vec<(&'t str, &'a [u8])> {
        let mut found = Vec::new();
        for (tag, name) in tags {
            let entry = self.index.as_chunks::<16>().0.iter().find(|entry| {
                entry.first_chunk::<4>().is_some_and(|raw| u32::from_be_bytes(*raw) == *tag)
            });
            let Some(entry) = entry else { continue };
            let mut fields = Reader::at(entry, 8);
            let off = size(u64::from(fields.u32_be().unwrap_or(0)));
            let count = fields.u32_be().unwrap_or(0).min(64);
            let mut rest = self.store.get(off..).unwrap_or_default();
            for _ in 0..count {
                let len = memchr(0, rest).unwrap_or(rest.len());
                let text = rest.get(..len).unwrap_or_default();
                if !text.is_empty() {
                    found.push((*name, text));
                }
                rest = rest.get(len.saturating_add(1)..).unwrap_or_default();
            }
        }
        found
    }
}
