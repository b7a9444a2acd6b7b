//! Directory records, and what System Use entries (Rock Ridge) say in them.

use crate::disks::files::Extent;
use crate::reader::{Reader, size};

/// A directory record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// First block, little and big endian, behind its extended attributes.
    pub(super) starts: [u64; 2],
    /// Bytes, little and big endian.
    pub(super) lens: [u64; 2],
    flags: u8,
    unit_blocks: u8,
    gap_blocks: u8,
    /// The name as stored.
    pub(super) name: Vec<u8>,
    /// What follows the name.
    system_use: Vec<u8>,
}

impl Record {
    /// Reads a record at the start of some bytes.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(raw);
        let len = usize::from(fields.u8().ok()?);
        let raw = raw.get(..len).filter(|raw| raw.len() >= 34)?;
        let extra = u64::from(fields.u8().ok()?);
        let start = |block: u32| u64::from(block).saturating_add(extra);
        let starts = [start(fields.u32_le().ok()?), start(fields.u32_be().ok()?)];
        let lens = [u64::from(fields.u32_le().ok()?), u64::from(fields.u32_be().ok()?)];
        fields.skip(7).ok()?;
        let (flags, unit_blocks, gap_blocks) =
            (fields.u8().ok()?, fields.u8().ok()?, fields.u8().ok()?);
        fields.skip(4).ok()?;
        let name_len = usize::from(fields.u8().ok()?);
        let name = raw.get(33..33usize.saturating_add(name_len))?.to_vec();
        let behind = 33usize.saturating_add(name_len).next_multiple_of(2);
        let system_use = raw.get(behind..).unwrap_or_default().to_vec();
        Some(Self { starts, lens, flags, unit_blocks, gap_blocks, name, system_use })
    }

    pub(super) fn is_folder(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// True when the file goes on in the next record.
    pub(super) fn continues(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// The folder itself, or the one around it.
    pub(super) fn is_self_or_parent(&self) -> bool {
        matches!(self.name.as_slice(), [0 | 1])
    }

    /// True when the two byte orders do not say the same.
    pub(super) fn differs(&self) -> bool {
        let [a, b] = self.starts;
        let [c, d] = self.lens;
        a != b || c != d
    }

    /// Returns the first block and the bytes: as in little endian, or in big endian.
    pub(super) fn place(&self, order: usize) -> (u64, u64) {
        let of = |pair: &[u64; 2]| pair.get(order).copied().unwrap_or(0);
        (of(&self.starts), of(&self.lens))
    }

    /// Returns where the data is.
    pub(super) fn extents(&self, order: usize, block_len: u64, image_len: u64) -> Vec<Extent> {
        let (start, len) = self.place(order);
        let off = start.saturating_mul(block_len);
        let unit_len = u64::from(self.unit_blocks).saturating_mul(block_len);
        let step = u64::from(self.gap_blocks).saturating_mul(block_len).saturating_add(unit_len);
        if unit_len == 0 || self.gap_blocks == 0 {
            return vec![Extent::at(off, len)];
        }
        let mut extents = Vec::new();
        let (mut off, mut left) = (off, len);
        while left > 0 && extents.len() < super::PIECES_MAX {
            let piece = left.min(unit_len);
            extents.push(Extent::at(off, piece));
            left = left.saturating_sub(piece);
            off = off.saturating_add(step);
            if off >= image_len && left > 0 {
                extents.push(Extent::at(off, left));
                break;
            }
        }
        extents
    }

    /// Returns whether the system use fields of the root's own record follow the protocol.
    pub(super) fn root_susp(&self, object: &[u8], block_len: u64) -> Susp {
        let mut susp = Susp::default();
        if let [b'S', b'P', 7..=255, _, 0xbe, 0xef, skip, ..] = self.system_use.as_slice() {
            susp.present = true;
            susp.skip = usize::from(*skip);
        }
        let extras = self.extras(object, &Susp::default(), block_len, &mut (1 << 16));
        susp.present |= extras.rock_ridge;
        susp
    }

    /// Reads the system use entries; what they say elsewhere costs of the budget.
    pub(super) fn extras(
        &self,
        object: &[u8],
        susp: &Susp,
        block_len: u64,
        budget: &mut usize,
    ) -> Extras {
        let mut extras = Extras::default();
        let mut name = Vec::new();
        let mut area = self.system_use.get(susp.skip..).unwrap_or_default();
        for _ in 0..AREAS_MAX {
            let mut next = None;
            while let Some((entry, rest)) = entry(area) {
                area = rest;
                match entry {
                    [b'N', b'M', _, _, flags, part @ ..] if flags & 0x06 == 0 => {
                        name.extend_from_slice(part);
                    }
                    [b'C', b'E', ..] => next = continuation(object, entry, block_len),
                    [b'C', b'L', ..] => extras.child_folder = Reader::at(entry, 4).u32_le().ok(),
                    [b'Z', b'F', _, _, b'p', b'z', ..] => extras.zisofs = true,
                    [b'R' | b'P' | b'T', b'R' | b'X' | b'F', ..] => extras.rock_ridge = true,
                    [b'S', b'T', ..] => break,
                    _ => {}
                }
            }
            let Some(more) = next.filter(|more| more.len() <= *budget) else { break };
            *budget = budget.saturating_sub(more.len());
            area = more;
        }
        extras.name = (!name.is_empty()).then_some(name);
        extras
    }
}

/// Ours: continuation areas of one record.
const AREAS_MAX: usize = 16;

/// How system use fields are to be read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Susp {
    /// They follow the protocol.
    pub(super) present: bool,
    /// Bytes to pass over.
    skip: usize,
}

/// What system use fields say.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// The name.
    pub(super) name: Option<Vec<u8>>,
    /// The block of a folder that was moved up and belongs here.
    pub(super) child_folder: Option<u32>,
    /// The content is compressed.
    pub(super) zisofs: bool,
    rock_ridge: bool,
}

/// Splits the first entry off.
fn entry(area: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(*area.get(2)?);
    if len < 4 {
        return None;
    }
    area.split_at_checked(len)
}

fn continuation<'a>(object: &'a [u8], entry: &[u8], block_len: u64) -> Option<&'a [u8]> {
    let block = u64::from(Reader::at(entry, 4).u32_le().ok()?);
    let off = u64::from(Reader::at(entry, 12).u32_le().ok()?);
    let len = u64::from(Reader::at(entry, 20).u32_le().ok()?).min(2048);
    let start = size(block.checked_mul(block_len)?.checked_add(off)?);
    let rest = object.get(start..)?;
    Some(rest.get(..size(len)).unwrap_or(rest))
}

/// Returns a name without its version and the point in front of it.
pub(super) fn plain_name(name: &[u8]) -> &[u8] {
    let at = name.iter().rposition(|byte| *byte == b';');
    let digits = |at: usize| {
        name.get(at.saturating_add(1)..)
            .is_some_and(|version| version.iter().all(u8::is_ascii_digit))
    };
    let name = match at {
        Some(at) if at > 0 && digits(at) => name.get(..at).unwrap_or(name),
        _ => name,
    };
    name.strip_suffix(b".").filter(|name| !name.is_empty()).unwrap_or(name)
}
