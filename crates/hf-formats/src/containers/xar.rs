//! XAR archives: macOS installer packages (`.pkg`), Safari extensions.
//!
//! Yields: the table of contents; one child per file and per extended attribute with data, named by its path.
//! Leaves out: folders, links, checksums and signatures; members in encodings that are not known (reported, and
//! handed over as they are).
//! Limits: through `Sink`; a table of 64 MiB, 64 levels; members that overlap so much that they are eight times the
//! object's size.
//! Hostile input: lengths and offsets that lie give what is there; where the heap begins is what the header says and,
//! when nothing comes out there, where the table really ends; an encoding that does not fit is ignored.
//! Sources: [1] xar(1) of FreeBSD and the format's page by its author.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::{memchr, memmem};

use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::{Bunzip2, Counted, Inflate, Lzma, LzmaHeader, XzStream};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "xar",
    types: &[FileType::Xar],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x8_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`xar!` at the start",
        yields: "the table of contents; one child per file and extended attribute: stored, zlib, gzip, bzip2, \
             LZMA, xz",
        leaves_out: "folders, links, checksums, signatures",
        limits: "a table of 64 MiB; 64 levels; overlapping members up to eight times the object",
        sources: "xar(1), the format's page",
    },
};

const HEADER_LEN: usize = 28;
/// Ours.
const TABLE_LEN_MAX: u64 = 64 << 20;
/// Ours: bytes of a name.
const NAME_LEN_MAX: usize = 1024;
/// Ours: levels of folders of which names are kept.
const DEPTH_MAX: usize = 64;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, 4);
    let header_len = usize::from(reader.u16_be()?).max(4);
    reader.skip(2)?;
    let packed_len = size(reader.u64_be()?);
    let claimed_len = reader.u64_be()?;
    let (mut table, mut start) = (None, header_len);
    for off in [header_len, HEADER_LEN] {
        let packed = object.get(off..).unwrap_or_default();
        let mut input = Counted::new(packed);
        let unpacked = unpack(Inflate::zlib(&mut input).take(TABLE_LEN_MAX), claimed_len, sink)?;
        if !unpacked.bytes.is_empty() {
            start = off;
            table = Some((unpacked, off.saturating_add(size(input.used()))));
            break;
        }
    }
    let Some((table, table_end)) = table else {
        sink.unscanned(b"", Reason::Damaged("table of contents".into()));
        let data = object.get(start.saturating_add(packed_len)..).unwrap_or_default();
        sink.child(Child { name: b"heap", data, role: ChildRole::Member })?;
        return Ok(());
    };
    hand_over(&table, b"toc.xml", ChildRole::Member, sink)?;
    let heap_off = start.saturating_add(packed_len);
    if table.ended == Ended::Whole && heap_off != table_end {
        sink.defect(Defect::new(8, "toc_length_compressed"));
    }
    let budget = object.len().saturating_mul(8).saturating_add(1 << 20);
    // A heap cannot begin inside of the table.
    let inside = table.ended == Ended::Whole && heap_off < table_end;
    let bases = if inside { [table_end, heap_off] } else { [heap_off, table_end] };
    let mut heap = Heap { object, bases, sink, budget, position: 0, seen: BTreeSet::new() };
    Ok(heap.walk(&table.bytes)?)
}

struct Heap<'a, 's> {
    object: &'a [u8],
    /// Where the heap may begin, likeliest first.
    bases: [usize; 2],
    sink: &'s mut dyn Sink,
    /// Packed bytes that may still be read.
    budget: usize,
    position: u32,
    seen: BTreeSet<(u64, u64, Vec<u8>)>,
}

/// What the table says of one piece of data.
#[derive(Debug, Default)]
struct Data<'t> {
    off: Option<u64>,
    len: Option<u64>,
    unpacked_len: Option<u64>,
    style: &'t [u8],
}

impl Heap<'_, '_> {
    /// Goes over the elements of the table: names by `file`, places by `data` and `ea`.
    fn walk(&mut self, table: &[u8]) -> Result<(), Stop> {
        let mut names: Vec<Cow<'_, [u8]>> = Vec::new();
        let mut data: Option<Data<'_>> = None;
        let mut in_attribute = false;
        let mut rest = table;
        while let Some(at) = memchr(b'<', rest) {
            let behind = rest.get(at.saturating_add(1)..).unwrap_or_default();
            let Some(end) = memchr(b'>', behind) else { break };
            let (tag, behind) = behind.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let text = rest.get(..memchr(b'<', rest).unwrap_or(rest.len())).unwrap_or_default();
            let name_len = tag.iter().position(u8::is_ascii_whitespace).unwrap_or(tag.len());
            let (name, attributes) = tag.split_at(name_len);
            match (name.strip_suffix(b"/").unwrap_or(name), &mut data) {
                (b"file", _) => {
                    if names.len() < DEPTH_MAX && !tag.ends_with(b"/") {
                        names.push(Cow::Borrowed(b""));
                    }
                    in_attribute = false;
                }
                (b"/file", _) => {
                    names.pop();
                }
                (b"data" | b"ea", _) => {
                    in_attribute = name == b"ea";
                    data = Some(Data::default());
                }
                (b"name", _) if !in_attribute => {
                    if let Some(last) = names.last_mut() {
                        let text = text.get(..NAME_LEN_MAX).unwrap_or(text);
                        *last = entities(text.trim_ascii());
                    }
                }
                (b"offset", Some(data)) => data.off = decimal(text),
                (b"length", Some(data)) => data.len = decimal(text),
                (b"size", Some(data)) => data.unpacked_len = decimal(text),
                (b"encoding", Some(data)) => data.style = style(attributes),
                (b"/data" | b"/ea", Some(_)) => {
                    in_attribute = false;
                    if let Some(data) = data.take() {
                        self.data(&names.join(&b'/'), &data)?;
                    }
                }
                _ => {}
            }
        }
        if let Some(data) = data {
            self.data(&names.join(&b'/'), &data)?;
        }
        Ok(())
    }

    fn data(&mut self, name: &[u8], data: &Data<'_>) -> Result<(), Stop> {
        let (Some(off), Some(len)) = (data.off, data.len.or(data.unpacked_len)) else {
            return Ok(());
        };
        self.position = self.position.saturating_add(1);
        self.sink.member(&Member {
            name,
            packed_len: len,
            unpacked_len: data.unpacked_len.unwrap_or(len),
            position: self.position,
            ..Member::default()
        })?;
        if len == 0 || !self.seen.insert((off, len, data.style.to_vec())) {
            return Ok(());
        }
        let Some(left) = self.budget.checked_sub(size(len).min(self.object.len())) else {
            self.sink.unscanned(name, Reason::FormatLimit("overlapping members".into()));
            return Ok(());
        };
        self.budget = left;
        let [first, second] = self.bases.map(|base| {
            Reader::at(self.object, base.saturating_add(size(off))).take_up_to(size(len))
        });
        for packed in [first, second] {
            if self.open(name, packed, data)? {
                return Ok(());
            }
        }
        // Whatever the style says, these bytes are there.
        if first.len() < size(len) {
            self.sink.unscanned(name, Reason::Truncated);
        } else {
            self.sink.defect(Defect::new(0, "encoding style"));
        }
        if first.is_empty() {
            return Ok(());
        }
        self.sink.child(Child { name, data: first, role: ChildRole::Member })
    }

    /// Hands over a member; false when nothing comes out.
    fn open(&mut self, name: &[u8], packed: &[u8], data: &Data<'_>) -> Result<bool, Stop> {
        let cut = size(data.len.unwrap_or(0)) > packed.len();
        if packed.is_empty() {
            return Ok(false);
        }
        let claimed = data.unpacked_len.unwrap_or(0);
        let decoder: Option<Box<dyn Read + '_>> = match data.style {
            b"application/x-gzip" if packed.starts_with(&[0x1f, 0x8b]) => None,
            b"application/x-gzip" => Some(Box::new(Inflate::zlib(packed))),
            b"application/x-bzip2" => Some(Box::new(Bunzip2::new(packed))),
            b"application/x-lzma" | b"application/x-xz" => lzma(packed),
            _ => None,
        };
        let Some(decoder) = decoder else {
            let known =
                matches!(data.style, b"" | b"application/octet-stream" | b"application/x-gzip");
            if !known {
                let style = String::from_utf8_lossy(data.style).into_owned();
                self.sink.unscanned(name, Reason::UnknownMethod(style.into()));
            } else if cut {
                self.sink.unscanned(name, Reason::Truncated);
            }
            self.sink.child(Child { name, data: packed, role: ChildRole::Member })?;
            return Ok(true);
        };
        let Unpacked { bytes, ended } = unpack(decoder, claimed, self.sink)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let ended = if cut && ended != Ended::Capped { Ended::Truncated } else { ended };
        hand_over(&Unpacked { bytes, ended }, name, ChildRole::Member, self.sink)?;
        Ok(true)
    }
}

/// LZMA with its header of 13 bytes, or xz.
fn lzma(packed: &[u8]) -> Option<Box<dyn Read + '_>> {
    if packed.starts_with(b"\xfd7zXZ") {
        return XzStream::new(packed).ok().map(|xz| Box::new(xz) as Box<dyn Read>);
    }
    let mut reader = Reader::new(packed);
    let (props, dict_len) = (reader.u8().ok()?, reader.u32_le().ok()?);
    let unpacked_len = reader.u64_le().ok().filter(|len| *len != u64::MAX);
    let header = LzmaHeader { props, dict_len, unpacked_len };
    Lzma::new(reader.rest(), header).ok().map(|lzma| Box::new(lzma) as Box<dyn Read>)
}

fn style(attributes: &[u8]) -> &[u8] {
    let Some(at) = memmem::find(attributes, b"style=") else { return b"" };
    let quoted = attributes.get(at.saturating_add(6)..).unwrap_or_default();
    let Some((quote, value)) = quoted.split_first() else { return b"" };
    value.split(|byte| byte == quote).next().unwrap_or_default()
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// Replaces the five entities that XML has by itself.
fn entities(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'&', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::from_utf8_lossy(text).into_owned();
    for (entity, with) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
    {
        plain = plain.replace(entity, with);
    }
    Cow::Owned(plain.into_bytes())
}
