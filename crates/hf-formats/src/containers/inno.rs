//! Inno Setup installers: compressed headers and chunks of data in a program.
//!
//! Yields: both header blocks, with the script's texts, names and the compiled Pascal code; one child per file
//! that the table of locations describes; chunks that it does not describe as they unpack.
//! A file of data beside an installer (`setup-1.bin`) gives its chunks as they unpack.
//! Leaves out: names of files, which stand in the headers apart from the locations; data in other files,
//! and encrypted chunks; both are reported.
//! Limits: through `Sink`; 100,000 locations and 10,000 chunks; files that overlap in a chunk are handed over up
//! to eight times what was decoded.
//! Hostile input: nothing depends on the version that a header claims: blocks are found by their checksums, the
//! layout of locations by what fits, chunks by their magic; a wrong checksum is a defect.
//! Sources: the Inno Setup project's `Struct.pas`, `Compress.pas` and `LZMADecomp.pas` (Inno Setup licence);
//! the innoextract project's notes on formats.

mod chunk;
mod locations;

use std::io::Read;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, unpack};
use crate::codec::{Inflate, Lzma, LzmaHeader};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use chunk::Chunks;
use locations::{Layout, Location};

pub(super) const FORMAT: Format = Format {
    name: "inno",
    types: &[FileType::Msexe],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_archive && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`Inno Setup Setup Data (` in a program, with a block of headers behind",
        yields: "the blocks of headers; one child per file; chunks without a file as they unpack",
        leaves_out: "names of files; data in other files and encrypted chunks (reported)",
        limits: "100,000 files, 10,000 chunks; 8 times a chunk for files that overlap",
        sources: "Inno Setup's Struct.pas; innoextract's notes",
    },
};

/// Opens files that hold data of an installer.
pub(super) const SLICE_FORMAT: Format = Format {
    name: "inno_slice",
    types: &[FileType::InnoSlice],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract: open_slice,
    doc: FormatDoc {
        recognised_by: "`idska32 1a` at the start",
        yields: "one child per chunk, with the files in it one behind the other",
        leaves_out: "where files begin, which stands in the installer; encrypted chunks (reported)",
        limits: "10,000 chunks",
        sources: "Inno Setup's Struct.pas; innoextract's notes",
    },
};

const ID: &[u8] = b"Inno Setup Setup Data (";
const ID_LEN: usize = 64;
/// Bytes behind the id in which the first block's header is looked for: 6.5 has another in front.
const HEADER_GAP_MAX: usize = 128;
/// Ours: places of the id that are looked at.
const IDS_MAX: usize = 16;
const PIECE_LEN: usize = 4096;
const LOADER_TABLE: &[u8] = b"rDlPtS";

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut damaged = None;
    for at in memmem::find_iter(object, ID).take(IDS_MAX) {
        sink.poll()?;
        let Some(first) = Block::find(object, at.saturating_add(ID_LEN)) else {
            damaged = damaged.or(Some(at));
            continue;
        };
        let headers = first.unpack(object, sink)?;
        hand_over_block(b"headers", &headers, sink)?;
        let mut table = Vec::new();
        let mut whole = true;
        if let Some(second) = Block::find_within(object, first.end, 64) {
            let locations = second.unpack(object, sink)?;
            hand_over_block(b"locations", &locations, sink)?;
            whole = locations.ended == Ended::Whole;
            table = locations.bytes;
        }
        open(object, &table, whole, sink)?;
        return Ok(());
    }
    // The id alone may stand in any program that knows the format.
    if let Some(at) = damaged.filter(|_| memmem::find(object, chunk::MAGIC).is_some()) {
        sink.defect(Defect::new(u64::try_from(at).unwrap_or(u64::MAX), "block of headers"));
        sink.unscanned(b"", Reason::Damaged("Inno Setup headers".into()));
        open(object, &[], false, sink)?;
    }
    Ok(())
}

fn open_slice(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let chunks = Chunks::find(object, sink)?;
    let claimed = u64::from(Reader::at(object, 8).u32_le()?);
    if claimed > u64::try_from(object.len()).unwrap_or(u64::MAX) {
        sink.unscanned(b"", Reason::Truncated);
    }
    chunks.open_rest(true, sink)?;
    Ok(())
}

fn hand_over_block(name: &[u8], block: &Unpacked, sink: &mut dyn Sink) -> Result<(), Stop> {
    if let Some(reason) = block.ended.reason(sink) {
        sink.unscanned(name, reason);
    }
    if block.bytes.is_empty() {
        return Ok(());
    }
    let role = ChildRole::Typed(FileType::BinaryData);
    sink.child(Child { name, data: &block.bytes, role })
}

/// Opens the files, and the chunks that no file is in.
fn open(object: &[u8], table: &[u8], whole: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut chunks = Chunks::find(object, sink)?;
    let base = data_base(object);
    let layout = Layout::of(table, whole, &chunks, base);
    let read = layout.map(|layout| layout.read(table, &chunks)).unwrap_or_default();
    let (mut locations, elsewhere) = read;
    if elsewhere || !table.is_empty() && chunks.first().is_none() {
        sink.unscanned(b"", Reason::OtherVolume);
    } else if locations.is_empty() && !table.is_empty() {
        sink.defect(Defect::new(0, "file locations"));
    }
    locations.sort_by_key(|location| (location.chunk_off, location.off));
    let mut rest = locations.as_slice();
    while let Some(first) = rest.first() {
        let count = rest.partition_point(|location| location.chunk_off <= first.chunk_off);
        let (of_chunk, others) = rest.split_at_checked(count.max(1)).unwrap_or((rest, &[]));
        rest = others;
        chunks.open(first.chunk_off, of_chunk, whole, sink)?;
    }
    chunks.open_rest(locations.is_empty(), sink)
}

/// Returns where the loader's table says that data begins; none when it says nothing.
fn data_base(object: &[u8]) -> Option<usize> {
    let at = memmem::find(object, LOADER_TABLE)?;
    // Of 5.1.5 on: id of 12 bytes, version, four numbers, and both offsets.
    let mut reader = Reader::at(object, at.checked_add(12)?);
    let version = reader.u32_le().ok()?;
    reader.skip(16).ok()?;
    let headers_off = size(u64::from(reader.u32_le().ok()?));
    let data_off = size(u64::from(reader.u32_le().ok()?));
    let right = version == 1 && object.get(headers_off..).is_some_and(|rest| rest.starts_with(ID));
    (right && data_off > 0).then_some(data_off)
}

/// A block of headers: its size under a checksum, then pieces of 4096 bytes under checksums of their own.
struct Block {
    data_off: usize,
    end: usize,
    packed: bool,
}

impl Block {
    fn find(object: &[u8], from: usize) -> Option<Self> {
        Self::find_within(object, from, HEADER_GAP_MAX)
    }

    /// Finds the header at the first place in a range where its checksum fits.
    fn find_within(object: &[u8], from: usize, range: usize) -> Option<Self> {
        (from..from.saturating_add(range)).find_map(|at| Self::read(object, at))
    }

    fn read(object: &[u8], at: usize) -> Option<Self> {
        let mut reader = Reader::at(object, at);
        let check = reader.u32_le().ok()?;
        let fits =
            |len: usize| reader.rest().get(..len).is_some_and(|f| crc32fast::hash(f) == check);
        // Of 4.0.9 on: stored size and a flag; of 6.7 on the size has eight bytes; before: two sizes.
        let (len, flag, header_len) = if fits(5) {
            let mut fields = reader;
            (u64::from(fields.u32_le().ok()?), Some(fields.u8().ok()?), 5)
        } else if fits(9) {
            let mut fields = reader;
            (fields.u64_le().ok()?, Some(fields.u8().ok()?), 9)
        } else if fits(8) {
            let mut fields = reader;
            let (packed_len, len) = (fields.u32_le().ok()?, fields.u32_le().ok()?);
            let stored = packed_len == u32::MAX;
            let len = if stored { len } else { packed_len };
            // The old sizes leave out the checksums of pieces.
            let pieces = len.div_ceil(4096);
            let all = u64::from(len).saturating_add(u64::from(pieces).saturating_mul(4));
            (all, Some(u8::from(!stored)), 8)
        } else {
            return None;
        };
        let data_off = at.checked_add(4)?.checked_add(header_len)?;
        let end = data_off.saturating_add(size(len)).min(object.len());
        (len > 4).then_some(Self { data_off, end, packed: flag != Some(0) })
    }

    fn unpack(&self, object: &[u8], sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
        let mut reader = Reader::new(object.get(self.data_off..self.end).unwrap_or_default());
        let mut packed = Vec::new();
        let mut told = false;
        while let Ok(check) = reader.u32_le() {
            sink.poll()?;
            let at = self.data_off.saturating_add(reader.off());
            let piece = reader.take_up_to(PIECE_LEN);
            if crc32fast::hash(piece) != check && !told {
                told = true;
                sink.defect(Defect::new(u64::try_from(at).unwrap_or(u64::MAX), "CRC of a piece"));
            }
            packed.extend_from_slice(piece);
        }
        if !self.packed {
            return Ok(Unpacked { bytes: packed, ended: Ended::Whole });
        }
        let zlib = matches!(packed.as_slice(), [0x78, second, ..] if (0x7800 | u16::from(*second)) % 31 == 0);
        if zlib {
            return unpack(Inflate::zlib(packed.as_slice()), 0, sink);
        }
        match lzma1(&packed) {
            Some(stream) => {
                let mut unpacked = unpack(stream, 0, sink)?;
                // Its end is where the input ends.
                if unpacked.ended == Ended::Truncated && self.end < object.len() {
                    unpacked.ended = Ended::Whole;
                }
                Ok(unpacked)
            }
            None => Ok(Unpacked {
                bytes: Vec::new(),
                ended: Ended::Damaged("compression of headers".into()),
            }),
        }
    }
}

/// Opens LZMA with five bytes of properties in front.
fn lzma1<'a>(data: &'a [u8]) -> Option<impl Read + 'a> {
    let mut reader = Reader::new(data);
    let (props, dict_len) = (reader.u8().ok()?, reader.u32_le().ok()?);
    if props >= 225 || reader.rest().first() != Some(&0) {
        return None;
    }
    Lzma::new(reader.rest(), LzmaHeader { props, dict_len, unpacked_len: None }).ok()
}

/// A piece of a name for what has none.
fn numbered(kind: &str, number: usize) -> Vec<u8> {
    format!("{kind}-{number}").into_bytes()
}

/// Returns what is wrong with a file's place, for people.
fn place(location: &Location) -> Vec<u8> {
    numbered("file", location.number)
}
