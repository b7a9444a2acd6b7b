//! Tables of blocks (`mish`), and where they stand: in a property list, in a resource fork, or anywhere.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr, memmem};

use crate::reader::{Reader, size};

/// Ours: tables of an image, runs of a table.
const TABLES_MAX: usize = 256;
const RUNS_MAX: usize = 1 << 20;

/// Bytes behind data in which its name is looked for.
const NAME_WINDOW: usize = 4096;
/// Ours: references of a resource fork.
const REFERENCES_MAX: usize = 1 << 16;

/// A run of blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) kind: u32,
    /// Where it goes, in sectors.
    pub(super) start: u64,
    pub(super) count: u64,
    /// Where it is packed, in bytes.
    pub(super) off: u64,
    pub(super) len: u64,
}

/// A table of blocks.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: Vec<u8>,
    pub(super) sectors: u64,
    pub(super) data_off: u64,
    pub(super) runs: Vec<Run>,
    /// It ends before all its runs.
    pub(super) cut: bool,
}

impl Table {
    fn read(raw: &[u8], name: Vec<u8>) -> Option<Self> {
        if !raw.starts_with(b"mish") {
            return None;
        }
        let mut fields = Reader::at(raw, 16);
        let (sectors, data_off) = (fields.u64_be().ok()?, fields.u64_be().ok()?);
        let count = Reader::at(raw, 200).u32_be().ok()?;
        let mut fields = Reader::at(raw, 204);
        let mut runs = Vec::new();
        let mut cut = false;
        for _ in 0..count {
            let Ok(run) = fields.take(40) else {
                cut = true;
                break;
            };
            let kind = Reader::new(run).u32_be().ok()?;
            let word = |at: usize| Reader::at(run, at).u64_be().unwrap_or(0);
            if kind != COMMENT && kind != END && runs.len() < RUNS_MAX {
                runs.push(Run {
                    kind,
                    start: word(8),
                    count: word(16),
                    off: word(24),
                    len: word(32),
                });
            }
        }
        runs.sort_by_key(|run| run.start);
        Some(Self { name, sectors, data_off, runs, cut })
    }

    /// Returns how many bytes the runs take in the image.
    pub(super) fn packed_len(&self) -> u64 {
        self.runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.len))
    }
}

const COMMENT: u32 = 0x7fff_fffe;
const END: u32 = 0xffff_ffff;

/// Reads the tables of a property list.
pub(super) fn in_list(list: &[u8]) -> Vec<Table> {
    let start = memmem::find(list, b"<key>blkx</key>").unwrap_or(0);
    let list = list.get(start..).unwrap_or_default();
    let mut tables = Vec::new();
    let mut seen = 0usize;
    for at in memmem::find_iter(list, b"<data>") {
        if tables.len() >= TABLES_MAX {
            break;
        }
        let body = list.get(at.saturating_add(6)..).unwrap_or_default();
        let end = memchr(b'<', body).unwrap_or(body.len());
        let raw = decode(body.get(..end).unwrap_or_default());
        // The name stands beside the data, in the same dictionary.
        let before = list.get(seen..at).unwrap_or_default();
        let behind = body.get(end..).unwrap_or_default();
        let behind = behind.get(..NAME_WINDOW).unwrap_or(behind);
        let behind =
            behind.get(..memmem::find(behind, b"</dict>").unwrap_or(0)).unwrap_or_default();
        let name = name(before).or_else(|| name(behind)).unwrap_or_default();
        seen = at.saturating_add(end);
        tables.extend(Table::read(&raw, name));
    }
    tables
}

/// Returns the last name in some text of a property list.
fn name(text: &[u8]) -> Option<Vec<u8>> {
    let key = [b"<key>CFName</key>".as_slice(), b"<key>Name</key>"];
    let at =
        key.iter().find_map(|key| Some(memmem::rfind(text, key)?.saturating_add(key.len())))?;
    let rest = text.get(at..)?;
    let start = memmem::find(rest, b"<string>")?.saturating_add(8);
    let rest = rest.get(start..)?;
    let len = memchr(b'<', rest)?.min(256);
    Some(rest.get(..len)?.to_vec())
}

/// Decodes base64 as far as it is that.
fn decode(text: &[u8]) -> Vec<u8> {
    const LAX: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut digits: Vec<u8> = text.iter().copied().filter(digit).collect();
    if digits.len() & 3 == 1 {
        digits.pop();
    }
    LAX.decode(&digits).unwrap_or_default()
}

/// Reads the tables of a resource fork.
pub(super) fn in_resources(fork: &[u8]) -> Vec<Table> {
    resources(fork).unwrap_or_default()
}

fn resources(fork: &[u8]) -> Option<Vec<Table>> {
    let mut header = Reader::new(fork);
    let data = fork.get(size(header.u32_be().ok()?.into())..)?;
    let map = fork.get(size(header.u32_be().ok()?.into())..)?;
    let mut fields = Reader::at(map, 24);
    let types = map.get(usize::from(fields.u16_be().ok()?)..)?;
    let names = map.get(usize::from(fields.u16_be().ok()?)..).unwrap_or_default();
    let mut list = Reader::new(types);
    let mut tables = Vec::new();
    let mut seen = 0usize;
    for _ in 0..=list.u16_be().ok()?.min(1024) {
        let Ok(kind) = list.take(4) else { break };
        let (Ok(count), Ok(off)) = (list.u16_be(), list.u16_be()) else { break };
        if kind != b"blkx" {
            continue;
        }
        let mut references = Reader::at(types, off.into());
        for _ in 0..=count {
            let Ok(reference) = references.take(12) else { break };
            seen = seen.saturating_add(1);
            if tables.len() >= TABLES_MAX || seen > REFERENCES_MAX {
                break;
            }
            let name_off = Reader::at(reference, 2).u16_be().ok()?;
            let off = Reader::at(reference, 4).u32_be().ok()? & 0x00ff_ffff;
            let mut name = Reader::at(names, name_off.into());
            let name =
                name.u8().map(|len| name.take_up_to(len.into()).to_vec()).unwrap_or_default();
            let mut resource = Reader::at(data, size(off.into()));
            let Ok(len) = resource.u32_be() else { continue };
            tables.extend(Table::read(resource.take_up_to(size(len.into())), name));
        }
    }
    Some(tables)
}

/// Reads the tables that stand anywhere, in a property list or as they are.
pub(super) fn anywhere(object: &[u8]) -> Vec<Table> {
    let mut tables: Vec<Table> = memmem::find_iter(object, b"<key>blkx</key>")
        .next()
        .and_then(|at| object.get(at..))
        .map(in_list)
        .unwrap_or_default();
    if tables.is_empty() {
        // `mish` and its version in base64.
        for at in memmem::find_iter(object, b"bWlzaAAAAAE").take(TABLES_MAX) {
            let rest = object.get(at..).unwrap_or_default();
            let text = |byte: &u8| {
                byte.is_ascii_alphanumeric()
                    || byte.is_ascii_whitespace()
                    || matches!(byte, b'+' | b'/' | b'=')
            };
            let len = rest.iter().position(|byte| !text(byte)).unwrap_or(rest.len());
            tables.extend(Table::read(&decode(rest.get(..len).unwrap_or_default()), Vec::new()));
        }
    }
    if tables.is_empty() {
        let raw = memmem::find_iter(object, b"mish\0\0\0\x01").take(TABLES_MAX);
        tables.extend(raw.filter_map(|at| Table::read(object.get(at..)?, Vec::new())));
    }
    tables
}
